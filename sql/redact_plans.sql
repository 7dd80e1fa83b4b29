--
-- Plans that redact: a purpose that the label permits gets the plan that the
-- query has without pg_purpose; any other a plan in which the hidden column
-- does not occur.  What was planned for one is never run for the other.
--
CREATE ROLE regress_purpose_redact_plans_app;
CREATE ROLE regress_purpose_redact_plans_app2;
SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{rplans_bill,rplans_ads,rplans_mail}'::text[]) p;
SELECT purpose.grant_purpose(p, 'regress_purpose_redact_plans_app') FROM unnest('{rplans_bill,rplans_ads,rplans_mail}'::text[]) p;
SELECT purpose.grant_purpose('rplans_ads', 'regress_purpose_redact_plans_app2');
CREATE SCHEMA regress_purpose_redact_plans;
SET search_path = regress_purpose_redact_plans;
CREATE TABLE people (id int PRIMARY KEY, name text, phone text, town text NOT NULL);
INSERT INTO people SELECT i, 'n' || i, 'hidden' || i, 'town' || i % 50 FROM generate_series(1, 5000) i;
CREATE INDEX people_phone ON people (phone text_pattern_ops);
CREATE INDEX people_town ON people (town, id);
CREATE TABLE calls (id int PRIMARY KEY, phone text);
INSERT INTO calls SELECT i, 'hidden' || i * 7 FROM generate_series(1, 50) i;
CREATE TABLE plain AS TABLE people;
ALTER TABLE plain ADD PRIMARY KEY (id), ALTER town SET NOT NULL;
CREATE INDEX plain_phone ON plain (phone text_pattern_ops);
CREATE INDEX plain_town ON plain (town, id);
ANALYZE people, calls, plain;
GRANT ALL ON SCHEMA regress_purpose_redact_plans TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_redact_plans TO PUBLIC;
SELECT purpose.label_column('people', 'phone', 'for rplans_bill else null');
SELECT purpose.label_column('people', 'town', 'for rplans_bill, rplans_mail else ''''''somewhere''''''');

-- A plan without what the floor and the names make different.
CREATE FUNCTION plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF, VERBOSE) ' || statement LOOP
		CONTINUE WHEN line ~ '^ *Filter: purpose\._loaded\(''[a-z_.]+''::regclass\)$';
		line := replace(line, 'purpose._loaded(''people''::regclass) AND ', '');
		result := result || regexp_replace(replace(line, 'plain', 'people'), '\m(people|plain)_pkey\M', 'pkey') || E'\n';
	END LOOP;
	RETURN result;
END $$;
-- Does a hidden column decide anything in a plan?
CREATE FUNCTION plan_decides_by_hidden(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result boolean := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF, VERBOSE) ' || statement LOOP
		result := result OR (line !~ '^ *Output:' AND line ~ '\m(p|people)\.(phone|town)\M|people_(phone|town)\M');
	END LOOP;
	RETURN result;
END $$;
CREATE TABLE queries (no int GENERATED ALWAYS AS IDENTITY, statement text);
INSERT INTO queries (statement) SELECT unnest(ARRAY[
	'SELECT * FROM people WHERE phone = ''hidden42''',
	'SELECT phone FROM people WHERE phone = ANY (''{hidden1,hidden2}'')',
	'SELECT id FROM people WHERE phone ~>=~ ''hidden49'' AND phone ~<~ ''hidden491''',
	'SELECT p.id FROM people p JOIN calls c ON c.phone = p.phone',
	'SELECT p.id FROM people p LEFT JOIN calls c ON c.phone = p.phone WHERE c.id IS NULL',
	'SELECT town, count(*) FROM people GROUP BY town ORDER BY town',
	'SELECT town, id FROM people ORDER BY town, id LIMIT 5',
	'SELECT max(phone) FROM people',
	'SELECT max(town) FROM people',
	'SELECT DISTINCT town FROM people',
	'SELECT id FROM people WHERE town = ''town7'' AND id BETWEEN 10 AND 1000',
	'SELECT id FROM people WHERE town IS NULL',
	'SELECT p FROM people p WHERE phone = ''hidden42''',
	'SELECT id, rank() OVER (PARTITION BY town ORDER BY id) FROM people WHERE id < 100',
	'UPDATE people SET name = ''x'' WHERE id = 42 RETURNING phone',
	'UPDATE people SET phone = ''x'' WHERE phone = ''hidden42''',
	'DELETE FROM people WHERE phone = ''hidden42''',
	'INSERT INTO people VALUES (1, ''n'', ''p'', ''t'') ON CONFLICT (id) DO UPDATE SET phone = excluded.phone WHERE people.phone <> ''x''',
	'MERGE INTO people p USING calls c ON p.phone = c.phone WHEN MATCHED THEN UPDATE SET town = ''t'' WHEN NOT MATCHED THEN DO NOTHING'
]);
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_redact_plans TO PUBLIC;
SET ROLE regress_purpose_redact_plans_app;
SET purpose.current = 'rplans_bill';
SELECT count(*) AS statements, count(*) FILTER (WHERE plan_of(statement) = plan_of(replace(statement, 'people', 'plain'))) AS same
FROM queries;
SELECT statement, plan_of(statement), plan_of(replace(statement, 'people', 'plain')) FROM queries
WHERE plan_of(statement) <> plan_of(replace(statement, 'people', 'plain')) ORDER BY no;
EXPLAIN (COSTS OFF) SELECT * FROM plain WHERE phone = 'hidden42';
EXPLAIN (COSTS OFF) SELECT * FROM people WHERE phone = 'hidden42';

-- The hidden columns are not in the plans of the others: not as a condition of
-- an index, not as a key of a sort or a join.
SET purpose.current = 'rplans_ads';
SELECT count(*) AS statements, count(*) FILTER (WHERE plan_decides_by_hidden(statement)) AS by_hidden
FROM queries WHERE statement !~ '^(UPDATE people SET phone|DELETE|INSERT|MERGE)';
SET purpose.current = 'rplans_bill';
SELECT count(*) FILTER (WHERE plan_decides_by_hidden(statement)) > 15 AS by_hidden FROM queries;
SET purpose.current = 'rplans_ads';
EXPLAIN (COSTS OFF, VERBOSE) SELECT * FROM people WHERE phone IS NULL AND town = 'somewhere' AND id = 42;
EXPLAIN (COSTS OFF, VERBOSE) SELECT id, town FROM people WHERE id < 10 ORDER BY town;
EXPLAIN (COSTS OFF, VERBOSE) SELECT p.id FROM people p JOIN calls c ON c.phone = p.phone;
-- One that is permitted one column of the two.
SET purpose.current = 'rplans_mail';
EXPLAIN (COSTS OFF, VERBOSE) SELECT phone, town FROM people WHERE town = 'town7' AND id = 7;

-- How many rows a condition on the hidden column removes does not show.
CREATE FUNCTION removed(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result text := 'none';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || statement LOOP
		IF line ~ 'Rows Removed|Index Cond' THEN
			result := trim(line);
		END IF;
	END LOOP;
	RETURN result;
END $$;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SET purpose.current = 'rplans_bill';
SELECT removed('SELECT id FROM people WHERE phone = ''hidden42''');
SET purpose.current = 'rplans_ads';
SELECT removed('SELECT id FROM people WHERE phone = ''hidden42''');
SELECT removed('SELECT id FROM people WHERE town = ''town7''');		-- of each row alike
RESET enable_indexscan;
RESET enable_bitmapscan;

--
-- Plans that are kept.  All are made by a superuser first, who sees everything.
--
RESET purpose.current;
RESET ROLE;
DELETE FROM people WHERE id > 20;
SET plan_cache_mode = force_generic_plan;
PREPARE by_phone(text) AS SELECT id, phone, town FROM people WHERE phone = $1 OR id = 1 ORDER BY id;
PREPARE all_of(int) AS SELECT p FROM people p WHERE id = $1;
PREPARE not_hidden(int) AS SELECT name FROM people WHERE id = $1;
PREPARE change(int, text) AS UPDATE people SET name = 'n' || id, phone = $2 WHERE id = $1 RETURNING id, phone;
CREATE FUNCTION in_plpgsql(i int) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	r record;
BEGIN
	SELECT phone, town INTO r FROM regress_purpose_redact_plans.people WHERE id = i AND coalesce(phone, '') <> 'x';
	RETURN r;
END $$;
CREATE FUNCTION in_loop() RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
	r record;
	result text := '';
BEGIN
	FOR r IN SELECT phone FROM regress_purpose_redact_plans.people WHERE id < 3 ORDER BY id LOOP
		result := result || coalesce(r.phone, 'null') || ' ';
	END LOOP;
	RETURN result;
END $$;
CREATE FUNCTION in_sql(i int) RETURNS text LANGUAGE sql STABLE AS
	'SELECT phone FROM regress_purpose_redact_plans.people WHERE id = i';
CREATE FUNCTION in_atomic(i int) RETURNS text LANGUAGE sql STABLE
	BEGIN ATOMIC SELECT town FROM regress_purpose_redact_plans.people WHERE id = i; END;
CREATE FUNCTION as_definer(i int) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER AS
	'BEGIN RETURN (SELECT phone FROM regress_purpose_redact_plans.people WHERE id = i); END';
CREATE FUNCTION for_bill(i int) RETURNS text LANGUAGE sql SET purpose.current = 'rplans_bill' AS
	'SELECT phone FROM regress_purpose_redact_plans.people WHERE id = i';
CREATE FUNCTION exempted(i int) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
	'BEGIN RETURN (SELECT phone FROM regress_purpose_redact_plans.people WHERE id = i); END';
SECURITY LABEL FOR purpose ON FUNCTION exempted(int) IS 'exempt';
CREATE VIEW calls_made AS
	SELECT in_plpgsql(1), in_loop(), in_sql(1), in_atomic(1), as_definer(1), exempted(1);
GRANT SELECT ON calls_made TO PUBLIC;
EXECUTE by_phone('hidden3');
EXECUTE all_of(2);
EXECUTE change(2, 'hidden2');
TABLE calls_made;
SET ROLE regress_purpose_redact_plans_app;
SET purpose.current = 'rplans_ads';
EXECUTE by_phone('hidden3');
EXECUTE all_of(2);
EXECUTE change(2, 'hidden2');
TABLE calls_made;
SELECT for_bill(1), phone FROM people WHERE id = 1;
SET purpose.current = 'rplans_mail';
EXECUTE by_phone('hidden3');
EXECUTE all_of(2);
TABLE calls_made;
SET purpose.current = 'rplans_bill';
EXECUTE by_phone('hidden3');
EXECUTE all_of(2);
TABLE calls_made;
RESET purpose.current;
EXECUTE not_hidden(2);
EXECUTE by_phone('hidden3');
-- A purpose that ends with a transaction, or a savepoint.
SET purpose.current = 'rplans_ads';
BEGIN;
SET LOCAL purpose.current = 'rplans_bill';
EXECUTE by_phone('hidden3');
COMMIT;
EXECUTE by_phone('hidden3');
BEGIN;
SAVEPOINT s;
SET purpose.current = 'rplans_bill';
EXECUTE by_phone('hidden3');
ROLLBACK TO s;
EXECUTE by_phone('hidden3');
SAVEPOINT t;
SET LOCAL purpose.current = 'rplans_bill';
SELECT in_plpgsql(1);
ROLLBACK TO t;
SELECT in_plpgsql(1);
COMMIT;
-- The role: app2 may declare rplans_ads only, a superuser sees everything.
SET purpose.current = 'rplans_bill';
EXECUTE by_phone('hidden3');
SET ROLE regress_purpose_redact_plans_app2;
EXECUTE by_phone('hidden3');
SET purpose.current = 'rplans_ads';
EXECUTE by_phone('hidden3');
RESET ROLE;
EXECUTE by_phone('hidden3');
SET ROLE regress_purpose_redact_plans_app2;
EXECUTE by_phone('hidden3');
-- Two purposes that both see a column redacted, each by another label of it.
RESET ROLE;
CREATE DOMAIN two_labels AS text;
SECURITY LABEL FOR purpose ON DOMAIN two_labels IS 'for rplans_bill, rplans_mail else ''left(value, 2)''';
CREATE TABLE doubly (id int, e two_labels);
SELECT purpose.label_column('doubly', 'e', 'for rplans_bill, rplans_ads else ''left(value, 4)''');
INSERT INTO doubly VALUES (1, 'hidden');
GRANT ALL ON doubly TO PUBLIC;
SET ROLE regress_purpose_redact_plans_app;
PREPARE doubles AS SELECT e FROM doubly;
PREPARE double(text) AS UPDATE doubly SET e = $1;
SET purpose.current = 'rplans_mail';
EXECUTE doubles;
EXECUTE double('hidd');
BEGIN;
EXECUTE double('hi');
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT e FROM doubly;
SET LOCAL purpose.current = 'rplans_ads';
EXECUTE doubles;
FETCH 1 FROM c;
ROLLBACK;
SET purpose.current = 'rplans_ads';
EXECUTE doubles;
EXECUTE double('hi');
BEGIN;
EXECUTE double('hidd');
ROLLBACK;
SET purpose.current = 'rplans_bill';
EXECUTE doubles;
SET purpose.current = 'rplans_ads';
-- Inside one statement the purpose is that of its start.
SET ROLE regress_purpose_redact_plans_app;
SELECT set_config('purpose.current', 'rplans_bill', false), phone FROM people WHERE id = 1;
SHOW purpose.current;
-- The declarations.
RESET ROLE;
SELECT purpose.label_column('people', 'phone', 'for rplans_bill else ''left(value, 3)''');
SET ROLE regress_purpose_redact_plans_app;
SET purpose.current = 'rplans_ads';
EXECUTE by_phone('hidden3');
SELECT in_plpgsql(1), in_sql(1);
RESET ROLE;
SELECT purpose.label_column('people', 'phone', 'for rplans_bill');
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
SELECT in_sql(1);
RESET ROLE;
SELECT purpose.label_column('people', 'phone', 'for rplans_bill, rplans_ads else null');
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
RESET ROLE;
SELECT purpose.label_column('people', 'phone', 'for rplans_bill else null');
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
RESET ROLE;
SELECT purpose.revoke_purpose('rplans_ads', 'regress_purpose_redact_plans_app');
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
RESET ROLE;
SELECT purpose.grant_purpose('rplans_ads', 'regress_purpose_redact_plans_app');
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
RESET ROLE;
ALTER ROLE regress_purpose_redact_plans_app BYPASSRLS;
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
RESET ROLE;
ALTER ROLE regress_purpose_redact_plans_app NOBYPASSRLS;
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
RESET ROLE;
-- Observed, nothing is redacted.
SELECT purpose.protect('people', subject => 'id', mode => 'observe');
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
RESET ROLE;
SELECT purpose, reason, count FROM purpose.observed_violations WHERE relation = 'people'::regclass AND "column" = 'phone';
SELECT purpose.set_mode('people', 'enforce');
SET ROLE regress_purpose_redact_plans_app;
EXECUTE by_phone('hidden3');
RESET ROLE;
SELECT purpose.unprotect('people');
-- Generic plans did it.
SELECT name, generic_plans > 3 AS generic, custom_plans FROM pg_prepared_statements WHERE name IN ('by_phone', 'all_of') ORDER BY 1;
DEALLOCATE ALL;
RESET plan_cache_mode;

--
-- Cursors go on for the purpose that they began with, or not at all.
--
SET ROLE regress_purpose_redact_plans_app;
SET purpose.current = 'rplans_bill';
BEGIN;
DECLARE c CURSOR FOR SELECT id, phone FROM people;
FETCH 2 FROM c;
SET purpose.current = 'rplans_ads';
FETCH 1 FROM c;
ROLLBACK;
-- Back for the purpose that it was opened for, it goes on.
BEGIN;
DECLARE c CURSOR FOR SELECT id, phone FROM people;
FETCH 1 FROM c;
SET LOCAL purpose.current = 'rplans_ads';
SET LOCAL purpose.current = 'rplans_bill';
FETCH 1 FROM c;
ROLLBACK;
BEGIN;
SET LOCAL purpose.current = 'rplans_ads';
DECLARE c SCROLL CURSOR FOR SELECT id, phone FROM people WHERE coalesce(phone, 'x') = 'x';
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
SET LOCAL purpose.current = 'rplans_bill';
FETCH 1 FROM c;
ROLLBACK;
-- Who is not bound must not take stand-ins for values either.
BEGIN;
SET LOCAL purpose.current = 'rplans_ads';
DECLARE c CURSOR FOR SELECT id, phone FROM people;
FETCH 1 FROM c;
RESET ROLE;
FETCH 1 FROM c;
ROLLBACK;
SET ROLE regress_purpose_redact_plans_app;
-- Opened, and not read yet.
BEGIN;
SET LOCAL purpose.current = 'rplans_bill';
DECLARE c CURSOR FOR SELECT id, phone FROM people;
SET LOCAL purpose.current = 'rplans_ads';
FETCH 1 FROM c;
ROLLBACK;
-- One that uses nothing hidden follows the purpose.
BEGIN;
SET LOCAL purpose.current = 'rplans_bill';
DECLARE c CURSOR FOR SELECT id, name FROM people;
FETCH 1 FROM c;
SET LOCAL purpose.current = 'rplans_ads';
FETCH 1 FROM c;
ROLLBACK;
-- A cursor of a function whose plan was made for another purpose, and read
-- backwards.
RESET ROLE;
CREATE FUNCTION cursor_in(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS $$
BEGIN
	OPEN c SCROLL FOR SELECT id, phone FROM regress_purpose_redact_plans.people WHERE id < 4 ORDER BY id;
	RETURN c;
END $$;
SET plan_cache_mode = force_generic_plan;
BEGIN;
SELECT cursor_in('c');
FETCH ALL FROM c;
ROLLBACK;
SET ROLE regress_purpose_redact_plans_app;
SET purpose.current = 'rplans_ads';
BEGIN;
SELECT cursor_in('c');
FETCH ALL FROM c;
FETCH BACKWARD ALL FROM c;
COMMIT;
RESET plan_cache_mode;
-- WITH HOLD is refused as before.
DECLARE c CURSOR WITH HOLD FOR SELECT phone FROM people;

--
-- In parallel workers, and in what they call.
--
RESET ROLE;
CREATE FUNCTION phone_of(i int) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS
	'BEGIN RETURN (SELECT phone FROM regress_purpose_redact_plans.people WHERE id = i); END';
ALTER TABLE people SET (parallel_workers = 2);
SET ROLE regress_purpose_redact_plans_app;
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET parallel_leader_participation = off;
SET enable_indexonlyscan = off;
SET enable_indexscan = off;
SET purpose.current = 'rplans_bill';
EXPLAIN (COSTS OFF) SELECT count(phone), count(phone_of(id)) FROM people;
SELECT count(phone), count(phone_of(id)), count(DISTINCT town) FROM people;
SET purpose.current = 'rplans_ads';
EXPLAIN (COSTS OFF) SELECT count(phone), count(phone_of(id)) FROM people;
SELECT count(phone), count(phone_of(id)), count(DISTINCT town) FROM people;

-- Leave nothing behind.
RESET ROLE;
RESET purpose.current;
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_redact_plans CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{rplans_bill,rplans_ads,rplans_mail}'::text[]) p;
DROP ROLE regress_purpose_redact_plans_app, regress_purpose_redact_plans_app2;
