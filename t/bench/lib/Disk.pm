# SPDX-License-Identifier: ISC
package Disk;

# A journaled ext4 on a loop device, made for one scenario: my $d = Disk->new(gib => 6); $d->{dir}; $d->end.
# On the root file system syncs may be cheaper than anywhere else: here each waits for a journal commit.

use strict;
use warnings;
use File::Path qw(make_path);
use House qw(run build_dir);

my $made = 0;

sub _must
{
	my (@argv) = @_;
	my ($status, $out, $err) = run({ seconds => 120 }, @argv);

	$status == 0 or die "bench: @argv: $out$err";
}

sub new
{
	my ($class, %opt) = @_;
	my $at = build_dir() . "/t/bench-disk.$$." . ++$made;
	my $self = bless { image => "$at.image", dir => $at, owner => $$ }, $class;

	make_path($at);
	_must('truncate', '-s', ($opt{gib} // 6) . 'G', $self->{image});
	# All of it now: what ext4 fills in later would be counted.
	_must('mkfs.ext4', '-q', '-F', '-N', 400_000, '-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', $self->{image});
	_must('mount', '-o', 'loop', $self->{image}, $at);
	$self->{mounted} = 1;
	return $self;
}

sub end
{
	my ($self) = @_;

	return if $self->{owner} != $$ || $self->{ended}++;
	_must('umount', $self->{dir}) if $self->{mounted};
	rmdir $self->{dir};
	unlink $self->{image};
}

sub DESTROY { my ($self) = @_; local ($?, $@); eval { $self->end } }

1;
