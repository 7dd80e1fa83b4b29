--
-- DDL over labelled and protected data, by an owner who is bound: what would
-- run code of his choice over every row needs a privacy officer; ordinary
-- migrations do not.  Then what errors and statistics give away.
--
-- Customer 1 consented, 2 did not; everybody works for ddl_consent, which
-- email, labelled for ddl_other, does not allow.
--
CREATE ROLE regress_purpose_ddl_app;
CREATE ROLE regress_purpose_ddl_owner;
CREATE ROLE regress_purpose_ddl_officer IN ROLE regress_purpose_ddl_owner;
SELECT purpose.create_purpose('ddl_consent', basis => 'consent');
SELECT purpose.create_purpose('ddl_other', basis => 'contract');
SELECT count(purpose.grant_purpose('ddl_consent', r))
FROM unnest('{regress_purpose_ddl_app,regress_purpose_ddl_owner}'::text[]) r;
SELECT purpose.grant_purpose('ddl_other', 'regress_purpose_ddl_app');
SELECT purpose.appoint_officer('regress_purpose_ddl_officer');
CREATE SCHEMA regress_purpose_ddl;
GRANT ALL ON SCHEMA regress_purpose_ddl TO PUBLIC;
SET search_path = regress_purpose_ddl;
CREATE DOMAIN address AS text;
CREATE TABLE customers (id int PRIMARY KEY, email text, secret address, note text, at date, amount int DEFAULT 0);
INSERT INTO customers SELECT i, 'e' || i % 3 || '@x.example', 's' || i, 'n' || i, '2026-01-01' FROM generate_series(1, 9) i;
CREATE TABLE free (id int PRIMARY KEY, email text);			-- nothing is declared about this one
CREATE TABLE only_labelled (id int PRIMARY KEY, email text, note text);
INSERT INTO only_labelled SELECT i, 'a' || i % 3, 'x' FROM generate_series(1, 9) i;
ALTER TABLE customers OWNER TO regress_purpose_ddl_owner;
ALTER TABLE free OWNER TO regress_purpose_ddl_owner;
ALTER TABLE only_labelled OWNER TO regress_purpose_ddl_owner;
ALTER DOMAIN address OWNER TO regress_purpose_ddl_owner;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_ddl TO regress_purpose_ddl_app;
ANALYZE customers, only_labelled;
SELECT purpose.protect('customers', subject => 'id');
SELECT purpose.label_column('customers', 'email', 'for ddl_other');
SELECT purpose.label_column('customers', 'secret', 'for ddl_other');
SELECT purpose.label_column('only_labelled', 'email', 'for ddl_other');
SELECT count(purpose.grant_consent('customers', 1, 'ddl_consent'));

-- The owner's code, and statements that would run it, or show it the rows.
SET ROLE regress_purpose_ddl_owner;
CREATE FUNCTION spy(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''spied''; RETURN $1; END';
CREATE FUNCTION spies(text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''spied''; RETURN true; END';
CREATE FUNCTION spy_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''spied''; RETURN NEW; END';
CREATE OPERATOR ~~~ (FUNCTION = spies, RIGHTARG = text);
CREATE DOMAIN spying AS text CHECK (spies(VALUE));
CREATE TYPE mood AS ENUM ('good', 'bad');
RESET ROLE;
-- Tries each statement, undoes it, and says how it ended.
CREATE FUNCTION try(VARIADIC statements text[]) RETURNS TABLE (statement text, outcome text) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH statement IN ARRAY statements LOOP
		BEGIN
			EXECUTE statement;
			RAISE EXCEPTION SQLSTATE 'TT000';
		EXCEPTION
			WHEN SQLSTATE 'TT000' THEN outcome := 'allowed';
			WHEN OTHERS THEN outcome := SQLSTATE;
		END;
		RETURN NEXT;
	END LOOP;
END $$;
CREATE FUNCTION with_own_code() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[
	'ALTER TABLE customers ALTER note TYPE text USING spy(note)',
	'ALTER TABLE customers ALTER note TYPE spying',
	'ALTER TABLE customers ALTER email TYPE spying USING email',
	'ALTER TABLE customers ADD CHECK (spies(note))',
	'ALTER TABLE customers ADD CONSTRAINT c CHECK (~~~ email) NOT VALID',
	'ALTER TABLE customers ADD x text GENERATED ALWAYS AS (spy(note)) STORED',
	'ALTER TABLE customers ADD x spying DEFAULT ''x'', ADD y text GENERATED ALWAYS AS (spy(email)) STORED',
	'CREATE INDEX ON customers (spy(note))',
	'CREATE INDEX ON customers (id) WHERE spies(note)',
	'CREATE UNIQUE INDEX ON customers (lower(spy(note)))',
	'CREATE STATISTICS s ON (spy(note)) FROM customers',
	'CREATE STATISTICS s ON id, (spy(email)) FROM customers',
	'ALTER TABLE customers ADD EXCLUDE USING btree (spy(note) WITH =)',
	'ALTER TABLE customers ADD EXCLUDE USING btree (id WITH =) WHERE (spies(note))',
	'CREATE TRIGGER t BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION spy_trigger()',
	'CREATE TRIGGER t AFTER INSERT ON customers REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION spy_trigger()',
	'CREATE RULE r AS ON UPDATE TO customers DO ALSO INSERT INTO free VALUES (OLD.id, OLD.email)',
	'CREATE POLICY p ON customers USING (spies(note))',
	'CREATE POLICY p ON customers FOR UPDATE USING (true) WITH CHECK (spies(note))',
	'CREATE POLICY p ON customers USING (EXISTS (SELECT FROM free WHERE free.email = customers.email))',
	'ALTER DOMAIN address ADD CHECK (spies(VALUE))',
	'ALTER DOMAIN address ADD CONSTRAINT c CHECK (spies(VALUE)) NOT VALID',
	'ALTER TABLE only_labelled ADD CHECK (spies(email))',
	'CREATE INDEX ON only_labelled (spy(note))'] $$;
SET ROLE regress_purpose_ddl_owner;
SET purpose.current = 'ddl_consent';
SELECT * FROM try(VARIADIC with_own_code());
-- The same on a table about which nothing is declared.
SELECT DISTINCT outcome FROM try(
	'ALTER TABLE free ALTER email TYPE text USING spy(email)', 'ALTER TABLE free ALTER email TYPE spying',
	'ALTER TABLE free ADD CHECK (spies(email))', 'ALTER TABLE free ADD x text GENERATED ALWAYS AS (spy(email)) STORED',
	'CREATE INDEX ON free (spy(email))', 'CREATE INDEX ON free (id) WHERE spies(email)',
	'CREATE STATISTICS s ON (spy(email)) FROM free',
	'CREATE TRIGGER t BEFORE UPDATE ON free FOR EACH ROW EXECUTE FUNCTION spy_trigger()',
	'CREATE RULE r AS ON UPDATE TO free DO ALSO NOTIFY x', 'CREATE POLICY p ON free USING (spies(email))');
-- An officer may, if the rights on the table are his as well.
SET ROLE regress_purpose_ddl_officer;
SET client_min_messages = warning;
SELECT * FROM try(VARIADIC with_own_code()) WHERE outcome <> 'allowed';
RESET client_min_messages;
RESET ROLE;

--
-- Ordinary migrations keep working for the owner, with or without a purpose.
--
SET ROLE regress_purpose_ddl_owner;
SELECT * FROM try(
	'CREATE INDEX ON customers (email)',
	'CREATE INDEX ON customers (lower(email))',
	'CREATE INDEX ON customers (id) WHERE note IS NOT NULL',
	'CREATE INDEX ON customers USING gin (to_tsvector(''simple'', note))',
	'CREATE UNIQUE INDEX ON customers (note) INCLUDE (email)',
	'REINDEX TABLE customers',
	'CLUSTER customers USING customers_pkey',
	'CREATE STATISTICS s ON id, note FROM customers',
	'CREATE STATISTICS s ON (lower(note)) FROM customers',
	'ALTER TABLE customers ADD phone text',
	'ALTER TABLE customers ADD phone text NOT NULL DEFAULT ''''',
	'ALTER TABLE customers ADD phone uuid DEFAULT gen_random_uuid()',
	'ALTER TABLE customers ADD feeling mood',
	'ALTER TABLE customers ADD since date DEFAULT now(), DROP note',
	'ALTER TABLE customers ADD x int GENERATED ALWAYS AS (amount * 2) STORED',
	'ALTER TABLE customers ADD x text GENERATED ALWAYS AS (lower(email)) STORED',
	'ALTER TABLE customers ALTER amount TYPE bigint',
	'ALTER TABLE customers ALTER note TYPE varchar(100)',
	'ALTER TABLE customers ALTER note TYPE varchar(100) USING left(note, 100)',
	'ALTER TABLE customers ALTER email TYPE varchar(100) USING lower(email)',
	'ALTER TABLE customers ALTER at TYPE timestamptz USING at::timestamptz',
	'ALTER TABLE customers ALTER note SET NOT NULL, ALTER note SET DEFAULT ''x''',
	'ALTER TABLE customers ADD CHECK (amount >= 0), ADD UNIQUE (note)',
	'ALTER TABLE customers ADD CHECK (note LIKE ''n%'') NOT VALID',
	'ALTER TABLE customers ADD EXCLUDE USING btree (note WITH =)',
	'ALTER TABLE customers ADD FOREIGN KEY (amount) REFERENCES free NOT VALID',
	'ALTER TABLE customers ALTER note SET STATISTICS 10, ALTER note SET STORAGE external, SET (fillfactor = 90)',
	'ALTER TABLE customers RENAME note TO remark',
	'ALTER TABLE customers RENAME TO clients',
	'ALTER TABLE customers DROP COLUMN email',
	'ALTER DOMAIN address ADD CHECK (length(VALUE) < 100)',
	'ALTER DOMAIN address SET DEFAULT ''x''',
	'CREATE TRIGGER t BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
	'CREATE POLICY p ON customers USING (note = current_user)',
	'CREATE VIEW v AS SELECT spy(email) FROM customers',
	'COMMENT ON COLUMN customers.email IS ''x''',
	'GRANT SELECT ON customers TO regress_purpose_ddl_app',
	'ANALYZE customers',
	'DROP TABLE customers');
-- What copies a labelled column into one without a label, or makes data go
-- that cannot be seen, is no ordinary migration.
SELECT * FROM try(
	'ALTER TABLE customers ALTER note TYPE text USING email',
	'ALTER TABLE customers ALTER note TYPE text USING note || email',
	'ALTER TABLE customers ALTER note TYPE text USING customers::text',
	'TRUNCATE customers',
	'TRUNCATE free, customers CASCADE',
	'TRUNCATE free',
	'TRUNCATE only_labelled');
SET ROLE regress_purpose_ddl_officer;
SELECT * FROM try('ALTER TABLE customers ALTER note TYPE text USING email', 'TRUNCATE customers');
-- TRUNCATE reaches protected tables by partitions, children and foreign keys.
RESET ROLE;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE refers (customer_id int REFERENCES customers, id int PRIMARY KEY);
CREATE TABLE refers_again (refers_id int REFERENCES refers);
SELECT count(purpose.protect(t, subject => 'id', of => 'customers')) FROM unnest('{child,refers}'::regclass[]) t;
ALTER TABLE parent OWNER TO regress_purpose_ddl_owner;
ALTER TABLE child OWNER TO regress_purpose_ddl_owner;
ALTER TABLE refers OWNER TO regress_purpose_ddl_owner;
ALTER TABLE refers_again OWNER TO regress_purpose_ddl_owner;
SELECT purpose.unprotect('refers');
SELECT purpose.protect('refers_again', subject => 'refers_id', of => 'customers');
SET ROLE regress_purpose_ddl_owner;
SELECT * FROM try('TRUNCATE parent', 'TRUNCATE ONLY parent', 'TRUNCATE child', 'TRUNCATE refers', 'TRUNCATE refers CASCADE');
RESET ROLE;
DROP TABLE parent, child, refers, refers_again;

--
-- What was there before protection, and what comes by inheritance of rights:
-- triggers of officers are judged as what they do, not as who made them.
--
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO regress_purpose_ddl.free SELECT count(*) + 100, TG_OP FROM regress_purpose_ddl.customers;
	RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON customers FOR EACH STATEMENT EXECUTE FUNCTION audit();
SET ROLE regress_purpose_ddl_app;
SET purpose.current = 'ddl_consent';
UPDATE customers SET note = note WHERE id = 1;
SELECT * FROM free;
RESET ROLE;
DROP TRIGGER audit ON customers;
DELETE FROM free;

--
-- DETAIL: rows and keys of others.  Neither the app nor the owner reads a
-- value in an error that it could not select.
--
CREATE UNIQUE INDEX customers_note ON customers (note);
ALTER TABLE customers ADD CONSTRAINT positive CHECK (amount >= 0);
ALTER TABLE only_labelled ADD CONSTRAINT known CHECK (note <> 'z');
CREATE TABLE parts (id int NOT NULL, email text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (2);
INSERT INTO parts VALUES (1, 'secret');
CREATE TABLE pairs (id int, email text, UNIQUE (id, email));
INSERT INTO pairs VALUES (1, 'secret'), (2, 'secret');
ALTER TABLE pairs OWNER TO regress_purpose_ddl_owner;
SELECT purpose.label_column('pairs', 'email', 'for ddl_other');
ALTER TABLE parts OWNER TO regress_purpose_ddl_owner;
ALTER TABLE parts_1 OWNER TO regress_purpose_ddl_owner;
GRANT ALL ON parts, parts_1 TO regress_purpose_ddl_app;
SELECT purpose.label_column('parts', 'email', 'for ddl_other');
SET ROLE regress_purpose_ddl_app;
SET purpose.current = 'ddl_consent';
UPDATE customers SET amount = -1;							-- check
UPDATE customers SET id = NULL;								-- not null
UPDATE customers SET note = 'n2';							-- unique, and the other row is hidden
UPDATE only_labelled SET note = 'z';						-- check
UPDATE parts_1 SET id = 2;									-- the partition's bounds
INSERT INTO customers (id, email) VALUES (2, 'new');
SET ROLE regress_purpose_ddl_owner;
UPDATE customers SET amount = -1;
UPDATE customers SET id = NULL;
UPDATE only_labelled SET note = 'z';
UPDATE only_labelled SET id = 1 WHERE id = 2;
UPDATE pairs SET id = 1 WHERE id = 2;						-- the key holds more than was written
UPDATE parts_1 SET id = 2;
UPDATE parts SET id = 2;
-- On what is not declared errors are as they were.
INSERT INTO free VALUES (1, 'x');
INSERT INTO free VALUES (1, 'y');
CREATE UNIQUE INDEX ON free (email);
ALTER TABLE free ADD CHECK (email = 'x');
UPDATE free SET email = 'y';
RESET ROLE;
RESET purpose.current;

--
-- Statistics: of a protected table none are shown, of labelled columns only
-- for a purpose that the label allows; of others as ever.
--
CREATE STATISTICS combined (mcv) ON email, note FROM only_labelled;
ANALYZE customers, only_labelled, free, parts;
CREATE FUNCTION shown(role text, purpose text) RETURNS TABLE (tab name, columns text, extended bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', role);
	PERFORM set_config('purpose.current', purpose, true);
	RETURN QUERY SELECT tablename, string_agg(attname, ' ' ORDER BY attname),
		(SELECT count(*) FROM pg_stats_ext e WHERE e.tablename = s.tablename AND e.schemaname = s.schemaname AND most_common_vals IS NOT NULL)
		FROM pg_stats s WHERE schemaname = 'regress_purpose_ddl' GROUP BY tablename, schemaname ORDER BY tablename;
	RESET ROLE;
END $$;
SELECT * FROM shown('regress_purpose_ddl_owner', 'ddl_consent');
SELECT * FROM shown('regress_purpose_ddl_owner', '');
SELECT purpose.grant_purpose('ddl_other', 'regress_purpose_ddl_owner');
SELECT * FROM shown('regress_purpose_ddl_owner', 'ddl_other');
SELECT purpose.revoke_purpose('ddl_other', 'regress_purpose_ddl_owner');
SELECT * FROM shown('regress_purpose_ddl_app', 'ddl_consent');
SELECT count(*) > 0 AS superuser_sees FROM pg_stats WHERE schemaname = 'regress_purpose_ddl' AND tablename = 'customers' AND attname = 'email';
SELECT count(*) AS superuser_sees FROM pg_stats_ext WHERE statistics_name = 'combined' AND most_common_vals IS NOT NULL;
-- A role that was given pg_statistic itself sees as much of it.
BEGIN;
GRANT SELECT ON pg_statistic TO regress_purpose_ddl_owner;
SET LOCAL ROLE regress_purpose_ddl_owner;
SET LOCAL purpose.current = 'ddl_consent';
SELECT starelid::regclass AS tab, string_agg(attname, ' ' ORDER BY attname) FROM pg_statistic
JOIN pg_attribute ON attrelid = starelid AND attnum = staattnum
WHERE starelid IN ('customers'::regclass, 'only_labelled'::regclass, 'free'::regclass) GROUP BY starelid ORDER BY 1;
ROLLBACK;

-- An operator with a borrowed estimator is handed most common values while the
-- query is planned, before anybody is asked whether it may run.  (From whom
-- row-level security binds, PostgreSQL itself keeps them; so this is the owner.)
CREATE FUNCTION telling(text, text) RETURNS boolean STABLE LANGUAGE plpgsql
	AS 'BEGIN RAISE NOTICE ''told''; RETURN $1 = $2; END';
CREATE OPERATOR ==== (FUNCTION = telling, LEFTARG = text, RIGHTARG = text, RESTRICT = eqsel, JOIN = eqjoinsel);
CREATE FUNCTION plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP NULL; END LOOP;
	RETURN 'planned';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
SET ROLE regress_purpose_ddl_owner;
SET purpose.current = 'ddl_consent';
SELECT plan($$ SELECT id FROM only_labelled WHERE email ==== 'x' $$);
SELECT plan($$ SELECT id FROM customers WHERE email ==== 'x' $$);
SELECT plan($$ SELECT id FROM customers WHERE note ==== 'x' $$);
SELECT plan($$ SELECT count(*) FROM only_labelled a JOIN only_labelled b ON a.email ==== b.email $$);
SELECT plan($$ DELETE FROM only_labelled WHERE email ==== 'x' $$);
SELECT plan($$ SELECT id FROM only_labelled WHERE lower(email) ==== 'x' $$);
PREPARE leak AS SELECT id FROM only_labelled WHERE email ==== 'x';
EXECUTE leak;
DEALLOCATE leak;
-- For a column, or a purpose, that may be read it is an operator like any
-- other, and is told of the values that there are.
SELECT plan($$ SELECT id FROM only_labelled WHERE note ==== 'x' $$);
RESET ROLE;
SELECT purpose.grant_purpose('ddl_other', 'regress_purpose_ddl_owner');
SET ROLE regress_purpose_ddl_owner;
SET purpose.current = 'ddl_other';
SELECT plan($$ SELECT id FROM only_labelled WHERE email ==== 'x' $$);
RESET ROLE;
RESET purpose.current;

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_ddl CASCADE;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'ddl\_%';
SELECT purpose.dismiss_officer('regress_purpose_ddl_officer');
SELECT count(purpose.drop_purpose(p)) AS dropped FROM unnest('{ddl_consent,ddl_other}'::text[]) p;
DROP ROLE regress_purpose_ddl_app, regress_purpose_ddl_officer, regress_purpose_ddl_owner;
