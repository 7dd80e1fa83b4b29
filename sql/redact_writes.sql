--
-- Writing where columns are redacted.  What stands in for a value is for reading:
-- it neither decides which rows are changed, nor gets into a table in the place
-- of a value.  A new value can be written by every purpose, as the labels have it.
--
-- Each statement runs for rwrites_ads, which sees the columns redacted, and for
-- rwrites_bill, which sees them.  Shown are the rows that it returned, or their
-- number, or the SQLSTATE, and what is stored in row 1 then:
--	PU005	it would need the hidden value
--	PU019	it would write the stand-in
--
CREATE ROLE regress_purpose_redact_writes_app;
CREATE ROLE regress_purpose_redact_writes_owner;
SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{rwrites_bill,rwrites_ads}'::text[]) p;
SELECT purpose.grant_purpose(p, r) FROM unnest('{rwrites_bill,rwrites_ads}'::text[]) p,
	unnest('{regress_purpose_redact_writes_app,regress_purpose_redact_writes_owner}'::text[]) r;
CREATE SCHEMA regress_purpose_redact_writes AUTHORIZATION regress_purpose_redact_writes_owner;
SET search_path = regress_purpose_redact_writes;
CREATE TYPE address AS (street text, city text);
CREATE TABLE people (id int PRIMARY KEY, name text, email text UNIQUE, phone text DEFAULT '***', born date, tags text[], home address,
	point point, up text GENERATED ALWAYS AS (upper(email)) STORED);
INSERT INTO people VALUES (1, 'Ann', 'ann@x', '111', '1980-05-05', '{a,b}', '(s,c)', '(1,1)'),
	(2, 'Bob', 'bob@x', '222', '1990-06-06', '{c}', NULL, '(2,2)');
CREATE TABLE news (id int, email text, phone text);
INSERT INTO news VALUES (1, 'new@x', NULL), (2, NULL, '***');
CREATE VIEW all_people AS SELECT * FROM people;
CREATE VIEW with_phone WITH (security_barrier) AS SELECT id, name, phone FROM people WHERE phone IS NOT NULL;
CREATE VIEW checked AS SELECT id, name, email FROM people WHERE email <> 'x' WITH CHECK OPTION;
ALTER TABLE people OWNER TO regress_purpose_redact_writes_owner;
GRANT USAGE ON SCHEMA regress_purpose_redact_writes TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_redact_writes TO regress_purpose_redact_writes_app;
SELECT purpose.label_column('people', 'email', 'for rwrites_bill else null');
SELECT purpose.label_column('people', 'phone', 'for rwrites_bill else ''''''***''''''');
SELECT purpose.label_column('people', 'born', 'for rwrites_bill else ''date_trunc(''''year'''', value)''');
SELECT purpose.label_column('people', 'tags', 'for rwrites_bill else null');
SELECT purpose.label_column('people', 'home', 'for rwrites_bill else null');
SELECT purpose.label_column('people', 'point', 'for rwrites_bill else ''''''(0,0)''''''');

CREATE FUNCTION outcome(declared text, statement text, acting text DEFAULT 'regress_purpose_redact_writes_app') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n bigint;
	rows text[] := '{}';
	result text;
	stored text;
BEGIN
	BEGIN
		PERFORM set_config('role', acting, true);
		PERFORM set_config('purpose.current', declared, true);
		IF statement ~* '^select|\mreturning\M|^with.*select' THEN
			FOR r IN EXECUTE statement LOOP
				rows := rows || r::text;
			END LOOP;
			result := array_to_string(ARRAY(SELECT x FROM unnest(rows) x ORDER BY x COLLATE "C"), ' ');
		ELSE
			EXECUTE statement;
			GET DIAGNOSTICS n = ROW_COUNT;
			result := n || ' done';
		END IF;
		PERFORM set_config('role', 'none', true);
		SELECT concat_ws(',', name, coalesce(email, 'null'), coalesce(phone, 'null'), coalesce(born::text, 'null'), tags, home) INTO stored
			FROM regress_purpose_redact_writes.people WHERE id = 1;
		RAISE SQLSTATE 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN result := result || ' => ' || coalesce(stored, 'gone');
		WHEN OTHERS THEN result := SQLSTATE;
	END;
	RETURN result;
END $$;
CREATE TABLE probes (no int GENERATED ALWAYS AS IDENTITY, topic text, statement text);
CREATE VIEW outcomes AS
	SELECT no, topic, outcome('rwrites_ads', statement) AS ads, outcome('rwrites_bill', statement) AS bill, statement FROM probes;

-- New values can be written.
INSERT INTO probes (topic, statement) SELECT 'new', unnest(ARRAY[
	'UPDATE people SET name = ''A'' WHERE id = 1',
	'UPDATE people SET email = ''new@x'', phone = ''999'', born = ''2000-02-02'' WHERE id = 1',
	'UPDATE people SET email = '''', phone = NULL WHERE id = 1',
	'UPDATE people SET tags = ''{z}'', home = ''(q,)'', point = ''(9,9)'' WHERE id = 1 RETURNING *',
	'UPDATE people p SET email = n.email FROM news n WHERE n.id = p.id AND p.id = 1',
	'UPDATE people SET (email, phone) = (SELECT email, ''8'' FROM news WHERE id = 1) WHERE id = 1',
	'UPDATE all_people SET phone = ''999'' WHERE id = 1 RETURNING phone',
	'INSERT INTO people (id, email, phone) VALUES (3, NULL, ''***'') RETURNING id, email, phone, born',
	'INSERT INTO people (id, email) VALUES (1, ''new@x'') ON CONFLICT (id) DO UPDATE SET email = excluded.email RETURNING id, email',
	'INSERT INTO people (id, email) VALUES (1, ''new@x'') ON CONFLICT DO NOTHING',
	'MERGE INTO people p USING news n ON n.id = p.id AND n.id = 1 WHEN MATCHED THEN UPDATE SET email = n.email WHEN NOT MATCHED THEN INSERT (id) VALUES (n.id + 10)',
	'DELETE FROM people WHERE id = 1 RETURNING *',
	'WITH u AS (UPDATE people SET phone = ''999'' WHERE id = 1 RETURNING id) SELECT id FROM u',
	'INSERT INTO news SELECT id, email, phone FROM people RETURNING *'
]);
SELECT topic, ads, bill, statement FROM outcomes WHERE topic = 'new' ORDER BY no;

-- What was shown cannot be written back, whatever is stored.
INSERT INTO probes (topic, statement) SELECT 'back', unnest(ARRAY[
	'UPDATE people SET name = ''A'', email = NULL WHERE id = 1',
	'UPDATE people SET email = NULL, phone = ''***'', born = ''1980-01-01'', tags = NULL, home = NULL, point = ''(0,0)'' WHERE id = 1',
	'UPDATE people SET phone = ''***'' WHERE id = 1',
	'UPDATE people SET phone = ''*'' || ''**''',
	'UPDATE people SET phone = DEFAULT WHERE id = 1',
	'UPDATE people SET born = ''1980-01-01'' WHERE id = 1',
	'UPDATE people SET point = ''(0,0)'' WHERE id = 1',
	'UPDATE people SET home = NULL WHERE id = 2',
	'UPDATE people SET (name, tags) = (SELECT ''A'', NULL::text[]) WHERE id = 1',
	'UPDATE people p SET phone = n.phone FROM news n WHERE n.id = 2 AND p.id = 1',
	'UPDATE all_people SET email = NULL WHERE id = 1',
	'UPDATE ONLY people SET email = NULL WHERE id = 1 RETURNING email',
	'INSERT INTO people (id, name, phone) VALUES (1, ''A'', ''***'') ON CONFLICT (id) DO UPDATE SET name = excluded.name, phone = excluded.phone',
	'INSERT INTO people (id, name) VALUES (1, ''A'') ON CONFLICT (id) DO UPDATE SET email = excluded.email',
	'MERGE INTO people p USING news n ON n.id = p.id WHEN MATCHED THEN UPDATE SET email = n.email, phone = n.phone',
	'WITH u AS (UPDATE people SET email = NULL WHERE id = 1 RETURNING id) SELECT id FROM u'
]);
SELECT topic, ads, bill, statement FROM outcomes WHERE topic = 'back' ORDER BY no;

-- What changes rows is not decided by stand-ins.
INSERT INTO probes (topic, statement) SELECT 'decides', unnest(ARRAY[
	'UPDATE people SET name = email WHERE id = 1',
	'UPDATE people SET email = email WHERE id = 1',
	'UPDATE people SET phone = phone || ''0'' WHERE id = 1',
	'UPDATE people SET name = p.email FROM (SELECT id, email FROM people) p WHERE p.id = people.id AND p.id = 1',
	'UPDATE people SET name = (SELECT max(phone) FROM people) WHERE id = 1',
	'UPDATE people SET name = p::text FROM all_people p WHERE p.id = people.id AND p.id = 1',
	'UPDATE people SET tags[2] = ''z'' WHERE id = 1',
	'UPDATE people SET home.city = ''z'' WHERE id = 1',
	'UPDATE people SET name = ''A'' WHERE email IS NULL',
	'UPDATE people SET name = ''A'' WHERE phone = ''***''',
	'UPDATE people SET name = ''A'' WHERE id IN (SELECT id FROM people WHERE email IS NULL)',
	'UPDATE news SET phone = p.phone FROM people p WHERE p.id = news.id',
	'UPDATE news SET phone = ''x'' WHERE NOT EXISTS (SELECT FROM people p WHERE p.email = news.email)',
	'UPDATE checked SET name = ''A'' WHERE id = 1',
	'UPDATE checked SET email = ''new@x'' WHERE id = 1',
	'UPDATE with_phone SET name = ''A''',
	'DELETE FROM people WHERE email IS NULL',
	'DELETE FROM people p USING news n WHERE n.email = p.email',
	'DELETE FROM with_phone WHERE id = 1',
	'INSERT INTO people (id, name) VALUES (1, ''A'') ON CONFLICT (id) DO UPDATE SET name = people.email',
	'INSERT INTO people (id, name) VALUES (1, ''A'') ON CONFLICT (id) DO UPDATE SET name = ''A'' WHERE people.email IS NULL',
	'INSERT INTO people (id, name) SELECT id, email FROM people ON CONFLICT (id) DO UPDATE SET name = excluded.name',
	'INSERT INTO people (id, email) VALUES (3, ''ann@x'') ON CONFLICT (email) DO NOTHING',
	'INSERT INTO people (id, email) VALUES (3, ''ann@x'') ON CONFLICT ON CONSTRAINT people_email_key DO UPDATE SET name = ''A''',
	'MERGE INTO people p USING news n ON n.email = p.email WHEN NOT MATCHED THEN INSERT (id) VALUES (n.id + 10)',
	'MERGE INTO people p USING news n ON n.id = p.id WHEN MATCHED AND p.email IS NULL THEN DELETE',
	'MERGE INTO people p USING news n ON n.id = p.id WHEN MATCHED THEN UPDATE SET name = p.phone',
	'MERGE INTO news n USING people p ON n.id = p.id WHEN MATCHED THEN UPDATE SET phone = p.phone',
	'WITH s AS (SELECT id FROM people WHERE email IS NULL), d AS (DELETE FROM news USING s WHERE news.id = s.id RETURNING news.id) SELECT id FROM d',
	'WITH d AS (DELETE FROM people RETURNING id, email) INSERT INTO news SELECT id, email FROM d RETURNING id'
]);
SELECT topic, ads, bill, statement FROM outcomes WHERE topic = 'decides' ORDER BY no;

-- What the application is told.
\set VERBOSITY default
SET ROLE regress_purpose_redact_writes_app;
SET purpose.current = 'rwrites_ads';
UPDATE people SET phone = '***' WHERE id = 1;
UPDATE people SET name = phone WHERE id = 1;
-- The owner is bound like everybody.
\set VERBOSITY sqlstate
SET ROLE regress_purpose_redact_writes_owner;
SELECT email, phone FROM people WHERE id = 1;
UPDATE people SET phone = '***' WHERE id = 1;
SET purpose.current = 'rwrites_bill';
SELECT email, phone FROM people WHERE id = 1;
RESET ROLE;
RESET purpose.current;
-- Prepared for one purpose, run for the other: the guard goes with the purpose.
SET plan_cache_mode = force_generic_plan;
SET ROLE regress_purpose_redact_writes_app;
PREPARE set_phone(text) AS UPDATE people SET phone = $1 WHERE id = 1;
SET purpose.current = 'rwrites_bill';
BEGIN;
EXECUTE set_phone('***');
EXECUTE set_phone('111');
SET LOCAL purpose.current = 'rwrites_ads';
EXECUTE set_phone('112');
EXECUTE set_phone('***');
ROLLBACK;
BEGIN;
SET LOCAL purpose.current = 'rwrites_ads';
EXECUTE set_phone('111');
SET LOCAL purpose.current = 'rwrites_bill';
EXECUTE set_phone('***');
ROLLBACK;
RESET plan_cache_mode;
RESET ROLE;

-- Triggers see rows as they are stored, and what they write stays.
CREATE TABLE audit (op text, old text, new text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	IF TG_OP = 'UPDATE' AND new.name = 'upper' THEN
		new.email := upper(new.email);
	END IF;
	INSERT INTO regress_purpose_redact_writes.audit VALUES (TG_OP, old.email, new.email);
	RETURN coalesce(new, old);
END $$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON people FOR EACH ROW EXECUTE FUNCTION note();
SET ROLE regress_purpose_redact_writes_app;
SET purpose.current = 'rwrites_ads';
BEGIN;
UPDATE people SET name = 'upper' WHERE id = 1 RETURNING email;
DELETE FROM people WHERE id = 2 RETURNING email;
RESET ROLE;
TABLE audit;
SELECT email FROM people;
ROLLBACK;
RESET ROLE;
DROP TRIGGER note ON people;
-- Statements in a trigger are judged for themselves.
CREATE FUNCTION write_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE regress_purpose_redact_writes.people SET name = new.name, email = new.email, phone = new.phone WHERE id = new.id;
	RETURN new;
END $$;
CREATE VIEW through_trigger AS SELECT id, name, email, phone FROM people;
CREATE TRIGGER write_back INSTEAD OF UPDATE ON through_trigger FOR EACH ROW EXECUTE FUNCTION write_back();
CREATE VIEW through_rule AS SELECT id, name, email, phone FROM people;
CREATE RULE write_back AS ON UPDATE TO through_rule DO INSTEAD
	UPDATE people SET name = new.name, email = new.email, phone = new.phone WHERE id = old.id;
GRANT ALL ON through_trigger, through_rule TO regress_purpose_redact_writes_app;
TRUNCATE probes;
INSERT INTO probes (topic, statement) SELECT 'through', unnest(ARRAY[
	'UPDATE through_trigger SET name = ''A'' WHERE id = 1',
	'UPDATE through_trigger SET name = ''A'', email = ''new@x'', phone = ''999'' WHERE id = 1',
	'UPDATE through_rule SET name = ''A'' WHERE id = 1',
	'UPDATE through_rule SET name = ''A'', email = ''new@x'', phone = ''999'' WHERE id = 1'
]);
SELECT ads, bill, statement FROM outcomes ORDER BY no;

-- Foreign keys on redacted columns are checked and cascade by what is stored.
CREATE TABLE letters (id int PRIMARY KEY, email text REFERENCES people (email) ON UPDATE CASCADE ON DELETE CASCADE);
INSERT INTO letters VALUES (1, 'ann@x'), (2, 'bob@x');
ALTER TABLE letters OWNER TO regress_purpose_redact_writes_owner;
GRANT ALL ON letters TO regress_purpose_redact_writes_app;
SELECT purpose.label_column('letters', 'email', 'for rwrites_bill else null');
\set VERBOSITY sqlstate
SET ROLE regress_purpose_redact_writes_app;
SET purpose.current = 'rwrites_ads';
INSERT INTO letters VALUES (3, 'ann@x');
INSERT INTO letters VALUES (4, 'nobody@x');
UPDATE people SET email = 'ann2@x' WHERE id = 1;
DELETE FROM people WHERE id = 2;
SET purpose.current = 'rwrites_bill';
INSERT INTO letters VALUES (5, 'ann2@x');
UPDATE people SET email = 'ann@x' WHERE id = 1;
SET purpose.current = 'rwrites_ads';
UPDATE people SET email = 'ann3@x' WHERE id = 1;
RESET ROLE;
TABLE letters ORDER BY id;
UPDATE people SET email = 'ann@x' WHERE id = 1;
INSERT INTO people (id, name, email) VALUES (2, 'Bob', 'bob@x');
DROP TABLE letters;

-- COPY and copies.
SET ROLE regress_purpose_redact_writes_app;
SET purpose.current = 'rwrites_ads';
COPY people TO STDOUT;
COPY people (id, phone) TO STDOUT;
COPY (UPDATE people SET name = 'A' WHERE id = 1 RETURNING email, phone) TO STDOUT;
COPY people (id, email, phone) FROM STDIN;
8	new@x	***
\.
COPY people (id, email, phone) FROM STDIN WHERE phone = '888';
9	other@x	888
10	another@x	***
\.
SET purpose.current = 'rwrites_bill';
COPY people (id, email, phone) TO STDOUT;
-- Who wants all values or an error, as pg_dump does, gets an error.
SET ROLE regress_purpose_redact_writes_owner;
SET purpose.current = 'rwrites_ads';
SET row_security = off;
COPY people (id, phone) TO STDOUT;
SELECT phone FROM people WHERE id = 1;
SELECT name FROM people WHERE id = 1;
SET purpose.current = 'rwrites_bill';
COPY people (id, phone) TO STDOUT;
RESET row_security;
RESET ROLE;
DELETE FROM people WHERE id > 7;
UPDATE people SET name = 'Ann' WHERE id = 1;
GRANT CREATE ON SCHEMA regress_purpose_redact_writes TO regress_purpose_redact_writes_app;
\set VERBOSITY default
SET ROLE regress_purpose_redact_writes_app;
SET purpose.current = 'rwrites_ads';
CREATE TABLE copied AS SELECT id, email, phone FROM people;
SELECT * FROM copied WHERE id = 1;
CREATE MATERIALIZED VIEW matted AS SELECT id, email, phone FROM people;
SELECT * FROM matted WHERE id = 1;
SET purpose.current = 'rwrites_bill';
CREATE TABLE copied2 AS SELECT id, email FROM people;
REFRESH MATERIALIZED VIEW matted;
SELECT * FROM matted WHERE id = 1;
RESET ROLE;
RESET purpose.current;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_redact_writes CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{rwrites_bill,rwrites_ads}'::text[]) p;
DROP ROLE regress_purpose_redact_writes_app, regress_purpose_redact_writes_owner;
