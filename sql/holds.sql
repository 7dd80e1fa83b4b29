--
-- Legal holds, and shreds that meet them.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
TRUNCATE purpose.legal_hold RESTART IDENTITY;
SELECT purpose.create_purpose('hold_bill', basis => 'contract');
CREATE SCHEMA regress_purpose_hold;
SET search_path = regress_purpose_hold;
CREATE ROLE regress_purpose_hold_owner;
CREATE ROLE regress_purpose_hold_officer;
CREATE ROLE regress_purpose_hold_app;
GRANT ALL ON SCHEMA regress_purpose_hold TO PUBLIC;
SELECT purpose.appoint_officer('regress_purpose_hold_officer');
SELECT purpose.grant_purpose('hold_bill', 'regress_purpose_hold_app');
SET purpose.current = 'hold_bill';

SET ROLE regress_purpose_hold_owner;
CREATE TABLE person (id bigint PRIMARY KEY, mail purpose.sealed_text(hold_bill));
CREATE TABLE invoice (gone int, id int PRIMARY KEY, person bigint REFERENCES person, state text, placed date,
	address purpose.sealed_text(hold_bill, 'group invoices'));
ALTER TABLE invoice DROP COLUMN gone;
CREATE TABLE line (id int PRIMARY KEY, invoice int REFERENCES invoice, n int, text purpose.sealed_text(hold_bill, 'group lines')[]);
CREATE TABLE plain (person bigint, kind text);
RESET ROLE;
SELECT purpose.protect('person', subject => 'id');
SELECT purpose.protect('invoice', subject => 'person');
SELECT purpose.protect('line', via => 'invoice');
INSERT INTO person SELECT i, 'mail of ' || i FROM generate_series(1, 9) i;
INSERT INTO invoice SELECT i, i, CASE WHEN i % 2 = 0 THEN 'open' ELSE 'paid' END, '2026-01-31'::date + i, 'address of ' || i FROM generate_series(1, 9) i;
INSERT INTO line SELECT i, i, i, ARRAY['line of ' || i] FROM generate_series(1, 9) i;
INSERT INTO plain VALUES (1, 'x');
CREATE VIEW seen AS SELECT p.id, p.mail::text AS mail, i.address::text AS address, l.text::text[] AS line
	FROM person p JOIN invoice i ON i.person = p.id JOIN line l ON l.invoice = i.id;

-- Who may hold, and what.
SET ROLE regress_purpose_hold_app;
SELECT purpose.hold('invoice', 'id = 1', reason => 'case 1');
SELECT purpose.hold_subject('person', 1, reason => 'case 1');
SELECT purpose.release_hold(1);
SELECT * FROM purpose.holds;
SET ROLE regress_purpose_hold_officer;
SELECT purpose.hold('invoice', 'state = ''open'' AND placed < ''2026-02-05''', reason => 'case 1');
SELECT purpose.hold('line', "where" => 'n = 5', reason => 'case 2');
SELECT purpose.hold_subject('person', 7, reason => 'case 3');
SELECT hold_id, relation, "where", subject, reason, held_by, released_by FROM purpose.holds ORDER BY hold_id;
-- What is no condition, or none that an officer may run as the owner.
SELECT purpose.hold('invoice', 'id = 1; DROP TABLE plain', reason => 'x');
SELECT purpose.hold('invoice', 'id = 1 FROM plain', reason => 'x');
SELECT purpose.hold('invoice', 'true) UNION SELECT (true', reason => 'x');
SELECT purpose.hold('invoice', 'id = 1, true', reason => 'x');
SELECT purpose.hold('invoice', 'true a', reason => 'x');
SELECT purpose.hold('invoice', '', reason => 'x');
SELECT purpose.hold('invoice', 'id', reason => 'x');
SELECT purpose.hold('invoice', 'nothing = 1', reason => 'x');
SELECT purpose.hold('invoice', 'count(*) > 1', reason => 'x');
SELECT purpose.hold('invoice', 'id IN (SELECT person FROM regress_purpose_hold.plain)', reason => 'x');
SELECT purpose.hold('invoice', 'random() > 0', reason => 'x');
CREATE FUNCTION regress_purpose_hold.spy(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'saw %', $1; RETURN true; END $$;
SELECT purpose.hold('invoice', 'regress_purpose_hold.spy(state)', reason => 'x');
SELECT purpose.hold('invoice', 'address = ''x''', reason => 'x');
SELECT purpose.hold('invoice', 'invoice IS NOT NULL', reason => 'x');
SELECT purpose.hold('seen', 'true', reason => 'x');
SELECT purpose.hold('purpose.legal_hold', 'true', reason => 'x');
SELECT purpose.hold('invoice', 'true', reason => ' ');
SELECT purpose.hold('invoice', NULL, reason => 'x');
SELECT purpose.hold(NULL, 'true', reason => 'x');
SELECT purpose.hold_subject('person', NULL::bigint, reason => 'x');
SELECT purpose.hold_subject('plain', 1, reason => 'x');

-- A shred of what is held is refused, and that of the rest is not.
SELECT purpose.shred('person', 2); -- invoice 2 is open
SELECT purpose.shred('person', 2, groups => '{default,invoices}');
SELECT purpose.shred('person', 2, groups => '{default,lines}') IS NOT NULL AS shredded;
SELECT purpose.shred('person', 5);
SELECT purpose.shred('person', 5, groups => '{default,invoices}') IS NOT NULL AS shredded;
SELECT purpose.shred('person', 7);
SELECT purpose.shred('person', 7, groups => '{lines}');
SELECT purpose.shred('person', 3) IS NOT NULL AS shredded; -- paid
SELECT purpose.shred('person', 8) IS NOT NULL AS shredded; -- open, but later
RESET ROLE;
SELECT * FROM seen ORDER BY id;

-- What the rows are now counts, whatever the session may see of them.
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE invoice SET state = 'open' WHERE id = 1;
SET ROLE regress_purpose_hold_officer;
SET purpose.current = '';
SELECT purpose.shred('person', 1);
ROLLBACK;
SET ROLE regress_purpose_hold_owner;
REVOKE SELECT ON line FROM regress_purpose_hold_owner;
RESET ROLE;
SELECT purpose.shred('person', 4, groups => '{lines}');
GRANT SELECT ON line TO regress_purpose_hold_owner;
SELECT purpose.shred('person', 4, groups => '{lines}') IS NOT NULL AS shredded;

-- Held after it was shredded: what is left.
SET client_min_messages = warning;
SELECT purpose.hold_subject('person', 3, reason => 'late') IS NOT NULL AS held;

-- A condition that does not fit any more holds everybody.
ALTER TABLE line RENAME n TO number;
SELECT purpose.shred('person', 9);
SELECT severity, object, problem, remedy FROM purpose.check() WHERE object LIKE 'legal hold%';
ALTER TABLE line RENAME number TO n;
SELECT severity, object FROM purpose.check() WHERE object LIKE 'legal hold%';

-- An error in it does not tell what the row holds.
UPDATE invoice SET state = 'secret' WHERE id = 9;
SELECT purpose.hold('invoice', 'state::int = 1', reason => 'case 5') IS NOT NULL AS held;
\set SHOW_CONTEXT errors
SELECT purpose.shred('person', 9);
\set SHOW_CONTEXT never
SELECT purpose.release_hold(hold_id) FROM purpose.holds WHERE reason = 'case 5';

-- Released, it holds no more, and stays on record.
SET ROLE regress_purpose_hold_officer;
SELECT purpose.release_hold(hold_id) FROM purpose.holds WHERE reason = 'case 1';
SELECT purpose.release_hold(hold_id) FROM purpose.holds WHERE reason = 'case 1';
SELECT purpose.release_hold(0);
SELECT purpose.shred('person', 2, groups => '{invoices}') IS NOT NULL AS shredded;
SELECT reason, released_at IS NOT NULL AS released, released_by FROM purpose.holds WHERE relation IN ('invoice'::regclass, 'line'::regclass, 'person'::regclass) ORDER BY reason;
RESET ROLE;

-- A table without a subject may be held; it keeps nobody from being shredded.
SELECT purpose.hold('plain', 'kind = ''x''', reason => 'case 4') IS NOT NULL AS held;
SELECT purpose.shred('person', 9) IS NOT NULL AS shredded;

DROP TABLE plain;
SELECT severity, problem FROM purpose.check() WHERE object LIKE 'legal hold%';
SELECT purpose.release_hold(hold_id) FROM purpose.holds WHERE released_at IS NULL;
DROP SCHEMA regress_purpose_hold CASCADE;
SELECT purpose.dismiss_officer('regress_purpose_hold_officer');
SELECT purpose.revoke_purpose('hold_bill', 'regress_purpose_hold_app');
DROP ROLE regress_purpose_hold_owner, regress_purpose_hold_officer, regress_purpose_hold_app;
SELECT purpose.drop_purpose('hold_bill');
