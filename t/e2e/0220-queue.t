# SPDX-License-Identifier: ISC
# What becomes of mail that is not delivered at once: deferral, expiry, failure, what operators do to it,
# and how much a destination gets at a time.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(rows row shown events balanced ledger mail_in at_sink sunk drained as_user reachable);
use House qw(wait_for slurp spew run need_root free_ports);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

need_root();
my ($second, $third, $six) = free_ports(3);
my $house = House->new(services => [ grep { $_ ne "bounced" } @House::SERVICES ], 
	config => {
		retry_first => '1s', retry_max => '4s', retry_jitter => 0, life => '1h', sessions_per_client => 1000,
		recipients_max => 1000,
	},
	extra => <<EXTRA)->start;
domain "second.example" { route = { "127.0.0.1:$second" } }
domain "six.example" { route = { "[::1]:$six" } }
domain ".few.example" { route = { "127.0.0.1:$third" } concurrency = 3 }
domain "far.example" { route = { "127.0.0.1:$third" } retry_first = 1h retry_max = 1h }
domain "brief.example" { life = 1s }
domain "narrow.example" { recipients_per_transaction = 2 }
domain "noway.example" { route = { } }
EXTRA
my ($state, $bin) = @$house{qw(state bin)};
# Each rule is a destination's habit: the part before the @ says what it does.
$house->sink(args => [ '-d', "$state/out", '-r', 'rcpt,match=<twice@,times=2=450 4.2.1 not now',
	'-r', 'rcpt,match=<soft=450 4.2.2 over quota', '-r', 'rcpt,match=<hard=550 5.1.1 no such user',
	'-r', 'dot,match=later,times=1=451 4.3.0 disk' ]);
sub sink2
{
	my ($name, $at, @args) = @_;
	my ($port) = $at =~ /:(\d+)$/;

	unlink "$state/$name.err"; # one of that name may have ended before
	my $pid = Supervisor::spawn([ "$bin/smtpsink", '-o', "$state/$name.log", @args, $at ], "$state/$name.err");
	$house->{tools}{$name} = $pid;
	wait_for(sub { -s "$state/$name.err" || IO::Socket::IP->new(PeerHost => $at =~ /\[/ ? '::1' : '127.0.0.1',
		PeerPort => $port, Timeout => 2) }, "$name at $at");
	return "$state/$name.log";
}

sub attempts { my ($id) = @_; return grep { ($_->{status} // '') eq 'deferred' } events($house, event => 'attempt', id => $id) }

# Waits until a recipient, the first if not said, has been tried n times and waits again.
sub tried
{
	my ($id, $n, $rcpt) = @_;

	return wait_for(sub {
		my $m = shown($house, $id);
		my $r = $m && $m->{recipients}[ $rcpt // 0 ];
		$r && $r->{attempts} >= $n && $r->{state} eq 'deferred' && $m;
	}, "$id to have been tried $n times", 20);
}

# These wait for their seconds while other subtests run.
my $twice = mail_in($house, 'a@x.example', 'twice@d.example');
my $brief = mail_in($house, 'a@x.example', 'soft@brief.example');
my $quiet = mail_in($house, 'a@x.example', 'soft.quiet@brief.example', rcpt => ' NOTIFY=NEVER');

subtest 'routes' => sub {
	my $log2 = sink2('sink2', "127.0.0.1:$second");
	my $log6 = sink2('sink6', "[::1]:$six", '-X', 'DSN');
	my $three = [ 'u@d.example', 'u@second.example', 'u@six.example' ];
	my $id = mail_in($house, 'a@x.example', $three, mail => ' RET=HDRS ENVID=Q1', rcpt => ' NOTIFY=SUCCESS,FAILURE');

	my ($one) = at_sink($house, 'u@d.example');
	my ($two) = at_sink($house, 'u@second.example', 1, $log2);
	my ($other) = at_sink($house, 'u@six.example', 1, $log6);
	is(scalar @$_, 5, 'each sink has its recipient alone') for $one, $two, $other;
	is($two->[2], "127.0.0.1:$second", 'by the route of its domain');
	is($other->[2], "[::1]:$six", 'and over IPv6');
	like("$two->[3] $two->[4]", qr/ RET=HDRS ENVID=Q1.* NOTIFY=SUCCESS,FAILURE/, 'who offers DSN hears of it');
	unlike("$other->[3] $other->[4]", qr/RET|ENVID|NOTIFY|ORCPT/, 'who does not, does not');
	my $r = row($house, 'route', 'x@six.example');
	is("$r->{action} $r->{hops}[0]{host} $r->{hops}[0]{port}", "deliver ::1 $six", 'angctl route says so');
	is(row($house, 'route', 'x@noway.example')->{code}, 550, 'an empty route is a no');
	my $t = $house->talk;
	$t->reply;
	$t->ask($_) for 'EHLO client.example', 'MAIL FROM:<a@x.example>';
	like($t->ask('RCPT TO:<x@noway.example>'), qr/^550 5\.1\.2 /, 'said at the door');
};

subtest 'rights' => sub {
	plan skip_all => 'users cannot come to the programs here' unless reachable("$bin/angctl");
	my @as = as_user();
	my $id = mail_in($house, 'a@x.example', 'soft.rights@d.example');
	tried($id, 1);
	my $angctl = sub { return run(@as, "$bin/angctl", '-c', $house->conf_file, @_) };

	is(($angctl->('status', 'qmgr'))[0], 0, 'anybody may ask how it is');
	is((run({ env => $house->sendmail_env }, @as, "$bin/sendmail", '-bp'))[0], 0, 'and for the list');
	for ([ 'queue', 'delete', $id ], [ 'queue', 'hold', $id ], [ 'queue', 'fail', $id ], [ 'queue', 'retry', $id ],
		[ 'queue', 'release', $id ], [ 'queue', 'suspend', '*' ], [ 'queue', 'show', $id ], [ 'queue', 'list' ],
		[ 'ledger' ], [ 'trace', $id ], [ 'log', 'follow' ], [ 'log', 'reopen' ], [ 'queue', 'failed' ]) {
		my ($status, undef, $err) = $angctl->(@$_);
		is($status, 77, "a user: angctl @$_");
		like($err, qr/^angctl: .+\n\z/, 'one line');
	}
	ok(shown($house, $id), 'nothing was done');
	is(($house->angctl('queue', 'delete', $id))[0], 0, 'root may');
};

subtest 'doubling' => sub {
	at_sink($house, 'twice@d.example');
	events_soon(event => 'attempt', id => $twice, status => 'sent');
	my @tries = attempts($twice);
	is(scalar @tries, 2, 'two refusals');
	is_deeply([ map { $_->{next_ms} } @tries ], [ 1000, 2000 ], 'each wait twice the one before');
	is($tries[0]{code}, 450, 'its code');
	is($tries[0]{dsn}, '4.2.1', 'its enhanced code');
	like($tries[0]{text}, qr/not now/, 'its text');
	is(scalar(grep { grep { /twice/ } @$_ } sunk($house)), 1, 'arrived once');
	my ($sent) = events_soon(event => 'attempt', id => $twice, status => 'sent');
	is($sent->{attempt}, 3, 'at the third attempt');
	cmp_ok($sent->{delay_ms}, '>=', 2900, 'which was not too early');
	cmp_ok($sent->{delay_ms}, '<', 6000, 'nor late');
};

subtest 'expiry' => sub {
	wait_for(sub { events($house, event => 'expired', id => $brief) && events($house, event => 'expired', id => $quiet) }, 'two to expire');
	my $m = shown($house, $brief);
	is($m->{recipients}[0]{state}, 'failed', 'the sender is owed a notice');
	ok(!shown($house, $quiet), 'with NOTIFY=NEVER none is, and it is gone');
	my $l = balanced($house, 'expired');
	is($l->{expired}, 2, 'both count as expired');
	ok((grep { $_->{id} eq $brief } rows($house, 'queue', 'failed')), 'listed among the failed');
	is(scalar(grep { $_->{id} eq $brief } rows($house, 'queue', 'list')), 0, 'and no longer among the queued');
};

subtest 'failure' => sub {
	my $before = balanced($house, 'before');
	my $id = mail_in($house, 'a@x.example', [ 'hard@d.example', 'fine@d.example', 'soft.f@d.example' ]);
	my $null = mail_in($house, '', 'hard.null@d.example');
	tried($id, 1, 2);
	at_sink($house, 'fine@d.example');
	wait_for(sub { ledger($house)->{bounced} - $before->{bounced} == 2 }, 'both to be counted');
	my $m = shown($house, $id);
	is_deeply([ map { $_->{state} } @{ $m->{recipients} } ], [ 'failed', 'delivered', 'deferred' ], 'each recipient has its own fate');
	like($m->{recipients}[0]{reason}, qr/^127\.0\.0\.1 said: 550 5\.1\.1 no such user$/, 'with the words of the server');
	my ($e) = events_soon(event => 'failed', id => $id);
	is("$e->{code} $e->{dsn} $e->{to}", '550 5.1.1 hard@d.example', 'logged');
	my ($f) = grep { $_->{id} eq $id } rows($house, 'queue', 'failed');
	ok($f, 'listed');
	ok(!shown($house, $null), 'a notice to nobody: the null sender settles alone');
	my ($s, $out) = $house->angctl('queue', 'failed');
	like($out, qr/^\Q$id\E .*\n(?:    .*\n)*    hard\@d\.example +failed +.*no such user/m, 'as text too');
	is(($house->angctl('queue', 'delete', $id))[0], 0, 'the rest is deleted');
	balanced($house, 'after');
};

subtest 'a restart in the middle' => sub {
	my $id = mail_in($house, 'a@x.example', 'soft.restart@d.example');
	my $old = tried($id, 2);
	my $held = mail_in($house, 'a@x.example', 'soft.held@d.example');
	tried($held, 1);
	is(($house->angctl('queue', 'hold', $held, 'wait for the lawyer'))[0], 0, 'hold');
	my $pid = $house->kill('qmgr');
	wait_for(sub { my $p = $house->pid('qmgr'); $p && $p != $pid }, 'qmgr again');
	$house->ready('qmgr');
	my $m = wait_for(sub { shown($house, $id) }, 'the message again');
	cmp_ok($m->{recipients}[0]{attempts}, '>=', 2, 'the attempts are known');
	my $h = shown($house, $held);
	is("$h->{state} $h->{held_by} $h->{hold_reason}", 'hold uid 0 wait for the lawyer', 'the hold too');
	is($h->{recipients}[0]{attempts}, 1, 'with its attempts');
	tried($id, 3);
	my ($third) = events_soon(event => 'attempt', id => $id, attempt => 3);
	is($third->{next_ms}, 4000, 'the wait goes on doubling');
	is((grep { $_->{id} eq $brief } rows($house, 'queue', 'failed')), 1, 'what failed is listed still');
	balanced($house, 'after kill -9');
	$house->angctl('queue', 'delete', $_) for $id, $held;
};

subtest 'operators' => sub {
	my $l = balanced($house, 'before');
	my %id = map { $_ => mail_in($house, "$_\@x.example", "soft.$_\@d.example") } qw(hold retry delete fail);
	tried($id{$_}, 1) for keys %id;

	is(($house->angctl('queue', 'hold', $id{hold}, 'so I say'))[0], 0, 'hold');
	my ($e) = events_soon(event => 'held', id => $id{hold});
	is("$e->{peer} $e->{reason}", 'uid 0 so I say', 'by whom and why');
	my $m = shown($house, $id{hold});
	is("$m->{state} $m->{held_by} $m->{hold_reason}", 'hold uid 0 so I say', 'known of the message');
	like(why($id{hold}), qr/held by uid 0: so I say/, 'why');
	my $n = $m->{recipients}[0]{attempts};
	is(($house->angctl('queue', 'hold', $id{hold}))[0], 69, 'a second time: nothing to do');
	is(($house->angctl('queue', 'list', 'state=hold'))[0], 0, 'list by state');
	is_deeply([ map { $_->{id} } rows($house, 'queue', 'list', 'state=hold') ], [ $id{hold} ], 'it alone');
	is_deeply([ map { $_->{id} } rows($house, 'queue', 'list', 'sender=retry@x.example') ], [ $id{retry} ], 'by sender');
	is_deeply([ map { $_->{id} } rows($house, 'queue', 'list', 'recipient=soft.fail@d.example') ], [ $id{fail} ], 'by recipient');
	is(scalar rows($house, 'queue', 'list', 'domain=d.example'), 4, 'by domain');
	is(scalar rows($house, 'queue', 'list', 'domain=elsewhere.example'), 0, 'none there');

	my ($s, $text) = $house->angctl('queue', 'list');
	like($text, qr/^ID +STATE +SIZE ARRIVAL +SENDER\n/, 'the list as text');
	like($text, qr/^\Q$id{hold}\E +hold +\d+ 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d +hold\@x\.example\n    soft\.hold\@d\.example +hold +.*over quota/m, 'a line each');

	is(($house->angctl('queue', 'retry', $id{retry}))[0], 0, 'retry');
	ok(wait_for(sub { grep { $_->{attempt} >= 2 } attempts($id{retry}) }, 'another attempt'), 'tried again');
	like(why($id{retry}), qr/next try in \d+ s|in delivery now|behind others/, 'why');

	is(($house->angctl('queue', 'delete', $id{delete}))[0], 0, 'delete');
	ok(!shown($house, $id{delete}), 'gone at once');
	($e) = events_soon(event => 'deleted', id => $id{delete});
	is($e->{peer}, 'uid 0', 'by whom');
	is(($house->angctl('queue', 'delete', $id{delete}))[0], 69, 'nothing to delete');

	is(($house->angctl('queue', 'fail', $id{fail}, 'not here'))[0], 0, 'fail');
	is(shown($house, $id{fail})->{recipients}[0]{state}, 'failed', 'the sender is owed a notice');
	($e) = events_soon(event => 'failed', id => $id{fail});
	is("$e->{peer} $e->{reason}", 'uid 0 not here', 'by whom and why');
	like(slurp_journal(), qr/uid 0.*not here/s, 'the journal has the name');

	my $after = balanced($house, 'after');
	is($after->{dropped} - $l->{dropped}, 1, 'one by rule');
	is($after->{bounced} - $l->{bounced}, 1, 'one failed');
	is(shown($house, $id{hold})->{recipients}[0]{attempts}, $n, 'what is held is not tried');
	is(($house->angctl('queue', 'release', $id{hold}))[0], 0, 'release');
	cmp_ok(tried($id{hold}, $n + 1)->{recipients}[0]{attempts}, '>', $n, 'what was released is, and keeps its count');
	$house->angctl('queue', 'delete', $_) for @id{qw(hold retry)};
	is(($house->angctl('queue', 'hold', 'what?'))[0], 64, 'no id');
	is(($house->angctl('queue', 'hold'))[0], 64, 'nothing named');
	is(($house->angctl('queue', 'dance'))[0], 64, 'no such command');
};
sub why { return join ' ', map { $_->{why} } rows($house, 'queue', 'why', $_[0]) }
sub events_soon { my %want = @_; return @{ wait_for(sub { my @e = events($house, %want); @e && \@e }, "the event $want{event}") } }
sub slurp_journal { return join '', map { slurp($_) } grep { -f } glob "$state/spool/queue/state/*" }

subtest 'mailq' => sub {
	my $start = time;
	is(($house->angctl('queue', 'delete', 'state=deferred'))[0], 0, 'a filter may find nothing');
	is(($house->sendmail('', '-q'))[0], 0, 'and so may sendmail -q');
	cmp_ok(time - $start, '<', 3, 'and says so at once');
	my ($status, $out, $err) = $house->sendmail('', '-bp');
	is("$status$out$err", "0Mail queue is empty\n", 'empty');
	my $one = mail_in($house, 'a@x.example', [ 'soft.one@d.example', 'soft.two@d.example' ], text => "Subject: x\n\n" . "0123456\n" x 300);
	my $null = mail_in($house, '', 'soft.three@d.example');
	tried($_, 1) for $one, $null;
	$house->angctl('queue', 'hold', $null);
	($status, $out) = $house->sendmail('', '-bp');
	is($status, 0, 'exit 0');
	my @lines = split /\n/, $out;
	is($lines[0], '-Queue ID-        --Size-- ---Arrival Time---- -Sender/Recipient-------', 'the heading');
	like($lines[-1], qr/^-- [0-9]+ Kbytes in [0-9]+ Requests?\.$/, 'the last line');
	like($lines[-1], qr/ in 2 Requests\.$/, 'counts both');
	like($out, qr/^\Q$one\E  +\d{4} [A-Z][a-z][a-z] [A-Z][a-z][a-z] [ 1-3]\d \d\d:\d\d:\d\d a\@x\.example\n +\(.*450 4\.2\.2 over quota.*\)\n {47}soft\.one\@d\.example\n {47}soft\.two\@d\.example\n/m,
		'id, size, time, sender, reason once, recipients');
	like($out, qr/^\Q$null\E! .* MAILER-DAEMON$/m, 'held, from nobody');
	is(scalar(grep { /^[0-9A-Z]{13}/ } @lines), 2, 'as scripts count');
	$house->angctl('queue', 'delete', $_) for $one, $null;
};

subtest 'suspend and resume' => sub {
	is(($house->angctl('queue', 'suspend', 'Later.example', 'they asked'))[0], 0, 'suspend');
	my $id = mail_in($house, 'a@x.example', 'u@later.example');
	my $other = mail_in($house, 'a@x.example', 'u@now.example');
	at_sink($house, 'u@now.example');
	like(wait_for(sub { my $w = why($id); $w =~ /suspended/ && $w }, 'the reason'), qr/suspended/, 'why');
	is(scalar(grep { grep { /later\.example/ } @$_ } sunk($house)), 0, 'not tried');
	my ($q) = grep { $_->{domain} eq 'later.example' && $_->{suspended_by} } rows($house, 'queue');
	is("$q->{suspended_by} $q->{suspend_reason}", 'uid 0 they asked', 'by whom and why');
	my $pid = $house->kill('qmgr');
	wait_for(sub { my $p = $house->pid('qmgr'); $p && $p != $pid }, 'qmgr again');
	$house->ready('qmgr');
	# What was not filed yet is filed anew, when its writer has rung again.
	like(wait_for(sub { my $w = eval { why($id) } // ''; $w =~ /suspended/ && $w }, 'the reason'), qr/suspended/, 'a restart does not forget it');
	is(($house->angctl('queue', 'resume', 'later.example'))[0], 0, 'resume');
	ok(at_sink($house, 'u@later.example'), 'it goes out');
	is(($house->angctl('queue', 'resume', 'later.example'))[0], 69, 'nothing to resume');
	my ($status, $text) = $house->angctl('queue');
	is($status, 0, 'the queues as text');
	balanced($house, 'after');
};

subtest 'transactions and connections' => sub {
	drained($house);
	my $many = mail_in($house, 'a@x.example', [ map { "many$_\@d.example" } 1 .. 50 ]);
	my ($line) = at_sink($house, 'many50@d.example');
	is(scalar(@$line) - 4, 50, 'fifty recipients, one transaction');
	mail_in($house, 'a@x.example', [ map { "n$_\@narrow.example" } 1 .. 5 ]);
	at_sink($house, "n$_\@narrow.example") for 1 .. 5;
	my @n = grep { grep { /narrow/ } @$_ } sunk($house);
	is_deeply([ sort map { @$_ - 4 } @n ], [ 1, 2, 2 ], 'two at a time where the configuration says so');
	drained($house);

	my $log = sink2('few', "127.0.0.1:$third", '-r', 'dot,delay=10=');
	# Two domains at one host, by two doors: the host is one destination.
	my %source = map {
		$_ => Supervisor::spawn([ "$bin/smtpsource", '-h', '127.0.0.1:' . $house->port($_), '-s', 10, '-m', 100, '-n', 10, '-l', 500,
			'-t', "u%d\@$_.few.example" ], "$state/source.$_.err")
	} qw(mx submission);
	waitpid $_, 0 for values %source;
	like(slurp("$state/source.$_.err"), qr/^messages=100 acked=100 /, "100 messages by $_") for sort keys %source;
	drained($house, 30);
	$house->end_tool('few');
	my ($count) = slurp("$state/few.err") =~ /^(messages=200 .*)$/m;
	my ($connections, $highest) = ($count // '') =~ /connections=(\d+) highest=(\d+)/;
	diag $count // 'no count';
	cmp_ok($highest // 99, '<=', 3, 'never more connections at a time than allowed');
	cmp_ok($connections // 99, '<=', 12, 'which are used again'); # the callers of sink2() count too
	balanced($house, 'after');
};

subtest 'a host that is down' => sub {
	my $first = mail_in($house, 'a@x.example', 'v@far.example');
	is((events_soon(event => 'attempt', id => $first))[0]{text}, 'Connection refused', 'the first finds out');
	my $id = mail_in($house, 'a@x.example', 'u@far.example');
	my $why = wait_for(sub { my $w = why($id); $w =~ /unreachable/ && $w }, 'the reason');
	like($why, qr/^unreachable: next try in 3[56]\d\d s: Connection refused$/, 'why');
	ok(!events($house, event => 'attempt', id => $id), 'the next is not even tried');
	my ($q) = grep { $_->{domain} eq 'far.example' } rows($house, 'queue');
	cmp_ok($q->{down_ms}, '>', 0, 'the queue is down');
	my $log = sink2('few', "127.0.0.1:$third");
	is(($house->sendmail('', '-q'))[0], 0, 'sendmail -q when the host is back');
	my $start = time;
	ok(at_sink($house, "$_\@far.example", 1, $log), "$_ arrives") for 'u', 'v';
	cmp_ok(time - $start, '<', 5, 'and does not wait its hour');
	my $later = mail_in($house, 'a@x.example', 'u@d.example', text => "X-Test-Id: later\n\nx\n");
	wait_for(sub { grep { $_->[0] eq 'later' } sunk($house) }, 'the second try');
	is((events_soon(event => 'attempt', id => $later, status => 'deferred'))[0]{phase}, 'dot', 'a 451 to the end of data is tried again');
};

subtest 'spool and trace' => sub {
	my $id = mail_in($house, 'a@x.example', 'soft.spool@d.example', text => "Subject: spooled\n\n.dot\n");
	tried($id, 1);
	my ($status, $out) = $house->angctl('spool', 'show', $id);
	is($status, 0, 'spool show');
	like($out, qr/^record \Q$id\E: .*body verifies\n/, 'what it is');
	like($out, qr/^Subject: spooled\r\n\r\n\.dot\r\n\z/m, 'its text');
	like($out, qr/ soft\.spool\@d\.example$/m, 'its recipient');
	is(row($house, 'spool', 'show', $id)->{id}, $id, 'as JSON');
	is(($house->angctl('spool', 'show', 'B' x 13))[0], 65, 'no such record');
	($status, $out) = $house->angctl('spool', 'check');
	is($status, 0, 'spool check while it runs') or diag $out;
	like($out, qr/^errors +0$/m, 'no errors');

	is(($house->angctl('trace', $id))[0], 0, 'trace');
	my @story = rows($house, 'trace', $id);
	my @words = map { $_->{event} } @story;
	is_deeply([ @words[ 0, 1 ] ], [ 'connect', 'received' ], 'from the door on') or diag "@words";
	ok((grep { $_ eq 'attempt' } @words), 'with its attempts');
	is_deeply([ map { $_->{time} } @story ], [ sort map { $_->{time} } @story ], 'in order');
	is(($house->angctl('trace', 'B' x 13))[0], 69, 'nothing about another');

	pipe my $r, my $w;
	my $pid = fork // die;
	if ($pid == 0) {
		POSIX::dup2(fileno $w, 1);
		exec "$bin/angctl", '-c', $house->conf_file, '--json', 'log', 'follow', 'event=deleted', "id=$id";
	}
	close $w;
	# Who follows is there when logd counts one more descriptor; asked again until the line comes.
	wait_for(sub { -e "/proc/$pid/fd" && grep { (readlink($_) // '') =~ /^socket/ } glob "/proc/$pid/fd/*" }, 'the follower');
	$house->angctl('status', 'logd');
	$house->angctl('queue', 'delete', $id);
	my $line = readline $r;
	is(decode_json($line)->{id}, $id, 'log follow sees it as it happens');
	kill 'TERM', $pid;
	waitpid $pid, 0;
};

drained($house);
balanced($house, 'at the end');
$house->stop;
my ($status, $out) = $house->angctl('spool', 'check');
is($status, 0, 'spool check when all is stopped') or diag $out;
is(($house->angctl('queue', 'list'))[0], 69, 'nobody to ask: 69');
is(($house->angctl('status'))[0], 69, 'status too');
$house->end;
done_testing;
