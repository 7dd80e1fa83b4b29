# A core dump of an idle process of the server holds no key: not the root, not a
# subject's, not a value's.  It does hold what is no secret, which shows that
# the search would have found the others.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

# AddressSanitizer and Valgrind keep copies of what was freed and of registers, in
# mappings of their own that no library can leave out of a dump, and terabytes large.
plan skip_all => 'a checker of memory keeps copies of it' if $ENV{PURPOSE_SANITIZE};
plan skip_all => 'gcore (Debian package gdb) is not installed' if system("command -v gcore >/dev/null 2>&1") != 0;

my $base = PostgreSQL::Test::Utils::tempdir;
mkdir "$base/keys", 0700;
my $node = purpose_cluster('main', conf => "purpose.keyring = 'file:$base/keys'");
my %billing = (purpose => 'billing');
$node->safe_psql('postgres', slurp_file(dirname(__FILE__) . '/lib/test_keyring.sql'));
$node->safe_psql('postgres', q{
	SELECT purpose.create_purpose('billing', basis => 'contract');
	CREATE TABLE people (id bigint PRIMARY KEY, t purpose.sealed_text(billing), s purpose.searchable_text(billing));
	SELECT purpose.protect('people', subject => 'id');
});

# A session that has sealed and opened, searched, failed and rolled back, and
# then is idle.
my $session = session($node, \%billing);
my $pid = ask($session, q{SELECT pg_backend_pid()});
ask($session, q{INSERT INTO people SELECT i, 'value' || i, 'mail' || i FROM generate_series(1, 20) i});
is(ask($session, q{SELECT count(t::text) FROM people WHERE s = 'mail7'}), '1', 'a session opens values');
ask($session, q{BEGIN; UPDATE people SET t = 'other' WHERE id = 1; SAVEPOINT s; SELECT t::text FROM people});
is(ask($session, q{SELECT 1 / count(t::text) - 1 / 0 FROM people}), '22012', 'fails');
ask($session, q{ROLLBACK});
ask($session, q{SET application_name = 'regress_purpose_known_text'});

my %secret;
foreach my $file (glob("$base/keys/*/root.*"), glob("$base/keys/*/journal-key*"))
{
	my $content = slurp_file($file);
	$secret{ basename($file) } = substr($content, -32) if length($content) == 48;	# after the file's header
}
ok(scalar(grep { /^root/ } keys %secret), 'the root is known');
foreach my $id (1, 7, 20)
{
	my ($number, $leaf) = split /\|/, $node->safe_psql('postgres',
		qq{SELECT number, encode(raw_key(number), 'hex') FROM purpose.subject_number WHERE subject = '$id'});
	my $prk = $secret{"key of subject $number"} = pack 'H*', $leaf;
	my $label = $node->safe_psql('postgres', q{SELECT label FROM purpose.sealed_label});

	$secret{"key of a value of $number"} = hmac_sha256(value_info($label) . "\x01", $prk);
}
is(scalar(grep { length == 32 } values %secret), scalar(keys %secret), 'and keys of subjects and of values');
my ($launcher) = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'purpose.*launcher'});
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];

# What HKDF expands a subject's key with: suite 1, no epoch.
sub value_info
{
	my ($label) = @_;
	return 'pg_purpose value v1' . pack('CNN', 1, 0, length($label)) . $label;
}

# Which of the secrets a core holds; half a key is enough to know.
sub secrets_in
{
	my ($file) = @_;
	my $core = slurp_file($file);

	return join ', ', grep {
		index($core, substr($secret{$_}, 0, 16)) >= 0 || index($core, substr($secret{$_}, 16)) >= 0
	} sort keys %secret;
}

SKIP:
{
	if (system("gcore -o '$base/core' $pid >'$base/gcore.log' 2>&1") != 0)
	{
		skip 'processes may not be traced here', 1 if slurp_file("$base/gcore.log") =~ /not permitted/;
		die slurp_file("$base/gcore.log");
	}
	system("gcore -o '$base/core' $_ >'$base/gcore.log' 2>&1") == 0 or die slurp_file("$base/gcore.log") foreach $launcher, $postmaster;
	foreach my $process ([ 'an idle session', $pid ], [ 'the launcher', $launcher ], [ 'the postmaster', $postmaster ])
	{
		my ($name, $of) = @$process;
		my $core = slurp_file("$base/core.$of");
		my $known = $of == $pid ? 'regress_purpose_known_text' : 'pg_purpose keyrings';

		cmp_ok(index($core, $known), '>=', 0, "the core of $name holds what is no secret");
		is(secrets_in("$base/core.$of"), '', 'and no key');
		unlink "$base/core.$of";
	}

	# In the middle of a transaction keys are there, in memory that a debugger
	# must be told to include: the keys are the right ones.
	ask($session, q{BEGIN; SELECT count(t::text) FROM people});
	system(qq{gdb -batch -p $pid -ex 'set dump-excluded-mappings on' -ex 'gcore $base/core.all' >'$base/gcore.log' 2>&1});
	like(secrets_in("$base/core.all"), qr/key of a value/, 'all memory in the middle of a transaction: keys are found');
	ask($session, q{ROLLBACK});
}
is(ask($session, q{SELECT t::text FROM people WHERE id = 2}), 'value2', 'the session goes on');
$session->quit;
$node->stop;

done_testing();
