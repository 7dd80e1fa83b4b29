--
-- Casts of sealed types, all of them, against those of their base types: each
-- cast of a sealed type gives what the same cast of the base type gives; what
-- may not be opened gives NULL; and no cast of a base type is missing.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';
CREATE ROLE regress_purpose_casts_app;
SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{casts_bill,casts_other}'::text[]) p;
SELECT purpose.grant_purpose(p, 'regress_purpose_casts_app') FROM unnest('{casts_bill,casts_other}'::text[]) p;
CREATE SCHEMA regress_purpose_casts;
GRANT ALL ON SCHEMA regress_purpose_casts TO regress_purpose_casts_app;
SET search_path = regress_purpose_casts;

CREATE TABLE sample (id int PRIMARY KEY,
	"text" text, "jsonb" jsonb, "numeric" numeric, "int8" int8, "date" date, "timestamptz" timestamptz, "bool" bool, "bytea" bytea, "inet" inet);
INSERT INTO sample VALUES
	(1, '12', '17', 42.6, 43, '2020-02-29', '2020-02-29 12:34:56.789+02', true, '\x3132', '10.1.2.3/16'),
	(2, '2020-01-01', '"text"', -1, -1, '1970-01-01', '1970-01-01 00:00+00', false, '\x', '::1/64'),
	(3, '', 'true', 1e30, 5000000000, 'infinity', 'infinity', NULL, '\xff00', '0.0.0.0/0'),
	(4, '<a/>', 'null', 'NaN', 0, '-infinity', '-infinity', NULL, '\x00', '255.255.255.255'),
	(5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE sealed (id int PRIMARY KEY,
	"text" purpose.sealed_text(casts_bill), "jsonb" purpose.sealed_jsonb(casts_bill), "numeric" purpose.sealed_numeric(casts_bill),
	"int8" purpose.sealed_int8(casts_bill), "date" purpose.sealed_date(casts_bill), "timestamptz" purpose.sealed_timestamptz(casts_bill),
	"bool" purpose.sealed_bool(casts_bill), "bytea" purpose.sealed_bytea(casts_bill), "inet" purpose.sealed_inet(casts_bill));
SELECT purpose.protect('sealed', subject => 'id');
INSERT INTO sealed SELECT * FROM sample;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_casts TO regress_purpose_casts_app;

-- The value of an expression as text, or its SQLSTATE.
CREATE FUNCTION value_of(expression text, relation text, id int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT (%s)::text FROM %s WHERE id = %s', expression, relation, id) INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

-- Every cast to or from a sealed type.
CREATE VIEW casts AS
	SELECT r.sealed_type, r.base_type, b.typname AS base, c.castsource = r.sealed_type AS opens,
		   CASE WHEN c.castsource = r.sealed_type THEN c.casttarget ELSE c.castsource END::regtype AS other, c.castcontext AS context
	FROM purpose.sealed_type_registry r JOIN pg_cast c ON r.sealed_type IN (c.castsource, c.casttarget) AND c.castsource <> c.casttarget
	JOIN pg_type b ON b.oid = r.base_type
	WHERE r.shipped AND NOT r.searchable;
GRANT SELECT ON casts TO regress_purpose_casts_app;
SELECT base, string_agg(other || CASE context WHEN 'i' THEN ' (implicit)' WHEN 'a' THEN '' ELSE ' (explicit)' END, ', ' ORDER BY other::text COLLATE "C") FILTER (WHERE opens) AS "to",
	string_agg(other || CASE context WHEN 'i' THEN ' (implicit)' WHEN 'a' THEN '' ELSE ' (explicit)' END, ', ' ORDER BY other::text COLLATE "C") FILTER (WHERE NOT opens) AS "from"
FROM casts WHERE NOT (base = 'bytea' AND other::text ~ 'int' OR base ~ '^int' AND other = 'bytea'::regtype) -- since 18
GROUP BY base ORDER BY base COLLATE "C";
-- Searchable types have the same, but that none of theirs is implicit for smaller numbers.
SELECT s.typname, count(*) FILTER (WHERE x.castcontext IS DISTINCT FROM c.castcontext) AS different
FROM purpose.sealed_type_registry r JOIN purpose.sealed_type_registry p ON p.base_type = r.base_type AND NOT p.searchable
JOIN pg_type s ON s.oid = r.sealed_type
JOIN pg_cast c ON c.castsource = p.sealed_type OR c.casttarget = p.sealed_type
LEFT JOIN pg_cast x ON x.castsource = CASE c.castsource WHEN p.sealed_type THEN r.sealed_type ELSE c.castsource END
	AND x.casttarget = CASE c.casttarget WHEN p.sealed_type THEN r.sealed_type ELSE c.casttarget END
WHERE r.searchable GROUP BY 1 ORDER BY 1;

SET ROLE regress_purpose_casts_app;
SET purpose.current = 'casts_bill';
-- Opening: what the base type's cast gives, errors included; for json what
-- to_json() gives.
CREATE VIEW opened AS
	SELECT base, other, id, value_of(CASE other WHEN 'json'::regtype THEN format('to_json(%I)', base) ELSE format('%I::%s', base, other) END, 'sample', id) AS base_gives,
		   value_of(format('%I::%s', base, other), 'sealed', id) AS sealed_gives
	FROM casts, generate_series(1, 5) id WHERE opens;
SELECT * FROM opened WHERE base_gives IS DISTINCT FROM sealed_gives;
SELECT count(DISTINCT (base, other)) > 80 AS "all casts", bool_and(sealed_gives IS NOT NULL) AS "each gives something" FROM opened WHERE id = 1;
-- Closed: NULL, from every cast.
SET purpose.current = 'casts_other';
SELECT * FROM opened WHERE sealed_gives IS NOT NULL;
SET purpose.current = 'casts_bill';
-- Sealing: a value of the other type, cast to the sealed one and opened again,
-- is what the cast to the base type gives.
CREATE TEMPORARY TABLE others AS
	SELECT DISTINCT other, unnest(CASE other
		WHEN 'jsonb'::regtype THEN '{17,"\"text\"",true,null}' WHEN 'json'::regtype THEN '{17,"{\"a\":1}",null}'
		WHEN 'date'::regtype THEN '{2020-02-29,infinity}' WHEN 'timestamp'::regtype THEN '{2020-02-29 12:34:56.789,-infinity}'
		WHEN 'timestamptz'::regtype THEN '{2020-02-29 23:34:56.789-02,infinity}' WHEN 'time'::regtype THEN '{12:34:56}'
		WHEN 'bool'::regtype THEN '{t,f}' WHEN 'bytea'::regtype THEN '{"\\x00ff","\\x"}' WHEN 'bit'::regtype THEN '{1,0}'
		WHEN 'inet'::regtype THEN '{10.0.0.1/8,::1}' WHEN 'cidr'::regtype THEN '{10.0.0.0/8,::/0}'
		WHEN 'xml'::regtype THEN '{<a/>}' WHEN '"char"'::regtype THEN '{x}' WHEN 'money'::regtype THEN '{12.34}'
		WHEN 'oid'::regtype THEN '{1,4000000000}'
		ELSE CASE WHEN other IN ('text'::regtype, 'varchar', 'bpchar', 'name') THEN '{12,2020-01-01,t,"\\x00",10.0.0.1,"{\"a\": 1}","","a b  "}' ELSE '{1,42,-7}' END
		END::text[]) AS value
	FROM casts WHERE NOT opens;
SELECT base, c.other, value, value_of(format('%L::%s::%s', value, c.other, base_type), 'sample', 1) AS base_gives,
	value_of(format('%L::%s::%s', value, c.other, sealed_type), 'sample', 1) AS sealed_gives
FROM casts c JOIN others o ON o.other = c.other
WHERE NOT opens AND value_of(format('%L::%s::%s', value, c.other, base_type), 'sample', 1) IS DISTINCT FROM value_of(format('%L::%s::%s', value, c.other, sealed_type), 'sample', 1)
ORDER BY base COLLATE "C", c.other::text COLLATE "C", value COLLATE "C";
SELECT count(DISTINCT (base, c.other)) > 50 AS "all casts",
	string_agg(DISTINCT base || ' from ' || c.other, ', ') FILTER (WHERE NOT something) AS "gives nothing"
FROM (SELECT base, c.other, bool_or(value_of(format('%L::%s::%s', value, c.other, sealed_type), 'sample', 1) !~ '^[0-9A-Z]{5}$') AS something
	FROM casts c JOIN others o ON o.other = c.other WHERE NOT opens AND c.other::text !~ '^pg_' GROUP BY 1, 2) c;
-- Nothing is missing: each cast of a base type within pg_catalog has its twin,
-- but for names of catalog objects.
SELECT b.typname AS base, format_type(CASE WHEN c.castsource = b.oid THEN c.casttarget ELSE c.castsource END, NULL) AS other, c.castsource = b.oid AS opens
FROM pg_cast c JOIN pg_type b ON b.oid IN (c.castsource, c.casttarget) JOIN purpose.sealed_type_registry r ON r.base_type = b.oid AND r.shipped AND NOT r.searchable
JOIN pg_type o ON o.oid = CASE WHEN c.castsource = b.oid THEN c.casttarget ELSE c.castsource END
WHERE c.castsource <> c.casttarget AND o.typtype = 'b' AND o.oid < 16384 AND o.typname NOT LIKE 'reg%' AND o.typname NOT LIKE 'pg\_%'
AND NOT EXISTS (SELECT FROM casts x WHERE x.base_type = b.oid AND x.opens = (c.castsource = b.oid) AND x.other = o.oid)
ORDER BY 1, 2, 3;

--
-- Each operator of pg_catalog gives a sealed operand what it gives one of the
-- base type, beside an operand of any type, a literal, or another sealed one.
--
CREATE FUNCTION type_of(expression text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('SELECT pg_typeof(%s)', expression) INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE TEMPORARY TABLE operators AS
	SELECT o.oprname, r.base_type, r.sealed_type, o.oprleft = r.base_type AS first,
		   CASE WHEN o.oprleft = r.base_type THEN o.oprright ELSE o.oprleft END::regtype AS other, o.oprleft = 0 AS prefix
	FROM purpose.sealed_type_registry r JOIN pg_operator o ON r.base_type IN (o.oprleft, o.oprright)
	WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND r.shipped AND NOT r.searchable;
SELECT o.oprname, o.base_type, e.format, type_of(format(e.format, base_type, oprname, other)) AS base_gives, type_of(format(e.format, sealed_type, oprname, other)) AS sealed_gives
FROM operators o CROSS JOIN LATERAL (VALUES
	(CASE WHEN first THEN 'NULL::%1$s %2$s NULL::%3$s' WHEN prefix THEN '%2$s NULL::%1$s' ELSE 'NULL::%3$s %2$s NULL::%1$s' END),
	(CASE WHEN first THEN 'NULL::%1$s %2$s NULL' WHEN prefix THEN '%2$s NULL::%1$s' ELSE 'NULL %2$s NULL::%1$s' END),
	(CASE WHEN prefix THEN '%2$s NULL::%1$s' ELSE 'NULL::%1$s %2$s NULL::%1$s' END)) e(format)
WHERE type_of(format(e.format, base_type, oprname, other)) IS DISTINCT FROM type_of(format(e.format, sealed_type, oprname, other));
SELECT count(*) > 150 AS "all operators" FROM operators;
-- And each function and aggregate with one argument.
SELECT p.oid::regprocedure, type_of(format('%s(NULL::%s)', p.proname, r.base_type)) AS base_gives, type_of(format('%s(NULL::%s)', p.proname, r.sealed_type)) AS sealed_gives
FROM purpose.sealed_type_registry r JOIN pg_proc p ON p.pronargs = 1 AND p.proargtypes[0] = r.base_type AND p.pronamespace = 'pg_catalog'::regnamespace
WHERE r.shipped AND NOT r.searchable AND p.prokind IN ('f', 'a') AND NOT p.proretset
AND type_of(format('%s(NULL::%s)', p.proname, r.base_type)) IS DISTINCT FROM type_of(format('%s(NULL::%s)', p.proname, r.sealed_type));
SELECT "jsonb" || '{"b": 2}' AS jsonb, "jsonb" || "jsonb" AS twice, "bytea" || '\x00' AS bytea, "text" || 'x' AS text FROM sealed WHERE id = 2;
UPDATE sealed SET "jsonb" = "jsonb" || '[1]', "bytea" = "bytea" || '\x01' WHERE id = 2 RETURNING "jsonb", "bytea";
SET purpose.current = 'casts_other';
SELECT "jsonb" || '{"b": 2}' AS jsonb, "bytea" || '\x00' AS bytea, "text" || 'x' AS text FROM sealed WHERE id = 2;
SET purpose.current = 'casts_bill';

--
-- Which cast an expression takes without being told.
--
SELECT pg_typeof(s."text" || ''), pg_typeof(s."int8" + 1), pg_typeof(s."numeric" * 2), pg_typeof(s."date" + 1), pg_typeof(s."timestamptz" - now()), pg_typeof(NOT s."bool"), pg_typeof(s."inet" + 1), pg_typeof(s."jsonb" -> 'a'), pg_typeof(s."bytea" || '\x00')
FROM sealed s WHERE id = 1;
SELECT pg_typeof(coalesce(s."text", '')) AS text, pg_typeof(coalesce(s."text", ''::varchar)) AS varchar, pg_typeof(coalesce(s."text", ''::text)) AS plain, pg_typeof(coalesce(s."int8", 0)) AS int4, pg_typeof(coalesce(s."numeric", 0)) AS numeric,
	pg_typeof(coalesce(s."numeric", 0.0)) AS decimal, pg_typeof(coalesce(s."int8", 0::int8)) AS int8, pg_typeof(coalesce(s."date", current_date)) AS date, pg_typeof(coalesce(s."bool", false)) AS bool
FROM sealed s WHERE id = 1;
SELECT coalesce(s."int8", 0) + 1 AS i, coalesce(s."numeric", 0) AS n, CASE WHEN s.id = 5 THEN 0 ELSE s."int8" END AS c, greatest(s."int8", 44, 12) AS g FROM sealed s WHERE id IN (1, 5) ORDER BY id;
SELECT i FROM (SELECT "int8" AS i FROM sealed UNION ALL SELECT 7) u WHERE i IN (7, 43) ORDER BY i::int8;
SELECT abs("int8"), sum("int8"), round("numeric"), sum("numeric"), max("date"), extract(year FROM "date") AS year, to_char("timestamptz", 'YYYY') AS to_char, host("inet"), encode("bytea", 'hex'), jsonb_typeof("jsonb"), lower("text")
FROM sealed WHERE id = 1 GROUP BY id;
-- What a base type takes only on assignment, a sealed one does not take in an expression.
SELECT "numeric" FROM sealed WHERE "text" = 12;
SELECT "int8" || 'x', "text" + 1 FROM sealed;
CREATE TABLE plain (t text, v varchar(3), c char(4), i int4, i2 int2, n numeric(6,1), f float8, d date, ts timestamp, b bool, j json);
INSERT INTO plain SELECT "text", "text", "text", "int8", "numeric", "numeric", "numeric", "timestamptz", "timestamptz", "bool", "jsonb" FROM sealed WHERE id IN (1, 5);
INSERT INTO plain (t, v, c) SELECT "int8", "date", "inet" FROM sealed WHERE id = 1;
INSERT INTO plain (t, c) SELECT "date", "bool" FROM sealed WHERE id = 1;
INSERT INTO plain (i) SELECT "int8" FROM sealed WHERE id = 3;
INSERT INTO plain (i) SELECT "text" FROM sealed WHERE id = 1;
SELECT * FROM plain;
SET purpose.current = 'casts_other';
INSERT INTO plain SELECT "text", "text", "text", "int8", "numeric", "numeric", "numeric", "timestamptz", "timestamptz", "bool", "jsonb" FROM sealed WHERE id = 1 RETURNING plain IS NULL AS "all NULL";

-- Leave nothing behind.
RESET ROLE;
RESET purpose.current;
DROP SCHEMA regress_purpose_casts CASCADE;
DROP TABLE pg_temp.others, pg_temp.operators;
SELECT purpose.drop_purpose(p) FROM unnest('{casts_bill,casts_other}'::text[]) p;
DROP ROLE regress_purpose_casts_app;
