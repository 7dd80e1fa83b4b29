# shellcheck shell=bash
#
# bench/lib/events.sh: events of data subjects, of whom 70 in 100 consent, in
# the form that each rival wants.  Sourced by the benchmarks that scan them.
#
#   events_database NAME        a database with roles and purpose
#   events_protected NAME KIND ROWS SUBJECTS
#                               events_KIND and consent_KIND, plain, and
#                               protected_KIND, by pg_purpose, of subject_KIND
#   events_rivals NAME KIND     what would be written by hand, over events_KIND
#
# KIND is the type of the subject's key: int8, uuid or text.  Events are in the
# order of their arrival, their subjects at random; both tables have the same
# rows at the same places.
#
# The rivals are roles for whom the same query means another rule.

EVENTS_QUERY='SELECT count(*), sum(amount) FROM'

events_database()
{
	[ -z "$(bench_sql postgres "SELECT 1 FROM pg_database WHERE datname = '$1'")" ] || return 0
	bench_database "$1"
	bench_sql "$1" "
		SELECT purpose.create_purpose('marketing', basis => 'consent');
		SELECT purpose.grant_purpose('marketing', 'bench_app');
		ALTER ROLE bench_app IN DATABASE $1 SET purpose.current = 'marketing';
		-- Pseudo-random numbers that are the same each time.
		CREATE FUNCTION draw(n bigint, seed bigint, below bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
			RETURN (hashint8extended(n, seed) & 9223372036854775807) % below" >/dev/null
}

# events_key KIND NUMBER: an expression.
events_key()
{
	case $1 in
		int8) printf '%s' "$2" ;;
		uuid) printf "md5((%s)::text)::uuid" "$2" ;;
		text) printf "'customer-' || lpad((%s)::text, 9, '0')" "$2" ;;
	esac
}

events_protected()
{
	local database=$1 kind=$2 rows=$3 subjects=$4 key amount=''

	[ -z "$(bench_sql "$database" "SELECT to_regclass('protected_$kind')")" ] || return 0
	step "$rows events of $subjects subjects, keys of type $kind"
	key=$(events_key "$kind" i)
	# The label: any column that the query uses.
	amount="SELECT purpose.label_column('protected_$kind', 'amount', 'for marketing')"
	bench_sql "$database" "
		CREATE TABLE subject_$kind (id $kind PRIMARY KEY);
		INSERT INTO subject_$kind SELECT $key FROM generate_series(1, $subjects) i;
		CREATE TABLE consent_$kind (subject $kind, purpose text, granted boolean NOT NULL, PRIMARY KEY (subject, purpose));
		INSERT INTO consent_$kind SELECT $key, 'marketing', draw(i, 1, 10) < 7
			FROM generate_series(1, $subjects) i WHERE draw(i, 1, 10) < 8;
		CREATE TABLE events_$kind (id bigint, subject $kind NOT NULL, amount integer);
		INSERT INTO events_$kind SELECT i, $(events_key "$kind" "1 + draw(i, 2, $subjects)"), draw(i, 3, 1000)
			FROM generate_series(1, $rows) i;
		CREATE TABLE protected_$kind (LIKE events_$kind);
		INSERT INTO protected_$kind SELECT * FROM events_$kind;
		SELECT purpose.protect('subject_$kind', subject => 'id');
		SELECT purpose.protect('protected_$kind', subject => 'subject', of => 'subject_$kind');
		$amount;
		INSERT INTO purpose.consent_import (subject_table, subject, purpose, state)
			SELECT 'subject_$kind', subject, purpose, CASE WHEN granted THEN 'given' ELSE 'withdrawn' END FROM consent_$kind;
		GRANT SELECT ON ALL TABLES IN SCHEMA public TO bench_app, bench_plain;
		VACUUM ANALYZE" >/dev/null
}

# events_keys DATABASE: indexes on the int8 tables, for those who look up rows.
events_keys()
{
	local table

	for table in events_int8 protected_int8; do
		[ -z "$(bench_sql "$1" "SELECT to_regclass('${table}_pkey')")" ] || continue
		bench_sql "$1" "ALTER TABLE $table ADD PRIMARY KEY (id); CREATE INDEX ON $table (subject)"
	done
}

# The rules as careful people write them.  Functions run with a pinned
# search_path, as SECURITY DEFINER must; the consents' primary key is there for
# whoever looks up, and work_mem is large enough for a hash table of them.
# Functions called for each row, fifty times as slow, have a twentieth of them.
events_rivals()
{
	local database=$1 kind=$2 given

	given="c.purpose = current_setting('app.purpose') AND c.granted"
	bench_sql "$database" "
		DO \$\$ BEGIN
			CREATE ROLE bench_exists LOGIN;
			CREATE ROLE bench_in LOGIN;
			CREATE ROLE bench_sql LOGIN;
			CREATE ROLE bench_plpgsql LOGIN;
		EXCEPTION WHEN duplicate_object THEN NULL; END \$\$;
		ALTER DATABASE $database SET app.purpose = 'marketing';
		CREATE TABLE few_$kind AS SELECT * FROM events_$kind WHERE id <= (SELECT max(id) FROM events_$kind) / 20;
		CREATE VIEW view_$kind WITH (security_barrier) AS SELECT e.* FROM events_$kind e
			WHERE EXISTS (SELECT FROM consent_$kind c WHERE c.subject = e.subject AND $given);
		CREATE FUNCTION given_sql(s $kind) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
			SET search_path = pg_catalog, pg_temp
			AS 'SELECT EXISTS (SELECT FROM public.consent_$kind c WHERE c.subject = s AND ${given//\'/\'\'})';
		CREATE FUNCTION given_plpgsql(s $kind) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
			SET search_path = pg_catalog, pg_temp
			AS 'BEGIN RETURN EXISTS (SELECT FROM public.consent_$kind c WHERE c.subject = s AND ${given//\'/\'\'}); END';
		ALTER TABLE events_$kind ENABLE ROW LEVEL SECURITY;
		ALTER TABLE few_$kind ENABLE ROW LEVEL SECURITY;
		CREATE POLICY by_exists ON events_$kind TO bench_exists USING
			(EXISTS (SELECT FROM consent_$kind c WHERE c.subject = events_$kind.subject AND $given));
		CREATE POLICY by_in ON events_$kind TO bench_in USING (subject IN (SELECT c.subject FROM consent_$kind c WHERE $given));
		CREATE POLICY by_sql ON few_$kind TO bench_sql USING (given_sql(subject));
		CREATE POLICY by_plpgsql ON few_$kind TO bench_plpgsql USING (given_plpgsql(subject));
		GRANT SELECT ON ALL TABLES IN SCHEMA public
			TO bench_app, bench_plain, bench_exists, bench_in, bench_sql, bench_plpgsql;
		VACUUM ANALYZE few_$kind"
}

# events_answer DATABASE ROLE RELATION
events_answer()
{
	printf '%s %s;\n' "$EVENTS_QUERY" "$3" | as_user psql -XAtq -v ON_ERROR_STOP=1 -U "$2" -d "$1"
}

# events_compare DATABASE KIND: every rival gives the same answer, or nothing
# that is measured of it is worth telling.
events_compare()
{
	local expected few pair

	expected=$(bench_sql "$1" "$EVENTS_QUERY events_$2 JOIN consent_$2 c USING (subject) WHERE c.granted")
	few=$(bench_sql "$1" "$EVENTS_QUERY few_$2 JOIN consent_$2 c USING (subject) WHERE c.granted")
	for pair in bench_app:protected bench_app:view bench_exists:events bench_in:events \
		bench_sql:few bench_plpgsql:few; do
		case $pair in
			*:few) [ "$(events_answer "$1" "${pair%:*}" "few_$2")" = "$few" ] ;;
			*) [ "$(events_answer "$1" "${pair%:*}" "${pair#*:}_$2")" = "$expected" ] ;;
		esac || die "${pair%:*} gets another answer from ${pair#*:}_$2"
	done
}
