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
	event_id bigint NOT NULL,
	CONSTRAINT consent_state_pkey PRIMARY KEY (subject_table, subject, purpose),
	CHECK ((purpose = '') = (state = 'restricted'))
);
COMMENT ON TABLE purpose.consent_state IS 'The state in force for each subject and purpose; the empty purpose holds the restriction of processing (GDPR Art. 18)';

CREATE TABLE purpose.consent_import (
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
COMMENT ON FUNCTION purpose._loaded() IS 'Is the library preloaded? The closed floor of tables asks this';

CREATE FUNCTION purpose._visible(relation oid, VARIADIC key "any") RETURNS boolean
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 10
AS 'MODULE_PATHNAME', 'purpose_visible';
COMMENT ON FUNCTION purpose._visible(oid, "any") IS 'The row rule that the planner puts into queries. Errors PU001 to PU004, PU006';

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

CREATE TRIGGER declarations_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON purpose.purpose_catalog FOR EACH STATEMENT EXECUTE FUNCTION purpose._declarations_changed();
ALTER TABLE purpose.purpose_catalog ENABLE ALWAYS TRIGGER declarations_changed;
CREATE TRIGGER declarations_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE
	ON purpose.purpose_grant FOR EACH STATEMENT EXECUTE FUNCTION purpose._declarations_changed();
ALTER TABLE purpose.purpose_grant ENABLE ALWAYS TRIGGER declarations_changed;

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
				 FROM purpose.purpose_grant g WHERE g.purpose = tree.name ORDER BY 1) AS granted_to
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
	SELECT coalesce(format('column %I of %s', l."column", l.relation), format('domain %s', l.domain)) INTO used
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
-- Row-level security is enabled before the policy is there: enabled after, it
-- would be taken for the owner's own wish (_floor_user_enables).
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
		WHERE polrelid = relation AND polname IN ('purpose_floor', 'purpose_floor_woken');
	IF found AND coalesce(floor_wanted, false) THEN
		IF NOT c.relrowsecurity THEN
			EXECUTE format('DROP POLICY %I ON %s', existing.polname, relation);
			EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
			EXECUTE format('CREATE POLICY %I ON %s AS %s USING (purpose._loaded()) WITH CHECK (true)',
						   existing.polname, relation,
						   CASE WHEN existing.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END);
		END IF;
	ELSIF found THEN
		EXECUTE format('DROP POLICY %I ON %s', existing.polname, relation);
		IF existing.polpermissive OR existing.polname = 'purpose_floor_woken' THEN
			EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', relation);
		END IF;
	ELSIF coalesce(floor_wanted, false) THEN
		foreign_policies := EXISTS (SELECT FROM pg_policy WHERE polrelid = relation);
		IF c.relrowsecurity THEN
			EXECUTE format('CREATE POLICY purpose_floor ON %s AS RESTRICTIVE USING (purpose._loaded()) WITH CHECK (true)', relation);
		ELSIF foreign_policies AND NOT force THEN
			RAISE WARNING 'table % has policies that are switched off, and gets no closed floor', relation
				USING HINT = 'Drop them, or switch them on with purpose.protect(..., force => true).';
		ELSIF foreign_policies THEN
			EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
			EXECUTE format('CREATE POLICY purpose_floor_woken ON %s AS RESTRICTIVE USING (purpose._loaded()) WITH CHECK (true)', relation);
		ELSE
			EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
			EXECUTE format('CREATE POLICY purpose_floor ON %s AS PERMISSIVE USING (purpose._loaded()) WITH CHECK (true)', relation);
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
AS $$ SELECT purpose._floor_sync(t, force) FROM purpose._tree(relation) t $$;
COMMENT ON FUNCTION purpose._floor_sync_tree(regclass, boolean) IS '_floor_sync for a table and everything that inherits from it';
REVOKE ALL ON FUNCTION purpose._floor_sync_tree(regclass, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._floor_user_enables(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF EXISTS (SELECT FROM pg_policy WHERE polrelid = relation
			   AND polname IN ('purpose_floor', 'purpose_floor_woken')
			   AND (polpermissive OR polname = 'purpose_floor_woken')) THEN
		EXECUTE format('DROP POLICY IF EXISTS purpose_floor ON %s', relation);
		EXECUTE format('DROP POLICY IF EXISTS purpose_floor_woken ON %s', relation);
		EXECUTE format('CREATE POLICY purpose_floor ON %s AS RESTRICTIVE USING (purpose._loaded()) WITH CHECK (true)', relation);
	END IF;
END $$;
COMMENT ON FUNCTION purpose._floor_user_enables(regclass) IS 'The owner enabled row-level security himself: his own policies count from now on';
REVOKE ALL ON FUNCTION purpose._floor_user_enables(regclass) FROM PUBLIC;

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
	keys int2[] := purpose._attnums(relation, (purpose._parse_declaration('subject ' || subject)).columns);
	columns text := purpose._column_list(relation, keys);
	target regclass := subject_of;
	bad text;
BEGIN
	SELECT format_type(t.oid, NULL) INTO bad
		FROM pg_attribute a JOIN pg_type t0 ON t0.oid = a.atttypid
		JOIN pg_type t ON t.oid = CASE WHEN t0.typtype = 'd' THEN t0.typbasetype ELSE t0.oid END
		WHERE a.attrelid = relation AND a.attnum = ANY (keys)
		AND t.oid NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'uuid'::regtype,
						  'text'::regtype, 'varchar'::regtype)
		LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'a subject key cannot be of type %', bad
			USING ERRCODE = '42804', HINT = 'Subject keys are smallint, integer, bigint, uuid, text or varchar, or several such columns.';
	END IF;
	IF target IS NULL THEN
		SELECT con.confrelid::regclass INTO target
			FROM pg_constraint con JOIN purpose._declared_tables d
				ON d.relation = con.confrelid AND d.kind = 'subject' AND d.target IS NULL
			WHERE con.contype = 'f' AND con.conrelid = relation AND con.conkey = keys
			AND purpose._attnums(con.confrelid, d.columns) = con.confkey
			ORDER BY con.oid LIMIT 1;
	END IF;
	IF target = relation THEN
		target := NULL;
	END IF;
	IF target IS NOT NULL THEN
		IF NOT EXISTS (SELECT FROM purpose._declared_tables d
					   WHERE d.relation = target AND d.kind = 'subject' AND d.target IS NULL
					   AND cardinality(d.columns) = cardinality(keys)) THEN
			RAISE EXCEPTION '% is not a subject table with a key of % columns', target, cardinality(keys)
				USING ERRCODE = 'PU006',
					  HINT = format('Declare it first: SELECT purpose.protect(%L, subject => ''<its key>'').', target);
		END IF;
		RETURN format('subject %s of %s', columns, purpose._qualified(target));
	END IF;
	IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = relation AND indisunique AND indpred IS NULL
				   AND indkey::int2[] <@ keys AND indnkeyatts = cardinality(keys)) THEN
		RAISE EXCEPTION 'column(s) % of % neither are a unique key nor refer to a subject table', columns, relation
			USING ERRCODE = 'PU006',
				  HINT = 'Protect the subject table first, or name it with of => ''...'', or follow a foreign key with via => ''...''.';
	END IF;
	RETURN format('subject %s', columns);
END $$;
COMMENT ON FUNCTION purpose._subject_declaration(regclass, text, regclass) IS 'The label text for protect(subject => ...). Errors PU006, 42703, 42804';

CREATE FUNCTION purpose._via_declaration(relation regclass, via text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	keys int2[] := purpose._attnums(relation, (purpose._parse_declaration('subject ' || via)).columns);
	con record;
BEGIN
	SELECT c.* INTO con FROM pg_constraint c
		WHERE c.contype = 'f' AND c.conrelid = relation AND c.conkey @> keys
		ORDER BY cardinality(c.conkey), c.oid LIMIT 1;
	IF NOT found THEN
		RAISE EXCEPTION 'no foreign key of % starts at column(s) %', relation, purpose._column_list(relation, keys)
			USING ERRCODE = 'PU006', HINT = 'via => follows a foreign key to a protected table.';
	END IF;
	IF con.confrelid = relation::oid OR (purpose._protection(con.confrelid)).protected IS NOT TRUE THEN
		RAISE EXCEPTION '% leads to %, which is not protected', relation, con.confrelid::regclass
			USING ERRCODE = 'PU006', HINT = 'Protect that table first.';
	END IF;
	RETURN format('via %s to %s (%s)', purpose._column_list(relation, con.conkey),
				  purpose._qualified(con.confrelid), purpose._column_list(con.confrelid, con.confkey));
END $$;
COMMENT ON FUNCTION purpose._via_declaration(regclass, text) IS 'The label text for protect(via => ...). Errors PU006, 42703';

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
	IF mode IS NULL OR NOT EXISTS (SELECT FROM purpose._declared_tables d WHERE d.relation = set_mode.relation) THEN
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
	INSERT INTO purpose.consent_history (subject_table, subject, purpose, state, at, expires_at, evidence, recorded_by)
		VALUES (_record_event.subject_table, key, _record_event.purpose, _record_event.state, purpose._now(),
				_record_event.expires_at, _record_event.evidence, purpose._acting_role_name())
		RETURNING event_id INTO id;
	IF state IN ('objection_withdrawn', 'restriction_lifted') THEN
		DELETE FROM purpose.consent_state s
			WHERE s.subject_table = _record_event.subject_table AND s.subject = key
			AND s.purpose = coalesce(_record_event.purpose, '')
			AND s.state = CASE _record_event.state WHEN 'objection_withdrawn' THEN 'objected' ELSE 'restricted' END;
	ELSE
		INSERT INTO purpose.consent_state AS s (subject_table, subject, purpose, state, expires_at, event_id)
			VALUES (_record_event.subject_table, key, coalesce(_record_event.purpose, ''), _record_event.state,
					_record_event.expires_at, id)
			ON CONFLICT ON CONSTRAINT consent_state_pkey DO UPDATE
			SET state = excluded.state, expires_at = excluded.expires_at, event_id = excluded.event_id;
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
				f.what || '. Returns the event''s number. Errors PU002, PU006, PU009');
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
	SELECT i.purpose, i.state INTO bad FROM (SELECT DISTINCT purpose, state FROM imported) i
		WHERE i.state NOT IN ('given', 'refused', 'withdrawn', 'objected') LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'consent state "%" cannot be imported', bad.state USING ERRCODE = '22023',
			HINT = 'One of given, refused, withdrawn, objected.';
	END IF;
	PERFORM purpose._require_consent_model(i.purpose, i.state)
		FROM (SELECT DISTINCT purpose, state FROM imported) i;
	INSERT INTO purpose.consent_history (subject_table, subject, purpose, state, at, expires_at, evidence, recorded_by)
		SELECT subject_table, purpose._subject_key(subject_table, subject), purpose, state, at, expires_at, evidence,
			   purpose._acting_role_name()
		FROM imported ORDER BY at;
	-- The latest event of each subject and purpose is the state in force,
	-- unless a later one is on record already.
	INSERT INTO purpose.consent_state AS s (subject_table, subject, purpose, state, expires_at, event_id)
		SELECT DISTINCT ON (h.subject_table, h.subject, h.purpose)
			   h.subject_table, h.subject, h.purpose, h.state, h.expires_at, h.event_id
		FROM purpose.consent_history h
		JOIN (SELECT DISTINCT subject_table, purpose._subject_key(subject_table, subject) AS subject, purpose FROM imported) i
			ON i.subject_table = h.subject_table AND i.subject = h.subject AND i.purpose = h.purpose
		WHERE h.state <> 'objection_withdrawn'
		ORDER BY h.subject_table, h.subject, h.purpose, h.at DESC, h.event_id DESC
		ON CONFLICT ON CONSTRAINT consent_state_pkey DO UPDATE
		SET state = excluded.state, expires_at = excluded.expires_at, event_id = excluded.event_id;
	DELETE FROM purpose.consent_import;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION purpose._import_consents() IS 'Moves what was loaded into consent_import to the history, set by set';
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
				   s.purpose, h.at, s.expires_at
			FROM purpose.consent_state s LEFT JOIN purpose.consent_history h USING (event_id)
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
	acting oid := coalesce(purpose._role_oid(role), purpose._acting_role());
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
