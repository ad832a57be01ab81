# SPDX-License-Identifier: ISC
# Idle sessions: what one costs in memory, in all processes together; how many are held, and what the next one hears;
# how many may wait to be accepted.
#
# IDLE_SESSIONS in the environment: how many. 10,000 (make check-long) is what the configuration says by default.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp need_root);
use IO::Select;
use Socket qw(:all);
use Talk qw(code);
use Test::More;

need_root();

use constant { SESSION_BYTES => 12 * 1024, MESSAGES => 20, AT_ONCE => 100, WAITING => 3000 };
my $n = $ENV{IDLE_SESSIONS} // 500;
my $san = ($ENV{V} // '') eq 'san'; # memory under a sanitizer is another thing

# Our own ends of them.
system('prlimit', '--nofile=' . (($n > WAITING ? $n : WAITING) + 1000), '--pid', $$) == 0 or plan skip_all => 'too few descriptors';

my $house = House->new(config => { $n == 10_000 ? () : (sessions_max => $n), mx_workers => 1 })->start;
$house->sink;

# The proportional set of all processes, less what are pages of files: those grow with nobody's sessions, and their
# share changes with every other process of this machine.
sub pss
{
	my $sum = 0;

	for my $p ($house->processes) {
		my $text = slurp("/proc/$p->[1]/smaps_rollup") // '';
		$sum += $_ * 1024 for $text =~ /^Pss_(?:Anon|Shmem):\s+(\d+)/mg;
	}
	return $sum;
}

# Says something in many sessions and reads a whole reply of each.
sub all_say
{
	my ($text, $expect, @socks) = @_;
	my $good = 0;

	while (my @some = splice @socks, 0, AT_ONCE) {
		for my $s (@some) {
			!length $text || syswrite($s, $text) == length $text or die "write: $!";
		}
		for my $s (@some) {
			my $in = '';
			until ($in =~ /^\d{3} .*\n\z/m) {
				IO::Select->new($s)->can_read(20) or die "no reply to '$text' but '$in'";
				sysread($s, $in, 4096, length $in) or last;
			}
			$good++ if $in =~ /^$expect/;
		}
	}
	return $good;
}

sub connected
{
	socket my $s, AF_INET, SOCK_STREAM | $_[0], 0 or die "socket: $!";
	connect($s, pack_sockaddr_in($house->port('mx'), INADDR_LOOPBACK)) || $!{EINPROGRESS} or die "connect: $!";
	return $s;
}

sub sessions { my ($s, $out) = $house->angctl('status', 'smtpd'); return $out =~ /^sessions: (\d+)$/m ? $1 : -1 }

sub some_mail
{
	my $t = $house->talk;

	$t->reply;
	$t->ask('EHLO client.example');
	$t->send_mail('a@b.example', 'c@d.example', "Subject: x\n\n" . ('x' x 70 . "\n") x 60) == 250 or die 'refused' for 1 .. MESSAGES;
	$t->ask('QUIT');
	$t->close;
	wait_for(sub { sessions() == 0 }, 'no session', 20);
}

# Nothing is there for the first time any more.
some_mail();
$house->log_lines;
my $before = pss();
my @socks;
while (@socks < $n) {
	my @some = map { connected(0) } 1 .. ($n - @socks < AT_ONCE ? $n - @socks : AT_ONCE);
	all_say('', 220, @some) == @some or die 'not greeted';
	push @socks, @some;
}
is(sessions(), $n, "$n sessions are held");
my $more = $house->talk;
is(code($more->reply), 421, 'and the next one is refused');
$more->close;
$house->log_lines;
my $greeted = (pss() - $before) / $n;
is(all_say("EHLO client.example\r\n", 250, @socks), $n, 'EHLO in each');
$house->log_lines;
my $known = (pss() - $before) / $n;
is(all_say("MAIL FROM:<a\@b.example>\r\nRCPT TO:<c\@d.example>\r\nDATA\r\n", 250, @socks), $n, 'a message is begun in each');
# Replies of a group come in one piece or in three.
for my $s (@socks) {
	my $in = '';

	sysread($s, $in, 4096, length $in) while IO::Select->new($s)->can_read(0);
}
is(all_say("Subject: x\r\n\r\n" . ('y' x 70 . "\r\n") x 57 . ".\r\n", 250, @socks), $n, 'and stored');
$house->log_lines;
my $used = (pss() - $before) / $n;
note sprintf 'bytes of memory a session: %.0f when greeted, %.0f after EHLO, %.0f after a message of 4 KiB', $greeted, $known, $used;
SKIP: {
	skip 'memory under a sanitizer', 3 if $san;
	cmp_ok($greeted, '<=', SESSION_BYTES, 'a session that was greeted costs at most 12 KiB');
	cmp_ok($known, '<=', SESSION_BYTES, 'one that said EHLO');
	cmp_ok($used, '<=', SESSION_BYTES, 'one that has sent a message');
}
close $_ for @socks;
wait_for(sub { sessions() == 0 }, 'the sessions to end', 20);

# While nobody accepts, thousands are connected all the same.
SKIP: {
	my ($most) = (slurp('/proc/sys/net/core/somaxconn') // 0) =~ /(\d+)/;
	skip "this kernel lets $most wait", 1 if $most < WAITING;
	my @smtpd = map { $_->[1] } grep { $_->[0] =~ m{^smtpd/} } $house->processes;

	kill 'STOP', @smtpd;
	my @waiting = map { connected(SOCK_NONBLOCK) } 1 .. WAITING;
	# One that the kernel had no place for would begin anew after a second, and again, and again.
	my $connected = grep { getpeername $_ } @waiting;
	kill 'CONT', @smtpd;
	is($connected, WAITING, WAITING . ' connections wait to be accepted');
}
done_testing;
