# SPDX-License-Identifier: ISC
# Scenarios of a resolver that nobody of this house wrote, played by their own runner (CORPORA names the folder,
# see 0320-corpora.t): those in which it asks one server that it was told of. Those that walk from the root are
# not for us, nor are those that hang on how few questions the other resolver was set to bear.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(run need_root top spew slurp free_ports wait_for);
use JSON::PP;
use Test::More;

my $corpora = $ENV{CORPORA} // '../shared/corpora';
$corpora = top() . "/$corpora" unless $corpora =~ m{^/};
plan skip_all => "no corpora in $corpora; name their folder by CORPORA" unless -e "$corpora/run";
plan skip_all => 'needs python3' if system 'command -v python3 >/dev/null 2>&1';
need_root();
my ($listen) = free_ports(1);
my $house = House->new(services => [qw(logd dnscache)], config => { dns_try_timeout => '5s' })->start;
my $state = $house->{state};
my $front = top() . '/t/tool/dnsfront.pl';
my $angctl = "$house->{bin}/angctl -c " . $house->conf_file;

# Each case begins with a cache that knows nothing, and with no question of the case before open.
spew("$state/start", <<SH);
pid=\$($angctl --json status dnscache | sed 's/.*"pid":\\([0-9]*\\).*/\\1/')
[ -z "\$pid" ] || kill -9 "\$pid"
exec perl $front "\$LISTEN" $angctl
SH
sub cache_of
{
	my ($entries) = @_;

	return if ($house->{config}{dns_cache_entries} // 0) eq $entries;
	$house->{config}{dns_cache_entries} = $entries;
	$house->write_config;
	$house->angctl('config', 'reload'); # the services that are not there do not take it
}

my @cases = grep { $_->{mode} eq 'forward' && $_->{name} !~ /toomany|jostle/ }
    @{ decode_json(slurp("$corpora/dns-replay/cases.json"))->{cases} };
my ($good, $all, $other) = (0, 0, 0);
for my $case (@cases) {
	my $name = $case->{name};

	cache_of((grep { /msg-cache-size: 1$/ } @{ $case->{config} }) ? 1 : 1000);
	my ($status, $out, $err) = run({ seconds => 120, dir => $corpora, env => { PYTHONDONTWRITEBYTECODE => 1 } },
		'python3', './run', 'dns-replay', '--verbose', '--only', $name, '--start', "sh $state/start", '--settle', 1,
		'--resolver', "127.0.0.1:$listen", '--upstream', $house->port('dns'));
	# The runner takes all names that hold this one: the line of this case is what counts.
	my $wrong = $out =~ /^  (?:checked|other) scenario right.*: \Q$name\E \(/m;
	my $played = $out =~ /scenario right/ && $out !~ /^  playable.*: \Q$name\E:/m;

	is($status, 0, "$name: the runner runs") or diag $err;
	unlike($out, qr/^  resolver alive/m, "$name: the resolver lives");
	diag "$name: $out" if $wrong || !$played;
	next unless $played;
	$other += !$wrong unless $case->{checked};
	next unless $case->{checked};
	$all++;
	$good += !$wrong;
}
diag "corpus dns-replay: $good of $all checked scenarios, and $other others";
cmp_ok($all, '>', 0, 'there are some');
cmp_ok($good, '>=', 0.9 * $all, 'the floor');
$house->end;
done_testing;
