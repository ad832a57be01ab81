# SPDX-License-Identifier: ISC
# Mail into mailboxes: Maildir, mbox, LMTP; as whom, how durable, and what happens to mail when the mailbox is
# odd, locked, full or attacked, or when local is killed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(mail_in row events balanced drained);
use Fcntl qw(:DEFAULT);
use File::Path qw(make_path);
use House qw(wait_for slurp spew run need_root);
use IO::Socket::UNIX;
use POSIX qw(_exit);
use Supervisor;
use Test::More;
use Time::HiRes qw(time);

need_root();
my ($mail_gid) = (getgrnam 'mail')[2];
plan skip_all => 'needs the group mail' unless $mail_gid;

# Users without accounts, in the private range; the tree they can reach.
my $house = House->new(config => { retry_first => '1s', retry_max => '1s', mailbox_lock_timeout => '300ms',
	local_domains => ['test.example'], local_children_max => 8 });
my $state = $house->{state};
my ($mail, $home) = ("$state/mail", "$state/home");
my %uid = (alice => 61100, bob => 61101, carol => 61102, dave => 61103, eve => 61104, small => 61105, gone => 61106);
my %box = (bob => 'Maildir/', eve => 'Maildir/', small => 'Maildir/');
make_path($mail, $home);
chown 0, $mail_gid, $mail;
chmod 02775, $mail;
for my $u (sort keys %uid) {
	next if $u eq 'gone';
	mkdir "$home/$u", 0700;
	chown $uid{$u}, $uid{$u}, "$home/$u";
}
spew("$state/users", join '', map { "$_:$uid{$_}:$uid{$_}:$home/$_" . ($box{$_} ? ":$box{$_}" : '') . "\n" } sort keys %uid);
spew("$state/users", slurp("$state/users") . "system:999:61107:$home/system\nwheel:0:0:/root\n");
$house->{config} = { %{ $house->{config} }, local_users => "$state/users", mail_dir => $mail, local_uid_min => 1000 };
$house->write_config;
$house->start;

sub text_of { my ($subject, $body) = @_; return "Subject: $subject\n\n" . ($body // "Hello.\n") }

# The last attempt for a recipient of a message, when there is one.
sub attempt
{
	my ($id, $to) = @_;
	my $got;

	wait_for(sub { $got = (events($house, event => 'attempt', id => $id, to => $to))[-1] }, "an attempt for $to", 30);
	return $got;
}
sub sent
{
	my ($id, $to) = @_;
	my $a;

	eval { wait_for(sub { ($a) = events($house, event => 'attempt', id => $id, to => $to, status => 'sent') }, "$to", 30) };
	return $a;
}
sub deliver
{
	my ($subject, $user, $body) = @_;
	my $to = "$user\@test.example";
	my $id = mail_in($house, 'from@x.example', $to, text => text_of($subject, $body));

	return attempt($id, $to);
}
sub new_files { return sort glob "$home/$_[0]/Maildir/new/*" }

subtest 'mbox' => sub {
	my $a = deliver('first', 'alice+shop', "one\nFrom here\n>From there\n.dot\n");

	is($a->{status}, 'sent', 'delivered') or diag $a->{text};
	is("$a->{transport} $a->{relay} $a->{phase}", 'local local local', 'the log says by whom');
	my $box = slurp("$mail/alice");
	like($box, qr/\AFrom from\@x\.example  \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}\nReturn-Path: <from\@x\.example>\nDelivered-To: alice\+shop\@test\.example\nReceived: /, 'its first lines');
	like($box, qr/\n\none\n>From here\n>>From there\n\.dot\n\n\z/, 'quoted, and an empty line at the end');
	unlike($box, qr/\r/, 'no CR');
	my @st = stat "$mail/alice";
	is(sprintf('%o %d %d', $st[2] & 07777, @st[4, 5]), "600 $uid{alice} $mail_gid", 'mode and owner as Debian has them');
	is((deliver('second', 'ALICE'))->{status}, 'sent', 'letters of any case');
	is(scalar(() = slurp("$mail/alice") =~ /^From from/mg), 2, 'appended');
	is_deeply([ glob "$mail/*.lock*" ], [], 'no lock is left');
};

subtest 'Maildir' => sub {
	my $a = deliver('first', 'bob', "From here\n");

	is($a->{status}, 'sent', 'delivered') or diag $a->{text};
	my @new = new_files('bob');
	is(scalar @new, 1, 'one file');
	like(slurp($new[0]), qr/\AReturn-Path: <from\@x\.example>\nDelivered-To: bob\@test\.example\nReceived: (?:.*\n)*\nFrom here\n\z/, 'whole, unquoted');
	my $size = -s $new[0];
	like($new[0], qr{/\d+\.M\d{6}P\d+R[0-9a-f]{16}\.mx\.test\.example,S=$size$}, 'its name');
	for my $d ('', qw(/new /tmp /cur)) {
		my @st = stat "$home/bob/Maildir$d";
		is(sprintf('%o %d', $st[2] & 07777, $st[4]), "700 $uid{bob}", "Maildir$d");
	}
	is_deeply([ glob "$home/bob/Maildir/tmp/*" ], [], 'tmp is empty');
};

subtest 'a large message' => sub {
	my $line = 'x' x 70 . "\n";
	my $a = deliver('large', 'bob', $line x 20000);
	is($a->{status}, 'sent', 'delivered') or diag $a->{text};
	my ($file) = grep { -s $_ > 1_000_000 } new_files('bob');
	ok($file && substr(slurp($file), -71 * 20000) eq $line x 20000, 'its body as it was');
};

# strace on the worker, with what it forks.
sub tracing
{
	my (@how) = @_;
	my ($worker) = map { $_->[1] } grep { $_->[0] eq 'local/1' } $house->processes;

	unlink "$state/strace.err", "$state/trace";
	$house->{tools}{strace} = Supervisor::spawn([ 'strace', '-f', '-y', @how, '-o', "$state/trace", '-p', $worker ], "$state/strace.err");
	wait_for(sub { (slurp("$state/strace.err") // '') =~ /attached|Operation not permitted/ }, 'strace');
	return slurp("$state/strace.err") !~ /not permitted/;
}
my $no_strace = system('command -v strace >/dev/null 2>&1') ? 'needs strace' : '';

subtest 'fsync comes before rename, and before it is said' => sub {
	plan skip_all => $no_strace if $no_strace;
	tracing('-e', 'trace=openat,fsync,renameat,renameat2,write,exit_group') or plan skip_all => 'strace may not look';
	is((deliver('traced', 'bob'))->{status}, 'sent', 'delivered');
	wait_for(sub { (slurp("$state/trace") // '') =~ /renameat.*\n(?:.*\n)*.*exit_group/ }, 'the end of the trace');
	$house->end_tool('strace');
	my $trace = slurp("$state/trace");
	my @steps = map { /fsync\(\d+<.*\/Maildir\/tmp\/[^>]*>\) *= 0/ ? 'fsync file' : /renameat2?\(.* = 0/ ? 'rename' :
	    /fsync\(\d+<.*\/Maildir\/new>\) *= 0/ ? 'fsync new' : /write\(\d+<pipe.*delivered to/ ? 'told' : () } split /\n/, $trace;
	is(join(', ', @steps), 'fsync file, rename, fsync new, told', 'in this order') or diag $trace;
};

subtest 'a quota, and a disk that fails: at the sync' => sub {
	plan skip_all => $no_strace if $no_strace;
	my %dsn = (EDQUOT => '4.2.2', EIO => '4.3.0');
	for my $error (sort keys %dsn) {
		my @before = new_files('bob');
		tracing('-e', 'trace=fsync', '-e', "inject=fsync:error=$error:when=1") or plan skip_all => 'strace may not look';
		my @first = map { deliver("$error for $_", $_) } qw(alice bob);
		$house->end_tool('strace');
		like("$_->{status} $_->{dsn}", qr/^deferred \Q$dsn{$error}\E$/, "$error: $_->{to}: $_->{text}") for @first;
		ok(sent($_->{id}, $_->{to}), "$_->{to}: delivered later") for @first;
		is(scalar(() = slurp("$mail/alice") =~ /^Subject: $error for alice$/mg), 1, 'once in the mbox, nothing of the first try');
		is(scalar(() = new_files('bob')), @before + 1, 'once in the Maildir');
		is_deeply([ glob "$home/bob/Maildir/tmp/*" ], [], 'and nothing in tmp');
	}
};

subtest 'a loop ends' => sub {
	my $a = attempt(mail_in($house, 'from@x.example', 'bob@test.example',
		text => "Received: x\nDelivered-To: BOB\@test.example\nSubject: loop\n\nx\n"), 'bob@test.example');
	is("$a->{status} $a->{dsn}", 'bounced 5.4.6', 'mail that was here before');
	is((attempt(mail_in($house, 'from@x.example', 'bob@test.example',
		text => "Delivered-To: alice\@test.example\nSubject: no loop\n\nx\n"), 'bob@test.example'))->{status}, 'sent', 'not another\'s');
};

subtest 'odd mailboxes' => sub {
	my $victim = "$state/victim";
	spew($victim, '');
	chown $uid{carol}, $uid{carol}, $victim;
	my @cases = (
		[ 'a symbolic link' => sub { symlink $victim, "$mail/carol" }, qr/symbolic link/ ],
		[ 'a dangling one' => sub { symlink "$state/none", "$mail/carol" }, qr/symbolic link/ ],
		[ 'a FIFO' => sub { POSIX::mkfifo("$mail/carol", 0600); chown $uid{carol}, $mail_gid, "$mail/carol" }, qr/not a regular file/ ],
		[ 'a folder' => sub { mkdir "$mail/carol" }, qr/not a regular file/ ],
		[ 'another\'s' => sub { spew("$mail/carol", ''); chown $uid{dave}, $mail_gid, "$mail/carol"; chmod 0660, "$mail/carol" }, qr/another user/ ],
		[ 'root\'s' => sub { spew("$mail/carol", ''); chmod 0600, "$mail/carol" }, qr/Permission denied/ ],
		[ 'with a second name' => sub { spew("$mail/carol", ''); chown $uid{carol}, $mail_gid, "$mail/carol"; link "$mail/carol", "$mail/other" }, qr/several names/ ],
	);
	for my $case (@cases) {
		my ($what, $make, $text) = @$case;
		$make->();
		my $a = deliver($what, 'carol');
		is("$a->{status} $a->{dsn}", 'deferred 4.2.0', $what);
		like($a->{text}, $text, $a->{text});
		unlink "$mail/carol", "$mail/other";
		rmdir "$mail/carol";
	}
	is(-s $victim, 0, 'nothing was written through a link');
	ok(!-e "$state/none", 'nor made');
	# A Maildir that leads out of the home.
	make_path("$home/eve/Maildir", "$state/trap");
	chown $uid{eve}, $uid{eve}, "$home/eve/Maildir", "$state/trap";
	symlink "$state/trap", "$home/eve/Maildir/new";
	my $a = deliver('trap', 'eve');
	is($a->{status}, 'deferred', 'new is a link');
	is_deeply([ glob "$state/trap/*" ], [], 'and not followed');
	unlink "$home/eve/Maildir/new";
	is((deliver('no home', 'gone'))->{dsn}, '2.0.0', 'who has no home folder has an mbox all the same');
};

subtest 'whose mailbox is never written' => sub {
	my $t = $house->talk;
	$t->reply;
	$t->ask('EHLO c.example');
	$t->ask('MAIL FROM:<a@x.example>');
	like($t->ask("RCPT TO:<$_\@test.example>"), qr/^5/, "$_ is refused at the door") for qw(nosuch ../alice);
	# Whatever router lets in: local looks itself.
	for my $who (qw(system wheel)) {
		next if $t->ask("RCPT TO:<$who\@test.example>") =~ /^5/;
		my $a = deliver('not for you', $who);
		is($a->{status}, 'deferred', "$who waits");
		like($a->{text}, qr/local_uid_min/, "$a->{text}");
	}
	my $id = mail_in($house, 'from@x.example', 'dave@test.example', text => text_of('hold'));
	is((sent($id, 'dave@test.example') // {})->{status}, 'sent', 'dave has mail');
	ok(!-e "$mail/$_", "no mailbox of $_") for qw(root wheel system);
};

subtest 'locks of others' => sub {
	spew("$mail/dave.lock", "1\n");
	my $a = deliver('locked', 'dave');
	is("$a->{status} $a->{dsn}", 'deferred 4.2.0', 'a dot-lock holds');
	like($a->{text}, qr/\.lock/, 'the reason');
	unlink "$mail/dave.lock";
	ok(sent($a->{id}, 'dave@test.example'), 'delivered when it is gone');
	# A stale one.
	spew("$mail/dave.lock", "1\n");
	utime time - 3600, time - 3600, "$mail/dave.lock";
	is((deliver('stale', 'dave'))->{status}, 'sent', 'a stale one is taken away');
	ok(!-e "$mail/dave.lock", 'gone');
	# What a killed delivery leaves.
	my $machine = slurp('/etc/machine-id') || slurp('/proc/sys/kernel/random/boot_id');
	chomp $machine;
	spew("$mail/dave.lock", "0 angarium $machine " . substr((POSIX::uname())[1], 0, 30) . "\n");
	chown $uid{dave}, $mail_gid, "$mail/dave.lock";
	is((deliver('dead', 'dave'))->{status}, 'sent', 'one of the dead at once');
	ok(!-e "$mail/dave.lock", 'gone as well');
};

subtest 'many at once, another program among them' => sub {
	my $n = 40;
	my $pid = fork // die;
	if ($pid == 0) {
		# Takes the dot-lock again and again, and looks whether anybody writes meanwhile.
		my $bad = 0;
		for (1 .. 30) {
			my $f;
			select undef, undef, undef, 0.005 until sysopen $f, "$mail/alice.lock", O_CREAT | O_EXCL | O_WRONLY;
			my $size = -s "$mail/alice";
			select undef, undef, undef, 0.02;
			$bad++ if $size != -s "$mail/alice";
			unlink "$mail/alice.lock";
		}
		_exit($bad ? 1 : 0);
	}
	my @ids = map { mail_in($house, 'from@x.example', 'alice@test.example', text => text_of("many $_", "body $_\n" x 200)) } 1 .. $n;
	ok(sent($_, 'alice@test.example'), $_) for @ids;
	waitpid $pid, 0;
	is($?, 0, 'nobody wrote while the other held the lock');
	my $box = slurp("$mail/alice");
	for my $i (1 .. $n) {
		my $want = "Subject: many $i\n\n" . "body $i\n" x 200 . "\n";
		is(scalar(() = $box =~ /^\Q$want\E(?=From |\z)/mg), 1, "message $i once and whole");
	}
};

subtest 'a full disk' => sub {
	my $dir = "$home/small/Maildir";
	make_path($dir);
	plan skip_all => 'no mount here' if system "mount -t tmpfs -o size=64k,mode=0700,uid=$uid{small},gid=$uid{small} tmpfs '$dir' 2>/dev/null";
	my $a = deliver('too large', 'small', "0123456789\n" x 20000);
	is("$a->{status} $a->{dsn}", 'deferred 4.3.1', 'deferred') or diag $a->{text};
	is_deeply([ glob "$dir/{new,tmp}/*" ], [], 'nothing is left of it');
	system "umount '$dir'";
	chown $uid{small}, $uid{small}, $dir;
	ok(sent($a->{id}, 'small@test.example'), 'delivered when there is room');
	my ($file) = new_files('small');
	like(slurp($file), qr/(?:0123456789\n){20000}\z/, 'whole');
};

subtest 'killed under load' => sub {
	my $n = 60;
	my %before = map { $_ => 1 } new_files('bob');
	my @ids;
	for my $i (1 .. $n) {
		push @ids, mail_in($house, 'from@x.example', [ 'bob@test.example', 'dave@test.example' ], text => text_of("kill $i"));
		next if $i % 10;
		my @all;
		wait_for(sub { @all = grep { $_->[0] =~ m{^local} } $house->processes }, 'local to be there');
		my $victim = $all[ $i / 10 % @all ];
		kill 'KILL', $victim->[1];
		$house->ready('local');
	}
	# Each is waited for long: the first that does not come ends it.
	for my $n (map { $_ * 2, $_ * 2 + 1 } 0 .. $#ids) {
		my ($id, $who) = ($ids[ $n / 2 ], (qw(bob dave))[ $n % 2 ]);
		ok(sent($id, "$who\@test.example"), "$id for $who") or last;
	}
	my $maildir = join '', map { slurp($_) } grep { !$before{$_} } new_files('bob');
	my $box = slurp("$mail/dave");
	my @lost = grep { my $i = $_; $maildir !~ /^Subject: kill $i$/m || $box !~ /^Subject: kill $i$/m } 1 .. $n;
	is_deeply(\@lost, [], 'nothing is lost');
	balanced($house, 'after the kills');
};

# A process of this user's that tries things against another, each true where it must not be.
sub against
{
	my ($id, $pid) = @_;

	pipe my $r, my $w or die;
	my $child = fork // die;
	if ($child == 0) {
		POSIX::setgid($id);
		POSIX::setuid($id);
		my @bad;
		push @bad, 'memory' if open my $m, '<', "/proc/$pid/mem";
		push @bad, 'environment' if open my $e, '<', "/proc/$pid/environ";
		push @bad, 'descriptors' if opendir my $d, "/proc/$pid/fd";
		push @bad, 'its root' if defined readlink "/proc/$pid/root";
		push @bad, 'ptrace' if $^O eq 'linux' && (POSIX::uname())[4] eq 'x86_64' && syscall(101, 0x4206, $pid, 0, 0) == 0;
		print $w "@bad";
		close $w;
		_exit(0);
	}
	close $w;
	my $text = <$r> // '';
	waitpid $child, 0;
	return $text;
}

subtest 'a delivery is the recipient\'s, and tells the recipient nothing' => sub {
	$house->{config}{mailbox_lock_timeout} = '20s';
	$house->write_config;
	is(($house->angctl('config', 'reload'))[0], 0, 'reload');
	my $status = row($house, 'status', 'local');
	wait_for(sub { row($house, 'status', 'local')->{workers}[0]{generation} == $status->{generation} }, 'the worker to take it');
	my ($worker) = map { $_->[1] } grep { $_->[0] eq 'local/1' } $house->processes;
	my %text = (STOP => qr/stopped by its user/, KILL => qr/killed by signal 9/);
	for my $signal (qw(STOP KILL)) {
		spew("$mail/alice.lock", '');
		my $id = mail_in($house, 'from@x.example', 'alice@test.example', text => text_of("as whom: $signal"));
		my ($pid, %is);
		wait_for(sub {
			for (split ' ', slurp("/proc/$worker/task/$worker/children") // '') {
				%is = (slurp("/proc/$_/status") // '') =~ /^(\w+):\s*(.*?)\s*$/mg;
				return $pid = $_ if ($is{Uid} // '') =~ /^$uid{alice}\t/ && $is{Seccomp_filters} > 4;
			}
			return 0;
		}, 'a delivery that waits for the lock');
		is($is{Uid}, join("\t", ($uid{alice}) x 4), 'uid: hers, all four');
		is($is{Gid}, join("\t", ($mail_gid) x 4), 'gid: that of mail_dir');
		is($is{Groups}, $uid{alice}, 'groups: hers');
		is(join(' ', map { $is{$_} =~ /^0+$/ ? 0 : $is{$_} } qw(CapInh CapPrm CapEff CapBnd CapAmb)), '0 0 0 0 0', 'no capability, nor can there be one');
		is("$is{NoNewPrivs} $is{Seccomp} $is{Umask}", '1 2 0077', 'no new privileges, a filter, umask 077');
		is(scalar(() = glob "/proc/$pid/fd/*"), 6, 'descriptors: three, the result, the folder and the mbox') or diag join ' ', map { readlink } glob "/proc/$pid/fd/*";
		is(against($uid{alice}, $pid), '', 'she cannot look into it');
		is(system('setpriv', "--reuid=$uid{alice}", "--regid=$uid{alice}", '--clear-groups', 'kill', "-$signal", $pid), 0, "she may send it $signal");
		my $a = attempt($id, 'alice@test.example');
		is("$a->{status} $a->{dsn}", 'deferred 4.3.0', 'then it is tried again');
		like($a->{text}, $text{$signal}, $a->{text});
		ok(wait_for(sub { !-e "/proc/$pid" }, 'its end'), 'and nothing of it stays');
		unlink "$mail/alice.lock";
		ok(sent($id, 'alice@test.example'), 'delivered');
	}
};

# LMTP: one reply for each recipient after the dot.
sub lmtp_server
{
	my ($path) = @_;
	my $pid = fork // die;

	return $pid if $pid;
	unlink $path;
	local $SIG{PIPE} = 'IGNORE';
	my $l = IO::Socket::UNIX->new(Local => $path, Listen => 20) or _exit(9);
	chmod 0777, $path;
	while (my $c = $l->accept) {
		my (@ok, %said);
		print $c "220 lmtp ready\r\n";
		while (my $line = <$c>) {
			$line =~ s/\r\n\z//;
			if ($line =~ /^LHLO/) { print $c "250-lmtp\r\n250-PIPELINING\r\n250 8BITMIME\r\n" }
			elsif ($line =~ /^EHLO|^HELO/) { print $c "500 5.5.1 this is LMTP\r\n" }
			elsif ($line =~ /^RCPT TO:<unknown/) { print $c "550 5.1.1 unknown here\r\n" }
			elsif ($line =~ /^RCPT TO:<([^@>]*)/) { push @ok, $1; print $c "250 2.1.5 ok\r\n" }
			elsif ($line =~ /^DATA/) {
				print $c @ok ? "354 go\r\n" : "503 5.5.1 nobody\r\n";
				next unless @ok;
				while (my $l2 = <$c>) { last if $l2 eq ".\r\n" }
				for my $who (@ok) {
					print $c $who =~ /^full/ && !$said{$who}++ ? "452 4.2.2 $who is full\r\n" :
					    $who =~ /^never/ ? "552 5.2.2 $who will be full for ever\r\n" : "250 2.0.0 $who has it\r\n";
				}
				@ok = ();
			}
			elsif ($line =~ /^QUIT/) { print $c "221 bye\r\n"; last }
			else { print $c "250 ok\r\n" }
		}
	}
	_exit(0);
}

subtest 'LMTP, a reply for each recipient' => sub {
	my $path = "/tmp/ang-lmtp-$$";
	my $pid = lmtp_server($path);
	wait_for(sub { IO::Socket::UNIX->new($path) }, 'the server');
	spew("$state/users", slurp("$state/users") . join '', map { "$_:61200:61200:/nonexistent\n" } qw(good full never unknown));
	$house->{config}{local_transport} = "lmtp:unix:$path";
	$house->write_config;
	is(($house->angctl('config', 'reload'))[0], 0, 'reload');
	my %want = (good => 'sent 2.0.0', full => 'deferred 4.2.2', never => 'bounced 5.2.2', unknown => 'bounced 5.1.1');
	my @to = map { "$_\@test.example" } sort keys %want;
	my $id;
	# The users' table is looked at once a second.
	wait_for(sub { $id = eval { mail_in($house, 'from@x.example', \@to, text => text_of('lmtp')) } }, 'router to see the users', 20);
	for my $who (sort keys %want) {
		my $a = attempt($id, "$who\@test.example");
		my ($first) = events($house, event => 'attempt', id => $id, to => "$who\@test.example");
		is("$first->{status} $first->{dsn}", $want{$who}, "$who: $first->{text}");
		is($first->{transport}, 'lmtp', "$who: by LMTP");
	}
	ok(sent($id, 'full@test.example'), 'who was full has it later');
	kill 'KILL', $pid;
	waitpid $pid, 0;
	my $b = attempt(mail_in($house, 'from@x.example', 'good@test.example'), 'good@test.example');
	is($b->{status}, 'deferred', "no server: $b->{text}");
	unlink $path;
};
$house->end;
done_testing;
