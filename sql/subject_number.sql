--
-- A subject's number is remembered while it may be, and no longer: what was
-- rolled back, or replaced by a readmission, is not sealed with again.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT purpose.create_purpose('number_bill', basis => 'contract');
CREATE SCHEMA regress_purpose_number;
SET search_path = regress_purpose_number;
CREATE TABLE person (id int PRIMARY KEY);
CREATE TABLE note (person int REFERENCES person, t purpose.sealed_text(number_bill));
SELECT purpose.protect('person', subject => 'id');
SELECT purpose.protect('note', subject => 'person');
INSERT INTO person SELECT generate_series(1, 3);

-- Who reads: all that was written, and all of it under a number that is known.
CREATE VIEW seen AS
	SELECT n.person, n.t::text AS t FROM note n ORDER BY 1, 2;
CREATE VIEW numbered AS
	SELECT subject, count(*) FROM purpose.subject_number WHERE subject_table = 'person'::regclass GROUP BY 1 ORDER BY 1;
SET purpose.current = 'number_bill';

-- A number that is given out in a subtransaction goes with it.
BEGIN;
SAVEPOINT s;
INSERT INTO note VALUES (1, 'undone'), (1, 'undone as well');
ROLLBACK TO s;
SELECT * FROM numbered;
INSERT INTO note VALUES (1, 'kept'), (1, 'kept as well');
COMMIT;
SELECT * FROM numbered;
SELECT * FROM seen;

-- So does one of a transaction.
BEGIN;
INSERT INTO note VALUES (2, 'undone');
ROLLBACK;
INSERT INTO note VALUES (2, 'kept'), (3, 'kept'), (2, 'kept as well');
SELECT * FROM numbered;
SELECT * FROM seen;

-- Within a command: an exception takes it back, and the next row asks again.
DELETE FROM note;
DELETE FROM person WHERE id = 3;
INSERT INTO person VALUES (3), (4);
DO $$
BEGIN
	BEGIN
		INSERT INTO note VALUES (4, 'undone');
		RAISE EXCEPTION 'no';
	EXCEPTION WHEN raise_exception THEN
	END;
	INSERT INTO note VALUES (4, 'kept');
END $$;
SELECT * FROM numbered;
SELECT * FROM seen;

-- After a shred nothing is sealed, in its own transaction neither, until the
-- subject has another number.
BEGIN;
INSERT INTO note VALUES (4, 'before');
SELECT purpose.shred('person', 4) IS NOT NULL AS shredded;
SAVEPOINT s;
INSERT INTO note VALUES (4, 'refused');
ROLLBACK TO s;
SELECT purpose.readmit('person', 4);
INSERT INTO note VALUES (4, 'after');
SELECT * FROM seen;
COMMIT;
INSERT INTO note VALUES (4, 'after as well');
SELECT * FROM seen;

-- A row's subject is found through a parent whose table lost a column, whatever
-- the others are called.
CREATE TABLE letter (gone int, id int PRIMARY KEY, p int, person int REFERENCES person);
ALTER TABLE letter DROP COLUMN gone;
CREATE TABLE line (letter int REFERENCES letter, t purpose.sealed_text(number_bill));
SELECT purpose.protect('letter', subject => 'person');
SELECT purpose.protect('line', via => 'letter');
INSERT INTO person VALUES (8), (9);
INSERT INTO letter (id, p, person) VALUES (1, 9, 8);
INSERT INTO line VALUES (1, 'to 8');
SELECT * FROM numbered;
SELECT purpose.shred('person', 9) IS NOT NULL AS shredded;
SELECT t::text FROM line;

-- Rows in the order of their people, so that numbers are read ahead: new ones
-- between those that are there, after all of them, and all of them again.
CREATE TABLE crowd (id text PRIMARY KEY);
CREATE TABLE entry (person text, t purpose.sealed_text(number_bill));
SELECT purpose.protect('crowd', subject => 'id');
SELECT purpose.protect('entry', subject => 'person', of => 'crowd');
CREATE FUNCTION enter(what text, first int, last int, step int DEFAULT 1, kind text DEFAULT 'p') RETURNS void
LANGUAGE sql AS $$
	INSERT INTO entry SELECT kind || lpad(i::text, 4, '0'), what FROM generate_series(first, last, step) i
$$;
CREATE VIEW crowded AS
	SELECT count(DISTINCT subject) AS people, count(DISTINCT number) AS numbers
	FROM purpose.subject_number WHERE subject_table = 'crowd'::regclass;
SELECT enter('odd', 1, 799, 2), enter('all', 1, 820), enter('downwards', 820, 1, -1);
INSERT INTO entry SELECT person, 'any order' FROM (SELECT DISTINCT person FROM entry) p ORDER BY md5(person);
SELECT * FROM crowded;
-- Whose is what?  As many values as the person has are gone with the person.
CREATE FUNCTION gone(person text) RETURNS TABLE (theirs bigint, others bigint)
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM purpose.shred('crowd', person);
	RETURN QUERY SELECT count(*) FILTER (WHERE e.person = gone.person), count(*) FILTER (WHERE e.person <> gone.person)
		FROM entry e WHERE e.t IS NOT NULL AND e.t::text IS NULL;
END $$;
BEGIN;
SELECT p, (gone('p' || p)).* FROM unnest('{0001,0002,0399,0400,0801,0820}'::text[]) p;
ROLLBACK;

-- What was read ahead does not outlive a rollback, nor a readmission.
BEGIN;
SELECT enter('known', 1, 100);
SAVEPOINT s;
SELECT enter('undone', 1, 100, kind => 'q');
ROLLBACK TO s;
SELECT enter('kept', 1, 100, kind => 'q'), enter('kept', 50, 51, kind => 'q');
SELECT * FROM crowded;
SELECT (gone('q0050')).*;
SELECT purpose.readmit('crowd', 'q0050'), enter('after', 1, 60, kind => 'q');
SELECT t::text, count(*) FROM entry WHERE person IN ('q0050', 'q0051') GROUP BY 1 ORDER BY 1;
COMMIT;

DROP SCHEMA regress_purpose_number CASCADE;
SELECT purpose.drop_purpose('number_bill');
