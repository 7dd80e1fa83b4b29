# shellcheck shell=bash
#
# bench/lib/sealed.sh: sealed values, and the same in clear and under pgcrypto.
# Sourced by the benchmarks that open, write and shred them.
#
#   sealed_database		makes the database "sealed" once, with `subjects` rows of
#						one value each in
#	person_plain		in clear
#	person_sealed		sealed, of a person each: the subject table
#	one_sealed			sealed, all of person 1
#
# next_subject is the first number that is nobody's yet.

sealed_database()
{
	[ -z "$(bench_sql postgres "SELECT 1 FROM pg_database WHERE datname = 'sealed'")" ] || return 0
	step "$subjects sealed values"
	bench_database sealed
	bench_sql sealed "
		CREATE EXTENSION pgcrypto;
		SELECT purpose.create_keyring();
		SELECT purpose.create_purpose('bench', basis => 'contract');
		SELECT purpose.grant_purpose('bench', 'bench_app');
		ALTER ROLE bench_app IN DATABASE sealed SET purpose.current = 'bench';
		CREATE TABLE person_plain (id bigint, value text);
		CREATE TABLE person_sealed (id bigint PRIMARY KEY, value purpose.sealed_text(bench));
		CREATE TABLE one_sealed (id bigint, value purpose.sealed_text(bench));
		SELECT purpose.protect('person_sealed', subject => 'id');
		SELECT purpose.protect('one_sealed', subject => 'id', of => 'person_sealed');
		INSERT INTO person_plain SELECT i, 'value ' || lpad(i::text, 10, '0') FROM generate_series(1, $subjects) i;
		INSERT INTO one_sealed SELECT 1, value FROM person_plain;
		INSERT INTO person_sealed SELECT id, value FROM person_plain;
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench_app;
		VACUUM ANALYZE;
		CHECKPOINT" >/dev/null
	next_subject=$((subjects + 1))
}

# sealed_ms SQL: milliseconds of a session that declares the purpose, has its
# keys, and runs in one process, as opening does.
sealed_ms()
{
	bench_steady_ms sealed bench_app \
		"SET max_parallel_workers_per_gather = 0; SELECT count(value::text) FROM one_sealed WHERE id = 0" "$1"
}

# sealed_wal SQL: bytes of WAL that it writes.
sealed_wal()
{
	local before

	before=$(bench_sql sealed "SELECT pg_current_wal_insert_lsn()")
	bench_sql sealed "$1" >/dev/null
	bench_sql sealed "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')"
}
