-- purpose.check(): each kind of finding is provoked, shown, mended by running
-- the very remedy that it names, and then gone.  Findings of other objects than
-- this test's are left out.
SET client_min_messages = error;
\set found 'SELECT severity, object, problem, remedy FROM purpose.check() WHERE object ~ ''check_s[.]|regress_purpose_check|purpose check|purpose service'' '
\set remedies 'SELECT remedy FROM purpose.check() WHERE object ~ ''check_s[.]|regress_purpose_check|purpose check|purpose service'' '
\set mended 'SELECT count(*) AS "findings left" FROM purpose.check() WHERE object ~ ''check_s[.]|regress_purpose_check|purpose check|purpose service'' '
CREATE ROLE regress_purpose_check_officer;
CREATE ROLE regress_purpose_check_owner;
CREATE ROLE regress_purpose_check_app;
SELECT purpose.appoint_officer('regress_purpose_check_officer');
CREATE SCHEMA check_s AUTHORIZATION regress_purpose_check_owner;
GRANT USAGE ON SCHEMA check_s TO regress_purpose_check_app;

--
-- Nothing is declared yet: columns that look personal, by name and by content.
--
SET ROLE regress_purpose_check_owner;
CREATE TABLE check_s.person (
	id int PRIMARY KEY,
	"firstName" text,					-- camel case
	"E-Mail" text,						-- not a letter between the words
	date_of_birth date,
	email_verified boolean,				-- a flag is not an address
	address_id int,						-- neither is a reference to one
	emailing text,						-- nor a word that only begins so
	c_mail text, c_json jsonb, c_phone varchar(30), c_iban text, c_ip4 text, c_ip6 inet,
	c_card char(16), c_few text,		-- personal
	c_version text, c_time text, c_number text, c_code text, c_plain text, c_empty text, c_one text);	-- not
INSERT INTO check_s.person
SELECT g, 'Ada', 'x', '1990-01-01', true, g, 'x',
	   'secret' || g || '@mail.example', jsonb_build_object('reply', 'secret' || g || '@mail.example'),
	   '+49 (170) 55-5' || 100 + g, 'DE89 3704 0044 0532 0130 00', '192.0.2.' || g, ('2001:db8::' || g)::inet,
	   '4111111111111111', CASE WHEN g % 4 = 0 THEN 'secret@mail.example' ELSE 'none' END,
	   '1.' || g, '12:30:' || g, '411111111111111' || g, 'DE-' || g, 'a plain word', '',
	   CASE WHEN g = 1 THEN 'secret@mail.example' ELSE 'none' END
FROM generate_series(10, 50) g;
INSERT INTO check_s.person (id, c_one) VALUES (1, 'secret@mail.example');
CREATE TABLE check_s.parted (id int, c_mail text) PARTITION BY LIST (id);
CREATE TABLE check_s.parted_1 PARTITION OF check_s.parted FOR VALUES IN (1);
INSERT INTO check_s.parted SELECT 1, 'secret' || g || '@mail.example' FROM generate_series(1, 9) g;
RESET ROLE;
SELECT severity, object, problem FROM purpose.check() WHERE object ~ 'check_s[.]';
-- Data is never shown.
SELECT count(*) AS "rows with data" FROM purpose.check() c WHERE c::text ~ 'secret|Ada|DE89|411111|192[.]0';
-- The remedy works where there is not one purpose yet, and then names what there is.
SELECT remedy FROM purpose.check() WHERE object = 'check_s.person."E-Mail"';
SELECT remedy FROM purpose.check() WHERE object = 'check_s.person."E-Mail"' \gexec
SELECT remedy FROM purpose.check() WHERE object = 'check_s.person.c_mail';
SELECT object, problem FROM purpose.check() WHERE object = 'check_s.person."E-Mail"';
\o /dev/null
SELECT remedy FROM purpose.check() WHERE object ~ 'check_s[.]' \gexec
\o
SELECT object, problem FROM purpose.check() WHERE object ~ 'check_s[.]';
-- Names, by the word: a table of what counts and what does not.
SELECT name, kind, purpose._personal_name(name, kind::"char") AS category FROM (VALUES
	('email', 'S'), ('eMail', 'S'), ('contact_email_2', 'S'), ('EMAIL_ADDRESS', 'S'), ('email_sent_at', 'D'), ('email_ok', 'B'),
	('mobilePhone', 'S'), ('phone_number', 'N'), ('microphone', 'S'), ('IPAddress', 'S'), ('ip_address', 'I'), ('ship', 'S'),
	('birthDate', 'D'), ('dob', 'D'), ('last_name', 'S'), ('surname', 'S'), ('name', 'S'), ('filename', 'S'), ('street2', 'S'),
	('shipping_address', 'S'), ('address_id', 'N'), ('zip_code', 'S'), ('zipped', 'S'), ('ssn', 'S'), ('passport_no', 'S'),
	('IBAN', 'S'), ('gender', 'E'), ('sex', 'N'), ('essex', 'S'), ('bloodType', 'S'), ('status', 'S'), ('latitude', 'N')) v(name, kind);

--
-- Labels.
--
CREATE TABLE check_s.l (id int, a text, b text, c text, d text);
CREATE DOMAIN check_s.dom AS text;
GRANT SELECT ON check_s.l TO regress_purpose_check_app;
SELECT purpose.create_purpose('check', basis => 'consent');
SELECT purpose.create_purpose('check.idle');
SELECT purpose.grant_purpose('service', 'regress_purpose_check_app');
SELECT purpose.grant_purpose('check', 'regress_purpose_check_app');
SECURITY LABEL FOR purpose ON COLUMN check_s.l.a IS 'for check.typo.deep';
SECURITY LABEL FOR purpose ON COLUMN check_s.l.b IS 'for check never check_typo';
SECURITY LABEL FOR purpose ON COLUMN check_s.l.c IS 'for check.idle never check';
SECURITY LABEL FOR purpose ON COLUMN check_s.l.d IS 'for check.idle';
SECURITY LABEL FOR purpose ON DOMAIN check_s.dom IS 'for check_other';
:found;
:remedies \gexec
SELECT purpose.grant_purpose('check_other', 'regress_purpose_check_app');
:found;
:remedies \gexec
:mended;
-- A label or a declaration that cannot be read: only a superuser could break
-- one, by hand. Each is its own finding and hides no other.
CREATE TABLE check_s.broken (id int PRIMARY KEY, a text);
SELECT purpose.label_column('check_s.broken', 'a', 'for check');
SELECT purpose.protect('check_s.broken', subject => 'id');
UPDATE pg_seclabel SET label = CASE objsubid WHEN 0 THEN 'subjekt id' ELSE 'for' END WHERE objoid = 'check_s.broken'::regclass;
SELECT purpose.alter_purpose('check', description => 'What tests check');		-- takes notice
:found;
:remedies \gexec
:mended;
DROP TABLE check_s.broken;
-- A sub-purpose of a granted purpose may be used by those who hold it.
SELECT purpose.revoke_purpose('check', 'regress_purpose_check_app');
:found;
:remedies \gexec
:mended;

--
-- Purposes.
--
SELECT purpose.create_purpose('check_group', basis => 'contract');
SELECT purpose.create_purpose('check_group.used');
SELECT purpose.create_purpose('check_group.used.below');
SELECT purpose.create_purpose('check_group.idle');
SELECT purpose.create_purpose('check_group.idle.below');
SELECT purpose.grant_purpose('check_group.used', 'public');
-- check_group only groups; the topmost purpose of an idle branch stands for it.
:found;
:remedies \gexec
:mended;
SELECT purpose.drop_purpose(n) FROM unnest('{check_group.used.below,check_group.used,check_group}'::text[]) n;
-- A grant to a role that was dropped.
CREATE ROLE regress_purpose_check_gone;
SELECT purpose.grant_purpose('check', 'regress_purpose_check_gone');
DROP ROLE regress_purpose_check_gone;
SELECT severity, object, problem FROM purpose.check() WHERE object = 'purpose check';
DELETE FROM purpose.purpose_grant WHERE role <> 0 AND role::oid NOT IN (SELECT oid FROM pg_roles);
:mended;

--
-- Protection that cannot be resolved.
--
CREATE TABLE check_s.subject (id int PRIMARY KEY);
CREATE TABLE check_s.orders (id int PRIMARY KEY, subject_id int);
CREATE TABLE check_s.up (id int PRIMARY KEY);
CREATE TABLE check_s.down () INHERITS (check_s.up);
ALTER TABLE check_s.down ADD PRIMARY KEY (id);
SELECT purpose.protect('check_s.subject', subject => 'id');
SELECT purpose.protect('check_s.orders', subject => 'subject_id', of => 'check_s.subject');
SELECT purpose.protect('check_s.down', subject => 'id');
DROP TABLE check_s.subject;
:found;
:remedies \gexec
:mended;
SELECT relation, kind, problem FROM purpose.protected_tables WHERE relation::text ~ '^check_s[.]';
DROP TABLE check_s.orders, check_s.up, check_s.down;

--
-- The closed floor, through the tree of a partitioned table.
--
CREATE TABLE check_s.ev (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE check_s.ev_1 PARTITION OF check_s.ev FOR VALUES FROM (0) TO (100);
CREATE TABLE check_s.ev_2 PARTITION OF check_s.ev FOR VALUES FROM (100) TO (200);
CREATE TABLE check_s.labelled (a text, b text);
SELECT purpose.protect('check_s.ev', subject => 'id');
SELECT purpose.label_column('check_s.labelled', 'a', 'for check');
:mended;
-- Only a superuser can do any of this.
ALTER TABLE check_s.ev DISABLE ROW LEVEL SECURITY;
DROP POLICY purpose_floor ON check_s.ev_1;
ALTER POLICY purpose_floor ON check_s.ev_2 USING (true);
DROP POLICY purpose_floor ON check_s.labelled;
CREATE POLICY mine ON check_s.labelled USING (true);
:found;
:remedies \gexec
:mended;
SELECT tablename, policyname, permissive, qual FROM pg_policies WHERE schemaname = 'check_s' ORDER BY 1, 2;
-- A permissive policy beside a permissive floor would open it without the library.
DROP POLICY mine ON check_s.labelled;
DROP POLICY purpose_floor ON check_s.labelled;
ALTER TABLE check_s.labelled DISABLE ROW LEVEL SECURITY;
SELECT purpose.label_column('check_s.labelled', 'a', 'for check');
:mended;
CREATE POLICY mine ON check_s.labelled USING (true);
-- Made restrictive at once, or else shown here and mended: never open.
:remedies \gexec
:mended;
SELECT policyname, permissive, qual FROM pg_policies WHERE schemaname = 'check_s' AND tablename = 'labelled' ORDER BY 1;
-- In observe mode there is no floor, and none is missed.
SELECT purpose.set_mode('check_s.ev', 'observe');
:found;
:remedies \gexec
:mended;

--
-- Copies: materialised views (through a view, too), CREATE TABLE AS.
--
CREATE VIEW check_s.v AS SELECT a, b FROM check_s.labelled;
CREATE MATERIALIZED VIEW check_s.mv_same AS SELECT a FROM check_s.v;
CREATE MATERIALIZED VIEW check_s.mv_derived AS SELECT lower(a) AS low, 1 AS one FROM check_s.labelled;
CREATE MATERIALIZED VIEW check_s.mv_other AS SELECT b FROM check_s.labelled;
CREATE TABLE check_s.ctas AS SELECT a FROM check_s.labelled;
CREATE TABLE check_s.other_type AS SELECT 1 AS a;
:found;
:remedies \gexec
:mended;
DROP MATERIALIZED VIEW check_s.mv_same, check_s.mv_derived, check_s.mv_other;
DROP TABLE check_s.ctas, check_s.other_type;

--
-- Foreign keys from tables that are not protected, to the subject and to other
-- protected tables.
--
CREATE TABLE check_s.bill (id int PRIMARY KEY, ev_id int REFERENCES check_s.ev);
CREATE TABLE check_s.bill_line (bill_id int REFERENCES check_s.bill, no int);
:found;
-- bill first: bill_line leads to nothing protected yet.
:remedies \gexec
:found;
:remedies \gexec
:remedies \gexec
:mended;

--
-- Roles that bypass, exempt functions.
--
CREATE ROLE regress_purpose_check_super SUPERUSER BYPASSRLS;
CREATE ROLE regress_purpose_check_bypass BYPASSRLS;
CREATE ROLE regress_purpose_check_repl REPLICATION;
CREATE ROLE "regress_purpose_check_%files" IN ROLE pg_read_server_files, pg_execute_server_program;
CREATE FUNCTION check_s.f() RETURNS int LANGUAGE sql SET search_path = pg_catalog, pg_temp AS 'SELECT 1';
SECURITY LABEL FOR purpose ON FUNCTION check_s.f() IS 'exempt';
:found;
:remedies \gexec
:mended;

--
-- Consents for what is gone.
--
CREATE TABLE check_s.subject (id int PRIMARY KEY);
SELECT purpose.protect('check_s.subject', subject => 'id');
SELECT purpose.create_purpose('check_gone', basis => 'consent');
SELECT purpose.grant_purpose('check_gone', 'regress_purpose_check_app');
SELECT count(purpose.grant_consent('check_s.subject', g, 'check_gone')) FROM generate_series(1, 3) g;
SELECT count(purpose.grant_consent('check_s.subject', g, 'check')) FROM generate_series(1, 2) g;
SELECT purpose.drop_purpose('check_gone');
DROP TABLE check_s.subject;
SELECT severity, object, problem, remedy FROM purpose.check() WHERE object ~ 'purpose check|consent_state';
SELECT remedy FROM purpose.check() WHERE object ~ 'purpose check|consent_state' \gexec
SELECT count(*) AS "findings left" FROM purpose.check() WHERE object ~ 'purpose check|consent_state';

--
-- A foreign table has no floor: RLS does not exist there.
--
CREATE FOREIGN DATA WRAPPER check_fdw;
CREATE SERVER check_server FOREIGN DATA WRAPPER check_fdw;
CREATE FOREIGN TABLE check_s.far (a text) SERVER check_server;
SELECT purpose.label_column('check_s.far', 'a', 'for check');
:mended;
GRANT SELECT ON check_s.far TO PUBLIC, regress_purpose_check_app;
:found;
:remedies \gexec
:mended;
DROP FOREIGN DATA WRAPPER check_fdw CASCADE;

--
-- Observing that lost something: more kinds of violation than there is room for.
--
CREATE TABLE check_s.wide (id int PRIMARY KEY);
DO $$ BEGIN
	EXECUTE (SELECT 'ALTER TABLE check_s.wide ' || string_agg(format('ADD w%s int', n), ', ') FROM generate_series(1, 200) n);
END $$;
INSERT INTO check_s.wide (id) VALUES (1);
GRANT SELECT ON check_s.wide TO regress_purpose_check_app;
SELECT purpose.protect('check_s.wide', subject => 'id', mode => 'observe');
\o /dev/null
SELECT purpose.label_column('check_s.wide', ('w' || n)::name, 'for service') FROM generate_series(1, 200) n;
SELECT purpose.create_purpose('check.many' || n) FROM generate_series(1, 26) n;
\o
SELECT purpose.grant_purpose('check', 'regress_purpose_check_app');
CREATE FUNCTION check_s.violate() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..26 LOOP
		PERFORM set_config('purpose.current', 'check.many' || i, false);
		PERFORM w.* FROM check_s.wide w;
	END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION check_s.violate() TO regress_purpose_check_app;
SELECT purpose.reset_observed_violations();
SET ROLE regress_purpose_check_app;
SELECT check_s.violate();
RESET purpose.current;
RESET ROLE;
SELECT severity, object, problem ~ '^\d+ violation' AS counted, remedy FROM purpose.check() WHERE object = 'purpose.observe_max';
SELECT purpose.reset_observed_violations();
SELECT count(*) AS "findings left" FROM purpose.check() WHERE object = 'purpose.observe_max';

--
-- Who may call it.  An officer who owns nothing and declared nothing gets the
-- same findings, and leaves no trace in what was observed; what enforcement
-- keeps from him he is told.
--
\set VERBOSITY sqlstate
SET ROLE regress_purpose_check_app;
SELECT count(*) FROM purpose.check();
\set VERBOSITY default
SET ROLE regress_purpose_check_officer;
SELECT severity, object, problem FROM purpose.check() WHERE object ~ 'check_s.wide';
SELECT severity, object, problem ~ '^the values of \d+ labelled' AS told, remedy FROM purpose.check() WHERE object = 'purpose.check()';
SELECT count(*) AS "observed because of it" FROM purpose.observed_violations;
RESET ROLE;

--
-- A table that is locked keeps nobody waiting: it is left out, and said to be.
--
BEGIN;
LOCK TABLE check_s.wide;
PREPARE TRANSACTION 'regress_purpose_check';
:found;
COMMIT PREPARED 'regress_purpose_check';
:found;

--
-- One part's failure does not hide the others.
--
BEGIN;
ALTER FUNCTION purpose._check_names() RENAME TO _check_not_names;
SELECT severity, object, problem, remedy FROM purpose.check() WHERE object ~ 'check_s.wide|_check_';
ROLLBACK;

DROP SCHEMA check_s CASCADE;
\o /dev/null
SELECT purpose.drop_purpose(name) FROM purpose.purposes WHERE name ~ '^(check|service)' ORDER BY name DESC;
SELECT purpose.dismiss_officer('regress_purpose_check_officer');
\o
DELETE FROM purpose.consent_state WHERE subject_table::oid NOT IN (SELECT oid FROM pg_class);
-- The history is append-only; what a test leaves there only a superuser can
-- remove, by switching the trigger off.
BEGIN;
ALTER TABLE purpose.consent_history DISABLE TRIGGER append_only;
DELETE FROM purpose.consent_history WHERE subject_table::oid NOT IN (SELECT oid FROM pg_class);
ALTER TABLE purpose.consent_history ENABLE ALWAYS TRIGGER append_only;
COMMIT;
DROP ROLE regress_purpose_check_officer, regress_purpose_check_owner, regress_purpose_check_app,
	regress_purpose_check_super, regress_purpose_check_bypass, regress_purpose_check_repl, "regress_purpose_check_%files";
