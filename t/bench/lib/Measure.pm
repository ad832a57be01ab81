# SPDX-License-Identifier: ISC
package Measure;

# What a suite of processes costs: CPU, memory, syncs, bytes at the disk.
#
#	my $m = Measure->new('postfix');
#	$m->within(sub { start it });        # all that is forked in there belongs to it
#	my $us = $m->cpu_us;                 # until now, processes that have ended included
#	my %by = $m->cpu_each;               # pid => us, of those that live
#	my $kib = $m->pss_kib;
#	my ($syncs, $bytes) = $m->counted($dir, sub { load });
#	$m->end;
#
# Processes are gathered in a control group (version 2, or the cpuacct of version 1), which counts in
# microseconds and loses nobody's. It says why it cannot: there is no other way that counts the same for
# servers of one process and of hundreds.

use strict;
use warnings;
use Errno qw(ENOENT);
use House qw(slurp run wait_for);
use Supervisor;
use Time::HiRes qw(sleep);


sub _write
{
	my ($file, $text) = @_;

	open my $fh, '>', $file or return 0;
	return syswrite($fh, $text) && close $fh;
}

sub new
{
	my ($class, $name) = @_;

	for my $root (qw(/sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/cpuacct)) {
		next unless -e "$root/cgroup.procs" && -e "$root/cgroup.controllers" || -e "$root/cpuacct.usage";
		my $dir = "$root/angarium-bench.$$.$name";
		next unless mkdir $dir;
		if (_write("$dir/cgroup.procs", $$)) {
			_write("$root/cgroup.procs", $$);
			return bless { dir => $dir, root => $root, owner => $$ }, $class;
		}
		rmdir $dir;
	}
	die "bench: CPU time cannot be counted: no control group below /sys/fs/cgroup can be made\n";
}

sub within
{
	my ($self, $do) = @_;

	_write("$self->{dir}/cgroup.procs", $$) or die "$self->{dir}: $!";
	my @got = eval { $do->() };
	my $failed = $@;
	_write("$self->{root}/cgroup.procs", $$);
	die $failed if $failed;
	return wantarray ? @got : $got[0];
}

# A process that runs already.
sub take { my ($self, $pid) = @_; _write("$self->{dir}/cgroup.procs", $pid) or die "$self->{dir}: $!" }

sub pids { my ($self) = @_; return split ' ', slurp("$self->{dir}/cgroup.procs") // '' }

sub cpu_us
{
	my ($self) = @_;

	if (defined(my $stat = slurp("$self->{dir}/cpu.stat"))) {
		return $1 if $stat =~ /^usage_usec (\d+)/m;
	}
	return slurp("$self->{dir}/cpuacct.usage") / 1000;
}

# The scheduler's count in nanoseconds, of each thread that lives.
sub cpu_each
{
	my ($self) = @_;
	my %us;

	for my $pid ($self->pids) {
		for my $file (glob "/proc/$pid/task/*/schedstat") {
			$us{$pid} += $1 / 1000 if (slurp($file) // '') =~ /^(\d+)/;
		}
	}
	return %us;
}

sub pss_of
{
	my (@pids) = @_;
	my $sum = 0;

	for my $pid (@pids) {
		$sum += $1 if (slurp("/proc/$pid/smaps_rollup") // '') =~ /^Pss:\s+(\d+)/m;
	}
	return $sum;
}

sub pss_kib { my ($self) = @_; return pss_of($self->pids) }

# Bytes that the disk below a folder has been told to write, whoever wrote them; undef when it cannot be told.
# Not /proc/PID/io: with large folios the kernel counts a whole folio there for each byte that makes it dirty.
sub disk_written
{
	my ($dir) = @_;
	my $dev = (stat $dir)[0] // return undef;
	my ($major, $minor) = ($dev >> 8 & 0xfff, ($dev & 0xff) | ($dev >> 12 & 0xfff00));

	run({ seconds => 120 }, 'sync', '-f', $dir);
	my ($sectors) = slurp('/proc/diskstats') =~ /^\s*$major\s+$minor\s+\S+(?:\s+\d+){6}\s+(\d+)/m;
	return defined $sectors ? $sectors * 512 : undef;
}

# Syncs of the suite and bytes at the disk of `dir` while something is done; syncs undef where perf(1) cannot.
# Counting costs the counted: not for a round whose CPU time matters.
sub counted
{
	my ($self, $dir, $do) = @_;
	my $file = House::build_dir() . "/t/bench-perf.$$";
	my @calls = map { "syscalls:sys_enter_$_" } qw(fsync fdatasync syncfs);
	my ($pid, $syncs);

	my $bytes = disk_written($dir);
	if ((run('perf', 'stat', '-e', $calls[0], 'true'))[0] == 0) {
		$pid = Supervisor::spawn([ 'perf', 'stat', '-x', ',', '-o', $file, '-e', join(',', @calls),
			'-p', join ',', $self->pids ], "$file.err");
		sleep 0.3; # until it has attached: nothing tells
	}
	$do->();
	$bytes = disk_written($dir) - $bytes if defined $bytes;
	if ($pid) {
		kill 'INT', $pid;
		waitpid $pid, 0;
		$syncs += $_ for (slurp($file) // '') =~ /^(\d+),/mg;
		unlink $file, "$file.err";
	}
	return ($syncs, $bytes);
}

sub end
{
	my ($self) = @_;

	return if $self->{owner} != $$ || $self->{ended}++;
	eval { wait_for(sub { rmdir $self->{dir} or $!{ENOENT} }, 'the suite to be gone', 10) };
}

sub DESTROY { my ($self) = @_; local ($?, $@); $self->end }

1;
