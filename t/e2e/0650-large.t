# SPDX-License-Identifier: ISC
# Large bodies: they stream into files of large/ and out of them; a 100 MB message costs no process 10 MB of
# memory; none is lost, none is left behind; what is beyond the limit is refused.
#
# LARGE_MIB in the environment: the size of those that sendmail brings.
use strict;
use warnings;
use Digest::SHA;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(as_user events reachable);
use House qw(wait_for slurp spew run need_root);
use Memory;
use Talk qw(code);
use Test::More;

need_root();

use constant MIB => 1 << 20;
my $LIMIT = 10 * MIB;
my $mib = $ENV{LARGE_MIB} // 40;
my $san = ($ENV{V} // '') eq 'san'; # memory under a sanitizer is another thing

my $house = House->new(config => { message_size_limit => 160 * MIB, mx_workers => 1, deliver_workers => 1,
	retry_first => '1s', retry_max => '2s', retry_jitter => 0, data_timeout => '60s',
	local_domains => ['here.example'], local_uid_min => 1000 });
my $out = "$house->{state}/out";
my $large = "$house->{state}/spool/queue/large";

# Who has a Maildir and who an mbox; users of no account.
my %uid = (bob => 61100, alice => 61101);
for my $u (sort keys %uid) {
	mkdir "$house->{state}/$u", 0700 or die $!;
	chown $uid{$u}, $uid{$u}, "$house->{state}/$u";
}
spew("$house->{state}/users", join '', map { "$_:$uid{$_}:$uid{$_}:$house->{state}/$_:" . ($_ eq 'bob' ? 'Maildir/' : 'mbox') . "\n" } sort keys %uid);
$house->{config}{local_users} = "$house->{state}/users";
$house->write_config;
$house->start;
$house->sink(args => [ '-d', $out, '-r', 'rcpt,match=refused=550 5.1.1 no such user' ]);

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
	my ($t, $id, $body, %opt) = @_;
	my ($sender, $to, $head) = ($opt{sender} // 'a@b.example', $opt{to} // [ 'c@d.example' ], $opt{head} // '');

	for ("MAIL FROM:<$sender>", map { "RCPT TO:<$_>" } @$to) {
		my $code = code($t->ask($_));
		return $code if $code != 250;
	}
	my $code = code($t->ask('DATA'));
	return $code if $code != 354;
	$t->raw("X-Test-Id: $id\r\nSubject: a large one\r\n$head\r\n");
	my $wire = $body;
	$wire =~ s/^\./../mg if $body =~ /^\./m;
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

# What it cost, which is to be below the limit in each process.
sub cost_little
{
	my ($memory, $what) = @_;
	my %cost = $memory->end;
	my ($worst) = sort { $cost{$b}{grown} <=> $cost{$a}{grown} } keys %cost;

	diag "$what: KiB grown/peak: ", join ' ', map { sprintf '%s=%d/%d', $_, map { $_ / 1024 } @{ $cost{$_} }{qw(grown peak)} } sort keys %cost;
	ok($san || $cost{$worst}{grown} < $LIMIT, "$what: no process grew by 10 MB") or diag $worst;
	return %cost;
}

sub sum_of { my ($text) = @_; return Digest::SHA::sha256_hex($text) }
sub body_of { my ($text) = @_; $text =~ s/\A.*?\n\r?\n//s; return $text }

# 100 MB, by SMTP, to a next hop, a Maildir, an mbox and one who is refused, of whom a notice tells.
{
	my $big = body(100 * MIB, 3, 0);
	my ($sum, $lf_sum) = (sum_of($big), sum_of($big =~ tr/\r//dr));
	my $memory = Memory->begin($house);
	my ($t, $id) = (connect_to(), undef);

	is(send_big($t, 'hundred', $big, sender => 'bob@here.example', to => [ 'c@d.example', 'refused@d.example', 'alice@here.example', 'bob@here.example' ]),
		250, '100 MiB are taken');
	undef $big;
	is(sum_of(body_of(slurp("$out/" . taken('hundred')))), $sum, 'and come as they were');
	my $new = wait_for(sub { my @f = glob "$house->{state}/bob/Maildir/new/*"; @f == 2 && \@f }, 'the Maildir to have it and the notice', 60);
	wait_for(sub { ($house->angctl('queue', 'list'))[1] !~ /^[0-9A-Z]{13}/m }, 'all to be done', 60);
	my %cost = cost_little($memory, '100 MiB by SMTP');
	ok($cost{"local/1's child"}, 'the process that writes a mailbox was seen');
	my ($mail, $notice) = sort { -s $b <=> -s $a } @$new;
	is(sum_of(body_of(slurp($mail))), $lf_sum, 'the Maildir has it whole');
	my $mbox = body_of(slurp("$house->{state}/alice/mbox"));
	chop $mbox;
	is(sum_of($mbox), $lf_sum, 'the mbox too');
	my $told = slurp($notice);
	like($told, qr/^Action: failed\b/m, 'the notice says what failed');
	like($told, qr{^Content-Type: text/rfc822-headers}m, 'and has the header section only');
	cmp_ok(length $told, '<', 10_000, 'so it is small');
	unlink "$house->{state}/alice/mbox", $mail, $notice;
}
nothing_left('100 MiB');

# Dots everywhere, at every border: what is sent in pieces is encoded in pieces.
{
	my $body = body(3 * MIB, 5, 1);

	is(send_big(connect_to(), 'dots', $body), 250, 'lines that begin with dots');
	came_whole('dots', $body, 'they come as they were');
}

# The sendmail of this build, with a file on stdin, by a user who has no rights here.
sub sendmail_file
{
	my ($text, @args) = @_;
	my $file = "$house->{state}/stdin";

	my @as = reachable("$house->{bin}/sendmail") && reachable("$house->{state}/run") ? as_user() : ();

	spew($file, $text);
	return run({ env => $house->sendmail_env, child => sub { open STDIN, '<', $file or POSIX::_exit(9) } },
		@as, "$house->{bin}/sendmail", @args);
}

# By sendmail: to the socket, and to the drop folder while smtpd is away.
for my $how ([ 'piped', "sendmail of $mib MiB" ], [ 'dropped', "sendmail of $mib MiB without smtpd" ]) {
	my ($name, $what) = @$how;
	my $text = body($mib * MIB, 7, 0);
	my $sum = sum_of($text);

	$text =~ tr/\r//d;
	substr($text, 0, 0) = "Subject: by sendmail\nX-Test-Id: $name\n\n";
	$house->stop('smtpd') if $name eq 'dropped';
	my $memory = Memory->begin($house);
	my ($status, undef, $err) = sendmail_file($text, '-i', 'c@d.example');
	undef $text;
	is($status, 0, $what) or diag $err;
	if ($name eq 'dropped') {
		my %cost = $memory->end;
		diag sprintf "$what: sendmail's peak %d KiB", $cost{sendmail}{peak} / 1024;
		ok($san || $cost{sendmail}{peak} < $LIMIT, "$what: sendmail has not held it");
		$house->start_one('smtpd');
		$memory = Memory->begin($house);
	}
	is(sum_of(body_of(slurp("$out/" . taken($name)))), $sum, 'it comes whole');
	my %cost = cost_little($memory, $what);
	ok($cost{sendmail}, 'the command was seen') if $name eq 'piped';
	unlink glob "$out/*";
}
is_deeply([ grep { !/^\./ } files("$house->{state}/drop") ], [], 'the drop folder is empty');

# One line, without an end; what sends it holds no more of it than of others, and the drop folder takes it too.
for my $way ('', ', dropped') {
	my $before = () = events($house, event => 'attempt', to => 'c@d.example', status => 'sent');

	$house->stop('smtpd') if $way;
	my $memory = Memory->begin($house);
	my ($status, undef, $err) = sendmail_file("Subject: a line\nX-Test-Id: line\n\n" . 'x' x (($way ? 2 : $mib) * MIB), '-i', 'c@d.example');
	is($status, 0, "a long line$way") or diag $err;
	if ($way) {
		$memory->end;
		$house->start_one('smtpd');
		$memory = Memory->begin($house);
	}
	ok(eval { wait_for(sub { events($house, event => 'attempt', to => 'c@d.example', status => 'sent') > $before }, 'it', 60) }, 'it is delivered');
	cost_little($memory, "a long line$way");
}
# A header section that has no end is refused, by either.
{
	my $memory = Memory->begin($house);
	my $head = join '', map { "X-Field-$_: " . 'y' x 900 . "\n" } 1 .. 13_000;
	my ($status, undef, $err) = sendmail_file("Subject: a head\n$head\nbody\n", '-i', 'c@d.example');

	is($status, 65, 'a header section of 12 MB: sendmail refuses it');
	like($err, qr/header section/, 'and says why');
	is(send_big(connect_to(), 'head', '', head => $head =~ s/\n/\r\n/gr), 550, 'smtpd refuses it');
	cost_little($memory, 'a header section of 12 MB');
}
unlink glob "$out/*";

# A client that goes away in the middle: its file goes too.
{
	my $t = connect_to();

	$t->ask($_) for 'MAIL FROM:<a@b.example>', 'RCPT TO:<c@d.example>', 'DATA';
	$t->raw("X-Test-Id: gone\r\n\r\n" . body(4 * MIB, 9, 0));
	wait_for(sub { filled() }, 'its file');
	$t->close;
	nothing_left('a client that went away');
}

# The border: what is not beyond 256 KiB stands in the segment, a line more in a file.
$house->end_tool('sink');
{
	my $line = 'w' x 510 . "\r\n";
	my %body = (below => $line x 511 . 'w' x 500 . "\r\n", above => $line x 512 . "w\r\n");

	is(send_big(connect_to(), 'below', $body{below}), 250, 'a body of less than 256 KiB');
	wait_for(sub { ($house->angctl('queue', 'list'))[1] =~ /^[0-9A-Z]{13}/m }, 'it to be queued');
	is(scalar(filled()), 0, 'stands in a segment');
	is(send_big(connect_to(), 'above', $body{above}), 250, 'a body of more');
	is(scalar(filled()), 1, 'stands in large/');
	$house->sink(args => [ '-d', $out ]);
	$house->angctl('queue', 'flush');
	came_whole($_, $body{$_}, "the one $_ comes whole") for sort keys %body;
	nothing_left('the border');
	$house->end_tool('sink');
}

# What waits is shown with its reference, verified, and found again by a qmgr that was killed.
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

# The limit that is there by default: 50 MiB.
{
	delete $house->{config}{message_size_limit};
	$house->write_config;
	is(($house->angctl('config', 'reload'))[0], 0, 'the configuration is read again');
	my $limit = 50 * MIB;
	my $t;
	ok(eval { wait_for(sub { $t = $house->talk; $t->reply; $t->ask('EHLO client.example') =~ /^250[- ]SIZE $limit\r?$/m }, 'SIZE', 20) }, 'SIZE is offered');
	like($t->ask('MAIL FROM:<a@b.example> SIZE=' . ($limit + 1)), qr/^552 5\.3\.4 /, 'a byte more is refused at MAIL');
	is(code($t->ask("MAIL FROM:<a\@b.example> SIZE=$limit")), 250, 'so many are not');
	$t->ask('RCPT TO:<c@d.example>');
	$t->ask('DATA');
	my $lines = ('z' x 1022 . "\r\n") x 1024;
	$t->raw($lines) for 1 .. 50;
	$t->raw("z\r\n.\r\n");
	like($t->reply(60), qr/^552 5\.3\.4 /, 'what was declared smaller than it is, at the dot');
	is(code($t->ask('NOOP')), 250, 'and the session goes on');
	nothing_left('refused for its size');
	my ($status, undef, $err) = sendmail_file("Subject: too large\n\n" . ('z' x 1022 . "\n") x (51 * 1024), '-i', 'c@d.example');
	is($status, 69, 'sendmail: 69');
	like($err, qr/\Asendmail: message is larger than $limit bytes\n\z/, 'and says why');
}

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
