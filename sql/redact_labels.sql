--
-- What a label may give in the place of a redacted value, and which columns it
-- reaches: several labels, domains, generated columns, partitions, children,
-- views, materialised views, sealed columns.
--
CREATE ROLE regress_purpose_redact_labels_app;
CREATE ROLE regress_purpose_redact_labels_officer;
SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{rlabels_bill,rlabels_ads,rlabels_stats}'::text[]) p;
SELECT purpose.grant_purpose(p, 'regress_purpose_redact_labels_app') FROM unnest('{rlabels_bill,rlabels_ads,rlabels_stats}'::text[]) p;
SELECT purpose.appoint_officer('regress_purpose_redact_labels_officer');
CREATE SCHEMA regress_purpose_redact_labels;
CREATE SCHEMA regress_purpose_redact_labels_own AUTHORIZATION regress_purpose_redact_labels_app;
GRANT CREATE, USAGE ON SCHEMA regress_purpose_redact_labels TO regress_purpose_redact_labels_officer;
GRANT USAGE ON SCHEMA regress_purpose_redact_labels TO PUBLIC;
SET search_path = regress_purpose_redact_labels;
CREATE TABLE people (id int PRIMARY KEY, name text, phone varchar(8), n int NOT NULL, born date, extra json);
INSERT INTO people VALUES (1, 'Ann', 'hidden1', 41, '1980-05-05', '{"a": 1}'), (2, 'Bob', NULL, 42, NULL, NULL);
GRANT ALL ON people TO PUBLIC;

-- Tells how SECURITY LABEL and label_column() take an expression for a column,
-- and what the application is shown then.
CREATE FUNCTION try(col text, expression text, OUT label text, OUT label_column text, OUT shown text) LANGUAGE plpgsql AS $$
DECLARE
	clause text := format('for rlabels_bill else %L', expression);
BEGIN
	BEGIN
		EXECUTE format('SECURITY LABEL FOR purpose ON COLUMN regress_purpose_redact_labels.people.%I IS %L', col, clause);
		label := 'ok';
	EXCEPTION WHEN OTHERS THEN label := SQLSTATE;
	END;
	BEGIN
		PERFORM set_config('role', 'regress_purpose_redact_labels_app', true);
		PERFORM set_config('purpose.current', 'rlabels_ads', true);
		EXECUTE format('SELECT string_agg(coalesce(%I::text, ''null''), '' '' ORDER BY id) FROM regress_purpose_redact_labels.people', col) INTO shown;
		RAISE SQLSTATE 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN NULL;
		WHEN OTHERS THEN shown := SQLSTATE;
	END;
	BEGIN
		PERFORM purpose.label_column('regress_purpose_redact_labels.people', col::name, clause);
		label_column := 'ok';
	EXCEPTION WHEN OTHERS THEN label_column := SQLSTATE;
	END;
	EXECUTE format('SECURITY LABEL FOR purpose ON COLUMN regress_purpose_redact_labels.people.%I IS NULL', col);
END $$;
SET client_min_messages = error;

-- Functions of a superuser's, of an officer's, of anybody's.
CREATE FUNCTION mask(t text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT left(t, 1) || '*' $$;
CREATE FUNCTION open_path(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT left(t, 1) || '*' $$;
CREATE FUNCTION bound_names(t text) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT left(t, 1) || '+'; END;
CREATE FUNCTION unstable(t text) RETURNS text LANGUAGE sql VOLATILE BEGIN ATOMIC SELECT 'x'; END;
CREATE FUNCTION many(t text) RETURNS SETOF text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT 'x'; END;
CREATE FUNCTION today() RETURNS date LANGUAGE sql STABLE BEGIN ATOMIC SELECT date '2020-02-02'; END;
CREATE DOMAIN odd AS int CHECK (value % 2 = 1);
SET ROLE regress_purpose_redact_labels_officer;
CREATE FUNCTION officers(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN ''o''; END';
SET ROLE regress_purpose_redact_labels_app;
CREATE FUNCTION regress_purpose_redact_labels_own.anybodys(t text) RETURNS text LANGUAGE sql IMMUTABLE
	BEGIN ATOMIC SELECT t; END;
GRANT USAGE ON SCHEMA regress_purpose_redact_labels_own TO PUBLIC;
RESET ROLE;

SELECT col, expression, (try(col, expression)).* FROM (VALUES
	-- constants
	(1, 'phone', '''***'''), (2, 'phone', 'NULL'), (3, 'phone', '42'), (4, 'n', '-1'), (5, 'n', '''7'''), (6, 'n', 'true::int'),
	(7, 'n', '2.6'), (8, 'born', '''1970-01-01'''), (9, 'born', 'date ''1970-01-01'''), (10, 'extra', '''{}'''),
	-- calls
	(20, 'phone', 'left(value, 2)'), (21, 'phone', 'value || ''!'''), (22, 'phone', 'pg_catalog.repeat(''x'', pg_catalog.length(value))'),
	(23, 'n', 'value / 10 * 10'), (24, 'n', '(value)'), (25, 'born', 'date_trunc(''year'', value)'), (26, 'born', 'value - 4'),
	(27, 'phone', 'regress_purpose_redact_labels.mask(value)'), (28, 'phone', 'regress_purpose_redact_labels.bound_names(value)'),
	(29, 'phone', 'regress_purpose_redact_labels.officers(value)'), (30, 'born', 'regress_purpose_redact_labels.today()'),
	(31, 'phone', 'n''x'''), (32, 'phone', 'value::varchar(3)'), (33, 'n', 'length(value::text)'),
	-- of the right form, but cannot be used (now)
	(40, 'phone', 'mask(value)'), (41, 'phone', 'regress_purpose_redact_labels.nothing(value)'), (42, 'phone', 'nowhere.mask(value)'),
	(43, 'phone', 'regress_purpose_redact_labels.open_path(value)'), (44, 'phone', 'regress_purpose_redact_labels_own.anybodys(value)'),
	(45, 'phone', 'regress_purpose_redact_labels.unstable(value)'), (46, 'phone', 'random()::text'), (47, 'phone', 'regress_purpose_redact_labels.many(value)'),
	(48, 'n', '''x'''), (49, 'n', 'value::text'), (50, 'n', '(value::text)::int'), (51, 'n', 'value::regress_purpose_redact_labels.odd'),
	(52, 'phone', '''too long for it'''), (53, 'phone', 'max(value)'), (54, 'phone', 'value ->> ''a'''), (55, 'n', 'generate_series(1, value)'),
	(56, 'phone', '''x''::nothing'), (57, 'n', '1 / 0'), (58, 'phone', 'query_to_xml(value, true, true, '''')::text'),
	-- not of the form at all
	(60, 'phone', 'phone'), (61, 'phone', 'people.phone'), (62, 'phone', '(SELECT value)'), (63, 'phone', 'CASE WHEN true THEN value END'),
	(64, 'phone', 'coalesce(value, ''x'')'), (65, 'phone', 'value, ''x'''), (66, 'phone', '''x'' FROM people'), (67, 'phone', '''x''; DROP TABLE people'),
	(68, 'phone', ')'), (69, 'phone', 'value AS x'), (70, 'phone', '$1'), (71, 'phone', '*'), (72, 'phone', 'count(*)'),
	(73, 'phone', 'max(value) OVER ()'), (74, 'phone', 'ARRAY[value]'), (75, 'phone', 'ROW(value)'), (76, 'phone', 'current_user'),
	(77, 'phone', 'value IS NULL'), (78, 'phone', 'value = ANY (''{a}'')'), (79, 'phone', '''x'' -- comment'), (80, 'phone', 'f(VARIADIC value)'),
	(81, 'phone', 'upper(t => value)')
) v(no, col, expression) ORDER BY no;

-- The words.
\set VERBOSITY default
RESET client_min_messages;
SECURITY LABEL FOR purpose ON COLUMN people.phone IS 'for rlabels_bill else ''phone''';
SECURITY LABEL FOR purpose ON COLUMN people.phone IS 'for rlabels_bill else ''nowhere.mask(value)''';
SELECT purpose.label_column('people', 'phone', 'for rlabels_bill else ''nowhere.mask(value)''');
SELECT severity, object, problem FROM purpose.check() WHERE object LIKE '%people.phone';
SET ROLE regress_purpose_redact_labels_app;
SET purpose.current = 'rlabels_ads';
SELECT phone FROM people;
SELECT name FROM people;
SET purpose.current = 'rlabels_bill';
SELECT phone FROM people;
-- As soon as the function is there it is used.
RESET ROLE;
CREATE SCHEMA nowhere;
CREATE FUNCTION nowhere.mask(t text) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT coalesce(left(t, 1), '') || '*'; END;
SELECT severity, object, problem FROM purpose.check() WHERE object LIKE '%people.phone';
SET ROLE regress_purpose_redact_labels_app;
SET purpose.current = 'rlabels_ads';
\set VERBOSITY terse
SELECT phone FROM people;			-- may not use the schema
RESET ROLE;
GRANT USAGE ON SCHEMA nowhere TO PUBLIC;
REVOKE EXECUTE ON FUNCTION nowhere.mask FROM PUBLIC;
SET ROLE regress_purpose_redact_labels_app;
SELECT phone FROM people;			-- nor the function
RESET ROLE;
GRANT EXECUTE ON FUNCTION nowhere.mask TO PUBLIC;
SET ROLE regress_purpose_redact_labels_app;
PREPARE phones AS SELECT phone FROM people ORDER BY id;
EXECUTE phones;
-- The label follows a new name of the column; the function's is another matter.
RESET ROLE;
ALTER TABLE people RENAME phone TO telephone;
SET ROLE regress_purpose_redact_labels_app;
SELECT telephone FROM people;
RESET ROLE;
ALTER TABLE people RENAME telephone TO phone;
ALTER FUNCTION nowhere.mask RENAME TO hide;
SET ROLE regress_purpose_redact_labels_app;
EXECUTE phones;
RESET ROLE;
ALTER FUNCTION nowhere.hide RENAME TO mask;
CREATE OR REPLACE FUNCTION nowhere.mask(t text) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT 'new'; END;
SET ROLE regress_purpose_redact_labels_app;
EXECUTE phones;
-- A better match that somebody else put beside it is not called.
RESET ROLE;
GRANT CREATE ON SCHEMA nowhere TO regress_purpose_redact_labels_app;
SET ROLE regress_purpose_redact_labels_app;
CREATE FUNCTION nowhere.mask(t varchar) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT t; END;
SELECT phone FROM people;
DROP FUNCTION nowhere.mask(varchar);
-- Nor is an operator or a function in a schema of the caller's.
SET search_path = regress_purpose_redact_labels_own, pg_catalog, regress_purpose_redact_labels;
CREATE FUNCTION "left"(t text, i int) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT t; END;
CREATE FUNCTION "left"(t varchar, i int) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT t::text; END;
RESET ROLE;
SELECT purpose.label_column('people', 'phone', 'for rlabels_bill else ''left(value, 2)''');
SET ROLE regress_purpose_redact_labels_app;
SELECT phone FROM people ORDER BY id;
RESET ROLE;
SET search_path = regress_purpose_redact_labels;
DEALLOCATE ALL;
-- The officer owns nothing, and labels.
SET ROLE regress_purpose_redact_labels_officer;
SELECT purpose.label_column('people', 'phone', 'for rlabels_bill else ''regress_purpose_redact_labels.officers(value)''');
SET ROLE regress_purpose_redact_labels_app;
SELECT phone FROM people ORDER BY id;
-- Who is no officer any more is not trusted with values.
RESET ROLE;
SELECT purpose.dismiss_officer('regress_purpose_redact_labels_officer');
SET ROLE regress_purpose_redact_labels_app;
SELECT phone FROM people ORDER BY id;
RESET ROLE;
SELECT purpose.label_column('people', 'phone', NULL);

--
-- Which columns.
--
\set VERBOSITY sqlstate
CREATE FUNCTION shown(purpose text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	rows text[] := '{}';
	result text;
BEGIN
	BEGIN
		PERFORM set_config('role', 'regress_purpose_redact_labels_app', true);
		PERFORM set_config('purpose.current', purpose, true);
		FOR r IN EXECUTE statement LOOP
			rows := rows || r::text;
		END LOOP;
		RAISE SQLSTATE 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN result := array_to_string(ARRAY(SELECT x FROM unnest(rows) x ORDER BY x COLLATE "C"), ' ');
		WHEN OTHERS THEN result := SQLSTATE;
	END;
	RETURN result;
END $$;
CREATE FUNCTION shown_to(statement text, OUT ads text, OUT stats text, OUT bill text, OUT empty text) LANGUAGE sql AS $$
	SELECT shown('rlabels_ads', statement), shown('rlabels_stats', statement), shown('rlabels_bill', statement), shown('', statement)
$$;

-- Several labels: of the column, of its domain, of a parent, of a child.  What
-- refuses comes before what redacts; two stand-ins that differ are NULL.
CREATE DOMAIN mail AS text;
CREATE TABLE twice (id int, email mail, other mail);
INSERT INTO twice VALUES (1, 'hidden', 'hidden');
CREATE TABLE tree (id int, email text);
CREATE TABLE branch () INHERITS (tree);
INSERT INTO tree VALUES (1, 'hidden1');
INSERT INTO branch VALUES (2, 'hidden2');
CREATE TABLE lands (id int, email text) PARTITION BY LIST (id);
CREATE TABLE land1 PARTITION OF lands FOR VALUES IN (1);
CREATE TABLE land2 (email text, id int);		-- other attribute numbers
ALTER TABLE lands ATTACH PARTITION land2 DEFAULT;
INSERT INTO lands VALUES (1, 'hidden1'), (2, 'hidden2');
GRANT SELECT ON ALL TABLES IN SCHEMA regress_purpose_redact_labels TO PUBLIC;

SECURITY LABEL FOR purpose ON DOMAIN mail IS 'for rlabels_bill, rlabels_stats else ''''''D''''''';
SELECT (shown_to('SELECT email FROM twice')).*;
SECURITY LABEL FOR purpose ON COLUMN twice.email IS 'for rlabels_bill else ''''''D''''''';
SELECT (shown_to('SELECT email, other FROM twice')).*;
SECURITY LABEL FOR purpose ON COLUMN twice.email IS 'for rlabels_bill else ''''''C''''''';
SELECT (shown_to('SELECT email, other FROM twice')).*;
SECURITY LABEL FOR purpose ON COLUMN twice.email IS 'for rlabels_bill else null';
SELECT (shown_to('SELECT email, other FROM twice')).*;
SECURITY LABEL FOR purpose ON COLUMN twice.email IS 'for rlabels_bill';
SELECT (shown_to('SELECT email, other FROM twice')).*;
SELECT (purpose.explain_access('twice', 'email', purpose => p, role => 'regress_purpose_redact_labels_app')).*
FROM unnest('{rlabels_ads,rlabels_stats,rlabels_bill}'::text[]) p;
SELECT (purpose.explain_access('twice', 'other', purpose => p, role => 'regress_purpose_redact_labels_app')).*
FROM unnest('{rlabels_ads,rlabels_stats,rlabels_bill}'::text[]) p;
SECURITY LABEL FOR purpose ON COLUMN tree.email IS 'for rlabels_bill, rlabels_stats else ''left(value, 1)''';
SECURITY LABEL FOR purpose ON COLUMN lands.email IS 'for rlabels_bill, rlabels_stats else ''left(value, 1)''';
SELECT t, (shown_to(format('SELECT email FROM %s', t))).* FROM unnest('{tree,branch,lands,land1,land2}'::text[]) t;
SELECT t, (shown_to(format('SELECT %s FROM %1$s', t))).* FROM unnest('{tree,lands,land2}'::text[]) t;
SECURITY LABEL FOR purpose ON COLUMN branch.email IS 'for rlabels_bill else null';
SECURITY LABEL FOR purpose ON COLUMN land2.email IS 'for rlabels_bill';
SELECT t, (shown_to(format('SELECT email FROM %s', t))).* FROM unnest('{tree,branch,lands,land1,land2}'::text[]) t;

-- Domains in other types, and generated columns: there a stand-in that was made
-- for the value itself does not fit, so it is NULL.
CREATE DOMAIN work_mail AS mail;
CREATE TYPE contact AS (kind text, address mail);
CREATE TABLE contacts (id int, plain mail, derived work_mail, list mail[], c contact);
INSERT INTO contacts VALUES (1, 'hidden', 'hidden', '{hidden}', '(home,hidden)');
CREATE TABLE made (id int, email text, part text GENERATED ALWAYS AS (split_part(email, '@', 2)) STORED,
	own text GENERATED ALWAYS AS (upper(email)) STORED, free int GENERATED ALWAYS AS (id + 1) STORED);
INSERT INTO made VALUES (1, 'hidden@hidden');
GRANT SELECT, UPDATE, INSERT ON contacts, made TO PUBLIC;
SECURITY LABEL FOR purpose ON COLUMN made.email IS 'for rlabels_bill, rlabels_stats else ''''''M''''''';
SECURITY LABEL FOR purpose ON COLUMN made.own IS 'for rlabels_bill else ''''''O''''''';
SELECT (shown_to('TABLE contacts')).*;
SELECT (shown_to('TABLE made')).*;
SELECT (shown_to('INSERT INTO made (id, email) VALUES (2, ''x@y'') RETURNING *')).*;
SELECT (shown_to('UPDATE made SET id = 3 RETURNING *')).*;

-- Views with labels of their own, materialised views.
CREATE VIEW plain_view AS SELECT id, name, phone FROM people;
CREATE VIEW grouped AS SELECT name, count(*) AS n FROM people GROUP BY name;
CREATE VIEW barred WITH (security_barrier) AS SELECT id, name FROM people WHERE id > 0;
CREATE VIEW over_view AS SELECT v.*, v.name || '!' AS loud FROM plain_view v;
CREATE MATERIALIZED VIEW kept AS SELECT id, name FROM people;
GRANT SELECT, UPDATE ON plain_view, grouped, barred, over_view, kept TO PUBLIC;
SECURITY LABEL FOR purpose ON COLUMN plain_view.name IS 'for rlabels_bill else ''left(value, 1)''';
SECURITY LABEL FOR purpose ON COLUMN grouped.name IS 'for rlabels_bill else null';
SECURITY LABEL FOR purpose ON COLUMN barred.name IS 'for rlabels_bill else ''''''X''''''';
SECURITY LABEL FOR purpose ON COLUMN kept.name IS 'for rlabels_bill else ''''''K''''''';
SELECT s, ads, bill FROM unnest(ARRAY['SELECT id, name FROM plain_view', 'SELECT id FROM plain_view WHERE name = ''A''', 'SELECT v FROM plain_view v',
	'SELECT count(*) FROM plain_view', 'SELECT id, phone FROM plain_view', 'TABLE grouped', 'SELECT b.id, b.name FROM people p LEFT JOIN barred b ON b.id = p.id - 1',
	'SELECT name, loud FROM over_view', 'SELECT id, name FROM kept', 'SELECT id, name FROM people', 'SELECT id, name FROM plain_view FOR UPDATE',
	'UPDATE plain_view SET phone = ''9'' RETURNING id', 'UPDATE plain_view SET name = ''z'' RETURNING id', 'UPDATE plain_view SET phone = ''9'' RETURNING name',
	'UPDATE plain_view SET phone = ''9'' WHERE name = ''A'' RETURNING id'
	]) s, LATERAL shown_to(s);

-- Sealed columns have a key of their own to them; a label beside it may redact
-- to NULL, and to nothing else.
CREATE TABLE patients (id int PRIMARY KEY, ssn purpose.sealed_text(rlabels_bill, rlabels_ads));
GRANT SELECT, INSERT, UPDATE ON patients TO PUBLIC;
SET client_min_messages = warning;
SELECT purpose.protect('patients', subject => 'id');
RESET client_min_messages;
SET purpose.current = 'rlabels_bill';
INSERT INTO patients VALUES (1, 'hidden');
RESET purpose.current;
SELECT (shown_to('SELECT ssn::text FROM patients')).*;
SELECT purpose.label_column('patients', 'ssn', 'for rlabels_bill else ''''''x''''''');
SELECT purpose.label_column('patients', 'ssn', 'for rlabels_bill else null');
SELECT (shown_to('SELECT ssn::text FROM patients')).*;
SELECT (shown_to('SELECT id FROM patients WHERE ssn IS NULL')).*;
SELECT (shown_to('UPDATE patients SET ssn = NULL RETURNING id')).*;

-- The key that rows are judged by may be redacted itself.
CREATE TABLE members (id int PRIMARY KEY, name text);
CREATE TABLE dues (id int, member int REFERENCES members, amount int);
INSERT INTO members VALUES (1, 'Ann'), (2, 'Bob');
INSERT INTO dues VALUES (10, 1, 5), (20, 2, 6);
GRANT SELECT ON members, dues TO PUBLIC;
SELECT purpose.create_purpose('rlabels_news', basis => 'consent');
SELECT purpose.grant_purpose('rlabels_news', 'regress_purpose_redact_labels_app');
SELECT purpose.protect('members', subject => 'id');
SELECT purpose.protect('dues', via => 'member');
SELECT purpose.grant_consent('members', 2, 'rlabels_news') IS NOT NULL AS given;
SELECT purpose.label_column('members', 'id', 'for rlabels_bill else null');
SELECT purpose.label_column('dues', 'member', 'for rlabels_bill else ''0''');
SELECT shown('rlabels_news', 'TABLE members'), shown('rlabels_news', 'TABLE dues'), shown('rlabels_bill', 'TABLE members'), shown('rlabels_bill', 'TABLE dues');
SELECT shown('rlabels_news', 'SELECT d.id, m.name FROM dues d JOIN members m ON m.id = d.member'), shown('rlabels_bill', 'SELECT d.id, m.name FROM dues d JOIN members m ON m.id = d.member');

-- Policies of the table's own see what is stored.
CREATE TABLE notes (id int, owner text, body text);
INSERT INTO notes VALUES (1, 'regress_purpose_redact_labels_app', 'mine'), (2, 'another', 'theirs');
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (owner = current_user);
GRANT SELECT ON notes TO PUBLIC;
SELECT purpose.label_column('notes', 'owner', 'for rlabels_bill else null');
SELECT (shown_to('TABLE notes')).*;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_redact_labels, regress_purpose_redact_labels_own, nowhere CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{rlabels_bill,rlabels_ads,rlabels_stats,rlabels_news}'::text[]) p;
DROP ROLE regress_purpose_redact_labels_app, regress_purpose_redact_labels_officer;
