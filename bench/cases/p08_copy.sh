# shellcheck shell=bash
#
# COPY FROM into a sealed column, against a plain one
#
# Each row is another person's, but for one figure where all are one person's.

. "$BENCH/lib/sealed.sh"

copy_prepare()
{
	sealed_database
	bench_sql sealed "
		CREATE TABLE copy_plain (LIKE person_plain);
		CREATE TABLE copy_sealed (id bigint, value purpose.sealed_text(bench));
		SELECT purpose.protect('copy_sealed', subject => 'id', of => 'person_sealed');
		GRANT INSERT ON copy_plain, copy_sealed TO bench_app" >/dev/null
}

copy_round()
{
	local plain old new one

	copy_file "id + $next_subject - 1"
	next_subject=$((next_subject + subjects))
	plain=$(copy_ms copy_plain)
	new=$(copy_ms copy_sealed)
	old=$(copy_ms copy_sealed)
	copy_file 1
	one=$(copy_ms copy_sealed)
	figure P8 "COPY of new subjects: sealed / plain" x '<= 4' "$(ratio "$new" "$plain")"
	figure P8 "COPY of existing subjects: sealed / plain" x '<= 2' "$(ratio "$old" "$plain")"
	figure P8 "COPY of one existing subject: sealed / plain" x '<= 2' "$(ratio "$one" "$plain")"
	figure P8 "COPY of new subjects: a row over plain" us - "$(over "$new" "$plain" "$subjects")"
	figure P8 "COPY of existing subjects: a row over plain" us - "$(over "$old" "$plain" "$subjects")"
	as_user rm "$SCRATCH/tmp/copy"
	bench_sql sealed "TRUNCATE copy_plain, copy_sealed"
}

# copy_file SUBJECT: the file, with this expression of id as the subject.
copy_file()
{
	bench_sql sealed "COPY (SELECT $1, value FROM person_plain) TO '$SCRATCH/tmp/copy'"
}

# copy_ms TABLE: into the empty table.
copy_ms()
{
	bench_sql sealed "TRUNCATE $1; CHECKPOINT"
	bench_ms sealed bench_app "SELECT 1" "COPY $1 FROM '$SCRATCH/tmp/copy'"
}
