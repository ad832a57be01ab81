# SPDX-License-Identifier: ISC
package Disk;

# A disk of a test's own: an image in a file, with a file system, mounted.
#
#	Disk::own_mounts();                             # first of all: mounts that end with this test
#	my $disk = Disk->new("$folder", fs => 'xfs', mib => 512);
#	$disk->{at}                                     # where it is mounted
#	$disk->cut;                                     # the power goes: nothing more reaches the disk
#	$disk->again;                                   # unmounted and mounted, once nobody has it open
#	$disk->end;
#
# With thin => MIB the image lies on a tmpfs of that size. The file system believes in more: there is
# room to write to, and it is the sync that fails.

use strict;
use warnings;
use Fcntl;
use File::Path qw(make_path remove_tree);
use House qw(wait_for);

# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number; 2: what the log holds in memory is lost, too.
use constant { GOING_DOWN => 0x8004587d, NO_LOG_FLUSH => 2 };
our %KINDS = (
	ext4 => { make => [ qw(mkfs.ext4 -q -F -E), 'lazy_itable_init=1,lazy_journal_init=1' ], options => 'commit=300,noinit_itable' },
	xfs => { make => [qw(mkfs.xfs -q -f -K)], options => 'defaults' },
);

sub own_mounts
{
	return if $ENV{DISK_OWN_MOUNTS};
	local $ENV{DISK_OWN_MOUNTS} = 1;
	exec qw(unshare --mount --propagation private --), $^X, (map { "-I$_" } @INC), $0, @ARGV;
}

# Why there can be none here, or nothing.
sub cannot
{
	my ($fs) = @_;

	return 'needs root' if $> != 0;
	return 'no /dev/loop-control' unless -w '/dev/loop-control';
	return "this kernel has no $fs" unless `cat /proc/filesystems` =~ /\t$fs$/m;
	return '';
}

sub new
{
	my ($class, $dir, %opt) = @_;
	my $kind = $KINDS{ $opt{fs} // 'ext4' };
	my $self = bless { dir => $dir, at => "$dir/disk", kind => $kind, fs => $opt{fs} // 'ext4', backing => $dir }, $class;

	make_path($self->{at});
	if ($opt{thin}) {
		$self->{backing} = "$dir/backing";
		mkdir $self->{backing};
		system('mount', '-t', 'tmpfs', '-o', "size=$opt{thin}m,mode=0700", 'none', $self->{backing}) == 0 or die "no tmpfs\n";
	}
	my $image = $self->{image} = "$self->{backing}/image";
	open my $fh, '>', $image or die "$image: $!\n";
	truncate $fh, ($opt{mib} // 512) << 20 or die "$image: $!\n";
	close $fh;
	system(@{ $kind->{make} }, $image) == 0 or die "@{ $kind->{make} }: $?\n";
	$self->mount;
	return $self;
}

sub mount
{
	my ($self) = @_;

	system('mount', '-t', $self->{fs}, '-o', "loop,$self->{kind}{options}", $self->{image}, $self->{at}) == 0
	    or die "$self->{image} cannot be mounted\n";
	chmod 0755, $self->{at};
}

# Whoever has it open gets errors from now on.
sub cut
{
	my ($self) = @_;

	sysopen my $fh, $self->{at}, O_RDONLY | O_DIRECTORY or die "$self->{at}: $!\n";
	my $how = pack 'L', NO_LOG_FLUSH;
	ioctl $fh, GOING_DOWN, $how or die "$self->{at}: $!\n";
}

sub unmount
{
	my ($self) = @_;

	wait_for(sub { system("umount '$self->{at}' 2>/dev/null") == 0 }, "$self->{at} to be let go", 20);
}

sub again { my ($self) = @_; $self->unmount; $self->mount }

sub end
{
	my ($self) = @_;

	return if $self->{ended}++;
	system "umount --lazy '$self->{at}' 2>/dev/null";
	system "umount --lazy '$self->{backing}' 2>/dev/null" if $self->{backing} ne $self->{dir};
	remove_tree($self->{dir});
}

1;
