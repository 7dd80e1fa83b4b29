# Nothing that is written to disk or sent away holds the plaintext of a sealed
# column: data directory, WAL, archive, base backup, dumps, replication, spilled
# and temporary files, statistics, the server log, what a crash leaves behind.
#
# Each sealed column holds canaries: random texts that occur nowhere else and do
# not compress.  They are searched for as they are, and in hex and base64, in
# each place.  A clear column's canary must be found in every one of these
# places: it shows that the search would have found the others.
use strict;
use warnings;
use File::Path qw(make_path);
use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use PurposeCluster;

my $base = PostgreSQL::Test::Utils::tempdir;
my @letters = ('a' .. 'z', 'A' .. 'Z', '0' .. '9');

sub random_text { return join '', map { $letters[ rand @letters ] } 1 .. shift }

# A canary for each sealed column; one for the clear ones, one for each kind of
# error, which is in no column.
my %canary = map { $_ => random_text(24) } qw(clear text bytea jsonb array composite searchable big part migrated written error);

# Fillers make a value long, and every page of it holds the canary.
my $big = join '', map { random_text(600) . $canary{big} } 1 .. 200;
my $big_clear = join '', map { random_text(600) . $canary{clear} } 1 .. 200;

# forms(CANARY): the forms in which it may have been written.  Of base64 there
# are three, by where in a group of three bytes it begins; of each the part that
# does not depend on what stands beside.
sub forms
{
	my ($text) = @_;
	my @forms = ($text, unpack('H*', $text), uc unpack('H*', $text));

	foreach my $shift (0 .. 2)
	{
		my $encoded = encode_base64(('x' x $shift) . $text, '');

		$encoded =~ s/=+$//;
		push @forms, substr($encoded, $shift == 0 ? 0 : 4, 26);
	}
	return @forms;
}

my %form_of;
foreach my $name (keys %canary)
{
	$form_of{$_} = $name foreach forms($canary{$name});
}
append_to_file("$base/patterns", "$_\n") foreach keys %form_of;

# search(PLACE, PATH...): the clear canary is found there, no other is.  Two
# assertions.
sub search
{
	my ($place, @paths) = @_;
	my %found;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	open(my $grep, '-|', 'env', 'LC_ALL=C', 'grep', '-r', '-a', '-o', '-H', '-F', '-D', 'skip', '-f', "$base/patterns", @paths)
	  or die "grep: $!";
	while (my $line = <$grep>)
	{
		my ($file, $form) = $line =~ /^(.*):([^:]+)\n$/ or next;
		$found{ $form_of{$form} // 'unknown' }{$file} = 1;
	}
	close($grep);
	ok(delete $found{clear}, "$place: the clear column's canary is found");
	is(join(' ', sort keys %found), '', "$place: no sealed column's is");
	foreach my $name (sort keys %found)
	{
		my @files = sort keys %{ $found{$name} };
		diag("canary of $name in @files[0 .. ($#files > 4 ? 4 : $#files)]");
	}
	return;
}

mkdir "$base/keys", 0700;
my $node = purpose_cluster('main', allows_streaming => 'logical', has_archiving => 1, conf => qq{
	purpose.keyring = 'file:$base/keys'
	wal_compression = off
	autovacuum = off
	max_prepared_transactions = 2
	logical_decoding_work_mem = '64kB'
	work_mem = '64kB'
	remove_temp_files_after_crash = off
	restart_after_crash = on
	deadlock_timeout = '100ms'
	log_error_verbosity = default
	log_statement = none
	log_min_duration_statement = -1
});
$node->safe_psql('postgres', q{
	SELECT purpose.create_purpose('billing', basis => 'contract');
	CREATE TYPE contact AS (kind text, value purpose.sealed_text(billing));
	CREATE TABLE people (id bigint PRIMARY KEY, clear text, clear_big text,
		t purpose.sealed_text(billing),
		by purpose.sealed_bytea(billing),
		j purpose.sealed_jsonb(billing),
		a purpose.sealed_text(billing)[],
		c contact,
		s purpose.searchable_text(billing) UNIQUE,
		n purpose.sealed_numeric(billing),
		big purpose.sealed_text(billing),
		CHECK (id < 1000000));
	ALTER TABLE people ALTER clear_big SET STORAGE EXTERNAL;
	CREATE INDEX ON people (clear);
	CREATE TABLE parts (id bigint, k int, clear text, t purpose.sealed_text(billing), PRIMARY KEY (id, k)) PARTITION BY LIST (k);
	CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
	CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2);
	SELECT purpose.protect('people', subject => 'id');
	SELECT purpose.protect('parts', subject => 'id', of => 'people');
});
$node->safe_psql('postgres', qq{SELECT pg_create_logical_replication_slot('$_', 'test_decoding')}) foreach qw(decoding spilling);
my %billing = (purpose => 'billing');
my $values = sub {
	my ($id, $with) = @_;
	return qq{($id, 'c$canary{clear}', 'c$canary{clear}', '$canary{text}', '$canary{bytea}', '{"k": ["$canary{jsonb}"]}',
		'{$canary{array},x}', ROW('k', '$canary{composite}'), '$canary{searchable}$id', 1, '$canary{text}')};
};
allowed($node, \%billing, join('', map { "INSERT INTO people VALUES " . $values->($_) . ";\n" } 1 .. 3), undef, 'values are sealed');
allowed($node, \%billing, qq{
	UPDATE people SET big = '$big', clear_big = '$big_clear' WHERE id = 1;
	INSERT INTO parts SELECT i, 1, '$canary{clear}', '$canary{part}' FROM generate_series(1, 9) i;
	UPDATE parts SET k = 2 WHERE id < 5;
	UPDATE people SET t = t || '$canary{written}' WHERE id = 2;
	BEGIN;
	DELETE FROM people WHERE id = 3;
	INSERT INTO people VALUES } . $values->(4) . q{;
	PREPARE TRANSACTION 'p';
	COMMIT PREPARED 'p';
	COPY people (id, clear, t) FROM stdin;
} . "5\t$canary{clear}\t$canary{text}\n\\.\n" . q{
	ANALYZE;
	SELECT t = left(t, 24), s, octet_length(by), j -> 'k' ->> 0 = a[1], length(big) > 100000 FROM people WHERE id = 1;
}, undef, 'by INSERT, UPDATE, COPY and a prepared transaction');
allowed($node, \%billing, q{SELECT t, s, convert_from(by, 'UTF8'), j -> 'k' ->> 0, a[1], (c).value, length(big) FROM people WHERE id = 1},
	join('|', @canary{'text', 'searchable'}) . '1|' . join('|', @canary{'bytea', 'jsonb', 'array', 'composite'}) . '|' . length($big),
	'and open');

# Output plugins.
append_to_file("$base/decoded", (run_as($node, \%billing, q{SELECT data FROM pg_logical_slot_get_changes('decoding', NULL, NULL)}))[1]);
search('logical decoding', "$base/decoded");

# Statistics, whose clear column's canary is shown to a superuser.
append_to_file("$base/statistics", $node->safe_psql('postgres', q{
	SELECT s::text FROM pg_statistic s; SELECT s::text FROM pg_stats s; SELECT s::text FROM pg_stats_ext s;
	SELECT * FROM pg_stat_user_tables; SELECT * FROM pg_stat_user_indexes}));
search('statistics', "$base/statistics");

# Dumps.
foreach my $options ([], ['--inserts'], [ '-Fc', '-Z0' ], [ '-Fd', '-Z0' ])
{
	my $name = 'dump' . join '', @$options;

	# With --inserts it reads rows by a query, which opens what it may.
	local $ENV{PGOPTIONS} = "@$options" eq '--inserts' ? '' : '-cpurpose.current=billing';
	$node->command_ok([ 'pg_dump', @$options, '-f', "$base/$name", $node->connstr('postgres') ], "pg_dump @$options");
	search("pg_dump @$options", "$base/$name");
}

# What a large transaction leaves while it is decoded: the receiver never reads.
allowed($node, \%billing, qq{
	INSERT INTO people (id, clear, t, big, s) SELECT i, '$canary{clear}', '$canary{text}', left('$big', 3000), '$canary{searchable}' || i
	FROM generate_series(1001, 3000) i}, undef, 'a large transaction');
system_or_bail('mkfifo', "$base/fifo");
open(my $fifo, '+<', "$base/fifo") or die "fifo: $!";
my $receiver = IPC::Run::start([ 'pg_recvlogical', '-d', $node->connstr('postgres'), '-S', 'spilling', '--start', '-f', "$base/fifo", '-F', '0' ],
	'>', "$base/recv.out", '2>', "$base/recv.err");
my @spill;
foreach (1 .. 1800)
{
	@spill = glob($node->data_dir . '/pg_replslot/spilling/*.spill');
	last if @spill;
	select undef, undef, undef, 0.1;
}
ok(@spill, 'decoding spills to disk');
search('files of decoding', @spill);
$receiver->kill_kill;
close($fifo);
# Slots keep old rows of the catalogs, and sealing in place waits for them.
foreach my $slot (qw(decoding spilling))
{
	$node->poll_query_until('postgres', qq{SELECT NOT active FROM pg_replication_slots WHERE slot_name = '$slot'});
	$node->safe_psql('postgres', qq{SELECT pg_drop_replication_slot('$slot')});
}

# Sealing in place: the column's plaintext was there, and is in older files of
# the WAL; of the table nothing is left.
$node->safe_psql('postgres', qq{
	CREATE TABLE migrated (id bigint PRIMARY KEY, v text, clear text);
	ALTER TABLE migrated ALTER v SET STORAGE EXTERNAL, ALTER clear SET STORAGE EXTERNAL;
	INSERT INTO migrated SELECT i, repeat('$canary{migrated}', 100), repeat('$canary{clear}', 100) FROM generate_series(1, 50) i;
	CREATE INDEX ON migrated (left(clear, 24));
	ANALYZE migrated;
	SELECT purpose.protect('migrated', subject => 'id');
});
$node->safe_psql('postgres', 'CHECKPOINT');
my $holds = sub {
	my ($name) = @_;
	return 0 == system "LC_ALL=C grep -rqaF '$canary{$name}' '" . $node->data_dir . "/base' '" . $node->data_dir . "/global'";
};
ok($holds->('migrated'), 'a clear column, before it is sealed, is in the data directory');
allowed($node, \%billing, q{CALL purpose.seal_column('migrated', 'v', 'for billing')}, undef, 'it is sealed in place');
$node->safe_psql('postgres', 'VACUUM FULL pg_statistic; CHECKPOINT');
ok(!$holds->('migrated'), 'and is not there any more');
ok($holds->('clear'), 'where the one beside it still is');
# Its WAL goes out of sight, as it does when backups expire.
delete $form_of{$_} foreach forms($canary{migrated});
unlink "$base/patterns";
append_to_file("$base/patterns", "$_\n") foreach keys %form_of;

# The server log.  What is written of the same errors in a database without
# sealed columns is the control.
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', q{CREATE TABLE people (id bigint PRIMARY KEY, t text, s text UNIQUE, n numeric, d date, CHECK (id < 1000000))});
$node->safe_psql('postgres', q{
	CREATE TABLE plain (id int PRIMARY KEY, v int);
	INSERT INTO plain VALUES (1, 1), (2, 2);
	CREATE FUNCTION dynamic(value text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('INSERT INTO people (id, t) VALUES (10, %L)', value);
		EXECUTE format('UPDATE people SET t = %L, n = 1 / 0', value);
	END $$});
$node->safe_psql('other', q{
	CREATE FUNCTION dynamic(value text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('UPDATE people SET t = %L, id = id / 0', value);
	END $$});
my @errors = (
	q{INSERT INTO people (id, t, s) VALUES (1, '%s', '%s')},
	q{INSERT INTO people (id, t, s) VALUES (1000001, '%s', '%s')},
	q{INSERT INTO people (id, t, s) VALUES (NULL, '%s', '%s')},
	q{INSERT INTO people (id, s) VALUES (11, '%s'), (12, '%s')},
	q{INSERT INTO people (id, n) VALUES (11, '%s')},
	q{INSERT INTO people (id, n) SELECT 11, v::numeric FROM (SELECT '%s'::text AS v) x},
	q{UPDATE people SET n = t::numeric WHERE id < 5},
	q{SELECT t::text::date FROM people},
	q{SELECT to_timestamp(t::text, 'Mon') FROM people},
	q{SELECT t::text::json FROM people},
	q{INSERT INTO people (id, t) VALUES (11, '%s') oops},
	q{INSERT INTO people (id, t) VALUES (11, 'O'%s')},
	q{INSERT INTO people (id, t) VALUES (11, $x$%s$x$ || nothing)},
	q{INSERT INTO nowhere (id, t) VALUES (11, '%s')},
	q{SELECT nothing(t), '%s' FROM people},
	q{SELECT 1 / 0 FROM people WHERE t <> '%s'},
	q{DO $d$ BEGIN PERFORM 1 / (count(*) * 0) FROM people WHERE t <> '%s'; END $d$},
	q{PREPARE p(bigint, text) AS INSERT INTO people (id, t) VALUES ($1, $2); EXECUTE p(1, '%s')},
	q{BEGIN; DECLARE c CURSOR FOR SELECT t FROM people WHERE t = '%s' || 1 / 0; FETCH c},
	q{SELECT dynamic('%s')},
	q{SET statement_timeout = '10ms'; SELECT pg_sleep(5), '%s' FROM people},
	q{SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(5), '%s' FROM people},
	q{SELECT pg_terminate_backend(pg_backend_pid()), '%s' FROM people},
	"COPY people (id, t, n) FROM stdin;\n20\t%s\tx\n\\.\n",
	"COPY people (id, t, s) FROM stdin;\n1\t%s\t%s\n\\.\n",
	"COPY people (id, t) FROM stdin;\nx%s\t%s\n\\.\n",
	"COPY people (id, t) FROM stdin;\n30\t%s\t%s\t%s\n\\.\n",
	"COPY people (id, t) FROM stdin (FORMAT csv);\n31,\"%s\n\\.\n");
my $log_from = -s $node->logfile;
my $succeeded = 0;
foreach my $error (@errors)
{
	my @runs = ([ { %billing }, $canary{error} ], [ { dbname => 'other' }, $canary{clear} ]);

	foreach my $run (@runs)
	{
		(my $sql = $error) =~ s/%s/$run->[1]/g;
		my ($status, $out, $err) = run_as($node, $run->[0], $sql);

		if ($status == 0 && $run->[0]{purpose}) { $succeeded++; diag("did not fail: $error"); }
	}
}
is($succeeded, 0, 'each statement fails');
append_to_file("$base/log1", slurp_file($node->logfile, $log_from));
search('the log of errors', "$base/log1");

# check() names what logs statements that do not fail.
my $named = q{SELECT coalesce(string_agg(object, ', ' ORDER BY object), 'none') FROM purpose.check() WHERE object ~ '^setting '};
allowed($node, {}, $named, 'none', 'check() finds nothing in these settings');
allowed($node, {}, "SET log_statement = 'all'; SET log_min_duration_statement = 100; SET log_parameter_max_length_on_error = -1; $named",
	'setting log_min_duration_statement = 100, setting log_parameter_max_length = -1, '
	  . 'setting log_parameter_max_length_on_error = -1, setting log_statement = all', 'and names those that log values');

# A deadlock names what all who are in it ran.
sub deadlock
{
	my ($as, $text) = @_;
	my ($a, $b) = map { session($node, $as) } 1 .. 2;

	ask($_, q{BEGIN; SET LOCAL lock_timeout = '60s'}) foreach $a, $b;
	ask($a, q{SELECT pg_advisory_xact_lock(1)});
	ask($b, q{SELECT pg_advisory_xact_lock(2)});
	$a->query_until(qr/started/, qq{\\echo started\nSELECT pg_advisory_xact_lock(2), '$text' <> '';\n});
	ask($b, qq{SELECT pg_advisory_xact_lock(1), '$text' <> '';});
	$_->quit foreach $a, $b;
	return;
}
$log_from = -s $node->logfile;
deadlock({%billing}, $canary{error});
deadlock({ dbname => 'other' }, $canary{clear});
append_to_file("$base/log2", slurp_file($node->logfile, $log_from));
like(slurp_file("$base/log2"), qr/deadlock detected/, 'a deadlock is found');
search('the log of a deadlock', "$base/log2");

# A writer that is killed while its rows are in temporary files, and what it
# was running in the log.  Its plaintext comes from a table of another kind.
$node->safe_psql('postgres', q{
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM count(*) FROM fresh;
		PERFORM pg_advisory_xact_lock(9);
		RETURN NULL;
	END $$;
	CREATE TRIGGER wait AFTER INSERT ON people REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION wait();
});
my $holder = session($node, {});
ask($holder, q{SELECT pg_advisory_lock(9)});
my $writer = session($node, \%billing);
my $pid = ask($writer, q{SELECT pg_backend_pid()});
$writer->query_until(qr/started/, qq{\\echo started
	INSERT INTO people (id, clear, t, by, big) SELECT i, '$canary{clear}', '$canary{written}', '$canary{bytea}', '$canary{big}' FROM generate_series(5001, 9000) i;\n});
ok($node->poll_query_until('postgres', qq{SELECT wait_event = 'advisory' FROM pg_stat_activity WHERE pid = $pid}), 'a writer waits');
my $reader = session($node, \%billing);
ask($reader, q{BEGIN; DECLARE c CURSOR FOR SELECT clear, t, big, s FROM people ORDER BY clear, id});
ask($reader, q{FETCH 1 FROM c});
my $tmp = $node->data_dir . '/base/pgsql_tmp';
my @tmp = glob("$tmp/*");
cmp_ok(scalar(@tmp), '>', 1, 'with rows in temporary files');
search('temporary files', $tmp);
$log_from = -s $node->logfile;
kill 9, $pid;
foreach my $session ($writer, $holder, $reader)
{
	eval { $session->{run}->finish };
}
ok($node->poll_query_until('postgres', 'SELECT true'), 'the server recovers');
like(slurp_file($node->logfile, $log_from), qr/terminated by signal 9/, 'for a process was killed');
unlike(slurp_file($node->logfile, $log_from), qr/$canary{clear}|$canary{written}|$canary{big}/, 'what it was running is not in the log');
ok(scalar(glob("$tmp/*")), 'its temporary files are left behind');
search('what a crash left behind', $node->data_dir);
$node->safe_psql('postgres', 'CHECKPOINT');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
allowed($node, \%billing, q{SELECT count(*), count(t::text) FROM people}, '2004|2004', 'with what was committed');
ok($node->poll_query_until('postgres', q{SELECT last_archived_wal IS NOT NULL FROM pg_stat_archiver}), 'WAL is archived');

# Everything.
$node->backup('base');
search('data directory and WAL', $node->data_dir);
search('WAL archive', $node->archive_dir);
search('base backup', $node->backup_dir . '/base');
search('indexes and TOAST', map { $node->data_dir . '/' . $_ } split /\n/, $node->safe_psql('postgres', q{
	SELECT pg_relation_filepath(indexrelid) FROM pg_index WHERE indrelid = 'people'::regclass
	UNION ALL SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE oid = 'people'::regclass}));
$node->stop;
search('data directory after shutdown', $node->data_dir);

done_testing();
