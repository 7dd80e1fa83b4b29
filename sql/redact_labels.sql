--
-- What a label may give in the place of a redacted value.
--
CREATE ROLE regress_purpose_redact_labels_app;
CREATE ROLE regress_purpose_redact_labels_officer;
SELECT purpose.create_purpose(p, basis => 'contract') FROM unnest('{rlabels_bill,rlabels_ads,rlabels_stats}'::text[]) p;
SELECT purpose.grant_purpose(p, 'regress_purpose_redact_labels_app') FROM unnest('{rlabels_bill,rlabels_ads,rlabels_stats}'::text[]) p;
SELECT purpose.appoint_officer('regress_purpose_redact_labels_officer');
CREATE SCHEMA regress_purpose_redact_labels;
CREATE SCHEMA regress_purpose_redact_labels_own AUTHORIZATION regress_purpose_redact_labels_app;
GRANT CREATE, USAGE ON SCHEMA regress_purpose_redact_labels TO regress_purpose_redact_labels_officer;
GRANT USAGE ON SCHEMA regress_purpose_redact_labels TO PUBLIC;
SET search_path = regress_purpose_redact_labels;
CREATE TABLE people (id int PRIMARY KEY, name text, phone varchar(8), n int NOT NULL, born date, extra json);
INSERT INTO people VALUES (1, 'Ann', 'hidden1', 41, '1980-05-05', '{"a": 1}'), (2, 'Bob', NULL, 42, NULL, NULL);
GRANT ALL ON people TO PUBLIC;

-- Tells how SECURITY LABEL and label_column() take an expression for a column.
CREATE FUNCTION try(col text, expression text, OUT label text, OUT label_column text) LANGUAGE plpgsql AS $$
DECLARE
	clause text := format('for rlabels_bill else %L', expression);
BEGIN
	BEGIN
		EXECUTE format('SECURITY LABEL FOR purpose ON COLUMN regress_purpose_redact_labels.people.%I IS %L', col, clause);
		label := 'ok';
	EXCEPTION WHEN OTHERS THEN label := SQLSTATE;
	END;
	BEGIN
		PERFORM purpose.label_column('regress_purpose_redact_labels.people', col::name, clause);
		label_column := 'ok';
	EXCEPTION WHEN OTHERS THEN label_column := SQLSTATE;
	END;
	EXECUTE format('SECURITY LABEL FOR purpose ON COLUMN regress_purpose_redact_labels.people.%I IS NULL', col);
END $$;
SET client_min_messages = error;

-- Functions of a superuser's, of an officer's, of anybody's.
CREATE FUNCTION mask(t text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT left(t, 1) || '*' $$;
CREATE FUNCTION open_path(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT left(t, 1) || '*' $$;
CREATE FUNCTION bound_names(t text) RETURNS text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT left(t, 1) || '+'; END;
CREATE FUNCTION unstable(t text) RETURNS text LANGUAGE sql VOLATILE BEGIN ATOMIC SELECT 'x'; END;
CREATE FUNCTION many(t text) RETURNS SETOF text LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT 'x'; END;
CREATE FUNCTION today() RETURNS date LANGUAGE sql STABLE BEGIN ATOMIC SELECT date '2020-02-02'; END;
CREATE DOMAIN odd AS int CHECK (value % 2 = 1);
SET ROLE regress_purpose_redact_labels_officer;
CREATE FUNCTION officers(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN ''o''; END';
SET ROLE regress_purpose_redact_labels_app;
CREATE FUNCTION regress_purpose_redact_labels_own.anybodys(t text) RETURNS text LANGUAGE sql IMMUTABLE
	BEGIN ATOMIC SELECT t; END;
GRANT USAGE ON SCHEMA regress_purpose_redact_labels_own TO PUBLIC;
RESET ROLE;

SELECT col, expression, (try(col, expression)).* FROM (VALUES
	-- constants
	(1, 'phone', '''***'''), (2, 'phone', 'NULL'), (3, 'phone', '42'), (4, 'n', '-1'), (5, 'n', '''7'''), (6, 'n', 'true::int'),
	(7, 'n', '2.6'), (8, 'born', '''1970-01-01'''), (9, 'born', 'date ''1970-01-01'''), (10, 'extra', '''{}'''),
	-- calls
	(20, 'phone', 'left(value, 2)'), (21, 'phone', 'value || ''!'''), (22, 'phone', 'pg_catalog.repeat(''x'', pg_catalog.length(value))'),
	(23, 'n', 'value / 10 * 10'), (24, 'n', '(value)'), (25, 'born', 'date_trunc(''year'', value)'), (26, 'born', 'value - 4'),
	(27, 'phone', 'regress_purpose_redact_labels.mask(value)'), (28, 'phone', 'regress_purpose_redact_labels.bound_names(value)'),
	(29, 'phone', 'regress_purpose_redact_labels.officers(value)'), (30, 'born', 'regress_purpose_redact_labels.today()'),
	(31, 'phone', 'n''x'''), (32, 'phone', 'value::varchar(3)'), (33, 'n', 'length(value::text)'),
	-- of the right form, but cannot be used (now)
	(40, 'phone', 'mask(value)'), (41, 'phone', 'regress_purpose_redact_labels.nothing(value)'), (42, 'phone', 'nowhere.mask(value)'),
	(43, 'phone', 'regress_purpose_redact_labels.open_path(value)'), (44, 'phone', 'regress_purpose_redact_labels_own.anybodys(value)'),
	(45, 'phone', 'regress_purpose_redact_labels.unstable(value)'), (46, 'phone', 'random()::text'), (47, 'phone', 'regress_purpose_redact_labels.many(value)'),
	(48, 'n', '''x'''), (49, 'n', 'value::text'), (50, 'n', '(value::text)::int'), (51, 'n', 'value::regress_purpose_redact_labels.odd'),
	(52, 'phone', '''too long for it'''), (53, 'phone', 'max(value)'), (54, 'phone', 'value ->> ''a'''), (55, 'n', 'generate_series(1, value)'),
	(56, 'phone', '''x''::nothing'), (57, 'n', '1 / 0'), (58, 'phone', 'query_to_xml(value, true, true, '''')::text'),
	-- not of the form at all
	(60, 'phone', 'phone'), (61, 'phone', 'people.phone'), (62, 'phone', '(SELECT value)'), (63, 'phone', 'CASE WHEN true THEN value END'),
	(64, 'phone', 'coalesce(value, ''x'')'), (65, 'phone', 'value, ''x'''), (66, 'phone', '''x'' FROM people'), (67, 'phone', '''x''; DROP TABLE people'),
	(68, 'phone', ')'), (69, 'phone', 'value AS x'), (70, 'phone', '$1'), (71, 'phone', '*'), (72, 'phone', 'count(*)'),
	(73, 'phone', 'max(value) OVER ()'), (74, 'phone', 'ARRAY[value]'), (75, 'phone', 'ROW(value)'), (76, 'phone', 'current_user'),
	(77, 'phone', 'value IS NULL'), (78, 'phone', 'value = ANY (''{a}'')'), (79, 'phone', '''x'' -- comment'), (80, 'phone', 'f(VARIADIC value)'),
	(81, 'phone', 'upper(t => value)')
) v(no, col, expression) ORDER BY no;

-- The words.
\set VERBOSITY default
RESET client_min_messages;
SECURITY LABEL FOR purpose ON COLUMN people.phone IS 'for rlabels_bill else ''phone''';
SECURITY LABEL FOR purpose ON COLUMN people.phone IS 'for rlabels_bill else ''nowhere.mask(value)''';
SELECT purpose.label_column('people', 'phone', 'for rlabels_bill else ''nowhere.mask(value)''');
SELECT severity, object, problem FROM purpose.check() WHERE object LIKE '%people.phone';

-- Leave nothing behind.
SET client_min_messages = warning;
DROP SCHEMA regress_purpose_redact_labels, regress_purpose_redact_labels_own CASCADE;
SELECT purpose.drop_purpose(p) FROM unnest('{rlabels_bill,rlabels_ads,rlabels_stats}'::text[]) p;
DROP ROLE regress_purpose_redact_labels_app, regress_purpose_redact_labels_officer;
