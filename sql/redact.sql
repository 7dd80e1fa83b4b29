--
-- Redaction: a query for a purpose that the label redacts gives exactly what it
-- would give if the table held the stand-ins instead of the values.
--
-- Schema "real" holds people with labels that redact for redact_ads; schema
-- "shown" a copy in which the columns were overwritten with what stands in for
-- them, and which nothing is declared about.  Each statement runs
--	ads		on "real", as the application, for redact_ads
--	shown	on "shown", as a superuser:		must give the same as "ads"
--	bill	on "real", as the application, for a purpose that the labels permit
--	super	on "real", as a superuser:		must give the same as "bill"
-- and no value that is hidden may be in what "ads" gives, errors included.
--
CREATE ROLE regress_purpose_redact_app;
SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{redact_bill,redact_ads}'::text[]) p;
SELECT purpose.grant_purpose(p, 'regress_purpose_redact_app') FROM unnest('{redact_bill,redact_ads}'::text[]) p;
CREATE SCHEMA regress_purpose_redact_real;
CREATE SCHEMA regress_purpose_redact_shown;
CREATE SCHEMA regress_purpose_redact;
SET search_path = regress_purpose_redact_real, regress_purpose_redact;

-- Dropped columns shift attribute numbers.
CREATE DOMAIN regress_purpose_redact.contact AS text CHECK (value ~ '@');
CREATE TYPE regress_purpose_redact.address AS (street text, city text);
CREATE TABLE people (gone int, id int PRIMARY KEY, name text, gone_too text, email regress_purpose_redact.contact UNIQUE,
	phone varchar(20) COLLATE "C", born date NOT NULL, score numeric(6,2), tags text[], home regress_purpose_redact.address, extra jsonb);
INSERT INTO people SELECT 0, i, 'n' || i, '', 'secret' || i || '@x', CASE WHEN i < 8 THEN '0' || i || 'hidden' END, date '1980-01-01' + 40 * i, CASE WHEN i < 8 THEN i * 10.5 END,
	ARRAY['hidden' || i], ROW('hidden' || i, 'hidden')::regress_purpose_redact.address, jsonb_build_object('hidden', i) FROM generate_series(1, 8) i;
ALTER TABLE people DROP gone, DROP gone_too;
CREATE INDEX ON people (phone);
CREATE INDEX ON people (born);
CREATE TABLE visits (id int PRIMARY KEY, person int, email text, place text);
INSERT INTO visits SELECT i, i + 4, 'secret' || i || '@x', 'p' || i FROM generate_series(1, 8) i;
CREATE VIEW all_people AS SELECT * FROM people;
CREATE VIEW barred WITH (security_barrier) AS SELECT id, email, phone, born FROM people WHERE phone IS NOT NULL;
CREATE VIEW made AS SELECT p.id, p.email || '!' AS mail, v.place FROM people p LEFT JOIN visits v ON v.person = p.id;
CREATE MATERIALIZED VIEW matted AS SELECT id, email FROM people;
CREATE FUNCTION regress_purpose_redact.year_of(d date) RETURNS date LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp AS $$ SELECT date_trunc('year', d)::date $$;
CREATE FUNCTION regress_purpose_redact.coarse(n numeric) RETURNS numeric LANGUAGE sql IMMUTABLE
	BEGIN ATOMIC SELECT coalesce(trunc(n, -1), -1); END;

-- SQL functions, which the planner inlines where it can.
CREATE FUNCTION of_person(i int) RETURNS SETOF people LANGUAGE sql STABLE AS 'SELECT * FROM people WHERE id = i';
CREATE FUNCTION emails() RETURNS TABLE (i int, e text) LANGUAGE sql STABLE AS 'SELECT id, email FROM people';
CREATE FUNCTION email_of(i int) RETURNS text LANGUAGE plpgsql STABLE AS
	'BEGIN RETURN (SELECT email FROM people WHERE id = i); END';
CREATE FUNCTION define(p people) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT p.email || p.id';

GRANT USAGE ON SCHEMA regress_purpose_redact_real, regress_purpose_redact TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_redact_real TO PUBLIC;

-- Runs a statement in a schema and undoes it.  Gives its rows, sorted unless it
-- sorts them itself, or their number, or the SQLSTATE of what it raised.
CREATE FUNCTION regress_purpose_redact.outcome(acting text, declared text, place text, statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n bigint;
	rows text[] := '{}';
	result text;
BEGIN
	BEGIN
		PERFORM set_config('search_path', 'regress_purpose_redact_' || place || ', regress_purpose_redact', true);
		PERFORM set_config('role', acting, true);
		PERFORM set_config('purpose.current', declared, true);
		IF statement ~* '^(select|with|values|table|explain)|\mreturning\M' THEN
			FOR r IN EXECUTE statement LOOP
				rows := rows || coalesce(r::text, 'nothing');
			END LOOP;
			IF statement !~* 'order by [^()]*$' THEN
				rows := ARRAY(SELECT x FROM unnest(rows) x ORDER BY x COLLATE "C");
			END IF;
			result := array_to_string(rows, ' ');
		ELSE
			EXECUTE statement;
			GET DIAGNOSTICS n = ROW_COUNT;
			result := n || ' done';
		END IF;
		RAISE SQLSTATE 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN NULL;
		WHEN OTHERS THEN result := SQLSTATE || CASE WHEN SQLERRM ~ 'hidden' THEN ' hidden' ELSE '' END;
	END;
	RETURN result;
END $$;
CREATE TABLE regress_purpose_redact.probes (no int GENERATED ALWAYS AS IDENTITY, statement text);
CREATE VIEW regress_purpose_redact.outcomes AS
	SELECT no, statement, ads, shown, bill, super
	FROM regress_purpose_redact.probes p,
		 LATERAL (SELECT regress_purpose_redact.outcome('regress_purpose_redact_app', 'redact_ads', 'real', statement) AS ads,
						 regress_purpose_redact.outcome('none', '', 'shown', statement) AS shown,
						 regress_purpose_redact.outcome('regress_purpose_redact_app', 'redact_bill', 'real', statement) AS bill,
						 regress_purpose_redact.outcome('none', '', 'real', statement) AS super
				  OFFSET 0) o;

INSERT INTO regress_purpose_redact.probes (statement) SELECT unnest(ARRAY[
	-- as an output
	'TABLE people',
	'SELECT email, phone, born, score, tags, home, extra FROM people',
	'SELECT upper(email), length(phone), born + 1, score * 2 FROM people',
	'SELECT (home).street, (home).city, tags[1], extra->>''hidden'' FROM people',
	'SELECT pg_typeof(email), pg_typeof(phone), pg_typeof(born), pg_typeof(score), pg_typeof(home) FROM people LIMIT 1',
	'SELECT pg_collation_for(phone), phone < ''1'' FROM people',
	'SELECT 1 FROM people LIMIT (SELECT count(email) FROM people)',
	'SELECT coalesce(email, ''none''), nullif(phone, ''x''), CASE WHEN email IS NULL THEN 1 ELSE length(email) END FROM people',
	-- to choose, sort and group
	'SELECT id FROM people WHERE email = ''secret1@x''',
	'SELECT id FROM people WHERE email IS NULL',
	'SELECT id FROM people WHERE born IS NULL',
	'SELECT id FROM people WHERE born IS NOT NULL AND phone IS NOT NULL',
	'SELECT id FROM people WHERE phone LIKE ''01%'' OR born < ''1981-01-01''',
	'SELECT id FROM people WHERE email = ANY (''{secret1@x,secret2@x}'')',
	'SELECT id FROM people WHERE (email, phone) < (''secret3@x'', ''05'')',
	'SELECT id FROM people WHERE score::int > 30',
	'SELECT id FROM people WHERE phone::int > 30',
	'SELECT id FROM people WHERE 1 / length(email) = 0',
	'SELECT id FROM people ORDER BY email DESC, id LIMIT 3',
	'SELECT id FROM people ORDER BY born DESC, phone, id DESC LIMIT 3',
	'SELECT id FROM people ORDER BY (SELECT email) DESC, id LIMIT 1',
	'SELECT DISTINCT email FROM people',
	'SELECT DISTINCT phone, born FROM people ORDER BY born, phone',
	'SELECT DISTINCT ON (email) email FROM people ORDER BY email, id',
	'SELECT email, count(*) FROM people GROUP BY email',
	'SELECT phone || ''x'', count(*) FROM people GROUP BY phone || ''x''',
	'SELECT id, email, phone, born FROM people GROUP BY id',
	'SELECT email, phone, count(*), grouping(email, phone) FROM people GROUP BY ROLLUP (email, phone)',
	'SELECT upper(phone), count(*) FROM people GROUP BY CUBE (phone, born)',
	'SELECT count(*) FROM people GROUP BY GROUPING SETS ((email), (born), ())',
	'SELECT max(email), min(phone), max(born), sum(score), count(DISTINCT phone), count(email) FROM people',
	'SELECT count(*) FROM people HAVING max(email) > ''c''',
	'SELECT count(*) FILTER (WHERE email LIKE ''s%'') FROM people',
	'SELECT string_agg(name, '','' ORDER BY born DESC, id) FROM people',
	'SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY born) FROM people',
	'SELECT id, rank() OVER (ORDER BY born DESC), count(*) OVER (PARTITION BY email) FROM people',
	'SELECT id, lag(phone) OVER w FROM people WINDOW w AS (ORDER BY born, id)',
	'SELECT id, sum(score) OVER (ORDER BY born RANGE BETWEEN ''1 month'' PRECEDING AND CURRENT ROW) FROM people',
	-- in joins
	'SELECT p.id, v.place FROM people p JOIN visits v ON p.email = v.email',
	'SELECT p.id, v.place FROM people p JOIN visits v USING (email)',
	'SELECT email, id FROM people NATURAL JOIN visits',
	'SELECT v.id, p.email, p.phone, p.born, p.score FROM visits v LEFT JOIN people p ON p.id = v.person',
	'SELECT v.id, p FROM visits v LEFT JOIN people p ON p.id = v.person',
	'SELECT v.id, (p IS NULL), (p.email IS NULL), p::text FROM visits v LEFT JOIN people p ON p.id = v.person',
	'SELECT v.id FROM visits v LEFT JOIN people p ON p.id = v.person WHERE p.phone IS NULL',
	'SELECT v.id FROM visits v LEFT JOIN people p ON p.id = v.person WHERE p.born IS NOT NULL',
	'SELECT v.id, p.id FROM visits v LEFT JOIN people p ON p.id = v.person AND p.born > ''1980-06-01''',
	'SELECT v.id, p.id, p.born FROM visits v FULL JOIN people p ON p.email = v.email',
	'SELECT email, v.id, p.id FROM visits v FULL JOIN people p USING (email)',
	'SELECT j FROM (visits v FULL JOIN people p USING (email)) AS j (email)',
	'SELECT email, j.place FROM (people RIGHT JOIN visits USING (id, email)) AS j',
	'SELECT a.id, b.phone FROM people a LEFT JOIN people b ON b.id = a.id + 5 AND b.born = a.born',
	'SELECT a.id, c.phone, c.born FROM visits a LEFT JOIN (visits b LEFT JOIN people c ON c.id = b.person) ON b.id = a.id',
	'SELECT a.id, x.born FROM visits a LEFT JOIN (SELECT born, id FROM people) x ON x.id = a.person',
	'SELECT a.id, x.b FROM visits a LEFT JOIN (SELECT born AS b, id FROM people OFFSET 0) x ON x.id = a.person WHERE x.b IS NULL',
	'SELECT s FROM people, LATERAL (SELECT phone AS s) AS l',
	'SELECT s FROM people, regexp_split_to_table(phone, ''s'') AS s WHERE id < 3',
	'SELECT v.id, l.* FROM visits v LEFT JOIN LATERAL (SELECT phone, born FROM people p WHERE p.id = v.person LIMIT 1) AS l ON true',
	'SELECT v.id FROM visits v JOIN LATERAL (SELECT id FROM people p WHERE p.email = v.email) AS l ON true',
	-- rows as a whole
	'SELECT people FROM people',
	'SELECT p.*::people, (p.*)::text FROM people p',
	'SELECT p::text LIKE ''%hidden%'' FROM people p',
	'SELECT row_to_json(p), to_jsonb(p) - ''id'' FROM people p',
	'SELECT jsonb_agg(p ORDER BY id) FROM people p',
	'SELECT ROW(p.*), ROW(p) FROM people p',
	'SELECT (p).email, (p).phone, define(p), p.define FROM people p',
	'SELECT count(DISTINCT p) FROM (SELECT id % 2 = 0, email, phone FROM people) p',
	'SELECT (SELECT p) FROM people p',
	'SELECT jsonb_populate_record(p, ''{"name": "x"}'') FROM people p',
	'SELECT id FROM people p WHERE p = ROW(1, ''n1'', ''secret1@x'', ''01hidden'', date ''1980-02-10'', 10.5, ARRAY[''hidden1''], NULL, NULL)::people',
	'SELECT id FROM people p WHERE p IS DISTINCT FROM NULL ORDER BY p',
	-- through subqueries, WITH, set operations, views, functions
	'SELECT * FROM (SELECT email, phone FROM people ORDER BY phone LIMIT 3) s',
	'SELECT id FROM visits v WHERE EXISTS (SELECT FROM people p WHERE p.email = v.email)',
	'SELECT id FROM visits WHERE email IN (SELECT email FROM people)',
	'SELECT id FROM visits WHERE email NOT IN (SELECT email FROM people WHERE email IS NOT NULL)',
	'SELECT id, (SELECT p.phone FROM people p WHERE p.id = v.person) FROM visits v',
	'SELECT (SELECT max(p.email)), (SELECT count(*) FROM visits v WHERE v.email > max(p.phone)) FROM people p',
	'SELECT ARRAY(SELECT phone FROM people ORDER BY id)',
	'WITH c AS MATERIALIZED (SELECT * FROM people) SELECT email, phone FROM c WHERE phone > ''0''',
	'WITH c AS NOT MATERIALIZED (SELECT * FROM people) SELECT a.phone, b.born FROM c a LEFT JOIN c b ON b.id = a.id + 4',
	'WITH RECURSIVE r AS (SELECT 1 AS id, NULL::text AS e UNION ALL SELECT p.id, p.email FROM r JOIN people p ON p.id = r.id + 1) SELECT * FROM r',
	'WITH RECURSIVE c AS (SELECT id, phone FROM people WHERE id < 3 UNION ALL SELECT id + 10, phone FROM c WHERE id < 10) SEARCH DEPTH FIRST BY phone SET o SELECT id, o FROM c ORDER BY o, id',
	'SELECT email FROM people UNION SELECT email FROM visits',
	'SELECT phone, born FROM people UNION ALL SELECT place, NULL FROM visits',
	'SELECT phone FROM people INTERSECT SELECT phone FROM people',
	'SELECT email FROM visits EXCEPT SELECT email FROM people',
	'TABLE all_people',
	'SELECT email, born FROM all_people WHERE phone IS NOT NULL',
	'SELECT * FROM barred WHERE email <> ''x'' OR email IS NULL',
	'SELECT b.*, v.id FROM visits v LEFT JOIN barred b ON b.id = v.person',
	'SELECT a FROM all_people a',
	'SELECT * FROM made',
	'SELECT v.id, m.mail FROM visits v LEFT JOIN made m USING (id)',
	'SELECT * FROM of_person(2)',
	'SELECT of_person(2)',
	'SELECT * FROM emails() WHERE e IS NULL OR e > ''a''',
	'SELECT v.id, f.e FROM visits v LEFT JOIN emails() f ON f.i = v.person',
	'SELECT email_of(id) FROM visits',
	'SELECT * FROM xmltable(''/r/x'' PASSING (SELECT xmlelement(name r, xmlagg(xmlelement(name x, phone) ORDER BY id)) FROM people) COLUMNS c text PATH ''.'')',
	'SELECT query_to_xml(''SELECT email FROM people ORDER BY id LIMIT 2'', true, true, '''')',
	'SELECT id, email FROM people FOR UPDATE',
	'SELECT p.email, v.id FROM people p JOIN visits v ON v.person = p.id FOR SHARE OF p',
	'SELECT tableoid::regclass, ctid, phone FROM people ORDER BY ctid',
	'SELECT count(phone) FROM people TABLESAMPLE bernoulli (100)',
	-- what only returns it
	'INSERT INTO people (id, name, email, phone, born) VALUES (20, ''x'', ''new@x'', ''1'', ''2000-02-02'') RETURNING id, name',
	'UPDATE people SET name = ''x'' WHERE id = 1 RETURNING *',
	'UPDATE people SET name = ''x'' RETURNING id, phone || ''!'', born',
	'UPDATE visits v SET place = ''x'' FROM people p WHERE p.id = v.person RETURNING v.id, p.email, p.phone, p.born',
	'UPDATE visits v SET place = ''x'' FROM all_people p WHERE p.id = v.person RETURNING p',
	'UPDATE visits SET place = ''x'' WHERE id = 1 RETURNING (SELECT max(phone) FROM people)',
	'DELETE FROM people WHERE id > 5 RETURNING *',
	'DELETE FROM visits v USING people p WHERE p.id = v.person RETURNING p',
	'WITH d AS (DELETE FROM visits RETURNING person) SELECT p.id, p.email, p.born FROM people p JOIN d ON d.person = p.id',
	'INSERT INTO visits SELECT id + 100, 0, email, phone FROM people RETURNING *',
	'WITH i AS (INSERT INTO visits SELECT id + 100, 0, email, phone FROM people RETURNING *) SELECT place FROM i'
]);

-- What a kind of label does to all of them.
CREATE FUNCTION regress_purpose_redact.label_all(VARIADIC labels text[]) RETURNS void LANGUAGE sql AS $$
	SELECT purpose.label_column('regress_purpose_redact_real.people', l[1]::name, 'for redact_bill else ' || l[2])
	FROM (SELECT regexp_match(u, '^(\w+) (.*)$') FROM unnest(labels) u) x(l)
$$;
-- A copy that holds the stand-ins.
CREATE FUNCTION regress_purpose_redact.show(outputs text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL client_min_messages = warning;
	DROP SCHEMA regress_purpose_redact_shown CASCADE;
	CREATE SCHEMA regress_purpose_redact_shown;
	SET LOCAL search_path = regress_purpose_redact_shown, regress_purpose_redact;
	CREATE TABLE people (id int PRIMARY KEY, name text, email text,
		phone varchar(20) COLLATE "C", born date, score numeric(6,2), tags text[], home regress_purpose_redact.address, extra jsonb);
	EXECUTE format('INSERT INTO people SELECT id, name, %s FROM regress_purpose_redact_real.people', outputs);
	-- Without the domain's check, which stand-ins need not fulfil.
	ALTER DOMAIN regress_purpose_redact.contact DROP CONSTRAINT contact_check;
	ALTER TABLE people ALTER email TYPE regress_purpose_redact.contact;
	ALTER DOMAIN regress_purpose_redact.contact ADD CONSTRAINT contact_check CHECK (value ~ '@') NOT VALID;
	CREATE TABLE visits AS TABLE regress_purpose_redact_real.visits;
	CREATE VIEW all_people AS SELECT * FROM people;
	CREATE VIEW barred WITH (security_barrier) AS SELECT id, email, phone, born FROM people WHERE phone IS NOT NULL;
	CREATE VIEW made AS SELECT p.id, p.email || '!' AS mail, v.place FROM people p LEFT JOIN visits v ON v.person = p.id;
	CREATE FUNCTION of_person(i int) RETURNS SETOF people LANGUAGE sql STABLE AS 'SELECT * FROM people WHERE id = i';
	CREATE FUNCTION emails() RETURNS TABLE (i int, e text) LANGUAGE sql STABLE AS 'SELECT id, email FROM people';
	CREATE FUNCTION email_of(i int) RETURNS text LANGUAGE plpgsql STABLE AS
		'BEGIN RETURN (SELECT email FROM people WHERE id = i); END';
	CREATE FUNCTION define(p people) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT p.email || p.id';
END $$;

CREATE VIEW regress_purpose_redact.summary AS
	SELECT count(*) AS statements, count(*) FILTER (WHERE ads = shown) AS as_shown,
		   count(*) FILTER (WHERE bill = super) AS as_real,
		   count(*) FILTER (WHERE ads <> bill) AS differ,
		   count(*) FILTER (WHERE ads ~ 'hidden') AS leaks, count(*) FILTER (WHERE bill ~ 'hidden') AS gives
	FROM regress_purpose_redact.outcomes;

-- NULL for all of them.
SELECT regress_purpose_redact.label_all('email null', 'phone null', 'born null', 'score null', 'tags null', 'home null', 'extra null');
SELECT regress_purpose_redact.show('NULL, NULL, NULL, NULL, NULL, NULL, NULL');
SELECT * FROM regress_purpose_redact.summary;
SELECT statement, ads, shown FROM regress_purpose_redact.outcomes WHERE ads <> shown ORDER BY no;
SELECT statement, bill, super FROM regress_purpose_redact.outcomes WHERE bill <> super ORDER BY no;

-- Constants.
SELECT regress_purpose_redact.label_all('email ''''''none''''''', 'phone ''''''***''''''', 'born ''''''1970-01-01''''''',
	'score ''-1''', 'tags ''''''{}''''''', 'home ''''''(x,y)''''''', 'extra ''''''{"a": 1}''''''');
SELECT regress_purpose_redact.show($$'none', '***', '1970-01-01', -1, '{}', '(x,y)', '{"a": 1}'$$);
SELECT * FROM regress_purpose_redact.summary;
SELECT statement, ads, shown FROM regress_purpose_redact.outcomes WHERE ads <> shown ORDER BY no;
SELECT statement, bill, super FROM regress_purpose_redact.outcomes WHERE bill <> super ORDER BY no;

-- Functions and operators on the value.
SELECT regress_purpose_redact.label_all('email ''pg_catalog.md5(value)''', 'phone ''left(value, 2) || ''''***''''''',
	'born ''regress_purpose_redact.year_of(value)''', 'score ''regress_purpose_redact.coarse(value)''',
	'tags ''string_to_array(md5(array_to_string(value, '''',''''))::text, ''''a'''')''', 'home null', 'extra ''jsonb_build_object(''''of'''', jsonb_typeof(value))''');
SELECT regress_purpose_redact.show($$md5(email), left(phone, 2) || '***', regress_purpose_redact.year_of(born),
	regress_purpose_redact.coarse(score), string_to_array(md5(array_to_string(tags, ',')), 'a'), NULL, jsonb_build_object('of', jsonb_typeof(extra))$$);
SELECT * FROM regress_purpose_redact.summary;
SELECT statement, ads, shown FROM regress_purpose_redact.outcomes WHERE ads <> shown ORDER BY no;
SELECT statement, bill, super FROM regress_purpose_redact.outcomes WHERE bill <> super ORDER BY no;
SELECT regress_purpose_redact.outcome('regress_purpose_redact_app', 'redact_ads', 'real', 'SELECT email, phone, born, score, tags, extra FROM people WHERE id > 6');

-- What later versions of PostgreSQL can return.
INSERT INTO regress_purpose_redact.probes (no, statement) OVERRIDING SYSTEM VALUE
SELECT 1000 + row_number() OVER (), statement FROM (VALUES
	(170000, 'MERGE INTO people p USING visits v ON p.id = v.id + 2 WHEN MATCHED THEN UPDATE SET name = ''x'' WHEN NOT MATCHED THEN INSERT (id, born) VALUES (v.id + 100, ''2001-01-01'') RETURNING merge_action(), p.id, p.email, p.phone, p.born, v.id'),
	(170000, 'MERGE INTO people p USING visits v ON p.id = v.id + 2 WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING p'),
	(170000, 'WITH m AS (MERGE INTO visits v USING (SELECT 1 AS i) s ON v.id = s.i WHEN MATCHED THEN UPDATE SET place = ''x'' RETURNING v.person) SELECT p.email, p.born FROM m JOIN people p ON p.id = m.person'),
	(180000, 'UPDATE people SET name = ''x'' WHERE id < 3 RETURNING old.name, old.phone, new.phone, old.born, new.born, old.email, new.score'),
	(180000, 'INSERT INTO people (id, born, phone) VALUES (50, ''2001-01-01'', ''p'') RETURNING old.phone, new.id, old.score, old, old.born IS NULL'),
	(180000, 'DELETE FROM people WHERE id = 2 RETURNING old.phone, new.phone, new.score, new.born, new, old'),
	(180000, 'INSERT INTO people (id, born) VALUES (1, ''2001-01-01''), (51, ''2001-01-01'') ON CONFLICT (id) DO UPDATE SET name = ''x'' RETURNING old.phone, old.score, new.id, old.id'),
	(180000, 'MERGE INTO people p USING visits v ON p.id = v.id + 2 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, born) VALUES (v.id + 100, ''2001-01-01'') RETURNING old.phone, old.born, old.score, new.phone, old, v.id')
	) v(version, statement)
WHERE current_setting('server_version_num')::int >= version;
SELECT statement, ads, shown, bill, super FROM regress_purpose_redact.outcomes
WHERE no > 1000 AND (ads <> shown OR bill <> super OR ads ~ '^.....$') ORDER BY no;
DELETE FROM regress_purpose_redact.probes WHERE no > 1000;

-- Prepared once, by a superuser, and kept as a generic plan: it follows whoever
-- runs it.
CREATE FUNCTION regress_purpose_redact.switched(no int, statement text, OUT super text, OUT ads text, OUT bill text, OUT ads_again text)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
	PERFORM set_config('search_path', 'regress_purpose_redact_real, regress_purpose_redact', true);
	EXECUTE format('PREPARE p%s AS %s', no, statement);
	super := regress_purpose_redact.outcome('none', '', 'real', format('EXECUTE p%s /*returning%s*/', no, substring(statement FROM ' ORDER BY [^()]*$')));
	ads := regress_purpose_redact.outcome('regress_purpose_redact_app', 'redact_ads', 'real', format('EXECUTE p%s /*returning%s*/', no, substring(statement FROM ' ORDER BY [^()]*$')));
	bill := regress_purpose_redact.outcome('regress_purpose_redact_app', 'redact_bill', 'real', format('EXECUTE p%s /*returning%s*/', no, substring(statement FROM ' ORDER BY [^()]*$')));
	ads_again := regress_purpose_redact.outcome('regress_purpose_redact_app', 'redact_ads', 'real', format('EXECUTE p%s /*returning%s*/', no, substring(statement FROM ' ORDER BY [^()]*$')));
	EXECUTE format('DEALLOCATE p%s', no);
END $$;
SELECT count(*) AS statements, count(*) FILTER (WHERE s.super = o.super) AS super, count(*) FILTER (WHERE s.ads = o.ads) AS ads,
	   count(*) FILTER (WHERE s.bill = o.bill) AS bill, count(*) FILTER (WHERE s.ads_again = o.ads) AS ads_again
FROM regress_purpose_redact.outcomes o, LATERAL regress_purpose_redact.switched(no, statement) s;
SELECT o.statement, s.ads, o.ads FROM regress_purpose_redact.outcomes o, LATERAL regress_purpose_redact.switched(no, statement) s
WHERE s.ads <> o.ads OR s.ads_again <> o.ads ORDER BY no;

-- The same where rows lie in a child table and are judged by subject, too.
CREATE TABLE people_more () INHERITS (people);
WITH d AS (DELETE FROM ONLY people WHERE id > 4 RETURNING *) INSERT INTO people_more SELECT * FROM d;
SELECT purpose.protect('people', subject => 'id');
DELETE FROM regress_purpose_redact.probes WHERE statement ~ 'ctid';
SELECT * FROM regress_purpose_redact.summary;
SELECT statement, ads, shown FROM regress_purpose_redact.outcomes WHERE ads <> shown ORDER BY no;
SELECT statement, bill, super FROM regress_purpose_redact.outcomes WHERE bill <> super ORDER BY no;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_redact_real, regress_purpose_redact_shown, regress_purpose_redact CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{redact_bill,redact_ads}'::text[]) p;
DROP ROLE regress_purpose_redact_app;
