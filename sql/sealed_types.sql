--
-- Sealed types: what is written comes back, in every form that PostgreSQL gives
-- a value: text, binary, containers, variables, copies.  Once opened, for a
-- purpose that the label allows, and once closed, for one that it does not.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_purpose_types_app;
SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{types_bill,types_other}'::text[]) p;
SELECT purpose.grant_purpose(p, 'regress_purpose_types_app') FROM unnest('{types_bill,types_other}'::text[]) p;
CREATE SCHEMA regress_purpose_types;
GRANT USAGE, CREATE ON SCHEMA regress_purpose_types TO regress_purpose_types_app;
SET search_path = regress_purpose_types;
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';

CREATE TABLE person (
	id int PRIMARY KEY,
	t purpose.sealed_text(types_bill),
	j purpose.sealed_jsonb(types_bill),
	n purpose.sealed_numeric(types_bill),
	i purpose.sealed_int8(types_bill),
	d purpose.sealed_date(types_bill),
	ts purpose.sealed_timestamptz(types_bill),
	b purpose.sealed_bool(types_bill),
	by purpose.sealed_bytea(types_bill),
	ip purpose.sealed_inet(types_bill));
SELECT purpose.protect('person', subject => 'id');
GRANT SELECT, INSERT, UPDATE, DELETE ON person TO regress_purpose_types_app;
\d person

-- Is this an envelope?  All that a test may show of one.
CREATE FUNCTION is_envelope(text) RETURNS boolean LANGUAGE sql IMMUTABLE
	AS $$ SELECT $1 ~ '^purpose:1:[A-Za-z0-9_-]{64,}$' $$;
CREATE VIEW shown AS
	SELECT p.id, c.key AS column, CASE WHEN is_envelope(c.value) THEN 'envelope' ELSE c.value END AS shown
	FROM person p, LATERAL (VALUES ('t', format('%s', t)), ('j', format('%s', j)), ('n', format('%s', n)), ('i', format('%s', i)),
		('d', format('%s', d)), ('ts', format('%s', ts)), ('b', format('%s', b)), ('by', format('%s', by)), ('ip', format('%s', ip))) c(key, value);
GRANT SELECT ON shown TO regress_purpose_types_app;

--
-- Values and their extremes, as literals; opened and closed.
--
SET ROLE regress_purpose_types_app;
SET purpose.current = 'types_bill';
INSERT INTO person VALUES
	(1, 'ann', '{"a": [1, null, "x"]}', 12.50, 42, '2020-02-29', '2020-02-29 12:00+02', true, '\x00ff', '10.0.0.1/8'),
	(2, '', '{}', 'NaN', -9223372036854775808, '-infinity', 'infinity', false, '', '::1'),
	(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(4, E'umlaut \u00e4, quote '', backslash \\, newline \n.', 'null', '-Infinity', 9223372036854775807, '4714-11-24 BC', '4714-11-24 00:00+00 BC', NULL, '\xdeadbeef', 'ffff::/12'),
	(5, 'null', '"x"', 0.0000000000000000000000000000000001, 0, '5874897-12-31', '294276-12-31 23:59:59.999999+00', true, '\x80', '0.0.0.0/0');
SELECT * FROM person ORDER BY id;
SET purpose.current = 'types_other';
SELECT id, count(*) AS columns, string_agg(DISTINCT shown, ' ') AS shown FROM shown GROUP BY id ORDER BY id;
-- Closed, a value opens as NULL, but is not one.
SELECT id, t::text IS NULL AS opened_null, t IS NULL AS "null", length(t), n + 1 AS n, j -> 'a' AS j, d - 1 AS d, NOT b AS b, host(ip) FROM person ORDER BY id;
SET purpose.current = 'types_bill';
SELECT id, t::text IS NULL AS opened_null, t IS NULL AS "null", length(t), n + 1 AS n, j -> 'a' AS j, i / 2 AS i,
	ts - interval '1 day' AS ts, NOT b AS b, length(by) AS by, host(ip)
FROM person WHERE id <> 4 ORDER BY id;

-- What the base type refuses is refused, and not quoted.
\set VERBOSITY default
INSERT INTO person (id, n) VALUES (9, 'twelve');
INSERT INTO person (id, i) VALUES (9, '9223372036854775808');
INSERT INTO person (id, i) VALUES (9, 9223372036854775808);
INSERT INTO person (id, d) VALUES (9, '2021-02-29');
INSERT INTO person (id, j) VALUES (9, '{"a": secret}');
INSERT INTO person (id, ip) VALUES (9, '10.0.0.256');
INSERT INTO person (id, b) VALUES (9, 'maybe');
INSERT INTO person (id, by) VALUES (9, '\x0');
INSERT INTO person (id, ts) VALUES (9, 'yesterday noon');

-- Each type of the base type's family may be assigned.
INSERT INTO person (id, t, n, i, d, ts, j, by) VALUES (6, 'x'::varchar, 5, 5::int2, '2020-01-01'::timestamptz, '2020-01-01'::date, '[1]'::json, '\x01'::bytea);
UPDATE person SET t = 'y'::name, n = 5.5::float8, i = 7.6, d = now()::timestamp - now()::timestamp + '2020-01-02'::date, ts = '2020-01-01'::timestamp WHERE id = 6;
UPDATE person SET t = 'c'::char(3), n = 1e3::real, i = 3.5::float8 WHERE id = 6 RETURNING t, n, i, d, ts, j, by;
UPDATE person SET t = id, d = NULL, b = NULL WHERE id = 6 RETURNING t, d;
UPDATE person SET t = 8 + 8 WHERE id = 6 RETURNING t;
UPDATE person SET i = 'x'::text WHERE id = 6;
DELETE FROM person WHERE id = 6;

--
-- Operators and functions of the base type, through the implicit cast.
--
SELECT id FROM person WHERE t = 'ann';
SELECT id FROM person WHERE t LIKE 'a%' AND t ~ 'n+$' AND upper(t) = 'ANN' AND t || '!' = 'ann!' AND substr(t, 2) = 'nn';
SELECT id FROM person WHERE t IN ('ann', 'bob') AND t = ANY ('{ann,bob}') AND t = ANY (ARRAY['ann', 'bob']::varchar[]) AND NOT t <> 'ann';
SELECT id FROM person WHERE t IS DISTINCT FROM 'ann' ORDER BY id;
SELECT id FROM person WHERE (t, i) = ('ann', 42);
SELECT id FROM person WHERE t BETWEEN 'am' AND 'ao' AND n BETWEEN 12 AND 13 AND i > 41 AND i::numeric < 43.5 AND i <> 5 AND d < '2020-03-01' AND d < now() AND ts > '2020-01-01' AND b AND by = '\x00ff' AND ip << '10.0.0.0/7' AND j @> '{"a": [1]}' AND j ? 'a';
SELECT coalesce(t, 'none') AS "coalesce", CASE WHEN t = 'ann' THEN t ELSE 'other' END AS "case", nullif(t, 'ann') AS "nullif", greatest(t, 'b') AS greatest, least(i, 50) AS least, coalesce(i, 0) + 1 AS i, coalesce(0, n) AS n
FROM person WHERE id IN (1, 3) ORDER BY id;
SELECT min(t), max(t) COLLATE "C" AS max, string_agg(t, ',' ORDER BY id) FROM person WHERE id IN (1, 2, 5);
SELECT sum(n), avg(i), max(d), min(ts), bool_or(b), every(b), jsonb_agg(j) FROM person WHERE id = 1;
SELECT count(*) AS rows, count(t) AS not_null, count(t::text) AS opened, count(DISTINCT t) AS "distinct" FROM person;
SELECT x FROM person, jsonb_array_elements(j -> 'a') x WHERE id = 1;
SELECT extract(year FROM d) AS year, date_trunc('month', ts) AS month, d + 1 AS tomorrow, ts::date FROM person WHERE id = 1;
SELECT p.id, q.id FROM person p JOIN person q ON p.t = q.t AND p.n = q.n AND p.ip = q.ip ORDER BY 1;
SELECT t, q.i FROM person p JOIN person q USING (t) ORDER BY q.i LIMIT 1;
SELECT id FROM person NATURAL JOIN (SELECT 'ann'::text AS t) x;
SELECT id FROM person WHERE t IN (SELECT t FROM person WHERE id = 1) AND EXISTS (SELECT FROM person q WHERE q.t = person.t);
SELECT id FROM person WHERE t NOT IN (SELECT 'ann') ORDER BY id;
-- Nothing of it finds what may not be opened.
SET purpose.current = 'types_other';
SELECT id FROM person WHERE t = 'ann' OR t <> 'ann' OR t LIKE '%' OR n = n OR i IN (42) OR b OR j @> '{}' OR by = by OR ip <<= '::/0' OR d < now();
SELECT id FROM person WHERE t IS DISTINCT FROM 'ann' ORDER BY id;
SELECT count(*) AS rows, count(t) AS not_null, count(t::text) AS opened, count(DISTINCT t) AS "distinct", sum(n), min(t), jsonb_agg(j) FROM person;
SELECT p.id, q.id FROM person p JOIN person q ON p.t = q.t OR p.i = q.i;
SET purpose.current = 'types_bill';

--
-- JSON, concat and format take the opened value, or null and the envelope.
--
SELECT to_json(t) AS t, to_json(j) AS j, to_json(n) AS n, to_json(i) AS i, to_json(d) AS d, to_json(ts) AS ts, to_json(b) AS b, to_json(by) AS by, to_json(ip) AS ip FROM person WHERE id = 1;
SELECT to_jsonb(person) FROM person WHERE id IN (1, 3) ORDER BY id;
SELECT json_build_object('t', t, 'i', i) AS o, json_build_array(t, j, b) AS a, json_agg(t) AS g, json_object_agg(id, n) AS og FROM person WHERE id = 1 GROUP BY t, i, j, b;
SELECT row_to_json(r), array_to_json(array_agg(r.t)) FROM (SELECT t, j FROM person WHERE id = 1) r GROUP BY r.*;
SELECT concat(t, i, b), concat_ws('-', t, n), format('%s %L %I', t, i, t), quote_literal(t), t || i FROM person WHERE id = 1;
SET purpose.current = 'types_other';
SELECT to_jsonb(person) FROM person WHERE id IN (1, 3) ORDER BY id;
SELECT json_build_object('t', t, 'i', i) AS o, json_build_array(t, j, b) AS a, json_agg(t) AS g, json_object_agg(id, n) AS og, jsonb_build_object('t', t) AS jb FROM person WHERE id = 1 GROUP BY t, i, j, b;
SELECT row_to_json(r), t::json IS NULL AS "cast" FROM (SELECT t, j FROM person WHERE id = 1) r;
SELECT is_envelope(concat(t)) AS concat, is_envelope(format('%s', n)) AS format, t || 'x' IS NULL AS "||" FROM person WHERE id = 1;
SET purpose.current = 'types_bill';

--
-- Grouping, sorting and set operations: opened, closed, and both at once.
--
RESET ROLE;
CREATE TABLE mixed (id int PRIMARY KEY, k int, t purpose.sealed_text(types_bill), n purpose.sealed_numeric(types_bill));
SELECT purpose.protect('mixed', subject => 'id');
INSERT INTO mixed SELECT g, g % 3, 'v' || g % 3, (g % 3)::numeric(10, 2) FROM generate_series(1, 9) g;
ALTER TABLE mixed ALTER t TYPE purpose.sealed_text(types_other), ALTER n TYPE purpose.sealed_numeric(types_other);
-- Now values sealed for types_other stand beside those for types_bill.
INSERT INTO mixed SELECT g, g % 3, 'v' || g % 3, g % 3 FROM generate_series(10, 18) g;
GRANT SELECT ON mixed TO regress_purpose_types_app;
SET ROLE regress_purpose_types_app;
CREATE FUNCTION show(text) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN is_envelope($1) THEN 'envelope' ELSE $1 END $$;
CREATE TABLE ways (name text, query text);
INSERT INTO ways VALUES
	('distinct', 'SELECT show(format(''%s'', t)) AS t, count(*) FROM (SELECT DISTINCT t FROM mixed) x GROUP BY 1'),
	('group', 'SELECT show(format(''%s'', t)) AS t, c FROM (SELECT t, count(*) AS c FROM mixed GROUP BY t) x GROUP BY 1, 2'),
	('group numeric', 'SELECT show(format(''%s'', n)) AS t, c FROM (SELECT n, count(*) AS c FROM mixed GROUP BY n) x GROUP BY 1, 2'),
	('distinct on', 'SELECT show(format(''%s'', t)) AS t, count(*) FROM (SELECT DISTINCT ON (t) t FROM mixed ORDER BY t, id) x GROUP BY 1'),
	('union', 'SELECT show(format(''%s'', t)) AS t, count(*) FROM (SELECT t FROM mixed UNION SELECT t FROM mixed) x GROUP BY 1'),
	('intersect', 'SELECT show(format(''%s'', t)) AS t, count(*) FROM (SELECT t FROM mixed INTERSECT SELECT t FROM mixed) x GROUP BY 1'),
	('except', 'SELECT show(format(''%s'', t)) AS t, count(*) FROM (SELECT t FROM mixed EXCEPT SELECT t FROM mixed WHERE k = 1) x GROUP BY 1'),
	('union base', 'SELECT show(t) AS t, count(*) FROM (SELECT t FROM mixed UNION SELECT ''v1''::text) x GROUP BY 1'),
	('window', 'SELECT show(format(''%s'', t)) AS t, r FROM (SELECT t, row_number() OVER (PARTITION BY t) AS r FROM mixed) x GROUP BY 1, 2'),
	('rank', 'SELECT show(format(''%s'', t)) AS t, r FROM (SELECT t, dense_rank() OVER (ORDER BY t) AS r FROM mixed) x WHERE r < 4 GROUP BY 1, 2'),
	('recursive', 'WITH RECURSIVE r AS (SELECT t FROM mixed UNION SELECT t FROM r) SELECT show(format(''%s'', t)) AS t, count(*) FROM r GROUP BY 1'),
	('count distinct', 'SELECT ''all'', count(DISTINCT t) FROM mixed'),
	('grouping sets', 'SELECT show(format(''%s'', t)) AS t, count(*) FROM (SELECT t, n FROM mixed GROUP BY GROUPING SETS ((t), (n))) x GROUP BY 1'),
	('array', 'SELECT ''all'', count(*) FROM (SELECT DISTINCT ARRAY[t] FROM mixed) x'),
	('row', 'SELECT ''all'', count(*) FROM (SELECT DISTINCT ROW(t, n) FROM mixed) x');
CREATE FUNCTION try(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	result text[] := '{}';
BEGIN
	FOR r IN EXECUTE query LOOP
		result := result || r::text;
	END LOOP;
	RETURN array_to_string(ARRAY(SELECT x FROM unnest(result) x ORDER BY x COLLATE "C"), ' ');
END $$;
SET purpose.current = 'types_bill';
SELECT name, try(query) FROM ways;
SET enable_hashagg = off;
SELECT count(*) AS "same when sorted" FROM ways w WHERE try(query) <> '' AND try(query) = (SELECT try(w.query) FROM (SELECT set_config('enable_hashagg', 'on', true)) x);
SET enable_hashagg = on;
SET enable_sort = off;
SELECT name, try(query) FROM ways WHERE name IN ('distinct', 'group', 'union', 'except');
RESET enable_sort;
RESET enable_hashagg;
SET purpose.current = 'types_other';
SELECT name, try(query) FROM ways WHERE name IN ('distinct', 'group', 'union', 'intersect', 'except', 'count distinct');
-- Opened values come first, in their type's order; then the others.
SET purpose.current = 'types_bill';
SELECT string_agg(show(format('%s', t)), ' ') FROM (SELECT t FROM mixed ORDER BY t LIMIT 11) x;
SELECT string_agg(show(format('%s', n)), ' ') FROM (SELECT n FROM mixed ORDER BY n DESC OFFSET 8) x;
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT t) FROM (SELECT t FROM mixed, generate_series(1, 200) ORDER BY t) x;
RESET work_mem;
-- Comparison of sealed with sealed in a query compares opened values.
SELECT count(*) FROM mixed a JOIN mixed b ON a.t = b.t;
SELECT count(*) FROM mixed a JOIN mixed b ON a.t OPERATOR(purpose.=) b.t;
SET enable_hashjoin = off;
SELECT count(*) FROM mixed a JOIN mixed b ON a.t OPERATOR(purpose.=) b.t;
SET enable_mergejoin = off;
SELECT count(*) FROM mixed a JOIN mixed b ON a.t OPERATOR(purpose.=) b.t;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET ROLE;

--
-- Text I/O.  Genuine text that looks like an envelope survives; an envelope is
-- never sealed again, in whatever type it is written back.
--
CREATE TABLE note (id int PRIMARY KEY, t purpose.sealed_text(types_bill), n purpose.sealed_numeric(types_bill));
SELECT purpose.protect('note', subject => 'id');
GRANT ALL ON note TO regress_purpose_types_app;
SET ROLE regress_purpose_types_app;
SET purpose.current = 'types_bill';
INSERT INTO note (id, t) VALUES (1, '\purpose:1:hello'), (2, '\\purpose:1:'), (3, 'purpose:2:x'), (4, ' purpose:1:x'), (5, 'Purpose:1:x'), (6, 'purpose:1'), (7, '\purpose'), (8, '\'), (9, '\x');
SELECT id, t AS shown, t::text AS opened FROM note ORDER BY id;
INSERT INTO note (id, t) VALUES (10, 'purpose:1:hello');
INSERT INTO note (id, t) VALUES (10, 'purpose:1:');
INSERT INTO note (id, t) VALUES (10, 'purpose:1:' || repeat('A', 64));
INSERT INTO note (id, n) VALUES (10, 'purpose:1:hello');
INSERT INTO note (id, n) VALUES (10, '\purpose:1:hello');
-- What is shown may be written back, as text, varchar, char and unknown.
PREPARE write_text(int, text) AS UPDATE note SET t = $2 WHERE id = $1;
PREPARE write_varchar(int, varchar) AS UPDATE note SET t = $2 WHERE id = $1;
PREPARE write_unknown(int, unknown) AS UPDATE note SET t = $2 WHERE id = $1;
PREPARE write_sealed AS UPDATE note SET t = $2 WHERE id = $1;
-- A parameter without a type becomes a sealed one.
SELECT count(*) FROM pg_prepared_statements WHERE name = 'write_sealed' AND parameter_types = '{integer,purpose.sealed_text}';
UPDATE note SET t = format('%s', t)::text;
UPDATE note SET t = format('%s', t)::varchar;
UPDATE note SET t = cast(format('%s', t) AS purpose.sealed_text);
SELECT id, t::text AS opened FROM note ORDER BY id;
-- The same with envelopes, by one who cannot open any.
SET purpose.current = 'types_other';
UPDATE note SET t = format('%s', t)::text;
UPDATE note SET t = format('%s', t)::varchar;
UPDATE note SET t = format('%s', t)::char(200);
UPDATE note SET t = cast(format('%s', t) AS purpose.sealed_text);
SELECT t AS e3 FROM note WHERE id = 3 \gset
SELECT t AS e4 FROM note WHERE id = 4 \gset
UPDATE note SET t = :'e3' WHERE id = 3;
EXECUTE write_text(4, :'e4');
EXECUTE write_varchar(4, :'e4');
EXECUTE write_unknown(4, :'e4');
EXECUTE write_sealed(4, :'e4');
SELECT bool_and(is_envelope(format('%s', t))) AS "all envelopes" FROM note;
SET purpose.current = 'types_bill';
EXECUTE write_text(5, 'five');
EXECUTE write_varchar(6, 'six');
EXECUTE write_unknown(7, 'seven');
EXECUTE write_sealed(8, 'eight');
SELECT id, t::text AS opened FROM note ORDER BY id;
-- One canonical text stands for an envelope.
UPDATE note SET t = :'e3' || '=' WHERE id = 3;
UPDATE note SET t = :'e3' || ' ' WHERE id = 3;
UPDATE note SET t = replace(:'e3', 'purpose:1:', 'purpose:1:_') WHERE id = 3;
UPDATE note SET t = left(:'e3', -3) WHERE id = 3;
UPDATE note SET n = :'e3' WHERE id = 3;
SELECT t FROM note WHERE id = 3;

--
-- What the session asked to see.
--
SET purpose.sealed_output = 'envelope';
SELECT is_envelope(format('%s', t)) AS shown, t::text AS opened FROM note WHERE id = 3;
SET purpose.sealed_output = 'error';
SELECT t FROM note WHERE id = 3;
SET purpose.current = 'types_other';
SELECT t FROM note WHERE id = 3;
SELECT t::text IS NULL AS "casts give NULL" FROM note WHERE id = 3;
SET purpose.sealed_output = 'open';
SELECT is_envelope(format('%s', t)) FROM note WHERE id = 3;
SET purpose.current = 'types_bill';
SELECT t FROM note WHERE id = 3;
RESET purpose.sealed_output;

--
-- COPY both ways, text, CSV and binary: a table as envelopes, whoever copies;
-- a query as the session may see it.
--
RESET ROLE;
CREATE TABLE copied (no int GENERATED ALWAYS AS IDENTITY, line text);
GRANT ALL ON copied TO regress_purpose_types_app;
SELECT current_setting('data_directory') || '/regress_purpose_types' AS file \gset
COPY note TO :'file';
COPY copied (line) FROM :'file' (DELIMITER E'\x01');
COPY (SELECT * FROM note) TO :'file' (FORMAT csv);
COPY copied (line) FROM :'file' (DELIMITER E'\x01');
SELECT DISTINCT no <= 9 AS "table", CASE WHEN line ~ 'purpose:1:[A-Za-z0-9_-]{64}' THEN 'envelope' ELSE line END AS line FROM copied ORDER BY 1 DESC, 2;
SET purpose.sealed_output = 'open';
TRUNCATE copied;
COPY note TO :'file';
COPY copied (line) FROM :'file' (DELIMITER E'\x01');
SELECT line FROM copied ORDER BY no LIMIT 2;
RESET purpose.sealed_output;
-- In binary, and back into the same table.
CREATE TEMPORARY TABLE before AS SELECT id, t, n FROM note;
COPY note TO :'file' (FORMAT binary);
DELETE FROM note;
COPY note FROM :'file' (FORMAT binary);
SELECT count(*) AS "all the same" FROM note JOIN before USING (id) WHERE note.t OPERATOR(purpose.=) before.t;
COPY (SELECT id, t, n FROM note WHERE id > 3) TO :'file' (FORMAT binary);
DELETE FROM note WHERE id > 3;
COPY note FROM :'file' (FORMAT binary);
SELECT count(*) AS "all the same" FROM note JOIN before USING (id) WHERE note.t OPERATOR(purpose.=) before.t;
COPY person TO :'file' (FORMAT binary);
CREATE TEMPORARY TABLE person_before AS SELECT * FROM person;
DELETE FROM person;
COPY person FROM :'file' (FORMAT binary);
COPY (SELECT * FROM person) TO :'file' (FORMAT binary);
DELETE FROM person;
COPY person FROM :'file' (FORMAT binary);
SELECT count(*) AS "all the same" FROM person p JOIN person_before q ON to_jsonb(p) = to_jsonb(q);
COPY person TO :'file';
DELETE FROM person;
COPY person FROM :'file';
SELECT count(*) AS "all the same" FROM person p JOIN person_before q ON to_jsonb(p) = to_jsonb(q);
-- Plaintext is sealed on its way in.
COPY note (id, t, n) FROM stdin;
20	plain	1.5
21	\\purpose:1:plain	\N
22	\N	NaN
\.
COPY note (id, t) FROM stdin;
23	purpose:1:forged
\.
SELECT id, t::text, n FROM note WHERE id >= 20 ORDER BY id;
COPY (SELECT) TO PROGRAM 'rm -f regress_purpose_types'; -- the server's working folder is its data directory

--
-- Large values: stored out of line, and read from there.
--
INSERT INTO note (id, t) VALUES (30, repeat('long ', 300000));
INSERT INTO person (id, j, by) SELECT 30, jsonb_object_agg('k' || g, md5(g::text)), decode(repeat('00ff', 500000), 'hex') FROM generate_series(1, 20000) g;
SELECT length(t), md5(t) = md5(repeat('long ', 300000)) AS same, left(t, 9) FROM note WHERE id = 30;
SELECT (SELECT count(*) FROM jsonb_object_keys(j)) AS keys, j ->> 'k20000' = md5('20000') AS same, length(by) FROM person WHERE id = 30;
UPDATE note SET t = t || '!' WHERE id = 30;
UPDATE note SET n = 1 WHERE id = 30;
SELECT length(t), right(t, 3) FROM note WHERE id = 30;
CREATE TEMPORARY TABLE large AS SELECT t FROM note WHERE id = 30;
SELECT length(t), right(t, 3) FROM large;
SELECT pg_column_size(t) - length(t) AS overhead, pg_column_compression(t) IS NULL AS "not compressed" FROM note WHERE id = 30;
SELECT reltoastrelid <> 0 AS toasted FROM pg_class WHERE oid = 'note'::regclass;
DELETE FROM note WHERE id >= 20;
DELETE FROM person WHERE id = 30;

--
-- Arrays, composite types and domains of sealed types, and domains over those.
--
CREATE DOMAIN mail AS purpose.sealed_text(types_bill) CHECK (VALUE LIKE '%@%');
CREATE DOMAIN mails AS mail[] CHECK (cardinality(VALUE) < 4);
CREATE TYPE contact AS (kind text, value purpose.sealed_text(types_bill), more purpose.sealed_int8(types_bill)[]);
CREATE DOMAIN checked_contact AS contact CHECK ((VALUE).kind <> '');
CREATE TYPE book AS (owner mail, contacts contact[]);
CREATE TABLE container (
	id int PRIMARY KEY,
	a purpose.sealed_text(types_bill)[],
	m mail,
	ms mails,
	c contact,
	cc checked_contact,
	cs contact[],
	b book);
SELECT purpose.protect('container', subject => 'id');
\d container
GRANT SELECT, INSERT, UPDATE ON container TO regress_purpose_types_app;
SET ROLE regress_purpose_types_app;
SET purpose.current = 'types_bill';
INSERT INTO container (id, a) VALUES (1, '{one,NULL,"two, three"}'), (2, ARRAY['x', 'y']), (3, '{}'), (4, '[5:6]={a,b}'), (5, '{{a,b},{c,d}}'), (6, ARRAY['z']::varchar[]);
INSERT INTO container (id, m, ms) VALUES (11, 'ann@x', '{ann@x,bob@x}');
INSERT INTO container (id, m) VALUES (12, 'nobody');
INSERT INTO container (id, ms) VALUES (12, '{ann@x,nobody}');
INSERT INTO container (id, ms) VALUES (12, '{a@a,b@b,c@c,d@d}');
INSERT INTO container (id, c, cc, cs, b) VALUES (13, ROW('phone', '555', '{1,2,NULL}'), '(fax,556,)', ARRAY[ROW('a', 'va', NULL), ROW('b', NULL, '{3}'), NULL]::contact[], ROW('ann@x', ARRAY[ROW('c', 'vc', '{}')::contact]));
INSERT INTO container (id, cc) VALUES (14, ROW('', 'x', NULL));
SELECT id, a FROM container WHERE a IS NOT NULL ORDER BY id;
SELECT m, ms, length(m), ms[2] || '!' AS ms2 FROM container WHERE id = 11;
SELECT c, cc, cs, b FROM container WHERE id = 13;
SELECT (c).value || '!' AS c, (cs[1]).value, (b).owner, (b).contacts[1].value, (c).more[2] + 1 AS more FROM container WHERE id = 13;
SELECT a[1], array_length(a, 1), a[2:3], 'one' = ANY (a) AS "any", array_to_json(a), array_to_string(a, '/') FROM container WHERE id = 1;
SELECT u, u::text FROM container, unnest(a) u WHERE id = 1;
SELECT to_jsonb(c) AS c, row_to_json(b) AS b FROM container WHERE id = 13;
-- Parts are changed in place; what was sealed stays as it was.
UPDATE container SET a[1] = 'first', a[4] = 'fourth' WHERE id = 1;
UPDATE container SET c.value = '777', c.more[1] = 9, cs[2].value = 'vb' WHERE id = 13;
UPDATE container SET a = array_append(a, 'last'::purpose.sealed_text) WHERE id = 1;
UPDATE container SET a = a || ARRAY['really last'::purpose.sealed_text] WHERE id = 1;
UPDATE container SET a = array_remove(a, 'fourth') WHERE id = 1;
SELECT a, (SELECT c FROM container WHERE id = 13), (SELECT cs FROM container WHERE id = 13) FROM container WHERE id = 1;
SET purpose.current = 'types_other';
SELECT id, regexp_replace(format('%s', a), 'purpose:1:[A-Za-z0-9_-]{64,}', 'E', 'g') AS a, a[1]::text IS NULL AS opened FROM container WHERE a IS NOT NULL ORDER BY id;
SELECT regexp_replace(format('%s %s %s %s %s %s', m, ms, c, cc, cs, b), 'purpose:1:[A-Za-z0-9_-]{64,}', 'E', 'g') AS closed FROM container WHERE id > 6 ORDER BY id;
SELECT to_jsonb(c) AS c, row_to_json(b) AS b, (c).value || '!' AS value FROM container WHERE id = 13;
-- What is shown can be written back; but where a domain's check would have to
-- open what was typed in, by none but who may open it.
UPDATE container SET c = format('%s', c)::contact, cc = format('%s', cc)::checked_contact, cs = format('%s', cs)::contact[] WHERE id = 13;
UPDATE container SET b = format('%s', b)::book WHERE id = 13;
UPDATE container SET a = format('%s', a)::purpose.sealed_text[] WHERE a IS NOT NULL;
UPDATE container SET m = format('%s', m)::mail, ms = format('%s', ms)::mails WHERE id = 11;
SET purpose.current = 'types_bill';
SELECT a FROM container WHERE id = 1;
SELECT c, cs, b FROM container WHERE id = 13;
RESET ROLE;
COPY container TO :'file' (FORMAT binary);
DELETE FROM container;
COPY container FROM :'file' (FORMAT binary);
COPY (SELECT * FROM container) TO :'file';
DELETE FROM container;
COPY container FROM :'file';
SELECT a, m, ms, cs, b FROM container WHERE id IN (1, 11, 13) ORDER BY id;
COPY (SELECT) TO PROGRAM 'rm -f regress_purpose_types';
-- Ranges have an order of their own, and are refused.
CREATE TYPE span AS RANGE (subtype = purpose.sealed_int8, multirange_type_name = spans);
CREATE TABLE ranges (id int PRIMARY KEY, r span, m spans);
INSERT INTO ranges VALUES (1, NULL, NULL);
INSERT INTO ranges VALUES (2, '[1,2)');
INSERT INTO ranges VALUES (2, NULL, '{[1,2)}');

--
-- Types and labels: modifiers of the base type, the order of purposes, and what
-- is refused.
--
CREATE TABLE modified (id int PRIMARY KEY,
	n purpose.sealed_numeric('(6,2)', types_bill),
	ts purpose.sealed_timestamptz('(0)', types_bill),
	p purpose.sealed_text(types_other, types_bill, 'never types_third', 'pad 64', 'group invoices'),
	a purpose.sealed_numeric('(3,1)', types_bill)[]);
SELECT purpose.protect('modified', subject => 'id');
\d modified
SET purpose.current = 'types_bill';
INSERT INTO modified VALUES (1, 1234.567, '2020-01-01 00:00:00.7+00', 'short', '{1.25,99.94}');
SELECT n, ts, p, a FROM modified;
INSERT INTO modified (id, n) VALUES (2, 12345);
INSERT INTO modified (id, n) VALUES (2, '12345');
INSERT INTO modified (id, a) VALUES (2, '{100}');
COPY modified (id, n) FROM stdin;
3	1.005
\.
UPDATE modified SET n = n * 1.005 WHERE id = 3;
INSERT INTO modified (id, n) VALUES (4, 7) RETURNING n, n + 0.001;
SELECT id, n FROM modified ORDER BY id;
SELECT 1.005::purpose.sealed_numeric('(6,2)', types_bill), '1.005'::purpose.sealed_numeric('(6,2)', types_bill), 'x'::purpose.sealed_text(types_bill) || 'y';
SELECT min(pg_column_size(p)) AS padded FROM modified;
UPDATE modified SET p = repeat('x', 63) WHERE id = 3;
UPDATE modified SET p = repeat('x', 64) WHERE id = 4;
SELECT id, pg_column_size(p) AS padded, length(p) FROM modified ORDER BY id;
-- Numbers do not show their size.
SELECT pg_column_size(n) AS size, count(*) FROM modified GROUP BY 1;
SELECT format_type('purpose.sealed_text'::regtype, purpose.sealed_typmod_in('{types_b,types_a,types_b}')) = format_type('purpose.sealed_text'::regtype, purpose.sealed_typmod_in('{types_a,types_b}')) AS "order does not matter";
CREATE TABLE refused (t purpose.sealed_text());
CREATE TABLE refused (t purpose.sealed_text('never types_bill'));
CREATE TABLE refused (t purpose.sealed_text(types_bill, 'else null'));
CREATE TABLE refused (t purpose.sealed_text(types_bill, 'category user.contact'));
CREATE TABLE refused (t purpose.sealed_text("Types Bill"));
CREATE TABLE lowered (t purpose.sealed_text('Types_bill'));
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'lowered'::regclass AND attname = 't';
CREATE TABLE refused (t purpose.sealed_text(types_bill, 'pad 0'));
CREATE TABLE refused (t purpose.sealed_text(types_bill, 'pad 4', 'pad 8'));
CREATE TABLE refused (t purpose.sealed_text(types_bill, '(nonsense'));
CREATE TABLE refused (t purpose.sealed_text(42));
CREATE TABLE refused (t purpose.sealed_numeric(types_bill, '(0,2)'));
CREATE TABLE refused (j purpose.sealed_jsonb(types_bill, '(10)'));
CREATE TABLE shortened (id int PRIMARY KEY, t purpose.sealed_text(types_bill, '(3)'));
SELECT purpose.protect('shortened', subject => 'id');
INSERT INTO shortened VALUES (1, 'abc'), (2, 'abc  ') RETURNING t;
INSERT INTO shortened VALUES (3, 'abcd');
CREATE TABLE refused (t purpose.sealed_numeric(types_bill, '(1); SELECT 1'));
-- An unknown purpose is accepted (a restore makes tables first), and allows nothing.
CREATE TABLE unknown (id int PRIMARY KEY, t purpose.sealed_text(types_nobody));
SELECT purpose.protect('unknown', subject => 'id');
INSERT INTO unknown VALUES (1, 'x');
SELECT is_envelope(format('%s', t)) FROM unknown;
-- A column without a label takes sealed values and cannot seal.
CREATE TABLE bare (id int PRIMARY KEY, t purpose.sealed_text);
SELECT purpose.protect('bare', subject => 'id');
INSERT INTO bare VALUES (1, 'x');
INSERT INTO bare VALUES (1, purpose.seal('x', 'bare', 1, 'for types_bill'));
SELECT * FROM bare;
-- A modifier that this database does not know prints in a form that it reads.
SELECT format_type('purpose.sealed_text'::regtype, 12345);
CREATE TABLE numbered (id int PRIMARY KEY, t purpose.sealed_text('#12345'));
\d numbered
CREATE TABLE refused (t purpose.sealed_text('#x'));
CREATE TABLE refused (t purpose.sealed_text('#-1'));

--
-- The label goes with the column: LIKE, CREATE TABLE AS, views, partitions,
-- inheritance; the value's goes wherever the value goes.
--
CREATE TABLE liked (LIKE person INCLUDING ALL);
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = 'liked'::regclass AND a.attname IN ('t', 'n');
SELECT count(*) AS checks FROM pg_constraint WHERE conrelid = 'liked'::regclass AND contype = 'c';
INSERT INTO liked (id, t) VALUES (1, 'plain');
INSERT INTO liked SELECT * FROM person;
SELECT id, t, n FROM liked WHERE id = 1;
CREATE TABLE made AS SELECT id, t, upper(t) AS u, n FROM person WHERE id = 1;
SELECT into_.t, into_.u FROM made into_;
SELECT id, t, n INTO made_by_into FROM person;
CREATE MATERIALIZED VIEW materialized AS SELECT id, t FROM person;
CREATE VIEW seen AS SELECT id, t, n FROM person;
CREATE TEMPORARY TABLE temporary AS TABLE person;
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), (SELECT count(*) FROM pg_constraint o WHERE o.conrelid = c.oid AND o.conkey = ARRAY[a.attnum]) AS checks
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relname IN ('made', 'made_by_into', 'materialized', 'seen', 'temporary') AND a.attname IN ('t', 'u') ORDER BY 1, 2;
CREATE TABLE made_plain AS SELECT 1 AS id, 'plain'::purpose.sealed_text(types_bill) AS t;
SELECT purpose.protect('seen', subject => 'id');
UPDATE seen SET t = 'through the view' WHERE id = 1;
SELECT p.t, m.t, x.t FROM person p, materialized m, temporary x WHERE p.id = 1 AND m.id = 1 AND x.id = 1;
REFRESH MATERIALIZED VIEW materialized;
SET purpose.current = 'types_other';
SELECT is_envelope(format('%s', l.t)), is_envelope(format('%s', m.t)), is_envelope(format('%s', v.t)), is_envelope(format('%s', s.t)), is_envelope(format('%s', x.t)) FROM liked l, made m, materialized v, seen s, temporary x WHERE l.id = 1 AND v.id = 1 AND s.id = 1 AND x.id = 1;
REFRESH MATERIALIZED VIEW materialized;
SET purpose.current = 'types_bill';
SELECT t FROM materialized WHERE id = 1;
-- Partitions.
CREATE TABLE parted (id int, region text, t purpose.sealed_text(types_bill), PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
SELECT purpose.protect('parted', subject => 'id', of => 'person');
CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us');
CREATE TABLE parted_as (LIKE parted INCLUDING ALL);
ALTER TABLE parted ATTACH PARTITION parted_as FOR VALUES IN ('as');
CREATE TABLE parted_rest PARTITION OF parted DEFAULT PARTITION BY RANGE (id);
CREATE TABLE parted_rest_1 PARTITION OF parted_rest FOR VALUES FROM (0) TO (100);
INSERT INTO parted VALUES (1, 'eu', 'in eu'), (2, 'us', 'in us'), (3, 'as', 'in as'), (4, 'xx', 'in rest');
INSERT INTO parted_us VALUES (5, 'us', 'directly');
COPY parted FROM stdin;
6	as	copied
\.
UPDATE parted SET region = 'us' WHERE id = 1;
UPDATE parted SET region = 'eu', t = 'moved and changed' WHERE id = 2;
SELECT tableoid::regclass, * FROM parted ORDER BY id;
SELECT t.tgrelid::regclass, t.tgenabled FROM pg_trigger t WHERE t.tgname = '~purpose_seal' AND t.tgrelid::regclass::text LIKE 'parted%' ORDER BY 1;
ALTER TABLE parted DETACH PARTITION parted_as;
SELECT t FROM parted_as ORDER BY id;
INSERT INTO parted_as VALUES (7, 'as', 'plain');
-- A column that comes later.
ALTER TABLE parted ADD COLUMN n purpose.sealed_numeric(types_bill);
UPDATE parted SET n = id;
SELECT id, n FROM parted ORDER BY id;
-- Inheritance.
CREATE TABLE parent (id int PRIMARY KEY, t purpose.sealed_text(types_bill));
CREATE TABLE child (extra purpose.sealed_text(types_bill)) INHERITS (parent);
SELECT purpose.protect('parent', subject => 'id');
CREATE TABLE late_child () INHERITS (parent);
INSERT INTO parent VALUES (1, 'parent');
INSERT INTO child VALUES (2, 'child', 'extra');
INSERT INTO late_child VALUES (3, 'late');
SELECT tableoid::regclass, * FROM parent ORDER BY id;
ALTER TABLE parent ADD COLUMN n purpose.sealed_numeric(types_bill);
UPDATE parent SET n = id;
SELECT tableoid::regclass, * FROM parent ORDER BY id;
SELECT extra FROM child;

--
-- PL/pgSQL, prepared statements and cursors follow the purpose of the moment.
--
CREATE FUNCTION variables(wanted int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	v person.t%TYPE;
	s purpose.sealed_text;
	plain text;
	r person;
	a purpose.sealed_text[];
	x record;
BEGIN
	SELECT t INTO v FROM person WHERE id = wanted;
	s := v;
	plain := s;
	SELECT * INTO r FROM person WHERE id = wanted;
	a := ARRAY[r.t, 'own'::purpose.sealed_text];
	FOR x IN SELECT t FROM person WHERE id = wanted LOOP
		plain := concat_ws('/', plain, length(x.t));
	END LOOP;
	s := 'assigned';
	IF v = 'through the view' THEN
		plain := plain || '/equal';
	END IF;
	RETURN concat_ws('/', plain, r.t || '!', a[2] || '?', s || '.', length(r.t));
END $$;
GRANT SELECT ON ALL TABLES IN SCHEMA regress_purpose_types TO regress_purpose_types_app;
SET ROLE regress_purpose_types_app;
SELECT variables(1);
SET purpose.current = 'types_other';
SELECT variables(1);
SET purpose.current = 'types_bill';
SELECT variables(1);
SET plan_cache_mode = force_generic_plan;
PREPARE find(text) AS SELECT id, t || '!' AS t FROM person WHERE t = $1;
EXECUTE find('through the view');
SET purpose.current = 'types_other';
EXECUTE find('through the view');
SET purpose.current = 'types_bill';
EXECUTE find('through the view');
RESET plan_cache_mode;
BEGIN;
DECLARE c CURSOR FOR SELECT id, left(format('%s', t), 10) AS shown, t::text IS NULL AS closed FROM person WHERE id IN (1, 2, 3) ORDER BY id;
FETCH c;
SET purpose.current = 'types_other';
FETCH c;
SET purpose.current = 'types_bill';
FETCH BACKWARD 1 FROM c;
COMMIT;
BEGIN;
DECLARE s SCROLL CURSOR FOR SELECT id, left(format('%s', t), 10) AS shown FROM person WHERE id IN (1, 4, 5) ORDER BY id DESC;
FETCH ALL FROM s;
SET LOCAL purpose.current = 'types_other';
FETCH BACKWARD ALL FROM s;
COMMIT;
-- The opened value of a variable is the session's; the sealed one is judged again.
DO $$
DECLARE
	sealed purpose.sealed_text;
	plain text;
BEGIN
	SET LOCAL client_min_messages = notice;
	SELECT t, t INTO sealed, plain FROM person WHERE id = 1;
	PERFORM set_config('purpose.current', 'types_other', true);
	RAISE NOTICE 'plain %, sealed opens as %', plain, sealed::text;
END $$;
RESET ROLE;

--
-- Statistics hold nothing of a value.
--
ANALYZE person;
SELECT attname, null_frac, avg_width > 48 AS wide, n_distinct, most_common_vals IS NULL AND histogram_bounds IS NULL AS "no values", correlation
FROM pg_stats WHERE schemaname = 'regress_purpose_types' AND tablename = 'person' AND attname <> 'id' ORDER BY attname;

-- Leave nothing behind.
RESET purpose.current;
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_types CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{types_bill,types_other}'::text[]) p;
DROP ROLE regress_purpose_types_app;
