--
-- COPY in both directions, and the statements that fill new tables: CREATE TABLE
-- AS and SELECT INTO.
--
CREATE ROLE regress_purpose_copy_app;
CREATE ROLE regress_purpose_copy_owner;
CREATE ROLE regress_purpose_copy_bypass BYPASSRLS;
SELECT purpose.create_purpose('copy_mail', basis => 'contract');
SELECT purpose.create_purpose('copy_stats', basis => 'contract');
SELECT purpose.create_purpose('copy_news', basis => 'consent');
SELECT purpose.grant_purpose(p, r)
FROM unnest('{copy_mail,copy_stats,copy_news}'::text[]) p,
	unnest('{regress_purpose_copy_app,regress_purpose_copy_owner}'::text[]) r;

CREATE SCHEMA regress_purpose_copy;
SET search_path = regress_purpose_copy;
-- One table that is only labelled, and has a generated column and a dropped one;
-- one that is protected as well, and partitioned, with the columns of a
-- partition in an order of their own.
CREATE TABLE people (id int PRIMARY KEY, gone int, name text DEFAULT 'nobody', email text,
	domain text GENERATED ALWAYS AS (split_part(email, '@', 2)) STORED,
	twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE people DROP COLUMN gone;
INSERT INTO people VALUES (1, 'Ann', 'ann@x'), (2, 'Bob', 'bob@y');
CREATE VIEW people_view AS SELECT * FROM people;
CREATE TABLE clients (id int PRIMARY KEY, land text, email text) PARTITION BY RANGE (id);
CREATE TABLE clients_low (email text, land text, id int NOT NULL);
ALTER TABLE clients ATTACH PARTITION clients_low FOR VALUES FROM (1) TO (100);
CREATE TABLE clients_high PARTITION OF clients FOR VALUES FROM (100) TO (200);
INSERT INTO clients VALUES (1, 'it', 'a@it'), (2, 'it', 'b@it'), (103, 'no', 'c@no');
CREATE TABLE parent (id int, email text);
CREATE TABLE child (more text) INHERITS (parent);
INSERT INTO parent VALUES (1, 'p@x');
INSERT INTO child VALUES (2, 'c@x', 'm');
ALTER TABLE people OWNER TO regress_purpose_copy_owner;
ALTER TABLE clients OWNER TO regress_purpose_copy_owner;
ALTER TABLE clients_low OWNER TO regress_purpose_copy_owner;
ALTER TABLE clients_high OWNER TO regress_purpose_copy_owner;
GRANT ALL ON SCHEMA regress_purpose_copy TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA regress_purpose_copy TO PUBLIC;

SELECT purpose.label_column('people', 'email', 'for copy_mail, copy_news');
SELECT purpose.label_column('clients', 'email', 'for copy_mail, copy_news');
SELECT purpose.label_column('parent', 'email', 'for copy_mail, copy_news');
SELECT purpose.protect('clients', subject => 'id');
SELECT purpose.grant_consent('clients', '1', 'copy_news') IS NOT NULL AS recorded;
SELECT purpose.grant_consent('clients', '103', 'copy_news') IS NOT NULL AS recorded;
\set VERBOSITY sqlstate

--
-- COPY TO of the labelled table: the application.
--
SET ROLE regress_purpose_copy_app;
COPY people TO stdout;						-- no purpose
COPY people (id, name) TO stdout;			-- needs none
SET purpose.current = 'copy_stats';
COPY people TO stdout;
COPY people (email) TO stdout;
COPY (SELECT domain FROM people) TO stdout;	-- generated from it
COPY people (id, name) TO stdout;
COPY (SELECT email FROM people) TO stdout;
COPY (SELECT id FROM people WHERE email = 'ann@x') TO stdout;
COPY (TABLE people_view) TO stdout;
COPY (SELECT count(*) FROM people_view) TO stdout;
COPY (INSERT INTO people VALUES (8, 'x', 'x@x') RETURNING email) TO stdout;
COPY (UPDATE people SET name = name WHERE id = 2 RETURNING email) TO stdout;
COPY (UPDATE people SET name = name WHERE id = 2 RETURNING name) TO stdout;
SET purpose.current = 'copy_mail';
COPY people TO stdout;						-- as ever: no generated columns
COPY people (email, id) TO stdout;
COPY people (domain) TO stdout;
COPY (SELECT domain FROM people) TO stdout;
COPY people TO stdout (FORMAT csv, HEADER, FORCE_QUOTE (email));
COPY people (nothing) TO stdout;
COPY people (id, id) TO stdout;
COPY (SELECT id, email FROM people_view ORDER BY id) TO stdout;
COPY (UPDATE people SET name = name WHERE id = 2 RETURNING email) TO stdout;
COPY people_view TO stdout;					-- nor does this change
COPY people TO '/nowhere/people';			-- nor the right to files
COPY people TO PROGRAM 'false';
-- the owner, for whom PostgreSQL would read the table straight
SET ROLE regress_purpose_copy_owner;
COPY people TO stdout;
SET purpose.current = 'copy_stats';
COPY people TO stdout;
COPY people (name, id) TO stdout;
RESET purpose.current;
COPY people TO stdout;
COPY people (name, id) TO stdout;
-- roles that are not bound
SET ROLE regress_purpose_copy_bypass;
COPY people TO stdout;
RESET ROLE;
COPY people TO stdout;
COPY people (domain) TO stdout;

--
-- COPY TO of the protected table: rows as well.
--
SET ROLE regress_purpose_copy_app;
COPY clients_low TO stdout;
COPY clients_low (id) TO stdout;				-- protected: not without a purpose
SET purpose.current = 'copy_stats';
COPY clients_low TO stdout;
COPY clients_low (id, land) TO stdout;
SET purpose.current = 'copy_news';
COPY clients_low TO stdout;					-- one of them consented
COPY clients_low (id) TO stdout;
COPY (SELECT id, email FROM clients ORDER BY id) TO stdout;
COPY (SELECT id, email FROM ONLY clients) TO stdout;
SET purpose.current = 'copy_mail';
COPY clients_low (id, land, email) TO stdout;
COPY clients TO stdout;						-- PostgreSQL does not copy these
COPY (SELECT * FROM clients ORDER BY id) TO stdout;
SET ROLE regress_purpose_copy_owner;
COPY clients_high TO stdout;
SET purpose.current = 'copy_stats';
COPY clients_high TO stdout;
COPY clients_low (id) TO stdout;
SET purpose.current = 'copy_news';
COPY clients_low TO stdout;
RESET purpose.current;
COPY clients_low (id) TO stdout;
SET ROLE regress_purpose_copy_bypass;
COPY clients_low TO stdout;
RESET ROLE;
COPY clients_low TO stdout;
-- inheritance: COPY of a parent gives its own rows only, and children have its
-- label
SET ROLE regress_purpose_copy_app;
SET purpose.current = 'copy_mail';
COPY parent TO stdout;
COPY child TO stdout;
SET purpose.current = 'copy_stats';
COPY parent TO stdout;
COPY child TO stdout;
COPY child (id, more) TO stdout;
RESET purpose.current;

--
-- COPY FROM: writing needs a purpose, any.
--
\copy people FROM /dev/null
\copy clients FROM /dev/null
SET purpose.current = '';
\copy people FROM /dev/null
SET purpose.current = 'copy_stats';
COPY people FROM stdin;
3	Cat	cat@z
\.
COPY people (id, email) FROM stdin (FORMAT csv);
4,dan@z
\.
-- WHERE sees what is being loaded, not what is stored
COPY people (id, name, email) FROM stdin WHERE email LIKE '%@z' AND id > 4;
5	Eve	eve@z
6	Fay	fay@x
4	Dan	dan@z
\.
\copy people FROM /dev/null WHERE twice > 1
\copy people FROM /dev/null WHERE nothing > 1
\copy people (twice) FROM /dev/null
COPY people (id, email) FROM stdin;
1	again@x
\.
-- people nobody knows yet, and one who did not consent
SET purpose.current = 'copy_news';
COPY clients FROM stdin;
4	it	d@it
105	no	e@no
\.
COPY clients_low (id, land, email) FROM stdin WHERE id <> 7;
6	it	f@it
7	it	g@it
\.
COPY clients FROM stdin;
208	se	h@se
\.
COPY clients FROM stdin;
2	it	again@it
\.
\copy people FROM '/nowhere/people'
COPY people FROM '/nowhere/people';
COPY people FROM PROGRAM 'false';
BEGIN READ ONLY;
\copy people FROM /dev/null
ROLLBACK;
-- the owner
SET ROLE regress_purpose_copy_owner;
COPY people (id, name, email) FROM stdin;
10	Owen	owen@z
\.
COPY clients FROM stdin;
110	no	o@no
\.
RESET purpose.current;
\copy people FROM /dev/null
\copy clients FROM /dev/null
-- roles that are not bound
SET ROLE regress_purpose_copy_bypass;
COPY people (id, name, email) FROM stdin;
11	Bea	bea@z
\.
RESET ROLE;
COPY clients_high FROM stdin;
111	no	s@no
\.
-- rights are asked as ever
REVOKE INSERT ON people FROM PUBLIC;
GRANT INSERT (id, name) ON people TO regress_purpose_copy_app;
REVOKE SELECT ON people FROM PUBLIC;
GRANT SELECT (id, name) ON people TO regress_purpose_copy_app;
SET ROLE regress_purpose_copy_app;
SET purpose.current = 'copy_mail';
\copy people FROM /dev/null
COPY people TO stdout;
COPY people (id, name) FROM stdin;
12	Rita
\.
COPY people (id, name) TO stdout;
RESET ROLE;
RESET purpose.current;
GRANT ALL ON people TO PUBLIC;
SELECT * FROM people ORDER BY id;
SELECT tableoid::regclass, * FROM clients ORDER BY id;

--
-- New tables filled from labelled columns: reading is judged; the copy has no
-- label, of which whoever makes it is warned.
--
\set VERBOSITY terse
SET ROLE regress_purpose_copy_app;
CREATE TABLE c0 AS SELECT id, email FROM people;
SET purpose.current = 'copy_stats';
CREATE TABLE c0 AS SELECT id, email FROM people;
SELECT id, email INTO c0 FROM people;
CREATE TABLE c0 AS TABLE people_view;
CREATE TABLE c1 AS SELECT id, name FROM people;
SELECT count(*) INTO c2 FROM people_view;
CREATE TEMP TABLE c3 AS SELECT s.id FROM (SELECT * FROM people_view) AS s;
SET purpose.current = 'copy_mail';
CREATE TABLE c4 AS SELECT id, email FROM people WHERE id < 3;
SELECT id, upper(email) AS e INTO c5 FROM people_view WHERE id < 3;
CREATE TEMP TABLE c6 AS SELECT p.id, p.domain, c.email FROM people p JOIN clients c USING (id);
CREATE TABLE c7 AS SELECT * FROM people WITH NO DATA;
CREATE TABLE IF NOT EXISTS c7 AS SELECT * FROM people;
CREATE MATERIALIZED VIEW c8 AS SELECT email FROM clients_low;
PREPARE filling AS SELECT id, email FROM people WHERE id < 3;
CREATE TABLE c9 AS EXECUTE filling;
SET purpose.current = 'copy_stats';
CREATE TABLE c10 AS EXECUTE filling;
DEALLOCATE filling;
-- What the warning is about: the copy may be read for any purpose, until it has
-- a label.
SELECT email FROM c4 ORDER BY id;
RESET ROLE;
SELECT purpose.label_column('c4', 'email', 'for copy_mail');
SET ROLE regress_purpose_copy_app;
SELECT email FROM c4 ORDER BY id;
SELECT id FROM c4 ORDER BY id;
SET purpose.current = 'copy_mail';
SELECT email FROM c4 ORDER BY id;
-- Rows that the purpose hides stay behind.
SET purpose.current = 'copy_news';
CREATE TABLE c11 AS SELECT id FROM clients;
SELECT id FROM c11 ORDER BY id;
SET ROLE regress_purpose_copy_owner;
CREATE TABLE c12 AS SELECT id, email FROM clients;
SELECT id FROM c12 ORDER BY id;
SET purpose.current = 'copy_stats';
CREATE TABLE c13 AS SELECT id, email FROM clients;
RESET purpose.current;
-- Roles that are not bound are warned as well.
SET ROLE regress_purpose_copy_bypass;
CREATE TABLE c14 AS SELECT id, email FROM clients;
SELECT count(*) FROM c14;
RESET ROLE;
SELECT id, email INTO c15 FROM clients;
SELECT count(*) FROM c15;

-- Leave nothing behind.
SET client_min_messages = warning;
SELECT purpose.unprotect('clients');
DROP TABLE pg_temp.c3, pg_temp.c6;
DROP SCHEMA regress_purpose_copy CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{copy_mail,copy_stats,copy_news}'::text[]) p;
DROP ROLE regress_purpose_copy_app, regress_purpose_copy_owner, regress_purpose_copy_bypass;
