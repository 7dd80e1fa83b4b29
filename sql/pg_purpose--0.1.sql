/*
 * pg_purpose--0.1.sql
 *		Full install script.
 *
 * Order: schema and tables; what C needs; purposes; labels; tables; consent;
 * observing and checking.  Each object has its COMMENT and its privileges
 * beside it.  Functions whose name starts with an underscore are internal.
 * Administrative functions are revoked from PUBLIC; being granted EXECUTE on
 * them is what makes a privacy officer.
 */
\echo Use "CREATE EXTENSION pg_purpose" to load this file. \quit

-- No error: a dump that is restored into a server without the library needs the
-- extension for the floors that close its tables.
DO $$
BEGIN
	IF current_setting('purpose.observe_max', true) IS NULL THEN
		RAISE WARNING 'pg_purpose is not loaded via "shared_preload_libraries", and guards nothing'
			USING HINT = 'Add pg_purpose to shared_preload_libraries, as its last entry, and restart the server.  Tables that are restored now stay closed, and their labels must be restored again.';
	END IF;
END $$;

CREATE SCHEMA purpose;
COMMENT ON SCHEMA purpose IS 'pg_purpose: purposes, labels, consent and what follows from them';
GRANT USAGE ON SCHEMA purpose TO PUBLIC;

-- ---------------------------------------------------------------------------
-- Tables
-- ---------------------------------------------------------------------------

CREATE TABLE purpose.purpose_catalog (
	name text COLLATE "C" PRIMARY KEY,
	basis text CHECK (basis IN ('consent', 'contract', 'legal_obligation',
								'vital_interests', 'public_task', 'legitimate_interests')),
	description text,
	requires_justification boolean,
	despite_restriction boolean,
	created_at timestamptz NOT NULL DEFAULT now(),
	CHECK (basis IS NOT NULL OR position('.' in name) > 0)
);
COMMENT ON TABLE purpose.purpose_catalog IS 'The closed vocabulary of purposes (GDPR Art. 5(1)(b)); NULLs inherit from the parent path';

CREATE TABLE purpose.purpose_grant (
	purpose text COLLATE "C" NOT NULL REFERENCES purpose.purpose_catalog ON DELETE CASCADE,
	role regrole NOT NULL,
	granted_by name NOT NULL,
	granted_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (purpose, role)
);
COMMENT ON TABLE purpose.purpose_grant IS 'Which roles may declare which purposes; role 0 (-) stands for PUBLIC';

CREATE TABLE purpose.consent_history (
	event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	subject_table regclass NOT NULL,
	subject text COLLATE "C" NOT NULL,
	purpose text COLLATE "C",
	state text NOT NULL CHECK (state IN ('given', 'refused', 'withdrawn', 'objected',
										 'objection_withdrawn', 'restricted', 'restriction_lifted')),
	at timestamptz NOT NULL,
	expires_at timestamptz,
	evidence jsonb,
	recorded_by name NOT NULL,
	CHECK ((purpose IS NULL) = (state IN ('restricted', 'restriction_lifted'))),
	CHECK (expires_at IS NULL OR state = 'given')
);
CREATE INDEX consent_history_subject_idx ON purpose.consent_history (subject_table, subject);
COMMENT ON TABLE purpose.consent_history IS 'Every consent event ever recorded (GDPR Art. 7(1)); append-only. purpose is NULL for restriction of processing, which concerns all';

CREATE TABLE purpose.consent_state (
	subject_table regclass NOT NULL,
	subject text COLLATE "C" NOT NULL,
	purpose text COLLATE "C" NOT NULL,
	state text NOT NULL CHECK (state IN ('given', 'refused', 'withdrawn', 'objected', 'restricted')),
	expires_at timestamptz,
	since timestamptz NOT NULL,
	event_id bigint NOT NULL,
	CONSTRAINT consent_state_pkey PRIMARY KEY (subject_table, subject, purpose),
	CHECK ((purpose = '') = (state = 'restricted'))
);
COMMENT ON TABLE purpose.consent_state IS 'The state in force for each subject and purpose; the empty purpose holds the restriction of processing (GDPR Art. 18)';

CREATE UNLOGGED TABLE purpose.consent_import (
	subject_table regclass NOT NULL,
	subject text NOT NULL,
	purpose text NOT NULL,
	state text NOT NULL DEFAULT 'given',
	at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz,
	evidence jsonb
);
COMMENT ON TABLE purpose.consent_import IS 'COPY or INSERT consents into this table to record them in bulk; it stays empty';

-- Dropped relations and roles would be dumped as numbers, which could hit a
-- stranger in the restored database: these rows stay behind.
SELECT pg_catalog.pg_extension_config_dump('purpose.purpose_catalog', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.purpose_grant',
	'WHERE role::oid = 0 OR role::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
SELECT pg_catalog.pg_extension_config_dump('purpose.consent_history',
	'WHERE subject_table::oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('purpose.consent_history_event_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.consent_state',
	'WHERE subject_table::oid IN (SELECT oid FROM pg_catalog.pg_class)');

-- ---------------------------------------------------------------------------
-- What C needs and offers
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._loaded() RETURNS boolean
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_loaded';
COMMENT ON FUNCTION purpose._loaded() IS 'Is the library preloaded?';

CREATE FUNCTION purpose._unbound() RETURNS boolean
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_unbound';
COMMENT ON FUNCTION purpose._unbound() IS 'Is the session, or the query, free from judgement? The row rule of tables that lead to their subject asks this';

CREATE FUNCTION purpose._loaded(relation regclass) RETURNS boolean
LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_loaded_for';
COMMENT ON FUNCTION purpose._loaded(regclass) IS 'Is the library preloaded, and is anything declared about the table? Its closed floor asks this';

CREATE FUNCTION purpose._visible(relation oid, VARIADIC key "any") RETURNS boolean
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 10
AS 'MODULE_PATHNAME', 'purpose_visible';
COMMENT ON FUNCTION purpose._visible(oid, "any") IS 'The row rule that the planner puts into queries. Errors PU001 to PU004, PU006';

CREATE FUNCTION purpose._visible(relation oid) RETURNS boolean
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_visible';
COMMENT ON FUNCTION purpose._visible(oid) IS 'The same for a row that leads to no subject: its parent is not there';

CREATE FUNCTION purpose._statistic_visible(relation oid, attnum int2) RETURNS boolean
LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_statistic_visible';
COMMENT ON FUNCTION purpose._statistic_visible(oid, int2) IS 'The row rule of pg_statistic';

CREATE FUNCTION purpose._statistic_visible(statistics oid) RETURNS boolean
LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_ext_statistic_visible';
COMMENT ON FUNCTION purpose._statistic_visible(oid) IS 'The row rule of pg_statistic_ext_data';

CREATE FUNCTION purpose._acting_role() RETURNS oid
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_acting_role';
COMMENT ON FUNCTION purpose._acting_role() IS 'The login role or what SET ROLE made of it, never the owner of a SECURITY DEFINER function';

CREATE FUNCTION purpose._now() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_now';
COMMENT ON FUNCTION purpose._now() IS 'The time that decisions are made by';

CREATE FUNCTION purpose._set_label(relation regclass, "column" name, label text) RETURNS void
LANGUAGE c CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'purpose_set_label';
COMMENT ON FUNCTION purpose._set_label(regclass, name, text) IS 'Sets or clears (NULL) the label of a column, or of the table where column is NULL';
REVOKE ALL ON FUNCTION purpose._set_label(regclass, name, text) FROM PUBLIC;

CREATE FUNCTION purpose._parse_label(label text, OUT canonical text, OUT allowed text[],
	OUT prohibited text[], OUT otherwise text, OUT category text, OUT source text, OUT keep text)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_parse_label';
COMMENT ON FUNCTION purpose._parse_label(text) IS 'Takes a label apart. Error PU008';

CREATE FUNCTION purpose._parse_declaration(label text, OUT kind text, OUT columns text[],
	OUT target_schema text, OUT target_table text, OUT target_columns text[], OUT mode text)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_parse_declaration';
COMMENT ON FUNCTION purpose._parse_declaration(text) IS 'Takes the label of a table apart. Error PU008';

CREATE FUNCTION purpose._protection(relation oid, OUT labelled boolean, OUT protected boolean,
	OUT mode text, OUT subject_table oid, OUT hops int, OUT problem text)
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'purpose_protection';
COMMENT ON FUNCTION purpose._protection(oid) IS 'What is in force for a relation, inherited declarations included; NULLs when nothing is';

CREATE FUNCTION purpose._column_labels(relation oid, OUT attnum int2, OUT label text, OUT broken boolean)
RETURNS SETOF record
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'purpose_column_labels';
COMMENT ON FUNCTION purpose._column_labels(oid) IS 'Every label that counts for the columns of a relation, those of ancestors and domains included';

CREATE FUNCTION purpose._subject_key(subject_table regclass, subject text) RETURNS text
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'purpose_subject_key';
COMMENT ON FUNCTION purpose._subject_key(regclass, text) IS 'The canonical text of a subject''s key. Error PU006 if the table is no subject table';

CREATE FUNCTION purpose._valid_name(name text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_name_is_valid';
COMMENT ON FUNCTION purpose._valid_name(text) IS 'Has the text the form of a purpose?';

CREATE FUNCTION purpose._decide(role oid, purpose text, justification text, label text,
	consent text, restricted boolean, mode text,
	OUT verdict text, OUT reason text, OUT observed boolean)
LANGUAGE c STABLE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'purpose_decide';
COMMENT ON FUNCTION purpose._decide(oid, text, text, text, text, boolean, text) IS 'The decision on given facts; role 0 stands for any bound role that holds the purpose';
REVOKE ALL ON FUNCTION purpose._decide(oid, text, text, text, text, boolean, text) FROM PUBLIC;

CREATE FUNCTION purpose._declarations_changed() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'purpose_declarations_changed';
COMMENT ON FUNCTION purpose._declarations_changed() IS 'Tells every backend that purposes or grants changed';
REVOKE ALL ON FUNCTION purpose._declarations_changed() FROM PUBLIC;

-- By row: logical replication fires no others.
CREATE TRIGGER declarations_changed AFTER INSERT OR UPDATE OR DELETE
	ON purpose.purpose_catalog FOR EACH ROW EXECUTE FUNCTION purpose._declarations_changed();
ALTER TABLE purpose.purpose_catalog ENABLE ALWAYS TRIGGER declarations_changed;
CREATE TRIGGER declarations_gone AFTER TRUNCATE
	ON purpose.purpose_catalog FOR EACH STATEMENT EXECUTE FUNCTION purpose._declarations_changed();
ALTER TABLE purpose.purpose_catalog ENABLE ALWAYS TRIGGER declarations_gone;
CREATE TRIGGER declarations_changed AFTER INSERT OR UPDATE OR DELETE
	ON purpose.purpose_grant FOR EACH ROW EXECUTE FUNCTION purpose._declarations_changed();
ALTER TABLE purpose.purpose_grant ENABLE ALWAYS TRIGGER declarations_changed;
CREATE TRIGGER declarations_gone AFTER TRUNCATE
	ON purpose.purpose_grant FOR EACH STATEMENT EXECUTE FUNCTION purpose._declarations_changed();
ALTER TABLE purpose.purpose_grant ENABLE ALWAYS TRIGGER declarations_gone;

CREATE FUNCTION purpose._acting_role_name() RETURNS name
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT rolname FROM pg_catalog.pg_roles WHERE oid = purpose._acting_role() $$;
COMMENT ON FUNCTION purpose._acting_role_name() IS 'Name of the acting role, for the record';

-- ---------------------------------------------------------------------------
-- Purposes
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose.current_purpose() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'purpose_current_purpose';
COMMENT ON FUNCTION purpose.current_purpose() IS 'The purpose that the session declared with SET purpose.current; NULL if none';

CREATE VIEW purpose.purposes AS
	WITH RECURSIVE tree AS (
		SELECT name, NULL::text COLLATE "C" AS parent, basis, description,
			   coalesce(requires_justification, false) AS requires_justification,
			   coalesce(despite_restriction, false) AS despite_restriction
		FROM purpose.purpose_catalog WHERE position('.' in name) = 0
		UNION ALL
		SELECT c.name, t.name, coalesce(c.basis, t.basis), coalesce(c.description, t.description),
			   coalesce(c.requires_justification, false) OR t.requires_justification,
			   coalesce(c.despite_restriction, false) OR t.despite_restriction
		FROM tree t JOIN purpose.purpose_catalog c
			ON regexp_replace(c.name, '\.[^.]*$', '') = t.name AND c.name <> t.name
	)
	SELECT name, parent, basis,
		   CASE WHEN basis = 'consent' THEN 'opt_in'
				WHEN basis IN ('public_task', 'legitimate_interests') THEN 'opt_out'
				ELSE 'not_applicable' END AS consent_model,
		   description, requires_justification, despite_restriction,
		   ARRAY(SELECT CASE WHEN g.role = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.role) END::text
				 FROM purpose.purpose_grant g
				 WHERE g.purpose = tree.name
				 AND (g.role = 0 OR g.role::oid IN (SELECT oid FROM pg_catalog.pg_roles)) ORDER BY 1) AS granted_to
	FROM tree ORDER BY name;
COMMENT ON VIEW purpose.purposes IS 'The vocabulary with what is inherited filled in; consent_model tells what the basis asks of the person (GDPR Art. 7, 21)';
GRANT SELECT ON purpose.purposes TO PUBLIC;

CREATE FUNCTION purpose._require_purpose(name text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF name IS NULL OR NOT EXISTS (SELECT FROM purpose.purpose_catalog c WHERE c.name = _require_purpose.name) THEN
		RAISE EXCEPTION 'purpose "%" does not exist', name
			USING ERRCODE = 'PU002', HINT = 'SELECT name, description FROM purpose.purposes lists the purposes.';
	END IF;
END $$;
COMMENT ON FUNCTION purpose._require_purpose(text) IS 'Raises PU002 if the purpose does not exist';

CREATE FUNCTION purpose.create_purpose(name text, basis text DEFAULT NULL, description text DEFAULT NULL,
	requires_justification boolean DEFAULT NULL, despite_restriction boolean DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	parent text := nullif(regexp_replace(name, '\.[^.]*$', ''), name);
BEGIN
	IF name IS NULL OR NOT purpose._valid_name(name)
	   OR split_part(name, '.', 1) IN ('for', 'never', 'else', 'category', 'source', 'keep', 'group', 'pad') THEN
		RAISE EXCEPTION 'invalid purpose name "%"', name
			USING ERRCODE = '42602',
				  HINT = 'A purpose is a path such as marketing.email: labels of letters, digits, _ and -, joined by dots, at most 127 bytes, not starting with a keyword of the label grammar.';
	END IF;
	IF parent IS NOT NULL AND NOT EXISTS (SELECT FROM purpose.purpose_catalog c WHERE c.name = parent) THEN
		RAISE EXCEPTION 'parent purpose "%" does not exist', parent
			USING ERRCODE = 'PU002', HINT = 'Create it first.';
	END IF;
	IF parent IS NULL AND basis IS NULL THEN
		RAISE EXCEPTION 'purpose "%" needs a legal basis', name
			USING ERRCODE = '22023',
				  HINT = 'One of consent, contract, legal_obligation, vital_interests, public_task, legitimate_interests (GDPR Art. 6(1)).';
	END IF;
	PERFORM purpose._require_basis(basis);
	INSERT INTO purpose.purpose_catalog (name, basis, description, requires_justification, despite_restriction)
		VALUES (name, basis, description, requires_justification, despite_restriction)
		ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'purpose "%" already exists', name
			USING ERRCODE = '42710', HINT = 'purpose.alter_purpose() changes it.';
	END IF;
END $$;

CREATE FUNCTION purpose._require_basis(basis text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF basis NOT IN ('consent', 'contract', 'legal_obligation', 'vital_interests', 'public_task', 'legitimate_interests') THEN
		RAISE EXCEPTION '"%" is not a legal basis', basis
			USING ERRCODE = '22023',
				  HINT = 'One of consent, contract, legal_obligation, vital_interests, public_task, legitimate_interests (GDPR Art. 6(1)).';
	END IF;
END $$;
COMMENT ON FUNCTION purpose._require_basis(text) IS 'Raises 22023 unless basis is one of GDPR Art. 6(1), or NULL';
COMMENT ON FUNCTION purpose.create_purpose(text, text, text, boolean, boolean) IS 'Adds a purpose. A sub-purpose inherits what it does not say. despite_restriction: it serves a ground of GDPR Art. 18(2) and may use restricted data. Errors 42602, 42710, 22023, PU002';
REVOKE ALL ON FUNCTION purpose.create_purpose(text, text, text, boolean, boolean) FROM PUBLIC;

CREATE FUNCTION purpose.alter_purpose(name text, basis text DEFAULT NULL, description text DEFAULT NULL,
	requires_justification boolean DEFAULT NULL, despite_restriction boolean DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	PERFORM purpose._require_purpose(name);
	PERFORM purpose._require_basis(basis);
	UPDATE purpose.purpose_catalog c
		SET basis = coalesce(alter_purpose.basis, c.basis),
			description = coalesce(alter_purpose.description, c.description),
			requires_justification = coalesce(alter_purpose.requires_justification, c.requires_justification),
			despite_restriction = coalesce(alter_purpose.despite_restriction, c.despite_restriction)
		WHERE c.name = alter_purpose.name;
END $$;
COMMENT ON FUNCTION purpose.alter_purpose(text, text, text, boolean, boolean) IS 'Changes what is given, keeps what is NULL. Errors 22023, PU002';
REVOKE ALL ON FUNCTION purpose.alter_purpose(text, text, text, boolean, boolean) FROM PUBLIC;

CREATE VIEW purpose._labels AS
	SELECT s.objoid::regclass AS relation, a.attname AS "column", NULL::regtype AS domain, s.label
	FROM pg_catalog.pg_seclabel s
	JOIN pg_catalog.pg_attribute a ON a.attrelid = s.objoid AND a.attnum = s.objsubid
	WHERE s.provider = 'purpose' AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid > 0
	UNION ALL
	SELECT NULL, NULL, s.objoid::regtype, s.label
	FROM pg_catalog.pg_seclabel s
	WHERE s.provider = 'purpose' AND s.classoid = 'pg_catalog.pg_type'::regclass;
COMMENT ON VIEW purpose._labels IS 'Labels as they were set, on columns and on domains';

CREATE FUNCTION purpose.drop_purpose(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	used text;
BEGIN
	PERFORM purpose._require_purpose(name);
	SELECT CASE WHEN l.domain IS NULL THEN format('column %I of %s', l."column", l.relation)
				ELSE format('domain %s', l.domain) END INTO used
		FROM purpose._labels l, purpose._parse_label(l.label) p
		WHERE drop_purpose.name = ANY (p.allowed || p.prohibited) LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'purpose "%" is used by the label of %', name, used
			USING ERRCODE = 'PU010', HINT = 'Change the label first with purpose.label_column().';
	END IF;
	IF EXISTS (SELECT FROM purpose.purpose_catalog c WHERE starts_with(c.name, drop_purpose.name || '.')) THEN
		RAISE EXCEPTION 'purpose "%" has sub-purposes', name
			USING ERRCODE = 'PU010', HINT = 'Drop these first.';
	END IF;
	DELETE FROM purpose.purpose_catalog c WHERE c.name = drop_purpose.name;
END $$;
COMMENT ON FUNCTION purpose.drop_purpose(text) IS 'Removes a purpose and the grants of it; the history of consents stays. Error PU010 while a label or a sub-purpose uses it, PU002';
REVOKE ALL ON FUNCTION purpose.drop_purpose(text) FROM PUBLIC;

CREATE FUNCTION purpose._role_oid(role text) RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	result oid;
BEGIN
	IF lower(role) = 'public' THEN
		RETURN 0;
	END IF;
	SELECT oid INTO result FROM pg_roles WHERE rolname = role;
	IF NOT found THEN
		RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = '42704';
	END IF;
	RETURN result;
END $$;
COMMENT ON FUNCTION purpose._role_oid(text) IS 'OID of a role, 0 for PUBLIC. Error 42704';

CREATE FUNCTION purpose.grant_purpose(purpose text, role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	PERFORM purpose._require_purpose(purpose);
	INSERT INTO purpose.purpose_grant (purpose, role, granted_by)
		VALUES (grant_purpose.purpose, purpose._role_oid(grant_purpose.role), purpose._acting_role_name())
		ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION purpose.grant_purpose(text, text) IS 'Lets a role (or PUBLIC) declare a purpose and its sub-purposes. Errors PU002, 42704';
REVOKE ALL ON FUNCTION purpose.grant_purpose(text, text) FROM PUBLIC;

CREATE FUNCTION purpose.revoke_purpose(purpose text, role text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	PERFORM purpose._require_purpose(purpose);
	DELETE FROM purpose.purpose_grant g
		WHERE g.purpose = revoke_purpose.purpose AND g.role = purpose._role_oid(revoke_purpose.role);
	IF NOT found THEN
		RAISE WARNING 'purpose "%" was not granted to role "%"', purpose, role;
	END IF;
END $$;
COMMENT ON FUNCTION purpose.revoke_purpose(text, text) IS 'Takes the right to declare a purpose back; running sessions lose it with their next statement. Errors PU002, 42704';
REVOKE ALL ON FUNCTION purpose.revoke_purpose(text, text) FROM PUBLIC;

-- ---------------------------------------------------------------------------
-- Labels
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose.label_column(relation regclass, "column" name, label text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	p record;
	unknown text;
BEGIN
	IF relation IS NULL OR "column" IS NULL THEN
		RAISE EXCEPTION 'a relation and a column must be given' USING ERRCODE = '22004';
	END IF;
	IF label IS NOT NULL THEN
		p := purpose._parse_label(label);
		SELECT u INTO unknown FROM unnest(p.allowed || p.prohibited) u
			WHERE NOT EXISTS (SELECT FROM purpose.purpose_catalog c WHERE c.name = u) LIMIT 1;
		IF found THEN
			RAISE EXCEPTION 'the label names purpose "%", which does not exist', unknown
				USING ERRCODE = 'PU002', HINT = 'SELECT name, description FROM purpose.purposes lists the purposes.';
		END IF;
		label := p.canonical;
	END IF;
	PERFORM purpose._set_label(relation, "column", label);
	PERFORM purpose._floor_sync_tree(relation);
END $$;
COMMENT ON FUNCTION purpose.label_column(regclass, name, text) IS 'Labels a column with what its data may be used for, or takes the label away (NULL). Unlike SECURITY LABEL it needs no ownership and refuses unknown purposes. Errors PU002, PU008, 42703. EXECUTE on this function makes a privacy officer';
REVOKE ALL ON FUNCTION purpose.label_column(regclass, name, text) FROM PUBLIC;

CREATE VIEW purpose.labels AS
	SELECT l.relation, l."column", l.domain, p.allowed, p.prohibited, p.otherwise AS "else",
		   p.category, p.source, p.keep, l.label
	FROM purpose._labels l, purpose._parse_label(l.label) p;
COMMENT ON VIEW purpose.labels IS 'Labels of columns and domains, taken apart';
GRANT SELECT ON purpose.labels TO PUBLIC;

-- ---------------------------------------------------------------------------
-- The closed floor
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._floor_sync(relation regclass, force boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	c pg_class;
	state record := purpose._protection(relation);
	existing record;
	foreign_policies boolean;
	floor_wanted boolean;
BEGIN
	SELECT * INTO c FROM pg_class WHERE oid = relation;
	IF NOT found OR c.relkind NOT IN ('r', 'p') THEN
		RETURN;
	END IF;
	floor_wanted := state.mode = 'enforce';
	SELECT polname, polpermissive INTO existing FROM pg_policy
		WHERE polrelid = relation AND polname IN ('purpose_floor', 'purpose_floor_woken')
		AND pg_get_expr(polqual, polrelid) LIKE '%purpose.\_loaded(%';
	IF found AND coalesce(floor_wanted, false) THEN
		IF NOT c.relrowsecurity THEN
			EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
		END IF;
	ELSIF found THEN
		EXECUTE format('DROP POLICY %I ON %s', existing.polname, relation);
		IF existing.polpermissive OR existing.polname = 'purpose_floor_woken' THEN
			EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', relation);
		END IF;
	ELSIF coalesce(floor_wanted, false) THEN
		-- A policy that took our name before we came.
		EXECUTE (SELECT coalesce(string_agg(format('DROP POLICY %I ON %s', polname, relation), '; '), 'SELECT 1')
				 FROM pg_policy WHERE polrelid = relation AND polname IN ('purpose_floor', 'purpose_floor_woken'));
		foreign_policies := EXISTS (SELECT FROM pg_policy WHERE polrelid = relation);
		IF c.relrowsecurity THEN
			EXECUTE format('CREATE POLICY purpose_floor ON %s AS RESTRICTIVE USING (purpose._loaded(%L::regclass)) WITH CHECK (true)', relation, relation);
		ELSIF foreign_policies AND NOT force THEN
			RAISE WARNING 'table % has policies that are switched off, and gets no closed floor', relation
				USING HINT = 'Drop them, or switch them on with purpose.protect(..., force => true).';
		ELSIF foreign_policies THEN
			EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
			EXECUTE format('CREATE POLICY purpose_floor_woken ON %s AS RESTRICTIVE USING (purpose._loaded(%L::regclass)) WITH CHECK (true)', relation, relation);
		ELSE
			EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
			EXECUTE format('CREATE POLICY purpose_floor ON %s AS PERMISSIVE USING (purpose._loaded(%L::regclass)) WITH CHECK (true)', relation, relation);
		END IF;
	END IF;
END $$;
COMMENT ON FUNCTION purpose._floor_sync(regclass, boolean) IS 'Gives a table the floor that its declarations ask for, or takes it away and puts row-level security back as it was';
REVOKE ALL ON FUNCTION purpose._floor_sync(regclass, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._tree(relation regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE tree AS (
		SELECT relation::oid AS oid
		UNION
		SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid
	)
	SELECT oid::regclass FROM tree
$$;
COMMENT ON FUNCTION purpose._tree(regclass) IS 'A table and everything that inherits from it';

CREATE FUNCTION purpose._floor_sync_tree(relation regclass, force boolean DEFAULT false) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE up AS (
		SELECT relation::oid AS oid
		UNION
		SELECT i.inhparent FROM pg_inherits i JOIN up ON i.inhrelid = up.oid
	)
	SELECT purpose._floor_sync(t, force)
	FROM (SELECT t FROM purpose._tree(relation) t UNION SELECT oid FROM up) s(t)
$$;
COMMENT ON FUNCTION purpose._floor_sync_tree(regclass, boolean) IS '_floor_sync for a table, everything that inherits from it, and everything that it inherits from';
REVOKE ALL ON FUNCTION purpose._floor_sync_tree(regclass, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._floor_restrict(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF EXISTS (SELECT FROM pg_policy WHERE polrelid = relation AND polname = 'purpose_floor' AND polpermissive) THEN
		EXECUTE format('DROP POLICY purpose_floor ON %s', relation);
		EXECUTE format('CREATE POLICY purpose_floor ON %s AS RESTRICTIVE USING (purpose._loaded(%L::regclass)) WITH CHECK (true)', relation, relation);
	END IF;
END $$;
COMMENT ON FUNCTION purpose._floor_restrict(regclass) IS 'Makes a permissive floor restrictive: the table has policies of its own by now, and they count';
REVOKE ALL ON FUNCTION purpose._floor_restrict(regclass) FROM PUBLIC;

-- ---------------------------------------------------------------------------
-- Protected tables
-- ---------------------------------------------------------------------------

CREATE VIEW purpose._declared_tables AS
	SELECT s.objoid::regclass AS relation, s.label, d.kind, d.columns, d.target_columns, d.mode,
		   CASE WHEN d.target_table IS NOT NULL
				THEN to_regclass(format('%I.%I', d.target_schema, d.target_table)) END AS target
	FROM pg_catalog.pg_seclabel s, purpose._parse_declaration(s.label) d
	WHERE s.provider = 'purpose' AND s.classoid = 'pg_catalog.pg_class'::regclass AND s.objsubid = 0;
COMMENT ON VIEW purpose._declared_tables IS 'The labels of protected tables, taken apart';

CREATE VIEW purpose.protected_tables AS
	SELECT d.relation, d.mode,
		   CASE WHEN d.kind = 'via' THEN 'via' WHEN d.target IS NULL THEN 'subject table' ELSE 'subject' END AS kind,
		   d.columns AS key_columns,
		   p.subject_table::regclass AS subject_table,
		   d.target AS leads_to, p.problem
	FROM purpose._declared_tables d, purpose._protection(d.relation) p
	ORDER BY d.relation::text;
COMMENT ON VIEW purpose.protected_tables IS 'Tables whose rows are judged by their data subject''s consent, and how each row leads to its subject';
GRANT SELECT ON purpose.protected_tables TO PUBLIC;

CREATE FUNCTION purpose._names(list text) RETURNS text[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	-- In the place where a declaration takes columns and nothing else.
	SELECT (purpose._parse_declaration(format('via %s to a.b (%s)', list, list))).columns
$$;
COMMENT ON FUNCTION purpose._names(text) IS 'Takes a list of column names apart. Error PU008';

CREATE FUNCTION purpose._key_class(relation regclass, attnums int2[]) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(CASE
			WHEN co.collisdeterministic IS FALSE THEN NULL
			WHEN t.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'integer'
			WHEN t.oid = 'uuid'::regtype THEN 'uuid'
			WHEN t.oid IN ('text'::regtype, 'varchar'::regtype) THEN 'text' END
		ORDER BY k.ord)
	FROM unnest(attnums) WITH ORDINALITY k(num, ord)
	JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.num
	JOIN pg_type t ON t.oid = CASE (SELECT b.typtype FROM pg_type b WHERE b.oid = a.atttypid) WHEN 'd' THEN (WITH RECURSIVE base AS (SELECT a.atttypid AS oid UNION ALL SELECT d.typbasetype FROM base JOIN pg_type d ON d.oid = base.oid WHERE d.typtype = 'd') SELECT base.oid FROM base JOIN pg_type e ON e.oid = base.oid WHERE e.typtype <> 'd') ELSE a.atttypid END
	LEFT JOIN pg_collation co ON co.oid = a.attcollation
$$;
COMMENT ON FUNCTION purpose._key_class(regclass, int2[]) IS 'Which keys print alike: integer, uuid or text; NULL for types that cannot be subject keys';

CREATE FUNCTION purpose._attnums(relation regclass, columns text[]) RETURNS int2[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	result int2[] := '{}';
	col text;
	num int2;
BEGIN
	FOREACH col IN ARRAY columns LOOP
		SELECT attnum INTO num FROM pg_attribute
			WHERE attrelid = relation AND attname = col AND attnum > 0 AND NOT attisdropped;
		IF NOT found THEN
			RAISE EXCEPTION 'column "%" of relation % does not exist', col, relation USING ERRCODE = '42703';
		END IF;
		result := result || num;
	END LOOP;
	RETURN result;
END $$;
COMMENT ON FUNCTION purpose._attnums(regclass, text[]) IS 'Attribute numbers of columns. Error 42703';

CREATE FUNCTION purpose._column_list(relation regclass, attnums int2[]) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.ord)
	FROM unnest(attnums) WITH ORDINALITY k(num, ord)
	JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.num
$$;
COMMENT ON FUNCTION purpose._column_list(regclass, int2[]) IS 'Names of columns, as a label writes them';

CREATE FUNCTION purpose._qualified(relation regclass) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%I.%I', n.nspname, c.relname)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;
COMMENT ON FUNCTION purpose._qualified(regclass) IS 'A table''s name with its schema';

CREATE FUNCTION purpose._subject_declaration(relation regclass, subject text, subject_of regclass) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	keys int2[] := purpose._attnums(relation, purpose._names(subject));
	target regclass := subject_of;
	target_keys int2[];
	ordered int2[];
BEGIN
	IF array_position(purpose._key_class(relation, keys), NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'a subject key cannot be of such a type: %', purpose._column_list(relation, keys)
			USING ERRCODE = '42804', HINT = 'Subject keys are smallint, integer, bigint, uuid, text or varchar with a deterministic collation, or several such columns.';
	END IF;
	IF target IS NULL THEN
		-- The foreign key says whose, in whatever order it names the columns.
		SELECT con.confrelid::regclass, o.columns INTO target, ordered
			FROM pg_constraint con JOIN purpose._declared_tables d
				ON d.relation = con.confrelid AND d.kind = 'subject' AND d.target IS NULL
			CROSS JOIN LATERAL (
				SELECT array_agg(con.conkey[array_position(con.confkey, k.num)] ORDER BY k.ord) AS columns
				FROM unnest(purpose._attnums(con.confrelid, d.columns)) WITH ORDINALITY k(num, ord)) o
			WHERE con.contype = 'f' AND con.conrelid = relation
			AND con.conkey @> keys AND con.conkey <@ keys AND o.columns @> keys AND o.columns <@ keys
			ORDER BY con.oid LIMIT 1;
		keys := coalesce(ordered, keys);
	END IF;
	IF target = relation THEN
		target := NULL;
	END IF;
	IF target IS NOT NULL THEN
		SELECT purpose._attnums(target, d.columns) INTO target_keys FROM purpose._declared_tables d
			WHERE d.relation = target AND d.kind = 'subject' AND d.target IS NULL;
		IF NOT found OR cardinality(target_keys) <> cardinality(keys) THEN
			RAISE EXCEPTION '% is not a subject table with a key of % columns', target, cardinality(keys)
				USING ERRCODE = 'PU006',
					  HINT = format('Declare it first: SELECT purpose.protect(%L, subject => ''<its key>'').', target);
		END IF;
		IF purpose._key_class(relation, keys) <> purpose._key_class(target, target_keys) THEN
			RAISE EXCEPTION 'the columns (%) of % do not match the key of % in type', purpose._column_list(relation, keys), relation, target
				USING ERRCODE = '42804', HINT = 'Both must be integers, both uuid, or both text, so that the same subject prints alike.';
		END IF;
		RETURN format('subject %s of %s', purpose._column_list(relation, keys), purpose._qualified(target));
	END IF;
	IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = relation AND indisunique AND indpred IS NULL
				   AND indkey::int2[] <@ keys AND indnkeyatts = cardinality(keys)) THEN
		RAISE EXCEPTION 'column(s) % of % neither are a unique key nor refer to a subject table', purpose._column_list(relation, keys), relation
			USING ERRCODE = 'PU006',
				  HINT = 'Protect the subject table first, or name it with of => ''...'', or follow a foreign key with via => ''...''.';
	END IF;
	RETURN format('subject %s', purpose._column_list(relation, keys));
END $$;
COMMENT ON FUNCTION purpose._subject_declaration(regclass, text, regclass) IS 'The label text for protect(subject => ...). Errors PU006, 42703, 42804';

CREATE FUNCTION purpose._via_declaration(relation regclass, via text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	keys int2[] := purpose._attnums(relation, purpose._names(via));
	con record;
BEGIN
	SELECT c.* INTO con FROM pg_constraint c
		WHERE c.contype = 'f' AND c.conrelid = relation AND c.conkey @> keys
		ORDER BY cardinality(c.conkey), c.oid LIMIT 1;
	IF NOT found THEN
		RAISE EXCEPTION 'no foreign key of % starts at column(s) %', relation, purpose._column_list(relation, keys)
			USING ERRCODE = 'PU006', HINT = 'via => follows a foreign key to a protected table.';
	END IF;
	IF con.confrelid = relation::oid THEN
		RAISE EXCEPTION '% leads to itself', relation
			USING ERRCODE = 'PU006', HINT = 'via => follows a foreign key to another table.';
	END IF;
	IF (purpose._protection(con.confrelid)).protected IS NOT TRUE THEN
		RAISE EXCEPTION '% leads to %, which is not protected', relation, con.confrelid::regclass
			USING ERRCODE = 'PU006', HINT = 'Protect that table first.';
	END IF;
	RETURN format('via %s to %s (%s)', purpose._column_list(relation, con.conkey),
				  purpose._qualified(con.confrelid), purpose._column_list(con.confrelid, con.confkey));
END $$;
COMMENT ON FUNCTION purpose._via_declaration(regclass, text) IS 'The label text for protect(via => ...). Errors PU006, 42703';

CREATE FUNCTION purpose._require_same_subject(relation regclass, old text, new text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	dependent regclass;
BEGIN
	IF old IS NULL OR regexp_replace(old, ' mode [a-z]+$', '') = new
	   OR (purpose._parse_declaration(old)).kind <> 'subject' OR (purpose._parse_declaration(old)).target_table IS NOT NULL THEN
		RETURN;
	END IF;
	SELECT d.relation INTO dependent FROM purpose._declared_tables d
		WHERE d.target = _require_same_subject.relation LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'the protection of % rests on the key of %', dependent, relation
			USING ERRCODE = 'PU010', HINT = format('Take it away first: SELECT purpose.unprotect(%L).', dependent);
	END IF;
	IF EXISTS (SELECT FROM purpose.consent_state s WHERE s.subject_table = relation) THEN
		RAISE EXCEPTION 'consents are recorded under the key of %', relation
			USING ERRCODE = 'PU010', HINT = 'Under another key they would not be found.';
	END IF;
END $$;
COMMENT ON FUNCTION purpose._require_same_subject(regclass, text, text) IS 'Raises PU010 if a subject table is about to get another key while something rests on its key';

CREATE FUNCTION purpose.protect(relation regclass, subject text DEFAULT NULL, "of" regclass DEFAULT NULL,
	via text DEFAULT NULL, mode text DEFAULT NULL, force boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	existing record;
	label text;
	sleeping regclass;
	state record;
BEGIN
	IF NOT purpose._loaded() THEN
		RAISE EXCEPTION 'pg_purpose must be loaded via "shared_preload_libraries"' USING ERRCODE = '55000',
			HINT = 'Add pg_purpose to shared_preload_libraries and restart the server.';
	END IF;
	IF relation IS NULL THEN
		RAISE EXCEPTION 'a relation must be given' USING ERRCODE = '22004';
	END IF;
	IF mode NOT IN ('enforce', 'observe') THEN
		RAISE EXCEPTION 'mode "%" is neither enforce nor observe', mode USING ERRCODE = '22023';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_class WHERE oid = relation AND relkind IN ('r', 'p') AND oid >= 16384) THEN
		RAISE EXCEPTION '% is not a table', relation USING ERRCODE = '42809';
	END IF;
	SELECT d.label, d.mode INTO existing FROM purpose._declared_tables d WHERE d.relation = protect.relation;
	IF num_nonnulls(subject, via) = 0 AND existing.label IS NOT NULL AND "of" IS NULL THEN
		label := regexp_replace(existing.label, ' mode [a-z]+$', '');
	ELSIF num_nonnulls(subject, via) <> 1 OR (via IS NOT NULL AND "of" IS NOT NULL) THEN
		RAISE EXCEPTION 'either subject or via must be given' USING ERRCODE = '22023',
			HINT = 'subject => the columns that name the data subject; via => a foreign key to a protected table.';
	ELSIF subject IS NOT NULL THEN
		label := purpose._subject_declaration(relation, subject, "of");
	ELSE
		label := purpose._via_declaration(relation, via);
	END IF;
	PERFORM purpose._require_same_subject(relation, existing.label, label);
	label := format('%s mode %s', label, coalesce(mode, existing.mode, 'enforce'));

	IF NOT force AND label LIKE '% mode enforce' THEN
		SELECT t INTO sleeping FROM purpose._tree(relation) t JOIN pg_class c ON c.oid = t
			WHERE NOT c.relrowsecurity AND c.relkind IN ('r', 'p')
			AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = t) LIMIT 1;
		IF found THEN
			RAISE EXCEPTION 'table % has policies that are switched off, and protection would wake them', sleeping
				USING ERRCODE = '55000', HINT = 'Drop them, or wake them with force => true.';
		END IF;
	END IF;

	PERFORM purpose._set_label(relation, NULL, label);
	state := purpose._protection(relation);
	IF state.problem IS NOT NULL THEN
		RAISE EXCEPTION 'the protection of % cannot be resolved: %', relation, state.problem USING ERRCODE = 'PU006';
	END IF;
	PERFORM purpose._floor_sync_tree(relation, force);
END $$;
COMMENT ON FUNCTION purpose.protect(regclass, text, regclass, text, text, boolean) IS 'Puts the rows of a table under its data subjects'' consent: subject => columns that name the subject (of => whose, where no foreign key says so), or via => a foreign key to a protected table. mode => observe lets everything through and records. Called again, it changes what is given. Takes an ACCESS EXCLUSIVE lock for a moment. Errors PU006, 22023, 42703, 42804, 42809, 55000';
REVOKE ALL ON FUNCTION purpose.protect(regclass, text, regclass, text, text, boolean) FROM PUBLIC;

CREATE FUNCTION purpose.set_mode(relation regclass, mode text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF mode IS NULL THEN
		RAISE EXCEPTION 'a mode must be given' USING ERRCODE = '22004', HINT = 'enforce or observe.';
	END IF;
	IF NOT EXISTS (SELECT FROM purpose._declared_tables d WHERE d.relation = set_mode.relation) THEN
		RAISE EXCEPTION '% is not protected', relation USING ERRCODE = 'PU006',
			HINT = 'SELECT * FROM purpose.protected_tables lists those that are.';
	END IF;
	PERFORM purpose.protect(relation, mode => mode);
END $$;
COMMENT ON FUNCTION purpose.set_mode(regclass, text) IS 'Switches a protected table between observe and enforce. Errors PU006, 22023';
REVOKE ALL ON FUNCTION purpose.set_mode(regclass, text) FROM PUBLIC;

CREATE FUNCTION purpose.unprotect(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	dependent regclass;
BEGIN
	IF relation IS NULL THEN
		RAISE EXCEPTION 'a relation must be given' USING ERRCODE = '22004';
	END IF;
	IF NOT EXISTS (SELECT FROM purpose._declared_tables d WHERE d.relation = unprotect.relation) THEN
		RAISE EXCEPTION '% is not protected', relation USING ERRCODE = 'PU006',
			HINT = 'SELECT * FROM purpose.protected_tables lists those that are.';
	END IF;
	SELECT d.relation INTO dependent FROM purpose._declared_tables d
		WHERE d.target = unprotect.relation AND d.relation <> unprotect.relation LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'the protection of % rests on %', dependent, relation
			USING ERRCODE = 'PU010', HINT = format('Take it away first: SELECT purpose.unprotect(%L).', dependent);
	END IF;
	PERFORM purpose._set_label(relation, NULL, NULL);
	PERFORM purpose._floor_sync_tree(relation);
END $$;
COMMENT ON FUNCTION purpose.unprotect(regclass) IS 'Takes the protection of a table''s rows away; labels of columns stay. Row-level security is put back as protect() found it unless labels still need the floor. Errors PU006, PU010';
REVOKE ALL ON FUNCTION purpose.unprotect(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._keep_inherited(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	ancestor regclass;
	d record;
	l record;
BEGIN
	FOR ancestor IN
		WITH RECURSIVE up AS (
			SELECT inhparent AS oid, 1 AS depth FROM pg_inherits WHERE inhrelid = relation
			UNION SELECT i.inhparent, up.depth + 1 FROM pg_inherits i JOIN up ON i.inhrelid = up.oid
		) SELECT oid::regclass FROM up ORDER BY depth
	LOOP
		SELECT * INTO d FROM purpose._declared_tables t WHERE t.relation = ancestor;
		IF found AND NOT EXISTS (SELECT FROM purpose._declared_tables t WHERE t.relation = _keep_inherited.relation) THEN
			IF d.kind = 'subject' AND d.target IS NULL THEN
				PERFORM purpose._set_label(relation, NULL, format('subject %s of %s mode %s',
					(SELECT string_agg(quote_ident(c), ', ' ORDER BY o) FROM unnest(d.columns) WITH ORDINALITY u(c, o)),
					purpose._qualified(ancestor), d.mode));
			ELSE
				PERFORM purpose._set_label(relation, NULL, d.label);
			END IF;
		END IF;
		FOR l IN SELECT * FROM purpose._labels x WHERE x.relation = ancestor LOOP
			IF NOT EXISTS (SELECT FROM purpose._labels x
						   WHERE x.relation = _keep_inherited.relation AND x."column" = l."column")
			   AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = _keep_inherited.relation
						   AND a.attname = l."column" AND NOT a.attisdropped) THEN
				PERFORM purpose._set_label(relation, l."column", l.label);
			END IF;
		END LOOP;
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._keep_inherited(regclass) IS 'Before a table leaves its parent, gives it the declarations that it had by inheritance';
REVOKE ALL ON FUNCTION purpose._keep_inherited(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._before_drop_extension() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	r record;
BEGIN
	FOR r IN SELECT objoid, classoid, objsubid FROM pg_seclabel
			 WHERE provider = 'purpose' AND classoid = 'pg_class'::regclass LOOP
		PERFORM purpose._set_label(r.objoid::regclass,
			(SELECT attname FROM pg_attribute WHERE attrelid = r.objoid AND attnum = r.objsubid), NULL);
	END LOOP;
	FOR r IN SELECT objoid::regtype AS domain FROM pg_seclabel
			 WHERE provider = 'purpose' AND classoid = 'pg_type'::regclass LOOP
		EXECUTE format('SECURITY LABEL FOR purpose ON DOMAIN %s IS NULL', r.domain);
	END LOOP;
	FOR r IN SELECT objoid::regprocedure AS routine FROM pg_seclabel
			 WHERE provider = 'purpose' AND classoid = 'pg_proc'::regclass LOOP
		EXECUTE format('SECURITY LABEL FOR purpose ON ROUTINE %s IS NULL', r.routine);
	END LOOP;
	FOR r IN SELECT DISTINCT polrelid::regclass AS relation FROM pg_policy
			 WHERE polname IN ('purpose_floor', 'purpose_floor_woken') LOOP
		PERFORM purpose._floor_sync(r.relation, false);
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._before_drop_extension() IS 'Takes labels and floors away, so that DROP EXTENSION leaves tables as they were found';
REVOKE ALL ON FUNCTION purpose._before_drop_extension() FROM PUBLIC;

-- ---------------------------------------------------------------------------
-- Consent
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._append_only() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	RAISE EXCEPTION 'the history of consents is append-only' USING ERRCODE = '55000',
		HINT = 'A new event corrects an old one.';
END $$;
COMMENT ON FUNCTION purpose._append_only() IS 'Refuses UPDATE, DELETE and TRUNCATE of the consent history';
REVOKE ALL ON FUNCTION purpose._append_only() FROM PUBLIC;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON purpose.consent_history
	FOR EACH STATEMENT EXECUTE FUNCTION purpose._append_only();
ALTER TABLE purpose.consent_history ENABLE ALWAYS TRIGGER append_only;

CREATE FUNCTION purpose._require_consent_model(purpose text, state text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	p record;
BEGIN
	PERFORM purpose._require_purpose(purpose);
	SELECT v.basis, v.consent_model INTO p FROM purpose.purposes v WHERE v.name = _require_consent_model.purpose;
	IF p.consent_model = 'not_applicable' THEN
		RAISE EXCEPTION 'purpose "%" rests on %, which neither asks for consent nor can be objected to', purpose, p.basis
			USING ERRCODE = 'PU009', HINT = 'purpose.restrict_processing() stops the use of a person''s data for all purposes (GDPR Art. 18).';
	END IF;
END $$;
COMMENT ON FUNCTION purpose._require_consent_model(text, text) IS 'Raises PU002 or PU009 if no consent can be recorded for a purpose';

CREATE FUNCTION purpose._record_event(subject_table regclass, subject text, purpose text, state text,
	expires_at timestamptz, evidence jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	key text;
	id bigint;
BEGIN
	IF subject_table IS NULL OR subject IS NULL THEN
		RAISE EXCEPTION 'a subject table and a subject must be given' USING ERRCODE = '22004';
	END IF;
	key := purpose._subject_key(subject_table, subject);
	IF state NOT IN ('restricted', 'restriction_lifted') THEN
		PERFORM purpose._require_consent_model(purpose, state);
	END IF;
	IF state IN ('objection_withdrawn', 'restriction_lifted') THEN
		DELETE FROM purpose.consent_state s
			WHERE s.subject_table = _record_event.subject_table AND s.subject = key
			AND s.purpose = coalesce(_record_event.purpose, '')
			AND s.state = CASE _record_event.state WHEN 'objection_withdrawn' THEN 'objected' ELSE 'restricted' END;
		IF NOT found THEN
			RAISE NOTICE 'there is no % on record', CASE _record_event.state WHEN 'objection_withdrawn' THEN 'objection' ELSE 'restriction' END;
			RETURN NULL;
		END IF;
	END IF;
	INSERT INTO purpose.consent_history (subject_table, subject, purpose, state, at, expires_at, evidence, recorded_by)
		VALUES (_record_event.subject_table, key, _record_event.purpose, _record_event.state, purpose._now(),
				_record_event.expires_at, _record_event.evidence, purpose._acting_role_name())
		RETURNING event_id INTO id;
	IF state NOT IN ('objection_withdrawn', 'restriction_lifted') THEN
		INSERT INTO purpose.consent_state AS s (subject_table, subject, purpose, state, expires_at, since, event_id)
			VALUES (_record_event.subject_table, key, coalesce(_record_event.purpose, ''), _record_event.state,
					_record_event.expires_at, purpose._now(), id)
			ON CONFLICT ON CONSTRAINT consent_state_pkey DO UPDATE
			SET state = excluded.state, expires_at = excluded.expires_at, since = excluded.since,
				event_id = excluded.event_id;
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION purpose._record_event(regclass, text, text, text, timestamptz, jsonb) IS 'Appends a consent event and makes it the state in force';
REVOKE ALL ON FUNCTION purpose._record_event(regclass, text, text, text, timestamptz, jsonb) FROM PUBLIC;

DO $do$
DECLARE
	f record;
	subject_type text;
	args text;
	call text;
BEGIN
	FOR f IN SELECT * FROM (VALUES
		('grant_consent', 'given', true,
		 'Records that the person consented (GDPR Art. 7), for a time where expires_at is given; on an opt-out purpose, that an objection is lifted'),
		('refuse_consent', 'refused', true,
		 'Records that the person was asked and said no'),
		('withdraw_consent', 'withdrawn', true,
		 'Records that the person withdrew consent (GDPR Art. 7(3)). Binds every statement that starts after COMMIT, and the own transaction at once'),
		('object_to', 'objected', true,
		 'Records that the person objects (GDPR Art. 21)'),
		('withdraw_objection', 'objection_withdrawn', true,
		 'Records that the person no longer objects'),
		('restrict_processing', 'restricted', false,
		 'Stops the use of the person''s data for every purpose but those declared despite_restriction (GDPR Art. 18)'),
		('lift_restriction', 'restriction_lifted', false,
		 'Ends a restriction of processing (GDPR Art. 18(3))')
	) v(name, state, for_purpose, what)
	LOOP
		FOREACH subject_type IN ARRAY ARRAY['text', 'bigint', 'uuid'] LOOP
			args := format('subject_table regclass, subject %s', subject_type)
				|| CASE WHEN f.for_purpose THEN ', purpose text' ELSE '' END
				|| ', evidence jsonb DEFAULT NULL'
				|| CASE WHEN f.name = 'grant_consent' THEN ', expires_at timestamptz DEFAULT NULL' ELSE '' END;
			call := format('purpose._record_event(subject_table, subject::text, %s, %L, %s, evidence)',
				CASE WHEN f.for_purpose THEN 'purpose' ELSE 'NULL' END, f.state,
				CASE WHEN f.name = 'grant_consent' THEN 'expires_at' ELSE 'NULL' END);
			EXECUTE format('CREATE FUNCTION purpose.%I(%s) RETURNS bigint LANGUAGE sql SECURITY DEFINER
				SET search_path = pg_catalog, pg_temp AS %L', f.name, args, 'SELECT ' || call);
			args := regexp_replace(args, ' DEFAULT NULL', '', 'g');
			EXECUTE format('COMMENT ON FUNCTION purpose.%I(%s) IS %L', f.name, args,
				f.what || '. Returns the event''s number. Errors '
				|| CASE WHEN f.for_purpose THEN 'PU002, PU006, PU009' ELSE 'PU006' END);
			EXECUTE format('REVOKE ALL ON FUNCTION purpose.%I(%s) FROM PUBLIC', f.name, args);
		END LOOP;
	END LOOP;
END $do$;

CREATE FUNCTION purpose._import_consents() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	bad record;
BEGIN
	IF TG_RELID <> 'purpose.consent_import'::regclass THEN
		RAISE EXCEPTION 'this trigger belongs to purpose.consent_import' USING ERRCODE = '42501';
	END IF;
	SELECT i.purpose, i.state INTO bad FROM (SELECT DISTINCT purpose, state FROM imported) i
		WHERE i.state NOT IN ('given', 'refused', 'withdrawn', 'objected') LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'consent state "%" cannot be imported', bad.state USING ERRCODE = '22023',
			HINT = 'One of given, refused, withdrawn, objected.';
	END IF;
	PERFORM purpose._require_consent_model(i.purpose, i.state)
		FROM (SELECT DISTINCT purpose, state FROM imported) i;
	IF EXISTS (SELECT FROM imported i WHERE i.at > purpose._now()) THEN
		RAISE EXCEPTION 'a consent cannot be imported from the future' USING ERRCODE = '22008',
			HINT = 'Column "at" is when the person said so.';
	END IF;
	-- The latest event of each subject and purpose is the state in force,
	-- whether it is imported now, on record already, or being recorded by
	-- another session at this moment (hence the comparison of since).
	WITH keyed AS MATERIALIZED (
		SELECT subject_table, purpose._subject_key(subject_table, subject) AS subject, purpose, state, at, expires_at, evidence
		FROM imported ORDER BY at
	), recorded AS (
		INSERT INTO purpose.consent_history (subject_table, subject, purpose, state, at, expires_at, evidence, recorded_by)
			SELECT subject_table, subject, purpose, state, at, expires_at, evidence, purpose._acting_role_name() FROM keyed
			RETURNING subject_table, subject, purpose, state, at, expires_at, event_id
	), latest AS (
		SELECT DISTINCT ON (e.subject_table, e.subject, e.purpose) e.*
		FROM (SELECT * FROM recorded
			  UNION ALL
			  SELECT h.subject_table, h.subject, h.purpose, h.state, h.at, h.expires_at, h.event_id
			  FROM purpose.consent_history h
			  WHERE (h.subject_table, h.subject, h.purpose) IN (SELECT k.subject_table, k.subject, k.purpose FROM keyed k)) e
		ORDER BY e.subject_table, e.subject, e.purpose, e.at DESC, e.event_id DESC
	), lifted AS (
		DELETE FROM purpose.consent_state s USING latest l
		WHERE l.state = 'objection_withdrawn' AND s.since <= l.at
		AND s.subject_table = l.subject_table AND s.subject = l.subject AND s.purpose = l.purpose
	)
	INSERT INTO purpose.consent_state AS s (subject_table, subject, purpose, state, expires_at, since, event_id)
		SELECT subject_table, subject, purpose, state, expires_at, at, event_id
		FROM latest WHERE state <> 'objection_withdrawn'
		ON CONFLICT ON CONSTRAINT consent_state_pkey DO UPDATE
		SET state = excluded.state, expires_at = excluded.expires_at, since = excluded.since, event_id = excluded.event_id
		WHERE s.since <= excluded.since;
	DELETE FROM purpose.consent_import;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION purpose._import_consents() IS 'Moves what was loaded into consent_import to the history, set by set';
REVOKE ALL ON FUNCTION purpose._import_consents() FROM PUBLIC;
CREATE TRIGGER import_consents AFTER INSERT ON purpose.consent_import
	REFERENCING NEW TABLE AS imported FOR EACH STATEMENT EXECUTE FUNCTION purpose._import_consents();

CREATE FUNCTION purpose.consents(subject_table regclass, subject text)
RETURNS TABLE (purpose text, basis text, state text, recorded_for text, since timestamptz,
			   expires_at timestamptz, permitted boolean, reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	key text := purpose._subject_key(consents.subject_table, consents.subject);
	is_restricted boolean;
BEGIN
	is_restricted := EXISTS (SELECT FROM purpose.consent_state s
		WHERE s.subject_table = consents.subject_table AND s.subject = key AND s.purpose = '');
	RETURN QUERY
		SELECT v.name, v.basis, coalesce(n.state, 'none'), n.purpose, n.at, n.expires_at, d.verdict = 'allow', d.reason
		FROM purpose.purposes v
		LEFT JOIN LATERAL (
			SELECT CASE WHEN s.state = 'given' AND s.expires_at <= purpose._now() THEN 'expired' ELSE s.state END AS state,
				   s.purpose, s.since AS at, s.expires_at
			FROM purpose.consent_state s
			WHERE s.subject_table = consents.subject_table AND s.subject = key AND s.purpose <> ''
			AND (s.purpose = v.name OR starts_with(v.name, s.purpose || '.'))
			ORDER BY length(s.purpose) DESC LIMIT 1
		) n ON true
		CROSS JOIN LATERAL purpose._decide(0, v.name, 'n/a', NULL, coalesce(n.state, 'none'), is_restricted, 'enforce') d
		ORDER BY v.name;
END $$;
COMMENT ON FUNCTION purpose.consents(regclass, text) IS 'For every purpose: the nearest state on record for the person, for which purpose it was recorded, and whether it permits the use. Error PU006';
REVOKE ALL ON FUNCTION purpose.consents(regclass, text) FROM PUBLIC;

DO $do$
DECLARE
	subject_type text;
BEGIN
	FOREACH subject_type IN ARRAY ARRAY['bigint', 'uuid'] LOOP
		EXECUTE format('CREATE FUNCTION purpose.consents(subject_table regclass, subject %1$s)
			RETURNS TABLE (purpose text, basis text, state text, recorded_for text, since timestamptz,
						   expires_at timestamptz, permitted boolean, reason text)
			LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
			AS ''SELECT * FROM purpose.consents(subject_table, subject::text)''', subject_type);
		EXECUTE format('COMMENT ON FUNCTION purpose.consents(regclass, %s) IS %L', subject_type,
			'For every purpose: the nearest state on record for the person. Error PU006');
		EXECUTE format('REVOKE ALL ON FUNCTION purpose.consents(regclass, %s) FROM PUBLIC', subject_type);
	END LOOP;
END $do$;

-- ---------------------------------------------------------------------------
-- Explaining and observing
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose.explain_access(relation regclass, "column" name DEFAULT NULL, subject text DEFAULT NULL,
	purpose text DEFAULT NULL, role text DEFAULT NULL, OUT verdict text, OUT reason text, OUT label text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	state record := purpose._protection(relation);
	acting oid := CASE WHEN role IS NULL THEN purpose._acting_role() ELSE purpose._role_oid(role) END;
	wanted text := coalesce(purpose, purpose.current_purpose());
	consent text;
	restricted boolean := false;
	l record;
	d record;
BEGIN
	IF "column" IS NOT NULL THEN
		PERFORM purpose._attnums(relation, ARRAY["column"::text]);
	END IF;
	IF subject IS NOT NULL AND state.subject_table IS NOT NULL THEN
		SELECT c.state INTO consent FROM purpose.consents(state.subject_table::regclass, subject) c
			WHERE c.purpose = wanted;
		consent := coalesce(consent, 'none');
		restricted := EXISTS (SELECT FROM purpose.consent_state s
			WHERE s.subject_table = state.subject_table AND s.purpose = ''
			AND s.subject = purpose._subject_key(state.subject_table::regclass, explain_access.subject));
	END IF;
	FOR l IN SELECT c.label FROM purpose._column_labels(relation) c
			 JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = c.attnum
			 WHERE a.attname = "column"
	LOOP
		d := purpose._decide(acting, wanted, NULL, coalesce(l.label, ''), consent, restricted, state.mode);
		IF d.verdict <> 'allow' OR d.observed THEN
			verdict := d.verdict; reason := d.reason; label := l.label;
			RETURN;
		END IF;
	END LOOP;
	IF state.mode IS NULL OR (NOT state.protected AND NOT found) THEN
		verdict := 'allow'; reason := 'nothing is declared';
		RETURN;
	END IF;
	d := purpose._decide(acting, wanted, NULL, NULL, consent, restricted, state.mode);
	verdict := d.verdict; reason := d.reason;
END $$;
COMMENT ON FUNCTION purpose.explain_access(regclass, name, text, text, text) IS 'What would be decided, and why: may the role (default: the acting one), for the purpose (default: the declared one), use the column of the subject''s rows? Where column or subject is NULL that part is left out. Errors PU006, 42703, 42704';
REVOKE ALL ON FUNCTION purpose.explain_access(regclass, name, text, text, text) FROM PUBLIC;

CREATE FUNCTION purpose._observed_violations(OUT relid oid, OUT attnum int2, OUT purpose text, OUT role oid,
	OUT reason text, OUT count bigint, OUT last_seen timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_observed_violations';
COMMENT ON FUNCTION purpose._observed_violations() IS 'What observe mode counted in this database. Error 55000';
REVOKE ALL ON FUNCTION purpose._observed_violations() FROM PUBLIC;

CREATE FUNCTION purpose._observed_dropped() RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_observed_dropped';
COMMENT ON FUNCTION purpose._observed_dropped() IS 'Violations that found no room: purpose.observe_max is too small. Error 55000';
REVOKE ALL ON FUNCTION purpose._observed_dropped() FROM PUBLIC;

CREATE VIEW purpose.observed_violations AS
	SELECT v.relid::regclass AS relation, a.attname AS "column", v.purpose,
		   pg_catalog.pg_get_userbyid(v.role) AS role, v.reason, v.count, v.last_seen
	FROM purpose._observed_violations() v
	LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = v.relid AND a.attnum = v.attnum;
COMMENT ON VIEW purpose.observed_violations IS 'What enforcement would have refused since it was observed: column uses are counted by statement, rows (column is NULL) by row';

CREATE FUNCTION purpose.reset_observed_violations() RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_reset_observed';
COMMENT ON FUNCTION purpose.reset_observed_violations() IS 'Forgets what was observed in this database. Error 55000';
REVOKE ALL ON FUNCTION purpose.reset_observed_violations() FROM PUBLIC;

-- ---------------------------------------------------------------------------
-- Privacy officers
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._officer_objects() RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('EXECUTE ON FUNCTION %s', p.oid::regprocedure)
	FROM pg_proc p WHERE p.pronamespace = 'purpose'::regnamespace
	AND p.proname NOT LIKE '\_%' AND p.proname NOT IN ('appoint_officer', 'dismiss_officer')
	AND NOT EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
	UNION ALL SELECT 'SELECT ON purpose.consent_history'
	UNION ALL SELECT 'SELECT ON purpose.consent_state'
	UNION ALL SELECT 'SELECT ON purpose.purpose_grant'
	UNION ALL SELECT 'SELECT ON purpose.observed_violations'
	UNION ALL SELECT 'EXECUTE ON FUNCTION purpose._observed_violations()'
	UNION ALL SELECT 'INSERT ON purpose.consent_import'
$$;
COMMENT ON FUNCTION purpose._officer_objects() IS 'The privileges that appoint_officer() grants';
REVOKE ALL ON FUNCTION purpose._officer_objects() FROM PUBLIC;

CREATE FUNCTION purpose.appoint_officer(role regrole) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	o text;
BEGIN
	FOR o IN SELECT purpose._officer_objects() LOOP
		EXECUTE format('GRANT %s TO %s', o, role);
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose.appoint_officer(regrole) IS 'Makes a role a privacy officer: grants it every administrative function. Runs with the caller''s rights';
REVOKE ALL ON FUNCTION purpose.appoint_officer(regrole) FROM PUBLIC;

CREATE FUNCTION purpose.dismiss_officer(role regrole) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	o text;
BEGIN
	FOR o IN SELECT purpose._officer_objects() LOOP
		EXECUTE format('REVOKE %s FROM %s', o, role);
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose.dismiss_officer(regrole) IS 'Takes back what appoint_officer() granted. Runs with the caller''s rights';
REVOKE ALL ON FUNCTION purpose.dismiss_officer(regrole) FROM PUBLIC;

-- ---------------------------------------------------------------------------
-- Self-check
-- ---------------------------------------------------------------------------
-- check() asks one function for each kind of finding, _check_<kind>().  All of
-- them return (severity, object, problem, remedy), the remedy being SQL that
-- runs as it stands, or a line of postgresql.conf.  Objects are shown with their
-- schema, because search_path is pinned.

CREATE FUNCTION purpose._locked_relations() RETURNS SETOF oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT relation FROM pg_locks
	WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
	AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
COMMENT ON FUNCTION purpose._locked_relations() IS 'What other transactions have locked against reading';
REVOKE ALL ON FUNCTION purpose._locked_relations() FROM PUBLIC;

CREATE VIEW purpose._user_relations AS
	SELECT c.oid::regclass AS relation, c.relkind, c.relispartition, c.relrowsecurity
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't'
	AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
					WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	AND c.oid NOT IN (SELECT * FROM purpose._locked_relations());
COMMENT ON VIEW purpose._user_relations IS 'What check() looks at: tables and materialised views of users, not of extensions, and not locked';

CREATE VIEW purpose._governed_relations AS
	SELECT r.relation, r.relkind, r.relispartition, r.relrowsecurity, p.labelled, p.protected, p.mode, p.problem
	FROM purpose._user_relations r, purpose._protection(r.relation) p
	WHERE p.mode IS NOT NULL;
COMMENT ON VIEW purpose._governed_relations IS 'Those of them that a label or a protection is in force for, by inheritance too';

CREATE VIEW purpose._unlabelled_columns AS
	SELECT r.relation, r.relkind, a.attnum, a.attname AS "column", t.oid::regtype AS base_type,
		   CASE WHEN t.typcategory = 'A' THEN e.typcategory ELSE t.typcategory END AS kind
	FROM purpose._user_relations r
	JOIN pg_catalog.pg_attribute a ON a.attrelid = r.relation AND a.attnum > 0 AND NOT a.attisdropped
		AND a.attinhcount = 0 AND a.attgenerated IN ('', 's')
	JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
	JOIN pg_catalog.pg_type t ON t.oid = CASE WHEN d.typtype = 'd' THEN d.typbasetype ELSE d.oid END
	LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
	WHERE NOT r.relispartition
	AND NOT EXISTS (SELECT FROM purpose._column_labels(r.relation) l WHERE l.attnum = a.attnum);
COMMENT ON VIEW purpose._unlabelled_columns IS 'Columns without a label, those of partitions and children left out where their parents have them';

CREATE FUNCTION purpose._label_command(relation regclass, "column" name, domain regtype, label text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN domain IS NOT NULL THEN format('SECURITY LABEL FOR purpose ON DOMAIN %s IS %L;', domain, label)
				ELSE format('SELECT purpose.label_column(%L, %L, %L);', relation, "column", label) END
$$;
COMMENT ON FUNCTION purpose._label_command(regclass, name, regtype, text) IS 'The SQL that sets a label';
REVOKE ALL ON FUNCTION purpose._label_command(regclass, name, regtype, text) FROM PUBLIC;

CREATE FUNCTION purpose._label_problem(label text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM purpose._parse_label(label);
	RETURN NULL;
EXCEPTION WHEN SQLSTATE 'PU008' THEN
	RETURN SQLERRM;
END $$;
COMMENT ON FUNCTION purpose._label_problem(text) IS 'What is wrong with a label, NULL if nothing';
REVOKE ALL ON FUNCTION purpose._label_problem(text) FROM PUBLIC;

CREATE FUNCTION purpose._suggested_purposes(relation regclass) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT array_to_string(p.allowed, ', ') FROM purpose._column_labels(relation) l, purpose._parse_label(l.label) p
		 WHERE NOT EXISTS (SELECT FROM unnest(p.allowed || p.prohibited) u
						   WHERE u NOT IN (SELECT name FROM purpose.purpose_catalog))
		 GROUP BY p.allowed ORDER BY count(*) DESC, 1 LIMIT 1),
		(SELECT name FROM purpose.purpose_catalog ORDER BY created_at, name LIMIT 1))
$$;
COMMENT ON FUNCTION purpose._suggested_purposes(regclass) IS 'Purposes for a new label: those that the table''s other labels allow, else the oldest one, else NULL';
REVOKE ALL ON FUNCTION purpose._suggested_purposes(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._suggested_label_command(relation regclass, "column" name, category text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN s IS NULL THEN 'SELECT purpose.create_purpose(''service'', basis => ''contract''); ' ELSE '' END
		|| purpose._label_command(relation, "column", NULL,
								  format('for %s', coalesce(s, 'service')) || coalesce(' category ' || category, ''))
		|| ' -- with the purposes that it really serves'
	FROM purpose._suggested_purposes(relation) s
$$;
COMMENT ON FUNCTION purpose._suggested_label_command(regclass, name, text) IS 'The SQL that labels a column for the first time';
REVOKE ALL ON FUNCTION purpose._suggested_label_command(regclass, name, text) FROM PUBLIC;

CREATE FUNCTION purpose._likely_user(relation regclass) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	-- Never a role that was merely granted SELECT: it may be a whole department's.
	SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = relation
$$;
COMMENT ON FUNCTION purpose._likely_user(regclass) IS 'For whom a remedy grants a purpose: the table''s owner, until an officer decides who else';
REVOKE ALL ON FUNCTION purpose._likely_user(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._check_library(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'error', 'shared_preload_libraries',
		   'the library is not preloaded: nothing is enforced, and protected tables are closed to all but their owners',
		   format('shared_preload_libraries = %L  # then restart the server',
				  concat_ws(', ', nullif(current_setting('shared_preload_libraries'), ''), 'pg_purpose'))
	WHERE NOT purpose._loaded()
$$;
COMMENT ON FUNCTION purpose._check_library() IS 'check(): is the library preloaded?';
REVOKE ALL ON FUNCTION purpose._check_library() FROM PUBLIC;

CREATE FUNCTION purpose._check_labels(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH l AS MATERIALIZED (
		SELECT relation, "column", domain, label, purpose._label_problem(label) AS problem,
			   CASE WHEN domain IS NULL THEN format('%s.%I', relation, "column") ELSE format('domain %s', domain) END AS object
		FROM purpose._labels
	), parsed AS MATERIALIZED (
		SELECT l.*, p.canonical, p.allowed, p.prohibited
		FROM l, purpose._parse_label(CASE WHEN l.problem IS NULL THEN l.label END) p
	), serving AS MATERIALIZED (
		-- Asked of each label's text once: many columns share theirs.
		SELECT t.canonical, array_agg(c.name ORDER BY c.name) FILTER (WHERE d.verdict = 'allow') AS purposes
		FROM (SELECT DISTINCT canonical FROM parsed WHERE canonical IS NOT NULL) t
		CROSS JOIN purpose.purpose_catalog c
		CROSS JOIN LATERAL purpose._decide(0, c.name, 'n/a', t.canonical, NULL, false, 'enforce') d
		GROUP BY t.canonical
	)
	SELECT 'error', object, format('its label cannot be read (%s): nobody who is bound may use it', problem),
		   purpose._label_command(relation, "column", domain,
								  format('for %s', coalesce(purpose._suggested_purposes(relation), 'service')))
	FROM l WHERE problem IS NOT NULL
	UNION ALL
	-- A misspelt "never" prohibits nothing, which is worse than a misspelt "for".
	SELECT CASE WHEN u = ANY (prohibited) THEN 'error' ELSE 'warning' END, object,
		   format('its label names purpose %s, which does not exist', u),
		   concat_ws(' ', (SELECT string_agg(format('SELECT purpose.create_purpose(%L, basis => ''consent'');', prefix), ' ' ORDER BY length(prefix))
						   FROM (SELECT array_to_string((string_to_array(u, '.'))[:n], '.') AS prefix
								 FROM generate_series(1, cardinality(string_to_array(u, '.'))) n) x
						   WHERE prefix NOT IN (SELECT name FROM purpose.purpose_catalog)),
					 '-- or correct the label')
	FROM parsed CROSS JOIN LATERAL (SELECT DISTINCT unnest(allowed || prohibited) AS u) x
	WHERE u NOT IN (SELECT name FROM purpose.purpose_catalog)
	UNION ALL
	SELECT 'warning', object, 'nobody may use it: its label permits no purpose that exists',
		   purpose._label_command(relation, "column", domain,
								  format('for %s', coalesce(purpose._suggested_purposes(relation), 'service')))
	FROM parsed JOIN serving USING (canonical)
	WHERE purposes IS NULL
	AND NOT EXISTS (SELECT FROM unnest(allowed) u WHERE u NOT IN (SELECT name FROM purpose.purpose_catalog))
	UNION ALL
	SELECT 'warning', object, 'nobody may use it: no role may declare a purpose that its label permits',
		   format('SELECT purpose.grant_purpose(%L, %L);', purposes[1],
				  coalesce(purpose._likely_user(relation), current_user))
	FROM parsed JOIN serving USING (canonical)
	WHERE NOT EXISTS (SELECT FROM unnest(purposes) s, purpose.purpose_grant g
					  WHERE (s = g.purpose OR starts_with(s, g.purpose || '.'))
					  AND (g.role = 0 OR g.role::oid IN (SELECT oid FROM pg_roles)))
	AND purposes IS NOT NULL
$$;
COMMENT ON FUNCTION purpose._check_labels() IS 'check(): labels that cannot be read, name unknown purposes, or leave nobody who may use the column';
REVOKE ALL ON FUNCTION purpose._check_labels() FROM PUBLIC;

CREATE FUNCTION purpose._check_purposes(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	-- A purpose that only groups others is in order if one of these is granted;
	-- of a branch that nobody may declare the topmost purpose is shown.
	WITH idle AS MATERIALIZED (
		SELECT c.name FROM purpose.purpose_catalog c
		WHERE NOT EXISTS (SELECT FROM purpose.purpose_grant g
						  WHERE (g.purpose = c.name OR starts_with(g.purpose, c.name || '.') OR starts_with(c.name, g.purpose || '.'))
						  AND (g.role = 0 OR g.role::oid IN (SELECT oid FROM pg_roles)))
	), used AS MATERIALIZED (
		SELECT u AS name, min(l.relation::oid)::regclass AS relation
		FROM purpose._labels l, purpose._parse_label(CASE WHEN purpose._label_problem(l.label) IS NULL THEN l.label END) p,
			 unnest(p.allowed || p.prohibited) u
		GROUP BY u
	)
	SELECT 'warning', format('purpose %s', i.name), 'no role may declare it',
		   coalesce((SELECT format('SELECT purpose.grant_purpose(%L, %L);', i.name,
								   coalesce(purpose._likely_user(u.relation), current_user))
					 FROM used u WHERE u.name = i.name OR starts_with(u.name, i.name || '.') ORDER BY u.name LIMIT 1),
					(SELECT string_agg(format('SELECT purpose.drop_purpose(%L);', c.name), ' ' ORDER BY c.name DESC)
					 FROM purpose.purpose_catalog c WHERE c.name = i.name OR starts_with(c.name, i.name || '.')))
	FROM idle i
	WHERE nullif(regexp_replace(i.name, '\.[^.]*$', ''), i.name) IS NULL
	OR regexp_replace(i.name, '\.[^.]*$', '') NOT IN (SELECT name FROM idle)
	UNION ALL
	SELECT 'error', format('purpose %s', c.name), 'the purpose that it belongs to does not exist, so nobody may declare it',
		   format('SELECT purpose.create_purpose(%L, basis => ''consent'');', regexp_replace(c.name, '\.[^.]*$', ''))
	FROM purpose.purpose_catalog c
	WHERE position('.' IN c.name) > 0
	AND regexp_replace(c.name, '\.[^.]*$', '') NOT IN (SELECT name FROM purpose.purpose_catalog)
	UNION ALL
	SELECT 'warning', format('purpose %s', g.purpose), 'it is granted to a role that is gone',
		   format('DELETE FROM purpose.purpose_grant WHERE purpose = %L AND role = %s;', g.purpose, g.role::oid)
	FROM purpose.purpose_grant g
	WHERE g.role <> 0 AND g.role::oid NOT IN (SELECT oid FROM pg_roles)
$$;
COMMENT ON FUNCTION purpose._check_purposes() IS 'check(): purposes that nobody may declare';
REVOKE ALL ON FUNCTION purpose._check_purposes() FROM PUBLIC;

CREATE FUNCTION purpose._check_protection(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH declared AS MATERIALIZED (
		SELECT s.objoid, s.label FROM pg_seclabel s
		WHERE s.provider = 'purpose' AND s.classoid = 'pg_class'::regclass AND s.objsubid = 0
	)
	SELECT 'error', g.relation::text,
		   format('its protection cannot be resolved (%s): nobody who is bound may use it', g.problem),
		   CASE WHEN d.objoid IS NOT NULL
				THEN format('SELECT purpose._set_label(%L, NULL, NULL); -- then purpose.protect() it again, in the same transaction', g.relation)
				ELSE (SELECT format('SELECT purpose._set_label(%L, NULL, %L);', g.relation, b.label)
					  FROM purpose._tree(g.relation) t JOIN declared b ON b.objoid = t ORDER BY t LIMIT 1) END
	FROM purpose._governed_relations g LEFT JOIN declared d ON d.objoid = g.relation
	WHERE g.problem IS NOT NULL
	-- What only inherits the problem is not the place to mend it.
	AND (d.objoid IS NOT NULL OR EXISTS (SELECT FROM purpose._tree(g.relation) t JOIN declared b ON b.objoid = t))
$$;
COMMENT ON FUNCTION purpose._check_protection() IS 'check(): protections that cannot be resolved';
REVOKE ALL ON FUNCTION purpose._check_protection() FROM PUBLIC;

CREATE FUNCTION purpose._check_floor(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH t AS MATERIALIZED (
		SELECT g.relation, g.relrowsecurity, f.polname AS floor, f.polpermissive AS permissive,
			   f.polname IS NOT NULL AND (f.polcmd <> '*' OR f.polroles <> '{0}'
				   OR pg_get_expr(f.polqual, f.polrelid) IS DISTINCT FROM format('purpose._loaded(%L::regclass)', g.relation)) AS changed,
			   EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = g.relation AND o.polpermissive
					   AND o.polname NOT IN ('purpose_floor', 'purpose_floor_woken')) AS others
		FROM purpose._governed_relations g
		LEFT JOIN pg_policy f ON f.polrelid = g.relation AND f.polname IN ('purpose_floor', 'purpose_floor_woken')
		WHERE g.relkind IN ('r', 'p') AND g.mode = 'enforce'
	)
	SELECT 'error', relation::text,
		   CASE WHEN NOT relrowsecurity AND others
				THEN 'row-level security is off, so that without the library it is open; mending it wakes its other policies'
				WHEN NOT relrowsecurity THEN 'row-level security is off, so that without the library it is open'
				WHEN changed THEN 'the policy of its closed floor was changed'
				WHEN others THEN 'the policy of its closed floor is gone, so that without the library its other policies open it'
				ELSE 'the policy of its closed floor is gone, so that nobody but its owner sees its rows' END,
		   CASE WHEN changed THEN format('DROP POLICY %I ON %s; ', floor, relation) ELSE '' END
		   || CASE WHEN relrowsecurity AND NOT others THEN format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY; ', relation) ELSE '' END
		   || format('SELECT purpose._floor_sync(%L, true);', relation)
	FROM t WHERE NOT relrowsecurity OR floor IS NULL OR changed
	UNION ALL
	SELECT 'error', relation::text,
		   'a policy stands beside the policy of its closed floor, so that without the library it is open',
		   format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', relation)
	FROM t WHERE relrowsecurity AND permissive AND others AND NOT changed
	UNION ALL
	SELECT 'info', g.relation::text, 'a foreign table has no closed floor: without the library these roles read it: '
		   || string_agg(DISTINCT coalesce(r.rolname, 'PUBLIC'), ', '),
		   format('REVOKE ALL ON %s FROM %s;', g.relation,
				  string_agg(DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END, ', '))
	FROM purpose._governed_relations g
	JOIN pg_class c ON c.oid = g.relation
	CROSS JOIN aclexplode(c.relacl) a
	LEFT JOIN pg_roles r ON r.oid = a.grantee
	WHERE g.relkind = 'f' AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner
	GROUP BY g.relation
$$;
COMMENT ON FUNCTION purpose._check_floor() IS 'check(): tables whose closed floor is gone, by the tree that they belong to';
REVOKE ALL ON FUNCTION purpose._check_floor() FROM PUBLIC;

CREATE FUNCTION purpose._personal_name(name text, kind "char") RETURNS text
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	-- Words are told apart by case and by whatever is no letter. The kinds are
	-- type categories: an address_id or an email_verified is nobody's address.
	SELECT k.category FROM (VALUES
		(1, 'user.contact.email', 'SU', 'e_?mails?|e?mail_?addr(ess)?'),
		(2, 'user.contact.phone_number', 'SN', '(tele|cell|mobile)?phones?|(phone|mobile|cell)_?(number|no|nr)|mobile|msisdn|fax|telefono?'),
		(3, 'user.device.ip_address', 'SIU', 'ip|ipv|ip_?addr(ess)?|remote_?addr(ess)?'),
		(4, 'user.device', 'SUN', 'mac_?addr(ess)?|device_?id|imei|user_?agent|advertising_?id|push_?token'),
		(5, 'user.demographic.date_of_birth', 'SDN', 'birth|birth_?(date|day|year|place)|dob|geburts(datum|tag|ort)'),
		(6, 'user.name', 'SU', '(first|last|full|middle|given|family|maiden|sur|fore|nick|person|customer|contact|payer|recipient|patient|employee)_?names?|user_?name|[fl]name|vorname|nachname|prenom'),
		(7, 'user.contact.address', 'SU', 'address(es)?|addr|address_?line|street|street_?(name|address)|strasse|house_?(number|no|nr)'),
		(8, 'user.contact.address.postal_code', 'SN', 'zip|zip_?code|post_?code|postal_?code|plz'),
		(9, 'user.government_id', 'SN', 'ssn|social_?security|passport|national_?id|tax_?(id|number|no)|(drivers?|driving)_?licen[cs]e|identity_?card'),
		(10, 'user.financial', 'SN', 'iban|bic|bank_?account|account_?(number|no|nr)|credit_?card|card_?(number|no|last)|cvv|cvc|salary|wages?|income'),
		(11, 'user.demographic', 'SNEZ', 'gender|sex|nationality|citizenship|marital_?status|ethnicity|ethnic_?(origin|group)|religion|sexual_?orientation'),
		(12, 'user.health', 'SNEU', 'diagnos[ei]s|blood_?(type|group)|disabilit(y|ies)|medication|allerg(y|ies)'),
		(13, 'user.location', 'SNGU', 'latitude|longitude|gps|geo_?location'),
		(14, 'user.biometric', 'SU', 'biometrics?|fingerprint|photo')
	) k(priority, category, kinds, words)
	WHERE position(kind::text IN k.kinds) > 0
	AND '_' || lower(regexp_replace(regexp_replace(regexp_replace(name, '([[:lower:]])([[:upper:]])', '\1_\2', 'g'),
												   '([[:upper:]])([[:upper:]][[:lower:]])', '\1_\2', 'g'),
									'[^[:alpha:]]+', '_', 'g')) || '_' ~ ('_(' || k.words || ')_')
	ORDER BY k.priority LIMIT 1
$$;
COMMENT ON FUNCTION purpose._personal_name(text, "char") IS 'The category of personal data that a column seems to hold, by its name and the category of its type; NULL if none';
REVOKE ALL ON FUNCTION purpose._personal_name(text, "char") FROM PUBLIC;

CREATE FUNCTION purpose._check_names(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'warning', format('%s.%I', u.relation, u."column"),
		   'it has no label, and its name says that it holds personal data',
		   purpose._suggested_label_command(u.relation, u."column", p)
	FROM purpose._unlabelled_columns u, purpose._personal_name(u."column"::text, u.kind) p
	WHERE p IS NOT NULL
$$;
COMMENT ON FUNCTION purpose._check_names() IS 'check(): columns without a label whose names are those of personal data';
REVOKE ALL ON FUNCTION purpose._check_names() FROM PUBLIC;

CREATE FUNCTION purpose._luhn(digits text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT sum(CASE WHEN i % 2 = 1 THEN d WHEN d > 4 THEN 2 * d - 9 ELSE 2 * d END) % 10 = 0
	FROM (SELECT i, substr(reverse(digits), i, 1)::int AS d FROM generate_series(1, length(digits)) i) x
$$;
COMMENT ON FUNCTION purpose._luhn(text) IS 'Has the number the check digit of a payment card?';
REVOKE ALL ON FUNCTION purpose._luhn(text) FROM PUBLIC;

CREATE FUNCTION purpose._personal_value(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN value ~ '[^@[:space:]"<>]+@[^@[:space:]"<>]+\.[[:alpha:]]{2,}' THEN 'user.contact.email'
		WHEN value ~ '^\+[1-9]([ ()./-]{0,2}[0-9]){6,14}$' THEN 'user.contact.phone_number'
		WHEN value ~ '^[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,7}( ?[A-Z0-9]{1,3})?$' THEN 'user.financial.bank_account'
		WHEN value ~ '^((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(/32)?$'
			OR value ~* '^(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|[0-9a-f:]*[0-9a-f]::[0-9a-f:]*)(/128)?$' THEN 'user.device.ip_address'
		WHEN value ~ '^[0-9]([ -]?[0-9]){12,18}$'
			AND purpose._luhn(regexp_replace(value, '[ -]', '', 'g')) THEN 'user.financial.credit_card'
	END
$$;
COMMENT ON FUNCTION purpose._personal_value(text) IS 'The category of personal data that a value looks like, NULL if none';
REVOKE ALL ON FUNCTION purpose._personal_value(text) FROM PUBLIC;

CREATE FUNCTION purpose._sample_content(relation regclass, columns name[], attnums int2[], is_json boolean[])
RETURNS TABLE (attnum int2, category text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
-- Reads some 200 pages and 1000 rows. A document is sampled by its strings.
DECLARE
	pages float8;
BEGIN
	pages := greatest(pg_relation_size(relation) / current_setting('block_size')::float8, 1);
	RETURN QUERY EXECUTE format(
		'SELECT f.attnum, (array_agg(f.category ORDER BY f.hits DESC, f.category))[1]
		 FROM (SELECT v.attnum, purpose._personal_value(v.value) AS category, count(*) AS hits,
					  sum(count(*)) OVER (PARTITION BY v.attnum) AS total
			   FROM (SELECT * FROM ONLY %s TABLESAMPLE SYSTEM (%s) REPEATABLE (0) LIMIT 1000) s
			   CROSS JOIN LATERAL (VALUES %s) v(attnum, value)
			   WHERE v.value <> '''' GROUP BY 1, 2) f
		 WHERE f.category IS NOT NULL AND f.hits >= 3 AND f.hits >= 0.2 * f.total
		 GROUP BY f.attnum',
		relation, least(100, 100 * 200 / pages),
		(SELECT string_agg(CASE WHEN c.json THEN format('(%s::int2, CASE WHEN pg_column_size(s.%I) < 100000 THEN left(s.%2$I::text, 5000) END)', c.num, c.name)
						   ELSE format('(%s::int2, left(s.%I::text, 200))', c.num, c.name) END, ', ')
		 FROM unnest(columns, attnums, is_json) c(name, num, json)));
END $$;
COMMENT ON FUNCTION purpose._sample_content(regclass, name[], int2[], boolean[]) IS 'Which of these columns hold personal data, by a bounded sample: a fifth of the values look like it. Values do not leave the function';
REVOKE ALL ON FUNCTION purpose._sample_content(regclass, name[], int2[], boolean[]) FROM PUBLIC;

CREATE FUNCTION purpose._check_content(max_tables int DEFAULT 2000,
	OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '100ms'
SET row_security = off
AS $$
#variable_conflict use_column
-- Judged like any other reader, an officer who declared no purpose would be
-- refused, or counted as a violation in observe mode. So tables with labels or
-- protection are sampled only for roles that are exempt.
DECLARE
	exempt boolean := (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.oid = purpose._acting_role());
	t record;
	findings record;
	found_here jsonb;
	done int := 0;
	failed int := 0;
	judged int := 0;
	beyond int := 0;
BEGIN
	FOR t IN
		-- Of a partitioned table the largest partition stands for all.
		WITH RECURSIVE leaf AS (
			SELECT u.relation::oid AS root, u.relation::oid AS oid FROM purpose._user_relations u WHERE NOT u.relispartition
			UNION ALL
			SELECT leaf.root, i.inhrelid FROM leaf JOIN pg_class c ON c.oid = leaf.oid AND c.relkind = 'p'
			JOIN pg_inherits i ON i.inhparent = leaf.oid
		), sampled AS (
			SELECT DISTINCT ON (leaf.root) leaf.root, leaf.oid, pg_relation_size(leaf.oid) AS size
			FROM leaf JOIN pg_class c ON c.oid = leaf.oid AND c.relkind IN ('r', 'm')
			ORDER BY leaf.root, 3 DESC, 2
		)
		SELECT s.root::regclass AS relation, s.oid::regclass AS sample, s.size,
			   (purpose._protection(s.root)).mode IS NOT NULL AS governed,
			   array_agg(a.attname ORDER BY a.attnum) AS columns, array_agg(a.attnum ORDER BY a.attnum) AS attnums,
			   array_agg(u.base_type IN ('json'::regtype, 'jsonb'::regtype) ORDER BY a.attnum) AS is_json
		FROM sampled s JOIN purpose._unlabelled_columns u ON u.relation = s.root
		JOIN pg_attribute a ON a.attrelid = s.oid AND a.attname = u."column"
		WHERE s.size > 0
		AND u.base_type IN ('text', 'varchar', 'bpchar', 'inet', 'cidr', 'json', 'jsonb')
		AND purpose._personal_name(u."column"::text, u.kind) IS NULL
		GROUP BY s.root, s.oid, s.size
		ORDER BY s.size DESC, s.root
	LOOP
		IF t.governed AND NOT exempt THEN
			judged := judged + 1;
			CONTINUE;
		ELSIF done >= max_tables THEN
			beyond := beyond + 1;
			CONTINUE;
		END IF;
		done := done + 1;
		found_here := '[]';
		BEGIN
			SELECT coalesce(jsonb_agg(jsonb_build_array(a.attname, c.category) ORDER BY a.attnum), '[]') INTO found_here
			FROM purpose._sample_content(t.sample, t.columns, t.attnums, t.is_json) c
			JOIN pg_attribute a ON a.attrelid = t.sample AND a.attnum = c.attnum;
			-- Rolled back, so that the locks of hundreds of tables do not pile up.
			RAISE EXCEPTION USING ERRCODE = 'PU000';
		EXCEPTION
			WHEN SQLSTATE 'PU000' THEN NULL;
			WHEN OTHERS THEN failed := failed + 1;
		END;
		FOR findings IN SELECT f ->> 0 AS col, f ->> 1 AS category FROM jsonb_array_elements(found_here) f LOOP
			severity := 'warning';
			object := format('%s.%I', t.relation, findings.col);
			problem := format('it has no label, and a sample of its values looks like personal data (%s)', findings.category);
			remedy := purpose._suggested_label_command(t.relation, findings.col::name, findings.category);
			RETURN NEXT;
		END LOOP;
	END LOOP;
	severity := 'info';
	object := 'purpose.check()';
	IF judged > 0 THEN
		problem := format('the values of %s labelled or protected table(s) were not sampled: the role is bound by enforcement itself', judged);
		remedy := 'RESET ROLE; SELECT * FROM purpose.check(); -- as a superuser';
		RETURN NEXT;
	END IF;
	IF failed + beyond > 0 THEN
		problem := format('the values of %s table(s) were not sampled: %s could not be read at once, %s are beyond the first %s',
						  failed + beyond, failed, beyond, max_tables);
		remedy := format('SELECT * FROM purpose._check_content(%s);', done + beyond);
		RETURN NEXT;
	END IF;
END $$;
COMMENT ON FUNCTION purpose._check_content(int) IS 'check(): columns without a label whose values look like personal data, by a sample that never leaves the function';
REVOKE ALL ON FUNCTION purpose._check_content(int) FROM PUBLIC;

CREATE FUNCTION purpose._check_copies(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE labelled AS MATERIALIZED (
		SELECT g.relation::oid AS relation, g.relispartition, a.attnum, a.attname, a.atttypid, min(l.label) AS label
		FROM purpose._governed_relations g, purpose._column_labels(g.relation) l
		JOIN pg_attribute a ON a.attnum = l.attnum
		WHERE a.attrelid = g.relation AND l.label IS NOT NULL
		GROUP BY 1, 2, 3, 4, 5
	), reads AS (
		-- What a materialised view reads, through views too.
		SELECT r.ev_class AS matview, d.refobjid AS relation, d.refobjsubid AS attnum
		FROM pg_class m JOIN pg_rewrite r ON r.ev_class = m.oid
		JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
		WHERE m.relkind = 'm'
		UNION
		SELECT reads.matview, d.refobjid, d.refobjsubid
		FROM reads JOIN pg_class v ON v.oid = reads.relation AND v.relkind = 'v'
		JOIN pg_rewrite r ON r.ev_class = v.oid
		JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
	), laundered AS (
		SELECT reads.matview, l.relation, l.attname, l.label,
			   EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = reads.matview AND a.attname = l.attname AND a.attnum > 0) AS same_name
		FROM reads JOIN labelled l ON l.relation = reads.relation AND l.attnum = reads.attnum
		WHERE reads.matview NOT IN (SELECT relation FROM labelled)
	), originals AS MATERIALIZED (
		SELECT attname, atttypid, min(label) AS label, min(format('%s.%I', relation::regclass, attname)) AS source
		FROM labelled WHERE NOT relispartition GROUP BY attname, atttypid
	)
	SELECT 'warning', m.matview::regclass::text,
		   format('a materialised view without labels is made from labelled columns: %s',
				  string_agg(DISTINCT format('%s.%I', m.relation::regclass, m.attname), ', ')),
		   -- By the names of the columns where it has them, else all of its columns.
		   coalesce((SELECT string_agg(purpose._label_command(m.matview, x.attname, NULL, x.label), ' ' ORDER BY x.attname)
					 FROM (SELECT n.attname, min(n.label) AS label FROM laundered n
						   WHERE n.matview = m.matview AND n.same_name GROUP BY n.attname) x),
					(SELECT string_agg(purpose._label_command(m.matview, a.attname, NULL, min(m.label)), ' ' ORDER BY a.attnum)
					 FROM pg_attribute a WHERE a.attrelid = m.matview AND a.attnum > 0 AND NOT a.attisdropped))
	FROM laundered m GROUP BY m.matview
	UNION ALL
	SELECT 'warning', c.relation::text,
		   format('it looks like a copy: a table without labels has the name and type of labelled columns: %s',
				  string_agg(c.source, ', ' ORDER BY c.attname)),
		   string_agg(purpose._label_command(c.relation, c.attname, NULL, c.label), ' ' ORDER BY c.attname)
	FROM (SELECT r.relation, a.attname, o.label, o.source
		  FROM purpose._user_relations r
		  JOIN pg_attribute a ON a.attrelid = r.relation AND a.attnum > 0 AND NOT a.attisdropped
		  JOIN originals o ON o.attname = a.attname AND o.atttypid = a.atttypid
		  WHERE r.relkind IN ('r', 'p') AND NOT r.relispartition
		  AND (purpose._protection(r.relation)).mode IS NULL) c
	GROUP BY c.relation
$$;
COMMENT ON FUNCTION purpose._check_copies() IS 'check(): materialised views and tables that hold labelled data without its labels';
REVOKE ALL ON FUNCTION purpose._check_copies() FROM PUBLIC;

CREATE FUNCTION purpose._check_foreign_keys(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'warning', con.conrelid::regclass::text,
		   format('it is not protected, and its foreign key %I leads to %s, which is', con.conname, con.confrelid::regclass),
		   format('SELECT purpose.protect(%L, %s => %L, mode => ''observe'');', con.conrelid::regclass,
				  CASE WHEN d.kind = 'subject' AND d.target_table IS NULL
					   AND purpose._attnums(con.confrelid, d.columns) = con.confkey THEN 'subject' ELSE 'via' END,
				  purpose._column_list(con.conrelid, con.conkey))
	FROM pg_constraint con
	JOIN purpose._user_relations r ON r.relation = con.conrelid
	JOIN purpose._governed_relations g ON g.relation = con.confrelid AND g.protected AND g.problem IS NULL
	LEFT JOIN pg_seclabel s ON s.objoid = con.confrelid AND s.classoid = 'pg_class'::regclass
		AND s.objsubid = 0 AND s.provider = 'purpose'
	CROSS JOIN LATERAL purpose._parse_declaration(CASE WHEN g.problem IS NULL THEN s.label END) d
	WHERE con.contype = 'f' AND con.conparentid = 0 AND con.conrelid <> con.confrelid
	AND (purpose._protection(con.conrelid)).protected IS NOT TRUE
$$;
COMMENT ON FUNCTION purpose._check_foreign_keys() IS 'check(): tables that refer to data subjects and are not protected';
REVOKE ALL ON FUNCTION purpose._check_foreign_keys() FROM PUBLIC;

CREATE FUNCTION purpose._check_roles(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	-- 10 is the role that initdb made; there is no server without it.
	SELECT f.severity, format('role %I', r.rolname), f.problem, format(f.remedy, r.rolname)
	FROM pg_roles r CROSS JOIN LATERAL (
		SELECT 'warning', 'a superuser passes all checks',
			   'ALTER ROLE %I NOSUPERUSER' || CASE WHEN r.rolbypassrls THEN ' NOBYPASSRLS;' ELSE ';' END
		WHERE r.rolsuper AND r.oid <> 10
		UNION ALL
		SELECT 'warning', 'BYPASSRLS passes all checks', 'ALTER ROLE %I NOBYPASSRLS;' WHERE r.rolbypassrls AND NOT r.rolsuper
		UNION ALL
		SELECT 'info', 'REPLICATION reads all data past the checks', 'ALTER ROLE %I NOREPLICATION;' WHERE r.rolreplication AND NOT r.rolsuper
		UNION ALL
		SELECT 'warning', 'CREATEROLE can make itself a member of a role that holds any purpose, until PostgreSQL 16', 'ALTER ROLE %I NOCREATEROLE;'
		WHERE r.rolcreaterole AND NOT r.rolsuper AND current_setting('server_version_num')::int < 160000
		UNION ALL
		SELECT 'warning', format('a member of %s can reach the server''s files, and so all data', g.rolname),
			   replace(format('REVOKE %I FROM ', g.rolname), '%', '%%') || '%I;'
		FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
		WHERE m.member = r.oid AND NOT r.rolsuper
		AND g.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
	) f(severity, problem, remedy)
	UNION ALL
	SELECT 'info', format('function %s', s.objoid::regprocedure), 'it is exempt: while it runs, nothing is enforced',
		   format('SECURITY LABEL FOR purpose ON ROUTINE %s IS NULL;', s.objoid::regprocedure)
	FROM pg_seclabel s WHERE s.provider = 'purpose' AND s.classoid = 'pg_proc'::regclass
$$;
COMMENT ON FUNCTION purpose._check_roles() IS 'check(): who and what is not bound by enforcement';
REVOKE ALL ON FUNCTION purpose._check_roles() FROM PUBLIC;

CREATE FUNCTION purpose._check_consents(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	-- Left alone, they would come into force for whatever takes the name.
	SELECT 'warning', format('purpose %s', s.purpose), format('it does not exist, and %s consent state(s) are on record for it', count(*)),
		   format('DELETE FROM purpose.consent_state WHERE purpose = %L; -- their history stays', s.purpose)
	FROM purpose.consent_state s
	WHERE s.purpose <> '' AND s.purpose NOT IN (SELECT name FROM purpose.purpose_catalog)
	GROUP BY s.purpose
	UNION ALL
	SELECT 'warning', 'purpose.consent_state', format('%s consent state(s) belong to a table that is gone', count(*)),
		   'DELETE FROM purpose.consent_state WHERE subject_table::oid NOT IN (SELECT oid FROM pg_catalog.pg_class); -- their history stays'
	FROM purpose.consent_state s
	WHERE s.subject_table::oid NOT IN (SELECT oid FROM pg_class)
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION purpose._check_consents() IS 'check(): consents for what is gone';
REVOKE ALL ON FUNCTION purpose._check_consents() FROM PUBLIC;

CREATE FUNCTION purpose._check_observing(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
		SELECT 'info', g.relation::text, 'it is only observed: nothing is refused',
			   format('SELECT purpose.set_mode(%L, ''enforce'');', g.relation)
		FROM purpose._governed_relations g
		JOIN pg_seclabel s ON s.objoid = g.relation AND s.classoid = 'pg_class'::regclass
			AND s.objsubid = 0 AND s.provider = 'purpose'
		WHERE g.mode = 'observe';
	RETURN QUERY
		SELECT 'info', c.oid::regclass::text, 'it is locked at the moment, and was not looked at', 'SELECT * FROM purpose.check();'
		FROM purpose._locked_relations() l JOIN pg_class c ON c.oid = l
		WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'f', 'm');
	IF purpose._loaded() THEN
		RETURN QUERY
			SELECT 'warning', 'purpose.observe_max', format('%s violation(s) found no room to be counted', n),
				   format('purpose.observe_max = %s  # then restart the server', 2 * current_setting('purpose.observe_max')::int)
			FROM purpose._observed_dropped() n WHERE n > 0;
	END IF;
END $$;
COMMENT ON FUNCTION purpose._check_observing() IS 'check(): what is observed only, and whether observing lost anything';
REVOKE ALL ON FUNCTION purpose._check_observing() FROM PUBLIC;

CREATE FUNCTION purpose._check_one(kind text, OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY EXECUTE format('SELECT severity, object, problem, remedy FROM purpose.%I()', '_check_' || kind);
EXCEPTION WHEN OTHERS THEN
	severity := 'error';
	object := format('purpose._check_%s()', kind);
	problem := format('this part of the check failed: %s (%s)', SQLERRM, SQLSTATE);
	remedy := format('SELECT * FROM purpose._check_%s();', kind);
	RETURN NEXT;
END $$;
COMMENT ON FUNCTION purpose._check_one(text) IS 'Runs one part of check(), and makes its failure a finding';
REVOKE ALL ON FUNCTION purpose._check_one(text) FROM PUBLIC;

CREATE FUNCTION purpose.check() RETURNS TABLE (severity text, object text, problem text, remedy text)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '1s'
AS $$
	SELECT c.severity, c.object, c.problem, c.remedy
	FROM unnest(ARRAY['library', 'labels', 'purposes', 'protection', 'floor', 'names', 'content', 'copies',
					  'foreign_keys', 'roles', 'consents', 'observing']) WITH ORDINALITY k(kind, ord)
	CROSS JOIN LATERAL purpose._check_one(k.kind) c
	ORDER BY array_position(ARRAY['error', 'warning', 'info'], c.severity), k.ord, c.object COLLATE "C", c.problem COLLATE "C"
$$;
COMMENT ON FUNCTION purpose.check() IS 'Looks for what is missing, lost or forgotten. severity is error (data is open, or closed to all), warning or info; remedy is SQL that runs as it stands, or a line of postgresql.conf. Never shows data';
REVOKE ALL ON FUNCTION purpose.check() FROM PUBLIC;
