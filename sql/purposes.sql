-- Purposes: the vocabulary, who may declare what, and how a session declares.
-- A purpose is only a wish until a statement uses it; here a labelled table is
-- what uses it.
\set SHOW_CONTEXT never
SELECT current_user AS superuser \gset
CREATE SCHEMA purposes_s;
CREATE ROLE regress_purpose_purposes_app LOGIN;
CREATE ROLE regress_purpose_purposes_group;
CREATE ROLE regress_purpose_purposes_other LOGIN;
CREATE TABLE purposes_s.t (id int, secret text);
INSERT INTO purposes_s.t VALUES (1, 'x');
GRANT USAGE ON SCHEMA purposes_s TO PUBLIC;
GRANT SELECT ON purposes_s.t TO PUBLIC;

--
-- create_purpose(): every error has its own SQLSTATE, message and hint.
--
SELECT purpose.create_purpose(NULL, 'contract');
SELECT purpose.create_purpose('', 'contract');
SELECT purpose.create_purpose('purposes bad', 'contract');
SELECT purpose.create_purpose('purposes..bad', 'contract');
SELECT purpose.create_purpose('purposes.', 'contract');
SELECT purpose.create_purpose('1purposes', 'contract');
SELECT purpose.create_purpose(repeat('p', 128), 'contract');
SELECT purpose.create_purpose('purposes.below');			-- no such parent
SELECT purpose.create_purpose('purposes');					-- the root needs a basis
SELECT purpose.create_purpose('purposes', 'whim');
\set VERBOSITY sqlstate
SELECT purpose.create_purpose('', 'contract');
SELECT purpose.create_purpose('purposes.below');
SELECT purpose.create_purpose('purposes');
SELECT purpose.create_purpose('purposes', 'whim');
-- A keyword of the label grammar cannot begin a purpose, but may stand within.
CREATE FUNCTION pg_temp.sqlstate_of(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE command;
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
SELECT w, pg_temp.sqlstate_of(format('SELECT purpose.create_purpose(%L, ''contract'')', w)) AS sqlstate
FROM unnest('{for,never,else,category,source,keep,group,pad}'::text[]) w;
SELECT purpose.create_purpose('never', 'contract');
\set VERBOSITY default
SELECT purpose.create_purpose('purposes', 'contract', 'Why we test');
SELECT purpose.create_purpose('purposes.never');
SELECT purpose.create_purpose('purposes-1_x', 'contract');
SELECT purpose.create_purpose('purposes_' || repeat('p', 118), 'contract');	-- 127 bytes
SELECT purpose.drop_purpose('purposes_' || repeat('p', 118));
SELECT purpose.drop_purpose('purposes-1_x');
-- Twice.
SELECT purpose.create_purpose('purposes', 'consent');
\set VERBOSITY sqlstate
SELECT purpose.create_purpose('purposes', 'consent');
\set VERBOSITY default

--
-- Inheritance of basis, text and flags.  A flag that is set above cannot be
-- unset below; a basis and a text can be replaced.
--
SELECT purpose.create_purpose('purposes_c', basis => 'consent', description => 'Offers', requires_justification => true);
SELECT purpose.create_purpose('purposes_c.mail');
SELECT purpose.create_purpose('purposes_c.mail.daily', description => 'Every day', requires_justification => false);
SELECT purpose.create_purpose('purposes_c.own', basis => 'legitimate_interests');
SELECT purpose.create_purpose('purposes_l', basis => 'legal_obligation', despite_restriction => true);
SELECT purpose.create_purpose('purposes_l.tax', basis => 'public_task', despite_restriction => false);
SELECT purpose.create_purpose('purposes_v', basis => 'vital_interests');
SELECT * FROM purpose.purposes WHERE name LIKE 'purposes%';
SELECT purpose.alter_purpose('purposes_c', basis => 'public_task', description => 'Offers of others', requires_justification => false);
SELECT purpose.alter_purpose('purposes_c.mail', despite_restriction => true);
-- What is not given stays, and the children follow.
SELECT * FROM purpose.purposes WHERE name LIKE 'purposes_c%';
SELECT purpose.alter_purpose('purposes_gone', description => 'x');
SELECT purpose.alter_purpose('purposes_c', basis => 'whim');
\set VERBOSITY sqlstate
SELECT purpose.alter_purpose('purposes_gone', description => 'x');
SELECT purpose.alter_purpose(NULL);
SELECT purpose.alter_purpose('purposes_c', basis => 'whim');
\set VERBOSITY default

--
-- drop_purpose() refuses while something relies on the purpose.
--
SELECT purpose.label_column('purposes_s.t', 'secret', 'for purposes never purposes_v');
SELECT purpose.drop_purpose('purposes_c');
SELECT purpose.drop_purpose('purposes_v');
SELECT purpose.drop_purpose('purposes_gone');
CREATE DOMAIN purposes_s.d AS text;
SECURITY LABEL FOR purpose ON DOMAIN purposes_s.d IS 'for purposes_c.own';
SELECT purpose.drop_purpose('purposes_c.own');
\set VERBOSITY sqlstate
SELECT purpose.drop_purpose('purposes_c');
SELECT purpose.drop_purpose('purposes_v');
SELECT purpose.drop_purpose('purposes_gone');
\set VERBOSITY default
SECURITY LABEL FOR purpose ON DOMAIN purposes_s.d IS NULL;
SELECT purpose.label_column('purposes_s.t', 'secret', 'for purposes');
SELECT purpose.drop_purpose(n) FROM unnest('{purposes_c.own,purposes_c.mail.daily,purposes_c.mail,purposes_c,purposes_l.tax,purposes_l,purposes_v}'::text[]) n;
SELECT name FROM purpose.purposes WHERE name LIKE 'purposes%';

--
-- Grants: errors first.
--
SELECT purpose.grant_purpose('purposes_gone', 'regress_purpose_purposes_app');
SELECT purpose.grant_purpose('purposes', 'regress_purpose_purposes_gone');
\set VERBOSITY sqlstate
SELECT purpose.grant_purpose('purposes_gone', 'regress_purpose_purposes_app');
SELECT purpose.grant_purpose('purposes', 'regress_purpose_purposes_gone');
SELECT purpose.grant_purpose('purposes', NULL);
SELECT purpose.revoke_purpose('purposes_gone', 'regress_purpose_purposes_app');
\set VERBOSITY default
SELECT purpose.revoke_purpose('purposes', 'regress_purpose_purposes_app');

--
-- Unset, unknown, ungranted, empty and unjustified: each has its own message and
-- its own hint, and none of them lets a row through.
--
SET SESSION AUTHORIZATION regress_purpose_purposes_app;
SELECT secret FROM purposes_s.t;							-- unset
SELECT purpose.current_purpose() IS NULL AS unset;
SET purpose.current = 'purposes_gone';						-- unknown: refused where it was typed
SET purpose.current = 'purposes';							-- ungranted: the same
SET purpose.current = '';									-- the empty string can be set (DISCARD ALL, poolers)
SELECT secret FROM purposes_s.t;							-- and permits nothing
SELECT purpose.current_purpose() IS NULL AS empty;
\set VERBOSITY sqlstate
SELECT secret FROM purposes_s.t;
SET purpose.current = 'purposes_gone';
SET purpose.current = 'purposes';
RESET purpose.current;
SELECT secret FROM purposes_s.t;
-- What has no label needs no purpose.
SELECT id FROM purposes_s.t;
RESET SESSION AUTHORIZATION;
\set VERBOSITY default
SELECT purpose.grant_purpose('purposes', 'regress_purpose_purposes_app');
SELECT purpose.grant_purpose('purposes', 'regress_purpose_purposes_app');		-- again: nothing happens
SELECT granted_to FROM purpose.purposes WHERE name = 'purposes';
SET SESSION AUTHORIZATION regress_purpose_purposes_app;
SET purpose.current = 'purposes';
SELECT secret, purpose.current_purpose() FROM purposes_s.t;
-- The right to a purpose is the right to its sub-purposes.
SET purpose.current = 'purposes.never';
SELECT secret, purpose.current_purpose() FROM purposes_s.t;
RESET SESSION AUTHORIZATION;

--
-- A revocation binds the next statement of a running session, a grant as well;
-- so does a purpose's end.
--
SELECT purpose.revoke_purpose('purposes', 'regress_purpose_purposes_app');
SET ROLE regress_purpose_purposes_app;
SELECT secret FROM purposes_s.t;
\set VERBOSITY sqlstate
SELECT secret FROM purposes_s.t;
RESET ROLE;
SELECT purpose.grant_purpose('purposes.never', 'regress_purpose_purposes_app');
SET ROLE regress_purpose_purposes_app;
SELECT secret FROM purposes_s.t;
-- The right to a sub-purpose is not the right to its parent.
SET purpose.current = 'purposes';
RESET ROLE;
SELECT purpose.drop_purpose('purposes.never');
SET ROLE regress_purpose_purposes_app;
\set VERBOSITY default
SELECT secret FROM purposes_s.t;							-- no longer a purpose at all
\set VERBOSITY sqlstate
SELECT secret FROM purposes_s.t;
RESET ROLE;
RESET purpose.current;

--
-- Through membership: a member that inherits may declare it; one that would
-- have to SET ROLE first may do so then.
--
SELECT purpose.grant_purpose('purposes', 'regress_purpose_purposes_group');
GRANT SELECT ON purposes_s.t TO regress_purpose_purposes_group;
SET SESSION AUTHORIZATION regress_purpose_purposes_app;
SET purpose.current = 'purposes';
RESET SESSION AUTHORIZATION;
GRANT regress_purpose_purposes_group TO regress_purpose_purposes_app;
SET SESSION AUTHORIZATION regress_purpose_purposes_app;
SET purpose.current = 'purposes';
SELECT secret FROM purposes_s.t;
RESET SESSION AUTHORIZATION;
ALTER ROLE regress_purpose_purposes_other NOINHERIT;
GRANT regress_purpose_purposes_group TO regress_purpose_purposes_other;
SET SESSION AUTHORIZATION regress_purpose_purposes_other;
SET purpose.current = 'purposes';
SELECT secret FROM purposes_s.t;
SET ROLE regress_purpose_purposes_group;
SET purpose.current = 'purposes';
SELECT secret FROM purposes_s.t;
-- The role of the moment counts, not that of the SET.
RESET ROLE;
SELECT secret FROM purposes_s.t;
RESET SESSION AUTHORIZATION;
-- Leaving the group binds a running session at once.
SET ROLE regress_purpose_purposes_app;
SET purpose.current = 'purposes';
SELECT secret FROM purposes_s.t;
RESET ROLE;
REVOKE regress_purpose_purposes_group FROM regress_purpose_purposes_app;
SET ROLE regress_purpose_purposes_app;
SELECT secret FROM purposes_s.t;
RESET ROLE;
SELECT purpose.revoke_purpose('purposes', 'regress_purpose_purposes_group');
-- PUBLIC is everybody.
SELECT purpose.grant_purpose('purposes', 'PUBLIC');
SELECT granted_to FROM purpose.purposes WHERE name = 'purposes';
SET ROLE regress_purpose_purposes_app;
SELECT secret FROM purposes_s.t;
RESET ROLE;
SELECT purpose.revoke_purpose('purposes', 'public');
SET ROLE regress_purpose_purposes_app;
SELECT secret FROM purposes_s.t;
RESET ROLE;
RESET purpose.current;

--
-- A SECURITY DEFINER function acts for its caller: it does not lend its owner's
-- right to a purpose, and is not refused what only the caller may declare.
--
SELECT purpose.create_purpose('purposes_own', basis => 'contract');
SELECT purpose.grant_purpose('purposes_own', 'regress_purpose_purposes_other');
SELECT purpose.grant_purpose('purposes', 'regress_purpose_purposes_app');
SELECT purpose.label_column('purposes_s.t', 'secret', 'for purposes, purposes_own');
CREATE FUNCTION purposes_s.read() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT secret FROM purposes_s.t';
ALTER FUNCTION purposes_s.read() OWNER TO regress_purpose_purposes_other;
CREATE FUNCTION purposes_s.read_own() RETURNS text LANGUAGE sql SECURITY DEFINER SET purpose.current = 'purposes_own'
	AS 'SELECT secret FROM purposes_s.t';
ALTER FUNCTION purposes_s.read_own() OWNER TO regress_purpose_purposes_other;
SET ROLE regress_purpose_purposes_app;
SELECT purposes_s.read();
SELECT purposes_s.read_own();
SET purpose.current = 'purposes';
SELECT purposes_s.read();
RESET purpose.current;
RESET ROLE;
SET ROLE regress_purpose_purposes_other;
SELECT purposes_s.read_own();
RESET ROLE;

--
-- The ways to declare.  ALTER ROLE and ALTER DATABASE are judged when a session
-- uses what they set: setting what is not granted yet is no error there.
--
SET ROLE regress_purpose_purposes_app;
-- SET LOCAL ends with its transaction, or with its savepoint.
BEGIN;
SET LOCAL purpose.current = 'purposes';
SELECT secret FROM purposes_s.t;
COMMIT;
SELECT purpose.current_purpose() IS NULL AS unset;
BEGIN;
SET purpose.current = 'purposes';
ROLLBACK;
SELECT purpose.current_purpose() IS NULL AS unset;
BEGIN;
SAVEPOINT s;
SET purpose.current = 'purposes';
ROLLBACK TO s;
SELECT purpose.current_purpose() IS NULL AS unset;
SELECT secret FROM purposes_s.t;
ROLLBACK;
-- set_config() is SET.
SELECT set_config('purpose.current', 'purposes', false);
SELECT secret FROM purposes_s.t;
SELECT set_config('purpose.current', 'purposes_own', false);
SELECT purpose.current_purpose();
RESET purpose.current;
RESET ROLE;
-- The SET clause of a function holds while it runs.
CREATE FUNCTION purposes_s.read_for() RETURNS text LANGUAGE sql SET purpose.current = 'purposes'
	AS 'SELECT purpose.current_purpose() || secret FROM purposes_s.t';
SET ROLE regress_purpose_purposes_app;
SELECT purposes_s.read_for(), purpose.current_purpose() IS NULL AS "unset after";
RESET ROLE;
-- ALTER ROLE; the role's default is also what RESET and DISCARD ALL lead to.
ALTER ROLE regress_purpose_purposes_app SET purpose.current = 'purposes';
ALTER ROLE regress_purpose_purposes_other SET purpose.current = 'purposes';
\c - regress_purpose_purposes_app
SELECT secret, purpose.current_purpose() FROM purposes_s.t;
SET purpose.current = '';
\set VERBOSITY sqlstate
SELECT secret FROM purposes_s.t;
RESET purpose.current;
SELECT secret FROM purposes_s.t;
SET purpose.current = '';
DISCARD ALL;
SELECT secret, purpose.current_purpose() FROM purposes_s.t;
-- The default of a role that may not declare it is refused at first use.
\c - regress_purpose_purposes_other
SHOW purpose.current;
SELECT secret FROM purposes_s.t;
SET purpose.current = 'purposes_own';
SELECT secret FROM purposes_s.t;
\c - :superuser
ALTER ROLE regress_purpose_purposes_app RESET purpose.current;
ALTER ROLE regress_purpose_purposes_other RESET purpose.current;
-- ALTER DATABASE.
SELECT format('ALTER DATABASE %I SET purpose.current = ''purposes''', current_database()) AS alter \gset
:alter;
\c - regress_purpose_purposes_app
SELECT secret, purpose.current_purpose() FROM purposes_s.t;
-- Connection options come before both.
\c - :superuser
SELECT format('ALTER DATABASE %I RESET purpose.current', current_database()) AS alter \gset
:alter;
SELECT format('dbname=%s user=regress_purpose_purposes_app options=-cpurpose.current=purposes', current_database()) AS conninfo \gset
\c -reuse-previous=on :"conninfo"
SELECT secret, purpose.current_purpose() FROM purposes_s.t;
SELECT format('dbname=%s user=regress_purpose_purposes_app options=', current_database()) AS conninfo \gset
\c -reuse-previous=on :"conninfo"
-- Without a default DISCARD ALL leaves nothing to work with.
SET purpose.current = 'purposes';
DISCARD ALL;
SELECT purpose.current_purpose() IS NULL AS unset;
SELECT secret FROM purposes_s.t;

--
-- purpose.scope = 'transaction': the purpose ends with the transaction.
--
SET purpose.scope = 'transaction';
BEGIN;
SET purpose.current = 'purposes';
SET purpose.justification = 'ticket 1';
SELECT secret FROM purposes_s.t;
COMMIT;
SELECT purpose.current_purpose() IS NULL AS unset, current_setting('purpose.justification') AS justification;
SELECT secret FROM purposes_s.t;
BEGIN;
SET purpose.current = 'purposes';
ROLLBACK;
SELECT purpose.current_purpose() IS NULL AS unset;
-- A savepoint is not the end of it.
BEGIN;
SET purpose.current = 'purposes';
SAVEPOINT s;
SELECT secret FROM purposes_s.t;
ROLLBACK TO s;
SELECT secret FROM purposes_s.t;
SAVEPOINT s2;
SET purpose.current = '';
ROLLBACK TO s2;
SELECT secret FROM purposes_s.t;
RELEASE s2;
SELECT secret FROM purposes_s.t;
COMMIT;
SELECT secret FROM purposes_s.t;
-- A transaction that fails ends it, too.
BEGIN;
SET purpose.current = 'purposes';
SELECT 1/0;
COMMIT;
SELECT purpose.current_purpose() IS NULL AS unset;
-- A statement by itself is its own transaction.
SET purpose.current = 'purposes';
SELECT purpose.current_purpose() IS NULL AS unset;
-- What was set before the scope was goes with the next transaction.
SET purpose.scope = 'session';
SET purpose.current = 'purposes';
SELECT purpose.current_purpose();
SET purpose.scope = 'transaction';
SELECT purpose.current_purpose() IS NULL AS unset;
SET purpose.scope = 'forever';
RESET purpose.scope;
SET purpose.current = 'purposes';
SELECT secret FROM purposes_s.t;
RESET purpose.current;

--
-- Justification.
--
\c - :superuser
SELECT purpose.alter_purpose('purposes', requires_justification => true);
\set VERBOSITY default
SET ROLE regress_purpose_purposes_app;
SET purpose.current = 'purposes';							-- accepted: the reason may follow
SELECT secret FROM purposes_s.t;
\set VERBOSITY sqlstate
SELECT secret FROM purposes_s.t;
SET purpose.justification = 'ticket 4711';
SELECT secret FROM purposes_s.t;
SET purpose.justification = '';
SELECT secret FROM purposes_s.t;
RESET ROLE;
-- Whoever is exempt needs none.
SELECT secret FROM purposes_s.t;

--
-- Settings of this extension that do not exist are refused, not invented.
--
SET purpose.curent = 'purposes';
\set VERBOSITY default

DROP SCHEMA purposes_s CASCADE;
SELECT purpose.drop_purpose(n) FROM unnest('{purposes_own,purposes}'::text[]) n;
DROP ROLE regress_purpose_purposes_app, regress_purpose_purposes_group, regress_purpose_purposes_other;
