--
-- Plans: nothing about the purpose, the role, a label or a consent is baked into
-- a parsed statement or a cached plan.  What was prepared, planned or opened
-- earlier is judged by the moment at which it runs, in every language and in
-- parallel workers.
--
CREATE ROLE regress_purpose_plans_app;
CREATE ROLE regress_purpose_plans_app2;
CREATE ROLE regress_purpose_plans_owner;
CREATE ROLE regress_purpose_plans_bypass BYPASSRLS;
SELECT purpose.create_purpose('plans_mail', basis => 'contract');
SELECT purpose.create_purpose('plans_stats', basis => 'contract');
SELECT purpose.create_purpose('plans_news', basis => 'consent');
SELECT purpose.grant_purpose(p, r)
FROM unnest('{plans_mail,plans_stats,plans_news}'::text[]) p,
	unnest('{regress_purpose_plans_app,regress_purpose_plans_owner}'::text[]) r;
SELECT purpose.grant_purpose('plans_stats', 'regress_purpose_plans_app2');

CREATE SCHEMA regress_purpose_plans;
SET search_path = regress_purpose_plans;
CREATE TABLE people (id int PRIMARY KEY, name text, email text);
INSERT INTO people SELECT i, 'n' || i, 'e' || i || '@x' FROM generate_series(1, 100) i;
CREATE TABLE visits (id int PRIMARY KEY, place text);
CREATE VIEW everything AS SELECT * FROM people;
ALTER TABLE people OWNER TO regress_purpose_plans_owner;
GRANT ALL ON SCHEMA regress_purpose_plans TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_plans TO PUBLIC;
-- Does the plan of a statement show this?  (Plans of protected tables name OIDs.)
CREATE FUNCTION plan_shows(statement text, pattern text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found boolean := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		found := found OR line ~ pattern;
	END LOOP;
	RETURN found;
END $$;
\set VERBOSITY sqlstate

--
-- What was prepared and planned before anything was declared about the table.
--
SET plan_cache_mode = force_generic_plan;
SET ROLE regress_purpose_plans_app;
PREPARE before_used AS SELECT id FROM people WHERE email = 'e1@x';
PREPARE before_not_used AS SELECT count(*) FROM (SELECT * FROM everything) AS s;
EXECUTE before_used;
EXECUTE before_not_used;
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for plans_mail, plans_news');
SET ROLE regress_purpose_plans_app;
EXECUTE before_used;
EXECUTE before_not_used;
RESET ROLE;
SELECT purpose.protect('people', subject => 'id');
SET ROLE regress_purpose_plans_app;
EXECUTE before_used;
EXECUTE before_not_used;
SET purpose.current = 'plans_stats';
EXECUTE before_used;
EXECUTE before_not_used;
SET purpose.current = 'plans_news';			-- nobody consented
EXECUTE before_used;
EXECUTE before_not_used;
SET purpose.current = 'plans_mail';
EXECUTE before_used;
EXECUTE before_not_used;
RESET ROLE;
RESET purpose.current;
DEALLOCATE ALL;
SELECT count(purpose.grant_consent('people', i, 'plans_news')) FROM generate_series(1, 20) i;

--
-- Prepared statements across changes, with generic plans, then with custom ones.
--
PREPARE used(int) AS SELECT id, email FROM people WHERE id <= $1 ORDER BY id;
PREPARE used_to_write(text) AS UPDATE people SET name = name WHERE email = $1 RETURNING id;
PREPARE not_used(int) AS SELECT count(*) FROM everything WHERE id <= $1;
EXECUTE used(1);							-- a superuser, with no purpose
SET ROLE regress_purpose_plans_bypass;
EXECUTE used(1);							-- nor does this role need one
SET ROLE regress_purpose_plans_app;
EXECUTE used(1);							-- no purpose
EXECUTE not_used(30);
SET purpose.current = 'plans_stats';
EXECUTE used(1);
EXECUTE used_to_write('e1@x');
EXECUTE not_used(30);
SET purpose.current = 'plans_mail';
EXECUTE used(1);
EXECUTE used_to_write('e1@x');
EXECUTE not_used(30);
SET purpose.current = 'plans_news';
EXECUTE used_to_write('e21@x');				-- did not consent
EXECUTE used_to_write('e1@x');
EXECUTE not_used(30);
SET purpose.current = 'plans_stats';
EXECUTE used(1);
SET ROLE regress_purpose_plans_owner;
EXECUTE used(1);
SET purpose.current = 'plans_mail';
EXECUTE used(1);
SET ROLE regress_purpose_plans_app2;		-- was not granted plans_mail
EXECUTE used(1);
EXECUTE not_used(30);
SET purpose.current = 'plans_stats';
EXECUTE used(1);
EXECUTE not_used(30);
SET ROLE regress_purpose_plans_bypass;
EXECUTE used(1);
RESET ROLE;
EXECUTE used(1);
-- the label
SELECT purpose.label_column('people', 'email', 'for plans_stats');
SET ROLE regress_purpose_plans_app;
EXECUTE used(1);
SET purpose.current = 'plans_mail';
EXECUTE used(1);
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for plans_mail, plans_news');
SET ROLE regress_purpose_plans_app;
EXECUTE used(1);
RESET ROLE;
-- the right to the purpose
SELECT purpose.revoke_purpose('plans_mail', 'regress_purpose_plans_app');
SET ROLE regress_purpose_plans_app;
EXECUTE used(1);
RESET ROLE;
SELECT purpose.grant_purpose('plans_mail', 'regress_purpose_plans_app');
SET ROLE regress_purpose_plans_app;
EXECUTE used(1);
-- consent
SET purpose.current = 'plans_news';
EXECUTE used(2);
RESET ROLE;
SELECT purpose.withdraw_consent('people', 1, 'plans_news') IS NOT NULL AS recorded;
SET ROLE regress_purpose_plans_app;
EXECUTE used(2);
RESET ROLE;
SELECT purpose.grant_consent('people', 1, 'plans_news') IS NOT NULL AS recorded;
SET ROLE regress_purpose_plans_app;
EXECUTE used(2);
-- All of that was done by generic plans alone.
SELECT name, generic_plans > 0 AS generic, custom_plans > 0 AS custom FROM pg_prepared_statements ORDER BY 1;
DISCARD PLANS;
EXECUTE used(1);
RESET ROLE;
RESET purpose.current;
DEALLOCATE ALL;

SET plan_cache_mode = force_custom_plan;
PREPARE used(int) AS SELECT id, email FROM people WHERE id <= $1 ORDER BY id;
PREPARE used_to_write(text) AS UPDATE people SET name = name WHERE email = $1 RETURNING id;
PREPARE not_used(int) AS SELECT count(*) FROM everything WHERE id <= $1;
EXECUTE used(1);
SET ROLE regress_purpose_plans_bypass;
EXECUTE used(1);
SET ROLE regress_purpose_plans_app;
EXECUTE used(1);
EXECUTE not_used(30);
SET purpose.current = 'plans_stats';
EXECUTE used(1);
EXECUTE used_to_write('e1@x');
EXECUTE not_used(30);
SET purpose.current = 'plans_mail';
EXECUTE used(1);
EXECUTE used_to_write('e1@x');
EXECUTE not_used(30);
SET purpose.current = 'plans_news';
EXECUTE used_to_write('e21@x');
EXECUTE used_to_write('e1@x');
EXECUTE not_used(30);
SET ROLE regress_purpose_plans_owner;
EXECUTE used(1);
SET purpose.current = 'plans_stats';
EXECUTE used(1);
SET ROLE regress_purpose_plans_app2;
EXECUTE used(1);
EXECUTE not_used(30);
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for plans_stats');
SET ROLE regress_purpose_plans_app;
EXECUTE used(1);
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for plans_mail, plans_news');
SET ROLE regress_purpose_plans_app;
EXECUTE used(1);
SET purpose.current = 'plans_news';
EXECUTE used(2);
RESET ROLE;
SELECT purpose.withdraw_consent('people', 1, 'plans_news') IS NOT NULL AS recorded;
SET ROLE regress_purpose_plans_app;
EXECUTE used(2);
RESET ROLE;
SELECT purpose.grant_consent('people', 1, 'plans_news') IS NOT NULL AS recorded;
SELECT name, generic_plans > 0 AS generic, custom_plans > 0 AS custom FROM pg_prepared_statements ORDER BY 1;
DEALLOCATE ALL;
RESET purpose.current;
RESET plan_cache_mode;

--
-- Functions.  All are called first by a superuser, so that what they cache was
-- planned for somebody who is not bound.
--
CREATE FUNCTION in_plpgsql(n int) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN (SELECT email FROM regress_purpose_plans.people WHERE id = n);
END $$;
CREATE FUNCTION in_plpgsql_by_name(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	IF EXISTS (SELECT * FROM regress_purpose_plans.people WHERE id = n) THEN
		FOR r IN SELECT * FROM regress_purpose_plans.people WHERE id = n LOOP
			RETURN r.name;
		END LOOP;
	END IF;
END $$;
CREATE FUNCTION in_execute(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT email FROM regress_purpose_plans.people WHERE id = $1' INTO result USING n;
	RETURN result;
END $$;
CREATE FUNCTION catching(n int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT email FROM regress_purpose_plans.people WHERE id = n);
EXCEPTION WHEN OTHERS THEN
	RETURN 'refused with ' || SQLSTATE;
END $$;
CREATE FUNCTION in_sql(n int) RETURNS text LANGUAGE sql
	AS 'SELECT email FROM regress_purpose_plans.people WHERE id = n';
CREATE FUNCTION in_atomic(n int) RETURNS text LANGUAGE sql
	BEGIN ATOMIC SELECT email FROM regress_purpose_plans.people WHERE id = n; END;
CREATE FUNCTION as_super(n int) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
	AS 'SELECT email FROM regress_purpose_plans.people WHERE id = n';
CREATE FUNCTION as_super_plpgsql(n int) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
	AS 'BEGIN RETURN (SELECT email FROM regress_purpose_plans.people WHERE id = n); END';
CREATE FUNCTION as_owner(n int) RETURNS text LANGUAGE sql SECURITY DEFINER
	BEGIN ATOMIC SELECT email FROM regress_purpose_plans.people WHERE id = n; END;
CREATE FUNCTION as_bypass(n int) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
	AS 'BEGIN RETURN regress_purpose_plans.in_execute(n); END';
CREATE FUNCTION counting_as_super() RETURNS bigint LANGUAGE sql SECURITY DEFINER
	AS 'SELECT count(*) FROM regress_purpose_plans.everything';
ALTER FUNCTION as_owner(int) OWNER TO regress_purpose_plans_owner;
ALTER FUNCTION as_bypass(int) OWNER TO regress_purpose_plans_bypass;

-- Calls each function by itself and tells what came of it.
CREATE FUNCTION calls(OUT f text, OUT result text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	FOREACH f IN ARRAY '{in_plpgsql(1),in_execute(1),catching(1),in_sql(1),in_atomic(1),as_super(1),
		as_super_plpgsql(1),as_owner(1),as_bypass(1),in_plpgsql_by_name(1),counting_as_super()}'::text[]
	LOOP
		BEGIN
			EXECUTE 'SELECT regress_purpose_plans.' || f INTO result;
		EXCEPTION WHEN OTHERS THEN
			result := SQLSTATE;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
SET plan_cache_mode = force_generic_plan;
SELECT * FROM calls();
SET ROLE regress_purpose_plans_app;
SELECT * FROM calls();						-- no purpose
SET purpose.current = 'plans_stats';
SELECT * FROM calls();						-- in_plpgsql_by_name() fetches *
SET purpose.current = 'plans_mail';
SELECT * FROM calls();
SET purpose.current = 'plans_news';
SELECT * FROM calls();
SET ROLE regress_purpose_plans_owner;
SET purpose.current = 'plans_stats';
SELECT * FROM calls();
SET purpose.current = 'plans_mail';
SELECT count(*) AS served FROM calls() WHERE result !~ 'PU';
RESET purpose.current;
SET ROLE regress_purpose_plans_bypass;
SELECT count(*) AS served FROM calls() WHERE result !~ 'PU';
RESET ROLE;
SELECT count(*) AS served FROM calls() WHERE result !~ 'PU';
RESET plan_cache_mode;
SET SESSION AUTHORIZATION regress_purpose_plans_app;
SELECT count(*) AS served FROM calls() WHERE result !~ 'PU';
SET purpose.current = 'plans_mail';
SELECT count(*) AS served FROM calls() WHERE result !~ 'PU';
RESET SESSION AUTHORIZATION;
RESET purpose.current;

-- Functions that declare a purpose themselves: what they return was read for
-- it; the caller must hold it, whoever owns the function.
CREATE FUNCTION for_mail(n int) RETURNS text LANGUAGE sql SET purpose.current = 'plans_mail'
	AS 'SELECT email FROM regress_purpose_plans.people WHERE id = n';
CREATE FUNCTION for_mail_as_super(n int) RETURNS text LANGUAGE sql SECURITY DEFINER SET purpose.current = 'plans_mail'
	AS 'SELECT email FROM regress_purpose_plans.people WHERE id = n';
CREATE FUNCTION for_stats(n int) RETURNS text LANGUAGE sql SET purpose.current = 'plans_stats'
	AS 'SELECT email FROM regress_purpose_plans.people WHERE id = n';
SET ROLE regress_purpose_plans_app;
SET purpose.current = 'plans_stats';
SELECT for_mail(1), for_mail_as_super(2);
SELECT purpose.current_purpose(), email FROM people WHERE id = 1;	-- it ended with them
SET purpose.current = 'plans_mail';
SELECT email, for_stats(1) FROM people WHERE id = 1;
SELECT email FROM people WHERE id = 1;		-- an error ends it as well
SET ROLE regress_purpose_plans_app2;
SET purpose.current = 'plans_stats';
SELECT for_mail(1);
SELECT for_mail_as_super(1);
RESET ROLE;
RESET purpose.current;

-- Set-returning SQL functions that the planner puts in place of their calls.
CREATE FUNCTION inlined() RETURNS SETOF people LANGUAGE sql STABLE
	AS 'SELECT * FROM regress_purpose_plans.people';
CREATE FUNCTION inlined_atomic(n int) RETURNS TABLE (i int, e text) LANGUAGE sql STABLE
	BEGIN ATOMIC SELECT id, email FROM regress_purpose_plans.people WHERE id <= n; END;
CREATE FUNCTION inlined_twice(n int) RETURNS TABLE (i int, e text) LANGUAGE sql STABLE
	AS 'SELECT * FROM regress_purpose_plans.inlined_atomic(n + 1)';
CREATE FUNCTION inlined_where(n text) RETURNS SETOF int LANGUAGE sql STABLE
	AS 'SELECT id FROM regress_purpose_plans.people WHERE email = n';
CREATE FUNCTION not_inlined() RETURNS SETOF people LANGUAGE sql VOLATILE
	AS 'SELECT * FROM regress_purpose_plans.people';
CREATE VIEW over_inlined AS SELECT * FROM inlined_twice(3);
GRANT SELECT ON over_inlined TO PUBLIC;
SET ROLE regress_purpose_plans_app;
SET purpose.current = 'plans_mail';
-- It happens, and what was put in place carries the row rule.
SELECT q, plan_shows(q, 'Function Scan') AS called, plan_shows(q, 'Scan.* on people') AS inlined, plan_shows(q, '_visible') AS guarded
FROM unnest('{TABLE over_inlined,SELECT * FROM inlined(),SELECT * FROM inlined_atomic(2),SELECT * FROM inlined_twice(2),
	SELECT * FROM inlined_where($$e1@x$$),SELECT * FROM not_inlined(),SELECT * FROM inlined() WITH ORDINALITY}'::text[]) q;
SELECT id, email FROM inlined() WHERE id = 1;
SELECT * FROM inlined_twice(1) ORDER BY i;
SELECT * FROM inlined_where('e1@x');
SELECT i, e FROM over_inlined WHERE i = 4;
SELECT email FROM not_inlined() WHERE id = 1;
SET purpose.current = 'plans_stats';
SELECT id, email FROM inlined() WHERE id = 1;
SELECT * FROM inlined_twice(1) ORDER BY i;
SELECT * FROM inlined_where('e1@x');
SELECT i, e FROM over_inlined WHERE i = 4;
SELECT email FROM not_inlined() WHERE id = 1;
-- What is not asked of an inlined function is not used; one that is called
-- fetches all of it.
SELECT id FROM inlined() WHERE id = 1;
SELECT count(*) FROM inlined();
SELECT i FROM inlined_twice(1) ORDER BY i;
SELECT i FROM over_inlined WHERE i = 4;
SELECT id FROM not_inlined() WHERE id = 1;
SET purpose.current = 'plans_news';
SELECT count(*) FROM inlined();
SELECT count(*) FROM inlined_twice(20);
SELECT count(*) FROM not_inlined();
SELECT * FROM inlined_where('e21@x');
RESET purpose.current;
SELECT count(*) FROM inlined();
SELECT i FROM over_inlined;
-- A prepared statement with an inlined function follows the function.
SET plan_cache_mode = force_generic_plan;
SET purpose.current = 'plans_stats';
PREPARE inl AS SELECT count(*) FROM inlined();
EXECUTE inl;
RESET ROLE;
CREATE OR REPLACE FUNCTION inlined() RETURNS SETOF people LANGUAGE sql STABLE
	AS 'SELECT * FROM regress_purpose_plans.people WHERE email < ''e2''';
SET ROLE regress_purpose_plans_app;
EXECUTE inl;
SET purpose.current = 'plans_mail';
EXECUTE inl;
DEALLOCATE inl;
RESET plan_cache_mode;

-- DO blocks, and a loop whose purpose changes under it: rows are fetched ahead,
-- but not past the change.
DO $$ BEGIN PERFORM email FROM regress_purpose_plans.people; END $$;
SET purpose.current = 'plans_stats';
DO $$ BEGIN PERFORM email FROM regress_purpose_plans.people; END $$;
DO $$ BEGIN PERFORM count(*) FROM regress_purpose_plans.everything; END $$;
SET purpose.current = 'plans_mail';
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT email FROM regress_purpose_plans.people LOOP
		PERFORM set_config('purpose.current', 'plans_stats', true);
	END LOOP;
END $$;
DO $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT id FROM regress_purpose_plans.people LOOP
		PERFORM set_config('purpose.current', 'plans_stats', true);
	END LOOP;
END $$;

-- A procedure's purpose ends where it ends its transaction.
CREATE PROCEDURE committing() LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL purpose.current = 'plans_mail';
	PERFORM email FROM regress_purpose_plans.people;
	COMMIT;
	PERFORM email FROM regress_purpose_plans.people;
END $$;
RESET purpose.current;
CALL committing();
SET purpose.current = 'plans_mail';
CALL committing();
RESET ROLE;
RESET purpose.current;

--
-- Triggers that read other tables act for the purpose of the statement that
-- fires them; deferred ones for that of the moment of COMMIT.
--
CREATE FUNCTION reads_email() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.place := (SELECT email FROM regress_purpose_plans.people WHERE id = NEW.id);
	RETURN NEW;
END $$;
CREATE FUNCTION reads_email_as_super() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	PERFORM email FROM regress_purpose_plans.people WHERE id = NEW.id;
	RETURN NEW;
END $$;
CREATE FUNCTION reads_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.place := (SELECT name FROM regress_purpose_plans.everything WHERE id = NEW.id);
	RETURN NEW;
END $$;
CREATE TRIGGER t BEFORE INSERT ON visits FOR EACH ROW EXECUTE FUNCTION reads_email();
INSERT INTO visits VALUES (1) RETURNING *;
SET ROLE regress_purpose_plans_app;
INSERT INTO visits VALUES (2);
SET purpose.current = 'plans_stats';
INSERT INTO visits VALUES (2);
SET purpose.current = 'plans_mail';
INSERT INTO visits VALUES (2) RETURNING *;
SET purpose.current = 'plans_news';
INSERT INTO visits VALUES (3), (30) RETURNING *;
RESET ROLE;
RESET purpose.current;
DROP TRIGGER t ON visits;
CREATE TRIGGER t BEFORE INSERT ON visits FOR EACH ROW EXECUTE FUNCTION reads_name();
SET ROLE regress_purpose_plans_app;
SET purpose.current = 'plans_stats';
INSERT INTO visits VALUES (4) RETURNING *;
RESET ROLE;
DROP TRIGGER t ON visits;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON visits DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION reads_email_as_super();
SET ROLE regress_purpose_plans_app;
BEGIN;
INSERT INTO visits VALUES (5);
COMMIT;
BEGIN;
SET LOCAL purpose.current = 'plans_mail';
INSERT INTO visits VALUES (5);
SET LOCAL purpose.current = 'plans_stats';
COMMIT;
BEGIN;
INSERT INTO visits VALUES (5);
SET LOCAL purpose.current = 'plans_mail';
COMMIT;
RESET ROLE;
RESET purpose.current;
SELECT id FROM visits ORDER BY id;

--
-- Cursors.
--
SET ROLE regress_purpose_plans_app;
SET purpose.current = 'plans_mail';
BEGIN;
DECLARE c CURSOR FOR SELECT id, email FROM people ORDER BY id;
DECLARE d CURSOR FOR SELECT id, name FROM everything ORDER BY id;
FETCH 1 FROM c;
FETCH 1 FROM d;
SET LOCAL purpose.current = 'plans_stats';
FETCH 1 FROM d;
SET LOCAL purpose.current = 'plans_mail';
FETCH 1 FROM c;
SET LOCAL purpose.current = 'plans_stats';
FETCH 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT id, email FROM people ORDER BY id;
SET LOCAL purpose.current = '';
FETCH 1 FROM c;
ROLLBACK;
-- backwards, over rows that were fetched before, and without looking at them
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id, email FROM people ORDER BY id;
FETCH 2 FROM c;
SET LOCAL purpose.current = 'plans_stats';
FETCH BACKWARD 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT id, email FROM people ORDER BY id;
SET LOCAL purpose.current = 'plans_stats';
MOVE 5 FROM c;
ROLLBACK;
-- by the role
BEGIN;
DECLARE c CURSOR FOR SELECT id, email FROM people ORDER BY id;
FETCH 1 FROM c;
RESET ROLE;
FETCH 1 FROM c;
SET LOCAL ROLE regress_purpose_plans_app2;
FETCH 1 FROM c;
ROLLBACK;
-- opened by a superuser
RESET ROLE;
RESET purpose.current;
BEGIN;
DECLARE c CURSOR FOR SELECT id, email FROM people ORDER BY id;
FETCH 1 FROM c;
SET LOCAL ROLE regress_purpose_plans_app;
FETCH 1 FROM c;
ROLLBACK;
-- by the label
BEGIN;
SET LOCAL ROLE regress_purpose_plans_app;
SET LOCAL purpose.current = 'plans_mail';
DECLARE c CURSOR FOR SELECT id, email FROM people ORDER BY id;
FETCH 1 FROM c;
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for plans_news');
SET LOCAL ROLE regress_purpose_plans_app;
FETCH 1 FROM c;
ROLLBACK;
-- by consent: of the rows not yet fetched
BEGIN;
SET LOCAL ROLE regress_purpose_plans_app;
SET LOCAL purpose.current = 'plans_news';
SET LOCAL enable_sort = off;
SET LOCAL enable_bitmapscan = off;
DECLARE c CURSOR FOR SELECT id, email FROM people WHERE id < 5 ORDER BY id;
FETCH 1 FROM c;
RESET ROLE;
SELECT purpose.withdraw_consent('people', 2, 'plans_news') IS NOT NULL AS recorded;
SET LOCAL ROLE regress_purpose_plans_app;
FETCH ALL FROM c;
ROLLBACK;
-- of a function
CREATE FUNCTION opened() RETURNS refcursor LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	c refcursor := 'c';		-- from 16 on a cursor has no name unless given one
BEGIN
	OPEN c FOR SELECT id, email FROM regress_purpose_plans.people ORDER BY id;
	RETURN c;
END $$;
CREATE FUNCTION lazily() RETURNS SETOF text LANGUAGE sql VOLATILE
	AS 'SELECT email FROM regress_purpose_plans.people WHERE id IN (5, 6)';
SET ROLE regress_purpose_plans_app;
BEGIN;
SET LOCAL purpose.current = 'plans_mail';
SELECT opened();
FETCH 1 FROM c;
SET LOCAL purpose.current = 'plans_stats';
FETCH 1 FROM c;
ROLLBACK;
BEGIN;
SET LOCAL purpose.current = 'plans_mail';
DECLARE c CURSOR FOR SELECT lazily();
FETCH 1 FROM c;
SET LOCAL purpose.current = 'plans_stats';
FETCH 1 FROM c;
ROLLBACK;
-- WITH HOLD is refused over labelled and protected data, views of it included,
-- whatever is used, to those who are bound.
SET purpose.current = 'plans_mail';
DECLARE h CURSOR WITH HOLD FOR SELECT email FROM people;
DECLARE h CURSOR WITH HOLD FOR SELECT count(*) FROM everything;
DECLARE h CURSOR WITH HOLD FOR SELECT (SELECT min(id) FROM people);
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM visits ORDER BY id;
FETCH 1 FROM h;
CLOSE h;
SET ROLE regress_purpose_plans_owner;
DECLARE h CURSOR WITH HOLD FOR SELECT email FROM people;
SET ROLE regress_purpose_plans_bypass;
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM people ORDER BY id;
FETCH 1 FROM h;
CLOSE h;
RESET ROLE;
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM people ORDER BY id;
FETCH 1 FROM h;
CLOSE h;

--
-- The setting: SET, SET LOCAL, savepoints, rollback, DISCARD.
--
SET ROLE regress_purpose_plans_app;
SET purpose.current = 'plans_stats';
BEGIN;
SET LOCAL purpose.current = 'plans_mail';
SELECT email FROM people WHERE id = 1;
SAVEPOINT s;
SET LOCAL purpose.current = 'plans_stats';
SELECT email FROM people WHERE id = 1;
ROLLBACK TO s;
SELECT email FROM people WHERE id = 1;		-- plans_mail again
SAVEPOINT t;
SET purpose.current = 'plans_news';
RELEASE t;
SELECT purpose.current_purpose();
ROLLBACK TO s;
SELECT purpose.current_purpose(), email FROM people WHERE id = 1;
COMMIT;
SELECT purpose.current_purpose();			-- SET LOCAL is over
SELECT email FROM people WHERE id = 1;
BEGIN;
SET purpose.current = 'plans_mail';
ROLLBACK;
SELECT email FROM people WHERE id = 1;
BEGIN;
SET purpose.current = 'plans_mail';
COMMIT;
SELECT email FROM people WHERE id = 1;
DISCARD ALL;
SET search_path = regress_purpose_plans;
SET ROLE regress_purpose_plans_app;
SELECT purpose.current_purpose() IS NULL AS unset;
SELECT email FROM people WHERE id = 1;
SET purpose.current = 'plans_mail';
RESET ALL;									-- does not reset the role
SELECT email FROM regress_purpose_plans.people WHERE id = 1;
SET search_path = regress_purpose_plans;

--
-- EXPLAIN judges as running does: its estimates are made of the data.
--
EXPLAIN (COSTS OFF) SELECT email FROM people;
EXPLAIN (COSTS OFF) SELECT id FROM visits;
SET purpose.current = 'plans_stats';
EXPLAIN SELECT id FROM people WHERE email = 'e1@x';
EXPLAIN (ANALYZE) SELECT id FROM people WHERE email = 'e1@x';
EXPLAIN (ANALYZE) UPDATE people SET name = email;
EXPLAIN UPDATE people SET name = email;
PREPARE e AS SELECT email FROM people;
EXPLAIN EXECUTE e;
EXPLAIN (ANALYZE) CREATE TABLE copied AS SELECT email FROM people;
SELECT plan_shows('SELECT id FROM people WHERE id = 1', 'Scan.* on people') AS shown;
SET purpose.current = 'plans_mail';
SELECT plan_shows('SELECT id FROM people WHERE email = $$e1@x$$', 'Scan.* on people') AS shown;
SELECT plan_shows('EXECUTE e', 'Scan.* on people') AS shown;
DEALLOCATE e;
RESET purpose.current;

--
-- Parallel plans.  The leader stays out of it, so that workers do all the work.
--
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;
PREPARE par AS SELECT count(email) FROM people WHERE email LIKE 'e%';
PREPARE par_not_used AS SELECT count(*), min(name) FROM everything;
EXECUTE par;
EXECUTE par_not_used;
SET purpose.current = 'plans_stats';
EXECUTE par;
EXECUTE par_not_used;
SET purpose.current = 'plans_news';
EXECUTE par;
EXECUTE par_not_used;
SELECT plan_shows('EXECUTE par', 'Gather') AS parallel, plan_shows('EXECUTE par_not_used', 'Gather') AS parallel;
SET purpose.current = 'plans_mail';
EXECUTE par;
SET ROLE regress_purpose_plans_owner;
EXECUTE par;
SELECT plan_shows('EXECUTE par', 'Gather') AS parallel;
SET purpose.current = 'plans_stats';
EXECUTE par;
EXECUTE par_not_used;
RESET purpose.current;
SET ROLE regress_purpose_plans_bypass;
EXECUTE par;
RESET ROLE;
EXECUTE par;
-- Functions that workers call make statements of their own there.
CREATE TABLE numbers AS SELECT i FROM generate_series(1, 30) i;
GRANT SELECT ON numbers TO PUBLIC;
CREATE FUNCTION in_worker(n int) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE
	AS 'BEGIN RETURN (SELECT email FROM regress_purpose_plans.people WHERE id = n); END';
CREATE FUNCTION in_worker_as_super(n int) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
	AS 'SELECT email FROM regress_purpose_plans.people WHERE id = n';
CREATE FUNCTION in_worker_by_name(n int) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE
	AS 'BEGIN RETURN (SELECT s.name FROM (SELECT * FROM regress_purpose_plans.everything) AS s WHERE s.id = n); END';
PREPARE w AS SELECT count(*) FROM numbers WHERE in_worker(i) IS NOT NULL;
PREPARE ws AS SELECT count(*) FROM numbers WHERE in_worker_as_super(i) IS NOT NULL;
PREPARE wn AS SELECT count(*) FROM numbers WHERE in_worker_by_name(i) IS NOT NULL;
EXECUTE w;
SET ROLE regress_purpose_plans_app;
SELECT plan_shows('EXECUTE w', 'Gather') AS w, plan_shows('EXECUTE ws', 'Gather') AS ws, plan_shows('EXECUTE wn', 'Gather') AS wn;
EXECUTE w;
EXECUTE ws;
EXECUTE wn;
SET purpose.current = 'plans_stats';
EXECUTE w;
EXECUTE ws;
EXECUTE wn;
SET purpose.current = 'plans_mail';
EXECUTE w;
EXECUTE ws;
SET purpose.current = 'plans_news';
EXECUTE w;
EXECUTE ws;
EXECUTE wn;
-- A consent withdrawn in this transaction binds the workers, too.
BEGIN;
RESET ROLE;
SELECT purpose.withdraw_consent('people', 2, 'plans_news') IS NOT NULL AS recorded;
SET LOCAL ROLE regress_purpose_plans_app;
EXECUTE par;
EXECUTE w;
ROLLBACK;
SET ROLE regress_purpose_plans_app;
EXECUTE par;
EXECUTE w;
RESET ROLE;
RESET purpose.current;
DEALLOCATE ALL;

-- Leave nothing behind.
SET client_min_messages = warning;
SELECT purpose.unprotect('people');
DROP SCHEMA regress_purpose_plans CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{plans_mail,plans_stats,plans_news}'::text[]) p;
DROP ROLE regress_purpose_plans_app, regress_purpose_plans_app2, regress_purpose_plans_owner,
	regress_purpose_plans_bypass;
