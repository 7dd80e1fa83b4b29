# The journal beside the keyring: a database that is restored to an earlier
# moment is refused until what was withdrawn, objected to and shredded since has
# been replayed; then it is as it was before the restore.
use strict;
use warnings;
use File::Basename qw(basename);
use File::Copy qw(copy move);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my ($one, $two) = ("$base/a", "$base/b");
mkdir $_, 0700 foreach $one, $two;

# What is to happen at stop events lies in a file of its own, because a server
# that crashes again and again cannot be told by SQL to stop that.
my $stop = "$base/stop.conf";
append_to_file($stop, '');

my $conf = qq{
purpose.keyring = 'file:$one, file:$two'
purpose.key_lease = '500ms'
restart_after_crash = on
max_prepared_transactions = 2
};
my $main = purpose_cluster('main', allows_streaming => 1, has_archiving => 1, conf => "include = '$stop'\n$conf");
shop($main);
$main->safe_psql('postgres', q{
	CREATE ROLE regress_purpose_officer LOGIN;
	SELECT purpose.appoint_officer('regress_purpose_officer');
	-- People whose keys are not to be found in the journal.
	CREATE TABLE guests (mail text PRIMARY KEY, name text);
	INSERT INTO guests VALUES ('canary-7QxV2mZk@example.net', 'a'), ('other@example.net', 'b');
	GRANT SELECT ON guests TO regress_purpose_app;
	SELECT purpose.protect('guests', subject => 'mail');
});
my $app = { user => 'regress_purpose_app', purpose => 'marketing' };
my $billing = { user => 'regress_purpose_app', purpose => 'billing' };
my $officer = { user => 'regress_purpose_officer' };
my $ids = q{SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers};

# Without a keyring there is no journal.
allowed($main, {}, 'SELECT count(*) FROM purpose.journal_outbox', 0, 'without a keyring nothing waits for a journal');
allowed($main, {}, 'SELECT verdict FROM purpose._journal_verdict()', 'none', 'and there is nothing to compare with');
denied($main, $officer, 'SELECT * FROM purpose.reconcile()', 'PU011', 'nor to be reconciled with');

$main->safe_psql('postgres', q{
	CREATE TABLE secrets (customer_id bigint PRIMARY KEY REFERENCES customers, note purpose.sealed_text(billing),
		code purpose.searchable_text(billing));
	SELECT purpose.protect('secrets', subject => 'customer_id');
	INSERT INTO secrets SELECT i, 'note' || i, 'code' || i FROM generate_series(1, 6) i;
	GRANT SELECT, INSERT, UPDATE ON secrets TO regress_purpose_app;
});
(my $dir = $main->safe_psql('postgres', 'SELECT keyring FROM purpose.keyring_binding')) =~ tr/-//d;
my $search = q{SELECT string_agg(customer_id || code::text, ' ' ORDER BY customer_id) FROM secrets WHERE code IN ('code4', 'code6') OR code = 'code5'};
my $notes = q{SELECT string_agg(customer_id || note::text, ' ' ORDER BY customer_id) FROM secrets WHERE note::text IS NOT NULL};

# written(NODE): all that was committed is in the journal.
sub written
{
	my ($node) = @_;

	return $node->poll_query_until('postgres',
		'SELECT NOT EXISTS (SELECT FROM purpose.journal_outbox)');
}

# destroyed(NODE): all receipts are final.
sub destroyed
{
	my ($node) = @_;

	return $node->poll_query_until('postgres',
		'SELECT bool_and(destroyed_at IS NOT NULL) FROM purpose.shred_receipt');
}

sub objects { return sort { ($a =~ /(\d+)$/)[0] <=> ($b =~ /(\d+)$/)[0] } glob("$_[0]/$dir/journal.*[0-9]"); }

sub entries { return $main->safe_psql('postgres', 'SELECT coalesce(max(sequence), 0) FROM purpose.journal_state'); }

# everything(NODE): what people said, and what became of their keys, as text.
sub everything
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{
		SELECT 'state', subject_table, subject, purpose, state, expires_at, since FROM purpose.consent_state
			ORDER BY subject_table::text COLLATE "C", subject, purpose;
		SELECT 'history', subject_table, subject, purpose, state, at, expires_at FROM purpose.consent_history
			ORDER BY at, subject_table::text COLLATE "C", subject, purpose, state;
		SELECT 'number', * FROM purpose.subject_number ORDER BY number;
		SELECT 'retired', * FROM purpose.retired_number ORDER BY number;
		SELECT 'receipt', receipt_id, kind, keyring, numbers, group_numbers, groups, subject_hash, requested_at, unreachable_at,
			punctured_version, destroyed_at, evidence FROM purpose.shred_receipt ORDER BY requested_at;
	});
}

# restored(NAME, BACKUP, TARGET): a node started from the backup, at the target.
sub restored
{
	my ($name, $backup, $target) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($main, $backup, has_restoring => 1, standby => 0);
	$node->append_conf('postgresql.conf', "archive_mode = off\n" .
		  (defined $target ? "recovery_target_name = '$target'\nrecovery_target_action = 'promote'\n" : ''));
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die "$name does not end its recovery";
	return $node;
}

# stop_at(EVENT => ACTION) or stop_at() for nothing.
sub stop_at
{
	my (%events) = @_;
	my $setting = join(', ', map { "$_:$events{$_}" } keys %events);

	open(my $file, '>', $stop) or die "$stop: $!";
	print $file "purpose.test_stop_event = '$setting'\n";
	close $file;
	$main->reload;
	return;
}

sub reached
{
	my ($event, $offset) = @_;

	foreach (1 .. 1800)
	{
		return 1 if slurp_file($main->logfile, $offset) =~ /stop event $event reached/;
		select(undef, undef, undef, 0.1);
	}
	die "stop event $event was not reached";
}

sub is_back
{
	foreach (1 .. 1800)
	{
		return if $main->psql('postgres', 'SELECT 1') == 0;
		select(undef, undef, undef, 0.1);
	}
	die 'the server did not come back';
}

# What the journal says, and what it does not.
$main->safe_psql('postgres', q{
	SELECT purpose.grant_consent('guests', 'canary-7QxV2mZk@example.net', 'marketing', evidence => '{"ip": "canary-evidence"}');
	SELECT purpose.withdraw_consent('guests', 'other@example.net', 'marketing');
});
ok(written($main), 'what people say is written to the journal');
is(entries(), 2, 'an entry for each event');
my $bytes = join '', map { slurp_file($_) } objects($one);
like($bytes, qr/public\.guests.*marketing/s, 'with the table and the purpose');
unlike($bytes, qr/canary|other\@/, 'but nothing personal');
is($bytes, join('', map { slurp_file($_) } objects($two)), 'each mirror has the same');
$main->safe_psql('postgres', q{BEGIN; SELECT purpose.withdraw_consent('customers', 1, 'marketing'); ROLLBACK});
$main->safe_psql('postgres', q{BEGIN; SELECT purpose.object_to('customers', 3, 'analytics'); PREPARE TRANSACTION 'x'});
$main->safe_psql('postgres', q{SELECT purpose.grant_consent('guests', 'other@example.net', 'marketing')});
written($main);
is(entries(), 3, 'what was rolled back or only prepared is not written');
$main->safe_psql('postgres', q{COMMIT PREPARED 'x'});
ok(written($main), 'COMMIT PREPARED has it written at once');
is(entries(), 4, 'what is committed later is in the journal');
$main->safe_psql('postgres', q{SELECT purpose.grant_consent('guests', 'other@example.net', 'marketing')});
written($main);

# People say things, and have things erased, after the backup.
$main->backup('base');
$main->safe_psql('postgres', q{SELECT pg_create_restore_point('before')});
my $before = everything($main);
$main->safe_psql('postgres', q{
	SELECT purpose.withdraw_consent('customers', 1, 'marketing');
	SELECT purpose.grant_consent('customers', 2, 'marketing', expires_at => '2100-01-01 00:00:00.123456+00');
	SELECT purpose.object_to('customers', 2, 'analytics');
	SELECT purpose.withdraw_objection('customers', 4, 'analytics');
	SELECT purpose.lift_restriction('customers', 5);
	SELECT purpose.restrict_processing('customers', 3);
	SELECT purpose.refuse_consent('customers', 6, 'marketing.email');
	COPY purpose.consent_import (subject_table, subject, purpose, state, at) FROM stdin (DELIMITER ',');
customers,3,marketing,given,2020-01-01
customers,3,marketing,withdrawn,2020-02-01
customers,1,marketing,given,2020-01-01
\.
	SELECT purpose.shred('customers', 1);
	SELECT purpose.shred('customers', 2);
	SELECT purpose.readmit('customers', 2);
	UPDATE secrets SET note = 'note2' WHERE customer_id = 2;
	SELECT purpose.rotate_tokens('secrets', 'code');
});
ok(destroyed($main), 'two are shredded, and tokens rotated');
ok(written($main), 'and all is written');
my $after = everything($main);
allowed($main, { purpose => 'billing' }, $notes, '2note2 4note4 5note5 6note6', 'what opens');
allowed($main, { purpose => 'billing' }, $search, '4code4 5code5 6code6', 'what is found');
allowed($main, {}, q{SELECT count(*) FROM purpose.check() WHERE remedy ~ 'rotate_tokens'}, 0, 'with the new tokens');
allowed($main, {}, q{SELECT purpose.verify_receipt(receipt_id) -> 'verified' FROM purpose.shred_receipts WHERE kind = 'token'}, 'true',
	'the old ones are gone');
allowed($main, {}, q{SELECT bool_and(subject_hash IS NOT NULL), count(DISTINCT subject_hash) FROM purpose.shred_receipts WHERE kind = 'subject'}, 't|2',
	'receipts say whose they are, as a hash');
allowed($main, $app, $ids, '2', 'who is seen for marketing');
$main->safe_psql('postgres', 'SELECT pg_switch_wal()');
my $files = join ' ', map { basename($_) . ' ' . -s $_ } objects($one);

# The same database, put back.
my $copy = restored('put_back', 'base', 'before');
same_lines(everything($copy), $before, 'a database is put back to the moment before');
denied($copy, $app, $ids, 'PU017', 'rows of protected tables are refused');
denied($copy, { %$app, purpose => 'billing' }, 'SELECT id FROM orders', 'PU017', 'for whatever purpose');
allowed($copy, {}, $ids, '1 2 3 4 5 6', 'a superuser sees clear data as ever');
denied($copy, { purpose => 'billing' }, $notes, 'PU017', 'but no sealed value');
allowed($copy, {}, 'SELECT count(note) FROM secrets', 6, 'without a purpose envelopes are nothing but that');
denied($copy, $billing, q{UPDATE secrets SET note = 'x' WHERE customer_id = 3}, 'PU017', 'nor are values sealed');
denied($copy, {}, q{SELECT purpose.grant_consent('customers', 3, 'marketing')}, 'PU017', 'consents are not written');
denied($copy, {}, q{INSERT INTO purpose.consent_import (subject_table, subject, purpose) VALUES ('customers', 3, 'marketing')}, 'PU017', 'nor imported');
denied($copy, {}, q{SELECT purpose.shred('customers', 3)}, 'PU017', 'nobody is shredded');
denied($copy, {}, q{SELECT purpose.rotate_tokens('secrets', 'code')}, 'PU017', 'nor are tokens rotated');
allowed($copy, {}, q{SELECT severity, object, remedy FROM purpose.check() WHERE object LIKE 'purpose.journal%'},
	'error|purpose.journal_state|SELECT * FROM purpose.reconcile();', 'check() says so, and what to do');
denied($copy, $app, 'SELECT * FROM purpose.reconcile()', '42501', 'not everybody may reconcile it');
allowed($copy, $officer, 'SELECT kind, replayed, subject_gone FROM purpose.reconcile()',
	"withdrawn|2|0\ngiven|3|0\nobjected|1|0\nobjection_withdrawn|1|0\nrestriction_lifted|1|0\nrestricted|1|0\nrefused|1|0\nshred|2|0\nreadmit|1|0\nrotated|1|0\ndestroyed|3|0",
	'an officer may, and is told what was replayed');
same_lines(everything($copy), $after, 'then all is as it was before the restore');
allowed($copy, $app, $ids, '2', 'who withdrew is not seen, who consented is');
allowed($copy, { purpose => 'billing' }, $notes, '4note4 5note5 6note6', 'sealed values open, but those of the shredded');
allowed($copy, $officer, 'SELECT * FROM purpose.reconcile()', '', 'a second time there is nothing to do');
allowed($copy, {}, q{SELECT severity, object FROM purpose.check() WHERE object LIKE 'purpose.journal%'}, '', 'check() has nothing to say');
allowed($copy, {}, q{SELECT DISTINCT evidence ? 'replayed_from_journal' FROM purpose.consent_history WHERE event_id > (SELECT event_id FROM purpose.consent_history WHERE evidence ? 'replayed_from_journal' ORDER BY 1 LIMIT 1)}, 't',
	'the history says what was replayed');

# It does not hold the claim.
$copy->safe_psql('postgres', q{SELECT purpose.withdraw_consent('customers', 2, 'marketing')});
$copy->restart;
allowed($copy, $app, $ids, '', 'it goes on after a restart');
is(join(' ', map { basename($_) . ' ' . -s $_ } objects($one)), $files, 'and without the claim it writes nothing to the journal');
allowed($copy, {}, 'SELECT string_agg(kind, \' \' ORDER BY id) FROM purpose.journal_outbox', 'reconciled withdrawn', 'its events wait');
$main->safe_psql('postgres', q{SELECT purpose.withdraw_consent('customers', 6, 'marketing.email')});
written($main);
allowed($copy, $app, $ids, '', 'what production writes is no matter for a copy that runs');
$copy->restart;
denied($copy, $app, $ids, 'PU017', 'when it starts it is');
$main->stop;
$copy->safe_psql('postgres', q{SELECT purpose.reconcile(); SELECT purpose.claim_keyring()});
ok(written($copy), 'when it takes the claim over it writes what waited');
allowed($copy, {}, 'SELECT incarnation > 1 FROM purpose.journal_state', 't', 'in an incarnation of its own');

# It has the tokens of before the rotation, whose key is gone.
denied($copy, { purpose => 'billing' }, q{SELECT FROM secrets WHERE code = 'code5'}, 'PU012', 'it cannot search by tokens that were rotated meanwhile');
denied($copy, { purpose => 'billing' }, q{UPDATE secrets SET code = 'new' WHERE customer_id = 5}, 'PU012', 'nor make such');
allowed($copy, {}, q{SELECT severity, remedy FROM purpose.check() WHERE remedy ~ 'rotate_tokens'},
	q{error|SELECT purpose.rotate_tokens('public.secrets', 'code');}, 'check() says what to do');
$copy->safe_psql('postgres', q{SELECT purpose.rotate_tokens('secrets', 'code')});
allowed($copy, { purpose => 'billing' }, $search, '4code4 5code5 6code6', 'then values are found');
allowed($copy, {}, q{SELECT count(*) FROM purpose.check() WHERE remedy ~ 'rotate_tokens'}, 0, 'and nothing has to be done');
ok(destroyed($copy) && written($copy), 'which is in the journal, too');
$copy->stop;
$main->start;
denied($main, $app, $ids, 'PU017', 'and the old primary, awake again, is the one that lacks something');
denied($main, {}, q{SELECT purpose.withdraw_consent('customers', 2, 'marketing')}, 'PU017', 'until it is reconciled');
$main->safe_psql('postgres', q{SELECT purpose.reconcile(); SELECT purpose.claim_keyring()});
allowed($main, $app, $ids, '', 'then it goes on');

# A dump that is loaded into the very database that it was made of, which has run
# all the while, and so has sessions.
$main->safe_psql('postgres', 'CREATE DATABASE again');
$main->safe_psql('again', 'CREATE EXTENSION pg_purpose');
shop($main, 'again');
$main->safe_psql('again', 'SELECT purpose.create_keyring()');
my $in_again = { %$app, dbname => 'again' };
my $session = session($main, $in_again);
is(ask($session, $ids), '1', 'a database of its own');
my $dump = "$base/again.sql";
$main->command_ok([ 'pg_dump', '--clean', '--if-exists', '-f', $dump, $main->connstr('again') ], 'is dumped');
$main->safe_psql('again', q{SELECT purpose.withdraw_consent('customers', 1, 'marketing')});
$main->poll_query_until('again', 'SELECT NOT EXISTS (SELECT FROM purpose.journal_outbox)');
is(ask($session, $ids), '', 'somebody withdraws');
$main->safe_psql('again', 'DROP FUNCTION customer_emails(); DROP TABLE customers, orders, items CASCADE; DROP EXTENSION pg_purpose CASCADE; DROP FUNCTION try');
$main->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-1', '-f', $dump, '-d', $main->connstr('again') ], 'and the dump is loaded into it');
is(ask($session, $ids), 'PU017', 'a session that lived through it is refused');
denied($main, $in_again, $ids, 'PU017', 'and so is a new one');
$main->safe_psql('again', 'SELECT purpose.reconcile()');
is(ask($session, $ids), '', 'until it is reconciled: the withdrawal is in force again');
$session->quit;

done_testing();
