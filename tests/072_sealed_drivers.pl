# Sealed and searchable columns through drivers and an ORM that know nothing of
# them: psycopg 3, SQLAlchemy, JDBC.  The programs are in tests/drivers; each
# prints its assertions, and has the purpose "billing", which opens, and
# "shipping", which does not.
use strict;
use warnings;
use File::Basename;
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $folder = File::Spec->rel2abs(dirname(__FILE__) . '/drivers');
my $scratch = PostgreSQL::Test::Utils::tempdir;
my $keys = PostgreSQL::Test::Utils::tempdir;

# JDBC has no Unix sockets.
my $node = purpose_cluster('main', conf => "listen_addresses = '127.0.0.1'\npurpose.keyring = 'file:$keys'");
my $port = $node->port;
$node->safe_psql('postgres', 'CREATE ROLE regress_purpose_app LOGIN');

# driver(NAME, COMMAND...): runs a program on a new table and counts its assertions.
sub driver
{
	my ($name, @command) = @_;
	my $dbname = "sealed_$name";
	my ($out, $err);

	$node->safe_psql('postgres', "CREATE DATABASE $dbname");
	$node->safe_psql($dbname, q{
		CREATE EXTENSION pg_purpose;
		SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{billing,shipping}'::text[]) p;
		SELECT purpose.grant_purpose(p, 'regress_purpose_app') FROM unnest('{billing,shipping}'::text[]) p;
		CREATE TABLE people (id bigint PRIMARY KEY,
			name purpose.sealed_text(billing),
			mail purpose.searchable_text(billing) UNIQUE,
			born purpose.sealed_date(billing),
			pay purpose.sealed_numeric('(10,2)', billing),
			extra purpose.sealed_jsonb(billing),
			tags purpose.sealed_text(billing)[]);
		SELECT purpose.protect('people', subject => 'id');
		GRANT SELECT, INSERT, UPDATE, DELETE ON people TO regress_purpose_app;
		GRANT TEMPORARY ON DATABASE } . $dbname . q{ TO regress_purpose_app;
	});
	IPC::Run::run([ map { s/DBNAME/$dbname/r } @command ], '>', \$out, '2>', \$err);
	my $status = $? >> 8;

	foreach my $line (split /\n/, $out)
	{
		if ($line =~ /^(not )?ok - (.*)/)
		{
			ok(!defined $1, "$name: $2");
		}
	}
	is($status, 0, "$name: ran to its end") or diag($err);
	allowed($node, { dbname => $dbname }, q{SELECT count(*) > 0, count(name::text) + count(mail::text) FROM people},
		't|0', "$name: for a superuser without a purpose nothing opens");
	return;
}

# The system's own Python, which Debian's packages belong to.
my ($python) = grep { -x $_ } qw(/usr/bin/python3);
my $dsn = "host=127.0.0.1 port=$port user=regress_purpose_app dbname=DBNAME";
$ENV{PYTHONDONTWRITEBYTECODE} = 1;
foreach my $program ([ 'psycopg3', 'psycopg' ], [ 'sqlalchemy', 'sqlalchemy', 'psycopg2' ])
{
	my ($name, @modules) = @$program;

  SKIP:
	{
		skip "$name: there is no Python", 1 if !defined $python;
		my $imports = join('; ', map { "import $_" } @modules);
		skip "$name: Debian's package of @modules is not installed", 1 if system("$python -c '$imports' 2>/dev/null") != 0;
		driver($name, $python, "$folder/sealed_$name.py", $dsn);
	}
}

SKIP:
{
	my $jar = '/usr/share/java/postgresql.jar';
	my ($out, $err);

	skip 'jdbc: libpostgresql-jdbc-java is not installed', 1 if !-e $jar;
	skip 'jdbc: there is no Java compiler', 1 if system('javac -version >/dev/null 2>&1') != 0;
	ok(IPC::Run::run([ 'javac', '-cp', $jar, '-d', $scratch, "$folder/SealedJdbcDriver.java" ], '>', \$out, '2>', \$err), 'jdbc: compiled')
	  or diag($err);
	driver('jdbc', 'java', '-XX:TieredStopAtLevel=1', '-cp', "$jar:$scratch", 'SealedJdbcDriver', "jdbc:postgresql://127.0.0.1:$port/DBNAME");
}

$node->stop;
done_testing();
