--
-- Views: what a query gets through a view is judged by the purpose of the one
-- who asks, whoever owns the view, and by the columns that the query really
-- uses: a view may give a forbidden column and still be counted, joined and
-- searched by others.
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
CREATE ROLE regress_purpose_views_app;
CREATE ROLE regress_purpose_views_owner;
CREATE ROLE regress_purpose_views_bypass BYPASSRLS;
SELECT purpose.create_purpose(p, basis => 'contract')
FROM unnest('{views_mail,views_stats}'::text[]) p;
SELECT purpose.grant_purpose(p, r)
FROM unnest('{views_mail,views_stats}'::text[]) p,
	unnest('{regress_purpose_views_app,regress_purpose_views_owner}'::text[]) r;

CREATE SCHEMA regress_purpose_views;
SET search_path = regress_purpose_views;
CREATE TABLE people (id int PRIMARY KEY, name text, email text UNIQUE);
INSERT INTO people VALUES (1, 'Ann', 'ann@x'), (2, 'Bob', 'bob@x'), (3, 'Cat', 'cat@x');
CREATE TABLE visits (id int PRIMARY KEY, place text, email text);
INSERT INTO visits VALUES (1, 'Rome', 'ann@x'), (2, 'Oslo', 'nobody@x'), (4, 'Bonn', 'dan@x');
CREATE TABLE log (at int GENERATED ALWAYS AS IDENTITY, id int, what text);
CREATE DOMAIN mail AS text;
CREATE TABLE contacts (id int PRIMARY KEY, address mail);
INSERT INTO contacts VALUES (1, 'ann@x'), (2, 'bob@x');
-- Volatile, and tells what it is given, by raising.
CREATE FUNCTION loud(t text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RAISE 'heard %', t;
END $$;

-- Views that only pass columns on.
CREATE VIEW v_super AS SELECT * FROM people;
CREATE VIEW v_owner AS SELECT * FROM people;
CREATE VIEW v_barrier WITH (security_barrier) AS SELECT * FROM people;
CREATE VIEW v_invoker WITH (security_invoker) AS SELECT * FROM people;
CREATE VIEW v_nested AS SELECT * FROM (SELECT *, 1 AS one FROM v_barrier) AS s;
CREATE VIEW v_deep WITH (security_barrier) AS SELECT n.*, o.name AS again FROM v_nested n JOIN v_owner o USING (id);
CREATE VIEW v_renamed (a, b, c) AS SELECT * FROM v_super;
-- Views whose outputs are made of the column.
CREATE VIEW v_upper AS SELECT id, name, upper(email) AS email FROM people;
CREATE VIEW v_max AS SELECT id, max(name) AS name, max(email) AS email FROM people GROUP BY id;
CREATE VIEW v_cast AS SELECT id, name, email::int AS email FROM people;
CREATE VIEW v_with AS WITH w AS (SELECT * FROM people) SELECT * FROM w;
CREATE VIEW v_all AS SELECT * FROM people UNION ALL SELECT * FROM visits;
CREATE VIEW v_sub AS SELECT id, name, (SELECT p.email FROM people p WHERE p.id = o.id) AS email FROM people o;
-- Views that use it whatever is asked of them.
CREATE VIEW v_where AS SELECT * FROM people WHERE email < 'c';
CREATE VIEW v_join AS SELECT p.id, p.name, v.place AS email FROM people p JOIN visits v USING (email);
CREATE VIEW v_group AS SELECT min(id) AS id, min(name) AS name, email FROM people GROUP BY email;
CREATE VIEW v_distinct AS SELECT DISTINCT * FROM people;
CREATE VIEW v_order AS SELECT * FROM people ORDER BY email LIMIT 2;
CREATE VIEW v_union AS SELECT * FROM people UNION SELECT * FROM visits;
CREATE VIEW v_exists AS SELECT * FROM visits v WHERE EXISTS (SELECT FROM people p WHERE p.email = v.email);
CREATE VIEW v_set AS SELECT id, name, regexp_split_to_table(email, '@') AS email FROM people;
CREATE VIEW v_loud AS SELECT id, name, loud(email) AS email FROM people;

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
		 LATERAL (SELECT outcome('regress_purpose_views_app', 'views_stats', statement) AS app_stats,
						 outcome('regress_purpose_views_app', NULL, statement) AS app_none,
						 outcome('regress_purpose_views_owner', 'views_stats', statement) AS owner_stats,
						 outcome('regress_purpose_views_owner', 'views_mail', statement) AS owner_mail,
						 outcome('regress_purpose_views_bypass', NULL, statement) AS bypass,
						 outcome('none', NULL, statement) AS super,
						 outcome('regress_purpose_views_app', 'views_mail', statement) AS app_mail
				  OFFSET 0) o;

-- Views that only pass columns on: all of them, used and not used.
INSERT INTO probes (topic, statement)
SELECT 'passing on', format(s, v)
FROM unnest('{v_super,v_owner,v_barrier,v_invoker,v_nested,v_deep}'::text[]) WITH ORDINALITY AS a (v, i),
	unnest(ARRAY[
		'SELECT id, email FROM %s',
		'TABLE %s',
		'SELECT v FROM %s v WHERE id = 1',
		'SELECT id FROM %s WHERE email = ''ann@x''',
		'SELECT a.id FROM %1$s a JOIN %1$s b USING (email)',
		'SELECT count(*) FROM %s',
		'SELECT id, name FROM %s WHERE id > 1',
		'SELECT count(*) FROM (SELECT * FROM %s) AS s',
		'SELECT EXISTS (SELECT * FROM %s WHERE id = 2)',
		'WITH c AS (SELECT * FROM %s) SELECT name FROM c'
	]) WITH ORDINALITY AS b (s, j)
ORDER BY i, j;
INSERT INTO probes (topic, statement) VALUES
	('passing on', 'SELECT a FROM v_renamed WHERE c = ''ann@x'''),
	('passing on', 'SELECT a FROM v_renamed WHERE b = ''Ann''');

-- Views that make something of it: without their last output they are served;
-- where that output would be evaluated, they are not.
INSERT INTO probes (topic, statement)
SELECT 'making', format(s, v)
FROM unnest('{v_upper,v_max,v_cast,v_with,v_all,v_sub}'::text[]) WITH ORDINALITY AS a (v, i),
	unnest(ARRAY[
		'SELECT id, email FROM %s',
		'SELECT id, name FROM %s'
	]) WITH ORDINALITY AS b (s, j)
ORDER BY i, j;

-- Views that use it whatever is asked of them.
INSERT INTO probes (topic, statement)
SELECT 'using', format('SELECT id FROM %s', v)
FROM unnest('{v_where,v_join,v_group,v_distinct,v_order,v_union,v_exists,v_set,v_loud}'::text[]) v;

-- An output that nobody asks for, but that may be evaluated and tell.  Each is
-- followed by its twin, whose output cannot tell, or is never evaluated.
INSERT INTO probes (topic, statement) SELECT 'idle outputs', unnest(ARRAY[
	'SELECT count(*) FROM (SELECT id, loud(email) FROM people) AS s',
	'SELECT count(*) FROM (SELECT id, lower(email) FROM people) AS s',
	'SELECT id FROM (SELECT id, regexp_split_to_table(email, ''@'') FROM people) AS s',
	'SELECT id FROM (SELECT id, regexp_replace(email, ''@'', '' '') FROM people) AS s',
	'WITH c AS (SELECT id, email::int FROM people) SELECT count(*) FROM c',
	'WITH c AS (SELECT id, email = ''ann@x'' FROM people) SELECT count(*) FROM c',
	'WITH c AS MATERIALIZED (SELECT id, 1 / (length(email) - 5) FROM people) SELECT id FROM c',
	'WITH c AS MATERIALIZED (SELECT id, email IS NULL FROM people) SELECT id FROM c',
	'SELECT EXISTS (SELECT email::int FROM people)',
	'SELECT EXISTS (SELECT email FROM people)',
	'SELECT EXISTS (SELECT loud(email) FROM people)',
	'SELECT EXISTS (SELECT loud(''x'') FROM people WHERE false)',
	'SELECT id FROM visits v WHERE EXISTS (SELECT email::int FROM people p WHERE p.id = v.id)',
	'SELECT id FROM visits v WHERE EXISTS (SELECT p.email FROM people p WHERE p.id = v.id)',
	'SELECT id FROM (SELECT id, email::int FROM people UNION ALL SELECT id, 0 FROM visits) AS u',
	'SELECT id FROM (SELECT id, email FROM people UNION ALL SELECT id, place FROM visits) AS u',
	'SELECT id FROM (SELECT DISTINCT id, email::int FROM people) AS d',
	'SELECT id FROM (SELECT DISTINCT id, name FROM people) AS d',
	'SELECT id FROM (SELECT id, (SELECT loud(p.email) FROM people p WHERE p.id = o.id) FROM people o) AS s',
	'SELECT id FROM (SELECT id, (SELECT upper(p.email) FROM people p WHERE p.id = o.id) FROM people o) AS s'
]);

-- Writing through views.
CREATE VIEW v_check_id AS SELECT * FROM people WHERE id < 10 WITH CHECK OPTION;
CREATE VIEW v_check_email AS SELECT * FROM people WHERE email LIKE '%@x' WITH CHECK OPTION;
CREATE VIEW v_trigger AS SELECT * FROM people;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE regress_purpose_views.people SET name = NEW.name WHERE id = NEW.id;
	RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF UPDATE ON v_trigger FOR EACH ROW EXECUTE FUNCTION instead();
CREATE VIEW v_rule AS SELECT id, name FROM people;
CREATE RULE i AS ON INSERT TO v_rule DO INSTEAD INSERT INTO people VALUES (new.id, new.name, 'none@' || new.id);
CREATE RULE u AS ON UPDATE TO v_rule DO INSTEAD UPDATE people SET name = new.name WHERE id = old.id;
CREATE RULE d AS ON DELETE TO v_rule DO INSTEAD DELETE FROM people WHERE id = old.id AND email < 'b';
INSERT INTO probes (topic, statement) SELECT 'writing', unnest(ARRAY[
	'INSERT INTO v_super VALUES (4, ''Dan'', ''dan@x'')',
	'INSERT INTO v_owner VALUES (4, ''Dan'', ''dan@x'') RETURNING id, name',
	'INSERT INTO v_owner VALUES (4, ''Dan'', ''dan@x'') RETURNING email',
	'INSERT INTO v_invoker SELECT id, place, email || ''y'' FROM visits WHERE id > 3',
	'INSERT INTO v_super VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT (id) DO UPDATE SET email = excluded.email',
	'INSERT INTO v_super VALUES (1, ''Dan'', ''dan@x'') ON CONFLICT (id) DO UPDATE SET name = v_super.email',
	'INSERT INTO v_super VALUES (4, ''Dan'', ''ann@x'') ON CONFLICT (email) DO UPDATE SET name = ''x'' RETURNING id',
	'UPDATE v_super SET name = ''x'' WHERE id = 1',
	'UPDATE v_super SET name = ''x'' WHERE email = ''ann@x''',
	'UPDATE v_owner SET email = ''new@x'' WHERE id = 1',
	'UPDATE v_owner SET name = email WHERE id = 1',
	'UPDATE v_barrier SET name = ''x'' WHERE id = 1 RETURNING name',
	'UPDATE v_barrier SET name = ''x'' WHERE id = 1 RETURNING *',
	'UPDATE v_renamed SET b = ''x'' WHERE a = 1',
	'UPDATE v_renamed SET b = ''x'' WHERE c = ''ann@x''',
	'SELECT id FROM v_super WHERE id = 1 FOR UPDATE',
	'SELECT id FROM v_super WHERE email = ''ann@x'' FOR UPDATE',
	'UPDATE visits SET place = s.name FROM v_nested s WHERE s.id = visits.id',
	'UPDATE visits SET place = s.email FROM v_nested s WHERE s.id = visits.id',
	'DELETE FROM v_super WHERE id = 1',
	'DELETE FROM v_barrier WHERE email = ''ann@x''',
	'MERGE INTO visits v USING v_super p ON p.id = v.id WHEN MATCHED THEN UPDATE SET place = p.name',
	'MERGE INTO visits v USING v_super p ON p.id = v.id WHEN MATCHED THEN UPDATE SET place = p.email',
	-- a view's own condition: on its rows, and on new ones, whose values the
	-- statement brings itself
	'UPDATE v_check_id SET name = ''x'' WHERE id = 1',
	'UPDATE v_check_id SET id = id + 20 WHERE id = 1',
	'INSERT INTO v_check_id VALUES (4, ''Dan'', ''dan@x'')',
	'INSERT INTO v_check_email VALUES (4, ''Dan'', ''dan@x'')',
	'INSERT INTO v_check_email VALUES (4, ''Dan'', ''dan@y'')',
	'UPDATE v_check_email SET name = ''x'' WHERE id = 1',
	'UPDATE v_where SET name = ''x'' WHERE id = 1',
	'DELETE FROM v_check_email WHERE id = 1',
	-- by triggers, which are handed whole rows, and rules
	'UPDATE v_trigger SET name = ''x'' WHERE id = 1',
	'INSERT INTO v_rule VALUES (4, ''Dan'')',
	'UPDATE v_rule SET name = ''x'' WHERE id = 1',
	'DELETE FROM v_rule WHERE id = 1'
]);

-- Columns of views that a labelled domain labels.
CREATE VIEW v_contacts AS SELECT * FROM contacts;
CREATE VIEW v_made AS SELECT id, name::mail AS name FROM people;
INSERT INTO probes (topic, statement) SELECT 'domains', unnest(ARRAY[
	'SELECT address FROM v_contacts',
	'SELECT id FROM v_contacts WHERE address = ''ann@x''',
	'SELECT id FROM v_contacts',
	'SELECT count(*) FROM (SELECT * FROM v_contacts) AS s',
	'SELECT EXISTS (SELECT * FROM v_contacts)',
	'WITH c AS (SELECT * FROM v_contacts) SELECT id FROM c',
	'SELECT name FROM v_made',
	'SELECT id FROM v_made'
]);

ALTER TABLE people OWNER TO regress_purpose_views_owner;
ALTER TABLE contacts OWNER TO regress_purpose_views_owner;
ALTER VIEW v_owner OWNER TO regress_purpose_views_owner;
GRANT ALL ON SCHEMA regress_purpose_views
	TO regress_purpose_views_app, regress_purpose_views_owner, regress_purpose_views_bypass;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_views
	TO regress_purpose_views_app, regress_purpose_views_owner, regress_purpose_views_bypass;

-- Before anything is labelled, all of them give the same to everyone.
SELECT count(*) AS statements,
	   count(*) FILTER (WHERE ROW("app stats", "app none", "owner stats", "owner mail", "bypass", "super")
							  = ROW('ok', 'ok', 'ok', 'ok', 'ok', 'ok')) AS same_for_all
FROM outcomes;
CREATE TABLE unlabelled AS SELECT no, "app mail" FROM outcomes;

SELECT purpose.label_column('people', 'email', 'for views_mail');
SECURITY LABEL FOR purpose ON DOMAIN mail IS 'for views_mail';
CREATE TABLE labelled AS SELECT * FROM outcomes;
\pset format unaligned
\pset fieldsep ' | '
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'passing on' ORDER BY no;
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'making' ORDER BY no;
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'using' ORDER BY no;
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'idle outputs' ORDER BY no;
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'writing' ORDER BY no;
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM labelled WHERE topic = 'domains' ORDER BY no;
\pset format aligned
-- The label changes no answer.
SELECT count(*) AS changed FROM labelled JOIN unlabelled u USING (no)
WHERE labelled."app mail" <> u."app mail";

-- Protection refuses whatever touches people without a purpose, through any
-- view, and changes nothing else here, where it lets all rows through.
SELECT purpose.protect('people', subject => 'id');
CREATE TABLE protected AS SELECT * FROM outcomes;
SELECT "app none", count(*) FROM protected WHERE topic <> 'domains' GROUP BY 1 ORDER BY 1;
SELECT p."app stats", p."owner stats", p."owner mail", p.bypass, p.super, p."app mail", p.statement
FROM protected p JOIN labelled l USING (no)
WHERE ROW(p."app stats", p."owner stats", p."owner mail", p.bypass, p.super, p."app mail")
	<> ROW(l."app stats", l."owner stats", l."owner mail", l.bypass, l.super, l."app mail");
SELECT purpose.unprotect('people');

-- Nothing changes either for those who have no right to the table itself, but
-- to views: except where the view asks for the caller's right.
REVOKE ALL ON people FROM regress_purpose_views_app, regress_purpose_views_bypass;
SELECT o."app stats", o."app none", o.bypass, o."app mail", o.statement
FROM outcomes o JOIN labelled l USING (no)
WHERE ROW(o."app stats", o."owner stats", o."owner mail", o.bypass, o.super, o."app mail")
	<> ROW(l."app stats", l."owner stats", l."owner mail", l.bypass, l.super, l."app mail")
	AND o.statement !~ 'v_invoker|(FROM|JOIN) people|v_trigger'
ORDER BY no;
SELECT DISTINCT o."app mail" AS invoker
FROM outcomes o WHERE statement ~ 'v_invoker';
GRANT ALL ON people TO regress_purpose_views_app, regress_purpose_views_bypass;

-- The views give these to whom they may: nobody sees more through a view than
-- the purpose allows, told straight.
\set VERBOSITY terse
SET ROLE regress_purpose_views_app;
SET purpose.current = 'views_stats';
SELECT email FROM v_deep;
SELECT count(*) FROM v_deep;
SET purpose.current = 'views_mail';
SELECT id, email FROM v_deep ORDER BY id;
RESET purpose.current;
SELECT id, email FROM v_deep ORDER BY id;
RESET ROLE;

-- Rules on the table itself, which copy what they are given.
CREATE RULE log_name AS ON UPDATE TO people WHERE old.name <> new.name
	DO ALSO INSERT INTO log (id, what) VALUES (old.id, new.name);
TRUNCATE probes;
INSERT INTO probes (topic, statement) VALUES
	('rules', 'UPDATE people SET name = ''x'' WHERE id = 1'),
	('rules', 'INSERT INTO people VALUES (4, ''Dan'', ''dan@x'')');
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM outcomes ORDER BY no;
DROP RULE log_name ON people;
CREATE RULE log_email AS ON UPDATE TO people DO ALSO INSERT INTO log (id, what) VALUES (old.id, old.email);
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM outcomes ORDER BY no;
DROP RULE log_email ON people;

-- Materialised views hold copies.  Making and refreshing one reads, for the
-- purpose of whoever does it; reading it is judged by its own labels.
\set VERBOSITY sqlstate
SET ROLE regress_purpose_views_owner;
SET purpose.current = 'views_stats';
CREATE MATERIALIZED VIEW m_people AS SELECT id, email FROM people;
CREATE MATERIALIZED VIEW m_people AS SELECT id, email FROM people WITH NO DATA;
REFRESH MATERIALIZED VIEW m_people;
CREATE MATERIALIZED VIEW m_count AS SELECT count(*) FROM v_super;
REFRESH MATERIALIZED VIEW m_count;
SET purpose.current = 'views_mail';
REFRESH MATERIALIZED VIEW m_people;
CREATE UNIQUE INDEX ON m_people (id);
REFRESH MATERIALIZED VIEW CONCURRENTLY m_people;
SET purpose.current = 'views_stats';
REFRESH MATERIALIZED VIEW CONCURRENTLY m_people;
RESET ROLE;
RESET purpose.current;
REFRESH MATERIALIZED VIEW m_people;
GRANT SELECT ON m_people, m_count TO regress_purpose_views_app, regress_purpose_views_bypass;
TRUNCATE probes;
INSERT INTO probes (topic, statement) VALUES
	('materialised', 'SELECT * FROM m_count'),
	('materialised', 'SELECT email FROM m_people'),
	('materialised', 'SELECT id FROM m_people');
SELECT purpose.label_column('m_people', 'email', 'for views_mail');
SELECT "app stats", "app none", "owner stats", "owner mail", bypass, super, "app mail", statement
FROM outcomes ORDER BY no;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_views CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{views_mail,views_stats}'::text[]) p;
DROP ROLE regress_purpose_views_app, regress_purpose_views_owner, regress_purpose_views_bypass;
