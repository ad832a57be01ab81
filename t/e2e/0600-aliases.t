# SPDX-License-Identifier: ISC
# Aliases, virtual addresses and routes in one house: what an address becomes, what a client hears of
# one that is nobody's, tables swapped while mail flows, and router and qmgr killed while they expand.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(row shown events balanced ledger mail_in at_sink sunk drained);
use File::Path qw(make_path);
use House qw(wait_for slurp spew run need_root free_ports);
use POSIX qw(_exit WNOHANG);
use Talk qw(code);
use Test::More;
use Time::HiRes qw(time);

need_root();
my ($other) = free_ports(1);
my $jobs_max = 10;
my $house = House->new(config => { retry_first => '1s', retry_max => '1s', retry_jitter => 0, sessions_per_client => 1000,
	jobs_max => $jobs_max, expansion_max => 300, postmaster => 'boss@out.example', life => '1h',
	local_domains => [ 'test.example', 'localhost' ], virtual_domains => ['v.example'] });
my ($state, $bin) = @$house{qw(state bin)};
my ($aliases, $n) = ("$state/aliases", 0);

# Two users, with Maildirs; root has no mailbox.
my %uid = (alice => 61100, bob => 61101);
make_path("$state/home");
for my $u (sort keys %uid) {
	mkdir "$state/home/$u", 0700;
	chown $uid{$u}, $uid{$u}, "$state/home/$u";
}
spew("$state/users", join '', "root:0:0:/root\n", map { "$_:$uid{$_}:$uid{$_}:$state/home/$_:Maildir/\n" } sort keys %uid);

spew("$state/virtual", <<'END');
# of a virtual domain, and of others
sales@v.example     alice@test.example, sales@out.example
list@v.example      staff@test.example
e@v.example         carol@out.example
@other.example      @out.example
boss@out2.example   boss@out2.example, copy@out.example
loop1@v.example     loop2@v.example
loop2@v.example     loop1@v.example
END
spew("$state/routes", <<"END");
apart\@out.example   smtp:[127.0.0.1]:$other
apart.example       smtp:[127.0.0.1]:$other
.apart.example      smtp:[127.0.0.1]:$other
dead.example        error:5.1.10 Nobody reads mail there
later.example       retry:The line is dug up
held.example        hold:Someone shall look at it
trap.example        discard:A trap
END

my $wide = join ', ', map { "w$_\@out.example" } 1 .. 301;
my $many = join ', ', map { "many$_\@out.example" } 1 .. 300;
my $base = <<"END";
# aliases of the test
staff:        alice, bob, Carol\@out.example,
              dave\@out2.example
nested:       staff, inner, alice
inner:        innermost, carol\@out.example
innermost:    erin\@out.example
alice:        alice, archive\@out.example
loop1:        loop2
loop2:        loop3
loop3:        loop1
half:         half2, frank\@out.example
half2:        half
command:      |"/bin/sh -c 'echo no'", alice
file:         /etc/passwd
include:      :include:/etc/passwd
owner-staff:  bob
staff+news:   news\@out.example
wide:         $wide
many:         $many
abuse:        postmaster
away:         x\@dead.example
END
spew($aliases, $base);

$house->{config} = { %{ $house->{config} }, local_users => "$state/users", alias_file => $aliases,
	virtual_table => "$state/virtual", route_table => "$state/routes" };
$house->write_config;

sub newaliases { return run({}, "$bin/newaliases", '-c', $house->conf_file) }

subtest 'before there is a database' => sub {
	$house->start;
	my $t = $house->talk;
	$t->reply;
	$t->ask('EHLO client.example');
	$t->ask('MAIL FROM:<a@x.example>');
	like($t->ask('RCPT TO:<alice@test.example>'), qr/^451 4\.3\.5 /, 'local mail waits');
	like($t->ask('RCPT TO:<a@out.example>'), qr/^250 /, 'other mail does not');
	$t->close;
	my ($rc, $out, $err) = newaliases();
	is("$rc$err", '0', 'newaliases');
	like($out, qr/\A\Q$aliases\E: \d+ aliases, longest \d+ bytes, \d+ bytes total\n\z/, 'it says what it made');
	wait_for(sub { row($house, 'route', 'staff@test.example')->{action} eq 'expand' }, 'router to see it');
};
$house->sink(args => [ '-d', "$state/out" ]);
$house->tool('other', [ "$bin/smtpsink", '-o', "$state/other.log", "127.0.0.1:$other" ], $other);

# One event of the log, which comes a little after what it tells.
sub event
{
	my (%want) = @_;
	my $e;

	eval { wait_for(sub { ($e) = events($house, %want) }, 'the log', 20) };
	return $e // {};
}

sub fresh { return 's' . ++$n . '@x.example' }

# All that came out of mail from this sender: sink addresses, "user/" for mailboxes; sorted.
sub boxes
{
	my ($from) = @_;
	my @found;

	for my $u (sort keys %uid) {
		push @found, "$u/" for grep { (slurp($_) // '') =~ /^Return-Path: <\Q$from\E>/m } glob "$state/home/$u/Maildir/new/*";
	}
	return @found;
}
sub outcome
{
	my ($from, $file) = @_;
	my @rows = grep { $_->[3] =~ /^<\Q$from\E>/ } sunk($house, $file);

	return join ' ', sort +(map { s/^<|>.*//gr } map { @$_[ 4 .. $#$_ ] } @rows), boxes($from);
}

# Mail to it, and what it came to when the message is gone.
sub sent
{
	my ($to, %opt) = @_;
	my $from = fresh();
	my $id = mail_in($house, $from, $to, %opt);

	wait_for(sub { !shown($house, $id) || events($house, event => 'attempt', id => $id, status => 'deferred') }, "$id to go", 20);
	return outcome($from);
}

sub rcpt
{
	my ($to, $class) = @_;
	my $t = $house->talk($class);

	$t->reply;
	$t->ask('EHLO client.example');
	$t->ask('MAIL FROM:<a@x.example>');
	my $reply = $t->ask("RCPT TO:<$to>");
	$t->close;
	return $reply;
}

my @cases = (
	[ 'one user', 'bob@test.example', 'bob/' ],
	[ 'oneself and another', 'alice@test.example', 'alice/ archive@out.example' ],
	[ 'several, two of them outside', 'Staff@Test.Example',
		'alice/ archive@out.example bob/ Carol@out.example dave@out2.example' ],
	[ 'lists in lists, each once', 'nested@test.example',
		'alice/ archive@out.example bob/ Carol@out.example carol@out.example dave@out2.example erin@out.example' ],
	[ 'a loop with a way out', 'half@test.example', 'frank@out.example' ],
	[ 'a user and an extension', 'bob+shop@test.example', 'bob/' ],
	[ 'an alias and an extension', 'owner-staff+x@test.example', 'bob/' ],
	[ 'an extension that is an alias', 'staff+news@test.example', 'news@out.example' ],
	[ 'postmaster', 'postmaster@test.example', 'boss@out.example' ],
	[ 'postmaster alone', 'Postmaster', 'boss@out.example' ],
	[ 'root', 'root@test.example', 'boss@out.example' ],
	[ 'an alias of postmaster', 'abuse@test.example', 'boss@out.example' ],
	[ 'virtual', 'sales@v.example', 'alice/ archive@out.example sales@out.example' ],
	[ 'virtual, then an alias', 'list@v.example', 'alice/ archive@out.example bob/ Carol@out.example dave@out2.example' ],
	[ 'virtual with an extension', 'e+f@v.example', 'carol+f@out.example' ],
	[ 'a whole domain', 'any+one@other.example', 'any+one@out.example' ],
	[ 'a copy', 'boss@out2.example', 'boss@out2.example copy@out.example' ],
);
subtest 'who gets it' => sub {
	my (%id, %from);
	for (@cases) {
		my ($what, $to) = @$_;
		$id{$what} = mail_in($house, $from{$what} = fresh(), $to);
	}
	drained($house);
	is(outcome($from{ $_->[0] }), join(' ', sort split / /, $_->[2]), "$_->[0]: $_->[1]") for @cases;
	my $e = event(event => 'expanded', id => $id{'several, two of them outside'});
	is_deeply([ @$e{qw(to rule count)} ], [ 'Staff@Test.Example', 'alias', 5 ], 'the log tells');
	# Someone who is on the list and written to beside it gets it once.
	my $from = fresh();
	mail_in($house, $from, [ 'staff@test.example', 'bob@test.example', 'dave@out2.example' ]);
	drained($house);
	is(outcome($from), join(' ', sort qw(alice/ bob/ archive@out.example Carol@out.example dave@out2.example)), 'once each');
	balanced($house, 'after them');
};

subtest 'what a client hears' => sub {
	like(rcpt('nobody@test.example'), qr/^550 5\.1\.1 /, 'unknown user');
	like(rcpt('no+body@test.example'), qr/^550 5\.1\.1 /, 'with an extension');
	like(rcpt('nobody@v.example'), qr/^550 5\.1\.1 /, 'of a virtual domain');
	like(rcpt('loop1@test.example'), qr/^550 5\.4\.6 .*loop/, 'a loop of aliases');
	like(rcpt('loop1@v.example'), qr/^550 5\.4\.6 .*loop/, 'a loop of virtual addresses');
	like(rcpt('wide@test.example'), qr/^451 4\.3\.5 .*more addresses/, 'too many');
	like(rcpt('many@test.example'), qr/^250 /, 'as many as may be');
	like(rcpt('"|/bin/sh"@test.example'), qr/^550 5\.1\.1 /, 'a command of the client');
	like(rcpt('/etc/passwd@test.example'), qr/^550 5\.1\.1 /, 'a file of the client');
	like(rcpt('":include:/etc/passwd"@test.example'), qr/^550 5\.1\.1 /, 'a list of the client');
	like(rcpt('nobody@test.example', 'submission'), qr/^550 5\.1\.1 /, 'on the submission port');
	like(rcpt('a@dead.example'), qr/^550 5\.1\.10 Nobody reads mail there/, 'a route that is an error');
	like(rcpt('a@later.example'), qr/^451 4\.3\.0 The line is dug up/, 'one for later');
};

subtest 'routes' => sub {
	my %from;
	for my $to (qw(apart@out.example apart+x@out.example near@out.example a@apart.example a@deep.apart.example)) {
		mail_in($house, $from{$to} = fresh(), $to);
	}
	my $trap = mail_in($house, fresh(), 'a@trap.example');
	my $held = mail_in($house, fresh(), 'a@held.example');
	wait_for(sub { my $m = shown($house, $held); $m && ($m->{hold_reason} // '') =~ /look at it/ }, 'the hold');
	is(shown($house, $held)->{held_by}, 'router', 'held by router, with its reason');
	is((row($house, 'queue', 'release', $held))->{messages}, 1, 'released');
	$house->angctl('queue', 'delete', $held);
	drained($house);
	is(outcome($from{$_}, "$state/other.log"), $_, "$_ goes apart") for grep { /apart/ } sort keys %from;
	is(outcome($from{'near@out.example'}), 'near@out.example', 'its neighbour does not');
	my $e = event(event => 'attempt', id => $trap, status => 'dropped');
	like($e->{text} // '', qr/trap|route-table/i, 'what is discarded is told') or diag explain [ events($house, id => $trap) ];
	# An alias that leads to a route that refuses.
	my $from = fresh();
	my $id = mail_in($house, $from, 'away@test.example');
	drained($house);
	my $b = event(event => 'attempt', id => $id, status => 'bounced');
	like($b->{text} // '', qr/Nobody reads mail there/, 'a member whose route refuses: bounced, with its text');
	balanced($house, 'with routes');
};

subtest 'commands, files and lists wait' => sub {
	my %id = map { $_ => mail_in($house, fresh(), "$_\@test.example") } qw(command file include);
	my %word = (command => 'a command', file => 'a file', include => 'a list in a file');
	for my $what (sort keys %id) {
		my $text = "Alias $what: delivery to $word{$what} is not done by this version";
		my ($m, $r);
		wait_for(sub {
			$m = shown($house, $id{$what});
			($r) = grep { ($_->{reason} // '') =~ /\Q$text\E/ } @{ $m->{recipients} };
		}, "the reason of $what");
		is($r->{state}, 'deferred', "$what: deferred");
		is($r->{original}, "$what\@test.example", 'the queue shows where it comes from');
		like(event(event => 'attempt', id => $id{$what}, status => 'deferred')->{text} // '', qr/\Q$text\E/, 'so does the log');
	}
	my ($alice) = grep { ($_->{address} // '') eq 'alice@test.example' } @{ shown($house, $id{command})->{recipients} };
	is($alice->{state}, 'delivered', 'another member of such a list has it');
	ok(!-e "$state/no", 'nothing was run');
	$house->angctl('queue', 'delete', $_) for values %id;
	drained($house);
	balanced($house, 'with what was deleted');
};

subtest 'callers of sendmail' => sub {
	is(($house->sendmail("Subject: x\n\nx\n", '-f', 's-list@x.example', 'staff'))[0], 0, 'to an alias');
	drained($house);
	is(outcome('s-list@x.example'), join(' ', sort qw(alice/ bob/ archive@out.example Carol@out.example dave@out2.example)), 'it is expanded');
	like(($house->sendmail('', '-bv', 'root'))[1], qr/^root\.\.\. deliverable: /, '-bv');
	is(($house->sendmail("Subject: x\n\nx\n", '-f', 'me@out.example', 'nobody'))[0], 0, 'to nobody: taken');
	my ($line) = at_sink($house, 'me@out.example');
	is($line->[3] =~ s/ .*//r, '<>', 'and a notice comes');
	drained($house);
	balanced($house, 'with a notice');
};

# The notice that came to this address, fields only.
sub notice
{
	my ($to) = @_;
	my @lines = at_sink($house, $to);
	my $text = slurp(sprintf '%s/out/%06d', $state, $lines[-1][1]) // '';

	return $text =~ /\nContent-Type: message\/delivery-status\r\n(.*?)\r\n--/s ? $1 =~ s/\r//gr : $text;
}

subtest 'what senders are told' => sub {
	# RFC 3461 5.2.7.3: of a list one hears that it was expanded, not who is on it.
	my $id = mail_in($house, 'wants@out.example', 'staff@test.example', rcpt => ' NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Staff@test.example');
	my $dsn = notice('wants@out.example');
	like($dsn, qr/^Action: expanded$/m, 'expanded');
	like($dsn, qr/^Final-Recipient: rfc822; ?staff\@test\.example$/mi, 'the list');
	unlike($dsn, qr/alice|dave/, 'none of its members');
	mail_in($house, 'lost@out.example', 'away@test.example', rcpt => ' ORCPT=rfc822;Away@test.example');
	$dsn = notice('lost@out.example');
	like($dsn, qr/^Action: failed$/m, 'a member that fails');
	like($dsn, qr/^Original-Recipient: rfc822; ?Away\@test\.example$/m, 'is told by the name that was written to');
	like($dsn, qr/^Status: 5\.1\.10$/m, 'with the status of its route');
	drained($house);
	is(scalar(my @all = at_sink($house, 'wants@out.example')), 1, 'one notice');
	balanced($house, 'with notices');
};

subtest 'angctl route' => sub {
	my $r = row($house, 'route', 'staff@test.example');
	is_deeply([ @$r{qw(action rule total)} ], [ 'expand', 'alias', 5 ], 'an alias');
	is_deeply([ sort @{ $r->{list} } ], [ sort qw(alice@test.example archive@out.example bob@test.example Carol@out.example dave@out2.example) ], 'to whom');
	like($r->{generation}, qr/^\d+$/, 'by which generation');
	$r = row($house, 'route', 'a@apart.example');
	is_deeply([ @$r{qw(action rule transport)}, $r->{hops}[0]{port} ], [ 'deliver', 'route-table', 'smtp', $other ], 'a route');
	$r = row($house, 'route', 'bob@test.example');
	is_deeply([ @$r{qw(action rule transport)} ], [ 'deliver', 'again', 'local' ], 'a user');
	$r = row($house, 'route', 'bob@test.example', '203.0.113.9');
	is_deeply([ @$r{qw(action rule transport)} ], [ 'deliver', 'local-domains', 'local' ], 'for a stranger');
	$r = row($house, 'route', 'nobody@test.example');
	is_deeply([ @$r{qw(action rule code status)} ], [ 'refuse', 'unknown-user', 550, '5.1.1' ], 'nobody');
	$r = row($house, 'route', 'a@out.example', '203.0.113.9');
	is_deeply([ @$r{qw(action rule code status)} ], [ 'refuse', 'relay-denied', 554, '5.7.1' ], 'a stranger who wants to relay');
	my ($rc, $out) = $house->angctl('route', 'staff@test.example');
	like($out, qr/^action: expand\nrule: alias\ngeneration: \d+\n/m, 'as text');
	is(($house->angctl('route'))[0], 64, 'without an address: 64');
	is(($house->angctl('route', 'a@b.example', 'nonsense'))[0], 64, 'a client that is no address: 64');
};

subtest 'a bad file' => sub {
	my $before = slurp("$aliases.db");
	spew($aliases, "$base\nbroken line\ngood: bob\nbad: <<>>\n\"open: x\n");
	my $lines = () = "$base\n" =~ /\n/g;
	my ($rc, $out, $err) = newaliases();
	is($rc, 65, 'exit 65');
	is($out, '', 'nothing was made');
	like($err, qr/^\Q$aliases\E:@{[ $lines + 1 ]}: \S/m, 'the first line that is wrong');
	like($err, qr/^\Q$aliases\E:@{[ $lines + 3 ]}: \S/m, 'the second');
	like($err, qr/^\Q$aliases\E:@{[ $lines + 4 ]}: \S/m, 'the third');
	is(slurp("$aliases.db"), $before, 'the database is as it was');
	is_deeply([ grep { !/\.db$|aliases$/ } glob "$state/aliases*" ], [], 'nothing is left beside it');
	is(sent('owner-staff@test.example'), 'bob/', 'the old ones hold');
	spew($aliases, $base);
};

# Two lists for one name, changed all the time: whoever gets a mail, it is by one of them.
my %list = (red => [qw(red1 red2 red3 red4)], blue => [qw(blue1 blue2 blue3)]);
sub flip { return "$base" . "flip: " . join(', ', map { "$_\@out.example" } @{ $list{ $_[0] } }) . "\n" }
sub one_list
{
	my ($from) = @_;
	my %got;
	$got{$_}++ for split / /, outcome($from);

	for my $colour (sort keys %list) {
		my @all = map { "$_\@out.example" } @{ $list{$colour} };
		return ($colour, \%got) if @all == grep { $got{$_} } @all and @all == keys %got;
	}
	return ('', \%got);
}

# newaliases again and again, in a process of its own, until it is ended.
sub flipping
{
	my $pid = fork // die "fork: $!";
	if ($pid == 0) {
		my $file = "$state/aliases";
		for (my $i = 0; getppid == $house->{owner}; $i++) {
			spew("$file.new", flip($i % 4 < 2 ? 'red' : 'blue'));
			rename "$file.new", $file;
			my ($rc, undef, $err) = newaliases();
			_exit(1) if $rc;
		}
		_exit(0);
	}
	return $pid;
}
sub flipped
{
	my ($pid) = @_;
	my $gone = waitpid $pid, WNOHANG;

	is($gone, 0, 'every newaliases went well');
	return if $gone;
	kill 'TERM', $pid;
	waitpid $pid, 0;
}

spew($aliases, flip('red'));
newaliases();
wait_for(sub { row($house, 'route', 'flip@test.example')->{action} eq 'expand' }, 'the new table');

subtest 'swapped while mail flows' => sub {
	my $pid = flipping();
	my (%colour, @from, @wrong);
	my $end = time + 15;
	until (time > $end || (keys %colour == 2 && @from >= 60)) {
		my $reply = rcpt('flip@test.example');
		push @wrong, $reply unless $reply =~ /^250 /;
		push @from, fresh();
		mail_in($house, $from[-1], 'flip@test.example');
		$colour{ (row($house, 'route', 'flip@test.example')->{list} // [''])->[0] =~ s/\d.*//r }++;
	}
	flipped($pid);
	is_deeply(\@wrong, [], 'never an error, ' . @from . ' times');
	is_deeply([ sort keys %colour ], [ 'blue', 'red' ], 'both were seen');
	drained($house);
	my @mixed = grep { (one_list($_))[0] eq '' } @from;
	is_deeply([ map { [ $_, outcome($_) ] } @mixed ], [], 'each went to one of the two lists, whole');
	balanced($house, 'afterwards');
};

subtest 'killed while they expand' => sub {
	my $pid = flipping();
	my (@from, $kills);
	$house->end_tool('sink'); # so that much of it is still in the queue
	for my $round (0 .. 7) {
		my $victim = $round % 2 ? 'router' : 'qmgr';
		for (1 .. 12) {
			push @from, fresh();
			my $to = @from % 6 ? 'flip@test.example' : 'many@test.example';
			wait_for(sub { eval { mail_in($house, $from[-1], $to) } }, 'it to be taken'); # 451 while router is away
		}
		my $was = $house->pid($victim);
		$house->kill($victim);
		$kills += $victim eq 'qmgr';
		wait_for(sub { my $p = $house->pid($victim); $p && $p != $was }, "$victim again");
		$house->sink if $round == 4;
	}
	flipped($pid);
	$house->ready('router', 'qmgr');
	$house->angctl('queue', 'flush');
	drained($house, 60);
	my (@wrong, %seen);
	# A job is a transaction: one is too many where somebody in it had the mail before.
	my $twice = grep { my $t = $_; grep { $seen{"$t->[3] $_"}++ } @$t[ 4 .. $#$t ] } sunk($house);
	my %sent = map { $_ => [ sort split / /, outcome($_) ] } @from;
	for my $i (0 .. $#from) {
		my %got;
		$got{$_}++ for @{ $sent{ $from[$i] } };
		my $whole = ($i + 1) % 6 ? (one_list($from[$i]))[0] ne '' : 300 == keys %got && 300 == grep { /^many\d+\@/ } keys %got;
		push @wrong, "$from[$i]: " . join ' ', keys %got unless $whole;
	}
	is_deeply(\@wrong, [], scalar(@from) . ' mails: everyone on one list has it');
	cmp_ok($twice, '<=', $kills * $jobs_max, "$twice transactions twice, at most the jobs in flight at $kills kills");
	my $l = balanced($house, 'after the kills');
	is($l->{queued}, 0, 'nothing is left');
	is(($house->angctl('spool', 'check'))[0], 0, 'the spool is whole');
};

subtest 'users of the system' => sub {
	my $before = row($house, 'route', 'bob@test.example')->{generation};
	my ($some) = grep { $_->[2] >= 1000 && $_->[0] !~ /^(?:alice|bob)$/ } map { [ getpwnam $_ ] } 'nobody';
	my ($low) = grep { @$_ && $_->[2] > 0 && $_->[2] < 1000 } map { [ getpwnam $_ ] } qw(daemon bin sys);

	plan skip_all => 'needs the users nobody and daemon' unless $some && $low;
	$house->{config}{local_users} = 'nss';
	$house->write_config;
	is(($house->angctl('config', 'reload'))[0], 0, 'another configuration');
	my $r = row($house, 'route', "$some->[0]+x\@test.example");
	is_deeply([ @$r{qw(action rule transport)} ], [ 'deliver', 'again', 'local' ], 'a user with an extension');
	is($r->{generation}, $before + 1, 'by the new generation');
	like(rcpt("$some->[0]\@test.example"), qr/^250 /, 'is let in');
	like(rcpt('no.such.user@test.example'), qr/^550 5\.1\.1 /, 'who is none is not');
	is(row($house, 'route', "$low->[0]\@test.example")->{rule}, 'no-mailbox', 'one below local_uid_min needs an alias');
	like(rcpt('owner-staff@test.example'), qr/^250 /, 'aliases are what they were');
};
$house->end;
done_testing;
