# shellcheck shell=bash
#
# "pgbench -S", unprotected and protected, against no library
#
# Three databases of one size: plain in a cluster that does not load the library;
# loaded, where it is loaded and nothing is labelled (P1); and protected, with
# labelled columns, a granted purpose, and everybody's consent (P2).  They take
# turns of a second, so that what slows the machine down slows all three.
#
# The same is measured once more in the backend's own processor time, which
# tells even on a busy machine; of a session of psql, with PREPARE for "prepared".

THROUGHPUT_OPTIONS=(-S -c 1)

throughput_prepare()
{
	scale=$(((subjects + 99999) / 100000))
	cluster_start "$SCRATCH/without" "${settings[@]}" "shared_preload_libraries = ''"
	bench_roles
	throughput_database plain
	PGHOST=$SCRATCH/main
	throughput_database loaded
	bench_sql loaded "CREATE EXTENSION pg_purpose"
	throughput_database protected
	bench_sql protected "
		CREATE EXTENSION pg_purpose;
		SELECT purpose.create_purpose('bench', basis => 'consent');
		SELECT purpose.grant_purpose('bench', 'bench_app');
		SELECT purpose.protect('pgbench_accounts', subject => 'aid');
		SELECT purpose.label_column('pgbench_accounts', 'abalance', 'for bench');
		SELECT purpose.label_column('pgbench_accounts', 'filler', 'for bench');
		INSERT INTO purpose.consent_import (subject_table, subject, purpose)
			SELECT 'pgbench_accounts', aid, 'bench' FROM pgbench_accounts;
		ALTER DATABASE protected SET purpose.current = 'bench';
		VACUUM ANALYZE" >/dev/null
}

# In the cluster that PGHOST leads to.
throughput_database()
{
	as_user createdb "$1" || die "no database $1"
	as_user pgbench -q -i -s "$scale" "$1" >/dev/null 2>&1 || die "pgbench -i failed"
	bench_sql "$1" "
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench_app;
		GRANT EXECUTE ON FUNCTION pg_read_file(text) TO bench_app;
		VACUUM ANALYZE"
}

throughput_round()
{
	local protocol turn i name tps plain loaded protected names=(plain loaded protected)

	for protocol in prepared simple; do
		plain=0 loaded=0 protected=0
		for ((turn = 0; turn < seconds; turn++)); do
			# Each is the first as often as the others.
			for ((i = 0; i < 3; i++)); do
				name=${names[(turn + i) % 3]}
				tps=$(throughput_turn $name $protocol) || die "pgbench failed"
				printf -v $name %s "$(awk -v a="${!name}" -v b="$tps" 'BEGIN { print a + b }')"
			done
		done
		figure P1 "pgbench -S without the library ($protocol)" "tps" - "$(ratio "$plain" "$seconds")"
		! wanted P1 || figure P1 "pgbench -S: library loaded and nothing labelled / without it ($protocol)" x '>= 0.99' \
			"$(ratio "$loaded" "$plain")"
		! wanted P2 || figure P2 "pgbench -S: protected and labelled / without the library ($protocol)" x '>= 0.95' \
			"$(ratio "$protected" "$plain")"
		throughput_processor $protocol
	done
}

# throughput_processor PROTOCOL: ratios of the processor time of a lookup.
throughput_processor()
{
	local plain loaded protected

	[ -r /proc/self/schedstat ] || return 0
	plain=$(throughput_ns without plain "$1") || die "psql failed"
	loaded=$(throughput_ns main loaded "$1") || die "psql failed"
	protected=$(throughput_ns main protected "$1") || die "psql failed"
	! wanted P1 || figure P1 "processor time of a lookup: library loaded and nothing labelled / without it ($1)" x - \
		"$(ratio "$loaded" "$plain")"
	! wanted P2 || figure P2 "processor time of a lookup: protected and labelled / without the library ($1)" x - \
		"$(ratio "$protected" "$plain")"
}

# throughput_ns CLUSTER DATABASE PROTOCOL: nanoseconds of many lookups.
throughput_ns()
{
	local times lookups=10000

	[ -z "$quick" ] || lookups=500
	times=$(
		{
			echo 'PREPARE lookup(integer) AS SELECT abalance FROM pgbench_accounts WHERE aid = $1;'
			throughput_lookups "$3" 100
			echo "SELECT 'time', pg_read_file('/proc/self/schedstat');"
			throughput_lookups "$3" "$lookups"
			echo "SELECT 'time', pg_read_file('/proc/self/schedstat');"
		} | PGHOST=$SCRATCH/$1 as_user psql -XAtq -F ' ' -v ON_ERROR_STOP=1 -U bench_app -d "$2" | awk '$1 == "time" { print $2 }'
	) || return 1
	awk 'NR == 1 { before = $1 } END { print $1 - before }' <<<"$times"
}

# throughput_lookups PROTOCOL N: by random keys.
throughput_lookups()
{
	local format='SELECT abalance FROM pgbench_accounts WHERE aid = %d;'

	[ "$1" = simple ] || format='EXECUTE lookup(%d);'
	awk -v format="$format\n" -v n="$2" -v keys=$((scale * 100000)) \
		'BEGIN { for (i = 1; i <= n; i++) printf format, 1 + int(keys * rand()) }'
}

# throughput_turn DATABASE PROTOCOL: transactions a second.
throughput_turn()
{
	local cluster=main

	[ "$1" != plain ] || cluster=without
	bench_tps $cluster "$1" bench_app "${THROUGHPUT_OPTIONS[@]}" -M "$2"
}
