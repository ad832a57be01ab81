# SPDX-License-Identifier: ISC
# Bounces that nobody of this house wrote: what our reader of reports finds in them, and what our rules make of
# the replies. CORPORA names the folder; each score must not fall below what is reached.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use House qw(run slurp spew top bin_dir build_dir);
use Test::More;

my $corpora = $ENV{CORPORA} // '../shared/corpora';
$corpora = top() . "/$corpora" unless $corpora =~ m{^/};
plan skip_all => "no corpora in $corpora; name their folder by CORPORA" unless -e "$corpora/run";
plan skip_all => 'needs python3' if system 'command -v python3 >/dev/null 2>&1';
my $rules = top() . '/etc/bounce.rules';

sub play
{
	my ($folder, $floors, @args) = @_;
	my ($status, $out, $err) = run({ seconds => 120, dir => $corpora, env => { PYTHONDONTWRITEBYTECODE => 1 } },
		'python3', './run', $folder, '--verbose', @args);
	my @scores = map { [ split /\t/ ] } grep { /\t.*%$/ } split /\n/, $out;

	ok(@scores && $status == 0, "$folder: the runner runs") or diag $err;
	for my $s (@scores) {
		my ($what, $good, $all, $percent) = @$s;
		diag "corpus $folder: $what: $good of $all, $percent";
		cmp_ok($good, '>=', $all * ($floors->{$what} // 100) / 100, "$folder: $what")
		    or diag join "\n", grep { /^  \Q$what\E: / } split /\n/, $out;
	}
}

play('dsn', {}, '--cmd', bin_dir() . '/adapter_dsn -t');

# Only mails with a part for programs are read yet; about half of these have none, or lines that end in a bare CR.
# Their reasons are finer than our classes, so some of those can never be met.
my $map = build_dir() . "/t/bounce-reasons.$$";
mkdir build_dir() . '/t';
spew($map, join '', map { s/ /\t/r . "\n" } 'invalid-recipient userunknown', 'dns-failure hostunknown',
	'mailbox-full mailboxfull', 'too-large mesgtoobig', 'timeout expired', 'spam-block blocked', 'spam-content spamdetected',
	'mail-block policyviolation', 'relaying-denied norelaying', 'prohibited-attachment virusdetected',
	'transient-failure toomanyconn', 'generic-bounce syntaxerror', 'undetermined undefined');
play('bounces', { 'recipients right' => 51, 'reply code right' => 61, 'reason right' => 26,
	'status right (class only where the mail has none)' => 51, 'status class right' => 51, 'hard or soft right' => 42 },
	'--cmd', bin_dir() . "/adapter_dsn -b $rules", '--map', $map);
unlink $map;

# Which of our classes are right for a reason of theirs.
my %right = map { my ($reason, @classes) = split / /; ($reason => { map { $_ => 1 } @classes }) }
	'userunknown 10', 'hostunknown 21', 'hasmoved 10', 'filtered 10 50', 'suspend 10', 'mailboxfull 22', 'mesgtoobig 23',
	'exceedlimit 23', 'blocked 50 51 70', 'badreputation 51', 'spamdetected 51 52', 'rejected 50 51', 'authfailure 50',
	'policyviolation 50', 'securityerror 50 53', 'requireptr 50', 'norelaying 54', 'expired 24', 'networkerror 21 24',
	'toomanyconn 70', 'speeding 70', 'ratelimited 70', 'virusdetected 53', 'syntaxerror 40', 'systemerror 20 40 70',
	'mailererror 20 40 70', 'systemfull 20 22 70', 'notcompliantrfc 50', 'notaccept 21 50';
my (@ask, @want);
for my $line (split /\n/, slurp("$corpora/bounces/replies.tsv") // '') {
	my ($id, $text, $status, $reply, $reason, $bounce, $iana, $alt) = split /\t/, $line, -1;
	my @reasons = ($reason, ($alt // '') =~ /reason=(\w+)/g);
	next unless grep { $right{$_} } @reasons;
	push @ask, $text;
	push @want, \@reasons;
}
my ($status, $out) = run({ in => join('', map { "$_\n" } @ask) }, bin_dir() . '/adapter_reply', $rules);
my @got = map { [ split /\t/ ] } split /\n/, $out;
my ($good, $stalled) = (0, 0);
for my $i (0 .. $#ask) {
	$stalled++ if @{ $got[$i] // [] } > 3;
	if (grep { $right{$_}{ $got[$i][0] // 0 } } @{ $want[$i] }) { $good++ }
	else { note "$want[$i][0]: $got[$i][1]: $ask[$i]" }
}
diag sprintf 'corpus replies: class right: %d of %d, %.1f%%', $good, scalar @ask, 100 * $good / (@ask || 1);
cmp_ok(scalar @ask, '>', 50, 'replies');
cmp_ok($good, '>=', 0.93 * @ask, 'the class of a reply');
is($stalled, 0, 'no pattern ran into its bounds');
done_testing;
