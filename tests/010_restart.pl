# What was declared and said outlives the server: an orderly restart, a crash of
# the machine, a crash of one process.  Observations outlive an orderly restart.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $node = purpose_cluster('main', conf => q{
max_prepared_transactions = 5
restart_after_crash = on
});
shop($node);
$node->safe_psql('postgres', q{
	CREATE TABLE visits (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers, ip text);
	INSERT INTO visits SELECT i, i, '192.0.2.' || i FROM generate_series(1, 6) i;
	GRANT SELECT ON visits TO regress_purpose_app;
	SELECT purpose.protect('visits', subject => 'customer_id', mode => 'observe');
	SELECT purpose.label_column('visits', 'ip', 'for billing');
});

my $visits = 'SELECT count(*) FROM visits';
my $observed = q{SELECT relation, "column", purpose, role, reason, count FROM purpose.observed_violations
	ORDER BY relation::text, "column", purpose, reason};

shop_decisions($node, undef, 'before');
my $declarations = declarations($node);
my $decisions = decisions($node, undef, 'SELECT id, ip FROM visits');
like($declarations, qr/^label\|column\|customers\.email\|purpose\|/,
	'the declarations to be compared hold labels');
has_line($decisions, 'regress_purpose_app marketing: SELECT id FROM customers -> (1)',
	'the decisions to be compared hold rows');
has_line($decisions, 'regress_purpose_app marketing: SELECT phone FROM customers -> PU005',
	'the decisions to be compared hold refusals');

# An orderly restart.  What is observed here is all that is observed.
$node->safe_psql('postgres', 'SELECT purpose.reset_observed_violations()');
allowed($node, { user => 'regress_purpose_app', purpose => 'marketing' }, 'SELECT id, ip FROM visits',
	undef, 'a table in observe mode gives all to everybody');
my $before = "visits|ip|marketing|regress_purpose_app|label does not allow purpose|1\n"
  . "visits||marketing|regress_purpose_app|consent not given|3\n"
  . "visits||marketing|regress_purpose_app|consent withdrawn|1\n"
  . 'visits||marketing|regress_purpose_app|processing restricted|1';
allowed($node, {}, $observed, $before, 'and what enforcement would have refused is counted');
$node->restart;
allowed($node, {}, $observed, $before, 'the counts outlive an orderly restart');
allowed($node, { user => 'regress_purpose_app', purpose => 'marketing' }, $visits, 6, 'observing goes on');
allowed($node, {}, qq{SELECT sum(count) FROM ($observed) v WHERE "column" IS NULL}, 10, 'and counting too');
same_lines(declarations($node), $declarations, 'all declarations outlive an orderly restart');
same_lines(decisions($node, undef, 'SELECT id, ip FROM visits'), $decisions, 'all decisions are as before');

# The machine dies.  What was committed holds, what was not does not, and what
# was prepared can still be committed.
my $app = { user => 'regress_purpose_app', purpose => 'marketing' };
my $ids = q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers};
my $open = session($node, {});
ask($open, q{BEGIN; SELECT purpose.grant_consent('customers', 3, 'marketing')});
$node->safe_psql('postgres', q{
	SELECT purpose.grant_consent('customers', 4, 'marketing');
	BEGIN;
	SELECT purpose.withdraw_consent('customers', 1, 'marketing');
	PREPARE TRANSACTION 'withdrawal';
});
$node->stop('immediate');
$node->start;
allowed($node, $app, $ids, '1 4', 'after a crash: consent that was committed, not that which was open');
$node->safe_psql('postgres', q{COMMIT PREPARED 'withdrawal'});
allowed($node, $app, $ids, '4', 'a prepared withdrawal binds when it is committed after the crash');
$open->{run}->kill_kill;
allowed($node, {}, q{SELECT count(*) FROM purpose.consent_history
	WHERE event_id > (SELECT last_value FROM purpose.consent_history_event_id_seq)}, 0,
	'the history goes on with new numbers');
$node->safe_psql('postgres', q{
	SELECT purpose.grant_consent('customers', 1, 'marketing');
	SELECT purpose.withdraw_consent('customers', 4, 'marketing');
});
shop_decisions($node, undef, 'after a crash');

# One process dies, so the postmaster starts all others anew, with new shared
# memory.  What was observed is lost; old counts must not come back as new.
my $victim = session($node, $app);
my $pid = ask($victim, 'SELECT pg_backend_pid()');
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
  or BAIL_OUT('the server did not come back');
shop_decisions($node, undef, 'after the crash of a process');
allowed($node, $app, $visits, 6, 'observing works after the crash of a process');
allowed($node, {}, qq{SELECT sum(count) FROM ($observed) v}, 5, 'and counting does, from nothing');
$victim->{run}->kill_kill;

$node->stop;
done_testing();
