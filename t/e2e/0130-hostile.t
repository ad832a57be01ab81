# SPDX-License-Identifier: ISC
# Clients that mean no good, in numbers: each is refused as the RFC says, and the others' mail flows.
# One limit at a time stands in 0120-limits.t, dialogues in t/talk, smuggling in 0110-smuggle.t.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp run need_root top);
use POSIX qw(WNOHANG);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Talk qw(code);
use Test::More;
use Time::HiRes qw(time sleep);

need_root();

sub begin
{
	my ($house) = @_;
	my $t = $house->talk;

	$t->reply;
	$t->ask('EHLO client.example');
	return $t;
}

sub sunk { my ($house, $id) = @_; return grep { /^\Q$id\E\t/ } split /\n/, slurp("$house->{state}/sink.log") // '' }

sub arrives
{
	my ($house, $id, $what) = @_;

	ok(eval { wait_for(sub { sunk($house, $id) }, $id, 20) }, $what);
}

my $house = House->new(config => { sessions_per_client => 5000, mx_workers => 2 })->start;
my ($state, $bin) = @$house{qw(state bin)};
$house->sink;

subtest '10,000 recipients, pipelined, and the message' => sub {
	my $t = begin($house);
	my %codes;

	is(code($t->ask('MAIL FROM:<a@b.example>')), 250, 'MAIL');
	my $pid = fork;
	if (!$pid) { # so that nobody waits for the other
		$t->raw(join '', map { "RCPT TO:<u$_\@d.example>\r\n" } 1 .. 10_000);
		POSIX::_exit(0);
	}
	for (1 .. 10_000) {
		my $reply = $t->reply // last;
		$codes{ substr $reply, 0, 9 }++;
	}
	waitpid $pid, 0;
	is_deeply(\%codes, { '250 2.1.5' => 1000, '452 4.5.3' => 9000 }, 'a thousand are taken, the others told to come again');
	is(code($t->ask('DATA')), 354, 'DATA');
	$t->raw("X-Test-Id: crowd\r\n\r\nx\r\n.\r\n");
	is(code($t->reply), 250, 'the message is taken');
	$t->ask('QUIT');
	my %got;
	eval {
		wait_for(sub {
			%got = map { $_ => 1 } map { /<?(u\d+)\@d\.example/g } sunk($house, 'crowd');
			keys %got >= 1000;
		}, 'a thousand recipients', 30);
	};
	is(scalar keys %got, 1000, 'as many are delivered to');
	is(scalar(grep { !$got{"u$_"} } 1 .. 1000), 0, 'those that were taken');
};

subtest '1,000 unknown verbs' => sub {
	my $t = begin($house);
	my @codes;

	$t->raw(join '', map { "XEVIL $_\r\n" } 1 .. 1000);
	while (defined(my $reply = $t->reply)) {
		push @codes, code($reply);
	}
	is("@codes", join(' ', (500) x 19, 421), 'nineteen are answered, then the session ends');
	ok($t->closed, 'closed');
};

subtest 'oversize command lines' => sub {
	my $t = begin($house);

	# In pieces, and in one; a line that goes on for ever is no line.
	is(code($t->ask('RCPT TO:<' . 'x' x 3000 . '@d.example>')), 500, 'a long path');
	$t->raw('MAIL FROM:<');
	$t->raw('y' x 1000) for 1 .. 200;
	is(code($t->ask('>')), 500, 'piece by piece');
	is(code($t->ask('NOOP')), 250, 'what follows is a command again');
	$t->raw('z' x 100_000) or last for 1 .. 30;
	my @codes;
	while (defined(my $reply = $t->reply(20))) {
		push @codes, code($reply);
	}
	is("@codes", '500 421', 'a line of 3 MB: the session ends');
};

subtest 'NULs' => sub {
	my $t = begin($house);

	like($t->ask("MAIL FROM:<a\0b\@c.example>"), qr/^5\d\d 5\./, 'in an address');
	like($t->ask("EHLO client\0.example"), qr/^50[01]/, 'in a name');
	like($t->ask("\0" x 500), qr/^500/, 'and nothing else');
	is($t->send_mail('a@b.example', 'c@d.example', "X-Test-Id: nul\n\na\0b\n"), 550, 'in data');
	is($t->send_mail('a@b.example', 'c@d.example', "X-Test-Id: after-nul\n\nfine\n"), 250, 'the session goes on');
	arrives($house, 'after-nul', 'what is clean comes through');
	is(scalar sunk($house, 'nul'), 0, 'what is not does not');
};

subtest 'commands and data in one packet' => sub {
	my $tx = "MAIL FROM:<a\@b.example>\r\nRCPT TO:<c\@d.example>\r\nDATA\r\n";
	my %then = (
		'a message' => "X-Test-Id: early\r\n\r\nx\r\n.\r\n",
		'commands' => "RSET\r\nMAIL FROM:<x\@y.example>\r\n",
		'another transaction' => $tx,
		'a dot' => ".\r\n",
	);
	for my $what (sort keys %then) {
		my $t = begin($house);
		my @codes;

		$t->raw($tx . $then{$what});
		while (defined(my $reply = $t->reply)) {
			push @codes, code($reply);
		}
		is("@codes", '250 250 521', "$what behind DATA: refused, and over");
	}
	# Behind the dot commands may stand: that is pipelining.
	my $t = begin($house);
	$t->raw($tx);
	is(code($t->reply), $_, "$_ to a group") for 250, 250, 354;
	$t->raw("X-Test-Id: first\r\n\r\nx\r\n.\r\n$tx");
	is(code($t->reply), $_, "$_ behind the dot") for 250, 250, 250, 354;
	$t->raw("X-Test-Id: second\r\n\r\nx\r\n.\r\nQUIT\r\n");
	is(code($t->reply), $_, "$_ at the end") for 250, 221;
	arrives($house, $_, "$_ message") for qw(first second);
	is(scalar sunk($house, 'early'), 0, 'what came early is no message');
};

subtest '51 Received fields' => sub {
	my $t = begin($house);
	my $hop = "Received: from a.example by b.example; Sat, 21 Nov 2026 12:00:00 +0000\r\n";
	my $try = sub {
		my ($head) = @_;
		$t->ask('MAIL FROM:<a@b.example>');
		$t->ask('RCPT TO:<c@d.example>');
		$t->ask('DATA');
		$t->raw("$head\r\nx\r\n.\r\n");
		return $t->reply;
	};

	like($try->($hop x 50), qr/^250/, 'fifty');
	like($try->($hop x 51), qr/^554 5\.4\.6 /, 'fifty-one');
	like($try->(join '', map { $_ % 2 ? "RECEIVED:\r\n\tx\r\n" : "received : x\r\n" } 1 .. 60), qr/^55/, 'in any spelling');
	like($try->("Subject: x\r\n\r\n" . $hop x 100), qr/^250/, 'those in a body do not count');
};

subtest '1,000 idle sessions while mail flows' => sub {
	my @children;

	for (1 .. 2) {
		pipe my $r, my $w or die "pipe: $!";
		my $pid = fork // die "fork: $!";
		if (!$pid) {
			my @held = map { begin($house) } 1 .. 500;
			syswrite $w, scalar(grep { code($_->ask('NOOP')) == 250 } @held) . "\n";
			sleep 60; # until it is killed
			POSIX::_exit(0);
		}
		close $w;
		push @children, [ $pid, $r ];
	}
	my $held = 0;
	$held += readline $_->[1] for @children;
	is($held, 1000, 'a thousand are served');
	my ($s, $out) = $house->angctl('status', 'smtpd');
	like($out, qr/^sessions: 1000$/m, 'and counted') or diag $out;
	my ($status, $said) = run("$bin/smtpsource", '-h', '127.0.0.1:' . $house->port('mx'), '-s', 20, '-m', 500, '-n', 10,
		'-i', 'IDLE', '-a', "$state/acks");
	is($status, 0, 'mail is taken beside them') or diag $said;
	kill 'KILL', $_->[0] for @children;
	waitpid $_->[0], 0 for @children;
	my ($rc, $audit);
	eval { wait_for(sub { ($rc, $audit) = run('perl', top() . '/t/tool/audit.pl', '-a', "$state/acks", '-s', "$state/sink.log"); $audit =~ /^lost 0$/m }, 'the mail', 30) };
	like($audit, qr/^lost 0$/m, 'and delivered');
	ok(eval { wait_for(sub { my ($c, $o) = $house->angctl('status', 'smtpd'); $o =~ /^sessions: 0$/m }, 'no session', 10) }, 'those who hang up are forgotten');
};
$house->end;

# A client that trickles: the wait is for the command, not for the next byte.
$house = House->new(config => { command_timeout => '1s', data_timeout => '1s', mx_workers => 1 })->start;
subtest 'slow clients' => sub {
	my ($t, $begun) = (begin($house), time);
	my $reply;

	for (1 .. 40) {
		$t->raw('x') or last;
		$reply = $t->reply(0.1) and last;
	}
	is(code($reply), 421, 'a command that comes byte by byte');
	cmp_ok(time - $begun, '<', 3, sprintf 'is waited for as long as any (%.1f s)', time - $begun);
	$t = begin($house);
	$t->ask($_) for 'MAIL FROM:<a@b.example>', 'RCPT TO:<c@d.example>', 'DATA';
	$t->raw("X: y\r\n") && sleep 0.3 for 1 .. 6;
	$t->raw(".\r\n");
	is(code($t->reply), 250, 'a message may be slow');
	$t->ask($_) for 'MAIL FROM:<a@b.example>', 'RCPT TO:<c@d.example>', 'DATA';
	$t->raw("X: y\r\n");
	my $end = $t->reply(5);
	ok(!defined $end || code($end) == 421, 'but not stand still');
	ok($t->closed(5), 'closed');
};
$house->end;

# Bodies of 5 MB, more of them at once than may be in memory.
$house = House->new(config => { in_flight_bytes => '16M', mx_workers => 2 })->start;
($state, $bin) = @$house{qw(state bin)};
$house->sink;
subtest 'more message data at once than may be in memory' => sub {
	my ($n, $worst) = (40, 0);
	my $source = $house->tool('source', [ "$bin/smtpsource", '-k', '-h', '127.0.0.1:' . $house->port('mx'), '-s', 20,
		'-m', $n, '-n', 2, '-l', 5_000_000, '-i', 'BIG', '-a', "$state/acks.big", '-w', 150 ]);
	wait_for(sub {
		for my $p (grep { $_->[0] =~ m{^smtpd/} } $house->processes) {
			my ($kib) = (slurp("/proc/$p->[1]/status") // '') =~ /^RssAnon:\s*(\d+)/m;
			$worst = $kib if $kib && $kib > $worst;
		}
		waitpid($source, WNOHANG) == $source;
	}, 'the load to end', 160);
	delete $house->{tools}{source};
	my $said = slurp("$state/source.err");
	diag $said, "worst worker: $worst KiB";
	like($said, qr/ acked=(?:$n|\d{3,}) /, 'all are taken in the end');
	SKIP: {
		skip 'memory is not bounded so under the sanitizer', 1 if ($ENV{V} // '') eq 'san';
		cmp_ok($worst, '<', 64 * 1024, 'no worker holds much more than the bound');
	}
	my ($rc, $audit);
	eval { wait_for(sub { ($rc, $audit) = run('perl', top() . '/t/tool/audit.pl', '-a', "$state/acks.big", '-s', "$state/sink.log"); $audit =~ /^lost 0$/m }, 'the mail', 60) };
	like($audit, qr/^lost 0$/m, 'none is lost') or diag $audit;
};
$house->end;
done_testing;
