# shellcheck shell=bash
#
# Shredding a person, and 1000 of them, against DELETE
#
# "Live cut-off" is purpose.shred() with its COMMIT: no statement that starts
# afterwards opens the person's values.  "Destroyed" is the end of the cycle in
# which the keys were: from then on no backup opens them either, once the leases
# have run out, which is not waited for.

. "$BENCH/lib/sealed.sh"

SHREDDING_MANY=1000
SHREDDING_HELD=10000			# rows of the person who has many

shredding_prepare()
{
	sealed_database
	[ -z "$quick" ] || SHREDDING_MANY=50 SHREDDING_HELD=100
	bench_sql sealed "
		CREATE SEQUENCE person START 2;
		CREATE TABLE held_sealed (id bigint, value purpose.sealed_text(bench));
		CREATE INDEX ON held_sealed (id);
		SELECT purpose.protect('held_sealed', subject => 'id', of => 'person_sealed')" >/dev/null
}

shredding_round()
{
	local one held deleted since before wal person shred="SELECT purpose.shred('person_sealed', nextval('person'))"

	one=$(shredding_ms "$shred" 5)
	since=$(bench_sql sealed "SELECT max(requested_at) FROM purpose.shred_receipt")
	figure P10 "shred a person: live cut-off" ms '<= 2' "$one"
	figure P10 "shred a person: keys destroyed" ms '<= 100' "$(shredding_cycle "$since")"

	person=$(bench_sql sealed "SELECT nextval('person')")
	bench_sql sealed "INSERT INTO held_sealed SELECT $person, 'value' FROM generate_series(1, $SHREDDING_HELD);
		VACUUM ANALYZE held_sealed"
	held=$(shredding_ms "SELECT purpose.shred('person_sealed', $person)")
	deleted=$(shredding_ms "DELETE FROM held_sealed WHERE id = $person")
	figure P10 "shred a person of $SHREDDING_HELD rows: live cut-off" ms '<= 2' "$held"
	figure P10 "DELETE of $SHREDDING_HELD rows / shred of their person" x - "$(ratio "$deleted" "$held")"

	bench_sql sealed "CHECKPOINT"
	before=$(bench_sql sealed "SELECT pg_current_wal_insert_lsn()")
	since=$(bench_sql sealed "
		\\o /dev/null
		$shred FROM generate_series(1, $SHREDDING_MANY);
		\\o
		SELECT clock_timestamp()")
	figure P10 "shred $SHREDDING_MANY persons: from COMMIT until keys are destroyed" ms '<= 300' "$(shredding_cycle "$since")"
	wal=$(bench_sql sealed "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')")
	figure P10 "WAL of a shredded person" bytes '<= 1000' "$(ratio "$wal" $SHREDDING_MANY)"
}

# shredding_ms SQL [TIMES]: in a session that has shredded before.
shredding_ms()
{
	bench_ms sealed postgres "SELECT purpose.shred('person_sealed', nextval('person'))" "$@"
}

# shredding_cycle SINCE: waits until a cycle has ended after that moment, and
# prints the milliseconds between.
shredding_cycle()
{
	local ms i

	for ((i = 0; i < 600; i++)); do
		ms=$(bench_sql sealed "
			SELECT round(extract(epoch FROM last_cycle - '$1'::timestamptz) * 1000, 2) FROM purpose._keyring_status()
			WHERE last_cycle > '$1' AND NOT EXISTS (SELECT FROM purpose.shred_receipt WHERE punctured_version IS NULL)")
		[ -z "$ms" ] || { printf '%s' "$ms"; return; }
		sleep 0.05
	done
	die "the key worker did not complete a cycle"
}
