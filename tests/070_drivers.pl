# What drivers and an ORM do works against protected tables, for subjects who
# consented and for those who did not: psycopg 3, psycopg2, SQLAlchemy, JDBC.  The
# programs are in tests/drivers; each prints its assertions.
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

# JDBC has no Unix sockets.
my $node = purpose_cluster('main', conf => "listen_addresses = '127.0.0.1'");
my $port = $node->port;

# driver(NAME, COMMAND...): runs a program on a new shop and counts its assertions.
sub driver
{
	my ($name, @command) = @_;
	my $dbname = "shop_$name";
	my ($out, $err);

	$node->safe_psql('postgres', "CREATE DATABASE $dbname");
	$node->safe_psql($dbname, 'CREATE EXTENSION pg_purpose');
	shop($node, $dbname);
	# What an officer does while the program runs.
	$node->safe_psql($dbname, q{
		CREATE FUNCTION relabel_phone(label text) RETURNS void LANGUAGE sql SECURITY DEFINER
			AS 'SELECT purpose.label_column(''public.customers'', ''phone'', label)'});
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
	shop_decisions_unchanged($dbname, $name);
	return;
}

# Whatever a driver did, the consents of the shop still decide.
sub shop_decisions_unchanged
{
	my ($dbname, $name) = @_;

	allowed($node, { user => 'regress_purpose_app', dbname => $dbname, purpose => 'marketing' },
		'SELECT id FROM customers', 1, "$name: one subject consented, as before");
	return;
}

# The system's own Python, which Debian's packages belong to.
my ($python) = grep { -x $_ } qw(/usr/bin/python3);
my $dsn = "host=127.0.0.1 port=$port user=regress_purpose_app dbname=DBNAME";
$ENV{PYTHONDONTWRITEBYTECODE} = 1;
foreach my $program ([ 'psycopg3', 'psycopg' ], [ 'psycopg2_driver', 'psycopg2' ], [ 'sqlalchemy_orm', 'sqlalchemy', 'psycopg2' ])
{
	my ($name, @modules) = @$program;

  SKIP:
	{
		skip "$name: there is no Python", 1 if !defined $python;
		my $imports = join('; ', map { "import $_" } @modules);
		skip "$name: Debian's package of @modules is not installed", 1 if system("$python -c '$imports' 2>/dev/null") != 0;
		driver($name, $python, "$folder/$name.py", $dsn);
	}
}

SKIP:
{
	my $jar = '/usr/share/java/postgresql.jar';
	my ($out, $err);

	skip 'jdbc: libpostgresql-jdbc-java is not installed', 1 if !-e $jar;
	skip 'jdbc: there is no Java compiler', 1 if system('javac -version >/dev/null 2>&1') != 0;
	ok(IPC::Run::run([ 'javac', '-cp', $jar, '-d', $scratch, "$folder/JdbcDriver.java" ], '>', \$out, '2>', \$err), 'jdbc: compiled')
	  or diag($err);
	driver('jdbc', 'java', '-XX:TieredStopAtLevel=1', '-cp', "$jar:$scratch", 'JdbcDriver', "jdbc:postgresql://127.0.0.1:$port/DBNAME");
}

$node->stop;
done_testing();
