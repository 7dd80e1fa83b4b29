# The proof: once a receipt says destroyed, nothing that anyone kept opens the
# shredded person's values, and everybody else's still open, from every backup.
#
# Kept are: a base backup, the WAL archive, a dump in custom format, a plain dump.
# Each is restored with the keyring as it is after the shred, the WAL archive to
# three moments: before the shred, between its COMMIT and the destruction of the
# keys, and to its end.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my ($one, $two) = ("$base/keys", "$base/mirror");
mkdir $_, 0700 foreach $one, $two;
my $conf = "purpose.keyring = 'file:$one, file:$two'\npurpose.key_lease = '2s'\nwal_compression = off\n";

my $main = purpose_cluster('main', allows_streaming => 1, has_archiving => 1, conf => $conf);
$main->safe_psql('postgres', q{
	SELECT purpose.create_purpose('billing', basis => 'contract');
	SELECT purpose.create_purpose('marketing', basis => 'contract');
	CREATE TABLE people (id bigint PRIMARY KEY,
		name purpose.sealed_text(billing),
		note purpose.sealed_text(billing, marketing, 'group notes'),
		mail purpose.searchable_text(billing) UNIQUE);
	CREATE TABLE purchases (id bigint PRIMARY KEY, person_id bigint REFERENCES people,
		price purpose.sealed_numeric('(10,2)', billing));
	SELECT purpose.protect('people', subject => 'id');
	SELECT purpose.protect('purchases', subject => 'person_id');
	INSERT INTO people SELECT i, 'name' || i, 'note' || i, 'mail' || i FROM generate_series(1, 9) i;
	INSERT INTO purchases SELECT i, i, i FROM generate_series(1, 9) i;
});

# What can be read: for each person, of name, note, mail and price those that
# open, by their first letters.
my $readable = q{
	SELECT string_agg(format('%s%s%s%s%s', p.id, left(p.name::text, 1), left(p.note::text, 2),
							 left(p.mail::text, 1), CASE WHEN q.price::numeric = p.id THEN '$' END), ' ' ORDER BY p.id)
	FROM people p JOIN purchases q ON q.person_id = p.id};
my $all = join ' ', map { "${_}nnom\$" } 1 .. 9;
my %cut = (4 => '4', 6 => '6nm$');
my $survivors = join ' ', map { $cut{$_} // "${_}nnom\$" } 1 .. 9;

sub reads
{
	my ($node, $expected, $name, $dbname) = @_;

	$dbname //= 'postgres';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return allowed($node, { purpose => 'billing', dbname => $dbname }, $readable, $expected, $name);
}

sub reconcile
{
	my ($node, $dbname) = @_;

	$node->safe_psql($dbname // 'postgres', 'SELECT purpose.reconcile()');
	return;
}

reads($main, $all, 'before the shred all values open');
allowed($main, {}, q{SELECT count(name::text) FROM people}, 0, 'without a purpose none does, not even for a superuser');

# What people keep.
$main->backup('base');
$main->command_ok([ 'pg_dump', '-Fc', '-f', "$base/dump.custom", $main->connstr('postgres') ], 'a dump in custom format');
$main->command_ok([ 'pg_dump', '-f', "$base/dump.sql", $main->connstr('postgres') ], 'a plain dump');
unlike(slurp_file("$base/dump.sql"), qr/name4|note4|mail4/, 'the dump holds no plaintext');
like(slurp_file("$base/dump.sql"), qr/purpose:1:/, 'but envelopes');

$main->safe_psql('postgres', q{SELECT pg_create_restore_point('before')});
my $receipt = $main->safe_psql('postgres', q{SELECT purpose.shred('people', 4)});
my $partial = $main->safe_psql('postgres', q{SELECT purpose.shred('people', 6, groups => '{notes}')});
$main->safe_psql('postgres', q{SELECT pg_create_restore_point('middle')});
reads($main, $survivors, 'from the COMMIT of the shred on its values are closed');
ok($main->poll_query_until('postgres', q{SELECT bool_and(destroyed_at IS NOT NULL) FROM purpose.shred_receipts}),
	'the receipts say destroyed');
reads($main, $survivors, 'the others still open');
allowed($main, {}, qq{SELECT destroyed_at >= unreachable_at, unreachable_at >= requested_at, evidence, groups FROM purpose.shred_receipts WHERE receipt_id = '$receipt'},
	't|t|file-unlinked|', 'the receipt says when, and how it is known');
allowed($main, {}, qq{SELECT groups FROM purpose.shred_receipts WHERE receipt_id = '$partial'}, '{notes}', 'the other one for which group');
allowed($main, {}, qq{SELECT purpose.verify_receipt('$receipt'), purpose.verify_receipt('$partial')}, undef, 'both verify');
$main->safe_psql('postgres', 'SELECT pg_switch_wal()');

# From backups, with the keyring as it is now.  production still runs.
foreach my $target ('before', 'middle', undef)
{
	my $name = $target // 'end';
	my $copy = PostgreSQL::Test::Cluster->new("restored_$name");

	$copy->init_from_backup($main, 'base', has_restoring => 1, standby => 0);
	$copy->append_conf('postgresql.conf', "recovery_target_name = '$target'\nrecovery_target_action = 'promote'") if defined $target;
	$copy->append_conf('postgresql.conf', "archive_mode = off");
	$copy->start;
	ok($copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'), "base backup and WAL, to the moment: $name");
	allowed($copy, {}, q{SELECT count(*) FROM purpose.shred_receipts}, defined $target && $target eq 'before' ? 0 : 2, 'it is that moment');
	reconcile($copy);
	reads($copy, $survivors, "restored to $name: no value of the shredded opens, every other does");
	denied($copy, { purpose => 'billing' }, q{UPDATE people SET name = 'x' WHERE id = 4}, 'PU015', 'nor can values be sealed for the shredded');
	allowed($copy, { purpose => 'billing' }, q{UPDATE people SET name = 'new' WHERE id = 5 RETURNING name::text}, 'new', 'for others they can');
	denied($copy, { purpose => 'billing' }, q{INSERT INTO people VALUES (100, 'x')}, 'PU013', 'a copy without the claim gives nobody new keys');
	$copy->stop;
}

foreach my $dump ('custom', 'sql')
{
	my $copy = purpose_cluster("loaded_$dump", extension => 0, conf => $conf);

	if ($dump eq 'sql')
	{
		$copy->command_ok([ 'psql', '-v', 'ON_ERROR_STOP=1', '-q', '-d', $copy->connstr('postgres'), '-f', "$base/dump.sql" ], 'the plain dump loads');
	}
	else
	{
		$copy->command_ok([ 'pg_restore', '--exit-on-error', '-d', $copy->connstr('postgres'), "$base/dump.custom" ], 'the custom dump loads');
	}
	reconcile($copy);
	reads($copy, $survivors, "dump in $dump format: the same");
	$copy->stop;
}

reads($main, $survivors, 'production has lost nothing by all that');
allowed($main, { purpose => 'billing' }, q{INSERT INTO people VALUES (101, 'x') RETURNING name::text}, 'x', 'and gives new subjects their keys');

# A restart reads the keyring anew.
$main->restart;
reads($main, "$survivors", 'after a restart');
$main->safe_psql('postgres', q{SELECT purpose.readmit('people', 4)});
allowed($main, { purpose => 'billing' }, q{UPDATE people SET name = 'back' WHERE id = 4 RETURNING name::text, note::text}, 'back|', 'who is readmitted starts anew');

done_testing();
