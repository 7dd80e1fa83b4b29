# Purposes that a login brings along: from ALTER ROLE and ALTER DATABASE, from the
# client's connection options, from a service's environment.  A wrong one lets the
# login through and is refused, clearly, when it is first used.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $node = purpose_cluster('main');
my $app = 'regress_purpose_app';
my $ids = q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers};

shop($node);
$node->safe_psql('postgres', q{
	CREATE DATABASE without;
	CREATE ROLE regress_purpose_reader;
	GRANT SELECT ON customers TO regress_purpose_reader;
	GRANT regress_purpose_reader TO regress_purpose_app;
});

# setting(SQL): makes what logins bring along, after taking away what they did.
sub setting
{
	my ($sql) = @_;

	$node->safe_psql('postgres', "
		ALTER ROLE $app RESET ALL;
		ALTER DATABASE postgres RESET ALL;
		ALTER ROLE ALL RESET ALL;
		ALTER ROLE $app IN DATABASE postgres RESET ALL;
		SET purpose.current = 'billing';	-- of the session that sets it, which must not matter
		$sql");
	return;
}

# ---------------------------------------------------------------------------
# Where a purpose can come from, and which one counts
# ---------------------------------------------------------------------------
denied($node, $app, $ids, 'PU001', 'a login that brings no purpose');
setting("ALTER ROLE $app SET purpose.current = 'marketing'");
allowed($node, $app, $ids, '1', 'ALTER ROLE SET');
allowed($node, $app, 'SELECT purpose.current_purpose()', 'marketing', 'is what the session says');
setting("ALTER DATABASE postgres SET purpose.current = 'marketing.email'");
allowed($node, $app, $ids, '1 6', 'ALTER DATABASE SET');
setting("ALTER ROLE ALL SET purpose.current = 'analytics'");
allowed($node, $app, $ids, '1 2 3 6', 'ALTER ROLE ALL SET');
setting("ALTER DATABASE postgres SET purpose.current = 'marketing.email'; ALTER ROLE $app SET purpose.current = 'marketing'");
allowed($node, $app, $ids, '1', 'the role\'s counts before the database\'s');
setting("ALTER ROLE $app SET purpose.current = 'marketing'; ALTER ROLE $app IN DATABASE postgres SET purpose.current = 'analytics'");
allowed($node, $app, $ids, '1 2 3 6', 'and the role\'s in the database before both');
allowed($node, { user => $app, purpose => 'billing' }, $ids, '1 2 3 4 6', 'and connection options before all of them');
setting('SELECT');
allowed($node, { user => $app, purpose => 'marketing' }, $ids, '1', 'connection options');
allowed($node, { user => $app, options => '-cpurpose.current=marketing -cpurpose.scope=transaction' }, "$ids; $ids", "1\n1",
	'transaction scope does not end what the login brought');
allowed($node, { user => $app, options => '-cpurpose.current=marketing -cpurpose.scope=transaction' },
	"BEGIN; SET purpose.current = 'billing'; $ids; COMMIT; $ids", "1 2 3 4 6\n1", 'but returns to it');
{
	local $ENV{PGOPTIONS} = '-c purpose.current=marketing';
	allowed($node, $app, $ids, '1', 'PGOPTIONS');
}
allowed($node, { user => $app, options => '-cpurpose.current=support -cpurpose.justification=ticket1' }, 'SELECT count(*) FROM customers', 5,
	'a justification comes along, too');
denied($node, { user => $app, purpose => 'support' }, 'SELECT count(*) FROM customers', 'PU004', 'and is missing where it does not');

# What ends a purpose returns to the one that the login brought.
setting("ALTER ROLE $app SET purpose.current = 'marketing'");
allowed($node, $app, "SET purpose.current = 'billing'; $ids; RESET purpose.current; $ids", "1 2 3 4 6\n1", 'RESET returns to the login\'s');
allowed($node, $app, "SET purpose.current = 'billing'; DISCARD ALL; $ids", '1', 'DISCARD ALL does');
allowed($node, $app, "BEGIN; SET LOCAL purpose.current = 'billing'; $ids; COMMIT; $ids", "1 2 3 4 6\n1", 'so does the end of SET LOCAL');
denied($node, $app, "SET purpose.current = ''; $ids", 'PU001', 'the empty purpose is none, whatever the login brought');

# SET ROLE takes neither settings nor rights of the other role along.
setting("ALTER ROLE regress_purpose_reader SET purpose.current = 'billing'; ALTER ROLE $app SET purpose.current = 'marketing'");
denied($node, $app, "SET ROLE regress_purpose_reader; $ids", 'PU003', 'after SET ROLE the purpose is the login\'s, the right is the role\'s');
allowed($node, $app, "SET ROLE regress_purpose_reader; RESET ROLE; $ids", '1', 'and after RESET ROLE all is as before');

# ---------------------------------------------------------------------------
# Wrong ones
# ---------------------------------------------------------------------------
my %wrong = (
	'does not exist' => [ 'nonsense', 'PU002' ],
	'is not granted' => [ 'care', 'PU003' ],
	'is empty' => [ '', 'PU001' ],
	'is not even a name' => [ 'a..b', 'PU002' ],
	'is longer than any name' => [ 'x' x 500, 'PU002' ]);
$node->safe_psql('postgres', q{SELECT purpose.create_purpose('care', basis => 'contract')});
foreach my $how (sort keys %wrong)
{
	my ($purpose, $sqlstate) = @{ $wrong{$how} };

	setting("ALTER ROLE $app SET purpose.current = '$purpose'");
	allowed($node, $app, 'SELECT 1', 1, "ALTER ROLE with a purpose that $how: the login works");
	denied($node, $app, $ids, $sqlstate, 'protected data is refused, and it says why');
	allowed($node, $app, "SET purpose.current = 'billing'; $ids", '1 2 3 4 6', 'another purpose can be declared');
	setting("ALTER DATABASE postgres SET purpose.current = '$purpose'");
	allowed($node, $app, 'SELECT 1', 1, "ALTER DATABASE with a purpose that $how: the login works");
	denied($node, $app, $ids, $sqlstate, 'protected data is refused');
	setting('SELECT');
	allowed($node, { user => $app, purpose => $purpose }, 'SELECT 1', 1, "a connection option with a purpose that $how: the login works");
	denied($node, { user => $app, purpose => $purpose }, $ids, $sqlstate, 'protected data is refused');
}

# The message of first use names purpose, role and remedy.
setting("ALTER ROLE $app SET purpose.current = 'care'");
my ($status, $out, $err) = run_as($node, $app, $ids);
like($err, qr/ERROR: .* role "regress_purpose_app" may not declare purpose "care"/, 'the error names role and purpose');
like($err, qr/HINT: .*grant_purpose/, 'and what would help');

# A purpose that comes to be, and goes, while it is set.
setting("ALTER ROLE $app SET purpose.current = 'later'");
my $session = session($node, $app);
is(ask($session, $ids), 'PU002', 'a purpose that does not exist yet');
$node->safe_psql('postgres', q{SELECT purpose.create_purpose('later', basis => 'contract')});
is(ask($session, $ids), 'PU003', 'is refused for another reason once it does');
$node->safe_psql('postgres', "SELECT purpose.grant_purpose('later', '$app')");
is(ask($session, $ids), '1 2 3 4 6', 'and serves once it is granted');
$node->safe_psql('postgres', q{SELECT purpose.drop_purpose('later')});
is(ask($session, $ids), 'PU002', 'and no more when it is dropped');
$session->quit;

# Other settings that a login may bring.
setting('SELECT');
($status, $out, $err) = run_as($node, { user => $app, options => '-cpurpose.scope=forever' }, 'SELECT 1');
isnt($status, 0, 'a scope that there is not is refused at login');
like($err, qr/invalid value for parameter "purpose.scope"/, 'with its reason');
($status, $out, $err) = run_as($node, { user => $app, options => '-cpurpose.curent=billing' }, $ids);
isnt($status, 0, 'a setting that is misspelt gives no data');
is($out, '', 'none at all');

# A database that has no extension, and one that gets it.
$node->safe_psql('postgres', "ALTER ROLE $app SET purpose.current = 'billing'");
allowed($node, { user => $app, dbname => 'without' }, 'SELECT 1', 1, 'a default purpose does no harm in a database without the extension');
allowed($node, { user => $app, dbname => 'without' }, "SET purpose.current = 'anything'; SHOW purpose.current", 'anything', 'where any can be set');
$node->safe_psql('without', 'CREATE EXTENSION pg_purpose');
denied($node, { user => $app, dbname => 'without' }, "SET purpose.current = 'anything'", 'PU002', 'until it has the extension');

# Function and procedure settings: the purpose holds while the function runs.
setting("ALTER ROLE $app SET purpose.current = 'marketing'");
$node->safe_psql('postgres', qq{
	CREATE FUNCTION bill() RETURNS text LANGUAGE plpgsql SET purpose.current = 'billing' AS \$\$ BEGIN RETURN ($ids); END \$\$;
	CREATE FUNCTION care() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET purpose.current = 'care' AS \$\$ BEGIN RETURN ($ids); END \$\$;
});
allowed($node, $app, "SELECT bill(); $ids", "1 2 3 4 6\n1", 'a function\'s SET clause holds while it runs');
denied($node, $app, 'SELECT care()', 'PU003', 'and needs the caller\'s right to its purpose');

$node->stop;
done_testing();
