# shellcheck shell=bash
#
# bench/lib/common.sh: how the benchmarks measure, and how they tell.  Sourced
# by bench/run.
#
# Invariants:
# - A figure is one number of one round.  It is measured as often as there are
#   rounds, its rivals in the same round; a ratio is one of figures of the same
#   round, so that what slows the machine down for a while slows both.
# - The names of a figure, its unit and its target have no comma and no quote:
#   they stand in a CSV file as they are.
# - Everything that is measured runs in the server that PGHOST leads to, as one
#   of the roles below, none of which is a superuser.

# step TEXT: says on the error output that something goes on.
step()
{
	printf '[%4d s] %s%s: %s\n' "$SECONDS" "${current:-bench}" \
		"$([ "${round:-0}" -eq 0 ] || printf ' %d/%d' "$round" "$rounds")" "$*" >&2
}

# wanted ROW: is this row of the table asked for?
wanted()
{
	[ -z "$only" ] || [[ ,$only, = *,$1,* ]] || [[ ,$only, = *,$current,* ]]
}

# figure ROW NAME UNIT TARGET VALUE: one measurement.  TARGET is ">= N", "<= N" or
# "-"; UNIT "x" for ratios, else what the value counts.
figure()
{
	[[ $5 =~ ^-?[0-9.]+(e[-+]?[0-9]+)?$ ]] || die "no figure for $1, $2: \"$5\""
	printf '%s,%s,%s,%s,%d,%s\n' "$1" "$2" "$3" "$4" "$round" "$5" >>"$out/samples.csv"
	step "$1 $2: $5 ${3/#x/}"
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b + 0 == 0) exit 1; printf "%.4f", a / b }'; }
minus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f", a - b }'; }
# over A B N: A - B milliseconds, as microseconds for each of N.
over() { awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { printf "%.4f", (a - b) * 1000 / n }'; }
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }
# The middle one of the numbers, or the mean of the two, in the lines of the input.
median() { sort -g | awk '{ a[NR] = $1 } END { if (NR) printf "%.4f", (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'; }

# bench_roles: in the cluster started last.
bench_roles()
{
	bench_sql postgres "
		-- What is measured as pg_purpose runs as bench_app, the plain rival as
		-- bench_plain, which no row-level security binds.
		CREATE ROLE bench_app LOGIN IN ROLE pg_read_all_stats, pg_read_server_files;
		CREATE ROLE bench_plain LOGIN BYPASSRLS IN ROLE pg_read_all_stats" >/dev/null
}

# bench_database NAME: makes it, with the extension.
bench_database()
{
	as_user createdb "$1" || die "no database $1"
	bench_sql "$1" "CREATE EXTENSION pg_purpose"
}

# bench_sql DATABASE SQL: as superuser; prints its results.  Each statement is a
# transaction.
bench_sql()
{
	printf '%s\n;\n' "$2" | as_user psql -XAtq -v ON_ERROR_STOP=1 -d "$1" || die "psql failed"
}

# bench_ms DATABASE ROLE PREPARATION SQL [TIMES]: milliseconds that SQL takes in
# a session of its own, after the preparation, which is not timed; the median of
# several times.
bench_ms()
{
	local i

	{
		printf '%s;\n\\o /dev/null\n\\timing on\n' "$3"
		for ((i = 0; i < ${5:-1}; i++)); do
			printf '%s;\n' "$4"
		done
	} | as_user psql -XAtq -v ON_ERROR_STOP=1 -U "$2" -d "$1" |
		sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | median
}

# bench_steady_ms: bench_ms of one time where that is slow, of three where a
# single one would be noise.
bench_steady_ms()
{
	local once

	once=$(bench_ms "$@") && [ -n "$once" ] || return 1
	if less "$once" 1000; then
		bench_ms "$@" 3
	else
		printf '%s' "$once"
	fi
}

# bench_tps CLUSTER DATABASE ROLE [argument of pgbench]...: transactions a second,
# of a second's work.  A client that ended with an error has no figure.
bench_tps()
{
	local cluster=$1 database=$2 role=$3 length='-T 1'
	shift 3

	[ -z "$quick" ] || length='-t 100'
	# shellcheck disable=SC2086
	PGHOST=$SCRATCH/$cluster as_user pgbench -n $length -U "$role" "$@" "$database" 2>"$SCRATCH/pgbench.log" |
		sed -n 's/^tps = \([0-9.]*\).*/\1/p' || { tail -n 5 "$SCRATCH/pgbench.log" >&2; return 1; }
}
