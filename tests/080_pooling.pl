# PgBouncer: the purpose that one client declared never serves the next one on the
# same server connection.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my ($pgbouncer) = grep { -x $_ } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
plan skip_all => 'PgBouncer is not installed' if !defined $pgbouncer;

my $app = 'regress_purpose_app';
my $node = purpose_cluster('main', conf => 'max_prepared_transactions = 2');
shop($node);
$node->safe_psql('postgres', qq{
	CREATE ROLE regress_purpose_default LOGIN IN ROLE $app;
	ALTER ROLE regress_purpose_default SET purpose.current = 'analytics';
	ALTER ROLE regress_purpose_default SET purpose.scope = 'transaction';
});

# One instance; host and port of the last one that was started.
my ($pooler, $host, $port);

sub start_pooler
{
	my ($conf) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir_short;

	($host, $port) = ($dir, 6432);
	append_to_file("$dir/users", qq{"$app" ""\n"regress_purpose_default" ""\n});
	append_to_file("$dir/ini", sprintf(q{[databases]
postgres = host=%s port=%s
[pgbouncer]
listen_port = 6432
unix_socket_dir = %s
auth_type = trust
auth_file = %s/users
default_pool_size = 1
logfile = %s/pgbouncer.log
%s
}, $node->host, $node->port, $dir, $dir, $dir, $conf));
	my $log = '';
	$pooler = IPC::Run::start([ $pgbouncer, '-q', "$dir/ini" ], '<', \undef, '>&', \$log);
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if -S "$dir/.s.PGSQL.6432";
		$pooler->pump_nb;
		select undef, undef, undef, 0.1;
	}
	die "PgBouncer did not start: $log";
}

sub stop_pooler
{
	$pooler->signal('INT');
	$pooler->finish;
	return;
}

# client([ROLE]): a psql that is connected to the pooler.
sub client
{
	my ($role) = @_;

	no warnings 'redefine';
	local *PostgreSQL::Test::Cluster::connstr = sub { "host=$host port=$port dbname=postgres" };
	return session($node, $role // $app);
}

my $ids = q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers};
my $pid = 'SELECT pg_backend_pid()';

# ---------------------------------------------------------------------------
# Transaction pooling: the purpose ends with the transaction
# ---------------------------------------------------------------------------
$node->safe_psql('postgres', "ALTER ROLE $app SET purpose.scope = 'transaction'");
start_pooler('pool_mode = transaction');
my $one = client();
my $two = client();

is(ask($one, $pid), ask($two, $pid), 'two clients share one server connection');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; $ids; $ids; COMMIT"), "1 2 3 4 6\n1 2 3 4 6", 'a purpose holds in its transaction');
is(ask($two, $ids), 'PU001', 'and not for the next client');
is(ask($one, $ids), 'PU001', 'nor for the next transaction of the same client');
is(ask($two, 'SELECT purpose.current_purpose() IS NULL'), 't', 'there is none');

is(ask($one, "SET purpose.current = 'billing'"), '', 'a purpose that is set outside a transaction');
is(ask($two, $ids), 'PU001', 'ends with its statement');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; SAVEPOINT a; SET purpose.current = 'marketing'; ROLLBACK TO a; $ids; RELEASE a; COMMIT"),
	'1 2 3 4 6', 'savepoints');
is(ask($two, $ids), 'PU001', 'leave nothing behind');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; SELECT 1 / 0; ROLLBACK"), '22012', 'a transaction that failed');
is(ask($two, $ids), 'PU001', 'leaves nothing behind');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; SELECT 1 / 0; COMMIT"), '22012', 'and one that failed and was to be committed');
is(ask($two, $ids), 'PU001', 'leaves nothing behind');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; COMMIT AND CHAIN; $ids; ROLLBACK"), 'PU001', 'COMMIT AND CHAIN begins without a purpose');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; CREATE TEMP TABLE t (); DROP TABLE t; PREPARE TRANSACTION 'p'"), '0A000',
	'two-phase commit that fails');
is(ask($two, $ids), 'PU001', 'leaves nothing behind');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; UPDATE customers SET name = 'x' WHERE id = 1; PREPARE TRANSACTION 'p'"), '', 'two-phase commit');
is(ask($two, $ids), 'PU001', 'leaves nothing behind');
is(ask($two, q{COMMIT PREPARED 'p'; BEGIN; SET purpose.current = 'marketing'; SELECT id, name FROM customers; COMMIT}), '1|x', 'and commits what was done');
is(ask($one, q{BEGIN; SET purpose.current = 'support'; SET purpose.justification = 'ticket 1'; SELECT count(*) FROM orders; COMMIT}), '6',
	'a justification holds in its transaction');
is(ask($two, q{BEGIN; SET purpose.current = 'support'; SELECT count(*) FROM orders; ROLLBACK}), 'PU004', 'and not for the next client');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; $ids"), '1 2 3 4 6', 'a client that leaves in the middle of a transaction');
$one->quit;
is(ask($two, $ids), 'PU001', 'leaves nothing behind');

# A default that the role brings along is what comes back.
$one = client('regress_purpose_default');
is(ask($one, $ids), '1 2 3 6', 'a role\'s default purpose');
is(ask($one, "BEGIN; SET purpose.current = 'marketing'; $ids; COMMIT; $ids"), "1\n1 2 3 6", 'comes back after each transaction');
$_->quit foreach $one, $two;

# Many clients at once, on fewer connections.  Each script divides by zero if it
# is given anything but what its own purpose permits.
stop_pooler();
start_pooler("pool_mode = transaction\ndefault_pool_size = 2");
my $scripts = PostgreSQL::Test::Utils::tempdir;
my %expected = (billing => 5, 'marketing' => 1, 'marketing.email' => 2, analytics => 4);
foreach my $purpose (sort keys %expected)
{
	append_to_file("$scripts/$purpose", qq{BEGIN;
SELECT 1 / (purpose.current_purpose() IS NULL)::int;
SET purpose.current = '$purpose';
SELECT 1 / (count(*) = $expected{$purpose})::int FROM customers;
SELECT 1 / (purpose.current_purpose() = '$purpose')::int;
COMMIT;
SELECT 1 / (purpose.current_purpose() IS NULL)::int;
});
}
my ($out, $err);
my $result = IPC::Run::run([ $node->installed_command('pgbench'), '-n', '-c', 8, '-t', 50, '-h', $host, '-p', $port, '-U', $app,
		(map { ('-f', "$scripts/$_") } sort keys %expected), 'postgres' ], '>', \$out, '2>', \$err);
ok($result, 'eight clients with four purposes on two connections') or diag($err);
like($out, qr{number of transactions actually processed: 400/400}, 'all of them got what their purpose permits, and nothing else');
stop_pooler();

# ---------------------------------------------------------------------------
# DISCARD ALL between the clients: the purpose may hold for a session
# ---------------------------------------------------------------------------
$node->safe_psql('postgres', "ALTER ROLE $app RESET purpose.scope");
start_pooler("pool_mode = transaction\nserver_reset_query = DISCARD ALL\nserver_reset_query_always = 1");
($one, $two) = (client(), client());
is(ask($one, $pid), ask($two, $pid), 'two clients share one server connection');
is(ask($one, "BEGIN; SET purpose.current = 'billing'; $ids; COMMIT"), '1 2 3 4 6', 'a purpose holds in its transaction');
is(ask($two, $ids), 'PU001', 'DISCARD ALL ends it for the next client');
is(ask($two, "SET purpose.scope = 'session'; SET purpose.current = 'billing'"), '', 'as it does with a scope that a client chose');
is(ask($one, $ids), 'PU001', 'for the next one');
$_->quit foreach $one, $two;
$one = client('regress_purpose_default');
is(ask($one, 'SET purpose.current = marketing'), '', 'a client with a default purpose');
is(ask($one, $ids), '1 2 3 6', 'is given it back by DISCARD ALL');
$one->quit;
stop_pooler();

start_pooler("pool_mode = session\nserver_reset_query = DISCARD ALL");
$one = client();
my $server = ask($one, $pid);
is(ask($one, "SET purpose.current = 'billing'"), '', 'session pooling');
is(ask($one, $ids), '1 2 3 4 6', 'a purpose holds for the session');
$one->quit;
$two = client();
is(ask($two, $pid), $server, 'the next client has the same server connection');
is(ask($two, $ids), 'PU001', 'and not its purpose');
$two->quit;
stop_pooler();

$node->stop;
done_testing();
