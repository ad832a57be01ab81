# SPDX-License-Identifier: ISC
# The power-cut harness is worth what it finds: a writer that syncs loses nothing, one that does
# not is caught.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(run build_dir bin_dir top);
use Test::More;

my $bin = bin_dir();

sub crash
{
	my ($flags, $states) = @_;

	return run({ seconds => 300 }, 'perl', top() . '/t/crash/crash-block.pl', '--bin', $bin,
		'--work', build_dir() . "/t/crash.$$", '--states', $states,
		'--load', "$bin/crashtoy $flags \$CRASH_SPOOL \$CRASH_MARKS 150",
		'--verify', "$bin/crashtoy -v \$CRASH_SPOOL");
}

my ($status, $out, $err) = crash('', 100);
die $out if $status == 75 && $ENV{SKIP_NOTHING};
plan(skip_all => $out) if $status == 75;
is($status, 0, 'a writer that syncs before it promises');
like($out, qr/^crash_states 100 count\ncrash_lost 0 count\ncrash_unreadable 0 count$/m, 'loses nothing')
    or diag $out, $err;
cmp_ok(($out =~ /^crash_checked_messages (\d+)/m)[0], '>', 1000, 'and much was asked for');

($status, $out, $err) = crash('-u', 100);
is($status, 1, 'one that does not sync is found out');
cmp_ok(($out =~ /^crash_lost (\d+)/m)[0], '>', 80, 'in most states') or diag $out, $err;
unlike(`losetup -a`, qr/crash\.$$/, 'no loop device is left');
ok(!-e build_dir() . "/t/crash.$$", 'nor a folder');
done_testing;
