#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# make bench: ours and other mail servers under the same load, in turn, on the same disk, each with the
# durability it ships with.
#
#	bench.pl [--scenarios "NAME..."] [--peers "postfix exim opensmtpd"] [--rounds 3] [--scale 1]
#	    [--depth 100000] [--strict] [--list]
#
#	--scenarios	names, gate (all but those for long runs) or all; --list tells them
#	--scale		of the numbers of messages: 0.1 for a look
#	--depth		of the deep queue
#	--strict	exit 1 when a gate fails
#
# Each scenario starts its suites, gives each a load to begin with, then takes rounds: ours, the first peer, the
# second, ours... Lines "name value unit" with the median of the rounds, and the rounds; at the end the gates.
# A message that is lost or doubled ends its scenario with a line that names it, and the exit is 1. Generator and sink share the
# processors with what is measured, all suites alike; of the figures CPU time suffers least from other load.
#
# lib/: Scenarios.pm has the table; Suite.pm sets servers up; Measure.pm counts; Load.pm sends and audits.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../e2e/lib";
use Context;
use Getopt::Long;
use House;
use Peers;
use Scenarios;

my %opt = (scenarios => 'gate', peers => 'postfix', rounds => 3, scale => 1, depth => 100_000);
GetOptions(\%opt, qw(scenarios=s peers=s rounds=i scale=f depth=i strict list)) && !@ARGV or die "usage: see the head of bench.pl\n";
my @known = sort keys %Scenarios::ROW;
if ($opt{list}) {
	printf "%-14s %s%s\n", $_, $Scenarios::ROW{$_}{help}, $Scenarios::ROW{$_}{full} ? ' (long)' : '' for @known;
	exit 0;
}
die "bench: needs root: services start as root and drop\n" if $> != 0;
$| = 1;
$opt{peers} = [ split ' ', $opt{peers} ];
my @names = $opt{scenarios} eq 'all' ? @known : $opt{scenarios} eq 'gate' ? grep { !$Scenarios::ROW{$_}{full} } @known : split ' ', $opt{scenarios};
$Scenarios::ROW{$_} or die "bench: no scenario '$_'; there are: @known\n" for @names;
if (@{ $opt{peers} }) {
	my $why = Peers::missing();
	die "bench: no peers: $why" if $why ne '';
}
my (@gates, $broken);
for my $name (@names) {
	my $c = Context->new($name, \%opt);
	next if eval { push @gates, $c->take($Scenarios::ROW{$name}); 1 };
	print STDERR "$name: $@";
	$broken = 1;
}
my $failed = 0;
for my $gate (@gates) {
	my ($name, $value, $op, $limit, $unit) = @$gate;
	my $holds = !defined $value ? 'not measured' : ($op eq '>=' ? $value >= $limit : $value <= $limit) ? 'holds' : 'FAILS';
	$failed++ if $holds eq 'FAILS';
	Context::show("gate_$name", $value, sprintf '%s, %s %s: %s', $unit, $op eq '>=' ? 'at least' : 'at most', Context::figure($limit), $holds);
}
exit($broken || $opt{strict} && $failed ? 1 : 0);
