# SPDX-License-Identifier: ISC
# make up and make down in a clone below a folder that only root may enter, with a path longer than a socket
# address holds.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(sunk);
use File::Path qw(make_path remove_tree);
use File::Temp qw(tempdir);
use House qw(wait_for slurp run need_root top bin_dir);
use IO::Socket::IP;
use Talk qw(code);
use Test::More;
use Time::HiRes qw(time);

need_root();
for my $port (2525, 2526, 2587) {
	plan skip_all => "something listens on port $port: make down?"
	    if IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port, Timeout => 2);
}
for my $tool (qw(git s6-svscan)) {
	plan skip_all => "needs $tool" if system "command -v $tool >/dev/null 2>&1";
}

my $closed = tempdir('angarium-up-XXXXXX', TMPDIR => 1);
chmod 0700, $closed;
my $clone = "$closed/" . join('/', ('a folder with blanks in its name') x 5) . '/clone';
my ($bin, $state) = ("$clone/build/debug/bin", "$clone/build/up");
my $owner = $$;
my $up;
END {
	if ($$ == $owner) {
		my $status = $?;
		run('sh', "$clone/etc/up/down.sh", $state) if $up;
		remove_tree($closed);
		$? = $status;
	}
}
cmp_ok(length $clone, '>', 150, 'a long path');
make_path("$closed/x");
is((run('git', '-c', 'safe.directory=*', 'clone', '-q', top(), $clone))[0], 0, 'a clone');
make_path($bin);
is((run('sh', '-c', 'cp -p "$1"/* "$2"', '-', bin_dir(), $bin))[0], 0, 'with its programs');

# Processes that have to do with the clone.
sub ours
{
	my @found;

	for my $proc (glob '/proc/[0-9]*') {
		my ($pid) = $proc =~ /(\d+)$/;
		my $line = slurp("$proc/cmdline") // '';
		my @links = map { readlink("$proc/$_") // '' } qw(exe cwd root);
		push @found, $pid if $pid != $$ && grep { index($_, $clone) >= 0 } $line, @links;
	}
	return @found;
}

my @places = map { "/$_/angarium" } qw(run etc var/spool var/log);
my %before = map { $_ => -e $_ ? 1 : 0 } @places;
my ($accounts, $start) = (slurp('/etc/passwd') . slurp('/etc/group'), time);
$up = 1;
my ($status, $out, $err) = run('sh', "$clone/etc/up/up.sh", $bin, $state);
is($status, 0, 'make up') or diag $err;
cmp_ok(time - $start, '<', 20, 'soon');
for my $who (qw(first second)) {
	like($out, qr/^\S+ smtpd +received +id=([0-9A-Z]{13}) .* to=$who\@example\.org.*\n(?:.*\n)*?\S+ qmgr +attempt +id=\1 .*status=sent.*\n\S+ qmgr +done +id=\1 /m,
		"the story of the $who message");
}
is(scalar sunk(undef, "$state/sink.log"), 2, 'both are at the sink');
for my $subject ('for alice', 'for root') {
	my ($path, $text) = $out =~ m{^(\Q$state\E/home/alice/Maildir/new/\S+):\n((?:    .*\n)+?    Subject: \Q$subject\E\n(?:    .*\n)+)}m;
	ok($path, "$subject: its path in the Maildir of alice is shown") or next;
	is(slurp($path), $text =~ s/^    //mgr, 'and what stands there');
	my @st = stat $path;
	is(sprintf('%o %d %d', $st[2] & 07777, @st[4, 5]), '600 61880 61880', 'hers');
	my ($id) = $text =~ /\tid (\S+)/;
	like($out, qr/^\S+ qmgr +attempt +id=$id .* to=alice\@example\.net .*relay=local .*status=sent phase=local.*\n\S+ qmgr +done +id=$id /m, 'with its story');
	like($out, qr/^\S+ qmgr +expanded +id=$id .* to=root\@example\.net .*rule=alias/m, 'and by which alias') if $subject eq 'for root';
}
like($out, qr/^make down ends it\.$/m, 'it says how to end it');

sub angctl { return run("$bin/angctl", '-c', "$state/etc/angarium.conf", @_) }
my @services = qw(logd dnscache router qmgr smtpd deliver local bounced);
my %uid = map { $_ => (stat "/proc/" . pid_of($_))[4] } @services;
sub pid_of { my ($s, $o) = run('s6-svstat', '-o', 'pid', "$state/service/$_[0]"); chomp $o; return $o }
is((angctl('status'))[0], 0, 'status');
is(scalar(keys %{ { map { $_ => 1 } grep { $_ } values %uid } }), scalar @services, 'a user each, none root')
    or diag join ' ', %uid;

for my $host ('127.0.0.1', '::1') {
	for my $port (2525, 2587) {
		is(code(Talk->new($host, $port)->reply), 220, "$host port $port");
	}
}
is((run('sh', "$clone/etc/up/up.sh", $bin, $state))[0], 1, 'a second make up is refused');

for my $name (@services) {
	my %pid = map { $_ => pid_of($_) } @services;
	my $begun = time;

	kill 'KILL', $pid{$name};
	wait_for(sub { my $p = pid_of($name); $p > 0 && $p != $pid{$name} && (angctl('status', $name))[0] == 0 }, "$name to be back", 5);
	pass(sprintf '%s is back after %.1f s', $name, time - $begun);
	is(pid_of($_), $pid{$_}, "$_ runs on") for grep { $_ ne $name } @services;
}
($status) = run({ in => "Subject: x\n\nx\n", env => { ANGARIUM_ROOT => $state } }, "$bin/sendmail", '-f', 'a@example.com', 'third@example.org');
is($status, 0, 'mail');
ok(eval { wait_for(sub { sunk(undef, "$state/sink.log") == 3 }, 'the third', 20) }, 'flows afterwards')
    or diag((angctl('queue', 'list'))[1], map { "$_\n" } grep { defined } (split /\n/, slurp("$state/log/angarium.log"))[-40 .. -1]);
is((run({ in => "Subject: both\n\nx\n", env => { ANGARIUM_ROOT => $state } }, "$bin/sendmail", '-f', 'a@example.com', 'staff'))[0], 0, 'mail for an alias');
for my $place ('alice/Maildir/new', 'bob/mbox') {
	ok(wait_for(sub { (run('grep', '-rl', '^Subject: both$', "$state/home/$place"))[1] }, "it in $place"), "to $place");
}
is(sprintf('%o %d', (stat "$state/home/bob/mbox")[2] & 07777, (stat _)[4]), '600 61881', 'of bob');

cmp_ok(scalar ours(), '>=', 11, 'there is much to end');
is((run('sh', "$clone/etc/up/down.sh", $state))[0], 0, 'make down');
is_deeply([ ours() ], [], 'leaves no process');
is((run('sh', "$clone/etc/up/down.sh", $state))[0], 0, 'once more does no harm');
my (undef, $dirt) = run({ dir => $clone }, 'git', '-c', 'safe.directory=*', 'status', '--porcelain', '--ignored');
is($dirt, "!! build/\n", 'nothing outside of build/ in the clone');
is_deeply([ sort glob(quotemeta($closed) . '/*') ], [ "$closed/a folder with blanks in its name", "$closed/x" ], 'nothing beside it');
is_deeply({ map { $_ => -e $_ ? 1 : 0 } @places }, \%before, 'nothing in the places of an installed house');
is(slurp('/etc/passwd') . slurp('/etc/group'), $accounts, 'no accounts');

# Again on what the last one left.
my ($again, @said) = run('sh', "$clone/etc/up/up.sh", $bin, $state);
is($again, 0, 'make up again') or diag @said;
is((run('sh', "$clone/etc/up/down.sh", $state))[0], 0, 'and down');
is_deeply([ ours() ], [], 'nothing left');
$up = 0;
done_testing;
