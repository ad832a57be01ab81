# SPDX-License-Identifier: ISC
# The simulation of the queue sees what it is there for: with a disk whose syncs do nothing, mail
# that was acknowledged is missed after a power cut. (With an honest disk it runs as a unit test.)
# And the model of power cuts at any call: some of the states of make crash-model.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use House qw(run bin_dir top);
use Test::More;

plan(skip_all => 'once is enough') if ($ENV{V} // '') ne 'debug';
my $program = bin_dir() . '/../t/unit/qmgr/test_simulation';
plan(skip_all => 'the unit tests are not built') unless -x $program;
# What goes red leaves its folder.
$ENV{TMPDIR} = tempdir('simulation.XXXXXX', DIR => -w '/dev/shm' ? '/dev/shm' : '/tmp', CLEANUP => 1);
my ($status, $out) = run({ seconds => 120, env => { SIMULATION_SEEDS => 0, SIMULATION_LIES => 1 } }, $program);
my $lost = () = $out =~ /is lost$/mg;
isnt($status, 0, 'it goes red');
cmp_ok($lost, '>=', 10, 'in most of the twenty runs') or diag $out;
my @model = ('perl', top() . '/t/crash/crash-model.pl', '--program', $program, '--seed', $ENV{SEED} // 1);
($status, $out) = run({ seconds => 120 }, @model, '--states', $ENV{STATES} // 100);
is($status, 0, 'strict POSIX, cut at any call: nothing is lost') or diag $out;
my %is = $out =~ /^(crash_\w+) (\d+)/mg;
cmp_ok($is{crash_model_states}, '>=', $ENV{STATES} // 100, 'states');
cmp_ok($is{crash_model_recovery_cut}, '>', 30, 'recovery was cut as well');
($status, $out) = run({ seconds => 120 }, @model, '--states', 50, '--lies');
is($status, 1, 'it goes red when syncs do nothing') or diag $out;
done_testing;
