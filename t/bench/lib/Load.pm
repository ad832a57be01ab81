# SPDX-License-Identifier: ISC
package Load;

# One load through a suite to its sink, and the count of what came of it.
#
#	my $r = Load::relay($suite, messages => 10_000, sessions => 100, per_session => 10, size => 4096);
#	my $r = Load::accept($suite, ...);     # the same, nothing arrives
#	Load::settle($suite);                  # all that was promised until now is there, once
#
# Further words: rate (messages a second), to, wrap (see smtpsource -t, -u). What comes back: seconds, rate (to the
# last arrival), accepted_rate, p50 and p99 (of the 250, ms), through50 and through99 (from the end of the message
# to the sink's 250, ms). Whatever is lost or doubled ends the scenario.

use strict;
use warnings;
use House qw(wait_for run);
use Time::HiRes qw(time stat);

my $runs = 0;

# A name of its own for each load: letters, digits and dots.
sub name { return sprintf '%x.%d.%d', time, $$, ++$runs }

sub percentile
{
	my ($p, @sorted) = @_;

	return @sorted ? $sorted[ $#sorted * $p / 100 ] : 0;
}

# Reads what is new in the sink's file: each id "RUN-NUMBER" counts for its run.
sub _read
{
	my ($suite) = @_;

	while (defined(my $line = readline $suite->{times_fh})) {
		if ($line !~ /\n\z/) { # half of it: all of it the next time
			seek $suite->{times_fh}, -length $line, 1;
			last;
		}
		my ($name, $n, $us) = $line =~ /^(\S+)-(\d+)\t(\S+)/ or next;
		my $run = $suite->{runs}{$name} or next;
		if (vec $run->{seen}, $n, 1) {
			push @{ $run->{doubled} }, $n;
			next;
		}
		vec($run->{seen}, $n, 1) = 1;
		$run->{arrived}++;
		push @{ $run->{times} }, $us if $run->{keep_times} && $us ne '-';
	}
	seek $suite->{times_fh}, 0, 1; # what comes after the end is read too
}

sub _fail
{
	my ($suite, $name, $run) = @_;
	my @lost = grep { !vec $run->{seen}, $_, 1 } 0 .. $run->{messages} - 1;

	die sprintf "bench: LOST: %s promised %d messages of run %s and %d never came: %s\n", $suite->{name}, $run->{messages}, $name,
	    scalar @lost, join ' ', @lost > 10 ? (@lost[0 .. 9], '...') : @lost if @lost;
	die sprintf "bench: DOUBLED: %s delivered %d messages of run %s more than once: %s\n", $suite->{name},
	    scalar @{ $run->{doubled} }, $name, join ' ', @{ $run->{doubled} };
}

sub await
{
	my ($suite, $name, $seconds) = @_;
	my $run = $suite->{runs}{$name};

	eval { wait_for(sub { _read($suite); $run->{arrived} >= $run->{messages} }, 'the sink', $seconds // 300) };
	_fail($suite, $name, $run) if $run->{arrived} < $run->{messages} || $run->{doubled};
	return (stat $suite->{times})[9]; # when the last one came
}

sub settle
{
	my ($suite, $seconds) = @_;

	for my $name (sort keys %{ $suite->{runs} }) {
		await($suite, $name, $seconds);
		delete $suite->{runs}{$name};
	}
}

sub expect
{
	my ($suite, $name, $messages, $keep) = @_;

	$suite->{runs}{$name} = { messages => $messages, arrived => 0, seen => '', keep_times => $keep };
}

sub accept
{
	my ($suite, %how) = @_;
	my $name = $how{name} // name();
	my @more = map { $how{ $_->[0] } ? ($_->[1], $how{ $_->[0] }) : () } [ rate => '-R' ], [ to => '-t' ], [ wrap => '-u' ];
	push @more, '-c', $suite->{backlog} if $suite->{backlog};

	expect($suite, $name, $how{messages}, 1) unless $how{vanishes};
	my ($status, $out, $err) = run({ seconds => $how{seconds} // 900 }, "$suite->{bin}/smtpsource", '-T', '-h', "127.0.0.1:$suite->{port}",
		'-s', $how{sessions} // 100, '-n', $how{per_session} // 10, '-m', $how{messages}, '-l', $how{size} // 4096,
		'-w', $how{seconds} // 900, '-i', $name, @more);
	$status == 0 or die "bench: $suite->{name} did not take the load: $out$err\n";
	my %got = $out =~ /(\w+)=(\S+)/g;
	return { accepted_rate => $got{rate}, p50 => $got{p50_ms}, p99 => $got{p99_ms}, name => $name };
}

sub relay
{
	my ($suite, %how) = @_;
	my $name = name();
	my $begun = time;
	my $r = Load::accept($suite, %how, name => $name);
	my $end = await($suite, $name);
	my @times = sort { $a <=> $b } @{ $suite->{runs}{$name}{times} };

	delete $suite->{runs}{$name};
	$r->{seconds} = $end - $begun;
	$r->{rate} = $how{messages} / $r->{seconds};
	$r->{through50} = percentile(50, @times) / 1000;
	$r->{through99} = percentile(99, @times) / 1000;
	return $r;
}

1;
