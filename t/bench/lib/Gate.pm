# SPDX-License-Identifier: ISC
package Gate;

# Values of gates, from the medians: $m->{SUITE}{METRIC}, and $m->{once}{NAME}. See Scenarios.pm.

use strict;
use warnings;

# One suite's over another's, or over another metric of it; undef where that was not measured.
sub over
{
	my ($what, $suite, $other, $its) = @_;

	return sub {
		my ($m) = @_;
		my $by = $m->{$other}{ $its // $what };
		return $by && defined $m->{$suite}{$what} ? $m->{$suite}{$what} / $by : undef;
	};
}

sub ours { my ($what) = @_; return sub { $_[0]{ours}{$what} } }
sub once { my ($what) = @_; return sub { $_[0]{once}{$what} } }

1;
