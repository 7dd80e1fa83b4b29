# shellcheck shell=bash
#
# GDPRbench's four workloads, against plain PostgreSQL
#
# Re-created from "Understanding and Benchmarking the Impact of GDPR on Database
# Systems" (PVLDB 13(7), 2020): bench/gdprbench has the schemas and the
# operations, docs/performance.md says which has no equivalent.  Three databases:
#
#	plain		metadata in columns, no protection
#	purpose		the table protected, the data labelled
#	sealed		the data sealed as well: everything on
#
# pgbench is the driver: 8 clients, prepared statements, operations drawn by
# weight.  Records are as at the beginning when a workload starts.  A workload
# is measured by the operations that are completed in a second.

GDPRBENCH=$BENCH/gdprbench
GDPRBENCH_VARIANTS='plain purpose sealed'

# Workload, distribution of its keys, operation, weight.
gdprbench_operations()
{
	cat <<'TEXT'
processor uniform read_data_by_key 80
processor uniform read_data_by_purpose 10
processor uniform read_data_by_objection 10
regulator zipf read_metadata_by_user 46
regulator zipf read_logs 31
regulator zipf verify_deletion 23
customer zipf read_data_by_user 20
customer zipf read_metadata_by_key 20
customer zipf update_data_by_key 20
customer zipf update_metadata_by_key 20
customer zipf delete_record_by_key 20
controller uniform create_record 25
controller uniform update_metadata_by_purpose 25
controller uniform update_metadata_by_user 25
controller uniform delete_records_by_user 25
TEXT
}

gdprbench_prepare()
{
	local variant

	records=$((subjects / 10 / 250 * 250))
	operations=$((records / 10))
	bench_sql postgres "
		CREATE ROLE bench_controller LOGIN;
		CREATE ROLE bench_customer LOGIN;
		CREATE ROLE bench_processor LOGIN;
		CREATE ROLE bench_regulator LOGIN;
		SELECT format('CREATE ROLE bench_partner_%s', i) FROM generate_series(0, 7) i \\gexec"
	gdprbench_zipf
	for variant in $GDPRBENCH_VARIANTS; do
		step "$records records, $variant"
		gdprbench_load "$variant"
	done
	gdprbench_verify
}

# gdprbench_load VARIANT: its database.
gdprbench_load()
{
	local variant=$1 data=text schema=purpose

	if [ "$variant" = plain ]; then
		as_user createdb gdprbench_plain || die "no database"
		schema=plain
	else
		bench_database "gdprbench_$variant"
	fi
	if [ "$variant" = sealed ]; then
		bench_sql gdprbench_sealed "SELECT purpose.create_keyring()" >/dev/null
		data="purpose.sealed_text(processing, self, controller)"
	fi
	cat "$GDPRBENCH/records.sql" "$GDPRBENCH/schema_$schema.sql" |
		as_user psql -Xq -v ON_ERROR_STOP=1 -v records=$records -v data="$data" -d "gdprbench_$variant" >/dev/null ||
		die "psql failed"
	bench_sql "gdprbench_$variant" "VACUUM ANALYZE"
	gdprbench_reset "$variant"
	# As many entries in every variant's log.
	events=$(bench_sql gdprbench_plain "SELECT count(*) FROM change_log")
}

# gdprbench_reset VARIANT: as loaded.  What was said of consents and purposes
# since is taken back by the functions that it was said with.
gdprbench_reset()
{
	local database=gdprbench_$1

	bench_sql "$database" "
		TRUNCATE usertable;
		INSERT INTO usertable SELECT * FROM pristine;
		VACUUM ANALYZE usertable" >/dev/null
	if [ "$1" != plain ]; then
		bench_sql "$database" "
			SELECT count(purpose.withdraw_objection('users', s.subject, s.purpose))
			FROM purpose.consent_state s
			WHERE s.state = 'objected' AND s.purpose LIKE 'processing.o%'
			AND NOT EXISTS (SELECT FROM loaded_records l WHERE l.usr = s.subject AND l.obj = s.purpose);
			SELECT count(purpose.revoke_purpose(purpose, role::text)) FROM purpose.purpose_grant
			WHERE role::text LIKE 'bench\\_partner\\_%'" >/dev/null
	fi
	bench_sql "$database" "CHECKPOINT"
}

# zipf: what pgbench needs to draw as YCSB, which GDPRbench is built on, does:
# exponent 0.99, by Gray's method; the ranks are scattered by a hash.  pgbench's
# own random_zipfian() takes exponents above 1 only.
gdprbench_zipf()
{
	zipf=$(awk -v n=$records -v theta=0.99 'BEGIN {
		for (i = 1; i <= n; i++) zeta += 1 / i ^ theta
		printf "-D zeta=%.9f -D half=%.9f -D alpha=%.9f -D eta=%.9f", zeta, 0.5 ^ theta, 1 / (1 - theta),
			(1 - (2 / n) ^ (1 - theta)) / (1 - (1 + 0.5 ^ theta) / zeta) }')
}

# gdprbench_variables WORKLOAD DISTRIBUTION: what the operations' variables are.
#
#	k record, u user, p purpose, o what is objected to, r partner, g granted or
#	not, n a record that was not there at the beginning, e an entry of the log
gdprbench_variables()
{
	if [ "$2" = zipf ]; then
		cat <<'PGBENCH'
\set z random(0, 999999999) / 1000000000.0
\set w :z * :zeta
\set rank CASE WHEN :w < 1 THEN 0 WHEN :w < 1 + :half THEN 1 ELSE least(:records - 1, int(:records * pow(:eta * :z - :eta + 1, :alpha))) END
\set k abs(hash_fnv1a(:rank)) % :records
PGBENCH
	else
		echo '\set k random(0, :records - 1)'
	fi
	cat <<'PGBENCH'
\set u :k / 10
\set p random(0, 24)
\set o random(0, 99)
\set r random(0, 7)
\set g random(0, 1)
\set n random(1000000000, 2000000000)
\set e random(1, :events - 99)
PGBENCH
	# A processor has one purpose, and asks for what was collected for it.
	if [ "$1" = processor ]; then
		cat <<'PGBENCH'
\set p :client_id % 25
\set k random(0, :records / 25 - 1) * 25 + :p
PGBENCH
	fi
}

# gdprbench_operation VARIANT OPERATION: its SQL.
gdprbench_operation()
{
	local file

	for file in "$GDPRBENCH/operations_purpose.sql" "$GDPRBENCH/operations_plain.sql"; do
		[ "$1" != plain ] || file=$GDPRBENCH/operations_plain.sql
		awk -v name="$2" '/^--/ { on = ($2 == "operation:" && $3 == name); next } on && NF { print; found = 1 }
			END { exit !found }' "$file" && return
	done
	die "there is no operation $2"
}

# gdprbench_declare VARIANT WORKLOAD: how a client begins.
gdprbench_declare()
{
	if [ "$1" != plain ] && [ "$2" = processor ]; then
		echo "SELECT set_config('purpose.current', 'processing.p' || lpad(:p::text, 2, '0'), false);"
	fi
}

# gdprbench_verify: what operations read is the same in all variants.  Twenty
# samples of each.
gdprbench_verify()
{
	local workload operation variant plain found

	while read -r workload _ operation _; do
		case $operation in
			read_logs) continue ;;
			read_* | verify_*) ;;
			*) continue ;;
		esac
		plain=''
		for variant in $GDPRBENCH_VARIANTS; do
			found=$(gdprbench_samples "$variant" "$workload" "$operation" |
				as_user psql -XAtq -v ON_ERROR_STOP=1 -U "bench_$workload" -d "gdprbench_$variant" |
				grep -v '^processing' | LC_ALL=C sort) || die "psql failed"
			[ -n "$found" ] || die "$operation finds nothing in $variant"
			[ "$variant" != plain ] || plain=$found
			[ "$found" = "$plain" ] || die "$operation gives another answer in $variant"
		done
	done < <(gdprbench_operations)
}

# gdprbench_samples VARIANT WORKLOAD OPERATION: for psql.
gdprbench_samples()
{
	local sample k

	for ((sample = 0; sample < 20; sample++)); do
		k=$((sample * 7919 % records))
		printf '\\set %s %d\n' k $k u $((k / 10)) p $((k % 25)) o $((sample * 13 % 100)) n $((records + k))
		gdprbench_declare "$1" "$2"
		gdprbench_operation "$1" "$3"
	done
}

# gdprbench_space VARIANT: bytes of all that it keeps, metadata, consents and
# their history included.
gdprbench_space()
{
	bench_sql "gdprbench_$1" "
		SELECT sum(pg_total_relation_size(oid)) FROM pg_class
		WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('public', 'purpose') AND relname <> 'pristine'"
}

gdprbench_round()
{
	local workload variant tps latency plain plain_latency target space

	space=$(gdprbench_space plain)
	for variant in purpose sealed; do
		figure P13 "GDPRbench: space of $(gdprbench_title $variant) / plain" x - "$(ratio "$(gdprbench_space $variant)" "$space")"
	done
	for workload in $(gdprbench_operations | cut -d ' ' -f 1 | uniq); do
		for variant in $GDPRBENCH_VARIANTS; do
			# What a regulator finds is what processors have only read.
			[ $workload = regulator ] || gdprbench_reset $variant
			gdprbench_measure $workload $variant
			target=-
			case $variant-$workload in
				plain-*)
					plain=$tps plain_latency=$latency
					figure P13 "GDPRbench $workload: plain" tps - "$tps"
					continue
					;;
				sealed-controller) target='>= 50' ;;
				sealed-*) target='>= 0.8' ;;
			esac
			figure P13 "GDPRbench $workload: $(gdprbench_title $variant) / plain" x "$target" "$(ratio "$tps" "$plain")"
			gdprbench_latencies $variant
		done
	done
}

# gdprbench_latencies VARIANT: of each operation that was drawn, as often as it
# takes on plain PostgreSQL.
gdprbench_latencies()
{
	local operation ms plain_ms

	while read -r operation plain_ms ms; do
		figure P13 "GDPRbench ${operation//_/ }: time of $(gdprbench_title "$1") / plain" x - "$(ratio "$ms" "$plain_ms")"
	done < <(join <(echo "$plain_latency") <(echo "$latency"))
}

gdprbench_title()
{
	case $1 in
		purpose) echo "protected" ;;
		sealed) echo "protected and sealed" ;;
	esac
}

# gdprbench_measure WORKLOAD VARIANT: sets tps, and latency to lines of operation
# and milliseconds.  Plain PostgreSQL changes the
# metadata of a purpose in thousands of records: fewer operations show how fast.
gdprbench_measure()
{
	local workload=$1 variant=$2 name distribution operation weight scripts=() each=$((operations / 8)) failed

	[ $workload-$variant != controller-plain ] || each=$(((each + 24) / 25))
	while read -r name distribution operation weight; do
		[ "$name" = "$workload" ] || continue
		{
			gdprbench_variables "$workload" "$distribution"
			if [ -n "$(gdprbench_declare "$variant" "$workload")" ]; then
				printf '\\set undeclared :declared = 0\n\\if :undeclared\n'
				gdprbench_declare "$variant" "$workload"
				printf '\\set declared 1\n\\endif\n'
			fi
			gdprbench_operation "$variant" "$operation"
		} | as_user tee "$SCRATCH/$operation.sql" >/dev/null
		scripts+=(-f "$SCRATCH/$operation.sql@$weight")
	done < <(gdprbench_operations)
	# shellcheck disable=SC2086
	as_user pgbench -n -M prepared -c 8 -j 2 -t $each --max-tries=100 -U "bench_$workload" -D records=$records \
		-D events=$events -D declared=0 $zipf "${scripts[@]}" "gdprbench_$variant" >"$SCRATCH/gdprbench.log" 2>&1 ||
		{ grep -v '^pgbench (' "$SCRATCH/gdprbench.log" | head -n 20 >&2; die "pgbench failed"; }
	latency=$(awk '/^SQL script/ { name = $NF; gsub(/.*\/|\.sql$/, "", name) }
		/^ - latency average/ { print name, $5 }' "$SCRATCH/gdprbench.log" | sort)
	tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$SCRATCH/gdprbench.log")
	failed=$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' "$SCRATCH/gdprbench.log")
	[ "${failed:-0}" -eq 0 ] || die "$failed operations of $workload failed on $variant"
}
