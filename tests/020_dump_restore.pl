# A dump carries all that was declared and said into an empty cluster, in which
# the same is given to the same roles; and it carries nothing that whoever takes
# it may not read.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $tempdir = PostgreSQL::Test::Utils::tempdir;
my $source = purpose_cluster('source', extension => 0);
$source->safe_psql('postgres', 'CREATE DATABASE shop');
$source->safe_psql('shop', 'CREATE EXTENSION pg_purpose');
shop($source, 'shop');

# Everything that makes a dump hard: protection in observe mode; the owner's own
# policies, in force, switched off, and woken by protect(); labels without
# protection; domains; partitions; inheritance; names that need quotes; what was
# renamed after it was declared; labels of purposes that are gone.
$source->safe_psql('shop', q{
	CREATE ROLE regress_purpose_gone LOGIN;
	CREATE ROLE "regress_purpose Officer" LOGIN;

	CREATE TABLE observed (id int PRIMARY KEY, customer_id bigint REFERENCES customers, ip text);
	SELECT purpose.protect('observed', subject => 'customer_id', mode => 'observe');
	SECURITY LABEL FOR purpose ON COLUMN observed.ip IS 'for billing';

	-- Observed, and its own policy is switched off.
	CREATE TABLE dormant (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	CREATE POLICY sleeping ON dormant USING (id > 1000);
	SELECT purpose.protect('dormant', subject => 'customer_id', mode => 'observe');

	-- Its own policy is in force, and goes on.
	CREATE TABLE with_policy (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	ALTER TABLE with_policy ENABLE ROW LEVEL SECURITY;
	CREATE POLICY low ON with_policy USING (id < 3);
	SELECT purpose.protect('with_policy', subject => 'customer_id');

	-- Its own policy slept, and was woken.
	CREATE TABLE woken (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	CREATE POLICY low ON woken USING (id < 3);
	SELECT purpose.protect('woken', subject => 'customer_id', force => true);

	-- Row-level security without any policy gives nothing.
	CREATE TABLE closed (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	ALTER TABLE closed ENABLE ROW LEVEL SECURITY;
	SELECT purpose.protect('closed', subject => 'customer_id');

	-- pg_dump sorts by name, policies and what switches them on alike.
	CREATE TABLE a_first (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	SELECT purpose.protect('a_first', subject => 'customer_id');
	CREATE TABLE zebra (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	SELECT purpose.protect('zebra', subject => 'customer_id');

	CREATE TABLE forced (id int PRIMARY KEY, customer_id bigint REFERENCES customers);
	SELECT purpose.protect('forced', subject => 'customer_id');
	ALTER TABLE forced FORCE ROW LEVEL SECURITY;

	CREATE DOMAIN tax_number AS text;
	SECURITY LABEL FOR purpose ON DOMAIN tax_number IS 'for billing';
	CREATE TABLE label_only (id int PRIMARY KEY, note text, tax tax_number);
	SECURITY LABEL FOR purpose ON COLUMN label_only.note IS 'for analytics never marketing';

	CREATE TABLE "Odd Table" ("The Id" int, "a, b" uuid, v text, PRIMARY KEY ("The Id", "a, b"));
	SELECT purpose.protect('"Odd Table"', subject => '"The Id", "a, b"');
	CREATE TABLE "Odd Child" (nr int PRIMARY KEY, "The Id" int, "a, b" uuid,
		FOREIGN KEY ("The Id", "a, b") REFERENCES "Odd Table");
	SELECT purpose.protect('"Odd Child"', via => '"The Id", "a, b"');

	CREATE TABLE parted (id int, customer_id bigint, day int, secret text) PARTITION BY RANGE (day);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
	SELECT purpose.protect('parted', subject => 'customer_id', "of" => 'customers');
	SELECT purpose.label_column('parted', 'secret', 'for billing');
	-- What stands in for values is made by functions of one's own, which a dump
	-- holds before the table, or after it because of what they rest on.
	CREATE SCHEMA masks;
	GRANT USAGE ON SCHEMA masks TO PUBLIC;
	CREATE TABLE redacted (id int PRIMARY KEY, a text, b text, c int, d text);
	CREATE FUNCTION masks.first(t text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
		AS $$ SELECT left(t, 1) || '..' $$;
	CREATE FUNCTION masks.later(t text, r redacted DEFAULT NULL) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
		AS $$ SELECT 'd' || length(t) $$;
	SELECT purpose.label_column('redacted', 'a', 'for billing else null');
	SELECT purpose.label_column('redacted', 'b', 'for billing else ''masks.first(value)''');
	SELECT purpose.label_column('redacted', 'c', 'for billing else ''-1''');
	SELECT purpose.label_column('redacted', 'd', 'for billing else ''masks.later(value)''');
	CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
	CREATE TABLE heir (more text) INHERITS (label_only);

	CREATE TABLE before_rename (id int PRIMARY KEY, whose bigint REFERENCES customers);
	SELECT purpose.protect('before_rename', subject => 'whose');
	ALTER TABLE before_rename RENAME whose TO of_whom;
	ALTER TABLE before_rename RENAME TO after_rename;
	CREATE SCHEMA elsewhere;
	ALTER TABLE after_rename SET SCHEMA elsewhere;

	CREATE FUNCTION login(e text) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
		AS 'SELECT id FROM public.customers WHERE email = e';
	SECURITY LABEL FOR purpose ON FUNCTION login(text) IS 'exempt';

	-- A subject table and a role that are gone leave rows behind that must not
	-- come to mean a stranger.
	CREATE TABLE gone (id int PRIMARY KEY);
	SELECT purpose.protect('gone', subject => 'id');
	SELECT purpose.grant_consent('gone', 7, 'marketing');
	DROP TABLE gone;
	SELECT purpose.grant_purpose('marketing', 'regress_purpose_gone');
	SELECT purpose.grant_purpose('billing', 'regress_purpose Officer');
	DROP ROLE regress_purpose_gone;

	INSERT INTO redacted VALUES (1, 'abc', 'bcd', 3, 'cdef');
	INSERT INTO observed SELECT i, i, 'ip' || i FROM generate_series(1, 6) i;
	INSERT INTO dormant SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO with_policy SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO woken SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO closed SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO a_first SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO zebra SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO forced SELECT i, i FROM generate_series(1, 6) i;
	INSERT INTO label_only SELECT i, 'note' || i, 'tax' || i FROM generate_series(1, 2) i;
	INSERT INTO heir VALUES (3, 'note3', 'tax3', 'more');
	INSERT INTO "Odd Table" SELECT i, '11111111-1111-1111-1111-111111111111', 'v' || i FROM generate_series(1, 2) i;
	INSERT INTO "Odd Child" SELECT i, i, '11111111-1111-1111-1111-111111111111' FROM generate_series(1, 2) i;
	SELECT purpose.grant_consent('"Odd Table"', '(2,11111111-1111-1111-1111-111111111111)', 'marketing');
	INSERT INTO parted SELECT i, i, 3 * i, 's' || i FROM generate_series(1, 6) i;
	INSERT INTO elsewhere.after_rename SELECT i, i FROM generate_series(1, 6) i;
	GRANT USAGE ON SCHEMA elsewhere TO PUBLIC;
	GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public, elsewhere TO regress_purpose_app;

	-- A consent that was given for a time.
	SELECT purpose.grant_consent('customers', 2, 'marketing.email', expires_at => '2999-01-01');
	SELECT purpose.grant_consent('customers', 3, 'marketing.email', expires_at => '2001-01-01');
});

my @queries = (
	'SELECT id, ip FROM observed', 'SELECT id FROM dormant', 'SELECT id FROM with_policy', 'SELECT id FROM woken',
	'SELECT id FROM closed', 'SELECT id FROM a_first', 'SELECT id FROM zebra', 'SELECT id FROM forced', 'SELECT note FROM label_only', 'SELECT tax FROM label_only',
	'SELECT note FROM heir', 'SELECT "The Id" FROM "Odd Table"', 'SELECT nr FROM "Odd Child"',
	'TABLE redacted', 'SELECT id FROM parted', 'SELECT secret FROM parted_1', 'SELECT id FROM parted_2',
	'SELECT id FROM elsewhere.after_rename', q{SELECT login('e3@x.example')});
my $decisions = decisions($source, 'shop', @queries);

# What is compared is not void.  The twins of each other, by purpose and by table.
foreach my $line (
	'marketing: SELECT id FROM with_policy -> (1)',
	'billing: SELECT id FROM with_policy -> (1) (2)',
	'billing: SELECT id FROM woken -> (1) (2)',
	'billing: SELECT id FROM closed -> nothing',
	'billing: SELECT id FROM zebra -> (1) (2) (3) (4) (6)',
	'billing: SELECT id FROM forced -> (1) (2) (3) (4) (6)',
	'marketing: SELECT id FROM dormant -> (1) (2) (3) (4) (5) (6)',
	'marketing: SELECT "The Id" FROM "Odd Table" -> (2)',
	'marketing: SELECT nr FROM "Odd Child" -> (2)',
	'marketing.email: SELECT id FROM elsewhere.after_rename -> (1) (2) (6)',
	'marketing: SELECT id FROM parted_2 -> nothing',
	'billing: SELECT secret FROM parted_1 -> (s1) (s2) (s3)',
	'marketing: SELECT secret FROM parted_1 -> PU005',
	'billing: TABLE redacted -> (1,abc,bcd,3,cdef)',
	'marketing: TABLE redacted -> (1,,b..,-1,d4)',
	'billing: SELECT tax FROM label_only -> (tax1) (tax2) (tax3)',
	'analytics: SELECT tax FROM label_only -> PU005',
	'analytics: SELECT note FROM heir -> (note3)',
	q{(none): SELECT login('e3@x.example') -> (3)})
{
	has_line($decisions, "regress_purpose_app $line", "at the source: $line");
}

# What stays behind in the source: rows about what is gone.
my $gone = q{SELECT count(*) FROM purpose.consent_history
	WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = subject_table::oid)};
allowed($source, { dbname => 'shop' }, $gone, 1, 'the source remembers consents for a table that is gone');
my $declarations = declarations($source, 'shop');
$declarations =~ s/^(?:grant\|[^|]*|state|history\|[^|]*)\|\d+\|.*\n//mg;

# Dumps are compared without what differs each time they are taken: rows come in
# the order of the plan by which pg_dump reads them.
sub dump_of
{
	my ($node, $dbname, @options) = @_;
	my ($out, $err) = run_command([ $node->installed_command('pg_dump'), '-d', $node->connstr($dbname), @options ]);

	is($err, '', "pg_dump of " . $node->name . ' says nothing');
	$out =~ s/^\\(?:un)?restrict .*\n//mg;
	$out =~ s/^(COPY [^\n]*;\n)(.*?)^\\\.$/$1 . join("\n", sort split(m{\n}, $2)) . "\n\\."/msge;
	return $out;
}

# restore(DBNAME, NAME, COMMAND...): runs COMMAND on a new database of the target
# and asserts that it holds what the source holds.
my $target = purpose_cluster('target', extension => 0);
my $original = dump_of($source, 'shop');
like($original, qr/^SECURITY LABEL FOR purpose ON TABLE public\.customers IS 'subject id mode enforce';$/m,
	'the dump holds the labels');
unlike($original, qr/^\d+\t.*regress_purpose_gone/m, 'and no role that is gone');

sub restored_ok
{
	my ($dbname, $name) = @_;

	same_lines(declarations($target, $dbname), $declarations, "$name: labels, policies, flags, purposes, grants, consents, history");
	same_lines(decisions($target, $dbname, @queries), $decisions, "$name: every decision");
	same_lines(dump_of($target, $dbname), $original, "$name: a dump of what was restored is the dump it was restored from");
	allowed($target, { dbname => $dbname }, $gone, 0, "$name: what was about nothing any more stayed behind");
}

sub restore
{
	my ($dbname, $name, @command) = @_;
	my ($out, $err);

	$target->safe_psql('postgres', "CREATE DATABASE $dbname");
	push @command, '-d', $target->connstr($dbname);
	my $result = IPC::Run::run(\@command, '>', \$out, '2>', \$err);
	ok($result, "$name: restored without an error") or diag($err);
	unlike($err, qr/ERROR/, "$name: not even one that was passed over") or diag($err);
	restored_ok($dbname, $name);
}

# Roles are the cluster's, so they are restored on their own.
my $globals = "$tempdir/globals.sql";
$source->command_ok([ 'pg_dumpall', '-d', $source->connstr('postgres'), '--roles-only', '-f', $globals ], 'roles are dumped');
$source->psql('postgres', 'SELECT 1');
{
	my $sql = slurp_file($globals);

	# The bootstrap superuser is there already.
	$sql =~ s/^(?:CREATE|ALTER) ROLE (?!"?regress_).*\n//mg;
	$target->safe_psql('postgres', $sql);
}

my $psql = $target->installed_command('psql');
my $pg_restore = $target->installed_command('pg_restore');
my %dumps = (plain => [], inserts => ['--column-inserts'], custom => ['-Fc'], tar => ['-Ft'], directory => [ '-Fd', '-j2' ]);
foreach my $format (sort keys %dumps)
{
	$source->command_ok([ 'pg_dump', '-d', $source->connstr('shop'), @{ $dumps{$format} }, '-f', "$tempdir/$format" ],
		"pg_dump, $format");
}
restore('plain', 'plain', $psql, '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', File::Spec->devnull, '-f', "$tempdir/plain");
restore('plain_1', 'plain, in one transaction', $psql, '-Xq', '-1', '-v', 'ON_ERROR_STOP=1', '-o', File::Spec->devnull,
	'-f', "$tempdir/plain");
restore('inserts', 'by INSERT', $psql, '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', File::Spec->devnull, '-f', "$tempdir/inserts");
restore('custom', 'custom', $pg_restore, '--exit-on-error', "$tempdir/custom");
restore('custom_1', 'custom, in one transaction', $pg_restore, '--single-transaction', "$tempdir/custom");
restore('parallel', 'directory, by two jobs', $pg_restore, '--exit-on-error', '-j2', "$tempdir/directory");
restore('tar', 'tar', $pg_restore, '--exit-on-error', "$tempdir/tar");

# Over a database that has it all already.
{
	my ($out, $err);
	my $result = IPC::Run::run([ $pg_restore, '--clean', '--if-exists', '--exit-on-error', '-d',
			$target->connstr('tar'), "$tempdir/custom" ], '>', \$out, '2>', \$err);

	ok($result, 'pg_restore --clean') or diag($err);
	restored_ok('tar', 'restored with --clean');
}

# Schema and data one after the other, as people do it who change things between.
$target->safe_psql('postgres', 'CREATE DATABASE parts');
foreach my $section (qw(pre-data data post-data))
{
	$target->command_ok([ 'pg_restore', "--section=$section", '--exit-on-error', '-d', $target->connstr('parts'),
			"$tempdir/custom" ], "pg_restore --section=$section");
}
restored_ok('parts', 'restored by sections');

# Life goes on in what was restored.
my $app = { user => 'regress_purpose_app', dbname => 'custom', purpose => 'marketing' };
$target->safe_psql('custom', q{
	SELECT purpose.withdraw_consent('customers', 1, 'marketing');
	SELECT purpose.grant_consent('customers', 3, 'marketing');
});
allowed($target, $app, 'SELECT id FROM customers', 3, 'restored: new consents and withdrawals count');
allowed($target, { dbname => 'custom' }, q{SELECT count(*), count(DISTINCT event_id) FROM purpose.consent_history},
	$source->safe_psql('shop', q{SELECT count(*) + 2 - 1, count(*) + 2 - 1 FROM purpose.consent_history}),
	'restored: new events get numbers of their own');
denied($target, { dbname => 'custom' }, 'DELETE FROM purpose.consent_history', '55000', 'restored: the history is append-only');
$target->safe_psql('custom', q{
	SELECT purpose.unprotect('with_policy');
	SELECT purpose.unprotect('woken');
	SELECT purpose.unprotect('orders') FROM (SELECT purpose.unprotect('items')) i;
	ALTER TABLE customers RENAME TO people;
});
allowed($target, { dbname => 'custom' }, q{SELECT relname, relrowsecurity,
		(SELECT string_agg(polname, ' ') FROM pg_policy WHERE polrelid = c.oid)
	FROM pg_class c WHERE relname IN ('with_policy', 'woken', 'orders') ORDER BY relname},
	"orders|f|\nwith_policy|t|low\nwoken|f|low", 'restored: unprotect() gives back what protect() found at the source');
allowed($target, $app, 'SELECT id FROM people', 3, 'restored: protection follows a new name');

# pg_dumpall, into a cluster that has the library and nothing else.
my $whole = purpose_cluster('whole', extension => 0);
$source->command_ok([ 'pg_dumpall', '-d', $source->connstr('postgres'), '-f', "$tempdir/whole" ], 'pg_dumpall');
{
	my ($status, $out, $err) = $whole->psql('postgres', slurp_file("$tempdir/whole"), on_error_stop => 0);
	my @errors = grep { !/role "[^"]*" already exists/ } $err =~ /ERROR:.*/g;

	is("@errors", '', 'pg_dumpall is restored without an error');
}
same_lines(declarations($whole, 'shop'), $declarations, 'pg_dumpall: the same declarations');
same_lines(decisions($whole, 'shop', @queries), $decisions, 'pg_dumpall: the same decisions');

# A dump taken by the tables' owner, who is bound, holds no row of theirs.
$source->safe_psql('shop', q{
	GRANT SELECT ON ALL TABLES IN SCHEMA public, elsewhere, purpose TO regress_purpose_owner;
	GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, elsewhere, purpose TO regress_purpose_owner;
});
foreach my $table (qw(customers orders items label_only parted_1))
{
	my ($out, $err);
	my $result = IPC::Run::run([ $source->installed_command('pg_dump'), '-U', 'regress_purpose_owner', '-d', $source->connstr('shop'),
			'-t', $table, '--data-only' ], '>', \$out, '2>', \$err);

	ok(!$result, "pg_dump of $table by a role that is bound fails");
	unlike($out, qr/\@x\.example|note1|w10|^\d/m, "and holds none of the rows of $table");
}
$source->command_ok([ 'pg_dump', '-U', 'regress_purpose_owner', '-d', $source->connstr('shop'), '-t', 'customers', '--schema-only',
		'-f', "$tempdir/owner_schema" ], 'the schema can be dumped by the owner');
like(slurp_file("$tempdir/owner_schema"), qr/SECURITY LABEL FOR purpose ON COLUMN public\.customers\.email/,
	'with its labels');

# With a purpose it would lack the rows that this does not permit, so it is refused
# as well: a backup must not be incomplete without a word.
$source->safe_psql('shop', q{
	SELECT purpose.grant_purpose('billing', 'regress_purpose_owner');
	ALTER ROLE regress_purpose_owner SET purpose.current = 'billing';
});
allowed($source, { user => 'regress_purpose_owner', dbname => 'shop' }, 'SELECT count(*) FROM customers', 5, 'the owner has a purpose now');
{
	my ($out, $err);
	my $result = IPC::Run::run([ $source->installed_command('pg_dump'), '-U', 'regress_purpose_owner', '-d', $source->connstr('shop'),
			'-t', 'customers', '--data-only' ], '>', \$out, '2>', \$err);

	ok(!$result, 'pg_dump by a role that is bound fails with a purpose, too');
	unlike($out, qr/\@x\.example/, 'and holds no row');
}

$_->stop foreach $source, $target, $whole;
done_testing();
