-- Labels: the grammar and its canonical form, where labels may stand, who may
-- set them, what they permit, and that they follow what they are on.
\set SHOW_CONTEXT never
CREATE SCHEMA labels_s;
CREATE ROLE regress_purpose_labels_owner;
CREATE ROLE regress_purpose_labels_officer;
CREATE ROLE regress_purpose_labels_app;
GRANT USAGE, CREATE ON SCHEMA labels_s TO regress_purpose_labels_owner;
GRANT USAGE ON SCHEMA labels_s TO regress_purpose_labels_app, regress_purpose_labels_officer;
SELECT purpose.appoint_officer('regress_purpose_labels_officer');
CREATE FUNCTION pg_temp.problem(label text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM purpose._parse_label(label);
	RETURN 'none';
EXCEPTION WHEN OTHERS THEN RETURN format('%s %s', SQLSTATE, SQLERRM);
END $$;

--
-- The grammar: every clause, in any order, and its canonical form.
--
SELECT l AS label, p.* FROM (VALUES
	(1, 'for billing'),
	(2, '  for	billing ,marketing,  support.chat '),
	(3, E'for a\nnever b, c\nelse error'),
	(4, 'never b for a'),
	(5, 'for a else null'),
	(6, 'for a else ''left(email, 2)'''),
	(7, 'for a else ''it''''s, "never" b'''),
	(8, 'keep k source s category user.contact.email else null never b for a'),
	(9, 'for never'),					-- a keyword where a purpose belongs is a purpose
	(10, 'for a, never never b'),
	(11, 'for A.b_C-1'),
	(12, 'for a, a'),
	(13, 'for a never a')) v(n, l), purpose._parse_label(l) p ORDER BY n;
-- The canonical form of a canonical form is itself.
SELECT count(*) AS "not canonical" FROM (VALUES ('for a'), ('never b for a'), ('for a else ''x''''y'' keep k'),
	('source s category c for a, b else null')) v(l), purpose._parse_label(l) p, purpose._parse_label(p.canonical) q
WHERE q.canonical <> p.canonical;
-- What is not in the grammar.
SELECT l AS label, pg_temp.problem(l) AS problem FROM (VALUES
	(1, ''), (2, '   '), (3, 'billing'), (4, 'for'), (5, 'for '','''), (6, 'for ,a'), (7, 'for a,'), (8, 'for a b'),
	(9, 'for a.'), (10, 'for .a'), (11, 'for 1a'), (12, 'for "a"'), (13, 'for ''a'''), (14, 'for a; never b'),
	(15, 'never a'), (16, 'else null'), (17, 'for a for b'), (18, 'for a never b never c'), (19, 'for a else'),
	(20, 'for a else maybe'), (21, 'for a else '''''), (22, 'for a else ''open'), (23, 'for a else null else error'),
	(24, 'for a category'), (25, 'for a category ''x'''), (26, 'for a category x y'), (27, 'for a source'),
	(28, 'for a keep 90'), (29, 'for a purge b'), (30, 'FOR a'), (31, 'for a, , b'), (32, 'for a never'),
	(33, 'for a+b'), (34, 'for a ''never b'''), (35, 'for ' || repeat('p', 128)), (36, 'for a -- never b')) v(n, l) ORDER BY n;
-- The message and the hint.
SELECT purpose._parse_label('for a purge b');
\set VERBOSITY sqlstate
SELECT purpose._parse_label('for a purge b');

--
-- Where labels may stand.
--
SELECT purpose.create_purpose('labels', basis => 'contract');
SELECT purpose.create_purpose('labels.below');
SELECT purpose.create_purpose('labels.below.deep');
SELECT purpose.create_purpose('labels_other', basis => 'contract');
SELECT purpose.grant_purpose('labels', 'regress_purpose_labels_app');
SELECT purpose.grant_purpose('labels_other', 'regress_purpose_labels_app');
SET ROLE regress_purpose_labels_owner;
CREATE TABLE labels_s.t (id int PRIMARY KEY, a text, b text);
INSERT INTO labels_s.t VALUES (1, 'a', 'b');
CREATE DOMAIN labels_s.mail AS text;
CREATE DOMAIN labels_s.own_mail AS labels_s.mail;
CREATE TABLE labels_s.d (id int, m labels_s.mail, o labels_s.own_mail, l labels_s.mail[]);
INSERT INTO labels_s.d VALUES (1, 'm', 'o', '{l}');
CREATE VIEW labels_s.v AS SELECT a FROM labels_s.t;
CREATE TYPE labels_s.e AS ENUM ('x');
CREATE FUNCTION labels_s.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA labels_s TO regress_purpose_labels_app;
RESET ROLE;
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.a IS 'for labels';
SECURITY LABEL FOR purpose ON DOMAIN labels_s.mail IS 'for labels';
-- A label of a table is its protection, which protect() writes.
SECURITY LABEL FOR purpose ON TABLE labels_s.t IS 'for labels';
SECURITY LABEL FOR purpose ON TABLE labels_s.t IS 'subject id mode enforce';
SELECT relation, mode, kind, key_columns, problem FROM purpose.protected_tables WHERE relation = 'labels_s.t'::regclass;
SECURITY LABEL FOR purpose ON TABLE labels_s.t IS NULL;
SECURITY LABEL FOR purpose ON FUNCTION labels_s.f() IS 'for labels';
SECURITY LABEL FOR purpose ON TYPE labels_s.e IS 'for labels';
SECURITY LABEL FOR purpose ON SCHEMA labels_s IS 'for labels';
SECURITY LABEL FOR purpose ON ROLE regress_purpose_labels_app IS 'for labels';
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.b IS 'purge it';
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.c IS 'for labels';
SELECT relation, "column", domain, allowed, prohibited, "else", category, source, keep, label FROM purpose.labels
WHERE relation::text LIKE 'labels\_s.%' OR domain::text LIKE 'labels\_s.%' ORDER BY relation::text, "column";
-- A domain labels all its columns, those of domains over it and of arrays of it.
SET ROLE regress_purpose_labels_app;
SELECT m FROM labels_s.d;
SELECT o FROM labels_s.d;
SELECT l FROM labels_s.d;
SELECT id FROM labels_s.d;
SET purpose.current = 'labels_other';
SELECT m FROM labels_s.d;
SET purpose.current = 'labels.below';
SELECT * FROM labels_s.d;
RESET purpose.current;
RESET ROLE;
-- A column of a labelled domain may add a label of its own: both must be satisfied.
SELECT purpose.label_column('labels_s.d', 'm', 'for labels_other');
SET ROLE regress_purpose_labels_app;
SET purpose.current = 'labels';
SELECT m FROM labels_s.d;
SELECT o FROM labels_s.d;
SET purpose.current = 'labels_other';
SELECT m FROM labels_s.d;
RESET purpose.current;
RESET ROLE;
SELECT purpose.label_column('labels_s.d', 'm', NULL);
SECURITY LABEL FOR purpose ON DOMAIN labels_s.mail IS NULL;
SET ROLE regress_purpose_labels_app;
SELECT * FROM labels_s.d;
RESET ROLE;
-- A view's column may have a label of its own, beside those of what it shows.
SELECT purpose.label_column('labels_s.v', 'a', 'for labels_other');
SET ROLE regress_purpose_labels_app;
SET purpose.current = 'labels';
SELECT a FROM labels_s.t;
SELECT a FROM labels_s.v;
RESET ROLE;
SELECT purpose.label_column('labels_s.v', 'a', 'for labels');
SET ROLE regress_purpose_labels_app;
SELECT a FROM labels_s.v;
RESET purpose.current;
RESET ROLE;

--
-- Unknown purposes: SECURITY LABEL warns, because a restore sets labels first;
-- label_column() refuses and says which word it was.
--
\set VERBOSITY default
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.a IS 'for labels, labels_typo never labels_gone';
SELECT purpose.label_column('labels_s.t', 'a', 'for labels never labels.typo');
SELECT label FROM purpose.labels WHERE relation = 'labels_s.t'::regclass;
\set VERBOSITY sqlstate
SELECT purpose.label_column('labels_s.t', 'a', 'for labels never labels.typo');
SELECT purpose.label_column('labels_s.t', 'a', 'labels');
SELECT purpose.label_column('labels_s.t', 'nope', 'for labels');
SELECT purpose.label_column('labels_s.t', 'ctid', 'for labels');
SELECT purpose.label_column(NULL, 'a', 'for labels');
SELECT purpose.label_column('labels_s.t', NULL, 'for labels');
-- The unknown purpose allows nothing, and prohibits nothing that exists.
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.a IS 'for labels_typo';
SET ROLE regress_purpose_labels_app;
SET purpose.current = 'labels';
SELECT a FROM labels_s.t;
RESET ROLE;
-- Once it exists it allows.
SELECT purpose.create_purpose('labels_typo', basis => 'contract');
SELECT purpose.grant_purpose('labels_typo', 'regress_purpose_labels_app');
SET ROLE regress_purpose_labels_app;
SET purpose.current = 'labels_typo';
SELECT a FROM labels_s.t;
RESET purpose.current;
RESET ROLE;

--
-- Only officers: not the owner, by neither form; the officer without owning
-- anything, by label_column().  The owner need not be asked.
--
SELECT purpose.label_column('labels_s.t', 'a', 'for labels');
SET ROLE regress_purpose_labels_owner;
\set VERBOSITY default
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.a IS 'for labels_other';
\set VERBOSITY sqlstate
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.a IS NULL;
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.b IS 'for labels';
SECURITY LABEL FOR purpose ON TABLE labels_s.t IS 'subject id mode observe';
SECURITY LABEL FOR purpose ON DOMAIN labels_s.mail IS 'for labels';
SECURITY LABEL FOR purpose ON FUNCTION labels_s.f() IS 'exempt';
SELECT purpose.label_column('labels_s.t', 'a', NULL);
SELECT purpose._set_label('labels_s.t', 'a', NULL);
SET ROLE regress_purpose_labels_officer;
SELECT purpose.label_column('labels_s.t', 'b', 'for labels_other else null');
SELECT purpose.label_column('labels_s.t', 'a', NULL);
SELECT purpose.label_column('labels_s.t', 'a', ' never  labels_other   for labels ');
-- SECURITY LABEL asks for ownership besides.
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.a IS NULL;
RESET ROLE;
SELECT "column", label FROM purpose.labels WHERE relation = 'labels_s.t'::regclass ORDER BY 1;
-- An owner who is an officer may use SECURITY LABEL.
GRANT EXECUTE ON FUNCTION purpose.label_column(regclass, name, text) TO regress_purpose_labels_owner;
SET ROLE regress_purpose_labels_owner;
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.b IS 'for labels';
SECURITY LABEL FOR purpose ON COLUMN labels_s.t.b IS NULL;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION purpose.label_column(regclass, name, text) FROM regress_purpose_labels_owner;
SELECT "column", label FROM purpose.labels WHERE relation = 'labels_s.t'::regclass ORDER BY 1;

--
-- What a label permits: the purpose or an ancestor of it is allowed, and neither
-- it, nor an ancestor, nor a descendant is prohibited.
--
CREATE FUNCTION labels_s.may(label text, wanted text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('purpose.current', wanted, true);
	PERFORM a FROM labels_s.t;
	RETURN 'yes';
EXCEPTION WHEN SQLSTATE 'PU005' THEN RETURN 'no';
END $$;
SET client_min_messages = error;
CREATE TABLE labels_s.permits (label text, labels text, below text, deep text, other text);
DO $$
DECLARE
	l text;
BEGIN
	FOREACH l IN ARRAY ARRAY['for labels', 'for labels.below', 'for labels.below.deep', 'for labels_other',
		'for labels, labels_other', 'for labels never labels', 'for labels never labels.below',
		'for labels never labels.below.deep', 'for labels, labels_other never labels.below', 'for labels.below never labels',
		'for labels never labels_other', 'for labels.below, labels never labels.below.deep', 'for label', 'for labels_othe'] LOOP
		EXECUTE format('SECURITY LABEL FOR purpose ON COLUMN labels_s.t.a IS %L', l);
		SET LOCAL ROLE regress_purpose_labels_app;
		CREATE TEMP TABLE answer AS SELECT l AS label, labels_s.may(l, 'labels') AS labels, labels_s.may(l, 'labels.below') AS below,
			labels_s.may(l, 'labels.below.deep') AS deep, labels_s.may(l, 'labels_other') AS other;
		RESET ROLE;
		INSERT INTO labels_s.permits SELECT * FROM answer;
		DROP TABLE answer;
	END LOOP;
END $$;
RESET client_min_messages;
TABLE labels_s.permits;

--
-- Reads are judged, writes need only a purpose that the role holds.
--
SELECT purpose.label_column('labels_s.t', 'a', 'for labels_other');
SET ROLE regress_purpose_labels_app;
INSERT INTO labels_s.t VALUES (2, 'x', 'y');
SET purpose.current = 'labels';
INSERT INTO labels_s.t VALUES (2, 'x', 'y');
UPDATE labels_s.t SET a = 'z' WHERE id = 2;
UPDATE labels_s.t SET b = a WHERE id = 2;
UPDATE labels_s.t SET b = 'z' WHERE a = 'z';
DELETE FROM labels_s.t WHERE id = 2 RETURNING id;
INSERT INTO labels_s.t VALUES (3, 'x', 'y') RETURNING a;
INSERT INTO labels_s.t VALUES (3, 'x', 'y') RETURNING id;
SET purpose.current = 'labels_other';
DELETE FROM labels_s.t WHERE a = 'x' RETURNING a;
RESET purpose.current;
RESET ROLE;

--
-- Labels follow: RENAME of column, table and schema; SET SCHEMA; ALTER TYPE.
--
SET ROLE regress_purpose_labels_owner;
ALTER TABLE labels_s.t RENAME COLUMN a TO address;
ALTER TABLE labels_s.t RENAME TO renamed;
DROP VIEW labels_s.v;
ALTER TABLE labels_s.renamed ALTER address TYPE varchar(80);
RESET ROLE;
ALTER SCHEMA labels_s RENAME TO labels_s2;
CREATE SCHEMA labels_s3 AUTHORIZATION regress_purpose_labels_owner;
GRANT USAGE ON SCHEMA labels_s3 TO regress_purpose_labels_app;
ALTER TABLE labels_s2.renamed SET SCHEMA labels_s3;
SELECT relation, "column", label FROM purpose.labels WHERE relation::text LIKE 'labels\_s%';
SET ROLE regress_purpose_labels_app;
SET purpose.current = 'labels';
SELECT address FROM labels_s3.renamed;
SET purpose.current = 'labels_other';
SELECT address FROM labels_s3.renamed;
RESET purpose.current;
RESET ROLE;
-- A protection names columns and tables; these follow as well.
CREATE TABLE labels_s3.child (cid int REFERENCES labels_s3.renamed);
SELECT purpose.protect('labels_s3.renamed', subject => 'id');
SELECT purpose.protect('labels_s3.child', subject => 'cid');
ALTER TABLE labels_s3.renamed RENAME COLUMN id TO "the id";
ALTER TABLE labels_s3.child RENAME COLUMN cid TO "select";
ALTER TABLE labels_s3.renamed RENAME TO "The, table";
SELECT relation, key_columns, leads_to, problem FROM purpose.protected_tables WHERE relation::text LIKE 'labels\_s3.%';
-- A label goes with its column.
ALTER TABLE labels_s3."The, table" DROP COLUMN address;
SELECT count(*) FROM purpose.labels WHERE relation::text LIKE 'labels\_s3%';
-- The label of a dropped table leaves nothing behind.
DROP TABLE labels_s3.child, labels_s3."The, table";
SELECT count(*) FROM pg_seclabel s WHERE provider = 'purpose' AND classoid = 'pg_class'::regclass
AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = s.objoid);
\set VERBOSITY default

SET client_min_messages = warning;
DROP SCHEMA labels_s2, labels_s3 CASCADE;
SELECT purpose.drop_purpose(n) FROM unnest('{labels.below.deep,labels.below,labels,labels_other,labels_typo}'::text[]) n;
SELECT purpose.dismiss_officer('regress_purpose_labels_officer');
DROP ROLE regress_purpose_labels_owner, regress_purpose_labels_officer, regress_purpose_labels_app;
