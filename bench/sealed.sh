# shellcheck shell=bash
#
# bench/sealed.sh: P7 to P10, sealed values and shredding.  Sourced by bench/run.
#
# Each figure is measured once a round, the rivals of one figure one after the
# other; a row of the table is the median, minimum and maximum over the rounds.

SEALED_RESULTS=$PURPOSE_ROOT/bench/results-sealed.csv
SLOW_VALUES=200					# for pgp_sym_decrypt, a thousand times as slow
CYCLE_SUBJECTS=1000

# sealed_figure NAME VALUE
sealed_figure()
{
	[ -n "$2" ] || die "no figure for: $1"
	printf '%s,%s,%s\n' "$round" "$1" "$2" >>"$SEALED_RESULTS"
}

# sealed_sql SQL: prints its results.  Each statement is a transaction.
sealed_sql()
{
	printf '%s;\n' "$1" | as_user psql -XAtq -v ON_ERROR_STOP=1 -d sealed || die "psql failed"
}

# sealed_ms PREPARATION SQL: milliseconds of SQL in a session of its own, after
# the preparation, which is not timed.
sealed_ms()
{
	{
		printf 'SET max_parallel_workers_per_gather = 0;\n%s;\n\\o /dev/null\n' "$1"
		printf '\\timing on\n%s;\n' "$2"
	} | as_user psql -XAtq -v ON_ERROR_STOP=1 -d sealed |
		sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 1
}

over() { awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { printf "%.4f", (a - b) * 1000 / n }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f", a / b }'; }
minus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.4f", a - b }'; }

# What the measurements need: `rows` values of one person each, and as many of
# one person, and both for the rivals.
sealed_prepare()
{
	say "P7 to P10: a cluster with $rows sealed values"
	cluster_start "$SCRATCH/sealed" "shared_buffers = '1GB'" "max_wal_size = '8GB'" "work_mem = '256MB'" \
		"autovacuum = off" "checkpoint_timeout = '1h'"
	as_user createdb sealed
	sealed_sql "
		CREATE EXTENSION pg_purpose;
		CREATE EXTENSION pgcrypto;
		SELECT purpose.create_keyring() WHERE NOT EXISTS (SELECT FROM purpose.keyring_binding);
		SELECT purpose.create_purpose('bench', basis => 'contract');
		CREATE TABLE person_plain (id bigint, value text);
		CREATE TABLE person_sealed (id bigint PRIMARY KEY, value purpose.sealed_text(bench));
		CREATE TABLE one_sealed (id bigint, value purpose.sealed_text(bench));
		SELECT purpose.protect('person_sealed', subject => 'id');
		SELECT purpose.protect('one_sealed', subject => 'id', of => 'person_sealed');
		INSERT INTO person_plain SELECT i, 'value ' || lpad(i::text, 10, '0') FROM generate_series(1, $rows) i;
		CREATE TABLE person_iv AS SELECT id,
			encrypt_iv(value::bytea, decode(repeat('ab', 32), 'hex'), decode(repeat('cd', 16), 'hex'), 'aes-cbc/pad:pkcs') AS value
			FROM person_plain;
		CREATE TABLE person_pgp AS SELECT id, pgp_sym_encrypt(value, 'a passphrase') AS value
			FROM person_plain LIMIT $SLOW_VALUES;
		INSERT INTO one_sealed SELECT 1, value FROM person_plain;
		INSERT INTO person_sealed SELECT id, value FROM person_plain;
		CREATE TABLE copy_plain (LIKE person_plain);
		CREATE TABLE copy_sealed (id bigint, value purpose.sealed_text(bench));
		SELECT purpose.protect('copy_sealed', subject => 'id', of => 'person_sealed')" >/dev/null
	sealed_sql "VACUUM ANALYZE"
	sealed_sql "CHECKPOINT"
	next_subject=$rows
}

# P7: open values.
sealed_open()
{
	local plain warm cold iv pgp
	local open="SELECT count(value::text) FROM"
	local purpose="SET purpose.current = 'bench'; SELECT count(value::text) FROM one_sealed WHERE id = 0"

	plain=$(sealed_ms "SELECT 1" "SELECT count(value::text || '') FROM person_plain")
	warm=$(sealed_ms "$purpose" "$open one_sealed")
	iv=$(sealed_ms "SELECT 1" "SELECT count(decrypt_iv(value, '\\xabababababababababababababababababababababababababababababababab', '\\xcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 'aes-cbc/pad:pkcs')) FROM person_iv")
	cold=$(sealed_ms "$purpose" "$open person_sealed")
	pgp=$(sealed_ms "SELECT 1" "SELECT count(pgp_sym_decrypt(value, 'a passphrase')) FROM person_pgp")
	sealed_figure "P7 warm: us a value over plain|<= 0.7" "$(over "$warm" "$plain" "$rows")"
	sealed_figure "P7 cold: us a value over plain|<= 2" "$(over "$cold" "$plain" "$rows")"
	sealed_figure "P7 decrypt_iv: us a value over plain|-" "$(over "$iv" "$plain" "$rows")"
	sealed_figure "P7 decrypt_iv / warm|>= 2" \
		"$(ratio "$(over "$iv" "$plain" "$rows")" "$(over "$warm" "$plain" "$rows")")"
	sealed_figure "P7 pgp_sym_decrypt: us a value|-" "$(over "$pgp" 0 $SLOW_VALUES)"
	sealed_figure "P7 ORDER BY: sealed / plain|-" "$(ratio \
		"$(sealed_ms "$purpose" "SELECT count(*) FROM (SELECT value FROM person_sealed ORDER BY value OFFSET 0) s")" \
		"$(sealed_ms "SELECT 1" "SELECT count(*) FROM (SELECT value FROM person_plain ORDER BY value OFFSET 0) s")")"
}

# sealed_wal SQL: bytes of WAL that it writes.
sealed_wal()
{
	local before

	before=$(sealed_sql "SELECT pg_current_wal_insert_lsn()")
	sealed_sql "$1" >/dev/null
	sealed_sql "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')"
}

# P8: COPY FROM, of numbers that are subjects already, and that are not.
sealed_copy()
{
	local file=$SCRATCH/tmp/copy plain old new one

	sealed_sql "COPY (SELECT id + $next_subject, value FROM person_plain) TO '$file'"
	next_subject=$((next_subject + rows))
	sealed_sql "TRUNCATE copy_plain"
	plain=$(sealed_ms "SELECT 1" "COPY copy_plain FROM '$file'")
	sealed_sql "TRUNCATE copy_sealed"
	new=$(sealed_ms "SELECT 1" "COPY copy_sealed FROM '$file'")
	sealed_sql "TRUNCATE copy_sealed"
	old=$(sealed_ms "SELECT 1" "COPY copy_sealed FROM '$file'")
	sealed_sql "COPY (SELECT 1, value FROM person_plain) TO '$file'"
	sealed_sql "TRUNCATE copy_sealed"
	one=$(sealed_ms "SELECT 1" "COPY copy_sealed FROM '$file'")
	sealed_figure "P8 COPY of one existing subject: sealed / plain|<= 2" "$(ratio "$one" "$plain")"
	sealed_figure "P8 COPY of existing subjects: sealed / plain|<= 2" "$(ratio "$old" "$plain")"
	sealed_figure "P8 COPY of new subjects: sealed / plain|<= 4" "$(ratio "$new" "$plain")"
	sealed_figure "P8 COPY of existing subjects: us a row over plain|-" "$(over "$old" "$plain" "$rows")"
	sealed_figure "P8 COPY of new subjects: us a row over plain|-" "$(over "$new" "$plain" "$rows")"
	as_user rm "$file"
}

# P9: space.
sealed_space()
{
	local n=10000 new old

	sealed_figure "P9 bytes of a value over its plaintext|<= 48" "$(sealed_sql "
		SELECT round(avg(pg_column_size(s.value) - pg_column_size(p.value)), 2)
		FROM person_sealed s JOIN person_plain p USING (id)")"
	sealed_sql "CHECKPOINT"
	new=$(sealed_wal "INSERT INTO copy_sealed SELECT $next_subject + i, 'value' FROM generate_series(1, $n) i")
	old=$(sealed_wal "INSERT INTO copy_sealed SELECT $next_subject + i, 'value' FROM generate_series(1, $n) i")
	next_subject=$((next_subject + n))
	sealed_figure "P9 bytes of WAL for a new subject (its number; no key)|-" "$(ratio "$(minus "$new" "$old")" $n)"
}

# sealed_cycle SINCE: waits until a cycle has ended after that moment, and
# prints the milliseconds between.
sealed_cycle()
{
	local ms

	for ((i = 0; i < 600; i++)); do
		ms=$(sealed_sql "
			SELECT round(extract(epoch FROM last_cycle - '$1'::timestamptz) * 1000, 2) FROM purpose._keyring_status()
			WHERE last_cycle > '$1' AND NOT EXISTS (SELECT FROM purpose.shred_receipt WHERE punctured_version IS NULL)")
		[ -z "$ms" ] || { printf '%s' "$ms"; return; }
		sleep 0.05
	done
	die "the key worker did not complete a cycle"
}

# P10: shred.
sealed_shred()
{
	local one since before wal
	local person=$((round * 2 * CYCLE_SUBJECTS))

	sealed_sql "SELECT purpose.shred('person_sealed', $person)" >/dev/null
	sealed_cycle 'epoch' >/dev/null
	one=$(sealed_ms "SELECT purpose.shred('person_sealed', 0)" "SELECT purpose.shred('person_sealed', $((person + 1)))")
	since=$(sealed_sql "SELECT max(requested_at) FROM purpose.shred_receipt")
	sealed_figure "P10 live cut-off: ms|<= 2" "$one"
	sealed_figure "P10 keys destroyed: ms from the request|<= 100" "$(sealed_cycle "$since")"
	sealed_sql "CHECKPOINT"
	before=$(sealed_sql "SELECT pg_current_wal_insert_lsn()")
	since=$(sealed_sql "
		\\o /dev/null
		SELECT purpose.shred('person_sealed', i::bigint)
		FROM generate_series($((person + 2)), $((person + 1 + CYCLE_SUBJECTS))) i;
		\\o
		SELECT clock_timestamp()")
	sealed_figure "P10 $CYCLE_SUBJECTS subjects: ms from COMMIT to the cycle's end|<= 300" "$(sealed_cycle "$since")"
	wal=$(sealed_sql "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')")
	sealed_figure "P10 bytes of WAL a subject|<= 1000" "$(ratio "$wal" $CYCLE_SUBJECTS)"
}

sealed_measure()
{
	echo "round,figure|target,value" >"$SEALED_RESULTS"
	for ((round = 1; round <= rounds; round++)); do
		printf '==> sealed values, round %d of %d\n' "$round" "$rounds"
		sealed_open
		sealed_copy
		sealed_space
		sealed_shred
	done
}

sealed_report()
{
	printf '\nPostgreSQL %s, %s cores, %s values, %s rounds\n\n' \
		"$(as_user postgres --version | sed 's/.*) //')" "$(nproc)" "$rows" "$rounds"
	echo '| figure | target | median | min | max |'
	echo '|---|---|---|---|---|'
	# The figures in the order of the first round, each sorted by value.
	awk -F, '
		NR == 1 { next }
		!($2 in n) { order[++figures] = $2 }
		{ a[$2, ++n[$2]] = $3 }
		END {
			for (f = 1; f <= figures; f++) {
				name = order[f]; k = n[name]
				for (i = 1; i <= k; i++)
					for (j = i + 1; j <= k; j++)
						if (a[name, j] + 0 < a[name, i] + 0) { t = a[name, i]; a[name, i] = a[name, j]; a[name, j] = t }
				med = k % 2 ? a[name, (k + 1) / 2] : (a[name, k / 2] + a[name, k / 2 + 1]) / 2
				split(name, part, "|")
				printf "| %s | %s | %.2f | %.2f | %.2f |\n", part[1], part[2], med, a[name, 1], a[name, k]
			}
		}' "$SEALED_RESULTS"
}
