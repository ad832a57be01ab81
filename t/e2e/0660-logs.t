# SPDX-License-Identifier: ISC
# The log's further outputs: lines as Postfix writes them, which pflogsumm and fail2ban's expressions read
# and which add up with the ledger; syslog; rotation under load; counters for Prometheus.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(row rows events balanced ledger mail_in drained);
use House qw(wait_for slurp spew run need_root free_ports);
use IO::Socket::IP;
use IO::Socket::UNIX;
use JSON::PP;
use Peers;
use Socket qw(SOCK_DGRAM);
use Talk;
use Test::More;

need_root();
my ($http) = free_ports(1);
my $house = House->new(config => { retry_first => '1h', retry_max => "1h", life => "1h", errors_max => 3, local_domains => ["mx.test.example"],
	metrics_listen => [ "127.0.0.1:$http" ] },
	extra => qq(domain "once.example" { life = 0s }\n));
my $state = $house->{state};
$house->{config}{syslog_socket} = "$state/run/syslog";
$house->write_config;
$house->start;
my $syslog = syslogd(); # later than logd, and no descriptor of the supervisor's
$house->sink(args => [ '-r', 'rcpt,match=<soft=450 4.2.2 over quota', '-r', 'rcpt,match=<once=451 4.2.0 never',
	'-r', 'rcpt,match=<hard=550 5.1.1 no such user' ]);

# In place of a syslog daemon. Whoever runs it makes its socket writable for all.
sub syslogd
{
	unlink "$state/run/syslog";
	my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$state/run/syslog") or die "syslog: $!";
	chmod 0666, "$state/run/syslog";
	$s->blocking(0);
	return $s;
}

sub lines_of_mail_log { return row($_[0] // $house, 'log', 'status')->{mail_lines} }
sub mail_log { return join '', map { slurp($_) // '' } sort glob "$state/log/mail.log*" }
sub has_line { my ($re, $what) = @_; return ok(wait_for(sub { mail_log() =~ $re }, $what), $what) }

sub get
{
	my ($path, $method) = @_;
	my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $http, Timeout => 5) or return '';

	print $s(($method // 'GET') . " $path HTTP/1.0\r\nHost: x\r\n\r\n");
	local $/;
	return scalar <$s> // '';
}

sub mail_in_code
{
	my ($to) = @_;
	my $t = $house->talk;

	$t->reply;
	$t->ask($_) for 'EHLO c.example', 'MAIL FROM:<a@x.example>';
	my $code = Talk::code($t->ask("RCPT TO:<$to>"));
	$t->ask('QUIT');
	return $code;
}

# name{labels} to value, after the grammar of the text format has been checked line by line.
sub metrics
{
	my ($head, $body) = split /\r\n\r\n/, get('/metrics'), 2;
	my (%value, %type, %help, @wrong);

	for my $line (split /\n/, $body // '') {
		if ($line =~ /^# HELP ([a-z_]\w*) \S.*$/) {
			push @wrong, $line if $help{$1}++;
		} elsif ($line =~ /^# TYPE ([a-z_]\w*) (counter|gauge|summary)$/) {
			push @wrong, $line if $type{$1} || !$help{$1};
			$type{$1} = $2;
		} elsif ($line =~ /^(([a-z_]\w*)(?:\{[a-z_]+="[^"\\]*"(?:,[a-z_]+="[^"\\]*")*\})?) (\d+)$/) {
			my ($key, $name, $v) = ($1, $2, $3);
			(my $base = $name) =~ s/_(?:sum|count)$//;
			push @wrong, $line if exists $value{$key} || !($type{$name} || ($type{$base} // '') eq 'summary');
			push @wrong, $line if ($type{$name} // '') eq 'counter' xor $name =~ /_total$/;
			$value{$key} = $v;
		} else {
			push @wrong, $line;
		}
	}
	is("@wrong", '', 'each line has the form that Prometheus reads') if @wrong;
	return \%value;
}

# Refused; two that are sent, one of them to two; one refused for good, one for now, one for longer than it may live.
is(mail_in_code('nosuch@mx.test.example'), 550, 'refused');
my @sent = map { mail_in($house, 'a@x.example', $_) } 'one@a.example', 'two@b.example';
{
	my $t = $house->talk;
	$t->reply;
	$t->ask("EHLO c.example");
	for my $say ('MAIL FROM:<a@x.example>', 'RCPT TO:<p@a.example>', 'RCPT TO:<q@a.example>', 'DATA') {
		$t->ask($say);
	}
	like($t->ask("Subject: x\r\nMessage-ID: <known\@x.example>\r\n\r\ny\r\n."), qr/^250/, 'one for two');
	like($t->ask('QUIT'), qr/^221/, 'and leaves');
}
my ($soft, $hard, $once) = map { mail_in($house, 'a@x.example', $_) } 'soft@a.example', 'hard@a.example', 'once@once.example';
my ($status) = $house->sendmail("Subject: x\n\ny\n", '-f', 'a@x.example', 'local@a.example');
is($status, 0, 'sendmail takes one');
wait_for(sub { events($house, event => 'attempt') >= 8 }, 'all to have been tried', 30);
has_line(qr/postfix\/qmgr\[\d+\]: $sent[0]: removed\n/, 'a delivered message is removed');

# One session of every trouble.
{
	my $t = Talk->new('127.0.0.1', $house->port('submission'));
	$t->reply;
	$t->close;
}
has_line(qr/smtpd\[\d+\]: connect from unknown\[127\.0\.0\.1\]\n/, 'connect');
has_line(qr/smtpd\[\d+\]: lost connection after CONNECT from unknown\[127\.0\.0\.1\]\n/, 'lost connection');
{
	my $t = $house->talk;
	$t->reply;
	$t->ask($_) for 'EHLO c.example', 'WHAT', 'WHAT', 'WHAT';
}
has_line(qr/smtpd\[\d+\]: too many errors after UNKNOWN from unknown\[127\.0\.0\.1\]\n/, 'too many errors');
has_line(qr/smtpd\[\d+\]: disconnect from unknown\[127\.0\.0\.1\] ehlo=1 unknown=0\/3 commands=1\/4\n/, 'its commands');
has_line(qr/smtpd\[\d+\]: disconnect from unknown\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=2 data=1 quit=1 commands=6\n/,
	'commands of one that went well');

my $log = mail_log();
my $stamp = qr/[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ postfix/;
my $id = $sent[0];
like($log, qr/^$stamp\/smtpd\[\d+\]: $id: client=unknown\[127\.0\.0\.1\]$/m, 'client');
like($log, qr/^$stamp\/cleanup\[\d+\]: $id: message-id=<\S*>$/m, 'message-id');
like($log, qr/^$stamp\/cleanup\[\d+\]: \w{13}: message-id=<known\@x\.example>$/m, 'as it stands in the message');
like($log, qr/^$stamp\/qmgr\[\d+\]: $id: from=<a\@x\.example>, size=\d+, nrcpt=1 \(queue active\)$/m, 'queue active');
like($log, qr{^$stamp/smtp\[\d+\]: $id: to=<one\@a\.example>, relay=\S+\[127\.0\.0\.1\]:\d+, (?:conn_use=\d+, )?delay=[\d.]+, delays=0/[\d.]+/[\d.]+/[\d.]+, dsn=2\.\d\.\d, status=sent \(250 .*\)$}m, 'sent');
like($log, qr{: $soft: to=<soft\@.*, dsn=4\.2\.2, status=deferred \(host \S+\[127\.0\.0\.1\] said: 450 .*over quota \(in reply to RCPT TO command\)\)$}m, 'deferred');
like($log, qr{: $hard: to=<hard\@.*, dsn=5\.1\.1, status=bounced \(host .*\)$}m, 'bounced');
like($log, qr{: $once: to=<once\@.*, status=expired \(}m, 'expired');
like($log, qr{^$stamp/smtpd\[\d+\]: NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.1\]: 550 5\.1\.1 <nosuch\@mx\.test\.example>: .*; from=<a\@x\.example> to=<nosuch\@mx\.test\.example> proto=ESMTP helo=<c\.example>$}m, 'refused');
like($log, qr{^$stamp/pickup\[\d+\]: \w{13}: uid=0 from=<a\@x\.example>$}m, 'from a user of this host');
unlike($log, qr/[^\n\x20-\x7e\x80-\xff]/, 'no control character');

SKIP: {
	my $why = Peers::missing();
	chomp $why;
	skip "no peers: $why", 6 if $why ne '';
	my ($rc, $out, $err) = Peers::peer({ in => mail_log() }, 'pflogsumm');
	is($rc, 0, 'pflogsumm reads it') or diag $err;
	my %sum = map { reverse /^\s+(\d+)\s+(received|delivered|deferred|bounced|rejected)/ } split /\n/, $out;
	my $l = balanced($house, 'now');
	# pflogsumm counts messages received (the one for two is one), and of the others recipients.
	is($sum{received}, scalar(events($house, event => 'received')), 'received: as many messages as the log has');
	is($sum{received} + 1, $l->{accepted}, 'the ledger has their recipients');
	is($sum{delivered}, $l->{delivered}, 'delivered');
	is($sum{bounced}, $l->{bounced}, 'bounced');
	is($sum{deferred}, 2, 'deferred: one that waits, one that expired');
	is($sum{rejected}, scalar(grep { ($_->{code} // 0) != 421 } events($house, event => 'reject')), 'rejected');
}

# The same lines to syslog.
my %seen;
sub heard { my $n = 0; while (defined $syslog->recv(my $m, 65536)) { $seen{$m}++; $n++ } return $n }
wait_for(sub { heard(); grep { /^<22>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d postfix\/qmgr\[\d+\]: $id: removed$/ } keys %seen }, 'syslog');
pass('syslog hears the lines');
close $syslog;
mail_in($house, 'a@x.example', 'deaf@a.example');
$syslog = syslogd();
my $later = mail_in($house, 'a@x.example', 'again@a.example');
ok(wait_for(sub { heard(); grep { /$later: removed/ } keys %seen }, 'syslog again', 20), 'a syslog that comes back is found');
# From here on nobody reads it, until the load is over.
wait_for(sub { row($house, 'log', 'status')->{syslog_error} eq '' }, 'syslog to be well');
my $unread = lines_of_mail_log();

# Rotation under load: each line of both files once, none lost.
my $before = 0;
$before += () = mail_log() =~ /: removed$/mg;
my $pid = Supervisor::spawn([ "$house->{bin}/smtpsource", '-q', '-P', '-s', 5, '-m', 1500, '-n', 100, '-h',
	'127.0.0.1:' . $house->port('mx'), '-f', 'a@x.example', '-t', 'load@a.example' ], "$state/source.err");
for my $n (1 .. 5) {
	my $have = () = mail_log() =~ /: removed$/mg;
	wait_for(sub { my $now = () = mail_log() =~ /: removed$/mg; $now >= $have + 150 }, "lines before rotation $n", 60);
	rename "$state/log/$_", "$state/log/$_." . (6 - $n) for 'angarium.log', 'mail.log';
	$n % 2 ? $house->kill('logd', 'HUP') : $house->angctl('log', 'reopen');
	wait_for(sub { -e "$state/log/mail.log" && -e "$state/log/angarium.log" }, 'new files');
}
waitpid $pid, 0;
is($? >> 8, 0, 'the load was taken');
wait_for(sub { my $now = () = mail_log() =~ /: removed$/mg; $now >= $before + 1500 }, 'the last line', 60);
my %done;
$done{ $_->{id} }++ for map { decode_json($_) } grep { /"event":"done"/ } $house->log_lines;
is(scalar(grep { $_ != 1 } values %done), 0, 'angarium.log: no message is done twice');
my %removed;
$removed{$_}++ for mail_log() =~ /: (\w{13}): removed$/mg;
is_deeply(\%removed, \%done, 'mail.log: each of them removed, once');
is((grep { !/^$stamp\/\w+\[\d+\]: \S.*$/ } split /\n/, mail_log())[0], undef, 'only whole lines');
{
	# Of services over links of their own, and yet a message is received, queued, sent, removed.
	my (%at, @wrong);
	my @row = (qr/^(?:client|uid)=/, qr/^message-id=/, qr/\(queue active\)$/, qr/^to=</, qr/^removed$/);
	for (map { [ slurp("$state/log/mail.log$_") =~ /: (\w{13}): (.*)$/mg ] } '.5', '.4', '.3', '.2', '.1', '') {
		while (my ($qid, $words) = splice @$_, 0, 2) {
			my ($rank) = grep { $words =~ $row[$_] } 0 .. $#row;
			next if !defined $rank;
			push @wrong, "$qid $words" if $rank < ($at{$qid} // 0);
			$at{$qid} = $rank;
		}
	}
	is("@wrong", '', 'the lines of each message in order');
}

# Counters.
my $m = wait_for(sub {
	my $m = metrics();
	($m->{'angarium_ledger_recipients{term="delivered"}'} // 0) >= 1500 && $m;
}, 'the counters to come', 20);
my $l = ledger($house);
is($m->{"angarium_ledger_recipients{term=\"$_\"}"}, $l->{$_}, "metrics: $_") for qw(accepted bounced expired dropped);
is($m->{'angarium_events_total{service="smtpd",event="received"}'}, scalar(events($house, event => 'received')), 'metrics: received');
cmp_ok($m->{'angarium_processes{service="deliver"}'}, '>=', 2, 'metrics: processes of deliver');
ok($m->{angarium_smtpd_sessions_total} >= 10, 'metrics: sessions, over all workers');
is($m->{angarium_queue_messages}, row($house, 'ledger') && $l->{queued}, 'metrics: the queue');
like(get('/'), qr{^HTTP/1\.\d 404 }, 'no other page');
like(get('/metrics', 'POST'), qr{^HTTP/1\.\d 405 }, 'nothing to be changed');
like(get('/metrics', 'HEAD'), qr{^HTTP/1\.\d 200 .*\r\n\r\n\z}s, 'HEAD');
# A process that dies leaves its counts in the sums.
my $sessions = $m->{angarium_smtpd_sessions_total};
$house->kill('smtpd');
$house->ready('smtpd');
wait_for(sub { eval { mail_in($house, 'a@x.example', 'after@a.example') } }, 'workers of the new smtpd'); # not the old ones' 421
ok(wait_for(sub { metrics()->{angarium_smtpd_sessions_total} > $sessions }, 'a count that goes on'), 'a killed smtpd is not forgotten');

# Off, other name, other stamp: by reload.
$house->{config}{syslog_name} = 'relay';
$house->{config}{mail_log_rfc3339} = 'yes';
$house->write_config;
is(($house->angctl('config', 'reload'))[0], 0, 'reload');
mail_in($house, 'a@x.example', 'stamp@a.example');
has_line(qr{^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d \S+ relay/smtp\[\d+\]: \w+: to=<stamp\@a\.example>, .*status=sent}m, 'RFC 3339, and its name');

$house->end;
done_testing;
