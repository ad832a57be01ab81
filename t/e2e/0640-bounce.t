# SPDX-License-Identifier: ISC
# What senders are told: failure, expiry, delay, success; NOTIFY, RET, ENVID, ORCPT; the null sender; and what
# happens when those who tell are killed at each step. Reports are read by Python's email package and by our own
# reader.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(row rows shown events balanced ledger mail_in at_sink sunk);
use File::Path qw(make_path);
use House qw(wait_for slurp spew run need_root top bin_dir free_ports);
use JSON::PP;
use Test::More;

need_root();
my $house = House->new(config => { retry_first => '1s', retry_max => '2s', mx_workers => 1, deliver_workers => 1 });
my ($state, $bin) = @$house{qw(state bin)};
my $mail = "$state/maildir/new";
make_path($mail, "$state/home");
# One user of our own, and aliases.
mkdir "$state/home/user", 0700;
chown 61100, 61100, "$state/home/user";
spew("$state/users", "user:61100:61100:$state/home/user:Maildir/\n");
spew("$state/aliases", "team: good\@d.example, nice\@d.example\nlost: nouser\@d.example\n");
is((run("$bin/newaliases", '-A', "$state/aliases"))[0], 0, 'newaliases');
$house->{config} = { %{ $house->{config} }, local_domains => ['home.example'], local_users => "$state/users",
	alias_file => "$state/aliases" };
$house->write_config;
$house->start;
# Recipients say by their name what shall become of them. DSN is not offered.
my @rules = map { ('-r', $_) } 'rcpt,match=nouser=550 5.1.1 <nouser> User unknown', 'rcpt,match=full=550 5.2.2 mailbox full',
	'rcpt,match=later=450 4.2.0 try again later', 'rcpt,match=odd=554 5.7.1 Gr\xfc\xdfe: blocked using zen.example',
	'rcpt,match=deadend=550 5.1.1 the sender is not there either';
$house->sink(args => [ '-d', $mail, '-X', 'DSN', @rules ]);

# All reports in the sink's folder, newest last, as Python's email package sees them.
my $python = <<'P';
import sys, json, email, email.policy
out = []
for path in sys.argv[1:]:
    raw = open(path, 'rb').read()
    m = email.message_from_bytes(raw, policy=email.policy.default)
    if m.get_content_type() != 'multipart/report':
        continue
    parts = list(m.iter_parts())
    groups = [[[k, str(v)] for k, v in g.items()] for g in parts[1].get_payload()]
    out.append({
        'path': path, 'head': [[k, str(v)] for k, v in m.items()], 'report': m.get_param('report-type'),
        'types': [p.get_content_type() for p in parts], 'text': parts[0].get_content(),
        'message': groups[0], 'rcpts': groups[1:],
        'returned': parts[2].as_string() if len(parts) > 2 else '',
        'defects': [repr(d) for p in m.walk() for d in p.defects],
        'longest': max(len(l) for l in raw.split(b'\r\n' if b'\r\n' in raw else b'\n')),
        'sender': '',
    })
print(json.dumps(out))
P

my (%seen, %read, @reports);
sub reports
{
	# Whole ones: a report ends with its last boundary.
	my @new = grep { !$read{$_} && (slurp($_) // '') =~ /--\r?\n\z/ && ++$read{$_} }
	    sort { (stat $a)[9] <=> (stat $b)[9] } glob "$mail/*";
	my ($s, $out, $err) = @new ? run('python3', '-c', $python, @new) : (0, '[]');

	die "python: $err" if $s;
	push @reports, map { { %$_, head => { map { lc $_->[0] => $_->[1] } @{ $_->{head} } },
		message => { map { lc $_->[0] => $_->[1] } @{ $_->{message} } },
		rcpts => [ map { +{ map { lc $_->[0] => $_->[1] } @$_ } } @{ $_->{rcpts} } ] } } @{ decode_json($out) };
	return @reports;
}

# The next report about this message; waits for it.
sub report
{
	my ($id, $kind, $seconds) = @_;
	my $got;

	wait_for(sub {
		($got) = grep { !$seen{ $_->{path} } && ($_->{message}{'x-angarium-queue-id'} // '') eq $id &&
			    $_->{rcpts}[0]{action} eq $kind } reports();
	}, "a report of $id, $kind", $seconds // 20);
	$seen{ $got->{path} } = 1;
	return $got;
}

sub settled
{
	my ($id) = @_;

	wait_for(sub { events($house, event => 'done', id => $id) }, "$id to be done", 20);
}

# The event of the notice that was written of this message. Those of bounced may come behind those of qmgr.
sub noticed
{
	my ($id, %how) = @_;
	my $n;

	wait_for(sub { ($n) = events($house, event => 'notice', notice_of => $id, %how) }, "the notice of $id", 20);
	return $n;
}

subtest 'a failure' => sub {
	my $id = mail_in($house, 'sender@s.example', 'nouser@d.example',
		text => "Message-ID: <lost.1\@s.example>\nSubject: caf\xc3\xa9\n\nBody line.\n",
		mail => ' BODY=8BITMIME ENVID=QQ+2B314', rcpt => ' ORCPT=rfc822;no+2Buser@d.example');
	my $r = report($id, 'failed');

	is_deeply($r->{defects}, [], 'no defects');
	is($r->{report}, 'delivery-status', 'report-type');
	is_deeply($r->{types}, [ 'text/plain', 'message/delivery-status', 'message/rfc822' ], 'three parts, the message whole');
	is($r->{head}{subject}, 'Undelivered Mail Returned to Sender', 'Subject');
	like($r->{head}{from}, qr/<MAILER-DAEMON\@mx\.test\.example>$/, 'From');
	like($r->{head}{to}, qr/sender\@s\.example/, 'To');
	is($r->{head}{'auto-submitted'}, 'auto-replied', 'Auto-Submitted');
	is($r->{head}{'in-reply-to'}, '<lost.1@s.example>', 'In-Reply-To');
	is($r->{message}{'reporting-mta'}, 'dns; mx.test.example', 'Reporting-MTA');
	is($r->{message}{'original-envelope-id'}, 'QQ+314', 'ENVID, decoded');
	ok($r->{message}{'arrival-date'}, 'Arrival-Date');
	like($r->{message}{'received-from-mta'}, qr/client\.example/, 'Received-From-MTA');
	my $one = $r->{rcpts}[0];
	like($one->{'final-recipient'}, qr/^rfc822; ?nouser\@d\.example$/, 'Final-Recipient');
	like($one->{'original-recipient'}, qr/^rfc822; ?no\+user\@d\.example$/, 'Original-Recipient');
	is($one->{status}, '5.1.1', 'Status');
	like($one->{'remote-mta'}, qr/^dns; 127\.0\.0\.1/, 'Remote-MTA');
	like($one->{'diagnostic-code'}, qr/^smtp; 550 5\.1\.1 <nouser> User unknown$/, 'Diagnostic-Code');
	ok($one->{'last-attempt-date'}, 'Last-Attempt-Date');
	is($one->{'x-angarium-class'}, '10 invalid-recipient', 'its class');
	like($r->{returned}, qr/Received: from client\.example/, 'the message as it would have been sent');
	like($r->{returned}, qr/Body line\./, 'with its body');
	cmp_ok($r->{longest}, '<=', 998, 'no long line');
	settled($id);
	my $e;
	wait_for(sub { ($e) = events($house, event => 'bounce', id => $id) }, 'the class');
	is_deeply([ @$e{qw(bounce_class bounce_name to)} ], [ 10, 'invalid-recipient', 'nouser@d.example' ], 'the event');
	my $n = noticed($id);
	is_deeply([ @$n{qw(kind to bounce_class)} ], [ 'failed', 'sender@s.example', 10 ], 'the event of the notice');

	my ($s, $out, $err) = run("$bin/adapter_dsn", $r->{path});
	is($out, join("\t", 'nouser@d.example', 'no+user@d.example', 'failed', '5.1.1', '127.0.0.1', '550 5.1.1 <nouser> User unknown') . "\n",
		'our own reader') or diag $err;
	balanced($house, 'a failure');
};

subtest 'what is asked for' => sub {
	my %id;
	my $big = join '', map { "line $_ of a message that is larger than what is returned whole\n" } 1 .. 1200;

	$id{hdrs} = mail_in($house, 'sender@s.example', 'nouser@d.example', mail => ' RET=HDRS');
	$id{big} = mail_in($house, 'sender@s.example', 'nouser@d.example', text => "Subject: big\n\n$big", mail => ' RET=FULL');
	$id{never} = mail_in($house, 'sender@s.example', 'nouser@d.example', rcpt => ' NOTIFY=NEVER');
	$id{delay} = mail_in($house, 'sender@s.example', 'nouser@d.example', rcpt => ' NOTIFY=SUCCESS,DELAY');
	$id{success} = mail_in($house, 'sender@s.example', 'fine@d.example', rcpt => ' NOTIFY=SUCCESS');
	$id{quiet} = mail_in($house, 'sender@s.example', 'fine2@d.example', rcpt => ' NOTIFY=FAILURE');
	$id{null} = mail_in($house, '', 'nouser@d.example');
	$id{many} = mail_in($house, 'sender@s.example', [ 'nouser1@d.example', 'good1@d.example', 'full@d.example', 'nouser2@e.example' ]);
	$id{odd} = mail_in($house, 'sender@s.example', 'odd@d.example', text => "Subject: \xfc\xdf\nX-Long: " . ('x' x 900) . "\n\nb\n");

	for my $part (qw(hdrs big)) {
		my $r = report($id{$part}, 'failed');
		is_deeply($r->{types}, [ 'text/plain', 'message/delivery-status', 'text/rfc822-headers' ], "$part: only headers");
		like($r->{returned}, qr/Subject: /, "$part: with the subject");
		unlike($r->{returned}, qr/line 7 of|Hello/, "$part: without the body");
	}
	my $r = report($id{success}, 'relayed');
	is($r->{head}{subject}, 'Successful Mail Delivery Report', 'success, where the next hop does not tell itself');
	is($r->{rcpts}[0]{status}, '2.0.0', 'Status');
	$r = report($id{many}, 'failed');
	is_deeply([ sort map { "$_->{status} $_->{'final-recipient'}" =~ s/; /;/r } @{ $r->{rcpts} } ],
		[ '5.1.1 rfc822;nouser1@d.example', '5.1.1 rfc822;nouser2@e.example', '5.2.2 rfc822;full@d.example' ], 'three failures in one report');
	$r = report($id{odd}, 'failed');
	is_deeply($r->{defects}, [], 'odd bytes: no defects');
	cmp_ok($r->{longest}, '<=', 998, 'no long line');
	is($r->{rcpts}[0]{'x-angarium-class'}, '51 spam-block', 'classed all the same');
	settled($id{$_}) for sort keys %id;
	for my $none (qw(never delay quiet null)) {
		is(scalar(events($house, event => 'notice', notice_of => $id{$none})), 0, "$none: nobody is told");
	}
	my ($e) = events($house, event => 'failed', id => $id{null});
	is($e->{rule}, 'null-sender', 'and the log says by which rule');
	wait_for(sub { events($house, event => 'bounce', id => $id{never}) }, 'the class of what is told to nobody');
	balanced($house, 'what is asked for');
};

sub reloaded
{
	my (%keys) = @_;

	$house->{config} = { %{ $house->{config} }, %keys };
	$house->write_config;
	return ($house->angctl('config', 'reload'))[0] == 0;
}

subtest 'local mail and aliases' => sub {
	my $here = mail_in($house, 'sender@s.example', 'user@home.example', rcpt => ' NOTIFY=SUCCESS');
	my $team = mail_in($house, 'sender@s.example', 'team@home.example', rcpt => ' NOTIFY=SUCCESS,FAILURE');
	my $lost = mail_in($house, 'sender@s.example', 'lost@home.example');

	my $r = report($here, 'delivered');
	is($r->{rcpts}[0]{status}, '2.0.0', 'into a mailbox: Status');
	ok(!$r->{rcpts}[0]{'remote-mta'}, 'no other host');
	is_deeply($r->{types}, [ 'text/plain', 'message/delivery-status', 'text/rfc822-headers' ], 'only headers return');
	$r = report($team, 'expanded');
	like($r->{rcpts}[0]{'final-recipient'}, qr/team\@home\.example/, 'one that became two');
	settled($team);
	noticed($team);
	is(scalar(events($house, event => 'notice', notice_of => $team)), 1, 'nothing more is said of the two');
	$r = report($lost, 'failed');
	is($r->{rcpts}[0]{'final-recipient'}, 'rfc822;nouser@d.example', 'one that became another: Final-Recipient');
	is($r->{rcpts}[0]{'original-recipient'}, 'rfc822;lost@home.example', 'Original-Recipient');
	settled($_) for $here, $lost;
	balanced($house, 'local mail and aliases');
};

subtest 'what is returned' => sub {
	my $body = join '', map { "line $_ of a body that stands in a file of its own\n" } 1 .. 6000;

	ok(reloaded(bounce_size_limit => 400000), 'more may be returned');
	my $id = mail_in($house, 'sender@s.example', 'nouser@d.example', text => "Subject: large\n\n$body");
	my $r = report($id, 'failed');
	is($r->{types}[2], 'message/rfc822', 'a large body: the message');
	is(scalar(() = $r->{returned} =~ /^line \d+ of a body/mg), 6000, 'with all lines');
	ok(reloaded(bounce_size_limit => 600), 'less may be returned');
	$id = mail_in($house, 'sender@s.example', 'nouser@d.example',
		text => join('', map { "X-Field-$_: " . 'x' x 60 . "\n folded\n" } 1 .. 30) . "\nbody\n");
	$r = report($id, 'failed');
	is($r->{types}[2], 'text/rfc822-headers', 'a long header section');
	my $head = $r->{returned} =~ s/^.*?\n\n//sr;
	cmp_ok(length $head, '<=', 600, 'is cut');
	like($head, qr/^ folded\n*\z/m, 'behind a whole field') or diag $head;
	ok(reloaded(bounce_size_limit => 50000), 'as before');
	balanced($house, 'what is returned');
};

subtest 'a next hop that tells itself' => sub {
	my ($port) = free_ports(1);

	$house->tool('dsnsink', [ "$bin/smtpsink", '-o', "$state/dsn.log", '-r', 'rcpt,match=nouser=550 5.1.1 no', "127.0.0.1:$port" ], $port);
	ok(reloaded(relay_host => "127.0.0.1:$port"), 'DSN is offered there');
	my %id = map { $_ => mail_in($house, 'sender@s.example', "$_\@d.example", mail => ' RET=HDRS ENVID=QQ+2B314',
		rcpt => " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2B$_\@b.example") } qw(taken nouser);
	my ($got) = at_sink($house, 'taken@d.example', 1, "$state/dsn.log");
	like($got->[3], qr/RET=HDRS/, 'RET goes on');
	like($got->[3], qr/ENVID=QQ\+2B314/, 'ENVID');
	like($got->[4], qr/NOTIFY=SUCCESS,FAILURE/, 'NOTIFY');
	like($got->[4], qr/ORCPT=rfc822;a\+2Btaken\@b\.example/, 'ORCPT');
	settled($id{taken});
	is(scalar(events($house, event => 'notice', notice_of => $id{taken})), 0, 'success is theirs to tell');
	is(noticed($id{nouser})->{kind}, 'failed', 'failure is ours');
	$house->end_tool('dsnsink');
	ok(reloaded(relay_host => '127.0.0.1:' . $house->port('sink')), 'back to the other');
	balanced($house, 'a next hop that tells itself');
};

subtest 'the sender is not there either' => sub {
	my $id = mail_in($house, 'deadend@s.example', 'nouser@d.example');

	my $n = noticed($id);
	settled($n->{id});
	is(scalar(events($house, event => 'notice', notice_of => $n->{id})), 0, 'a report that fails is told to nobody');
	ok(reloaded(double_bounce_to => 'postmaster@test.example'), 'double_bounce_to is set');
	$id = mail_in($house, 'deadend@s.example', 'nouser@d.example');
	$n = noticed($id);
	my $r = report($n->{id}, 'failed');
	like($r->{head}{to}, qr/postmaster\@test\.example/, 'now it goes to postmaster');
	is($r->{head}{'auto-submitted'}, 'auto-generated', 'Auto-Submitted');
	is($r->{rcpts}[0]{'final-recipient'}, 'rfc822;deadend@s.example', 'of the report that failed');
	noticed($n->{id});
	is(scalar(events($house, event => 'notice', notice_of => $n->{id})), 1, 'once');
	$id = mail_in($house, '', 'nouser@d.example');
	$r = report($id, 'failed');
	like($r->{head}{to}, qr/postmaster\@test\.example/, 'of mail that came with the null sender, too');

	# Now the postmaster is not there either: there it ends.
	ok(reloaded(double_bounce_to => 'deadend@test.example'), 'double_bounce_to is nobody');
	my $before = events($house, event => 'notice');
	$id = mail_in($house, 'deadend@s.example', 'nouser@d.example');
	$n = noticed(noticed($id)->{id});
	is($n->{to}, 'deadend@test.example', 'he is told of the report that failed');
	settled($n->{id});
	my ($e) = events($house, event => 'failed', id => $n->{id});
	is($e->{rule}, 'null-sender', 'and nobody of that one');
	is(scalar(events($house, event => 'notice')) - $before, 2, 'two notices, no loop');
	ok(reloaded(double_bounce_to => ''), 'none again');
	balanced($house, 'double bounce');
};

subtest 'expiry and delay' => sub {
	ok(reloaded(delay_notice => '2s', life => '6s'), 'short times');
	my $id = mail_in($house, 'sender@s.example', 'later@d.example', rcpt => ' NOTIFY=FAILURE,DELAY');
	my $unasked = mail_in($house, 'sender@s.example', 'later@d.example');
	my $r = report($id, 'delayed');

	is($r->{head}{subject}, 'Delayed Mail (still being retried)', 'a delay: Subject');
	is($r->{rcpts}[0]{status}, '4.2.0', 'Status');
	ok($r->{rcpts}[0]{'will-retry-until'}, 'Will-Retry-Until');
	$r = report($id, 'failed');
	is($r->{rcpts}[0]{status}, '4.4.7', 'expired: Status');
	like($r->{rcpts}[0]{'diagnostic-code'}, qr/try again later/, 'with the last words of the server');
	report($unasked, 'failed');
	settled($_) for $id, $unasked;
	cmp_ok(noticed($id, kind => 'delayed')->{time}, 'lt', noticed($id, kind => 'failed')->{time}, 'the delay before the failure');
	is(scalar(events($house, event => 'notice', notice_of => $id, kind => 'delayed')), 1, 'the delay was told once');
	is(scalar(events($house, event => 'notice', notice_of => $unasked, kind => 'delayed')), 0, 'unasked not at all');
	balanced($house, 'expiry and delay');
};

subtest 'rules' => sub {
	my ($s, $out) = $house->angctl('bounce', 'test', '552 5.2.2 mailbox full');
	like($out, qr/mailbox-full/, 'bounce test');
	my $test = row($house, 'bounce', 'test', 'mailbox full', '--status', '5.2.2', '--host', 'mx.d.example');
	is_deeply([ @$test{qw(class name group)} ], [ 22, 'mailbox-full', 'soft' ], 'as JSON');
	cmp_ok($test->{line}, '>', 0, 'with the line of the rule');
	($s, $out) = $house->angctl('bounce', 'test', 'x', '--code', '5000');
	isnt($s, 0, 'a code that is none is refused');
	my $rules = "$state/own.rules";
	spew($rules, "class 200 our-own soft\n200 code=5?? /teapot/\n");
	ok(reloaded(bounce_rules => $rules), 'another file, in another folder');
	like(row($house, 'status', 'bounced')->{rules_error}, qr/No such file|own\.rules/, 'which is read at a start only');
	my $old = $house->pid('bounced');
	$house->kill('bounced');
	wait_for(sub { my $p = $house->pid('bounced'); $p && $p != $old }, 'bounced again');
	$house->ready('bounced');
	is(row($house, 'bounce', 'test', 'I am a teapot', '--code', '550')->{class}, 200, 'an own class');
	spew($rules, "200 /teapot/\n");
	CORE::kill('HUP', $house->pid('bounced'));
	wait_for(sub { row($house, 'status', 'bounced')->{rules_error} }, 'the refusal');
	like(row($house, 'status', 'bounced')->{rules_error}, qr/own\.rules:1: no class has this number/, 'a bad file is refused by line');
	is(row($house, 'bounce', 'test', '550 I am a teapot')->{class}, 200, 'and the old rules stay');
};

# Nobody may be told twice, nobody not at all, whoever dies.
subtest 'killed at each step' => sub {
	my @ids;

	$house->stop('bounced');
	push @ids, mail_in($house, "s$_\@s.example", 'nouser@d.example') for 1 .. 20;
	wait_for(sub { events($house, event => 'failed', id => $ids[-1]) }, 'the last to fail');
	ok(shown($house, $ids[0]), 'bounced away: the notice waits');
	ok((grep { $_->{id} eq $ids[0] } rows($house, 'queue', 'failed')), 'and is listed');
	mail_in($house, 'sender@s.example', 'meanwhile@d.example');
	at_sink($house, 'meanwhile@d.example');
	my $q = $house->pid('qmgr');
	$house->kill('qmgr');
	wait_for(sub { my $p = $house->pid('qmgr'); $p && $p != $q }, 'qmgr again');
	$house->start_one('bounced');
	for my $round (1 .. 3) {
		push @ids, mail_in($house, "r$round.$_\@s.example", 'nouser@d.example') for 1 .. 10;
		for my $name ($round % 2 ? qw(bounced) : qw(qmgr bounced)) {
			my $old = $house->pid($name) or next;
			select undef, undef, undef, 0.07 * $round;
			$house->kill($name);
			wait_for(sub { my $p = $house->pid($name); $p && $p != $old && $house->answers($name) }, "$name again", 20);
		}
	}
	wait_for(sub { !grep { shown($house, $_) } @ids }, 'all to be settled', 60);
	wait_for(sub { my $l = ledger($house); $l->{queued} == 0 }, 'all reports to be delivered', 30);
	my %told; # one notice may be delivered twice (rule 16), but there must be one only
	$told{ $_->{message}{'x-angarium-queue-id'} }{ $_->{head}{'message-id'} }++ for reports();
	is_deeply([ grep { !$told{$_} } @ids ], [], 'each was told');
	my @twice = grep { %{ $told{$_} // {} } > 1 } @ids;
	is(scalar @twice, 0, 'by one notice') or diag "by more: @twice";
	balanced($house, 'after the kills');
	my $l = ledger($house);
	diag "dropped as duplicates: $l->{dropped}";
};

# Every report of this test, as two readers see it who know nothing of each other.
subtest 'two readers' => sub {
	my (%kinds, @differ);
	my $squeeze = sub { return ($_[0] // '') =~ s/\s+/ /gr =~ s/; /;/r };

	for my $r (reports()) {
		my @theirs = map { my $one = $_; [ map { $squeeze->($one->{$_}) }
			    qw(final-recipient original-recipient action status remote-mta diagnostic-code) ] } @{ $r->{rcpts} };
		my (undef, $out) = run("$bin/adapter_dsn", '-t', $r->{path});
		my @ours = map { [ map { $squeeze->($_) } split /\t/, $_, -1 ] } split /\n/, $out;
		my ($a, $b) = map { join "\n", map { join "\t", @$_ } @$_ } \@ours, \@theirs;
		push @differ, "$a\n$b" if $a ne $b;
		push @differ, join ' ', @{ $r->{defects} } if @{ $r->{defects} };
		$kinds{ $_->{action} }++ for @{ $r->{rcpts} };
	}
	is_deeply([ @differ[ 0 .. ($#differ > 2 ? 2 : $#differ) ] ], [], 'they agree');
	is(join(' ', sort keys %kinds), 'delayed delivered expanded failed relayed', 'on all kinds');
};
$house->end;
done_testing;
