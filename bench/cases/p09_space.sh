# shellcheck shell=bash
#
# Space of a sealed value, and WAL of a new subject

. "$BENCH/lib/sealed.sh"

space_prepare()
{
	sealed_database
	bench_sql sealed "
		CREATE TABLE space_sealed (id bigint, value purpose.sealed_text(bench));
		SELECT purpose.protect('space_sealed', subject => 'id', of => 'person_sealed')" >/dev/null
}

space_round()
{
	local n=$((subjects / 100)) insert new old

	figure P9 "a sealed value over its plaintext" bytes '<= 48' "$(bench_sql sealed "
		SELECT round(avg(pg_column_size(s.value) - pg_column_size(p.value)), 2)
		FROM person_sealed s JOIN person_plain p USING (id)")"
	# The second time the subjects are known: the rest is what is written of them.
	insert="INSERT INTO space_sealed SELECT $next_subject + i, 'value' FROM generate_series(0, $n - 1) i"
	bench_sql sealed "CHECKPOINT"
	new=$(sealed_wal "$insert")
	old=$(sealed_wal "$insert")
	next_subject=$((next_subject + n))
	figure P9 "WAL for a new subject (its number and no key)" bytes - "$(ratio "$(minus "$new" "$old")" "$n")"
}
