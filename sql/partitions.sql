--
-- Protection reaches everything below a protected table, however it got there
-- and however it is addressed, and stays with what leaves.
--
-- Subjects 1 and 2; only 1 consented.  Rows are numbered so that odd ones
-- belong to 1, even ones to 2.
--
CREATE ROLE regress_purpose_partitions_app;
CREATE ROLE regress_purpose_partitions_owner;
SELECT purpose.create_purpose('partitions_consent', basis => 'consent');
SELECT purpose.create_purpose('partitions_contract', basis => 'contract');
SELECT count(purpose.grant_purpose(p, r)) AS granted FROM
	unnest('{partitions_consent,partitions_contract}'::text[]) p,
	unnest('{regress_purpose_partitions_app,regress_purpose_partitions_owner}'::text[]) r;
CREATE SCHEMA regress_purpose_partitions;
GRANT ALL ON SCHEMA regress_purpose_partitions TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA regress_purpose_partitions GRANT ALL ON TABLES TO regress_purpose_partitions_app;
SET search_path = regress_purpose_partitions;
CREATE TABLE customers (id int PRIMARY KEY);
INSERT INTO customers VALUES (1), (2);
SELECT purpose.protect('customers', subject => 'id');
SELECT count(purpose.grant_consent('customers', 1, 'partitions_consent'));

-- What the app sees of tables, for partitions_consent.
CREATE FUNCTION seen(VARIADIC tables text[]) RETURNS TABLE (relation text, ids text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE regress_purpose_partitions_app;
	SET LOCAL purpose.current = 'partitions_consent';
	FOREACH relation IN ARRAY tables LOOP
		BEGIN
			EXECUTE format('SELECT string_agg(id::text, '' '' ORDER BY id) FROM %s', relation) INTO ids;
		EXCEPTION WHEN OTHERS THEN
			ids := SQLSTATE;
		END;
		RETURN NEXT;
	END LOOP;
	RESET ROLE;
	RESET purpose.current;
END $$;
-- What is declared for tables, and their floor.
CREATE FUNCTION declared(VARIADIC tables regclass[]) RETURNS TABLE (relation regclass, own text, floor text, rls boolean) LANGUAGE sql AS $$
	SELECT t, (SELECT label FROM pg_seclabel WHERE objoid = t AND objsubid = 0 AND provider = 'purpose'),
		   (SELECT string_agg(polname, ' ') FROM pg_policy WHERE polrelid = t), relrowsecurity
	FROM unnest(tables) t JOIN pg_class c ON c.oid = t ORDER BY c.relname COLLATE "C"
$$;

--
-- Partitions that are there before, made later, attached later; with their
-- columns in another order, and with dropped ones; partitions of partitions.
--
CREATE TABLE orders (id int NOT NULL, customer_id int, month int NOT NULL, note text) PARTITION BY RANGE (month);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (1) TO (2);
CREATE TABLE orders_2 (gone int, note text, month int NOT NULL, customer_id int, id int NOT NULL);
ALTER TABLE orders_2 DROP COLUMN gone;
ALTER TABLE orders ATTACH PARTITION orders_2 FOR VALUES FROM (2) TO (3);
CREATE TABLE orders_3 PARTITION OF orders FOR VALUES FROM (3) TO (4) PARTITION BY LIST (customer_id);
CREATE TABLE orders_3_1 PARTITION OF orders_3 FOR VALUES IN (1);
CREATE TABLE orders_3_rest PARTITION OF orders_3 DEFAULT;
SELECT purpose.protect('orders', subject => 'customer_id', of => 'customers');
CREATE TABLE orders_4 PARTITION OF orders FOR VALUES FROM (4) TO (5);
CREATE TABLE orders_5 (month int NOT NULL, x int, customer_id int, note text, id int NOT NULL);
ALTER TABLE orders_5 DROP COLUMN x;
INSERT INTO orders_5 VALUES (5, 1, NULL, 51), (5, 2, NULL, 52);
ALTER TABLE orders ATTACH PARTITION orders_5 FOR VALUES FROM (5) TO (6);
CREATE TABLE orders_6 PARTITION OF orders FOR VALUES FROM (6) TO (7) PARTITION BY RANGE (id);
CREATE TABLE orders_6_a PARTITION OF orders_6 FOR VALUES FROM (0) TO (62);
CREATE TABLE orders_6_b PARTITION OF orders_6 FOR VALUES FROM (62) TO (100);
INSERT INTO orders SELECT 10 * m + c, c, m FROM unnest('{1,2,3,4,6}'::int[]) m, generate_series(1, 2) c;
INSERT INTO orders VALUES (19, NULL, 1), (29, NULL, 2), (39, NULL, 3);
SELECT * FROM declared('orders', 'orders_1', 'orders_2', 'orders_3', 'orders_3_1', 'orders_3_rest', 'orders_4', 'orders_5',
					   'orders_6', 'orders_6_a', 'orders_6_b');
SELECT * FROM seen('orders', 'orders_1', 'orders_2', 'orders_3', 'orders_3_1', 'orders_3_rest', 'orders_4', 'orders_5',
				   'orders_6', 'orders_6_a', 'orders_6_b');
-- Without a purpose no part of it opens.
SET ROLE regress_purpose_partitions_app;
\set VERBOSITY sqlstate
SELECT id FROM orders;
SELECT id FROM orders_2;
SELECT id FROM orders_3_1;
SELECT id FROM orders_6_b;
INSERT INTO orders_5 VALUES (5, 1, NULL, 53);
\set VERBOSITY default

-- Writing, to the whole and to parts of it.
SET purpose.current = 'partitions_consent';
BEGIN;
INSERT INTO orders VALUES (92, 2, 2) RETURNING tableoid::regclass, id;
INSERT INTO orders_5 VALUES (5, 2, NULL, 95) RETURNING id;
UPDATE orders SET note = 'u' WHERE month IN (2, 5) RETURNING tableoid::regclass, id;
UPDATE orders_2 SET note = 'v' RETURNING id, customer_id, month, note;
DELETE FROM orders_3 RETURNING id;
DELETE FROM orders_6_b RETURNING id;
MERGE INTO orders_5 o USING (VALUES (51), (52)) v(id) ON v.id = o.id
WHEN MATCHED THEN UPDATE SET note = 'm' WHEN NOT MATCHED THEN INSERT (id, month, note) VALUES (v.id + 500, 5, 'n');
COPY orders_2 (id, note) TO stdout;
COPY orders_2 FROM stdin;
c	2	2	96
\.
COPY orders (id, customer_id, month) FROM stdin;
97	2	3
98	2	6
\.
SELECT count(*) FROM orders WHERE id > 90;		-- somebody's who did not consent
RESET ROLE;
SELECT tableoid::regclass, id, customer_id, note FROM orders WHERE id > 90 OR note IS NOT NULL ORDER BY id;
ROLLBACK;

-- A row that changes its partition, or its subject, goes on belonging to
-- whom it names; hidden rows do not move.
SET ROLE regress_purpose_partitions_app;
BEGIN;
UPDATE orders SET month = month % 3 + 1 WHERE month < 4 RETURNING tableoid::regclass, id;
SELECT id, month FROM orders WHERE month < 4 ORDER BY id;
UPDATE orders_3 SET customer_id = 2 WHERE id = 21 RETURNING tableoid::regclass, id;		-- from _1 to _rest, to somebody else
SELECT tableoid::regclass, id FROM orders WHERE id IN (21, 31) ORDER BY id;
UPDATE orders SET customer_id = 1 WHERE customer_id = 2 RETURNING id;					-- hidden
RESET ROLE;
SELECT tableoid::regclass, id, customer_id FROM orders WHERE month < 4 ORDER BY id;
ROLLBACK;
RESET ROLE;
RESET purpose.current;

--
-- Detached: what was in force stays in force, as a declaration of its own.
-- Labels of columns stay, too.
--
SELECT purpose.label_column('orders', 'note', 'for partitions_contract');
ALTER TABLE orders DETACH PARTITION orders_2;
ALTER TABLE orders DETACH PARTITION orders_3;
ALTER TABLE orders DETACH PARTITION orders_5 CONCURRENTLY;
SELECT * FROM declared('orders_2', 'orders_3', 'orders_3_1', 'orders_5');
SELECT relation, "column", label FROM purpose.labels WHERE label LIKE '%partitions%' ORDER BY relation::text;
SELECT * FROM seen('orders', 'orders_2', 'orders_3', 'orders_3_1', 'orders_3_rest', 'orders_5');
SET ROLE regress_purpose_partitions_app;
SET purpose.current = 'partitions_consent';
\set VERBOSITY sqlstate
SELECT note FROM orders_2;
SELECT note FROM orders_3_1;
\set VERBOSITY default
SET purpose.current = 'partitions_contract';
SELECT count(note) FROM orders_2;
RESET ROLE;
RESET purpose.current;
-- Attached again, and the subject table's protection rests on nothing less.
ALTER TABLE orders ATTACH PARTITION orders_2 FOR VALUES FROM (2) TO (3);
SELECT * FROM seen('orders', 'orders_2');
SELECT purpose.unprotect('orders');			-- orders_2 has its own by now
SELECT * FROM declared('orders', 'orders_1', 'orders_2', 'orders_6_b');
SELECT * FROM seen('orders', 'orders_1', 'orders_2');
SELECT purpose.unprotect('orders_2');
SELECT purpose.label_column('orders', 'note', NULL);
SELECT purpose.label_column('orders_2', 'note', NULL);
SELECT * FROM declared('orders', 'orders_1', 'orders_2', 'orders_6_b');
SELECT * FROM seen('orders', 'orders_1', 'orders_2');

--
-- Only a part is protected: the part is, and the whole cannot be read past it.
--
SELECT purpose.protect('orders_1', subject => 'customer_id', of => 'customers');
SELECT * FROM seen('orders', 'orders_1', 'orders_2');
SELECT purpose.protect('orders', subject => 'customer_id', of => 'customers');
SELECT * FROM seen('orders', 'orders_1', 'orders_2');
SELECT purpose.unprotect('orders');
SELECT purpose.unprotect('orders_1');
DROP TABLE orders_3, orders_5;

--
-- A partitioned subject table: one person, whichever partition one looks at;
-- and what leads to it.
--
CREATE TABLE people (id int, region int, name text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
CREATE TABLE people_1 PARTITION OF people FOR VALUES IN (1);
CREATE TABLE people_2 (name text, region int NOT NULL, id int NOT NULL);
ALTER TABLE people ATTACH PARTITION people_2 FOR VALUES IN (2);
CREATE TABLE visits (id int PRIMARY KEY, region int, person int, FOREIGN KEY (region, person) REFERENCES people);
CREATE TABLE steps (id int, visit int REFERENCES visits) PARTITION BY RANGE (id);
CREATE TABLE steps_a PARTITION OF steps FOR VALUES FROM (1) TO (5);
CREATE TABLE steps_b (visit int, id int);
ALTER TABLE steps ATTACH PARTITION steps_b FOR VALUES FROM (5) TO (9);
INSERT INTO people VALUES (1, 1), (2, 1), (1, 2), (2, 2);
INSERT INTO visits VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 2, 2);
INSERT INTO steps SELECT i, 1 + i % 4 FROM generate_series(1, 8) i;
SELECT purpose.protect('people', subject => 'region, id');
SELECT purpose.protect('visits', subject => 'region, person');
SELECT purpose.protect('steps', via => 'visit');
SELECT count(purpose.grant_consent('people', s, 'partitions_consent')) FROM unnest('{"(1,1)","(2,2)"}'::text[]) s;
SELECT * FROM seen('people', 'people_1', 'people_2', 'visits', 'steps', 'steps_a', 'steps_b');
SET ROLE regress_purpose_partitions_app;
SET purpose.current = 'partitions_consent';
BEGIN;
UPDATE steps SET visit = visit RETURNING tableoid::regclass, id;
UPDATE steps SET id = 9 - id WHERE id IN (1, 3) RETURNING tableoid::regclass, id;		-- 1 is hidden, 3 moves
DELETE FROM steps_b RETURNING id;
UPDATE people SET name = 'x' RETURNING tableoid::regclass, id, name;
MERGE INTO steps s USING visits v ON v.id = s.visit WHEN MATCHED THEN DELETE;
RESET ROLE;
SELECT * FROM steps ORDER BY id;
ROLLBACK;
RESET ROLE;
RESET purpose.current;
ALTER TABLE visits DROP CONSTRAINT visits_region_person_fkey;
ALTER TABLE people DETACH PARTITION people_2;
SELECT relation, kind, key_columns, leads_to FROM purpose.protected_tables WHERE relation::text LIKE 'people%';
SELECT * FROM seen('people', 'people_1', 'people_2');		-- still persons of people

--
-- Inheritance: children made and added later, children of children, ONLY,
-- children that leave.
--
CREATE TABLE events (id int, customer_id int);
CREATE TABLE events_a (extra text) INHERITS (events);
SELECT purpose.protect('events', subject => 'customer_id', of => 'customers');
CREATE TABLE events_b (extra text) INHERITS (events);
CREATE TABLE events_c (extra text, customer_id int, id int);
ALTER TABLE events_c INHERIT events;
CREATE TABLE events_a_a () INHERITS (events_a);
INSERT INTO events VALUES (1, 1), (2, 2);
INSERT INTO events_a VALUES (11, 1), (12, 2);
INSERT INTO events_b VALUES (21, 1), (22, 2);
INSERT INTO events_c VALUES ('x', 1, 31), ('x', 2, 32);
INSERT INTO events_a_a VALUES (41, 1), (42, 2);
SELECT * FROM declared('events', 'events_a', 'events_b', 'events_c', 'events_a_a');
SELECT * FROM seen('events', 'ONLY events', 'events_a', 'ONLY events_a', 'events_b', 'events_c', 'events_a_a');
ALTER TABLE events_c NO INHERIT events;
ALTER TABLE events_a NO INHERIT events;
SELECT * FROM declared('events', 'events_a', 'events_c', 'events_a_a');
SELECT * FROM seen('events', 'events_a', 'events_b', 'events_c', 'events_a_a');
-- A column that protection rests on is not dropped from the child either.
\set VERBOSITY sqlstate
ALTER TABLE events_c DROP COLUMN customer_id;
ALTER TABLE events_c DROP COLUMN extra;
ALTER TABLE events DROP COLUMN customer_id;
ALTER TABLE orders DROP COLUMN note;
\set VERBOSITY default
-- Renames reach the children by way of their parent.
ALTER TABLE events RENAME COLUMN customer_id TO customer;
SELECT * FROM seen('events', 'events_b');
-- A parent takes a child that is protected: it is refused until it is, too.
CREATE TABLE log (id int, customer_id int);
ALTER TABLE events_a INHERIT log;
SELECT * FROM seen('log', 'events_a', 'ONLY log');
SELECT purpose.protect('log', subject => 'customer_id', of => 'customers');
SELECT * FROM seen('log', 'events_a', 'ONLY log');

--
-- Several parents: one declaration for the same rows is enough, whichever
-- parent it is of; two that contradict each other need one of the child's own,
-- since each hides what the other shows.
--
CREATE TABLE staff (id int PRIMARY KEY);
SELECT purpose.protect('staff', subject => 'id');
SELECT count(purpose.grant_consent('staff', 2, 'partitions_consent'));
CREATE TABLE plain (id int, what text);
CREATE TABLE of_customer (id int, customer_id int);
CREATE TABLE of_staff (id int, staff_id int);
SELECT purpose.protect('of_customer', subject => 'customer_id', of => 'customers');
SELECT purpose.protect('of_staff', subject => 'staff_id', of => 'staff');
CREATE TABLE one_of_two () INHERITS (plain, of_customer);
CREATE TABLE twofold () INHERITS (of_customer, of_staff);
INSERT INTO one_of_two VALUES (1, 'x', 1), (2, 'x', 2);
INSERT INTO twofold VALUES (11, 1, 1), (12, 1, 2), (21, 2, 1), (22, 2, 2);
SELECT * FROM seen('one_of_two', 'plain', 'ONLY plain', 'of_customer', 'of_staff', 'twofold');
SELECT purpose.protect('twofold', subject => 'staff_id', of => 'staff');
SELECT * FROM seen('of_customer', 'of_staff', 'twofold');

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_partitions CASCADE;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'partitions\_%';
SELECT count(purpose.drop_purpose(p)) AS dropped FROM unnest('{partitions_consent,partitions_contract}'::text[]) p;
DROP ROLE regress_purpose_partitions_app, regress_purpose_partitions_owner;
