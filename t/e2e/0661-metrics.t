# SPDX-License-Identifier: ISC
# Counters of all services for Prometheus: the form of the page, numbers that are the ledger's and the log's, processes
# that die; and clients of the page that mean no good.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(row events ledger balanced mail_in);
use House qw(wait_for slurp spew run need_root free_ports top);
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::HiRes qw(time);

need_root();
my ($port) = free_ports(1);
my $house = House->new(config => { retry_first => '1h', retry_max => '1h', local_domains => ['mx.test.example'],
	metrics_listen => [ "127.0.0.1:$port", "[::1]:$port" ] });
my ($state, $bin) = @$house{qw(state bin)};
mkdir "$state/home";
mkdir "$state/home/user", 0700;
chown 61100, 61100, "$state/home/user";
spew("$state/users", "user:61100:61100:$state/home/user:Maildir/\n");
$house->{config}{local_users} = "$state/users";
$house->write_config;
$house->start;
$house->sink(args => [ '-r', 'rcpt,match=<hard=550 5.1.1 no such user', '-r', 'rcpt,match=<soft=450 4.2.2 over quota' ]);

sub connected
{
	my ($host) = @_;

	return IO::Socket::IP->new(PeerHost => $host // '127.0.0.1', PeerPort => $port, Timeout => 5) // die "metrics: $@\n";
}

# All that comes until the other side closes, or nothing comes for so long.
sub answer
{
	my ($s, $seconds) = @_;
	my $got = '';

	while (IO::Select->new($s)->can_read($seconds // 5)) {
		sysread($s, $got, 65536, length $got) or last;
	}
	return $got;
}

sub get
{
	my ($path, $method, $host) = @_;
	my $s = connected($host);

	syswrite $s, ($method // 'GET') . " $path HTTP/1.0\r\nHost: x\r\n\r\n";
	return answer($s);
}

my @names;
# name{labels} to value, after the grammar of the text format has been checked line by line.
sub metrics
{
	my ($head, $body) = split /\r\n\r\n/, get('/metrics'), 2;
	my (%value, %type, %help, @wrong, $last);

	push @wrong, $head unless $head =~ m{^HTTP/1\.[01] 200 OK\r\n.*^Content-Type: text/plain; version=0\.0\.4\r?$}ms;
	push @wrong, 'no newline at the end' unless $body =~ /\n\z/;
	for my $line (split /\n/, $body // '') {
		if ($line =~ /^# HELP (angarium_[a-z_]\w*) \S[^\\]*$/) {
			push @wrong, $line if $help{$1}++;
			$last = $1;
		} elsif ($line =~ /^# TYPE ([a-z_]\w*) (counter|gauge|summary)$/) {
			push @wrong, $line if $type{$1} || $1 ne $last;
			$type{$1} = $2;
		} elsif ($line =~ /^(([a-z_]\w*)(?:\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})?) (\d+(?:\.\d+)?)$/) {
			my ($key, $name, $v) = ($1, $2, $3);
			(my $base = $name) =~ s/_(?:sum|count)$// if ($type{$name} // '') eq '';
			push @wrong, $line if exists $value{$key} || ($base // $name) ne $last || !$type{$last};
			push @wrong, $line if ($type{$last} eq 'counter') != ($name =~ /_total$/);
			$value{$key} = $v;
		} else {
			push @wrong, $line;
		}
	}
	is("@wrong", '', 'each line has the form that Prometheus reads') if @wrong;
	@names = sort keys %type;
	return \%value;
}

# The first page that is as it should be: services tell once a second.
sub metrics_with
{
	my ($true, $what) = @_;
	my $m;

	eval { wait_for(sub { $m = metrics(); $true->($m) }, $what, 20) };
	ok($true->($m), $what) or diag explain $m;
	return $m;
}

my ($hard) = map { mail_in($house, 'user@mx.test.example', $_) } 'hard@a.example';
mail_in($house, 'a@x.example', $_) for 'soft@a.example', 'user@mx.test.example', [ 'one@a.example', 'two@a.example' ];
$house->angctl('dns', 'lookup', 'nothing.example');
wait_for(sub { my $l = ledger($house); $l->{notices} == 1 && $l->{queued} == 1 && $l->{unfiled} == 0 }, 'all but one to be delivered', 30);
my $l = balanced($house, 'then');
is("$l->{accepted} $l->{notices} $l->{delivered} $l->{bounced}", '5 1 4 1', 'what the ledger has');
# Each process tells once a second, and lines gather for a moment.
my @come = qw(smtpd_sessions_total queue_messages spool_free_bytes deliver_jobs_total deliver_connections_total
	local_jobs_total router_answers_total dns_asked_total bounced_notices_total bounced_replies_total log_lines_total);
my $received = events($house, event => 'received');
my $m = metrics_with(sub {
	my ($m) = @_;
	return 0 if grep { ($m->{"angarium_$_"} // 0) < 1 } @come;
	return 0 if ($m->{'angarium_events_total{service="smtpd",event="received"}'} // 0) < $received;
	return ($m->{'angarium_ledger_recipients{term="delivered"}'} // 0) == 4 && $m->{angarium_router_answers_total} >= 5 &&
	    ($m->{angarium_received_recipients_total} // 0) == $l->{accepted} &&
	    $m->{angarium_bounced_notices_total} == 1 && $m->{angarium_local_jobs_total} >= 2;
}, 'the counters have come');
is($m->{"angarium_ledger_recipients{term=\"$_\"}"}, $l->{$_}, "the ledger's $_")
	for qw(accepted notices expanded_out expanded_in delivered bounced expired dropped damaged);
is($m->{angarium_queue_recipients}, $l->{queued}, 'recipients queued');
is($m->{'angarium_events_total{service="smtpd",event="received"}'}, scalar(events($house, event => 'received')), 'messages received');
is($m->{angarium_received_recipients_total}, $l->{accepted}, 'for so many recipients');
for my $status (qw(sent deferred bounced)) {
	is($m->{"angarium_attempts_total{status=\"$status\"}"}, scalar(events($house, event => 'attempt', status => $status)), "attempts: $status");
}
is($m->{angarium_delivery_delay_seconds_count}, 4, 'delays of what was sent');
cmp_ok($m->{"angarium_processes{service=\"$_\"}"}, '>=', 1, "a process of $_") for qw(smtpd qmgr router deliver local dnscache bounced);
cmp_ok($m->{'angarium_processes{service="deliver"}'}, '>=', 2, 'parent and workers of deliver');
cmp_ok($m->{"angarium_$_"}, '>=', 1, $_) for @come;
is($m->{"angarium_log_lost_total{output=\"$_\"}"}, 0, "nothing lost: $_") for qw(events angarium.log mail.log syslog);
cmp_ok($m->{angarium_router_answers_total}, '>=', 5, 'the router was asked for each recipient');

my $manual = slurp(top() . '/logd/angarium-metrics.5');
is(join(' ', grep { $manual !~ /^\.It $_ Pq /m } @names), '', 'the manual has all names');
is(scalar(my @all = $manual =~ /^\.It angarium_/mg), @names, 'and no other');
like(get('/metrics', 'GET', '::1'), qr{^HTTP/1\.\d 200 .*^angarium_}ms, 'by IPv6');
like(get('/'), qr{^HTTP/1\.\d 404 }, 'no other page');
like(get('/metrics/../../etc/passwd'), qr{^HTTP/1\.\d 404 }, 'nor any file');
like(get('/metrics', 'POST'), qr{^HTTP/1\.\d 405 }, 'nothing to be changed');
like(get('/metrics', 'HEAD'), qr{^HTTP/1\.\d 200 .*\r\n\r\n\z}s, 'HEAD');
# Where it listens: on the addresses it was given, and no other.
ok(!IO::Socket::IP->new(PeerHost => '127.0.0.2', PeerPort => $port, Timeout => 2), 'not elsewhere');

# A process that dies leaves its counts in the sums, its gauges not.
my $sessions = $m->{angarium_smtpd_sessions_total};
$house->kill('smtpd');
$house->ready('smtpd');
wait_for(sub { eval { mail_in($house, 'a@x.example', 'after@a.example') } }, 'workers of the new smtpd'); # not the old ones' 421
metrics_with(sub { $_[0]{angarium_smtpd_sessions_total} > $sessions }, 'a killed smtpd is not forgotten');
$house->stop('dnscache');
metrics_with(sub { $_[0]{'angarium_processes{service="dnscache"}'} == 0 && $_[0]{angarium_dns_asked_total} >= 1 }, 'dnscache is away, what it had counted is not');
$house->start_one('dnscache');
metrics_with(sub { $_[0]{'angarium_processes{service="dnscache"}'} == 1 }, 'and is back');

# Clients that mean no good: as many as may be connected and more, and none of them ends what it began.
my $logd = $house->pid('logd');
sub rss { my ($kb) = slurp("/proc/$logd/status") =~ /^VmRSS:\s+(\d+)/m; return $kb }
my $before = rss();
my @evil = map { connected() } 1 .. 64;
$_->blocking(0) for @evil;
my @say = (
	'', 'GET /met', "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n",
	"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", "\0\xff\x16\x03\x01" x 10, "\r\n" x 100,
	"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" x 200, 'GET /' . 'a' x 20_000,
);
my %sent;
{
	local $SIG{PIPE} = 'IGNORE';
	for my $i (0 .. $#evil) {
		syswrite $evil[$i], $say[ $i % @say ];
	}
	# Those with something to go on with go on, for 8 MiB together.
	for (1 .. 128) {
		for my $i (grep { $_ % @say >= 2 } 0 .. $#evil) {
			my $n = syswrite $evil[$i], 'x' x 4096;
			$sent{ $i % @say } += $n // 0;
		}
	}
}
my $start = time;
mail_in($house, 'a@x.example', 'meanwhile@a.example');
ok(wait_for(sub { events($house, event => 'attempt', to => 'meanwhile@a.example', status => 'sent') }, 'an event'), 'events go on');
is((row($house, 'status', 'logd'))->{lost}, 0, 'and none is lost');
cmp_ok(time - $start, '<', 5, 'without a wait');
SKIP: {
	skip 'memory is not bounded so under the sanitizer', 1 if ($ENV{V} // '') eq 'san';
	cmp_ok(rss() - $before, '<', 4096, 'they cost little memory') or diag rss() . " $before";
}
is($house->pid('logd'), $logd, 'logd stands');
# Half of them leave with a reset, half in order.
for my $i (0 .. $#evil) {
	setsockopt $evil[$i], SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $i % 2;
	close $evil[$i];
}
metrics_with(sub { $_[0]{angarium_log_lines_total} > 0 }, 'the page is there again');
# One that says nothing is not borne for long, and does not stand in the way of others.
my $idle = connected();
metrics_with(sub { $_[0]{angarium_log_lines_total} > 0 }, 'with one that is idle');
is(answer($idle, 15), '', 'which is closed in the end');
is($house->pid('logd'), $logd, 'logd stands still');

$house->end;
done_testing;
