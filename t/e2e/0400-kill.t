# SPDX-License-Identifier: ISC
# kill -9 at random instants, under a load of all kinds, over all processes of all services: every recipient of
# every acknowledged message gets it, or is told of in one notice; what comes twice was in flight; the ledger
# adds up.
#
# KILLS, MESSAGES, RATE (a second), SEED in the environment ask for more or for the same again.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(balanced ledger rows);
use House qw(wait_for slurp need_root build_dir);
use List::Util qw(sum0);
use Mix;
use POSIX qw(WNOHANG);
use Test::More;
use Time::HiRes qw(time sleep);

need_root();
my $kills = $ENV{KILLS} // 44;
my $messages = $ENV{MESSAGES} // 5000;
my $rate = $ENV{RATE} // 500;
my $seed = int($ENV{SEED} // time ^ $$);
srand $seed;
diag "SEED=$seed";

my $jobs_max = 200;
my $folder = build_dir() . "/t/kill-mail.$$";
my $mix = Mix->new($folder);
END { if (defined $folder && -d $folder) { File::Path::remove_tree($folder) if Test::More->builder->is_passing } }
my $house = House->new($mix->setup({ sessions_per_client => 1000, retry_first => '1s', retry_max => '2s', mx_workers => 2,
	jobs_max => $jobs_max }))->start;
$mix->begin($house, '-r', 'rcpt,p=0.1=450 4.2.0 later', '-r', 'dot,p=0.02=451 4.3.0 later');
my %share = (relay => 0.3, mxa => 0.12, mxb => 0.12, box => 0.16, team => 0.1, fail => 0.1, half => 0.09, bulky => 0.01);
$mix->source($house, $_, rate => int($rate * $share{$_}) || 1, sessions => $_ eq 'relay' ? 22 : 4, seconds => 900) for sort keys %share;

# Always the process that was hit least, each at a random instant. A process that is just starting, or lives for
# one delivery only, may be hit as well: that is an instant like others.
my (%killed, %service);
my $start = time;
my $slowest = 0;
for (1 .. $kills) {
	sleep rand 0.3;
	my @least = sort { ($killed{ $a->[0] } // 0) <=> ($killed{ $b->[0] } // 0) || rand() <=> 0.5 } $house->processes;
	my $victim = $least[0] or redo;
	kill 'KILL', $victim->[1] or redo;
	my ($name) = $victim->[0] =~ m{^([^/]+)};
	$killed{ $victim->[0] }++;
	$service{$name}++;
	my $begun = time;
	wait_for(sub { my $pid = $house->pid($name); $pid && $pid != $victim->[1] && $house->answers($name) }, "$victim->[0] to be back", 20);
	$slowest = time - $begun if time - $begun > $slowest;
}
my $acked = sub { sum0(map { scalar $mix->acked($house, $_) } keys %share) };
wait_for(sub { sleep 0.2; $acked->() >= $messages }, "$messages messages", 60 + $messages / 20);
for my $tool (grep { /^source/ } keys %{ $house->{tools} }) {
	my $pid = $house->{tools}{$tool};
	is(waitpid($pid, WNOHANG), 0, "$tool went on to the end");
	$house->end_tool($tool);
}
diag sprintf('%d kills in %.0f s: ', $kills, time - $start), join ' ', map { "$_=$killed{$_}" } sort keys %killed;
my %acked = map { $_ => scalar $mix->acked($house, $_) } keys %share;
diag 'acknowledged: ', join ' ', map { "$_=$acked{$_}" } sort keys %acked;
cmp_ok($acked{$_}, '>', $kills * $rate * $share{$_} / 100, "much of $_") for sort keys %acked;
is(scalar(grep { $service{$_} } @{ $house->{services} }), scalar @{ $house->{services} }, 'each service was hit');
cmp_ok($slowest, '<', 5, sprintf 'each service was back in time (%.2f s at worst)', $slowest);

# What was promised arrives. Who was hit three times at the same message has set it aside (rule 17): released.
my ($at, @owed, $l);
my $held = 0;
eval {
	wait_for(sub {
		sleep 0.5;
		for my $m (rows($house, 'queue', 'list', 'state=hold')) {
			$held += ($house->angctl('queue', 'release', $m->{id}))[0] == 0;
		}
		$l = ledger($house);
		return $l->{queued} == 0 && $l->{unfiled} == 0;
	}, 'the queue to drain', 300 + $kills);
} or diag $@, map { ($house->angctl('queue', 'show', $_->{id}))[1], ($house->angctl('queue', 'why', $_->{id}))[1] } rows($house, 'queue', 'list');
diag sprintf 'the queue was empty %.0f s after the first kill', time - $start;
$at = $mix->arrived($house);
@owed = $mix->owed($house, $at);
is(scalar @owed, 0, 'every recipient of every acknowledged message has it, or is told of') or diag join ' ', map { "$_->[0]>$_->[1]" } splice @owed, 0, 20;
is(join(' ', @{ $mix->{cut} }), '', 'each mailbox has it whole');
my @twice = grep { keys %{ $mix->{notices}{$_} } > 1 } sort keys %{ $mix->{notices} };
is("@twice", '', 'of each failure one notice tells');

# Services whose death leaves deliveries without a result: these may come twice.
my $losing = sum0(map { $service{$_} // 0 } qw(qmgr deliver local));
my ($copies, $places) = (0, 0);
for my $id (keys %$at) {
	$copies += sum0(values %{ $at->{$id} });
	$places += keys %{ $at->{$id} };
}
diag "places $places duplicates ", $copies - $places, " held-and-released $held";
cmp_ok($copies - $places, '<=', $jobs_max * $losing, "duplicates are at most the jobs without a durable result at $losing kills");

diag join ' ', map { "$_=$l->{$_}" } sort keys %$l;
$l = balanced($house, 'after all of it');
is($l->{queued}, 0, 'nothing is queued');
is($l->{expired} + $l->{damaged}, 0, 'nothing ended otherwise');
# bounced may write one again of which it was not told that it is filed: qmgr drops it, by the rule duplicate-notice.
is($l->{bounced}, $l->{notices} - $l->{dropped}, 'as many notices as failures');
is($l->{delivered}, $places, 'and what the ledger has delivered is what arrived');
my ($s, $out) = $house->angctl('spool', 'check');
is($s, 0, 'the spool is whole') or diag $out;
$house->end;
done_testing;
