# SPDX-License-Identifier: ISC
# Mail to domains: by their mail exchangers, in order, around those that do not answer; what is no domain
# is refused for good, what the DNS cannot tell waits.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp need_root);
use JSON::PP;
use Test::More;

need_root();
my $house = House->new(config => { relay_host => undef, retry_first => '2s', retry_max => '4s', retry_jitter => 0,
	dns_keep_min => '1s', dns_ttl_min => 0, dns_negative_ttl_max => '1s', dns_try_timeout => '300ms', dns_tries => 2,
	connect_timeout => '2s', host_rest => '3s', deliver_workers => 1 });
my ($state, $port) = ($house->{state}, $house->port('sink'));
$house->{config}{smtp_port} = $port;
$house->{extra} = join '', map { "domain $_.test { concurrency = 2 }\n" } qw(slow slow2);
$house->write_config;
my $zone = <<'ZONE';
zone test 1
a.hosts.test A 127.0.0.11
b.hosts.test A 127.0.0.12
dead.hosts.test A 127.0.0.19
dead2.hosts.test A 127.0.0.20
busy.hosts.test A 127.0.0.13
slow.hosts.test A 127.0.0.14
dual.hosts.test A 127.0.0.19
dual.hosts.test AAAA ::1
alias.hosts.test CNAME a.hosts.test
one.test 1 MX 10 a.hosts.test
order.test 1 MX 20 b.hosts.test
order.test 1 MX 10 a.hosts.test
equal.test 1 MX 10 a.hosts.test
equal.test 1 MX 10 b.hosts.test
two.test 1 MX 10 dead.hosts.test
two.test 1 MX 20 b.hosts.test
busy.test 1 MX 10 busy.hosts.test
busy.test 1 MX 20 a.hosts.test
slow.test 1 MX 10 slow.hosts.test
slow2.test 1 MX 20 slow.hosts.test
slow2.test 1 MX 30 slow.hosts.test
bare.test 1 A 127.0.0.12
dual.test 1 MX 10 dual.hosts.test
alias.test 1 CNAME one.test
aliased.test 1 MX 10 alias.hosts.test
null.test 1 MX 0 .
self.test 1 MX 10 mx.test.example
back.test 1 MX 10 b.hosts.test
back.test 1 MX 20 mx.test.example
back.test 1 MX 30 a.hosts.test
nohost.test 1 MX 10 nowhere.hosts.test
number.test 1 MX 10 127.0.0.11
text.test 1 TXT "no host"
down.test 1 MX 10 dead.hosts.test
down.test 1 MX 20 dead2.hosts.test
down2.test 1 MX 10 dead.hosts.test
down2.test 1 MX 20 dead2.hosts.test
half.test 1 MX 10 nowhere.hosts.test
half.test 1 MX 20 lost.hosts.test
!fail.test servfail
!lost.hosts.test servfail
ZONE
$house->dnsfake($zone);
$house->start;
$house->tool('sinks', [ "$house->{bin}/smtpsink", '-o', "$state/sink.log", map { "$_:$port" } qw(127.0.0.11 127.0.0.12 [::1]) ]);
$house->tool('busy', [ "$house->{bin}/smtpsink", '-o', "$state/busy.log", '-r', 'connect=!421 4.3.2 busy', "127.0.0.13:$port" ]);
wait_for(sub { IO::Socket::IP->new(PeerHost => $_, PeerPort => $port, Timeout => 1) }, "the sink at $_", 10) for qw(127.0.0.11 127.0.0.12 ::1 127.0.0.13);

sub send_to
{
	my ($to) = @_;
	my $talk = $house->talk;

	$talk->reply;
	$talk->ask('EHLO client.example');
	return $talk->send_mail('sender@from.example', $to, "Subject: x\n\nto $to\n");
}

# Where mail for it came in.
sub came
{
	my ($to) = @_;

	return map { (split /\t/)[2] } grep { /<\Q$to\E>/ } split /\n/, slurp("$state/sink.log") // '';
}

sub events
{
	my ($kind, $to) = @_;

	return grep { $_->{event} eq $kind && ($_->{to} // '') eq $to } map { eval { decode_json($_) } // () } grep { /"\Q$kind\E"/ } $house->log_lines;
}

sub queue_of
{
	my ($domain) = @_;
	my (undef, $out) = $house->angctl('queue', '--json');

	return (grep { $_->{domain} eq $domain } map { decode_json($_) } split /\n/, $out)[0] // {};
}

for ([ 'u@one.test', '127.0.0.11', 'one exchanger' ], [ 'u@order.test', '127.0.0.11', 'the preferred one' ],
	[ 'u@two.test', '127.0.0.12', 'the second, when the first is not there' ],
	[ 'u@busy.test', '127.0.0.11', 'the second, when the first says 421' ],
	[ 'u@bare.test', '127.0.0.12', 'no MX: the address' ], [ 'u@alias.test', '127.0.0.11', 'a domain that is an alias' ],
	[ 'u@aliased.test', '127.0.0.11', 'an exchanger that is an alias' ],
	[ 'u@dual.test', '[::1]', 'the second family, when the first is not there' ],
	[ 'u@[127.0.0.11]', '127.0.0.11', 'an address literal' ],
	[ 'u@back.test', '127.0.0.12', 'we are a backup: the better one' ]) {
	my ($to, $at, $what) = @$_;

	is(send_to($to), 250, "$what: taken");
	wait_for(sub { came($to) }, "mail for $to", 20);
	my @at = came($to);
	is_deeply([ map { s/:\d+$//r } @at ], [$at], $what);
}

send_to("n$_\@equal.test") for 1 .. 16;
wait_for(sub { 16 == grep { came("n$_\@equal.test") } 1 .. 16 }, 'mail for equals', 20);
my %at;
$at{ (came("n$_\@equal.test"))[0] }++ for 1 .. 16;
is(keys %at, 2, 'equal exchangers share the mail');

# Two domains, one host: what one queue may open is what both may.
$house->tool('slow', [ "$house->{bin}/smtpsink", '-o', "$state/sink.log", '-r', 'dot,delay=100=', "127.0.0.14:$port" ]);
wait_for(sub { IO::Socket::IP->new(PeerHost => '127.0.0.14', PeerPort => $port, Timeout => 1) }, 'the slow sink', 10);
for my $n (1 .. 8) {
	send_to("n$n\@$_") for qw(slow.test slow2.test);
}
wait_for(sub { 16 == grep { came($_) } map { ("n$_\@slow.test", "n$_\@slow2.test") } 1 .. 8 }, 'mail for the slow host', 20);
$house->end_tool('slow');
like(slurp("$state/slow.err"), qr{messages=16 .*highest=[123] }, 'a site: the limit is of its host, not of each domain');

for ([ 'u@null.test', '5.1.10', 'null MX' ], [ 'u@self.test', '5.4.6', 'the best exchanger is ourselves' ],
	[ 'u@gone.test', '5.1.2', 'no such domain' ], [ 'u@nohost.test', '5.4.4', 'no exchanger exists' ],
	[ 'u@number.test', '5.4.4', 'an address where a name must stand' ], [ 'u@text.test', '5.4.4', 'no host' ]) {
	my ($to, $enh, $what) = @$_;

	send_to($to);
	wait_for(sub { events('failed', $to) }, "$to to fail", 20);
	my ($e) = events('failed', $to);
	is($e->{dsn}, $enh, "$what: $enh") or diag encode_json($e);
	ok(length $e->{text}, 'it says why') ;
}

# What the DNS cannot tell is no bounce, and the queue says what it waits for.
send_to($_) for 'u@fail.test', 'u@half.test';
for my $domain (qw(fail.test half.test)) {
	wait_for(sub { (queue_of($domain)->{waits_for} // '') eq 'dns' }, "$domain to wait", 20);
	like(queue_of($domain)->{down_reason}, qr/DNS/, "$domain: a reason is given");
	my ($e) = events('attempt', "u\@$domain");
	is($e->{status}, 'deferred', "$domain: deferred");
	is($e->{dsn}, '4.4.3', "$domain: 4.4.3");
}
$house->dnsfake($zone =~ s/^!.*\n//mgr . "fail.test MX 10 a.hosts.test\nlost.hosts.test A 127.0.0.12\n");
$house->angctl('dns', 'flush');
wait_for(sub { came('u@fail.test') && came('u@half.test') }, 'mail after the DNS is well', 30);
pass('sent when the DNS tells again');
is(events('failed', $_), 0, "$_ was not given up") for 'u@fail.test', 'u@half.test';

# Without dnscache nothing is touched; with it mail goes on.
$house->stop('dnscache');
send_to('late@order.test');
wait_for(sub { (queue_of('order.test')->{waits_for} // '') =~ /dns/ }, 'the queue to wait for dnscache', 20);
is(queue_of('order.test')->{waits_for}, 'dnscache', 'without dnscache the queue waits');
is(events('attempt', 'late@order.test'), 0, 'and its mail was not tried');
$house->start_one('dnscache');
wait_for(sub { came('late@order.test') }, 'mail after dnscache is back', 20);
pass('with it mail goes on');

# Hosts that failed rest for all queues; all queues with the same exchangers wait as one.
send_to('u@down.test');
wait_for(sub { events('attempt', 'u@down.test') }, 'an attempt', 20);
is((events('attempt', 'u@down.test'))[0]{status}, 'deferred', 'no host answers: deferred');
send_to('u@down2.test');
wait_for(sub { (queue_of('down2.test')->{waits_for} // '') eq 'rest' || events('attempt', 'u@down2.test') }, 'the other queue to wait', 20);
is(events('attempt', 'u@down2.test'), 0, 'another queue with these hosts does not try them');
my ($id) = map { $_->{id} } events('received', 'u@down2.test');
my (undef, $list) = $house->angctl('queue', 'list', 'domain=down2.test');
like($list, qr/did not answer lately: dead\.hosts\.test\[127\.0\.0\.19\] \([^)]*refused/, 'and the listing says why');
(undef, my $why) = $house->angctl('queue', 'why', $id);
like($why, qr/all its hosts rest.*refused.*dead2\.hosts\.test/, 'as does the question for one message');
my %rests = map { my $h = decode_json($_); ($h->{host} => $h) } split /\n/, ($house->angctl('queue', 'hosts', '--json'))[1];
is_deeply([ @{ $rests{'dead2.hosts.test'} }{qw(address port)} ], [ '127.0.0.20', $port ], 'the list of hosts has it');
like($rests{'dead2.hosts.test'}{reason}, qr/refused/, 'with a reason');
cmp_ok($rests{'dead2.hosts.test'}{rest_ms}, '<=', 4000, 'and says for how long') or diag explain \%rests;
like($rests{'busy.hosts.test'}{reason}, qr/^421 .*busy/, 'a greeting of 421, in its words');
$house->tool('risen', [ "$house->{bin}/smtpsink", '-o', "$state/sink.log", "127.0.0.20:$port" ]);
wait_for(sub { came('u@down.test') && came('u@down2.test') }, 'mail after the host is up', 40);
is_deeply([ map { (came($_))[0] } 'u@down.test', 'u@down2.test' ], [ ("127.0.0.20:$port") x 2 ], 'sent when one of them is up');
ok(!(grep { /dead2\.hosts/ } ($house->angctl('queue', 'hosts'))[1]), 'which is on the list no more');

my (undef, $ledger) = $house->angctl('ledger');
like($ledger, qr/balanced\W+(?:true|yes)/, 'the ledger adds up');
done_testing();
