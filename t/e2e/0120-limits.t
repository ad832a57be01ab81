# SPDX-License-Identifier: ISC
# Everything has a limit, and at the limit comes the reply that belongs there.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp need_root);
use Talk qw(code);
use Test::More;

need_root();

sub open_session
{
	my ($house) = @_;
	my $t = $house->talk;

	is(code($t->reply), 220, 'greeting');
	$t->ask('EHLO client.example');
	return $t;
}

my $house = House->new(config => { message_size_limit => 65536, recipients_max => 100, errors_max => 6,
	command_line_max => 600, received_max => 10, sessions_per_client => 4, sessions_exempt => [],
	mx_workers => 1 })->start;
$house->sink;

# Size: as declared, and as sent.
my $t = open_session($house);
like($t->ask('EHLO client.example'), qr/^250[- ]SIZE 65536$/m, 'SIZE is offered');
is(code($t->ask('MAIL FROM:<a@b.example> SIZE=65537')), 552, 'a declared size over the limit');
is(code($t->ask('MAIL FROM:<a@b.example> SIZE=65536')), 250, 'and one within');
is(code($t->ask('RCPT TO:<c@d.example>')), 250, 'RCPT');
is(code($t->ask('DATA')), 354, 'DATA');
$t->raw("X-Test-Id: big\r\n\r\n" . ('x' x 70 . "\r\n") x 1000 . ".\r\n");
is(code($t->reply), 552, 'a message over the limit');
is($t->send_mail('a@b.example', 'c@d.example', "X-Test-Id: small\n\nfine\n"), 250, 'the session goes on');

# Recipients: the limit, then exactly those before it get the mail.
is(code($t->ask('MAIL FROM:<a@b.example>')), 250, 'MAIL');
my @codes = map { code($t->ask("RCPT TO:<u$_\@d.example>")) } 1 .. 103;
is("@codes[0 .. 99]", join(' ', (250) x 100), 'a hundred recipients');
is("@codes[100 .. 102]", '452 452 452', 'and no more');
is(code($t->ask('RSET')), 250, 'RSET');
$t->ask('QUIT');

# 10,000 recipients in one go, pipelined.
$t = open_session($house);
$t->ask('MAIL FROM:<a@b.example>');
$t->raw(join '', map { "RCPT TO:<u$_\@d.example>\r\n" } 1 .. 10_000);
my %codes;
while (defined(my $reply = $t->reply(@codes = %codes ? 2 : 20))) {
	$codes{ code($reply) }++;
	last if $codes{421} || ($codes{250} // 0) + ($codes{452} // 0) == 10_000;
}
is($codes{250}, 100, '10,000 recipients: the limit holds');
ok(($codes{452} // 0) + 100 == 10_000 || $codes{421}, 'the others are refused, or the session is') or diag explain \%codes;
$t->close;

# Commands: length, NUL, unknown, and how many mistakes a session may make.
$t = open_session($house);
is(code($t->ask('NOOP ' . 'x' x 590)), 250, 'a line of nearly the limit');
is(code($t->ask('NOOP ' . 'x' x 600)), 500, 'a line over it');
is(code($t->ask('NOOP ' . 'x' x 100_000)), 500, 'and one far over it');
is(code($t->ask('NOOP')), 250, 'the session goes on');
like(code($t->ask("NO\0OP")), qr/^5/, 'a NUL');
$t->close;
$t = open_session($house);
my @answers = map { code($t->ask("WHAT $_")) } 1 .. 6;
is($answers[0], 500, 'an unknown verb');
is($answers[-1], 421, 'too many of them');
ok($t->closed, 'ends the session');

# Loops.
$t = open_session($house);
my $hops = "Received: from a.example by b.example; Sat, 21 Nov 2026 12:00:00 +0000\n";
is($t->send_mail('a@b.example', 'c@d.example', $hops x 10 . "Subject: x\n\nx\n"), 250, 'ten hops');
is($t->send_mail('a@b.example', 'c@d.example', $hops x 11 . "Subject: x\n\nx\n"), 554, 'eleven hops');
$t->ask('QUIT');
$t->close;

# Sessions of one client.
wait_for(sub { my ($s, $o) = $house->angctl('status', 'smtpd'); $o =~ /^sessions: 0$/m }, 'the sessions to end', 10);
my @held = map { open_session($house) } 1 .. 4;
my $fifth = $house->talk;
is(code($fifth->reply), 421, 'a fifth session');
ok($fifth->closed, 'is closed');
$held[0]->ask('QUIT');
$held[0]->close;
wait_for(sub { my $again = $house->talk; code($again->reply) == 220 }, 'a place to be free again', 10);
$_->close for @held[ 1 .. 3 ];
$house->end;

# Time, and all sessions together.
$house = House->new(config => { command_timeout => '1s', data_timeout => '1s', sessions_max => 3, mx_workers => 1 })->start;
$t = open_session($house);
is(code($t->reply(10)), 421, 'a silent client');
ok($t->closed(5), 'is sent away');
$t = open_session($house);
$t->ask('MAIL FROM:<a@b.example>');
$t->ask('RCPT TO:<c@d.example>');
$t->ask('DATA');
$t->raw("Subject: x\r\n");
my $end = $t->reply(10);
ok(!defined $end || code($end) == 421, 'so is one that stops within a message');
ok($t->closed(5), 'and closed');
@held = map { open_session($house) } 1 .. 3;
is(code($house->talk->reply), 421, 'one session more than all may be');
$house->end;
done_testing;
