# shellcheck shell=bash
#
# What a row costs when there is ten times as much
#
# Five databases: one to start from, and four that have ten times as many of one
# thing.  A row's cost is the time of the whole scan, reading included, for each
# row of the table; "flat" is read as a quarter more at the most.  Statements by
# key are measured as well, because what a statement has to find out about
# purposes and labels shows there.

. "$BENCH/lib/events.sh"

GROWTH_OF='rows subjects purposes labels'
GROWTH_CONSENTS=1000			# for each purpose besides the one of the scan

growth_prepare()
{
	local of

	as_user tee "$SCRATCH/lookup.sql" >/dev/null <<'SQL'
\set id random(1, :rows)
SELECT amount FROM protected_int8 WHERE id = :id;
SQL
	growth_database start
	for of in $GROWTH_OF; do
		growth_database "$of"
	done
}

# growth_database OF: with ten times as many of that.
growth_database()
{
	local of=$1 purposes=10 labels=10
	local -n size=growth_rows_$of

	size=$((rows / 10))
	growth_subjects=$((subjects / 10))
	case $of in
		rows) size=$rows ;;
		subjects) growth_subjects=$subjects ;;
		purposes) purposes=100 ;;
		labels) labels=100 ;;
	esac
	events_database "growth_$of"
	events_protected "growth_$of" int8 $size $growth_subjects
	bench_sql "growth_$of" "
		ALTER TABLE protected_int8 ADD PRIMARY KEY (id);
		SELECT purpose.create_purpose('purpose_' || i, basis => 'consent') FROM generate_series(2, $purposes) i;
		INSERT INTO purpose.consent_import (subject_table, subject, purpose)
			SELECT 'subject_int8', 1 + s, 'purpose_' || i
			FROM generate_series(2, $purposes) i, generate_series(0, $GROWTH_CONSENTS - 1) s WHERE s < $growth_subjects;
		-- Ten labelled columns a table, the scanned one included.
		SELECT format('ALTER TABLE protected_int8 ADD column_%s text', i) FROM generate_series(2, 10) i \\gexec
		SELECT format('CREATE TABLE labelled_%s (%s)', t, string_agg(format('column_%s text', i), ', '))
			FROM generate_series(2, $labels / 10) t, generate_series(1, 10) i GROUP BY t \\gexec
		SELECT purpose.label_column(c.oid::regclass, a.attname, 'for marketing')
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE c.relname ~ '^(protected_int8|labelled_[0-9]+)\$' AND a.attname LIKE 'column\\_%'" >/dev/null
}

growth_round()
{
	local of start_row start_tps row tps

	growth_measure start
	figure P14 "scan of $growth_rows_start rows: a row" ns - "$row"
	figure P14 "lookups by key" tps - "$tps"
	for of in $GROWTH_OF; do
		# What the factor is compared with is measured beside it.
		growth_measure start
		start_row=$row start_tps=$tps
		growth_measure "$of"
		figure P14 "$of x 10: cost of a row / before" x '<= 1.25' "$(ratio "$row" "$start_row")"
		figure P14 "$of x 10: lookups by key a second / before" x - "$(ratio "$tps" "$start_tps")"
	done
}

# growth_measure OF: sets row to the nanoseconds of a row, tps.
growth_measure()
{
	local -n size=growth_rows_$1
	local ms

	ms=$(bench_steady_ms "growth_$1" bench_app "SET max_parallel_workers_per_gather = 0" "$EVENTS_QUERY protected_int8")
	row=$(ratio "$(over "$ms" 0 "$size")" 0.001)
	tps=$(bench_tps main "growth_$1" bench_app -M prepared -D rows="$size" -f "$SCRATCH/lookup.sql") || die "pgbench failed"
}
