# SPDX-License-Identifier: ISC
# A queue manager that is killed over a deep queue: those who send do not notice, new mail goes on at once, and all
# that was queued is there as before.
#
# QUEUED in the environment: how many are queued (1000000 in make check-long).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(ledger shown balanced row);
use House qw(wait_for slurp run need_root);
use Test::More;
use Time::HiRes qw(time);

need_root();
my $depth = $ENV{QUEUED} // 5000;
my $rate = 200;
my $house = House->new(config => { sessions_per_client => 1000 })->start;
my ($state, $bin) = @$house{qw(state bin)};
my $spool = "$state/spool/queue";

# The backlog is made while no queue manager runs.
$house->stop('qmgr');
my ($uid, $gid) = (stat $spool)[4, 5];
my ($s, $out, $err) = run({ seconds => 600 }, "$bin/queuedepth", '-fill', $spool, $depth);
is($s, 0, "a backlog of $depth") or diag $out, $err;
chown $uid, $gid, glob "$spool/*/*";

my $queued = sub { my $l = eval { ledger($house) } or return 0; return $l->{queued} };
my $begun = time;
$house->start_one('qmgr');
wait_for(sub { $queued->() >= $depth }, 'the backlog to be there', 60);
diag sprintf 'started over %d queued within %.2f s', $queued->(), time - $begun;

# Whom we ask for again later: some from all over the queue.
my @some = $out =~ /^sample (\S+)$/mg;
my $look = sub {
	return map {
		my $r = shown($house, $_)->{recipients}[0];
		[ $_, $r->{attempts}, time + $r->{due_in_ms} / 1000 ];
	} @some;
};
my @before = $look->();
is(scalar @some, 8, 'some to be asked for');
is(scalar(grep { $_->[1] == 1 && $_->[2] - time > 86400 } @before), scalar @some, 'each was tried once and is due in days');

# Who never had anything to write to has to put mail off while there is no queue manager; that is not asked about here.
my $leased = sub { my $s = eval { row($house, 'status', 'smtpd') } or return 0; return !grep { !$_->{leases} } @{ $s->{workers} } };
wait_for($leased, 'something to write to for each worker', 60);

# Fresh mail goes to the sink all the while. From how long the slowest was under way is taken what the new queue
# manager waited for a core: on a busy machine that is most of it.
my $ends = "$state/ends";
$house->sink(args => [ '-T', $ends ]);
my $count = $rate * ($depth > 100_000 ? 12 : 2);

sub killed_once
{
	my ($round) = @_;
	my ($report, $acked) = ("$state/source$round.out", "$state/acked$round");
	my $source = fork // die "fork: $!";

	if ($source == 0) {
		open STDOUT, '>', $report;
		exec "$bin/smtpsource", '-T', '-h', "127.0.0.1:$house->{port}{mx}", '-s', 10, '-m', $count, '-n', 50,
		    '-R', $rate, '-i', "fresh$round", '-a', $acked or POSIX::_exit(127);
	}
	wait_for(sub { (slurp($acked) // '') =~ tr/\n// > $rate / 2 }, 'mail to flow', 20);
	my $killed = time;
	$house->kill('qmgr');
	wait_for(sub { $queued->() >= $depth }, 'the whole queue to be back', 60);
	my $back = time - $killed;
	my $waited = (split ' ', slurp('/proc/' . $house->pid('qmgr') . '/schedstat') // '0 0')[1] / 1e9;
	waitpid $source, 0;
	is($?, 0, 'every message was acknowledged, none refused, no session was lost') or diag slurp($report);
	like(slurp($report), qr/\backed=$count\b/, 'all of them');
	my $at = sub { my %at = map { split /\t/ } grep { /^fresh$round-/ } split /\n/, slurp($ends) // ''; return \%at };
	wait_for(sub { keys %{ $at->() } >= $count }, 'all of it to arrive', 20);
	my ($slowest) = sort { $b <=> $a } values %{ $at->() };
	diag sprintf 'killed over %d: all is back within %.2f s, the slowest new message took %.2f s (waited for a core: %.2f s)',
	    $depth, $back, $slowest / 1e6, $waited;
	return ($slowest / 1e6 - $waited, $back);
}

my ($slowest, $back) = killed_once(1);
cmp_ok($slowest, '<', 2, 'new mail is served within two seconds');
cmp_ok($back, '<', 15, 'the whole queue within fifteen');

my @after = $look->();
is(join(' ', map { "$_->[0]:$_->[1]" } @after), join(' ', map { "$_->[0]:$_->[1]" } @before), 'attempts are as before');
is(scalar(grep { abs($after[$_][2] - $before[$_][2]) > 1 } 0 .. $#some), 0, 'and due times');
balanced($house, 'after all of it');
$house->end;
done_testing;
