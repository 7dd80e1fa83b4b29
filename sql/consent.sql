-- Consent: what a data subject said, and what becomes of it.  Time is that of
-- purpose.test_clock, which test builds have, so that years pass in no time.
\set SHOW_CONTEXT never
SET purpose.test_clock = '2030-01-01 12:00+00';
CREATE SCHEMA consent_s;
CREATE ROLE regress_purpose_consent_app;
CREATE ROLE regress_purpose_consent_clerk;
CREATE ROLE regress_purpose_consent_officer;
SELECT purpose.appoint_officer('regress_purpose_consent_officer');
GRANT USAGE ON SCHEMA consent_s TO PUBLIC;
CREATE TABLE consent_s.person (id int PRIMARY KEY, name text);
CREATE TABLE consent_s.login (name text PRIMARY KEY);
CREATE TABLE consent_s.device (id uuid PRIMARY KEY);
CREATE TABLE consent_s.tenant (t int, id bigint, PRIMARY KEY (t, id));
CREATE TABLE consent_s.free (id int PRIMARY KEY);
INSERT INTO consent_s.person SELECT g, 'p' || g FROM generate_series(1, 6) g;
INSERT INTO consent_s.login VALUES ('ada'), ('Ada'), ('o''brien, "x"');
INSERT INTO consent_s.device VALUES ('aaaaaaaa-0000-0000-0000-000000000001'), ('aaaaaaaa-0000-0000-0000-000000000002');
INSERT INTO consent_s.tenant VALUES (7, 42), (7, 43);
GRANT SELECT ON ALL TABLES IN SCHEMA consent_s TO regress_purpose_consent_app;
SELECT purpose.create_purpose('consent_in', basis => 'consent');
SELECT purpose.create_purpose('consent_in.mail');
SELECT purpose.create_purpose('consent_in.mail.daily');
SELECT purpose.create_purpose('consent_out', basis => 'legitimate_interests');
SELECT purpose.create_purpose('consent_out.part');
SELECT purpose.create_purpose('consent_deal', basis => 'contract');
SELECT purpose.create_purpose('consent_claims', basis => 'legal_obligation', despite_restriction => true);
SELECT count(purpose.grant_purpose(p, 'regress_purpose_consent_app')) FROM unnest('{consent_in,consent_out,consent_deal,consent_claims}'::text[]) p;
SELECT count(purpose.protect(format('consent_s.%s', t)::regclass, subject => k))
FROM (VALUES ('person', 'id'), ('login', 'name'), ('device', 'id'), ('tenant', 't, id')) v(t, k);

-- What the application sees for each purpose: the rows of the persons who permit it.
CREATE FUNCTION consent_s.seen(relation text) RETURNS TABLE (purpose text, seen text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE regress_purpose_consent_app;
	FOREACH purpose IN ARRAY '{consent_in,consent_in.mail,consent_in.mail.daily,consent_out,consent_out.part,consent_deal,consent_claims}'::text[] LOOP
		PERFORM set_config('purpose.current', purpose, true);
		EXECUTE format('SELECT string_agg(r::text, '' '' ORDER BY r::text COLLATE "C") FROM consent_s.%I r', relation) INTO seen;
		RETURN NEXT;
	END LOOP;
	RESET ROLE;
END $$;
\set seen 'SELECT * FROM consent_s.seen(''login'')'

--
-- Subjects by text, number, uuid and composite key; the written form of a key
-- does not matter, its value does.
--
SELECT * FROM consent_s.seen('login');
SELECT count(purpose.grant_consent('consent_s.login', n, 'consent_in')) FROM unnest('{ada,"o''brien, \"x\""}'::text[]) n;
SELECT * FROM consent_s.seen('login');
SELECT purpose.grant_consent('consent_s.person', 1, 'consent_in') > 0 AS "number",
	   purpose.grant_consent('consent_s.person', 2::bigint, 'consent_in') > 0 AS "bigint",
	   purpose.grant_consent('consent_s.person', ' 03 ', 'consent_in') > 0 AS "text of a number";
SELECT * FROM consent_s.seen('person') WHERE purpose = 'consent_in';
SELECT purpose.grant_consent('consent_s.device', 'aaaaaaaa-0000-0000-0000-000000000001'::uuid, 'consent_in') > 0 AS "uuid",
	   purpose.grant_consent('consent_s.device', '{AAAAAAAA00000000-0000-000000000002}', 'consent_in') > 0 AS "text of a uuid";
SELECT * FROM consent_s.seen('device') WHERE purpose = 'consent_in';
SELECT purpose.grant_consent('consent_s.tenant', '(7, "42")', 'consent_in') > 0 AS composite;
SELECT * FROM consent_s.seen('tenant') WHERE purpose = 'consent_in';
SELECT subject_table, subject, purpose, state FROM purpose.consent_state WHERE purpose LIKE 'consent%' ORDER BY subject_table::text COLLATE "C", subject;
-- A person may have consented before the row is there.
SELECT purpose.grant_consent('consent_s.person', 7, 'consent_in') > 0 AS recorded;
INSERT INTO consent_s.person VALUES (7, 'p7');
SELECT * FROM consent_s.seen('person') WHERE purpose = 'consent_in';

--
-- Each function with each type of subject.
--
SELECT purpose.withdraw_consent('consent_s.person', 7, 'consent_in') > 0 AND purpose.withdraw_consent('consent_s.login', 'ada', 'consent_in') > 0
	AND purpose.withdraw_consent('consent_s.device', 'aaaaaaaa-0000-0000-0000-000000000002'::uuid, 'consent_in') > 0 AS withdraw;
SELECT purpose.refuse_consent('consent_s.person', 6, 'consent_in') > 0 AND purpose.refuse_consent('consent_s.login', 'Ada', 'consent_in') > 0
	AND purpose.refuse_consent('consent_s.device', 'aaaaaaaa-0000-0000-0000-000000000002'::uuid, 'consent_in.mail') > 0 AS refuse;
SELECT purpose.object_to('consent_s.person', 6, 'consent_out') > 0 AND purpose.object_to('consent_s.login', 'Ada', 'consent_out') > 0
	AND purpose.object_to('consent_s.device', 'aaaaaaaa-0000-0000-0000-000000000002'::uuid, 'consent_out') > 0 AS object;
SELECT purpose.restrict_processing('consent_s.person', 5) > 0 AND purpose.restrict_processing('consent_s.login', 'ada') > 0
	AND purpose.restrict_processing('consent_s.device', 'aaaaaaaa-0000-0000-0000-000000000001'::uuid) > 0 AS restrict;
SELECT purpose, person.seen AS person, login.seen AS login, right(device.seen, 2) AS device
FROM consent_s.seen('person') person JOIN consent_s.seen('login') login USING (purpose) JOIN consent_s.seen('device') device USING (purpose);
SELECT purpose.withdraw_objection('consent_s.person', 6, 'consent_out') > 0 AND purpose.withdraw_objection('consent_s.login', 'Ada', 'consent_out') > 0
	AND purpose.withdraw_objection('consent_s.device', 'aaaaaaaa-0000-0000-0000-000000000002'::uuid, 'consent_out') > 0 AS objection_withdrawn;
SELECT purpose.lift_restriction('consent_s.person', 5) > 0 AND purpose.lift_restriction('consent_s.login', 'ada') > 0
	AND purpose.lift_restriction('consent_s.device', 'aaaaaaaa-0000-0000-0000-000000000001'::uuid) > 0 AS lift;
SELECT purpose, person.seen AS person, login.seen AS login
FROM consent_s.seen('person') person JOIN consent_s.seen('login') login USING (purpose);

--
-- The nearest state on the path wins, in both directions.
--
SELECT purpose.grant_consent('consent_s.person', 1, 'consent_in') > 0 AND purpose.withdraw_consent('consent_s.person', 1, 'consent_in.mail') > 0
	AND purpose.grant_consent('consent_s.person', 1, 'consent_in.mail.daily') > 0 AS "1: yes, below no, below that yes";
SELECT purpose.withdraw_consent('consent_s.person', 2, 'consent_in') > 0 AND purpose.grant_consent('consent_s.person', 2, 'consent_in.mail') > 0 AS "2: no, below yes";
SELECT purpose.object_to('consent_s.person', 3, 'consent_out') > 0 AND purpose.grant_consent('consent_s.person', 3, 'consent_out.part') > 0 AS "3: objects, but not below";
SELECT purpose.object_to('consent_s.person', 4, 'consent_out.part') > 0 AS "4: objects below";
SELECT purpose.restrict_processing('consent_s.person', 5) > 0 AS "5: restricted";
SELECT * FROM consent_s.seen('person');
SELECT purpose, basis, state, recorded_for, since = '2030-01-01 12:00+00' AS "since then", expires_at, permitted, reason FROM purpose.consents('consent_s.person', 1) WHERE purpose LIKE 'consent%';
SELECT purpose, state, recorded_for, permitted, reason FROM purpose.consents('consent_s.person', 3) WHERE purpose LIKE 'consent%';
SELECT purpose, state, recorded_for, permitted, reason FROM purpose.consents('consent_s.person', 5::bigint) WHERE purpose LIKE 'consent%';
SELECT purpose, state, permitted FROM purpose.consents('consent_s.device', 'aaaaaaaa-0000-0000-0000-000000000001'::uuid) WHERE purpose = 'consent_in';
-- consents() and what is seen agree, for each person and purpose.
SELECT count(*) AS disagreements
FROM consent_s.person p CROSS JOIN consent_s.seen('person') s
JOIN LATERAL purpose.consents('consent_s.person', p.id) c ON c.purpose = s.purpose
WHERE c.permitted IS DISTINCT FROM coalesce(s.seen ~ format('\(%s,', p.id), false);
-- To give consent ends an objection; to withdraw an objection leaves what is above.
SELECT purpose.grant_consent('consent_s.person', 4, 'consent_out.part') > 0 AS given, purpose.withdraw_objection('consent_s.person', 3, 'consent_out') > 0 AS no_longer_objects;
SELECT * FROM consent_s.seen('person') WHERE purpose LIKE 'consent_out%';
-- Neither is it consent: on an opt-in purpose nothing is left.
SELECT purpose.object_to('consent_s.person', 2, 'consent_in.mail') > 0 AS objects, purpose.withdraw_objection('consent_s.person', 2, 'consent_in.mail') > 0 AS no_longer;
SELECT * FROM consent_s.seen('person') WHERE purpose LIKE 'consent_in%';

--
-- Expiry.
--
SELECT purpose.grant_consent('consent_s.person', 4, 'consent_in', expires_at => '2031-01-01 00:00+00') > 0 AS until_2031;
SELECT state, permitted, reason FROM purpose.consents('consent_s.person', 4) WHERE purpose = 'consent_in.mail';
SELECT * FROM consent_s.seen('person') WHERE purpose = 'consent_in.mail';
SET purpose.test_clock = '2030-12-31 23:59:59.999999+00';
SELECT * FROM consent_s.seen('person') WHERE purpose = 'consent_in.mail';
SET purpose.test_clock = '2031-01-01 00:00+00';
SELECT * FROM consent_s.seen('person') WHERE purpose = 'consent_in.mail';
SELECT state, permitted, reason FROM purpose.consents('consent_s.person', 4) WHERE purpose = 'consent_in.mail';
-- Expired consent for a part does not fall back to what was said for the whole.
SELECT purpose.grant_consent('consent_s.person', 4, 'consent_in') > 0 AS renewed,
	   purpose.grant_consent('consent_s.person', 4, 'consent_in.mail', expires_at => '2031-06-01 00:00+00') > 0 AS until_june;
SET purpose.test_clock = '2031-07-01 00:00+00';
SELECT * FROM consent_s.seen('person') WHERE purpose LIKE 'consent_in%';
-- A consent that lapses must not undo an objection that stands above it.
SELECT purpose.object_to('consent_s.person', 4, 'consent_out') > 0 AS objects,
	   purpose.grant_consent('consent_s.person', 4, 'consent_out.part', expires_at => '2031-08-01 00:00+00') > 0 AS until_august;
SELECT * FROM consent_s.seen('person') WHERE purpose LIKE 'consent_out%';
SET purpose.test_clock = '2031-09-01 00:00+00';
SELECT * FROM consent_s.seen('person') WHERE purpose LIKE 'consent_out%';

--
-- A transaction sees its own changes at once; a rollback takes them back.
--
GRANT EXECUTE ON FUNCTION purpose.grant_consent(regclass, bigint, text, jsonb, timestamptz),
	purpose.withdraw_consent(regclass, bigint, text, jsonb) TO regress_purpose_consent_app;
SET ROLE regress_purpose_consent_app;
SET purpose.current = 'consent_in';
PREPARE one AS SELECT count(*) FROM consent_s.person WHERE id = 3;
BEGIN;
EXECUTE one;
SELECT purpose.withdraw_consent('consent_s.person', 3, 'consent_in') > 0 AS withdrawn;
EXECUTE one;
SAVEPOINT s;
SELECT purpose.grant_consent('consent_s.person', 3, 'consent_in') > 0 AS given;
EXECUTE one;
ROLLBACK TO s;
EXECUTE one;
ROLLBACK;
EXECUTE one;
BEGIN ISOLATION LEVEL REPEATABLE READ;
EXECUTE one;
SELECT purpose.withdraw_consent('consent_s.person', 3, 'consent_in') > 0 AS withdrawn;
EXECUTE one;
COMMIT;
EXECUTE one;
DEALLOCATE one;
RESET purpose.current;
RESET ROLE;

--
-- Errors: message and hint, then the SQLSTATE.
--
SELECT purpose.grant_consent('consent_s.person', 1, 'consent_deal');
SELECT purpose.grant_consent('consent_s.free', 1, 'consent_in');
SELECT purpose.grant_consent('consent_s.person', 1, 'consent_gone');
SELECT purpose.grant_consent('consent_s.tenant', '7', 'consent_in');
\set VERBOSITY sqlstate
SELECT purpose.grant_consent('consent_s.person', 1, 'consent_deal');
SELECT purpose.object_to('consent_s.person', 1, 'consent_claims');
SELECT purpose.grant_consent('consent_s.free', 1, 'consent_in');
SELECT purpose.restrict_processing('consent_s.free', 1);
SELECT purpose.consents('consent_s.free', 1);
SELECT purpose.grant_consent('consent_s.person', 1, 'consent_gone');
SELECT purpose.grant_consent('consent_s.person', 1, NULL);
SELECT purpose.grant_consent('consent_s.person', 'one', 'consent_in');
SELECT purpose.grant_consent('consent_s.tenant', '(7)', 'consent_in');
SELECT purpose.grant_consent('consent_s.tenant', '(7,42,1)', 'consent_in');
SELECT purpose.grant_consent('consent_s.person', NULL::text, 'consent_in');
SELECT purpose.grant_consent(NULL, 1, 'consent_in');
\set VERBOSITY default
-- A restriction needs no purpose that asks for consent, and stops them all but those of GDPR Art. 18(2).
SELECT purpose.restrict_processing('consent_s.person', 3) > 0 AS restricted;
SELECT * FROM consent_s.seen('person') WHERE purpose IN ('consent_deal', 'consent_claims', 'consent_out');
-- Twice restricted is restricted; lifted once is lifted, and then there is nothing to lift.
SELECT purpose.restrict_processing('consent_s.person', 3) > 0 AS again, purpose.lift_restriction('consent_s.person', 3) > 0 AS lifted,
	   purpose.lift_restriction('consent_s.person', 3) IS NULL AS "nothing to lift";
SELECT * FROM consent_s.seen('person') WHERE purpose = 'consent_deal';

--
-- The history: who, what, on which evidence; append-only for everybody.
--
SET ROLE regress_purpose_consent_officer;
SELECT purpose.grant_consent('consent_s.person', 6, 'consent_in', evidence => '{"form": "signup-v3"}', expires_at => '2040-01-01 00:00+00') > 0 AS given;
SELECT purpose.withdraw_consent('consent_s.person', 6, 'consent_in', evidence => '{"link": "unsubscribe"}') > 0 AS withdrawn;
RESET ROLE;
SELECT subject, purpose, state, extract(year FROM at AT TIME ZONE 'UTC') AS year, extract(year FROM expires_at AT TIME ZONE 'UTC') AS expires, evidence,
	   replace(recorded_by, session_user, 'superuser') AS recorded_by
FROM purpose.consent_history WHERE subject_table = 'consent_s.person'::regclass AND subject = '6' ORDER BY event_id;
\set VERBOSITY terse
UPDATE purpose.consent_history SET state = 'given';
\set VERBOSITY sqlstate
UPDATE purpose.consent_history SET state = 'given';
UPDATE purpose.consent_history SET state = 'given' WHERE false;
DELETE FROM purpose.consent_history WHERE subject = '6';
TRUNCATE purpose.consent_history;
SET session_replication_role = replica;
DELETE FROM purpose.consent_history WHERE subject = '6';
TRUNCATE purpose.consent_history;
RESET session_replication_role;
SELECT count(*) FROM purpose.consent_history WHERE subject_table = 'consent_s.person'::regclass AND subject = '6';
-- Officers read it and add to it by the functions, never by hand.
SET ROLE regress_purpose_consent_officer;
SELECT count(*) > 0 AS readable FROM purpose.consent_history;
INSERT INTO purpose.consent_history (subject_table, subject, purpose, state, at, recorded_by)
	VALUES ('consent_s.person', '1', 'consent_in', 'given', now(), 'me');
DELETE FROM purpose.consent_state;
RESET ROLE;

--
-- Bulk: several events of one subject in any order, older ones than what is on
-- record, and nothing recorded when one row is bad.
--
INSERT INTO consent_s.person SELECT g, 'p' || g FROM generate_series(11, 19) g;
SELECT purpose.withdraw_consent('consent_s.person', 12, 'consent_in') > 0 AS "12 withdrew";
SELECT purpose.object_to('consent_s.person', 13, 'consent_out') > 0 AS "13 objected", purpose.withdraw_objection('consent_s.person', 13, 'consent_out') > 0 AS "and no longer does";
SET ROLE regress_purpose_consent_officer;
COPY purpose.consent_import (subject_table, subject, purpose, state, at, expires_at, evidence) FROM stdin (FORMAT csv);
consent_s.person,11,consent_in,withdrawn,2022-01-01 00:00+00,,
consent_s.person,11,consent_in,given,2021-01-01 00:00+00,,"{""form"": 1}"
consent_s.person,11,consent_in.mail,refused,2021-01-01 00:00+00,,
consent_s.person,11,consent_in.mail,given,2023-01-01 00:00+00,,
consent_s.person,12,consent_in,given,2024-01-01 00:00+00,,
consent_s.person,13,consent_out,objected,2024-01-01 00:00+00,,
consent_s.person, 014,consent_in,given,2024-01-01 00:00+00,2035-01-01 00:00+00,
consent_s.person,15,consent_out,objected,2024-01-01 00:00+00,,
consent_s.person,16,consent_in,given,2024-01-01 00:00+00,,
consent_s.person,16,consent_in,refused,2024-01-01 00:00+00,,
consent_s.tenant,"(7,43)",consent_in,given,2024-01-01 00:00+00,,
consent_s.login,Ada,consent_in,given,2024-01-01 00:00+00,,
\.
RESET ROLE;
SELECT count(*) AS "left in the import table" FROM purpose.consent_import;
-- Of two events of the same moment that which came last counts.
SELECT p.id, c.purpose, c.state, c.recorded_for, c.permitted FROM consent_s.person p, purpose.consents('consent_s.person', p.id) c
WHERE p.id BETWEEN 11 AND 16 AND c.purpose IN ('consent_in', 'consent_in.mail', 'consent_out') ORDER BY 1, 2;
SELECT purpose, state, extract(year FROM at AT TIME ZONE 'UTC') AS year, evidence, recorded_by FROM purpose.consent_history
WHERE subject_table = 'consent_s.person'::regclass AND subject = '11' ORDER BY event_id;
SELECT seen FROM consent_s.seen('tenant') WHERE purpose = 'consent_in';
-- What is on record is newer than what is loaded: it stays.
SELECT state FROM purpose.consents('consent_s.login', 'Ada') WHERE purpose = 'consent_in';
-- An event that claims to be of the future must not outlive a later withdrawal.
INSERT INTO purpose.consent_import (subject_table, subject, purpose, at) VALUES ('consent_s.person', '17', 'consent_in', '2099-01-01');
SELECT purpose.withdraw_consent('consent_s.person', 17, 'consent_in') > 0 AS "17 withdrew";
INSERT INTO purpose.consent_import (subject_table, subject, purpose, state, at) VALUES ('consent_s.person', '17', 'consent_in', 'refused', '2001-01-01');
SELECT permitted FROM purpose.consents('consent_s.person', 17) WHERE purpose = 'consent_in';
-- Bad rows: every one beside a good one, which is not recorded either.
CREATE FUNCTION pg_temp.import(subject_table text, subject text, purpose text, state text, expires_at timestamptz DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO purpose.consent_import (subject_table, subject, purpose, state, expires_at)
		VALUES ('consent_s.person', '18', 'consent_in', 'given', NULL),
			   (import.subject_table::regclass, import.subject, import.purpose, import.state, import.expires_at);
	RETURN 'recorded';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
SELECT pg_temp.import('consent_s.person', '19', 'consent_gone', 'given') AS "unknown purpose",
	   pg_temp.import('consent_s.person', '19', 'consent_deal', 'given') AS "contract",
	   pg_temp.import('consent_s.person', '19', 'consent_in', 'maybe') AS "no state",
	   pg_temp.import('consent_s.person', '19', 'consent_in', 'restricted') AS "not by import",
	   pg_temp.import('consent_s.person', 'x', 'consent_in', 'given') AS "no key",
	   pg_temp.import('consent_s.person', NULL, 'consent_in', 'given') AS "no subject",
	   pg_temp.import('consent_s.free', '19', 'consent_in', 'given') AS "no subject table",
	   pg_temp.import('consent_s.gone', '19', 'consent_in', 'given') AS "no table",
	   pg_temp.import('consent_s.person', '19', 'consent_in', 'refused', '2040-01-01') AS "expiring refusal";
SELECT count(*) AS "recorded" FROM purpose.consent_history WHERE subject_table = 'consent_s.person'::regclass AND subject IN ('18', '19');
SELECT count(*) AS "left in the import table" FROM purpose.consent_import;
SELECT pg_temp.import('consent_s.person', '19', 'consent_in', 'refused') AS "good";
SELECT subject, state FROM purpose.consent_state WHERE subject_table = 'consent_s.person'::regclass AND subject IN ('18', '19') ORDER BY 1;
-- Many at once.
INSERT INTO purpose.consent_import (subject_table, subject, purpose, at)
	SELECT 'consent_s.person', g::text, 'consent_in', '2024-01-01' FROM generate_series(1001, 6000) g;
SELECT count(*) FROM purpose.consent_state WHERE subject_table = 'consent_s.person'::regclass AND state = 'given' AND length(subject) = 4;
\set VERBOSITY default

--
-- explain_access(): the decision and its reason, without making it.
--
SELECT purpose.label_column('consent_s.person', 'name', 'for consent_deal else null');
SELECT e.* FROM (VALUES
	(1, 'name', '1', 'consent_deal', 'regress_purpose_consent_app'),
	(2, 'name', '1', 'consent_in', 'regress_purpose_consent_app'),
	(3, 'id', '1', 'consent_in', 'regress_purpose_consent_app'),
	(4, NULL, '3', 'consent_in', 'regress_purpose_consent_app'),
	(5, NULL, '5', 'consent_deal', 'regress_purpose_consent_app'),
	(6, NULL, '5', 'consent_claims', 'regress_purpose_consent_app'),
	(7, NULL, NULL, 'consent_in', 'regress_purpose_consent_app'),
	(8, NULL, NULL, NULL, 'regress_purpose_consent_app'),
	(9, NULL, NULL, 'consent_gone', 'regress_purpose_consent_app'),
	(10, NULL, '999', 'consent_in', 'regress_purpose_consent_app'),
	(11, NULL, '999', 'consent_out', 'regress_purpose_consent_app'),
	(12, 'name', '3', 'consent_deal', 'regress_purpose_consent_officer'),
	(13, 'name', '3', 'consent_in', current_user)) v(n, c, s, p, r), purpose.explain_access('consent_s.person', c, s, p, r) e ORDER BY n;
SELECT * FROM purpose.explain_access('consent_s.free', purpose => 'consent_in', role => 'regress_purpose_consent_app');
\set VERBOSITY sqlstate
SELECT * FROM purpose.explain_access('consent_s.person', 'nope');
SELECT * FROM purpose.explain_access('consent_s.person', role => 'regress_purpose_consent_gone');
SELECT * FROM purpose.explain_access('consent_s.person', subject => 'x', purpose => 'consent_in');

--
-- Privileges.  A role that may record consents may do that and no more.
--
GRANT EXECUTE ON FUNCTION purpose.grant_consent(regclass, bigint, text, jsonb, timestamptz) TO regress_purpose_consent_clerk;
SET ROLE regress_purpose_consent_clerk;
SELECT purpose.grant_consent('consent_s.person', 15, 'consent_in') > 0 AS given;
SELECT purpose.withdraw_consent('consent_s.person', 15, 'consent_in');
SELECT purpose.grant_consent('consent_s.login', 'ada', 'consent_in');
SELECT purpose.consents('consent_s.person', 15);
SELECT purpose.explain_access('consent_s.person');
SELECT * FROM purpose.consent_history;
SELECT * FROM purpose.consent_state;
SELECT * FROM purpose.observed_violations;
INSERT INTO purpose.consent_import (subject_table, subject, purpose) VALUES ('consent_s.person', '1', 'consent_in');
SELECT count(*) FROM consent_s.person;
SELECT count(*) > 0 AS "the vocabulary is public" FROM purpose.purposes;
RESET ROLE;
-- Our trigger functions serve our tables only: on a table of his own a user
-- could make himself a door to the consents.
GRANT USAGE, CREATE ON SCHEMA consent_s TO regress_purpose_consent_clerk;
SET ROLE regress_purpose_consent_clerk;
CREATE TABLE consent_s.forged (subject_table regclass, subject text, purpose text, state text DEFAULT 'given',
	at timestamptz DEFAULT now(), expires_at timestamptz, evidence jsonb);
CREATE TRIGGER forge AFTER INSERT ON consent_s.forged REFERENCING NEW TABLE AS imported
	FOR EACH STATEMENT EXECUTE FUNCTION purpose._import_consents();
INSERT INTO consent_s.forged (subject_table, subject, purpose) VALUES ('consent_s.person', '13', 'consent_in');
RESET ROLE;
SELECT permitted AS "13 consented" FROM purpose.consents('consent_s.person', 13) WHERE purpose = 'consent_in';
\set VERBOSITY default
-- What PUBLIC may execute, use and read: nothing that administers.  The many
-- functions that make sealed types up are shown by what they do: their symbols.
SELECT p.oid::regprocedure AS "PUBLIC may execute" FROM pg_proc p
WHERE p.pronamespace = 'purpose'::regnamespace
AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
AND p.proname !~ '^(sealed|searchable)_' AND p.proname <> 'seal'
ORDER BY p.proname COLLATE "C", p.oid::regprocedure::text COLLATE "C";
SELECT DISTINCT p.prosrc AS "PUBLIC may execute" FROM pg_proc p
WHERE p.pronamespace = 'purpose'::regnamespace
AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE')
AND (p.proname ~ '^(sealed|searchable)_' OR p.proname = 'seal')
ORDER BY 1;
SELECT c.relname, a.privilege_type FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner))) a
WHERE c.relnamespace = 'purpose'::regnamespace AND a.grantee = 0 ORDER BY c.relname COLLATE "C", 2;
-- Every function of ours has its search_path pinned, but for those in C; and a comment.
SELECT p.oid::regprocedure AS "search_path is not pinned" FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'purpose'::regnamespace AND l.lanname <> 'c'
AND NOT EXISTS (SELECT FROM unnest(p.proconfig) c WHERE c = 'search_path=pg_catalog, pg_temp');
SELECT p.oid::regprocedure AS "has no comment" FROM pg_proc p
WHERE p.pronamespace = 'purpose'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL;

SET client_min_messages = warning;
DROP SCHEMA consent_s CASCADE;
DELETE FROM purpose.consent_state WHERE purpose LIKE 'consent\_%' OR subject_table::oid NOT IN (SELECT oid FROM pg_class);
-- The history is append-only; what a test leaves there only a superuser can
-- remove, by switching the trigger off.
BEGIN;
ALTER TABLE purpose.consent_history DISABLE TRIGGER append_only;
DELETE FROM purpose.consent_history WHERE subject_table::oid NOT IN (SELECT oid FROM pg_class);
ALTER TABLE purpose.consent_history ENABLE ALWAYS TRIGGER append_only;
COMMIT;
\o /dev/null
SELECT purpose.drop_purpose(name) FROM purpose.purposes WHERE name LIKE 'consent\_%' ORDER BY name DESC;
SELECT purpose.dismiss_officer('regress_purpose_consent_officer');
\o
RESET purpose.test_clock;
REVOKE EXECUTE ON FUNCTION purpose.grant_consent(regclass, bigint, text, jsonb, timestamptz) FROM regress_purpose_consent_clerk;
REVOKE EXECUTE ON FUNCTION purpose.grant_consent(regclass, bigint, text, jsonb, timestamptz),
	purpose.withdraw_consent(regclass, bigint, text, jsonb) FROM regress_purpose_consent_app;
DROP ROLE regress_purpose_consent_app, regress_purpose_consent_clerk, regress_purpose_consent_officer;
