#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# After a power cut: start the real services on the spool that is left and let them deliver what is
# owed. Prints the X-Test-Id of each message that came out; exit 1 when they do not start.
#
#	house-drain.pl STATE		(CRASH_SPOOL and CRASH_OWED in the environment)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../e2e/lib";
use House qw(wait_for slurp);
use Test::More ();

my $spool = $ENV{CRASH_SPOOL};
my $house = House->new(
	state => $ARGV[0],
	config => { spool_dir => "$spool/queue", disk_floor => 0, retry_first => '1s', retry_max => '1s', mx_workers => 1 },
);
my %owed = map { $_ => 1 } split /\n/, slurp($ENV{CRASH_OWED});

sub arrived { return map { /^(\S+)/ ? $1 : () } split /\n/, slurp("$house->{state}/sink.log") // '' }

my $failed = !eval {
	$house->sink;
	$house->start;
	1;
};
# What is not there in time is missing, and the caller says so.
eval { wait_for(sub { delete @owed{ arrived() }; !%owed }, 'what is owed', 20) } unless $failed;
print STDERR $@ if $failed;
print map { "$_\n" } arrived();
$house->{failed} = $failed || %owed;
$house->end;
exit $failed;
