# Logical replication of sealed columns in both directions, between databases that
# share a keyring and between databases that do not: envelopes travel unchanged,
# there and back, and nothing is sealed a second time.
#
# Each row is written on one side only: odd ones on the left, even ones on the
# right, and publications have row filters that say so.  That is what keeps a change
# from coming back; from PostgreSQL 16 on "origin = none" does, which is tried, too.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $shared = PostgreSQL::Test::Utils::tempdir;
my $own = PostgreSQL::Test::Utils::tempdir;
my $fast = "wal_retrieve_retry_interval = 100ms\nmax_logical_replication_workers = 12\nmax_worker_processes = 16\npurpose.key_lease = '2s'\n";
my $left = purpose_cluster('left', extension => 0, allows_streaming => 'logical', conf => "$fast\npurpose.keyring = 'file:$shared'");
my $right = purpose_cluster('right', extension => 0, allows_streaming => 'logical', conf => "$fast\npurpose.keyring = 'file:$shared'");
my $stranger = purpose_cluster('stranger', extension => 0, allows_streaming => 'logical', conf => "$fast\npurpose.keyring = 'file:$own'");

my $schema = q{
	CREATE EXTENSION pg_purpose;
	SELECT purpose.create_purpose('billing', basis => 'contract');
	CREATE TABLE people (id bigint PRIMARY KEY, country text,
		name purpose.sealed_text(billing), mail purpose.searchable_text(billing) UNIQUE,
		pay purpose.sealed_numeric(billing), tags purpose.sealed_text(billing)[]);
	SELECT purpose.protect('people', subject => 'id')};
my $stored = q{SET purpose.sealed_output = 'envelope';
	SELECT string_agg(concat_ws(',', id, country, format('%s', name), format('%s', mail), format('%s', pay), format('%s', tags)), ' ' ORDER BY id) FROM people};
my $opened = q{SELECT string_agg(concat_ws(',', id, name::text, mail::text, pay::numeric, tags::text[]), ' ' ORDER BY id) FROM people WHERE id %% 2 = any('{%s}')};

# row(ID, ROUND): what is written, and what opens.
sub row { my ($id, $round) = @_; return "$id,name$id-$round,mail$id-$round,$id.$round,{tag$id-$round}"; }

sub stored { return $_[0]->safe_psql($_[1], $stored); }

# write_rows(NODE, DBNAME, REST, ROUND): inserts or updates the rows that are written
# on that side.
sub write_rows
{
	my ($node, $dbname, $rest, $round) = @_;

	$node->safe_psql($dbname, qq{
		SET purpose.current = 'billing';
		INSERT INTO people SELECT i, 'XX', format('name%s-%s', i, $round), format('mail%s-%s', i, $round), (i || '.' || $round)::numeric,
				ARRAY[format('tag%s-%s', i, $round)]
			FROM generate_series(1, 8) i WHERE i % 2 = $rest
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, mail = excluded.mail, pay = excluded.pay, tags = excluded.tags;
	});
	return;
}

# connect_both(LEFT NODE, RIGHT NODE, DBNAME, LEFT FILTER, RIGHT FILTER, OPTIONS):
# publications and subscriptions in both directions, with the initial copies done.
sub connect_both
{
	my ($l, $r, $dbname, $lfilter, $rfilter, $options) = @_;

	$l->safe_psql($dbname, "CREATE PUBLICATION $dbname FOR TABLE people $lfilter");
	$r->safe_psql($dbname, "CREATE PUBLICATION $dbname FOR TABLE people $rfilter");
	subscribe($l, $r, $dbname, 'to_left', $options);
	subscribe($r, $l, $dbname, 'to_right', $options);
	return;
}

sub subscribe
{
	my ($node, $from, $dbname, $name, $options) = @_;
	my $connstr = $from->connstr($dbname) . " application_name=${dbname}_$name";

	$node->safe_psql($dbname, "CREATE SUBSCRIPTION ${dbname}_$name CONNECTION \$c\$$connstr\$c\$ PUBLICATION $dbname $options");
	$node->wait_for_subscription_sync($from, "${dbname}_$name", $dbname);
	return;
}

sub catch_up
{
	my ($l, $r, $dbname) = @_;

	$l->wait_for_catchup("${dbname}_to_right");
	$r->wait_for_catchup("${dbname}_to_left");
	return;
}

sub disconnect
{
	my ($l, $r, $dbname) = @_;

	$l->safe_psql($dbname, "DROP SUBSCRIPTION ${dbname}_to_left");
	$r->safe_psql($dbname, "DROP SUBSCRIPTION ${dbname}_to_right");
	return;
}

# ---------------------------------------------------------------------------
# One keyring
# ---------------------------------------------------------------------------

# The right one is made from a dump of the left one, so it knows the numbers of
# everybody who is there; those of new people come by replication.
$left->safe_psql('postgres', 'CREATE DATABASE one');
$left->safe_psql('one', $schema);
write_rows($left, 'one', $_, 0) foreach 0, 1;
$left->command_ok([ 'pg_dump', '-f', "$shared.sql", $left->connstr('one') ], 'the left one is dumped');
$right->safe_psql('postgres', 'CREATE DATABASE one');
$right->safe_psql('one', slurp_file("$shared.sql"));
is(stored($right, 'one'), stored($left, 'one'), 'a database made from its dump has the same envelopes');
my %first = map { /^(\d+),/ ? ($1 => $_) : () } split / (?=\d+,)/, stored($left, 'one');

connect_both($left, $right, 'one', 'WHERE (id % 2 = 1)', 'WHERE (id % 2 = 0)', 'WITH (copy_data = false)');
$left->safe_psql('one', 'CREATE PUBLICATION numbers FOR TABLE purpose.subject_number');
$right->safe_psql('one', q{ALTER SUBSCRIPTION one_to_right ADD PUBLICATION numbers WITH (copy_data = false)});
$right->wait_for_subscription_sync($left, 'one_to_right', 'one');
foreach my $round (1 .. 3)
{
	write_rows($left, 'one', 1, $round);
	write_rows($right, 'one', 0, $round);
	catch_up($left, $right, 'one');
	is(stored($right, 'one'), stored($left, 'one'), "one keyring, round $round: both have the same envelopes, byte for byte");
	foreach my $node ($left, $right)
	{
		allowed($node, { dbname => 'one', purpose => 'billing' }, sprintf($opened, '0,1'), join(' ', map { row($_, $round) } 1 .. 8),
			'all of them open, to what was written: ' . $node->name);
	}
}
my %now = map { /^(\d+),/ ? ($1 => $_) : () } split / (?=\d+,)/, stored($left, 'one');
is(join(' ', map { length $now{$_} } 1 .. 8), join(' ', map { length $first{$_} } 1 .. 8), 'none of them has grown');

# Somebody new on the left is written to on the right: by the number that came along.
$left->safe_psql('one', q{INSERT INTO people (id, name) VALUES (101, 'new'); INSERT INTO purpose.subject_number VALUES ('people', '102', purpose._draw_number())});
$left->wait_for_catchup('one_to_right');
allowed($right, { dbname => 'one', purpose => 'billing' }, 'SELECT name::text FROM people WHERE id = 101', 'new', 'somebody new on the left is read on the right');
allowed($right, { dbname => 'one', purpose => 'billing' }, q{INSERT INTO people (id, name) VALUES (102, 'here') RETURNING name::text}, 'here', 'and written to, where the number is known');
denied($right, { dbname => 'one', purpose => 'billing' }, q{INSERT INTO people (id, name) VALUES (104, 'x')}, 'PU013', 'the right one gives nobody new a number');
catch_up($left, $right, 'one');
is(stored($right, 'one'), stored($left, 'one'), 'both have the same');

# What is changed on the wrong side keeps its envelope, and stays there.
my $before = stored($left, 'one');
$right->safe_psql('one', q{UPDATE people SET country = 'YY' WHERE id = 1});
is(stored($right, 'one') =~ s/\bYY\b/XX/r, $before, 'another column of a row that came from there: the envelopes stay');
$right->safe_psql('one', q{UPDATE people SET country = 'XX' WHERE id = 1});

# A shred on the left closes the values on both sides.
my $receipt = $left->safe_psql('one', q{SELECT purpose.shred('people', 2)});
ok($left->poll_query_until('one', "SELECT destroyed_at IS NOT NULL FROM purpose.shred_receipts WHERE receipt_id = '$receipt'"), 'somebody is shredded on the left');
allowed($left, { dbname => 'one', purpose => 'billing' }, 'SELECT name::text FROM people WHERE id = 2', '', 'whose values, written on the right, open no more');
ok($right->poll_query_until('one', q{SELECT name::text IS NULL FROM set_config('purpose.current', 'billing', false) s, LATERAL (SELECT * FROM people WHERE s IS NOT NULL AND id = 2) p}),
	'on the right neither');
is(stored($right, 'one'), stored($left, 'one'), 'the envelopes are still the same');
denied($right, { dbname => 'one', purpose => 'billing' }, q{UPDATE people SET name = 'again' WHERE id = 2}, 'PU015', 'and nobody seals for that person again');
disconnect($left, $right, 'one');

# ---------------------------------------------------------------------------
# Two keyrings
# ---------------------------------------------------------------------------
foreach my $node ($left, $stranger)
{
	$node->safe_psql('postgres', 'CREATE DATABASE two');
	$node->safe_psql('two', $schema);
}
write_rows($left, 'two', 1, 0);
write_rows($stranger, 'two', 0, 0);
connect_both($left, $stranger, 'two', 'WHERE (id % 2 = 1)', 'WHERE (id % 2 = 0)', 'WITH (binary)');
is(stored($stranger, 'two'), stored($left, 'two'), 'two keyrings: the initial copies bring the envelopes of the other, byte for byte');
foreach my $round (1 .. 3)
{
	write_rows($left, 'two', 1, $round);
	write_rows($stranger, 'two', 0, $round);
	catch_up($left, $stranger, 'two');
	is(stored($stranger, 'two'), stored($left, 'two'), "two keyrings, round $round: both have the same envelopes");
	allowed($left, { dbname => 'two', purpose => 'billing' }, sprintf($opened, '1'), join(' ', map { row($_, $round) } 1, 3, 5, 7), 'the left one opens its own');
	allowed($stranger, { dbname => 'two', purpose => 'billing' }, sprintf($opened, '0'), join(' ', map { row($_, $round) } 2, 4, 6, 8), 'the right one opens its own');
}

# Numbers of both begin with 1: that one names somebody else here opens nothing.
denied($left, { dbname => 'two', purpose => 'billing' }, "SELECT name::text FROM people WHERE id = $_", 'PU012', "what the right one sealed opens nowhere else: $_") foreach 2, 8;
denied($stranger, { dbname => 'two', purpose => 'billing' }, "SELECT name::text FROM people WHERE id = $_", 'PU012', "nor what the left one did: $_") foreach 1, 7;
$before = stored($left, 'two');
$stranger->safe_psql('two', q{UPDATE people SET country = 'YY' WHERE id = 1});
is(stored($stranger, 'two') =~ s/\bYY\b/XX/r, $before, 'another column of such a row can be changed, and the envelopes stay');
$left->command_ok([ 'pg_dump', '-f', "$own.sql", $left->connstr('two') ], 'a database with envelopes of both is dumped');
$left->safe_psql('postgres', 'CREATE DATABASE again');
$left->safe_psql('again', slurp_file("$own.sql"));
is(stored($left, 'again'), stored($left, 'two'), 'and restored: nothing is sealed a second time');
disconnect($left, $stranger, 'two');

# ---------------------------------------------------------------------------
# Without row filters
# ---------------------------------------------------------------------------
SKIP:
{
	skip 'before PostgreSQL 16 a subscription takes changes of any origin', 3
	  if $left->safe_psql('postgres', 'SHOW server_version_num') < 160000;
	foreach my $node ($left, $stranger)
	{
		$node->safe_psql('postgres', 'CREATE DATABASE loop');
		$node->safe_psql('loop', $schema);
	}
	connect_both($left, $stranger, 'loop', '', '', 'WITH (origin = none, copy_data = false)');
	foreach my $round (1 .. 3)
	{
		write_rows($left, 'loop', 1, $round);
		write_rows($stranger, 'loop', 0, $round);
		catch_up($left, $stranger, 'loop');
		is(stored($stranger, 'loop'), stored($left, 'loop'), "origin = none, round $round: both have the same envelopes");
	}
	disconnect($left, $stranger, 'loop');
}

$_->stop foreach $left, $right, $stranger;
done_testing();
