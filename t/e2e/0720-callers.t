# SPDX-License-Identifier: ISC
# Programs of Debian that send mail by sendmail, on an installed machine: one delivery each, by the right sender.
# It is number 16 of the checks in 0710-migration.t. CALLERS=all adds those whose packages are large.
#
# Not here: alpine, which wants a person before it (its talk, sendmail -bs, is in 0300-sendmail.t).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Debian;
use House qw(wait_for slurp spew);
use Test::More;

my $all = ($ENV{CALLERS} // '') eq 'all';
my $dest = Debian::installed();
my ($layer, $why) = $all
    ? Debian::layer('callers-all', qw(cron at anacron sudo bsd-mailx s-nail mutt procmail maildrop vacation libmime-lite-perl logrotate
	mdadm unattended-upgrades logwatch mailutils neomutt php-cli git-email nodejs node-nodemailer ruby-mail))
    : Debian::layer('callers', qw(cron at anacron sudo bsd-mailx s-nail mutt procmail maildrop vacation libmime-lite-perl logrotate));
Debian::skip($why) unless $layer;

my $m = Debian->start(lower => [ $dest, $layer ], init => ['/lib/systemd/systemd']);
wait_for(sub { ($m->run_in('systemctl', 'is-system-running', '--wait'))[1] =~ /^(?:running|degraded)/ }, 'the system to be up', 60);
$m->shell("useradd -m -s /bin/sh $_") for qw(alice bob);
$m->shell("printf 'root: alice\\npostmaster: root\\n' >/etc/aliases && newaliases");
$m->shell('systemctl enable --now angarium.target');


# As this user: a shell command with this input.
sub as
{
	my ($user, $command, $in) = @_;
	my @who = $user eq 'root' ? () : ('setpriv', "--reuid=$user", "--regid=$user", '--init-groups', 'env', map { "$_=$user" } qw(USER LOGNAME));

	return $m->run_in({ in => $in // '', seconds => 60, env => { HOME => $user eq 'root' ? '/root' : "/home/$user" } }, @who, 'sh', '-c', "cd; $command");
}

# The caller's command succeeds and alice gets one letter from it.
my @subjects;
sub calls
{
	my ($what, $user, $command, %opt) = @_;
	my $subject = $opt{subject} // "by $what";
	my $sender = $opt{sender} // "$user\@machine";
	my ($rc, $out, $err) = as($user, $command, $opt{in});

	is($rc, $opt{rc} // 0, "$what: as it ends") or diag $out, $err;
	is($m->letter('alice', $subject)->{sender}, $sender, "$what: its letter comes from <$sender>");
	push @subjects, $subject;
}

# What a filter or an answering machine is given.
my $mail = "From: bob\@machine\nTo: bob\@machine\nSubject: %s\n\nx\n";

subtest 'what runs by itself' => sub {
	$m->shell('printf "@reboot alice echo by-cron\n" >/etc/cron.d/letter; rm -f /run/crond.reboot');
	calls('cron', 'root', 'systemctl restart cron', subject => 'Cron <alice@machine> echo by-cron', sender => 'alice@machine');
	calls('at', 'alice', 'echo echo by-at | at now', subject => 'Output from your job        1');
	$m->shell('printf "1 0 letter echo by-anacron\n" >/tmp/anacrontab; mkdir /tmp/anacron');
	calls('anacron', 'root', 'anacron -d -f -n -t /tmp/anacrontab -S /tmp/anacron', subject => "Anacron job 'letter' on machine");
	$m->shell('printf "Defaults !authenticate\n" >/etc/sudoers.d/letter');
	calls('sudo', 'alice', 'sudo true', rc => 1, subject => '*** SECURITY information for machine ***');
};

subtest 'who writes letters' => sub {
	calls($_, 'alice', "echo x | $_ -s 'by $_' alice") for qw(bsd-mailx s-nail mutt);
	calls('MIME::Lite', 'alice', q{perl -MMIME::Lite -e 'MIME::Lite->new(From => "alice\@machine", To => "alice", Subject => "by MIME::Lite", Data => "x")->send or exit 1'});
};

subtest 'filters' => sub {
	$m->shell('printf ":0\n! alice\n" >/tmp/procmailrc; printf \'to "! alice"\n\' >/home/bob/.mailfilter; chown bob: /home/bob/.mailfilter; chmod 0600 /home/bob/.mailfilter');
	calls('procmail', 'bob', 'procmail -m /tmp/procmailrc', in => sprintf $mail, 'by procmail');
	# It hands over "-f ''".
	calls('maildrop', 'bob', 'maildrop', in => sprintf($mail, 'by maildrop'), sender => '');
	$m->shell('printf "Subject: by vacation\n\naway\n" >/home/bob/.vacation.msg; chown bob: /home/bob/.vacation.msg');
	calls('vacation', 'bob', 'vacation -I && vacation bob', in => "From alice\@machine Sat Nov 21 16:00:00 2026\n" . sprintf $mail, 'hello');
};

subtest 'large ones' => sub {
	plan skip_all => 'CALLERS=all has them' unless $all;
	calls($_, 'alice', "echo x | $_ -s 'by $_' alice") for qw(mail.mailutils neomutt);
	calls('php', 'alice', q{php -r 'exit(mail("alice", "by php", "x") ? 0 : 1);'});
	calls('git', 'alice', 'git init -q r && cd r && git config user.name A && git config user.email alice@machine && '
		. 'git commit -q --allow-empty -m one && git format-patch -q --root --always -1 && git send-email --quiet --confirm=never --suppress-cc=all '
		. '--from=alice@machine --to=alice *.patch', subject => '[PATCH] one');
	calls('nodemailer', 'alice', <<~'END');
		node -e 'require("nodemailer").createTransport({ sendmail: true }).sendMail({ from: "alice@machine", to: "alice@machine",
			subject: "by nodemailer", text: "x" }, (e) => { if (e) { console.error(e); process.exit(1); } });'
		END
	calls('ruby-mail', 'alice', q{ruby -rmail -e 'm = Mail.new(from: "alice@machine", to: "alice@machine", subject: "by ruby-mail", body: "x"); m.delivery_method :sendmail; m.deliver!'});
	calls('mdadm', 'root', 'mdadm --monitor --test --oneshot --mail root /dev/md0', subject => 'TestMessage event on /dev/md0:machine');
	calls("unattended-upgrades by $_", 'root', q{python3 -c 'import importlib.machinery as m; u = m.SourceFileLoader("u", "/usr/bin/unattended-upgrade").load_module(); }
		. qq{exit(u._send_mail_using_$_("root\@machine", "alice", "by unattended-upgrades by $_", "x\\n"))'}) for qw(sendmail mailx);
	calls('logwatch', 'root', 'logwatch --output mail --mailto alice --detail high --range all --service zz-disk_space', subject => 'Logwatch for machine (Linux)');
};

subtest 'and what is told of them is rotated' => sub {
	my ($before) = $m->shell('wc -l </var/log/angarium/angarium.log');
	is(join('', $m->run_in('logrotate', '-f', '/etc/logrotate.d/angarium')), '0', 'logrotate is content');
	calls('who writes after that', 'alice', q{printf 'Subject: rotated\n\n' | sendmail alice}, subject => 'rotated');
	for my $log ('angarium.log', 'mail.log') {
		is($m->shell("stat -c '%U %G %a' /var/log/angarium/$log.1"), $m->shell("stat -c '%U %G %a' /var/log/angarium/$log"), "$log: the same owner and mode");
		ok(wait_for(sub { $m->shell("wc -l </var/log/angarium/$log") =~ /^[1-9]/ }, "a line in $log"), "$log is written anew");
	}
	cmp_ok($m->shell('wc -l </var/log/angarium/angarium.log.1'), '>=', $before, 'the old one is whole');
};

$m->settled;
my @more = grep { $m->letters('alice', $_) != 1 } @subjects;
is("@more", '', 'one letter of each');
$m->end;
done_testing;
