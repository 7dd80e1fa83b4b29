# The keyring of a database: made once, loaded when a key is needed, refused
# when anything about it is wrong; numbers that are never given out twice.
use strict;
use warnings;
use File::Basename qw(basename dirname);
use File::Copy qw(copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my ($one, $two) = ("$base/a", "$base/b");
mkdir $_, 0700 foreach $one, $two;

my $node = purpose_cluster('main', allows_streaming => 1,
	conf => "purpose.keyring = 'file:$one, file:$two'\npurpose.key_lease = '1s'\nrestart_after_crash = on");
$node->safe_psql('postgres', slurp_file(dirname(__FILE__) . "/lib/test_keyring.sql"));
$node->safe_psql('postgres', 'CREATE ROLE regress_purpose_officer LOGIN; CREATE ROLE regress_purpose_user LOGIN;
	SELECT purpose.appoint_officer(\'regress_purpose_officer\')');
my $officer = { user => 'regress_purpose_officer' };
my $user = { user => 'regress_purpose_user' };

# Making one.
denied($node, {}, 'SELECT key_fingerprint(1)', 'PU011', 'without a keyring there is no key');
denied($node, {}, 'SELECT draw_number()', 'PU011', 'and no number');
denied($node, {}, 'SELECT purpose.rotate_root_key()', 'PU011', 'and no root to be replaced');
denied($node, {}, 'SELECT purpose.claim_keyring()', 'PU011', 'and no claim');
allowed($node, {}, 'SELECT count(*) FROM purpose.keyring_status', 0, 'and no status');
allowed($node, {}, 'SELECT count(*) FROM purpose.check_keyring()', 0, 'but nothing wrong with that');
$node->safe_psql('postgres', 'BEGIN; SELECT purpose.create_keyring(); SELECT draw_number(); ROLLBACK');
denied($node, {}, 'SELECT key_fingerprint(1)', 'PU011', 'nor is there one after it was rolled back');
denied($node, $user, 'SELECT purpose.create_keyring()', '42501', 'not everybody makes a keyring');
$node->safe_psql('postgres', 'SELECT 1');
like((run_as($node, $officer, 'SELECT purpose.create_keyring()'))[1], qr/^[0-9a-f-]{36}$/, 'a privacy officer does');
my $keyring = $node->safe_psql('postgres', 'SELECT keyring FROM purpose.keyring_binding');
(my $dir = $keyring) =~ tr/-//d;
ok(-d "$one/$dir" && -d "$two/$dir", 'on both mirrors');
denied($node, $officer, 'SELECT purpose.create_keyring()', '42710', 'but not a second one');

# Who may do what.
foreach my $call ('rotate_root_key()', 'claim_keyring()', 'fork_keyring()', 'end_fork(gen_random_uuid())', 'check_keyring()', 'verify_receipt(gen_random_uuid())')
{
	denied($node, $user, "SELECT purpose.$call", '42501', "not everybody calls $call");
}
allowed($node, $officer, 'SELECT purpose.rotate_root_key() > 1', 't', 'a privacy officer replaces the root');
allowed($node, $officer, 'SELECT purpose.claim_keyring() > 0', 't', 'and claims what is claimed already');
allowed($node, $officer, q{SELECT count(*) FROM purpose.check_keyring() WHERE severity = 'error'}, 0, 'and checks');
allowed($node, $officer, 'SELECT claim FROM purpose.keyring_status', 'held', 'and sees how it is');
denied($node, $user, 'SELECT claim FROM purpose.keyring_status', '42501', 'which not everybody does');
denied($node, $officer, 'SELECT purpose.verify_receipt(gen_random_uuid())', '42704', 'there is no such receipt');
denied($node, {}, "SELECT purpose.fork_keyring(keep_values => $_)", '55000', 'the original is not forked') foreach 'true', 'false';

# Numbers and keys.
allowed($node, {}, 'SELECT draw_number(), draw_number()', '1|2', 'numbers begin with 1');
my $key = $node->safe_psql('postgres', 'SELECT key_fingerprint(1)');
like($key, qr/^[0-9a-f]{16}$/, 'a number has a key');
allowed($node, {}, 'SELECT key_fingerprint(1)', $key, 'which is the same in another session');
allowed($node, {}, q{SELECT count(DISTINCT k) FROM (VALUES (key_fingerprint(1)), (key_fingerprint(2)), (key_fingerprint(1, 1)),
	(key_fingerprint(1, 0, 2))) k(k)}, 4, 'subjects, groups and kinds have keys of their own');
denied($node, {}, 'SELECT key_fingerprint(65536)', 'PU012', 'a number that was not given out has none');
denied($node, {}, 'SELECT key_fingerprint((1::bigint << 40) - 1)', 'PU012', 'the highest has none either');
# A lease is renewed before it lapses, for the sake of who made use of it.
$node->safe_psql('postgres', q{
CREATE FUNCTION lease_is_renewed() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	before timestamptz;
	later timestamptz;
BEGIN
	PERFORM key_fingerprint(1);
	SELECT lease_until INTO before FROM purpose.keyring_status;
	LOOP
		PERFORM pg_sleep(0.01);
		SELECT lease_until INTO later FROM purpose.keyring_status;
		IF later IS NULL OR later > before + interval '300 ms' THEN
			RETURN later IS NOT NULL;
		END IF;
	END LOOP;
END $$});
ok($node->poll_query_until('postgres', 'SELECT lease_is_renewed()'), 'a keyring in use stays loaded');
$node->safe_psql('postgres', 'BEGIN; SELECT draw_number(); ROLLBACK');
allowed($node, {}, 'SELECT draw_number()', 4, 'a number that was rolled back is not drawn again');
allowed($node, {}, 'SELECT count(DISTINCT n), max(n) FROM (SELECT draw_number() n FROM generate_series(1, 70000)) n',
	'70000|70004', 'numbers go on when an extent is used up');
$node->restart;
allowed($node, {}, 'SELECT key_fingerprint(1)', $key, 'keys are the same after a restart');
allowed($node, {}, 'SELECT draw_number()', 131072, 'a restart goes on with the next extent');
$node->stop('immediate');
$node->start;
allowed($node, {}, 'SELECT draw_number()', 196608, 'and so does a crash of the server, at once');
my $victim = session($node, {});
my $pid = ask($victim, 'SELECT pg_backend_pid()');
my $crash = -s $node->logfile;
kill 'KILL', $pid;
$node->wait_for_log(qr/all server processes terminated; reinitializing/, $crash);
foreach (1 .. 1800)
{
	last if $node->psql('postgres', 'SELECT 1') == 0;
	select(undef, undef, undef, 0.1);
}
allowed($node, {}, 'SELECT key_fingerprint(1)', $key, 'a crash of a process wipes the memory, which is loaded again');
allowed($node, {}, 'SELECT draw_number()', 262144, 'and goes on with the next extent');
$victim->{run}->kill_kill;

# What is wrong with the keyring is refused, and nothing is made in its place.
# All of this in a server that has loaded nothing before.
my $version = $node->safe_psql('postgres', 'SELECT version FROM purpose.keyring_status');

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION pg_purpose');
(my $other = $node->safe_psql('other', 'SELECT purpose.create_keyring()')) =~ tr/-//d;
$node->safe_psql('other', 'SELECT purpose.rotate_root_key()') while !-e "$one/$other/state.$version";
$node->safe_psql('postgres', slurp_file(dirname(__FILE__) . "/lib/test_provider.sql"));
$node->restart;

sub objects
{
	return join(' ', sort map { basename($_) } glob("$one/$dir/root.*[0-9] $one/$dir/state.*[0-9]"));
}
my $objects = objects();
is($objects, "root.$version state.$version", 'what there is');
foreach my $place ($one, $two)
{
	mkdir "$place.good";
	copy("$place/$dir/$_.$version", "$place.good") or die $! foreach 'root', 'state';
}

# with(CHANGE, NAME): changes the files, asks for a key, puts them back.  Three
# assertions.
sub with
{
	my ($change, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$change->();
	my $there = objects();
	denied($node, {}, 'SET client_min_messages = error; SELECT key_fingerprint(1)', 'PU011', $name);
	denied($node, {}, 'SET client_min_messages = error; SELECT purpose.rotate_root_key()', 'PU011', "$name: nor is the root replaced");
	is(objects(), $there, "$name: nothing is made or removed");
	foreach my $place ($one, $two)
	{
		copy("$place.good/$_.$version", "$place/$dir/$_.$version") or die $! foreach 'root', 'state';
	}
	return;
}

# becomes(KIND, HEX): what the provider's own test functions store, in a keyring
# of theirs, is a whole file of that name.
my $lab = '00112233445566778899aabbccddeeff';

sub becomes
{
	my ($kind, $hex) = @_;

	$node->safe_psql('postgres', "SELECT provider('store', '$kind', $version, 1, decode('$hex', 'hex'))");
	foreach my $place ($one, $two)
	{
		copy("$place/$lab/$kind.$version", "$place/$dir/$kind.$version") or die $!;
		system_or_bail('rm', '-rf', "$place/$lab");
	}
	return;
}

# What is in a state's file begins behind the provider's own header.
my $state = substr(slurp_file("$one/$dir/state.$version"), 16);
is(substr($state, 0, 8), 'PGPSTATE', 'where the state begins in its file');
with(sub { unlink "$_/$dir/root.$version" foreach $one, $two }, 'the root is missing');
with(sub { unlink "$_/$dir/state.$version" foreach $one, $two }, 'the state is missing');
with(sub { becomes('root', '42' x 32) }, 'the root is another one');
with(sub { becomes('root', '42' x 31) }, 'the root is too short');
with(sub { becomes('state', unpack('H*', substr($state, 0, -1))) }, 'the state is cut off');
with(sub { becomes('state', '00') }, 'the state is nothing');
with(sub { truncate("$_/$dir/state.$version", 40) foreach $one, $two }, 'the file is cut off');
foreach my $at (0, 9, 10, 12, 35, 39, 43, 44, 56, length($state) - 20, length($state) - 1)
{
	my $changed = $state;

	substr($changed, $at, 1) = chr(ord(substr($changed, $at, 1)) ^ 1);
	with(sub { becomes('state', unpack('H*', $changed)) }, "byte $at of the state is another one");
}
foreach my $kinds ([ 'root', 'state' ], ['state'])
{
	with(sub {
			foreach my $place ($one, $two)
			{
				copy("$place/$other/$_.$version", "$place/$dir/$_.$version") or die $! foreach @$kinds;
			}
		}, "@$kinds of another keyring");
}
with(sub { system_or_bail('mv', "$_/$dir/state.$version", "$_/$dir/state." . ($version + 1)) foreach $one, $two },
	'a state under another version');
unlink "$_/$dir/state." . ($version + 1) foreach $one, $two;
truncate("$one/$dir/state.$version", 40);
allowed($node, {}, 'SET client_min_messages = error; SELECT key_fingerprint(1)', $key, 'damaged on one mirror, the other is used');
copy("$one.good/state.$version", "$one/$dir/state.$version") or die $!;
allowed($node, {}, 'SELECT key_fingerprint(1)', $key, 'put right, keys are as before');

# A keyring that was put back to an earlier moment, while the server remembers.
system_or_bail('cp', '-a', "$_/$dir", "$_.old") foreach $one, $two;
$node->safe_psql('postgres', 'SELECT purpose.rotate_root_key()');
foreach my $place ($one, $two)
{
	system_or_bail('mv', "$place/$dir", "$place.new");
	system_or_bail('mv', "$place.old", "$place/$dir");
}
ok($node->poll_query_until('postgres', q{SELECT lease_until IS NULL OR lease_until < now() FROM purpose.keyring_status}), 'the lease lapses');
denied($node, {}, 'SELECT key_fingerprint(1)', 'PU011', 'an older state than this server has used is refused');
foreach my $place ($one, $two)
{
	system_or_bail('rm', '-rf', "$place/$dir");
	system_or_bail('mv', "$place.new", "$place/$dir");
}
allowed($node, {}, 'SELECT key_fingerprint(1)', $key, 'the newest is not');

# quietly(QUERY) waits until it gives true, whatever is warned of.
sub quietly
{
	local $ENV{PGOPTIONS} = '-c client_min_messages=error';
	return $node->poll_query_until('postgres', $_[0]);
}

# While the provider is away keys can be used until the lease has lapsed.
chmod 0, $one, $two;
ok(quietly(q{SELECT version IS NOT NULL AND lease_until IS NULL FROM purpose.keyring_status}),
	'what cannot be renewed is wiped');
denied($node, {}, 'SET client_min_messages = error; SELECT key_fingerprint(1)', 'PU011', 'and then there is no key');
chmod 0700, $one, $two;
allowed($node, {}, 'SELECT key_fingerprint(1)', $key, 'when it is back there is');

# A database without the setting.
$node->safe_psql('postgres', q{ALTER SYSTEM SET purpose.keyring = ''});
$node->restart;
denied($node, {}, 'SELECT key_fingerprint(1)', 'PU011', 'where no place is configured there is no key');
allowed($node, {}, 'SELECT claim, claim_holder, version, last_error FROM purpose.keyring_status',
	'unknown|||no place for keyrings is configured', 'which the status says');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET purpose.keyring');
$node->restart;
allowed($node, {}, 'SELECT key_fingerprint(1)', $key, 'and where it is, there is');
allowed($node, {}, 'SELECT claim, claim_holder IS NOT NULL, last_error FROM purpose.keyring_status', 'held|t|', 'and the status is well');

$node->stop;
done_testing();
