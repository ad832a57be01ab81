# SPDX-License-Identifier: ISC
package Accepting;

# Scenarios of what comes in: see Scenarios.pm.

use strict;
use warnings;
use Gate;
use House qw(run wait_for slurp);
use Load;
use Measure;

sub measured
{
	my ($suite, %load) = @_;
	my $before = $suite->{measure}->cpu_us;
	my $r = Load::accept($suite, %load, vanishes => !$suite->{house});

	$r->{cpu} = ($suite->{measure}->cpu_us - $before) / $load{messages};
	return $r;
}

# Nothing leaves the queue until the end; then all of ours must come, once.
sub held
{
	my ($c, $size, $messages) = @_;
	my $disk = $c->disk(10);
	my @turns;

	for my $kind ('ours', @{ $c->{opt}{peers} }) {
		my $suite = $c->start($kind, hold => 1, disk => $disk);
		my %load = (size => $size, messages => $messages);
		measured($suite, %load, messages => $messages / 10);
		my ($syncs, $bytes) = $suite->{measure}->counted($disk, sub { measured($suite, %load) });
		$c->once("${kind}_syncs", $syncs / $messages, 'syncs/message') if defined $syncs;
		$c->once("${kind}_disk", $bytes / $messages, 'bytes/message at the disk') if defined $bytes;
		$c->at_end(sub { $suite->release; Load::settle($suite) }) if $suite->{house};
		push @turns, { name => $kind, run => sub { measured($suite, %load) } };
	}
	return @turns;
}

sub gates
{
	my ($times, $bytes) = @_;

	return [
		[ rate_over_postfix => Gate::over('accepted_rate', 'ours', 'postfix'), '>=', $times, 'x' ],
		[ syncs => Gate::once('ours_syncs'), '<=', 0.1, 'syncs/message' ],
		[ disk => Gate::once('ours_disk'), '<=', $bytes, 'bytes/message at the disk' ],
		[ p99_over_p50_of_postfix => Gate::over('p99', 'ours', 'postfix', 'p50'), '<=', 1, 'x' ],
	];
}

# ---- the sendmail command

sub call
{
	my ($suite, $calls) = @_;
	my $name = Load::name();
	my ($env, @words) = $suite->around_sendmail("$suite->{bin}/callmany", '-p', 4, '-n', $calls, '-l', 4096, '-i', $name);
	my $before = $suite->{measure}->cpu_us;

	Load::expect($suite, $name, $calls);
	my ($status, $out, $err) = $suite->{measure}->within(sub { run({ seconds => 300, env => $env }, @words, '-f', 'source@test.example', 'sink@test.example') });
	my %got = $out =~ /(\w+)=(\S+)/g;
	$status == 0 or die "bench: sendmail of $suite->{name}: $out$err";
	Load::settle($suite);
	return { calls => $got{rate}, call50 => $got{p50_ms}, call99 => $got{p99_ms},
		call_cpu => ($suite->{measure}->cpu_us - $before) / $calls - $got{own_us} };
}

sub commands
{
	my ($c) = @_;
	my @turns;

	for my $kind ('ours', grep { $_ ne 'opensmtpd' } @{ $c->{opt}{peers} }) {
		my $suite = $c->start($kind);
		call($suite, 20);
		push @turns, { name => $kind, run => sub { call($suite, $c->n($kind eq 'ours' ? 4_000 : 1_000)) } };
	}
	return @turns;
}

# ---- sessions that say nothing

sub hold_sessions
{
	my ($suite, $n) = @_;
	my $before = $suite->{measure}->pss_kib;
	my $out = "$suite->{state}/idle";

	unlink $out;
	my $pid = Supervisor::spawn([ "$suite->{bin}/smtpsource", '-I', '-h', "127.0.0.1:$suite->{port}", '-s', $n ], $out);
	my $said = wait_for(sub { (slurp($out) // '') =~ /^(.+)\n/ and $1 }, "$n sessions with $suite->{name}", 120);
	my $after = $suite->{measure}->pss_kib;
	kill 'TERM', $pid;
	waitpid $pid, 0;
	my ($held) = $said =~ /^held (\d+)/ or die "bench: smtpsource said: $said\n";
	return { held => $held, session => $held ? ($after - $before) / $held : 0 };
}

sub idle
{
	my ($c) = @_;
	my @turns;

	for my $kind ('ours', @{ $c->{opt}{peers} }) {
		# As many as it may be asked for where each is a process.
		my $n = $kind eq 'ours' ? 10_000 : $kind eq 'opensmtpd' ? 1_000 : 200;
		push @turns, { name => $kind, run => sub {
			my $suite = $c->start($kind, sessions => $n);
			Load::relay($suite, messages => 1_000);
			my $r = hold_sessions($suite, $n);
			$suite->end; # what a session left behind would make the next one cheaper
			return $r;
		} };
	}
	return @turns;
}

our %ROW = (
	accept4k => {
		help => 'acceptance alone, 4 KiB, 100 sessions of 10; the queue on a journaled ext4',
		begin => sub { my ($c) = @_; held($c, 4096, $c->n(10_000)) },
		gates => gates(6, 1.2 * 4096 + 1500),
	},
	accept100k => {
		help => 'the same, 100 KiB',
		begin => sub { my ($c) = @_; held($c, 102_400, $c->n(2_000)) },
		gates => gates(3, 1.05 * 102_400 + 4096),
	},
	sendmail => {
		help => 'the sendmail command, 4 at a time; CPU of all processes, delivery included',
		begin => \&commands,
		gates => [
			[ calls_over_postfix => Gate::over('calls', 'ours', 'postfix'), '>=', 5, 'x' ],
			[ call_cpu => Gate::ours('call_cpu'), '<=', 1500, 'us/call' ],
		],
	},
	idle => {
		help => 'sessions that say EHLO and no more: 10,000 with ours',
		begin => \&idle,
		gates => [
			[ session => Gate::ours('session'), '<=', 12, 'KiB/session' ],
			[ held => Gate::ours('held'), '>=', 10_000, 'sessions' ],
		],
	},
);

1;
