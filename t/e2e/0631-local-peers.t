# SPDX-License-Identifier: ISC
# Local mail beside programs that Debian's users have: Dovecot takes it by LMTP, mutt and procmail hold the locks of
# an mbox.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(mail_in at_sink events balanced drained);
use File::Path qw(make_path remove_tree);
use House qw(wait_for slurp spew need_root);
use Peers;
use POSIX ();
use Test::More;

need_root();
Peers::need();
my ($mail_gid) = (getgrnam 'mail')[2];
plan skip_all => 'needs the group mail' unless $mail_gid;

my $dir = "/tmp/ang-dovecot-$$"; # short: the name of a socket
my $owner = $$;
END { if ($owner && $$ == $owner) { my $status = $?; remove_tree($dir) if $dir; $? = $status } }
my $house = House->new(config => { retry_first => '1s', retry_max => '1s', local_domains => ['test.example'],
	mailbox_lock_timeout => '20s' });
my $state = $house->{state};
my ($mail, $home, $uid) = ("$state/mail", "$state/home", 61100);
make_path($mail, "$home/alice");
chown 0, $mail_gid, $mail;
chmod 02775, $mail;
chown $uid, $uid, "$home/alice";
# What the table calls local, and below what Dovecot knows of it.
spew("$state/users", join '', map { "$_:$uid:$uid:$home/alice\n" } qw(alice good large full brim nosuch));
$house->{config} = { %{ $house->{config} }, local_users => "$state/users", mail_dir => $mail };
$house->write_config;
$house->start;
$house->sink;

sub attempt
{
	my ($id, $to, $status) = @_;
	my $got;

	eval { wait_for(sub { ($got) = events($house, event => 'attempt', id => $id, to => $to, $status ? (status => $status) : ()) }, "an attempt for $to", 30) };
	return $got // { status => 'never' };
}

# As alice with the group mail, where peers are: the state folder is /mnt.
sub as_alice
{
	my (@argv) = @_;

	return Peers::peer({ enter => [ '-b', "$state:/mnt" ], seconds => 60 },
		'setpriv', "--reuid=$uid", "--regid=$mail_gid", '--clear-groups', @argv);
}

subtest 'mutt holds the lock' => sub {
	is((as_alice('sh', '-c', ': >>/mnt/mail/alice; chmod 0600 /mnt/mail/alice; mutt_dotlock -r0 /mnt/mail/alice'))[0], 0, 'it has it');
	my $id = mail_in($house, 'from@x.example', 'alice@test.example', text => "Subject: mutt\n\nx\n");
	my ($local) = map { $_->[1] } grep { $_->[0] eq 'local/1' } $house->processes;
	ok(wait_for(sub { slurp("/proc/$local/task/$local/children") =~ /\d/ }, 'a delivery'), 'a delivery waits for it');
	is(-s "$mail/alice", 0, 'and writes nothing');
	is((as_alice('mutt_dotlock', '-u', '/mnt/mail/alice'))[0], 0, 'let go');
	is(attempt($id, 'alice@test.example')->{status}, 'sent', 'the same delivery goes on');
	my @st = stat "$mail/alice";
	is(sprintf('%o %d %d', $st[2] & 07777, @st[4, 5]), "600 $uid $mail_gid", 'mode and owner');
};

subtest 'procmail and mutt write and look at the same time' => sub {
	my $n = 12;
	unlink "$mail/alice";
	spew("$state/procmailrc", "SHELL=/bin/sh\nDEFAULT=/mnt/mail/alice\nLOCKSLEEP=1\n:0:\n\$DEFAULT\n");
	my $pid = fork // die;
	if ($pid == 0) {
		my ($status, undef, $err) = as_alice('sh', '-c', <<'SH', '-', $n);
bad=0
for i in $(seq "$1"); do
	{ printf 'From proc@mail Sat Nov 21 16:33:48 2026\nSubject: theirs %s\n\n' "$i"; yes "body $i" | head -n 300; echo; } |
		procmail -m /mnt/procmailrc || exit 2
	until mutt_dotlock -r0 /mnt/mail/alice; do sleep 0.01; done
	size=$(stat -c %s /mnt/mail/alice)
	sleep 0.02
	[ "$size" = "$(stat -c %s /mnt/mail/alice)" ] || bad=1
	mutt_dotlock -u /mnt/mail/alice
done
exit $bad
SH
		print STDERR $err if $status;
		POSIX::_exit($status);
	}
	my @ids = map { mail_in($house, 'from@x.example', 'alice@test.example', text => "Subject: ours $_\n\n" . "body $_\n" x 300) } 1 .. $n;
	my @status = map { attempt($_, 'alice@test.example')->{status} } @ids;
	is_deeply(\@status, [ ('sent') x $n ], 'all of ours are delivered, none at a second try');
	waitpid $pid, 0;
	is($?, 0, 'theirs as well, and nobody wrote while mutt held the lock');
	my $box = slurp("$mail/alice");
	my @order = $box =~ /^Subject: ours (\d+)$/mg;
	is("@order", join(' ', 1 .. $n), 'in the order in which they came, each once');
	for my $whose (qw(ours theirs)) {
		my @broken = grep { my $want = "Subject: $whose $_\n\n" . "body $_\n" x 300 . "\n"; (() = $box =~ /^\Q$want\E(?=From |\z)/mg) != 1 } 1 .. $n;
		is_deeply(\@broken, [], "$whose: each whole");
	}
	is_deeply([ glob "$mail/*.lock*" ], [], 'no lock is left');
	my @st = stat "$mail/alice";
	is(sprintf('%o %d', $st[2] & 07777, $st[4]), "600 $uid", 'hers');
};

subtest 'Dovecot takes mail by LMTP' => sub {
	my %users = (good => '', large => '', full => 'userdb_quota_rule=*:storage=1K');
	my $dovecot = Peers->dovecot(dir => $dir, users => \%users, tempfail => 1);

	$house->{config}{local_transport} = "lmtp:unix:$dir/lmtp";
	$house->write_config;
	is(($house->angctl('config', 'reload'))[0], 0, 'reload');
	my %want = ('good@test.example' => [ 'sent', '2.0.0', 250, qr/Saved/ ], 'good+box@test.example' => [ 'sent', '2.0.0', 250, qr/Saved/ ],
		'full@test.example' => [ 'deferred', '4.2.2', 452, qr/Quota exceeded/ ],
		'nosuch@test.example' => [ 'bounced', '5.1.1', 550, qr/doesn't exist/ ]);
	my $text = "Subject: many\nX-Long: \x{c3}\x{a4}\n\n.\n..two\nFrom here\n" . "0123456789\n" x 200;
	my $id = mail_in($house, 'from@x.example', [ sort keys %want ], text => $text, mail => ' BODY=8BITMIME');

	for my $to (sort keys %want) {
		my ($status, $dsn, $code, $said) = @{ $want{$to} };
		my $a = attempt($id, $to);
		is("$a->{status} $a->{dsn} $a->{code}", "$status $dsn $code", "$to: $a->{text}");
		like($a->{text}, $said, 'its own words');
		is("$a->{transport} $a->{phase}", $code == 550 ? 'lmtp rcpt' : 'lmtp dot', 'told when');
	}
	my @got = glob "$dir/home/good/Maildir/new/*";
	is(scalar @got, 2, 'Dovecot has it for both');
	for my $file (@got) {
		my $mail = slurp($file) =~ s/\r//gr;
		is(join(' ', $mail =~ /^Return-Path: (.*)/mg), '<from@x.example>', 'one Return-Path');
		is($mail =~ s/.*?\n\n//sr, $text =~ s/.*?\n\n//sr, 'the body as it was');
	}
	# Room is made: what had to wait arrives, once, and nobody else has it again.
	$users{full} = 'userdb_quota_rule=*:storage=10M';
	spew("$dir/users.new", join '', map { "${_}:::::::$users{$_}\n" } sort keys %users);
	rename "$dir/users.new", "$dir/users";
	is(attempt($id, 'full@test.example', 'sent')->{status}, 'sent', 'with room it is delivered');
	is(scalar(() = glob "$dir/home/full/Maildir/new/*"), 1, 'once');
	is(scalar(() = glob "$dir/home/good/Maildir/new/*"), 2, 'and not again to who had it');

	my $line = 'x' x 70 . "\n";
	my $large = mail_in($house, '', 'large@test.example', text => "Subject: large\n\n" . $line x 20000);
	is(attempt($large, 'large@test.example')->{status}, 'sent', 'a large one, with the null sender');
	my ($file) = glob "$dir/home/large/Maildir/new/*";
	my $mail = slurp($file) =~ s/\r//gr;
	like($mail, qr/^Return-Path: <>\n/, 'Return-Path <>');
	is($mail =~ s/.*?\n\n//sr, $line x 20000, 'whole');

	$dovecot->end;
	my $late = mail_in($house, 'from@x.example', 'good@test.example', text => "Subject: late\n\nx\n");
	is(attempt($late, 'good@test.example')->{status}, 'deferred', 'no Dovecot: later');
	$users{full} = 'userdb_quota_rule=*:storage=1K';
	$dovecot = Peers->dovecot(dir => $dir, users => \%users);
	is(attempt($late, 'good@test.example', 'sent')->{status}, 'sent', 'when it is back');
	my $never = attempt(mail_in($house, 'from@x.example', 'full@test.example', text => $text), 'full@test.example');
	is("$never->{status} $never->{dsn} $never->{code}", 'bounced 5.2.2 552', "over quota for good: $never->{text}");
	drained($house);
	is(scalar at_sink($house, 'from@x.example', 2), 2, 'the sender is told of what failed, and of nothing else');
	is(scalar(() = glob "$dir/home/good/Maildir/new/*"), 3, 'once');
	balanced($house, 'at the end');
	$dovecot->end;
};
$house->end;
done_testing;
