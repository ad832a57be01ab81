# SPDX-License-Identifier: ISC
package Profile;

# Where the CPU time of a relayed message goes, by service and function, with perf(1): see Scenarios.pm. Sampling
# itself costs some tenths, so the sums are above those of `relay`; the shares are what counts.

use strict;
use warnings;
use House qw(run);
use Load;
use Supervisor;

my $HZ = 1499;
my $LEAST = 0.4; # us a message: what is below is not told

# What the kernel is at where it is at no call of ours, by a function that it is in.
my @KINDS = (
	[ 'seccomp' => qr/seccomp|secure_computing|bpf/ ],
	[ 'page faults' => qr/page_fault/ ],
	[ 'interrupts' => qr/irq|apic|sysvec/ ],
	[ 'switches' => qr/schedule|finish_task|context_switch/ ],
	[ 'system call entry' => qr/syscall|entry_/i ],
);

# The stages of a message and what the design allows each, us at 100 sessions. A sample belongs to the first row whose
# service it is, and whose pattern is found in its kernel work ("sendto", see _kernel) or in one of its frames.
my @STAGES = (
	[ 'log events, both ends', 11, qr/^logd$/, qr/./ ],
	[ 'log events, both ends', 11, qr/./, qr/^log_|^letter_tell$/ ],
	[ 'wake-ups', 6, qr/./, qr/^(?:epoll_wait|futex|switches|interrupts)$/ ],
	[ 'router and the question to it', 3, qr/^router$/, qr/./ ],
	[ 'router and the question to it', 3, qr/^smtpd$/, qr/^policy_|^(?:sendmsg|recvmsg)$/ ],
	[ 'smtpd: record, checksum, writev, sync', 8, qr/^smtpd$/, qr/^(?:thread_main|batch_\w+|intake_\w+|writer_\w+|fdatasync|writev|XXH3\w+)$/ ],
	[ 'smtpd: four turns, 4 KiB, a tenth of a session', 48, qr/^smtpd$/,
		qr/^(?:sendto|read|recvfrom|accept4|close|shutdown|setsockopt|epoll_ctl|seccomp|system call entry)$|^ev|^event_/ ],
	[ 'smtpd: parse, headers, Received, policy', 6, qr/^smtpd$/, qr/./ ],
	[ 'qmgr: files, dispatches, takes the result, journals', 16, qr/^qmgr$/, qr/./ ],
	[ 'deliver: two turns, content, a tenth of a session', 32, qr/^deliver$/, qr/./ ],
);

sub _stage
{
	my ($name, @words) = @_;

	for my $row (@STAGES) {
		return $row->[0] if $name =~ $row->[2] && grep { $_ =~ $row->[3] } @words;
	}
	return 'others';
}

# One sample: whose, and its frames, innermost first, each [ symbol, object ].
sub _samples
{
	my ($text, $each) = @_;

	for my $block (split /\n\n/, $text) {
		my ($head, @lines) = split /\n/, $block;
		my ($pid) = ($head // '') =~ /\s(\d+)\s*$/ or next;
		my @frames = map { /^\s*[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \((.*)\)$/ ? [ $1, $2 ] : () } @lines;
		$each->($pid, @frames) if @frames;
	}
}

# The system call, or what else the kernel was at, or undef: not in the kernel.
sub _kernel
{
	my (@frames) = @_;

	return undef unless $frames[0][1] =~ /kernel|\[k/;
	for my $frame (@frames) {
		return $1 if $frame->[0] =~ /^(?:__x64_|__se_|__do_|__|k)sys_(\w+)$/ || $frame->[0] =~ /^do_(writev|readv|epoll_wait|futex)$/;
	}
	for my $kind (@KINDS) {
		return $kind->[0] if grep { $_->[0] =~ $kind->[1] } @frames;
	}
	return "other, in $frames[0][0]";
}

sub _tell
{
	my ($c, $kind, $us) = @_;

	for my $name (sort { $us->{$b} <=> $us->{$a} } keys %$us) {
		$c->once("$kind $name", $us->{$name}, 'us/message') if $us->{$name} >= $LEAST;
	}
}

# System calls a message, by service, of a load of their own.
my @CALLS = qw(accept4 close epoll_ctl epoll_wait fdatasync fsync futex mmap munmap openat pread64 pwrite64 read readv recvfrom recvmsg
    sendfile64 sendmsg sendto setsockopt shutdown unlinkat write writev);

sub _calls
{
	my ($c, $suite, $service, $n) = @_;
	my (%pids, %counters);

	push @{ $pids{ $service->{$_} } }, $_ for sort keys %$service;
	for my $name (keys %pids) {
		my $file = "$suite->{state}/calls.$name";
		$counters{$name} = Supervisor::spawn([ 'perf', 'stat', '-x', ',', '-o', $file, '-e', join(',', map { "syscalls:sys_enter_$_" } @CALLS),
			'-p', join ',', @{ $pids{$name} } ], "$file.err");
	}
	sleep 1; # until they have attached: nothing tells
	Load::relay($suite, messages => $n);
	for my $name (sort keys %counters) {
		kill 'INT', $counters{$name};
		waitpid $counters{$name}, 0;
		my %count = map { /^(\d+),.*?sys_enter_(\w+)/ && $1 / $n >= 0.02 ? ($2 => $1 / $n) : () } split /\n/, House::slurp("$suite->{state}/calls.$name") // '';
		$c->once("calls $name $_", $count{$_}, 'calls/message') for sort { $count{$b} <=> $count{$a} } keys %count;
	}
}

sub profile
{
	my ($c) = @_;
	my $suite = $c->start('ours');
	my $n = $c->n(60_000);
	my $data = "$suite->{state}/perf.data";

	Load::relay($suite, messages => $c->n(5_000));
	my %service = map { my ($name, $pid) = @$_; $name =~ s{/.*}{}; $pid => $name } $suite->{house}->processes;
	_calls($c, $suite, \%service, $c->n(20_000));
	my $pid = Supervisor::spawn([ 'perf', 'record', '-q', '-a', '-e', 'cpu-clock', '-F', $HZ, '-g', '-o', $data ], "$data.err");
	my $r = Load::relay($suite, messages => $n);
	kill 'INT', $pid;
	waitpid $pid, 0;
	my ($status, $text) = run({ seconds => 600 }, 'perf', 'script', '-i', $data, '-F', 'comm,pid,ip,sym,dso', '--no-inline');
	$status == 0 or die "bench: perf: ", House::slurp("$data.err") // '';
	my $us = 1e6 / $HZ / $n;
	my (%service_us, %calls, %own, %within, %stages);
	_samples($text, sub {
		my ($of, @frames) = @_;
		my $name = $service{$of} // return;
		my $call = _kernel(@frames);
		my %seen;

		$service_us{$name} += $us;
		$stages{ _stage($name, $call // (), map { $_->[0] } @frames) } += $us;
		defined $call ? ($calls{"$name $call"} += $us) : ($own{"$name $frames[0][0]"} += $us);
		$within{"$name $_"} += $us for grep { !$seen{$_}++ } map { $_->[0] } grep { $_->[1] =~ m{/bin/\Q$name\E$} } @frames;
	});
	$c->once('rate', $r->{rate}, 'messages/s, under perf');
	my %allowed = (map { $_->[0] => $_->[1] } @STAGES);
	$c->once("stage $_", $stages{$_}, 'us/message' . ($allowed{$_} ? ", of $allowed{$_}" : '')) for sort { $stages{$b} <=> $stages{$a} } keys %stages;
	_tell($c, 'service', \%service_us);
	_tell($c, 'call', \%calls);
	_tell($c, 'function', \%own);
	_tell($c, 'within', \%within);
	return;
}

our %ROW = (
	profile => {
		help => 'where the CPU time of relay goes (perf): service; call: in the kernel; function: alone; within: with what it calls', full => 1,
		begin => \&profile,
		gates => [],
	},
);

1;
