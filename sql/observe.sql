--
-- Observe mode: nothing is refused, and what enforcement would have refused is
-- counted: the use of columns and of an unusable purpose by statement, rows one
-- by one.
--
-- Customers 1 to 4; 1 consented, 2 refused, 3 withdrew, 4 was not asked.
--
CREATE ROLE regress_purpose_observe_app;
CREATE ROLE regress_purpose_observe_other;
CREATE ROLE regress_purpose_observe_owner;
SELECT purpose.create_purpose('observe_consent', basis => 'consent');
SELECT purpose.create_purpose('observe_contract', basis => 'contract');
SELECT purpose.create_purpose('observe_ungranted', basis => 'contract');
SELECT count(purpose.grant_purpose(p, r)) FROM unnest('{observe_consent,observe_contract}'::text[]) p,
	unnest('{regress_purpose_observe_app,regress_purpose_observe_owner}'::text[]) r;
CREATE SCHEMA regress_purpose_observe;
GRANT ALL ON SCHEMA regress_purpose_observe TO PUBLIC;
SET search_path = regress_purpose_observe;
CREATE TABLE customers (id int PRIMARY KEY, email text, note text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders);
CREATE TABLE log (id int, customer_id int) PARTITION BY RANGE (id);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (1) TO (10);
INSERT INTO customers SELECT i, 'e' || i, 'n' || i FROM generate_series(1, 4) i;
INSERT INTO orders SELECT i, i FROM generate_series(1, 4) i;
INSERT INTO items SELECT i, i FROM generate_series(1, 4) i;
INSERT INTO log SELECT i, i FROM generate_series(1, 4) i;
ALTER TABLE customers OWNER TO regress_purpose_observe_owner;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_observe TO PUBLIC;
SELECT purpose.label_column('customers', 'email', 'for observe_contract');
SELECT purpose.protect('customers', subject => 'id', mode => 'observe');
SELECT purpose.protect('orders', subject => 'customer_id', mode => 'observe');
SELECT purpose.protect('items', via => 'order_id', mode => 'observe');
SELECT purpose.protect('log', subject => 'customer_id', of => 'customers', mode => 'observe');
SELECT count(purpose.grant_consent('customers', 1, 'observe_consent'));
SELECT count(purpose.refuse_consent('customers', 2, 'observe_consent'));
SELECT count(purpose.withdraw_consent('customers', 3, 'observe_consent'));
SELECT relation, mode FROM purpose.protected_tables ORDER BY relation::text;
CREATE VIEW observed AS SELECT relation, "column", purpose, role, reason, count FROM purpose.observed_violations
	WHERE role LIKE 'regress_purpose_observe%';
-- What was seen since the last look.
CREATE FUNCTION take() RETURNS SETOF observed LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT * FROM observed ORDER BY relation::text, "column" NULLS FIRST, purpose NULLS FIRST, role, reason;
	PERFORM purpose.reset_observed_violations();
END $$;
SELECT purpose.reset_observed_violations();

-- What would be refused, and what would not.
SET ROLE regress_purpose_observe_app;
SELECT count(*) FROM customers;								-- no purpose
SET purpose.current = 'observe_consent';
SELECT id, note FROM customers ORDER BY id;					-- three rows too many
RESET ROLE;
SELECT * FROM take();
SET ROLE regress_purpose_observe_app;
SELECT id FROM customers WHERE email = 'e1';				-- label; and one row of its own, which is allowed
SET purpose.current = 'observe_contract';
SELECT id, email FROM customers ORDER BY id;				-- nothing to refuse
SET purpose.current = '';
SELECT id FROM customers WHERE id = 2;
RESET ROLE;
SELECT * FROM take();
-- Counted, statement by statement, role by role; an exempt role is not.
SET purpose.current = 'observe_consent';
SET ROLE regress_purpose_observe_app;
SELECT email FROM customers WHERE id = 1;
SELECT email FROM customers WHERE id = 1;
SELECT id FROM customers WHERE id > 2;
SELECT id FROM customers WHERE id > 2;
SET ROLE regress_purpose_observe_owner;
SELECT count(email) FROM customers;
SET ROLE regress_purpose_observe_other;						-- holds no purpose
SELECT count(*) FROM customers;
RESET ROLE;
SELECT count(email) FROM customers;
SELECT * FROM take();

-- Rows reached by a foreign key and by a partition; rows that lead nowhere.
SET ROLE regress_purpose_observe_app;
SELECT count(*) FROM orders;
SELECT count(*) FROM items;
SELECT count(*) FROM log;
SELECT count(*) FROM log_1;
RESET ROLE;
ALTER TABLE items DROP CONSTRAINT items_order_id_fkey;
INSERT INTO items VALUES (5, 55);
SET ROLE regress_purpose_observe_app;
SELECT id FROM items WHERE id = 5;
RESET ROLE;
SELECT DISTINCT relation FROM take() ORDER BY 1;
DELETE FROM items WHERE id = 5;

-- Writing, COPY, MERGE and upserts go through, too.
SET ROLE regress_purpose_observe_app;
BEGIN;
UPDATE customers SET note = 'u' WHERE id = 2 RETURNING id;
INSERT INTO customers VALUES (4, 'x', 'x') ON CONFLICT (id) DO UPDATE SET note = excluded.note RETURNING id, note;
MERGE INTO customers c USING (VALUES (3)) v(id) ON v.id = c.id WHEN MATCHED THEN UPDATE SET note = 'm';
DELETE FROM items WHERE id = 2 RETURNING id;
COPY orders TO stdout;
COPY customers FROM stdin;
5	e5	n5
\.
TRUNCATE items;
ROLLBACK;
RESET ROLE;
SELECT DISTINCT relation, "column", reason FROM take() ORDER BY 1, 2, 3;
-- A holdable cursor, DDL by the owner, and the floor are left alone as well.
SET ROLE regress_purpose_observe_owner;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM customers WHERE id = 1;
COMMIT;
FETCH c;
CLOSE c;
CREATE FUNCTION own(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE INDEX own_index ON customers (own(email));
RESET ROLE;
SELECT relrowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies FROM pg_class c WHERE oid = 'orders'::regclass;
SELECT count(*) >= 0 AS looked FROM take();

-- What happens in a transaction that reads only, or that rolls back, is
-- counted, though nothing else of it stays.
SET ROLE regress_purpose_observe_app;
BEGIN READ ONLY;
SELECT id FROM customers WHERE id = 2;
COMMIT;
BEGIN;
SELECT id FROM customers WHERE id = 3;
ROLLBACK;
BEGIN;
SELECT id, 1 / (id - 4) FROM customers WHERE id = 4;		-- fails after the row was judged
ROLLBACK;
BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT id FROM customers WHERE id = 2;
COMMIT;
RESET ROLE;
SELECT * FROM take();
-- A violation is counted where the scan meets it, whatever the query makes of it.
SET ROLE regress_purpose_observe_app;
SELECT count(*) FROM customers c1, customers c2 WHERE c1.id = c2.id AND c1.id = 2;
RESET ROLE;
SELECT relation, reason, count FROM take();
-- explain_access() says for the mode what would be decided.
SELECT * FROM purpose.explain_access('customers', 'email', '2', 'observe_consent', 'regress_purpose_observe_app');

-- Switched over, a table at a time.  An enforced table that leads through an
-- observed one is enforced.
RESET purpose.current;
SELECT purpose.set_mode('items', 'enforce');
SELECT purpose.set_mode('customers', 'enforce');
SET ROLE regress_purpose_observe_app;
SET purpose.current = 'observe_consent';
SELECT id FROM customers;
SELECT id FROM items;
SELECT id FROM orders ORDER BY id;							-- still observed
\set VERBOSITY sqlstate
SELECT email FROM customers;
RESET purpose.current;
SELECT id FROM customers;
SELECT id FROM orders WHERE id = 1;
\set VERBOSITY default
RESET ROLE;
SELECT * FROM take();
SELECT purpose.set_mode('customers', 'observe');
SET ROLE regress_purpose_observe_app;
SET purpose.current = 'observe_consent';
SELECT id, email FROM customers ORDER BY id;
RESET ROLE;
RESET purpose.current;
SELECT * FROM take();
-- What was seen is forgotten on request, and its readers are chosen.
SELECT count(*) FROM observed;
SET ROLE regress_purpose_observe_app;
\set VERBOSITY sqlstate
SELECT * FROM purpose.observed_violations;
SELECT purpose.reset_observed_violations();
\set VERBOSITY default
RESET ROLE;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_observe CASCADE;
SELECT purpose.reset_observed_violations();
DELETE FROM purpose.consent_state WHERE purpose LIKE 'observe\_%';
SELECT count(purpose.drop_purpose(p)) AS dropped FROM unnest('{observe_consent,observe_contract,observe_ungranted}'::text[]) p;
DROP ROLE regress_purpose_observe_app, regress_purpose_observe_other, regress_purpose_observe_owner;
