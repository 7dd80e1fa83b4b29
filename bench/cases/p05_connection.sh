# shellcheck shell=bash
#
# The first statement of a connection, against a plain table
#
# A pool opens connections all the time.  What a backend has to fetch before it
# can judge its first row shows here, in time and in its own memory: it must not
# grow with the number of consents.

. "$BENCH/lib/events.sh"

CONNECTIONS=25					# of each of the two, in a round

connection_prepare()
{
	events_database events
	events_protected events int8 "$rows" "$subjects"
	events_keys events
	# A lookup that finds its row, so that its subject is asked for.
	connection_ids=$(bench_sql events "
		SELECT e.id FROM events_int8 e JOIN consent_int8 c USING (subject) WHERE c.granted
		ORDER BY draw(e.id, 4, 1000000) LIMIT $CONNECTIONS")
}

# connection_script: connects anew for each lookup, to the two in turn.  Prints
# for each the role, how long the lookup took, and the memory taken then.
connection_script()
{
	local id role table

	for id in $connection_ids; do
		for role in bench_plain bench_app; do
			table=events_int8
			[ $role = bench_plain ] || table=protected_int8
			printf '\\c - %s\n\\timing on\n' $role
			printf 'SELECT %s AS found FROM %s WHERE id = %d;\n' "'row $role'" $table "$id"
			printf '\\timing off\n'
			printf "SELECT 'memory %s', sum(total_bytes) FROM pg_backend_memory_contexts;\n" $role
		done
	done
}

connection_round()
{
	local found plain protected plain_memory protected_memory scan_first scan_next

	found=$(connection_script | as_user psql -XAtq -F ' ' -v ON_ERROR_STOP=1 -U bench_plain -d events |
		awk '$1 == "row" { role = $2; rows++ }
			$1 == "Time:" { print "time", role, $2 }
			$1 == "memory" { print }
			END { print "rows", rows }') || die "psql failed"
	[[ $found = *"rows $((CONNECTIONS * 2))"* ]] || die "a lookup did not find its row"
	plain=$(connection_median time bench_plain)
	protected=$(connection_median time bench_app)
	plain_memory=$(connection_median memory bench_plain)
	protected_memory=$(connection_median memory bench_app)
	figure P5 "first lookup of a connection: plain" ms - "$plain"
	figure P5 "first lookup of a connection: pg_purpose over plain" ms '<= 1' "$(minus "$protected" "$plain")"
	figure P5 "a backend's own memory after it: pg_purpose over plain" kB - \
		"$(ratio "$(minus "$protected_memory" "$plain_memory")" 1024)"
	scan_first=$(connection_scan_ms 'SELECT 1')
	scan_next=$(connection_scan_ms "$EVENTS_QUERY protected_int8")
	figure P5 "first scan of a connection / its second" x - "$(ratio "$scan_first" "$scan_next")"
}

connection_scan_ms()
{
	bench_ms events bench_app "SET max_parallel_workers_per_gather = 0; $1" "$EVENTS_QUERY protected_int8"
}

# connection_median WORD ROLE: of what the script printed.
connection_median()
{
	awk -v word="$1" -v role="$2" '$1 == word && $2 == role { print $3 }' <<<"$found" | median
}
