--
-- Columns: every way in which SQL can use a labelled column is judged by the
-- declared purpose, and no statement is refused for a column that it does not
-- use.
--
-- Each statement below runs seven times, as
--	app stats	the application, for a purpose that the label does not allow
--	app none	the application, with no purpose declared
--	owner stats	the owner of the table, for the same purpose
--	owner mail	the owner, for a purpose that the label allows
--	bypass		a role with BYPASSRLS, with no purpose
--	super		a superuser, with no purpose
--	app mail	the application, for a purpose that the label allows
-- The last column shows what that gave: the rows, sorted, or their number.  The
-- others show the SQLSTATE, "ok" where they gave the same, else what they gave.
--
CREATE ROLE regress_purpose_columns_app;
CREATE ROLE regress_purpose_columns_owner;
CREATE ROLE regress_purpose_columns_bypass BYPASSRLS;
SELECT purpose.create_purpose(p, basis => 'contract')
FROM unnest('{columns_mail,columns_stats}'::text[]) p;
SELECT purpose.grant_purpose(p, r)
FROM unnest('{columns_mail,columns_stats}'::text[]) p,
	unnest('{regress_purpose_columns_app,regress_purpose_columns_owner}'::text[]) r;

CREATE SCHEMA regress_purpose_columns;
SET search_path = regress_purpose_columns;
CREATE TABLE people (id int PRIMARY KEY, name text, email text UNIQUE);
INSERT INTO people VALUES (1, 'Ann', 'ann@x'), (2, 'Bob', 'bob@x'), (3, 'Cat', 'cat@x');
CREATE TABLE visits (id int PRIMARY KEY, place text, email text);
INSERT INTO visits VALUES (1, 'Rome', 'ann@x'), (2, 'Oslo', 'nobody@x'), (4, 'Bonn', 'dan@x');

-- Runs a statement and undoes it.  Gives its rows, sorted, or their number, or
-- the SQLSTATE of what it raised.
CREATE FUNCTION outcome(acting text, declared text, statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n bigint;
	rows text[] := '{}';
	result text;
BEGIN
	BEGIN
		PERFORM set_config('role', acting, true);
		IF declared IS NOT NULL THEN
			PERFORM set_config('purpose.current', declared, true);
		END IF;
		IF statement ~* '^(select|with|values|table)|\mreturning\M' THEN
			FOR r IN EXECUTE statement LOOP
				rows := rows || r::text;
			END LOOP;
			result := array_to_string(ARRAY(SELECT x FROM unnest(rows) x ORDER BY x COLLATE "C"), ' ');
		ELSE
			EXECUTE statement;
			GET DIAGNOSTICS n = ROW_COUNT;
			result := n || ' done';
		END IF;
		RAISE SQLSTATE 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN NULL;
		WHEN OTHERS THEN result := SQLSTATE;
	END;
	RETURN result;
END $$;
CREATE TABLE probes (no int GENERATED ALWAYS AS IDENTITY, topic text, statement text);
CREATE VIEW outcomes AS
	SELECT no, topic,
		   CASE app_stats WHEN app_mail THEN 'ok' ELSE app_stats END AS "app stats",
		   CASE app_none WHEN app_mail THEN 'ok' ELSE app_none END AS "app none",
		   CASE owner_stats WHEN app_mail THEN 'ok' ELSE owner_stats END AS "owner stats",
		   CASE owner_mail WHEN app_mail THEN 'ok' ELSE owner_mail END AS "owner mail",
		   CASE bypass WHEN app_mail THEN 'ok' ELSE bypass END AS "bypass",
		   CASE super WHEN app_mail THEN 'ok' ELSE super END AS "super",
		   app_mail AS "app mail", statement
	FROM probes p,
		 LATERAL (SELECT outcome('regress_purpose_columns_app', 'columns_stats', statement) AS app_stats,
						 outcome('regress_purpose_columns_app', NULL, statement) AS app_none,
						 outcome('regress_purpose_columns_owner', 'columns_stats', statement) AS owner_stats,
						 outcome('regress_purpose_columns_owner', 'columns_mail', statement) AS owner_mail,
						 outcome('regress_purpose_columns_bypass', NULL, statement) AS bypass,
						 outcome('none', NULL, statement) AS super,
						 outcome('regress_purpose_columns_app', 'columns_mail', statement) AS app_mail
				  OFFSET 0) o;

-- Statements that use people.email.
INSERT INTO probes (topic, statement) SELECT 'uses', unnest(ARRAY[
	-- as an output
	'SELECT email FROM people',
	'TABLE people',
	'SELECT a.z FROM people AS a (x, y, z)',
	'SELECT upper(email) FROM people',
	'SELECT 1 FROM people OFFSET (SELECT length(email) FROM people WHERE id = 1) - 5',
	-- to choose, sort and group
	'SELECT id FROM people WHERE email = ''ann@x''',
	'SELECT id FROM people WHERE email IS NOT NULL',
	'SELECT id FROM people ORDER BY email DESC LIMIT 1',
	'SELECT id FROM people ORDER BY (SELECT email) DESC LIMIT 1',
	'SELECT DISTINCT ON (email) id FROM people',
	'SELECT DISTINCT email FROM people',
	'SELECT count(*) FROM people GROUP BY email',
	'SELECT id, email FROM people GROUP BY id',
	'SELECT count(*) FROM people GROUP BY GROUPING SETS ((email), ())',
	'SELECT count(*) FROM people HAVING max(email) > ''c''',
	'SELECT count(*) FILTER (WHERE email LIKE ''a%'') FROM people',
	'SELECT string_agg(name, '','' ORDER BY email DESC) FROM people',
	'SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY email) FROM people',
	'SELECT id, rank() OVER (ORDER BY email DESC) FROM people',
	'SELECT id, count(*) OVER (PARTITION BY email) FROM people',
	'SELECT id, sum(id) OVER w FROM people WINDOW w AS (ORDER BY email)',
	-- in joins
	'SELECT p.id, v.place FROM people p JOIN visits v ON p.email = v.email',
	'SELECT p.id, v.place FROM people p LEFT JOIN visits v ON p.id = v.id AND p.email = v.email',
	'SELECT p.id, v.place FROM people p JOIN visits v USING (email)',
	'SELECT place FROM people NATURAL JOIN visits',
	'SELECT email FROM people RIGHT JOIN visits USING (email)',
	'SELECT j.email FROM (people JOIN visits USING (id, email)) AS j',
	'SELECT p.id FROM people p JOIN (VALUES (''bob@x'')) AS w (address) ON w.address = p.email',
	'SELECT s FROM people, LATERAL (SELECT upper(email) AS s) AS l',
	'SELECT s FROM people, regexp_split_to_table(email, ''@'') AS s WHERE id = 1',
	'SELECT v.id FROM visits v, LATERAL (SELECT id FROM people p WHERE p.email = v.email) AS l',
	-- as a part of the whole row
	'SELECT people FROM people',
	'SELECT p FROM people p WHERE id = 1',
	'SELECT p.*::people FROM people p WHERE id = 1',
	'SELECT (p.*)::text FROM people p WHERE id = 1',
	'SELECT p::text LIKE ''%ann@%'' FROM people p',
	'SELECT row_to_json(p) FROM people p WHERE id = 1',
	'SELECT to_jsonb(p) - ''id'' FROM people p WHERE id = 1',
	'SELECT jsonb_agg(p) FROM people p WHERE id = 1',
	'SELECT ROW(p.*) FROM people p WHERE id = 1',
	'SELECT count(p) FROM people p',
	'SELECT id FROM people p WHERE p = ROW(1, ''Ann'', ''ann@x'')::people',
	'SELECT id FROM people p ORDER BY p LIMIT 1',
	'SELECT email(p) FROM people p',
	'SELECT (p).email FROM people p',
	-- in sublinks
	'SELECT id FROM visits v WHERE EXISTS (SELECT FROM people p WHERE p.email = v.email)',
	'SELECT id FROM visits WHERE email IN (SELECT email FROM people)',
	'SELECT id FROM visits WHERE email <> ALL (SELECT email FROM people)',
	'SELECT id FROM visits WHERE (id, email) IN (SELECT id, email FROM people)',
	'SELECT id FROM visits WHERE (SELECT p.email FROM people p WHERE p.id = visits.id) = email',
	'SELECT id, (SELECT p.email FROM people p WHERE p.id = v.id) FROM visits v',
	'SELECT id, (SELECT v.place FROM visits v WHERE v.email = people.email) FROM people',
	'SELECT ARRAY(SELECT email FROM people ORDER BY id)',
	'SELECT id FROM visits GROUP BY id HAVING min(email) IN (SELECT email FROM people)',
	'VALUES ((SELECT min(email) FROM people))',
	-- in set operations and WITH
	'SELECT email FROM people UNION SELECT email FROM visits',
	'SELECT email FROM people INTERSECT SELECT email FROM visits',
	'SELECT email FROM visits EXCEPT SELECT email FROM people',
	'SELECT email FROM visits UNION ALL SELECT email FROM people',
	'SELECT id FROM (SELECT id, email FROM people UNION SELECT id, email FROM visits) AS u',
	'SELECT id FROM (SELECT id, email FROM people EXCEPT ALL SELECT id, email FROM visits) AS u',
	'SELECT id FROM (SELECT DISTINCT id, email FROM people) AS d',
	'WITH c AS (SELECT * FROM people) SELECT email FROM c',
	'WITH c AS (SELECT * FROM people) SELECT v.id FROM visits v JOIN c USING (email)',
	'WITH RECURSIVE r AS (SELECT id, email FROM people WHERE id = 1 UNION ALL SELECT p.id, p.email FROM r JOIN people p ON p.id = r.id + 1) SELECT email FROM r',
	'WITH RECURSIVE r AS (SELECT 1 AS id UNION ALL SELECT p.id FROM r JOIN people p ON p.id = r.id + 1 WHERE p.email < ''c'') SELECT id FROM r',
	'WITH RECURSIVE r AS (SELECT id, email FROM people WHERE id = 1 UNION ALL SELECT p.id, p.email FROM r JOIN people p ON p.id = r.id + 1) SEARCH DEPTH FIRST BY email SET place SELECT id, place FROM r ORDER BY place LIMIT 1',
	-- while sampling and locking
	'SELECT email FROM people TABLESAMPLE bernoulli (100)',
	'SELECT id FROM visits TABLESAMPLE bernoulli ((SELECT 20 * length(email) FROM people WHERE id = 1))',
	'SELECT v.id FROM people p, LATERAL (SELECT id FROM visits TABLESAMPLE bernoulli (20 * length(p.email))) AS v WHERE p.id = 1',
	'SELECT id FROM people WHERE email = ''ann@x'' FOR UPDATE',
	'SELECT email FROM people FOR KEY SHARE',
	-- while writing
	'INSERT INTO visits SELECT id + 10, name, email FROM people',
	'INSERT INTO people VALUES (4, ''Dan'', ''dan@x'') RETURNING email',
	'INSERT INTO people VALUES (4, ''Dan'', ''dan@x'') RETURNING *',
	'INSERT INTO people VALUES (4, ''Dan'', ''dan@x'') RETURNING people',
	'INSERT INTO people VALUES (4, ''Dan'', ''dan@x'') RETURNING (SELECT v.id FROM visits v WHERE v.email = people.email)',
	'INSERT INTO people VALUES (4, ''Dan'', ''ann@x'') ON CONFLICT (email) DO NOTHING',
	'INSERT INTO people VALUES (4, ''Dan'', ''ann@x'') ON CONFLICT ON CONSTRAINT people_email_key DO NOTHING',
	'INSERT INTO people VALUES (4, ''Dan'', ''ann@x'') ON CONFLICT (email) DO UPDATE SET name = ''x'' RETURNING id',
	'INSERT INTO people VALUES (4, ''Dan'', ''ann@x'') ON CONFLICT ON CONSTRAINT people_email_key DO UPDATE SET name = ''x'' RETURNING id',
	'INSERT INTO people VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT (id) DO UPDATE SET name = people.email',
	'INSERT INTO people VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT (id) DO UPDATE SET name = ''x'' WHERE people.email = ''ann@x''',
	'INSERT INTO people VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT (id) DO UPDATE SET name = ''x'' WHERE people.email <> excluded.email RETURNING id',
	'UPDATE people SET name = email',
	'UPDATE people SET email = upper(email)',
	'UPDATE people SET email = ''new@x'' WHERE id = 1 RETURNING email',
	'UPDATE people SET name = ''x'' WHERE email = ''ann@x''',
	'UPDATE visits v SET place = p.email FROM people p WHERE p.id = v.id',
	'UPDATE visits v SET place = ''x'' FROM people p WHERE p.email = v.email',
	'UPDATE visits v SET (place) = (SELECT email FROM people p WHERE p.id = v.id)',
	'DELETE FROM people WHERE email = ''ann@x''',
	'DELETE FROM people WHERE id = 1 RETURNING email',
	'DELETE FROM visits v USING people p WHERE p.email = v.email',
	'WITH d AS (DELETE FROM people WHERE id = 1 RETURNING email) SELECT count(*) FROM d',
	'WITH u AS (UPDATE people SET name = ''x'' WHERE email = ''ann@x'' RETURNING id) SELECT id FROM u',
	'WITH i AS (INSERT INTO visits SELECT id + 10, email FROM people RETURNING id) SELECT id FROM i',
	'MERGE INTO people p USING visits v ON p.email = v.email WHEN MATCHED THEN DO NOTHING',
	'MERGE INTO people p USING visits v ON p.id = v.id WHEN MATCHED AND p.email = ''ann@x'' THEN DO NOTHING',
	'MERGE INTO people p USING visits v ON p.id = v.id WHEN MATCHED AND p.email = v.email THEN DELETE',
	'MERGE INTO people p USING visits v ON p.id = v.id WHEN MATCHED THEN UPDATE SET name = p.email',
	'MERGE INTO visits v USING people p ON p.id = v.id WHEN MATCHED THEN UPDATE SET place = p.email',
	'MERGE INTO visits v USING people p ON p.id = v.id WHEN NOT MATCHED AND p.email LIKE ''c%'' THEN INSERT VALUES (p.id, ''x'')',
	'MERGE INTO visits v USING people p ON p.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (p.id, p.email)'
]);

-- Statements that do not use it, though many could give it: the twins.
INSERT INTO probes (topic, statement) SELECT 'uses not', unnest(ARRAY[
	'SELECT id, name FROM people',
	'SELECT 1 FROM people LIMIT 1',
	'SELECT count(*) FROM people',
	'SELECT tableoid::regclass, ctid FROM people',
	'SELECT id FROM people WHERE ctid = ''(0,2)''',
	'SELECT name FROM people WHERE id = 1 ORDER BY id',
	'SELECT DISTINCT name FROM people GROUP BY name HAVING count(*) = 1',
	'SELECT id, rank() OVER (PARTITION BY name ORDER BY id) FROM people',
	'SELECT p.id, v.email FROM people p JOIN visits v USING (id)',
	'SELECT v.email FROM people p JOIN visits v ON p.id = v.id',
	'SELECT j.id FROM (people JOIN visits USING (id)) AS j (id, a, b, c, d)',
	'SELECT name(p), (p).id FROM people p WHERE id = 1',
	'SELECT s, row_to_json(s) FROM (SELECT id, name FROM people WHERE id = 1) AS s',
	'SELECT count(*) FROM (SELECT * FROM people) AS s',
	'SELECT id FROM (SELECT * FROM people) AS s WHERE name <> ''Bob''',
	'SELECT count(*) FROM (SELECT *, upper(email) FROM people) AS s',
	'SELECT l.name FROM visits v, LATERAL (SELECT * FROM people p WHERE p.id = v.id) AS l',
	'SELECT EXISTS (SELECT * FROM people WHERE id = 2)',
	'SELECT id FROM visits v WHERE EXISTS (SELECT p.email FROM people p WHERE p.id = v.id)',
	'SELECT id FROM visits v WHERE NOT EXISTS (SELECT p FROM people p WHERE p.id = v.id)',
	'SELECT id FROM visits WHERE id IN (SELECT id FROM people)',
	'SELECT id, (SELECT p.name FROM people p WHERE p.id = v.id) FROM visits v',
	'SELECT id FROM (SELECT * FROM people UNION ALL SELECT * FROM visits) AS u',
	'SELECT id, name FROM people UNION SELECT id, email FROM visits',
	'WITH c AS (SELECT * FROM people) SELECT name FROM c',
	'WITH c AS MATERIALIZED (SELECT * FROM people) SELECT a.name FROM c a JOIN c b USING (id)',
	'WITH c AS NOT MATERIALIZED (SELECT * FROM people) SELECT count(*) FROM c',
	'WITH c AS (SELECT * FROM people), d AS (SELECT * FROM c) SELECT id FROM d',
	'WITH RECURSIVE r AS (SELECT 1 AS id UNION ALL SELECT p.id FROM r JOIN people p ON p.id = r.id + 1) SELECT id FROM r',
	'SELECT id FROM people TABLESAMPLE system (100)',
	'INSERT INTO visits (id, place) SELECT id + 10, name FROM people'
]);

-- Writing: any purpose will do, but there must be one.
INSERT INTO probes (topic, statement) SELECT 'writes', unnest(ARRAY[
	'SELECT id FROM people WHERE id = 1 FOR UPDATE',
	'INSERT INTO people VALUES (4, ''Dan'', ''dan@x'')',
	'INSERT INTO people (id) VALUES (4)',
	'INSERT INTO people VALUES (4, ''Dan'', ''dan@x'') RETURNING id, name',
	'INSERT INTO people SELECT id + 10, place, email || ''y'' FROM visits',
	'INSERT INTO people VALUES (4, ''Dan'', ''ann@x'') ON CONFLICT DO NOTHING',
	'INSERT INTO people VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT (id) DO NOTHING',
	'INSERT INTO people VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT (id) DO UPDATE SET email = excluded.email',
	'INSERT INTO people VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT ON CONSTRAINT people_pkey DO UPDATE SET name = excluded.email',
	'INSERT INTO people VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT (id) DO UPDATE SET name = ''x'' WHERE excluded.email = ''dan@x'' RETURNING name',
	'UPDATE people SET email = ''new@x'' WHERE id = 1',
	'UPDATE people SET email = DEFAULT',
	'UPDATE people p SET email = v.email FROM visits v WHERE v.id = p.id RETURNING p.id',
	'UPDATE people p SET (name, email) = (SELECT place, email FROM visits v WHERE v.id = p.id)',
	'DELETE FROM people WHERE id = 1',
	'DELETE FROM people p USING visits v WHERE p.id = v.id RETURNING p.name',
	'WITH d AS (DELETE FROM people WHERE id = 1 RETURNING id) SELECT id FROM d',
	'WITH i AS (INSERT INTO people VALUES (4, ''Dan'', ''dan@x'') RETURNING id, name) SELECT name FROM i',
	'MERGE INTO people p USING visits v ON p.id = v.id WHEN MATCHED THEN DO NOTHING',
	'MERGE INTO people p USING visits v ON p.id = v.id WHEN MATCHED THEN UPDATE SET email = v.email',
	'MERGE INTO people p USING visits v ON p.id = v.id WHEN MATCHED AND v.email LIKE ''a%'' THEN DELETE',
	'MERGE INTO people p USING visits v ON p.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.place, v.email)',
	'MERGE INTO visits v USING people p ON p.id = v.id WHEN MATCHED THEN UPDATE SET place = p.name'
]);

ALTER TABLE people OWNER TO regress_purpose_columns_owner;
ALTER TABLE visits OWNER TO regress_purpose_columns_owner;
GRANT USAGE ON SCHEMA regress_purpose_columns
	TO regress_purpose_columns_app, regress_purpose_columns_owner, regress_purpose_columns_bypass;
GRANT SELECT, INSERT, UPDATE, DELETE ON people, visits
	TO regress_purpose_columns_app, regress_purpose_columns_bypass;

-- Before anything is labelled, all of them give the same to everyone.
SELECT count(*) AS statements,
	   count(*) FILTER (WHERE ROW("app stats", "app none", "owner stats", "owner mail", "bypass", "super")
							  = ROW('ok', 'ok', 'ok', 'ok', 'ok', 'ok')) AS same_for_all
FROM outcomes;
CREATE TABLE unlabelled AS SELECT no, "app mail" FROM outcomes;

SELECT purpose.label_column('people', 'email', 'for columns_mail');
\pset format unaligned
\pset fieldsep ' | '
CREATE TABLE labelled AS SELECT * FROM outcomes;
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'uses' ORDER BY no;
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'uses not' ORDER BY no;
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'writes' ORDER BY no;
\pset format aligned
-- The label changes no answer.
SELECT count(*) AS changed FROM labelled JOIN unlabelled u USING (no)
WHERE labelled."app mail" <> u."app mail";

-- Protection adds the row rule, which lets all rows through here.  It refuses
-- whatever touches people without a purpose, and changes nothing else.
SELECT purpose.protect('people', subject => 'id');
CREATE TABLE protected AS SELECT * FROM outcomes;
SELECT "app none", count(*) FROM protected GROUP BY 1 ORDER BY 1;
SELECT p."app stats", p."owner stats", p."owner mail", p.bypass, p.super, p."app mail", p.statement
FROM protected p JOIN labelled l USING (no)
WHERE ROW(p."app stats", p."owner stats", p."owner mail", p.bypass, p.super, p."app mail")
	<> ROW(l."app stats", l."owner stats", l."owner mail", l.bypass, l.super, l."app mail");
SELECT purpose.unprotect('people');

-- Generated columns are made of labelled ones, and judged like them, besides
-- their own labels.
CREATE TABLE made (id int PRIMARY KEY, email text,
	domain text GENERATED ALWAYS AS (split_part(email, '@', 2)) STORED,
	twice int GENERATED ALWAYS AS (id * 2) STORED,
	marked text GENERATED ALWAYS AS (upper(email)) STORED);
INSERT INTO made VALUES (1, 'ann@x'), (2, 'bob@y');
GRANT SELECT, INSERT, UPDATE, DELETE ON made TO regress_purpose_columns_app, regress_purpose_columns_bypass;
ALTER TABLE made OWNER TO regress_purpose_columns_owner;
SELECT purpose.label_column('made', 'email', 'for columns_mail');
SELECT purpose.label_column('made', 'twice', 'for columns_stats');
SELECT purpose.label_column('made', 'marked', 'for columns_stats, columns_mail');
TRUNCATE probes;
INSERT INTO probes (topic, statement) SELECT 'generated', unnest(ARRAY[
	'SELECT domain FROM made',
	'SELECT id FROM made WHERE domain = ''x''',
	'SELECT marked FROM made',
	'SELECT id FROM made',
	'UPDATE made SET email = ''new@z''',
	'UPDATE made SET email = ''new@z'' RETURNING domain',
	'DELETE FROM made WHERE id = 1 RETURNING id'
]);
\pset format unaligned
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM outcomes ORDER BY no;
-- The other way round: refused for mail, given for stats.
SELECT r, outcome('regress_purpose_columns_' || r, 'columns_mail', 'SELECT twice FROM made') AS mail,
	outcome('regress_purpose_columns_' || r, 'columns_stats', 'SELECT twice FROM made') AS stats
FROM unnest('{app,owner,bypass}'::text[]) r;
\pset format aligned

-- Columns labelled through their domain: plain, a domain over it, one with a
-- label of its own besides, arrays, composites, and a column added later.
CREATE DOMAIN mail AS text;
CREATE DOMAIN work_mail AS mail;
CREATE DOMAIN no_mail AS mail;
CREATE DOMAIN mails AS mail[];
CREATE DOMAIN free AS text;
CREATE TYPE contact AS (kind text, address mail);
CREATE TYPE contact_book AS (title text, entries contact[]);
CREATE TYPE plain_contact AS (kind text, address free);
CREATE DOMAIN own_contact AS contact;
SECURITY LABEL FOR purpose ON DOMAIN mail IS 'for columns_mail';
SECURITY LABEL FOR purpose ON DOMAIN no_mail IS 'for columns_stats';
CREATE TABLE contacts (id int, plain mail, derived work_mail, list mail[], own_list mails, c contact,
	cs contact[], book contact_book, oc own_contact, never_both no_mail, f free, pc plain_contact);
INSERT INTO contacts VALUES (1, 'a@x', 'b@x', '{c@x}', '{d@x}', '(home,e@x)', '{"(home,f@x)"}',
	'(work,"{""(home,g@x)""}")', '(home,h@x)', 'i@x', 'j@x', '(home,k@x)');
ALTER TABLE contacts ADD later mail;
GRANT SELECT ON contacts TO regress_purpose_columns_app, regress_purpose_columns_bypass;
ALTER TABLE contacts OWNER TO regress_purpose_columns_owner;
TRUNCATE probes;
INSERT INTO probes (topic, statement)
SELECT 'domains', format('SELECT %s FROM contacts', e)
FROM unnest('{plain,derived,list,own_list,c,cs,book,oc,later,never_both,id,f,pc,id = 1 AND plain LIKE ''a%'',
	(c).address,(c).kind,"(book).entries[1]","list[1]"}'::text[]) e;
\pset format unaligned
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM outcomes ORDER BY no;
\pset format aligned
-- Two labels must both allow: nothing but one below both would.
SELECT outcome('regress_purpose_columns_app', 'columns_stats', 'SELECT never_both FROM contacts');
-- A cleared label of the domain frees its columns, and only these.
SECURITY LABEL FOR purpose ON DOMAIN mail IS NULL;
SELECT outcome('regress_purpose_columns_app', 'columns_stats', 'SELECT plain, c, never_both FROM contacts') AS stats,
	outcome('regress_purpose_columns_app', 'columns_mail', 'SELECT never_both FROM contacts') AS mail;

-- A label of a child or partition only: its values are not to be had through
-- the parent either; its siblings are as free as before.
CREATE TABLE tree (id int, email text);
CREATE TABLE branch () INHERITS (tree);
CREATE TABLE lands (id int, email text) PARTITION BY LIST (id);
CREATE TABLE land1 PARTITION OF lands FOR VALUES IN (1);
CREATE TABLE land2 PARTITION OF lands DEFAULT;
INSERT INTO tree VALUES (1, 'tree@x');
INSERT INTO branch VALUES (2, 'branch@x');
INSERT INTO lands VALUES (1, 'one@x'), (2, 'two@x');
ALTER TABLE tree OWNER TO regress_purpose_columns_owner;
ALTER TABLE branch OWNER TO regress_purpose_columns_owner;
ALTER TABLE lands OWNER TO regress_purpose_columns_owner;
ALTER TABLE land1 OWNER TO regress_purpose_columns_owner;
ALTER TABLE land2 OWNER TO regress_purpose_columns_owner;
GRANT SELECT ON tree, branch, lands, land1, land2
	TO regress_purpose_columns_app, regress_purpose_columns_bypass;
SELECT purpose.label_column('branch', 'email', 'for columns_mail');
SELECT purpose.label_column('land1', 'email', 'for columns_mail');
TRUNCATE probes;
INSERT INTO probes (topic, statement)
SELECT 'children', format('SELECT %s FROM %s', c, t)
FROM unnest('{tree,branch,lands,land1,land2}'::text[]) WITH ORDINALITY AS a (t, i), unnest('{email,id}'::text[]) c
ORDER BY i, c;
\pset format unaligned
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM outcomes ORDER BY no;
\pset format aligned

-- Straight from a client, with what it is told.
\set VERBOSITY terse
SET ROLE regress_purpose_columns_app;
SELECT id FROM people WHERE email = 'ann@x';
SET purpose.current = 'columns_stats';
SELECT id FROM people WHERE email = 'ann@x';
SELECT * FROM people;
UPDATE people SET name = 'x' RETURNING email;
SET purpose.current = 'columns_mail';
SELECT * FROM people WHERE email = 'ann@x';
-- What an error tells of a stored row is withheld from those who may not read
-- it, the owner included, and from nobody else.
\set VERBOSITY default
SET purpose.current = 'columns_stats';
UPDATE people SET id = NULL WHERE id = 1;
SET ROLE regress_purpose_columns_owner;
UPDATE people SET id = NULL WHERE id = 1;
RESET ROLE;
RESET purpose.current;
UPDATE people SET id = NULL WHERE id = 1;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_columns CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{columns_mail,columns_stats}'::text[]) p;
DROP ROLE regress_purpose_columns_app, regress_purpose_columns_owner, regress_purpose_columns_bypass;
