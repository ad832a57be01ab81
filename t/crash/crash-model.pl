#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# make crash-model: power cuts by the rules of strict POSIX, where nothing is durable that was not synced, no name
# whose folder was not, and what is not may be lost, torn, or there without what was written before it.
#
#	crash-model.pl --program FILE [--states 20000] [--seed 1] [--states-each 4] [--every 20] [--lies]
#
# The program is the queue's simulation, which says how (t/unit/qmgr/test_simulation.c): the real queue manager
# with its writers' calls, on a disk that keeps this book; and the recovery that serves. Its seeds are run one after
# the other until so many states have been recovered. --lies: with syncs that do nothing, which has to go red.
# Prints crash_model_* as crash-block.pl does; exit 1 when a state lacks something.
use strict;
use warnings;
use Getopt::Long;

my %opt = (states => 20000, seed => 1, 'states-each' => 4, every => 20);
GetOptions(\%opt, qw(program=s states=i seed=i states-each=i every=i lies)) && $opt{program} && !@ARGV
    or die "usage: see the head of crash-model.pl\n";
my $log = "/tmp/crash-model.$$";
my ($seeds, $states, $again, $bad) = (0, 0, 0, 0);
END { unlink $log if defined $log }
@ENV{qw(MODEL_STATES MODEL_EVERY MODEL_LOG SIMULATION_SEEDS)} = (@opt{qw(states-each every)}, $log, 1);
$ENV{MODEL_LIES} = 1 if $opt{lies};

while ($states < $opt{states} && $bad < 5) {
	$ENV{SIMULATION_FROM} = $opt{seed} * 1000 + $seeds++;
	my $out = `$opt{program} 2>&1`;
	if ($?) {
		$bad++;
		print "seed $ENV{SIMULATION_FROM}: ", grep { /:[FE]:|is lost|cannot/ } map { "$_\n" } split /\n/, $out;
		last if $opt{lies};
	}
	open my $fh, '<', $log or next;
	($states, $again) = (0, 0);
	while (<$fh>) {
		($states, $again) = ($states + $1, $again + $2) if /^states (\d+) again (\d+)/;
	}
	close $fh;
}
print "crash_model_states $states count\ncrash_model_recovery_cut $again count\ncrash_model_seeds $seeds count\n",
    "crash_model_bad_seeds $bad count\n";
exit($bad ? 1 : 0);
