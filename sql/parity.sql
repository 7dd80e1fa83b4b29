--
-- Plan parity: a query on a protected table gets the plan that the same query
-- gets on a table like it without protection, index conditions included, and
-- the row rule beside them.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT purpose.create_purpose('parity_bill', basis => 'contract');
SELECT purpose.create_purpose('parity_news', basis => 'consent');
SELECT purpose.create_purpose('parity_news.daily');
SELECT purpose.create_purpose('parity_ads', basis => 'legitimate_interests');
CREATE ROLE regress_purpose_parity_app;
SELECT purpose.grant_purpose(p, 'regress_purpose_parity_app') FROM unnest('{parity_bill,parity_news,parity_news.daily,parity_ads}'::text[]) p;
CREATE SCHEMA regress_purpose_parity;
SET search_path = regress_purpose_parity;
GRANT USAGE ON SCHEMA regress_purpose_parity TO PUBLIC;

CREATE TABLE person (id int PRIMARY KEY);
INSERT INTO person SELECT generate_series(1, 1000);
-- The same table three times: plain, as it is; guarded, protected; barrier, with
-- a policy written by hand, as PostgreSQL alone does it.
CREATE TABLE plain (id int PRIMARY KEY, person int REFERENCES person, t text COLLATE "C", n numeric, d date,
	ts timestamp, tz timestamptz, u uuid, j jsonb, v tsvector, a int[], r int4range, i inet, b boolean);
INSERT INTO plain SELECT i, i % 1000 + 1, 'text ' || i, i, '2020-01-01'::date + i % 1000, '2020-01-01'::timestamp + i * interval '1 hour',
	'2020-01-01 UTC'::timestamptz + i * interval '1 hour', md5(i::text)::uuid, jsonb_build_object('k', i, 'l', i % 10),
	to_tsvector('simple', 'word' || i || ' all'), ARRAY[i, i % 7], int4range(i, i + 5), '10.0.0.0'::inet + i, i % 2 = 0
FROM generate_series(1, 10000) i;
CREATE INDEX ON plain (t);
CREATE INDEX ON plain (lower(t) text_pattern_ops);
CREATE INDEX ON plain (n);
CREATE INDEX ON plain (d);
CREATE INDEX ON plain (ts);
CREATE INDEX ON plain (tz);
CREATE INDEX ON plain (u);
CREATE INDEX ON plain (person, d);
CREATE INDEX ON plain USING gin (j);
CREATE INDEX ON plain ((j ->> 'k'));
CREATE INDEX ON plain USING gin (v);
CREATE INDEX ON plain USING gin (a);
CREATE INDEX ON plain USING gist (r);
CREATE INDEX ON plain USING gist (i inet_ops);
CREATE INDEX ON plain ((ts::date));
CREATE TABLE guarded (LIKE plain INCLUDING ALL);
INSERT INTO guarded SELECT * FROM plain;
CREATE TABLE barrier (LIKE plain INCLUDING ALL);
INSERT INTO barrier SELECT * FROM plain;
ALTER TABLE barrier ENABLE ROW LEVEL SECURITY;
CREATE POLICY hand ON barrier USING (person <> 0);
SELECT purpose.protect('person', subject => 'id');
SELECT purpose.protect('guarded', subject => 'person', of => 'person');
CREATE TABLE plain_parts (person int, at date, n numeric) PARTITION BY RANGE (at);
CREATE TABLE plain_parts_1 PARTITION OF plain_parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE plain_parts_2 PARTITION OF plain_parts FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE INDEX ON plain_parts (n);
INSERT INTO plain_parts SELECT i % 1000 + 1, '2020-01-01'::date + i % 700, i FROM generate_series(1, 5000) i;
CREATE TABLE guarded_parts (person int, at date, n numeric) PARTITION BY RANGE (at);
CREATE TABLE guarded_parts_1 PARTITION OF guarded_parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE guarded_parts_2 PARTITION OF guarded_parts FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
CREATE INDEX ON guarded_parts (n);
INSERT INTO guarded_parts SELECT * FROM plain_parts;
SELECT purpose.protect('guarded_parts', subject => 'person', of => 'person');
CREATE TABLE barrier_parts (LIKE plain_parts);
GRANT SELECT ON ALL TABLES IN SCHEMA regress_purpose_parity TO PUBLIC;
SELECT count(purpose.grant_consent('person', i, 'parity_news')) FROM generate_series(1, 700) i;
SELECT count(purpose.object_to('person', i, 'parity_ads')) FROM generate_series(1, 100) i;
ANALYZE person;
ANALYZE plain;
ANALYZE guarded;
ANALYZE barrier;
ANALYZE plain_parts;
ANALYZE guarded_parts;
ANALYZE purpose.consent_state;

-- What a plan does with one of the tables: what it joins, sorts and scans by which
-- index condition.  Not the rule itself, nor whether an index is read by a bitmap.
CREATE FUNCTION plan_of(query text, relation text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || replace(query, 'TABLE', relation) LOOP
		line := btrim(replace(line, relation, 'TABLE'), ' ->');
		IF line ~ '^(Index Cond|.*Seq Scan|.*Join|Nested Loop|.*Aggregate|Sort|Limit|Append)' THEN
			plan := plan || line || E'\n';
		END IF;
	END LOOP;
	RETURN plan;
END $$;
-- A plan without OIDs.
CREATE FUNCTION explained(query text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		RETURN NEXT regexp_replace(line, '''\d+''::oid', 'OID', 'g');
	END LOOP;
END $$;
CREATE FUNCTION uses_index(query text, relation text) RETURNS boolean
LANGUAGE sql AS $$ SELECT plan_of(query, relation) ~ 'Index Cond' $$;

SET ROLE regress_purpose_parity_app;
SET purpose.current = 'parity_bill';
SET enable_seqscan = off;
SET max_parallel_workers_per_gather = 0;
CREATE TEMP TABLE queries (ord int GENERATED ALWAYS AS IDENTITY, query text);
INSERT INTO queries (query) VALUES
	('SELECT * FROM TABLE WHERE id = 7'),
	('SELECT * FROM TABLE WHERE id BETWEEN 7 AND 9'),
	('SELECT * FROM TABLE WHERE id IN (7, 8)'),
	('SELECT * FROM TABLE WHERE u = ''00000000-0000-0000-0000-000000000000'''),
	('SELECT * FROM TABLE WHERE t = ''text 7'''),
	('SELECT * FROM TABLE WHERE t > ''text 7'' AND t < ''text 8'''),
	('SELECT * FROM TABLE WHERE t LIKE ''text 77%'''),
	('SELECT * FROM TABLE WHERE t ~ ''^text 77'''),
	('SELECT * FROM TABLE WHERE starts_with(t, ''text 77'')'),
	('SELECT * FROM TABLE WHERE t ^@ ''text 77'''),
	('SELECT * FROM TABLE WHERE lower(t) = ''text 77'''),
	('SELECT * FROM TABLE WHERE lower(t) LIKE ''text 77%'''),
	('SELECT * FROM TABLE WHERE n = 7'),
	('SELECT * FROM TABLE WHERE n BETWEEN 7 AND 9'),
	('SELECT * FROM TABLE WHERE n IN (7, 9)'),
	('SELECT * FROM TABLE WHERE d = ''2020-02-02'''),
	('SELECT * FROM TABLE WHERE d >= ''2020-02-02''::timestamp AND d < ''2020-02-03''::timestamp'),
	('SELECT * FROM TABLE WHERE d >= ''2020-02-02 UTC''::timestamptz AND d < ''2020-02-03 UTC''::timestamptz'),
	('SELECT * FROM TABLE WHERE ts >= ''2020-02-02''::date AND ts < ''2020-02-03''::date'),
	('SELECT * FROM TABLE WHERE ts::date = ''2020-02-02'''),
	('SELECT * FROM TABLE WHERE tz >= ''2020-02-02''::date AND tz < ''2020-02-03''::date'),
	('SELECT * FROM TABLE WHERE tz > now()'),
	('SELECT * FROM TABLE WHERE j @> ''{"k": 7}'''),
	('SELECT * FROM TABLE WHERE j ? ''k'' AND j @> ''{"k": 7}'''),
	('SELECT * FROM TABLE WHERE j ->> ''k'' = ''7'''),
	('SELECT * FROM TABLE WHERE v @@ ''word7''::tsquery'),
	('SELECT * FROM TABLE WHERE v @@ to_tsquery(''simple'', ''word7 & all'')'),
	('SELECT * FROM TABLE WHERE a @> ARRAY[777]'),
	('SELECT * FROM TABLE WHERE a && ARRAY[777, 778]'),
	('SELECT * FROM TABLE WHERE r @> 777'),
	('SELECT * FROM TABLE WHERE r && int4range(777, 778)'),
	('SELECT * FROM TABLE WHERE i << ''10.0.0.0/30'''),
	('SELECT * FROM TABLE WHERE i >>= ''10.0.0.1'''),
	('SELECT * FROM TABLE WHERE n = 7 OR t LIKE ''text 77%'''),
	('SELECT * FROM TABLE WHERE (n = 7 AND id = 7) OR v @@ ''word7''::tsquery'),
	('SELECT * FROM TABLE WHERE person = 7 AND d > ''2020-02-02''::timestamp'),
	('SELECT * FROM TABLE WHERE t LIKE ''text 77%'' ORDER BY id LIMIT 3'),
	('SELECT * FROM TABLE ORDER BY id LIMIT 3'),
	('SELECT b, count(*), sum(n) FROM TABLE WHERE n < 100 GROUP BY b'),
	('SELECT * FROM TABLE x JOIN TABLE y ON y.id = x.id WHERE x.n = 7'),
	('SELECT * FROM (VALUES (7.0), (8.0)) w (n) JOIN TABLE x ON x.n = w.n'),
	('SELECT * FROM person p WHERE p.id < 5 AND EXISTS (SELECT FROM TABLE x WHERE x.person = p.id AND x.d > ''2020-02-02''::timestamp)'),
	('SELECT * FROM (SELECT * FROM TABLE WHERE j @> ''{"k": 7}'') s WHERE s.b'),
	('WITH w AS (SELECT id FROM TABLE WHERE n = 7) SELECT * FROM w'),
	('SELECT * FROM TABLE_parts WHERE at = ''2020-05-05'' AND n < 100'),
	('SELECT count(*) FROM TABLE_parts WHERE at < ''2020-05-05'''),
	('SELECT * FROM TABLE_parts WHERE n BETWEEN 7 AND 9'),
	('UPDATE pg_temp.queries SET query = query WHERE ord IN (SELECT id FROM TABLE WHERE n = 7)');
-- Each query has its plan, and this is how many would not have it behind a policy
-- that was written by hand.
SELECT query AS "another plan", plan_of(query, 'plain') AS plain, plan_of(query, 'guarded') AS guarded
FROM queries WHERE plan_of(query, 'plain') <> plan_of(query, 'guarded') ORDER BY ord;
SELECT count(*), count(*) FILTER (WHERE uses_index(query, 'plain')) AS plain, count(*) FILTER (WHERE uses_index(query, 'guarded')) AS guarded,
	count(*) FILTER (WHERE uses_index(query, 'barrier')) AS barrier
FROM queries WHERE query !~ 'parts';
-- They look like this.
SELECT explained('SELECT id FROM guarded WHERE n = 7');
SELECT explained('SELECT id FROM guarded WHERE t LIKE ''text 77%''');

-- And find the same rows.
SELECT count(*) FROM plain WHERE t LIKE 'text 77%';
SELECT count(*) FROM guarded WHERE t LIKE 'text 77%';
SET purpose.current = 'parity_news';
SELECT count(*) FROM plain WHERE t LIKE 'text 77%' AND person <= 700;
SELECT count(*) FROM guarded WHERE t LIKE 'text 77%';
SELECT count(*) FROM plain WHERE (n = 7 OR t LIKE 'text 777%') AND person <= 700;
SELECT count(*) FROM guarded WHERE n = 7 OR t LIKE 'text 777%';

--
-- What could tell something about hidden rows stays behind the rule.
--
RESET ROLE;
CREATE FUNCTION tell(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$ BEGIN RAISE WARNING 'saw %', $1; RETURN true; END $$;
CREATE FUNCTION tell_slowly(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 1000 AS $$ BEGIN RAISE WARNING 'saw %', $1; RETURN true; END $$;
CREATE FUNCTION tells(text, text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$ BEGIN RAISE WARNING 'saw %', $1; RETURN true; END $$;
CREATE OPERATOR ~~~ (LEFTARG = text, RIGHTARG = text, FUNCTION = tells);
SET ROLE regress_purpose_parity_app;
SELECT id FROM guarded WHERE n = 710 AND tell(id);		-- hidden
SELECT id FROM guarded WHERE n = 7 AND tell(id);		-- not hidden
SELECT id FROM guarded WHERE t LIKE 'text 710%' AND t ~~~ 'x' AND n = 710;
SELECT id FROM guarded WHERE t LIKE 'text 710%' AND 1 / (n - 710) > 0 AND n = 710;
SELECT id FROM guarded WHERE t LIKE 'text 7%' AND n = 7 AND 1 / (n - 7) > 0;
-- A pattern that is not well formed, or not known when the query is planned.
SELECT id FROM guarded WHERE t LIKE 'text 710\' AND n = 710;
SELECT uses_index($$SELECT * FROM TABLE WHERE t LIKE 'text 77%'$$, 'guarded') AS constant,
	uses_index($$SELECT * FROM TABLE WHERE t LIKE 'text 77%\'$$, 'guarded') AS malformed,
	uses_index($$SELECT * FROM TABLE WHERE t LIKE 'text 77%\\'$$, 'guarded') AS "well formed",
	uses_index($$SELECT * FROM TABLE WHERE n = 7.0 / 2$$, 'guarded') AS folded,
	uses_index($$SELECT * FROM TABLE x WHERE n = (SELECT 7.0)$$, 'guarded') AS "from elsewhere",
	uses_index($$SELECT * FROM TABLE WHERE n = 1 / (id - 7)$$, 'guarded') AS raises;
-- A view that is a security barrier of its own stays one.
RESET ROLE;
CREATE VIEW evens WITH (security_barrier) AS SELECT * FROM guarded WHERE b;
GRANT SELECT ON evens TO PUBLIC;
SET ROLE regress_purpose_parity_app;
SELECT id FROM evens WHERE n = 7 AND tell_slowly(id);
SELECT id FROM evens WHERE n = 8 AND tell_slowly(id);

--
-- Estimates: the share of rows is that of the subjects who agree.
--
RESET enable_seqscan;
CREATE FUNCTION pg_temp.estimated(query text) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::int;
END $$;
SELECT purpose.current_purpose(), round(pg_temp.estimated('SELECT * FROM guarded'), -2) AS estimated, (SELECT count(*) FROM guarded) AS "rows";
SET purpose.current = 'parity_bill';
SELECT purpose.current_purpose(), round(pg_temp.estimated('SELECT * FROM guarded'), -2) AS estimated, (SELECT count(*) FROM guarded) AS "rows";
SET purpose.current = 'parity_ads';
SELECT purpose.current_purpose(), round(pg_temp.estimated('SELECT * FROM guarded'), -2) AS estimated, (SELECT count(*) FROM guarded) AS "rows";
SET purpose.current = 'parity_news.daily';
SELECT purpose.current_purpose(), round(pg_temp.estimated('SELECT * FROM guarded'), -2) AS estimated, (SELECT count(*) FROM guarded) AS "rows";
RESET ROLE;
SELECT round(pg_temp.estimated('SELECT * FROM guarded'), -2) AS estimated;

--
-- Parallel plans are kept.
--
SET ROLE regress_purpose_parity_app;
SET purpose.current = 'parity_news';
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT explained('SELECT b, sum(n) FROM guarded GROUP BY b');
SELECT b, sum(n) FROM guarded GROUP BY b ORDER BY 1;
SELECT b, sum(n) FROM plain WHERE person <= 700 GROUP BY b ORDER BY 1;

RESET ROLE;
DROP SCHEMA regress_purpose_parity CASCADE;
SELECT purpose.revoke_purpose(p, 'regress_purpose_parity_app') FROM unnest('{parity_bill,parity_news,parity_news.daily,parity_ads}'::text[]) p;
DROP TABLE pg_temp.queries;
DROP FUNCTION pg_temp.estimated(text);
DROP ROLE regress_purpose_parity_app;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'parity%';
SELECT purpose.drop_purpose(p) FROM unnest('{parity_news.daily,parity_news,parity_ads,parity_bill}'::text[]) p;
