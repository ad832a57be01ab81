#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# make crash-block: the power-cut test of crash-block.pl on the real services, with mail of all kinds
# (t/e2e/lib/Mix.pm). Spool and Maildirs lie on the disk that is cut.
#
#	crash-house.pl [--states N] [--seed S] [--messages M] [--nosync] [--fs ext4|xfs] [--size MIB]
#	    [--drain-every 30]
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../e2e/lib";
use Getopt::Long;
use House qw(bin_dir build_dir);
use Mix;

my %opt = (fs => 'ext4', states => 300, seed => 1, messages => 400, size => 1024, 'drain-every' => 30);
GetOptions(\%opt, qw(fs=s states=i seed=i messages=i size=i nosync drain-every=i))
    or die "usage: see the head of crash-house.pl\n";
my ($bin, $work) = (bin_dir(), build_dir() . "/t/crash-house.$$");
my $load = join ' ', 'perl', "$FindBin::Bin/house-load.pl", "$work/house", $opt{messages},
    $opt{nosync} ? "$bin/nosync.so" : ();
my $verify = join ' ', "$bin/spoolids", '$CRASH_SPOOL/queue', map { ("\$CRASH_SPOOL/mail/$_/Maildir", $_) } Mix::users();

exec 'perl', "$FindBin::Bin/crash-block.pl", '--bin', $bin, '--work', $work, '--states', $opt{states},
    '--seed', $opt{seed}, '--fs', $opt{fs}, '--size', $opt{size}, '--load', $load, '--verify', $verify,
    (map { ('--parts', "$_=" . join ',', Mix::parts($_)) } sort keys %Mix::KINDS),
    '--drain', "perl $FindBin::Bin/house-drain.pl $work/drain", '--drain-every', $opt{'drain-every'};
