# SPDX-License-Identifier: ISC
# Scenarios of a resolver that nobody of this house wrote, played by their own runner (CORPORA names the folder,
# see 0320-corpora.t): those in which it asks one server that it was told of. Those that walk from the root are
# not for us, nor are those that hang on the other resolver's own limits of questions.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(run need_root top spew free_ports);
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
my @left_out = ('playable (the others are left out)', 'other scenario right (not a bar)');
my ($good, $all) = (0, 0);
for my $case (qw(fwd_cached fwd_two rrset_untrusted fwd_no_cache fwd_scrub_rrsig fwd_lrudrop)) {
	if ($case eq 'fwd_lrudrop') { # the other resolver has a cache of one answer there
		$house->{config}{dns_cache_entries} = 1;
		$house->write_config;
		$house->angctl('config', 'reload'); # the services that are not there do not take it
	}
	my ($status, $out, $err) = run({ seconds => 120, dir => $corpora, env => { PYTHONDONTWRITEBYTECODE => 1 } },
		'python3', './run', 'dns-replay', '--verbose', '--only', $case, '--start', "sh $state/start", '--settle', 1,
		'--resolver', "127.0.0.1:$listen", '--upstream', $house->port('dns'));
	my %score = map { my @f = split /\t/; ($f[0] => $f[1]) } grep { /\t.*%$/ } split /\n/, $out;

	is($status, 0, "$case: the runner runs") or diag $err;
	delete @score{@left_out};
	for my $what (sort keys %score) {
		$good += $score{$what};
		$all++;
		is($score{$what}, 1, "$case: $what") or diag $out;
	}
}
diag "corpus dns-replay: $good of $all";
cmp_ok($good, '>=', 8, 'the floor');
$house->end;
done_testing;
