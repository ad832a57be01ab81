#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# After a power cut: start the real services on what is left and let them deliver what is owed.
# Prints ID>PART of all that came out; exit 1 when they do not start, or tell of a failure twice.
#
#	house-drain.pl STATE		(CRASH_SPOOL and CRASH_OWED in the environment)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../e2e/lib";
use House qw(wait_for slurp);
use Mix;
use Test::More ();

my $spool = $ENV{CRASH_SPOOL};
my $mix = Mix->new("$spool/mail");
my $house = House->new($mix->setup({ spool_dir => "$spool/queue", disk_floor => 0, retry_first => '1s', retry_max => '1s',
	mx_workers => 1 }), state => $ARGV[0]);
my %owed = map { $_ => 1 } split /\n/, slurp($ENV{CRASH_OWED});
my %there;

sub look
{
	my $at = $mix->arrived($house);

	%there = ();
	for my $id (keys %$at) {
		$there{"$id>" . ($_ =~ /^</ ? 'hop' : $_)} = 1 for keys %{ $at->{$id} };
	}
	return !grep { !$there{$_} } keys %owed;
}

my $failed = !eval {
	$mix->begin($house);
	$house->start;
	1;
};
# What is not there in time is missing, and the caller says so.
my $whole = !$failed && eval { wait_for(\&look, 'what is owed', 40) };
print STDERR $@ if $failed;
my @twice = grep { keys %{ $mix->{notices}{$_} } > 1 } sort keys %{ $mix->{notices} // {} };
print STDERR "told twice of @twice\n" if @twice;
print map { "$_\n" } sort keys %there;
$house->{failed} = !$whole;
$house->end;
exit($failed || @twice ? 1 : 0);
