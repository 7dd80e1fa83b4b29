# Logical replication, logical decoding and postgres_fdw of sealed columns:
# envelopes travel, and nothing else.  A subscriber with the publisher's keyring
# opens them; one with another keeps them as they are.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $keys = PostgreSQL::Test::Utils::tempdir;
my $other_keys = PostgreSQL::Test::Utils::tempdir;
my $fast = "wal_retrieve_retry_interval = 100ms\nmax_logical_replication_workers = 12\nmax_worker_processes = 16\npurpose.key_lease = '2s'\n";
my $pub = purpose_cluster('publisher', extension => 0, allows_streaming => 'logical', conf => "$fast\npurpose.keyring = 'file:$keys'");
my $sub = purpose_cluster('subscriber', extension => 0, allows_streaming => 'logical', conf => "$fast\npurpose.keyring = 'file:$keys'");
my $far = purpose_cluster('far', extension => 0, allows_streaming => 'logical', conf => "$fast\npurpose.keyring = 'file:$other_keys'");

my $purposes = q{
	CREATE EXTENSION pg_purpose;
	SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{billing,shipping}'::text[]) p};
my $people = q{CREATE TABLE people (id bigint PRIMARY KEY, country text,
	name purpose.sealed_text(billing), mail purpose.searchable_text(billing) UNIQUE, pay purpose.sealed_numeric(billing))};
# All that is stored, as envelopes, in one line; and what opens of it.
my $stored = q{SET purpose.sealed_output = 'envelope';
	SELECT string_agg(concat_ws(',', id, format('%s', name), format('%s', mail), format('%s', pay)), ' ' ORDER BY id) FROM people};
my $opened = q{SELECT string_agg(concat_ws(',', id, name::text, mail::text, pay::numeric), ' ' ORDER BY id) FROM people};
my $envelopes = q{SELECT bool_and(format('%s', name) ~ '^purpose:1:') FROM people WHERE name IS NOT NULL};

# subscribe(NODE, DBNAME, NAME, FROM, [OPTIONS]): with its initial copy done.
sub subscribe
{
	my ($node, $dbname, $name, $from, $options) = @_;
	my $connstr = $pub->connstr($from) . " application_name=$name";

	$node->safe_psql($dbname, sprintf('CREATE SUBSCRIPTION %s CONNECTION $c$%s$c$ PUBLICATION %s %s', $name, $connstr,
			$name =~ s/_.*//r, $options // ''));
	$node->wait_for_subscription_sync($pub, $name, $dbname);
	return;
}

sub stored
{
	my ($node, $dbname) = @_;

	return $node->safe_psql($dbname, $stored);
}

$pub->safe_psql('postgres', 'CREATE DATABASE shop');
$pub->safe_psql('shop', "$purposes; $people; SELECT purpose.protect('people', subject => 'id')" . q{;
	INSERT INTO people SELECT i, CASE WHEN i % 2 = 0 THEN 'AT' ELSE 'DE' END, 'name' || i, 'mail' || i, i FROM generate_series(1, 6) i;
	CREATE PUBLICATION people FOR TABLE people;
	CREATE PUBLICATION filtered FOR TABLE people WHERE (id % 2 = 0);
	SELECT pg_create_logical_replication_slot('decoded', 'test_decoding');
	-- Whoever decodes, and whatever purpose the database and the role have.
	ALTER DATABASE shop SET purpose.current = 'billing';
	ALTER ROLE CURRENT_USER IN DATABASE shop SET purpose.current = 'billing';
});
allowed($pub, { dbname => 'shop' }, $opened, join(' ', map { "$_,name$_,mail$_,$_" } 1 .. 6), 'the publisher opens its values');

# ---------------------------------------------------------------------------
# A subscriber whose keyring is another
# ---------------------------------------------------------------------------
foreach my $binary ('text', 'binary')
{
	my $dbname = "far_$binary";

	$far->safe_psql('postgres', "CREATE DATABASE $dbname");
	$far->safe_psql($dbname, "$purposes; $people; SELECT purpose.protect('people', subject => 'id')");
	subscribe($far, $dbname, "people_$binary", 'shop', $binary eq 'binary' ? 'WITH (binary)' : '');
	is(stored($far, $dbname), stored($pub, 'shop'), "$binary: the initial copy brings the publisher's envelopes, byte for byte");
	denied($far, { dbname => $dbname, purpose => 'billing' }, $opened, 'PU012', 'which the keyring of somebody else does not open');
	allowed($far, { dbname => $dbname, purpose => 'billing' }, 'SELECT count(*) FROM people WHERE name IS NOT NULL', 6, 'all else is served');
}
$pub->safe_psql('shop', q{
	INSERT INTO people VALUES (7, 'AT', 'name7', 'mail7', 7), (8, NULL, NULL, NULL, NULL);
	UPDATE people SET name = 'other' WHERE id = 1;
	UPDATE people SET country = 'CH' WHERE id = 3;
	UPDATE people SET id = 9 WHERE id = 8;
	DELETE FROM people WHERE id = 5;
});
foreach my $binary ('text', 'binary')
{
	$pub->wait_for_catchup("people_$binary");
	is(stored($far, "far_$binary"), stored($pub, 'shop'), "$binary: the apply worker keeps them byte for byte, and seals nothing again");
	allowed($far, { dbname => "far_$binary" }, $envelopes, 't', 'all of them are envelopes');
	$far->safe_psql("far_$binary", "DROP SUBSCRIPTION people_$binary");
}

# ---------------------------------------------------------------------------
# What decoding shows
# ---------------------------------------------------------------------------
my ($status, $changes) = run_as($pub, { dbname => 'shop', purpose => 'billing' }, q{SELECT data FROM pg_logical_slot_peek_changes('decoded', NULL, NULL)});
like($changes, qr/INSERT: id\[bigint\]:7 .*name\[purpose\.sealed_text.*purpose:1:/, 'pg_logical_slot_peek_changes() shows envelopes');
unlike($changes, qr/name[0-9]|mail[0-9]|'other'/, 'and no value, whoever has whatever purpose');
($status, $changes) = run_as($pub, { dbname => 'shop', purpose => 'billing', options => '-cpurpose.sealed_output=open' },
	q{SELECT data FROM pg_logical_slot_peek_changes('decoded', NULL, NULL)});
unlike($changes, qr/name[0-9]|mail[0-9]|'other'/, 'not even when all output is to be opened');
my $lsn = $pub->safe_psql('shop', 'SELECT pg_current_wal_lsn()');
my ($out, $err) = ('', '');
IPC::Run::run([ $pub->installed_command('pg_recvlogical'), '-d', $pub->connstr('shop'), '-S', 'decoded', '--start', '-f', '-', '--no-loop', '--endpos', $lsn ],
	'>', \$out, '2>', \$err) or diag($err);
like($out, qr/purpose:1:/, 'pg_recvlogical shows envelopes');
unlike($out, qr/name[0-9]|mail[0-9]|'other'/, 'and no value');
$pub->safe_psql('postgres', q{SELECT pg_drop_replication_slot('decoded')});

# ---------------------------------------------------------------------------
# Row filters
# ---------------------------------------------------------------------------
$far->safe_psql('postgres', 'CREATE DATABASE filtered');
$far->safe_psql('filtered', "$purposes; $people; SELECT purpose.protect('people', subject => 'id')");
subscribe($far, 'filtered', 'filtered', 'shop');
$pub->safe_psql('shop', q{INSERT INTO people VALUES (20, 'AT', 'name20', 'mail20', 20), (21, 'DE', 'name21', 'mail21', 21)});
$pub->wait_for_catchup('filtered');
allowed($far, { dbname => 'filtered' }, q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM people}, '2 4 6 20', 'row filters by other columns work');
denied($pub, { dbname => 'shop' }, q{CREATE PUBLICATION refused FOR TABLE people WHERE (name::text = 'name1')}, '0A000',
	'a row filter cannot open a sealed value');
$far->safe_psql('filtered', 'DROP SUBSCRIPTION filtered');

# ---------------------------------------------------------------------------
# Plaintext for a table that cannot seal it
# ---------------------------------------------------------------------------
$pub->safe_psql('postgres', 'CREATE DATABASE plain');
$pub->safe_psql('plain', q{
	CREATE TABLE people (id bigint PRIMARY KEY, country text, name text, mail text, pay numeric);
	CREATE PUBLICATION plain FOR TABLE people});
foreach my $dbname ('cannot', 'can')
{
	$far->safe_psql('postgres', "CREATE DATABASE $dbname");
	$far->safe_psql($dbname, "$purposes; $people");
}
$far->safe_psql('can', q{SELECT purpose.protect('people', subject => 'id')});
subscribe($far, 'cannot', 'plain_cannot', 'plain');
subscribe($far, 'can', 'plain_can', 'plain');
my $offset = -s $far->logfile;
$pub->safe_psql('plain', q{INSERT INTO people VALUES (1, 'AT', 'in clear', 'mail', 1)});
ok($far->wait_for_log(qr/ERROR:  plaintext cannot be stored in a column of type/, $offset), 'the apply worker says why it cannot apply plaintext to a table that does not seal');
allowed($far, { dbname => 'cannot' }, 'SELECT count(*) FROM people', 0, 'and stores nothing');
unlike(substr(slurp_file($far->logfile), $offset), qr/in clear/, 'the log does not quote the value');
$pub->wait_for_catchup('plain_can');
allowed($far, { dbname => 'can' }, $envelopes, 't', 'a protected table seals what it is sent');
allowed($far, { dbname => 'can', purpose => 'billing' }, $opened, '1,in clear,mail,1', 'with its own keys');
$far->safe_psql('cannot', q{ALTER TABLE people ADD x int; SELECT purpose.protect('people', subject => 'id')});
$pub->wait_for_catchup('plain_cannot');
allowed($far, { dbname => 'cannot', purpose => 'billing' }, $opened, '1,in clear,mail,1', 'once it is protected, it goes on');
$far->safe_psql($_, "DROP SUBSCRIPTION plain_$_") foreach 'cannot', 'can';

# ---------------------------------------------------------------------------
# A subscriber with the publisher's keyring
# ---------------------------------------------------------------------------
$sub->safe_psql('postgres', 'CREATE DATABASE shop');
$sub->safe_psql('shop', "$purposes; $people");
$sub->safe_psql('shop', sprintf(q{INSERT INTO purpose.keyring_binding (keyring, created_by) VALUES ('%s', 'publisher')},
		$pub->safe_psql('shop', 'SELECT keyring FROM purpose.keyring_binding')));
$sub->safe_psql('shop', q{SELECT purpose.protect('people', subject => 'id')});
subscribe($sub, 'shop', 'people_same', 'shop');
is(stored($sub, 'shop'), stored($pub, 'shop'), 'a subscriber with the same keyring has the same envelopes');
my ($rc, $all) = run_as($pub, { dbname => 'shop', purpose => 'billing' }, $opened);
allowed($sub, { dbname => 'shop', purpose => 'billing' }, $opened, $all, 'and opens them');
allowed($sub, { dbname => 'shop', purpose => 'shipping' }, q{SELECT count(name::text) FROM people}, 0, 'for the purpose of their label only');
$pub->safe_psql('shop', q{UPDATE people SET name = 'new' WHERE id = 2});
$pub->wait_for_catchup('people_same');
is(stored($sub, 'shop'), stored($pub, 'shop'), 'changes too');
allowed($sub, { dbname => 'shop', purpose => 'billing' }, q{SELECT name::text FROM people WHERE id = 2}, 'new', 'and opens those');

# A shred at the publisher reaches it by the keyring.
my $receipt = $pub->safe_psql('shop', q{SELECT purpose.shred('people', 4)});
ok($pub->poll_query_until('shop', qq{SELECT destroyed_at IS NOT NULL FROM purpose.shred_receipts WHERE receipt_id = '$receipt'}), 'a person is shredded at the publisher');
allowed($pub, { dbname => 'shop', purpose => 'billing' }, q{SELECT name::text, mail::text FROM people WHERE id = 4}, '|', 'whose values open no more');
ok($sub->poll_query_until('shop', q{SELECT name::text IS NULL AND mail::text IS NULL AND pay::numeric IS NULL
		FROM set_config('purpose.current', 'billing', false) s, LATERAL (SELECT * FROM people WHERE s IS NOT NULL AND id = 4) p}),
	'nor do they at the subscriber, as soon as it has read the keyring again');
allowed($sub, { dbname => 'shop', purpose => 'billing' }, q{SELECT name::text FROM people WHERE id = 2}, 'new', 'others do');
$sub->safe_psql('shop', 'DROP SUBSCRIPTION people_same');

# ---------------------------------------------------------------------------
# postgres_fdw
# ---------------------------------------------------------------------------
SKIP:
{
	skip 'there is no postgres_fdw', 3
	  if $pub->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) == 0;
	$pub->safe_psql('postgres', 'CREATE DATABASE near');
	$pub->safe_psql('near', "$purposes" . sprintf(q{;
		CREATE EXTENSION postgres_fdw;
		CREATE SERVER shop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'shop');
		CREATE USER MAPPING FOR CURRENT_USER SERVER shop;
		CREATE FOREIGN TABLE people (id bigint, country text, name purpose.sealed_text(billing),
			mail purpose.searchable_text(billing), pay purpose.sealed_numeric(billing)) SERVER shop;
		CREATE FOREIGN TABLE clear (id bigint, country text, name text, mail text, pay text) SERVER shop OPTIONS (table_name 'people');
	}, $pub->host, $pub->port));
	$pub->safe_psql('shop', 'ALTER DATABASE shop RESET purpose.current; ALTER ROLE CURRENT_USER IN DATABASE shop RESET purpose.current');
	my ($rc2, $seen) = run_as($pub, { dbname => 'near' }, q{
		WITH fetched AS MATERIALIZED (SELECT * FROM clear)
		SELECT bool_and(name ~ '^purpose:1:'), bool_and(mail ~ '^purpose:1:'), count(*) > 5 FROM fetched WHERE name IS NOT NULL});
	is($seen, 't|t|t', 'a foreign table of text columns is given envelopes');
	allowed($pub, { dbname => 'near' }, q{SELECT bool_and(format('%s', name) ~ '^purpose:1:') FROM people WHERE name IS NOT NULL}, 't', 'one of sealed columns, too');
	($rc2, $seen, $err) = run_as($pub, { dbname => 'near', purpose => 'billing' }, q{SELECT name::text FROM people WHERE id = 2});
	unlike($seen // '', qr/new/, 'a database without the keyring opens none of them');
}

$_->stop foreach $far, $sub, $pub;
done_testing();
