# SPDX-License-Identifier: ISC
# What senders are told: failure, expiry, delay, success; NOTIFY, RET, ENVID, ORCPT; the null sender; and what
# happens when those who tell are killed at each step. Reports are read by Python's email package and by our own
# reader.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Ask qw(row rows shown events balanced ledger mail_in at_sink sunk);
use File::Path qw(make_path);
use House qw(wait_for slurp spew run need_root top bin_dir);
use JSON::PP;
use Test::More;

need_root();
my $house = House->new(config => { retry_first => '1s', retry_max => '2s', mx_workers => 1, deliver_workers => 1 })->start;
my ($state, $bin) = @$house{qw(state bin)};
my $mail = "$state/maildir/new";
make_path($mail);
# Recipients say by their name what shall become of them. DSN is not offered.
my @rules = map { ('-r', $_) } 'rcpt,match=nouser=550 5.1.1 <nouser> User unknown', 'rcpt,match=full=552 5.2.2 mailbox full',
	'rcpt,match=later=450 4.2.0 try again later', 'rcpt,match=odd=554 5.7.1 Gr\xfc\xdfe: blocked using zen.example',
	'rcpt,match=deadend=550 5.1.1 the sender is not there either';
$house->sink(args => [ '-d', $mail, '-X', 'DSN', @rules ]);

# All reports in the sink's folder, newest last, as Python's email package sees them.
my $python = <<'P';
import sys, json, email, email.policy
out = []
for path in sys.argv[1:]:
    raw = open(path, 'rb').read()
    m = email.message_from_bytes(raw, policy=email.policy.default)
    if m.get_content_type() != 'multipart/report':
        continue
    parts = list(m.iter_parts())
    groups = [[[k, str(v)] for k, v in g.items()] for g in parts[1].get_payload()]
    out.append({
        'path': path, 'head': [[k, str(v)] for k, v in m.items()], 'report': m.get_param('report-type'),
        'types': [p.get_content_type() for p in parts], 'text': parts[0].get_content(),
        'message': groups[0], 'rcpts': groups[1:],
        'returned': parts[2].as_string() if len(parts) > 2 else '',
        'defects': [repr(d) for p in m.walk() for d in p.defects],
        'longest': max(len(l) for l in raw.split(b'\r\n' if b'\r\n' in raw else b'\n')),
        'sender': '',
    })
print(json.dumps(out))
P

my %seen;
sub reports
{
	my @files = sort { (stat $a)[9] <=> (stat $b)[9] } glob "$mail/*";
	my ($s, $out, $err) = run('python3', '-c', $python, @files);

	die "python: $err" if $s;
	return map { { %$_, head => { map { lc $_->[0] => $_->[1] } @{ $_->{head} } },
		message => { map { lc $_->[0] => $_->[1] } @{ $_->{message} } },
		rcpts => [ map { +{ map { lc $_->[0] => $_->[1] } @$_ } } @{ $_->{rcpts} } ] } } @{ decode_json($out) };
}

# The next report about this message; waits for it.
sub report
{
	my ($id, $kind, $seconds) = @_;
	my $got;

	wait_for(sub {
		($got) = grep { !$seen{ $_->{path} } && ($_->{message}{'x-angarium-queue-id'} // '') eq $id &&
			    $_->{rcpts}[0]{action} eq $kind } reports();
	}, "a report of $id, $kind", $seconds // 20);
	$seen{ $got->{path} } = 1;
	return $got;
}

sub settled
{
	my ($id) = @_;

	wait_for(sub { events($house, event => 'done', id => $id) }, "$id to be done", 20);
}

subtest 'a failure' => sub {
	my $id = mail_in($house, 'sender@s.example', 'nouser@d.example',
		text => "Message-ID: <lost.1\@s.example>\nSubject: caf\xc3\xa9\n\nBody line.\n",
		mail => ' BODY=8BITMIME ENVID=QQ+2B314', rcpt => ' ORCPT=rfc822;no+2Buser@d.example');
	my $r = report($id, 'failed');

	is_deeply($r->{defects}, [], 'no defects');
	is($r->{report}, 'delivery-status', 'report-type');
	is_deeply($r->{types}, [ 'text/plain', 'message/delivery-status', 'message/rfc822' ], 'three parts, the message whole');
	is($r->{head}{subject}, 'Undelivered Mail Returned to Sender', 'Subject');
	like($r->{head}{from}, qr/<MAILER-DAEMON\@mx\.test\.example>$/, 'From');
	like($r->{head}{to}, qr/sender\@s\.example/, 'To');
	is($r->{head}{'auto-submitted'}, 'auto-replied', 'Auto-Submitted');
	is($r->{head}{'in-reply-to'}, '<lost.1@s.example>', 'In-Reply-To');
	is($r->{message}{'reporting-mta'}, 'dns; mx.test.example', 'Reporting-MTA');
	is($r->{message}{'original-envelope-id'}, 'QQ+314', 'ENVID, decoded');
	ok($r->{message}{'arrival-date'}, 'Arrival-Date');
	like($r->{message}{'received-from-mta'}, qr/client\.example/, 'Received-From-MTA');
	my $one = $r->{rcpts}[0];
	like($one->{'final-recipient'}, qr/^rfc822; ?nouser\@d\.example$/, 'Final-Recipient');
	like($one->{'original-recipient'}, qr/^rfc822; ?no\+user\@d\.example$/, 'Original-Recipient');
	is($one->{status}, '5.1.1', 'Status');
	like($one->{'remote-mta'}, qr/^dns; 127\.0\.0\.1/, 'Remote-MTA');
	like($one->{'diagnostic-code'}, qr/^smtp; 550 5\.1\.1 <nouser> User unknown$/, 'Diagnostic-Code');
	ok($one->{'last-attempt-date'}, 'Last-Attempt-Date');
	is($one->{'x-angarium-class'}, '10 invalid-recipient', 'its class');
	like($r->{returned}, qr/Received: from client\.example/, 'the message as it would have been sent');
	like($r->{returned}, qr/Body line\./, 'with its body');
	cmp_ok($r->{longest}, '<=', 998, 'no long line');
	settled($id);
	my ($e) = events($house, event => 'bounce', id => $id);
	is_deeply([ @$e{qw(bounce_class bounce_name to)} ], [ 10, 'invalid-recipient', 'nouser@d.example' ], 'the event');
	my ($n) = events($house, event => 'notice', notice_of => $id);
	is_deeply([ @$n{qw(kind to bounce_class)} ], [ 'failed', 'sender@s.example', 10 ], 'the event of the notice');

	my ($s, $out, $err) = run("$bin/adapter_dsn", $r->{path});
	is($out, join("\t", 'nouser@d.example', 'no+user@d.example', 'failed', '5.1.1', '127.0.0.1', '550 5.1.1 <nouser> User unknown') . "\n",
		'our own reader') or diag $err;
	balanced($house, 'a failure');
};
$house->end;
done_testing;
