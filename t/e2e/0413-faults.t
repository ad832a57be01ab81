# SPDX-License-Identifier: ISC
# A failing disk, a full disk: the system calls by which the spool is kept fail, once or for good. The client hears
# 452 or 451, never a 250 for what is not durable; no service ends; when calls work again, so does the house, by
# itself; and all that was acknowledged arrives.
#
# FAULTS=all in the environment: every call and every error; else some of them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(balanced ledger sunk events);
use Disk;
use House qw(wait_for slurp run spew need_root top build_dir);
use Inject;
use List::Util qw(uniq);
use Talk qw(code);
use Test::More;
use Time::HiRes qw(time sleep);

need_root();
Disk::own_mounts();
my $all = ($ENV{FAULTS} // '') eq 'all';

# Where the spool calls the system. A new place has to be entered here, and looked at: is it in a case below?
my %SITES = (
	'libcommon/commit/writer.c' => 'fdatasync fstatfs writev',
	'libcommon/spool/check.c' => 'openat openat pread', # angctl, and not in services
	'libcommon/spool/journal_file.c' => 'fdatasync fsync openat openat openat pread pread pwrite renameat2 unlinkat',
	'libcommon/spool/large.c' => 'openat openat pread unlinkat unlinkat',
	'libcommon/spool/lease.c' => 'fallocate fsync ftruncate openat openat unlinkat write', # ftruncate: blocks to spare go, or stay
	'libcommon/spool/scan.c' => 'pread',
	'libcommon/spool/spool.c' => 'fdopendir fsync fsync mkdirat openat openat openat openat openat pread readdir renameat write',
	'qmgr/clean.c' => 'openat pread',
	'qmgr/compact.c' => 'fdatasync fdatasync write',
	'qmgr/damage.c' => 'fdatasync fdatasync fsync openat openat openat pread write write',
	'qmgr/journal.c' => 'fdatasync fdatasync openat openat pwrite unlinkat',
	'qmgr/large.c' => 'fstatvfs renameat',
	'qmgr/notice_make.c' => 'pread write', # write: into a memfd
	'qmgr/recover.c' => 'openat',
	'qmgr/segments.c' => 'fdatasync fstatvfs openat unlinkat',
	'smtpd/pickup.c' => 'fdopendir openat openat readdir unlinkat',
	'ctl/submit_drop.c' => 'fchmod open openat renameat renameat2 syncfs unlinkat unlinkat write',
);
subtest 'the places where the spool calls the system are those known' => sub {
	my $calls = join '|', qw(openat open pwrite write writev fdatasync fsync syncfs fallocate renameat renameat2 rename unlinkat unlink
		linkat link mkdirat mkdir ftruncate readdir fdopendir pread preadv pwritev fstatfs fstatvfs fchmod);
	my %found;

	for my $file (map { s{^\Q@{[top()]}\E/}{}r } glob top() . '/{libcommon/{spool,commit},qmgr}/*.c ' . top() . '/{smtpd/pickup,ctl/submit_drop}.c') {
		my $text = slurp(top() . "/$file") =~ s{/\*.*?\*/}{}gsr =~ s{"(?:[^"\\]|\\.)*"}{}gr;
		my @found = grep { defined } $text =~ /(?<![\w.>])(?:($calls)\(|syscall\(SYS_($calls),)/g;
		push @found, $text =~ /= (writev|fdatasync),$/mg if $file =~ /writer\.c$/;
		$found{$file} = join ' ', sort @found if @found;
	}
	is($found{$_} // 'none', $SITES{$_} // 'none', $_) for uniq sort keys %found, keys %SITES;
};

my $house = House->new(config => { mx_workers => 1, retry_first => '1s', retry_max => '1s' })->start;
$house->sink;
my $queue = "$house->{state}/spool/queue";
my ($serial, %acked) = (0);

# One message; what the client heard last: 250 is an acknowledgement.
sub send_one
{
	my ($h) = @_;
	my $id = sprintf 'fault-%d', ++$serial;
	my $code = eval {
		my $t = $h->talk;
		local $Talk::SECONDS = 15;
		my $got;
		for my $line (undef, 'EHLO c.example', 'MAIL FROM:<a@test.example>', 'RCPT TO:<b@test.example>', 'DATA',
			"X-Test-Id: $id\r\nSubject: x\r\n\r\n" . ('text of it' x 7 . "\r\n") x 40 . '.') {
			$got = code(defined $line ? $t->ask($line) : $t->reply);
			last if $got !~ /^[23]/;
		}
		$got;
	} // 0;
	$acked{$id} = 1 if $code == 250;
	return $code;
}

sub worker { my ($n) = @_; my ($pid) = map { $_->[1] } grep { $_->[0] eq "smtpd/$n" } $house->processes; return $pid }
# The class of its segments tells which worker is mx: the one whose lease came first. Any child will do to be killed.
sub mx_worker
{
	for my $p ($house->processes) {
		next unless $p->[0] =~ m{^smtpd/};
		my $held = join ' ', map { readlink($_) // '' } glob "/proc/$p->[1]/fd/*";
		while ($held =~ /(\d+)\.seg/g) {
			my $class = unpack 'x20 C', substr slurp(sprintf '%s/data/%s.seg', $queue, $1), 0, 24;
			return $p->[1] if $class == 1;
		}
	}
	return;
}

my %steady = map { $_ => $house->pid($_) } @{ $house->{services} };
sub case
{
	my ($who, $call, $error, $when, @kinds) = @_;
	my $name = "$who: $call $error $when";
	my $pid = $who eq 'qmgr' ? $house->pid('qmgr') : wait_for(\&mx_worker, 'a worker with a lease');
	my $i = Inject->new($house, $pid, call => $call, error => $error, when => $when, paths => Inject::spool_paths($queue, @kinds));
	sleep 1.1 if $call eq 'fstatfs'; # its answer is kept for a second
	# New leases are made, and one given up segment goes: for qmgr that is where most calls are.
	if ($who eq 'qmgr') { my $w = mx_worker(); kill 'KILL', $w if $w }
	my $slowest = 0;
	my @codes = map { my $begun = time; my $c = send_one($house); $slowest = time - $begun if time - $begun > $slowest; $c } 1 .. 4;
	my $hit = $i->end;
	my @odd = grep { !/^(?:250|4\d\d)$/ } @codes;
	is("@odd", $who eq 'qmgr' ? join(' ', grep { $_ eq '0' } @odd) : '', "$name: 250 or 4xx (@codes), $hit times");
	cmp_ok($slowest, '<', 14, "$name: and soon");
	ok(eval { wait_for(sub { send_one($house) == 250 }, 'a 250', 15) }, "$name: goes on by itself");
	is(join(' ', grep { $house->pid($_) != $steady{$_} } sort keys %steady), '', "$name: no service has ended") or
	    %steady = map { $_ => $house->pid($_) } @{ $house->{services} };
	return $hit;
}

my @CASES = (
	[ 'smtpd', 'writev', [qw(ENOSPC EIO)], ['seg'] ],
	[ 'smtpd', 'fdatasync', [qw(EIO ENOSPC)], ['seg'] ],
	[ 'smtpd', 'fstatfs', [qw(EIO)], ['seg'] ],
	[ 'qmgr', 'openat', [qw(EMFILE ENOSPC ENOMEM EIO)], [ 'seg', 'journal', 'large' ] ],
	[ 'qmgr', 'write', [qw(ENOSPC EIO)], ['seg'] ],
	[ 'qmgr', 'fallocate', [qw(ENOSPC EIO)], ['seg'] ],
	[ 'qmgr', 'fsync', [qw(EIO ENOSPC)], [ 'seg', 'journal', 'large' ] ],
	[ 'qmgr', 'fdatasync', [qw(EIO ENOSPC)], [ 'journal', 'seg' ] ],
	[ 'qmgr', 'pwrite64', [qw(ENOSPC EIO)], ['journal'] ],
	[ 'qmgr', 'pread64', [qw(EIO ENOMEM)], [ 'seg', 'journal' ] ],
	[ 'qmgr', 'unlinkat', [qw(EIO)], ['seg'] ],
	[ 'qmgr', 'fstatfs', [qw(EIO)], ['.'] ],
);
is(send_one($house), 250, 'all is well');
my %missed;
for my $c (@CASES) {
	my ($who, $call, $errors, $kinds) = @$c;
	my $hits = 0;
	for my $error ($all ? @$errors : $errors->[0]) {
		for my $when ($all ? (1, '1+') : '1+') {
			next if !$all && $call !~ /^(?:writev|fdatasync|openat)$/;
			$hits += case($who, $call, $error, $when, @$kinds);
			$missed{"$who $call"} = $hits == 0;
		}
	}
}
is(join(', ', grep { $missed{$_} } sort keys %missed), '', 'every case has let calls fail');

# qmgr begins while calls fail: it serves, or it says why and init tries again; nothing of the queue suffers.
$house->end_tool('sink');
send_one($house) for 1 .. 5;
for my $c ([ openat => 'EMFILE' ], [ openat => 'EIO' ], [ getdents64 => 'EIO' ], [ pread64 => 'EIO' ], [ fdatasync => 'EIO' ],
	[ fsync => 'EIO' ], [ pwrite64 => 'ENOSPC' ], [ renameat2 => 'EIO' ]) {
	my ($call, $error) = @$c;
	last unless $all;
	for my $k (1 .. 40) {
		my $out = "$house->{state}/strace.out";
		unlink $out;
		$house->stop('qmgr');
		my ($status, undef, $err) = run({ seconds => 5 }, Inject::strace($out, call => $call, error => $error, when => $k,
			paths => Inject::spool_paths($queue, qw(seg journal large damaged state/spool state/lock), '.')),
			'timeout', '-k', 1, 2, "$house->{bin}/qmgr", '-c', $house->conf_file);
		ok((grep { $status == $_ } 0, 75, 124), "qmgr begins while $call number $k says $error: exit $status") or diag $err;
		last unless Inject::count($out);
	}
}
$house->start_one('qmgr') unless $house->pid('qmgr');

$house->sink;
$house->angctl('queue', 'flush');
my $came = sub { my %at = map { $_->[0] => 1 } sunk($house); return join ' ', grep { !$at{$_} } sort keys %acked };
eval { wait_for(sub { $came->() eq '' && ledger($house)->{queued} == 0 }, 'all to arrive', 40) };
is($came->(), '', 'all ' . keys(%acked) . ' that were acknowledged have come');
balanced($house, 'after all of it');
my ($s, $out) = $house->angctl('spool', 'check');
is($s, 0, 'the spool is whole') or diag $out;

# The sendmail command without smtpd: it fails with 75, or the file stands there whole. Each call, until none is left.
$house->stop;
my $drop = "$house->{state}/drop";
for my $call (qw(openat write fchmod renameat2 syncfs)) {
	for my $error ($all ? qw(ENOSPC EIO EMFILE) : 'ENOSPC') {
		for my $k (1 .. 30) {
			my ($file, @before) = ("$house->{state}/strace.out", glob "$drop/*");
			unlink $file;
			my ($status) = run({ in => "Subject: x\n\ntext\n", env => $house->sendmail_env },
				Inject::strace($file, call => $call, error => $error, when => $k, paths => $call eq 'openat' ? [$drop] : []),
				"$house->{bin}/sendmail", 'b@test.example');
			my @after = glob "$drop/*";
			my $hit = Inject::count($file);
			ok($status == 0 ? @after == @before + 1 : ($status == 75 && @after == @before),
			    "sendmail while $call number $k says $error: exit $status") if $hit || $k == 1;
			last unless $hit;
		}
	}
}
$house->end;
done_testing;
