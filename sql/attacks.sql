--
-- Attacks: what a bound role may try, to see what its purpose does not permit.
-- First an application with ordinary grants and a schema of its own, then the
-- owner of the tables, who is bound against accident.
--
-- People 1 (ann), 2 (bob) and 3 (cat) are data subjects; only ann consented to
-- attacks_mail.  "email" is labelled for attacks_bill alone, which rests on a
-- contract and so sees everybody.  Whatever reaches spy() is reported: spy()
-- notes, in a sequence that no rollback undoes, each value that attacks_mail
-- must not see.
--
-- Each attempt of the first part runs for both purposes:
--	mail	must be refused, or give nothing of what it must not see
--	bill	its twin: the same statement must work, and, where it is of use to a
--			reader, spy() must see the values ("seen")
-- and shows the SQLSTATE or the number of rows.  Nothing that succeeds stays.
--
CREATE ROLE regress_purpose_attacks_app;
CREATE ROLE regress_purpose_attacks_owner;
SELECT purpose.create_purpose('attacks_bill', basis => 'contract');
SELECT purpose.create_purpose('attacks_mail', basis => 'consent');
SELECT purpose.grant_purpose(p, r)
FROM unnest('{attacks_bill,attacks_mail}'::text[]) p,
	unnest('{regress_purpose_attacks_app,regress_purpose_attacks_owner}'::text[]) r;

CREATE SCHEMA regress_purpose_attacks AUTHORIZATION regress_purpose_attacks_owner;
CREATE SCHEMA regress_purpose_attacks_own AUTHORIZATION regress_purpose_attacks_app;
GRANT USAGE ON SCHEMA regress_purpose_attacks TO regress_purpose_attacks_app;
SET search_path = regress_purpose_attacks;

SET ROLE regress_purpose_attacks_owner;
CREATE TABLE people (id int PRIMARY KEY, name text, email text, age int);
INSERT INTO people VALUES (1, 'ann', 'ann@x', 30), (2, 'bob', 'bob@x', 40), (3, 'cat', 'cat@x', 50);
CREATE TABLE orders (id int PRIMARY KEY, person_id int REFERENCES people ON DELETE CASCADE, item text);
INSERT INTO orders VALUES (10, 1, 'pen'), (20, 2, 'hidden gun'), (30, 3, 'hidden hat');
-- No row rule here: labels only.
CREATE TYPE mood AS ENUM ('hidden sad', 'hidden glad');
CREATE TABLE survey (id int PRIMARY KEY, a text, b text, m mood);
INSERT INTO survey SELECT g, 'hidden ' || g % 3, 'open ' || g % 3, 'hidden sad' FROM generate_series(1, 3000) g;
CREATE INDEX survey_lower ON survey (lower(a));
CREATE STATISTICS survey_ab (mcv) ON a, b FROM survey;
CREATE STATISTICS survey_more ON (a || '!') FROM survey;
GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES, TRIGGER, TRUNCATE ON people, orders, survey
	TO regress_purpose_attacks_app;
-- A function as applications' owners write them: it runs with his rights, and
-- gives the caller what the caller's purpose allows.
CREATE FUNCTION touch(i int) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = regress_purpose_attacks, pg_temp AS $$
DECLARE
	n text;
BEGIN
	UPDATE people SET age = age WHERE id = i RETURNING name INTO n;
	RETURN n;
END $$;
RESET ROLE;
SELECT purpose.protect('people', subject => 'id');
SELECT purpose.protect('orders', subject => 'person_id');
SELECT purpose.label_column('people', 'email', 'for attacks_bill');
SELECT purpose.label_column('survey', 'a', 'for attacks_bill');
SELECT purpose.label_column('survey', 'm', 'for attacks_bill');
SELECT purpose.grant_consent('people', 1, 'attacks_mail') > 0 AS recorded;
ANALYZE survey;

-- ---------------------------------------------------------------------------
-- What the attacker prepares.  He owns all of it.
-- ---------------------------------------------------------------------------
SET ROLE regress_purpose_attacks_app;
SET search_path = regress_purpose_attacks_own, regress_purpose_attacks;
SET client_min_messages = error;

CREATE SEQUENCE seen;
GRANT ALL ON SEQUENCE seen TO PUBLIC;
GRANT USAGE ON SCHEMA regress_purpose_attacks_own TO PUBLIC;
-- Declared immutable and cheap, so that the planner runs it early if it can.
CREATE FUNCTION spy(v text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$
BEGIN
	IF v ~ '@|hidden|bob|cat' THEN
		PERFORM nextval('regress_purpose_attacks_own.seen');
	END IF;
	RETURN true;
END $$;

-- Runs a statement for a purpose, takes back what it did, and tells how it went.
CREATE FUNCTION attempt(statement text, purpose text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	result text;
BEGIN
	PERFORM setval('regress_purpose_attacks_own.seen', 1, false);
	BEGIN
		PERFORM set_config('purpose.current', purpose, true);
		EXECUTE statement;
		GET DIAGNOSTICS n = ROW_COUNT;
		RAISE EXCEPTION USING ERRCODE = 'ATK00';
	EXCEPTION WHEN OTHERS THEN
		result := CASE SQLSTATE WHEN 'ATK00' THEN n || ' rows' ELSE SQLSTATE END;
	END;
	IF (SELECT is_called FROM regress_purpose_attacks_own.seen) THEN
		result := result || ', seen';
	END IF;
	RETURN result;
END $$;
GRANT EXECUTE ON FUNCTION spy(text), attempt(text, text) TO PUBLIC;
CREATE TABLE attempts (no int GENERATED ALWAYS AS IDENTITY, what text, statement text);
CREATE VIEW outcomes AS
	SELECT no, attempt(statement, 'attacks_mail') AS mail, attempt(statement, 'attacks_bill') AS bill, what
	FROM attempts;
GRANT SELECT ON attempts, outcomes TO PUBLIC;
CREATE TABLE all_attempts (LIKE attempts);

CREATE TABLE mine (x int);
INSERT INTO mine VALUES (1);
CREATE TABLE loot (t text);
CREATE FUNCTION spy_loot() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN PERFORM regress_purpose_attacks_own.spy(new.t); RETURN new; END $$;
CREATE TRIGGER spy BEFORE INSERT ON loot FOR EACH ROW EXECUTE FUNCTION spy_loot();

-- Reads whatever it is told to, out of a query's sight.
CREATE FUNCTION run(statement text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n int := 0;
BEGIN
	FOR r IN EXECUTE statement LOOP
		PERFORM regress_purpose_attacks_own.spy(r::text);
		n := n + 1;
	END LOOP;
	RETURN n;
END $$;

-- ---------------------------------------------------------------------------
-- Places where a query could hide its use of a column.  The outputs named
-- "l" are of no use to the query around them; PostgreSQL evaluates them in
-- some of these forms all the same.
-- ---------------------------------------------------------------------------
CREATE VIEW leaky AS SELECT id, spy(email) AS l FROM people;
CREATE VIEW barred WITH (security_barrier) AS SELECT id, spy(email) AS l FROM people;
CREATE VIEW instead AS SELECT id, email FROM people;
CREATE FUNCTION instead_row() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN PERFORM regress_purpose_attacks_own.spy(old::text); RETURN old; END $$;
CREATE TRIGGER instead INSTEAD OF UPDATE OR DELETE ON instead FOR EACH ROW EXECUTE FUNCTION instead_row();
CREATE FUNCTION spy_sum(text, text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN PERFORM regress_purpose_attacks_own.spy($2); RETURN $2; END $$;
CREATE AGGREGATE spies (text) (SFUNC = spy_sum, STYPE = text);
-- Implicit casts let the planner call a function that stands in no query.
CREATE TYPE feeling AS ENUM ('hidden sad', 'hidden glad', 'none');
CREATE FUNCTION feel(mood) RETURNS feeling LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN PERFORM regress_purpose_attacks_own.spy($1::text); RETURN 'none'; END $$;
CREATE CAST (mood AS feeling) WITH FUNCTION feel(mood) AS IMPLICIT;
CREATE FUNCTION inlined(int) RETURNS SETOF people LANGUAGE sql STABLE AS 'SELECT * FROM people';
CREATE FUNCTION atomic() RETURNS SETOF text LANGUAGE sql STABLE BEGIN ATOMIC SELECT email FROM people; END;
CREATE FUNCTION anything(anyelement) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS
	$$ BEGIN RETURN regress_purpose_attacks_own.spy($1::text); END $$;

INSERT INTO attempts (what, statement) VALUES
	('row marks: FOR UPDATE beside a subquery', 'SELECT s.id FROM (SELECT id, spy(email) AS l FROM people OFFSET 0) s, mine m FOR UPDATE OF m'),
	('row marks: pulled up', 'SELECT t.id FROM (SELECT s.* FROM (SELECT id, spy(email) AS l FROM people OFFSET 0) s) t, mine m FOR UPDATE OF m'),
	('row marks: EXISTS, FOR UPDATE', 'SELECT FROM mine m WHERE EXISTS (SELECT FROM (SELECT id, spy(email) AS l FROM people OFFSET 0) s WHERE s.id = m.x) FOR UPDATE'),
	('row marks: UPDATE FROM', 'UPDATE mine SET x = 1 FROM (SELECT id, spy(email) AS l FROM people OFFSET 0) s'),
	('row marks: EXISTS, UPDATE', 'UPDATE mine SET x = 1 WHERE EXISTS (SELECT FROM (SELECT id, spy(email) AS l FROM people OFFSET 0) s WHERE s.id = mine.x)'),
	('row marks: DELETE USING', 'DELETE FROM mine USING (SELECT id, spy(email) AS l FROM people OFFSET 0) s'),
	('row marks: MERGE', 'MERGE INTO mine USING (SELECT id, spy(email) AS l FROM people OFFSET 0) s ON s.id = mine.x WHEN MATCHED THEN UPDATE SET x = 1'),
	('row marks: barrier view', 'UPDATE mine SET x = 1 FROM barred'),
	('none: SELECT from a subquery', 'SELECT s.id FROM (SELECT id, spy(email) AS l FROM people OFFSET 0) s'),
	('none: outer join', 'SELECT m.x FROM mine m LEFT JOIN LATERAL (SELECT id, spy(email) AS l FROM people WHERE id = m.x OFFSET 0) s ON true'),
	('none: INSERT SELECT', 'INSERT INTO loot SELECT ''open'' FROM (SELECT id, spy(email) AS l FROM people OFFSET 0) s'),
	('none: view', 'SELECT id FROM leaky'),
	('none: barrier view', 'SELECT count(*) FROM barred'),
	('none: aggregate', 'SELECT s.n FROM (SELECT count(*) AS n, spies(email) AS l FROM people OFFSET 0) s'),
	('materialized WITH', 'WITH s AS MATERIALIZED (SELECT id, spy(email) AS l FROM people) SELECT id FROM s'),
	('materialized WITH, sublink', 'WITH s AS MATERIALIZED (SELECT 1 AS n, (SELECT spy(email) FROM people LIMIT 1) AS l) SELECT n FROM s'),
	('UNION', 'SELECT id FROM (SELECT id, spy(email) AS l FROM people UNION SELECT 9, true) s'),
	('UNION ALL', 'SELECT id FROM (SELECT id, spy(email) AS l FROM people UNION ALL SELECT 9, true) s'),
	('UNION ALL, cast of the column', 'SELECT id FROM (SELECT id, m FROM survey WHERE id < 4 UNION ALL SELECT 9, ''none''::feeling) s'),
	('UNION ALL, no cast', 'SELECT id FROM (SELECT id, m FROM survey WHERE id < 4 UNION ALL SELECT 9, NULL) s'),
	('DISTINCT', 'SELECT id FROM (SELECT DISTINCT id, spy(email) AS l FROM people) s'),
	('window', 'SELECT id FROM (SELECT id, rank() OVER (ORDER BY spy(email)) AS r FROM people) s'),
	('view, asked', 'SELECT id FROM leaky WHERE l'),
	('whole row of a subquery', 'SELECT s FROM (SELECT id, spy(email) AS l FROM people OFFSET 0) s'),
	('INSTEAD OF DELETE', 'DELETE FROM instead'),
	('INSTEAD OF UPDATE', 'UPDATE instead SET id = id'),
	('SQL function in FROM', 'SELECT spy(email) FROM inlined(1)'),
	('SQL function, BEGIN ATOMIC', 'SELECT spy(a) FROM atomic() a'),
	('lateral function', 'SELECT f FROM people p, LATERAL spy(p.email) f'),
	('XMLTABLE', 'SELECT spy(x.a) FROM people p, xmltable(''/a'' PASSING xmlelement(name a, p.email) COLUMNS a text PATH ''.'') x'),
	('query_to_xml', 'SELECT spy(query_to_xml(''SELECT email FROM people'', true, true, '''')::text)'),
	('table_to_xml', 'SELECT spy(table_to_xml(''people'', true, true, '''')::text)'),
	('ts_stat', 'SELECT spy(word) FROM ts_stat(''SELECT to_tsvector(email) FROM people'')'),
	('plpgsql', 'SELECT run(''SELECT email FROM people'')'),
	('polymorphic, whole row', 'SELECT anything(p) FROM people p'),
	('JOIN USING', 'SELECT FROM people JOIN (VALUES (''bob@x'')) v(email) USING (email)'),
	('join alias', 'SELECT spy(j::text) FROM (people p JOIN orders o ON o.person_id = p.id) j'),
	('SEARCH by', 'WITH RECURSIVE c AS (SELECT id, email FROM people UNION ALL SELECT id + 10, email FROM c WHERE id < 10) SEARCH DEPTH FIRST BY email SET o SELECT id FROM c'),
	('GROUP BY', 'SELECT FROM people GROUP BY id, email'),
	('LIMIT', 'SELECT id FROM people LIMIT (SELECT length(max(email)) FROM people)'),
	('TABLESAMPLE', 'SELECT spy(email) FROM people TABLESAMPLE bernoulli (100)'),
	('RETURNING', 'UPDATE people SET name = name RETURNING spy(email)'),
	('SET from a labelled column', 'UPDATE people SET name = email'),
	('ON CONFLICT, old row', 'INSERT INTO people VALUES (1, ''n'', ''n@x'', 1) ON CONFLICT (id) DO UPDATE SET name = people.email'),
	('MERGE, old row', 'MERGE INTO people p USING mine m ON p.id = m.x WHEN MATCHED AND spy(p.email) THEN UPDATE SET name = ''z'''),
	('CREATE TABLE AS', 'CREATE TABLE copied AS SELECT spy(email) FROM people');
\set VERBOSITY sqlstate
SELECT mail, bill, what FROM outcomes ORDER BY no;
-- A function that the planner inlines only after the volatile call in its
-- argument turned out to be dead escapes the row rule; so it is refused.
SELECT attempt('SELECT spy(s.email) FROM (SELECT false AS b) f, LATERAL (SELECT * FROM inlined(CASE WHEN f.b THEN random()::int ELSE 1 END)) s', 'attacks_mail');
-- COPY cannot be run by a function.
SET purpose.current = 'attacks_mail';
COPY people TO STDOUT;
COPY people (email) TO STDOUT;
COPY people (name) TO STDOUT;
COPY (SELECT email FROM people) TO STDOUT;
COPY (UPDATE people SET age = age RETURNING email) TO STDOUT;
SET purpose.current = 'attacks_bill';
COPY people (name, email) TO STDOUT;
RESET purpose.current;

-- ---------------------------------------------------------------------------
-- Code of the attacker's that PostgreSQL runs for him: policies, rules,
-- cascades, rewrites of tables.
-- ---------------------------------------------------------------------------
CREATE TABLE guarded (x int);
INSERT INTO guarded VALUES (1);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (EXISTS (SELECT FROM people c WHERE spy(c.email)));
CREATE TABLE checked (x int);
ALTER TABLE checked ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON checked WITH CHECK (EXISTS (SELECT FROM people c WHERE spy(c.email)));
-- A policy that asks for nothing that is labelled.
CREATE TABLE harmless (x int);
INSERT INTO harmless VALUES (1);
ALTER TABLE harmless ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON harmless USING (EXISTS (SELECT FROM people c WHERE c.id = x));
CREATE VIEW optional AS SELECT x FROM mine WHERE EXISTS (SELECT FROM people c WHERE spy(c.email)) WITH CHECK OPTION;
CREATE TABLE ruled (x int);
CREATE RULE r AS ON INSERT TO ruled DO ALSO INSERT INTO loot SELECT email FROM people;

-- During a cascade, statements that look like a foreign key's own.
CREATE TABLE parent (id int PRIMARY KEY, statement text);
CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE, statement text);
CREATE FUNCTION in_cascade() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM regress_purpose_attacks_own.run(old.statement);
	RETURN old;
END $$;
CREATE TRIGGER t BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION in_cascade();
CREATE FUNCTION cascade_with(text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO parent VALUES (1);
	INSERT INTO child VALUES (1, $1);
	DELETE FROM parent;
END $$;
CREATE TABLE nothing ();
CREATE FUNCTION reading_default() RETURNS int LANGUAGE plpgsql AS
	$$ BEGIN RETURN regress_purpose_attacks_own.run('SELECT fk.name FROM people fk'); END $$;
CREATE FUNCTION across_purposes() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c refcursor;
	r record;
BEGIN
	PERFORM set_config('purpose.current', 'attacks_bill', true);
	OPEN c FOR SELECT name FROM people ORDER BY name;
	FETCH c INTO r;
	PERFORM set_config('purpose.current', 'attacks_mail', true);
	LOOP
		FETCH c INTO r;
		EXIT WHEN NOT found;
		PERFORM regress_purpose_attacks_own.spy(r.name);
	END LOOP;
END $$;

INSERT INTO all_attempts TABLE attempts;
TRUNCATE attempts;
INSERT INTO attempts (what, statement) VALUES
	('policy of an own table', 'SELECT * FROM guarded'),
	('its WITH CHECK', 'INSERT INTO checked VALUES (2)'),
	('a harmless policy', 'SELECT * FROM harmless'),
	('WITH CHECK OPTION of an own view', 'INSERT INTO optional VALUES (1)'),
	('rule of an own table', 'INSERT INTO ruled VALUES (1)'),
	('text of a referential check', $$SELECT cascade_with('SELECT 1 FROM nothing UNION ALL SELECT age FROM people WHERE spy(name)')$$),
	('text of a referential check, column', $$SELECT cascade_with('SELECT 1 FROM nothing UNION ALL SELECT age FROM people WHERE spy(email)')$$),
	('text of a cascaded UPDATE, column', $$SELECT cascade_with('UPDATE survey SET b = b WHERE id = 1 RETURNING a')$$),
	('text of a cascaded DELETE', $$SELECT cascade_with('DELETE FROM orders RETURNING item')$$),
	('text of a cascaded UPDATE', $$SELECT cascade_with('UPDATE orders SET item = item RETURNING item')$$),
	('text of a validation', $$SELECT cascade_with('SELECT fk.name FROM people fk')$$),
	('data-modifying WITH at the end of a query', $$SELECT cascade_with('WITH i AS (INSERT INTO loot SELECT name FROM people) SELECT 1')$$),
	('the owner''s function in a cascade', $$SELECT cascade_with('SELECT touch(2)')$$),
	('text of a validation in ALTER TABLE', 'ALTER TABLE mine ADD COLUMN y int DEFAULT reading_default()'),
	('hidden rows: ON CONFLICT', 'INSERT INTO people VALUES (2, ''n'', ''n@x'', 1) ON CONFLICT (id) DO UPDATE SET age = 1 WHERE spy(people.name)'),
	('hidden rows: cheap condition', 'SELECT FROM people WHERE spy(name)'),
	('hidden rows: UPDATE', 'UPDATE orders SET item = ''z'' WHERE spy(item)'),
	('hidden rows: MERGE', 'MERGE INTO orders o USING people p ON o.person_id = p.id AND spy(o.item) WHEN MATCHED THEN DELETE'),
	('TRUNCATE', 'TRUNCATE orders'),
	('DELETE instead', 'DELETE FROM orders'),
	('trigger', 'CREATE TRIGGER t BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION in_cascade()'),
	('INSERT, no reading', 'INSERT INTO people VALUES (4, ''dan'', ''dan@x'', 60)');
SELECT mail, bill, what FROM outcomes ORDER BY no;

-- A cursor whose rows were sorted for one purpose gives no other purpose what
-- that must not see.  Under one purpose it works.
SELECT attempt('SELECT across_purposes()', 'attacks_mail') ~ 'seen' AS seen;
SELECT attempt($$SELECT run('SELECT name FROM people ORDER BY name')$$, 'attacks_bill') AS one_purpose;

-- ---------------------------------------------------------------------------
-- Before a statement runs: estimators get no values that the purpose may not
-- see, neither of columns nor of extended statistics, for owners neither.
-- ---------------------------------------------------------------------------
CREATE FUNCTION same(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN PERFORM regress_purpose_attacks_own.spy($1); RETURN $1 = $2; END $$;
CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = same, RESTRICT = eqsel);
GRANT EXECUTE ON FUNCTION same(text, text) TO PUBLIC;
INSERT INTO all_attempts TABLE attempts;
TRUNCATE attempts;
INSERT INTO attempts (what, statement) VALUES
	('column', 'EXPLAIN SELECT FROM survey WHERE a === ''x'''),
	('two columns', 'EXPLAIN SELECT FROM survey WHERE a === ''x'' AND b === ''y'''),
	('expression of an index', 'EXPLAIN SELECT FROM survey WHERE lower(a) === ''x'''),
	('expression of statistics', 'EXPLAIN SELECT FROM survey WHERE (a || ''!'') === ''x'''),
	('pg_stats', 'SELECT spy(most_common_vals::text) FROM pg_stats WHERE schemaname = ''regress_purpose_attacks'''),
	-- Of these nobody gets any where something is declared about the table.
	('pg_stats_ext', 'SELECT spy(most_common_vals::text) FROM pg_stats_ext WHERE schemaname = ''regress_purpose_attacks'''),
	('pg_stats_ext_exprs', 'SELECT spy(most_common_vals::text) FROM pg_stats_ext_exprs WHERE schemaname = ''regress_purpose_attacks''');
RESET ROLE;
SET ROLE regress_purpose_attacks_owner;
-- Only what was seen counts: EXPLAIN itself may be refused or not.
SELECT attempt(statement, 'attacks_mail') ~ 'seen' AS mail, attempt(statement, 'attacks_bill') ~ 'seen' AS bill, what
FROM attempts ORDER BY no;

-- ---------------------------------------------------------------------------
-- The same where the labels redact instead of refusing: to NULL, to a constant,
-- to what a function makes of the value.
-- ---------------------------------------------------------------------------
SET ROLE regress_purpose_attacks_app;
INSERT INTO all_attempts TABLE attempts;
GRANT SELECT ON all_attempts TO PUBLIC;
CREATE VIEW redacted_outcomes AS
	SELECT no, attempt(statement, 'attacks_mail') AS mail, attempt(statement, 'attacks_bill') AS bill, what, statement FROM all_attempts;
CREATE TEMP TABLE before_redaction AS SELECT no, bill FROM redacted_outcomes;
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for attacks_bill else null');
SELECT purpose.label_column('survey', 'a', 'for attacks_bill else null');
SELECT purpose.label_column('survey', 'm', 'for attacks_bill else null');
SET ROLE regress_purpose_attacks_app;
-- (How many lines EXPLAIN prints depends on the version.)
SELECT CASE WHEN statement ~ '^EXPLAIN' THEN regexp_replace(mail, '^\d+', 'some') ELSE mail END AS mail, what FROM redacted_outcomes ORDER BY no;
SELECT count(*) AS statements, count(*) FILTER (WHERE r.mail ~ 'seen') AS seen, count(*) FILTER (WHERE r.bill <> b.bill) AS changed
FROM redacted_outcomes r JOIN before_redaction b USING (no);
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for attacks_bill else ''''''none''''''');
SELECT purpose.label_column('survey', 'a', 'for attacks_bill else ''''''none''''''');
SET ROLE regress_purpose_attacks_app;
SELECT count(*) AS statements, count(*) FILTER (WHERE r.mail ~ 'seen') AS seen, count(*) FILTER (WHERE r.bill <> b.bill) AS changed
FROM redacted_outcomes r JOIN before_redaction b USING (no);
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for attacks_bill else ''md5(value)''');
SELECT purpose.label_column('survey', 'a', 'for attacks_bill else ''left(value, 3)''');
SET ROLE regress_purpose_attacks_app;
SELECT count(*) AS statements, count(*) FILTER (WHERE r.mail ~ 'seen') AS seen, count(*) FILTER (WHERE r.bill <> b.bill) AS changed
FROM redacted_outcomes r JOIN before_redaction b USING (no);
RESET ROLE;
SELECT purpose.label_column('people', 'email', 'for attacks_bill');
SELECT purpose.label_column('survey', 'a', 'for attacks_bill');
SELECT purpose.label_column('survey', 'm', 'for attacks_bill');
SET ROLE regress_purpose_attacks_owner;

-- ---------------------------------------------------------------------------
-- The extension's own functions are no way in.
-- ---------------------------------------------------------------------------
SET ROLE regress_purpose_attacks_app;
-- Consents cannot be forged by a trigger of one's own.
CREATE TABLE forged (subject_table regclass, subject text, purpose text, state text,
	at timestamptz, expires_at timestamptz, evidence jsonb);
CREATE TRIGGER t AFTER INSERT ON forged REFERENCING NEW TABLE AS imported
	FOR EACH STATEMENT EXECUTE FUNCTION purpose._import_consents();
INSERT INTO forged VALUES ('regress_purpose_attacks.people', '2', 'attacks_mail', 'given', now());
SET purpose.current = 'attacks_mail';
SELECT name FROM people;
-- Nor can the row rule be asked what a person consented to.
SELECT purpose._visible('people'::regclass, 2);
SELECT purpose._visible('people'::regclass, VARIADIC ARRAY[2]);
SELECT * FROM purpose.consents('people', 2);
SELECT * FROM purpose.consent_state;
SELECT purpose.label_column('people', 'email', NULL);
SECURITY LABEL FOR purpose ON COLUMN mine.x IS 'for attacks_mail';
SELECT purpose._floor_sync('people', false);
-- Names are no SQL.
SELECT purpose._subject_key('people', '1); DROP TABLE people; --');
SELECT purpose._via_declaration('orders', 'x''; DROP TABLE people; --');
SELECT kind, columns FROM purpose._parse_declaration('subject "a""; --"');
-- What everybody may know still works.
SELECT purpose.current_purpose(), purpose._subject_key('people', '001');
RESET purpose.current;

-- A function is freed from enforcement only if its search_path is pinned, or its
-- caller's operators would run inside the exemption.
RESET ROLE;
CREATE FUNCTION regress_purpose_attacks.loose(n text) RETURNS bigint LANGUAGE plpgsql AS
	$$ BEGIN RETURN (SELECT count(*) FROM regress_purpose_attacks.people WHERE name = n); END $$;
-- Where pg_temp is not named it comes first, and tables are looked up there.
CREATE FUNCTION regress_purpose_attacks.shadowed(n text) RETURNS bigint LANGUAGE plpgsql
SET search_path = regress_purpose_attacks AS
	$$ BEGIN RETURN (SELECT count(*) FROM people WHERE name = n); END $$;
CREATE FUNCTION regress_purpose_attacks.pinned(n text) RETURNS bigint LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS
	$$ BEGIN RETURN (SELECT count(*) FROM regress_purpose_attacks.people WHERE name = n); END $$;
-- A name that PostgreSQL has as well.
CREATE FUNCTION regress_purpose_attacks.lower(text) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$ BEGIN RETURN $1; END $$;
ALTER FUNCTION regress_purpose_attacks.lower(text) OWNER TO regress_purpose_attacks_owner;
SECURITY LABEL FOR purpose ON FUNCTION regress_purpose_attacks.loose(text) IS 'exempt';
SECURITY LABEL FOR purpose ON FUNCTION regress_purpose_attacks.shadowed(text) IS 'exempt';
SECURITY LABEL FOR purpose ON FUNCTION regress_purpose_attacks.pinned(text) IS 'exempt';
SECURITY LABEL FOR purpose ON FUNCTION regress_purpose_attacks.lower(text) IS 'exempt';
SET ROLE regress_purpose_attacks_app;
CREATE FUNCTION equal(text, text) RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN PERFORM regress_purpose_attacks_own.run('SELECT * FROM regress_purpose_attacks.people'); RETURN true; END $$;
CREATE OPERATOR regress_purpose_attacks_own.= (LEFTARG = text, RIGHTARG = text, FUNCTION = equal);
SET purpose.current = 'attacks_mail';
SELECT setval('seen', 1, false);
SET search_path = regress_purpose_attacks_own, regress_purpose_attacks, pg_catalog;
SELECT loose('bob');
SELECT pinned('bob');
SET search_path = regress_purpose_attacks_own, regress_purpose_attacks;
SELECT is_called AS seen FROM seen;
RESET purpose.current;
DROP OPERATOR regress_purpose_attacks_own.= (text, text);
SET ROLE regress_purpose_attacks_owner;
SET search_path = regress_purpose_attacks;
CREATE OR REPLACE FUNCTION lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'x'; END $$;
CREATE OR REPLACE FUNCTION upper(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN 'x'; END $$;
SET ROLE regress_purpose_attacks_app;
SET search_path = regress_purpose_attacks_own, regress_purpose_attacks;

-- What PostgreSQL runs for maintenance.  The owner of get() is a superuser; it
-- gives its callers what their purpose allows, and the expression of an index
-- is no way around.
RESET ROLE;
CREATE FUNCTION regress_purpose_attacks.get(i int) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN (SELECT name || ' ' || email FROM regress_purpose_attacks.people WHERE id = i);
END $$;
SET ROLE regress_purpose_attacks_app;
CREATE FUNCTION asks(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	PERFORM regress_purpose_attacks_own.spy(regress_purpose_attacks.get(2));
	RETURN $1;
END $$;
TRUNCATE attempts;
INSERT INTO attempts (what, statement) VALUES
	('function of a superuser', 'SELECT spy(get(2))'),
	('within an index', 'CREATE INDEX ON mine (asks(x))'),
	('within a materialized view', 'CREATE MATERIALIZED VIEW m AS SELECT asks(1)');
SELECT mail, bill, what FROM outcomes ORDER BY no;

-- A superuser's maintenance runs the attacker's code as the attacker.  The
-- expression of an index is his, ANALYZE is not.
CREATE FUNCTION reads() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM regress_purpose_attacks_own.spy(p::text) FROM regress_purpose_attacks.people p;
EXCEPTION WHEN OTHERS THEN
	NULL;
END $$;
CREATE FUNCTION indexed(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
	$$ BEGIN PERFORM regress_purpose_attacks_own.reads(); RETURN $1; END $$;
CREATE TABLE analysed (x int);
CREATE INDEX ON analysed (indexed(x));
INSERT INTO analysed VALUES (1), (2);
SELECT setval('seen', 1, false);
CREATE MATERIALIZED VIEW collected AS SELECT id, email FROM people WITH NO DATA;
DROP TABLE guarded, checked, harmless, ruled;
DROP VIEW leaky, barred, instead, optional;
DROP FUNCTION atomic();
RESET ROLE;
ANALYZE regress_purpose_attacks_own.analysed;
SELECT is_called AS seen FROM regress_purpose_attacks_own.seen;
REINDEX TABLE regress_purpose_attacks_own.analysed;
SELECT is_called AS seen FROM regress_purpose_attacks_own.seen;
-- Nor does REFRESH collect for the attacker what he may not read.  A view of the
-- owner's on tables of his own is filled, as after a restore.
REFRESH MATERIALIZED VIEW regress_purpose_attacks_own.collected;
SELECT relispopulated FROM pg_class WHERE oid = 'regress_purpose_attacks_own.collected'::regclass;
SET ROLE regress_purpose_attacks_owner;
CREATE MATERIALIZED VIEW regress_purpose_attacks.summary AS
	SELECT count(*) AS n FROM regress_purpose_attacks.people WITH NO DATA;
RESET ROLE;
REFRESH MATERIALIZED VIEW regress_purpose_attacks.summary;
SELECT * FROM regress_purpose_attacks.summary;
DROP MATERIALIZED VIEW regress_purpose_attacks_own.collected;
-- A superuser who calls it himself sees what superusers see.
SELECT regress_purpose_attacks_own.reads();
SELECT is_called AS seen FROM regress_purpose_attacks_own.seen;

-- ---------------------------------------------------------------------------
-- The owner: statements that would run his code on every row, or make a label
-- go away, need a privacy officer.  Each runs twice, for attacks_mail: as the
-- owner, and (its twin) as the owner with an officer's rights.  Owners
-- may do what runs no code of theirs.  The floor is not even an officer's to
-- take away: purpose.unprotect() is the way.
-- ---------------------------------------------------------------------------
SET ROLE regress_purpose_attacks_owner;
SET search_path = regress_purpose_attacks, regress_purpose_attacks_own;
CREATE DOMAIN secret AS text;
CREATE DOMAIN secret_too AS secret;
CREATE DOMAIN spied AS text CHECK (spy(value));
CREATE TYPE holds_spied AS (a spied);
CREATE TABLE domains (id int, e secret_too);
CREATE TABLE parts (id int, e secret_too) PARTITION BY LIST (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
RESET ROLE;
SECURITY LABEL FOR purpose ON DOMAIN secret IS 'for attacks_bill';
INSERT INTO domains VALUES (1, 'hidden');
SET ROLE regress_purpose_attacks_owner;
CREATE FUNCTION on_update() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN PERFORM spy(old::text); RETURN new; END $$;
CREATE TABLE with_trigger (LIKE people);
CREATE TRIGGER t BEFORE UPDATE ON with_trigger FOR EACH ROW EXECUTE FUNCTION on_update();
-- Code that was there before the label, and its clones, are nobody's new code.
CREATE TABLE events (id int, e text CHECK (spy(e)), at int) PARTITION BY LIST (at);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE TRIGGER stamp BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TABLE second_parent (email text, name text);
CREATE TABLE by_email (id int, email text) PARTITION BY LIST (spy(email));
CREATE TABLE by_id (id int, email text) PARTITION BY LIST (id);
CREATE TABLE letters (id int, email text);
INSERT INTO letters VALUES (1, 'fay@x');
CREATE TABLE young () INHERITS (people);
RESET ROLE;
SELECT purpose.label_column('regress_purpose_attacks.letters', 'email', 'for attacks_bill');
SELECT purpose.label_column('regress_purpose_attacks.events', 'e', 'for attacks_bill');
INSERT INTO young VALUES (5, 'hidden eve', 'eve@x', 5);
SET ROLE regress_purpose_attacks_owner;
CREATE FUNCTION run2(VARIADIC statements text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. cardinality(statements) LOOP
		EXECUTE statements[i];
	END LOOP;
END $$;

RESET ROLE;
TRUNCATE regress_purpose_attacks_own.attempts;
INSERT INTO regress_purpose_attacks_own.attempts (what, statement) VALUES
	('CHECK', 'ALTER TABLE people ADD CHECK (spy(email))'),
	('CHECK with a new column', 'ALTER TABLE people ADD COLUMN z int DEFAULT 1 CHECK (spy(email))'),
	('CHECK by set_config', 'ALTER TABLE people ADD CHECK (set_config(''a.b'', email, false) IS NOT NULL)'),
	('CHECK by lo_from_bytea', 'ALTER TABLE people ADD CHECK (lo_from_bytea(0, convert_to(email, ''UTF8'')) > 0)'),
	('CHECK by a domain in a row type', 'ALTER TABLE people ADD CHECK (format(''(%s)'', email)::holds_spied IS NOT NULL)'),
	('CHECK by json_populate_record', 'ALTER TABLE people ADD CHECK (json_populate_record(NULL::holds_spied, json_build_object(''a'', email)) IS NOT NULL)'),
	('CHECK of PostgreSQL''s own functions', 'ALTER TABLE people ADD CHECK (length(email) > 0 AND age < 200)'),
	('generated column', 'ALTER TABLE people ADD COLUMN z boolean GENERATED ALWAYS AS (spy(email)) STORED'),
	('column type', 'ALTER TABLE people ALTER email TYPE boolean USING spy(email)'),
	('column type, domain', 'ALTER TABLE people ALTER email TYPE spied'),
	('column type, no own code', 'ALTER TABLE people ALTER age TYPE bigint'),
	('index', 'CREATE INDEX ON people (spy(email))'),
	('partial index', 'CREATE INDEX ON people (id) WHERE spy(email)'),
	('plain index', 'CREATE INDEX ON people (lower(email))'),
	('statistics', 'CREATE STATISTICS st ON (spy(email)) FROM people'),
	('plain statistics', 'CREATE STATISTICS st ON id, age FROM people'),
	('trigger', 'CREATE TRIGGER t BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION on_update()'),
	('policy', 'CREATE POLICY p ON people USING (spy(email))'),
	('rule', 'CREATE RULE r AS ON UPDATE TO people DO ALSO SELECT spy(old.email)'),
	('domain below', 'ALTER DOMAIN secret ADD CHECK (spy(value))'),
	('domain', 'ALTER DOMAIN secret_too ADD CHECK (spy(value))'),
	('attach to a key of own code', 'ALTER TABLE by_email ATTACH PARTITION letters FOR VALUES IN (true)'),
	('attach to a plain key', 'ALTER TABLE by_id ATTACH PARTITION letters FOR VALUES IN (1)'),
	('partition with a CHECK', 'CREATE TABLE parts_2 PARTITION OF parts (CHECK (spy(e))) FOR VALUES IN (2)'),
	('partition with clones of its parent''s code', 'CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1)'),
	('partition with a plain CHECK', 'CREATE TABLE parts_2 PARTITION OF parts (CHECK (e <> '''')) FOR VALUES IN (2)'),
	('inherit with a trigger', 'ALTER TABLE with_trigger INHERIT people'),
	('floor dropped', 'DROP POLICY purpose_floor ON people'),
	('floor renamed', 'ALTER POLICY purpose_floor ON people RENAME TO x'),
	('floor altered', 'ALTER POLICY purpose_floor ON people USING (true)'),
	('row-level security off', 'ALTER TABLE people DISABLE ROW LEVEL SECURITY');
SET ROLE regress_purpose_attacks_owner;
CREATE VIEW as_owner AS SELECT no, attempt(statement, 'attacks_mail') AS outcome, what FROM attempts;
CREATE TEMP TABLE plain AS SELECT * FROM as_owner;
RESET ROLE;
SELECT purpose.appoint_officer('regress_purpose_attacks_owner');
SET ROLE regress_purpose_attacks_owner;
SELECT p.outcome AS owner, o.outcome AS officer, what
FROM plain p JOIN as_owner o USING (no, what) ORDER BY no;
RESET ROLE;
SELECT purpose.dismiss_officer('regress_purpose_attacks_owner');
SET ROLE regress_purpose_attacks_owner;

-- Whatever the owner does first, spy() must not see by then what attacks_mail
-- may not see; the statement that would lose the label may be refused instead.
-- In the twin the same is read for the purpose that the label allows.
CREATE FUNCTION still_labelled(ddl text[], query text, OUT mail boolean, OUT bill text) LANGUAGE plpgsql AS $$
DECLARE
	statement text := format('SELECT run2(VARIADIC %L)', ddl || format('SELECT run(%L)', query));
BEGIN
	mail := attempt(statement, 'attacks_mail') !~ 'seen';
	bill := attempt(statement, 'attacks_bill');
END $$;
SELECT l.mail, what
FROM (VALUES
	(1, 'none', '{}'::text[], 'SELECT email FROM people'),
	(2, 'renamed column', ARRAY['ALTER TABLE people RENAME email TO mail'], 'SELECT mail FROM people'),
	(3, 'generated copy', ARRAY['ALTER TABLE people ADD copy text GENERATED ALWAYS AS (email) STORED'], 'SELECT copy FROM people'),
	(4, 'generated copy, expression dropped', ARRAY['ALTER TABLE people ADD copy text GENERATED ALWAYS AS (email) STORED',
		'ALTER TABLE people ALTER copy DROP EXPRESSION'], 'SELECT copy FROM people'),
	(5, 'filled from another column', ARRAY['ALTER TABLE people ALTER name TYPE text USING email'], 'SELECT name FROM people'),
	(6, 'domain', '{}', 'SELECT e FROM domains'),
	(7, 'domain taken away', ARRAY['ALTER TABLE domains ALTER e TYPE text'], 'SELECT e FROM domains'),
	(8, 'second parent', ARRAY['ALTER TABLE young INHERIT second_parent'], 'SELECT * FROM second_parent'),
	(9, 'no parent any more', ARRAY['ALTER TABLE young NO INHERIT people'], 'SELECT * FROM young'),
	(10, 'subject column renamed', ARRAY['ALTER TABLE people RENAME id TO no'], 'SELECT item FROM orders'),
	(11, 'subject table renamed', ARRAY['ALTER TABLE people RENAME TO persons'], 'SELECT item FROM orders'),
	(12, 'subject table dropped', ARRAY['DROP TABLE people CASCADE'], 'SELECT item FROM orders'),
	(13, 'subject table replaced', ARRAY['DROP TABLE people CASCADE', 'CREATE TABLE people (id int PRIMARY KEY)'], 'SELECT item FROM orders')
) v(no, what, ddl, query), still_labelled(v.ddl, v.query) l ORDER BY v.no;
SELECT l.bill, what
FROM (VALUES
	(1, 'renamed column', ARRAY['ALTER TABLE people RENAME email TO mail'], 'SELECT mail FROM people'),
	(2, 'generated copy', ARRAY['ALTER TABLE people ADD copy text GENERATED ALWAYS AS (email) STORED'], 'SELECT copy FROM people'),
	(3, 'no parent any more', ARRAY['ALTER TABLE young NO INHERIT people'], 'SELECT * FROM young'),
	(4, 'subject column renamed', ARRAY['ALTER TABLE people RENAME id TO no'], 'SELECT item FROM orders')
) v(no, what, ddl, query), still_labelled(v.ddl, v.query) l ORDER BY v.no;

-- Leave nothing behind.
RESET ROLE;
RESET search_path;
SET client_min_messages = warning;
DROP TABLE plain;
DROP SCHEMA regress_purpose_attacks, regress_purpose_attacks_own CASCADE;
DELETE FROM purpose.consent_state WHERE subject_table::oid NOT IN (SELECT oid FROM pg_class);
SELECT purpose.drop_purpose(p) FROM unnest('{attacks_bill,attacks_mail}'::text[]) p;
DROP ROLE regress_purpose_attacks_app, regress_purpose_attacks_owner;
