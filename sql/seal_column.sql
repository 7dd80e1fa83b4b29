--
-- Sealing an existing column in place, and back: what is refused before
-- anything is changed, what goes on meanwhile, what is there afterwards.
--
CREATE ROLE regress_purpose_seal_column_owner;
CREATE ROLE regress_purpose_seal_column_officer;
CREATE ROLE regress_purpose_seal_column_app;
GRANT EXECUTE ON PROCEDURE purpose.seal_column(regclass, name, text, int, boolean),
	purpose.unseal_column(regclass, name, int, boolean, boolean) TO regress_purpose_seal_column_officer;
SELECT purpose.create_purpose('seal_column_contract', basis => 'contract');
SELECT purpose.create_purpose('seal_column_consent', basis => 'consent');
SELECT count(purpose.grant_purpose(p, r)) AS granted FROM
	unnest('{seal_column_contract,seal_column_consent}'::text[]) p,
	unnest('{regress_purpose_seal_column_officer,regress_purpose_seal_column_app}'::text[]) r;
CREATE SCHEMA regress_purpose_seal_column;
GRANT ALL ON SCHEMA regress_purpose_seal_column TO PUBLIC;
SET search_path = regress_purpose_seal_column;

-- The database's keyring, if no other test has made it.
SET client_min_messages = warning;
CREATE TABLE first (id int PRIMARY KEY, v purpose.sealed_text(seal_column_contract));
SELECT purpose.protect('first', subject => 'id');
DROP TABLE first;
RESET client_min_messages;

-- What a session with a purpose reads; '*' stands for an envelope.
CREATE FUNCTION reads(purpose text, query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	before text := current_setting('purpose.current');
BEGIN
	PERFORM set_config('purpose.current', purpose, true);
	RETURN QUERY EXECUTE format('SELECT regexp_replace(t::text, ''purpose:1:[A-Za-z0-9_-]+'', ''*'', ''g'') FROM (%s) t', query);
	PERFORM set_config('purpose.current', before, true);
END $$;
-- What there is of a table's columns, constraints and triggers.
CREATE VIEW shape AS
	SELECT a.attrelid::regclass AS relation, a.attnum AS n, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
		   CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation END AS "collation", a.attnotnull AS nn,
		   a.attacl IS NOT NULL AS granted, col_description(a.attrelid, a.attnum) AS comment,
		   (SELECT s.label FROM pg_seclabel s WHERE s.objoid = a.attrelid AND s.objsubid = a.attnum AND s.provider = 'purpose') AS label,
		   (SELECT count(*) FROM pg_statistic s WHERE s.starelid = a.attrelid AND s.staattnum = a.attnum) AS stats
	FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
	WHERE a.attnum > 0 AND NOT a.attisdropped AND EXISTS (SELECT FROM pg_class c WHERE c.oid = a.attrelid AND c.relkind IN ('r', 'p')) ORDER BY a.attrelid::regclass::text COLLATE "C", a.attnum;
CREATE VIEW attached AS
	SELECT conrelid::regclass AS relation, conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint WHERE contype = 'c'
	UNION ALL SELECT tgrelid::regclass, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
	ORDER BY 1, 2;

CREATE TABLE customers (id bigint PRIMARY KEY, email varchar(20) COLLATE "C" NOT NULL, note text, score int);
INSERT INTO customers SELECT i, 'e' || i || '@x.example', CASE WHEN i > 2 THEN 'n' || i END, i FROM generate_series(1, 5) i;
ALTER TABLE customers OWNER TO regress_purpose_seal_column_owner;
GRANT SELECT (id, email), UPDATE (email) ON customers TO regress_purpose_seal_column_app;
COMMENT ON COLUMN customers.email IS 'where bills go';
ANALYZE customers;

--
-- Refused before anything is changed.
--
CREATE FUNCTION inside() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CALL purpose.seal_column('customers', 'email', 'for seal_column_contract');
END $$;
\set SHOW_CONTEXT never
\set VERBOSITY terse
CALL purpose.seal_column('customers', 'email', 'for seal_column_contract');	-- not protected
SELECT purpose.protect('customers', subject => 'id');
SELECT purpose.label_column('customers', 'email', 'for seal_column_contract, seal_column_consent');
SET ROLE regress_purpose_seal_column_owner;
CALL purpose.seal_column('customers', 'email', 'for seal_column_contract');	-- the owner is no officer
RESET ROLE;
SET ROLE regress_purpose_seal_column_officer;
\set VERBOSITY default
BEGIN;
CALL purpose.seal_column('customers', 'email', 'for seal_column_contract');
ROLLBACK;
\set VERBOSITY terse
DO $$ BEGIN CALL purpose.seal_column('customers', 'id', 'for seal_column_contract'); END $$;	-- DO may commit; id is a key
SELECT inside();
CALL purpose.seal_column('customers', 'email', NULL);
CALL purpose.seal_column('customers', 'email', 'for seal_column_contract', batch_size => 0);
CALL purpose.seal_column('customers', 'mail', 'for seal_column_contract');
CALL purpose.seal_column('shape', 'name', 'for seal_column_contract');
CALL purpose.seal_column('pg_class', 'relname', 'for seal_column_contract');
CALL purpose.seal_column('customers', 'email', 'for nothing_such');
CALL purpose.seal_column('customers', 'email', 'for seal_column_contract kep x');
CALL purpose.seal_column('customers', 'email', 'for seal_column_contract keep seven_years');
CALL purpose.unseal_column('customers', 'email');
RESET ROLE;
\set VERBOSITY default
CALL purpose.seal_column('customers', 'score', 'for seal_column_contract');	-- integer
\set VERBOSITY terse

-- All that depends on the column is named in one error.
CREATE DOMAIN word AS text CHECK (length(VALUE) < 100);
CREATE TABLE everything (id int PRIMARY KEY, a text UNIQUE DEFAULT 'x' CHECK (a <> ''), b text GENERATED ALWAYS AS (upper(a)) STORED,
	c char(5), d word, e text[], f purpose.sealed_text(seal_column_contract));
CREATE INDEX ON everything (lower(a));
CREATE INDEX ON everything (id) WHERE a IS NULL;
CREATE VIEW reader AS SELECT a FROM everything;
CREATE MATERIALIZED VIEW keeper AS SELECT a FROM everything;
CREATE TABLE referrer (a text REFERENCES everything (a), r everything);
CREATE STATISTICS both_of_them ON a, id FROM everything;
CREATE POLICY only_some ON everything USING (a <> 'secret');
CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE TRIGGER watch BEFORE UPDATE OF a ON everything FOR EACH ROW EXECUTE FUNCTION same();
CREATE TRIGGER "~~last" BEFORE INSERT ON everything FOR EACH ROW EXECUTE FUNCTION same();
CREATE FUNCTION body() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT max(a) FROM everything; END;
ALTER TABLE everything ADD CONSTRAINT whole CHECK (everything IS NOT NULL) NOT VALID;
SET client_min_messages = error;
CREATE PUBLICATION regress_purpose_seal_column FOR TABLE everything (id, a);
RESET client_min_messages;
SELECT purpose.protect('everything', subject => 'id', force => true);
\set VERBOSITY default
CALL purpose.seal_column('everything', 'a', 'for seal_column_contract');
\set VERBOSITY terse
CALL purpose.seal_column('everything', 'c', 'for seal_column_contract');
CALL purpose.seal_column('everything', 'd', 'for seal_column_contract');
CALL purpose.seal_column('everything', 'e', 'for seal_column_contract');
CALL purpose.seal_column('everything', 'f', 'for seal_column_contract');
CALL purpose.seal_column('everything', 'id', 'for seal_column_contract');
DROP TABLE referrer;
DROP FUNCTION body();
DROP TABLE everything CASCADE;
DROP PUBLICATION regress_purpose_seal_column;

-- Rows without a subject, and of subjects that were shredded, are counted.
CREATE TABLE orders (id int PRIMARY KEY, customer_id bigint REFERENCES customers, address text);
INSERT INTO orders SELECT i, nullif(i % 4, 0), 'a' || i FROM generate_series(1, 10) i;
INSERT INTO orders VALUES (11, NULL, NULL);
SELECT purpose.protect('orders', subject => 'customer_id');
SELECT count(purpose.shred('customers', 3));
\set VERBOSITY default
CALL purpose.seal_column('orders', 'address', 'for seal_column_contract');
\set VERBOSITY terse
SELECT count(*) FROM purpose.seal_progress;
UPDATE orders SET address = NULL WHERE customer_id IS NULL;
CALL purpose.seal_column('orders', 'address', 'for seal_column_contract');
SELECT purpose.readmit('customers', 3);
CALL purpose.seal_column('orders', 'address', 'for seal_column_contract');
SELECT reads('seal_column_contract', 'SELECT * FROM orders ORDER BY id');

--
-- It is done by an officer who owns nothing and sees no row.
--
SET ROLE regress_purpose_seal_column_officer;
CALL purpose.seal_column('customers', 'email', 'for seal_column_contract, seal_column_consent', batch_size => 2);
SELECT relation, "column", direction, phase, label, rows_done > 0 AS done, started_by, clear_copies_until
	FROM purpose.seal_progress WHERE relation = 'customers'::regclass;
RESET ROLE;
SELECT * FROM shape WHERE relation = 'customers'::regclass;
SELECT * FROM attached WHERE relation = 'customers'::regclass;
SELECT reads('seal_column_contract', 'SELECT * FROM customers ORDER BY id');
SELECT reads('', 'SELECT email FROM customers ORDER BY id LIMIT 1');
UPDATE customers SET email = 'changed@x.example' WHERE id = 1;
UPDATE customers SET email = 'a mail address that is too long' WHERE id = 2;
UPDATE customers SET email = NULL WHERE id = 2;
SELECT reads('seal_column_contract', 'SELECT email FROM customers ORDER BY id LIMIT 2');
CALL purpose.seal_column('customers', 'email', 'for seal_column_contract');	-- is sealed already
SELECT bool_and(clear_copies_until = 'infinity') FROM purpose.seal_progress;

--
-- What goes on while it lasts.  The shadow is there, and no batch has run.
--
CREATE TABLE events (id int, customer_id bigint, who text, what text, PRIMARY KEY (id, customer_id)) PARTITION BY RANGE (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100);
CREATE TABLE events_2 (what text, dropped int, who text, customer_id bigint NOT NULL, id int NOT NULL);
ALTER TABLE events_2 DROP COLUMN dropped;
ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100) TO (200);
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.who := upper(new.who); RETURN new; END $$;
CREATE TRIGGER shout BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION shout();
INSERT INTO events SELECT i, 1 + i % 5, 'p' || i, 'w' FROM generate_series(1, 9) i;
INSERT INTO events SELECT 100 + i, 1 + i % 5, 'q' || i, 'w' FROM generate_series(1, 9) i;
ALTER TABLE events OWNER TO regress_purpose_seal_column_owner;
SELECT purpose.protect('events', subject => 'customer_id', of => 'customers');
CALL purpose.seal_column('events_1', 'who', 'for seal_column_contract');
CALL purpose.seal_column('events', 'id', 'for seal_column_contract');
SELECT purpose._migration_start('events', 'who', false, 'for seal_column_contract', false, false, 0) > 0 AS started;
SELECT * FROM shape WHERE relation = 'events'::regclass;
SELECT * FROM attached WHERE relation::text LIKE 'events%';
SELECT relation, "column", direction, phase, rows_done FROM purpose.seal_progress WHERE finished_at IS NULL;
SELECT * FROM purpose._check_migrations();
SELECT purpose.unprotect('events');
CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM (200) TO (300);

INSERT INTO events VALUES (10, 1, 'inserted', 'w'), (110, 1, NULL, 'w');
INSERT INTO events VALUES (1, 2, 'upserted', 'w') ON CONFLICT (id, customer_id) DO UPDATE SET who = excluded.who;
INSERT INTO events VALUES (11, 2, 'inserted', 'w') ON CONFLICT DO NOTHING;
COPY events (id, customer_id, who, what) FROM stdin;
12	3	copied	w
210	3	copied	w
\.
UPDATE events SET who = 'updated' WHERE id = 2;
UPDATE events SET who = NULL WHERE id = 3;
UPDATE events SET what = 'v' WHERE id = 4;
UPDATE events SET id = 120, what = 'moved' WHERE id = 5;
UPDATE events SET id = 220, what = 'moved' WHERE id = 12;
UPDATE events SET customer_id = 4 WHERE id = 10;
UPDATE events SET customer_id = 4 WHERE id = 6;
UPDATE events SET purpose_sealing_who = 'by hand' WHERE id = 7;
UPDATE events SET purpose_sealing_who = 'by hand' WHERE id = 11;
SET session_replication_role = replica;
INSERT INTO events VALUES (13, 1, 'replicated', 'w');
RESET session_replication_role;
ALTER TABLE events DISABLE TRIGGER "~purpose_migrate";
INSERT INTO events VALUES (14, 1, 'slipped in', 'w');
UPDATE events SET who = NULL WHERE id = 13;
ALTER TABLE events ENABLE ALWAYS TRIGGER "~purpose_migrate";
INSERT INTO events VALUES (15, NULL, 'nobody', 'w');
SELECT reads('seal_column_contract', 'SELECT id, customer_id, who, purpose_sealing_who AS shadow, what FROM events ORDER BY id');

ALTER TABLE events RENAME COLUMN who TO whom;
ALTER TABLE events DROP COLUMN who;
ALTER TABLE events DROP COLUMN purpose_sealing_who;
ALTER TABLE events ALTER COLUMN who TYPE varchar;
ALTER TABLE events DETACH PARTITION events_2;
CALL purpose.seal_column('events', 'what', 'for seal_column_contract');
CALL purpose.seal_column('events', 'who', 'for seal_column_consent');
CREATE VIEW late AS SELECT who FROM events;
CALL purpose.seal_column('events', 'who', 'for seal_column_contract', batch_size => 3);
SELECT relation, "column", direction, phase FROM purpose.seal_progress WHERE finished_at IS NULL;
DROP VIEW late;
CALL purpose.seal_column('events', 'who', 'for seal_column_contract', batch_size => 3);
SELECT reads('seal_column_contract', 'SELECT id, customer_id, who, what FROM events ORDER BY id');
SELECT * FROM shape WHERE relation::text LIKE 'events%';
SELECT * FROM attached WHERE relation::text LIKE 'events%';

-- A value that was changed past the trigger is neither kept nor lost.
CREATE TABLE stale (id bigint PRIMARY KEY, v text);
INSERT INTO stale VALUES (1, 'one'), (2, 'two');
SELECT purpose.protect('stale', subject => 'id');
SELECT purpose._migration_start('stale', 'v', false, 'for seal_column_contract', false, false, 0) > 0 AS started;
UPDATE stale SET v = 'eins' WHERE id = 1;
ALTER TABLE stale DISABLE TRIGGER "~purpose_migrate";
UPDATE stale SET v = 'uno' WHERE id = 1;
ALTER TABLE stale ENABLE ALWAYS TRIGGER "~purpose_migrate";
CALL purpose.seal_column('stale', 'v', 'for seal_column_contract');
CALL purpose.unseal_column('stale', 'v');
SELECT relation, "column", direction, phase FROM purpose.seal_progress WHERE relation = 'stale'::regclass;
SELECT * FROM shape WHERE relation = 'stale'::regclass;
SELECT * FROM attached WHERE relation = 'stale'::regclass;
CALL purpose.seal_column('stale', 'v', 'for seal_column_contract');
SELECT reads('seal_column_contract', 'SELECT * FROM stale ORDER BY id');

-- A table may become shorter while a pass is under way.
CREATE TABLE shrinking (id bigint PRIMARY KEY, v text);
INSERT INTO shrinking SELECT i, repeat('x', 1000) FROM generate_series(1, 1000) i;
SELECT purpose.protect('shrinking', subject => 'id');
SELECT purpose._migration_start('shrinking', 'v', false, 'for seal_column_contract', false, false, 0) AS shrinking \gset
SELECT purpose._migration_step(:shrinking, 10);
TRUNCATE shrinking;
INSERT INTO shrinking VALUES (1, 'kept');
CALL purpose.seal_column('shrinking', 'v', 'for seal_column_contract', batch_size => 10);
SELECT reads('seal_column_contract', 'SELECT * FROM shrinking');

-- Through a foreign key, by inheritance, other types.
CREATE TYPE mood AS ENUM ('good', 'bad');
SELECT purpose.create_sealed_type('mood');
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders, amount numeric(8,2), at timestamptz(0), m mood);
INSERT INTO items SELECT i, i, i / 8.0, '2026-01-01 12:00:00+00', 'bad' FROM generate_series(1, 3) i;
INSERT INTO items VALUES (4, 4, 1, NULL, NULL);
CREATE TABLE more_items (extra int) INHERITS (items);
INSERT INTO more_items VALUES (5, 5, 5.5, '2026-01-05', 'good', 1);
SELECT purpose.protect('items', via => 'order_id');
SET ROLE regress_purpose_seal_column_officer;
CALL purpose.seal_column('items', 'amount', 'for seal_column_contract pad 32');
RESET ROLE;
DELETE FROM items WHERE id = 4;
SET ROLE regress_purpose_seal_column_officer;
CALL purpose.seal_column('items', 'amount', 'for seal_column_contract pad 32');
CALL purpose.seal_column('items', 'at', 'for seal_column_contract');
CALL purpose.seal_column('items', 'm', 'for seal_column_contract');
RESET ROLE;
SELECT * FROM shape WHERE relation::text LIKE '%items';
INSERT INTO more_items VALUES (6, 1, 6.666, '2026-01-06 00:00:00.7+00', 'good', 1);
SET timezone = 'UTC';
SELECT reads('seal_column_contract', 'SELECT * FROM items ORDER BY id');
-- A role that is bound writes, too, whatever it may see of the parents.
GRANT SELECT, INSERT ON items TO regress_purpose_seal_column_app;
SET ROLE regress_purpose_seal_column_app;
SET purpose.current = 'seal_column_consent';
INSERT INTO items VALUES (7, 1, 7.77, NULL, 'bad');
RESET purpose.current;
RESET ROLE;
SELECT reads('seal_column_contract', 'SELECT * FROM items WHERE id = 7');

--
-- And back.
--
\set VERBOSITY default
CALL purpose.unseal_column('customers', 'email');	-- no purpose
SET purpose.current = 'seal_column_consent';
CALL purpose.unseal_column('customers', 'email');	-- nobody consented
SELECT count(purpose.grant_consent('customers', i, 'seal_column_consent')) FROM generate_series(1, 4) i;
CALL purpose.unseal_column('customers', 'email');	-- one has not
SET purpose.current = 'seal_column_contract';
SELECT count(purpose.shred('customers', 5));
CALL purpose.unseal_column('customers', 'email');
CALL purpose.unseal_column('customers', 'email', shredded_as_null => true);
\set VERBOSITY terse
SET purpose.scope = 'transaction';
CALL purpose.unseal_column('customers', 'email');
RESET purpose.scope;
SET purpose.current = 'seal_column_contract';
ALTER TABLE customers ALTER COLUMN email DROP NOT NULL;
CALL purpose.unseal_column('customers', 'email', shredded_as_null => true, batch_size => 2);
SELECT * FROM shape WHERE relation = 'customers'::regclass;
SELECT * FROM attached WHERE relation = 'customers'::regclass;
SELECT id, email FROM customers ORDER BY id;

-- Meanwhile: what is written in clear is known; what is written as an envelope
-- waits for the session that may open it; a shred reaches the clear copy.
SELECT purpose.readmit('customers', 5);
SELECT purpose._migration_start('events', 'who', true, '', false, false, 0) > 0 AS started;
SELECT * FROM shape WHERE relation = 'events'::regclass;
INSERT INTO events VALUES (20, 1, 'inserted', 'w');
UPDATE events SET who = 'updated' WHERE id = 7;
UPDATE events SET who = NULL WHERE id = 8;
UPDATE events SET purpose_unsealing_who = 'by hand' WHERE id = 9;
RESET purpose.current;
DO $$
DECLARE
	envelope text;
BEGIN
	SELECT format('%s', e.who) INTO envelope FROM events e WHERE id = 1;
	UPDATE events e SET who = envelope::purpose.sealed_text WHERE id = 11;
END $$;
SELECT reads('seal_column_contract', 'SELECT id, who, purpose_unsealing_who AS shadow FROM events WHERE id IN (1, 7, 8, 9, 11, 20) ORDER BY id');
SET purpose.current = 'seal_column_contract';
SELECT count(purpose.shred('customers', 1));
CALL purpose.unseal_column('events', 'who');
CALL purpose.unseal_column('events', 'who', shredded_as_null => true);
SELECT * FROM shape WHERE relation::text LIKE 'events%';
SELECT * FROM attached WHERE relation::text LIKE 'events%';
SELECT id, customer_id, who FROM events ORDER BY id;

-- Unsealing is taken back, too, and leaves no clear copy.
SELECT purpose._migration_start('stale', 'v', true, '', false, false, 0) > 0 AS started;
UPDATE stale SET v = 'drei' WHERE id = 2;
SELECT reads('seal_column_contract', 'SELECT * FROM stale ORDER BY id');
CALL purpose.seal_column('stale', 'v', 'for seal_column_contract');
SELECT reads('seal_column_contract', 'SELECT * FROM stale ORDER BY id');
SELECT * FROM shape WHERE relation = 'stale'::regclass;
SELECT * FROM attached WHERE relation = 'stale'::regclass;
SELECT relation, "column", direction, phase FROM purpose.seal_progress WHERE relation = 'stale'::regclass;
CALL purpose.unseal_column('items', 'amount', shredded_as_null => true);
SELECT * FROM shape WHERE relation::text LIKE '%items';
SELECT id, amount FROM items ORDER BY id;

RESET purpose.current;
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_seal_column CASCADE;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'seal\_column\_%';
REVOKE ALL ON PROCEDURE purpose.seal_column(regclass, name, text, int, boolean),
	purpose.unseal_column(regclass, name, int, boolean, boolean) FROM regress_purpose_seal_column_officer;
SELECT count(purpose.revoke_purpose(p, r)) AS revoked FROM
	unnest('{seal_column_contract,seal_column_consent}'::text[]) p,
	unnest('{regress_purpose_seal_column_officer,regress_purpose_seal_column_app}'::text[]) r;
SELECT purpose.drop_purpose(p) FROM unnest('{seal_column_contract,seal_column_consent}'::text[]) p;
DROP ROLE regress_purpose_seal_column_owner, regress_purpose_seal_column_officer, regress_purpose_seal_column_app;
