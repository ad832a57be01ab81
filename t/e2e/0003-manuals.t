#!/usr/bin/env perl
# SPDX-License-Identifier: ISC
# The manual pages: well formed; angctl.8 has every command as `angctl --help` lists it, and no other.
use strict;
use warnings;
use Test::More;

my $bin = "$ENV{BUILD}/$ENV{V}/bin";
my @pages = split /\n/, `git ls-files '*.[158]'`;
cmp_ok(scalar @pages, '>=', 10, 'there are pages');

SKIP: {
	skip 'mandoc is not here', 1 + @pages if system('command -v mandoc >/dev/null 2>&1') != 0;
	for my $page (@pages) {
		is(scalar `mandoc -Tlint -Wwarning $page 2>&1`, '', "$page is well formed");
	}

	# Compared without blanks: lines are broken anywhere, and the help lists what the page explains.
	my $page = `mandoc -Tascii -Owidth=200 ctl/angctl.8`;
	$page =~ s/.\x08//g;
	my ($commands) = $page =~ /^COMMANDS\n(.*?)^FILES\n/ms or die 'angctl.8 has no COMMANDS';
	my @listed = map { s/^ {5}(?=\S)//r } grep { /^ {5}\S/ } split /\n/, $commands;
	s/\s+//g for @listed;
	my %listed = map { $_ => 1 } @listed;
	my (undef, @help) = split /\n/, `$bin/angctl --help`;
	cmp_ok(scalar @help, '>=', 25, 'the help lists the commands');
	for my $command (@help) {
		my $bare = $command =~ s/\s+//gr;
		ok(delete $listed{$bare}, "angctl.8 has:$command");
	}
	# What else stands at that depth is prose.
	my @unknown = grep { /^(?:status|ledger|route|bounce|config|queue|log|spool|trace|why)/ } keys %listed;
	is("@unknown", '', 'angctl.8 has no other');
}
done_testing;
