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

# By sendmail, to the drop folder, while smtpd is away; who takes it up holds no more of it than others do.
{
	my $text = body(20 * MIB, 27, 1);

	(my $lf = $text) =~ s/\r\n/\n/g;
	$house->stop('smtpd');
	my ($status, undef, $err) = $house->sendmail("Subject: dropped\nX-Test-Id: dropped\n\n$lf", '-i', 'c@d.example');
	is($status, 0, 'sendmail of 20 MiB without smtpd') or diag $err;
	$house->start_one('smtpd');
	came_whole('dropped', $text, 'it comes whole');
	my $now = memory_kib();
	my ($worst) = sort { $b <=> $a } map { $now->{$_} } grep { /^smtpd/ } keys %$now;
	cmp_ok($worst * 1024, '<', $LIMIT, 'smtpd has not held it') unless ($ENV{V} // '') eq 'san';
	is_deeply([ grep { !/^\./ } files("$house->{state}/drop") ], [], 'its file is gone');
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

# qmgr away: what was handed out before is used; without a file a body stays in memory, up to a limit.
{
	my ($one, $two) = (body(1 * MIB, 13, 0), body(2 * MIB, 15, 1));

	$house->stop('qmgr');
	is(send_big(connect_to(), 'spare', $one), 250, 'without qmgr: the spare file is used');
	is(send_big(connect_to(), 'none', $two), 250, 'then a body goes into the segment');
	is(send_big(connect_to(), 'too-much', body(12 * MIB, 17, 0)), 452, 'if it is not too large for that');
	$house->start_one('qmgr');
	came_whole('spare', $one, 'the one comes whole');
	came_whole('none', $two, 'so does the other');
	nothing_left('after qmgr was away');
}

# Services die in the middle of it, again and again: what was acknowledged arrives, nothing is left behind.
{
	my $log = sub { slurp("$house->{state}/sink.log") // '' };
	my $source = $house->tool('source', [ "$house->{bin}/smtpsource", '-k', '-h', '127.0.0.1:' . $house->port('mx'),
		'-s', 4, '-m', 60, '-n', 5, '-l', 1_500_000, '-a', "$house->{state}/acks", '-i', 'kill', '-w', 120 ]);
	my $kills = 0;

	for my $name (qw(smtpd qmgr deliver) x 3) {
		wait_for(sub { filled() || waitpid($source, 1) != 0 }, 'a body under way', 30);
		last if waitpid($source, 1) != 0;
		$house->kill($name);
		$kills++;
		$house->ready($name);
	}
	wait_for(sub { waitpid($source, 1) != 0 }, 'the load to end', 120);
	delete $house->{tools}{source};
	cmp_ok($kills, '>=', 6, "$kills kills under load");
	my @acked = split /\n/, slurp("$house->{state}/acks");
	is(scalar(@acked), 60, 'the whole load was acknowledged');
	my @lost;
	eval { wait_for(sub { my $l = $log->(); @lost = grep { $l !~ /^\Q$_\E\t/m } @acked; !@lost }, 'all of it', 60) };
	is("@lost", '', 'every acknowledged message has arrived');
	my @cut = grep { /^kill-\d+\t(\d+)/ && -s sprintf("%s/%06d", $out, $1) < 1_500_000 } split /\n/, $log->();
	is("@cut", '', 'and whole');
	nothing_left('after kills under load');
	check_spool('after kills under load');
}

# A body that changes on the disk is set aside, told, and not delivered.
{
	$house->end_tool('sink');
	is(send_big(connect_to(), 'spoilt', body(1 * MIB, 19, 0)), 250, 'one that will be damaged');
	wait_for(sub { filled() }, 'its file');
	my ($victim) = filled();
	open my $fh, '+<:raw', "$large/$victim" or die $!;
	seek $fh, 500_000, 0;
	print $fh 'XXXX';
	close $fh;
	my ($status, $text) = $house->angctl('spool', 'check');
	is($status, 65, 'the check says so');
	like($text, qr{^error: large/$victim.*: its body in large/ fails its checksum$}m, 'and which');
	$house->sink(args => [ '-d', $out ]);
	$house->angctl('queue', 'flush');
	wait_for(sub { -e "$house->{state}/spool/queue/damaged/large.$victim" }, 'it to be set aside', 30);
	unlike(slurp("$house->{state}/sink.log") // '', qr/^spoilt\t/m, 'nothing of it was delivered');
	is(grep({ /"event":"damaged"/ } $house->log_lines), 1, 'it is told once');
	nothing_left('a damaged body');
}

nothing_left('the end');
check_spool('at the end');

# A disk of its own that becomes full: 452 in the middle of the data, nothing stays, and mail goes on.
my $disk;
END { system 'umount', '-l', $disk if defined $disk; rmdir $disk if defined $disk }
SKIP: {
	my $at = House::build_dir() . "/t/large-disk.$$";

	mkdir $at or die "$at: $!";
	if (system("mount -t tmpfs -o size=900m,mode=0755 none '$at' 2>/dev/null") != 0) {
		rmdir $at;
		skip 'no file system can be mounted here', 6;
	}
	$disk = $at;
	$house->end;
	$house = House->new(name => '0650-full', config => { spool_dir => "$disk/queue", message_size_limit => 900 * MIB,
		mx_workers => 1, deliver_workers => 1, retry_first => '1s', retry_max => '1s', retry_jitter => 0 })->start;
	($out, $large) = ("$house->{state}/out", "$disk/queue/large");
	$house->sink(args => [ '-d', $out ]);
	is(send_big(connect_to(), 'before', body(1 * MIB, 23, 0)), 250, 'a message that has room');
	came_whole('before', body(1 * MIB, 23, 0), 'it comes');
	nothing_left('on a small disk');

	my $free = sub { (House::run('df', '--output=avail', '-B1', $disk))[1] =~ /(\d+)\s*\z/ ? $1 : 0 };
	my $begun = $free->();
	my $room = $begun - 64 * MIB; # disk_floor
	is(code(connect_to()->ask("MAIL FROM:<a\@b.example> SIZE=" . ($room + 300 * MIB))), 452, 'declared larger than the room');
	is(send_big(connect_to(), 'overfull', body($room + 8 * MIB, 21, 0)), 452, 'not declared, and larger than the room');
	nothing_left('a disk that was full');
	wait_for(sub { $free->() > $begun - 2 * MIB }, 'the room to be back');
	is(send_big(connect_to(), 'after', body(1 * MIB, 25, 0)), 250, 'one that has room again');
	came_whole('after', body(1 * MIB, 25, 0), 'it comes');
}

done_testing();
