--
-- purpose.protect() and unprotect(): every way in which a row can lead to its
-- data subject, what is refused, and what happens to a declaration when the
-- objects that it names change.
--
-- Of the subjects only the first one consented, so for protect_consent exactly
-- the rows that lead to it are visible, and those that lead to nobody; for
-- protect_contract all rows are.
--
CREATE ROLE regress_purpose_protect_app;
CREATE ROLE regress_purpose_protect_owner;
CREATE ROLE regress_purpose_protect_officer;
SELECT purpose.create_purpose('protect_contract', basis => 'contract');
SELECT purpose.create_purpose('protect_consent', basis => 'consent');
SELECT purpose.grant_purpose(p, r) FROM
	unnest('{protect_contract,protect_consent}'::text[]) p,
	unnest('{regress_purpose_protect_app,regress_purpose_protect_owner}'::text[]) r;
SELECT purpose.appoint_officer('regress_purpose_protect_officer');
CREATE SCHEMA regress_purpose_protect;
GRANT ALL ON SCHEMA regress_purpose_protect TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA regress_purpose_protect GRANT ALL ON TABLES TO regress_purpose_protect_app;
SET search_path = regress_purpose_protect;

-- Shows how a statement would end; what it did is undone.
CREATE FUNCTION try(statement text, OUT state text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RAISE EXCEPTION SQLSTATE 'TT000';
EXCEPTION
	WHEN SQLSTATE 'TT000' THEN message := 'allowed';
	WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;

--
-- One column as key, of every type; the rows of a subject table, those of a
-- table that refers to it without a foreign key, and those beyond a foreign key.
--
DO $$
DECLARE
	k record;
BEGIN
	FOR k IN SELECT * FROM (VALUES
		('int2', '1', '2'), ('int4', '1', '2'), ('int8', '9000000000', '2'),
		('uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'),
		('text', 'o''hara, (a "b")', ' '), ('varchar', 'x y', '')) v(type, first, second)
	LOOP
		EXECUTE format('CREATE TABLE s_%1$s (id %1$s PRIMARY KEY)', k.type);
		EXECUTE format('CREATE TABLE e_%1$s (event serial PRIMARY KEY, who %1$s)', k.type);
		EXECUTE format('CREATE TABLE d_%1$s (event int REFERENCES e_%1$s)', k.type);
		EXECUTE format('INSERT INTO s_%1$s VALUES (%2$L), (%3$L)', k.type, k.first, k.second);
		EXECUTE format('INSERT INTO e_%1$s (who) VALUES (%2$L), (%3$L), (NULL)', k.type, k.first, k.second);
		EXECUTE format('INSERT INTO d_%1$s VALUES (1), (2), (3), (NULL)', k.type);
		PERFORM purpose.protect(('s_' || k.type)::regclass, subject => 'id');
		PERFORM purpose.protect(('e_' || k.type)::regclass, subject => 'who', of => ('s_' || k.type)::regclass);
		PERFORM purpose.protect(('d_' || k.type)::regclass, via => 'event');
		PERFORM purpose.grant_consent(('s_' || k.type)::regclass, k.first, 'protect_consent');
	END LOOP;
END $$;
SELECT * FROM purpose.protected_tables WHERE relation::text ~ '^[sed]_' ORDER BY subject_table::text, relation::text;

CREATE FUNCTION visible_by_type() RETURNS TABLE (type text, subjects bigint, events bigint, details bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH type IN ARRAY '{int2,int4,int8,uuid,text,varchar}'::text[] LOOP
		EXECUTE format('SELECT (SELECT count(*) FROM s_%1$s), (SELECT count(*) FROM e_%1$s), (SELECT count(*) FROM d_%1$s)', type)
			INTO subjects, events, details;
		RETURN NEXT;
	END LOOP;
END $$;
SET ROLE regress_purpose_protect_app;
SET purpose.current = 'protect_contract';
SELECT * FROM visible_by_type();
SET purpose.current = 'protect_consent';
SELECT * FROM visible_by_type();			-- the first; and the first and nobody's; and theirs and nobody's
RESET ROLE;
RESET purpose.current;
-- A uuid is the same in any spelling, and an integer too; others' consents do not count.
SELECT purpose.withdraw_consent('s_uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'protect_consent') IS NOT NULL AS recorded;
SELECT purpose.withdraw_consent('s_int4', ' +01 ', 'protect_consent') IS NOT NULL AS recorded;
SET ROLE regress_purpose_protect_app;
SET purpose.current = 'protect_consent';
SELECT * FROM visible_by_type() WHERE type IN ('int2', 'int4', 'uuid');
RESET ROLE;
RESET purpose.current;
SELECT * FROM try($$ SELECT purpose.grant_consent('s_int4', 'x', 'protect_consent') $$) \gx
SELECT * FROM try($$ SELECT purpose.grant_consent('e_int4', '1', 'protect_consent') $$) \gx

--
-- Foreign keys: narrower and wider than what they refer to, several of them,
-- a key that is a foreign key itself, domains, names that need quotes; "via"
-- to a depth of three; NULL at each level.
--
CREATE DOMAIN customer_no AS int CHECK (VALUE > 0);
CREATE TABLE customers (id bigint PRIMARY KEY, parent_id bigint REFERENCES customers);
CREATE TABLE staff (id int PRIMARY KEY);
CREATE TABLE profiles (customer_id int PRIMARY KEY REFERENCES customers);
CREATE TABLE "Bestellung" ("Nr" int PRIMARY KEY, "Kunde, Nr" smallint REFERENCES customers, seller int REFERENCES staff);
CREATE TABLE items (id int PRIMARY KEY, order_id bigint REFERENCES "Bestellung");
CREATE TABLE parcels (id smallint PRIMARY KEY, item_id int REFERENCES items);
CREATE TABLE scans (id int PRIMARY KEY, parcel_id int REFERENCES parcels);
CREATE TABLE calls (id int PRIMARY KEY, customer customer_no REFERENCES customers);
CREATE TABLE logins (id int PRIMARY KEY, customer bigint);
INSERT INTO customers VALUES (1, 2), (2, 1);
INSERT INTO staff VALUES (1), (2);
INSERT INTO profiles VALUES (1), (2);
INSERT INTO "Bestellung" VALUES (1, 1, 1), (2, 2, 1), (3, NULL, 1);
INSERT INTO items SELECT i, nullif(i, 4) FROM generate_series(1, 4) i;
INSERT INTO parcels SELECT i, nullif(i, 5) FROM generate_series(1, 5) i;
INSERT INTO scans SELECT i, nullif(i, 6) FROM generate_series(1, 6) i;
INSERT INTO calls VALUES (1, 1), (2, 2), (3, NULL);
INSERT INTO logins VALUES (1, 1), (2, 2), (3, NULL), (4, 99);
SELECT purpose.protect('customers', subject => 'id');
SELECT purpose.protect('staff', subject => 'id');
SELECT purpose.protect('profiles', subject => 'customer_id');
SELECT purpose.protect('"Bestellung"', subject => '"Kunde, Nr"');
SELECT purpose.protect('items', via => 'order_id');
SELECT purpose.protect('parcels', via => 'item_id');
SELECT purpose.protect('scans', via => 'parcel_id');
SELECT purpose.protect('calls', subject => 'customer');
SELECT purpose.protect('logins', subject => 'customer', of => 'customers');
SELECT * FROM purpose.protected_tables WHERE relation::text !~ '^[sed]_' ORDER BY relation::text COLLATE "C";
SELECT purpose.grant_consent('customers', 1, 'protect_consent') IS NOT NULL AS recorded;
CREATE FUNCTION visible_ids() RETURNS TABLE (relation text, ids text) LANGUAGE sql AS $$
	SELECT 'customers', string_agg(id::text, ' ' ORDER BY id) FROM customers UNION ALL
	SELECT 'profiles', string_agg(customer_id::text, ' ' ORDER BY customer_id) FROM profiles UNION ALL
	SELECT 'Bestellung', string_agg("Nr"::text, ' ' ORDER BY "Nr") FROM "Bestellung" UNION ALL
	SELECT 'items', string_agg(id::text, ' ' ORDER BY id) FROM items UNION ALL
	SELECT 'parcels', string_agg(id::text, ' ' ORDER BY id) FROM parcels UNION ALL
	SELECT 'scans', string_agg(id::text, ' ' ORDER BY id) FROM scans UNION ALL
	SELECT 'calls', string_agg(id::text, ' ' ORDER BY id) FROM calls UNION ALL
	SELECT 'logins', string_agg(id::text, ' ' ORDER BY id) FROM logins
$$;
SET ROLE regress_purpose_protect_app;
SET purpose.current = 'protect_contract';
SELECT * FROM visible_ids();
SET purpose.current = 'protect_consent';
SELECT * FROM visible_ids();
-- Each level asks for a purpose.
RESET purpose.current;
\set VERBOSITY sqlstate
SELECT FROM customers;
SELECT FROM "Bestellung";
SELECT FROM scans;
\set VERBOSITY default
RESET ROLE;
-- A row that leads nowhere, as a foreign key that is not validated allows, is
-- not nobody's: it is somebody's who is gone.
ALTER TABLE scans DROP CONSTRAINT scans_parcel_id_fkey;
INSERT INTO scans VALUES (7, 77);
SET ROLE regress_purpose_protect_app;
SET purpose.current = 'protect_contract';
SELECT id FROM scans ORDER BY id;
RESET ROLE;
RESET purpose.current;

--
-- Keys of several columns.
--
CREATE TABLE clients (tenant int, id int, PRIMARY KEY (tenant, id));
CREATE TABLE contracts (no int PRIMARY KEY, tenant int, client int, FOREIGN KEY (tenant, client) REFERENCES clients);
CREATE TABLE visits (no int PRIMARY KEY, client int, tenant int, FOREIGN KEY (client, tenant) REFERENCES clients (id, tenant));
CREATE TABLE routes (tenant int, no int, client int, PRIMARY KEY (tenant, no), FOREIGN KEY (tenant, client) REFERENCES clients);
CREATE TABLE stops (id int, tenant int, route int, FOREIGN KEY (tenant, route) REFERENCES routes);
CREATE TABLE words (a text, b text, PRIMARY KEY (a, b));
INSERT INTO clients VALUES (7, 42), (42, 7), (7, 43);
INSERT INTO contracts VALUES (1, 7, 42), (2, 42, 7), (3, 7, 43), (4, 7, NULL), (5, NULL, 42);
INSERT INTO visits VALUES (1, 42, 7), (2, 7, 42), (3, 43, 7), (4, NULL, 7);
INSERT INTO routes VALUES (7, 1, 42), (42, 1, 7), (7, 2, NULL);
INSERT INTO stops VALUES (1, 7, 1), (2, 42, 1), (3, 7, 2), (4, 7, NULL), (5, NULL, 1);
INSERT INTO words VALUES ('a', 'b,c'), ('a,b', 'c'), ('', 'null'), ('(', '"\');
SELECT purpose.protect('clients', subject => 'tenant, id');
SELECT purpose.protect('contracts', subject => 'tenant, client');
SELECT purpose.protect('visits', subject => 'client, tenant');	-- the foreign key says which is which
SELECT purpose.protect('routes', subject => 'tenant, client', of => 'clients');
SELECT purpose.protect('stops', via => 'route');				-- a part of the foreign key is enough to name it
SELECT purpose.protect('words', subject => 'a, b');
SELECT relation, kind, key_columns, subject_table, leads_to FROM purpose.protected_tables
WHERE subject_table IN ('clients'::regclass, 'words'::regclass);
SELECT purpose.grant_consent('clients', '(7,42)', 'protect_consent') IS NOT NULL AS recorded;
SELECT purpose.grant_consent('words', '(a,"b,c")', 'protect_consent') IS NOT NULL AS recorded;
SELECT purpose.grant_consent('words', '("",null)', 'protect_consent') IS NOT NULL AS recorded;
SELECT purpose.grant_consent('words', '("(","""\\")', 'protect_consent') IS NOT NULL AS recorded;
SELECT * FROM try($$ SELECT purpose.grant_consent('clients', '7', 'protect_consent') $$) \gx
SELECT * FROM try($$ SELECT purpose.grant_consent('clients', '(7,42,1)', 'protect_consent') $$) \gx
SELECT * FROM try($$ SELECT purpose.grant_consent('clients', '(7,', 'protect_consent') $$) \gx
SET ROLE regress_purpose_protect_app;
SET purpose.current = 'protect_consent';
SELECT * FROM clients ORDER BY tenant, id;
SELECT * FROM contracts ORDER BY no;
SELECT * FROM visits ORDER BY no;
SELECT * FROM routes ORDER BY tenant, no;
SELECT * FROM stops ORDER BY id;
SELECT * FROM words ORDER BY a COLLATE "C", b COLLATE "C";
RESET ROLE;
RESET purpose.current;

--
-- What protect() refuses, and how it says so.
--
CREATE TABLE plain (id int PRIMARY KEY, boss int REFERENCES plain, n numeric UNIQUE, c char(3) UNIQUE, d date UNIQUE,
					other int, t text, u uuid);
CREATE TABLE plain_child (id int PRIMARY KEY, plain_id int REFERENCES plain);
CREATE VIEW plain_view AS SELECT * FROM plain;
CREATE MATERIALIZED VIEW plain_matview AS SELECT * FROM plain;
CREATE SEQUENCE plain_sequence;
\x on
SELECT * FROM try($$ SELECT purpose.protect(NULL, subject => 'id') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain_view', subject => 'id') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain_matview', subject => 'id') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain_sequence', subject => 'last_value') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain_pkey', subject => 'id') $$);
SELECT * FROM try($$ SELECT purpose.protect('pg_catalog.pg_authid', subject => 'rolname') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', mode => 'observe') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'id', via => 'boss') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', via => 'boss', of => 'customers') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', of => 'customers') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'id', mode => 'strict') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'nope') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'ctid') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => '') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'id,') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.protect('plain', subject => 'id mode observe') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'id, id') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'n') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'c') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'd') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'other') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'other', of => 'plain_child') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'other', of => 'profiles') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'id, other', of => 'customers') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', subject => 'other', of => 'clients') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', via => 'nope') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain', via => 'other') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.protect('plain', via => 'boss') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.protect('customers', via => 'parent_id') $$);
SELECT * FROM try($$ SELECT purpose.protect('plain_child', via => 'plain_id') $$);
SELECT * FROM try($$ SELECT purpose.unprotect('plain') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.unprotect(NULL) $$);
SELECT * FROM try($$ SELECT purpose.set_mode('plain', 'observe') $$);
SELECT * FROM try($$ SELECT purpose.set_mode('customers', 'strict') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.set_mode('customers', NULL) $$);
-- A key that is compared by its text must be written alike on both sides:
-- '007' would be another person than 7.
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.protect('plain', subject => 't', of => 'customers') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.protect('plain', subject => 't', of => 's_uuid') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.protect('plain', subject => 'u', of => 's_text') $$);
\x off
-- None of that left a trace.
SELECT relrowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies,
	   (SELECT count(*) FROM pg_seclabel WHERE objoid = c.oid) AS labels
FROM pg_class c WHERE oid = 'plain'::regclass;

--
-- Protected again: only what is given changes; others that rest on a table
-- must still find what they rest on.
--
SELECT purpose.protect('items', mode => 'observe');
SELECT mode, kind, key_columns, leads_to FROM purpose.protected_tables WHERE relation = 'items'::regclass;
SELECT purpose.protect('items', via => 'order_id');			-- stays what it was
SELECT mode FROM purpose.protected_tables WHERE relation = 'items'::regclass;
SELECT purpose.set_mode('items', 'enforce');
SELECT mode FROM purpose.protected_tables WHERE relation = 'items'::regclass;
SELECT purpose.protect('"Bestellung"', subject => 'seller');	-- another person's data from now on
SELECT kind, key_columns, subject_table FROM purpose.protected_tables WHERE relation IN ('"Bestellung"'::regclass, 'items'::regclass);
SET ROLE regress_purpose_protect_app;
SET purpose.current = 'protect_consent';
SELECT count(*) FROM items;
RESET ROLE;
RESET purpose.current;
SELECT purpose.protect('"Bestellung"', subject => '"Kunde, Nr"');

-- The consents for a subject table and what rests on it know its key.
ALTER TABLE customers ADD external uuid UNIQUE;
\x on
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.protect('customers', subject => 'external') $$);
SELECT * FROM try($$ SELECT purpose.protect('customers', subject => 'id, external') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ SELECT purpose.protect('customers', subject => 'id', of => 'staff') $$);
SELECT * FROM try($$ SELECT purpose.protect('customers', subject => 'id', mode => 'observe') $$);
SELECT coalesce(state, message) AS outcome FROM try($$ ALTER TABLE customers ALTER id TYPE text $$);
SELECT coalesce(state, message) AS outcome FROM try($$ ALTER TABLE logins ALTER customer TYPE text $$);
SELECT coalesce(state, message) AS outcome FROM try($$ ALTER TABLE logins ALTER customer TYPE int $$);
\x off

--
-- Unprotected: not while others rest on it, whichever way.
--
\x on
SELECT * FROM try($$ SELECT purpose.unprotect('items') $$);			-- via
SELECT * FROM try($$ SELECT purpose.unprotect('s_int2') $$);		-- of
\x off
SELECT purpose.unprotect('scans');
SELECT purpose.unprotect('parcels');
SELECT purpose.unprotect('items');
SET ROLE regress_purpose_protect_app;
SELECT count(*) FROM items;
SELECT count(*) FROM scans;
RESET ROLE;
SELECT purpose.protect('items', via => 'order_id');

--
-- Who may: officers, whoever owns the table; nobody else, the owner neither.
--
ALTER TABLE plain OWNER TO regress_purpose_protect_owner;
ALTER TABLE plain_child OWNER TO regress_purpose_protect_owner;
INSERT INTO plain (id) VALUES (1), (2);
\set VERBOSITY sqlstate
SET ROLE regress_purpose_protect_owner;
SELECT purpose.protect('plain', subject => 'id');
SECURITY LABEL FOR purpose ON TABLE plain IS 'subject id';
SET ROLE regress_purpose_protect_app;
SELECT purpose.protect('plain', subject => 'id');
SET ROLE regress_purpose_protect_officer;
SELECT purpose.protect('plain', subject => 'id');
SELECT purpose.protect('plain_child', via => 'plain_id');
SELECT count(*) FROM plain;								-- an officer may not read for it
SELECT purpose.grant_consent('plain', 1, 'protect_consent') IS NOT NULL AS recorded;
SELECT relation, subject_table FROM purpose.protected_tables WHERE relation::text LIKE 'plain%';
SET ROLE regress_purpose_protect_owner;
SET purpose.current = 'protect_consent';
SELECT id FROM plain;									-- the owner is bound
SELECT purpose.unprotect('plain_child');
SECURITY LABEL FOR purpose ON TABLE plain_child IS NULL;
SET ROLE regress_purpose_protect_officer;
RESET purpose.current;
SELECT purpose.set_mode('plain', 'observe');
SELECT purpose.unprotect('plain_child');
SELECT purpose.unprotect('plain');
RESET ROLE;
\set VERBOSITY default

--
-- Declarations follow renames of what they name, whoever renames.
--
ALTER TABLE customers OWNER TO regress_purpose_protect_owner;
ALTER TABLE "Bestellung" OWNER TO regress_purpose_protect_owner;
SET ROLE regress_purpose_protect_owner;
ALTER TABLE customers RENAME COLUMN id TO "customer no";
ALTER TABLE "Bestellung" RENAME COLUMN "Nr" TO no;
ALTER TABLE "Bestellung" RENAME COLUMN "Kunde, Nr" TO customer;
ALTER TABLE "Bestellung" RENAME TO orders;
RESET ROLE;
CREATE SCHEMA "regress_purpose_protect Two";
GRANT USAGE ON SCHEMA "regress_purpose_protect Two" TO PUBLIC;
ALTER TABLE customers SET SCHEMA "regress_purpose_protect Two";
SELECT relation, key_columns, subject_table, leads_to, problem FROM purpose.protected_tables
WHERE subject_table = '"regress_purpose_protect Two".customers'::regclass ORDER BY relation::text COLLATE "C";
ALTER SCHEMA "regress_purpose_protect Two" RENAME TO regress_purpose_protect_3;
DO $$ BEGIN ALTER TABLE orders RENAME COLUMN customer TO client; END $$;	-- in a function too
SELECT relation, key_columns, subject_table, leads_to, problem FROM purpose.protected_tables
WHERE subject_table = 'regress_purpose_protect_3.customers'::regclass ORDER BY relation::text COLLATE "C";
SET search_path = regress_purpose_protect, regress_purpose_protect_3;
SET ROLE regress_purpose_protect_app;
SET purpose.current = 'protect_consent';
SELECT "customer no" FROM customers;
SELECT no FROM orders ORDER BY no;
SELECT id FROM items ORDER BY id;
RESET ROLE;
RESET purpose.current;
-- Another table takes the name: the declarations stay with the old one.
ALTER TABLE customers RENAME TO former;
CREATE TABLE regress_purpose_protect_3.customers ("customer no" bigint PRIMARY KEY);
SELECT relation, leads_to FROM purpose.protected_tables WHERE relation IN ('orders'::regclass, 'former'::regclass);
DROP TABLE customers;
ALTER TABLE former RENAME TO customers;
-- A rename that is rolled back takes the declaration back with it.
BEGIN;
ALTER TABLE customers RENAME COLUMN "customer no" TO x;
SELECT key_columns FROM purpose.protected_tables WHERE relation = 'customers'::regclass;
ROLLBACK;
SELECT key_columns, problem FROM purpose.protected_tables WHERE relation = 'customers'::regclass;

--
-- Dropped: not a column that anybody's protection rests on, whoever drops it;
-- other columns, and foreign keys, may go.
--
\x on
SELECT * FROM try('ALTER TABLE orders DROP COLUMN client');
SELECT * FROM try('ALTER TABLE customers DROP COLUMN "customer no" CASCADE');
SELECT * FROM try('ALTER TABLE orders DROP COLUMN no CASCADE');
SELECT * FROM try('ALTER TABLE items DROP COLUMN order_id');
SELECT * FROM try('ALTER TABLE logins DROP COLUMN customer');
\x off
ALTER TABLE orders DROP COLUMN seller;
ALTER TABLE customers DROP COLUMN parent_id;
ALTER TABLE orders DROP CONSTRAINT "Bestellung_Kunde, Nr_fkey";
SET ROLE regress_purpose_protect_app;
SET purpose.current = 'protect_consent';
SELECT id FROM items ORDER BY id;
RESET ROLE;
RESET purpose.current;
-- Without the table that they lead to, rows are refused to everyone but
-- superusers, until they are protected anew or no more.
BEGIN;
DROP TABLE orders CASCADE;
SELECT relation, leads_to, problem FROM purpose.protected_tables WHERE relation = 'items'::regclass;
SET LOCAL ROLE regress_purpose_protect_app;
SET LOCAL purpose.current = 'protect_contract';
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT id FROM items;
\set VERBOSITY default
ROLLBACK TO s;
RESET ROLE;
SELECT count(*) FROM items;
SELECT purpose.unprotect('items');
SET LOCAL ROLE regress_purpose_protect_app;
SELECT count(*) FROM items;
ROLLBACK;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_protect, regress_purpose_protect_3 CASCADE;
SELECT count(*) FROM purpose.protected_tables;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'protect\_%';
SELECT purpose.dismiss_officer('regress_purpose_protect_officer');
SELECT purpose.drop_purpose(p) FROM unnest('{protect_contract,protect_consent}'::text[]) p;
DROP ROLE regress_purpose_protect_app, regress_purpose_protect_owner, regress_purpose_protect_officer;
