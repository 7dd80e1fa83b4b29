# Without the library in shared_preload_libraries nobody but the owner and
# superusers reads what was protected or labelled, whatever a session loads for
# itself; and nothing is lost when the library comes back.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $tempdir = PostgreSQL::Test::Utils::tempdir;
my $app = 'regress_purpose_app';
my $node = purpose_cluster('main', extension => 0);
$node->safe_psql('postgres', 'CREATE DATABASE shop; CREATE DATABASE restored');
$node->safe_psql('shop', 'CREATE EXTENSION pg_purpose');
shop($node, 'shop');
$node->safe_psql('shop', q{
	CREATE TABLE parted (id int, customer_id bigint, day int, secret text) PARTITION BY RANGE (day);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
	SELECT purpose.protect('parted', subject => 'customer_id', "of" => 'customers');
	CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (day);
	CREATE TABLE parted_2_1 PARTITION OF parted_2 FOR VALUES FROM (10) TO (15);
	CREATE TABLE attached (id int, customer_id bigint, day int, secret text);
	ALTER TABLE parted_2 ATTACH PARTITION attached FOR VALUES FROM (15) TO (20);

	CREATE DOMAIN tax_number AS text;
	SECURITY LABEL FOR purpose ON DOMAIN tax_number IS 'for billing';
	CREATE TABLE label_only (id int PRIMARY KEY, note text);
	SECURITY LABEL FOR purpose ON COLUMN label_only.note IS 'for billing';
	CREATE TABLE heir (more text) INHERITS (label_only);
	CREATE TABLE by_domain (id int PRIMARY KEY, tax tax_number);

	-- The owner's own policies go on within the floor.
	CREATE TABLE with_policy (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	ALTER TABLE with_policy ENABLE ROW LEVEL SECURITY;
	CREATE POLICY everything ON with_policy USING (true);
	SELECT purpose.protect('with_policy', subject => 'customer_id');

	CREATE TABLE observed (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	SELECT purpose.protect('observed', subject => 'customer_id', mode => 'observe');
	CREATE TABLE free (id int PRIMARY KEY);

	INSERT INTO parted SELECT i, i, 3 * i, 's' || i FROM generate_series(1, 6) i;
	INSERT INTO label_only VALUES (1, 'note1');
	INSERT INTO heir VALUES (2, 'note2', 'more2');
	INSERT INTO by_domain VALUES (1, 'tax1');
	INSERT INTO with_policy SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO observed SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO free VALUES (1);
	GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO regress_purpose_app;
	ANALYZE;
});

my @closed = qw(customers orders items parted parted_1 parted_2 parted_2_1 attached label_only heir by_domain with_policy);
my @queries = map { "SELECT * FROM $_" } @closed, 'observed', 'free';
my $declarations = declarations($node, 'shop');
my $decisions = decisions($node, 'shop', @queries);
has_line($decisions, "$app billing: SELECT * FROM attached -> (6,6,18,s6)",
	'with the library: what a label and a consent permit is given');
has_line($decisions, "$app marketing: SELECT * FROM label_only -> PU005", 'and the rest is refused');
my $dump = "$tempdir/dump";
$node->command_ok([ 'pg_dump', '-d', $node->connstr('shop'), '-f', $dump ], 'a dump is taken');

# closed_ok(DBNAME, NAME, BEFORE): the role's queries, in one session after the
# statements BEFORE, give nothing.
sub closed_ok
{
	my ($as, $name, $before) = @_;
	my $sql = join("\n", $before // '', map { "SELECT '$_', count(*) FROM $_;" } @closed);
	my ($status, $out, $err) = run_as($node, $as, $sql);

	$out =~ s/^[tf]\n//mg;
	is($out, join("\n", map { "$_|0" } @closed), "$name: no row of any table") or diag($err);
}

# Started without it.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
my $as = { user => $app, dbname => 'shop' };
closed_ok($as, 'without the library');
closed_ok({ %$as, purpose => 'billing' }, 'with a purpose in the setting that is then nobody\'s');
closed_ok($as, 'a session that calls the library\'s functions',
	q{SELECT purpose._loaded(); SELECT purpose._visible('customers'::regclass, 1::bigint);});
closed_ok({ dbname => 'shop' }, 'a superuser\'s session that loads the library, after SET ROLE',
	"LOAD 'pg_purpose'; SET ROLE $app; SET purpose.current = 'billing';");
$node->safe_psql('postgres', "ALTER ROLE $app SET session_preload_libraries = 'pg_purpose'");
closed_ok({ %$as, purpose => 'billing' }, 'with the library in session_preload_libraries');
$node->safe_psql('postgres', "ALTER ROLE $app RESET session_preload_libraries");
denied($node, $as, "LOAD 'pg_purpose'", '42501', 'a role that is no superuser cannot load the library');
allowed($node, $as, q{SELECT purpose._visible('customers'::regclass, 1::bigint)}, 'f', '_visible() is false');
allowed($node, $as, 'SELECT count(*) FROM free', 1, 'a table that nothing is declared about is open');
allowed($node, $as, 'SELECT count(*) FROM observed', 6, 'observe mode closes nothing');
allowed($node, { user => 'regress_purpose_owner', dbname => 'shop' }, 'SELECT count(*) FROM customers', 6,
	'the owner reads');
allowed($node, { dbname => 'shop' }, 'SELECT count(*) FROM parted_2', 3, 'superusers read');
allowed($node, $as, q{SELECT count(*) FROM pg_stats WHERE tablename IN ('customers', 'label_only', 'parted_1')}, 0,
	'statistics show no values');
allowed($node, { dbname => 'shop' }, q{SELECT count(*) > 0 FROM pg_stats WHERE tablename IN ('customers', 'label_only', 'parted_1')}, 't',
	'which are there');
allowed($node, $as, 'COPY customers TO stdout', '', 'COPY TO gives nothing');
allowed($node, $as, q{UPDATE customers SET name = 'x'; DELETE FROM label_only; DELETE FROM attached}, '', 'nothing can be changed');
allowed($node, $as, q{INSERT INTO customers VALUES (7, 'n7', 'e7@x.example', '+7')}, '', 'adding rows works');
allowed($node, { dbname => 'shop' }, q{SELECT count(*) FILTER (WHERE name = 'x'), count(*) FROM customers}, '0|7', 'and is all that worked');

# Declarations cannot be made where nothing would keep to them.
denied($node, { dbname => 'shop' }, q{SECURITY LABEL FOR purpose ON COLUMN free.id IS 'for billing'}, '22023',
	'SECURITY LABEL is refused');
denied($node, { dbname => 'shop' }, q{LOAD 'pg_purpose'; SECURITY LABEL FOR purpose ON COLUMN free.id IS 'for billing'}, '22023',
	'in a session that loads the library, too');
denied($node, { dbname => 'shop' }, q{SELECT purpose.protect('free', subject => 'id')}, '55000', 'protect() is refused');
denied($node, { dbname => 'shop' }, q{SELECT purpose.label_column('free', 'id', 'for billing')}, '55000', 'label_column() is refused');
denied($node, { dbname => 'shop' }, q{SELECT purpose.label_column('label_only', 'note', NULL)}, '55000', 'so is taking a label away');
denied($node, { dbname => 'shop' }, q{SELECT purpose.unprotect('items')}, '55000', 'and unprotect()');
allowed($node, { dbname => 'shop' }, q{SELECT purpose.withdraw_consent('customers', 1, 'marketing') > 0,
		purpose.grant_consent('customers', 1, 'marketing') > 0}, 't|t',
	'what people say is recorded nevertheless');
allowed($node, { dbname => 'shop' }, q{SELECT severity FROM purpose.check() WHERE problem ~ 'shared_preload_libraries' OR remedy ~ 'shared_preload_libraries'},
	'error', 'check() says what is missing');

# Things that change while nobody follows them.
$node->safe_psql('shop', q{
	ALTER TABLE orders RENAME customer_id TO of_whom;
	CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM (20) TO (30);
	INSERT INTO parted VALUES (20, 1, 20, 's20'), (21, 3, 21, 's21');
	GRANT SELECT ON parted_3 TO regress_purpose_app;
	DELETE FROM customers WHERE id = 7;
});

# The library comes back.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_purpose'");
$node->restart;
denied($node, { %$as, purpose => 'billing' }, 'SELECT count(*) FROM orders', 'PU006',
	'a subject column that was renamed without the library closes its table');
denied($node, { %$as, purpose => 'billing' }, 'SELECT count(*) FROM items', 'PU006', 'and those that lead to it');
allowed($node, { %$as, purpose => 'marketing' }, 'SELECT id FROM parted_3', 20,
	'a partition that was made without the library is protected, addressed directly');
$node->safe_psql('shop', q{DROP TABLE parted_3; ALTER TABLE orders RENAME of_whom TO customer_id});
$declarations =~ s/^(?:state|history|sequence)\|.*\n?//mg;
my $after = declarations($node, 'shop');
$after =~ s/^(?:state|history|sequence)\|.*\n?//mg;
same_lines($after, $declarations, 'declarations are as they were');
same_lines(decisions($node, 'shop', @queries), $decisions, 'decisions are as they were');

# Restored where the library is not preloaded, by someone who passes over the
# errors: what has no label is closed all the same.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
my ($status, $out, $err) = $node->psql('restored', slurp_file($dump), on_error_stop => 0);
like($err, qr/ERROR:.*(?:pg_purpose|security label provider)/, 'the restored database tells that the library is missing');
$as = { user => $app, dbname => 'restored', purpose => 'billing' };
closed_ok($as, 'restored without the library');
allowed($node, { dbname => 'restored' }, 'SELECT count(*) FROM customers', 6, 'the rows are there');

# And the library comes late: no declaration says what may be read, so the floor
# must not open.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_purpose'");
$node->restart;
foreach my $table (@closed)
{
	my ($status, $out) = run_as($node, $as, "SELECT * FROM $table");

	is($out, '', "restored without the library, which then came: $table, of which no declaration is left, is closed");
}
allowed($node, { dbname => 'restored' }, 'SELECT count(*) FROM customers', 6, 'superusers read');

$node->stop;
done_testing();
