#!/usr/bin/env perl
# SPDX-License-Identifier: ISC
# Calls that do not belong in this house: no shell, no unchecked copies, no sleeping.
use strict;
use warnings;

my %banned = (
	'system' => 'no shell', 'popen' => 'no shell', 'strcpy' => 'use slice_copy', 'strcat' => 'use buf',
	'sprintf' => 'use snprintf or buf', 'gets' => 'never', 'usleep' => 'wait for an event', 'sleep' => 'wait for an event',
	'alloca' => 'use arena', 'strtok' => 'use slice_next', 'atoi' => 'use slice_u64', 'mktemp' => 'never',
	'access' => 'no sandbox has it: use fstatat', 'faccessat' => 'no sandbox has it: use fstatat',
);
my $bad = 0;

for my $file (split /\n/, `git ls-files '*.c' '*.h'`) {
	next if $file =~ m{^t/};
	open my $fh, '<', $file or next;
	my $comment = 0;
	while (<$fh>) {
		$comment = 1 if m{/\*};
		my $was = $comment;
		$comment = 0 if m{\*/};
		next if $was;
		for my $name (keys %banned) {
			next unless /(?<![\w.>"])\Q$name\E\(/;
			print "$file:$.: $name: $banned{$name}\n";
			$bad++;
		}
	}
}
print $bad ? "house: $bad faults\n" : "house: good\n";
exit($bad ? 1 : 0);
