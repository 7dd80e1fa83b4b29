--
-- Which rows a statement sees, by purpose and consent, whatever kind of
-- statement it is and however it reaches the table.
--
--	1	consented			4	withdrew consent
--	2	was never asked		5	processing is restricted
--	3	refused				6	consented, and objects to analysis
--
-- So rows_contract sees all but 5, rows_consent sees 1 and 6, rows_interest
-- (opt-out) all but 5 and 6.
--
CREATE ROLE regress_purpose_rows_app;
CREATE ROLE regress_purpose_rows_owner;
CREATE ROLE regress_purpose_rows_bypass BYPASSRLS;
CREATE ROLE regress_purpose_rows_member IN ROLE regress_purpose_rows_app, regress_purpose_rows_bypass;
SELECT purpose.create_purpose('rows_contract', basis => 'contract');
SELECT purpose.create_purpose('rows_consent', basis => 'consent');
SELECT purpose.create_purpose('rows_interest', basis => 'legitimate_interests');
SELECT count(purpose.grant_purpose(p, r)) AS granted FROM
	unnest('{rows_contract,rows_consent,rows_interest}'::text[]) p,
	unnest('{regress_purpose_rows_app,regress_purpose_rows_owner}'::text[]) r;
CREATE SCHEMA regress_purpose_rows;
GRANT ALL ON SCHEMA regress_purpose_rows TO PUBLIC;
SET search_path = regress_purpose_rows;
CREATE TABLE customers (id int PRIMARY KEY, name text, UNIQUE (name));
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total int);
CREATE TABLE open_data (customer_id int, what text);
INSERT INTO customers SELECT i, 'n' || i FROM generate_series(1, 6) i;
INSERT INTO orders SELECT i, i, 10 * i FROM generate_series(1, 6) i;
INSERT INTO orders VALUES (7, NULL, 70);
INSERT INTO open_data SELECT i, 'w' || i FROM generate_series(1, 6) i;
-- Views and functions of the superuser's and of the owner's.
CREATE VIEW view_super AS SELECT * FROM customers;
CREATE VIEW view_barrier WITH (security_barrier) AS SELECT * FROM customers WHERE id < 100;
CREATE VIEW view_invoker WITH (security_invoker) AS SELECT * FROM customers;
CREATE VIEW view_nested AS SELECT v.id, o.total FROM view_super v LEFT JOIN orders o ON o.customer_id = v.id;
CREATE FUNCTION f_super() RETURNS SETOF int LANGUAGE sql STABLE SECURITY DEFINER
	AS 'SELECT id FROM regress_purpose_rows.customers';
CREATE FUNCTION f_super_plpgsql() RETURNS SETOF int LANGUAGE plpgsql STABLE SECURITY DEFINER
	AS 'BEGIN RETURN QUERY EXECUTE ''SELECT id FROM regress_purpose_rows.customers''; END';
CREATE FUNCTION f_atomic() RETURNS SETOF int LANGUAGE sql STABLE SECURITY DEFINER
	BEGIN ATOMIC SELECT id FROM customers; END;
CREATE FUNCTION f_inlined() RETURNS SETOF int LANGUAGE sql STABLE
	AS 'SELECT id FROM regress_purpose_rows.customers';
CREATE FUNCTION f_writes() RETURNS bigint LANGUAGE sql SECURITY DEFINER
	AS 'WITH u AS (UPDATE regress_purpose_rows.customers SET name = name RETURNING id) SELECT count(*) FROM u';
ALTER TABLE customers OWNER TO regress_purpose_rows_owner;
CREATE VIEW view_owner AS SELECT * FROM customers;
ALTER VIEW view_owner OWNER TO regress_purpose_rows_owner;
CREATE FUNCTION f_owner() RETURNS SETOF int LANGUAGE sql STABLE SECURITY DEFINER
	AS 'SELECT id FROM regress_purpose_rows.customers';
ALTER FUNCTION f_owner() OWNER TO regress_purpose_rows_owner;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_rows TO regress_purpose_rows_app, regress_purpose_rows_bypass, regress_purpose_rows_owner;

SELECT purpose.protect('customers', subject => 'id');
SELECT purpose.protect('orders', subject => 'customer_id');
SELECT count(purpose.grant_consent('customers', s, 'rows_consent')) FROM unnest('{1,4,6}'::bigint[]) s;
SELECT count(purpose.refuse_consent('customers', 3, 'rows_consent'));
SELECT count(purpose.withdraw_consent('customers', 4, 'rows_consent'));
SELECT count(purpose.restrict_processing('customers', 5));
SELECT count(purpose.object_to('customers', 6, 'rows_interest'));
SELECT count(purpose.grant_consent('customers', 5, 'rows_consent'));		-- restriction comes first

-- What each purpose sees, in one line.
CREATE FUNCTION ids(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
	EXECUTE format('SELECT string_agg(coalesce(id::text, ''-''), '' '' ORDER BY id) FROM (%s) q(id)', query) INTO result;
	RETURN result;
END $$;
CREATE FUNCTION by_purpose(query text, OUT contract text, OUT consent text, OUT interest text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL purpose.current = 'rows_contract';
	contract := ids(query);
	SET LOCAL purpose.current = 'rows_consent';
	consent := ids(query);
	SET LOCAL purpose.current = 'rows_interest';
	interest := ids(query);
	RESET purpose.current;
END $$;
CREATE FUNCTION all_purposes(VARIADIC queries text[]) RETURNS TABLE (query text, contract text, consent text, interest text) LANGUAGE sql
	AS 'SELECT q, b.* FROM unnest(queries) q, by_purpose(q) b';

--
-- Reading.
--
SET ROLE regress_purpose_rows_app;
BEGIN;
SELECT * FROM all_purposes(
	'SELECT id FROM customers',
	'SELECT id FROM customers WHERE id > 2',
	'SELECT count(*) FROM customers',
	'SELECT max(id) FROM customers',
	'SELECT id FROM ONLY customers',
	'SELECT id FROM customers TABLESAMPLE system (100)',
	'SELECT id FROM orders',
	'SELECT o.id FROM customers c JOIN orders o ON o.customer_id = c.id',
	'SELECT o.id FROM customers c RIGHT JOIN orders o ON o.customer_id = c.id',
	'SELECT c.id FROM open_data d LEFT JOIN customers c ON c.id = d.customer_id',
	'SELECT c.id FROM open_data d LEFT JOIN customers c ON c.id = d.customer_id WHERE d.customer_id < 4',
	'SELECT o.id FROM customers c, LATERAL (SELECT id FROM orders WHERE customer_id = c.id OFFSET 0) o',
	'SELECT id FROM customers UNION SELECT 8',
	'SELECT id FROM generate_series(1, 6) id EXCEPT SELECT id FROM customers',
	'SELECT customer_id FROM open_data WHERE customer_id IN (SELECT id FROM customers)',
	'SELECT customer_id FROM open_data WHERE customer_id NOT IN (SELECT id FROM customers)',
	'SELECT customer_id FROM open_data d WHERE EXISTS (SELECT FROM customers c WHERE c.id = d.customer_id)',
	'SELECT customer_id FROM open_data d WHERE (SELECT c.id FROM customers c WHERE c.id = d.customer_id) IS NULL',
	'SELECT cardinality(ARRAY(SELECT id FROM customers))',
	'WITH c AS (SELECT * FROM customers) SELECT id FROM c',
	'WITH c AS MATERIALIZED (SELECT * FROM customers) SELECT id FROM c',
	'WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT c.id FROM r JOIN customers c ON c.id = r.id + 1) SELECT id FROM r',
	'SELECT sum(id) OVER (ORDER BY id) FROM customers',
	'SELECT (SELECT count(*) FROM customers c2 WHERE c2.id <= c.id) FROM customers c',
	'SELECT id FROM customers c GROUP BY ROLLUP (id) HAVING count(*) = (SELECT count(*) FROM customers WHERE id = c.id)',
	'SELECT id FROM customers WHERE name = ''n5''',
	'SELECT id FROM view_super', 'SELECT id FROM view_owner', 'SELECT id FROM view_barrier',
	'SELECT id FROM view_invoker', 'SELECT total FROM view_nested',
	'SELECT * FROM f_super()', 'SELECT f_super()', 'SELECT * FROM f_super_plpgsql()', 'SELECT * FROM f_atomic()',
	'SELECT * FROM f_inlined()', 'SELECT f_inlined()', 'SELECT * FROM f_owner()', 'SELECT f_writes()');
ROLLBACK;
RESET ROLE;

-- No usable purpose: nothing at all, not even by way of a superuser's view or
-- function, nor where no row would have been asked for.
SET ROLE regress_purpose_rows_app;
\set VERBOSITY sqlstate
SELECT id FROM customers;
SELECT id FROM customers WHERE false;
SELECT id FROM customers LIMIT 0;
SELECT id FROM view_super;
SELECT count(*) FROM view_nested;
SELECT f_super();
SELECT EXISTS (SELECT FROM customers);
SELECT 1 WHERE 1 IN (SELECT id FROM customers);
UPDATE customers SET name = 'x';
DELETE FROM customers;
INSERT INTO customers VALUES (10, 'n10');
SELECT count(*) FROM open_data;			-- what is not protected needs none
\set VERBOSITY default
RESET ROLE;

-- Who is bound: the owner is, who belongs to a role with BYPASSRLS is; that
-- role and superusers acting themselves are not, nor need they a purpose.
SET ROLE regress_purpose_rows_owner;
SELECT * FROM all_purposes('SELECT id FROM customers', 'SELECT id FROM view_owner', 'SELECT * FROM f_owner()');
SET ROLE regress_purpose_rows_member;
\set VERBOSITY sqlstate
SELECT id FROM customers;
SET purpose.current = 'rows_consent';
\set VERBOSITY default
SET purpose.current = '';
SET ROLE regress_purpose_rows_bypass;
SELECT ids('SELECT id FROM customers'), ids('SELECT id FROM view_super'), ids('SELECT id FROM view_owner');
RESET purpose.current;
RESET ROLE;
SELECT ids('SELECT id FROM customers'), ids('SELECT id FROM view_super'), ids('SELECT id FROM view_owner'),
	   ids('SELECT * FROM f_owner()');
-- The acting role counts, within a transaction too.
BEGIN;
SET LOCAL ROLE regress_purpose_rows_app;
SET LOCAL purpose.current = 'rows_consent';
SELECT ids('SELECT id FROM customers');
RESET ROLE;
SELECT ids('SELECT id FROM customers');
COMMIT;

-- Code of the caller's never sees a hidden row, wherever it stands and however
-- cheap it says that it is.
CREATE FUNCTION tell(int, text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
	RAISE NOTICE 'told % %', $1, $2;
	RETURN true;
END $$;
CREATE FUNCTION same(text, text) RETURNS boolean LANGUAGE plpgsql COST 0.0001
	AS 'BEGIN RAISE NOTICE ''told %'', $1; RETURN $1 = $2; END';
CREATE OPERATOR === (FUNCTION = same, LEFTARG = text, RIGHTARG = text);
SET ROLE regress_purpose_rows_app;
SET purpose.current = 'rows_consent';
SELECT id FROM customers WHERE tell(id, name);
SELECT id FROM view_super WHERE tell(id, name);
SELECT id FROM view_barrier WHERE tell(id, name);
SELECT id FROM view_super v WHERE name === 'n1';
SELECT count(*) FROM open_data d JOIN customers c ON tell(c.id, c.name) AND d.customer_id = c.id;
SELECT count(*) FROM customers HAVING bool_and(tell(id, name));
SELECT count(*) FROM (SELECT tell(id, name) FROM customers ORDER BY 1) s;
BEGIN;
UPDATE customers SET name = name WHERE tell(id, name) RETURNING id;
ROLLBACK;
DELETE FROM orders WHERE tell(id, total::text) AND false;
SELECT id FROM f_super() id WHERE tell(id, '');
RESET ROLE;
RESET purpose.current;

--
-- Writing: what is hidden is not there for UPDATE, DELETE, MERGE and locks.
-- Each in a transaction that is rolled back.
--
SET ROLE regress_purpose_rows_app;
SET purpose.current = 'rows_consent';
BEGIN;
UPDATE customers SET name = name || '+' RETURNING id, name;
UPDATE customers SET name = name || '+' WHERE id = 2 RETURNING id;		-- hidden
WITH w AS (UPDATE orders o SET total = 0 FROM customers c WHERE c.id = o.customer_id RETURNING o.id AS id) SELECT id FROM w ORDER BY id;
WITH w AS (UPDATE open_data d SET what = c.name FROM customers c WHERE c.id = d.customer_id RETURNING d.customer_id AS id) SELECT id FROM w ORDER BY id;
UPDATE view_super SET name = name || '!' RETURNING id;
UPDATE view_owner SET name = name || '!' WHERE id = 3 RETURNING id;
RESET ROLE;
SELECT * FROM customers ORDER BY id;
ROLLBACK;
BEGIN;
DELETE FROM orders RETURNING id;
WITH w AS (DELETE FROM open_data d USING customers c WHERE c.id = d.customer_id RETURNING d.customer_id AS id) SELECT id FROM w ORDER BY id;
DELETE FROM view_super WHERE id = 2 RETURNING id;
RESET ROLE;
SELECT ids('SELECT id FROM orders'), ids('SELECT id FROM customers'), ids('SELECT customer_id FROM open_data');
ROLLBACK;
BEGIN;
WITH d AS (DELETE FROM orders RETURNING *) SELECT array_agg(id) FROM d;
WITH u AS (UPDATE customers SET name = name RETURNING id) SELECT count(*) FROM u;
ROLLBACK;
BEGIN;
SELECT id FROM customers ORDER BY id FOR UPDATE;
SELECT id FROM customers WHERE id = 2 FOR SHARE;
SELECT c.id FROM customers c, orders o WHERE o.customer_id = c.id ORDER BY c.id FOR NO KEY UPDATE OF o;
LOCK customers IN SHARE MODE;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM customers WHERE id > 1 FOR UPDATE;
FETCH FROM c;
UPDATE customers SET name = 'c' WHERE CURRENT OF c RETURNING id;
FETCH FROM c;
ROLLBACK;

-- MERGE: a hidden row does not match; adding it again meets the unique key.
BEGIN;
MERGE INTO customers c USING (VALUES (1), (2), (6)) v(id) ON v.id = c.id
WHEN MATCHED THEN UPDATE SET name = c.name || '!'
WHEN NOT MATCHED THEN DO NOTHING;
MERGE INTO customers c USING (VALUES (1), (9)) v(id) ON v.id = c.id
WHEN MATCHED THEN DO NOTHING
WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'new');
MERGE INTO open_data d USING customers c ON c.id = d.customer_id
WHEN MATCHED THEN DELETE;
\set VERBOSITY sqlstate
SAVEPOINT s;
MERGE INTO customers c USING (VALUES (2)) v(id) ON v.id = c.id
WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'again');
ROLLBACK TO s;
\set VERBOSITY default
RESET ROLE;
SELECT * FROM customers ORDER BY id;
SELECT ids('SELECT customer_id FROM open_data');
ROLLBACK;

-- INSERT is for anybody with a purpose; what was just written may be returned.
SET ROLE regress_purpose_rows_app;
BEGIN;
INSERT INTO customers VALUES (10, 'n10') RETURNING *;
INSERT INTO customers VALUES (11, 'n11'), (12, 'n12') RETURNING id, (SELECT count(*) FROM customers) AS visible;
INSERT INTO orders SELECT 100 + id, id, 0 FROM customers RETURNING id;		-- reads what is visible
INSERT INTO view_super VALUES (13, 'n13') RETURNING id;
SELECT ids('SELECT id FROM customers');										-- 10 to 13 did not consent
ROLLBACK;

-- Upserts.  2 is hidden, 1 is not, 20 is new.
BEGIN;
INSERT INTO customers VALUES (2, 'x'), (1, 'x'), (20, 'x') ON CONFLICT DO NOTHING RETURNING id;
INSERT INTO customers VALUES (2, 'n2') ON CONFLICT (id) DO NOTHING RETURNING id;
INSERT INTO customers VALUES (2, 'y'), (1, 'y'), (21, 'z') ON CONFLICT (id)
	DO UPDATE SET name = excluded.name RETURNING id, name;
INSERT INTO customers VALUES (2, 'y2'), (1, 'y3') ON CONFLICT (id)
	DO UPDATE SET name = excluded.name WHERE customers.name <> 'never' RETURNING id, name;
INSERT INTO customers VALUES (2, 'y4') ON CONFLICT (id)
	DO UPDATE SET name = customers.name || excluded.name RETURNING id, name;
INSERT INTO customers AS c VALUES (1, 'y5'), (3, 'y6') ON CONFLICT (id)
	DO UPDATE SET name = excluded.name WHERE tell(c.id, c.name);
INSERT INTO view_super VALUES (2, 'y7'), (6, 'y8') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id, name;
RESET ROLE;
SELECT * FROM customers ORDER BY id;
ROLLBACK;

-- The same where the row leads to its subject by a foreign key, twice.
RESET ROLE;
RESET purpose.current;
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders, what text);
CREATE TABLE parcels (id int PRIMARY KEY, item_id int REFERENCES items, what text);
INSERT INTO items SELECT i, i, 'w' FROM generate_series(1, 6) i;
INSERT INTO parcels SELECT i, i, 'w' FROM generate_series(1, 6) i;
INSERT INTO parcels VALUES (7, NULL, 'w');
GRANT ALL ON items, parcels TO regress_purpose_rows_app;
SELECT purpose.protect('items', via => 'order_id');
SELECT purpose.protect('parcels', via => 'item_id');
SET ROLE regress_purpose_rows_app;
SELECT * FROM all_purposes(
	'SELECT id FROM parcels',
	'SELECT p.id FROM parcels p JOIN items i ON i.id = p.item_id JOIN orders o ON o.id = i.order_id',
	'SELECT id FROM items WHERE NOT EXISTS (SELECT FROM parcels p WHERE p.item_id = items.id)',
	'SELECT count(*) FROM parcels GROUP BY what');
SET purpose.current = 'rows_consent';
BEGIN;
SELECT id FROM parcels ORDER BY id FOR UPDATE;
SELECT id FROM parcels WHERE tell(id, what);
UPDATE parcels SET what = 'u' RETURNING id;
INSERT INTO parcels VALUES (8, 2, 'x') RETURNING id;
INSERT INTO parcels VALUES (1, 2, 'y'), (2, 1, 'y'), (9, 1, 'y') ON CONFLICT (id)
	DO UPDATE SET what = excluded.what || parcels.what WHERE tell(parcels.id, parcels.what) RETURNING id, what;
MERGE INTO parcels p USING (VALUES (1), (2), (6)) v(id) ON v.id = p.id
WHEN MATCHED AND p.id = 6 THEN DELETE WHEN MATCHED THEN UPDATE SET what = 'm';
WITH w AS (DELETE FROM parcels p USING items i WHERE i.id = p.item_id RETURNING p.id AS id) SELECT id FROM w ORDER BY id;
COPY parcels (id) TO stdout;
RESET ROLE;
SELECT * FROM parcels ORDER BY id;
ROLLBACK;
SET purpose.current = 'rows_consent';

-- COPY, both ways.
SET ROLE regress_purpose_rows_app;
BEGIN;
COPY customers FROM stdin;
30	n30
31	n31
\.
COPY customers (id) FROM stdin;
32
\.
COPY orders FROM stdin WHERE id <> 301;
300	30	1
301	30	1
\.
COPY customers TO stdout;
COPY (SELECT id FROM orders ORDER BY id) TO stdout;
COPY (INSERT INTO customers VALUES (33, 'n33') RETURNING id) TO stdout;
RESET ROLE;
SELECT ids('SELECT id FROM customers'), ids('SELECT id FROM orders');
SET ROLE regress_purpose_rows_owner;
COPY customers TO stdout;
ROLLBACK;
SET ROLE regress_purpose_rows_app;
RESET purpose.current;
\set VERBOSITY sqlstate
COPY customers TO stdout;
\copy customers from /dev/null
\set VERBOSITY default

-- One plan, several purposes: nothing about the decision is in it.
SET plan_cache_mode = force_generic_plan;
PREPARE visible AS SELECT string_agg(id::text, ' ' ORDER BY id) FROM customers;
SET purpose.current = 'rows_contract';
EXECUTE visible;
SET purpose.current = 'rows_consent';
EXECUTE visible;
RESET ROLE;
EXECUTE visible;
SET ROLE regress_purpose_rows_app;
BEGIN;
SET LOCAL purpose.current = 'rows_interest';
EXECUTE visible;
ROLLBACK;
EXECUTE visible;
RESET plan_cache_mode;
DEALLOCATE visible;
RESET ROLE;
RESET purpose.current;

-- The rule's own function says nothing to who calls it by hand.
SET ROLE regress_purpose_rows_app;
SET purpose.current = 'rows_consent';
\set VERBOSITY sqlstate
SELECT id, purpose._visible('customers'::regclass, id) FROM generate_series(1, 6) id;
SELECT purpose._visible('customers'::regclass, 1, 2);
\set VERBOSITY default
RESET ROLE;
RESET purpose.current;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_rows CASCADE;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'rows\_%' OR subject_table::oid NOT IN (SELECT oid FROM pg_class);
SELECT count(purpose.drop_purpose(p)) AS dropped FROM unnest('{rows_contract,rows_consent,rows_interest}'::text[]) p;
DROP ROLE regress_purpose_rows_member, regress_purpose_rows_app, regress_purpose_rows_owner, regress_purpose_rows_bypass;
