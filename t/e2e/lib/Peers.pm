# SPDX-License-Identifier: ISC
package Peers;

# Real programs beside ours, unpacked by t/tool/peers.sh: nothing is installed.
#
#	Peers::need();                                    # or the test is skipped, with the reason
#	my $postfix = Peers->postfix(dir => DIR, port => P, relay => '[127.0.0.1]:2599');
#	my ($status, $out, $err) = Peers::with_sendmail($house, @argv);
#	$postfix->end;

use strict;
use warnings;
use File::Path qw(make_path);
use House qw(wait_for slurp spew run build_dir top);
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Supervisor;
use Test::More ();

my $POSTFIX_ID = 61900; # see peers.sh

sub script { return top() . '/t/tool/peers.sh' }
sub dir { return $ENV{PEERS} // build_dir() . '/peers' }

# "" when the peers are there, else why not.
sub missing
{
	my ($status, $out, $err) = run({ seconds => 300, env => { PEERS => dir() } },
		'sh', '-c', 'sh "$0" fetch && sh "$0" enter true', script());

	return $status == 0 ? '' : $err || "peers.sh: exit $status";
}

sub need
{
	my $why = missing();

	chomp $why;
	die "$why\n" if $why ne '' && $ENV{SKIP_NOTHING};
	Test::More::plan(skip_all => $why) if $why ne '';
}

# The words to run a command where the peers are.
sub enter { my (@argv) = @_; return ('sh', script(), 'enter', @argv) }

sub peer
{
	my ($how, @argv) = @_;

	return run({ %$how, env => { %{ $how->{env} // {} }, PEERS => dir() } },
		enter(@{ $how->{enter} // [] }, @argv));
}

# Run where /usr/sbin/sendmail is this build's, with the house's folders at their fixed places.
sub with_sendmail
{
	my ($house, $how, @argv) = @_;
	my $state = $house->{state};
	my @places = ('-t', '/run', '-b', "$state/run:/run/angarium", '-t', '/var/spool', '-b',
		"$state/drop:/var/spool/angarium/drop", '-b', "$house->{bin}/sendmail:/usr/sbin/sendmail");

	return peer({ %$how, enter => \@places }, @argv);
}

# A real Postfix: an SMTP server on port of 127.0.0.1 (or `host`) that relays everything to `relay`, or (without)
# discards it. `main` holds more parameters. Its folder appears to it as /mnt.
sub postfix
{
	my ($class, %opt) = @_;
	my $dir = $opt{dir};
	my %main = (
		compatibility_level => '3.6', queue_directory => '/mnt/queue',
		data_directory => '/mnt/data', maillog_file => '/mnt/maillog',
		maillog_file_prefixes => '/mnt', command_directory => '/usr/sbin',
		daemon_directory => '/usr/lib/postfix/sbin', mail_owner => 'postfix',
		setgid_group => 'postdrop', myhostname => 'postfix.test.example',
		mydestination => '', alias_maps => '', inet_interfaces => 'all',
		mynetworks => '127.0.0.0/8 [::1]/128', disable_dns_lookups => 'yes',
		smtpd_peername_lookup => 'no', smtp_host_lookup => 'native',
		smtpd_relay_restrictions => 'permit_mynetworks, reject',
		($opt{relay} ? (relayhost => $opt{relay}) : (default_transport => 'discard:')),
		%{ $opt{main} // {} },
	);
	my $master = slurp(dir() . '/root/usr/share/postfix/master.cf.dist') // die "no postfix\n";
	my $host = $opt{host} // '127.0.0.1';

	make_path("$dir/etc/postfix", "$dir/queue", "$dir/data");
	chmod 0755, $dir, "$dir/queue";
	chown $POSTFIX_ID, $POSTFIX_ID, "$dir/data";
	$master =~ s/^smtp(\s+inet)/$host:$opt{port}$1/m or die "master.cf has no smtp\n";
	$master =~ s/^(\S+\s+\S+\s+\S\s+\S\s+)y/$1n/mg; # as built by its authors: not chrooted
	spew("$dir/etc/postfix/master.cf", $master);
	spew("$dir/etc/postfix/main.cf", join '', map { "$_ = $main{$_}\n" } sort keys %main);
	my $self = bless { dir => $dir, owner => $$, port => $opt{port} }, $class;
	$self->{pid} = Supervisor::spawn([ enter('-e', "$dir/etc", '-b', "$dir:/mnt",
		'postfix', 'start-fg') ], "$dir/err", { PEERS => dir() });
	wait_for(sub {
		waitpid($self->{pid}, WNOHANG) == $self->{pid} and die 'postfix ended: ',
		    slurp("$dir/err") // '', slurp("$dir/maillog") // '';
		IO::Socket::IP->new(PeerHost => $host, PeerPort => $opt{port}, Timeout => 2);
	}, 'postfix to listen', 30);
	return $self;
}

# A server of theirs on port of 127.0.0.1 or `host`, or at the Unix socket `path` (that shows that it is there);
# `dir` appears to it as /mnt, `places` are further words for `enter`.
sub server
{
	my ($class, %opt) = @_;
	my $self = bless { dir => $opt{dir}, owner => $$, port => $opt{port} }, $class;
	my @words = enter(@{ $opt{places} // [] }, '-b', "$opt{dir}:/mnt", @{ $opt{argv} });

	$self->{pid} = Supervisor::spawn(\@words, "$opt{dir}/err", { PEERS => dir() });
	wait_for(sub {
		waitpid($self->{pid}, WNOHANG) == $self->{pid}
		    and die "$opt{argv}[0] ended: ", slurp("$opt{dir}/err") // '';
		$opt{path} ? IO::Socket::UNIX->new($opt{path}) :
		    IO::Socket::IP->new(PeerHost => $opt{host} // '127.0.0.1', PeerPort => $opt{port}, Timeout => 2);
	}, "$opt{argv}[0] to listen", 30);
	return $self;
}

# Dovecot, its LMTP alone, at DIR/lmtp, as one user without rights; `users` are lines of its passwd-file by
# name: "" or fields such as userdb_quota_rule=*:storage=1K; `tempfail`: over quota is 452 and not 552. Mail:
# DIR/home/NAME/Maildir.
sub dovecot
{
	my ($class, %opt) = @_;
	my ($dir, $id) = ($opt{dir}, $POSTFIX_ID + 8);
	my $tempfail = $opt{tempfail} ? 'yes' : 'no';

	make_path("$dir/run", "$dir/home");
	spew("$dir/users", join '', map { "${_}:::::::$opt{users}{$_}\n" } sort keys %{ $opt{users} });
	spew("$dir/dovecot.conf", <<"CONF");
protocols = lmtp
base_dir = /mnt/run
state_dir = /mnt/run
log_path = /mnt/log
ssl = no
default_internal_user = dovecot
default_internal_group = dovecot
default_login_user = dovecot
mail_uid = $id
mail_gid = $id
mail_home = /mnt/home/%n
mail_location = maildir:~/Maildir
mail_plugins = quota
quota_full_tempfail = $tempfail
service anvil {
	chroot =
}
service lmtp {
	unix_listener /mnt/lmtp {
		mode = 0666
	}
}
passdb {
	driver = static
	args = nopassword=y
}
userdb {
	driver = passwd-file
	args = username_format=%n /mnt/users
}
plugin {
	quota = maildir:User quota
}
CONF
	chmod 0755, $dir;
	chown $id, $id, $dir, "$dir/run", "$dir/home";
	return $class->server(%opt, path => "$dir/lmtp", argv => [ 'setpriv', "--reuid=$id", "--regid=$id", '--clear-groups',
		'dovecot', '-F', '-c', '/mnt/dovecot.conf' ]);
}

# Exim: relays all to the port `relay` of 127.0.0.1, but refuses nouser@ anywhere, and puts later@ off until
# there is a file `ready` in its folder.
sub exim
{
	my ($class, %opt) = @_;
	my ($dir, $host) = ($opt{dir}, $opt{host} // '127.0.0.1');

	make_path("$dir/etc/exim4", "$dir/spool", "$dir/log");
	chmod 0755, $dir;
	chown $POSTFIX_ID + 2, $POSTFIX_ID + 2, "$dir/spool", "$dir/log";
	spew("$dir/etc/exim4/exim4.conf", <<"CONF");
primary_hostname = exim.test.example
daemon_smtp_ports = $opt{port}
local_interfaces = $host
spool_directory = /mnt/spool
log_file_path = /mnt/log/%slog
pid_file_path = /mnt/exim.pid
keep_environment =
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = rcpt
tls_advertise_hosts =
begin acl
rcpt:
	deny local_parts = nouser
		message = 550 5.1.1 Exim knows no such user
	defer local_parts = later
		condition = \${if exists{/mnt/ready}{no}{yes}}
		message = 450 4.2.0 Exim says later
	accept
begin routers
on:
	driver = manualroute
	transport = out
	route_list = * 127.0.0.1
	self = send
begin transports
out:
	driver = smtp
	port = $opt{relay}
	hosts_try_fastopen =
CONF
	return $class->server(%opt, places => [ '-e', "$dir/etc" ], argv => [ 'exim4', '-bdf' ]);
}

# OpenSMTPD: relays all to the port `relay` of 127.0.0.1, but refuses nouser@ at the domain `domain`.
sub opensmtpd
{
	my ($class, %opt) = @_;
	my $host = $opt{host} // '127.0.0.1';
	my $make = 'mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd /var/empty; chmod 711 /var/spool/smtpd';

	make_path($opt{dir});
	spew("$opt{dir}/smtpd.conf", <<"CONF");
listen on $host port $opt{port} hostname opensmtpd.test.example
action "on" relay host smtp://127.0.0.1:$opt{relay}
match from any for any rcpt-to "nouser\@$opt{domain}" reject
match from any for any action "on"
CONF
	return $class->server(%opt, places => [ map { ('-t', $_) } qw(/run /var/spool /var/lib) ],
		argv => [ 'sh', '-c', "$make; exec smtpd -d -f /mnt/smtpd.conf" ]);
}

# A name server that recurses: unbound, with zones (name => text of a zone file) of its own.
sub unbound
{
	my ($class, %opt) = @_;
	my %zones = %{ $opt{zones} };
	my $conf = "server:\n\tdo-daemonize: no\n\tusername: \"\"\n\tchroot: \"\"\n\tdirectory: /mnt\n\tpidfile: \"\"\n"
	    . "\tinterface: 127.0.0.1\@$opt{port}\n\taccess-control: 127.0.0.0/8 allow\n\tmodule-config: iterator\n"
	    . "\tuse-syslog: no\n\tlogfile: \"\"\n" . ($opt{server} // '') . "remote-control:\n\tcontrol-enable: no\n";

	make_path($opt{dir});
	for my $name (sort keys %zones) {
		spew("$opt{dir}/zone.$name", $zones{$name});
		$conf = "$conf" . "auth-zone:\n\tname: $name\n\tzonefile: /mnt/zone.$name\n\tfor-upstream: yes\n\tfor-downstream: no\n\tfallback-enabled: no\n";
		$conf =~ s/^(remote-control:)/server:\n\tlocal-zone: $name transparent\n$1/m if $name =~ /(?:arpa|test)$/; # else it knows them to be empty
	}
	spew("$opt{dir}/unbound.conf", $conf);
	return $class->server(%opt, argv => [ 'unbound', '-d', '-c', '/mnt/unbound.conf' ]);
}

sub _child
{
	my ($pid) = @_;

	return $pid && (split ' ', slurp("/proc/$pid/task/$pid/children") // '')[0];
}

# The pid of its master as seen from here: below `unshare` and the shell that is process 1 there.
sub master { my ($self) = @_; return _child(_child($self->{pid})) }

sub end
{
	my ($self) = @_;

	return if $self->{owner} != $$ || !$self->{pid};
	# When process 1 of a name space is dead, all others in it are.
	my $pid = delete $self->{pid};
	kill 'KILL', _child($pid) // $pid;
	waitpid $pid, 0;
}

sub DESTROY { my ($self) = @_; local $?; $self->end }

1;
