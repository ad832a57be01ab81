# SPDX-License-Identifier: ISC
# Cases that nobody of this house wrote: public test data of other mail programs, played by their own runner.
# CORPORA names the folder; each score must not fall below what is reached.
use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Path qw(make_path);
use House qw(run need_root top bin_dir);
use Test::More;

my $corpora = $ENV{CORPORA} // '../shared/corpora';
$corpora = top() . "/$corpora" unless $corpora =~ m{^/};
plan skip_all => "no corpora in $corpora; name their folder by CORPORA" unless -e "$corpora/run";
plan skip_all => 'needs python3' if system 'command -v python3 >/dev/null 2>&1';
need_root();

# Runs one folder; prints the lines of its score; each must reach its floor, 100 if not named.
sub play
{
	my ($title, $folder, $floors, @args) = @_;
	my ($status, $out, $err) = run({ seconds => 120, dir => $corpora, env => { PYTHONDONTWRITEBYTECODE => 1 } },
		'python3', './run', $folder, '--verbose', @args);
	my @scores = map { [ split /\t/ ] } grep { /\t.*%$/ } split /\n/, $out;

	ok(@scores && $status == 0, "$title: the runner runs") or diag $err;
	for my $s (@scores) {
		my ($what, $good, $all, $percent) = @$s;
		next if defined $floors->{$what} && $floors->{$what} < 0;
		diag "corpus $title: $what: $good of $all, $percent";
		cmp_ok($good, '>=', $all * ($floors->{$what} // 100) / 100, "$title: $what")
		    or diag join "\n", grep { /^  \Q$what\E: / } split /\n/, $out;
	}
}

play('address', 'address', {}, '--cmd', bin_dir() . '/adapter_address');
# Where we differ: years of two digits are those of RFC 5322 section 4.3 (twice); no date is made of a text that
# holds none (twice); comments are no part of names, nor blanks and source routes of addresses (five times); blanks
# between encoded words are none of the text, and one charset is not known here. Lists of words nobody reads, free
# text nobody shows: no bar.
play('header-fields', 'header-fields', { 'field read right' => 87, '  received' => 95, '  date' => 94, '  address' => 82,
	'  content_type' => 95, map { ("  $_" => -1) } qw(list unstructured) }, '--cmd', bin_dir() . '/adapter_header');

my $house = House->new(config => { messages_per_connection => 1, deliver_workers => 1, sessions_per_client => 1000,
	retry_first => '1s', retry_max => '1s' })->start;
my $maildir = "$house->{state}/maildir";
make_path("$maildir/new");
$house->sink(args => [ '-d', "$maildir/new" ]);
my @smtp = ('--smtp', '127.0.0.1:' . $house->port('mx'), '--trusted', '127.0.0.1:' . $house->port('submission'),
	'--rcpt', 'user@testserver', '--maildir', $maildir);

play('smtp-commands', 'smtp-commands', {}, @smtp);
# A set-up that is not there leaves its cases out: those of AUTH, and of servers with limits of their own.
play('smtp-dialogs', 'smtp-dialogs', { 'set-up there (the others are left out)' => -1 }, @smtp,
	'--have', 'HTTP is recognised');
play('data-stream, in', 'data-stream', {}, @smtp);

# Out: the runner listens where our relay host is.
$house->end_tool('sink');
play('data-stream, out', 'data-stream', {}, '--sink', $house->port('sink'), '--inject',
	"env ANGARIUM_ROOT=$house->{state} $house->{bin}/sendmail -i -G -f a\@b.example c\@testserver");
$house->end;
done_testing;
