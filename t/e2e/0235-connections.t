# SPDX-License-Identifier: ISC
# Connections that are kept for the next message: one to each of many hosts, up to a third of the descriptors.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(sunk drained);
use File::Basename qw(basename);
use File::Path qw(make_path remove_tree);
use House qw(spew run need_root);
use JSON::PP qw(decode_json);
use Test::More;

use constant { HOSTS => 50, DESCRIPTORS => 90, KEPT_MAX => 30 };

need_root();

# With the programs of this folder.
sub house
{
	my ($bin) = @_;
	my $house = House->new(config => { deliver_workers => 1 }, bin => $bin);
	my $sink = $house->port('sink');

	$house->{config}{route_table} = "$house->{state}/routes";
	$house->write_config;
	spew("$house->{state}/routes", join '', map { "d$_.example smtp:[127.1.1.$_]:$sink\n" } 0 .. HOSTS - 1);
	$house->start;
	$house->tool('sink', [ "$bin/smtpsink", '-o', "$house->{state}/sink.log", "0.0.0.0:$sink" ], $sink);
	return $house;
}

sub worker
{
	my ($house) = @_;

	return decode_json(($house->angctl('--json', 'status', 'deliver'))[1])->{workers}[0];
}

# One message to each host; what the worker says then.
sub send_round
{
	my ($house) = @_;
	my ($rc, $out, $err) = run({ seconds => 30 }, "$house->{bin}/smtpsource", '-q', '-h', '127.0.0.1:' . $house->port('mx'), '-s', 5, '-n', 10,
		'-m', HOSTS, '-u', HOSTS, '-t', 'a@d%d.example');

	is($rc, 0, 'a message to each') or diag($out . $err);
	drained($house);
	return worker($house);
}

subtest 'kept' => sub {
	my $house = house(House::bin_dir());
	my $first = send_round($house);
	is($first->{opened}, HOSTS, 'a connection to each');
	my $second = send_round($house);
	is($second->{opened}, HOSTS, 'and no more for the second round');
	is($second->{reused}, HOSTS, 'which used each again');
	$house->end;
};

subtest 'few descriptors' => sub {
	my $bin = House::build_dir() . "/t/0235.bin.$$";
	make_path($bin);
	symlink $_, "$bin/" . basename($_) for glob House::bin_dir() . '/*';
	unlink "$bin/deliver";
	spew("$bin/deliver", '#!/bin/sh' . "\nexec setpriv --bounding-set=-sys_resource prlimit --nofile=" . DESCRIPTORS . ' ' .
		House::bin_dir() . "/deliver \"\$@\"\n");
	chmod 0755, "$bin/deliver";
	my $house = house($bin);
	my $w = send_round($house);
	is($w->{opened}, HOSTS, 'a connection to each');
	cmp_ok($w->{idle}, '<=', KEPT_MAX, 'a third of the descriptors are kept at most');
	$w = send_round($house);
	cmp_ok($w->{opened}, '>', HOSTS, 'the others are opened again');
	my %seen;
	$seen{ (split ' ')[0] }++ for map { @$_[4 .. $#$_] } sunk($house);
	is_deeply([ sort { $a <=> $b } values %seen ], [ (2) x HOSTS ], 'each got its messages');
	remove_tree($bin);
};

done_testing();
