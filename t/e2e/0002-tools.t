# SPDX-License-Identifier: ISC
# Generator, sink and audit against each other: the other tests believe them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for free_ports slurp spew run build_dir bin_dir top);
use Talk qw(code);
use Test::More;

my $house = House->new(services => []);
my ($state, $port) = ($house->{state}, $house->port('sink'));
my $bin = bin_dir();

sub source { return run("$bin/smtpsource", '-h', "127.0.0.1:$port", @_) }
sub audit { return (run('perl', top() . '/t/tool/audit.pl', @_))[0, 1] }

$house->sink(args => [ '-d', "$state/out", '-M', "$state/marks" ]);
my ($status, $out) = source('-s', 20, '-m', 500, '-n', 7, '-r', 3, '-t', 'u%d@x.example', '-P',
	'-a', "$state/acks", '-M', "$state/marks", '-i', 'one');
is($status, 0, 'all acknowledged');
like($out, qr/^messages=500 acked=500 refused=0 broken=0 connects=\d+ .*p99_ms=/, 'and said so');
($status, $out) = audit('-r', 3, '-a', "$state/acks", '-s', "$state/sink.log");
is($out, "acknowledged 500\narrived 500\nlost 0\nduplicates 0\nunasked 0\n", 'the audit adds up');
is(scalar(() = slurp("$state/marks") =~ /^[AD] one-\d+$/mg), 1000, 'a mark for each end');

# What the audit must find.
my @lines = split /(?<=\n)/, slurp("$state/sink.log");
spew("$state/damaged.log", join '', @lines[ 1 .. 499 ], $lines[3]);
($status, $out) = audit('-r', 3, '-a', "$state/acks", '-s', "$state/damaged.log");
like($out, qr/^lost 1\nduplicates 3\n/m, 'a missing and a doubled one are found');
is($status, 1, 'and are a failure');
my ($gone) = $lines[0] =~ /^(\S+)/;
spew("$state/queue", "$gone\n");
is((audit('-r', 3, '-a', "$state/acks", '-s', "$state/damaged.log", '-e', "$state/queue"))[0], 0,
	'unless it is accounted for');

# Content arrives as sent.
my $talk = Talk->new('127.0.0.1', $port);
is(code($talk->reply), 220, 'greeting');
like($talk->ask('EHLO me'), qr/^250-PIPELINING$/m, 'keywords');
my $text = "X-Test-Id: mine\r\n\r\n..\r\n.x\r\n\r\nno end\r\n\xff\x00\r\n";
is($talk->send_mail('a@b.example', 'c@d.example', $text =~ s/\r\n/\n/gr), 250, 'a message');
my ($number) = slurp("$state/sink.log") =~ /^mine\t(\d+)\t127\S+\t<a\@b.example>\t<c\@d.example>$/m;
is(slurp(sprintf '%s/out/%06d', $state, $number // 0), $text, 'unchanged');
$talk->close;
$house->end_tool('sink');

# Rules.
$house->sink(args => [ '-S', 7, '-X', 'DSN', '-r', 'rcpt,match=bad@=550-5.1.1 no\n550 5.1.1 such', '-r',
	'rcpt,p=0.2=450 4.2.0 later', '-r', 'dot,times=5=drop', '-r', 'body,after=20,times=5=drop',
	'-r', 'data,p=0.1=!421 4.3.2 bye', '-r', 'mail,after=9,times=1,delay=300=',
	'-r', 'connect,times=2=!554 5.3.2 go', '-r', 'noop=stall' ]);
($status, $out) = source('-k', '-s', 10, '-m', 200, '-n', 5, '-a', "$state/acks2", '-i', 'two');
is($status, 0, 'keeps trying until all are through');
like($out, qr/refused=[1-9]\d* broken=[1-9]/, 'and has met the rules');
like((audit('-a', "$state/acks2", '-s', "$state/sink.log"))[1], qr/^lost 0$/m, 'nothing lost');
$talk = Talk->new('127.0.0.1', $port);
$talk->reply;
unlike($talk->ask('EHLO me'), qr/DSN/, 'a keyword withheld');
$talk->ask('MAIL FROM:<>');
is($talk->ask('RCPT TO:<bad@x.example>'), "550-5.1.1 no\n550 5.1.1 such", 'a reply by rule');
$talk->say('NOOP');
is($talk->reply(0.3), undef, 'and a stall');
$house->end_tool('sink');
($status) = source('-m', 3, '-w', 5);
is($status, 1, 'nobody there: a failure');
$house->end;
done_testing;
