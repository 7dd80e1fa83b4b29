--
-- The closed floor: what protection does to row-level security that a table
-- has already, what its owner may still do, and that everything is put back.
--
-- Of rows 1 to 4 the policies of the tables show the app 1 and 2; only 1 and 3
-- consented.  So 1 alone is left where the policies count, 1 and 3 where not.
--
CREATE ROLE regress_purpose_floor_app;
CREATE ROLE regress_purpose_floor_owner;
SELECT purpose.create_purpose('floor_consent', basis => 'consent');
SELECT count(purpose.grant_purpose('floor_consent', r)) FROM unnest('{regress_purpose_floor_app,regress_purpose_floor_owner}'::text[]) r;
CREATE SCHEMA regress_purpose_floor;
GRANT ALL ON SCHEMA regress_purpose_floor TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA regress_purpose_floor GRANT ALL ON TABLES TO regress_purpose_floor_app, regress_purpose_floor_owner;
SET search_path = regress_purpose_floor;
CREATE TABLE customers (id int PRIMARY KEY);
INSERT INTO customers SELECT generate_series(1, 4);
SELECT purpose.protect('customers', subject => 'id');
SELECT count(purpose.grant_consent('customers', c, 'floor_consent')) FROM unnest('{1,3}'::bigint[]) c;

CREATE TABLE bare (id int, note text);
CREATE TABLE with_policies (id int, note text);
ALTER TABLE with_policies ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON with_policies USING (id < 3);
CREATE TABLE forced (id int, note text);
ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON forced USING (id < 3);
CREATE TABLE closed (id int, note text);
ALTER TABLE closed ENABLE ROW LEVEL SECURITY;
CREATE TABLE dormant (id int, note text);
CREATE POLICY own ON dormant USING (id < 3);
CREATE TABLE only_labelled (id int, note text);
CREATE TABLE labelled_with_policies (id int, note text);
ALTER TABLE labelled_with_policies ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON labelled_with_policies USING (id < 3);
CREATE FUNCTION tables() RETURNS regclass[] LANGUAGE sql
	AS $$ SELECT '{bare,with_policies,forced,closed,dormant,only_labelled,labelled_with_policies}'::regclass[] $$;
DO $$
DECLARE t regclass;
BEGIN
	FOREACH t IN ARRAY tables() LOOP
		EXECUTE format('INSERT INTO %s SELECT i, ''note'' FROM generate_series(1, 4) i', t);
		EXECUTE format('ALTER TABLE %s OWNER TO regress_purpose_floor_owner', t);
	END LOOP;
END $$;
CREATE FUNCTION flags(VARIADIC tables regclass[]) RETURNS TABLE (relation regclass, rls boolean, forced boolean, policies text) LANGUAGE sql AS $$
	SELECT t, relrowsecurity, relforcerowsecurity,
		   (SELECT string_agg(polname || CASE WHEN polpermissive THEN '' ELSE ' (restrictive)' END, ', ' ORDER BY polname) FROM pg_policy WHERE polrelid = t)
	FROM unnest(tables) WITH ORDINALITY u(t, n) JOIN pg_class c ON c.oid = t ORDER BY n
$$;
CREATE FUNCTION seen(VARIADIC tables regclass[]) RETURNS TABLE (relation regclass, app text, owner text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL purpose.current = 'floor_consent';
	FOREACH relation IN ARRAY tables LOOP
		SET LOCAL ROLE regress_purpose_floor_app;
		EXECUTE format('SELECT string_agg(id::text, '' '' ORDER BY id) FROM %s', relation) INTO app;
		SET LOCAL ROLE regress_purpose_floor_owner;
		EXECUTE format('SELECT string_agg(id::text, '' '' ORDER BY id) FROM %s', relation) INTO owner;
		RETURN NEXT;
	END LOOP;
	RESET ROLE;
	RESET purpose.current;
END $$;
SELECT * FROM flags(VARIADIC tables());
SELECT * FROM seen(VARIADIC tables());
CREATE TABLE before AS SELECT * FROM flags(VARIADIC tables());

--
-- Protected.  Policies that are switched off would be woken: not without a word.
--
SELECT purpose.protect(t, subject => 'id', of => 'customers') FROM unnest('{bare,with_policies,forced,closed}'::regclass[]) t;
\set SHOW_CONTEXT never
SELECT purpose.protect('dormant', subject => 'id', of => 'customers');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM flags('dormant');
SELECT purpose.protect('dormant', subject => 'id', of => 'customers', mode => 'observe');	-- needs no floor
SELECT * FROM flags('dormant');
SELECT purpose.set_mode('dormant', 'enforce');
SELECT purpose.protect('dormant', subject => 'id', of => 'customers', mode => 'enforce', force => true);
SELECT purpose.label_column('only_labelled', 'note', 'for floor_consent');
SELECT purpose.label_column('labelled_with_policies', 'note', 'for floor_consent');
SELECT * FROM flags(VARIADIC tables());
SELECT * FROM seen(VARIADIC tables());
-- Observing, a table is as it was.
SELECT count(purpose.set_mode(t, 'observe')) FROM unnest('{bare,with_policies,forced,closed,dormant}'::regclass[]) t;
SELECT f.relation, f.rls = b.rls AND f.forced = b.forced AND f.policies IS NOT DISTINCT FROM b.policies AS as_before
FROM flags('bare', 'with_policies', 'forced', 'closed', 'dormant') f JOIN before b USING (relation);
SELECT count(purpose.protect(t, mode => 'enforce', force => true)) FROM unnest('{bare,with_policies,forced,closed,dormant}'::regclass[]) t;
SELECT * FROM flags('bare', 'with_policies', 'forced', 'closed', 'dormant');

--
-- DROP EXTENSION leaves data and row-level security as they were found.
--
BEGIN;
DROP EXTENSION pg_purpose CASCADE;
SELECT f.relation, f.rls = b.rls AND f.forced = b.forced AND f.policies IS NOT DISTINCT FROM b.policies AS as_before
FROM flags(VARIADIC tables()) f JOIN before b USING (relation);
SELECT count(*) FROM pg_seclabel WHERE provider = 'purpose';
SELECT count(*) FROM bare;
SET LOCAL ROLE regress_purpose_floor_app;
SELECT (SELECT count(*) FROM bare) AS bare, (SELECT count(*) FROM with_policies) AS with_policies, (SELECT count(*) FROM closed) AS closed,
	   (SELECT count(*) FROM dormant) AS dormant, (SELECT count(note) FROM only_labelled) AS only_labelled, (SELECT count(*) FROM customers) AS customers;
ROLLBACK;
-- And nothing was lost by trying.
SELECT * FROM flags(VARIADIC tables());
SELECT * FROM seen(VARIADIC tables());

--
-- The owner: not the floor, by no name and by no way.
--
SET ROLE regress_purpose_floor_owner;
\set VERBOSITY sqlstate
DROP POLICY purpose_floor ON bare;
DROP POLICY purpose_floor ON with_policies;
DROP POLICY purpose_floor_woken ON dormant;
DROP POLICY purpose_floor ON only_labelled;
ALTER POLICY purpose_floor ON bare USING (true);
ALTER POLICY purpose_floor ON bare TO regress_purpose_floor_owner;
ALTER POLICY purpose_floor ON bare RENAME TO mine;
ALTER TABLE bare DISABLE ROW LEVEL SECURITY;
ALTER TABLE with_policies ADD x int, DISABLE ROW LEVEL SECURITY;
ALTER TABLE only_labelled DISABLE ROW LEVEL SECURITY;
DO $$ BEGIN ALTER TABLE regress_purpose_floor.forced DISABLE ROW LEVEL SECURITY; END $$;
-- His own policies he makes, changes and drops as ever.
CREATE POLICY more ON with_policies USING (id = 3);
ALTER POLICY more ON with_policies USING (id = 4 OR id = 3);
ALTER POLICY more ON with_policies RENAME TO still_more;
RESET ROLE;
SELECT * FROM seen('with_policies');
SET ROLE regress_purpose_floor_owner;
DROP POLICY still_more ON with_policies;
ALTER TABLE forced NO FORCE ROW LEVEL SECURITY;
ALTER TABLE forced FORCE ROW LEVEL SECURITY;
CREATE TABLE mine (id int);
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
ALTER TABLE mine DISABLE ROW LEVEL SECURITY;
\set VERBOSITY default
-- A policy with the floor's name is no floor: it is refused or replaced.
DO $$ BEGIN
	CREATE POLICY purpose_floor ON mine USING (true);
	CREATE POLICY purpose_floor_woken ON mine USING (true);
EXCEPTION WHEN OTHERS THEN NULL;
END $$;
RESET ROLE;
SELECT purpose.protect('mine', subject => 'id', of => 'customers', force => true);
SELECT polname, polpermissive, pg_get_expr(polqual, polrelid) LIKE 'purpose.\_loaded(%' AS is_floor
FROM pg_policy WHERE polrelid = 'mine'::regclass;
SELECT purpose.unprotect('mine');
SELECT * FROM flags('mine');

--
-- Row-level security that the owner begins to use on a protected table: his
-- policies count from then on, and stay when the protection goes.
--
SET ROLE regress_purpose_floor_owner;
CREATE POLICY later ON bare USING (id < 3);
ALTER TABLE bare ENABLE ROW LEVEL SECURITY;
RESET ROLE;
SELECT * FROM flags('bare');
SELECT * FROM seen('bare');
SELECT purpose.unprotect('bare');
SELECT * FROM flags('bare');
SELECT * FROM seen('bare');

--
-- COPY FROM, which PostgreSQL refuses where row-level security binds: our
-- floor alone is no reason to, the table's own policies are as before.
--
SET ROLE regress_purpose_floor_app;
SET purpose.current = 'floor_consent';
BEGIN;
COPY only_labelled (id) FROM stdin;
9
\.
COPY customers FROM stdin;
9
\.
ROLLBACK;
\set VERBOSITY sqlstate
\copy with_policies from /dev/null
\copy dormant from /dev/null
\set VERBOSITY default
RESET ROLE;
RESET purpose.current;

--
-- Unprotected and unlabelled: as before, case by case.
--
SELECT count(purpose.unprotect(t)) FROM unnest('{with_policies,forced,closed,dormant}'::regclass[]) t;
SELECT purpose.label_column('only_labelled', 'note', NULL);
SELECT purpose.label_column('labelled_with_policies', 'note', NULL);
SELECT f.relation, f.rls = b.rls AND f.forced = b.forced AND f.policies IS NOT DISTINCT FROM b.policies AS as_before
FROM flags(VARIADIC tables()) f JOIN before b USING (relation) WHERE f.relation <> 'bare'::regclass;
SELECT * FROM seen(VARIADIC tables());

-- A floor has as many reasons as there are declarations.
ALTER TABLE bare DISABLE ROW LEVEL SECURITY;
DROP POLICY later ON bare;
SELECT purpose.label_column('bare', 'note', 'for floor_consent');
SELECT purpose.protect('bare', subject => 'id', of => 'customers');
SELECT * FROM flags('bare');
SELECT purpose.label_column('bare', 'note', NULL);
SELECT * FROM flags('bare');
SELECT purpose.label_column('bare', 'note', 'for floor_consent');
SELECT purpose.unprotect('bare');
SELECT * FROM flags('bare');
SELECT purpose.label_column('bare', 'note', NULL);
SELECT * FROM flags('bare');
-- SECURITY LABEL, on a column and on a domain, does what label_column() does.
CREATE DOMAIN note AS text;
ALTER TABLE bare ADD more note;
SECURITY LABEL FOR purpose ON DOMAIN note IS 'for floor_consent';
SELECT * FROM flags('bare');
SECURITY LABEL FOR purpose ON COLUMN bare.note IS 'for floor_consent';
SECURITY LABEL FOR purpose ON DOMAIN note IS NULL;
SELECT * FROM flags('bare');
SECURITY LABEL FOR purpose ON COLUMN bare.note IS NULL;
SELECT * FROM flags('bare');
-- A label may not wake policies; it says so, and labels.
SELECT purpose.label_column('dormant', 'note', 'for floor_consent');
SELECT * FROM flags('dormant');
SET ROLE regress_purpose_floor_app;
\set VERBOSITY sqlstate
SELECT note FROM dormant;
\set VERBOSITY default
RESET ROLE;
SELECT purpose.label_column('dormant', 'note', NULL);

-- So does a table with such policies that becomes part of a protected one; the
-- rule itself holds for it.
CREATE TABLE whole (id int) PARTITION BY RANGE (id);
SELECT purpose.protect('whole', subject => 'id', of => 'customers');
CREATE TABLE part (id int);
INSERT INTO part VALUES (1), (2);
CREATE POLICY own ON part USING (false);
ALTER TABLE whole ATTACH PARTITION part FOR VALUES FROM (1) TO (10);
SELECT * FROM flags('whole', 'part');
SELECT * FROM seen('whole', 'part');

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_floor CASCADE;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'floor\_%';
SELECT purpose.drop_purpose('floor_consent');
DROP ROLE regress_purpose_floor_app, regress_purpose_floor_owner;
