# SPDX-License-Identifier: ISC
# The cache of names: what it answers and remembers, whom it asks and how it bears what they say, what a
# restart leaves of it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(run wait_for slurp spew need_root free_ports);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

need_root();
my ($second, $dead) = free_ports(2);
my $house = House->new(services => [qw(logd dnscache)],
	config => { dns_ttl_min => 0, dns_try_timeout => '300ms', dns_tries => 3 });
my $state = $house->{state};
my $zone = <<'ZONE';
zone example 30
host.example 60 A 192.0.2.1
host.example 60 A 192.0.2.2
host.example 60 AAAA 2001:db8::1
mail.example 60 MX 10 mx1.Example
mail.example 60 MX 20 mx2.example
null.example 60 MX 0 .
text.example 60 TXT "v=spf1 " "-all"
1.2.0.192.in-addr.arpa 60 PTR host.example
alias.example 20 CNAME other.example
other.example 60 CNAME host.example
deep0.example CNAME deep1.example
loop.example CNAME pool.example
pool.example CNAME loop.example
short.example 1 A 192.0.2.9
zero.example 0 A 192.0.2.10
part.example 60 CNAME rest.elsewhere
rest.elsewhere 60 A 192.0.2.11
odd.example 60 MX 10 a\032b.example
odd2.example 60 MX 10 bad name
bigtext.example 60 TXT "one"
!bigtext.example TXT truncate pad=20
!udponly.example A truncate udponly
udponly.example A 192.0.2.12
!fail.example servfail
!refused.example refused
!silent.example drop
!slow.example delay=200
slow.example 60 A 192.0.2.13
!other.example2 A other
!badid.example id
badid.example A 192.0.2.14
!cut.example cut=20
cut.example A 192.0.2.15
!other.test.example other
other.test.example A 192.0.2.16
!ptrloop.example loop
ptrloop.example A 192.0.2.17
!counts.example counts
counts.example A 192.0.2.18
!junk.example junk
junk.example A 192.0.2.19
!raw.example raw=81800001000100000000
!once.example times=1 servfail
once.example A 192.0.2.20
!secure.example ad
secure.example A 192.0.2.21
ZONE
$zone =~ s/^odd2.*\n//m;
$house->dnsfake($zone);
$house->start;

sub lookup
{
	my @words = @_;
	my ($status, $out, $err) = $house->angctl('--json', 'dns', 'lookup', @words);
	my $r = eval { decode_json($out) } // { status => "exit $status: $out$err" };

	$r->{exit} = $status;
	return $r;
}
sub asked { my ($what) = @_; return scalar grep { $_ eq $what } split /\n/, slurp("$state/dns.asked") // '' }
sub stats { return decode_json(($house->angctl('--json', 'dns', 'stats'))[1]) }
sub is_answer
{
	my ($words, $status, $records, $why) = @_;
	my $r = lookup(split ' ', $words);

	is($r->{status}, $status, "$words: $status") or diag explain $r;
	is_deeply([ sort @{ $r->{records} // [] } ], [ sort @$records ], "$words: its records") or diag explain $r;
	like($r->{text}, $why, "$words: the reason") if $why;
	return $r;
}

# What is there and what is not.
my $r = is_answer('host.example', 'ok', [ '192.0.2.1', '192.0.2.2' ]);
ok(!$r->{cached} && $r->{ttl_s} == 60 && $r->{exit} == 0, 'fresh, with its time to live');
$r = is_answer('HOST.example.', 'ok', [ '192.0.2.1', '192.0.2.2' ]);
ok($r->{cached} && $r->{ttl_s} <= 60, 'the second time from the cache, whatever the case');
is(asked('UDP host.example A'), 1, 'asked for once');
is_answer('host.example AAAA', 'ok', ['2001:db8::1']);
is_answer('mail.example mx', 'ok', [ '10 mx1.example', '20 mx2.example' ]);
is_answer('null.example MX', 'ok', ['0 .']);
is_answer('text.example TXT', 'ok', ['v=spf1 -all']);
is_answer('192.0.2.1', 'ok', ['host.example']);
$r = is_answer('alias.example', 'ok', [ '192.0.2.1', '192.0.2.2' ]);
ok($r->{cname} eq 'host.example' && $r->{ttl_s} == 20, 'a chain: its end, its shortest time');
is_answer('alias.example CNAME', 'ok', ['other.example']);
$r = is_answer('host.example MX', 'nodata', []);
is($r->{ttl_s}, 30, 'that there is none is believed as long as the zone says');
$r = is_answer('nobody.example', 'nxdomain', []);
ok($r->{exit} == 0 && $r->{ttl_s} == 30, 'likewise that a name is not there');
ok(lookup('nobody.example')->{cached}, 'and comes from the cache');
is(asked('UDP nobody.example A'), 1, 'asked for once');
is_answer('loop.example', 'temp', [], qr/loop/);
is_answer('odd.example MX', 'ok', ['10 a\\032b.example']); # a name is bytes; these are printable
ok(lookup('secure.example')->{ad} && !lookup('host.example')->{ad}, 'the AD bit is passed on');
ok(lookup('secure.example')->{ad}, 'and kept');
is(lookup('exam ple')->{exit}, 64, 'no domain name: refused');
is(lookup('host.example', 'ANY')->{exit}, 64, 'a type that is none of ours: refused');

# Known without asking.
is_answer('localhost', 'ok', ['127.0.0.1']);
is_answer('a.localhost AAAA', 'ok', ['::1']);
is_answer('127.0.0.1', 'ok', ['localhost']);
is(asked('UDP localhost A'), 0, 'localhost is nobody\'s business');

# Length.
$r = lookup('bigtext.example', 'TXT');
ok($r->{status} eq 'ok' && @{ $r->{records} } == 21, 'an answer that is cut short comes by TCP')
    or diag explain $r;
is(asked('TCP bigtext.example TXT'), 1, 'asked for there');
is_answer('udponly.example', 'temp', []);

# What name servers do.
is_answer('fail.example', 'temp', [], qr/SERVFAIL/);
is(asked('UDP fail.example A'), 1, 'who failed is not asked again');
is_answer('refused.example', 'temp', [], qr/refuses/);
my $begun = time;
is_answer('silent.example', 'temp', [], qr/answers/);
is(asked('UDP silent.example A'), 3, 'silence: asked as often as the configuration says');
cmp_ok(time - $begun, '<', 5, 'and no longer');
is_answer("$_.example", 'temp', []) for qw(badid cut other.test counts junk raw ptrloop);
is_answer('host.example', 'ok', [ '192.0.2.1', '192.0.2.2' ]);
is(lookup('zero.example')->{ttl_s}, 0, 'a time of zero');
lookup('zero.example');
is(asked('UDP zero.example A'), 2, 'is not kept');
ok($house->pid('dnscache'), 'it lives');
my $pid = $house->pid('dnscache');

# Identical questions are joined.
{
	my @children = map {
		my $child = fork // die;
		if ($child == 0) {
			my $a = lookup('slow.example');
			POSIX::_exit($a->{status} eq 'ok' ? 0 : 1);
		}
		$child;
	} 1 .. 4;
	my $good = grep { waitpid($_, 0); $? == 0 } @children;
	is($good, 4, 'four ask for the same');
	is(asked('UDP slow.example A'), 1, 'one question goes out');
}

# Operators.
my ($status, $out) = $house->angctl('dns', 'dump');
like($out, qr/^mail\.example +MX +ok +\d+ 10 mx1\.example, 20 mx2\.example$/m, 'dump: as a table');
($status, $out) = $house->angctl('--json', 'dns', 'dump');
ok((grep { my $e = decode_json($_); $e->{name} eq 'nobody.example' && $e->{status} eq 'nxdomain' } split /\n/, $out),
	'dump: as JSON');
is(decode_json(($house->angctl('--json', 'dns', 'flush', 'host.example'))[1])->{flushed}, 3, 'flush: all of one name');
ok(!lookup('host.example')->{cached}, 'it is asked for again');
is(decode_json(($house->angctl('--json', 'dns', 'flush', '192.0.2.1'))[1])->{flushed}, 1, 'flush: the name of an address');
is(($house->angctl('dns', 'flush', 'exam ple'))[0], 64, 'flush: no domain name');
($status, $out) = $house->angctl('dns', 'lookup', 'alias.example');
like($out, qr/^status: ok\n.*^cname: host\.example\n.*^  - 192\.0\.2\.1$/ms, 'lookup: as text');
is($status, 0, 'lookup: exit 0');
($status, $out) = $house->angctl('dns', 'lookup', 'fail.example');
is($status, 75, 'lookup: what cannot be told is exit 75');
($status, $out) = $house->angctl('dns', 'stats');
like($out, qr/^entries: \d+\n.*^    address: 127\.0\.0\.1$/ms, 'stats: as text');
cmp_ok(decode_json(($house->angctl('--json', 'dns', 'flush'))[1])->{flushed}, '>', 5, 'flush: all');
is(stats()->{entries}, 0, 'nothing is left');
my $st = stats();
cmp_ok($st->{servers}[0]{timeouts}, '>=', 3, 'stats: the failures of a name server');
cmp_ok($st->{servers}[0]{bad}, '>=', 3, 'stats: and its nonsense');

# Several name servers: one that is dead rests, the other answers.
$house->{config}{name_servers} = [ "127.0.0.1:$dead", '127.0.0.1:' . $house->port('dns') ];
$house->write_config;
$house->angctl('config', 'reload'); # the services that are not there do not take it
ok(wait_for(sub { @{ stats()->{servers} } == 2 }, 'the new list'), 'reload: another list of name servers');
is(lookup("host.example", $_)->{status} =~ /^(?:ok|nodata)$/ ? 1 : 0, 1, "$_: the second one answers")
    for qw(A AAAA MX TXT PTR);
$st = stats();
ok($st->{servers}[0]{resting} && $st->{servers}[0]{asked} <= 3, 'the first one rests, and is not asked each time')
    or diag explain $st;
is($st->{servers}[1]{failures}, 0, 'the second one is well');

# A restart: what was known is known.
$house->stop('dnscache');
ok(-s "$state/dnscache/cache.tdb", 'the cache is on disk');
$house->dnsfake("!* drop\n");
$house->start_one('dnscache');
wait_for(sub { stats()->{loaded} >= 3 }, 'the cache to be warm');
is_answer('host.example', 'ok', [ '192.0.2.1', '192.0.2.2' ]);

# A damaged file is set aside.
$house->stop('dnscache');
my $tdb = slurp("$state/dnscache/cache.tdb");
substr($tdb, length($tdb) / 2, 4096) = 'x' x 4096;
substr($tdb, 45000, 64) = "\xff" x 64;
spew("$state/dnscache/cache.tdb", $tdb);
$house->start_one('dnscache');
wait_for(sub { stats()->{file_damaged} }, 'the damage to be seen');
ok(-e "$state/dnscache/cache.tdb.damaged" && !-e "$state/dnscache/cache.tdb", 'a damaged file is set aside');
$house->stop('dnscache');
spew("$state/dnscache/cache.tdb.reading", $tdb);
$house->start_one('dnscache');
wait_for(sub { stats()->{file_damaged} }, 'the name to be seen');
ok(!-e "$state/dnscache/cache.tdb.reading", 'one that its last reader did not survive is not read');

# kill -9 in the midst of questions: those who asked hear it, the service comes back.
$house->dnsfake($zone . "!*.late.example delay=2000\n");
my $child = fork // die;
if ($child == 0) {
	my ($s) = $house->angctl('dns', 'lookup', 'a.late.example');
	POSIX::_exit($s);
}
wait_for(sub { asked('UDP a.late.example A') }, 'the question');
$house->kill('dnscache');
waitpid $child, 0;
isnt($?, 0, 'who asked hears that it went');
$house->ready('dnscache');
is_answer('host.example', 'ok', [ '192.0.2.1', '192.0.2.2' ]);

# Without name servers of the configuration those of resolv.conf: in a network and with files of its own, where
# the first one is not there.
SKIP: {
	my ($cannot, undef, $why) = run('unshare', '-n', '-m', 'sh', '-c',
		'ip link set lo up && mount --bind /dev/null /etc/resolv.conf && mount --bind /dev/null /etc/hosts');
	skip "no network and files of its own here: $why", 7 if $cannot;

	$house->{config}{name_servers} = undef;
	$house->{config}{dns_hosts} = 'yes';
	$house->write_config;
	$house->angctl('config', 'reload');
	wait_for(sub { stats()->{servers}[0]{port} == 53 }, 'no name servers of the configuration');
	$house->angctl('dns', 'flush');
	$house->stop('dnscache');
	unlink "$state/dnscache/cache.tdb";
	spew("$state/resolv.conf", "# here\noptions edns0\nnameserver 127.0.0.5\nnameserver 127.0.91.1\nsearch example\n");
	spew("$state/hosts", "127.0.0.1 localhost\n192.0.2.99 static.example static\n");
	spew("$state/own.zone", "zone example 30\nhost.example 60 A 192.0.2.7\n");
	my $net = $house->tool('own-dns', [ 'unshare', '-n', 'sh', '-c', 'ip link set lo up; exec perl "$0" "$@"',
		House::top() . '/t/tool/dnsfake.pl', '-o', "$state/own.asked", '127.0.91.1:53', "$state/own.zone" ]);
	wait_for(sub { slurp("/proc/$net/net/udp") =~ /015B007F:0035/ }, 'the name server in its network');
	$house->tool('own-dnscache', [ 'nsenter', '-t', $net, '-n', 'unshare', '-m', 'sh', '-c',
		'mount --bind "$1/resolv.conf" /etc/resolv.conf && mount --bind "$1/hosts" /etc/hosts && exec "$0" -c "$1/angarium.conf"',
		"$house->{bin}/dnscache", $state ]);
	wait_for(sub { House::accepts("$state/run", 'ctl/dnscache') }, 'dnscache in its network');
	is_answer('host.example', 'ok', ['192.0.2.7']);
	is_deeply([ map { "$_->{address}:$_->{port}" } @{ stats()->{servers} } ], [ '127.0.0.5:53', '127.0.91.1:53' ],
		'resolv.conf: both, on port 53');
	is_answer('static.example', 'ok', ['192.0.2.99']);
	is_answer('host', 'nxdomain', []); # nothing is put behind a name
	$house->end_tool($_) for 'own-dnscache', 'own-dns';
}
$house->end;
done_testing;
