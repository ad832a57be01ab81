# SPDX-License-Identifier: ISC
# sendmail and its other names against a made-up server, a made-up qmgr, and none: exit codes, what is said
# to the server, what is left in the drop folder.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Path qw(make_path remove_tree);
use Ask qw(as_user reachable);
use House qw(slurp spew run build_dir bin_dir);
use POSIX ();
use Responder;
use Socket qw(AF_UNIX SOCK_SEQPACKET PF_UNSPEC pack_sockaddr_un);
use Test::More;
use Time::HiRes qw(time);

my $bin = bin_dir();
my $root = build_dir() . "/t/sendmail.$$/" . join '/', ('a-folder-with-a-long-name') x 5;
my $user = 65111; # no passwd entry
my $is_root = $> == 0;
my ($r, @folders);

make_path("$root/run/submit", "$root/run/ctl", "$root/drop");
chmod 0755, glob("$root/run $root/run/*");
chmod 03733, "$root/drop";

sub sendmail
{
	my ($in, @argv) = @_;
	my $how = ref $argv[0] ? shift @argv : {};
	my $name = $how->{name} // 'sendmail';

	my $made = $name ne 'sendmail' && symlink 'sendmail', "$bin/$name";
	$how->{in} = $in;
	$how->{env} = { ANGARIUM_ROOT => $root, NAME => 'Test Er', TZ => 'UTC0', %{ $how->{env} // {} } };
	my @got = run($how, @{ $how->{by} // [] }, "$bin/$name", @argv);
	unlink "$bin/$name" if $made;
	return @got;
}

sub drops { return map { slurp($_) } grep { -f } glob("$root/drop/* $root/drop/.??*") }
sub clear { unlink glob("$root/drop/* $root/drop/.??*"); $r->forget if $r }
sub last_mail { my @m = $r->mail; return $m[-1] // {} }

# A name that mailers do not have in common with the test's own login.
my $login = (getpwuid $<)[0] // "uid-$<";

subtest 'nothing listens: the drop folder' => sub {
	my ($rc, $out, $err) = sendmail("To: alice\nBcc: bob\@x.org\n\n.x\n", '-t', '-i');
	is($rc, 0, 'exit 0');
	is("$out$err", '', 'silent');
	my @d = drops();
	is(scalar @d, 1, 'one file');
	my ($name) = glob("$root/drop/*");
	like($name, qr{/[0-9A-F]{16}$}, 'its name');
	is((stat $name)[2] & 07777, 0640, 'its mode');
	is((stat $name)[5], (stat "$root/drop")[5], 'its group is that of the folder');
	like($d[0], qr/\Aangarium-drop\ 1\nU$<\nF\Q$login\E\nRalice\nRbob\@x\.org\n\n
		To:\ alice\@\S+\r\n(?s:.*)\r\n\r\n\.x\r\n\.commit\ \d{20}\ [0-9a-f]{16}\n\z/x, 'its text');
	unlike($d[0], qr/^Bcc/m, 'no blind copy in it');

	if ($is_root) {
		my ($rc, $out, $err) = sendmail('', { name => 'mailq' });
		is($rc, 0, 'mailq as root: 0');
		like($out, qr/^[0-9A-F]{16} .*\n.*\(mail system is down\)\n *alice\n *bob\@x\.org\n\n/m, 'it lists them');
		like($out, qr/^-- \d+ Kbytes in 1 Request\.$/m, 'and counts them');
		like($err, qr/\Amailq: mail system is down: .*\n\z/, 'and says why');
	}
	clear();

	($rc) = sendmail("Subject: x\n\n", '-N', 'failure,delay', '-R', 'hdrs', '-V', 'a b', '-B8BITMIME', 'c@x');
	is($rc, 0, 'with all that an envelope may hold');
	like((drops())[0], qr/\nB8BITMIME\nTHDRS\nVa\+20b\nRc\@x\tNOTIFY=failure,delay\n\n/, 'it is in the file');
	clear();
};

subtest 'on stable storage before it says so' => sub {
	my ($strace) = grep { -x } map { "$_/strace" } split /:/, $ENV{PATH};
	plan skip_all => 'needs strace' unless $strace;
	my $log = build_dir() . "/t/sendmail.$$/strace";
	my ($rc) = sendmail("x\n", { by => [ $strace, '-f', '-o', $log ] }, 'alice');
	my @calls = grep { /openat.*O_EXCL|^\d+ +(?:write|rename|syncfs|exit_group)/ } split /\n/, slurp($log);
	my $order = join ' ', map { /^\d+ +(\w+)/ } @calls;

	is($rc, 0, 'taken');
	like($order, qr/\Aopenat (?:write )+renameat2 syncfs exit_group\z/, 'made, written, renamed, synced');
	like($calls[0], qr{"\.\d+\.\w+"}, 'under a dot name at first');
	is(scalar(grep { / = -1 / } @calls), 0, 'without an error');
	clear();
};

subtest 'calls that are wrong' => sub {
	for ([ '-Z' ], [], [ '-t' ], [ '-BFOO', 'a' ], [ '-f', 'a@@b', 'c' ], [ '-be' ], [ '-f' ]) {
		my ($rc, $out, $err) = sendmail('', @$_);
		is($rc, 64, "64: @$_");
		like($err, qr/\Asendmail: [^\n]+\n\z/, 'one line');
	}
	my ($rc, $out, $err) = sendmail("To: x\@\@\n\n", '-t');
	is($rc, 65, 'only bad addresses');
	is($err, "sendmail: x\@\@: not an address\n", 'said');
	($rc, $out, $err) = sendmail("x\n", '-oeq', "a\@\@\nb");
	is("$rc $err", '65 ', 'quiet');
	is(scalar drops(), 0, 'nothing was left');
};

subtest 'no drop folder either' => sub {
	rename "$root/drop", "$root/drop-away";
	my ($rc, $out, $err) = sendmail("x\n", 'alice');
	is($rc, 75, 'exit 75');
	like($err, qr/\Asendmail: mail system is down .* message not sent\n\z/, 'one line');
	rename "$root/drop-away", "$root/drop";
	($rc, $out, $err) = sendmail("x\n" x 2000, { by => [ 'sh', '-c', 'ulimit -f 1; exec "$@"', '-' ] }, 'alice');
	is($rc, 75, 'a limit of file size: 75');
	like($err, qr/File too large/, 'said');
	is(scalar drops(), 0, 'nothing left behind');
};

subtest 'callers in narrow places' => sub {
	my %by = (
		'descriptors closed' => [ 'sh', '-c', 'exec "$@" <&- >&- 2>&-', '-' ],
		'folder gone' => [ 'sh', '-c', 'd=$(mktemp -d); cd $d; rmdir $d; exec "$@"', '-' ],
	);
	if ($is_root) {
		$by{'no new privileges'} = [ 'setpriv', '--no-new-privs' ];
		# Below a closed folder nobody else comes to the drop folder.
		$by{'a user without a name'} = [ as_user($user), '--no-new-privs' ] if reachable("$root/drop");
		$by{'no network'} = [ 'unshare', '-n' ];
	}
	for my $what (sort keys %by) {
		my $start = time;
		my ($rc, $out, $err) = sendmail("x\n", { by => $by{$what} }, 'alice');

		is("$rc$err", '0', $what);
		cmp_ok(time - $start, '<', 5, 'soon');
		my ($text) = drops();
		like($text // '', qr/\nRalice\n\n.*\.commit/s, 'left');
		like($text, qr/\AU?.*\nU$user\nFuid-$user\n/, 'as uid-N') if $what =~ /without/;
		clear();
	}
	if ($is_root) {
		spew("$root/angarium.conf", "alias_file = \"$root/aliases\"\n");
		spew("$root/aliases", "root: alice\nlist: alice,\n\tbob\n");
		my ($rc, $said) = sendmail('', { name => 'newaliases', by => [ 'unshare', '-n' ] });
		is($rc, 0, 'newaliases as root');
		like($said, qr/: 2 aliases, /, 'which says how many');
		unlink "$root/aliases.db";
		($rc) = sendmail('', { by => [ 'unshare', '-n' ] }, '-bi');
		is($rc, 0, 'sendmail -bi');
		ok(-s "$root/aliases.db", 'does the same');
		spew("$root/aliases", "root: alice\nlist alice\n");
		my $before = (stat "$root/aliases.db")[1];
		($rc, $said, my $why) = sendmail('', { name => 'newaliases' });
		is($rc, 65, 'an error in the text');
		like($why, qr{^\Q$root\E/aliases:2: }, 'which is named');
		is((stat "$root/aliases.db")[1], $before, 'the database stays');
		my @as = (by => [ 'setpriv', "--reuid=$user", "--regid=$user", '--clear-groups' ]);
		($rc) = sendmail('', { name => 'newaliases', @as });
		is($rc, 77, 'newaliases as a user');
		($rc) = sendmail('', {@as}, '-bd');
		is($rc, 77, '-bd as a user');
		($rc) = sendmail('', { name => 'mailq', @as });
		is($rc, 69, 'mailq as a user, all down');
	}
	is((sendmail('', '-q'))[0], 69, '-q, all down');
	is((sendmail('', '-q30m'))[0], 0, '-q30m');
	is((sendmail('', '-bv', 'a'))[0], 75, '-bv, all down');
	my ($rc, $out) = sendmail('', '-d0.1');
	like("$rc $out", qr/^0 Version /, 'version');
	($rc, $out) = sendmail("EHLO x\r\n", '-bs');
	is("$rc $out", "75 421 4.3.2 Mail system is down\r\n", '-bs, all down');
	is(scalar drops(), 0, 'no mail of all this');
};

$r = Responder->new("$root/run/submit");

subtest 'what the server hears' => sub {
	my ($rc, $out, $err) = sendmail("To: alice\nBcc: carol\nSubject: x\n\n.\nafter\n..z\n", '-t', '-i');
	my $m = last_mail();
	is("$rc$out$err", 0, 'exit 0, silent');
	is($m->{from}, "$login\@o.example", 'sender');
	is_deeply($m->{rcpt}, [ 'alice@o.example', 'carol@o.example' ], 'recipients');
	like($m->{data}, qr/\r\n\r\n\.\r\nafter\r\n\.\.z\r\n\z/, 'dots');
	like($m->{data}, qr/\ATo: alice\@o\.example\r\nSubject: x\r\nDate: \w.*\r\nFrom: Test Er <\Q$login\E\@o\.example>\r\nMessage-ID: <\S+\@o\.example>\r\n\r\n/, 'header');

	sendmail("To: alice\nSubject: x\n\nfirst\n.\nafter\n", '-t');
	like(last_mail()->{data}, qr/\r\n\r\nfirst\r\n\z/, 'a dot ends it without -i');

	for ([ '-f', '' ], [ '-f', '<>' ], [ '-fq@ex.org' ]) {
		sendmail("x\n", @$_, '-i', 'alice');
		is(last_mail()->{from}, $_->[0] =~ /q/ ? 'q@ex.org' : '', "@$_");
	}
	($rc, $out) = sendmail("x\xe4\n\0" . 'l' x 5000, '-v', '-N', 'never', '-R', 'full', '-V', 'e=1',
		'-f', 'a@b.example', "gr\xc3\xbc\@x.org");
	$m = last_mail();
	is("$rc $out", "0 Queued as 0123456789BCD\n", '-v shows the id');
	like($m->{data}, qr/\r\n\r\nx\xe4\r\n\0l{5000}\r\n\z/, 'long lines, NUL, 8 bits');
	my ($mail) = grep { /^MAIL/ } @{ $m->{commands} };
	is($mail, 'MAIL FROM:<a@b.example> BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=e+3D1', 'MAIL');
	my ($rcpt) = grep { /^RCPT/ } @{ $m->{commands} };
	is($rcpt, "RCPT TO:<gr\xc3\xbc\@x.org> NOTIFY=never", 'RCPT');

	($rc) = sendmail("x\n", map { "u$_\@x.org" } 1 .. 5000);
	is($rc, 0, '5000 recipients');
	is(scalar @{ last_mail()->{rcpt} }, 5000, 'all of them');
	($rc) = sendmail("From joe Mon remote from alpha\nSubject: x\n\n.\n", { name => 'rmail' }, 'bob@x');
	is($rc, 0, 'rmail');
	is(last_mail()->{from}, 'alpha!joe@o.example', 'its sender');
	is(last_mail()->{data}, "Subject: x\r\n\r\n.\r\n", 'its header is left alone');
	($rc) = sendmail("To: x\@\@, bob\@x.org\nFrom: a\n\n", '-t', '-f', 'me@x.org');
	my @m = $r->mail;
	is($rc, 0, 'a bad address among good ones');
	is_deeply($m[-2]{rcpt}, ['bob@x.org'], 'the good one gets it');
	is_deeply([ @{ $m[-1] }{qw(from rcpt)} ], [ '', ['me@x.org'] ], 'the sender a notice');
	like($m[-1]{data}, qr/Final-Recipient: rfc822; x\@\@\r\nAction: failed\r\nStatus: 5\.1\.3\r\n/, 'of the bad one');
	is(scalar drops(), 0, 'nothing was dropped');
};

subtest 'what the server answers' => sub {
	my @rows = (
		# answers, exit code, text on stderr, mails taken, drop files
		[ { MAIL => '552 5.3.4 too big' }, 69, qr/too big/, 0, 0 ],
		[ { MAIL => '550 5.7.1 not you' }, 77, qr/not you/, 0, 0 ],
		[ { MAIL => '452 4.3.1 full' }, 75, qr/full/, 0, 0 ],
		[ { MAIL => '451 4.3.0 soon' }, 0, qr/\A\z/, 0, 1 ],
		[ { GREETING => '421 4.3.2 closing' }, 0, qr/\A\z/, 0, 1 ],
		[ { GREETING => 'close' }, 0, qr/\A\z/, 0, 1 ],
		[ { EHLO => 'close' }, 0, qr/\A\z/, 0, 1 ],
		[ { MAIL => 'close' }, 0, qr/\A\z/, 0, 1 ],
		[ { 'RCPT two' => '451 4.3.0 soon' }, 0, qr/\A\z/, 0, 1 ],
		[ { 'RCPT two' => '452 4.5.3 too many' }, 75, qr/too many/, 0, 0 ],
		[ { DATA => '421 4.3.2 closing' }, 0, qr/\A\z/, 0, 1 ],
		[ { DATA => 'close' }, 0, qr/\A\z/, 0, 1 ],
		[ { DATA => '554 5.6.0 never' }, 65, qr/never/, 0, 0 ],
		[ { DOT => '451 4.3.0 later' }, 75, qr/451 later/, 0, 0 ],
		[ { DOT => '552 5.3.4 too big' }, 69, qr/too big/, 0, 0 ],
		[ { DOT => '554 5.7.1 spam' }, 77, qr/spam/, 0, 0 ],
		[ { DOT => 'close' }, 75, qr/may have been sent/, 0, 0 ],
		[ { 'RCPT two' => '550 5.1.1 unknown' }, 0, qr/\A\z/, 2, 0 ],
		[ { 'RCPT one' => '550 5.1.1 unknown', 'RCPT two' => '550 5.1.1 unknown' }, 0, qr/\A\z/, 1, 0 ],
		[ { RCPT => '550 5.1.1 unknown' }, 67, qr/one\@x\.org: 550 unknown/, 0, 0 ],
		[ { RCPT => '550 5.7.1 denied', DATA => '354 go' }, 77, qr/denied/, 0, 0 ],
		[ { EHLO => "250-x\r\n250 SIZE 100" }, 69, qr/larger than 100 bytes/, 0, 0 ],
	);
	for my $row (@rows) {
		my ($answers, $code, $text, $mails, $files) = @$row;
		my $what = join ', ', map { "$_: $answers->{$_}" =~ s/\r\n/ /r } sort keys %$answers;

		clear();
		$r->answer(%$answers);
		my ($rc, $out, $err) = sendmail("Subject: x\n\nbody\n", 'one@x.org', 'two@x.org');
		is($rc, $code, "$code: $what");
		like($err, $text, 'said');
		is(scalar $r->mail, $mails, 'mails');
		is(scalar drops(), $files, 'drop files');
	}
	clear();
	$r->answer(RCPT => '550 5.1.1 unknown', 'RCPT me' => '250 ok');
	is((sendmail("x\n", '-f', '<>', 'one@x.org'))[0], 67, 'no notice to the null sender');
	is((sendmail("x\n", '-Nnever', '-fme@x.org', 'one@x.org'))[0], 0, 'none where none is wanted');
	is(scalar $r->mail, 0, 'indeed');
	is((sendmail("x\n", '-oem', '-fme@x.org', 'a@@'))[0], 65, '-oem: the code stays');
	is((sendmail("x\n", '-oee', '-fme@x.org', 'a@@'))[0], 0, '-oee: 0');
	is(scalar $r->mail, 2, 'both mailed');
	clear();
};

subtest '-bv and -bs' => sub {
	$r->answer('RCPT here' => '250 2.1.5 Local recipient ok', 'RCPT taken' => '250 2.1.5 Unknown recipient, told', 'RCPT nosuch' => '550 5.1.1 User unknown', 'RCPT wait' => '451 4.4.3 try again');
	is_deeply([ sendmail('', '-bv', 'alice') ],
		[ 0, "alice... deliverable: mailer relay, host o.example, user alice\@o.example\n", '' ], 'good');
	is_deeply([ sendmail('', '-bv', 'here') ], [ 0, "here... deliverable: mailer local, user here\n", '' ], 'local');
	is_deeply([ sendmail('', '-bv', 'taken') ], [ 67, "taken... User unknown\n", '' ], 'what would be taken, for a notice');
	is_deeply([ sendmail('', '-bv', 'a@o.example') ],
		[ 0, "a\@o.example... deliverable: mailer relay, host o.example, user a\@o.example\n", '' ], 'as it was typed');
	is_deeply([ sendmail('', '-bv', 'nosuch') ], [ 67, "nosuch... User unknown\n", '' ], 'bad');
	is_deeply([ (sendmail('', '-bv', 'wait'))[ 0, 1 ] ],
		[ 75, "wait... deferred: 451 try again\n" ], 'deferred');
	is((sendmail('', '-bv', 'wait', 'alice', 'nosuch'))[0], 67, 'the worst of all');
	my ($rc, $out) = sendmail("EHLO x\r\nMAIL FROM:<a\@b>\r\nRCPT TO:<c>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n",
		'-bs', '-odb', '-oem');
	is($rc, 0, '-bs');
	like($out, qr/\A220 (?s:.*)\r\n354 go\r\n250 2.0.0 Queued as \S+\r\n221 2.0.0 bye\r\n\z/, 'all of the talk');
	is_deeply([ @{ last_mail() }{qw(from rcpt data)} ], [ 'a@b', ['c'], "hi\r\n" ], 'and its mail');
	($rc) = sendmail("NOOP\r\n", '-bs');
	is($rc, 0, 'the end of stdin ends it');
};

# The control socket of a qmgr: answers one call with the lines and the status, tells what was asked.
sub fake_qmgr
{
	my ($lines, $status, $text) = @_;
	opendir my $dh, "$root/run/ctl" or die;
	unlink "$root/run/ctl/qmgr";
	socket my $s, AF_UNIX, SOCK_SEQPACKET, PF_UNSPEC or die;
	bind $s, pack_sockaddr_un('/proc/self/fd/' . fileno($dh) . '/qmgr') or die "bind: $!";
	listen $s, 5;
	pipe(my $in, my $out);
	my $pid = fork;
	if (!$pid) {
		my ($asked, $packet) = ('');
		accept(my $c, $s);
		until ($asked) {
			defined recv $c, $packet, 65536, 0 and length $packet or last;
			while (length $packet > 8) {
				my ($type, $zero, $n) = unpack 'vvV', $packet;
				$asked = join '|', unpack 'V/a V/a', substr $packet, 8, $n if $type == 0x0500;
				substr($packet, 0, 8 + $n) = '';
			}
		}
		print {$out} $asked =~ tr/\0/,/r;
		close $out;
		my $data = pack 'V/a', $lines;
		my $end = pack 'vV/a', $status, $text;
		send $c, pack('vvV/a', 0x0501, 0, substr $data, 0) . pack('vvV/a', 0x0502, 0, $end), 0;
		recv $c, $packet, 10, 0;
		POSIX::_exit(0);
	}
	close $out;
	return sub { waitpid $pid, 0; local $/; return <$in> };
}

subtest 'mailq and -q' => sub {
	my $asked = fake_qmgr("M\t0123456789BCD\tactive\t2000\t1000\ta\@x\nR\tb\@y\tdeferred\tno route\n", 0, '');
	my ($rc, $out, $err) = sendmail('', { name => 'mailq' });
	is("$rc$err", 0, 'mailq');
	is($asked->(), 'mailq|', 'what was asked');
	like($out, qr/^0123456789BCD\* +2000 Thu Jan  1 00:00:01 a\@x\n +\(no route\)\n +b\@y\n\n-- 1 Kbytes in 1 Request\.\n\z/m, 'the list');
	$asked = fake_qmgr('', 0, '');
	is_deeply([ sendmail('', '-bp') ], [ 0, "Mail queue is empty\n", '' ], 'empty');
	$asked->();
	for ([ ['-q'], '' ], [ ['-qRx.org'], 'recipient,x.org,' ], [ ['-qIABC'], 'id,ABC,' ]) {
		$asked = fake_qmgr('', 0, '');
		is((sendmail('', @{ $_->[0] }))[0], 0, "@{ $_->[0] }");
		is($asked->(), "flush|$_->[1]", 'what was asked');
	}
	$asked = fake_qmgr('', 77, 'not allowed');
	is_deeply([ sendmail('', '-q') ], [ 77, '', "sendmail: not allowed\n" ], 'refused');
	$asked->();
};

$r->end;
remove_tree(build_dir() . "/t/sendmail.$$") if Test::More->builder->is_passing;
done_testing;
