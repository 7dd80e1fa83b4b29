--
-- The journal beside the keyring: what goes into it, under which names, and what
-- reconcile() makes of entries.  Restores are in tests/150_journal.pl.  What is to
-- be seen before the key worker takes it is in one transaction.
--
\set SHOW_CONTEXT never
\set VERBOSITY sqlstate
SET client_min_messages = warning;
SET purpose.test_clock = '2030-01-01 12:00+00';
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';
CREATE ROLE regress_purpose_journal_officer;
CREATE ROLE regress_purpose_journal_app;
\o /dev/null
SELECT purpose.appoint_officer('regress_purpose_journal_officer');
\o
CREATE SCHEMA regress_purpose_journal;
SET search_path = regress_purpose_journal;

SELECT count(purpose.create_purpose(p, basis => b)) FROM (VALUES ('journal_in', 'consent'), ('journal_out', 'legitimate_interests'), ('journal_deal', 'contract')) v(p, b);
CREATE TABLE person (id int PRIMARY KEY, note purpose.sealed_text(journal_deal));
CREATE TABLE tenant (t int, name text, PRIMARY KEY (t, name)) PARTITION BY LIST (t);
CREATE TABLE tenant_7 PARTITION OF tenant FOR VALUES IN (7);
CREATE TABLE tenant_8 (name text NOT NULL, t int NOT NULL);
ALTER TABLE tenant ATTACH PARTITION tenant_8 FOR VALUES IN (8);
INSERT INTO tenant VALUES (7, 'a'), (8, 'b, "c"');

SELECT purpose.protect('tenant', subject => 't, name');

--
-- Without a keyring.
--
BEGIN;
DELETE FROM purpose.keyring_binding;
SELECT purpose.grant_consent('tenant', '(7,a)', 'journal_in') IS NOT NULL AS recorded;
SELECT count(*) FROM purpose.journal_outbox;
SELECT * FROM purpose._journal_verdict();
SELECT purpose._subject_hash('x', 'y', true) IS NULL AS none;
SELECT * FROM purpose.reconcile();
ROLLBACK;

--
-- With one, events wait for the journal with their transaction.
--
SELECT purpose.protect('person', subject => 'id');
SELECT count(*) FROM purpose.keyring_binding;
-- A table whose subjects are matched stays as it is meanwhile.
BEGIN;
SELECT count(*) FROM purpose._match_subjects('tenant', 'tenant', '{}');
SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'tenant'::regclass AND locktype = 'relation';
COMMIT;
BEGIN;
INSERT INTO person SELECT i, 'n' || i FROM generate_series(1, 4) i;
SELECT * FROM purpose._journal_verdict();
SELECT purpose.grant_consent('tenant', '( 7,a)', 'journal_in', expires_at => '2031-01-01 00:00:00.000001+00') IS NOT NULL AS recorded;
SELECT purpose.refuse_consent('person', 1, 'journal_in') IS NOT NULL AS recorded;
SELECT purpose.withdraw_consent('person', 1, 'journal_in') IS NOT NULL AS recorded;
SELECT purpose.object_to('person', 2, 'journal_out') IS NOT NULL AS recorded;
SELECT purpose.withdraw_objection('person', 2, 'journal_out') IS NOT NULL AS recorded;
SELECT purpose.withdraw_objection('person', 2, 'journal_out') IS NOT NULL AS recorded;
SELECT purpose.restrict_processing('person', 3) IS NOT NULL AS recorded;
SELECT purpose.lift_restriction('person', 3) IS NOT NULL AS recorded;
INSERT INTO purpose.consent_import (subject_table, subject, purpose, state, at, expires_at, evidence)
	VALUES ('person', '04', 'journal_in', 'given', '2029-01-01', '2032-01-01', '{"ip": "192.0.2.1"}');
SAVEPOINT s;
SELECT purpose.withdraw_consent('person', 4, 'journal_in') IS NOT NULL AS recorded;
ROLLBACK TO s;
SELECT kind, imported, subject_table, subject, purpose, at, detail FROM purpose.journal_outbox ORDER BY id;
DELETE FROM purpose.journal_outbox;

-- Shreds and readmissions, with all that makes them again.
SELECT purpose.shred('person', 4) IS NOT NULL AS shredded;
SELECT purpose.shred('person', 4) IS NOT NULL AS "shredded already";
SELECT purpose.readmit('person', 4);
SELECT o.kind, o.subject_table, o.subject,
	(o.detail ->> 'receipt_id')::uuid = r.receipt_id AS receipt, o.detail -> 'numbers' = to_jsonb(r.numbers) AS numbers,
	(o.detail ->> 'retired')::bigint = r.numbers[1] AS retired, (o.detail ->> 'number')::bigint = n.number AS number,
	r.subject_hash = purpose._subject_hash('regress_purpose_journal.person', '4', true) AS hash
FROM purpose.journal_outbox o, (SELECT * FROM purpose.shred_receipt ORDER BY requested_at DESC LIMIT 1) r, purpose.subject_number n
WHERE n.subject_table = 'person'::regclass AND n.subject = '4' ORDER BY o.id;
UPDATE purpose.shred_receipt SET destroyed_at = purpose._now(), evidence = 'e', punctured_version = 2
	WHERE requested_at = (SELECT max(requested_at) FROM purpose.shred_receipt);
SELECT kind, subject, detail - 'receipt_id' AS detail FROM purpose.journal_outbox WHERE kind = 'destroyed';
SELECT at < purpose._now() - interval '5 minutes' AS old, count(*) FROM purpose.journal_outbox GROUP BY 1;

--
-- Names and hashes.
--
SELECT purpose._journal_name('tenant'), purpose._journal_name('person');
ALTER TABLE person RENAME TO human;
CREATE TABLE person (id int PRIMARY KEY);
SELECT purpose._journal_name('human') AS "as it was called", purpose._journal_name('person') AS "another one";
SELECT length(purpose._subject_hash('a', 'b', true)), purpose._subject_hash('a', 'b', true) = purpose._subject_hash('a', 'b', false) AS same,
	purpose._subject_hash('a', 'b', true) = purpose._subject_hash('a', 'c', true) AS "another key",
	purpose._subject_hash('ab', '', true) = purpose._subject_hash('a', 'b', true) AS "another table";
SELECT subject FROM purpose._match_subjects('tenant', 'tenant', ARRAY(SELECT purpose._subject_hash('tenant', k, true) FROM unnest(ARRAY['(7,a)', '(8,"b, ""c""")', '(9,d)']) k)) ORDER BY 1;
SELECT count(*) FROM purpose._match_subjects('tenant', 'tenant', ARRAY['\x00', NULL, ''::bytea]);
SAVEPOINT s;
SELECT * FROM purpose._match_subjects('person', 'person', '{}');
ROLLBACK TO s;

--
-- Entries that could not be replayed before: what was said later counts.
--
CREATE FUNCTION put(kind text, subject text, purpose text, at timestamptz, imported boolean DEFAULT false, detail jsonb DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	INSERT INTO purpose.journal_replay (sequence, kind, imported, table_name, subject_hash, purpose, at, detail)
		VALUES (0, kind, imported, 'regress_purpose_journal.person', purpose._subject_hash('regress_purpose_journal.person', subject, true), purpose, at, detail)
$$;
SELECT put('given', '1', 'journal_in', '2029-06-01'), put('withdrawn', '3', 'journal_in', '2029-06-01'),
	put('given', '3', 'journal_in', '2029-05-01', detail => '{"expires_at": "2033-01-01"}'), put('objected', '2', 'journal_out', '2029-06-01'),
	put('restricted', '77', NULL, '2029-06-01'), put('restricted', '2', NULL, '2029-06-01'), put('withdrawn', '4', 'journal_in', '2028-12-31');
SET ROLE regress_purpose_journal_officer;
SELECT * FROM purpose.reconcile();
RESET ROLE;
SELECT subject, purpose, state, since, expires_at FROM purpose.consent_state WHERE subject_table = 'human'::regclass ORDER BY subject, purpose;
SELECT kind, late, subject_table, subject FROM purpose.journal_replay;
SET ROLE regress_purpose_journal_officer;
SELECT * FROM purpose.reconcile();
RESET ROLE;
INSERT INTO human VALUES (77);
SELECT * FROM purpose.reconcile();
SELECT * FROM purpose.reconcile();

-- A table that is none, or is called something else.
SAVEPOINT s;
UPDATE purpose.journal_table SET name = 'gone' WHERE subject_table = 'human'::regclass;
SELECT put('given', '1', 'journal_in', '2029-06-01');
SAVEPOINT t;
SELECT * FROM purpose.reconcile();
ROLLBACK TO t;
SELECT * FROM purpose.reconcile(tables => '{"regress_purpose_journal.person": "regress_purpose_journal.tenant_7"}');
ROLLBACK TO t;
SELECT * FROM purpose.reconcile(tables => '{"regress_purpose_journal.person": null}');
SELECT * FROM purpose.reconcile(tables => '{"regress_purpose_journal.person": "regress_purpose_journal.human"}');
ROLLBACK TO s;

--
-- A database that is ahead of its journal, or off it.
--
INSERT INTO purpose.journal_state SELECT keyring, 1, 1000, '\x00' FROM purpose.keyring_binding
	ON CONFLICT (keyring) DO UPDATE SET incarnation = 1, sequence = 1000, hash = '\x00';
SAVEPOINT s;
SELECT * FROM purpose._journal_verdict();
ROLLBACK TO s;
SELECT * FROM purpose.reconcile();
ROLLBACK TO s;
SELECT severity, object FROM purpose._check_journal();

--
-- Not for everybody.
--
SAVEPOINT s;
SET ROLE regress_purpose_journal_app;
SELECT * FROM purpose.reconcile();
ROLLBACK TO s;
SET ROLE regress_purpose_journal_app;
SELECT purpose._subject_hash('a', 'b', true);
ROLLBACK TO s;
SET ROLE regress_purpose_journal_app;
SELECT subject FROM purpose.journal_outbox;
ROLLBACK TO s;
SET ROLE regress_purpose_journal_officer;
SELECT purpose._subject_hash('a', 'b', true);
ROLLBACK TO s;
ROLLBACK;

-- Leave nothing behind.
DROP SCHEMA regress_purpose_journal CASCADE;
SELECT count(purpose.drop_purpose(p)) FROM unnest('{journal_in,journal_out,journal_deal}'::text[]) p;
SELECT purpose.dismiss_officer('regress_purpose_journal_officer');
DROP ROLE regress_purpose_journal_officer, regress_purpose_journal_app;
