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

DROP SCHEMA regress_purpose_number CASCADE;
SELECT purpose.drop_purpose('number_bill');
