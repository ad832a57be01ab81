#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# The bench itself: its load source and sink tell what came and when, its audit sees what is lost and what is
# doubled, and a run at a small scale comes to its gates.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib", "$FindBin::Bin/../bench/lib";
use House qw(wait_for free_ports slurp spew run build_dir bin_dir top need_root);
use Load;
use Supervisor;
use Test::More;

need_root();
my $dir = build_dir() . "/t/bench-test.$$";
my $bin = bin_dir();
mkdir $dir or die "$dir: $!";
END { run('rm', '-rf', $dir) if defined $dir && Test::More->builder->is_passing }

# ---- the audit

# What the sink's file says of a run of so many messages.
sub audited
{
	my ($messages, @lines) = @_;
	my $suite = { name => 'it', times => "$dir/audit", runs => {} };

	spew($suite->{times}, join '', @lines);
	open $suite->{times_fh}, '<', $suite->{times} or die $!;
	Load::expect($suite, 'r.1', $messages, 1);
	return eval { Load::await($suite, 'r.1', 0.1); join ' ', @{ $suite->{runs}{'r.1'}{times} } } // $@;
}

for my $case (
	[ 'all is there', 3, '10 20 30', "r.1-0\t10\n", "r.1-2\t20\n", "r.1-1\t30\n" ],
	[ 'mail of others is not counted', 1, '5', "r.2-0\t9\n", "-\t-\n", "r.1-0\t5\n" ],
	[ 'lost', 3, "bench: LOST: it promised 3 messages of run r.1 and 1 never came: 1\n", "r.1-0\t1\n", "r.1-2\t1\n" ],
	[ 'half a line is no message', 2, "bench: LOST: it promised 2 messages of run r.1 and 1 never came: 1\n", "r.1-0\t1\n", "r.1-1\t1" ],
	[ 'doubled', 2, "bench: DOUBLED: it delivered 1 messages of run r.1 more than once: 1\n", "r.1-1\t1\n", "r.1-1\t1\n", "r.1-0\t1\n" ],
) {
	my ($what, $messages, $want, @lines) = @$case;
	is(audited($messages, @lines), $want, $what);
}

# ---- source and sink

my ($port) = free_ports(1);
my $sink = Supervisor::spawn([ "$bin/smtpsink", '-Q', '-o', "$dir/log", '-T', "$dir/times", "0.0.0.0:$port" ], "$dir/sink.err");
wait_for(sub { IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port, Timeout => 2) }, 'the sink');
my ($status, $out, $err) = run("$bin/smtpsource", '-T', '-h', "127.9.8.7:$port", '-s', 2, '-m', 6, '-n', 2, '-i', 'it', '-t', 'a@d%d.example', '-u', 3);
is("$status $err", '0 ', 'a load to any of the loopback addresses');
my @times = wait_for(sub { my @l = split /\n/, slurp("$dir/times") // ''; @l == 6 and \@l })->@*;
is_deeply([ sort map { /^(it-\d)\t(\d+)$/ && $2 < 10_000_000 ? $1 : $_ } @times ], [ map { "it-$_" } 0 .. 5 ], 'each with the time that it took');
is_deeply([ sort map { /\@(d\d)/ } split /\n/, slurp("$dir/log") ], [ map { ($_) x 2 } qw(d0 d1 d2) ], 'recipients begin again');

my $idle = Supervisor::spawn([ "$bin/smtpsource", '-I', '-h', "127.0.0.1:$port", '-s', 20 ], "$dir/idle");
is(wait_for(sub { (slurp("$dir/idle") // '') =~ /^(.*)\n/ and $1 }, 'sessions to be held'), 'held 20', 'idle sessions are there');
kill 'TERM', $sink;
waitpid $sink, 0;
waitpid $idle, 0;
is($? >> 8, 1, 'and it is said when they were ended');
like(slurp("$dir/sink.err"), qr/highest=2[0-9]/, 'all of them at a time');

# ---- calls

($status, $out) = run("$bin/callmany", '-n', 8, '-p', 3, '-l', 2000, '-i', 'c', '-a', "$dir/acks", 'grep', '-q', '^X-Test-Id: c-[0-7]$');
like("$status $out", qr/^0 calls=8 failed=0 .* own_us=[\d.]+$/m, 'a command is called, each time with a message of its own');
is_deeply([ sort split /\n/, slurp("$dir/acks") ], [ map { "c-$_" } 0 .. 7 ], 'and those that ended well are told');
($status, $out) = run("$bin/callmany", '-n', 2, 'false');
like("$status $out", qr/^1 calls=2 failed=2 /, 'failures are');

# ---- a run

my @bench = ('perl', top() . '/t/bench/bench.pl', '--peers', '', '--rounds', 1, '--scale', 0.02);
($status, $out, $err) = run(@bench, '--scenarios', 'nonsense');
like("$status $err", qr/^(?!0)\d+ bench: no scenario 'nonsense'; there are: /, 'a scenario that is not there');
($status, $out, $err) = run({ seconds => 120 }, @bench, '--scenarios', 'relay');
SKIP: {
	skip "$err", 2 if $err =~ /no control group/;
	is("$status $err", '0 ', 'relay, a few messages');
	like($out, qr{^gate_relay_cpu\s+[\d.]+ us/message, at most 200: (?:holds|FAILS)$}m, 'comes to its gates');
}
done_testing();
