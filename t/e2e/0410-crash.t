# SPDX-License-Identifier: ISC
# Power cuts under a load of all kinds: 300 disks that one may leave, with spool and Maildirs. Of every
# acknowledged message each recipient that no next hop has taken is in the queue, or in its Maildir, or is told of
# there. With the syncs taken out it must go red.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(run need_root top);
use Test::More;

need_root();
my @crash = ('perl', top() . '/t/crash/crash-house.pl', '--seed', $ENV{SEED} // 1);
my ($status, $out, $err) = run({ seconds => 600 }, @crash, '--states', $ENV{N} // 300);
die $out if $status == 75 && $ENV{SKIP_NOTHING};
plan(skip_all => $out) if $status == 75;
diag $out =~ s/^(?!crash_).*\n//mgr;
is($status, 0, 'power cuts') or diag $out, $err;
my %is = $out =~ /^(crash_\w+) ([\d.]+)/mg;
cmp_ok($is{crash_states} // 0, '>=', $ENV{N} // 300, 'states');
is($is{crash_lost}, 0, 'none lost');
is($is{crash_unreadable}, 0, 'none unreadable');
cmp_ok($is{crash_delivered} // 0, '>', 50, 'the next hop took mail meanwhile');
cmp_ok($is{crash_checked_messages} // 0, '>', 1000, 'much was owed, and was there');

# The other file system, with less of all: make crash-block FS=xfs has the rest.
($status, $out, $err) = run({ seconds => 300 }, @crash, '--fs', 'xfs', '--states', $ENV{N_XFS} // 40, '--messages', 150, '--drain-every', 1000);
die $out if $status == 75 && $ENV{SKIP_NOTHING};
SKIP: {
	skip($out, 3) if $status == 75;
	%is = $out =~ /^(crash_\w+) ([\d.]+)/mg;
	is($status, 0, 'power cuts on xfs') or diag $out, $err;
	cmp_ok($is{crash_states} // 0, '>=', $ENV{N_XFS} // 40, 'states');
	cmp_ok($is{crash_checked_messages} // 0, '>', 1000, 'much was owed, and was there');
}

SKIP: {
	skip('a preloaded library and the sanitizers do not go together', 2) if ($ENV{V} // '') eq 'san';
	($status, $out, $err) = run({ seconds => 300 }, @crash, '--states', 60, '--nosync', '--drain-every', 1000);
	%is = $out =~ /^(crash_\w+) ([\d.]+)/mg;
	is($status, 1, 'without syncs the test goes red') or diag $out, $err;
	cmp_ok(($is{crash_lost} // 0) + ($is{crash_unreadable} // 0), '>', 20, 'in many states');
}
done_testing;
