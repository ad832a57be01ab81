# SPDX-License-Identifier: ISC
package Mix;

# Mail of all kinds at once, for the tests that kill and cut: to a next hop, by the mail exchangers of a
# domain, into Maildirs, to aliases that become several of these, to recipients who fail so that a notice is
# owed, small and large. What was acknowledged can be told from what came of it, place by place.
#
#	my $mix = Mix->new($folder);                         # Maildirs, users and aliases below it
#	my $house = House->new(Mix::setup($mix, { retry_first => '1s' }));
#	$mix->begin($house);                                 # name server and next hops
#	$mix->source($house, $kind, rate => 20);             # acknowledged: state/acks.KIND
#	my $at = $mix->arrived($house);                      # id => place => copies
#	$mix->owed($house, $at);                             # [id, place] that has nothing yet

use strict;
use warnings;
use File::Path qw(make_path);
use House qw(wait_for slurp spew run bin_dir);

# Where a message of the kind is to arrive: <address> is a next hop, "notes" the Maildir of who sent it, who
# is told there of a failure; else a user's Maildir. Next hops stand first.
our %KINDS = (
	relay => { to => 'relay@relay.test', at => ['<relay@relay.test>'] },
	mxa => { to => 'mxa@a.test', at => ['<mxa@a.test>'] },
	mxb => { to => 'mxb@b.test', at => ['<mxb@b.test>'] },
	box => { to => 'box@here.test', at => ['box'] },
	team => { to => 'team@here.test', at => [ '<team@relay.test>', 'box', 'other' ] },
	fail => { to => 'nouser@relay.test', at => ['notes'] },
	half => { to => 'half@here.test', at => [ 'other', 'notes' ] },
	bulky => { to => 'bulky@here.test', at => [ '<bulky@relay.test>', 'box' ], bytes => 600_000 },
);
my %ALIASES = (team => 'box, other, team@relay.test', half => 'other, nouser@b.test', bulky => 'box, bulky@relay.test');
my %UID = (box => 61100, other => 61101, notes => 61102);

sub new
{
	my ($class, $dir) = @_;
	my $self = bless { dir => $dir, seen => {} }, $class;

	make_path($dir);
	chmod 0755, $dir;
	for my $u (sort keys %UID) {
		mkdir "$dir/$u", 0700;
		chown $UID{$u}, $UID{$u}, "$dir/$u";
	}
	spew("$dir/users", join '', map { "$_:$UID{$_}:$UID{$_}:$dir/$_:Maildir/\n" } sort keys %UID);
	spew("$dir/aliases", join '', map { "$_: $ALIASES{$_}\n" } sort keys %ALIASES);
	my ($status, undef, $err) = run(bin_dir() . '/newaliases', '-A', "$dir/aliases");
	die "newaliases: $err" if $status;
	return $self;
}

# What House->new takes: the mix's settings, and those given, which win.
sub setup
{
	my ($self, $config) = @_;
	my ($port) = House::free_ports(1);

	return (port => { sink => $port }, config => { relay_host => undef, smtp_port => $port, local_domains => ['here.test'],
		local_users => "$self->{dir}/users", local_uid_min => 1000, alias_file => "$self->{dir}/aliases",
		dns_keep_min => '1s', dns_ttl_min => 0, dns_try_timeout => '500ms', retry_jitter => 0, %$config },
		extra => "domain \"relay.test\" {\n\troute = \"127.0.0.1:$port\"\n}\n");
}

# More arguments for the sink. Its domains are asked for again every second.
sub begin
{
	my ($self, $house, @args) = @_;
	my $port = $house->port('sink');

	$house->dnsfake(<<'ZONE');
zone test 1
a.test 1 MX 10 dead.hosts.test
a.test 1 MX 20 a.hosts.test
b.test 1 MX 10 a.hosts.test
b.test 1 MX 10 b.hosts.test
a.hosts.test 1 A 127.0.0.11
b.hosts.test 1 A 127.0.0.12
dead.hosts.test 1 A 127.0.0.19
ZONE
	$house->tool('sink', [ "$house->{bin}/smtpsink", '-o', "$house->{state}/sink.log", '-r', 'rcpt,match=nouser=550 5.1.1 no such user', @args,
		map { "127.0.0.$_:$port" } 1, 11, 12 ], $port);
}

# Options: messages, rate (a second), sessions, seconds, args.
sub source
{
	my ($self, $house, $kind, %opt) = @_;

	return $house->tool("source.$kind", [ "$house->{bin}/smtpsource", '-k', '-i', $kind, '-h', '127.0.0.1:' . $house->port('mx'),
		'-f', 'notes@here.test', '-t', $KINDS{$kind}{to}, '-a', "$house->{state}/acks.$kind", '-s', $opt{sessions} // 4,
		'-m', $opt{messages} // 1_000_000, '-n', 10, '-l', $KINDS{$kind}{bytes} // $opt{bytes} // 3000,
		'-w', $opt{seconds} // 300, $opt{rate} ? ('-R', $opt{rate}) : (), @{ $opt{args} // [] } ]);
}

sub users { return sort keys %UID }
# The places as the power-cut test names them: "hop", or "-" where there is none, then the mailboxes.
sub parts
{
	my @at = @{ $KINDS{ $_[0] }{at} };

	return ($at[0] =~ /^</ ? 'hop' : '-', grep { !/^</ } @at);
}
sub acked { my ($self, $house, $kind) = @_; return split /\n/, slurp("$house->{state}/acks.$kind") // '' }
sub kind_of { my ($id) = @_; return $id =~ /^(\w+)-\d+$/ && $KINDS{$1} ? $1 : undef }

# What is in a mailbox: [id, bytes, Message-ID] by the name of the file. A name is looked at once.
sub mailbox
{
	my ($self, $user) = @_;
	my $seen = $self->{seen}{$user} //= {};

	for my $file (glob "$self->{dir}/$user/Maildir/new/*") {
		next if $seen->{$file};
		my $text = slurp($file) // next;
		my ($id) = $text =~ /^X-Test-Id: (\S+)/m;
		my ($msgid) = $text =~ /^Message-ID: (\S+)/mi;
		$seen->{$file} = [ $id // '-', length $text, $msgid // '-' ];
	}
	return $seen;
}

# id => place => copies. Notices count by what they are, not how often each came: notices => id => Message-ID =>
# copies.
sub arrived
{
	my ($self, $house) = @_;
	my (%at, %notices, @cut);

	for my $line (split /\n/, slurp("$house->{state}/sink.log") // '') {
		my ($id, undef, undef, undef, @to) = split /\t/, $line;
		$at{$id}{$_}++ for map { /^(<[^>]*>)/ ? $1 : () } @to;
	}
	for my $user (sort keys %UID) {
		my $box = $self->mailbox($user);
		for my $mail (values %$box) {
			my ($id, $bytes, $msgid) = @$mail;
			my $kind = kind_of($id);

			$at{$id}{$user}++;
			$notices{$id}{$msgid}++ if $user eq 'notes';
			push @cut, $id if $user ne 'notes' && $bytes < (defined $kind && $KINDS{$kind}{bytes} || 3000) * 0.95;
		}
	}
	$self->{notices} = \%notices;
	$self->{cut} = \@cut;
	return \%at;
}

sub owed
{
	my ($self, $house, $at) = @_;
	my @owed;

	for my $kind (sort keys %KINDS) {
		for my $id ($self->acked($house, $kind)) {
			push @owed, map { [ $id, $_ ] } grep { !$at->{$id}{$_} } @{ $KINDS{$kind}{at} };
		}
	}
	return @owed;
}

1;
