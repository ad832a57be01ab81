#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# make bench: ours and Debian's Postfix, one after the other, relaying the same load to the same
# sink on the same disk, both with the durability they ship with.
#
#	bench.pl [--messages 10000] [--sessions 100] [--per-session 10] [--size 4096] [--rounds 3]
#	    [--only ours|postfix]
#
# A round: the generator hands over all messages; it ends when the sink has the last one. Each suite
# is measured in alternate rounds and the median is printed. CPU is user and system time of every
# process of the suite, those that came and went included, by /proc/PID/stat. Lines of the form
# "name value unit"; the two that count:
#
#	relay_vs_postfix_rate   messages a second, ours over theirs
#	relay_vs_postfix_cpu    CPU time a message, ours over theirs
#
# Generator and sink share the processors with what is measured: both suites alike.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../e2e/lib";
use Getopt::Long;
use House qw(wait_for slurp run free_ports);
use Peers;
use POSIX ();
use Supervisor;
use Test::More ();
use Time::HiRes qw(time sleep);

my %opt = (messages => 10_000, sessions => 100, 'per-session' => 10, size => 4096, rounds => 3);
GetOptions(\%opt, qw(messages=i sessions=i per-session=i size=i rounds=i only=s))
    or die "usage: see the head of bench.pl\n";
die "bench: needs root: services start as root and drop\n" if $> != 0;
my $HZ = POSIX::sysconf(&POSIX::_SC_CLK_TCK);

$| = 1;
sub show { printf "%-34s %s %s\n", @_ }

sub median
{
	my @sorted = sort { $a <=> $b } @_;

	return @sorted ? $sorted[ @sorted / 2 ] : 0;
}

# Bytes that the disk below a folder has been told to write, all of the machine's; undef when it cannot be told.
# Not /proc/PID/io: with large folios the kernel counts a whole folio there for each byte that makes it dirty.
sub disk_written
{
	my ($dir) = @_;
	my $dev = (stat $dir)[0] // return undef;
	my ($major, $minor) = ($dev >> 8 & 0xfff, ($dev & 0xff) | ($dev >> 12 & 0xfff00));

	run('sync');
	my ($sectors) = slurp('/proc/diskstats') =~ /^\s*$major\s+$minor\s+\S+(?:\s+\d+){6}\s+(\d+)/m;
	return defined $sectors ? $sectors * 512 : undef;
}

# pid => { cpu (s) } of these processes and all below them, with what their dead children used: a
# parent inherits it when it waits.
sub usage
{
	my (@roots) = @_;
	my (%stat, %children, %use);

	for my $file (glob '/proc/[0-9]*/stat') {
		my $text = slurp($file) // next;
		my ($pid, $ppid, $rest) = $text =~ /^(\d+) \(.*\) \S (\d+) (.*)/s or next;
		my @f = split ' ', $rest; # from field 5 on
		$stat{$pid} = ($f[9] + $f[10] + $f[11] + $f[12]) / $HZ;
		push @{ $children{$ppid} }, $pid;
	}
	while (defined(my $pid = shift @roots)) {
		$use{$pid} = { cpu => $stat{$pid} // 0 };
		push @roots, @{ $children{$pid} // [] };
	}
	return %use;
}

sub total
{
	my ($use, $what) = @_;
	my $sum = 0;

	$sum += $_->{$what} for values %$use;
	return $sum;
}

# Count syncs of processes and of those they fork, with the kernel's own counters; nothing when
# perf(1) is not there or may not.
sub syncs_start
{
	my ($file, @pids) = @_;
	my @calls = map { "syscalls:sys_enter_$_" } qw(fsync fdatasync syncfs);

	return unless (run('perf', 'stat', '-e', $calls[0], 'true'))[0] == 0;
	my $pid = Supervisor::spawn([ 'perf', 'stat', '-x', ',', '-o', $file, '-e', join(',', @calls), '-p', join ',', @pids ],
		"$file.err");
	sleep 0.3; # until it has attached: nothing tells
	return $pid;
}

sub syncs_end
{
	my ($file, $pid) = @_;
	my $sum = 0;

	return undef unless $pid;
	kill 'INT', $pid;
	waitpid $pid, 0;
	$sum += $_ for (slurp($file) // '') =~ /^(\d+),/mg;
	return $sum;
}

# One load through a suite listening on `port`, to the sink whose log is `log`.
sub load
{
	my ($house, $port, $log, $messages) = @_;
	my $before = -s $log // 0;
	my $begun = time;
	my ($status, $out, $err) = run({ seconds => 600 }, "$house->{bin}/smtpsource", '-h', "127.0.0.1:$port", '-s', $opt{sessions},
		'-n', $opt{'per-session'}, '-m', $messages, '-l', $opt{size}, '-i', sprintf('r%d', time * 1000));

	$status == 0 or die "the load failed: $out$err";
	my $accepted = time - $begun;
	open my $fh, '<', $log or die "$log: $!";
	seek $fh, $before, 0;
	my $n = 0;
	wait_for(sub { while (<$fh>) { $n++ if /\n\z/ } seek $fh, 0, 1; $n >= $messages }, "$messages messages at the sink", 300);
	my ($p50, $p99) = $out =~ /p50_ms=(\S+) p99_ms=(\S+)/;
	return { seconds => time - $begun, accepted => $accepted, p50 => $p50, p99 => $p99 };
}

sub measure
{
	my ($name, $house, $port, $log, @roots) = @_;
	my $n = $opt{messages};
	my $disk = disk_written($house->{state});
	my %before = usage(@roots);
	my $perf = syncs_start("$house->{state}/perf.$name", keys %before);
	my $r = load($house, $port, $log, $n);
	$r->{syncs} = syncs_end("$house->{state}/perf.$name", $perf);
	my %after = usage(@roots);

	$r->{rate} = $n / $r->{seconds};
	$r->{cpu} = (total(\%after, 'cpu') - total(\%before, 'cpu')) * 1e6 / $n;
	$r->{written} = (disk_written($house->{state}) - $disk) / $n if defined $disk;
	$r->{each} = { map { $_ => ($after{$_}{cpu} - ($before{$_} // { cpu => 0 })->{cpu}) * 1e6 / $n } keys %after };
	return $r;
}

sub print_suite
{
	my ($name, @rounds) = @_;

	for my $what ([ rate => 'messages/s' ], [ cpu => 'us/message' ], [ p50 => 'ms' ], [ p99 => 'ms' ]) {
		show("${name}_$what->[0]", sprintf('%.1f', median(map { $_->{ $what->[0] } } @rounds)), $what->[1]);
	}
	my @written = grep { defined } map { $_->{written} } @rounds;
	show("${name}_disk", @written ? sprintf('%.0f', median(@written)) : 'unknown', 'bytes/message at the disk, sink and logs included');
	my @syncs = map { $_->{syncs} / $opt{messages} } grep { defined $_->{syncs} } @rounds;
	show("${name}_syncs", @syncs ? sprintf('%.4f', median(@syncs)) : 'unknown', 'syncs/message');
	show("${name}_rounds", join(' ', map { sprintf '%.0f', $_->{rate} } @rounds), 'messages/s');
}

# What must be left at the end, should anything fail on the way, falls with its object.
my (%rounds, %suite, $house, $postfix);
my $relay_port;
if (($opt{only} // 'ours') eq 'ours') {
	$house = House->new(name => 'bench', config => { sessions_per_client => 10_000 })->start;
	$house->sink;
	$suite{ours} = { port => $house->port('mx'), log => "$house->{state}/sink.log",
		roots => sub { map { $house->pid($_) } @House::SERVICES } };
}
my $tools = $house // House->new(name => 'bench', services => []);
if (($opt{only} // 'postfix') eq 'postfix') {
	my $why = Peers::missing();
	die "bench: no Postfix: $why" if $why ne '';
	my ($port, $sink) = free_ports(2);
	$tools->tool('sink2', [ "$tools->{bin}/smtpsink", '-o', "$tools->{state}/sink2.log", "127.0.0.1:$sink" ], $sink);
	my $conns = $opt{sessions} + 50;
	$postfix = Peers->postfix(dir => "$tools->{state}/postfix", port => $port, relay => "[127.0.0.1]:$sink",
		main => { default_process_limit => $conns, in_flow_delay => 0, default_destination_concurrency_limit => 50,
			initial_destination_concurrency => 20, smtpd_client_connection_count_limit => 0 });
	$suite{postfix} = { port => $port, log => "$tools->{state}/sink2.log", roots => sub { $postfix->master } };
}
for my $name (sort keys %suite) {
	my $s = $suite{$name};
	load($tools, $s->{port}, $s->{log}, $opt{messages} / 10); # processes started, files there
}
for my $round (1 .. $opt{rounds}) {
	for my $name (sort keys %suite) {
		my $s = $suite{$name};
		push @{ $rounds{$name} }, measure($name, $tools, $s->{port}, $s->{log}, $s->{roots}->());
	}
}
print_suite($_, @{ $rounds{$_} }) for sort keys %rounds;
if ($house) {
	my %name = map { $_->[1] => $_->[0] } $house->processes;
	my %sum;
	for my $r (@{ $rounds{ours} }) {
		$sum{ $name{$_} // 'gone' } += $r->{each}{$_} / $opt{rounds} for keys %{ $r->{each} };
	}
	show("ours_cpu_$_", sprintf('%.1f', $sum{$_}), 'us/message') for sort keys %sum;
}
if ($rounds{ours} && $rounds{postfix}) {
	my %m = map { my $s = $_; $s => { map { my $w = $_; $w => median(map { $_->{$w} } @{ $rounds{$s} }) } qw(rate cpu) } } qw(ours postfix);
	show('relay_vs_postfix_rate', sprintf('%.2f', $m{ours}{rate} / $m{postfix}{rate}), 'x');
	show('relay_vs_postfix_cpu', sprintf('%.4f', $m{ours}{cpu} / $m{postfix}{cpu}), 'x');
}
$postfix->end if $postfix;
$tools->end;
