# SPDX-License-Identifier: ISC
# Programs that nobody here wrote: Postfix's generator and sink, a real Postfix as next hop, swaks, Exim,
# and what calls /usr/sbin/sendmail: mail(1), git send-email, a cron-like caller.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp spew run need_root free_ports);
use Peers;
use Talk;
use Test::More;

need_root();
Peers::need();
my $house = House->new->start;
my ($state, $port) = ($house->{state}, $house->port('mx'));
$house->sink(args => [ '-d', "$state/out" ]);

sub lines { my ($re) = @_; return scalar grep { /$re/ } split /\n/, slurp("$state/sink.log") // '' }

# smtp-source: a thousand messages, twenty sessions.
my ($status, $out, $err) = Peers::peer({ seconds => 120 }, 'smtp-source', '-s', 20, '-m', 1000, '-l', 4096,
	'-f', 'source@test.example', '-t', 'sink@test.example', "127.0.0.1:$port");
is($status, 0, 'smtp-source') or diag $out, $err;
wait_for(sub { lines(qr/<source\@test\.example>/) >= 1000 }, 'a thousand messages', 60);
is(lines(qr/<source\@test\.example>/), 1000, 'each once');

# swaks, with everything it likes to say.
($status, $out, $err) = Peers::peer({}, 'swaks', '--server', "127.0.0.1:$port", '--from', 'swaks@b.example',
	'--to', 'one@d.example,two@e.example', '--header', 'X-Test-Id: swaks', '--body', "a line\n.\n..end",
	'--attach', '@/etc/passwd', '--pipeline');
is($status, 0, 'swaks') or diag $out, $err;
wait_for(sub { lines(qr/^swaks\t.*one\@d/) && lines(qr/^swaks\t.*two\@e/) }, 'swaks\' message', 20);

# mail(1), cron, git: they know one path.
my $arrived = sub {
	my ($what, $re) = @_;

	my $n = lines(qr/./);
	return sub {
		wait_for(sub { lines(qr/./) > $n && lines($re) }, $what, 20);
		my ($line) = grep { /$re/ } split /\n/, slurp("$state/sink.log");
		return slurp(sprintf '%s/out/%06d', $state, (split /\t/, $line)[1]);
	};
};
my $wait = $arrived->('mail(1)', qr/mailx\@d\.example/);
($status, $out, $err) = Peers::with_sendmail($house, { in => "Hello from mail\n.dot\n" }, 'mail', '-s', 'a subject',
	'-b', 'hidden@d.example', 'mailx@d.example');
is($status, 0, 'mail(1)') or diag $out, $err;
my $got = $wait->();
like($got, qr/^Subject: a subject\r$/m, 'its subject');
like($got, qr/^\.dot\r$/m, 'its text');
unlike($got, qr/^Bcc:/mi, 'no Bcc');
wait_for(sub { lines(qr/hidden\@d\.example/) }, 'the hidden copy', 20);

$wait = $arrived->('cron', qr/<root\@d\.example>/);
($status, $out, $err) = Peers::with_sendmail($house, { in => "From: root (Cron Daemon)\nTo: root\@d.example\nSubject: Cron <root\@host> true\n"
	    . "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nAuto-Submitted: auto-generated\n\nline\n.\nafter the dot\n" },
	'/usr/sbin/sendmail', '-oi', '-t');
is($status, 0, 'a cron-style caller') or diag $out, $err;
$got = $wait->();
like($got, qr/after the dot\r$/m, 'a lone dot does not end its mail');
like($got, qr/^Date: /m, 'a Date was added');
like($got, qr/^Message-ID: /mi, 'and a Message-ID');

my $repo = "$state/repo";
mkdir $repo;
my $git = sub { run({ dir => $repo, env => { HOME => $repo, GIT_CONFIG_NOSYSTEM => 1 } }, 'git', '-c', 'user.name=An Author',
	'-c', 'user.email=author@b.example', @_) };
spew("$repo/file", "one\n");
$git->('init', '-q');
$git->('add', 'file');
$git->('commit', '-q', '-m', "A change: f\xc3\xbcr alle");
$git->('format-patch', '-q', '--root', '-o', "$repo/out");
$wait = $arrived->('git send-email', qr/<list\@d\.example>/);
($status, $out, $err) = Peers::with_sendmail($house, { dir => $repo, env => { HOME => $repo, GIT_CONFIG_NOSYSTEM => 1 } },
	'git', '-c', 'user.name=An Author', '-c', 'user.email=author@b.example', 'send-email', '--quiet', '--confirm=never',
	'--from=An Author <author@b.example>', '--envelope-sender=author@b.example', '--to=list@d.example', '--8bit-encoding=UTF-8', glob "$repo/out/*.patch");
is($status, 0, 'git send-email') or diag $out, $err;
like($wait->(), qr/^\+one\r$/m, 'the patch arrived');
like(slurp("$state/sink.log"), qr/<author\@b\.example>[^\n]*<list\@d\.example>/, 'from its author');

# Exim, which sends by BDAT where that is offered: chunks, dots, a last line without an end.
my ($exim_port) = free_ports(1);
my $exim = Peers->exim(dir => "$state/exim", port => $exim_port, relay => $port);
my $talk = Talk->new('127.0.0.1', $exim_port);
my $text = "Subject: chunks\r\n\r\n.\r\n..two\r\n" . join('', map { "line $_ " . 'x' x 70 . "\r\n" } 1 .. 3000) . ".\r\n";
$wait = $arrived->('mail of Exim', qr/chunks\@d\.example/);
$talk->reply;
$talk->ask('EHLO client.example');
is($talk->send_mail('exim@b.example', 'chunks@d.example', $text), 250, 'mail for Exim to relay');
like($wait->(), qr/\Q$text\E\z/, 'came as it was');
ok(wait_for(sub { grep { /"disconnect"/ && / bdat=\d/ } $house->log_lines }, 'the end of a session of Exim'), 'by BDAT');
$exim->end;
$house->end;

# A real Postfix is the next hop; behind it our sink.
my ($hop, $behind) = free_ports(2);
$house = House->new(port => { sink => $hop }, config => { retry_first => '1s' })->start;
$state = $house->{state};
$house->tool('behind', [ "$house->{bin}/smtpsink", '-o', "$state/sink.log", "127.0.0.1:$behind" ], $behind);
my $postfix = Peers->postfix(dir => "$state/postfix", port => $hop, relay => "[127.0.0.1]:$behind");
($status, $out) = run({ seconds => 120 }, "$house->{bin}/smtpsource", '-h', '127.0.0.1:' . $house->port('mx'), '-s', 20, '-m', 500,
	'-n', 10, '-l', 4096, '-a', "$state/acks");
is($status, 0, '500 messages to ours') or diag $out;
my $all = eval { wait_for(sub { lines(qr/./) >= 500 }, 'them behind Postfix', 60) };
my ($rc, $audit) = run('perl', House::top() . '/t/tool/audit.pl', '-a', "$state/acks", '-s', "$state/sink.log");
like($audit, qr/^lost 0\nduplicates 0$/m, 'passed the real Postfix, each once') or diag $audit;
$postfix->end;
$house->end;
done_testing;
