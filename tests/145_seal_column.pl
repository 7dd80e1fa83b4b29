# Sealing a column of a table that is in use, interrupted again and again:
# nothing is lost, and at the end nothing of it is left in clear.
#
# Each value tells which row it belongs to and how often that was changed, so
# that any that was lost, stale or somebody else's is found.  It also holds a
# canary, which is searched for in every file of the data directory, in the WAL
# and in the server's log.
use strict;
use warnings;
use File::Find qw(find);
use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $keys = PostgreSQL::Test::Utils::tempdir;
my $canary = 'Kanarie' . join('', map { ('a' .. 'z')[ int rand 26 ] } 1 .. 12);

# Segments of the WAL are neither used again nor removed.
my $node = purpose_cluster('main', allows_streaming => 'logical',
	conf => "purpose.keyring = 'file:$keys'\npurpose.backup_horizon = 30\n"
	  . "wal_recycle = off\nwal_keep_size = '4GB'\nwal_compression = off\nautovacuum_naptime = '1s'\n"
	  . "restart_after_crash = on\nlog_statement = none\n");
$node->safe_psql('postgres', qq{
	SELECT purpose.create_purpose('billing', basis => 'contract');
	CREATE TABLE customers (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, email varchar(60) NOT NULL, name text);
	INSERT INTO customers (id, email) SELECT i, format('%s:%s:0', '$canary', i) FROM generate_series(1, 20000) i;
	CREATE INDEX ON customers (n);
	-- Few, so that they are not compressed.
	ALTER TABLE customers ALTER COLUMN email SET STATISTICS 10;
	SELECT purpose.protect('customers', subject => 'id');
	ANALYZE customers;
	CHECKPOINT;
});
my $rows = q{SELECT count(*), count(*) FILTER (WHERE email::text <> format('%s:%s:%s', '} . $canary . q{', id, n)), count(*) - count(email::text)
	FROM customers};
my $call = q{CALL purpose.seal_column('customers', 'email', 'for billing', batch_size => 500)};
my $progress = q{SELECT phase, pass FROM purpose.seal_progress WHERE finished_at IS NULL};

# Files below a folder in which the canary is found, but for those that match.
sub places
{
	my ($folder, $except) = @_;
	my @places;

	find({ no_chdir => 1, wanted => sub {
		return if !-f $_ || $_ =~ $except;
		push @places, $_ if index(slurp_file($_), $canary) >= 0;
	} }, $folder);
	return sort @places;
}

# Begins a CALL that will have to wait for another session, and returns its own
# session and process.  It may have to wait for others before, autovacuum among
# them.
sub begin_call
{
	my ($statement, $blocker) = @_;
	my $blocking = ask($blocker, 'SELECT pg_backend_pid()');
	my $session = session($node, { purpose => 'billing' });
	my $pid = ask($session, 'SELECT pg_backend_pid()');

	$session->{stdin} .= "$statement;\n";
	$session->{run}->pump_nb;
	$node->poll_query_until('postgres',
		"SELECT $blocking = ANY (pg_blocking_pids($pid))")
	  or BAIL_OUT('the statement does not wait for the lock');
	return ($session, $pid);
}

# Kills a process, and waits until the server has recovered from that.
sub kill_hard
{
	my ($pid, @sessions) = @_;

	my $crash = -s $node->logfile;

	kill 'KILL', $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $crash);
	$_->{run}->kill_kill foreach @sessions;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or BAIL_OUT('the server did not come back');
	return;
}

# The control: where values are in clear, they are found.
my $data = $node->data_dir;
my $outside_wal = qr{/pg_wal/};
my @before = places($data, $outside_wal);
my $heap = $node->safe_psql('postgres', q{SELECT pg_relation_filepath('customers')});
my $statistics = $node->safe_psql('postgres',
	q{SELECT string_agg(pg_relation_filepath(o), '|') FROM pg_class c, unnest(ARRAY[c.oid, c.reltoastrelid]) o WHERE c.oid = 'pg_statistic'::regclass});
ok((grep { m{/$heap$} } @before), 'control: clear values are found in the table');
ok((grep { m{/(?:$statistics)$} } @before), 'control: and in the statistics');
ok(0 + (my @in_wal = places("$data/pg_wal", qr{archive_status})), 'control: and in the WAL');

# Killed in the middle of a batch.  It waits for a number that another session
# is giving to one of the subjects.
my $blocker = session($node, {});
ask($blocker, q{BEGIN; INSERT INTO purpose.subject_number VALUES ('customers', '9000', 999999999)});
my ($session, $pid) = begin_call($call, $blocker);
allowed($node, {}, q{SELECT relation, "column", direction, phase, pass, rows_done BETWEEN 1000 AND 9000, rows_estimated, last_batch_at > started_at, finished_at IS NULL
	FROM purpose.seal_progress}, 'customers|email|seal|converting|1|t|20000|t|t', 'progress is seen from outside');
denied($node, {}, $call, '55006', 'a second session does not join in');
allowed($node, {}, $rows, '20000|0|0', 'the column is still what it was');
kill_hard($pid, $session, $blocker);
allowed($node, {}, q{SELECT count(purpose_sealing_email) BETWEEN 1000 AND 9000 FROM customers}, 't',
	'killed in the middle: the batches before are there');
allowed($node, {}, $progress, 'converting|1', 'and so is the progress');
allowed($node, {}, $rows, '20000|0|0', 'nothing is lost');
$node->safe_psql('postgres', qq{INSERT INTO customers (id, email) VALUES (20001, '$canary:20001:0')});
allowed($node, { purpose => 'billing' }, q{SELECT purpose_sealing_email::text = email FROM customers WHERE id = 20001}, 't',
	'what is written meanwhile is sealed, too');

# Cancelled before the rewrite, which waits for a reader.
$blocker = session($node, {});
ask($blocker, 'BEGIN; LOCK TABLE customers IN ACCESS SHARE MODE');
($session, $pid) = begin_call($call, $blocker);
allowed($node, {}, $progress, 'rewriting|2', 'it went on where it was, and waits for the table');
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$node->poll_query_until('postgres', "SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $pid");
$session->quit;
$blocker->quit;
allowed($node, {}, $rows, '20001|0|0', 'cancelled: nothing is lost');

# Killed before the rewrite.
$blocker = session($node, {});
ask($blocker, 'BEGIN; LOCK TABLE customers IN ACCESS SHARE MODE');
($session, $pid) = begin_call($call, $blocker);
kill_hard($pid, $session, $blocker);
allowed($node, {}, $progress, 'rewriting|3', 'killed before the rewrite: it has still to be done');
allowed($node, {}, $rows, '20001|0|0', 'nothing is lost');

# To its end, while others write.  lock_timeout makes the rewrite try until the
# table is free.  pgbench fails if any of its statements does.
my $script = PostgreSQL::Test::Utils::tempdir . '/writers.sql';
append_to_file($script, qq{
\\set id random(1, 20001)
\\set new random(30000, 2000000000)
UPDATE customers SET n = n + 1, email = format('%s:%s:%s', '$canary', id, n + 1) WHERE id = :id;
BEGIN;
INSERT INTO customers (id, email) VALUES (:new, '$canary:' || :new || ':0')
	ON CONFLICT (id) DO UPDATE SET n = customers.n + 1, email = format('%s:%s:%s', '$canary', customers.id, customers.n + 1);
UPDATE customers SET name = 'touched' WHERE id = :id;
END;
DELETE FROM customers WHERE id = :new AND :new % 3 = 0;
});
my $log = '';
my $writers = start([ 'pgbench', '-n', '-c', '4', '-t', '1500', '--max-tries=10', '-f', $script, $node->connstr('postgres') ],
	'<', \undef, '>&', \$log);
my $waiting = session($node, {});
ask($waiting, q{SET lock_timeout = '20ms'});
is(ask($waiting, $call), '', 'it ends while others write');
$writers->finish;
is($writers->result(0), 0, 'no writer failed') or diag($log);
$waiting->quit;
my $count = $node->safe_psql('postgres', 'SELECT count(*) FROM customers');
cmp_ok($count, '>', 20001, 'they did write');
allowed($node, { purpose => 'billing' }, $rows, "$count|0|0", 'and each row has its newest value');
allowed($node, {}, 'SELECT count(email::text) FROM customers', 0, 'which is sealed');
allowed($node, {}, q{SELECT format_type(atttypid, atttypmod), attnum FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = 'email'},
	q{purpose.sealed_text(billing,'(60)')|3}, 'the column has its new type, in its place');
allowed($node, {}, q{SELECT phase, clear_copies_until - finished_at FROM purpose.seal_progress}, 'done|30 days',
	'it is recorded until when backups hold it in clear');

# What was written in clear is in no file any more, but in WAL of before.
$node->safe_psql('postgres', 'CHECKPOINT; SELECT pg_switch_wal()');
my $last = $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_current_wal_insert_lsn())');
is(join(' ', places($data, $outside_wal)), '', 'no file of the data directory holds the canary');
ok(0 + (@in_wal = places("$data/pg_wal", qr{archive_status})), 'WAL of before still does');
$node->safe_psql('postgres', qq{
	UPDATE customers SET n = n + 1, email = format('%s:%s:%s', '$canary', id, n + 1) WHERE id % 5 = 0;
	INSERT INTO customers (id, email) SELECT -i, format('%s:%s:0', '$canary', -i) FROM generate_series(1, 1000) i;
	ANALYZE customers;
	VACUUM customers;
	CHECKPOINT;
	UPDATE customers SET name = 'touched again' WHERE id % 7 = 0;
	CHECKPOINT;
});
is(join(' ', grep { m{([0-9A-F]{24})$} && $1 ge $last } places("$data/pg_wal", qr{archive_status})), '', 'WAL of afterwards does not');
is(join(' ', places($data, $outside_wal)), '', 'nor does anything else');
unlike(slurp_file($node->logfile), qr/$canary/, 'the log never did');
$count = $node->safe_psql('postgres', 'SELECT count(*) FROM customers');
allowed($node, { purpose => 'billing' }, $rows, "$count|0|0", 'all values open');

# And back, through a crash of the whole server.
my $back = q{CALL purpose.unseal_column('customers', 'email', batch_size => 5000)};
denied($node, {}, $back, 'PU005', 'without a purpose nothing is unsealed');
$blocker = session($node, {});
ask($blocker, 'BEGIN');
my $other = session($node, {});
ask($other, q{SELECT purpose._migration_start('customers', 'email', true, '', false, false, 0)});
ask($blocker, 'LOCK TABLE customers IN ACCESS SHARE MODE');
($session, $pid) = begin_call($back, $blocker);
$node->stop('immediate');
$_->{run}->kill_kill foreach $session, $blocker, $other;
$node->start;
allowed($node, {}, $progress, 'rewriting|2', 'unsealing was stopped before the rewrite');
allowed($node, { purpose => 'billing' }, $rows, "$count|0|0", 'nothing is lost');
allowed($node, { purpose => 'billing' }, $back, '', 'with one it is');
allowed($node, {}, $rows, "$count|0|0", 'and all values are there');
allowed($node, {}, q{SELECT format_type(atttypid, atttypmod), attnum FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = 'email'},
	'character varying(60)|3', 'as they were');
allowed($node, {}, q{SELECT label FROM purpose.labels WHERE relation = 'customers'::regclass}, 'for billing', 'under a label that says the same');

# What keeps old snapshots of the catalog keeps the last step waiting: it says
# who, to whoever calls, and check() does.  Called again, it says so again.
$node->safe_psql('postgres', q{
	SELECT pg_create_logical_replication_slot('nobody', 'test_decoding');
	CREATE TABLE guests (id bigint PRIMARY KEY, email text);
	SELECT purpose.protect('guests', subject => 'id');
	INSERT INTO guests SELECT i, 'e' || i FROM generate_series(1, 10) i;
	ANALYZE guests;
});
my $guests = q{CALL purpose.seal_column('guests', 'email', 'for billing')};
foreach my $time ('first', 'second')
{
	my $said = '';
	my $caller = start([ 'psql', '-X', '-d', $node->connstr('postgres'), '-c', $guests ], '<', \undef, '>&', \$said);

	ok(pump_until($caller, IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default), \$said,
			qr/WARNING:  waiting .*"nobody", which nobody uses.*pg_drop_replication_slot/s),
		"$time call: it names the replication slot that it waits for, and says what to do");
	allowed($node, {}, q{SELECT severity, problem ~ 'it is sealed, but .*: replication slot "nobody"' FROM purpose.check() WHERE object = 'public.guests.email' AND remedy LIKE 'CALL%'},
		'warning|t', 'so does check()');
	if ($time eq 'first')
	{
		$caller->signal('INT');
	}
	else
	{
		$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('nobody')});
	}
	finish $caller;
}
allowed($node, {}, q{SELECT phase FROM purpose.seal_progress WHERE relation = 'guests'::regclass}, 'done', 'without the slot it ends');
allowed($node, {}, q{SELECT count(*) FROM purpose.check() WHERE object = 'public.guests.email' AND remedy LIKE 'CALL%'}, 0, 'and check() has nothing to say of it');

$node->stop;
done_testing();
