#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# Power cuts: what an ext4 or xfs on a real block device may look like after one, and whether everything
# that was promised is still there.
#
#	crash-block.pl --load CMD --verify CMD [--start CMD] [--stop CMD] [--states 300] [--seed 1]
#	    [--drain CMD --drain-every 15] [--parts KIND=PART,PART...]...
#	    [--fs ext4|xfs] [--size MIB] [--bin FOLDER] [--work FOLDER] [--keep]
#
# The commands are given to sh, with CRASH_SPOOL, a folder on a journaled file system of its own, and
# CRASH_MARKS, a file that takes lines, one write each: "A ID" when a client has seen the 250 for
# ID, "D ID" when the next hop has taken it, just before it says so. `start` and `stop` frame
# `load`; states are drawn from within the load. Then each state is mounted at the same place, and
# `verify` (CRASH_SPOOL only) prints the id of every message it finds whole, one a line. Missing is
# what was acknowledged before the power went, not yet taken by the next hop, and is not printed.
#
# Messages KIND-NUMBER may have to arrive at several places: `parts` names them, the first being the
# next hop of which D speaks, or "-" where there is none. What is owed is then ID>PART each, and is
# found as such, or by ID (all of it is there), or by ID*N (so many of its parts are still to come).
#
# `drain` takes the place of `verify` in each n-th state: it is to start the system on what is left,
# let it deliver, and print the ids of what came out. CRASH_OWED is a file with the ids to wait for.
#
# Prints "crash_states N count", "crash_lost N count" (states where something is missing),
# "crash_unreadable N count" (states that could not be mounted or verified) and more of that form.
# Exit 0 when none is lost or unreadable, 1 when some are, 75 ("skip", a reason) where the system
# cannot: it takes root, /dev/fuse and loop devices. Everything happens in mount and process name
# spaces that end with this program, however that ends.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(make_path remove_tree);
use FindBin;
use Getopt::Long;
use IO::Handle;
use POSIX ();
use Time::HiRes qw(time sleep);

use constant { BLKFLSBUF => 0x1261 };
# How each is made, how it is mounted, and what it is at least, MiB.
my %KINDS = (
	ext4 => { make => [ qw(mkfs.ext4 -q -F -b 4096 -J size=8 -E), 'lazy_itable_init=1,lazy_journal_init=1' ],
		options => 'noinit_itable', least => 16 },
	xfs => { make => [qw(mkfs.xfs -q -f -K)], options => 'defaults', least => 300 },
);
my %opt = (states => 300, seed => 1, size => 64, fs => 'ext4', bin => "$FindBin::Bin/../../build/debug/bin",
	work => "$FindBin::Bin/../../build/t/crash.$$", 'drain-every' => 15);
my @argv = @ARGV;
my %parts;
GetOptions(\%opt, 'parts=s' => sub { my ($kind, $list) = split /=/, $_[1], 2; $parts{$kind} = [ split /,/, $list ] }, qw(states=i seed=i size=i fs=s bin=s work=s start=s load=s stop=s verify=s
    drain=s drain-every=i keep))
    && $opt{load} && $opt{verify} && !@ARGV && $KINDS{ $opt{fs} }
    or die "usage: see the head of crash-block.pl\n";

sub skip { print "skip: @_\n"; exit 75 }

unless ($ENV{CRASH_INSIDE}) {
	skip('needs root') if $> != 0;
	-w $_ or skip("no $_") for '/dev/fuse', '/dev/loop-control';
	`cat /proc/filesystems` =~ /\t$opt{fs}$/m or skip("this kernel has no $opt{fs}");
	system(qw(unshare --mount --pid --fork true)) == 0 or skip('no name spaces');
	make_path($opt{work});
	$opt{work} = abs_path($opt{work});
	$ENV{CRASH_INSIDE} = 1;
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		syscall +(POSIX::uname())[4] eq 'aarch64' ? 167 : 157, 1, 9, 0, 0, 0; # die with me
		exec qw(unshare --mount --pid --fork --kill-child --mount-proc -- perl), $0, @argv,
		    '--work', $opt{work};
	}
	my $signal;
	$SIG{$_} = sub { $signal = 1; kill 'KILL', $pid } for qw(INT TERM HUP);
	1 while waitpid($pid, 0) != $pid;
	my $status = $?;
	remove_tree($opt{work}) unless $opt{keep};
	exit($signal || $status & 127 ? 1 : $status >> 8);
}

my ($work, $bin, $kind) = ($opt{work}, abs_path($opt{bin}), $KINDS{ $opt{fs} });
my ($base, $log, $fuse, $mnt) = map { "$work/$_" } qw(base log fuse mnt);
make_path($fuse, $mnt);

sub must { system(@_) == 0 or die "failed: @_\n" }

sub wait_for
{
	my ($true, $what) = @_;
	my $end = time + 20;

	until ($true->()) {
		die "waited in vain for $what\n" if time > $end;
		sleep 0.01;
	}
}

# A loop device over the file system's image, that goes when the handle is closed.
sub loop_open
{
	wait_for(sub { -e "$fuse/image" }, 'the block file');
	chomp(my $dev = `losetup --find --show --direct-io=on '$fuse/image' 2>&1`);
	skip("no loop device: $dev") unless $dev =~ m{^/dev/loop\d+$};
	open my $fh, '+<', $dev or die "$dev: $!";
	my $direct = `losetup --noheadings --output DIO '$dev'` =~ /1/;
	system 'losetup', '--detach', $dev; # takes effect with the last close
	$direct or skip('loop devices without direct I/O');
	return ($fh, $dev);
}

sub try_mount { return system('mount', '-t', $opt{fs}, '-o', $kind->{options}, $_[0], $mnt) == 0 }

sub mark
{
	my ($line) = @_;

	open my $fh, '>>', "$fuse/marks" or die "marks: $!";
	syswrite $fh, "$line\n";
}

sub record
{
	my $pid = fork // die "fork: $!";
	exec "$bin/recorder", $base, $log, $fuse unless $pid;
	my ($fh, $dev) = loop_open();

	try_mount($dev) or die "cannot mount a fresh file system\n";
	@ENV{qw(CRASH_SPOOL CRASH_MARKS)} = ($mnt, "$fuse/marks");
	!defined $opt{start} or must('sh', '-c', $opt{start});
	mark('begin');
	must('sh', '-c', $opt{load});
	mark('end');
	!defined $opt{stop} or must('sh', '-c', $opt{stop});
	must('umount', $mnt);
	close $fh;
	wait_for(sub { `losetup --list --noheadings '$dev'` !~ /image/ }, 'the loop device to go');
	kill 'TERM', $pid;
	waitpid $pid, 0;
	die "the recorder failed\n" if $?;
	must('umount', $fuse);
}

sub parts { my ($id) = @_; return $id =~ /^(\w+)-\d+$/ && $parts{$1} ? map { $_ eq '-' ? $_ : "$id>$_" } @{ $parts{$1} } : $id }

# Acknowledged and not delivered, before a position; positions must not fall from call to call.
sub owed
{
	my ($marks, $owed, $position) = @_;

	while (@$marks && $marks->[0][0] < $position) {
		my (undef, $what, $id) = @{ shift @$marks };
		next unless defined $id;
		my @all = parts($id);
		if ($what eq 'A') { $owed->{$_} //= 1 for grep { $_ ne '-' } @all }
		elsif ($what eq 'D') { $owed->{ $all[0] } = 0 }
	}
	return grep { $owed->{$_} } keys %$owed;
}

# Of these, what is not among the lines of verify or drain.
sub missing
{
	my ($text, @must) = @_;
	my (%found, %open, %by);

	for (split /\n/, $text) {
		/^(\S+)\*(\d+)$/ ? ($open{$1} = $2) : ($found{$_} = 1);
	}
	for my $key (@must) {
		my ($id) = $key =~ /^([^>]+)/;
		push @{ $by{$id} }, $key unless $found{$key} || $found{$id};
	}
	return map { my $id = $_; @{ $by{$id} } > ($open{$id} // 0) ? @{ $by{$id} } : () } sort keys %by;
}

sub show { my ($name, $value, $unit) = @_; print "$name $value ", $unit // 'count', "\n" }

sub replay
{
	my ($cmd_r, $cmd_w, $out_r, $out_w, @marks);
	pipe($cmd_r, $cmd_w) && pipe($out_r, $out_w) or die "pipe: $!";
	my $pid = fork // die "fork: $!";
	unless ($pid) {
		POSIX::dup2(fileno $cmd_r, 0);
		POSIX::dup2(fileno $out_w, 1);
		exec "$bin/replay", $base, $log, $fuse, $opt{states}, $opt{seed};
	}
	close $_ for $cmd_r, $out_w;
	$cmd_w->autoflush(1);
	while (defined($_ = readline $out_r) && !/^ready/) {
		push @marks, [$1, split ' ', $2] if /^mark (\d+) (.*)/;
	}
	my $acked = grep { $_->[1] eq 'A' } @marks;
	my $taken = grep { $_->[1] eq 'D' } @marks;
	my ($fh, $dev) = loop_open();
	my $begun = time;
	my %sum = judge(\@marks, $cmd_w, $out_r, $fh, $dev);

	show('crash_acknowledged', $acked);
	show('crash_delivered', $taken);
	show('crash_states', $sum{states});
	show('crash_lost', $sum{lost});
	show('crash_unreadable', $sum{unreadable});
	show('crash_missing_messages', $sum{missing});
	show('crash_checked_messages', $sum{owed});
	show('crash_drained', $sum{drained}) if defined $opt{drain};
	show('crash_rate', sprintf('%.1f', $sum{states} / (time - $begun)), 'states/s');
	close $fh;
	{ local $SIG{PIPE} = 'IGNORE'; close $cmd_w; }
	kill 'TERM', $pid;
	if ($acked == 0 || $sum{states} == 0) {
		print "nothing was acknowledged, or no state made: this proves nothing\n";
		return 1;
	}
	return $sum{lost} || $sum{unreadable} ? 1 : 0;
}

sub write_owed
{
	$ENV{CRASH_OWED} = "$work/owed";
	open my $fh, '>', $ENV{CRASH_OWED} or die "$ENV{CRASH_OWED}: $!\n";
	print $fh map { "$_\n" } @_;
	close $fh or die "$ENV{CRASH_OWED}: $!\n";
}

sub judge
{
	my ($marks, $cmd, $out, $fh, $dev) = @_;
	my %sum = map { $_ => 0 } qw(states lost unreadable missing owed drained);
	my %owed;

	while (print($cmd "next\n") && defined(my $line = readline $out)) {
		my ($n, $position, $flushes, $writes, $kept, $mode) =
		    $line =~ /^state (\d+) (\d+) (\d+) (\d+) (\d+) (\w+)/ or last;
		my @must = owed($marks, \%owed, $position);
		my $what = "state $n: after $flushes flushes, $kept of $writes later writes ($mode)";

		$sum{states}++;
		ioctl $fh, BLKFLSBUF, 0 or die "BLKFLSBUF: $!";
		unless (try_mount($dev)) {
			$sum{unreadable}++;
			print "$what: cannot be mounted\n";
			next;
		}
		my $drain = defined $opt{drain} && $n % $opt{'drain-every'} == 0;
		write_owed(@must) if $drain;
		my $text = $drain ? `$opt{drain}` : `$opt{verify}`;
		my $status = $?;
		system('umount', $mnt) == 0 or must('umount', '--lazy', $mnt);
		if ($status != 0) {
			$sum{unreadable}++;
			print "$what: ", $drain ? 'drain' : 'verify', " failed, status $status\n" if $sum{unreadable} <= 10;
			next;
		}
		my @missing = missing($text, @must);
		$sum{owed} += @must;
		$sum{drained}++ if $drain;
		next unless @missing;
		$sum{missing} += @missing;
		print "$what: ", scalar @missing, ' of ', scalar @must, " missing: @missing[0 .. ($#missing < 4 ? $#missing : 4)]\n"
		    if ++$sum{lost} <= 10;
	}
	return %sum;
}

my $status = eval {
	open my $fh, '>', $base or die "$base: $!\n";
	truncate $fh, ($opt{size} < $kind->{least} ? $kind->{least} : $opt{size}) << 20 or die "$base: $!\n";
	close $fh;
	must(@{ $kind->{make} }, $base);
	record();
	replay();
};
print $@ if $@;
exit($status // 1);
