# Sealed columns in a dump: envelopes only, which load into an empty database
# before purposes, labels, subjects' numbers and the registration of created
# types are there, and open for the same purposes then.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $tempdir = PostgreSQL::Test::Utils::tempdir;
mkdir("$tempdir/keys", 0700);
my $node = purpose_cluster('main', extension => 0, conf => "purpose.keyring = 'file:$tempdir/keys'");

$node->safe_psql('postgres', 'CREATE DATABASE original');
$node->safe_psql('original', q{
	CREATE EXTENSION pg_purpose;
	SELECT purpose.create_purpose('billing', basis => 'contract');
	CREATE TYPE mood AS ENUM ('sad', 'glad');
	SELECT purpose.create_sealed_type('mood'), purpose.create_sealed_type('interval');
	CREATE DOMAIN mail AS purpose.sealed_text(billing);
	CREATE TYPE contact AS (kind text, feeling purpose.sealed_mood(billing));
	-- Sorts, and so is loaded, before the extension's own tables.
	CREATE TABLE people (id int PRIMARY KEY,
		t purpose.sealed_text(billing, 'never marketing', 'group papers'),
		m purpose.sealed_mood(billing),
		i purpose.sealed_interval(billing),
		s purpose.searchable_text(billing) UNIQUE,
		d mail, c contact, n purpose.sealed_numeric('(6,2)', billing)[]);
	SELECT purpose.protect('people', subject => 'id');
	CREATE TABLE visits (id int PRIMARY KEY, person int REFERENCES people, at purpose.sealed_date(billing)) PARTITION BY RANGE (id);
	CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (0) TO (100);
	SELECT purpose.protect('visits', subject => 'person');
	CREATE TABLE elsewhere AS SELECT * FROM people;
	INSERT INTO people VALUES (1, 'canary text', 'glad', '1 day 02:03', 'canary search', 'canary mail', ROW('x', 'sad'), '{1.005,-2}'),
		(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	INSERT INTO visits VALUES (1, 1, '2020-02-29');
	INSERT INTO elsewhere SELECT * FROM people;
	SELECT purpose.hold('visits', 'id < 10', reason => 'case 1');
	SELECT purpose.hold_subject('people', 2, reason => 'case 2');
	SELECT purpose.release_hold(2);
});
my $people = q{SELECT * FROM people WHERE id = 1};
my $row = q{1|canary text|glad|1 day 02:03:00|canary search|canary mail|(x,sad)|{1.01,-2.00}};
allowed($node, { dbname => 'original', purpose => 'billing' }, $people, $row, 'opened before');

my $from = 'original';
foreach my $to (qw(restored restored_again))
{
	my $file = "$tempdir/$to.sql";

	# Whoever dumps, for whatever purpose.
	local $ENV{PGOPTIONS} = '-c purpose.current=billing';
	$node->command_ok([ 'pg_dump', '-f', $file, '-d', $node->connstr($from) ], "$from is dumped");
	my $dump = slurp_file($file);
	unlike($dump, qr/canary|2020-02-29|\bglad\b.*\n.*purpose:1:/, 'without plaintext');
	like($dump, qr/^1\tpurpose:1:/m, 'with envelopes');

	delete $ENV{PGOPTIONS};
	$node->safe_psql('postgres', "CREATE DATABASE $to");
	$node->command_ok([ 'psql', '-X', '-q', '-o', "$tempdir/$to.out", '-v', 'ON_ERROR_STOP=1', '-1', '-f', $file,
			'-d', $node->connstr($to) ], 'and restored, in one transaction, without an error');
	allowed($node, { dbname => $to, purpose => 'billing' }, $people, $row, 'values open');
	allowed($node, { dbname => $to, purpose => 'billing' }, q{SELECT at, t FROM visits JOIN elsewhere e ON e.id = person},
		'2020-02-29|canary text', 'of partitions, and where nothing protects them');
	allowed($node, { dbname => $to, purpose => 'billing' }, q{SELECT id FROM people WHERE s = 'canary search'}, 1, 'and are found');
	allowed($node, { dbname => $to }, q{SELECT count(t), count(t::text) FROM people}, '1|0', 'closed without a purpose');
	allowed($node, { dbname => $to }, q{SELECT c.relname, (SELECT count(*) FROM pg_constraint o WHERE o.conrelid = c.oid AND o.conname LIKE 'purpose_sealed%'),
			(SELECT tgenabled FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = '~purpose_seal')
		FROM pg_class c WHERE c.relname IN ('people', 'visits', 'visits_1', 'elsewhere') ORDER BY 1},
		"elsewhere|7|\npeople|7|A\nvisits|1|A\nvisits_1|1|A", 'each CHECK once, and the trigger');
	allowed($node, { dbname => $to }, q{SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'people'::regclass AND attname IN ('t', 'n') ORDER BY attnum},
		"purpose.sealed_text(billing,'never marketing','group papers')\npurpose.sealed_numeric(billing,'(6,2)')[]", 'labels are known');
	allowed($node, { dbname => $to }, q{SELECT hold_id, relation, "where", subject, reason, released_at IS NOT NULL FROM purpose.holds ORDER BY 1},
		"1|visits|(id < 10)||case 1|f\n2|people||2|case 2|t", 'legal holds are known');
	denied($node, { dbname => $to }, q{SELECT purpose.shred('people', 1)}, 'PU018', 'and hold');
	allowed($node, { dbname => $to }, q{BEGIN; SELECT purpose.hold_subject('people', 2, reason => 'new'); ROLLBACK}, $from eq 'original' ? 3 : 4,
		'their ids go on');
	denied($node, { dbname => $to }, 'DROP TYPE mood', '2BP01', 'a created type depends on its base type');
	denied($node, { dbname => $to, purpose => 'billing' }, q{INSERT INTO elsewhere (id, t) VALUES (3, 'x')}, 'PU014',
		'plaintext is refused where nothing seals it');
	$from = $to;
}

$node->stop;
done_testing();
