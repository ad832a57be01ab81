# SPDX-License-Identifier: ISC
# What `make install` puts on a bare Debian: under systemd with the hardened units, under s6, under runit; users
# and folders by sysusers.d and tmpfiles.d.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Debian;
use House qw(wait_for slurp spew run top build_dir);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

my $dest = Debian::installed();
my @services = map { m{([^/]+)$} } grep { !/\.so$/ } glob "$dest/usr/lib/angarium/*";
my %user = slurp(top() . '/libcommon/base/service.h') =~ /S\(\w+, "([^"]+)", "([^"]+)", \d+\)/g;
my @sockets = map { "angarium-smtpd-$_.socket" } qw(mx submission submit);
my @units = ('angarium.target', @sockets, map { "angarium-$_.service" } @services);

# What this installation relays to, and never waits long.
my $conf = slurp("$dest/etc/angarium/angarium.conf") . "relay_host = \"127.0.0.1:2526\"\nretry_first = 1s\nretry_max = 1s\n";
spew("$dest/etc/angarium/angarium.conf", $conf);

subtest 'what is installed' => sub {
	cmp_ok(scalar @services, '>=', 5, 'services') or return;
	ok(-x "$dest/usr/bin/newaliases", 'newaliases');
	for my $link ('sbin/send-mail', 'sbin/rmail', 'lib/sendmail', 'bin/mailq') {
		my $to = readlink "$dest/usr/$link" // '';
		like($to, qr{(?:^|^\.\./sbin/)sendmail$}, "/usr/$link is sendmail");
	}
	ok(-e "$dest/usr/share/man/$_", $_) for qw(man8/sendmail.8 man1/mailq.1 man1/newaliases.1 man8/angctl.8 man5/angarium.conf.5);
	ok(-e "$dest/usr/share/man/man8/$_.8", "$_.8") for @services;
	is((run('find', $dest, '-type', 'f', '-perm', '/6000'))[1], '', 'no program has a set-id bit');
	for my $s (@services) {
		ok(-x "$dest/usr/share/angarium/$_", $_) for map { ("s6/angarium-$s/$_", "runit/angarium-$s/$_") } qw(run finish log/run);
		ok(-x "$dest/usr/share/angarium/runit/angarium-$s/check", "runit/angarium-$s/check");
	}
	is((run('grep', '-rl', '@[A-Z]*@', "$dest/usr/lib/systemd", "$dest/usr/share/angarium"))[1], '', 'nothing was left to be filled in');
};

subtest 'users and folders are those of the tables' => sub {
	my %made = map { /^u (\S+) / ? ($1 => 1) : () } split /\n/, slurp("$dest/usr/lib/sysusers.d/angarium.conf");
	my @groups = sort map { /^g (\S+) / } split /\n/, slurp("$dest/usr/lib/sysusers.d/angarium.conf");
	is_deeply([ sort keys %made ], [ sort values %user ], 'sysusers.d has the users of base/service.h');
	is_deeply(\@groups, [ sort { $a cmp $b } slurp(top() . '/libcommon/base/service.h') =~ /#define GROUP_\w+ "([^"]+)"/g ], 'and the groups');
	my %dir = slurp(top() . '/libcommon/conf/keys.h') =~ /K\(PATH, (\w+_dir), "\w+", "([^"]*)"/g;
	delete $dir{mail_dir}; # belongs to the system
	my $tmpfiles = slurp("$dest/usr/lib/tmpfiles.d/angarium.conf");
	like($tmpfiles, qr/^d \Q$dir{$_}\E +\d{4} /m, "tmpfiles.d makes the default of $_, $dir{$_}") for sort keys %dir;
};

# ---- a machine with mail

my ($m, $sink, %sent);

sub booted
{
	wait_for(sub { ($m->run_in('systemctl', 'is-system-running', '--wait'))[1] =~ /^(?:running|degraded)/ }, 'the system to be up', 60);
}

# What came out: recipient -> times.
sub arrived
{
	my %times;

	$times{$_}++ for map { my @f = split /\t/; map { /^<([^>]+)>/ } @f[ 4 .. $#f ] } split /\n/, slurp($sink) // '';
	return \%times;
}

sub begin_sink
{
	# Its file is where both see it.
	$sink = "$dest/var/sink.log";
	mkdir "$dest/var";
	spew($sink, '');
	$m->tool('sink', '/mnt/smtpsink', '-o', '/proc/self/fd/1', '127.0.0.1:2526');
	$sink = "$m->{err}.sink";
}

# pid -> user, of all processes of a service, in the machine's numbers.
sub processes
{
	my ($name) = @_;
	my %found;

	for my $line (split /\n/, ($m->run_in('ps', '-eo', 'pid=,user:20=,args='))[1]) {
		my ($pid, $user, $args) = $line =~ /^ *(\d+) (\S+) +(.*)/ or next;
		$found{$pid} = $user if $args =~ m{^/usr/lib/angarium/$name\b};
	}
	return \%found;
}

sub main_pid { my ($name) = @_; return (sort { $a <=> $b } keys %{ processes($name) })[0] // 0 }

sub answers { my ($name) = @_; return ($m->run_in('angctl', 'status', $name))[0] == 0 }

sub sent_by_all_ways
{
	my ($under) = @_;
	my ($status, $out, $err) = $m->run_in({ in => "To: one\@d.example\nSubject: x\n\nHello.\n" }, 'sendmail', '-t', '-i');

	is("$status$out$err", '0', "$under: sendmail takes a message");
	for my $port (25, 587) {
		($status, $out, $err) = $m->run_in('/mnt/smtpsource', '-h', "127.0.0.1:$port", '-t', "port$port\@d.example", '-m', 1);
		is($status, 0, "$under: port $port takes one") or diag $out, $err;
	}
	my @to = qw(one@d.example port25@d.example port587@d.example);
	wait_for(sub { my $t = arrived(); !grep { !$t->{$_} } @to }, 'mail at the next hop', 20);
	pass("$under: mail by sendmail, port 25 and port 587 arrives");
	$m->shell('useradd -m dora');
	is(($m->run_in({ in => "Subject: for dora\n\nHello.\n" }, 'sendmail', 'dora'))[0], 0, "$under: a message to a local user");
	($status) = $m->run_in('/mnt/smtpsource', '-h', '127.0.0.1:25', '-t', 'dora@machine', '-m', 1);
	is($status, 0, "$under: another by port 25");
	wait_for(sub { (() = ($m->run_in('cat', '/var/mail/dora'))[1] =~ /^From /mg) == 2 }, 'both in the mailbox', 20);
	is($m->shell('stat -c "%U %G %a" /var/mail/dora'), 'dora mail 600', "$under: they are in the user's mailbox");
	is((wait_for(sub { ($m->run_in('mailq'))[1] =~ /^(Mail queue is empty)$/m && $1 }, 'an empty queue')), 'Mail queue is empty', "$under: mailq");
}

sub own_users
{
	my ($under) = @_;
	my %of;

	for my $s (@services) {
		my $p = processes($s);
		my %users = map { $_ => 1 } values %$p;

		is_deeply([ keys %users ], [ $user{$s} ], "$under: all of $s run as $user{$s}");
		$of{$user{$s}} = 1;
		for my $pid (sort keys %$p) {
			my ($bnd) = $m->shell("cat /proc/$pid/status") =~ /^CapBnd:\s*0*(\w+)$/m;
			# local becomes the recipient: CAP_SETGID, CAP_SETUID.
			is(hex($bnd) & ~($s eq 'local' ? 0xc0 : 0), 0, "$under: $s ($pid) can have no capability") or last;
		}
	}
	is(scalar keys %of, scalar @services, "$under: as many users as services");
}

sub restart_one
{
	my ($under, $restart, $s) = @_;
	my %before = map { $_ => main_pid($_) } @services;

	$restart->($s);
	wait_for(sub { my $p = main_pid($s); $p && $p != $before{$s} && answers($s) }, "$s again", 20);
	my @noticed = grep { $_ ne $s && main_pid($_) != $before{$_} } @services;
	is("@noticed", '', "$under: $s was started again, the others did not notice");
}

# What was acknowledged arrives: (lost, twice).
sub audited
{
	my ($name) = @_;
	my $acks = "$m->{err}.$name";
	my ($rc, $out);

	spew($acks, ($m->run_in('cat', "/tmp/$name"))[1]);
	wait_for(sub { ($rc, $out) = run('perl', top() . '/t/tool/audit.pl', '-a', $acks, '-s', $sink); $rc == 0 }, 'what was acknowledged', 60);
	return map { $out =~ /^$_ (\d+)$/m ? $1 : die $out } 'lost', 'duplicates?';
}

# Each service once more while mail comes in: the others do not notice, nobody is refused, all arrives once. Who has
# said MAIL and not DATA yet hears 421 from smtpd as it ends, and comes again.
sub restart_under_load
{
	my ($under, $restart, %opt) = @_;
	my $load = $m->tool('load', '/mnt/smtpsource', '-k', '-h', '127.0.0.1:25', '-s', 4, '-n', 1, '-m', 200, '-R', 40,
		'-i', $under, '-a', "/tmp/$under", '-t', "$under%d\@d.example", '-w', 60);

	for my $s (grep { !$opt{spare}{$_} } @services) {
		restart_one($under, $restart, $s);
	}
	is($m->end_tool('load'), 0, "$under: all 200 messages were taken meanwhile") or diag slurp($load);
	like(slurp($load), qr/\bfailed_connects=0\b/, "$under: and no connection was refused");
	my ($lost, $twice) = audited($under);
	is($lost, 0, "$under: all of them arrived");
	is($twice, 0, "$under: and once") or diag $m->shell('grep -h attempt /var/log/angarium/angarium.log | tail -300; grep -h started /var/log/angarium/angarium.log');
}

# kill -9 for each while mail comes in: what was promised arrives.
sub killed_under_load
{
	my ($under) = @_;

	$m->tool('load', '/mnt/smtpsource', '-k', '-h', '127.0.0.1:25', '-s', 4, '-n', 5, '-m', 200, '-R', 40,
		'-i', 'kill', '-a', '/tmp/acks', '-t', "kill%d\@d.example", '-w', 60);
	for my $s (@services) {
		my $pid = main_pid($s);
		my $start = time;
		$m->run_in('kill', '-9', $pid);
		wait_for(sub { my $p = main_pid($s); $p && $p != $pid && answers($s) }, "$s again", 20);
		cmp_ok(time - $start, '<', 2, "$under: $s is back within two seconds of a kill");
	}
	is($m->end_tool('load'), 0, "$under: 200 messages are acknowledged all the same");
	my ($lost, $twice) = audited('acks');
	is($lost, 0, "$under: none of them is lost");
	# What was on its way to the next hop when deliver or qmgr fell.
	cmp_ok($twice, '<=', 40, "$under: few arrive twice");
}

# What systemd says of how much a unit leaves open: 10 is all.
sub exposure
{
	my ($unit) = @_;
	my ($text) = ($m->run_in('systemd-analyze', 'security', '--offline=true', '--no-pager', $unit))[1] =~ /exposure level[^:]*: ([\d.]+)/;

	return $text // 'unknown';
}

subtest 'under systemd' => sub {
	my $theirs = build_dir() . '/peers/root/usr/lib/systemd/system';
	$m = Debian->start(lower => [$dest], init => ['/lib/systemd/systemd'], places => [ -d $theirs ? "$theirs:/theirs" : () ]);
	booted();
	is($m->shell('readlink -f /usr/lib/sendmail'), '/usr/sbin/sendmail', '/usr/lib/sendmail is sendmail');
	is($m->shell('for c in sendmail mailq newaliases rmail; do command -v $c; done'),
		"/usr/sbin/sendmail\n/usr/bin/mailq\n/usr/bin/newaliases\n/usr/sbin/rmail", 'commands are found');
	my ($status, $out, $err) = $m->run_in('systemd-analyze', 'verify', '--man=no', map { "/usr/lib/systemd/system/$_" } @units);
	is("$status$out" . join('', grep { /angarium/ } split /^/, $err), '0', 'systemd-analyze verify has nothing to say');
	my $worst = 0;
	for my $s (@services) {
		my ($most, $is) = ($s eq 'local' ? 4 : 2.5, exposure("angarium-$s.service"));
		cmp_ok($is =~ /\d/ ? $is : 10, '<=', $most, "angarium-$s.service: exposure $is, $most at most");
		$worst = $is if $is =~ /\d/ && $is > $worst;
	}
	SKIP: {
		skip 'no unit of Postfix to compare with', 1 unless -d $theirs;
		my $is = exposure('/theirs/postfix@.service');
		cmp_ok($worst, '<', $is =~ /\d/ ? $is : 0, "the worst is better than postfix\@.service, $is");
	}
	begin_sink();
	($status, $out, $err) = $m->run_in('systemctl', 'enable', '--now', 'angarium.target');
	is($status, 0, 'enable --now angarium.target') or diag $out, $err, ($m->run_in('journalctl', '--no-pager'))[1] =~ /^.*\[\d+\]: \w+: .*\n/mg;
	is(($m->run_in('systemctl', 'is-active', @units))[1], "active\n" x @units, 'all units are active');
	own_users('systemd');
	sent_by_all_ways('systemd');
	for my $s (@services) {
		($status, $out, $err) = $m->run_in('systemctl', 'reload', "angarium-$s");
		is($status, 0, "reload $s") or diag $out, $err, ($m->run_in('journalctl', '--no-pager', '-u', "angarium-$s"))[1];
	}
	restart_under_load('systemd', sub { is(($m->run_in('systemctl', 'restart', "angarium-$_[0]"))[0], 0, "restart $_[0]") });

	killed_under_load('systemd');

	is(($m->run_in('systemctl', 'stop', 'angarium.target'))[0], 0, 'stop the target');
	ok(wait_for(sub { !grep { main_pid($_) } @services }, 'their end', 5), 'none is left');
	is(($m->run_in({ in => "x\n" }, 'sendmail', 'stopped@d.example'))[0], 0, 'sendmail: 0 all the same');
	like(($m->run_in('mailq'))[1], qr/stopped\@d\.example/, 'mailq lists it');
	is(($m->run_in('systemctl', 'start', 'angarium.target'))[0], 0, 'start the target');
	my $start = time;
	wait_for(sub { arrived()->{'stopped@d.example'} }, 'the message', 60);
	cmp_ok(time - $start, '<', 60, 'it arrives');
	is(arrived()->{'stopped@d.example'}, 1, 'once');

	# Who exits with a complaint frees nothing before.
	$m->shell('d=/etc/systemd/system/angarium-.service.d; mkdir -p $d; printf "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n" >$d/san.conf;
		systemctl daemon-reload') if ($ENV{V} // '') eq 'san';
	$m->shell('echo nonsense >/etc/angarium/angarium.conf; systemctl stop angarium-router; rm -rf /run/angarium/conf');
	isnt(($m->run_in('systemctl', 'start', 'angarium-router'))[0], 0, 'a wrong configuration: it does not start');
	is($m->shell('systemctl show -p ExecMainStatus --value angarium-router'), 78, 'exit 78');
	is($m->shell('systemctl show -p ActiveState --value angarium-router'), 'failed', 'and is not tried again');
	$m->end;
};

# Users and folders as the package's script makes them where systemd is not the init.
my $prepare = 'systemd-sysusers && systemd-tmpfiles --create /usr/lib/tmpfiles.d/angarium.conf';

# What the logger of its standard error has written; it does so in its own time.
sub words_of { my ($s) = @_; return ($m->run_in('cat', "/var/log/angarium/stderr-$s/current"))[1] // '' }

subtest 'under s6' => sub {
	$m = Debian->start(lower => [$dest], init => [ 'sh', '-c',
		"$prepare && mkdir /run/service && cp -a /usr/share/angarium/s6/* /run/service && exec s6-svscan /run/service" ], comm => 's6-svscan');
	begin_sink();
	for my $s (@services) {
		wait_for(sub { ($m->run_in('s6-svwait', '-U', '-t', 20000, "/run/service/angarium-$s"))[0] == 0 }, "$s: " . (slurp($m->{err}) // ''), 20);
	}
	pass('all services say that they are ready');
	own_users('s6');
	sent_by_all_ways('s6');
	my $restart = sub { $m->run_in('s6-svc', '-r', "/run/service/angarium-$_[0]") };
	# Nobody holds its ports meanwhile.
	restart_under_load('s6', $restart, spare => { smtpd => 1 });
	restart_one('s6', $restart, 'smtpd');
	$m->shell("echo nonsense >/etc/angarium/angarium.conf; s6-svc -wD -d /run/service/angarium-router; rm -rf /run/angarium/conf");
	$m->run_in('s6-svc', '-wD', '-T', '10000', '-u', '/run/service/angarium-router');
	wait_for(sub { ($m->run_in('s6-svstat', '/run/service/angarium-router'))[1] =~ /^down \(exitcode 78\)/ }, 'router to be down');
	ok(!main_pid('router'), 'a wrong configuration: exit 78, and it is not tried again');
	ok(wait_for(sub { words_of('router') =~ /router: .*angarium\.conf:\d+/ }, 'its words'), 'its words are in its log');
	$m->end;
};

subtest 'under runit' => sub {
	$m = Debian->start(lower => [$dest], init => [ 'sh', '-c',
		"$prepare && mkdir /run/service && cp -a /usr/share/angarium/runit/* /run/service && exec runsvdir /run/service" ], comm => 'runsvdir');
	begin_sink();
	wait_for(sub { answers($_) }, "$_: " . (slurp($m->{err}) // ''), 20) for @services;
	own_users('runit');
	sent_by_all_ways('runit');
	is(($m->run_in('sv', 'hup', "/run/service/angarium-$_"))[0], 0, "sv hup: $_") for @services;
	restart_one('runit', sub { is(($m->run_in('sv', 'restart', "/run/service/angarium-$_[0]"))[0], 0, "sv restart: $_[0]") }, $_) for @services;
	$m->shell('echo nonsense >/etc/angarium/angarium.conf; sv down /run/service/angarium-router; rm -rf /run/angarium/conf; sv up /run/service/angarium-router');
	wait_for(sub { ($m->run_in('sv', 'status', '/run/service/angarium-router'))[1] =~ /^down: [^;]*: \d+s, normally up;/ }, 'router to be down');
	ok(!main_pid('router'), 'a wrong configuration: it is not tried again');
	ok(wait_for(sub { words_of('router') =~ /router: .*angarium\.conf:\d+/ }, 'its words'), 'its words are in its log');
	$m->end;
};

done_testing;
