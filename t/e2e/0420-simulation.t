# SPDX-License-Identifier: ISC
# The simulation of the queue sees what it is there for: with a disk whose syncs do nothing, mail
# that was acknowledged is missed after a power cut. (With an honest disk it runs as a unit test.)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(run bin_dir);
use Test::More;

plan(skip_all => 'once is enough') if ($ENV{V} // '') ne 'debug';
my $program = bin_dir() . '/../t/unit/qmgr/test_simulation';
plan(skip_all => 'the unit tests are not built') unless -x $program;
my ($status, $out) = run({ seconds => 120, env => { SIMULATION_SEEDS => 0, SIMULATION_LIES => 1 } }, $program);
my $lost = () = $out =~ /is lost$/mg;
isnt($status, 0, 'it goes red');
cmp_ok($lost, '>=', 10, 'in most of the twenty runs') or diag $out;
done_testing;
