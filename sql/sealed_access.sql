--
-- Who opens what: purpose, label, consent, restriction, role; and whose a value
-- is, wherever it came from.  Everything here runs against data subjects 1 to 6
-- of person, who said different things.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE regress_purpose_access_app;
CREATE ROLE regress_purpose_access_other;
CREATE ROLE regress_purpose_access_bypass BYPASSRLS;
CREATE ROLE regress_purpose_access_definer;
SELECT purpose.create_purpose('access_bill', basis => 'contract');
SELECT purpose.create_purpose('access_bill.dunning');
SELECT purpose.create_purpose('access_mail', basis => 'consent');
SELECT purpose.create_purpose('access_mail.daily');
SELECT purpose.create_purpose('access_stats', basis => 'legitimate_interests');
SELECT purpose.create_purpose('access_claims', basis => 'legal_obligation', despite_restriction => true);
SELECT purpose.create_purpose('access_none', basis => 'contract');
SELECT count(purpose.grant_purpose(p, r)) FROM unnest('{access_bill,access_mail,access_stats,access_claims,access_none}'::text[]) p,
	unnest('{regress_purpose_access_app,regress_purpose_access_bypass,regress_purpose_access_definer}'::text[]) r;
CREATE SCHEMA regress_purpose_access;
GRANT ALL ON SCHEMA regress_purpose_access TO PUBLIC;
SET search_path = regress_purpose_access;
CREATE TABLE person (id int PRIMARY KEY, name text,
	bill purpose.sealed_text(access_bill),
	mail purpose.sealed_text(access_mail, access_bill),
	stats purpose.sealed_text(access_stats, 'never access_mail'),
	most purpose.sealed_text(access_bill, access_mail, access_stats, access_claims, 'never access_bill.dunning'));
SELECT purpose.protect('person', subject => 'id');
GRANT ALL ON person TO PUBLIC;
SET purpose.current = 'access_bill';
INSERT INTO person SELECT g, 'p' || g, 'bill ' || g, 'mail ' || g, 'stats ' || g, 'most ' || g FROM generate_series(1, 6) g;
-- 1 said nothing, 2 consented, 3 refused and objected, 4 consented and is
-- restricted, 5 consented for daily mail only, 6 consented and withdrew.
SELECT count(purpose.grant_consent('person', g, 'access_mail')) FROM unnest('{2,4,6}'::int[]) g;
SELECT purpose.refuse_consent('person', 3, 'access_mail') > 0 AND purpose.object_to('person', 3, 'access_stats') > 0
	AND purpose.restrict_processing('person', 4) > 0 AND purpose.grant_consent('person', 5, 'access_mail.daily') > 0
	AND purpose.withdraw_consent('person', 6, 'access_mail') > 0 AS said;
RESET purpose.current;
-- A copy that nothing protects: values alone decide.
CREATE TABLE copied AS SELECT * FROM person;
GRANT ALL ON copied TO PUBLIC;

--
-- The truth table: which persons' values open, by purpose, column and role.
-- A row is a purpose; each column shows the numbers of those whose value opens.
--
CREATE FUNCTION opens(acting text, relation text, field text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('role', acting, true);
	EXECUTE format('SELECT coalesce(string_agg(id::text, '''' ORDER BY id), ''-'') FROM %s WHERE %I::text = %L || '' '' || id', relation, field, field) INTO result;
	PERFORM set_config('role', 'none', true);
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
CREATE FUNCTION truth(acting text, relation text) RETURNS TABLE (declared text, bill text, mail text, stats text, most text) LANGUAGE plpgsql AS $$
BEGIN
	FOREACH declared IN ARRAY '{"",access_bill,access_bill.dunning,access_mail,access_mail.daily,access_stats,access_claims,access_none,access_unknown}'::text[] LOOP
		BEGIN
			PERFORM set_config('purpose.current', declared, true);
			bill := opens(acting, relation, 'bill'); mail := opens(acting, relation, 'mail');
			stats := opens(acting, relation, 'stats'); most := opens(acting, relation, 'most');
		EXCEPTION WHEN OTHERS THEN
			bill := SQLSTATE; mail := SQLSTATE; stats := SQLSTATE; most := SQLSTATE;
		END;
		RETURN NEXT;
	END LOOP;
	PERFORM set_config('purpose.current', '', true);
END $$;
SELECT * FROM truth('regress_purpose_access_app', 'person');
SELECT * FROM truth('regress_purpose_access_app', 'copied');
-- Nobody is exempt from a seal: superusers and BYPASSRLS see all rows, and open
-- what the purpose that they declare permits.
SELECT t.* FROM truth((SELECT rolname FROM pg_roles WHERE oid = 10), 'person') t EXCEPT SELECT * FROM truth('regress_purpose_access_app', 'copied');
SELECT t.* FROM truth('regress_purpose_access_bypass', 'person') t EXCEPT SELECT * FROM truth('regress_purpose_access_app', 'copied');
-- A role without the purpose opens nothing.
SELECT * FROM truth('regress_purpose_access_other', 'copied') WHERE declared IN ('', 'access_bill');
-- A purpose that asks for a reason.
SELECT purpose.create_purpose('access_reason', basis => 'contract', requires_justification => true), purpose.grant_purpose('access_reason', 'regress_purpose_access_app');
INSERT INTO copied SELECT 7, 'p7', purpose.seal('bill 7', 'person', 1, 'for access_reason');
SET purpose.current = 'access_reason';
SELECT opens('regress_purpose_access_app', 'copied', 'bill');
SET purpose.justification = 'ticket 1';
SELECT opens('regress_purpose_access_app', 'copied', 'bill');
RESET purpose.justification;
DELETE FROM copied WHERE id = 7;

--
-- Code of others: views and SECURITY DEFINER functions serve the caller, under
-- the caller's purpose; exempt functions do not open what nobody's purpose does.
--
CREATE VIEW by_superuser AS SELECT id, bill, mail, bill::text AS opened FROM person;
CREATE FUNCTION by_definer() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER SET search_path = regress_purpose_access, pg_temp AS $$ SELECT mail::text FROM copied ORDER BY id $$;
CREATE FUNCTION by_exempt() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path = regress_purpose_access, pg_temp AS $$ BEGIN RETURN QUERY SELECT mail::text FROM person ORDER BY id; END $$;
SECURITY LABEL FOR purpose ON FUNCTION by_exempt() IS 'exempt';
GRANT SELECT ON by_superuser TO PUBLIC;
SET ROLE regress_purpose_access_app;
SET purpose.current = 'access_bill';
SELECT string_agg(id::text, '') FROM by_superuser WHERE opened LIKE 'bill%' AND mail LIKE 'mail%';
SELECT string_agg(right(f, 1), '') FROM by_definer() f;
SELECT string_agg(right(f, 1), '') FROM by_exempt() f;
SET purpose.current = 'access_mail';
SELECT string_agg(id::text, '') FROM by_superuser WHERE opened LIKE 'bill%';
SELECT string_agg(id::text, '') FROM by_superuser WHERE mail LIKE 'mail%';
SELECT string_agg(right(f, 1), '') FROM by_definer() f;
SELECT count(*) AS rows, string_agg(right(f, 1), '') AS opened FROM by_exempt() f;
SET purpose.current = '';
SELECT count(*) AS rows, string_agg(right(f, 1), '') AS opened FROM by_exempt() f;
-- A function of a role that holds a purpose does not lend it.
RESET ROLE;
ALTER FUNCTION by_definer() OWNER TO regress_purpose_access_definer;
SET ROLE regress_purpose_access_other;
SELECT count(*) AS rows, string_agg(right(f, 1), '') AS opened FROM by_definer() f;
SET purpose.current = 'access_mail';
SET ROLE regress_purpose_access_app;
SET purpose.current = 'access_mail';
SELECT string_agg(right(f, 1), '') FROM by_definer() f;

--
-- What a person says counts at once, for values wherever they are.
--
SELECT string_agg(right(mail, 1), '' ORDER BY id) FROM copied;
RESET ROLE;
SELECT purpose.withdraw_consent('person', 2, 'access_mail') > 0 AS withdrawn;
SET ROLE regress_purpose_access_app;
SELECT string_agg(right(mail, 1), '' ORDER BY id) FROM copied;
RESET ROLE;
SELECT purpose.grant_consent('person', 2, 'access_mail') > 0 AS given, purpose.lift_restriction('person', 4) > 0 AS lifted;
SET ROLE regress_purpose_access_app;
SELECT string_agg(right(mail, 1), '' ORDER BY id) FROM copied;
RESET ROLE;
SELECT purpose.restrict_processing('person', 4) > 0 AS restricted;
-- For a purpose that asks nobody, only restriction counts; the last one to be
-- lifted brings its value back.
SET purpose.current = 'access_bill';
SELECT string_agg(right(bill, 1), '' ORDER BY id) FROM copied;
SELECT purpose.lift_restriction('person', 4) > 0 AS lifted;
SELECT string_agg(right(bill, 1), '' ORDER BY id) FROM copied;
SELECT purpose.restrict_processing('person', 4) > 0 AS restricted;
SELECT string_agg(right(bill, 1), '' ORDER BY id) FROM copied;

--
-- Stolen envelopes: person 1's value, as text, in the hands of person 3's
-- session.  Nothing opens it, and no table takes it but person 1's own row.
--
SET purpose.sealed_output = 'envelope';
SELECT mail AS stolen, bill AS stolen_bill FROM copied WHERE id = 1 \gset
SELECT mail AS own FROM copied WHERE id = 3 \gset
SELECT most AS own_most FROM copied WHERE id = 3 \gset
RESET purpose.sealed_output;
CREATE DOMAIN mail_domain AS purpose.sealed_text(access_mail, access_bill);
CREATE TYPE mail_type AS (kind text, mail purpose.sealed_text(access_mail, access_bill));
CREATE TABLE box (id int PRIMARY KEY, m mail_domain, ms purpose.sealed_text(access_mail, access_bill)[], c mail_type, clear text);
CREATE TABLE sealed_box (id int PRIMARY KEY, m mail_domain, ms purpose.sealed_text(access_mail, access_bill)[], c mail_type);
SELECT purpose.protect('sealed_box', subject => 'id', of => 'person');
GRANT ALL ON box, sealed_box TO PUBLIC;
SET ROLE regress_purpose_access_app;
SET purpose.current = 'access_bill';
\set VERBOSITY terse
-- Casts, operators, functions.
SELECT :'stolen'::purpose.sealed_text::text;
SELECT (:'stolen'::text)::purpose.sealed_text || '';
SELECT :'stolen'::varchar::purpose.sealed_text || '';
SELECT length(:'stolen'::purpose.sealed_text);
SELECT upper(CAST(:'stolen' AS purpose.sealed_text(access_bill)));
SELECT :'stolen'::mail_domain || '';
SELECT ('{"' || :'stolen' || '"}')::purpose.sealed_text[] ::text[];
SELECT ((ROW('x', :'stolen')::mail_type).mail) || '';
SELECT to_json(:'stolen'::purpose.sealed_text);
SELECT row_to_json(ROW('x', :'stolen')::mail_type);
SELECT format('%s', :'stolen'::purpose.sealed_text) = :'stolen' AS "shown as it came", concat(:'stolen'::purpose.sealed_text) = :'stolen' AS "so too";
SELECT purpose.sealed_text_in(:'stolen', 0, -1) || '';
SELECT purpose.sealed_text_from_text(:'stolen') || '';
SELECT purpose.sealed_text_to_text(purpose.sealed_text_from_varchar(:'stolen'));
SELECT convert_from(substr(purpose.sealed_text_send(:'stolen'), 1, 1), 'sql_ascii') IS NOT NULL AS "an envelope in binary";
SELECT coalesce(:'stolen'::purpose.sealed_text, '') || '';
SELECT xmlforest(:'stolen'::purpose.sealed_text AS x)::text LIKE '%purpose:1:%' AS "an envelope in XML";
SELECT v || '' FROM (VALUES (:'stolen'::purpose.sealed_text)) x(v);
SELECT v || '' FROM (SELECT :'stolen'::purpose.sealed_text AS v UNION ALL SELECT mail FROM copied WHERE id = 3) x;
WITH w AS (SELECT :'stolen'::purpose.sealed_text AS v) SELECT v || '' FROM w;
SELECT id FROM copied WHERE mail = :'stolen';
SELECT id FROM copied WHERE mail OPERATOR(purpose.=) :'stolen';
SELECT id FROM copied WHERE mail = :'stolen'::purpose.sealed_text;
SELECT count(*) AS groups FROM (SELECT v FROM (SELECT mail AS v FROM copied UNION SELECT :'stolen') x GROUP BY v) y;
SELECT id FROM copied ORDER BY mail OPERATOR(purpose.=) :'stolen' DESC, id LIMIT 1;
SELECT nullif(:'stolen'::purpose.sealed_text, 'mail 1') || '';
SELECT set_config('regress_purpose.stolen', :'stolen', false) IS NOT NULL AS kept;
DO $$ DECLARE v purpose.sealed_text := current_setting('regress_purpose.stolen'); BEGIN RAISE WARNING '%', v || ''; END $$;
DO $$ DECLARE v purpose.sealed_text; t text; BEGIN v := current_setting('regress_purpose.stolen'); t := v; RAISE WARNING '%', t; END $$;
DO $$ DECLARE v mail_type; BEGIN v.mail := current_setting('regress_purpose.stolen'); RAISE WARNING '%', v.mail || ''; END $$;
DO $$ DECLARE v purpose.sealed_text[]; BEGIN v[1] := current_setting('regress_purpose.stolen'); RAISE WARNING '%', v[1] || ''; END $$;
DO $$ DECLARE r copied; BEGIN r.mail := current_setting('regress_purpose.stolen'); RAISE WARNING '%', r.mail || ''; END $$;
DO $$ DECLARE r record; BEGIN EXECUTE 'SELECT $1 AS v' INTO r USING current_setting('regress_purpose.stolen')::purpose.sealed_text; RAISE WARNING '%', r.v || ''; END $$;
CREATE FUNCTION pg_temp.opener(purpose.sealed_text) RETURNS text LANGUAGE sql AS 'SELECT $1::text';
SELECT pg_temp.opener(:'stolen');
PREPARE open_it(purpose.sealed_text) AS SELECT $1 || '';
EXECUTE open_it(:'stolen');
SELECT * FROM json_populate_record(NULL::mail_type, json_build_object('mail', :'stolen')) r WHERE r.mail || '' <> '';
SELECT mail || '' FROM json_to_record(json_build_object('mail', :'stolen')) AS r(mail purpose.sealed_text);
SELECT jsonb_populate_record(NULL::mail_type, jsonb_build_object('mail', 'plain'));
-- Tables: the own row of the value's subject takes it back, nothing else does.
UPDATE person SET mail = :'stolen' WHERE id = 3;
UPDATE person SET mail = :'stolen'::varchar WHERE id = 3;
UPDATE person SET bill = :'stolen' WHERE id = 3;
INSERT INTO person (id, mail) VALUES (7, :'stolen');
INSERT INTO person (id, mail) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET mail = :'stolen';
INSERT INTO person (id, mail) VALUES (3, :'stolen') ON CONFLICT (id) DO UPDATE SET mail = EXCLUDED.mail;
INSERT INTO person (id, mail) VALUES (3, :'stolen') ON CONFLICT DO NOTHING;
MERGE INTO person p USING (SELECT 3 AS id, :'stolen'::text AS v) s ON p.id = s.id WHEN MATCHED THEN UPDATE SET mail = s.v;
MERGE INTO person p USING (SELECT 8 AS id, :'stolen'::text AS v) s ON p.id = s.id WHEN NOT MATCHED THEN INSERT (id, mail) VALUES (s.id, s.v);
UPDATE person SET mail = v.x FROM (VALUES (3, :'stolen')) v(id, x) WHERE v.id = person.id;
UPDATE person SET (mail, bill) = (SELECT :'stolen', :'stolen_bill') WHERE id = 3;
WITH u AS (UPDATE person SET mail = :'stolen' WHERE id = 3 RETURNING mail) SELECT mail || '' FROM u;
INSERT INTO box (id, m) VALUES (1, :'stolen');
INSERT INTO box (id, ms) VALUES (1, ARRAY[:'stolen', 'x']);
INSERT INTO box (id, ms[2]) VALUES (1, :'stolen');
INSERT INTO box (id, c) VALUES (1, ROW('x', :'stolen'));
INSERT INTO box (id, c.mail) VALUES (1, :'stolen');
INSERT INTO sealed_box (id, m) VALUES (3, :'stolen');
INSERT INTO sealed_box (id, ms) VALUES (3, ARRAY['x', :'stolen']);
INSERT INTO sealed_box (id, c) VALUES (3, ROW('x', :'stolen'));
CREATE TEMPORARY TABLE mine (id int, v purpose.sealed_text(access_bill));
INSERT INTO mine VALUES (3, :'stolen');
INSERT INTO mine SELECT 3, :'stolen'::purpose.sealed_text;
CREATE TEMPORARY TABLE mine_too AS SELECT :'stolen'::purpose.sealed_text(access_bill) AS v;
SELECT :'stolen'::purpose.sealed_text AS v INTO TEMPORARY mine_too;
CREATE TEMPORARY TABLE with_default (id int, v purpose.sealed_text(access_bill) DEFAULT :'stolen');
CREATE MATERIALIZED VIEW kept AS SELECT :'stolen'::purpose.sealed_text(access_bill) AS v;
SELECT v || '' FROM kept;
CREATE VIEW seen AS SELECT :'stolen'::purpose.sealed_text(access_bill) AS v;
SELECT v || '' FROM seen;
INSERT INTO mine SELECT 3, v FROM seen;
INSERT INTO mine SELECT 3, v FROM kept;
ALTER TABLE mine ADD w purpose.sealed_text(access_bill), ADD x text;
UPDATE mine SET v = :'stolen';
-- As plain text it is a text like any other, in clear columns too.
INSERT INTO box (id, clear) VALUES (2, :'stolen');
INSERT INTO mine (id, x) VALUES (1, :'stolen');
ALTER TABLE mine ALTER x TYPE purpose.sealed_text(access_bill);
UPDATE person SET mail = (SELECT clear FROM box WHERE id = 2) WHERE id = 3;
SELECT is_open FROM (SELECT mail::text = 'mail 3' AS is_open FROM person WHERE id = 3) x;
-- The allowed twins.
UPDATE person SET mail = :'stolen', bill = :'stolen_bill' WHERE id = 1;
UPDATE person SET mail = :'own' WHERE id = 3;
UPDATE person SET stats = :'own_most' WHERE id = 3; -- another column of the same person
SELECT id, mail, bill, stats::text IS NULL AS closed FROM person WHERE id IN (1, 3) ORDER BY id;
INSERT INTO sealed_box VALUES (1, :'stolen', ARRAY[:'stolen', 'x'], ROW('x', :'stolen')), (3, :'own', ARRAY[:'own'], ROW('x', :'own'));
SELECT id, m, ms, c FROM sealed_box ORDER BY id;
DELETE FROM sealed_box;
-- Roles with EXECUTE on accept_envelope() may have envelopes opened, if the
-- purpose permits it, and put them anywhere but into other subjects' rows.
RESET ROLE;
GRANT EXECUTE ON FUNCTION purpose.accept_envelope() TO regress_purpose_access_app;
SET ROLE regress_purpose_access_app;
SELECT :'stolen'::purpose.sealed_text || '!' AS opened;
INSERT INTO mine (id, v) VALUES (1, :'stolen') RETURNING v || '!' AS opened;
INSERT INTO box (id, m, ms, c) VALUES (1, :'stolen', ARRAY[:'stolen'], ROW('x', :'stolen')) RETURNING m, ms, c;
UPDATE person SET mail = :'stolen' WHERE id = 3;
SET purpose.current = 'access_mail';
SELECT :'stolen'::purpose.sealed_text || '!' AS opened;
SET purpose.current = 'access_bill';
RESET ROLE;
REVOKE EXECUTE ON FUNCTION purpose.accept_envelope() FROM regress_purpose_access_app;
DELETE FROM box;
SET ROLE regress_purpose_access_app;

--
-- Values that are genuine and another's: from a query, not typed in.
--
UPDATE person SET mail = (SELECT mail FROM copied WHERE id = 1) WHERE id = 3;
UPDATE person p SET mail = c.mail FROM copied c WHERE c.id = 1 AND p.id = 3;
INSERT INTO person (id, mail) SELECT 9, mail FROM copied WHERE id = 1;
INSERT INTO sealed_box (id, ms) SELECT 3, array_agg(mail) FROM copied;
INSERT INTO sealed_box (id, c) SELECT 3, ROW('x', mail)::mail_type FROM copied WHERE id = 1;
MERGE INTO person p USING copied c ON p.id = 3 AND c.id = 1 WHEN MATCHED THEN UPDATE SET mail = c.mail;
-- Opened and written, it becomes the new row's; the same person's goes anywhere.
UPDATE person SET mail = (SELECT mail::text FROM copied WHERE id = 1) WHERE id = 3 RETURNING mail;
UPDATE person p SET mail = c.mail FROM copied c WHERE c.id = p.id AND p.id = 3 RETURNING p.mail;
INSERT INTO sealed_box (id, m, ms, c) SELECT id, mail, ARRAY[bill, mail], ROW('x', bill)::mail_type FROM copied WHERE id IN (1, 3);
SELECT id, m, ms, c FROM sealed_box ORDER BY id;
DELETE FROM sealed_box;
INSERT INTO box (id, m) SELECT id, mail FROM copied;
-- Upserts, whose EXCLUDED row was sealed for the subject that it names.
INSERT INTO person (id, name, mail) VALUES (1, 'x', 'mail 1') ON CONFLICT (id) DO UPDATE SET mail = EXCLUDED.mail, bill = 'bill 1' RETURNING mail, bill;
RESET ROLE;
CREATE TABLE account (id serial PRIMARY KEY, login text UNIQUE, t purpose.sealed_text(access_bill), ts purpose.sealed_text(access_bill)[]);
SELECT purpose.protect('account', subject => 'id');
GRANT ALL ON account, account_id_seq TO PUBLIC;
SET ROLE regress_purpose_access_app;
INSERT INTO account (login, t, ts) VALUES ('ann', 'first', '{a}'), ('bob', 'other', '{b}');
INSERT INTO account (login, t, ts) VALUES ('ann', 'second', '{x,y}'), ('bob', 'third', '{}'), ('cat', 'new', NULL)
	ON CONFLICT (login) DO UPDATE SET t = EXCLUDED.t, ts = EXCLUDED.ts || account.ts RETURNING login, t, ts;
SET purpose.current = 'access_none';
INSERT INTO account (login, t) VALUES ('ann', 'not read by the writer') ON CONFLICT (login) DO UPDATE SET t = EXCLUDED.t;
INSERT INTO account (login, t) VALUES ('ann', 'left out') ON CONFLICT (login) DO NOTHING;
SET purpose.current = 'access_bill';
SELECT id, login, t, ts FROM account ORDER BY id;
UPDATE account a SET t = b.t FROM account b WHERE b.login = 'bob' AND a.login = 'ann';

--
-- Changing whose a row is: needs the right to open what it holds.
--
RESET ROLE;
CREATE TABLE orders (id int PRIMARY KEY, person_id int REFERENCES person, bill purpose.sealed_text(access_bill), mail purpose.sealed_text(access_mail));
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders ON UPDATE CASCADE, t purpose.sealed_text(access_bill));
SELECT purpose.protect('orders', subject => 'person_id');
SELECT purpose.protect('items', via => 'order_id');
GRANT ALL ON orders, items TO PUBLIC;
SET ROLE regress_purpose_access_app;
INSERT INTO orders VALUES (10, 1, 'order of 1', 'mail of 1'), (20, 2, 'order of 2', NULL), (30, NULL, NULL, NULL), (40, 2, 'order of 2', 'mail of 2');
INSERT INTO items VALUES (100, 10, 'item of 1'), (200, 20, 'item of 2'), (300, 30, NULL);
SELECT o.id, o.bill, i.t FROM orders o LEFT JOIN items i ON i.order_id = o.id ORDER BY 1;
UPDATE orders SET person_id = 2 WHERE id = 10; -- mail cannot be opened for access_bill
UPDATE orders SET person_id = 1 WHERE id = 20;
UPDATE orders SET person_id = 2, mail = NULL WHERE id = 10;
UPDATE orders SET person_id = 1, mail = 'given anew' WHERE id = 40;
SET purpose.current = 'access_mail';
UPDATE orders SET person_id = 2 WHERE id = 40;
SET purpose.current = 'access_none';
UPDATE orders SET person_id = 1 WHERE id = 10;
UPDATE orders SET person_id = person_id + 0, bill = bill WHERE id = 10;
SET purpose.current = 'access_bill';
SELECT id, person_id, bill, mail::text IS NULL AS mail FROM orders ORDER BY id;
-- Their values are those of the new subject now.
RESET ROLE;
SET purpose.sealed_output = 'envelope';
SELECT o.id, n.subject FROM orders o JOIN purpose.subject_number n ON n.subject_table = 'person'::regclass
	AND n.number = (('x' || encode(substr(purpose.sealed_text_send(o.bill), 2 + 3, 5), 'hex'))::bit(40)::bigint)
ORDER BY 1;
-- A row that leads to its subject through another is not resealed with that:
-- its value goes on to be the former subject's until it is written again.
SELECT i.id, n.subject FROM items i JOIN purpose.subject_number n ON n.subject_table = 'person'::regclass
	AND n.number = (('x' || encode(substr(purpose.sealed_text_send(i.t), 2 + 3, 5), 'hex'))::bit(40)::bigint)
ORDER BY 1;
UPDATE items SET t = 'written again' WHERE id = 100;
SELECT i.id, n.subject FROM items i JOIN purpose.subject_number n ON n.subject_table = 'person'::regclass
	AND n.number = (('x' || encode(substr(purpose.sealed_text_send(i.t), 2 + 3, 5), 'hex'))::bit(40)::bigint)
WHERE i.id = 100;
RESET purpose.sealed_output;
SET ROLE regress_purpose_access_app;
-- Guest rows: nothing to seal for, until there is somebody.
INSERT INTO orders VALUES (50, NULL, 'whose?', NULL);
INSERT INTO items VALUES (400, 30, 'whose?'), (401, NULL, 'whose?');
INSERT INTO items VALUES (402, NULL, NULL);
UPDATE orders SET person_id = 3, bill = 'now of 3' WHERE id = 30;
INSERT INTO items VALUES (400, 30, 'of 3 too');
UPDATE orders SET person_id = NULL WHERE id = 30;
UPDATE orders SET person_id = NULL, bill = NULL WHERE id = 30;
SELECT id, t FROM items ORDER BY id;
-- A row's path to its subject: another order, another person.
INSERT INTO orders VALUES (60, 5, NULL, NULL);
SET purpose.current = 'access_none';
UPDATE items SET order_id = 60 WHERE id = 100;
SET purpose.current = 'access_bill';
UPDATE items SET order_id = 60 WHERE id = 100;
UPDATE items SET order_id = 999 WHERE id = 100;
SELECT id, order_id, t FROM items ORDER BY id;
RESET ROLE;
SET purpose.sealed_output = 'envelope';
SELECT i.id, n.subject FROM items i JOIN purpose.subject_number n ON n.subject_table = 'person'::regclass
	AND n.number = (('x' || encode(substr(purpose.sealed_text_send(i.t), 2 + 3, 5), 'hex'))::bit(40)::bigint)
WHERE i.id = 100;
RESET purpose.sealed_output;
SET ROLE regress_purpose_access_app;

--
-- purpose.seal() by hand.
--
SELECT purpose.seal('x', 'person', 3, 'for access_bill') || '!' AS opened;
SELECT purpose.seal('x', 'person', '3'::text, 'for access_bill') || '!' AS opened, purpose.seal(5::bigint, 'person', 3::bigint, 'for access_bill') + 1 AS int8,
	purpose.seal(1.5, 'person', ' 03 ', 'for access_bill') + 1 AS numeric, purpose.seal(true, 'person', 3, 'for access_bill') AND true AS bool, purpose.seal('{"a": 1}'::jsonb, 'person', 3, 'for access_bill') ->> 'a' AS jsonb,
	purpose.seal(date '2020-01-01', 'person', 3, 'for access_bill') + 1 AS date, host(purpose.seal(inet '10.0.0.1', 'person', 3, 'for access_bill')) AS inet;
SELECT purpose.seal(5, 'person', 3, 'for access_bill') + 1;
SELECT purpose.seal(NULL::text, 'person', 3, 'for access_bill') IS NULL AS "null";
SELECT purpose.seal('x', 'person', 'nobody', 'for access_bill');
SELECT purpose.seal('x', 'box', 3, 'for access_bill');
SELECT purpose.seal('x', 'orders', 3, 'for access_bill');
SELECT purpose.seal('x', 'person', 3, 'for access_bill else null');
SELECT purpose.seal('x', 'person', 3, '');
SELECT purpose.seal('x', 'no_such_table', 3, 'for access_bill');
INSERT INTO box (id, m) VALUES (20, purpose.seal('by hand', 'person', 3, 'for access_bill')) RETURNING m || '!' AS opened;
RESET ROLE;
REVOKE INSERT, UPDATE ON person FROM PUBLIC;
SET ROLE regress_purpose_access_other;
SELECT purpose.seal('x', 'person', 3, 'for access_bill');
RESET ROLE;
GRANT INSERT ON person TO PUBLIC;
SET ROLE regress_purpose_access_other;
SELECT purpose.seal('x', 'person', 3, 'for access_bill') IS NOT NULL AS sealed;
RESET ROLE;
GRANT ALL ON person TO PUBLIC;

--
-- Shredding: live, in one session.  Groups, transactions, readmission.
--
CREATE TABLE client (id int PRIMARY KEY, t purpose.sealed_text(access_bill), inv purpose.sealed_text(access_bill, 'group access_invoices'), a purpose.sealed_text(access_bill)[]);
SELECT purpose.protect('client', subject => 'id');
GRANT ALL ON client TO PUBLIC;
SET purpose.current = 'access_bill';
INSERT INTO client SELECT g, 't' || g, 'inv' || g, ARRAY['a' || g] FROM generate_series(1, 5) g;
CREATE TABLE client_copy AS SELECT * FROM client;
\set show 'SELECT id, t::text, inv::text, (a::text[])[1] AS a FROM client ORDER BY id'
-- Another group's value does not go into a column of this one.
UPDATE client SET inv = t WHERE id = 1;
UPDATE client SET t = inv WHERE id = 1;
UPDATE client SET inv = t::text WHERE id = 1 RETURNING inv;
UPDATE client SET inv = 'inv1' WHERE id = 1;
-- Rolled back, it never was.
BEGIN;
SELECT purpose.shred('client', 1) IS NOT NULL AS shredded;
:show;
ROLLBACK;
:show;
BEGIN;
SAVEPOINT s;
SELECT purpose.shred('client', 1) IS NOT NULL AS shredded;
SELECT t::text IS NULL AS closed FROM client WHERE id = 1;
ROLLBACK TO s;
SELECT t::text AS open FROM client WHERE id = 1;
SELECT purpose.shred('client', 1, '{access_invoices}') IS NOT NULL AS shredded;
RELEASE s;
COMMIT;
:show;
-- Another group of the same person still opens, is written, and dies by itself.
UPDATE client SET t = 'still' WHERE id = 1;
UPDATE client SET inv = 'not any more' WHERE id = 1;
SELECT purpose.shred('client', 1, '{access_invoices}') = (SELECT receipt_id FROM purpose.shred_receipts WHERE groups = '{access_invoices}') AS "same receipt";
SELECT purpose.shred('client', 1, '{default}') IS NOT NULL AS shredded;
:show;
-- A whole person, values everywhere.
SELECT purpose.shred('client', 2) IS NOT NULL AS shredded;
:show;
SELECT id, t::text FROM client_copy ORDER BY id;
UPDATE client SET t = 'again' WHERE id = 2;
INSERT INTO client_copy VALUES (2, purpose.seal('again', 'client', 2, 'for access_bill'));
SELECT purpose.shred('client', 2) = purpose.shred('client', 2, '{default,access_invoices}') AS "same receipt";
-- Its row stays as it is, and what is shown of it can be written back.
UPDATE client SET a = a, id = id WHERE id = 2;
SET purpose.sealed_output = 'envelope';
SELECT t AS dead FROM client WHERE id = 2 \gset
SELECT t AS alive FROM client WHERE id = 3 \gset
RESET purpose.sealed_output;
SET ROLE regress_purpose_access_app;
UPDATE client SET t = :'dead' WHERE id = 2;
UPDATE client SET a = ARRAY[:'dead'] WHERE id = 2; -- but not where it was not before
UPDATE client SET t = :'dead' WHERE id = 3;
UPDATE client SET t = :'alive' WHERE id = 2;
INSERT INTO client (id, t) VALUES (2, :'dead');
RESET ROLE;
UPDATE client SET t = NULL, inv = NULL, a = NULL WHERE id = 2;
-- Readmitted: new values live, old ones stay dead.
SELECT purpose.readmit('client', 3);
SELECT purpose.readmit('client', 2);
UPDATE client SET t = 'readmitted' WHERE id = 2;
:show;
SELECT id, t::text FROM client_copy ORDER BY id;
UPDATE client SET inv = (SELECT c.inv FROM client_copy c WHERE c.id = 2) WHERE id = 2;
SELECT t, inv::text IS NULL AS dead FROM client WHERE id = 2;
SELECT purpose.shred('client', 2) IS NOT NULL AS shredded;
:show;
SELECT purpose.readmit('client', 2);
-- Somebody who never had a value, and somebody who is not there.
SELECT purpose.shred('client', 99) IS NOT NULL AS shredded;
INSERT INTO client VALUES (99, 'too late');
-- What is asked for must be there.
SELECT purpose.shred('client', 4, '{access_nothing}');
SELECT purpose.shred('client', 4, '{}');
SELECT purpose.shred('client', 4, ARRAY[NULL]);
SELECT purpose.shred('client', NULL::text);
SELECT purpose.shred('client_copy', 4);
SELECT purpose.shred('client', 'x');
SET ROLE regress_purpose_access_app;
SELECT purpose.shred('client', 4);
SELECT purpose.readmit('client', 2);
SELECT * FROM purpose.shred_receipt;
RESET ROLE;
SELECT count(*) AS receipts, count(*) FILTER (WHERE groups IS NULL) AS whole, bool_and(requested_at IS NOT NULL AND requested_by IS NOT NULL) AS said
FROM purpose.shred_receipt r WHERE EXISTS (SELECT FROM purpose.subject_number n WHERE n.number = ANY (r.numbers) AND n.subject_table = 'client'::regclass)
	OR EXISTS (SELECT FROM purpose.retired_number n WHERE n.number = ANY (r.numbers) AND n.subject_table = 'client'::regclass);

--
-- Replication and replica role: values pass as they are.
--
SET session_replication_role = replica;
UPDATE client SET t = (SELECT c.t FROM client_copy c WHERE c.id = 4) WHERE id = 5;
INSERT INTO client VALUES (6, 'sealed all the same');
RESET session_replication_role;
SELECT id, t FROM client WHERE id > 4 ORDER BY id;

--
-- Errors name nobody and nothing.
--
\set VERBOSITY default
CREATE FUNCTION damage(v purpose.sealed_text, at int) RETURNS text LANGUAGE sql AS $$ SELECT left(e, at) || translate(substr(e, at + 1, 1), 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', 'BADCFEHGJILKNMPORQTSVUXWZYbadcfehgjilknmporqtsvuxwzy1032547698_-') || substr(e, at + 2) FROM format('%s', v) e $$;
SET purpose.sealed_output = 'envelope';
CREATE TABLE damaged (at int, outcome text);
DO $$
DECLARE
	e purpose.sealed_text;
	whole text;
	at int;
BEGIN
	SELECT t, t INTO e, whole FROM client WHERE id = 4;
	FOR at IN 10 .. length(format('%s', e)) - 1 LOOP
		DECLARE
			bad purpose.sealed_text;
		BEGIN
			bad := damage(e, at);
			INSERT INTO damaged VALUES (at, CASE bad::text WHEN whole THEN 'opens' ELSE coalesce('opens as ' || bad::text, 'closed') END);
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO damaged VALUES (at, SQLSTATE || ': ' || SQLERRM);
		END;
	END LOOP;
END $$;
-- (What claims to be a shredded subject's is closed, whatever it is.)
SELECT outcome, count(*) > 0 AS some FROM damaged WHERE outcome <> 'closed' GROUP BY 1 ORDER BY 1;
RESET purpose.sealed_output;

-- Leave nothing behind.
RESET purpose.current;
SET client_min_messages = warning;
DELETE FROM purpose.consent_state WHERE subject_table = 'person'::regclass;
DROP SCHEMA regress_purpose_access CASCADE;
SELECT count(purpose.drop_purpose(name)) FROM (SELECT name FROM purpose.purposes WHERE name LIKE 'access\_%' ORDER BY name DESC) p;
DROP OWNED BY regress_purpose_access_app;
DROP ROLE regress_purpose_access_app, regress_purpose_access_other, regress_purpose_access_bypass, regress_purpose_access_definer;
