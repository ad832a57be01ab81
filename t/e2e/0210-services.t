# SPDX-License-Identifier: ISC
# Services come and go alone while mail flows; configuration generations; the protocols of init; the end of
# smtpd, which nobody's mail may notice.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(rows row events balanced ledger mail_in at_sink sunk drained);
use House qw(wait_for slurp spew run need_root free_ports);
use IO::Select;
use IO::Socket::IP;
use JSON::PP;
use POSIX qw(_exit);
use Socket qw(AF_UNIX SOCK_DGRAM PF_UNSPEC);
use Talk qw(code);
use Test::More;
use Time::HiRes qw(time sleep);

need_root();
# Readiness of all services comes here; the name is in the abstract space, so its length does not matter.
my $notify_name = "angarium-test-$$";
socket my $notify, AF_UNIX, SOCK_DGRAM, PF_UNSPEC or die "socket: $!";
bind $notify, pack 'S a*', AF_UNIX, "\0$notify_name" or die "bind: $!";

my $house = House->new(config => { retry_first => '1s', retry_max => '1s', retry_jitter => 0, sessions_per_client => 1000, ask_timeout => '2s' },
	env => { NOTIFY_SOCKET => "\@$notify_name" })->start;
my ($state, $bin) = @$house{qw(state bin)};
$house->sink(args => [ '-d', "$state/out" ]);

# Somebody has to read all the time: the kernel keeps ten of these and no more.
my $listener = fork // die "fork: $!";
if ($listener == 0) {
	open my $to, '>>', "$state/notified" or POSIX::_exit(1);
	while (defined recv $notify, my $text, 4096, 0) {
		syswrite $to, "$text\n";
	}
	POSIX::_exit(0);
}
my $owner = $$;
END { CORE::kill 'KILL', $listener if $listener && $$ == $owner }

# What was said since the last time: waits for so many of one word.
my $heard = 0;
sub told
{
	my ($word, $count) = @_;
	my $now;

	wait_for(sub { $now = substr slurp("$state/notified") // '', $heard; (() = $now =~ /^\Q$word\E$/mg) >= $count }, "$count times $word");
	$heard += length $now;
	return split /\n/, $now;
}

# What was said so far does not matter.
sub told_before
{
	$heard = length(slurp("$state/notified") // '');
}

my $n = 0;
# A message in now and out soon.
sub flows
{
	my ($when) = @_;
	my $to = 'm' . ++$n . '@d.example';
	my $id = eval { mail_in($house, 'a@x.example', $to) };

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($id && at_sink($house, $to), "mail flows $when") || diag $@;
}

sub again
{
	my ($name, $old) = @_;

	wait_for(sub { my $p = $house->pid($name); $p && $p != $old }, "$name again");
	$house->ready($name);
}

subtest 'readiness' => sub {
	is(scalar(grep { $_ eq 'READY=1' } told('READY=1', scalar @House::SERVICES)), scalar @House::SERVICES, 'each service said READY=1');
	for my $name (@House::SERVICES) {
		my $old = $house->kill($name);
		again($name, $old);
		is_deeply([ told('READY=1', 1) ], ['READY=1'], "$name says it again when it is back");
	}
	flows('then');
};

subtest 'killed and stopped' => sub {
	for my $name (@House::SERVICES) {
		my %before = map { $_ => $house->pid($_) } @House::SERVICES;
		again($name, $house->kill($name));
		flows("after $name was killed");
		$house->stop($name);
		like(slurp("$state/supervisor.log"), qr/^\S+ $name \d+ end exit 0\n(?!.* $name .*end)/ms, "$name ends cleanly when told");
		$house->start_one($name);
		flows("after $name was stopped and started");
		is($house->pid($_), $before{$_}, "$_ did not notice") for grep { $_ ne $name } @House::SERVICES;
	}
	told_before();
};

subtest 'without a router' => sub {
	$house->stop('router');
	my $t = $house->talk;
	$t->reply;
	$t->ask($_) for 'EHLO client.example', 'MAIL FROM:<a@x.example>';
	my $start = time;
	like($t->ask('RCPT TO:<u@d.example>'), qr/^451 4\.\d\.\d /, 'RCPT is 451');
	cmp_ok(time - $start, '<', 4, 'within the time that a question may take');
	$house->start_one('router');
	my $reply;
	wait_for(sub { ($reply = $t->ask('RCPT TO:<u@d.example>')) =~ /^250/ }, 'the session to recover');
	is(code($reply), 250, 'the same session goes on when it is back');
	$t->close;
	flows('then');
};

subtest 'without a qmgr' => sub {
	my $before = ledger($house);
	$house->stop('qmgr');
	my @to = map { "away$_\@d.example" } 1 .. 20;
	my @ids = map { mail_in($house, 'a@x.example', $_) } @to;
	is(scalar @ids, 20, 'mail is taken all the same');
	is((run({ in => "x\n", env => $house->sendmail_env }, "$bin/sendmail", 'local@d.example'))[0], 0, 'from sendmail too');
	is(scalar(grep { grep { /away/ } @$_ } sunk($house)), 0, 'it waits');
	# Who took it may die before anybody heard of it: the disk holds it.
	again('smtpd', $house->kill('smtpd'));
	$house->start_one('qmgr');
	at_sink($house, $_) for @to, 'local@d.example';
	my $l = drained($house);
	is($l->{accepted} - $before->{accepted}, 21, 'all of it was filed when qmgr was back');
	is(scalar(grep { grep { /away|local/ } @$_ } sunk($house)), 21, 'and arrived once');
	balanced($house, 'then');
};

subtest 'without deliver' => sub {
	$house->stop('deliver');
	my $id = mail_in($house, 'a@x.example', 'later@d.example');
	my $why = wait_for(sub { my ($r) = eval { rows($house, 'queue', 'why', $id) }; $r && $r->{why} }, 'a reason');
	is($why, 'no delivery process is there', 'angctl queue why says so');
	is(($house->angctl('status'))[0], 69, 'angctl status: 69');
	$house->start_one('deliver');
	ok(at_sink($house, 'later@d.example'), 'delivered when it is back');
	flows('then');
};

subtest 'without logd' => sub {
	$house->stop('logd');
	flows('without it');
	my $old = $house->pid('smtpd');
	# More than the services keep for it.
	my ($source) = run("$bin/smtpsource", '-h', '127.0.0.1:' . $house->port('mx'), '-s', 20, '-m', 3000, '-n', 100, '-l', 200,
		'-f', 'f' x 60 . '@' . 'x' x 60 . '.example', '-t', 'r' x 60 . '@' . 'd' x 60 . '.example');
	is($source, 0, '3000 messages');
	drained($house, 60);
	is($house->pid('smtpd'), $old, 'nobody fell over it');
	$house->start_one('logd');
	my ($lost) = wait_for(sub { my @e = events($house, event => 'log-lost'); @e && $e[0] }, 'the count of what was lost');
	cmp_ok($lost->{count}, '>', 0, 'what was lost was counted');
	cmp_ok(wait_for(sub { row($house, 'status', 'logd')->{lost} }, 'status'), '>=', $lost->{count}, 'angctl status shows it');
	# Each service finds its way back in its own time, and drops what is new until then.
	my @ids;
	wait_for(sub {
		push @ids, mail_in($house, 'a@x.example', 'again' . @ids . '@d.example');
		grep { events($house, event => 'attempt', id => $_) && events($house, event => 'received', id => $_) } @ids;
	}, 'all to be heard again', 15);
	pass('the log is whole again');
};

subtest 'log file' => sub {
	flows('before');
	my $id = mail_in($house, 'a@x.example', 'log@d.example');
	at_sink($house, 'log@d.example');
	wait_for(sub { events($house, event => 'done', id => $id) }, 'its events');
	rename "$state/log/angarium.log", "$state/log/angarium.log.1" or die;
	$house->kill('logd', 'HUP');
	ok(wait_for(sub { -s "$state/log/angarium.log" }, 'a new file'), 'SIGHUP: a new file');
	flows('then');
	ok((grep { $_->{event} eq 'received' } rows($house, 'trace', $id)), 'trace reads the old one as well');
	rename "$state/log/angarium.log", "$state/log/angarium.log.2" or die;
	is(($house->angctl('log', 'reopen'))[0], 0, 'angctl log reopen');
	ok(-e "$state/log/angarium.log", 'does it too');
};

subtest 'configuration' => sub {
	my %pid = map { $_ => $house->pid($_) } @House::SERVICES;
	told_before();
	is((statuses())[0]{generation}, 1, 'generation 1');
	my ($s, $out) = $house->angctl('config', 'eval', 'message_size_limit');
	like($out, qr/^message_size_limit = 52428800\n  the default\n/, 'eval: a default');
	$house->{config}{message_size_limit} = 100_000;
	$house->{extra} = "domain \"d.example\" {\n\tconcurrency = 7\n}\n";
	$house->write_config;
	($s, $out) = $house->angctl('config', 'reload');
	is($s, 0, 'reload') or diag $out;
	my ($all, $names) = (scalar @House::SERVICES, join '|', @House::SERVICES);
	is(scalar(() = $out =~ /^(?:$names) +generation 2$/mg), $all, 'all took it');
	is_deeply([ map { $_->{generation} } statuses() ], [ (2) x $all ], 'status shows it');
	is_deeply({ map { $_ => $house->pid($_) } @House::SERVICES }, \%pid, 'nobody was started anew');
	my @told = told('READY=1', $all);
	is(scalar(grep { $_ eq 'RELOADING=1' } @told), $all, 'init was told of it');
	is(scalar(grep { $_ eq 'READY=1' } @told), $all, 'and of its end');
	my $t = $house->talk;
	$t->reply;
	like($t->ask('EHLO client.example'), qr/^250[ -]SIZE 100000$/m, 'it holds');
	my $id = mail_in($house, 'a@x.example', 'gen@d.example');
	at_sink($house, 'gen@d.example');
	wait_for(sub { events($house, event => 'attempt', id => $id) }, 'its events');
	is_deeply([ sort map { "$_->{service} $_->{generation}" } grep { $_->{event} =~ /^(?:received|attempt)$/ } events($house, id => $id) ],
		[ 'qmgr 2', 'smtpd 2' ], 'events carry it');

	my $line = 1 + (() = (slurp($house->conf_file) =~ /(.*)^message_size/ms)[0] =~ /\n/g);
	is(($house->angctl('config', 'eval', 'message_size_limit'))[1], "message_size_limit = 100000\n  " . $house->conf_file . ":$line (global)\n", 'eval names file and line');
	like(($house->angctl('config', 'eval', 'concurrency', 'domain=d.example'))[1], qr/^concurrency = 7\n  \Q$state\E\S+:\d+ \(domain .?d\.example.?\)/, 'in a scope');
	like(($house->angctl('config', 'eval', 'concurrency', 'domain=e.example'))[1], qr/= 20\n  the default/, 'outside of it');
	is(row($house, 'config', 'eval', 'message_size_limit')->{line}, $line, 'as JSON');
	is(($house->angctl('config', 'eval', 'nonsense'))[0], 64, 'no such key');

	my $good = slurp($house->conf_file);
	for my $bad ([ "message_size_limit = lots\n", qr/message_size_limit/ ], [ "no_such_key = 1\n", qr/no_such_key/ ],
		[ "relay_networks = { \"300.1.1.1/8\" }\n", qr/relay_networks|300/ ], [ "listen \"x\" {\n", qr// ]) {
		spew($house->conf_file, "$good$bad->[0]");
		my $lines = () = $good =~ /\n/g;
		my ($s, $out, $err) = $house->angctl('config', 'reload');
		is($s, 78, 'a bad file: 78');
		like($err, qr/^angctl: \Q$state\E\/angarium\.conf:(?:${\ ($lines + 1)}|${\ ($lines + 2)}): .*$bad->[1]/, 'file and line');
		is(($house->angctl('config', 'check'))[0], 78, 'check says so too');
		is((run("$bin/$_", '-c', $house->conf_file, '-n'))[0], 78, "$_ -n") for 'qmgr';
	}
	is_deeply([ map { $_->{generation} } statuses() ], [ (2) x @House::SERVICES ], 'the old one stays');
	again('router', $house->kill('router'));
	is(row($house, 'status', 'router')->{generation}, 2, 'a service that dies meanwhile comes back with it');
	ok((grep { ($_->{service} // '') eq 'router' } events($house, event => 'reload-failed')) || slurp("$state/router.err") =~ /angarium\.conf:\d+/, 'and says so');
	flows('all the same');
	spew($house->conf_file, $good);
	is(($house->angctl('config', 'check'))[0], 0, 'good again');
	is(($house->angctl('config', 'reload'))[0], 0, 'and the same as before');
	is((statuses())[0]{generation}, 2, 'which makes no new generation');
	told_before();
};
sub statuses { return rows($house, 'status') }

subtest 'smtpd ends' => sub {
	my $idle = $house->talk;
	$idle->reply;
	$idle->ask('EHLO idle.example');
	my $busy = $house->talk;
	$busy->reply;
	$busy->ask($_) for 'EHLO busy.example', 'MAIL FROM:<a@x.example>', 'RCPT TO:<busy@d.example>', 'DATA';
	$busy->raw("Subject: half\r\n\r\nfirst\r\n");
	my $old = $house->kill('smtpd', 'TERM');
	is(code($idle->reply(5)), 421, 'an idle session hears 421');
	ok($idle->closed(5), 'and is closed');
	is((told('STOPPING=1', 1))[0], 'STOPPING=1', 'init is told');

	my $new = Supervisor::spawn([ "$bin/smtpd", '-c', $house->conf_file ], "$state/smtpd2.err", { NOTIFY_SOCKET => "\@$notify_name" });
	$house->{tools}{new} = $new;
	is_deeply([ told('READY=1', 1) ], ['READY=1'], 'a new instance serves');
	ok(kill(0, $old), 'beside the old one');
	flows('through it');
	is((run({ in => "x\n", env => $house->sendmail_env }, "$bin/sendmail", 'beside@d.example'))[0], 0, 'sendmail too');
	ok(at_sink($house, 'beside@d.example'), 'arrives');
	ok(kill(0, $old), 'the old one waits for its data');
	$busy->raw("second\r\n.\r\n");
	is(code($busy->reply(10)), 250, 'which may finish');
	my ($m) = at_sink($house, 'busy@d.example');
	like(slurp(sprintf '%s/out/%06d', $state, $m->[1]), qr/first\r\nsecond\r\n\z/, 'and arrives whole');
	is(code($busy->reply(5) // ''), 421, 'then 421');
	ok($busy->closed(5), 'and closed');
	$house->end_tool('new'); # the supervisor's next one waits for the ports
	again('smtpd', $old);
	flows('through the next');
	told_before();

	$busy = $house->talk;
	$busy->reply;
	$busy->ask($_) for 'EHLO busy.example', 'MAIL FROM:<a@x.example>', 'RCPT TO:<never@d.example>', 'DATA';
	$house->{config}{shutdown_data_grace} = '1s';
	$house->write_config;
	is(($house->angctl('config', 'reload'))[0], 0, 'a grace of 1 s');
	my $start = time;
	my $last = $house->kill('smtpd', 'TERM');
	is(code($busy->reply(5) // ''), 421, 'data that does not end is cut');
	cmp_ok(time - $start, '>=', 0.9, 'after the grace');
	cmp_ok(time - $start, '<', 3, 'and not much later');
	wait_for(sub { $house->pid('smtpd') != $last }, 'the next');
	$house->ready('smtpd');
};

subtest 'sockets from init' => sub {
	$house->stop('smtpd');
	told_before();
	my $socket = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => 0, Listen => 50) or die;
	my ($given, $configured) = ($socket->sockport, $house->port('mx'));
	my $pid = fork // die;
	if ($pid == 0) {
		my $fd = fileno $socket;
		POSIX::dup2($fd, 3) if $fd != 3;
		$^F = 3;
		open my $keep, '<&=', 3; # so that perl does not close it at exec
		@ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES NOTIFY_SOCKET)} = ($$, 1, 'mx', "\@$notify_name");
		exec "$bin/smtpd", '-c', $house->conf_file or _exit(127);
	}
	$house->{tools}{activated} = $pid;
	# Who connects before it is up waits in the backlog.
	my $t = Talk->new('127.0.0.1', $given);
	is_deeply([ grep { $_ eq 'READY=1' } told('READY=1', 1) ], ['READY=1'], 'it is ready');
	is(code($t->reply), 220, 'who came before it was up is served');
	$t->close;
	ok(!IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $configured, Timeout => 2), 'the configured address is not bound');
	ok(IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $house->port('submission'), Timeout => 2), 'that of another section is');
	{
		local $house->{port}{mx} = $given;
		flows('through it');
	}
	$house->end_tool('activated');
	my $late = Talk->new('127.0.0.1', $given);
	ok(!defined $late->reply(0.2), 'its socket outlives it in the hands of init');
	$house->start_one('smtpd');
	flows('as before');
};

subtest 'alone, in any order' => sub {
	$house->stop;
	for my $name (reverse @House::SERVICES) {
		$house->start_one($name);
		ok($house->pid($name), "$name comes up with what is there");
	}
	is(scalar(grep { $_->{pid} } statuses()), scalar @House::SERVICES, 'all answer');
	wait_for(sub { eval { mail_in($house, 'a@x.example', 'order@d.example') } }, 'mail to be taken');
	ok(at_sink($house, 'order@d.example'), 'mail flows');
};

drained($house);
balanced($house, 'at the end');
$house->stop;
is(($house->angctl('spool', 'check'))[0], 0, 'the spool is whole');
$house->end;
done_testing;
