# SPDX-License-Identifier: ISC
# Limits that queues share, counted by the server that they are for; rates of clients that send to us.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp need_root free_ports);
use IO::Select;
use IO::Socket::IP;
use JSON::PP qw(decode_json);
use POSIX qw(_exit);
use Talk qw(code);
use Test::More;
use Time::HiRes qw(time);

need_root();

my @port = free_ports(3);
my ($one, $two, $http) = @port;

# A server at two ports that writes down when a connection opens and ends and a message comes. Each message takes it
# 30 ms, so that connections pile up where they may.
sub serve
{
	my ($file) = @_;
	my @listen = map { IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $_, Listen => 100, ReuseAddr => 1)
		    // die "$_: $@" } $one, $two;
	my $pid = fork // die "fork: $!";

	return $pid if $pid;
	open my $log, '>', $file or _exit(1);
	$log->autoflush(1);
	my ($select, %of, @due) = (IO::Select->new(@listen));
	my $say = sub { syswrite $_[0], "$_[1]\r\n" };
	while (1) {
		# What ended before another began is seen in that order.
		my %is_listener = map { $_ => 1 } @listen;
		for my $fh (sort { ($is_listener{$a} // 0) <=> ($is_listener{$b} // 0) } $select->can_read(@due ? 0.005 : 1)) {
			if (my ($at) = grep { $fh == $_ } @listen) {
				my $new = $at->accept or next;
				printf $log "%.4f open %d\n", time, $at->sockport;
				$of{$new} = { in => '', port => $at->sockport };
				$select->add($new);
				$say->($new, '220 sink');
				next;
			}
			my $c = $of{$fh};
			unless (sysread $fh, $c->{in}, 65536, length $c->{in}) {
				printf $log "%.4f close %d\n", time, $c->{port};
				$select->remove($fh);
				delete $of{$fh};
				close $fh;
				next;
			}
			while ($c->{in} =~ s/^(.*?)\r\n//) {
				my $line = $1;
				if ($c->{data}) {
					next if $line ne '.';
					$c->{data} = 0;
					printf $log "%.4f mail %d\n", time, $c->{port};
					push @due, [ time + 0.03, $fh ];
				} elsif ($line =~ /^DATA/i) {
					$c->{data} = 1;
					$say->($fh, '354 go');
				} elsif ($line =~ /^QUIT/i) {
					$say->($fh, '221 bye');
				} else {
					$say->($fh, '250 ok');
				}
			}
		}
		while (@due && $due[0][0] <= time) {
			my $fh = (shift @due)->[1];
			$say->($fh, '250 taken') if $of{$fh};
		}
	}
}

my $state;
my $seen = 0; # lines of the log before this part
sub events
{
	my @all = map { [ split / / ] } split /\n/, slurp("$state/server.log") // '';
	return @all[$seen .. $#all];
}
sub mails { return grep { $_->[1] eq 'mail' } events() }
sub next_part { $seen = () = (slurp("$state/server.log") // '') =~ /\n/g }

# The most of a kind within any span of so many seconds.
sub most_within
{
	my ($kind, $span) = @_;
	my @at = map { $_->[0] } grep { $_->[1] eq $kind } events();
	my $most = 0;

	for my $from (0 .. $#at) {
		my $n = grep { $_ >= $at[$from] && $_ < $at[$from] + $span } @at;
		$most = $n if $n > $most;
	}
	return $most;
}

sub most_open
{
	my ($open, $most) = (0, 0);

	for (events()) {
		$open += { open => 1, close => -1 }->{ $_->[1] } // 0;
		$most = $open if $open > $most;
	}
	return $most;
}

my $domains = <<"E";
domain "one.example" { route = "127.0.0.1:$one" buckets = shared }
domain "two.example" { route = "127.0.0.1:$two" buckets = shared }
E
my $house = House->new(config => { mx_workers => 2, metrics_listen => "127.0.0.1:$http" },
	extra => qq(bucket "shared" { connection_rate = "8/1s burst 2" messages_per_connection = 1 }\n$domains));
$state = $house->{state};
my $server = serve("$state/server.log");
END { kill 'KILL', $server if $server }
$house->start;

my $talk = $house->talk;
$talk->reply;
$talk->ask('EHLO client.example');
sub send_to { my ($to) = @_; return $talk->send_mail('a@b.example', $to, "Subject: x\n\nx\n") }
sub reload
{
	my ($extra) = @_;

	$house->{extra} = $extra;
	$house->write_config;
	my ($status, $out, $err) = $house->angctl('config', 'reload');
	is($status, 0, 'reload') or diag "$out$err";
}
sub limits
{
	my (undef, $out) = $house->angctl('queue', 'limits', '--json');
	my %by = map { $_->{name} => $_ } map { decode_json($_) } split /\n/, $out;
	return $by{ $_[0] };
}

# ---- connection rate: one message a connection, so each needs one
send_to("v$_\@" . ($_ % 2 ? 'one' : 'two') . '.example') for 1 .. 8;
wait_for(sub { mails() == 8 }, 'eight to arrive');
is(scalar(grep { $_->[1] eq 'open' } events()), 8, 'each over a connection of its own');
cmp_ok(most_within('open', 0.25), '<=', 5, 'which open no faster than they may'); # 4, and one in jitter
my @open = map { $_->[0] } grep { $_->[1] eq 'open' } events();
cmp_ok($open[-1] - $open[0], '>=', 0.7, 'all eight');

# ---- connections and messages, over two domains and two servers
wait_for(sub { my $b = limits('shared'); $b->{connections} + $b->{connections_idle} == 0 }, 'connections to end');
next_part();
reload(qq(bucket "shared" { connections = 3 message_rate = "20/1s burst 4" }\n$domains));
my $before = limits('shared')->{messages};
my @sent = map { send_to("u$_\@" . ($_ % 2 ? 'one' : 'two') . '.example') } 1 .. 30;
is(join(' ', @sent), join(' ', (250) x 30), 'thirty messages are taken');
wait_for(sub { mails() == 30 }, 'them to arrive', 15);
my @mail = map { $_->[0] } mails();
cmp_ok($mail[-1] - $mail[0], '>=', 1.2, 'they come no faster than the rate');
cmp_ok(most_within('mail', 0.5), '<=', 15, 'in half a second: the burst and ten'); # and one in jitter
cmp_ok(most_open(), '<=', 3, 'the connections of both domains are three at most, idle ones too');
cmp_ok(scalar(grep { $_->[2] == $one } mails()), '==', 15, 'each domain has its part');
my $use = wait_for(sub { my $b = limits('shared'); $b->{connections} == 0 && $b }, 'jobs to end');
is($use->{messages} - $before, 30, 'the bucket counts them');
is($use->{connections_max}, 3, 'its limit is told');
is($use->{message_rate}, '20/1s burst 4', 'and its rate');
my (undef, $table) = $house->angctl('queue', 'limits');
like($table, qr/^KIND .*\nbucket +shared +\d/, 'as a table too');

# ---- what waits says for what, a reload keeps what is used and may let it go
wait_for(sub { limits('shared')->{messages_left} == 4 }, 'the burst to be there again'); # it would be used up else
next_part();
reload(qq(bucket "shared" { message_rate = "1/1h burst 1" }\n$domains));
send_to('first@one.example');
send_to('second@two.example');
wait_for(sub { limits('shared')->{waiting} == 1 }, 'one queue to wait');
my (undef, $list) = $house->angctl('queue', 'list', '--json');
my ($waits) = grep { $_->{recipients}[0]{address} eq 'second@two.example' } map { decode_json($_) } split /\n/, $list;
my (undef, $why) = $house->angctl('why', $waits->{id}, '--json');
like($why, qr/"cause":"limit"/, 'why: a limit');
like($why, qr{"by":"shared/message_rate"}, 'which one');
is(scalar(mails()), 1, 'the other has gone');
reload(qq(bucket "shared" { message_rate = "1/1h burst 1" connections = 9 }\n$domains));
is(limits('shared')->{messages_left}, 0, 'a reload gives no rate anew');
reload(qq(bucket "shared" { message_rate = "100/1s" }\n$domains));
wait_for(sub { mails() == 2 }, 'a wider one to let it go');

# ---- clients of ours
$talk->ask('QUIT');
$talk->close;
$house->{config}{sessions_exempt} = ['127.0.0.3'];
$house->{config}{client_connection_rate} = '4/1h';
$house->{config}{client_message_rate} = '3/1h';
$house->{config}{client_recipient_rate} = '5/1h';
reload($domains =~ s/buckets = shared//gr);

# From this address, over both workers.
sub from
{
	my ($address) = @_;
	my $sock = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $house->port('mx'), LocalHost => $address,
		Timeout => 10) or die "connect: $@\n";
	my $t = bless { sock => $sock, in => '', eof => 0 }, 'Talk';

	return ($t, $t->reply);
}
# The workers have heard of it when one that connects often is refused.
my @ours;
wait_for(sub { my ($t, $hello) = from('127.0.0.9'); push @ours, $t; code($hello) == 421 }, 'the rates to hold');
my ($t, $hello) = from('127.0.0.2');
is(code($hello), 220, 'another client');
$t->ask('EHLO client.example');
for (1 .. 3) {
	is(code($t->ask('MAIL FROM:<a@b.example>')), 250, "MAIL $_");
	is(code($t->ask('RSET')), 250, 'RSET');
}
like($t->ask('MAIL FROM:<a@b.example>'), qr/^450 4\.7\.1 Too many messages in a short time/, 'one more is too many');
my ($other, $hi) = from('127.0.0.4');
$other->ask('EHLO client.example');
is(code($other->ask('MAIL FROM:<a@b.example>')), 250, 'not for another client');
my @codes = map { code($other->ask("RCPT TO:<u$_\@one.example>")) } 1 .. 6;
is("@codes", '250 250 250 250 250 450', 'recipients have a rate too');
my @hellos = map { (from('127.0.0.2'))[1] } 1 .. 4;
is(join(' ', map { code($_) } @hellos), '220 220 220 421', 'and connections');
like($hellos[3], qr/^421 4\.7\.0 \S+: you connect too often, try later/, 'which is said');
my @exempt = map { code((from('127.0.0.3'))[1]) } 1 .. 8;
is("@exempt", join(' ', (220) x 8), 'a network that is exempt has none');

my $metrics = sub {
	my $web = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $http) or return '';
	print $web "GET /metrics HTTP/1.0\r\n\r\n";
	local $/;
	return scalar <$web> // '';
};
for my $what (qw(recipient message)) {
	ok(wait_for(sub { $metrics->() =~ /^angarium_smtpd_rate_refused_total\{what="$what"\} 1$/m }, 'counters'),
		"refusals are counted: $what");
}
my ($reject) = grep { /"what":"connect"|you connect too often/ } $house->log_lines;
ok($reject, 'and logged');
$house->end;
done_testing();
