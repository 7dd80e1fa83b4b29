# shellcheck shell=bash
#
# Scans of consenting subjects' rows, against rules by hand
#
# P3 has integer keys, P4 uuid and text.  All rivals give the same answer, which
# is compared first.  Times are warm: everything has been read before.

. "$BENCH/lib/events.sh"

scan_kinds()
{
	! wanted P3 || echo int8
	! wanted P4 || printf 'uuid\ntext\n'
}

scan_prepare()
{
	local kind

	events_database events
	for kind in $(scan_kinds); do
		events_protected events "$kind" "$rows" "$subjects"
		events_rivals events "$kind"
		step "comparing answers, keys of type $kind"
		events_compare events "$kind"
	done
}

scan_round()
{
	local kind

	for kind in $(scan_kinds); do
		scan_measure "$kind" 0
		scan_measure "$kind" 2
	done
}

# scan_ms ROLE RELATION WORKERS
scan_ms()
{
	bench_steady_ms events "$1" "SET max_parallel_workers_per_gather = $3; SET parallel_setup_cost = 0" "$EVENTS_QUERY $2"
}

# scan_workers KIND: how many the plan of the protected scan has.
scan_workers()
{
	printf 'SET parallel_setup_cost = 0;\nEXPLAIN %s protected_%s;\n' "$EVENTS_QUERY" "$1" |
		as_user psql -XAtq -v ON_ERROR_STOP=1 -U bench_app -d events |
		awk '/Workers Planned:/ { n = $NF } END { print n + 0 }'
}

# scan_measure KIND WORKERS
scan_measure()
{
	local kind=$1 workers=$2 row=P4 what plain protected by_exists few
	local most=3 least=3

	[ "$kind" != int8 ] || row=P3 most=1.3 least=7
	what="scan by $kind"
	[ "$workers" -eq 0 ] || what="parallel $what"
	plain=$(scan_ms bench_plain "events_$kind" "$workers")
	protected=$(scan_ms bench_app "protected_$kind" "$workers")
	by_exists=$(scan_ms bench_exists "events_$kind" "$workers")
	figure $row "$what: plain" ms - "$plain"
	figure $row "$what: pg_purpose / plain" x "<= $most" "$(ratio "$protected" "$plain")"
	figure $row "$what: RLS EXISTS / plain" x - "$(ratio "$by_exists" "$plain")"
	figure $row "$what: RLS EXISTS / pg_purpose" x ">= $least" "$(ratio "$by_exists" "$protected")"
	if [ "$workers" -gt 0 ]; then
		figure $row "$what: workers in pg_purpose's plan" workers - "$(scan_workers "$kind")"
		return
	fi
	figure $row "$what: RLS IN / plain" x - "$(ratio "$(scan_ms bench_in "events_$kind" 0)" "$plain")"
	[ "$kind" = int8 ] || return 0
	figure $row "$what: security-barrier view / plain" x - "$(ratio "$(scan_ms bench_app "view_$kind" 0)" "$plain")"
	few=$(scan_ms bench_plain few_int8 0)
	figure $row "$what: SECURITY DEFINER SQL function / plain" x - \
		"$(ratio "$(scan_ms bench_sql few_int8 0)" "$few")"
	figure $row "$what: SECURITY DEFINER plpgsql function / plain" x - \
		"$(ratio "$(scan_ms bench_plpgsql few_int8 0)" "$few")"
}
