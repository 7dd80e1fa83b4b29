--
-- The main job, end to end: purposes, labels, protection and consent on a small
-- shop, and what an application sees of it.
--
CREATE ROLE regress_purpose_main_app;
CREATE ROLE regress_purpose_main_owner;
SELECT purpose.create_purpose('main_billing', basis => 'contract', description => 'Send invoices');
SELECT purpose.create_purpose('main_marketing', basis => 'consent', description => 'Tell you about offers');
SELECT purpose.create_purpose('main_marketing.email');
SELECT purpose.create_purpose('main_analytics', basis => 'legitimate_interests');
SELECT purpose.grant_purpose(p, 'regress_purpose_main_app')
FROM unnest('{main_billing,main_marketing,main_analytics}'::text[]) p;
SELECT purpose.grant_purpose('main_billing', 'regress_purpose_main_owner');

CREATE SCHEMA regress_purpose_main;
SET search_path = regress_purpose_main;
CREATE TABLE customers (id bigint PRIMARY KEY, name text, email text UNIQUE, phone text);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES customers, total numeric);
CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint REFERENCES orders, what text);
INSERT INTO customers SELECT i, 'n' || i, 'e' || i || '@x.example', '+' || i FROM generate_series(1, 10) i;
INSERT INTO orders SELECT i, nullif(i % 11, 0), i FROM generate_series(1, 22) i;
INSERT INTO items SELECT i, 1 + i % 22, 'w' || i FROM generate_series(1, 44) i;
CREATE VIEW customer_view AS SELECT * FROM customers;
CREATE FUNCTION customer_emails() RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER
	AS 'SELECT email FROM regress_purpose_main.customers ORDER BY id';
CREATE FUNCTION inlined_ids() RETURNS SETOF bigint LANGUAGE sql STABLE
	AS 'SELECT id FROM regress_purpose_main.customers';
ALTER TABLE customers OWNER TO regress_purpose_main_owner;
GRANT ALL ON SCHEMA regress_purpose_main TO regress_purpose_main_app, regress_purpose_main_owner;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_main TO regress_purpose_main_app;

SECURITY LABEL FOR purpose ON COLUMN customers.email IS 'for main_billing, main_marketing category user.contact.email';
SELECT purpose.label_column('customers', 'phone', 'for main_billing never main_marketing');
SELECT purpose.protect('customers', subject => 'id');
SELECT purpose.protect('orders', subject => 'customer_id');
SELECT purpose.protect('items', via => 'order_id');
SELECT * FROM purpose.protected_tables WHERE relation::text IN ('customers', 'orders', 'items');
SELECT purpose.grant_consent('customers', 3, 'main_marketing') IS NOT NULL AS recorded;
SELECT purpose.grant_consent('customers', '4', 'main_marketing.email') IS NOT NULL AS recorded;
SELECT purpose.object_to('customers', 5, 'main_analytics') IS NOT NULL AS recorded;
SELECT purpose.restrict_processing('customers', 6) IS NOT NULL AS recorded;
SELECT purpose, basis, state, recorded_for, permitted, reason
FROM purpose.consents('customers', 4) WHERE purpose LIKE 'main%';

\set VERBOSITY sqlstate
SET ROLE regress_purpose_main_app;
SELECT count(*) FROM customers;				-- none declared
SET purpose.current = '';
SELECT count(*) FROM customers;				-- empty
SET purpose.current = 'nope';				-- unknown
SET purpose.current = 'main_billing';
SELECT count(*) FROM customers;				-- all but the restricted one
SELECT id, email, phone FROM customers ORDER BY id LIMIT 2;
SET purpose.current = 'main_marketing';
SELECT id, email FROM customers;
SELECT id, phone FROM customers;			-- label prohibits
SET purpose.current = 'main_marketing.email';
SELECT id, email FROM customers ORDER BY id;
SELECT * FROM orders ORDER BY id;			-- guests' orders are nobody's
SELECT count(*) FROM items;
SELECT customer_emails();					-- the caller's purpose, not the owner's
SELECT count(*) FROM customer_view;
SELECT inlined_ids() ORDER BY 1;
SELECT * FROM inlined_ids() ORDER BY 1;
SELECT count(*) FROM inlined_ids() i(id) WHERE id < 4;
SET purpose.current = 'main_analytics';
SELECT id FROM customers ORDER BY id;		-- all but the one who objected and the restricted one
SELECT count(*) FROM customers WHERE email LIKE 'e1%';	-- using is reading
SELECT count(*) FROM customer_view;			-- a view's unused columns are not
COPY customers (id, name) TO stdout;
COPY customers TO stdout;
INSERT INTO customers VALUES (100, 'x', 'e', 'p') RETURNING id;
INSERT INTO customers VALUES (5, 'x', 'e5', 'p')
	ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id;	-- hidden stays hidden
INSERT INTO customers VALUES (7, 'x', 'e7', 'p')
	ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id;
COPY customers FROM stdin;
200	a	b	c
\.
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM customers;
RESET ROLE;

-- A withdrawal binds the next statement, in its own transaction too.
BEGIN;
SELECT purpose.withdraw_consent('customers', 3, 'main_marketing') IS NOT NULL AS recorded;
SET LOCAL ROLE regress_purpose_main_app;
SET LOCAL purpose.current = 'main_marketing';
SELECT id FROM customers;
ROLLBACK;
SET ROLE regress_purpose_main_app;
SET purpose.current = 'main_marketing';
SELECT id FROM customers;
RESET ROLE;
RESET purpose.current;
SELECT * FROM purpose.explain_access('customers', 'phone', '3', 'main_marketing', 'regress_purpose_main_app');
SELECT * FROM purpose.explain_access('customers', 'email', '4', 'main_marketing.email', 'regress_purpose_main_app');

-- An exempt function serves whoever calls it; its owner cannot replace it.
CREATE FUNCTION login(e text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'BEGIN RETURN (SELECT id FROM regress_purpose_main.customers WHERE email = e); END';
CREATE FUNCTION failing() RETURNS int LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
	AS 'BEGIN RETURN (SELECT id / 0 FROM regress_purpose_main.customers LIMIT 1); END';
SECURITY LABEL FOR purpose ON FUNCTION login(text) IS 'something';
SECURITY LABEL FOR purpose ON FUNCTION login(text) IS 'exempt';
SECURITY LABEL FOR purpose ON FUNCTION failing() IS 'exempt';
ALTER FUNCTION login(text) OWNER TO regress_purpose_main_owner;
SET ROLE regress_purpose_main_app;
SELECT login('e3@x.example');
SELECT id FROM customers WHERE email = 'e3@x.example';
BEGIN;
SAVEPOINT a;
SELECT failing();
ROLLBACK TO a;
SELECT id FROM customers;					-- the exemption ended with the error
ROLLBACK;
SET ROLE regress_purpose_main_owner;
CREATE OR REPLACE FUNCTION login(e text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';

-- What would take protection away, by a bound owner.
ALTER TABLE customers ALTER name TYPE text USING email;
ALTER TABLE customers ALTER email TYPE text USING lower(email);
TRUNCATE customers CASCADE;
ALTER TABLE customers DISABLE ROW LEVEL SECURITY;
DROP POLICY purpose_floor ON customers;
ALTER TABLE customers DROP COLUMN id;
SECURITY LABEL FOR purpose ON COLUMN customers.email IS NULL;
-- A parent of a protected table is refused until it is protected itself.
CREATE TABLE parent (id bigint NOT NULL, name text, email text, phone text);
ALTER TABLE customers INHERIT parent;
SET purpose.current = 'main_billing';
SELECT count(*) FROM parent;
RESET purpose.current;
ALTER TABLE customers NO INHERIT parent;
SELECT count(*) FROM parent;
RESET ROLE;

-- A referenced partition goes only under eyes that see every row.
CREATE TABLE baskets (id bigint PRIMARY KEY, customer_id bigint) PARTITION BY RANGE (id);
CREATE TABLE baskets_1 PARTITION OF baskets FOR VALUES FROM (0) TO (100);
CREATE TABLE contents (basket_id bigint REFERENCES baskets);
INSERT INTO baskets VALUES (1, 1);
INSERT INTO contents VALUES (1);
SELECT purpose.protect('baskets', subject => 'customer_id', of => 'customers');
ALTER TABLE baskets OWNER TO regress_purpose_main_owner;
ALTER TABLE baskets_1 OWNER TO regress_purpose_main_owner;
ALTER TABLE contents OWNER TO regress_purpose_main_owner;
SET ROLE regress_purpose_main_owner;
SET purpose.current = 'main_billing';
ALTER TABLE baskets DETACH PARTITION baskets_1;
RESET ROLE;
RESET purpose.current;
ALTER TABLE baskets DETACH PARTITION baskets_1;		-- the reference is seen
DELETE FROM contents;
ALTER TABLE baskets DETACH PARTITION baskets_1;
SELECT purpose.unprotect('baskets'), purpose.unprotect('baskets_1');
DROP TABLE contents, baskets, baskets_1;

-- Declarations follow renames.
ALTER TABLE customers RENAME id TO customer_no;
ALTER TABLE customers RENAME TO people;
SELECT relation, key_columns, leads_to, problem FROM purpose.protected_tables
WHERE relation::text IN ('people', 'orders', 'items');
SET ROLE regress_purpose_main_app;
SET purpose.current = 'main_marketing';
SELECT customer_no FROM people;
RESET ROLE;

-- Leave nothing behind.
SELECT purpose.unprotect('people');			-- others rest on it
SELECT purpose.unprotect('items');
SELECT purpose.unprotect('orders');
SELECT purpose.unprotect('people');
-- Labels still need the floor of people; orders are as they were found.
SELECT c.oid::regclass, c.relrowsecurity, count(p.*) AS policies
FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid
WHERE c.oid IN ('people'::regclass, 'orders'::regclass) GROUP BY 1, 2 ORDER BY 1::text;
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_main CASCADE;
RESET purpose.current;
SELECT purpose.drop_purpose(p) FROM unnest('{main_billing,main_marketing.email,main_marketing,main_analytics}'::text[]) p;
DROP ROLE regress_purpose_main_app, regress_purpose_main_owner;
