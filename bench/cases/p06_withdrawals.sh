# shellcheck shell=bash
#
# Scans while consents change; no stale row is served
#
# A writer grants and withdraws the consents of subjects drawn at random, at the
# same share as they had.  Beside it the scans are measured, plain ones as well:
# what the two cores cannot do at once slows those, too.
#
# Then, with the writer still at work, one session withdraws a consent, and when
# its COMMIT has returned, another one looks for the subject's rows; and the same
# with a grant.  The writer leaves those subjects alone.

. "$BENCH/lib/events.sh"

CHANGES=1000					# a second
WITHDRAWALS_CHECKED=100			# in a round

withdrawals_prepare()
{
	events_database events
	events_protected events int8 "$rows" "$subjects"
	events_keys events
	[ -z "$quick" ] || WITHDRAWALS_CHECKED=10
	bench_sql events "
		CREATE EXTENSION dblink;
		CREATE ROLE bench_consents LOGIN;
		GRANT EXECUTE ON FUNCTION purpose.grant_consent(regclass, bigint, text, jsonb, timestamptz),
			purpose.withdraw_consent(regclass, bigint, text, jsonb) TO bench_consents;
		GRANT EXECUTE ON FUNCTION dblink_connect_u(text, text) TO bench_app"
	as_user tee "$SCRATCH/change.sql" >/dev/null <<'SQL'
\set subject random(1, :subjects)
\set give random(1, 10) <= 7
\if :give
SELECT purpose.grant_consent('subject_int8', :subject, 'marketing');
\else
SELECT purpose.withdraw_consent('subject_int8', :subject, 'marketing');
\endif
SQL
}

withdrawals_round()
{
	local plain protected plain_beside protected_beside writer since before

	plain=$(withdrawals_ms bench_plain events_int8)
	protected=$(withdrawals_ms bench_app protected_int8)

	# It goes on until its backends are ended.
	as_user pgbench -n -c 2 -R $CHANGES -T 86400 -U bench_consents -D subjects=$((subjects - WITHDRAWALS_CHECKED)) \
		-f "$SCRATCH/change.sql" events >"$SCRATCH/change.log" 2>&1 &
	writer=$!
	withdrawals_await
	before=$(withdrawals_recorded)
	since=$(date +%s%N)
	plain_beside=$(withdrawals_ms bench_plain events_int8)
	protected_beside=$(withdrawals_ms bench_app protected_int8)
	figure P6 "consents changed a second" "changes" - \
		"$(ratio "$((($(withdrawals_recorded) - before) * 1000000))" "$((($(date +%s%N) - since) / 1000))")"
	withdrawals_check
	kill -0 $writer 2>/dev/null || { tail "$SCRATCH/change.log" >&2; die "the writer ended too early"; }
	bench_sql events "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE usename = 'bench_consents' AND application_name = 'pgbench'" >/dev/null
	wait $writer

	figure P6 "scan beside changes / alone: plain" x - "$(ratio "$plain_beside" "$plain")"
	figure P6 "scan beside changes / alone: pg_purpose" x '<= 1.2' "$(ratio "$protected_beside" "$protected")"
}

withdrawals_ms()
{
	bench_steady_ms events "$1" "SET max_parallel_workers_per_gather = 0" "$EVENTS_QUERY $2"
}

# How many changes there were up to now; a number that is drawn, and does not
# slow anybody down.
withdrawals_recorded()
{
	bench_sql events "SELECT last_value FROM purpose.consent_history_event_id_seq"
}

# Until the writer writes.
withdrawals_await()
{
	local first i

	first=$(withdrawals_recorded)
	for ((i = 0; i < 200; i++)); do
		[ "$(withdrawals_recorded)" -lt $((first + 20)) ] || return 0
		sleep 0.05
	done
	tail "$SCRATCH/change.log" >&2
	die "the writer does not write"
}

# Reads as bench_app, which declares the purpose; writes through a connection of
# its own.  Each statement is a transaction.
withdrawals_check()
{
	local subject found there

	there=$(bench_sql events "SELECT count(*) FROM events_int8 WHERE subject > $((subjects - WITHDRAWALS_CHECKED))")
	[ "$there" -gt 0 ] || die "the subjects that are checked have no rows"
	found=$(
		{
			echo "SELECT dblink_connect_u('writer', format('host=%s dbname=events user=bench_consents', '$SCRATCH/main'));"
			for ((subject = subjects - WITHDRAWALS_CHECKED + 1; subject <= subjects; subject++)); do
				withdrawals_change withdraw_consent $subject stale
				withdrawals_change grant_consent $subject given
			done
		} | as_user psql -XAtq -F ' ' -v ON_ERROR_STOP=1 -U bench_app -d events
	) || die "psql failed"
	figure P6 "rows served after their subject's withdrawal ($WITHDRAWALS_CHECKED withdrawals)" rows '<= 0' \
		"$(awk '$1 == "stale" { n += $2 } END { print n + 0 }' <<<"$found")"
	figure P6 "rows missing after their subject's consent ($WITHDRAWALS_CHECKED grants)" rows '<= 0' \
		"$(awk -v there="$there" '$1 == "given" { n += $2 } END { print there - n }' <<<"$found")"
}

# withdrawals_change FUNCTION SUBJECT WORD: prints WORD and the rows seen then.
withdrawals_change()
{
	printf "SELECT FROM dblink('writer', 'SELECT purpose.%s(''subject_int8'', %d, ''marketing'')') AS t(id bigint);\n" "$1" "$2"
	printf "SELECT '%s', count(*) FROM protected_int8 WHERE subject = %d;\n" "$3" "$2"
}
