# SPDX-License-Identifier: ISC
# Large bodies: they stream into files of large/ and out of them; a 100 MB message costs no process 10 MB of
# memory; none is lost, none is left behind.
use strict;
use warnings;
use Digest::SHA;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(wait_for slurp spew need_root);
use Talk qw(code);
use Test::More;

need_root();

use constant MIB => 1 << 20;
my $LIMIT = 10 * MIB;

my $house = House->new(config => { message_size_limit => 160 * MIB, mx_workers => 1, deliver_workers => 1,
	retry_first => '1s', retry_max => '2s', retry_jitter => 0, data_timeout => '60s' })->start;
my $out = "$house->{state}/out";
my $large = "$house->{state}/spool/queue/large";
$house->sink(args => [ '-d', $out ]);

sub files { my ($dir) = @_; opendir my $dh, $dir or die "$dir: $!"; return grep { !/^\./ } readdir $dh }
sub filled { return grep { -s "$large/$_" } files($large) }

# A body of so many bytes: lines of all lengths, some that begin with dots, at no border that others have.
sub body
{
	my ($bytes, $seed, $dots) = @_;
	my ($text, $n) = ('', 0);
	my @some = map { my $i = $_; join '', map { chr(97 + ($_ * $i + $seed) % 26) } 1 .. 1 + ($i * 37) % 900 } 1 .. 211;

	while (length $text < $bytes) {
		my $line = $some[ ($n * 7 + $seed) % @some ];

		$line = ('.' x (1 + $n % 3)) . $line if $dots && $n % 5 == 0;
		$text .= "$n $line\r\n" if !$dots || $n % 5;
		$text .= "$line\r\n" if $dots && $n % 5 == 0;
		$n++;
	}
	return $text;
}

# Sends it as it stands, dots doubled; the body is given in pieces so that our own memory does not matter.
sub send_big
{
	my ($t, $id, $body) = @_;

	for ('MAIL FROM:<a@b.example>', 'RCPT TO:<c@d.example>') {
		my $code = code($t->ask($_));
		return $code if $code != 250;
	}
	my $code = code($t->ask('DATA'));
	return $code if $code != 354;
	$t->raw("X-Test-Id: $id\r\nSubject: a large one\r\n\r\n");
	my $wire = $body;
	$wire =~ s/^\./../mg;
	local $Talk::SECONDS = 60;
	for (my $at = 0; $at < length $wire; $at += MIB) {
		$t->raw(substr $wire, $at, MIB) or return 0;
	}
	$t->raw(".\r\n");
	return code($t->reply(60));
}

sub connect_to { my ($class) = @_; my $t = $house->talk($class); $t->reply; $t->ask('EHLO client.example'); return $t }

# The number under which the sink keeps it, once it is there.
sub taken
{
	my ($id, $seconds) = @_;

	return wait_for(sub { (slurp("$house->{state}/sink.log") // '') =~ /^\Q$id\E\t(\d+)/m ? sprintf('%06d', $1) : 0 }, "$id at the sink",
		$seconds // 60);
}

sub came_whole
{
	my ($id, $body, $what) = @_;
	my $got = slurp("$out/" . taken($id)) // '';

	$got =~ s/\A.*?\r\n\r\n//s;
	ok($got eq $body, $what) or diag sprintf '%d bytes came, %d were sent', length $got, length $body;
}

sub memory_kib
{
	my %now;

	for my $p ($house->processes) {
		my ($name, $pid) = @$p;
		my $status = slurp("/proc/$pid/status") // next;

		$now{"$name $pid"} = $status =~ /^VmHWM:\s+(\d+)/m ? $1 : 0;
	}
	return \%now;
}

sub nothing_left
{
	my ($what) = @_;

	ok(eval { wait_for(sub { !filled() }, 'large/ to be empty', 30) }, "$what: nothing is left in large/")
	    or diag join ' ', map { "$_:" . -s "$large/$_" } filled();
}

sub check_spool
{
	my ($what) = @_;
	my ($status, $text, $err) = $house->angctl('spool', 'check');

	is($status, 0, "$what: the spool checks") or diag $text . $err;
	return $text;
}

# Small ones first: what a process needs anyway is not counted.
is($house->talk->reply =~ /^220/, 1, 'greeting');
{
	my $t = connect_to();
	is(send_big($t, 'warm', body(600_000, 1, 1)), 250, 'one of 600 KB');
	came_whole('warm', body(600_000, 1, 1), 'it comes whole, dots and all');
}
nothing_left('600 KB');

# 100 MB, by SMTP.
SKIP: {
	my $before = memory_kib();
	my $big = body(100 * MIB, 3, 0);
	my $sum = Digest::SHA::sha256_hex($big);
	my $t = connect_to();
	my ($after, $got);

	is(send_big($t, 'hundred', $big), 250, '100 MiB are taken');
	$got = slurp("$out/" . taken('hundred')) // '';
	$got =~ s/\A.*?\r\n\r\n//s;
	is(Digest::SHA::sha256_hex($got), $sum, 'and come as they were');
	undef $got;
	$after = memory_kib();
	my %grown = map { $_ => ($after->{$_} // 0) - $before->{$_} } keys %$before;
	my ($worst) = sort { $grown{$b} <=> $grown{$a} } keys %grown;
	note "$_ grew by $grown{$_} KiB, peak $after->{$_} KiB" for sort keys %grown;
	skip 'memory under a sanitizer is another thing', 1 if ($ENV{V} // '') eq 'san';
	cmp_ok($grown{$worst} * 1024, '<', $LIMIT, 'no process grew by 10 MB') or diag $worst;
}
nothing_left('100 MiB');

# Dots everywhere, at every border: what is sent in pieces is encoded in pieces.
{
	my $body = body(3 * MIB, 5, 1);

	is(send_big(connect_to(), 'dots', $body), 250, 'lines that begin with dots');
	came_whole('dots', $body, 'they come as they were');
}

# By sendmail, to the socket.
{
	my $text = body(20 * MIB, 7, 1);
	my $before = memory_kib();

	(my $lf = $text) =~ s/\r\n/\n/g;
	my ($status, undef, $err) = $house->sendmail("Subject: by sendmail\nX-Test-Id: piped\n\n$lf", '-i', 'c@d.example');
	is($status, 0, 'sendmail of 20 MiB') or diag $err;
	came_whole('piped', $text, 'it comes whole');
	my $after = memory_kib();
	my ($worst) = sort { $b <=> $a } map { $after->{$_} - $before->{$_} } grep { exists $after->{$_} } keys %$before;
	cmp_ok($worst * 1024, '<', $LIMIT, 'no service grew by 10 MB') unless ($ENV{V} // '') eq 'san';
}

# A client that goes away in the middle: its file goes too.
{
	my $t = connect_to();

	$t->ask($_) for 'MAIL FROM:<a@b.example>', 'RCPT TO:<c@d.example>', 'DATA';
	$t->raw("X-Test-Id: gone\r\n\r\n" . body(4 * MIB, 9, 0));
	wait_for(sub { filled() }, 'its file');
	$t->close;
	nothing_left('a client that went away');
}

# What waits is shown with its reference, verified, and found again by a qmgr that was killed.
$house->end_tool('sink');
my $waits = body(2 * MIB, 11, 1);
is(send_big(connect_to(), 'waits', $waits), 250, 'one that has to wait');
wait_for(sub { filled() }, 'its file');
my ($file) = filled();
my ($id) = wait_for(sub { ($house->angctl('queue', 'list'))[1] =~ /\b([0-9B-DF-HJ-NP-TV-Z]{13})\b/ ? $1 : '' }, 'it to be queued');
ok(($house->angctl('spool', 'show', $id))[1] =~ m{^body: in large/$file, \d+ bytes$}m, 'angctl spool show names the file');
like(check_spool('one that waits'), qr/^large +1$/m, 'the check counts it');
$house->kill('qmgr');
$house->ready('qmgr');
is(scalar(filled()), 1, 'it is there after qmgr was killed');
$house->kill('smtpd');
$house->ready('smtpd');
rename "$house->{state}/sink.log", "$house->{state}/sink.old";
$house->sink(args => [ '-d', $out ]);
$house->angctl('queue', 'flush');
came_whole('waits', $waits, 'it is delivered');
nothing_left('after the kills');

done_testing();
