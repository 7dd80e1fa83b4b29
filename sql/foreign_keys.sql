--
-- Foreign keys and rows that the session may not see: PostgreSQL's own checks
-- and cascades work on all rows; what a trigger does inside of them does not.
--
-- Customers 1 and 2; only 1 consented, and everything below runs for
-- fk_consent, so 2 and its rows are hidden.  The foreign-key columns are
-- labelled for another purpose.
--
CREATE ROLE regress_purpose_fk_app;
CREATE ROLE regress_purpose_fk_owner;
SELECT purpose.create_purpose('fk_consent', basis => 'consent');
SELECT purpose.create_purpose('fk_other', basis => 'contract');
SELECT count(purpose.grant_purpose(p, r)) AS granted FROM unnest('{fk_consent,fk_other}'::text[]) p,
	unnest('{regress_purpose_fk_app,regress_purpose_fk_owner}'::text[]) r;
CREATE SCHEMA regress_purpose_fk;
GRANT ALL ON SCHEMA regress_purpose_fk TO PUBLIC;
SET search_path = regress_purpose_fk;
CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE);
INSERT INTO customers VALUES (0, 'nobody'), (1, 'one'), (2, 'two');
CREATE TABLE for_cascade (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE CASCADE ON UPDATE CASCADE, note text);
CREATE TABLE for_null (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE SET NULL ON UPDATE SET NULL);
CREATE TABLE for_default (id int PRIMARY KEY, customer_id int DEFAULT 0 REFERENCES customers ON DELETE SET DEFAULT ON UPDATE CASCADE);
CREATE TABLE for_restrict (id int PRIMARY KEY, customer_id int REFERENCES customers ON DELETE RESTRICT ON UPDATE RESTRICT);
CREATE TABLE for_later (id int PRIMARY KEY, customer_id int REFERENCES customers DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE for_email (id int PRIMARY KEY, email text REFERENCES customers (email) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE details (id int PRIMARY KEY, of_cascade int REFERENCES for_cascade ON DELETE CASCADE);
INSERT INTO for_cascade VALUES (1, 1, 'a'), (2, 2, 'b');
INSERT INTO for_null VALUES (1, 1), (2, 2);
INSERT INTO for_default VALUES (1, 1), (2, 2);
INSERT INTO for_email VALUES (1, 'one'), (2, 'two');
INSERT INTO details VALUES (1, 1), (2, 2);
-- Tables of which one role owns what another refers to.
ALTER TABLE customers OWNER TO regress_purpose_fk_owner;
ALTER TABLE for_cascade OWNER TO regress_purpose_fk_owner;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_fk TO regress_purpose_fk_app, regress_purpose_fk_owner;
SELECT purpose.protect('customers', subject => 'id');
SELECT count(purpose.protect(t, subject => 'customer_id'))
FROM unnest('{for_cascade,for_null,for_default,for_restrict,for_later}'::regclass[]) t;
SELECT purpose.protect('for_email', via => 'email');
SELECT purpose.protect('details', via => 'of_cascade');
SELECT count(purpose.label_column(t, 'customer_id', 'for fk_other'))
FROM unnest('{for_cascade,for_null,for_default,for_restrict,for_later}'::regclass[]) t;
SELECT purpose.label_column('customers', 'email', 'for fk_other');
SELECT purpose.label_column('for_email', 'email', 'for fk_other');
SELECT count(purpose.grant_consent('customers', 1, 'fk_consent'));
CREATE FUNCTION show() RETURNS TABLE (what text, data text) LANGUAGE sql AS $$
	SELECT 'customers', string_agg(c::text, ' ' ORDER BY id) FROM customers c UNION ALL
	SELECT 'for_cascade', string_agg(c::text, ' ' ORDER BY id) FROM for_cascade c UNION ALL
	SELECT 'for_null', string_agg(c::text, ' ' ORDER BY id) FROM for_null c UNION ALL
	SELECT 'for_default', string_agg(c::text, ' ' ORDER BY id) FROM for_default c UNION ALL
	SELECT 'for_email', string_agg(c::text, ' ' ORDER BY id) FROM for_email c UNION ALL
	SELECT 'details', string_agg(c::text, ' ' ORDER BY id) FROM details c
$$;

--
-- Checks: a referring row may name a hidden row, not one that does not exist.
--
SET ROLE regress_purpose_fk_app;
SET purpose.current = 'fk_consent';
\set VERBOSITY sqlstate
BEGIN;
INSERT INTO for_cascade VALUES (3, 2), (4, 1);
INSERT INTO for_email VALUES (3, 'two');
INSERT INTO details VALUES (3, 2);
COPY for_null FROM stdin;
3	2
\.
INSERT INTO for_later VALUES (1, 2);
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE for_cascade SET customer_id = 2 WHERE id = 4;		-- writing the column is no use of it
UPDATE details SET of_cascade = 2 WHERE id = 1;
SAVEPOINT s;
SELECT customer_id FROM for_cascade;						-- reading it is
ROLLBACK TO s;
SELECT count(*) FROM for_cascade;
SELECT count(*) FROM details;								-- it went to somebody else
ROLLBACK;
INSERT INTO for_cascade VALUES (3, 99);
INSERT INTO for_email VALUES (3, 'somebody');
INSERT INTO details VALUES (3, 99);
UPDATE for_cascade SET customer_id = 99;
-- Deferred: at COMMIT, whatever purpose is declared by then.
BEGIN;
INSERT INTO for_later VALUES (1, 2), (2, 77);
RESET purpose.current;
COMMIT;
BEGIN;
INSERT INTO for_later VALUES (1, 2);
COMMIT;
SET purpose.current = 'fk_consent';
BEGIN;
INSERT INTO for_later VALUES (3, 2), (4, 77);
INSERT INTO customers VALUES (77, 'new');
SET LOCAL purpose.current = '';
SET CONSTRAINTS ALL IMMEDIATE;
COMMIT;

--
-- Cascades do all of their work, to any depth.  What is deleted or changed is
-- customer 1 only, as 2 is hidden; details 11 and 12 are two levels down.
--
RESET ROLE;
INSERT INTO details VALUES (11, 1), (12, 1);
SET ROLE regress_purpose_fk_app;
BEGIN;
DELETE FROM customers;										-- only 1, and what belongs to 1
RESET ROLE;
SELECT * FROM show();
ROLLBACK;
BEGIN;
UPDATE customers SET id = 10 WHERE id = 1;
RESET ROLE;
SELECT * FROM show();
ROLLBACK;
BEGIN;
UPDATE customers SET email = 'uno';
RESET ROLE;
SELECT * FROM show() WHERE what LIKE '%email%' OR what = 'customers';
ROLLBACK;
-- For fk_other all rows are visible.
SET purpose.current = 'fk_other';
BEGIN;
DELETE FROM customers WHERE id = 2;
RESET ROLE;
SELECT * FROM show();
ROLLBACK;
SET purpose.current = 'fk_consent';
-- Rows that lead to their subject by the very key that goes are found, too;
-- COPY by a superuser shows the heap as it is.
BEGIN;
DELETE FROM customers;
RESET ROLE;
COPY details TO stdout;
COPY for_email TO stdout;
ROLLBACK;
BEGIN;
UPDATE for_cascade SET id = id + 100 WHERE id = 2;			-- hidden
DELETE FROM for_cascade WHERE id = 1;
RESET ROLE;
COPY details TO stdout;
ROLLBACK;
BEGIN;
UPDATE customers SET email = 'uno';
RESET ROLE;
COPY for_email TO stdout;
ROLLBACK;
RESET ROLE;
RESET purpose.current;
CREATE TABLE hints (id int PRIMARY KEY, of_null int REFERENCES for_null, of_detail int REFERENCES details ON UPDATE RESTRICT ON DELETE SET NULL);
INSERT INTO hints VALUES (1, 1, 2);
SELECT purpose.protect('hints', via => 'of_null');
GRANT ALL ON hints TO regress_purpose_fk_app;
SET ROLE regress_purpose_fk_app;
SET purpose.current = 'fk_consent';
DELETE FROM for_null WHERE id = 1;							-- no action
UPDATE details SET id = id + 100 WHERE id = 2;				-- hidden
SET purpose.current = 'fk_other';
UPDATE details SET id = id + 100 WHERE id = 2;				-- restrict
DELETE FROM details WHERE id = 2;							-- set null
RESET ROLE;
COPY hints TO stdout;
DROP TABLE hints;
INSERT INTO details VALUES (2, 2);
SET ROLE regress_purpose_fk_app;
SET purpose.current = 'fk_consent';
-- What is referred to is visible, what refers to it is not.
RESET ROLE;
RESET purpose.current;
ALTER TABLE for_restrict ADD owner_id int REFERENCES customers ON DELETE RESTRICT;
INSERT INTO for_restrict VALUES (1, 2, 1);
SET ROLE regress_purpose_fk_app;
SET purpose.current = 'fk_consent';
SELECT count(*) FROM for_restrict;
DELETE FROM customers WHERE id = 1;
UPDATE customers SET id = 11 WHERE id = 1;
RESET ROLE;
ALTER TABLE for_restrict DROP owner_id;
DELETE FROM for_restrict;
-- The same with cascades, which must change the hidden rows.
ALTER TABLE for_null ADD owner_id int REFERENCES customers ON DELETE SET NULL;
ALTER TABLE for_cascade ADD owner_id int REFERENCES customers ON DELETE CASCADE;
INSERT INTO for_null VALUES (5, 2, 1);
INSERT INTO for_cascade VALUES (5, 2, 'hidden', 1);
INSERT INTO details VALUES (5, 5);
SELECT purpose.label_column('for_null', 'owner_id', 'for fk_other');
SET ROLE regress_purpose_fk_app;
BEGIN;
DELETE FROM customers WHERE id = 1;
RESET ROLE;
SELECT * FROM show();
ROLLBACK;

--
-- Triggers that a cascade fires are judged as any statement of the session's:
-- they neither see hidden rows nor use labelled columns.
--
RESET ROLE;
RESET purpose.current;
CREATE TABLE seen (what text);
GRANT ALL ON seen TO PUBLIC;
CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO regress_purpose_fk.seen
		SELECT format('%s %s %s: %s', TG_TABLE_NAME, TG_OP, TG_LEVEL, string_agg(id::text, ' ' ORDER BY id)) FROM regress_purpose_fk.customers;
	INSERT INTO regress_purpose_fk.seen SELECT 'for_null: ' || string_agg(id::text, ' ' ORDER BY id) FROM regress_purpose_fk.for_null;
	RETURN NULL;
END $$;
CREATE TRIGGER count_rows AFTER DELETE ON for_cascade FOR EACH ROW EXECUTE FUNCTION count_rows();
CREATE TRIGGER count_rows AFTER UPDATE ON for_null FOR EACH STATEMENT EXECUTE FUNCTION count_rows();
SET ROLE regress_purpose_fk_app;
SET purpose.current = 'fk_consent';
BEGIN;
DELETE FROM customers WHERE id = 1;
SELECT * FROM seen ORDER BY what;
ROLLBACK;
RESET ROLE;
CREATE OR REPLACE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO regress_purpose_fk.seen SELECT email FROM regress_purpose_fk.customers;
	RETURN NULL;
END $$;
SET ROLE regress_purpose_fk_app;
DELETE FROM customers WHERE id = 1;
-- A trigger that writes its query as PostgreSQL writes a foreign key's.
RESET ROLE;
CREATE OR REPLACE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE n int;
BEGIN
	EXECUTE 'SELECT 1 FROM ONLY "regress_purpose_fk"."customers" x WHERE "id" OPERATOR(pg_catalog.=) $1 FOR KEY SHARE OF x' INTO n USING 2;
	INSERT INTO regress_purpose_fk.seen VALUES (format('2 is %s', CASE WHEN n IS NULL THEN 'hidden' ELSE 'seen' END));
	RETURN NULL;
END $$;
SET ROLE regress_purpose_fk_app;
BEGIN;
DELETE FROM customers WHERE id = 1;
SELECT DISTINCT * FROM seen ORDER BY what;
ROLLBACK;
RESET ROLE;
DROP TRIGGER count_rows ON for_cascade;
DROP TRIGGER count_rows ON for_null;

--
-- Adding and validating a foreign key by an owner who is bound: all rows are
-- looked at.
--
ALTER TABLE for_cascade DROP owner_id;
CREATE TABLE refers (id int, customer_id int, email text);
INSERT INTO refers VALUES (1, 1, 'one'), (2, 2, 'two');
ALTER TABLE refers OWNER TO regress_purpose_fk_owner;
SELECT purpose.protect('refers', subject => 'customer_id', of => 'customers');
SELECT purpose.label_column('refers', 'email', 'for fk_other');
SET ROLE regress_purpose_fk_owner;
SELECT count(*) FROM refers;
ALTER TABLE refers ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE refers ADD CONSTRAINT fk_email FOREIGN KEY (email) REFERENCES customers (email) NOT VALID;
ALTER TABLE refers VALIDATE CONSTRAINT fk_email;
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 'refers'::regclass ORDER BY 1;
ALTER TABLE refers DROP CONSTRAINT fk, DROP CONSTRAINT fk_email;
RESET ROLE;
INSERT INTO refers VALUES (3, 99, 'secret');
SET ROLE regress_purpose_fk_owner;
ALTER TABLE refers ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers;
ALTER TABLE refers ADD CONSTRAINT fk_email FOREIGN KEY (email) REFERENCES customers (email);
-- Without a purpose, too: adding a constraint reads for nobody.
RESET purpose.current;
ALTER TABLE refers ADD CONSTRAINT fk FOREIGN KEY (customer_id) REFERENCES customers NOT VALID;
RESET ROLE;
DELETE FROM refers WHERE id = 3;
SET ROLE regress_purpose_fk_owner;
ALTER TABLE refers VALIDATE CONSTRAINT fk;
RESET ROLE;

-- A referenced value that is labelled is not told to the owner either.
GRANT ALL ON refers TO regress_purpose_fk_app;
SET ROLE regress_purpose_fk_owner;
SET purpose.current = 'fk_consent';
ALTER TABLE refers ADD CONSTRAINT fk_email FOREIGN KEY (email) REFERENCES customers (email);
ALTER TABLE refers DROP CONSTRAINT fk;
\set VERBOSITY default
UPDATE customers SET email = 'x';
SET ROLE regress_purpose_fk_app;
UPDATE customers SET email = 'x';
\set VERBOSITY sqlstate
RESET ROLE;
RESET purpose.current;

-- Replica role: no checks, no cascades, and the rows are hidden all the same.
BEGIN;
SET LOCAL session_replication_role = replica;
INSERT INTO for_null VALUES (8, 88);
DELETE FROM customers WHERE id = 1;
SELECT * FROM show() WHERE what IN ('customers', 'for_null');
SET LOCAL ROLE regress_purpose_fk_app;
SET LOCAL purpose.current = 'fk_consent';
SELECT count(*) FROM customers;
SELECT id FROM for_null ORDER BY id;
ROLLBACK;
\set VERBOSITY default

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_fk CASCADE;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'fk\_%';
SELECT count(purpose.drop_purpose(p)) AS dropped FROM unnest('{fk_consent,fk_other}'::text[]) p;
DROP ROLE regress_purpose_fk_app, regress_purpose_fk_owner;
