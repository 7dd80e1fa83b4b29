# A streaming standby judges reads as the primary does, and what is taken back on
# the primary binds on the standby once it is replayed: in sessions that were
# open before, in REPEATABLE READ, for prepared statements and open cursors.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $primary = purpose_cluster('primary', allows_streaming => 1,
	conf => "max_prepared_transactions = 2\nmax_standby_streaming_delay = 600s");
shop($primary);
$primary->safe_psql('postgres', q{
	CREATE TABLE visits (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers);
	INSERT INTO visits SELECT i, i FROM generate_series(1, 6) i;
	GRANT SELECT ON visits TO regress_purpose_app;
	SELECT purpose.protect('visits', subject => 'customer_id', mode => 'observe');
	CREATE TABLE notes (id bigint PRIMARY KEY, note text);
	INSERT INTO notes VALUES (1, 'secret');
	GRANT SELECT ON notes TO regress_purpose_app;
	SELECT purpose.create_purpose('care', basis => 'contract');
	SELECT purpose.grant_purpose('care', 'regress_purpose_app');
});
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# replayed(): the standby has all that was committed.
sub replayed
{
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
}

replayed();
shop_decisions($standby, undef, 'standby');
same_lines(decisions($standby), decisions($primary), 'all decisions are those of the primary');

# The row rule's own access: nothing that a read-only transaction could not do.
my $app = { user => 'regress_purpose_app', purpose => 'marketing' };
my $ids = q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers};
allowed($standby, $app, 'SELECT count(*) FROM visits', 6, 'observe mode gives all on the standby');
allowed($standby, {}, q{SELECT reason, count FROM purpose.observed_violations WHERE relation = 'visits'::regclass ORDER BY reason},
	"consent not given|3\nconsent withdrawn|1\nprocessing restricted|1", 'and counts there');

my $plain = session($standby, $app);
my $prepared = session($standby, $app);
my $repeatable = session($standby, $app);
my $cursor = session($standby, $app);
my $billing = session($standby, { %$app, purpose => 'billing' });
my $notes = session($standby, $app);

is(ask($plain, $ids), '1', 'an open session');
is(ask($prepared, "SET plan_cache_mode = force_generic_plan; PREPARE q AS $ids; EXECUTE q; EXECUTE q"), "1\n1", 'a prepared statement');
is(ask($repeatable, "BEGIN ISOLATION LEVEL REPEATABLE READ; $ids"), '1', 'a transaction in REPEATABLE READ');
is(ask($cursor, 'BEGIN; DECLARE c CURSOR FOR SELECT id FROM orders ORDER BY id; FETCH 1 FROM c'), '10', 'a cursor');
is(ask($billing, $ids), '1 2 3 4 6', 'a session with another purpose');
is(ask($notes, 'SELECT note FROM notes'), 'secret', 'a table that nothing is declared about yet');

# A consent and a withdrawal.
$primary->safe_psql('postgres', q{
	SELECT purpose.withdraw_consent('customers', 1, 'marketing');
	SELECT purpose.grant_consent('customers', 3, 'marketing');
});
replayed();
is(ask($plain, $ids), '3', 'a withdrawal binds the next statement of an open session');
is(ask($prepared, 'EXECUTE q'), '3', 'and of a prepared statement');
is(ask($repeatable, $ids), '3', 'and in a transaction in REPEATABLE READ, whose snapshot is older');
is(ask($repeatable, 'COMMIT'), '', 'that transaction ends well');
is(ask($cursor, 'FETCH ALL FROM c'), "30\n99", 'and the next FETCH of an open cursor');
is(ask($cursor, 'COMMIT'), '', 'whose transaction ends well');

# Two-phase commit: not when it is prepared, but when it is committed.
$primary->safe_psql('postgres', q{
	BEGIN;
	SELECT purpose.withdraw_consent('customers', 3, 'marketing');
	PREPARE TRANSACTION 'w';
});
replayed();
is(ask($plain, $ids), '3', 'a withdrawal that is prepared does not bind yet');
$primary->safe_psql('postgres', q{COMMIT PREPARED 'w'});
replayed();
is(ask($plain, $ids), '', 'it binds when it is committed');

# A restriction; a purpose taken back.
$primary->safe_psql('postgres', q{SELECT purpose.restrict_processing('customers', 2)});
replayed();
is(ask($billing, $ids), '1 3 4 6', 'a restriction binds an open session');
$primary->safe_psql('postgres', q{SELECT purpose.revoke_purpose('billing', 'regress_purpose_app')});
replayed();
is(ask($billing, $ids), 'PU003', 'a revoked purpose cannot be used any more by an open session');
$primary->safe_psql('postgres', q{SELECT purpose.grant_purpose('billing', 'regress_purpose_app')});
replayed();
is(ask($billing, $ids), '1 3 4 6', 'granted again, it can');

# Membership in a role that holds the purpose.
$primary->safe_psql('postgres', q{
	CREATE ROLE regress_purpose_team;
	SELECT purpose.revoke_purpose('billing', 'regress_purpose_app');
	SELECT purpose.grant_purpose('billing', 'regress_purpose_team');
	GRANT regress_purpose_team TO regress_purpose_app;
});
replayed();
is(ask($billing, $ids), '1 3 4 6', 'a purpose held by membership');
$primary->safe_psql('postgres', q{REVOKE regress_purpose_team FROM regress_purpose_app});
replayed();
is(ask($billing, $ids), 'PU003', 'ends with the membership');
$primary->safe_psql('postgres', q{SELECT purpose.grant_purpose('billing', 'regress_purpose_app')});

# Labels and protection that are set, changed and taken away.
is(ask($notes, 'PREPARE n AS SELECT note FROM notes; EXECUTE n'), 'secret', 'a prepared statement of an unlabelled table');
$primary->safe_psql('postgres', q{SECURITY LABEL FOR purpose ON COLUMN notes.note IS 'for care'});
replayed();
is(ask($notes, 'EXECUTE n'), 'PU005', 'a new label binds it');
is(ask($notes, 'SELECT id FROM notes'), '1', 'but no other column');
is(ask($notes, 'SET purpose.current = care; EXECUTE n'), 'secret', 'a purpose that satisfies the label is served');
$primary->safe_psql('postgres', q{SELECT purpose.label_column('notes', 'note', 'for care, marketing')});
replayed();
is(ask($notes, 'SET purpose.current = marketing; EXECUTE n'), 'secret', 'a wider label permits more');
$primary->safe_psql('postgres', q{SELECT purpose.label_column('notes', 'note', 'for care never marketing')});
replayed();
is(ask($notes, 'EXECUTE n'), 'PU005', 'a narrower one less');
is(ask($notes, 'PREPARE i AS SELECT id FROM notes; EXECUTE i'), '1', 'rows are not protected yet');
$primary->safe_psql('postgres', q{SELECT purpose.protect('notes', subject => 'id', "of" => 'customers')});
replayed();
is(ask($notes, 'EXECUTE i'), '', 'and then they are');
is(ask($notes, 'SET purpose.current = billing; EXECUTE i'), '1', 'for those who gave no consent, not for a contract');
$primary->safe_psql('postgres', q{SELECT purpose.unprotect('notes')});
replayed();
is(ask($notes, 'SET purpose.current = marketing; EXECUTE i'), '1', 'and then no more');

# Nothing can be declared on a standby.
denied($standby, {}, q{SELECT purpose.withdraw_consent('customers', 4, 'analytics')}, '25006', 'a standby records no consent');
denied($standby, {}, q{SECURITY LABEL FOR purpose ON COLUMN notes.note IS NULL}, '25006', 'and sets no label');
denied($standby, {}, q{SELECT purpose.unprotect('items')}, '55000', 'and takes no protection away');
allowed($standby, {}, q{SELECT count(*) > 0 FROM purpose.check()}, 't', 'but it can be checked');

# Promoted, it goes on with all of it, in the sessions that are open, too.
$primary->stop;
$standby->promote;
is(ask($plain, $ids), '', 'promoted: an open session is judged as before');
is(ask($billing, $ids), '1 3 4 6', 'and given what it may have');
$standby->safe_psql('postgres', q{
	SELECT purpose.grant_consent('customers', 4, 'marketing');
	SELECT purpose.lift_restriction('customers', 2);
});
is(ask($plain, $ids), '4', 'promoted: consents are recorded and count');
is(ask($billing, $ids), '1 2 3 4 6', 'and the end of a restriction does');
allowed($standby, {}, q{SELECT count(*) = count(DISTINCT event_id) FROM purpose.consent_history}, 't', 'with numbers of their own');
$standby->safe_psql('postgres', q{
	SELECT purpose.grant_consent('customers', 1, 'marketing');
	SELECT purpose.withdraw_consent('customers', 4, 'marketing');
});
shop_decisions($standby, undef, 'promoted');
$_->quit foreach $plain, $prepared, $repeatable, $cursor, $billing, $notes;

$standby->stop;
done_testing();
