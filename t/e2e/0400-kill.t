# SPDX-License-Identifier: ISC
# kill -9 at random instants, under load, over all processes: every message that was acknowledged
# arrives, what arrives twice was in flight, and the ledger adds up.
#
# KILLS, MESSAGES, SESSIONS, SEED in the environment ask for more or for the same again.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp run need_root top);
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(time sleep);

need_root();
my $kills = $ENV{KILLS} // 44;
my $messages = $ENV{MESSAGES} // 5000;
my $sessions = $ENV{SESSIONS} // 50;
my $seed = $ENV{SEED} // time ^ $$;
srand $seed;
diag "SEED=", int $seed;

my $jobs_max = 200;
my $house = House->new(config => { sessions_per_client => 1000, retry_first => '1s', retry_max => '2s',
	mx_workers => 2, jobs_max => $jobs_max })->start;
my ($state, $bin) = @$house{qw(state bin)};
$house->sink(args => [ '-r', 'rcpt,p=0.1=450 4.2.0 later', '-r', 'dot,p=0.02=451 4.3.0 later' ]);

my $source = $house->tool('source', [ "$bin/smtpsource", '-k', '-h', '127.0.0.1:' . $house->port('mx'),
	'-s', $sessions, '-m', $messages, '-n', 10, '-l', 4096, '-R', $messages / 20, '-a', "$state/acks",
	'-w', 180 ]);

# In turn over all processes, each at a random instant, while the load goes on. A process that is
# just starting may be hit as well: that is an instant like others.
my (%killed, $slowest);
my ($done, $over) = (0, 0);
$slowest = 0;
while ($done < $kills) {
	my @all = $house->processes;
	my %service = map { ($_->[0] =~ m{^([^/]+)})[0] => 1 } @all;
	my @least = sort { ($killed{ $a->[0] } // 0) <=> ($killed{ $b->[0] } // 0) || rand() <=> 0.5 } @all;
	my $victim = $least[0] or next;
	sleep rand 0.35;
	kill 'KILL', $victim->[1] or next;
	$killed{ $victim->[0] }++;
	$done++;
	my ($name) = $victim->[0] =~ m{^([^/]+)};
	my $begun = time;
	wait_for(sub { my $pid = $house->pid($name); $pid && $pid != $victim->[1] && $house->answers($name) },
		"$victim->[0] to be back", 20);
	$slowest = time - $begun if time - $begun > $slowest;
	$over = 1 if waitpid($source, WNOHANG) == $source;
	last if $over;
}
wait_for(sub { $over ||= waitpid($source, WNOHANG) == $source }, 'the load to end', 200);
delete $house->{tools}{source};
diag slurp("$state/source.err");
diag join ' ', map { "$_=$killed{$_}" } sort keys %killed;
cmp_ok($done, '>=', $kills, "$done kills while the load went on");
like(slurp("$state/source.err"), qr/ acked=(?:$messages|\d{5,}) /, 'the whole load was acknowledged');
cmp_ok($slowest, '<', 5, sprintf 'each service was back in time (%.2f s at worst)', $slowest);

# What was promised arrives; then the queue is empty.
my ($rc, $audit);
eval {
	wait_for(sub {
		($rc, $audit) = run('perl', top() . '/t/tool/audit.pl', '-a', "$state/acks", '-s', "$state/sink.log");
		sleep 0.5 if $rc != 0;
		$rc == 0;
	}, 'all that was acknowledged', 120);
};
like($audit, qr/^lost 0$/m, 'every acknowledged message has arrived') or diag $audit;

sub ledger
{
	my ($s, $out) = $house->angctl('ledger');

	return { $out =~ /^(\w+):\s*(\d+)$/mg };
}
wait_for(sub { my $l = ledger(); defined $l->{queued} && $l->{queued} == 0 && $l->{unfiled} == 0 }, 'the queue to drain', 120);
my ($duplicates) = $audit =~ /^duplicates (\d+)$/m;
diag "duplicates $duplicates";
# Two services' deaths matter to a delivery: qmgr's and deliver's, of which each loses what is in flight.
my $losing = 0;
$losing += $killed{$_} for grep { /^(?:qmgr|deliver)/ } keys %killed;
cmp_ok($duplicates, '<=', $jobs_max * $losing, "duplicates are at most the jobs in flight at $losing kills");

my $l = ledger();
diag join ' ', map { "$_=$l->{$_}" } sort keys %$l;
is($l->{accepted} + ($l->{notices} // 0) + ($l->{expanded_out} // 0) - ($l->{expanded_in} // 0),
	$l->{delivered} + $l->{bounced} + $l->{expired} + $l->{dropped} + $l->{damaged} + $l->{queued},
	'the ledger adds up');
is($l->{delivered}, $l->{accepted}, 'all that was accepted was delivered');
my ($s, $out) = $house->angctl('spool', 'check');
is($s, 0, 'the spool is whole') or diag $out;
$house->end;
done_testing;
