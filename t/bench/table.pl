#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# The lines of bench.pl as the tables of RESULTS: make bench | tee out; perl t/bench/table.pl out
#
# Several files are one after the other; a figure that stands twice counts as it stands last.
use strict;
use warnings;

my $suites = qr/none|ours|slow|one|many|shallow|deep|postfix|exim|opensmtpd/;
my (%row, @rows, %gate, @gates, %suite, @suites, %stage, @stages, %load);
while (<>) {
	if (my ($name, $value, $unit, $limit, $holds) = /^gate_(\S+)\s+(\S+) (.+?), (at .+): (.+)$/) {
		push @gates, $name unless $gate{$name};
		$gate{$name} = [ $value, $unit, $limit, $holds ];
	} elsif (my ($stage, $us, $of) = /^profile_stage (.+?)\s+(\S+) us\/message(?:, of (\d+))?$/) {
		push @stages, $stage unless $stage{$stage};
		$stage{$stage} = [ $of // '-', $us ];
	} elsif (my ($scenario, $suite, $what, $figure, $rest) = /^([a-z0-9-]+)_($suites)_(\w+)\s+(\S+) (.+)$/) {
		$rest =~ s/ \([\d. ]+\)$//;
		next if $what =~ /^cpu_/ && $figure < 0.5;
		my $key = "$scenario $what";
		push @rows, $key unless $row{$key};
		push @suites, $suite unless $suite{$suite}++;
		$row{$key}{$suite} = $figure;
		$row{$key}{unit} = $rest;
	} elsif (/^([a-z0-9-]+)_busy_before\s+(\S+)/) {
		$load{$1} = $2;
	}
}

sub table
{
	my (@lines) = @_;
	my @width;

	for my $line (@lines) {
		for my $i (0 .. $#$line) {
			$width[$i] = length $line->[$i] if length $line->[$i] > ($width[$i] // 0);
		}
	}
	splice @lines, 1, 0, [ map { '-' x $_ } @width ];
	for my $line (@lines) {
		my $text = join '  ', map { sprintf '%-*s', $width[$_], $line->[$_] } 0 .. $#$line;
		print $text =~ s/\s+$//r, "\n";
	}
	print "\n";
}

table([ qw(scenario figure), @suites, 'unit' ], map { my ($s, $what) = split ' '; my $r = $row{$_};
	[ $s, $what, (map { $r->{$_} // '' } @suites), $r->{unit} ] } @rows) if @rows;
table([ qw(gate value unit limit) , '' ], map { [ $_, @{ $gate{$_} } ] } @gates) if @gates;
table([ 'stage', 'budget', 'us/message' ], map { [ $_, @{ $stage{$_} } ] } @stages) if @stages;
print 'how much of the machine was busy before each: ', join(', ', map { "$_ $load{$_}" } sort keys %load), "\n" if %load;
