# SPDX-License-Identifier: ISC
package Context;

# One scenario under way: its suites, its rounds, its lines.

use strict;
use warnings;
use Disk;
use Scenarios;
use Suite;

sub new
{
	my ($class, $name, $opt) = @_;

	return bless { name => $name, opt => $opt, suites => [], disks => [], ends => [], once => {} }, $class;
}

# Enough digits to compare, no more.
sub figure
{
	my ($value) = @_;

	return 'unknown' unless defined $value;
	return sprintf abs $value >= 100 ? '%.0f' : abs $value >= 10 ? '%.1f' : '%.3f', $value;
}

sub show { my ($name, $value, $unit) = @_; printf "%-40s %s %s\n", $name, figure($value), $unit }

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return @sorted ? $sorted[ $#sorted / 2 ] : undef;
}

# ---- what scenarios call

sub n { my ($c, $n) = @_; my $scaled = int $n * $c->{opt}{scale}; return $scaled < 100 ? 100 : $scaled }

sub start
{
	my ($c, $kind, %words) = @_;

	push @{ $c->{suites} }, Suite->start($kind, %words);
	return $c->{suites}[-1];
}

sub disk
{
	my ($c, $gib) = @_;

	push @{ $c->{disks} }, Disk->new(gib => $gib);
	return $c->{disks}[-1]{dir};
}

sub once
{
	my ($c, $name, $value, $unit) = @_;

	$c->{once}{$name} = $value;
	show("$c->{name}_$name", $value, $unit);
}

sub at_end { my ($c, $do) = @_; push @{ $c->{ends} }, $do }

# ----

# (busy, all) of the processors until now, in ticks. proc(5)
sub _ticks
{
	open my $fh, '<', '/proc/stat' or die "/proc/stat: $!\n";
	my (undef, $user, $nice, $system, $idle, @rest) = split ' ', readline $fh;
	my $all = $idle;

	$all += $_ for $user, $nice, $system, @rest[0 .. 3]; # iowait, irq, softirq, steal
	return ($all - $idle, $all);
}

# What the scenario before has left to be written and freed is not this one's: waits until less than a tenth of the machine
# is busy for a second, half a minute at most, and tells how much was.
sub _calm
{
	my $busy;

	system 'sync';
	for (1 .. 30) {
		my @from = _ticks();
		sleep 1;
		my @to = _ticks();
		$busy = ($to[0] - $from[0]) / (($to[1] - $from[1]) || 1);
		last if $busy < 0.1;
	}
	return $busy;
}

sub take
{
	my ($c, $row) = @_;
	my (%rounds, %median);

	show("$c->{name}_busy_before", _calm(), 'of the machine');
	my @turns = $row->{begin}->($c);
	for my $round (1 .. $c->{opt}{rounds}) {
		push @{ $rounds{ $_->{name} } }, $_->{run}->() for @turns;
	}
	for my $suite (map { $_->{name} } @turns) {
		my @all = @{ $rounds{$suite} };
		for my $what (sort keys %{ $all[0] }) {
			my $unit = $Scenarios::UNIT{$what} // ($what =~ /^cpu_/ ? 'us/message' : next);
			my @values = map { $_->{$what} // 0 } @all;
			$median{$suite}{$what} = median(@values);
			show("$c->{name}_${suite}_$what", $median{$suite}{$what}, $unit . (@values > 1 ? ' (' . join(' ', map { figure($_) } @values) . ')' : ''));
		}
	}
	$_->() for @{ $c->{ends} };
	$c->end;
	$median{once} = $c->{once};
	return map { my ($name, $value, @rest) = @$_; [ "$c->{name}_$name", $value->(\%median), @rest ] } @{ $row->{gates} };
}

sub end
{
	my ($c) = @_;

	$_->end for @{ $c->{suites} };
	$_->end for @{ $c->{disks} };
}

sub DESTROY { my ($c) = @_; local ($?, $@); eval { $c->end } }

1;
