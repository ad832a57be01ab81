# SPDX-License-Identifier: ISC
# The power goes under a load of all kinds, with all services running: the file system is shut down by its ioctl,
# what was not synced is lost, and whoever goes on gets errors. After some of that all die, the disk is mounted
# again, all start, and the load goes on. Every other cut comes while they start: recovery is cut as well. In the
# end every recipient of every acknowledged message has it, or is told of.
#
# Only what was acknowledged before the ioctl counts: a sync that it meets half-way may return 0 and have
# written nothing, on ext4 and xfs alike (tried with ten lines of C). No power cut does that: nobody speaks after one.
#
# CUTS, FS (ext4, xfs), RATE (messages a second), SEED in the environment: make crash-live.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(balanced ledger rows);
use Disk;
use House qw(wait_for need_root build_dir);
use List::Util qw(sum0);
use Mix;
use Test::More;
use Time::HiRes qw(time sleep);

need_root();
my $fs = $ENV{FS} // 'ext4';
my $cannot = Disk::cannot($fs);
die $cannot if $cannot && $ENV{SKIP_NOTHING};
plan(skip_all => $cannot) if $cannot;
Disk::own_mounts();
my $cuts = $ENV{CUTS} // 2;
my $rate = $ENV{RATE} // 300;
my $seed = int($ENV{SEED} // time ^ $$);
srand $seed;
diag "FS=$fs SEED=$seed";

my $disk = Disk->new(build_dir() . "/t/live-cut.$$", fs => $fs, mib => 8192); # sparse: each lease reserves 64 MiB
END { local $?; $disk->end if defined $disk }
my $mix = Mix->new("$disk->{at}/mail");
my $house = House->new($mix->setup({ spool_dir => "$disk->{at}/queue", disk_floor => 0, retry_first => '1s', retry_max => '2s',
	mx_workers => 2 }), env => { $ENV{CUT_PRELOAD} ? (LD_PRELOAD => $ENV{CUT_PRELOAD}) : () })->start;
system 'sync', '-f', $disk->{at}; # users and their homes are older than the first cut
$mix->begin($house, '-r', 'rcpt,p=0.1=450 4.2.0 later', '-r', 'dot,p=0.02=451 4.3.0 later');
my %share = (relay => 0.3, mxa => 0.12, mxb => 0.12, box => 0.16, team => 0.1, fail => 0.1, half => 0.09, bulky => 0.01);
$mix->source($house, $_, rate => int($rate * $share{$_}) || 1, sessions => $_ eq 'relay' ? 12 : 3, seconds => 900) for sort keys %share;
sub acked { return sum0(map { scalar $mix->acked($house, $_) } keys %share) }

my ($mounted, $begun) = (0, time);
my %after_cut;
sub cut
{
	my %before = map { $_ => scalar $mix->acked($house, $_) } keys %share;

	$disk->cut;
	sleep rand 0.3; # what they do now, no disk has
	$house->power_off;
	for my $kind (keys %share) {
		my @all = $mix->acked($house, $kind);
		$after_cut{$_} = 1 for @all[ $before{$kind} .. $#all ];
	}
	$disk->again;
	$mounted++;
}

for my $n (1 .. $cuts) {
	my $before = acked();
	wait_for(sub { acked() > $before + 40 }, 'mail to be acknowledged', 60);
	sleep rand 0.2;
	cut();
	if ($n % 2 == 0) {
		my $made = eval { $house->launch; sleep rand 0.4; 1 };
		ok($made, 'all are started again') or diag $@;
		cut();
	}
	$house->start;
}
my $after = acked();
wait_for(sub { acked() > $after + 40 }, 'mail to be acknowledged after the last cut', 60);
$house->end_tool($_) for grep { /^source/ } keys %{ $house->{tools} };
diag sprintf '%d cuts, %d messages acknowledged in %.0f s', $mounted, acked(), time - $begun;

my $l;
my $left = eval {
	wait_for(sub {
		for my $m (rows($house, 'queue', 'list', 'state=hold')) {
			$house->angctl('queue', 'release', $m->{id});
		}
		$l = ledger($house);
		return $l->{queued} == 0 && $l->{unfiled} == 0;
	}, 'the queue to drain', 120 + 10 * $cuts);
};
ok($left, 'the queue drains') or diag $@, ($house->angctl('queue', 'list'))[1];
$mix->{seen} = {};
my $at = $mix->arrived($house);
my @owed = grep { !$after_cut{ $_->[0] } } $mix->owed($house, $at);
is(scalar @owed, 0, 'every recipient of every acknowledged message has it, or is told of')
    or diag join ' ', map { "$_->[0]>$_->[1]" } @owed[ 0 .. ($#owed < 20 ? $#owed : 20) ];
is(join(' ', @{ $mix->{cut} }), '', 'each mailbox has it whole');
my @twice = grep { keys %{ $mix->{notices}{$_} } > 1 } sort keys %{ $mix->{notices} };
is("@twice", '', 'of each failure one notice tells');
$l = balanced($house, 'after all of it');
is($l->{queued} + $l->{expired} + $l->{damaged}, 0, 'nothing is left, nothing ended otherwise');
my ($s, $out) = $house->angctl('spool', 'check');
is($s, 0, 'the spool is whole') or diag $out;
diag "crash_live_cuts $mounted count\ncrash_live_acknowledged ", acked(), " count\ncrash_live_lost ", scalar @owed, ' count';
$house->end;
done_testing;
