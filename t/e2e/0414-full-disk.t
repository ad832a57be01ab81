# SPDX-License-Identifier: ISC
# A full disk. Filled by others, up to the last block: 452, and 250 again by itself when there is room. And one that
# has promised more than it has (an image on a small tmpfs), so that it is the sync that fails: 451 or 452, never a
# 250 that no disk has; the file system is then for read only, until an operator mounts it again: what was
# acknowledged is there.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(balanced ledger sunk);
use Disk;
use House qw(wait_for need_root build_dir);
use List::Util qw(max);
use Talk qw(code);
use Test::More;
use Time::HiRes qw(time);

need_root();
my $cannot = Disk::cannot('ext4');
die $cannot if $cannot && $ENV{SKIP_NOTHING};
plan(skip_all => $cannot) if $cannot;
Disk::own_mounts();

my (@disks, %acked, $house, $serial);
END { local $?; $_->end for @disks }
sub MIB { return 1 << 20 }

# What the client heard last: 250 is an acknowledgement.
sub send_one
{
	my ($kib) = @_;
	my $id = sprintf 'full-%d', ++$serial;
	my $code = eval {
		my $t = $house->talk;
		my $got;
		for my $line (undef, 'EHLO c.example', 'MAIL FROM:<a@test.example>', 'RCPT TO:<b@test.example>', 'DATA',
			"X-Test-Id: $id\r\nSubject: x\r\n\r\n" . ('x' x 1022 . "\r\n") x $kib . '.') {
			$got = code(defined $line ? $t->ask($line) : $t->reply);
			last if $got !~ /^[23]/;
		}
		$got;
	} // 0;
	$acked{$id} = 1 if $code == 250;
	return $code;
}

sub house
{
	my ($disk) = @_;

	return House->new(name => '0414-full', config => { spool_dir => "$disk->{at}/queue", mx_workers => 1, deliver_workers => 1, disk_floor => 0,
		retry_first => '1s', retry_max => '1s', retry_jitter => 0 });
}

sub all_came
{
	my ($how) = @_;
	my $came = sub { my %at = map { $_->[0] => 1 } sunk($house); return join ' ', grep { !$at{$_} } sort keys %acked };

	$house->sink;
	$house->angctl('queue', 'flush');
	eval { wait_for(sub { $came->() eq '' && ledger($house)->{queued} == 0 }, 'all to come', 30) };
	is($came->(), '', "$how: all " . keys(%acked) . ' that were acknowledged have come');
	balanced($house, $how);
	my ($s, $out) = $house->angctl('spool', 'check');
	is($s, 0, "$how: the spool is whole") or diag $out;
}

# Others fill it to the last block, while blocks reserved for segments are still there to be used.
{
	push @disks, my $disk = Disk->new(build_dir() . "/t/full-disk.$$", mib => 1536);
	$house = house($disk)->start;
	my %steady = map { $_ => $house->pid($_) } @{ $house->{services} };
	is(send_one(8), 250, 'a disk with room');
	my $fill = sub {
		open my $ballast, '>>', "$disk->{at}/ballast" or die $!;
		1 while syswrite $ballast, "\0" x MIB;
		close $ballast;
	};
	$fill->();
	my @codes = map { send_one(8) } 1 .. 5;
	is(join(' ', grep { !/^(?:250|452|451)$/ } @codes), '', "full: 250 into what is reserved, or 45x (@codes)");
	# The leases end with their writers, whose room is taken as well: new ones cannot be made.
	$house->sink;
	$house->angctl('queue', 'flush');
	wait_for(sub { my $l = ledger($house); $l->{queued} + $l->{unfiled} == 0 }, 'the queue to drain', 30);
	$house->stop('smtpd');
	wait_for(sub { my @left = glob "$disk->{at}/queue/data/*.seg"; @left <= 2 }, 'the segments of smtpd to go', 20);
	$fill->();
	$house->start_one('smtpd');
	$house->end_tool('sink');
	$steady{smtpd} = $house->pid('smtpd');
	@codes = map { send_one(8) } 1 .. 5;
	is("@codes", join(' ', map { /^45[12]$/ ? $_ : "not $_" } @codes), "full, and no segment to write to: 45x (@codes)");
	unlink "$disk->{at}/ballast";
	my $begun = time;
	ok(eval { wait_for(sub { send_one(8) == 250 }, 'a 250', 20) }, sprintf 'with room again it takes mail by itself, after %.1f s', time - $begun);
	is(join(' ', grep { $house->pid($_) != $steady{$_} } sort keys %steady), '', 'no service has ended');
	all_came('full');
	$house->end;
}

# The sync fails.
{
	%acked = ();
	push @disks, my $disk = Disk->new(build_dir() . "/t/thin-disk.$$", mib => 2048, thin => 80);
	$house = house($disk)->start;
	my %steady = map { $_ => $house->pid($_) } @{ $house->{services} };
	my @codes;
	push @codes, send_one(512) while @codes < 400 && !grep { $_ != 250 } @codes[ max(0, $#codes - 3) .. $#codes ];
	push @codes, map { send_one(512) } 1 .. 5;
	cmp_ok(scalar(grep { $_ == 250 } @codes), '>', 5, 'a disk that promises too much: 250 at first');
	is(join(' ', grep { !/^(?:250|452|451)$/ } @codes), '', 'then 45x');
	cmp_ok($codes[-1], '!=', 250, "and so it stays ($codes[-1])");
	is(join(' ', grep { $house->pid($_) != $steady{$_} } sort keys %steady), '', 'no service has ended');
	# What an operator does.
	$house->power_off;
	system('mount', '-o', 'remount,size=600m', $disk->{backing}) == 0 or die 'remount';
	$disk->unmount;
	system "e2fsck -fy '$disk->{image}' >'$house->{state}/e2fsck.out' 2>&1";
	$disk->mount;
	$house->start;
	ok(eval { wait_for(sub { send_one(8) == 250 }, 'a 250', 20) }, 'with room again it takes mail');
	all_came('thin');
	$house->end;
}
done_testing;
