# SPDX-License-Identifier: ISC
# The log's further outputs: lines as Postfix writes them, which add up with the ledger as pflogsumm counts them and
# which fail2ban's filter knows; the same lines to a syslog that is away, deaf and back; rotation under load.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(row rows events balanced ledger mail_in drained);
use House qw(wait_for slurp spew run need_root top);
use IO::Select;
use IO::Socket::UNIX;
use JSON::PP;
use Peers;
use Socket qw(SOCK_DGRAM);
use Talk;
use Test::More;
use Time::HiRes ();

need_root();
my $house = House->new(config => { retry_first => '1h', retry_max => '1h', life => '1h', errors_max => 3,
	local_domains => ['mx.test.example'], relay_networks => ['127.0.0.0/8'] },
	extra => qq(domain "once.example" { life = 0s }\n));
my ($state, $bin) = @$house{qw(state bin)};
spew("$state/aliases", "pair: pa\@a.example, pb\@a.example\n");
is((run("$bin/newaliases", '-A', "$state/aliases"))[0], 0, 'newaliases');
$house->{config}{alias_file} = "$state/aliases";
$house->{config}{syslog_socket} = "$state/run/syslog";
$house->write_config;
$house->start;
my $syslog = syslogd(); # later than logd, and no descriptor of the supervisor's
$house->sink(args => [ '-r', 'rcpt,match=<soft=450 4.2.2 over quota', '-r', 'rcpt,match=<once=451 4.2.0 never',
	'-r', 'rcpt,match=<hard=550 5.1.1 no such user' ]);
my $peers = Peers::missing();
chomp $peers;

# In place of a syslog daemon. Whoever runs it makes its socket writable for all.
sub syslogd
{
	unlink "$state/run/syslog";
	my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$state/run/syslog") or die "syslog: $!";
	chmod 0666, "$state/run/syslog";
	$s->blocking(0);
	return $s;
}

sub logd { return row($house, 'status', 'logd') }
# Oldest first.
sub mail_logs { return sort { (Time::HiRes::stat($a))[9] <=> (Time::HiRes::stat($b))[9] } glob "$state/log/mail.log*" }
sub mail_log { return join '', map { slurp($_) // '' } mail_logs() }
sub has_line { my ($re, $what) = @_; return ok(wait_for(sub { mail_log() =~ $re }, $what), $what) }

sub refused
{
	my ($to, $host) = @_;
	my $t = $house->talk('mx', $host);

	$t->reply;
	$t->ask($_) for 'EHLO c.example', 'MAIL FROM:<a@x.example>';
	my $code = Talk::code($t->ask("RCPT TO:<$to>"));
	$t->ask('QUIT');
	return $code;
}

# Refused; two that are sent, one of them to two; one to an alias of two; one refused for good, one for now, one for
# longer than it may live.
is(refused('nosuch@mx.test.example'), 550, 'refused: no such user');
is(refused('other@relay.example', '::1'), 554, 'refused: no relay');
my @sent = map { mail_in($house, 'a@x.example', $_) } 'one@a.example', 'two@b.example';
{
	my $t = $house->talk;
	$t->reply;
	$t->ask("EHLO c.example");
	for my $say ('MAIL FROM:<a@x.example>', 'RCPT TO:<p@a.example>', 'RCPT TO:<q@a.example>', 'DATA') {
		$t->ask($say);
	}
	like($t->ask("Subject: x\r\nMessage-ID: <known\@x.example>\r\n\r\ny\r\n."), qr/^250/, 'one for two');
	like($t->ask('QUIT'), qr/^221/, 'and leaves');
}
my $pair = mail_in($house, 'a@x.example', 'pair@mx.test.example');
my ($soft, $hard, $once) = map { mail_in($house, 'a@x.example', $_) } 'soft@a.example', 'hard@a.example', 'once@once.example';
my ($many) = mail_in($house, 'a@x.example', [ 'soft1@a.example', 'soft2@a.example', 'soft3@a.example' ]);
my $gone = mail_in($house, 'a@x.example', 'soft4@a.example');
my ($status) = $house->sendmail("Subject: x\n\ny\n", '-f', 'a@x.example', 'local@a.example');
is($status, 0, 'sendmail takes one');
wait_for(sub { events($house, event => 'attempt', status => 'deferred') == 6 }, 'those to be tried that fail', 30);
is(($house->angctl('queue', 'hold', $soft, 'look'))[0], 0, 'held');
is(($house->angctl('queue', 'release', $soft))[0], 0, 'released');
is(($house->angctl('queue', 'fail', $many, 'enough'))[0], 0, 'failed by an operator');
is(($house->angctl('queue', 'delete', $gone))[0], 0, 'deleted');
# The rest is delivered: also notices of three that failed.
wait_for(sub { my $l = ledger($house); $l->{notices} == 3 && $l->{queued} == 1 && $l->{unfiled} == 0 }, 'one to be left', 30);
has_line(qr/postfix\/qmgr\[\d+\]: $sent[0]: removed\n/, 'a delivered message is removed');

# One session of every trouble.
{
	my $t = Talk->new('127.0.0.1', $house->port('submission'));
	$t->reply;
	$t->close;
}
has_line(qr/smtpd\[\d+\]: connect from unknown\[127\.0\.0\.1\]\n/, 'connect');
has_line(qr/smtpd\[\d+\]: lost connection after CONNECT from unknown\[127\.0\.0\.1\]\n/, 'lost connection');
{
	my $t = $house->talk;
	$t->reply;
	$t->ask($_) for 'EHLO c.example', 'WHAT', 'WHAT', 'WHAT';
}
has_line(qr/smtpd\[\d+\]: too many errors after UNKNOWN from unknown\[127\.0\.0\.1\]\n/, 'too many errors');
has_line(qr/smtpd\[\d+\]: disconnect from unknown\[127\.0\.0\.1\] ehlo=1 unknown=0\/3 commands=1\/4\n/, 'its commands');
has_line(qr/smtpd\[\d+\]: disconnect from unknown\[127\.0\.0\.1\] ehlo=1 mail=1 rcpt=2 data=1 quit=1 commands=6\n/,
	'commands of one that went well');

my $log = mail_log();
my $stamp = qr/[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ postfix/;
my $id = $sent[0];
like($log, qr/^$stamp\/smtpd\[\d+\]: $id: client=unknown\[127\.0\.0\.1\]$/m, 'client');
like($log, qr/^$stamp\/cleanup\[\d+\]: $id: message-id=<\S*>$/m, 'message-id');
like($log, qr/^$stamp\/cleanup\[\d+\]: \w{13}: message-id=<known\@x\.example>$/m, 'as it stands in the message');
like($log, qr/^$stamp\/qmgr\[\d+\]: $id: from=<a\@x\.example>, size=\d+, nrcpt=1 \(queue active\)$/m, 'queue active');
like($log, qr{^$stamp/smtp\[\d+\]: $id: to=<one\@a\.example>, relay=\S+\[127\.0\.0\.1\]:\d+, (?:conn_use=\d+, )?delay=[\d.]+, delays=0/[\d.]+/[\d.]+/[\d.]+, dsn=2\.\d\.\d, status=sent \(250 .*\)$}m, 'sent');
like($log, qr{: $soft: to=<soft\@.*, dsn=4\.2\.2, status=deferred \(host \S+\[127\.0\.0\.1\] said: 450 .*over quota \(in reply to RCPT TO command\)\)$}m, 'deferred');
like($log, qr{: $hard: to=<hard\@.*, dsn=5\.1\.1, status=bounced \(host .*\)$}m, 'bounced');
like($log, qr{: $once: to=<once\@.*, status=expired \(}m, 'expired');
like($log, qr{^$stamp/smtpd\[\d+\]: NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.1\]: 550 5\.1\.1 <nosuch\@mx\.test\.example>: Recipient address rejected: User unknown; from=<a\@x\.example> to=<nosuch\@mx\.test\.example> proto=ESMTP helo=<c\.example>$}m, 'refused');
like($log, qr{^$stamp/pickup\[\d+\]: \w{13}: uid=0 from=<a\@x\.example>$}m, 'from a user of this host');
like($log, qr{^$stamp/smtpd\[\d+\]: NOQUEUE: reject: RCPT from unknown\[::1\]: 554 5\.7\.1 <other\@relay\.example>: Relay access denied; from=<a\@x\.example> to=<other\@relay\.example> proto=ESMTP helo=<c\.example>$}m, 'refused by IPv6');
like($log, qr{^$stamp/smtp\[\d+\]: $pair: to=<$_\@a\.example>, orig_to=<pair\@mx\.test\.example>, relay=.*, status=sent \(}m, "$_ by an alias") for qw(pa pb);
like($log, qr{^$stamp/error\[\d+\]: $many: to=<soft$_\@a\.example>, relay=none, delay=[\d.]+, delays=0/[\d.]+/0/0, dsn=5\.0\.0, status=bounced \(failed by uid 0: enough\)$}m, "soft$_ failed by an operator") for 1 .. 3;
like($log, qr{^$stamp/postsuper\[\d+\]: $soft: placed on hold$}m, 'held');
like($log, qr{^$stamp/postsuper\[\d+\]: $soft: released from hold$}m, 'released');
like($log, qr{^$stamp/postsuper\[\d+\]: $gone: removed$}m, 'deleted');
my ($notice) = $log =~ m{^$stamp/bounce\[\d+\]: $hard: sender non-delivery notification: (\w{13})$}m;
ok($notice, 'notice') && like($log, qr{^$stamp/qmgr\[\d+\]: $notice: from=<>, size=\d+, nrcpt=1 \(queue active\)$}m, 'which is queued');
unlike($log, qr/[^\n\x20-\x7e\x80-\xff]/, 'no control character');

SKIP: {
	skip "no peers: $peers", 13 if $peers ne '';
	my ($rc, $out, $err) = Peers::peer({ in => $log }, 'pflogsumm');
	is($rc, 0, 'pflogsumm reads it') or diag $err;
	my %sum = map { reverse /^\s+(\d+)\s+(received|delivered|deferred|bounced|rejected)/ } split /\n/, $out;
	my ($deferrals) = $out =~ /deferred\s+\((\d+)\s+deferrals\)/;
	my $l = balanced($house, 'now');
	my @received = events($house, event => 'received');
	my @deferred = events($house, event => 'attempt', status => 'deferred');
	my $rcpts = 0;
	my %waited = map { $_->{id} => 1 } @deferred;
	$rcpts += $_->{nrcpt} for @received;
	# Messages received, but recipients of the others. Notices are received by nobody, yet delivered.
	is($sum{received}, scalar @received, 'received: as many messages as the log has');
	is($rcpts, $l->{accepted}, 'the ledger has their recipients');
	is($sum{delivered}, $l->{delivered}, 'delivered: as the ledger');
	is($l->{delivered}, $l->{accepted} + $l->{notices} + $l->{expanded_out} - $l->{expanded_in} - $l->{bounced} - $l->{expired} - $l->{dropped} - 1, 'which is all but those');
	is($sum{bounced}, $l->{bounced}, 'bounced: as the ledger');
	is($l->{bounced}, 4, 'which are those that failed');
	is("$sum{deferred} $deferrals", keys(%waited) . ' ' . @deferred, 'deferred: messages, attempts');
	is($sum{rejected}, scalar(grep { ($_->{code} // 0) != 421 } events($house, event => 'reject')), 'rejected');
	my $bytes = 0;
	$bytes += $_->{size} for @received;
	like($out, qr/^\s+$bytes\s+bytes received$/m, 'bytes received');
	unlike($out, qr/size data|sender not in log/i, 'and it misses nothing') or diag $out;
	# By the mode of its postfix jail that comes with Debian, and by the strictest.
	spew("$state/fail2ban.in", $log);
	my $left = () = $log =~ /lost connection after CONNECT from/g;
	for (['more', 3], [ 'aggressive', 3 + $left ]) {
		my ($mode, $n) = @$_;
		($rc, $out, $err) = Peers::peer({}, 'fail2ban-regex', "$state/fail2ban.in", "postfix[mode=$mode]");
		like($out, qr/^Lines: \d+ lines, 0 ignored, $n matched/m, "fail2ban, $mode: both refusals, too many errors" .
			($mode eq 'more' ? '' : ', a lost connection')) or diag $err;
	}
}

# The same lines to syslog.
my ($heard, %heard) = (0);
sub heard
{
	while (IO::Select->new($syslog)->can_read(0.05)) {
		$syslog->recv(my $m, 65536);
		$heard{$m}++;
		$heard++;
	}
	return $heard;
}
wait_for(sub { heard(); grep { /^<22>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d postfix\/qmgr\[\d+\]: $id: removed$/ } keys %heard }, 'syslog');
pass('syslog hears the lines');
close $syslog;
mail_in($house, 'a@x.example', 'deaf@a.example');
$syslog = syslogd();
my $later = mail_in($house, 'a@x.example', 'again@a.example');
ok(wait_for(sub { heard(); grep { /$later: removed/ } keys %heard }, 'syslog again', 20), 'a syslog that comes back is found');
drained_but_one();
my ($said, $lost) = @{ quiet() }{qw(mail_lines syslog_lost)};
heard();
$heard = 0;

# All but what waits for an hour has gone.
sub drained_but_one { return wait_for(sub { my $l = ledger($house); $l->{queued} == 1 && $l->{unfiled} == 0 }, 'the rest to be delivered', 60) }

# And so have its lines.
sub quiet
{
	my ($s, $lines, $since) = (undef, -1, 0);

	wait_for(sub {
		$s = logd();
		($lines, $since) = ($s->{mail_lines}, Time::HiRes::time()) if $s->{mail_lines} != $lines;
		Time::HiRes::time() - $since > 0.8; # lines are held for less
	}, 'the log to be quiet', 30);
	return $s;
}

# Rotation under load, by hand and by Debian's logrotate as etc/ has it for us: each line of both files once, none lost.
# Meanwhile nobody reads syslog's socket.
my $MESSAGES = 2400;
spew("$state/logrotate.conf", slurp(top() . '/etc/logrotate.conf') =~ s{/var/log/angarium}{$state/log}gr =~
	s{angctl}{$bin/angctl -c $state/angarium.conf}gr =~ s{^\s*(?:delay)?compress\n}{}gmr);
my $was = -s "$state/log/mail.log";
my $pid = Supervisor::spawn([ "$bin/smtpsource", '-q', '-P', '-s', 5, '-m', $MESSAGES, '-n', 100, '-h',
	'127.0.0.1:' . $house->port('mx'), '-f', 'a@x.example', '-t', 'load@a.example' ], "$state/source.err");
for my $n (1 .. 5) {
	wait_for(sub { (-s "$state/log/mail.log" // 0) > $was + 100_000 }, "lines before rotation $n", 60);
	$was = 0;
	if ($n % 2 == 0 && $peers eq '') {
		my ($rc, $out, $err) = Peers::peer({}, 'logrotate', '-f', '-s', "$state/logrotate.state", "$state/logrotate.conf");
		is("$rc $err", '0 ', 'logrotate');
	} else {
		rename "$state/log/$_", "$state/log/$_.by-hand-$n" for 'angarium.log', 'mail.log';
		$n == 1 ? $house->kill('logd', 'HUP') : is(($house->angctl('log', 'reopen'))[0], 0, 'reopen');
	}
	wait_for(sub { -e "$state/log/mail.log" && -e "$state/log/angarium.log" }, 'new files');
}
waitpid $pid, 0;
is($? >> 8, 0, 'the load was taken: mail waits for no log');
drained_but_one();
my $end = quiet();
is("$end->{lost} $end->{mail_lost}", '0 0', 'nothing was lost');
cmp_ok($end->{syslog_lost}, '>', $lost, 'what a deaf syslog did not take is counted as lost');
is($end->{syslog_error}, '', 'but that is no error');
eval { wait_for(sub { heard() + $end->{syslog_lost} - $lost == $end->{mail_lines} - $said }, 'the lines') };
is($heard + $end->{syslog_lost} - $lost, $end->{mail_lines} - $said, 'each line was heard or counted');
mail_in($house, 'a@x.example', 'then@a.example');
ok(wait_for(sub { heard(); grep { /to=<then\@a/ } keys %heard }, 'lines again'), 'then it hears again');

my %done;
$done{ $_->{id} }++ for map { decode_json($_) } grep { /"event":"done"/ } $house->log_lines;
is(scalar(grep { $_ != 1 } values %done), 0, 'angarium.log: no message is done twice');
my %removed;
$removed{$_}++ for mail_log() =~ /qmgr\[\d+\]: (\w{13}): removed$/mg;
is_deeply(\%removed, \%done, 'mail.log: each of them removed, once');
is((grep { !/^$stamp\/\w+\[\d+\]: \S.*$/ } split /\n/, mail_log())[0], undef, 'only whole lines');
{
	# Of services over links of their own, and yet a message is received, queued, sent, removed.
	my (%at, @wrong);
	my @row = (qr/^(?:client|uid)=/, qr/^message-id=/, qr/\(queue active\)$/, qr/^to=</, qr/^removed$/);
	for (map { [ slurp($_) =~ /: (\w{13}): (.*)$/mg ] } mail_logs()) {
		while (my ($qid, $words) = splice @$_, 0, 2) {
			my ($rank) = grep { $words =~ $row[$_] } 0 .. $#row;
			next if !defined $rank;
			push @wrong, "$qid $words" if $rank < ($at{$qid} // 0);
			$at{$qid} = $rank;
		}
	}
	is("@wrong", '', 'the lines of each message in order');
}

# Off, other name, other stamp: by reload.
$house->{config}{syslog_name} = 'relay';
$house->{config}{mail_log_rfc3339} = 'yes';
$house->write_config;
is(($house->angctl('config', 'reload'))[0], 0, 'reload');
mail_in($house, 'a@x.example', 'stamp@a.example');
has_line(qr{^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d \S+ relay/smtp\[\d+\]: \w+: to=<stamp\@a\.example>, .*status=sent}m, 'RFC 3339, and its name');

$house->end;
done_testing;
