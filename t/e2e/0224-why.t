# SPDX-License-Identifier: ISC
# Why a message is still here: each cause is brought about and read. What operators suspend waits and then goes,
# also over a kill; who goes first.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(rows row shown events balanced mail_in at_sink sunk drained);
use House qw(wait_for slurp spew need_root free_ports);
use Test::More;

need_root();
my ($slow, $closed) = free_ports(2);
my $house = House->new(services => [ grep { $_ ne 'bounced' } @House::SERVICES ], config => { retry_first => '1h', retry_jitter => 0, sessions_per_client => 1000, jobs_max => 20,
		dns_try_timeout => '300ms', dns_tries => 1, recipients_max => 1000 },
	extra => <<EXTRA);
domain "slow.example" { route = { "127.0.0.1:$slow" } concurrency = 1 }
domain "many.example" { route = { "127.0.0.1:$slow" } concurrency = 100 }
bucket "narrow" { message_rate = 1/1h }
domain "rate.example" { buckets = narrow }
domain "order.example" { concurrency = 1 }
domain "pooled.example" { pool = both route = { "127.0.0.1:$slow" } }
domain "dead.example" { route = { "127.0.0.1:$closed" } }
domain "lost.example" { route = { "lost.hosts.test:25" } }
domain "one.example" { pool = one }
domain "both.example" { pool = both }
binding "one" { source = 127.0.0.101 }
binding "two" { source = 127.0.0.102 }
group "both" { binding "one" { } binding "two" { } }
EXTRA
$house->dnsfake("zone test 1\n!lost.hosts.test servfail\n");
$house->start;
my ($state, $bin) = @$house{qw(state bin)};
$house->sink(args => [ '-r', 'rcpt,match=<soft=450 4.2.2 over quota', '-r', 'rcpt,match=<hard=550 5.1.1 no such user', '-X', 'MT-PRIORITY' ]);
# One that takes a recipient and then says no more.
$house->tool('slow', [ "$bin/smtpsink", '-o', "$state/slow.log", '-r', 'rcpt=stall', "127.0.0.1:$slow" ], $slow);

sub in { return mail_in($house, 'a@x.example', @_) }

# The cause of the first recipient, once it is this; and the row.
sub why_is
{
	my ($id, $cause, $text, $name) = @_;
	my $row;

	eval { wait_for(sub { ($row) = eval { rows($house, 'why', $id) }; $row && $row->{cause} eq $cause }, $cause) };
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($row ? $row->{cause} : undef, $cause, "$name: the cause");
	like($row ? $row->{why} : '', $text, "$name: in words");
	return $row // {};
}

subtest 'each cause' => sub {
	my $soft = in('soft@d.example');
	my $r = why_is($soft, 'not-due', qr/^not due: next try in 3[56]\d\d s$/, 'deferred');
	cmp_ok($r->{next_ms}, '>', 3500_000, 'when, in ms');
	is("$r->{rcpt} $r->{address} $r->{attempts}", '0 soft@d.example 1', 'who, and how often it was tried');
	is(($house->angctl('queue', 'hold', $soft, 'so I say'))[0], 0, 'hold');
	$r = why_is($soft, 'held', qr/^held by uid 0: so I say$/, 'held');
	is($r->{by}, 'uid 0', 'by whom');

	my @slow = map { in("s$_\@slow.example") } 1 .. 3;
	why_is($slow[0], 'running', qr/^in delivery now$/, 'in delivery');
	$r = why_is($slow[1], 'limit', qr/^limit concurrency: 1 connections in use$/, 'a limit');
	is($r->{by}, 'concurrency', 'which');
	$r = why_is($slow[2], 'behind', qr/^behind others: 2 ready in its queue: limit concurrency: /, 'behind others');
	is($r->{by}, 'concurrency', 'and what these wait for');

	in('v@rate.example');
	at_sink($house, 'v@rate.example');
	$r = why_is(in('u@rate.example'), 'limit', qr/^limit narrow\/message_rate: .*next in 3[56]\d{5} ms$/, 'a bucket');
	is($r->{by}, 'narrow/message_rate', 'by its name');
	cmp_ok($r->{next_ms}, '>', 3500_000, 'and until when');

	my $first = in('v@dead.example');
	why_is($first, 'not-due', qr/^not due: next try in 3[56]\d\d s$/, 'who found out has been tried');
	my $dead = in('u@dead.example');
	$r = why_is($dead, 'unreachable', qr/^unreachable: next try in 3[56]\d\d s: Connection refused$/, 'unreachable');
	is($r->{attempts}, 0, 'though it was never tried');
	why_is(in('v@lost.example'), 'not-due', qr/^not due/, 'likewise');
	my $lost = in('u@lost.example');
	why_is($lost, 'dns', qr/^(?:DNS failing|no answer from dnscache): next try in \d+ s: .*lost\.hosts\.test/, 'DNS failing');

	my @pooled = map { in("$_\@pooled.example") } 1, 2;
	why_is($_, 'running', qr/^in delivery now$/, 'by a pool') for @pooled;
	my %from = map { /^ *\d+: (\w{8}):\w+ 0100007F:(\w+) 01 / && hex $2 == $slow ? ($1 => 1) : () } split /\n/, slurp('/proc/net/tcp');
	ok($from{'6500007F'} && $from{'6600007F'}, 'from one of its addresses and the other') or diag join ' ', keys %from;

	my @many = map { in("m$_\@many.example") } 1 .. 19;
	$r = why_is($many[-1], 'behind', qr/: limit jobs_max: 20 jobs /, 'the limit of all');
	$house->angctl('queue', 'delete', 'domain=many.example');
	$house->angctl('queue', 'delete', $_) for @slow[ 1, 2 ];

	my $hard = in('hard@d.example');
	$house->end_tool('slow'); # frees what it held
	why_is($hard, 'notice', qr/^failed; its sender is owed a notice$/, 'failed');
	my ($status, $out) = $house->angctl('why', $soft);
	is($status, 0, 'as text');
	like($out, qr/^RECIPIENT +TRIED CAUSE +WHY\nsoft\@d\.example +1 held +held by uid 0: so I say\n\z/, 'a line each');
	is(row($house, 'queue', 'why', $soft)->{cause}, 'held', 'queue why says the same');
	is(($house->angctl('why', 'B' x 13))[0], 69, 'no such message');
	is(($house->angctl('why', 'x'))[0], 64, 'no id');
	balanced($house, 'after');
};

subtest 'when others are away' => sub {
	$house->stop('deliver');
	my $id = in('u@away.example');
	why_is($id, 'worker', qr/^no delivery process is there$/, 'no deliver');
	$house->start_one('deliver');
	at_sink($house, 'u@away.example');
	$house->stop('router');
	$house->stop('smtpd'); # what smtpd leaves to router is routed by qmgr
	my ($status, undef, $err) = $house->sendmail("Subject: x\n\nx\n", 'drop@away.example');
	is($status, 0, "into the drop folder") or diag $err;
	$house->start_one('smtpd');
	my $dropped = eval { wait_for(sub { (map { $_->{id} } rows($house, 'queue', 'list', 'recipient=drop@away.example'))[0] }, 'its filing', 5) };
	why_is($dropped, 'router', qr/^the router does not answer$/, 'no router') if $dropped;
	$house->start_one('router');
	at_sink($house, 'drop@away.example');
};

# What is suspended, whom that stops, whom not.
my @kinds = (
	[ 'domain=Stop.example', 'u@stop.example', 'u@one.example' ],
	[ 'stop2.example', 'u@stop2.example', 'u@stop.example' ],
	[ 'pool=one', 'p@one.example', 'p@both.example' ],
	[ 'binding=one', 'b@one.example', 'b@both.example' ],
	[ 'queue=smtp/one//mx/one.example', 'q@one.example', 'q@both.example' ],
	[ '*', 'all@d.example', undef ],
);
subtest 'suspend and resume, every kind' => sub {
	for my $kind (@kinds) {
		my ($what, $to, $other) = @$kind;
		is(($house->angctl('queue', 'suspend', $what, 'they asked'))[0], 0, "suspend $what");
		is(($house->angctl('queue', 'suspend', $what))[0], 69, 'it is so already');
		my $id = in($to);
		my $r = why_is($id, 'suspended', qr/^suspended: \S+ by uid 0: they asked$/, $what);
		if ($other) {
			in($other);
			ok(at_sink($house, $other), 'others go on');
		}
		if ($what eq 'binding=one' || $what eq '*') {
			my $pid = $house->kill('qmgr');
			wait_for(sub { my $p = $house->pid('qmgr'); $p && $p != $pid }, 'qmgr again');
			$house->ready('qmgr');
			why_is($id, 'suspended', qr/they asked/, 'after a kill');
		}
		my @of = grep { $_->{suspended} && ($_->{suspended_by} // '') eq 'uid 0' } rows($house, 'queue');
		ok(@of > 0 && $of[0]{suspend_reason} eq 'they asked' && $of[0]{suspended_ms} > 1e12, 'the list has it: by whom, why, since when');
		ok((grep { ($_->{key} // '') eq $1 && $_->{suspends} eq 'queue' } @of), 'by its key') if $what =~ /^queue=(.*)/;
		is(scalar(grep { grep { /^<\Q$to\E>/ } @$_ } sunk($house)), 0, 'it was not tried');
		is(($house->angctl('queue', 'resume', $r->{by}))[0], 0, "resume $r->{by}");
		ok(at_sink($house, $to), 'it goes out');
		is(($house->angctl('queue', 'resume', $r->{by}))[0], 69, 'nothing to resume');
	}
	is(($house->angctl('queue', 'suspend', $_))[0], 64, "suspend $_ means nothing") for 'planet=mars', 'pool=none', 'binding=both', 'queue=9999', 'domain=';
	like(join('', map { slurp($_) } grep { -f } glob "$state/spool/queue/state/*"), qr/uid 0.*they asked/s, 'the journal has the name');
};

# Held back together, then let go one by one.
subtest 'priorities' => sub {
	is(($house->angctl('queue', 'suspend', 'order.example'))[0], 0, 'stopped');
	in("low$_\@order.example", mail => ' MT-PRIORITY=-4') for 1 .. 2;
	in("normal$_\@order.example") for 1 .. 2;
	in("urgent$_\@order.example", mail => ' MT-PRIORITY=6') for 1 .. 12;
	my ($low) = rows($house, 'queue', 'list', 'recipient=low1@order.example');
	is(shown($house, $low->{id})->{priority}, -4, 'it is shown');
	is(($house->angctl('queue', 'resume', 'order.example'))[0], 0, 'goes on');
	at_sink($house, 'low2@order.example');
	my @got = map { [ $_->[4] =~ /^<([a-z]+)\d+\@order/, $_->[3] ] } grep { $_->[4] =~ /\@order/ } sunk($house);
	is(scalar @got, 16, 'all arrived');
	my @order = map { $_->[0] } @got;
	is("@order[0 .. 5]", join(' ', ('urgent') x 6), 'urgent mail first');
	is_deeply([ sort @order[ 6, 7 ] ], [ 'low', 'normal' ], 'then one of each') or diag "@order";
	my %said = map { $_->[0] => $_->[1] } @got;
	like($said{urgent}, qr/ MT-PRIORITY=6$/, 'the next hop is told');
	like($said{low}, qr/ MT-PRIORITY=-4$/, 'both ways');
	unlike($said{normal}, qr/MT-PRIORITY/, 'where there is something to tell');
	my $t = $house->talk;
	$t->reply;
	like($t->ask('EHLO client.example'), qr/^250-MT-PRIORITY/m, 'offered to those we relay for');
	like($t->ask('MAIL FROM:<a@b.example> MT-PRIORITY=11'), qr/^501 5\.5\.4 /, 'which is no priority');
};

$house->angctl('queue', 'delete', "domain=$_") for qw(d.example pooled.example rate.example dead.example lost.example slow.example many.example);
drained($house);
balanced($house, 'at the end');
$house->end;
done_testing;
