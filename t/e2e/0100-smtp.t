# SPDX-License-Identifier: ISC
# A house over loopback: dialogues, and messages that pass through it unharmed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp need_root top);
use Talk qw(code);
use Test::More;

need_root();
my $house = House->new->start;
my $out = "$house->{state}/out";
$house->sink(args => [ '-d', $out ]);

for my $host ('127.0.0.1', '::1') {
	for my $class (qw(mx submission)) {
		my $t = $house->talk($class, $host);
		is($t->reply, '220 mx.test.example ESMTP', "$class on $host greets");
		is($t->ask('HELO client.example'), '250 mx.test.example', 'and knows HELO');
	}
}

for my $file (sort glob top() . '/t/talk/*.talk') {
	my ($name) = $file =~ m{([^/]+)$};
	is_deeply([ $house->talk->play($file) ], [], $name);
}

# Messages: what arrives is a Received field, then what was sent.
sub message
{
	my ($id, $text) = @_;

	return "X-Test-Id: $id\r\nFrom: <a\@b.example>\r\nTo: <c\@d.example>\r\nSubject: $id\r\n\r\n$text";
}

sub arrived
{
	my ($id) = @_;

	return wait_for(sub { (slurp("$house->{state}/sink.log") =~ /^(\Q$id\E\t.*)$/m)[0] }, "$id at the sink", 20);
}

my %text = (
	plain => "Hello\r\n", dots => ".\r\n..\r\n.x\r\n...\r\n", empty => '', blank => "\r\n\r\n\r\n",
	eight => "\xe4\xf6\xfc \xff\r\n", long => 'x' x 990 . "\r\n", large => "0123456789abcdef\r\n" x 60_000,
	'no-dot-at-end' => "line\r\n.", # the end is supplied: ".\r\n" below
);
for my $id (sort keys %text) {
	my $t = $house->talk;
	my $mail = message($id, $text{$id} . ($id =~ /no-dot/ ? "\r\n" : ''));
	$t->reply;
	$t->ask('EHLO client.example');
	is(code($t->ask('MAIL FROM:<a@b.example> BODY=8BITMIME')), 250, "$id: MAIL");
	is(code($t->ask('RCPT TO:<c@d.example>')), 250, "$id: RCPT");
	is(code($t->ask('DATA')), 354, "$id: DATA");
	$t->raw(($mail =~ s/^\./../mgr) . ".\r\n");
	like($t->reply // '', qr/^250 2\.0\.0 Queued as [0-9BCDFGHJ-NP-TV-Z]{13}$/, "$id: 250 with its queue id");
	my ($number) = (split /\t/, arrived($id))[1];
	my $got = slurp(sprintf '%s/%06d', $out, $number);
	my ($received, $rest) = $got =~ /\A(Received: .*?\r\n)(?![ \t])(.*)\z/s;
	like($received // '', qr/from client\.example \(.*127\.0\.0\.1.*by mx\.test\.example.*with ESMTP.*id [0-9A-Z]{13}/s, "$id: a Received field");
	ok(defined $rest && $rest eq $mail, "$id: and the message as sent");
}

# Several recipients; DSN parameters go on to a hop that offers DSN.
my $t = $house->talk;
$t->reply;
$t->ask('EHLO client.example');
$t->ask('MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ314159');
$t->ask('RCPT TO:<one@d.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;First@d.example');
$t->ask('RCPT TO:<two@e.example> NOTIFY=NEVER');
$t->ask('DATA');
$t->raw(message('dsn', "text\r\n") . ".\r\n");
is(code($t->reply), 250, 'two recipients');
wait_for(sub { (() = slurp("$house->{state}/sink.log") =~ /^dsn\t.*(?:one|two)@/mg) && slurp("$house->{state}/sink.log") =~ /one\@d/ && slurp("$house->{state}/sink.log") =~ /two\@e/ }, 'both', 20);
my $lines = join "\n", grep { /^dsn\t/ } split /\n/, slurp("$house->{state}/sink.log");
like($lines, qr/<a\@b\.example>[^\t]* RET=HDRS/, 'RET passed on');
like($lines, qr/ ENVID=QQ314159/, 'ENVID passed on');
like($lines, qr/<one\@d\.example>[^\t\n]* NOTIFY=SUCCESS,FAILURE/, 'NOTIFY passed on');
like($lines, qr/<one\@d\.example>[^\t\n]* ORCPT=rfc822;First\@d\.example/, 'ORCPT passed on');
like($lines, qr/<two\@e\.example> NOTIFY=NEVER/, 'NEVER passed on');
$house->end;

# Relay is closed to strangers; postmaster is always there.
$house = House->new(config => { relay_networks => [ '192.0.2.0/24' ], relay_domains => [ 'ours.example', '.below.example' ] })->start;
$t = $house->talk;
$t->reply;
$t->ask('EHLO client.example');
is(code($t->ask('MAIL FROM:<a@b.example>')), 250, 'a stranger');
for my $case ([ 'x@elsewhere.example', 550 ], [ 'x@ours.example', 250 ], [ 'x@OURS.example', 250 ],
	[ 'x@a.below.example', 250 ], [ 'x@below.example', 550 ], [ 'x@xours.example', 550 ],
	[ 'x%elsewhere.example@other.example', 550 ], [ 'postmaster', 250 ], [ 'Postmaster@ours.example', 250 ]) {
	my $code = code($t->ask("RCPT TO:<$case->[0]>"));
	like($code, $case->[1] == 250 ? qr{^250} : qr{^55[04]}, "RCPT $case->[0]");
}
$house->end;
done_testing;
