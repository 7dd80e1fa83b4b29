--
-- DDL and sealed columns: what PostgreSQL would compute of them and keep is
-- refused, the means to seal stay in place, and types can be made for others.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_purpose_sddl_owner;
SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{sddl_bill,sddl_other}'::text[]) p;
SELECT purpose.grant_purpose(p, 'regress_purpose_sddl_owner') FROM unnest('{sddl_bill,sddl_other}'::text[]) p;
CREATE SCHEMA regress_purpose_sddl AUTHORIZATION regress_purpose_sddl_owner;
SET search_path = regress_purpose_sddl;
SET ROLE regress_purpose_sddl_owner;
CREATE TABLE person (id int PRIMARY KEY, name text, t purpose.sealed_text(sddl_bill), i purpose.sealed_int8(sddl_bill), s purpose.searchable_text(sddl_bill));
RESET ROLE;
SELECT purpose.protect('person', subject => 'id');
SET ROLE regress_purpose_sddl_owner;
SET purpose.current = 'sddl_bill';
INSERT INTO person VALUES (1, 'ann', 'sealed', 42, 'found'), (2, 'bob', NULL, NULL, NULL);

--
-- Indexes: refused however they come about.
--
CREATE INDEX ON person (t);
CREATE INDEX ON person (name, i);
CREATE INDEX ON person (t DESC NULLS FIRST);
CREATE UNIQUE INDEX ON person (t);
CREATE INDEX ON person USING hash (t);
CREATE INDEX ON person USING brin (i);
CREATE INDEX ON person USING gin (t);
CREATE INDEX CONCURRENTLY ON person (t);
CREATE INDEX ON person (id) INCLUDE (t);
ALTER TABLE person ADD UNIQUE (t);
ALTER TABLE person ADD UNIQUE NULLS NOT DISTINCT (t, name);
ALTER TABLE person ADD EXCLUDE (t WITH OPERATOR(purpose.=));
CREATE TABLE refused (t purpose.sealed_text(sddl_bill) PRIMARY KEY);
CREATE TABLE refused (id int, t purpose.sealed_text(sddl_bill) UNIQUE);
CREATE TABLE refused (t purpose.sealed_text(sddl_bill), EXCLUDE USING hash (t WITH OPERATOR(purpose.=)));
CREATE TABLE source (id int PRIMARY KEY, t text UNIQUE);
ALTER TABLE source ALTER t TYPE purpose.sealed_text(sddl_bill);
CREATE TABLE parted (id int, t purpose.sealed_text(sddl_bill)) PARTITION BY RANGE (id);
CREATE INDEX ON parted (t);
-- Expressions: PostgreSQL refuses what is not immutable, and we what only says so.
CREATE FUNCTION lying(purpose.sealed_text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1::text; END $$;
CREATE FUNCTION lying(purpose.searchable_text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1::text; END $$;
CREATE TABLE refuser (id int PRIMARY KEY, name text, t purpose.sealed_text(sddl_bill), s purpose.searchable_text(sddl_bill));
CREATE FUNCTION lying(refuser) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1.t::text; END $$;
CREATE INDEX ON refuser (lying(t));
CREATE INDEX ON refuser (name) WHERE lying(t) = 'sealed';
CREATE INDEX ON refuser (lying(refuser));
CREATE INDEX ON refuser ((lying(refuser.*) || name));
CREATE INDEX ON refuser (lying(s));
ALTER TABLE refuser ADD x text GENERATED ALWAYS AS (lying(t)) STORED;
CREATE INDEX ON person (lower(t));
CREATE INDEX ON person ((t || 'x'));
CREATE INDEX ON person (lying(t));
CREATE INDEX ON person ((ROW(t, i)));
CREATE INDEX ON person ((ARRAY[t]));
CREATE INDEX ON person (id) WHERE t IS NOT NULL; -- tells nothing
-- Searchable types take equality, and so UNIQUE.
CREATE UNIQUE INDEX person_s ON person (s);
CREATE INDEX ON person USING hash (s);
INSERT INTO person (id, s) VALUES (3, 'found');
SET enable_seqscan = off;
CREATE FUNCTION conditions(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
		IF line ~ 'Index Cond' THEN
			RETURN NEXT trim(line);
		END IF;
	END LOOP;
END $$;
SELECT * FROM conditions('SELECT id FROM person WHERE s = ''found''');
SELECT id FROM person WHERE s = 'found';
RESET enable_seqscan;
-- A clear column beside a sealed one is indexed as ever.
CREATE INDEX ON person (name);
CREATE INDEX ON person (lower(name)) WHERE id > 1;
-- Arrays, domains and composite types of them are no way around.
CREATE DOMAIN sealed_domain AS purpose.sealed_text(sddl_bill);
CREATE TYPE pair AS (a int, b purpose.sealed_text(sddl_bill));
CREATE TABLE containers (id int PRIMARY KEY, d sealed_domain, a purpose.sealed_text(sddl_bill)[], p pair, sa purpose.searchable_text(sddl_bill)[]);
CREATE INDEX ON containers (d);
CREATE INDEX ON containers (a);
CREATE INDEX ON containers (p);
CREATE INDEX ON containers (((p).b));
CREATE INDEX ON containers (((p).a));
CREATE INDEX ON containers USING gin (a);

--
-- Partition keys, statistics, defaults, generated columns, foreign keys.
--
CREATE TABLE refused (id int, t purpose.sealed_text(sddl_bill)) PARTITION BY LIST (t);
CREATE TABLE refused (id int, t purpose.sealed_text(sddl_bill)) PARTITION BY RANGE (t, id);
CREATE TABLE refused (id int, t purpose.sealed_text(sddl_bill)) PARTITION BY HASH (t);
CREATE TABLE refused (id int, t purpose.sealed_text(sddl_bill)) PARTITION BY LIST (lying(t));
CREATE TABLE refused (id int, t purpose.searchable_text(sddl_bill)) PARTITION BY HASH (t);
CREATE STATISTICS stat ON id, t FROM person;
CREATE STATISTICS stat ON (lying(t)), id FROM person;
CREATE STATISTICS stat ON (length(t)) FROM person;
CREATE STATISTICS stat ON (length(t)), (lying(t)) FROM refuser;
CREATE STATISTICS person_stat ON id, name FROM person;
CREATE STATISTICS source_stat ON id, t FROM source;
ALTER TABLE source DROP CONSTRAINT source_t_key;
ALTER TABLE source ALTER t TYPE purpose.sealed_text(sddl_bill);
DROP STATISTICS source_stat;
ALTER TABLE person ADD x purpose.sealed_text(sddl_bill) DEFAULT 'x';
ALTER TABLE person ALTER t SET DEFAULT 'x';
ALTER TABLE person ALTER t SET DEFAULT NULL;
ALTER TABLE person ALTER t SET DEFAULT NULL::text, ADD y purpose.sealed_int8(sddl_bill) DEFAULT NULL;
ALTER TABLE person DROP y;
ALTER TABLE person ALTER t DROP DEFAULT;
CREATE TABLE refused (t purpose.sealed_text(sddl_bill) DEFAULT current_user);
CREATE TABLE refused (id int, t purpose.sealed_text(sddl_bill) GENERATED ALWAYS AS (id::text) STORED);
ALTER TABLE person ADD x text GENERATED ALWAYS AS (lower(t)) STORED;
ALTER TABLE person ADD x text GENERATED ALWAYS AS (lying(t)) STORED;
ALTER TABLE person ADD has_t boolean GENERATED ALWAYS AS (t IS NOT NULL) STORED;
ALTER TABLE person ADD x text GENERATED ALWAYS AS (upper(name)) STORED;
CREATE TABLE target (t text PRIMARY KEY, s purpose.searchable_text(sddl_bill));
ALTER TABLE person ADD FOREIGN KEY (t) REFERENCES target;
CREATE TABLE refused (id int, t purpose.sealed_text(sddl_bill) REFERENCES target);
ALTER TABLE person ADD FOREIGN KEY (name) REFERENCES target;
INSERT INTO target VALUES ('ann'), ('bob');
ALTER TABLE person ADD CONSTRAINT person_name FOREIGN KEY (name) REFERENCES target;
SELECT attname FROM pg_attribute WHERE attrelid = 'person'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;

--
-- The table keeps its CHECK and its trigger.
--
CREATE VIEW means AS
	SELECT c.relname, (SELECT string_agg(DISTINCT a.attname, ',') FROM pg_constraint o JOIN pg_attribute a ON a.attrelid = c.oid AND o.conkey = ARRAY[a.attnum]
			WHERE o.conrelid = c.oid AND o.contype = 'c' AND o.convalidated AND pg_get_expr(o.conbin, o.conrelid) LIKE 'purpose.require_sealed(%') AS checked,
		   (SELECT tgenabled FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = '~purpose_seal') AS trigger
	FROM pg_class c WHERE c.relnamespace = 'regress_purpose_sddl'::regnamespace AND c.relkind IN ('r', 'p');
CREATE TABLE means_before AS SELECT * FROM means WHERE relname = 'person';
ALTER TABLE person DROP CONSTRAINT purpose_sealed_t;
ALTER TABLE person DROP CONSTRAINT IF EXISTS purpose_sealed_t;
ALTER TABLE person DISABLE TRIGGER "~purpose_seal";
ALTER TABLE person ENABLE TRIGGER "~purpose_seal";
SELECT trigger FROM means WHERE relname = 'person';
ALTER TABLE person ENABLE REPLICA TRIGGER "~purpose_seal";
SELECT trigger FROM means WHERE relname = 'person';
ALTER TABLE person DISABLE TRIGGER USER;
SELECT trigger FROM means WHERE relname = 'person';
INSERT INTO person (id, name, t) VALUES (4, 'ann', 'not sealed');
ALTER TABLE person ENABLE TRIGGER USER;
DROP TRIGGER "~purpose_seal" ON person;
ALTER TRIGGER "~purpose_seal" ON person RENAME TO other;
CREATE OR REPLACE TRIGGER "~purpose_seal" BEFORE DELETE ON person FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT * FROM means WHERE relname = 'person' EXCEPT SELECT * FROM means_before;
INSERT INTO person (id, name, t) VALUES (4, 'ann', 'still sealed');
SET purpose.sealed_output = 'envelope';
SELECT left(format('%s', t), 10) FROM person WHERE id = 4;
RESET purpose.sealed_output;
RESET ROLE;
ALTER TABLE person DROP CONSTRAINT purpose_sealed_t;
ALTER TABLE person DISABLE TRIGGER ALL;
SELECT * FROM means WHERE relname = 'person' EXCEPT SELECT * FROM means_before;
DROP TRIGGER "~purpose_seal" ON person;
SELECT * FROM means WHERE relname = 'person' EXCEPT SELECT * FROM means_before;
INSERT INTO person (id, name, t) VALUES (5, 'ann', 'sealed or refused');
SELECT purpose.protect('person', subject => 'id');
INSERT INTO person (id, name, t) VALUES (6, 'ann', 'sealed again');
SELECT * FROM means WHERE relname = 'person' EXCEPT SELECT * FROM means_before;
SET session_replication_role = replica;
INSERT INTO person (id, name, t) VALUES (7, 'ann', 'by a replica');
RESET session_replication_role;
SELECT id, t FROM person WHERE id > 3 ORDER BY id;
SET ROLE regress_purpose_sddl_owner;
-- Renamed, moved, changed.
ALTER TABLE person RENAME COLUMN t TO renamed;
ALTER TABLE person RENAME TO human;
ALTER TABLE human RENAME CONSTRAINT purpose_sealed_i TO other_name;
INSERT INTO human (id, name, renamed, i) VALUES (8, 'ann', 'renamed', 8);
SELECT renamed, i FROM human WHERE id = 8;
ALTER TABLE human RENAME TO person;
ALTER TABLE person RENAME COLUMN renamed TO t;
SELECT checked, trigger FROM means WHERE relname = 'person';
ALTER TABLE person ALTER t SET STORAGE PLAIN, ALTER i SET NOT NULL;
ALTER TABLE person ALTER t SET STORAGE MAIN, ALTER t SET COMPRESSION pglz, ALTER t SET STATISTICS 500;
ALTER TABLE person ADD COLUMN late purpose.sealed_date(sddl_bill), DROP COLUMN i;
INSERT INTO person (id, name, late) VALUES (9, 'bob', '2020-01-01') RETURNING late;
SELECT checked, trigger FROM means WHERE relname = 'person';
-- What a later trigger puts in unsealed is refused.
RESET ROLE;
CREATE FUNCTION put_plain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.t := 'plain'; RETURN new; END $$;
CREATE TRIGGER "~z_later" BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION put_plain();
INSERT INTO person (id, name, t) VALUES (10, 'ann', 'x');
DROP TRIGGER "~z_later" ON person;
CREATE TRIGGER earlier BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION put_plain();
INSERT INTO person (id, name, t) VALUES (10, 'ann', 'x') RETURNING t;
DROP TRIGGER earlier ON person;
SET ROLE regress_purpose_sddl_owner;
-- A CHECK of one's own sees what the session may open.
ALTER TABLE person ADD CONSTRAINT long CHECK (length(t) < 20);
INSERT INTO person (id, name, t) VALUES (11, 'ann', repeat('x', 30));
INSERT INTO person (id, name, t) VALUES (11, 'ann', repeat('x', 19));
ALTER TABLE person DROP CONSTRAINT long;

--
-- Changing a column's type, both ways.
--
RESET ROLE;
CREATE TABLE changing (id int PRIMARY KEY, t text, n numeric(8,2));
INSERT INTO changing VALUES (1, 'one', 1.5), (2, NULL, 2);
-- Plaintext does not become sealed by a cast, for there is nobody to seal it for.
ALTER TABLE changing ALTER t TYPE purpose.sealed_text(sddl_bill);
SELECT purpose.protect('changing', subject => 'id');
ALTER TABLE changing ALTER t TYPE purpose.sealed_text(sddl_bill);
ALTER TABLE changing ALTER t TYPE purpose.sealed_text(sddl_bill) USING purpose.seal(t, 'changing', id, 'for sddl_bill');
ALTER TABLE changing ALTER n TYPE purpose.sealed_numeric(sddl_bill) USING purpose.seal(n, 'changing', id, 'for sddl_bill');
SELECT id, t, n FROM changing ORDER BY id;
SELECT checked, trigger FROM means WHERE relname = 'changing';
INSERT INTO changing VALUES (3, 'three', 3);
-- Another label is another modifier: values keep theirs.
ALTER TABLE changing ALTER t TYPE purpose.sealed_text(sddl_other);
INSERT INTO changing VALUES (4, 'four', 4);
SELECT id, t::text FROM changing ORDER BY id;
SET purpose.current = 'sddl_other';
SELECT id, t::text FROM changing ORDER BY id;
SET purpose.current = 'sddl_bill';
-- Back: what cannot be opened would be lost.
SET purpose.current = 'sddl_other';
ALTER TABLE changing ALTER n TYPE numeric;
ALTER TABLE changing ALTER t TYPE text;
ALTER TABLE changing ALTER t TYPE text USING coalesce(t::text, '');
ALTER TABLE changing ALTER n TYPE json;
SET purpose.current = 'sddl_bill';
ALTER TABLE changing ALTER t TYPE text;
ALTER TABLE changing ALTER n TYPE numeric;
SELECT id, n FROM changing ORDER BY id;
SELECT checked, trigger FROM means WHERE relname = 'changing';
ALTER TABLE changing DROP COLUMN t;
SELECT checked, trigger FROM means WHERE relname = 'changing';
SELECT conname FROM pg_constraint WHERE conrelid = 'changing'::regclass AND contype = 'c';
INSERT INTO changing VALUES (5, 5);

--
-- Protection comes and goes.
--
CREATE TABLE going (id int PRIMARY KEY, t purpose.sealed_text(sddl_bill));
SELECT checked, trigger FROM means WHERE relname = 'going';
INSERT INTO going VALUES (1, 'x');
SELECT purpose.protect('going', subject => 'id');
INSERT INTO going VALUES (1, 'x');
SELECT checked, trigger FROM means WHERE relname = 'going';
SELECT purpose.unprotect('going');
SELECT checked, trigger FROM means WHERE relname = 'going';
INSERT INTO going VALUES (2, 'x');
SELECT t FROM going;
SELECT purpose.protect('going', subject => 'id', mode => 'observe');
INSERT INTO going VALUES (2, 'observed');
SELECT t FROM going ORDER BY id;
RESET purpose.current;
SELECT left(format('%s', t), 10) AS t FROM going ORDER BY id;
SET purpose.current = 'sddl_bill';
-- Typed tables and types that grow.
CREATE TYPE row_type AS (id int, t text);
CREATE TABLE typed OF row_type (PRIMARY KEY (id));
SELECT purpose.protect('typed', subject => 'id');
ALTER TYPE row_type ADD ATTRIBUTE s purpose.sealed_text(sddl_bill) CASCADE;
INSERT INTO typed VALUES (1, 'clear', 'sealed') RETURNING *;
SELECT checked, trigger FROM means WHERE relname = 'typed';
-- Partitions that were tables of their own.
CREATE TABLE whole (id int PRIMARY KEY, t purpose.sealed_text(sddl_bill)) PARTITION BY RANGE (id);
CREATE TABLE part_1 (id int PRIMARY KEY, t purpose.sealed_text(sddl_bill));
CREATE TABLE part_2 (id int PRIMARY KEY, t purpose.sealed_text(sddl_bill));
CREATE TABLE part_3 (id int PRIMARY KEY, t purpose.sealed_text(sddl_other));
CREATE TABLE part_4 (id int PRIMARY KEY, t text);
SELECT purpose.protect('whole', subject => 'id');
SELECT purpose.protect('part_2', subject => 'id');
ALTER TABLE whole ATTACH PARTITION part_1 FOR VALUES FROM (1) TO (10);
ALTER TABLE whole ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20);
ALTER TABLE whole ATTACH PARTITION part_3 FOR VALUES FROM (20) TO (30);
ALTER TABLE whole ATTACH PARTITION part_4 FOR VALUES FROM (30) TO (40);
INSERT INTO whole VALUES (1, 'one'), (10, 'ten');
SELECT tableoid::regclass, * FROM whole ORDER BY id;
SELECT * FROM means WHERE relname LIKE 'whole' OR relname LIKE 'part\__' ORDER BY 1;

--
-- create_sealed_type: any base type, and what is refused.
--
SELECT purpose.create_sealed_type('interval'), purpose.create_sealed_type('point'), purpose.create_sealed_type('varchar'), purpose.create_sealed_type('float8'), purpose.create_sealed_type('json'), purpose.create_sealed_type('uuid'), purpose.create_sealed_type('tsvector'), purpose.create_sealed_type('money'), purpose.create_sealed_type('xml');
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
SELECT purpose.create_sealed_type('mood');
SELECT sealed_type, base_type, name, is_binary, searchable, shipped FROM purpose.sealed_type_registry WHERE NOT shipped ORDER BY name;
CREATE TABLE made (id int PRIMARY KEY, iv purpose.sealed_interval(sddl_bill), pt purpose.sealed_point(sddl_bill), v purpose.sealed_varchar(sddl_bill, '(5)'), f purpose.sealed_float8(sddl_bill),
	j purpose.sealed_json(sddl_bill), u purpose.sealed_uuid(sddl_bill), ts purpose.sealed_tsvector(sddl_bill), c purpose.sealed_money(sddl_bill), x purpose.sealed_xml(sddl_bill), m purpose.sealed_mood(sddl_bill));
SELECT purpose.protect('made', subject => 'id');
SET IntervalStyle = 'iso_8601';
SET DateStyle = 'German';
SET extra_float_digits = -10;
INSERT INTO made VALUES (1, 'P1Y2M-3DT4H5.678S', '(1.5,-2.25)', 'short', 0.1::float8 + 0.2::float8, '{"a" :  1, "a": 2}', '6f9619ff-8b86-4011-b42d-00c04fc964ff', 'a cat sat', '12.34', '<a>b</a>', 'ok'),
	(2, '-1 day', '(Infinity,NaN)', '', '-Infinity', 'null', '00000000-0000-0000-0000-000000000000', '', '-1.00', '', 'sad');
RESET IntervalStyle;
SET DateStyle = 'ISO, MDY';
SET extra_float_digits = 3;
SELECT * FROM made ORDER BY id;
SELECT m FROM made WHERE m > 'sad'; -- operators for any enum are not found
SELECT iv * 2 AS iv, pt <-> '(0,0)' AS distance, v || '!' AS v, f + 1 AS f, j -> 'a' AS j, u = '6f9619ff-8b86-4011-b42d-00c04fc964ff' AS u, ts @@ 'cat' AS ts, c * 2 AS c, m::mood > 'sad' AS m, m::text AS mt FROM made WHERE id = 1;
SELECT m, count(*) FROM made GROUP BY m ORDER BY m DESC;
SELECT DISTINCT pt FROM made;
SELECT v, c, ts, u FROM made ORDER BY v DESC, c, ts, u;
SELECT DISTINCT v, f, iv FROM made ORDER BY v;
SELECT DISTINCT c FROM made;
UPDATE made SET v = 'too long' WHERE id = 1;
UPDATE made SET m = 'bad' WHERE id = 1;
ALTER TYPE mood RENAME VALUE 'ok' TO 'fine';
SELECT id, m FROM made WHERE id = 2;
SELECT id, m FROM made WHERE id = 1;
ALTER TYPE mood RENAME VALUE 'fine' TO 'ok';
SET purpose.current = 'sddl_other';
SELECT id, iv + '1 day' AS iv, pt <-> '(0,0)' AS distance, v || '!' AS v, f + 1 AS f, j -> 'a' AS j, m::mood > 'sad' AS m FROM made ORDER BY id;
SET purpose.current = 'sddl_bill';
SELECT purpose.create_sealed_type('text');
SELECT purpose.create_sealed_type('interval');
SELECT purpose.create_sealed_type('regclass');
SELECT purpose.create_sealed_type('text[]');
SELECT purpose.create_sealed_type('sealed_domain');
SELECT purpose.create_sealed_type('pair');
SELECT purpose.create_sealed_type('int4range');
SELECT purpose.create_sealed_type('record');
SELECT purpose.create_sealed_type('anyelement');
SELECT purpose.create_sealed_type('trigger');
SELECT purpose.create_sealed_type('cstring');
SELECT purpose.create_sealed_type('purpose.sealed_text');
SELECT purpose.create_sealed_type(NULL);
CREATE SCHEMA regress_purpose_sddl_2;
CREATE TYPE regress_purpose_sddl_2.mood AS ENUM ('a');
SELECT purpose.create_sealed_type('regress_purpose_sddl_2.mood');
DROP SCHEMA regress_purpose_sddl_2 CASCADE;
-- Not for everybody; and who makes one runs nothing with more rights than his own.
SET ROLE regress_purpose_sddl_owner;
SELECT purpose.create_sealed_type('macaddr');
RESET ROLE;
-- A base type that goes takes its sealed type along.
DROP TYPE mood;
ALTER TABLE made DROP m;
DROP TYPE mood CASCADE;
SELECT count(*) AS registered FROM purpose.sealed_type_registry WHERE name LIKE '%mood%';
SELECT count(*) AS "types left" FROM pg_type WHERE typname = 'sealed_mood';
SELECT iv FROM made WHERE id = 2;

--
-- Labels: what is recorded, and that nobody changes it.
--
CREATE TABLE labels (a purpose.sealed_text(sddl_other, sddl_bill), b purpose.sealed_int8(sddl_bill, 'group sddl_group'), c purpose.sealed_text(sddl_bill, 'never sddl_other', 'keep sddl_keep', '(3)'));
SELECT l.label, l.typmod = (l.label_id & 2147483647) AS "typmod is its end", l.label_id BETWEEN 0 AND 281474976710655 AS "48 bits" FROM purpose.sealed_label l WHERE l.label LIKE '%sddl%' ORDER BY l.label COLLATE "C";
SELECT name, number BETWEEN 1 AND 65535 AS "16 bits" FROM purpose.key_group WHERE name LIKE 'sddl%';
SELECT purpose._sealed_label(typmod) = label AS same FROM purpose.sealed_label WHERE label = 'for sddl_bill';
SET ROLE regress_purpose_sddl_owner;
UPDATE purpose.sealed_label SET label = 'for sddl_other';
DELETE FROM purpose.sealed_label;
INSERT INTO purpose.sealed_label VALUES (1, 1, 'for sddl_other');
SELECT purpose._record_sealed_label(1, 1, 'for sddl_other', 0, '');
RESET ROLE;
-- Another text with the same modifier is refused.
INSERT INTO purpose.sealed_label SELECT label_id + (1::bigint << 40), typmod, 'for sddl_forged' FROM purpose.sealed_label WHERE label = 'for sddl_bill';
-- The same again does no harm: a dump's rows come after its tables.
INSERT INTO purpose.sealed_label SELECT * FROM purpose.sealed_label WHERE label = 'for sddl_bill';
INSERT INTO purpose.key_group SELECT * FROM purpose.key_group WHERE name = 'sddl_group';
-- Retention classes do not exist yet.
ALTER TABLE person ADD k purpose.sealed_text(sddl_bill, 'keep sddl_keep');
UPDATE person SET k = 'x' WHERE id = 1;

--
-- The extension stays while columns are sealed.
--
DROP EXTENSION pg_purpose;
DROP TYPE purpose.sealed_text;
DROP FUNCTION purpose._seal_row();
DROP FUNCTION purpose.require_sealed("any");

-- Leave nothing behind.
RESET purpose.current;
DROP SCHEMA regress_purpose_sddl CASCADE;
DROP TYPE purpose.sealed_interval, purpose.sealed_point, purpose.sealed_varchar, purpose.sealed_float8, purpose.sealed_json, purpose.sealed_uuid, purpose.sealed_tsvector, purpose.sealed_money, purpose.sealed_xml CASCADE;
SELECT count(*) AS registered FROM purpose.sealed_type_registry WHERE NOT shipped;
SELECT purpose.drop_purpose(p) FROM unnest('{sddl_bill,sddl_other}'::text[]) p;
DROP ROLE regress_purpose_sddl_owner;
