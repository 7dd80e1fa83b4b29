# The extended protocol: the purpose, the role, the labels and the consents of the
# moment decide when a portal runs, whatever they were when its statement was
# parsed, its portal bound, or its first rows fetched.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;
use RawConnection;

my $node = purpose_cluster('main', conf => 'max_prepared_transactions = 2');
shop($node);
$node->safe_psql('postgres', q{
	CREATE ROLE regress_purpose_other;
	GRANT SELECT ON customers, orders TO regress_purpose_other;
	GRANT regress_purpose_other TO regress_purpose_app;
	CREATE FUNCTION phones() RETURNS text LANGUAGE sql SECURITY DEFINER
		AS $$ SELECT string_agg(phone, ' ' ORDER BY id) FROM public.customers $$;
});
my $c = RawConnection->new($node, user => 'regress_purpose_app');
my $ids = 'SELECT id FROM customers';
my $phones = 'SELECT phone FROM customers';

sub purpose
{
	my ($purpose) = @_;

	return $c->query("SET purpose.current = '$purpose'");
}

# The setting is reported, so that poolers can follow it.
purpose('billing');
is($c->parameter('purpose.current'), 'billing', 'the purpose is reported to the client');

# ---------------------------------------------------------------------------
# Between Parse and Bind
# ---------------------------------------------------------------------------
$c->query('RESET purpose.current');
is($c->parse('ids', $ids)->parse('phones', $phones)->describe('S', 'phones')->sync, '',
	'statements are parsed and described without a purpose');
is($c->columns, 1, 'described by their columns');
is($c->bind('', 'ids')->execute('')->sync, 'PU001', 'and refused when they run');
purpose('billing');
is($c->bind('', 'phones')->execute('')->sync, '+1 +2 +3 +4 +6 done SELECT 5', 'parsed without a purpose, bound with one that permits');
purpose('marketing');
is($c->bind('', 'phones')->execute('')->sync, 'PU005', 'the same statement with one that does not');
is($c->bind('', 'ids')->execute('')->sync, '1 done SELECT 1', 'rows as consented');
purpose('billing');
is($c->bind('', 'ids')->execute('')->sync, '1 2 3 4 6 done SELECT 5', 'rows as a contract permits');

# So with a plan made for all values, and with one made for each.
foreach my $mode (qw(force_generic_plan force_custom_plan auto))
{
	my $statement = "one_$mode";

	$c->query("SET plan_cache_mode = $mode");
	purpose('billing');
	$c->parse($statement, 'SELECT phone FROM customers WHERE id = $1')->sync;
	my @answers;
	push @answers, $c->bind('', $statement, '3')->execute('')->sync for 1 .. 7;
	is("@answers", join(' ', ('+3 done SELECT 1') x 7), "$mode: a statement that ran seven times");
	purpose('marketing');
	is($c->bind('', $statement, '3')->execute('')->sync, 'PU005', "$mode: is refused for another purpose");
	purpose('billing');
	is($c->bind('', $statement, '5')->execute('')->sync, 'done SELECT 0', "$mode: and gives no row of a subject who restricted its use");
}
$c->query('RESET plan_cache_mode');

# ---------------------------------------------------------------------------
# Between Bind and Execute, in one transaction
# ---------------------------------------------------------------------------
$c->query('BEGIN');
purpose('billing');
$c->bind('p', 'phones')->bind('i', 'ids')->sync;
purpose('marketing');
is($c->execute('i')->sync, '1 done SELECT 1', 'bound for one purpose, run for another: its rows');
is($c->execute('p')->sync, 'PU005', 'and its columns');
$c->query('ROLLBACK');

$c->query('BEGIN');
purpose('marketing');
$c->bind('i', 'ids')->sync;
purpose('billing');
is($c->execute('i')->sync, '1 2 3 4 6 done SELECT 5', 'bound for the narrower purpose, run for the wider one');
$c->query('ROLLBACK');

$c->query('BEGIN');
purpose('billing');
$c->bind('i', 'ids')->sync;
$c->query('SET LOCAL ROLE regress_purpose_other');
is($c->execute('i')->sync, 'PU003', 'run after SET ROLE to a role without the purpose');
$c->query('ROLLBACK');

$c->query('BEGIN');
purpose('billing');
$c->bind('i', 'ids')->sync;
$c->query('RESET purpose.current');
is($c->execute('i')->sync, 'PU001', 'run after RESET');
$c->query('ROLLBACK');

$c->query('BEGIN');
purpose('marketing');
$c->bind('i', 'ids')->sync;
$node->safe_psql('postgres', q{SELECT purpose.withdraw_consent('customers', 1, 'marketing'), purpose.grant_consent('customers', 3, 'marketing')});
is($c->execute('i')->sync, '3 done SELECT 1', 'run after a withdrawal and a consent in another session');
$c->query('ROLLBACK');
$node->safe_psql('postgres', q{SELECT purpose.grant_consent('customers', 1, 'marketing')});

# ---------------------------------------------------------------------------
# A portal that is suspended with rows left
# ---------------------------------------------------------------------------
$c->query('BEGIN');
purpose('billing');
is($c->bind('i', 'ids')->execute('i', 2)->sync, '1 2 suspended', 'a portal gives its first rows');
is($c->execute('i', 1)->sync, '3 suspended', 'and the next');
purpose('marketing.email');
is($c->execute('i', 10)->sync, '6 done SELECT 1', 'and then those that the next purpose permits');
$c->query('ROLLBACK');

$c->query('BEGIN');
purpose('billing');
is($c->bind('p', 'phones')->execute('p', 2)->sync, '+1 +2 suspended', 'a portal with a column that the next purpose does not permit');
purpose('marketing');
is($c->execute('p', 1)->sync, 'PU005', 'is refused');
$c->query('ROLLBACK');

$c->query('BEGIN');
purpose('billing');
is($c->bind('i', 'ids')->execute('i', 2)->sync, '1 2 suspended', 'a suspended portal');
$c->query('RESET purpose.current');
is($c->execute('i', 1)->sync, 'PU001', 'gives nothing after RESET');
$c->query('ROLLBACK');

$c->query('BEGIN');
purpose('billing');
is($c->bind('i', 'ids')->execute('i', 2)->sync, '1 2 suspended', 'a suspended portal');
$c->query('SET LOCAL ROLE regress_purpose_other');
is($c->execute('i', 1)->sync, 'PU003', 'gives nothing to a role without the purpose');
$c->query('ROLLBACK');

$c->query('BEGIN');
purpose('marketing');
is($c->bind('i', 'ids')->execute('i', 1)->sync, '1 suspended', 'a suspended portal for a consented purpose');
$node->safe_psql('postgres', q{SELECT purpose.withdraw_consent('customers', 3, 'marketing'), purpose.grant_consent('customers', 4, 'marketing')});
is($c->execute('i', 10)->sync, '4 done SELECT 1', 'follows what people say in the meantime');
$c->query('ROLLBACK');
$node->safe_psql('postgres', q{SELECT purpose.withdraw_consent('customers', 4, 'marketing')});

$c->query('BEGIN');
purpose('billing');
is($c->bind('p', 'phones')->execute('p', 2)->sync, '+1 +2 suspended', 'a suspended portal with a labelled column');
$node->safe_psql('postgres', q{SELECT purpose.label_column('customers', 'phone', 'for analytics')});
is($c->execute('p', 10)->sync, 'PU005', 'follows a label that changed in the meantime');
$c->query('ROLLBACK');
$node->safe_psql('postgres', q{SELECT purpose.label_column('customers', 'phone', 'for billing never marketing')});

$c->query('BEGIN');
purpose('billing');
is($c->bind('i', 'ids')->execute('i', 2)->sync, '1 2 suspended', 'a suspended portal');
$node->safe_psql('postgres', q{SELECT purpose.revoke_purpose('billing', 'regress_purpose_app')});
is($c->execute('i', 10)->sync, 'PU003', 'ends with the right to its purpose');
$c->query('ROLLBACK');
$node->safe_psql('postgres', q{SELECT purpose.grant_purpose('billing', 'regress_purpose_app')});

# The executor has read everything before it gives the first row here, so the
# rows that wait were chosen for the former purpose.
foreach my $query ('SELECT id FROM customers ORDER BY name',
	'WITH w AS MATERIALIZED (SELECT id, count(*) OVER () FROM customers) SELECT id FROM w',
	'SELECT o.customer_id FROM customers c JOIN orders o ON o.customer_id = c.id ORDER BY o.total')
{
	$c->query('BEGIN');
	purpose('billing');
	$c->parse('', $query)->bind('i', '');
	is($c->execute('i', 2)->sync, '1 2 suspended', "suspended: $query");
	purpose('marketing');
	my $rest = $c->execute('i', 10)->sync;
	is($rest, 'PU005', "is refused for the next purpose: $query");
	$c->query('ROLLBACK');
}

# ---------------------------------------------------------------------------
# Several statements on their way at once
# ---------------------------------------------------------------------------
purpose('analytics');
is( $c->statement("SET purpose.current = 'billing'")->statement("$phones WHERE id = 1")
	  ->statement("SET purpose.current = 'marketing'")->statement($ids)->statement("SET purpose.current = 'billing'")
	  ->statement("$phones WHERE id = 2")->sync,
	'done SET +1 done SELECT 1 done SET 1 done SELECT 1 done SET +2 done SELECT 1',
	'in a pipeline each statement is judged by the purpose that is set before it');
is( $c->statement("SET purpose.current = 'marketing'")->statement($phones)->statement($ids)->sync,
	'done SET PU005', 'a refusal ends the pipeline');
is($c->query($phones), '+1 +2 +3 +4 +6 done SELECT 5', 'and takes back the purpose that was set in it');
is( $c->statement("SET purpose.current = 'marketing'")->bind('a', 'ids')->bind('b', 'ids')
	  ->statement("SET purpose.current = 'analytics'")->execute('a')->execute('b', 1)->statement("SET purpose.current = 'billing'")
	  ->execute('b', 2)->sync,
	'done SET done SET 1 2 3 6 done SELECT 4 1 suspended done SET 2 3 suspended',
	'portals that are bound in a pipeline follow the purpose, too');

# Flush, which ends no transaction: the same without a pipeline.
purpose('billing');
is($c->bind('i', 'ids')->execute('i', 2)->flush(3), '1 2 suspended', 'before Sync');
is($c->statement("SET purpose.current = 'marketing'")->flush(1), 'done SET', 'the purpose changes');
is($c->execute('i', 5)->flush(1), 'done SELECT 0', 'and decides');
$c->sync;

# ---------------------------------------------------------------------------
# COPY, and functions called without a statement
# ---------------------------------------------------------------------------
purpose('billing');
$c->parse('copy', 'COPY customers (id, phone) TO STDOUT')->sync;
is($c->bind('', 'copy')->execute('')->sync, "copy:1\t+1 copy:2\t+2 copy:3\t+3 copy:4\t+4 copy:6\t+6 done COPY 5",
	'COPY, parsed and run for a purpose that permits');
purpose('marketing');
is($c->bind('', 'copy')->execute('')->sync, 'PU005', 'the same statement for one that does not');
my $oid = $node->safe_psql('postgres', q{SELECT 'phones()'::regprocedure::oid});
is($c->call_function($oid), 'PU005', 'a function called by its OID is judged by the caller\'s purpose');
purpose('billing');
is($c->call_function($oid), '+1 +2 +3 +4 +6', 'and given what that permits');

# ---------------------------------------------------------------------------
# Columns that some purposes see redacted
# ---------------------------------------------------------------------------
sub redact_as
{
	my ($stand_in) = @_;

	$node->safe_psql('postgres', "SELECT purpose.label_column('customers', 'phone', 'for billing else ''''''$stand_in''''''')");
	return;
}
redact_as('x');
foreach my $mode (qw(force_generic_plan force_custom_plan auto))
{
	my $statement = "redacted_$mode";

	$c->query("SET plan_cache_mode = $mode");
	purpose('billing');
	$c->parse($statement, 'SELECT phone FROM customers WHERE id = $1')->parse("by_$statement", 'SELECT id FROM customers WHERE phone = $1')->sync;
	my @answers;
	push @answers, $c->bind('', $statement, '1')->execute('')->sync for 1 .. 7;
	is("@answers", join(' ', ('+1 done SELECT 1') x 7), "$mode: parsed and bound for a purpose that sees the column");
	is($c->bind('', "by_$statement", '+1')->execute('')->sync, '1 done SELECT 1', "$mode: and searched by it");
	purpose('marketing');
	is($c->bind('', $statement, '1')->execute('')->sync, 'x done SELECT 1', "$mode: bound for one that sees it redacted");
	is($c->bind('', "by_$statement", '+1')->execute('')->sync, 'done SELECT 0', "$mode: which cannot search by it");
	is($c->bind('', "by_$statement", 'x')->execute('')->sync, '1 done SELECT 1', "$mode: but by what stands in for it");
	purpose('billing');
	is($c->bind('', $statement, '2')->execute('')->sync, '+2 done SELECT 1', "$mode: and back");
}
$c->query('RESET plan_cache_mode');

foreach my $change ([ 'billing', 'marketing' ], [ 'marketing', 'billing' ])
{
	my ($from, $to) = @$change;

	$c->query('BEGIN');
	purpose($from);
	$c->bind('p', 'phones')->sync;
	purpose($to);
	is($c->execute('p')->sync, 'PU005', "bound for $from, run for $to: refused");
	$c->query('ROLLBACK');
	$c->query('BEGIN');
	purpose($from);
	$c->bind('p', 'phones')->sync;
	purpose($to);
	purpose($from);
	is($c->execute('p', 1)->sync, ($from eq 'billing' ? '+1' : 'x') . ' suspended', "bound and run for $from");
	purpose($to);
	is($c->execute('p', 1)->sync, 'PU005', "suspended, and run on for $to: refused");
	$c->query('ROLLBACK');
}

$c->query('BEGIN');
purpose('marketing');
$c->bind('p', 'phones')->sync;
redact_as('y');
is($c->execute('p')->sync, 'PU005', 'bound before what stands in changed: refused');
$c->query('ROLLBACK');
purpose('marketing');
is($c->bind('', 'phones')->execute('')->sync, 'y done SELECT 1', 'bound after it');
is( $c->statement("SET purpose.current = 'billing'")->bind('', 'phones')->execute('', 1)
	  ->statement("SET purpose.current = 'marketing'")->bind('', 'phones')->execute('')->sync,
	'done SET +1 suspended done SET y done SELECT 1',
	'in a pipeline each portal shows what the purpose before it sees');
is($c->bind('', 'copy')->execute('')->sync, "copy:1\ty done COPY 1", 'COPY shows what stands in');
is($c->call_function($oid), 'y', 'as a function does');
$node->safe_psql('postgres', q{SELECT purpose.label_column('customers', 'phone', 'for billing never marketing')});

# What a pooler does between two clients.
is($c->query('DISCARD ALL'), 'done DISCARD ALL', 'DISCARD ALL');
is($c->parameter('purpose.current'), '', 'is reported as the end of the purpose');
is($c->query($ids), 'PU001', 'which it is');

$c->quit;
$node->stop;
done_testing();
