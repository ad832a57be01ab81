# SPDX-License-Identifier: ISC
# What who comes from another mailer tries first, on an installed machine. The list of these checks, and where each is:
#
#	 1, 2	no test: a package over a rival's, and what other packages then pull in; there is no package yet
#	 3	0700-install.t: the commands and links, the manuals
#	 4	0700-install.t: no set-id program, of what `make install` puts there
#	 5, 6	0700-install.t: units, users, capabilities, exposure
#	 7, 8	0700-install.t: each restarted and killed while mail comes in
#	 9-15	here
#	16	0720-callers.t
#	17-24	here; 22 with a larger file system, since a segment alone is reserved with more than 8 MB; 21 without
#		the end of what a killed writer left, which pickup removes when it is a day old
#	28	0630-local.t (Maildir: the order of its syncs), 0631-local-peers.t (mutt's and procmail's locks), 0700-install.t (mode, owner)
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Debian;
use House qw(wait_for slurp spew);
use Talk qw(code);
use Test::More;

my $dest = Debian::installed();

spew("$dest/etc/angarium/angarium.conf", slurp("$dest/etc/angarium/angarium.conf") =~ s/^message_size_limit = .*/message_size_limit = 200000/mr .
	"retry_first = 1s\nretry_max = 1s\n");
my $m = Debian->start(lower => [$dest], init => ['/lib/systemd/systemd']);
wait_for(sub { ($m->run_in('systemctl', 'is-system-running', '--wait'))[1] =~ /^(?:running|degraded)/ }, 'the system to be up', 60);
$m->shell("useradd -m -s /bin/sh $_") for qw(alice bob carol);
$m->shell("printf 'root: alice\\npostmaster: root\\n' >/etc/aliases && newaliases");
$m->shell('mkdir -m 0700 /tmp/unread');
# A file system that can be filled.
$m->shell('mount -t tmpfs -o size=1200M tmpfs /var/spool/angarium && systemd-tmpfiles --create /usr/lib/tmpfiles.d/angarium.conf');
$m->shell('systemctl enable --now angarium.target');

sub sendmail { my ($in, @argv) = @_; my $how = ref $argv[0] ? shift @argv : {}; return $m->run_in({ in => $in, %$how }, 'sendmail', @argv) }

sub letters { return $m->letters(@_) }
sub letter { return $m->letter(@_) }
sub settled { $m->settled }

subtest '9 and 10: dots and blind copies' => sub {
	my $text = "To: alice\nBcc: carol\nSubject: %s\n\n.\nafter\n..z\n";

	is(join('', sendmail(sprintf($text, 'c9'), '-t', '-i')), '0', 'with -i: 0');
	for my $who (qw(alice carol)) {
		my $l = letter($who, 'c9');
		unlike($l->{head}, qr/^bcc/mi, "$who: no Bcc");
		is($l->{body}, ".\nafter\n..z\n", 'the body as it was');
	}
	is(join('', sendmail(sprintf($text, 'c10'), '-t')), '0', 'without -i: 0');
	is(letter('alice', 'c10')->{body}, '', 'the dot ends it');
};

subtest '11: CR LF' => sub {
	is((sendmail("To: alice\r\nSubject: c11\r\n\r\nl1\nl2\r\n", '-t'))[0], 0, 'taken');
	my $l = letter('alice', 'c11');
	is($l->{body}, "l1\nl2\n", 'lines');
	unlike($l->{text}, qr/\r/, 'no CR');
};

subtest '12: resent' => sub {
	is((sendmail("To: bob\nSubject: c12\nResent-To: alice\n\n", '-t', '-i'))[0], 0, 'taken');
	my $l = letter('alice', 'c12');
	like($l->{head}, qr/^Resent-$_: ./mi, "Resent-$_") for qw(Date From Message-ID);
	settled();
	is(scalar letters('bob', 'c12'), 0, 'to nobody else');
};

subtest '13: -t and a recipient' => sub {
	is((sendmail("To: alice\nSubject: c13\n\n", '-t', '-i', 'bob'))[0], 0, 'taken');
	letter($_, 'c13') for qw(alice bob);
	settled();
	is(scalar letters($_, 'c13'), 1, "$_ once") for qw(alice bob);
};

subtest '14: senders' => sub {
	my @of = ([ '-f', '' ], '', [ '-fq@ex.org' ], 'q@ex.org', [ '-f', '<>' ], '');

	for (my $i = 0; $i < @of; $i += 2) {
		is((sendmail("Subject: c14$i\n\n", @{ $of[$i] }, '-i', 'alice'))[0], 0, "@{ $of[$i] }");
		is(letter('alice', "c14$i")->{sender}, $of[ $i + 1 ], "Return-Path <$of[$i + 1]>");
	}
};

subtest '15: callers' => sub {
	my $cron = "From: root (Cron Daemon)\nTo: root\nSubject: %s\nContent-Type: text/plain; charset=UTF-8\n\nout\n";

	is(join('', sendmail(sprintf($cron, 'c15a'), qw(-FCronDaemon -i -B8BITMIME -oem root))), '0', 'cron');
	is(join('', sendmail(sprintf($cron, 'c15b'), qw(-FAnacron -odi root))), '0', 'anacron');
	is(join('', sendmail("Subject: c15c\n\n", qw(-oi -odq -N), 'failure,delay', qw(-R hdrs -V id -- alice))), '0', 'mutt');
	like(letter('alice', 'c15a')->{head}, qr/^From: root\@\S+ \(Cron Daemon\)$/m, 'From is completed');
	letter('alice', 'c15b');
	ok(letter('alice', 'c15c'), 'all arrive');
};

subtest '17: calls that are wrong' => sub {
	for ([ "-Z" ], [], [ "-t" ], [ "-BFOO", "a" ]) {
		my ($rc, $out, $err) = sendmail('', @$_);
		is($rc, 64, "64: sendmail @$_");
		like($err, qr/\A[^\n]+\n\z/, 'one line');
	}
};

subtest '18: all stopped' => sub {
	$m->shell('systemctl stop angarium.target');
	is((sendmail("Subject: c18\n\nx\n", 'alice'))[0], 0, 'sendmail: 0');
	my ($rc, $out) = $m->run_in('mailq');
	is($rc, 0, 'mailq as root: 0');
	like($out, qr/alice/, 'it is listed');
	$m->shell('systemctl start angarium.target');
	wait_for(sub { letters('alice', 'c18') }, 'it', 60);
	settled();
	is(scalar letters('alice', 'c18'), 1, 'delivered once');
};

subtest '19: narrow places' => sub {
	my %by = (
		'no new privileges' => 'setpriv --reuid=alice --regid=alice --init-groups --no-new-privs sendmail -i alice',
		'a user without a name' => 'setpriv --reuid=65111 --regid=65111 --clear-groups sendmail -i alice',
		'descriptors closed' => 'exec sendmail -i alice <&- >&- 2>&-',
		'an unreadable folder' => 'cd /tmp/unread && setpriv --reuid=alice --regid=alice --init-groups sendmail -i alice',
	);
	for my $what (sort keys %by) {
		my ($rc, $out, $err) = $m->run_in({ in => "Subject: c19 $what\n\n" }, 'timeout', '1', 'sh', '-c', $by{$what});
		is("$rc$err", '0', "$what: 0 within a second");
	}
	ok(letter('alice', "c19 $_"), "$_: arrives") for grep { !/closed/ } sort keys %by;
};

subtest '20: no network' => sub {
	is((sendmail("Subject: c20\n\n", 'alice'))[0], 0, 'once before');
	for my $command ('sendmail -i alice', 'newaliases') {
		my ($rc, $out, $err);
		# Who asks a network that is not there is too late each time; who has to wait for a processor, not.
		for (1 .. 5) {
			$m->shell('touch /etc/aliases');
			($rc, $out, $err) = $m->run_in({ in => "Subject: c20\n\n" }, 'timeout', '0.2', 'unshare', '-n', 'sh', '-c', $command);
			last if $rc == 0;
		}
		is("$rc$err", '0', "$command: 0 within 0.2 s");
	}
};

subtest '21: ended halfway' => sub {
	for my $state ('up', 'down') {
		$m->shell('systemctl stop angarium.target') if $state eq 'down';
		my ($rc) = $m->run_in('sh', '-c', "(printf 'Subject: c21\\n\\nhalf '; sleep 60) | sendmail -i alice & p=\$!; "
			. 'until n=$(pgrep -n -x sendmail); do :; done; until [ "$(cat /proc/$n/wchan 2>/dev/null; ls /proc/$n/fd | wc -l)" ]; do :; done; kill -9 $n; pkill -x sleep; wait $p; [ $? = 137 ]');
		is($rc, 0, "$state: killed with half of it read");
		isnt(($m->run_in('sh', '-c', 'ulimit -f 1; yes | head -c 100000 | sendmail -i alice'))[0], 0, 'a limit of file size, all down: not taken') if $state eq 'down';
		is(($m->run_in('sh', '-c', 'ulimit -f 1; yes | head -c 100000 | sendmail -i alice'))[0], 75, 'but 75') if $state eq 'down';
		is($m->shell('find / -xdev -name core -type f | head -3'), '', 'no core');
		is($m->shell('find /var/spool/angarium/drop -type f'), '', 'nor anything else') if $state eq 'up';
		$m->shell('systemctl start angarium.target') if $state eq 'down';
	}
	is((sendmail("Subject: c21 after\n\n", 'alice'))[0], 0, 'another');
	letter('alice', 'c21 after');
	settled();
	is(scalar letters('alice', 'c21'), 0, 'nothing of it was delivered');
	is($m->shell('find /var/spool/angarium/drop -type f ! -name ".*"'), '', 'and nothing is left to be');
};

subtest '22: a full disk' => sub {
	my $t = $m->talk(25);
	$t->reply;
	$t->ask('EHLO client.example');
	$m->run_in('dd', 'if=/dev/zero', 'of=/var/spool/angarium/filler', 'bs=1M');
	like(wait_for(sub { my $r = $t->ask('MAIL FROM:<a@x.example>'); $t->ask('RSET'); $r =~ /^4/ && $r }, 'a refusal'), qr/^452 4\.3\.1 /, 'MAIL: 452 4.3.1');
	# Each worker looks for itself, now and then, and has room of its own meanwhile.
	my ($taken, $rc) = (0);
	wait_for(sub { ($rc) = sendmail("Subject: c22\n\n", 'alice'); $taken++ if $rc == 0; $rc }, 'sendmail to be refused');
	is($rc, 75, 'sendmail: 75');
	$m->shell('rm /var/spool/angarium/filler');
	is(wait_for(sub { my $c = code($t->ask('MAIL FROM:<a@x.example>')); $t->ask('RSET'); $c == 250 && $c }, 'space to be seen'), 250, 'space again: 250, nothing was started anew');
	$t->close;
	wait_for(sub { ($rc) = sendmail("Subject: c22 after\n\n", 'alice'); $rc == 0 }, 'sendmail to be let in');
	is($rc, 0, 'sendmail: 0');
	ok(letter('alice', 'c22 after'), 'arrives');
	settled();
	is(scalar letters('alice', 'c22'), $taken, 'so does what was taken before, and nothing that was not');
};

subtest '23: too large' => sub {
	my $t = $m->talk(25);
	$t->reply;
	$t->ask('EHLO client.example');
	like($t->ask('MAIL FROM:<a@x.example> SIZE=300000'), qr/^552 5\.3\.4 /, 'MAIL with SIZE: 552');
	is($t->send_mail('a@x.example', 'alice@machine', "Subject: c23\n\n" . "x\n" x 150_000), 552, 'who lies: 552 at the dot');
	$t->close;
	is((sendmail("Subject: c23\n\n" . "x\n" x 150_000, 'alice'))[0], 69, 'sendmail: 69');
};

subtest '24: -bv' => sub {
	is(join('', (sendmail('', '-bv', 'alice'))[ 0, 1 ]), "0alice... deliverable: mailer local, user alice\n", 'alice');
	is(join('', (sendmail('', '-bv', 'nosuch'))[ 0, 1 ]), "67nosuch... User unknown\n", 'nosuch');
	settled();
};

$m->end;
done_testing;
