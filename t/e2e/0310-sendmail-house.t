# SPDX-License-Identifier: ISC
# The sendmail command and a whole house: what callers of all kinds hand over arrives as it should, by the
# socket and, while nobody serves it, by the drop folder.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(rows row events balanced mail_in at_sink sunk drained as_user reachable);
use House qw(wait_for slurp spew run need_root);
use Talk qw(code);
use Test::More;
use Time::HiRes qw(time);

need_root();
my $house = House->new(config => { retry_first => '1s', retry_max => '1s', retry_jitter => 0, message_size_limit => 200_000,
	sessions_per_client => 1000 })->start;
my ($state, $bin) = @$house{qw(state bin)};
my $drop = "$state/drop";
my @sink = (args => [ '-d', "$state/out" ]);
$house->sink(@sink);
my $login = (getpwuid 0)[0];

# run() with this sendmail; by => [ words before it ].
sub sendmail
{
	my ($in, @argv) = @_;
	my $how = ref $argv[0] ? shift @argv : {};
	my $name = $how->{name} // 'sendmail';

	return run({ in => $in, env => { %{ $house->sendmail_env }, NAME => 'Test Er' }, seconds => 60 },
		@{ $how->{by} // [] }, "$bin/$name", @argv);
}

# What the sink has for this recipient: its line, header section and body.
sub arrived
{
	my ($rcpt, $n) = @_;
	my @lines = at_sink($house, $rcpt, $n);
	my $text = slurp(sprintf '%s/out/%06d', $state, $lines[-1][1]);
	my ($head, $body) = $text =~ /\A(.*?\r\n)\r\n(.*)\z/s;

	return ($lines[-1], $head // $text, $body // '');
}

sub drops { return grep { -f } glob "$drop/*" }
my $n = 0;
sub fresh { return 'u' . ++$n }

subtest 'what is sent is what arrives' => sub {
	my ($rc, $out, $err) = sendmail("To: alice\nBcc: carol\nSubject: x\n\n.\nafter\n..z\n", '-t', '-i');
	is("$rc$out$err", '0', 'exit 0, silent');
	my ($line, $head, $body) = arrived('carol@test.example');
	is_deeply([ sort @$line[ 4 .. $#$line ] ], [ '<alice@test.example>', '<carol@test.example>' ], 'both get it');
	unlike($head, qr/^bcc/mi, 'no Bcc');
	is($body, ".\r\nafter\r\n..z\r\n", 'dots as they were');
	like($head, qr/\AReceived: .*\r\n(?:[ \t].*\r\n)*To: alice\@test\.example\r\nSubject: x\r\nDate: .*\r\nFrom: Test Er <$login\@test\.example>\r\nMessage-ID: <\S+\@test\.example>\r\n\z/,
		'one Received, and what was missing');
	like(($head =~ /\A(Received: .*?\r\n)(?![ \t])/s)[0], qr/by mx\.test\.example \(Angarium, from userid 0\).*\bid [0-9A-Z]{13}/s, 'by whom, its id');
	is($line->[3] =~ s/ .*//r, "<$login\@test.example>", 'the caller is the sender');

	sendmail("To: nodot\nSubject: x\n\n.\nafter\n", '-t');
	is((arrived('nodot@test.example'))[2], '', 'without -i a dot ends it');

	sendmail("To: crlf\r\nSubject: c\r\n\r\nl1\nl2\r\n", '-t');
	($line, $head, $body) = arrived('crlf@test.example');
	is($body, "l1\r\nl2\r\n", 'lines ended either way');
	unlike($head, qr/\r(?!\n)|(?<!\r)\n/, 'no bare CR or LF');
	like($head, qr/^Subject: c\r$/m, 'the header was read');

	sendmail("To: x\nResent-To: resent\n\n", '-t', '-i');
	($line, $head) = arrived('resent@test.example');
	is(scalar(@$line), 5, 'Resent-To alone counts');
	like($head, qr/^Resent-$_: /m, "Resent-$_ is added") for qw(Date From Message-ID);

	sendmail("To: first\n\nx\n", '-t', '-i', 'bob', 'first');
	($line) = arrived('bob@test.example');
	is_deeply([ sort @$line[ 4 .. $#$line ] ], [ '<bob@test.example>', '<first@test.example>' ], 'words and header, once each');

	for ([ '', '-f', '' ], [ 'q@ex.org', '-fq@ex.org' ], [ '', '-f', '<>' ], [ 'r@ex.org', '-r', 'r@ex.org' ]) {
		my ($from, @words) = @$_;
		my $to = fresh();
		sendmail("x\n", @words, '-i', $to);
		($line) = arrived("$to\@test.example");
		is($line->[3] =~ s/ .*//r, "<$from>", "-f: @words");
	}
	my $bytes = join '', map { chr } grep { $_ != 10 && $_ != 13 } 1 .. 255;
	sendmail("Subject: b\n\n$bytes\0\nlast line without end", '-i', 'bytes');
	is((arrived('bytes@test.example'))[2], "$bytes\r\nlast line without end\r\n", 'all bytes but NUL, and an end to the last line');
};

subtest 'callers' => sub {
	my $cron = "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root\@h> x\nContent-Type: text/plain; charset=UTF-8\n\n\xc3\xa4\n";
	is((sendmail($cron, '-FCronDaemon', '-i', '-B8BITMIME', '-oem', 'root'))[0], 0, 'cron');
	my ($line, $head) = arrived('root@test.example');
	like($head, qr/^From: root\@test\.example \(Cron Daemon\)\r$/m, 'its From is completed');
	like($line->[3], qr/ BODY=8BITMIME/, '8 bits are announced');
	is((sendmail("Subject: a\n\nx\n", '-FAnacron', '-odi', 'anacron'))[0], 0, 'anacron');
	like((arrived('anacron@test.example'))[1], qr/^From: Anacron <$login\@test\.example>\r$/m, 'its name');
	is((sendmail("Subject: a\n\nx\n", '-oi', '-odq', '-N', 'failure,delay', '-R', 'hdrs', '-V', 'id', '--', 'dsn'))[0], 0, 'with DSN');
	($line) = arrived('dsn@test.example');
	like("$line->[3] $line->[4]", qr/ RET=HDRS ENVID=id .* NOTIFY=FAILURE,DELAY/i, 'which is passed on');
	is((sendmail("To: Someone <list1>, \"x, y\" <list2>, group: list3, list4;\n\nx\n", '-t'))[0], 0, 'lists and groups');
	arrived("list$_\@test.example") for 1 .. 4;
	is((sendmail("x\n", 'a1, b1', 'Name <c1>'))[0], 0, 'words that are lists');
	arrived("$_\@test.example") for qw(a1 b1 c1);
	my ($rc, $out) = sendmail("EHLO x\r\nMAIL FROM:<a\@b.example>\r\nRCPT TO:<bs>\r\nDATA\r\nSubject: bs\r\n\r\nx\r\n.\r\nQUIT\r\n", '-bs');
	is($rc, 0, '-bs');
	like($out, qr/\A220 .*^354 .*^250 2\.0\.0 Queued as .*^221 /ms, 'a dialogue, also with one who does not wait');
	arrived('bs@test.example');
	is_deeply([ sendmail('', '-bv', 'someone') ], [ 0, "someone... deliverable: mailer relay, host test.example, user someone\@test.example\n", '' ], '-bv');
	($rc, $out) = sendmail("x\n", '-v', 'verbose');
	like($out, qr/^Queued as [0-9A-Z]{13}$/, '-v shows the id');
};

subtest 'wrong calls' => sub {
	drained($house);
	my @before = sunk($house);
	for ([ '-Z' ], [], [ '-t' ], [ '-BFOO', 'a' ]) {
		my ($rc, $out, $err) = sendmail('', @$_);
		is($rc, 64, "64: @$_");
		like($err, qr/\Asendmail: [^\n]+\n\z/, 'one line');
	}
	drained($house);
	is(scalar sunk($house), scalar @before, 'nothing was sent');
};

subtest 'too large' => sub {
	my $large = "Subject: big\n\n" . "0123456\n" x 30_000;
	my ($rc, undef, $err) = sendmail($large, 'big');
	is($rc, 69, 'sendmail: 69');
	like($err, qr/\Asendmail: [^\n]+\n\z/, 'one line');
	my $t = $house->talk;
	$t->reply;
	$t->ask('EHLO client.example');
	like($t->ask('MAIL FROM:<> SIZE=200001'), qr/^552 5\.3\.4 /, 'announced: 552 at once');
	$t->ask('MAIL FROM:<> SIZE=100');
	$t->ask('RCPT TO:<big@test.example>');
	$t->ask('DATA');
	$t->raw($large =~ s/\n/\r\n/gr . ".\r\n");
	like($t->reply, qr/^552 5\.3\.4 /, 'not announced: 552 at the end');
	is(code($t->ask('NOOP')), 250, 'the session goes on');
	is(scalar drops(), 0, 'nothing was left in the drop folder');
	drained($house);
	is(scalar(grep { grep { /big/ } @$_ } sunk($house)), 0, 'nothing was sent');
};

subtest 'the target is down' => sub {
	drained($house);
	$house->end_tool('sink');
	is((sendmail("x\n", 'patience'))[0], 0, 'taken');
	my ($rc, $out) = wait_for(sub { my @r = sendmail('', '-bp'); $r[1] =~ /refused/ && \@r })->@*;
	like($out, qr/^[0-9A-Z]{13}.* $login\@test\.example\n +\(.*Connection refused.*\)\n +patience\@test\.example\n\n-- \d+ Kbytes in 1 Request\.\n\z/m, 'mailq lists it');
	$house->sink(@sink);
	arrived('patience@test.example');
	drained($house);
	is(scalar(grep { grep { /patience/ } @$_ } sunk($house)), 1, 'delivered once');
};

my %narrow = (
	'no new privileges' => [ 'setpriv', '--no-new-privs' ],
	'no network' => [ 'unshare', '-n' ],
	'descriptors closed' => [ 'sh', '-c', 'exec "$@" <&- >&- 2>&-', '-' ],
	'a folder that is gone' => [ 'sh', '-c', 'd=$(mktemp -d); cd $d; rmdir $d; exec "$@"', '-' ],
	'a limit of file size' => [ 'sh', '-c', 'ulimit -f 1; exec "$@"', '-' ],
	'a user without a name' => [ as_user(), '--no-new-privs' ],
	'a user in no network' => [ 'unshare', '-n', as_user() ],
);
delete @narrow{ grep { /user/ } keys %narrow } unless reachable("$bin/sendmail");

subtest 'narrow places' => sub {
	for my $what (sort keys %narrow) {
		my ($to, $start) = (fresh(), time);
		my ($rc, undef, $err) = sendmail("Subject: x\n\nx\n", { by => $narrow{$what} }, $to);
		is("$rc$err", '0', $what);
		cmp_ok(time - $start, '<', 1, 'soon');
		my ($line, $head, $body) = arrived("$to\@test.example");
		is($line->[3] =~ s/ .*//r, '<uid-65111@test.example>', 'sender by number') if $what =~ /user/;
		is($body, $what =~ /closed/ ? '' : "x\r\n", 'its text');
	}
};

# Who is in no file, but known to the name service: a program of few libraries cannot load its modules.
subtest 'a user of a directory' => sub {
	my $getent = "$house->{state}/getent";
	my @by = ('unshare', '-m', 'sh', '-c', "mount --bind $getent /usr/bin/getent && exec \"\$@\"", '-', 'env', '-u', 'NAME', as_user());
	reachable("$bin/sendmail") or plan skip_all => 'a user cannot reach the program';
	for ([ 'directory:x:65111:65111:Ada L,,,:/:/bin/sh', 'directory', 'Ada L' ], [ 'few:x', 'few', '' ], [ ':::::', 'uid-65111', '' ], [ '', 'uid-65111', '' ]) {
		my ($line, $login, $name) = @$_;
		spew($getent, "#!/bin/sh\n[ \"\$*\" = 'passwd 65111' ] && echo '$line'\n");
		chmod 0755, $getent;
		my $to = fresh();
		my ($rc, undef, $err) = sendmail("Subject: x\n\nx\n", { by => \@by }, $to);
		is("$rc$err", '0', "'$line'");
		my ($sunk, $head) = arrived("$to\@test.example");
		is($sunk->[3] =~ s/ .*//r, "<$login\@test.example>", 'the sender');
		like($head, $name ? qr/^From: "?$name"? <$login\@test.example>\r$/m : qr/^From: <?$login\@test.example>?\r$/m, 'who writes');
	}
};

subtest 'a writer that dies' => sub {
	pipe my $r, my $w;
	my $pid = fork // die;
	if ($pid == 0) {
		POSIX::dup2(fileno $r, 0);
		close $w;
		%ENV = (%ENV, %{ $house->sendmail_env });
		exec "$bin/sendmail", '-i', 'halfway' or POSIX::_exit(127);
	}
	syswrite $w, "Subject: half\n\nfirst half\n" . "y" x 5000 . "\n";
	wait_for(sub { my $left = pack 'i', 0; ioctl($r, 0x541B, $left) && unpack('i', $left) == 0 }, 'it to read all'); # FIONREAD
	kill 'KILL', $pid;
	waitpid $pid, 0;
	sendmail("x\n", 'after');
	arrived('after@test.example');
	drained($house);
	is(scalar(grep { grep { /halfway/ } @$_ } sunk($house)), 0, 'nothing is sent of it');
	is(scalar(() = glob "$drop/* $drop/.??*"), 0, 'nothing is left of it');
};

subtest '10000 recipients' => sub {
	my @to = map { "many$_\@d" . $_ % 10 . '.example' } 1 .. 10_000;
	my ($rc, undef, $err) = sendmail("Subject: many\n\nx\n", @to);
	is("$rc$err", '0', 'taken in one message');
	my %got;
	wait_for(sub {
		%got = ();
		$got{$_}++ for grep { /^<many/ } map { @$_[ 4 .. $#$_ ] } sunk($house);
		keys %got == 10_000;
	}, 'all of them at the sink', 60);
	is(scalar(grep { $got{"<$_>"} } @to), 10_000, 'each gets it');
	is(scalar(grep { $_ > 1 } values %got), 0, 'once');
	drained($house);
	balanced($house, 'after');
};

# Nothing listens from here on.
$house->stop('smtpd');
my %left;
subtest 'the drop folder' => sub {
	for my $what (sort keys %narrow) {
		my $to = fresh();
		my ($rc, undef, $err) = sendmail("Subject: $what\n\nx\n", { by => $narrow{$what} }, '-i', $to);
		is("$rc$err", '0', $what);
		$left{$to} = $what;
	}
	is((sendmail("To: dropped\nBcc: blind\nSubject: d\n\n.\nx\n", '-t', '-i', '-f', 'me@ex.org'))[0], 0, 'with -t');
	is(scalar drops(), 1 + keys %narrow, 'a file each');
	is((stat $drop)[2] & 07777, 03733, 'the mode of the folder');
	is((sendmail("x\n" x 5000, { by => $narrow{'a limit of file size'} }, 'toolong'))[0], 75, 'no room to write: 75');
	is((sendmail("x" x 400_000, 'big'))[0], 0, 'its size is judged by who takes it in');
	if (reachable($drop)) {
		isnt((run(as_user(), 'ls', $drop))[0], 0, 'a user cannot list it');
		isnt((run(as_user(), 'cat', (drops())[0]))[0], 0, 'nor read it');
		isnt((run(as_user(), 'rm', '-f', (drops())[0]))[0], 0, 'nor remove what is another\'s');
	}
};

# The file that sendmail leaves for a new recipient: moved to where it is told.
sub made
{
	my ($to) = @_;
	my %before = map { $_ => 1 } drops();

	sendmail("Subject: hostile\n\nx\n", '-f', 'h@ex.org', $to);
	my ($file) = grep { !$before{$_} } drops();
	return $file;
}

my @hostile;
subtest 'hostile files' => sub {
	chown 65112, -1, $hostile[0] = made('faked');
	my $text = slurp($hostile[1] = made('forged'));
	spew($hostile[1], $text =~ s/^U0$/U7/mr);
	chown 7, -1, $hostile[1];
	$hostile[2] = made('linked');
	link $hostile[2], $hostile[3] = "$drop/SECONDNAME" or die;
	$text = slurp($hostile[4] = made('partial'));
	spew($hostile[4], substr $text, 0, -47);
	spew($hostile[5] = made('longer'), slurp($hostile[5]) . "more\n");
	rename made('dotted'), $hostile[6] = "$drop/.1.still-written";
	symlink $house->conf_file, $hostile[7] = "$drop/SYMLINK";
	POSIX::mkfifo($hostile[8] = "$drop/FIFO", 0644);
	mkdir $hostile[9] = "$drop/FOLDER";
	spew($hostile[10] = "$drop/EMPTY", '');
	spew($hostile[11] = "$drop/HUGE", 'x' x 2_000_000);
	is(scalar(grep { -e || -l } @hostile), 12, 'they lie there');
	$house->start_one('smtpd');
	wait_for(sub { events($house, event => 'drop-refused') >= 11 }, 'them to be refused');
	my %why = map { $_->{file} => $_ } events($house, event => 'drop-refused');
	for my $i (0 .. 5, 7 .. 11) {
		my ($name) = $hostile[$i] =~ m{([^/]+)$};
		ok($why{$name}, "refused: $name, " . ($why{$name}{reason} // '?'));
	}
	like($why{ ($hostile[0] =~ m{([^/]+)$})[0] }{reason}, qr/user|owner|uid/i, 'its owner is not who it says');
	is(scalar(grep { -e || -l } @hostile), 12, 'and are left for an operator to look at');
};

subtest 'what was left is taken in' => sub {
	for my $to (sort keys %left) {
		my ($line, $head, $body) = arrived("$to\@test.example");
		is($line->[3] =~ s/ .*//r, $left{$to} =~ /user/ ? '<uid-65111@test.example>' : "<$login\@test.example>", $left{$to});
		is($body, $left{$to} =~ /closed/ ? '' : "x\r\n", 'its text');
	}
	my ($line, $head, $body) = arrived('blind@test.example');
	is_deeply([ sort @$line[ 4 .. $#$line ] ], [ '<blind@test.example>', '<dropped@test.example>' ], 'both recipients');
	is($body, ".\r\nx\r\n", 'its dots');
	unlike($head, qr/^bcc/mi, 'no Bcc');
	wait_for(sub { my %h = map { $_ => 1 } @hostile; !grep { !$h{$_} && slurp($_) !~ /\nRbig\n/ } drops() }, 'the folder to be empty');
	# Whoever asks for more than the limit is told in the log, not lost.
	ok((grep { ($_->{reason} // '') =~ /large|size/ } events($house, event => 'drop-refused')), 'too large: refused with a word');
	drained($house);
	my %times;
	$times{$_}++ for map { @$_[ 4 .. $#$_ ] } sunk($house);
	is($times{"<$_\@test.example>"}, 1, "$_ once") for sort keys %left, 'dropped', 'blind';
	is(scalar(grep { /faked|forged|linked|partial|longer|dotted/ } keys %times), 0, 'nothing hostile was sent');

	# With one name it is a file like others.
	unlink $hostile[3];
	sendmail("x\n", 'wake');
	arrived('linked@test.example');
	wait_for(sub { !-e $hostile[2] }, 'it to be removed');
	drained($house);
	is(scalar(grep { grep { /linked/ } @$_ } sunk($house)), 1, 'what has one link is sent, once');
};

subtest 'killed in the middle' => sub {
	my @to = map { "kill$_" } 1 .. 40;
	my $others = drops();
	$house->stop('smtpd');
	is((sendmail("Subject: k\n\nx\n", $_))[0], 0, $_) for @to;
	$house->start_one('smtpd');
	my $pid = $house->pid('smtpd');
	wait_for(sub { drops() < 40 + $others }, 'the first to be taken in');
	$house->kill('smtpd');
	wait_for(sub { my $p = $house->pid('smtpd'); $p && $p != $pid }, 'smtpd again');
	$house->ready('smtpd');
	arrived("$_\@test.example") for @to;
	drained($house);
	my %times;
	$times{$_}++ for map { @$_[ 4 .. $#$_ ] } sunk($house);
	my @twice = grep { $times{"<$_\@test.example>"} > 1 } @to;
	cmp_ok(scalar @twice, '<=', 1, 'each arrives; twice at most the one whose file was about to go');
};

balanced($house, 'at the end');
$house->end;
done_testing;
