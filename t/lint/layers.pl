#!/usr/bin/env perl
# SPDX-License-Identifier: ISC
# Each folder includes only headers of layers below it; no daemon includes another's. Every source
# file begins with its SPDX line.
use strict;
use warnings;

my %sees = (
	base => [],
	smtp => ['base'], mail => [qw(base smtp)], spool => ['base'],
	conf => ['base'], priv => [qw(base conf)], io => ['base'],
	ipc => [qw(base io)],
	commit => [qw(base io ipc spool)],
	dns => [qw(base io ipc)],
	table => ['base'],
	bounce => ['base'],
);
my @codecs = qw(smtp mail spool);
my @all = (keys %sees);
my $rooms = join '|', qw(qmgr/router deliver/local smtpd qmgr deliver dnscache bounced logd ctl);
my $bad = 0;

sub complain { print "$_[0]\n"; $bad++ }

for my $file (split /\n/, `git ls-files '*.c' '*.h'`) {
	open my $fh, '<', $file or next;
	my @lines = <$fh>;
	complain("$file:1: no SPDX line") unless $lines[0] =~ /SPDX-License-Identifier: ISC/;
	next if $file =~ m{^t/};
	my $home = $file =~ m{^libcommon/(\w+)/} ? $1 : undef;
	my ($room) = $file =~ m{^($rooms)/};
	for my $i (0 .. $#lines) {
		my ($inc) = $lines[$i] =~ /^#include "([^"]+)"/ or next;
		my ($top) = $inc =~ m{^([^/]+)/} or do { complain("$file:" . ($i + 1) . ": \"$inc\" names no folder"); next };
		if (defined $home) {
			next if $top eq $home || grep { $_ eq $top } @{ $sees{$home} // [] };
			complain("$file:" . ($i + 1) . ": $home may not see $inc");
		} elsif (defined $room) {
			my ($other) = $inc =~ m{^($rooms)/} or next;
			complain("$file:" . ($i + 1) . ": $room may not see $inc") 
			    if $other ne $room && !($room eq 'deliver/local' && $other eq 'deliver');
		}
	}
}
print $bad ? "layers: $bad faults\n" : "layers: good\n";
exit($bad ? 1 : 0);
