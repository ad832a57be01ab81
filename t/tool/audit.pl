#!/usr/bin/perl
# SPDX-License-Identifier: ISC
# What was acknowledged against what arrived.
#
#	audit.pl [-r recipients] [-l how-many-to-list] -a ackfile... -s sinkfile... [-e excusefile...]
#
# Ack files: one id a line (smtpsource -a). Sink files: lines of smtpsink -o. Excuse files: ids that
# are accounted for elsewhere (still in the queue, bounced). Prints
#
#	acknowledged N / arrived N / lost N / duplicates N / unasked N
#
# Lost: acknowledged, and not every recipient has it. Duplicates: deliveries to an (id, recipient)
# beyond the first. Unasked: arrived without an acknowledgement, which is allowed (the 250 may have
# been lost). Exit 1 when something was lost.
use strict;
use warnings;

my %files = (a => [], s => [], e => []);
my ($rcpts, $list, $kind) = (1, 20);
while (defined(my $arg = shift)) {
	if ($arg eq '-r') { $rcpts = shift }
	elsif ($arg eq '-l') { $list = shift }
	elsif ($arg =~ /^-([ase])$/) { $kind = $1 }
	elsif ($kind && $arg !~ /^-/) { push @{ $files{$kind} }, $arg }
	else { die "usage: audit.pl [-r n] [-l n] -a acks... -s sinks... [-e excuses...]\n" }
}
die "audit.pl: ack files and sink files are needed\n" unless @{ $files{a} } && @{ $files{s} };

sub lines
{
	my ($path) = @_;

	open my $fh, '<', $path or die "audit.pl: $path: $!\n";
	chomp(my @lines = <$fh>);
	return @lines;
}

my (%acked, %excused, %to, $duplicates, @duplicates);
$acked{$_}++ for map { lines($_) } @{ $files{a} };
$excused{$_}++ for map { lines($_) } @{ $files{e} };
for my $line (map { lines($_) } @{ $files{s} }) {
	my ($id, $n, $address, $from, @to) = split /\t/, $line;
	for my $to (map { /^(<[^>]*>|\S+)/ } @to) {
		next unless $to{$id}{$to}++;
		$duplicates++;
		push @duplicates, "$id $to";
	}
}
my @lost = grep { !$excused{$_} && keys %{ $to{$_} // {} } < $rcpts } sort keys %acked;
printf "acknowledged %d\narrived %d\nlost %d\nduplicates %d\nunasked %d\n", scalar keys %acked,
    scalar keys %to, scalar @lost, $duplicates // 0, scalar grep { !$acked{$_} } keys %to;
print "lost: $_\n" for splice @lost, 0, $list;
print "duplicate: $_\n" for splice @duplicates, 0, $list;
exit((grep { !$excused{$_} && keys %{ $to{$_} // {} } < $rcpts } keys %acked) ? 1 : 0);
