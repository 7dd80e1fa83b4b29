/*
 * pg_purpose--0.1.sql
 *		Full install script.
 *
 * Order: schema and tables; what C needs; purposes; labels; tables; consent;
 * sealed types; migration; legal holds; shredding; journal; observing and
 * checking.  Each object has its COMMENT and its privileges beside it.  Functions whose name starts with an underscore are internal.
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
CREATE INDEX consent_state_restricted_idx ON purpose.consent_state (subject_table) WHERE purpose = '';
CREATE STATISTICS purpose.consent_state_mcv (mcv) ON subject_table, purpose, state FROM purpose.consent_state;
COMMENT ON STATISTICS purpose.consent_state_mcv IS 'Which share of the subjects permits which purpose, for the planner''s estimates';
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

CREATE TABLE purpose.keyring_binding (
	single boolean PRIMARY KEY DEFAULT true CHECK (single),
	keyring uuid NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(),
	created_by name NOT NULL
);
COMMENT ON TABLE purpose.keyring_binding IS 'Which keyring this database''s sealed values are under. A restored dump is bound to it as well';

CREATE TABLE purpose.keyring_copy (
	keyring uuid NOT NULL,
	other uuid NOT NULL,
	is_origin boolean NOT NULL,
	version bigint NOT NULL,
	numbers_below bigint NOT NULL,
	made_at timestamptz NOT NULL,
	made_by text NOT NULL,
	ended_at timestamptz,
	ended_by name,
	verified boolean,
	CONSTRAINT keyring_copy_pkey PRIMARY KEY (keyring, other)
);
COMMENT ON TABLE purpose.keyring_copy IS 'Other keyrings that have keys of this database''s: forks that were made of it, and (is_origin) those of which it is one. They share the keys of numbers below numbers_below, but those that were punctured up to this version. made_by: host, data directory and database of the fork; ended_at: since when the other one is gone, verified if its keys were destroyed here, not so if ended_by said it';

CREATE TABLE purpose.sealed_type_registry (
	sealed_type regtype CONSTRAINT sealed_type_registry_pkey PRIMARY KEY,
	base_type regtype NOT NULL,
	name text COLLATE "C" NOT NULL,
	pad int NOT NULL,
	is_binary boolean NOT NULL,
	searchable boolean NOT NULL,
	shipped boolean NOT NULL
);
COMMENT ON TABLE purpose.sealed_type_registry IS 'Sealed types and what they seal. Values are bound to name, so it never changes; pad is the multiple that plaintext is padded to where a label names none; is_binary: sealed in the base type''s binary form, else as text; searchable: values carry a token that equality is compared by';
GRANT SELECT ON purpose.sealed_type_registry TO PUBLIC;

CREATE TABLE purpose.sealed_label (
	label_id bigint CONSTRAINT sealed_label_pkey PRIMARY KEY,
	typmod int NOT NULL CONSTRAINT sealed_label_typmod_key UNIQUE,
	label text COLLATE "C" NOT NULL
);
COMMENT ON TABLE purpose.sealed_label IS 'Labels of sealed types. Id and type modifier are parts of a hash of the text, the same in every database; rows never change';
GRANT SELECT ON purpose.sealed_label TO PUBLIC;

CREATE TABLE purpose.key_group (
	name text COLLATE "C" PRIMARY KEY,
	number int NOT NULL UNIQUE
);
COMMENT ON TABLE purpose.key_group IS 'Key groups that labels name; the number is part of a hash of the name';
GRANT SELECT ON purpose.key_group TO PUBLIC;

CREATE TABLE purpose.subject_number (
	subject_table regclass NOT NULL,
	subject text COLLATE "C" NOT NULL,
	number bigint NOT NULL CONSTRAINT subject_number_number_key UNIQUE,
	CONSTRAINT subject_number_pkey PRIMARY KEY (subject_table, subject)
);
COMMENT ON TABLE purpose.subject_number IS 'The number in the keyring of each data subject that had a value sealed. No key, and nothing that one could be made from';

CREATE TABLE purpose.retired_number (
	subject_table regclass NOT NULL,
	subject text COLLATE "C" NOT NULL,
	number bigint NOT NULL CONSTRAINT retired_number_number_key UNIQUE
);
CREATE INDEX retired_number_subject_idx ON purpose.retired_number (subject_table, subject);
COMMENT ON TABLE purpose.retired_number IS 'Numbers that subjects had before they were readmitted after a shred';

CREATE TABLE purpose.token_key (
	relation regclass NOT NULL,
	"column" name NOT NULL,
	number bigint NOT NULL UNIQUE,
	created_at timestamptz NOT NULL,
	CONSTRAINT token_key_pkey PRIMARY KEY (relation, "column")
);
COMMENT ON TABLE purpose.token_key IS 'The number in the keyring of the token key of each searchable column; partitions share that of their topmost parent';

CREATE TABLE purpose.shred_receipt (
	receipt_id uuid CONSTRAINT shred_receipt_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
	keyring uuid NOT NULL,
	numbers bigint[] NOT NULL,
	group_numbers int[],
	groups text[],
	kind text NOT NULL DEFAULT 'subject' CHECK (kind IN ('subject', 'token')),
	subject_hash bytea,
	requested_at timestamptz NOT NULL DEFAULT now(),
	requested_by text COLLATE "C" NOT NULL,
	unreachable_at timestamptz,
	punctured_version bigint,
	destroyed_at timestamptz,
	evidence text
) WITH (fillfactor = 45); -- each row is updated at least once, soon
CREATE INDEX shred_receipt_pending_idx ON purpose.shred_receipt (requested_at) WHERE destroyed_at IS NULL;
CREATE INDEX shred_receipt_numbers_idx ON purpose.shred_receipt ((numbers[1]));
COMMENT ON TABLE purpose.shred_receipt IS 'Shreds. Until destroyed_at is set a row is the tombstone that keeps the keys from being used; groups NULL means all of them. numbers begins with the subject''s current one';

CREATE TABLE purpose.legal_hold (
	hold_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT legal_hold_pkey PRIMARY KEY,
	relation regclass NOT NULL,
	condition text,
	subject text COLLATE "C",
	reason text NOT NULL,
	held_at timestamptz NOT NULL,
	held_by name NOT NULL,
	released_at timestamptz,
	released_by name,
	CHECK (num_nonnulls(condition, subject) = 1)
);
CREATE INDEX legal_hold_in_force_idx ON purpose.legal_hold (relation, subject) WHERE released_at IS NULL;
COMMENT ON TABLE purpose.legal_hold IS 'Legal holds, those released too: of a data subject, or of the rows of a relation that fulfil a condition';

CREATE TABLE purpose.column_migration (
	migration_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT column_migration_pkey PRIMARY KEY,
	relation regclass NOT NULL,
	"column" name NOT NULL,
	direction text NOT NULL CHECK (direction IN ('seal', 'unseal')),
	abandoned boolean NOT NULL DEFAULT false,
	label text NOT NULL,
	column_label text,
	shadow name NOT NULL,
	target text NOT NULL,
	shredded_as_null boolean NOT NULL,
	phase text NOT NULL CHECK (phase IN ('converting', 'rewriting', 'statistics', 'done')),
	pass int NOT NULL DEFAULT 1,
	part regclass,
	next_block bigint,
	end_block bigint,
	pass_found bigint NOT NULL DEFAULT 0,
	nobodys bigint NOT NULL DEFAULT 0,
	shredded bigint NOT NULL DEFAULT 0,
	closed bigint NOT NULL DEFAULT 0,
	rows_done bigint NOT NULL DEFAULT 0,
	rows_estimated bigint NOT NULL,
	started_at timestamptz NOT NULL,
	started_by name NOT NULL,
	last_batch_at timestamptz,
	rewritten_by xid8,
	finished_at timestamptz,
	clear_copies_until timestamptz
);
CREATE UNIQUE INDEX column_migration_unfinished_key ON purpose.column_migration (relation) WHERE finished_at IS NULL;
COMMENT ON TABLE purpose.column_migration IS 'Columns that were, or are being, sealed or unsealed in place. part, next_block: how far the pass over the rows has come; pass_found: rows that it changed or had to leave; clear_copies_until: when the last backup that holds the column in clear expires, by purpose.backup_horizon';

CREATE TABLE purpose.journal_state (
	keyring uuid CONSTRAINT journal_state_pkey PRIMARY KEY,
	incarnation bigint NOT NULL,
	sequence bigint NOT NULL,
	hash bytea NOT NULL
);
COMMENT ON TABLE purpose.journal_state IS 'Up to which entry this database has written the journal beside its keyring, and the chain of hashes there. A journal that goes on tells that the database was put back to an earlier moment';

CREATE TABLE purpose.journal_outbox (
	event uuid CONSTRAINT journal_outbox_pkey PRIMARY KEY DEFAULT gen_random_uuid(),
	id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
	kind text NOT NULL,
	imported boolean NOT NULL DEFAULT false,
	subject_table regclass,
	subject text COLLATE "C",
	purpose text COLLATE "C",
	at timestamptz NOT NULL,
	detail jsonb
);
COMMENT ON TABLE purpose.journal_outbox IS 'Events that wait for being appended to the journal; written by the transaction that does them';

CREATE TABLE purpose.journal_table (
	subject_table regclass CONSTRAINT journal_table_pkey PRIMARY KEY,
	name text COLLATE "C" NOT NULL CONSTRAINT journal_table_name_key UNIQUE
);
COMMENT ON TABLE purpose.journal_table IS 'Under which name a subject table is in the journal: the one that it had when the journal first met it, whatever it is called now';

CREATE TABLE purpose.journal_replay (
	id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT journal_replay_pkey PRIMARY KEY,
	sequence bigint NOT NULL,
	kind text NOT NULL,
	imported boolean NOT NULL,
	table_name text COLLATE "C",
	subject_hash bytea,
	purpose text COLLATE "C",
	at timestamptz NOT NULL,
	detail jsonb,
	late boolean NOT NULL DEFAULT false,
	subject_table regclass,
	subject text COLLATE "C"
);
CREATE INDEX journal_replay_hash_idx ON purpose.journal_replay (subject_hash);
COMMENT ON TABLE purpose.journal_replay IS 'Entries of the journal that reconcile() could not replay because their subject is not there. It tries again each time';

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
SELECT pg_catalog.pg_extension_config_dump('purpose.sealed_type_registry', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('purpose.sealed_label', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.key_group', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.subject_number',
	'WHERE subject_table::oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('purpose.retired_number',
	'WHERE subject_table::oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('purpose.token_key',
	'WHERE relation::oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('purpose.keyring_binding', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.keyring_copy', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.shred_receipt', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.legal_hold',
	'WHERE relation::oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('purpose.legal_hold_hold_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.journal_state', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.journal_outbox',
	'WHERE subject_table IS NULL OR subject_table::oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('purpose.journal_outbox_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.journal_table',
	'WHERE subject_table::oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('purpose.journal_replay', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.journal_replay_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('purpose.column_migration',
	'WHERE relation::oid IN (SELECT oid FROM pg_catalog.pg_class)');
SELECT pg_catalog.pg_extension_config_dump('purpose.column_migration_migration_id_seq', '');

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

CREATE FUNCTION purpose._loaded_support(internal) RETURNS internal
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'parity_loaded_support';
COMMENT ON FUNCTION purpose._loaded_support(internal) IS 'What the planner asks about the floor: it hides all rows or none';
REVOKE ALL ON FUNCTION purpose._loaded_support(internal) FROM PUBLIC;

CREATE FUNCTION purpose._loaded(relation regclass) RETURNS boolean
LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL SAFE
SUPPORT purpose._loaded_support
AS 'MODULE_PATHNAME', 'purpose_loaded_for';
COMMENT ON FUNCTION purpose._loaded(regclass) IS 'Is the library preloaded, and is anything declared about the table? Its closed floor asks this';

CREATE FUNCTION purpose._visible_support(internal) RETURNS internal
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'parity_visible_support';
COMMENT ON FUNCTION purpose._visible_support(internal) IS 'What the planner asks about the row rule: the share of rows that it lets through, and its cost';
REVOKE ALL ON FUNCTION purpose._visible_support(internal) FROM PUBLIC;

CREATE FUNCTION purpose._visible(relation oid, VARIADIC key "any") RETURNS boolean
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE COST 3
SUPPORT purpose._visible_support
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

CREATE FUNCTION purpose._decide(role oid, purpose text, justification text, labels text[],
	consent text, restricted boolean, mode text,
	OUT verdict text, OUT reason text, OUT observed boolean, OUT label text, OUT stand_in text)
LANGUAGE c STABLE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'purpose_decide';
COMMENT ON FUNCTION purpose._decide(oid, text, text, text[], text, boolean, text) IS 'The decision on given facts, which label refuses, and what stands in for a redacted value (NULL: null); role 0 stands for any bound role that holds the purpose';
REVOKE ALL ON FUNCTION purpose._decide(oid, text, text, text[], text, boolean, text) FROM PUBLIC;

CREATE FUNCTION purpose._stand_in_problem(relation regclass, "column" name, domain regtype, label text) RETURNS text
LANGUAGE c STABLE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'purpose_stand_in_problem';
COMMENT ON FUNCTION purpose._stand_in_problem(regclass, name, regtype, text) IS 'What is wrong with what a label gives for redacted values of a column or domain; NULL if nothing. Error PU008';
REVOKE ALL ON FUNCTION purpose._stand_in_problem(regclass, name, regtype, text) FROM PUBLIC;

CREATE FUNCTION purpose._not_stand_in(value anyelement, stand_in anyelement, relation oid, attnum int2) RETURNS anyelement
LANGUAGE c STABLE CALLED ON NULL INPUT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'redact_not_stand_in';
COMMENT ON FUNCTION purpose._not_stand_in(anyelement, anyelement, oid, int2) IS 'The planner puts it around what a statement writes into a redacted column. Error PU019 if that is what stands in for the column''s value';

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
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'purpose_acting_role_name';
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
	problem text;
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
		problem := purpose._stand_in_problem(relation, "column", NULL, label);
		IF problem IS NOT NULL THEN
			RAISE EXCEPTION 'invalid expression after "else"'
				USING ERRCODE = 'PU008', DETAIL = problem,
				HINT = 'It is a constant, or a call of functions and operators on constants and "value", such as ''left(value, 2)'' or ''schema.mask(value)''.';
		END IF;
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
	PERFORM purpose._seal_sync_tree(relation);
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
	SELECT m.relation INTO dependent FROM purpose.column_migration m
		WHERE m.finished_at IS NULL AND m.relation IN (SELECT t FROM purpose._tree(unprotect.relation) t) LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'a column of % is being sealed or unsealed', dependent
			USING ERRCODE = 'PU010', HINT = 'SELECT * FROM purpose.seal_progress shows which.  Finish that first.';
	END IF;
	SELECT d.relation INTO dependent FROM purpose._declared_tables d
		WHERE d.target = unprotect.relation AND d.relation <> unprotect.relation LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'the protection of % rests on %', dependent, relation
			USING ERRCODE = 'PU010', HINT = format('Take it away first: SELECT purpose.unprotect(%L).', dependent);
	END IF;
	PERFORM purpose._set_label(relation, NULL, NULL);
	PERFORM purpose._floor_sync_tree(relation);
	PERFORM purpose._seal_sync_tree(relation);
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
	SELECT a.attrelid::regclass AS relation, a.attname INTO r FROM pg_attribute a
		WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384 AND a.atttypid >= 16384
		AND purpose._contains_sealed(a.atttypid)
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = a.attrelid AND d.deptype = 'e')
		ORDER BY a.attrelid::regclass::text COLLATE "C", a.attnum LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'cannot drop extension pg_purpose while column "%" of relation "%" is sealed', r.attname, r.relation
			USING ERRCODE = 'PU010', HINT = 'Without the extension nothing opens its values. Unseal it first with purpose.unseal_column().';
	END IF;
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
	moment timestamptz := purpose._now();
	has_journal boolean;
BEGIN
	IF subject_table IS NULL OR subject IS NULL THEN
		RAISE EXCEPTION 'a subject table and a subject must be given' USING ERRCODE = '22004';
	END IF;
	key := purpose._subject_key(subject_table, subject);
	has_journal := purpose._begin_event();
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
		VALUES (_record_event.subject_table, key, _record_event.purpose, _record_event.state, moment,
				_record_event.expires_at, _record_event.evidence, purpose._acting_role_name())
		RETURNING event_id INTO id;
	IF state NOT IN ('objection_withdrawn', 'restriction_lifted') THEN
		INSERT INTO purpose.consent_state AS s (subject_table, subject, purpose, state, expires_at, since, event_id)
			VALUES (_record_event.subject_table, key, coalesce(_record_event.purpose, ''), _record_event.state,
					_record_event.expires_at, moment, id)
			ON CONFLICT ON CONSTRAINT consent_state_pkey DO UPDATE
			SET state = excluded.state, expires_at = excluded.expires_at, since = excluded.since,
				event_id = excluded.event_id;
	END IF;
	-- After the state, whose change others wait for: so the journal has the
	-- order of commits.
	IF has_journal THEN
		INSERT INTO purpose.journal_outbox (kind, subject_table, subject, purpose, at, detail)
			VALUES (state, subject_table, key, purpose, moment,
					CASE WHEN expires_at IS NOT NULL THEN jsonb_build_object('expires_at', expires_at) END);
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION purpose._record_event(regclass, text, text, text, timestamptz, jsonb) IS 'Appends a consent event and makes it the state in force. Error PU017 in a database that was put back and not reconciled';
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
	has_journal boolean := purpose._begin_event();
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
	), journalled AS (
		INSERT INTO purpose.journal_outbox (kind, imported, subject_table, subject, purpose, at, detail)
			SELECT state, true, subject_table, subject, purpose, at,
				   CASE WHEN expires_at IS NOT NULL THEN jsonb_build_object('expires_at', expires_at) END
			FROM recorded WHERE has_journal ORDER BY event_id
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
-- Sealed types
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._skip_known_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF tg_table_name = 'sealed_label' THEN
		IF EXISTS (SELECT FROM purpose.sealed_label l WHERE l.label_id = new.label_id AND l.label = new.label) THEN
			RETURN NULL;
		END IF;
	ELSIF tg_table_name = 'sealed_type_registry' THEN
		IF EXISTS (SELECT FROM purpose.sealed_type_registry r WHERE r = new) THEN
			RETURN NULL;
		END IF;
	ELSIF EXISTS (SELECT FROM purpose.key_group g WHERE g.name = new.name AND g.number = new.number) THEN
		RETURN NULL;
	END IF;
	RETURN new;
END $$;
COMMENT ON FUNCTION purpose._skip_known_row() IS 'Lets labels and types arrive, from a dump or a publisher, where they are recorded already';
REVOKE ALL ON FUNCTION purpose._skip_known_row() FROM PUBLIC;
CREATE TRIGGER skip_known BEFORE INSERT ON purpose.sealed_label
	FOR EACH ROW EXECUTE FUNCTION purpose._skip_known_row();
ALTER TABLE purpose.sealed_label ENABLE ALWAYS TRIGGER skip_known;
CREATE TRIGGER skip_known BEFORE INSERT ON purpose.sealed_type_registry
	FOR EACH ROW EXECUTE FUNCTION purpose._skip_known_row();
ALTER TABLE purpose.sealed_type_registry ENABLE ALWAYS TRIGGER skip_known;
CREATE TRIGGER skip_known BEFORE INSERT ON purpose.key_group
	FOR EACH ROW EXECUTE FUNCTION purpose._skip_known_row();
ALTER TABLE purpose.key_group ENABLE ALWAYS TRIGGER skip_known;

CREATE FUNCTION purpose._record_sealed_label(label_id bigint, typmod int, label text, group_number int,
	group_name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	INSERT INTO purpose.sealed_label VALUES (label_id, typmod, label) ON CONFLICT ON CONSTRAINT sealed_label_pkey DO NOTHING;
	IF group_name <> '' THEN
		INSERT INTO purpose.key_group VALUES (group_name, group_number) ON CONFLICT ON CONSTRAINT key_group_pkey DO NOTHING;
	END IF;
EXCEPTION WHEN unique_violation THEN
	RAISE EXCEPTION 'label "%" cannot be used for sealed types in this database', label
		USING ERRCODE = '42710', DETAIL = 'Its identifier, or that of its key group, is that of another one in use.',
			  HINT = 'Use a label with another wording, or another name for the key group.';
END $$;
COMMENT ON FUNCTION purpose._record_sealed_label(bigint, int, text, int, text) IS 'Writes a label that a sealed column or value uses for the first time. Error 42710 for a collision';
REVOKE ALL ON FUNCTION purpose._record_sealed_label(bigint, int, text, int, text) FROM PUBLIC;

CREATE FUNCTION purpose._sealed_label(typmod int) RETURNS text
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'sealed_label_of';
COMMENT ON FUNCTION purpose._sealed_label(int) IS 'The label that a sealed type''s modifier stands for; NULL if this database does not know it';

CREATE FUNCTION purpose._contains_sealed(type oid) RETURNS boolean
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'sealing_contains_sealed';
COMMENT ON FUNCTION purpose._contains_sealed(oid) IS 'Is the type sealed, or a domain, array or composite type of sealed ones?';

CREATE FUNCTION purpose.sealed_typmod_in(cstring[]) RETURNS int4
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sealed_typmod_in';
COMMENT ON FUNCTION purpose.sealed_typmod_in(cstring[]) IS 'Type modifier input of sealed types: purposes as names, other clauses of the label in quotes. Error PU008';

CREATE FUNCTION purpose.sealed_typmod_out(int4) RETURNS cstring
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'sealed_typmod_out';
COMMENT ON FUNCTION purpose.sealed_typmod_out(int4) IS 'Type modifier output of sealed types';

CREATE FUNCTION purpose.sealed_typanalyze(internal) RETURNS boolean
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'sealed_typanalyze';
COMMENT ON FUNCTION purpose.sealed_typanalyze(internal) IS 'ANALYZE of sealed types: share of NULLs and width, never values';

CREATE FUNCTION purpose.require_sealed(value "any") RETURNS boolean
LANGUAGE c STABLE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sealing_require_sealed';
COMMENT ON FUNCTION purpose.require_sealed("any") IS 'The CHECK on sealed columns: true, or an error for a value that nothing sealed. Errors PU014, 42501';

CREATE FUNCTION purpose.accept_envelope() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ $$;
COMMENT ON FUNCTION purpose.accept_envelope() IS 'Does nothing. Roles that may execute it may give envelopes as text and have them opened, as a restore without COPY needs; others only write them back to the rows of their own subject';
REVOKE ALL ON FUNCTION purpose.accept_envelope() FROM PUBLIC;

CREATE FUNCTION purpose._seal_row() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'sealing_seal_row';
COMMENT ON FUNCTION purpose._seal_row() IS 'Trigger ~purpose_seal: seals what is written to sealed columns for the row''s data subject. Errors PU013 to PU016';

CREATE FUNCTION purpose._seal_sync(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	c record;
	kind "char";
	row_type oid;
	sealed boolean := false;
	has_trigger boolean;
	name text;
BEGIN
	SELECT relkind, reltype INTO kind, row_type FROM pg_class WHERE oid = relation;
	IF kind = 'c' THEN
		-- ALTER TYPE ... CASCADE has changed the tables of this type.
		FOR c IN SELECT t.oid::regclass AS typed FROM pg_class t WHERE t.reloftype = row_type LOOP
			PERFORM purpose._seal_sync(c.typed);
		END LOOP;
		RETURN;
	ELSIF kind NOT IN ('r', 'p') THEN
		RETURN;
	END IF;
	FOR c IN SELECT a.attname, a.attnum FROM pg_attribute a
			 WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
			 AND purpose._contains_sealed(a.atttypid)
			 ORDER BY a.attnum LOOP
		sealed := true;
		IF NOT EXISTS (SELECT FROM pg_constraint o
					   WHERE o.conrelid = relation AND o.contype = 'c' AND o.conkey = ARRAY[c.attnum]
					   -- A shadow's CHECK is made NOT VALID: it was all NULL then.
					   AND (o.convalidated OR EXISTS (SELECT FROM purpose.column_migration m
													  WHERE m.shadow = c.attname AND m.finished_at IS NULL))
					   AND NOT o.connoinherit
					   AND pg_get_expr(o.conbin, o.conrelid) = format('purpose.require_sealed(%I)', c.attname)) THEN
			-- The name does not depend on the table's, so that a table can become
			-- a partition or a child of another.
			name := 'purpose_sealed_' || c.attname;
			EXECUTE format('ALTER TABLE %s ADD %s CHECK (purpose.require_sealed(%I))', relation,
				CASE WHEN octet_length(name) < 64
						AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = relation AND o.conname = name)
					THEN format('CONSTRAINT %I', name) ELSE '' END, c.attname);
		END IF;
	END LOOP;
	-- What a column that was sealed needs no more.
	FOR c IN SELECT o.conname FROM pg_constraint o JOIN pg_attribute a ON a.attrelid = o.conrelid AND o.conkey = ARRAY[a.attnum]
			 WHERE o.conrelid = relation AND NOT a.attisdropped AND o.contype = 'c' AND o.coninhcount = 0 AND NOT purpose._contains_sealed(a.atttypid)
			 AND pg_get_expr(o.conbin, o.conrelid) = format('purpose.require_sealed(%I)', a.attname) LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', relation, c.conname);
	END LOOP;
	has_trigger := EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation
						   AND t.tgfoid = 'purpose._seal_row()'::regprocedure AND t.tgname = '~purpose_seal');
	IF sealed AND (SELECT p.protected FROM purpose._protection(relation) p) THEN
		IF NOT has_trigger THEN
			-- Partitions get a clone, and cannot have one of their own.
			FOR c IN SELECT t.relid::regclass AS partition FROM pg_partition_tree(relation) t
					 JOIN pg_trigger g ON g.tgrelid = t.relid AND g.tgname = '~purpose_seal' AND g.tgparentid = 0
					 WHERE t.relid <> relation LOOP
				EXECUTE format('DROP TRIGGER "~purpose_seal" ON %s', c.partition);
			END LOOP;
			EXECUTE format('CREATE TRIGGER "~purpose_seal" BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION purpose._seal_row()', relation);
			IF NOT EXISTS (SELECT FROM purpose.keyring_binding) THEN
				PERFORM purpose.create_keyring();
				RAISE NOTICE 'a keyring was created for this database'
					USING HINT = 'SELECT * FROM purpose.check_keyring() says where it is and what it needs.';
			END IF;
		END IF;
		IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation
				   AND t.tgname = '~purpose_seal' AND t.tgenabled <> 'A') THEN
			EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER "~purpose_seal"', relation);
		END IF;
	ELSIF has_trigger AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation
									  AND t.tgname = '~purpose_seal' AND t.tgparentid <> 0) THEN
		EXECUTE format('DROP TRIGGER "~purpose_seal" ON %s', relation);
	END IF;
END $$;
COMMENT ON FUNCTION purpose._seal_sync(regclass) IS 'Gives a table its CHECKs and its sealing trigger, or takes the trigger away, as its columns and protection ask; makes the keyring when the first table seals';
REVOKE ALL ON FUNCTION purpose._seal_sync(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._seal_enable(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = '~purpose_seal'
			   AND t.tgenabled NOT IN ('A', 'D')) THEN
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER "~purpose_seal"', relation);
	END IF;
END $$;
COMMENT ON FUNCTION purpose._seal_enable(regclass) IS 'Has the sealing trigger, if it is enabled, fire always';
REVOKE ALL ON FUNCTION purpose._seal_enable(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._seal_sync_tree(relation regclass) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	t regclass;
BEGIN
	FOR t IN SELECT x FROM purpose._tree(relation) x
			 ORDER BY (SELECT count(*) FROM pg_partition_ancestors(x)) LOOP
		PERFORM purpose._seal_sync(t);
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._seal_sync_tree(regclass) IS 'purpose._seal_sync() for a table and everything below it';
REVOKE ALL ON FUNCTION purpose._seal_sync_tree(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._create_sealed_cast(sealed text, other oid, opens boolean, context text, symbol text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	source text := CASE WHEN opens THEN 'purpose.' || sealed ELSE format_type(other, NULL) END;
	target text := CASE WHEN opens THEN format_type(other, NULL) ELSE 'purpose.' || sealed END;
	name text;
BEGIN
	SELECT CASE WHEN opens THEN format('%s_to_%s', sealed, t.typname) ELSE format('%s_from_%s', sealed, t.typname) END
		INTO name FROM pg_type t WHERE t.oid = other;
	EXECUTE format('CREATE FUNCTION purpose.%I(%s) RETURNS %s LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', %L',
		name, source, target, symbol);
	EXECUTE format('CREATE CAST (%s AS %s) WITH FUNCTION purpose.%I(%s) %s', source, target, name, source, context);
END $$;
COMMENT ON FUNCTION purpose._create_sealed_cast(text, oid, boolean, text, text) IS 'Makes one cast from or to a sealed type';
REVOKE ALL ON FUNCTION purpose._create_sealed_cast(text, oid, boolean, text, text) FROM PUBLIC;

CREATE FUNCTION purpose._create_sealed_casts(sealed text, base oid, searchable boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	r record;
BEGIN
	-- To the base type, as if the value were one.
	PERFORM purpose._create_sealed_cast(sealed, base, true, 'AS IMPLICIT', 'sealed_to');
	-- To what the base type casts to, and to text types, which anything casts to.
	FOR r IN SELECT t.oid, CASE WHEN base = 'text'::regtype AND t.oid = 'varchar'::regtype THEN 'AS IMPLICIT'
								WHEN bool_or(t.context <> 'e') THEN 'AS ASSIGNMENT' ELSE '' END AS context
			 FROM (SELECT casttarget AS oid, castcontext AS context FROM pg_cast
				   WHERE castsource = base AND casttarget NOT IN (base, 'json'::regtype)
				   UNION ALL SELECT unnest(ARRAY['text', 'varchar', 'bpchar', 'name']::regtype[]), 'a') t
			 JOIN pg_type y ON y.oid = t.oid
			 WHERE t.oid <> base AND y.typtype = 'b' AND y.typname !~ '^(reg|pg_)' AND y.oid < 16384
			 GROUP BY t.oid ORDER BY t.oid LOOP
		PERFORM purpose._create_sealed_cast(sealed, r.oid, true, r.context, 'sealed_to');
	END LOOP;
	IF base <> 'json'::regtype THEN
		PERFORM purpose._create_sealed_cast(sealed, 'json'::regtype, true, 'AS ASSIGNMENT', 'sealed_to_json');
	END IF;
	-- From the base type, what casts to it, and texts, which are read as input is.
	-- Smaller integers go in by themselves, for coalesce(n, 0); not where the
	-- type has operators of its own, which they would make ambiguous.
	FOR r IN SELECT t.oid, CASE WHEN NOT searchable AND base IN ('int8'::regtype, 'numeric'::regtype) AND t.oid <> base
									 AND t.oid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) THEN 'AS IMPLICIT'
								WHEN bool_or(t.context <> 'e') THEN 'AS ASSIGNMENT' ELSE '' END AS context
			 FROM (SELECT castsource AS oid, castcontext AS context FROM pg_cast
				   WHERE casttarget = base
				   UNION ALL SELECT unnest(ARRAY[base, 'text', 'varchar']::regtype[]), 'a') t
			 JOIN pg_type y ON y.oid = t.oid
			 WHERE y.typtype = 'b' AND y.typname !~ '^(reg|pg_)' AND (y.oid < 16384 OR y.oid = base)
			 GROUP BY t.oid ORDER BY t.oid LOOP
		PERFORM purpose._create_sealed_cast(sealed, r.oid, false, r.context, 'sealed_from');
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._create_sealed_casts(text, oid, boolean) IS 'Makes the casts of a sealed type: implicit to its base type, else as the base type has them';
REVOKE ALL ON FUNCTION purpose._create_sealed_casts(text, oid, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._create_sealed_operators(sealed text, symbols text, hashes boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	o record;
BEGIN
	FOR o IN SELECT * FROM (VALUES ('eq', '=', '=', '<>', 'eqsel', 'eqjoinsel'), ('ne', '<>', '<>', '=', 'neqsel', 'neqjoinsel'),
							('lt', '<', '>', '>=', 'scalarltsel', 'scalarltjoinsel'), ('le', '<=', '>=', '>', 'scalarlesel', 'scalarlejoinsel'),
							('gt', '>', '<', '<=', 'scalargtsel', 'scalargtjoinsel'), ('ge', '>=', '<=', '<', 'scalargesel', 'scalargejoinsel'))
			 AS v(name, op, commutator, negator, restrict, jointype) LOOP
		EXECUTE format('CREATE FUNCTION purpose.%1$I(purpose.%2$I, purpose.%2$I) RETURNS boolean LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', %3$L',
			sealed || '_' || o.name, sealed, symbols || o.name);
		EXECUTE format('CREATE OPERATOR purpose.%s (FUNCTION = purpose.%I, LEFTARG = purpose.%I, RIGHTARG = purpose.%I, COMMUTATOR = OPERATOR(purpose.%s), NEGATOR = OPERATOR(purpose.%s), RESTRICT = %s, JOIN = %s%s)',
			o.op, sealed || '_' || o.name, sealed, sealed, o.commutator, o.negator, o.restrict, o.jointype,
			CASE WHEN o.name = 'eq' THEN CASE WHEN hashes THEN ', HASHES' ELSE '' END || ', MERGES' ELSE '' END);
	END LOOP;
	EXECUTE format('CREATE FUNCTION purpose.%1$I(purpose.%2$I, purpose.%2$I) RETURNS int4 LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', %3$L',
		sealed || '_cmp', sealed, symbols || 'cmp');
	EXECUTE format('CREATE OPERATOR CLASS purpose.%1$I DEFAULT FOR TYPE purpose.%2$I USING btree AS
		OPERATOR 1 purpose.<, OPERATOR 2 purpose.<=, OPERATOR 3 purpose.=, OPERATOR 4 purpose.>=, OPERATOR 5 purpose.>,
		FUNCTION 1 purpose.%3$I(purpose.%2$I, purpose.%2$I)', sealed || '_ops', sealed, sealed || '_cmp');
	IF NOT hashes THEN
		RETURN;
	END IF;
	EXECUTE format('CREATE FUNCTION purpose.%I(purpose.%I) RETURNS int4 LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', %L',
		sealed || '_hash', sealed, symbols || 'hash');
	EXECUTE format('CREATE FUNCTION purpose.%I(purpose.%I, int8) RETURNS int8 LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', %L',
		sealed || '_hash_extended', sealed, symbols || 'hash_extended');
	EXECUTE format('CREATE OPERATOR CLASS purpose.%1$I DEFAULT FOR TYPE purpose.%2$I USING hash AS
		OPERATOR 1 purpose.=, FUNCTION 1 purpose.%3$I(purpose.%2$I), FUNCTION 2 purpose.%4$I(purpose.%2$I, int8)',
		sealed || '_ops', sealed, sealed || '_hash', sealed || '_hash_extended');
END $$;
COMMENT ON FUNCTION purpose._create_sealed_operators(text, text, boolean) IS 'Makes the comparison of a sealed type. Its operators are outside the search path on purpose: a query''s own = compares opened values';
REVOKE ALL ON FUNCTION purpose._create_sealed_operators(text, text, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._has_default_opclass(type oid, method name) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM pg_opclass c JOIN pg_am a ON a.oid = c.opcmethod
				   WHERE a.amname = method AND c.opcdefault
				   AND (c.opcintype = type
						OR (c.opcintype = 'anyenum'::regtype AND EXISTS (SELECT FROM pg_type t WHERE t.oid = type AND t.typtype = 'e'))
						OR EXISTS (SELECT FROM pg_cast k WHERE k.castsource = type AND k.casttarget = c.opcintype
								   AND k.castmethod = 'b' AND k.castcontext = 'i')))
$$;
COMMENT ON FUNCTION purpose._has_default_opclass(oid, name) IS 'Does a type, or what it is as good as, have a default operator class?';
REVOKE ALL ON FUNCTION purpose._has_default_opclass(oid, name) FROM PUBLIC;

CREATE FUNCTION purpose._sealed_type_registered() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'sealedtype_registered';
COMMENT ON FUNCTION purpose._sealed_type_registered() IS 'Has a sealed type go with its base type when that is dropped, after a restore too';
REVOKE ALL ON FUNCTION purpose._sealed_type_registered() FROM PUBLIC;
CREATE TRIGGER registered AFTER INSERT ON purpose.sealed_type_registry
	FOR EACH ROW EXECUTE FUNCTION purpose._sealed_type_registered();
ALTER TABLE purpose.sealed_type_registry ENABLE ALWAYS TRIGGER registered;

CREATE FUNCTION purpose._create_searchable_operators(sealed text, base oid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	o record;
	base_name text := format_type(base, NULL);
BEGIN
	FOR o IN SELECT * FROM (VALUES ('eq', '=', '<>', 'eqsel', 'eqjoinsel'), ('ne', '<>', '=', 'neqsel', 'neqjoinsel'))
			 AS v(name, op, negator, restrict, jointype) LOOP
		EXECUTE format('CREATE FUNCTION purpose.%I(purpose.%I, %s) RETURNS boolean LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', %L',
			sealed || '_' || o.name || '_base', sealed, base_name, 'searchable_' || o.name || '_base');
		EXECUTE format('CREATE OPERATOR pg_catalog.%s (FUNCTION = purpose.%I, LEFTARG = purpose.%I, RIGHTARG = %s, NEGATOR = OPERATOR(pg_catalog.%s), RESTRICT = %s, JOIN = %s)',
			o.op, sealed || '_' || o.name || '_base', sealed, base_name, o.negator, o.restrict, o.jointype);
	END LOOP;
	EXECUTE format('CREATE FUNCTION purpose.%I(purpose.%I, %s) RETURNS int4 LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', ''searchable_cmp_base''',
		sealed || '_cmp_base', sealed, base_name);
	EXECUTE format('ALTER OPERATOR FAMILY purpose.%1$I USING btree ADD OPERATOR 3 pg_catalog.= (purpose.%2$I, %4$s), FUNCTION 1 (purpose.%2$I, %4$s) purpose.%3$I(purpose.%2$I, %4$s)',
		sealed || '_ops', sealed, sealed || '_cmp_base', base_name);
END $$;
COMMENT ON FUNCTION purpose._create_searchable_operators(text, oid) IS 'Makes the equality of a searchable type with its base type, which finds values by their tokens, through an index where there is one';
REVOKE ALL ON FUNCTION purpose._create_searchable_operators(text, oid) FROM PUBLIC;

CREATE FUNCTION purpose._record_token_key(relation regclass, "column" name, number bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	recorded bigint;
BEGIN
	INSERT INTO purpose.token_key VALUES (relation, "column", number, purpose._now()) ON CONFLICT DO NOTHING;
	SELECT k.number INTO STRICT recorded FROM purpose.token_key k WHERE k.relation = relation AND k."column" = "column";
	RETURN recorded;
END $$;
COMMENT ON FUNCTION purpose._record_token_key(regclass, name, bigint) IS 'Gives a searchable column its token key, or tells which one it has';
REVOKE ALL ON FUNCTION purpose._record_token_key(regclass, name, bigint) FROM PUBLIC;

CREATE FUNCTION purpose._rename_token_key(relation regclass, old_name name, new_name name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	UPDATE purpose.token_key k SET "column" = new_name WHERE k.relation = relation AND k."column" = old_name;
END $$;
COMMENT ON FUNCTION purpose._rename_token_key(regclass, name, name) IS 'Has a column''s token key follow its renaming';
REVOKE ALL ON FUNCTION purpose._rename_token_key(regclass, name, name) FROM PUBLIC;

CREATE FUNCTION purpose._create_sealed_type(base oid, sealed text, name text, pad int, is_binary boolean,
	searchable boolean, shipped boolean)
RETURNS regtype
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
	t pg_type;
	f record;
BEGIN
	SELECT * INTO t FROM pg_type WHERE oid = base;
	EXECUTE format('CREATE TYPE purpose.%I', sealed);
	FOR f IN SELECT * FROM (VALUES ('in', 'cstring, oid, int4', NULL), ('out', NULL, 'cstring'),
							('recv', 'internal, oid, int4', NULL), ('send', NULL, 'bytea')) AS v(name, args, result) LOOP
		EXECUTE format('CREATE FUNCTION purpose.%I(%s) RETURNS %s LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', %L',
			sealed || '_' || f.name, coalesce(f.args, format('purpose.%I', sealed)),
			coalesce(f.result, format('purpose.%I', sealed)), 'sealed_' || f.name);
	END LOOP;
	EXECUTE format('CREATE TYPE purpose.%I (INPUT = purpose.%I, OUTPUT = purpose.%I, RECEIVE = purpose.%I, SEND = purpose.%I,
		TYPMOD_IN = purpose.sealed_typmod_in, TYPMOD_OUT = purpose.sealed_typmod_out, ANALYZE = purpose.sealed_typanalyze,
		INTERNALLENGTH = VARIABLE, STORAGE = external, CATEGORY = %L, COLLATABLE = %s)',
		sealed, sealed || '_in', sealed || '_out', sealed || '_recv', sealed || '_send',
		t.typcategory, CASE WHEN t.typcollation <> 0 THEN 'true' ELSE 'false' END);
	EXECUTE format('COMMENT ON TYPE purpose.%I IS %L', sealed,
		format('A value of type %s, sealed under its data subject''s key. The modifiers are its label: purpose.%s(billing, ''never marketing'')', format_type(base, NULL), sealed));
	INSERT INTO purpose.sealed_type_registry
		VALUES (format('purpose.%I', sealed)::regtype, base, name, pad, is_binary, searchable, shipped);
	EXECUTE format('CREATE FUNCTION purpose.%1$I(purpose.%2$I, int4, boolean) RETURNS purpose.%2$I LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', ''sealed_apply_typmod''',
		sealed, sealed);
	EXECUTE format('CREATE CAST (purpose.%1$I AS purpose.%1$I) WITH FUNCTION purpose.%1$I(purpose.%1$I, int4, boolean) AS IMPLICIT', sealed);
	PERFORM purpose._create_sealed_casts(sealed, base, searchable);
	IF purpose._has_default_opclass(base, 'btree') THEN
		PERFORM purpose._create_sealed_operators(sealed, CASE WHEN searchable THEN 'searchable_' ELSE 'sealed_' END,
												 purpose._has_default_opclass(base, 'hash'));
	END IF;
	-- Of all operators only || with a literal is not found through the implicit
	-- cast: the one that appends a text to anything would be taken.  A type that
	-- is made later has none, because a dump leaves pg_catalog out.
	IF shipped AND t.typcategory <> 'S'
		AND EXISTS (SELECT FROM pg_operator o WHERE o.oprname = '||' AND o.oprleft = base AND o.oprright = base) THEN
		EXECUTE format('CREATE FUNCTION purpose.%1$I(purpose.%2$I, purpose.%2$I) RETURNS %3$s LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS ''MODULE_PATHNAME'', %4$L',
			sealed || '_concat', sealed, format_type(base, NULL), 'sealed_concat');
		EXECUTE format('CREATE OPERATOR pg_catalog.|| (FUNCTION = purpose.%1$I, LEFTARG = purpose.%2$I, RIGHTARG = purpose.%2$I)',
			sealed || '_concat', sealed);
	END IF;
	IF searchable THEN
		PERFORM purpose._create_searchable_operators(sealed, base);
	END IF;
	FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p
			 WHERE p.pronamespace = 'purpose'::regnamespace AND (p.proname = sealed OR starts_with(p.proname, sealed || '_'))
			 AND obj_description(p.oid, 'pg_proc') IS NULL LOOP
		EXECUTE format('COMMENT ON FUNCTION %s IS %L', f.name, format('Part of type purpose.%s', sealed));
	END LOOP;
	IF searchable THEN
		RETURN format('purpose.%I', sealed)::regtype;
	END IF;
	EXECUTE format('CREATE FUNCTION purpose.seal(value %s, subject_table regclass, subject "any", label text) RETURNS purpose.%I LANGUAGE c VOLATILE STRICT AS ''MODULE_PATHNAME'', ''sealing_seal''',
		format_type(base, NULL), sealed);
	EXECUTE format('COMMENT ON FUNCTION purpose.seal(%s, regclass, "any", text) IS %L', format_type(base, NULL),
		'Seals a value for a data subject under a label, as the sealing trigger does. Errors 42501 for roles that may not write to the subject table, PU008, PU013, PU015');
	RETURN format('purpose.%I', sealed)::regtype;
END $$;
COMMENT ON FUNCTION purpose._create_sealed_type(oid, text, text, int, boolean, boolean, boolean) IS 'Makes a sealed type with its functions, casts and operators';
REVOKE ALL ON FUNCTION purpose._create_sealed_type(oid, text, text, int, boolean, boolean, boolean) FROM PUBLIC;

CREATE FUNCTION purpose.create_sealed_type(base regtype) RETURNS regtype
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	t pg_type;
	existing regtype;
BEGIN
	SELECT * INTO t FROM pg_type WHERE oid = base;
	IF t.oid IS NULL THEN
		RAISE EXCEPTION 'a base type must be given' USING ERRCODE = '22004';
	END IF;
	SELECT r.sealed_type INTO existing FROM purpose.sealed_type_registry r WHERE r.base_type = base;
	IF found THEN
		RAISE EXCEPTION 'there is a sealed type for % already: %', base, existing USING ERRCODE = '42710';
	END IF;
	IF t.typtype NOT IN ('b', 'e') OR (t.typelem <> 0 AND t.typlen = -1) OR t.typname LIKE 'reg%' OR purpose._contains_sealed(t.oid) THEN
		RAISE EXCEPTION 'type % cannot be sealed', base USING ERRCODE = '42809',
			HINT = 'Base types and enums can be sealed. For arrays use arrays of the sealed type; for domains, composite types and names of catalog objects seal what they are made of.';
	END IF;
	IF EXISTS (SELECT FROM pg_type x WHERE x.typname = 'sealed_' || t.typname AND x.typnamespace = 'purpose'::regnamespace) THEN
		RAISE EXCEPTION 'the name purpose.sealed_% is taken by a type of the same name in another schema', t.typname
			USING ERRCODE = '42710';
	END IF;
	RETURN purpose._create_sealed_type(t.oid, 'sealed_' || t.typname,
		(SELECT format('%I.%I', n.nspname, t.typname) FROM pg_namespace n WHERE n.oid = t.typnamespace), 1, false, false, false);
END $$;
COMMENT ON FUNCTION purpose.create_sealed_type(regtype) IS 'Makes purpose.sealed_<base>, a sealed type for any base type or enum. Errors 42710 if there is one, 42809 for types that cannot be sealed';
REVOKE ALL ON FUNCTION purpose.create_sealed_type(regtype) FROM PUBLIC;

DO $$
BEGIN
	PERFORM purpose._create_sealed_type(v.base::regtype, 'sealed_' || v.base, v.base, v.pad, true, false, true)
	FROM (VALUES ('text', 1), ('jsonb', 1), ('numeric', 16), ('int8', 1), ('date', 1), ('timestamptz', 1),
		('bool', 1), ('bytea', 1), ('inet', 1)) AS v(base, pad);
	PERFORM purpose._create_sealed_type(v.base::regtype, 'searchable_' || v.base, v.base, v.pad, true, true, true)
	FROM (VALUES ('text', 1), ('numeric', 16), ('int8', 1), ('date', 1), ('timestamptz', 1),
		('bool', 1), ('bytea', 1), ('inet', 1)) AS v(base, pad);
END $$;

-- ---------------------------------------------------------------------------
-- Migration: sealing an existing column in place, and back
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._migrate_row() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'migrate_row';
COMMENT ON FUNCTION purpose._migrate_row() IS 'Trigger ~purpose_migrate: keeps the shadow of a column that is being sealed or unsealed in step with what is written';
REVOKE ALL ON FUNCTION purpose._migrate_row() FROM PUBLIC;

CREATE FUNCTION purpose._migration_scan(relation regclass, source name, shadow name, label text,
	shredded_as_null boolean, first bigint, past bigint, batch_size int,
	OUT next bigint, OUT rows_seen bigint, OUT rows_done bigint, OUT rows_busy bigint,
	OUT nobodys bigint, OUT shredded bigint, OUT closed bigint)
LANGUAGE c VOLATILE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'migrate_scan';
COMMENT ON FUNCTION purpose._migration_scan(regclass, name, name, text, boolean, bigint, bigint, int) IS 'Fills the shadow of the rows in some blocks of one table, or, without a shadow, only counts the rows for which that cannot be done';
REVOKE ALL ON FUNCTION purpose._migration_scan(regclass, name, name, text, boolean, bigint, bigint, int) FROM PUBLIC;

CREATE FUNCTION purpose._require_in_step(shadow anyelement, value "any", shredded_as_null boolean) RETURNS anyelement
LANGUAGE c VOLATILE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'migrate_require_in_step';
COMMENT ON FUNCTION purpose._require_in_step(anyelement, "any", boolean) IS 'The shadow, if it is the same value; else an error: neither may be given up. Error 55000';
REVOKE ALL ON FUNCTION purpose._require_in_step(anyelement, "any", boolean) FROM PUBLIC;

CREATE FUNCTION purpose._rewrite(relation regclass) RETURNS void
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'migrate_rewrite';
COMMENT ON FUNCTION purpose._rewrite(regclass) IS 'What VACUUM FULL does, within a transaction';
REVOKE ALL ON FUNCTION purpose._rewrite(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._rewrite_statistics() RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'migrate_rewrite_statistics';
COMMENT ON FUNCTION purpose._rewrite_statistics() IS 'Rewrites the catalogs of statistics without what is dead in them';
REVOKE ALL ON FUNCTION purpose._rewrite_statistics() FROM PUBLIC;

CREATE FUNCTION purpose._everyone_sees(transaction xid8) RETURNS boolean
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'migrate_everyone_sees';
COMMENT ON FUNCTION purpose._everyone_sees(xid8) IS 'Has the transaction ended, and with it every snapshot that is older?';
REVOKE ALL ON FUNCTION purpose._everyone_sees(xid8) FROM PUBLIC;

CREATE FUNCTION purpose._parse_sealed_label(label text, OUT canonical text, OUT typmod int,
	OUT allowed text[], OUT prohibited text[], OUT keep text, OUT modifier text)
LANGUAGE c STABLE STRICT
AS 'MODULE_PATHNAME', 'migrate_parse_label';
COMMENT ON FUNCTION purpose._parse_sealed_label(text) IS 'Takes the label of a sealed type apart. Error PU008';

CREATE FUNCTION purpose._sealed_target(relation regclass, "column" name, label text, OUT canonical text, OUT type text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	a record;
	l record;
	sealed regtype;
	unknown text;
BEGIN
	SELECT x.atttypid, x.atttypmod, t.typtype, t.typcollation, x.attcollation INTO STRICT a
		FROM pg_attribute x JOIN pg_type t ON t.oid = x.atttypid
		WHERE x.attrelid = relation AND x.attname = "column" AND NOT x.attisdropped;
	IF purpose._contains_sealed(a.atttypid) THEN
		RAISE EXCEPTION 'column "%" of % is sealed already', "column", relation USING ERRCODE = '55000',
			HINT = 'To seal it under another label, unseal it first with purpose.unseal_column().';
	END IF;
	IF a.typtype = 'd' THEN
		RAISE EXCEPTION 'column "%" of % is of a domain, whose checks a sealed type would not have', "column", relation
			USING ERRCODE = '42809', HINT = format('ALTER TABLE %s ALTER COLUMN %I TYPE its base type first.', relation, "column");
	END IF;
	IF a.atttypid = 'bpchar'::regtype THEN
		RAISE EXCEPTION 'column "%" of % is of type character, whose padding with blanks a sealed type would not have', "column", relation
			USING ERRCODE = '42809', HINT = format('ALTER TABLE %s ALTER COLUMN %I TYPE varchar with the same length, or text, first.', relation, "column");
	END IF;
	SELECT r.sealed_type INTO sealed FROM purpose.sealed_type_registry r
		WHERE r.base_type = CASE a.atttypid WHEN 'varchar'::regtype THEN 'text'::regtype ELSE a.atttypid END
		AND NOT r.searchable;
	IF NOT found THEN
		RAISE EXCEPTION 'there is no sealed type for % of column "%"', format_type(a.atttypid, NULL), "column"
			USING ERRCODE = '42809', HINT = CASE
				WHEN a.atttypid IN ('int2'::regtype, 'int4'::regtype) THEN 'ALTER the column to bigint first, or make the type with purpose.create_sealed_type().'
				ELSE 'purpose.create_sealed_type() makes sealed types of base types and enums.' END;
	END IF;

	l := purpose._parse_sealed_label(label);
	IF a.atttypmod >= 0 AND l.modifier IS NULL THEN
		label := format('%s as %L', l.canonical, substring(format_type(a.atttypid, a.atttypmod) FROM '\(.*?\)'));
		l := purpose._parse_sealed_label(label);
	END IF;
	SELECT u INTO unknown FROM unnest(l.allowed || l.prohibited) u
		WHERE NOT EXISTS (SELECT FROM purpose.purpose_catalog c WHERE c.name = u) LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'the label names purpose "%", which does not exist', unknown
			USING ERRCODE = 'PU002', HINT = 'SELECT name, description FROM purpose.purposes lists the purposes.';
	END IF;
	IF l.keep IS NOT NULL THEN
		RAISE EXCEPTION 'retention class "%" does not exist', l.keep
			USING ERRCODE = '42704', HINT = 'Seal the column under a label without "keep".';
	END IF;
	canonical := l.canonical;
	type := format_type(sealed, l.typmod) || purpose._collate_clause(relation, "column");
END $$;
COMMENT ON FUNCTION purpose._sealed_target(regclass, name, text) IS 'The sealed type that a column gets, with its label; a length or precision of the clear type becomes part of it. Errors 42704, 42809, 55000, PU002, PU008';
REVOKE ALL ON FUNCTION purpose._sealed_target(regclass, name, text) FROM PUBLIC;

CREATE FUNCTION purpose._collate_clause(relation regclass, "column" name) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce((
		SELECT format(' COLLATE %I.%I', n.nspname, c.collname)
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		JOIN pg_collation c ON c.oid = a.attcollation JOIN pg_namespace n ON n.oid = c.collnamespace
		WHERE a.attrelid = relation AND a.attname = "column" AND a.attcollation <> t.typcollation), '')
$$;
COMMENT ON FUNCTION purpose._collate_clause(regclass, name) IS 'A COLLATE clause, for a column with a collation of its own';
REVOKE ALL ON FUNCTION purpose._collate_clause(regclass, name) FROM PUBLIC;

CREATE FUNCTION purpose._clear_target(relation regclass, "column" name, OUT canonical text, OUT type text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	a record;
	base oid;
	l record;
BEGIN
	SELECT x.atttypid, x.atttypmod INTO STRICT a
		FROM pg_attribute x WHERE x.attrelid = relation AND x.attname = "column" AND NOT x.attisdropped;
	SELECT r.base_type INTO base FROM purpose.sealed_type_registry r WHERE r.sealed_type = a.atttypid;
	IF NOT found THEN
		RAISE EXCEPTION 'column "%" of % is not of a sealed type', "column", relation USING ERRCODE = '42809';
	END IF;
	canonical := purpose._sealed_label(a.atttypmod);
	IF canonical IS NULL THEN
		RAISE EXCEPTION 'the label of column "%" of % is not known', "column", relation USING ERRCODE = 'PU008',
			HINT = 'Its type names no purposes, or purpose.sealed_label was not restored.';
	END IF;
	l := purpose._parse_sealed_label(canonical);
	IF l.modifier IS NOT NULL AND base = 'text'::regtype THEN
		base := 'varchar'::regtype;
	END IF;
	SELECT format('%I.%I%s%s', n.nspname, t.typname, l.modifier, purpose._collate_clause(relation, "column")) INTO type
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = base;
END $$;
COMMENT ON FUNCTION purpose._clear_target(regclass, name) IS 'The clear type that a sealed column gets. Errors 42809, PU008';
REVOKE ALL ON FUNCTION purpose._clear_target(regclass, name) FROM PUBLIC;

CREATE FUNCTION purpose._migration_obstacles(relation regclass, "column" name, force boolean) RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH member AS (
		SELECT c.oid, c.relkind, c.reltype, c.reloftype, a.attnum
		FROM purpose._tree(relation) t JOIN pg_class c ON c.oid = t
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = "column" AND NOT a.attisdropped
	), whole_row(node, classid, objid) AS (
		SELECT o.conbin, 'pg_constraint'::regclass, o.oid FROM pg_constraint o JOIN member m ON m.oid = o.conrelid
		UNION ALL
		SELECT n.node, 'pg_class'::regclass, i.indexrelid FROM pg_index i JOIN member m ON m.oid = i.indrelid,
			LATERAL (VALUES (i.indexprs), (i.indpred)) n(node)
	)
	SELECT DISTINCT o.what COLLATE "C" FROM (
		SELECT CASE d.classid
				WHEN 'pg_rewrite'::regclass THEN
					(SELECT CASE WHEN r.rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
								 ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
					 FROM pg_rewrite r WHERE r.oid = d.objid)
				WHEN 'pg_attrdef'::regclass THEN
					(SELECT CASE WHEN x.attgenerated <> '' THEN format('generated column %I of table %s', x.attname, x.attrelid::regclass)
								 ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
					 FROM pg_attrdef f JOIN pg_attribute x ON x.attrelid = f.adrelid AND x.attnum = f.adnum WHERE f.oid = d.objid)
				ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END AS what
		FROM member m JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = m.oid AND d.refobjsubid = m.attnum
		WHERE NOT (d.classid = 'pg_class'::regclass AND d.objid = m.oid)
		AND NOT EXISTS (SELECT FROM pg_constraint n WHERE d.classid = 'pg_constraint'::regclass AND n.oid = d.objid
						AND (n.contype = 'n' OR (n.contype = 'c' AND n.conkey = ARRAY[m.attnum]
							 AND pg_get_expr(n.conbin, n.conrelid) = format('purpose.require_sealed(%I)', "column"))))
		UNION ALL
		SELECT pg_describe_object(w.classid, w.objid, 0) FROM whole_row w WHERE w.node::text LIKE '%:varattno 0 %'
		UNION ALL
		SELECT format('partition key of table %s', m.oid::regclass)
		FROM member m JOIN pg_partitioned_table p ON p.partrelid = m.oid
		WHERE m.attnum = ANY (p.partattrs::int2[]) OR p.partexprs::text LIKE format('%%:varattno %s %%', m.attnum)
		UNION ALL
		SELECT pg_describe_object(d.classid, d.objid, d.objsubid) || ', of the table''s row type'
		FROM member m JOIN pg_type t ON t.oid = m.reltype
		JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray)
			AND d.classid = 'pg_class'::regclass AND d.objsubid > 0
		UNION ALL
		SELECT format('protection of table %s, whose key it is', d.relation)
		FROM purpose._declared_tables d
		WHERE (d.relation IN (SELECT oid FROM member) AND "column"::text = ANY (d.columns))
		OR (d.target IN (SELECT oid FROM member) AND "column"::text = ANY (d.target_columns))
		UNION ALL
		SELECT format('trigger %I on table %s, which would run after the one that keeps both in step', g.tgname, m.oid::regclass)
		FROM member m JOIN pg_trigger g ON g.tgrelid = m.oid
		WHERE NOT g.tgisinternal AND (g.tgtype & 3) = 3 AND g.tgname COLLATE "C" > '~purpose_migrate' AND g.tgname <> '~purpose_seal'
		UNION ALL
		SELECT format('foreign table %s', m.oid::regclass) FROM member m WHERE m.relkind = 'f'
		UNION ALL
		SELECT format('type %s, which table %s is made of', m.reloftype::regtype, m.oid::regclass) FROM member m WHERE m.reloftype <> 0
		UNION ALL
		SELECT format('table %s, which table %s inherits the column from, too', i.inhparent::regclass, m.oid::regclass)
		FROM member m JOIN pg_inherits i ON i.inhrelid = m.oid
		JOIN pg_attribute a ON a.attrelid = i.inhparent AND a.attname = "column" AND NOT a.attisdropped
		WHERE i.inhparent NOT IN (SELECT oid FROM member)
		UNION ALL
		SELECT format('publication %I of table %s', p.pubname, m.oid::regclass)
		FROM member m CROSS JOIN pg_publication p
		WHERE NOT force AND (p.puballtables
			-- A list of columns, or a condition, that names it is listed already.
			OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = m.oid
					   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_publication_rel'::regclass AND d.objid = r.oid
									   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = m.oid AND d.refobjsubid = m.attnum))
			OR EXISTS (SELECT FROM pg_publication_namespace s JOIN pg_class c ON c.relnamespace = s.pnnspid
					   WHERE s.pnpubid = p.oid AND c.oid = m.oid))
	) o
	WHERE o.what IS NOT NULL ORDER BY 1
$$;
COMMENT ON FUNCTION purpose._migration_obstacles(regclass, name, boolean) IS 'What depends on a column in a way that its change of type would break, in words';
REVOKE ALL ON FUNCTION purpose._migration_obstacles(regclass, name, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._migration_require_free(relation regclass, "column" name, unseals boolean, force boolean) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	obstacles text[] := ARRAY(SELECT o FROM purpose._migration_obstacles(relation, "column", force) o);
BEGIN
	IF obstacles <> '{}' THEN
		RAISE EXCEPTION 'column "%" of % cannot be % because of what depends on it', "column", relation,
				CASE WHEN unseals THEN 'unsealed' ELSE 'sealed' END
			USING ERRCODE = '2BP01', DETAIL = array_to_string(obstacles, E'\n'),
				  HINT = concat_ws(' ', CASE WHEN unseals THEN 'Drop these first; afterwards they can be made again.'
								   ELSE 'Drop these first. Afterwards views, rules and policies can be made again, and see what the session may open; indexes, unique and foreign keys, generated columns, defaults and statistics of a sealed column cannot.' END,
							CASE WHEN EXISTS (SELECT FROM unnest(obstacles) o WHERE o LIKE 'publication %')
								 THEN 'Subscribers need the shadow column and the sealed type, too: force => true goes on although the table is published.' END);
	END IF;
END $$;
COMMENT ON FUNCTION purpose._migration_require_free(regclass, name, boolean, boolean) IS 'Raises 2BP01, naming all of it, if anything stands in the way of a column''s change of type';
REVOKE ALL ON FUNCTION purpose._migration_require_free(regclass, name, boolean, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._migration_refuse(relation regclass, "column" name, unseals boolean,
	nobodys bigint, shredded bigint, closed bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF unseals THEN
		RAISE EXCEPTION 'column "%" of % cannot be unsealed: not all of its values open', "column", relation
			USING ERRCODE = CASE WHEN closed > 0 THEN 'PU005' ELSE 'PU015' END,
				  DETAIL = concat_ws(E'\n', CASE WHEN closed > 0 THEN format('%s value(s) may not be opened for the declared purpose.', closed) END,
									 CASE WHEN shredded > 0 THEN format('%s value(s) were shredded.', shredded) END),
				  HINT = concat_ws(' ', CASE WHEN closed > 0 THEN 'Declare a purpose that the label allows and that no data subject can forbid.' END,
								   CASE WHEN shredded > 0 THEN 'shredded_as_null => true makes shredded values NULL.' END);
	END IF;
	RAISE EXCEPTION 'column "%" of % cannot be sealed in all of its rows', "column", relation
		USING ERRCODE = CASE WHEN nobodys > 0 THEN 'PU014' ELSE 'PU015' END,
			  DETAIL = concat_ws(E'\n', CASE WHEN nobodys > 0 THEN format('%s row(s) belong to no data subject.', nobodys) END,
								 CASE WHEN shredded > 0 THEN format('%s row(s) belong to data subjects whose keys were shredded.', shredded) END),
			  HINT = concat_ws(' ', CASE WHEN nobodys > 0 THEN 'Give these rows their subject, or set the column to NULL in them.' END,
							   CASE WHEN shredded > 0 THEN 'Set the column to NULL in the rows of subjects that were shredded, or readmit them with purpose.readmit().' END);
END $$;
COMMENT ON FUNCTION purpose._migration_refuse(regclass, name, boolean, bigint, bigint, bigint) IS 'Raises PU005, PU014 or PU015: how many rows cannot be converted, and why';
REVOKE ALL ON FUNCTION purpose._migration_refuse(regclass, name, boolean, bigint, bigint, bigint) FROM PUBLIC;

CREATE FUNCTION purpose._migration_drop_triggers(relation regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	t regclass;
BEGIN
	FOR t IN SELECT g.tgrelid::regclass FROM pg_trigger g WHERE g.tgrelid IN (SELECT x FROM purpose._tree(relation) x)
			 AND g.tgname = '~purpose_migrate' AND g.tgfoid = 'purpose._migrate_row()'::regprocedure AND g.tgparentid = 0 LOOP
		EXECUTE format('DROP TRIGGER "~purpose_migrate" ON %s', t);
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._migration_drop_triggers(regclass) IS 'Takes ~purpose_migrate away from a table and all below it';
REVOKE ALL ON FUNCTION purpose._migration_drop_triggers(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._migration_find(relation regclass, "column" name, unseals boolean, label text,
	shredded_as_null boolean, force boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	m purpose.column_migration;
BEGIN
	IF NOT purpose._loaded() THEN
		RAISE EXCEPTION 'pg_purpose must be loaded via "shared_preload_libraries"' USING ERRCODE = '55000',
			HINT = 'Add pg_purpose to shared_preload_libraries and restart the server.';
	END IF;
	IF NOT EXISTS (SELECT FROM pg_class WHERE oid = relation AND relkind IN ('r', 'p') AND relpersistence <> 't' AND oid >= 16384) THEN
		RAISE EXCEPTION '% is not a lasting table', relation USING ERRCODE = '42809';
	END IF;
	PERFORM purpose._attnums(relation, ARRAY["column"::text]);
	SELECT * INTO m FROM purpose.column_migration x
		WHERE x.relation = _migration_find.relation AND x.finished_at IS NULL FOR UPDATE;
	IF NOT found THEN
		RETURN 0;
	END IF;
	IF m."column" <> "column" THEN
		RAISE EXCEPTION 'column "%" of % is being sealed or unsealed', m."column", relation
			USING ERRCODE = '55006', HINT = 'Finish that first, or take it back with the opposite procedure.';
	END IF;
	-- Who calls again is told again what it waits for.
	UPDATE purpose.column_migration x SET part = m.relation
		WHERE x.migration_id = m.migration_id AND x.phase = 'statistics';

	IF m.abandoned THEN
		IF unseals THEN
			RAISE EXCEPTION 'unsealing column "%" of % was taken back, which is not finished', "column", relation
				USING ERRCODE = '55000', HINT = 'CALL purpose.seal_column() again to finish that.';
		END IF;
		RETURN m.migration_id;
	END IF;
	IF (m.direction = 'unseal') = unseals THEN
		IF NOT unseals AND m.phase <> 'statistics'
			AND (purpose._sealed_target(relation, "column", label)).canonical <> m.label THEN
			RAISE EXCEPTION 'column "%" of % is being sealed under another label', "column", relation
				USING ERRCODE = '55000', DETAIL = format('The label is: %s.', m.label),
					  HINT = 'Go on with that label, or take the work back with purpose.unseal_column() first.';
		END IF;
		-- Whoever calls again has seen to what stood in the way; or time has
		-- passed, in which rows may have slipped behind.
		UPDATE purpose.column_migration x
			SET shredded_as_null = _migration_find.shredded_as_null,
				phase = CASE x.phase WHEN 'rewriting' THEN 'converting' ELSE x.phase END
			WHERE x.migration_id = m.migration_id;
		IF m.phase = 'rewriting' OR m.nobodys + m.shredded + m.closed > 0 THEN
			PERFORM purpose._migration_next_pass(m.migration_id);
		END IF;
		RAISE NOTICE 'going on with column "%" of %', "column", relation;
		RETURN m.migration_id;
	END IF;

	IF m.phase = 'statistics' THEN
		RAISE EXCEPTION 'column "%" of % is %, but for its statistics', "column", relation,
				CASE WHEN unseals THEN 'sealed' ELSE 'unsealed' END
			USING ERRCODE = '55000', HINT = format('CALL purpose.%s_column() again to finish that.', m.direction);
	END IF;
	PERFORM purpose._migration_drop_triggers(relation);
	IF unseals THEN
		EXECUTE format('ALTER TABLE %s DROP COLUMN %I', relation, m.shadow);
		UPDATE purpose.column_migration x SET abandoned = true, phase = 'done', finished_at = clock_timestamp()
			WHERE x.migration_id = m.migration_id;
		PERFORM purpose._seal_sync_tree(relation);
	ELSE
		-- The shadow is in clear: it has to leave the file.
		UPDATE purpose.column_migration x SET abandoned = true, phase = 'rewriting'
			WHERE x.migration_id = m.migration_id;
	END IF;
	RAISE NOTICE '%ing column "%" of % is taken back', m.direction, "column", relation;
	RETURN m.migration_id;
END $$;
COMMENT ON FUNCTION purpose._migration_find(regclass, name, boolean, text, boolean, boolean) IS 'The unfinished work on a column, or 0; takes it back if the opposite is wanted now. Errors 42703, 42809, 55000, 55006';
REVOKE ALL ON FUNCTION purpose._migration_find(regclass, name, boolean, text, boolean, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._migration_next_pass(migration_id bigint) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE purpose.column_migration x
		SET pass = x.pass + 1, part = NULL, next_block = NULL, end_block = NULL, pass_found = 0, rows_done = 0,
			nobodys = 0, shredded = 0, closed = 0
		WHERE x.migration_id = $1
$$;
COMMENT ON FUNCTION purpose._migration_next_pass(bigint) IS 'Begins with the table''s first row again';
REVOKE ALL ON FUNCTION purpose._migration_next_pass(bigint) FROM PUBLIC;

CREATE FUNCTION purpose._migration_check(relation regclass, "column" name, unseals boolean, label text,
	shredded_as_null boolean, force boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	t regclass;
	r record;
	rows bigint := 0;
	nobodys bigint := 0;
	shredded bigint := 0;
	closed bigint := 0;
BEGIN
	PERFORM purpose._migration_target(relation, "column", unseals, label, shredded_as_null, force);
	RAISE NOTICE 'looking at the rows of %', relation;
	FOR t IN SELECT x FROM purpose._tree(relation) x JOIN pg_class c ON c.oid = x WHERE c.relkind = 'r' LOOP
		r := purpose._migration_scan(t, "column", NULL, label, false, 0, NULL, 0);
		rows := rows + r.rows_seen;
		nobodys := nobodys + r.nobodys;
		shredded := shredded + r.shredded;
		closed := closed + r.closed;
	END LOOP;
	IF unseals AND shredded_as_null THEN
		IF shredded > 0 AND (SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = "column") THEN
			RAISE EXCEPTION 'column "%" of % is NOT NULL, and % value(s) were shredded', "column", relation, shredded
				USING ERRCODE = '23502', HINT = 'Drop the NOT NULL constraint, or delete the rows.';
		END IF;
		shredded := 0;
	END IF;
	IF nobodys + shredded + closed > 0 THEN
		PERFORM purpose._migration_refuse(relation, "column", unseals, nobodys, shredded, closed);
	END IF;
	RETURN rows;
END $$;
COMMENT ON FUNCTION purpose._migration_check(regclass, name, boolean, text, boolean, boolean) IS 'Before anything is changed: looks at what depends on the column, and at each row. Returns how many rows there are. Errors 2BP01, 23502, 42809, 55000, PU002, PU005, PU006, PU008, PU014, PU015';
REVOKE ALL ON FUNCTION purpose._migration_check(regclass, name, boolean, text, boolean, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._migration_target(relation regclass, "column" name, unseals boolean, label text,
	shredded_as_null boolean, force boolean, OUT canonical text, OUT type text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	parent regclass;
	other regclass;
BEGIN
	IF (purpose._protection(relation)).protected IS NOT TRUE OR (purpose._protection(relation)).problem IS NOT NULL THEN
		RAISE EXCEPTION '% is not protected, so nothing says whose data its rows are', relation
			USING ERRCODE = 'PU006', HINT = format('Protect it first: SELECT purpose.protect(%L, ...).', relation);
	END IF;
	SELECT i.inhparent::regclass INTO parent FROM pg_inherits i
		JOIN pg_attribute a ON a.attrelid = i.inhparent AND a.attname = "column" AND NOT a.attisdropped
		WHERE i.inhrelid = relation LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'column "%" of % is inherited', "column", relation
			USING ERRCODE = '42P16', HINT = format('CALL the procedure for %s.', parent);
	END IF;
	SELECT g.tgrelid::regclass INTO other FROM pg_trigger g
		WHERE g.tgrelid IN (SELECT x FROM purpose._tree(relation) x) AND g.tgname = '~purpose_migrate' LIMIT 1;
	IF found THEN
		RAISE EXCEPTION 'another column of % is being sealed or unsealed', other USING ERRCODE = '55006',
			HINT = 'One after the other: purpose.seal_progress shows which.';
	END IF;
	IF unseals THEN
		SELECT c.canonical, c.type INTO canonical, type FROM purpose._clear_target(relation, "column") c;
	ELSE
		SELECT s.canonical, s.type INTO canonical, type FROM purpose._sealed_target(relation, "column", label) s;
	END IF;
	PERFORM purpose._migration_require_free(relation, "column", unseals, force);
END $$;
COMMENT ON FUNCTION purpose._migration_target(regclass, name, boolean, text, boolean, boolean) IS 'The label and the type that a column gets, if nothing in the catalogs forbids it. Errors 2BP01, 42704, 42809, 42P16, 55000, 55006, PU002, PU006, PU008';
REVOKE ALL ON FUNCTION purpose._migration_target(regclass, name, boolean, text, boolean, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._label_of_sealed(sealed_label text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(' ', 'for ' || array_to_string(l.allowed, ', '),
					 CASE WHEN l.prohibited <> '{}' THEN 'never ' || array_to_string(l.prohibited, ', ') END,
					 'keep ' || l.keep)
	FROM purpose._parse_sealed_label(sealed_label) l
$$;
COMMENT ON FUNCTION purpose._label_of_sealed(text) IS 'The label of a clear column that says what a sealed type''s label says';
REVOKE ALL ON FUNCTION purpose._label_of_sealed(text) FROM PUBLIC;

CREATE FUNCTION purpose._migration_start(relation regclass, "column" name, unseals boolean, label text,
	shredded_as_null boolean, force boolean, rows bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	shadow name := CASE WHEN unseals THEN 'purpose_unsealing_' ELSE 'purpose_sealing_' END || "column";
	target record;
	own_label text;
	new_label text;
	t regclass;
	id bigint;
BEGIN
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation);
	target := purpose._migration_target(relation, "column", unseals, label, shredded_as_null, force);
	SELECT l.label INTO own_label FROM purpose._labels l WHERE l.relation = _migration_start.relation AND l."column" = _migration_start."column";
	IF unseals AND own_label IS NULL THEN
		new_label := purpose._label_of_sealed(target.canonical);
	END IF;

	INSERT INTO purpose.column_migration (relation, "column", direction, label, column_label, shadow, target,
										  shredded_as_null, phase, rows_estimated, started_at, started_by)
		SELECT _migration_start.relation, _migration_start."column", CASE WHEN unseals THEN 'unseal' ELSE 'seal' END,
			   target.canonical, new_label, shadow, target.type, _migration_start.shredded_as_null,
			   'converting', rows, clock_timestamp(), purpose._acting_role_name()
		RETURNING migration_id INTO id;

	EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', relation, shadow, target.type)
		|| CASE WHEN NOT unseals THEN format(', ADD CONSTRAINT %I CHECK (purpose.require_sealed(%I)) NOT VALID', shadow, shadow) ELSE '' END;
	EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', relation, shadow,
				   format('What column %s becomes when purpose.%s_column() has finished', "column", CASE WHEN unseals THEN 'unseal' ELSE 'seal' END));
	IF unseals THEN
		PERFORM purpose._set_label(relation, shadow, coalesce(own_label, new_label));
		PERFORM purpose._floor_sync_tree(relation);
	END IF;
	PERFORM purpose._seal_sync_tree(relation);
	FOR t IN SELECT x FROM purpose._tree(relation) x JOIN pg_class c ON c.oid = x WHERE NOT c.relispartition LOOP
		EXECUTE format('CREATE TRIGGER "~purpose_migrate" BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION purpose._migrate_row(%L, %L)',
					   t, "column", shadow);
	END LOOP;
	FOR t IN SELECT x FROM purpose._tree(relation) x LOOP
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER "~purpose_migrate"', t);
	END LOOP;
	RETURN id;
END $$;
COMMENT ON FUNCTION purpose._migration_start(regclass, name, boolean, text, boolean, boolean, bigint) IS 'Gives a table the shadow of a column and the trigger that fills it. Errors as purpose._migration_target(), 42701';
REVOKE ALL ON FUNCTION purpose._migration_start(regclass, name, boolean, text, boolean, boolean, bigint) FROM PUBLIC;

CREATE FUNCTION purpose._migration_convert(m purpose.column_migration, batch_size int) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	r record;
BEGIN
	IF m.part IS NULL OR m.next_block >= m.end_block
		OR NOT EXISTS (SELECT FROM purpose._tree(m.relation) x WHERE x = m.part) THEN
		SELECT x, 0, pg_relation_size(x) / current_setting('block_size')::bigint INTO m.part, m.next_block, m.end_block
			FROM purpose._tree(m.relation) x JOIN pg_class c ON c.oid = x AND c.relkind = 'r'
			WHERE x::oid > coalesce(m.part::oid, 0) ORDER BY x::oid LIMIT 1;
		IF NOT found THEN
			IF m.nobodys + m.shredded + m.closed > 0 THEN
				PERFORM purpose._migration_refuse(m.relation, m."column", m.direction = 'unseal', m.nobodys, m.shredded, m.closed);
			ELSIF m.pass_found > batch_size THEN
				PERFORM purpose._migration_next_pass(m.migration_id);
			ELSE
				-- What is left is few, and done under the lock.
				UPDATE purpose.column_migration x SET phase = 'rewriting', last_batch_at = clock_timestamp()
					WHERE x.migration_id = m.migration_id;
			END IF;
			RETURN;
		END IF;
	END IF;
	BEGIN
		r := purpose._migration_scan(m.part, m."column", m.shadow, NULL, m.shredded_as_null, m.next_block, m.end_block, batch_size);
	EXCEPTION WHEN deadlock_detected OR serialization_failure THEN
		-- Somebody else gave numbers to the same subjects.  Once more.
		RETURN;
	END;
	UPDATE purpose.column_migration x
		SET part = m.part, next_block = r.next, end_block = m.end_block, pass_found = x.pass_found + r.rows_done + r.rows_busy,
			nobodys = x.nobodys + r.nobodys, shredded = x.shredded + r.shredded, closed = x.closed + r.closed,
			rows_done = x.rows_done + r.rows_seen, last_batch_at = clock_timestamp()
		WHERE x.migration_id = m.migration_id;
END $$;
COMMENT ON FUNCTION purpose._migration_convert(purpose.column_migration, int) IS 'One batch of rows. At a pass''s end: the next pass while many rows were left or changed, else on to the rewrite. Errors PU005, PU014, PU015';
REVOKE ALL ON FUNCTION purpose._migration_convert(purpose.column_migration, int) FROM PUBLIC;

CREATE FUNCTION purpose._migration_rewrite(m purpose.column_migration) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	unseals boolean := m.direction = 'unseal';
	t regclass;
	r record;
	command text;
	nobodys bigint := 0;
	shredded bigint := 0;
	closed bigint := 0;
BEGIN
	BEGIN
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', m.relation);
	EXCEPTION WHEN lock_not_available THEN
		-- lock_timeout says how long others may have to wait behind this.
		PERFORM pg_sleep(1);
		RETURN;
	END;
	RAISE NOTICE 'rewriting %', m.relation;
	IF m.abandoned THEN
		EXECUTE format('ALTER TABLE %s DROP COLUMN %I', m.relation, m.shadow);
		PERFORM purpose._rewrite(x) FROM purpose._tree(m.relation) x JOIN pg_class c ON c.oid = x AND c.relkind = 'r';
	ELSE
		-- All of it again: meanwhile anything may have happened.
		PERFORM purpose._migration_require_free(m.relation, m."column", unseals, true);
		FOR t IN SELECT x FROM purpose._tree(m.relation) x JOIN pg_class c ON c.oid = x AND c.relkind = 'r' LOOP
			r := purpose._migration_scan(t, m."column", m.shadow, NULL, m.shredded_as_null, 0, NULL, 0);
			nobodys := nobodys + r.nobodys;
			shredded := shredded + r.shredded;
			closed := closed + r.closed;
		END LOOP;
		IF nobodys + shredded + closed > 0 THEN
			PERFORM purpose._migration_refuse(m.relation, m."column", unseals, nobodys, shredded, closed);
		END IF;
		PERFORM purpose._migration_drop_triggers(m.relation);

		command := format('ALTER TABLE %1$s ALTER COLUMN %2$I TYPE %3$s USING purpose._require_in_step(%4$I, %2$I, %5$L), DROP COLUMN %4$I',
						  m.relation, m."column", m.target, m.shadow, m.shredded_as_null);
		IF unseals THEN
			command := command || coalesce((
				SELECT string_agg(format(', DROP CONSTRAINT %I', o.conname), '') FROM pg_constraint o
				WHERE o.conrelid = m.relation AND o.contype = 'c'
				AND pg_get_expr(o.conbin, o.conrelid) = format('purpose.require_sealed(%I)', m."column")), '');
		ELSE
			-- Under the name that purpose._seal_sync() gives it.
			command := command || format(', ADD %s CHECK (purpose.require_sealed(%I))',
				CASE WHEN octet_length('purpose_sealed_' || m."column") < 64
						AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conname = 'purpose_sealed_' || m."column"
										AND o.conrelid IN (SELECT x FROM purpose._tree(m.relation) x))
					THEN format('CONSTRAINT %I', 'purpose_sealed_' || m."column") ELSE '' END, m."column");
		END IF;
		EXECUTE command;
		-- PL/pgSQL remembers of which type a field of NEW was; what is changed
		-- it compiles again, in every session.
		FOR r IN SELECT DISTINCT p.oid::regprocedure AS function, p.procost AS cost
				 FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_language l ON l.oid = p.prolang
				 WHERE g.tgrelid IN (SELECT x FROM purpose._tree(m.relation) x) AND NOT g.tgisinternal AND l.lanname = 'plpgsql' LOOP
			EXECUTE format('ALTER FUNCTION %s COST %s', r.function, r.cost);
		END LOOP;
		IF m.column_label IS NOT NULL THEN
			PERFORM purpose._set_label(m.relation, m."column", m.column_label);
			PERFORM purpose._floor_sync_tree(m.relation);
		END IF;
	END IF;
	PERFORM purpose._seal_sync_tree(m.relation);
	UPDATE purpose.column_migration x
		SET phase = 'statistics', part = m.relation, rewritten_by = pg_current_xact_id(), last_batch_at = clock_timestamp()
		WHERE x.migration_id = m.migration_id;
END $$;
COMMENT ON FUNCTION purpose._migration_rewrite(purpose.column_migration) IS 'Gives the column its new type and its shadow''s values, which rewrites the table and its indexes, and takes the shadow away. Errors 2BP01, 55000, PU005, PU014, PU015';
REVOKE ALL ON FUNCTION purpose._migration_rewrite(purpose.column_migration) FROM PUBLIC;

CREATE FUNCTION purpose._holding_back(transaction xid8, OUT who text, OUT unused boolean) RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('replication slot "%s"', s.slot_name) || CASE WHEN s.active THEN '' ELSE ', which nobody uses' END, NOT s.active
		FROM pg_replication_slots s
		WHERE greatest(age(s.xmin), age(s.catalog_xmin)) >= age(transaction::xid)
	UNION ALL
	SELECT format('prepared transaction %L', p.gid), false
		FROM pg_prepared_xacts p
		WHERE p.database = current_database() AND age(p.transaction) >= age(_holding_back.transaction::xid)
	UNION ALL
	SELECT CASE WHEN a.datid IS NULL THEN format('%s %s', a.backend_type, a.pid) ELSE format('session %s', a.pid) END, false
		FROM pg_stat_activity a
		WHERE (a.datid IS NULL OR a.datname = current_database()) AND a.pid <> pg_backend_pid()
		AND greatest(age(a.backend_xmin), age(a.backend_xid)) >= age(transaction::xid)
$$;
COMMENT ON FUNCTION purpose._holding_back(xid8) IS 'Whose snapshots may see what this transaction did away with: replication slots, prepared transactions, sessions, standbys that give feedback';
REVOKE ALL ON FUNCTION purpose._holding_back(xid8) FROM PUBLIC;

CREATE FUNCTION purpose._migration_clear_statistics(m purpose.column_migration) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	horizon int := current_setting('purpose.backup_horizon');
	finished timestamptz := clock_timestamp();
	until timestamptz;
	holders text;
	slot_unused boolean;
BEGIN
	-- Background processes' transactions are over in a moment.
	FOR i IN 1 .. 30 LOOP
		EXIT WHEN m.part IS NULL OR purpose._everyone_sees(m.rewritten_by);
		PERFORM pg_sleep(0.1);
	END LOOP;
	IF NOT purpose._everyone_sees(m.rewritten_by) THEN
		IF m.part IS NOT NULL THEN
			SELECT string_agg(h.who, '; ' ORDER BY h.unused DESC, h.who COLLATE "C"), bool_or(h.unused) INTO holders, slot_unused
				FROM purpose._holding_back(m.rewritten_by) h;
			IF slot_unused THEN
				RAISE WARNING 'waiting for transactions that began before the rewrite of %', m.relation
					USING DETAIL = format('Until they end, old statistics of the column stay in the database''s files. They are of: %s.', holders),
						  HINT = 'Let the slot''s consumer catch up, or SELECT pg_drop_replication_slot(...) if there is none any more. This call may be interrupted; called again, it goes on.';
			ELSE
				RAISE NOTICE 'waiting for transactions that began before the rewrite of %', m.relation
					USING DETAIL = format('Until they end, old statistics of the column stay in the database''s files. They are of: %s.',
										  coalesce(holders, 'a transaction that has ended just now'));
			END IF;
			UPDATE purpose.column_migration x SET part = NULL WHERE x.migration_id = m.migration_id;
		END IF;
		PERFORM pg_sleep(1);
		RETURN;
	END IF;
	BEGIN
		-- While this waits for a long ANALYZE, everybody waits who plans a query.
		PERFORM set_config('lock_timeout', '500ms', true);
		PERFORM purpose._rewrite_statistics();
	EXCEPTION WHEN lock_not_available THEN
		PERFORM pg_sleep(1);
		RETURN;
	END;
	IF (m.direction = 'seal') <> m.abandoned AND horizon > 0 THEN
		until := finished + make_interval(days => horizon);
	END IF;
	UPDATE purpose.column_migration x
		SET phase = 'done', part = NULL, next_block = NULL, end_block = NULL, finished_at = finished, clear_copies_until = until
		WHERE x.migration_id = m.migration_id;
	IF (m.direction = 'seal') <> m.abandoned THEN
		RAISE NOTICE 'column "%" of % is sealed', m."column", m.relation
			USING HINT = CASE WHEN horizon > 0 THEN format('Backups and WAL of before hold its values in clear, for %s more days by purpose.backup_horizon.', horizon)
							  ELSE 'Backups and WAL of before hold its values in clear. Set purpose.backup_horizon to the number of days for which they are kept.' END;
	ELSE
		RAISE NOTICE 'column "%" of % is unsealed', m."column", m.relation;
	END IF;
END $$;
COMMENT ON FUNCTION purpose._migration_clear_statistics(purpose.column_migration) IS 'The last step: what statistics held of the column leaves the files, as soon as no snapshot can see it';
REVOKE ALL ON FUNCTION purpose._migration_clear_statistics(purpose.column_migration) FROM PUBLIC;

CREATE FUNCTION purpose._migration_step(migration_id bigint, batch_size int) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	m purpose.column_migration;
BEGIN
	SELECT * INTO STRICT m FROM purpose.column_migration x WHERE x.migration_id = _migration_step.migration_id FOR UPDATE;
	IF m.phase <> 'done' AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = m.relation) THEN
		RAISE EXCEPTION 'the relation was dropped' USING ERRCODE = '42P01';
	END IF;
	CASE m.phase
		WHEN 'converting' THEN PERFORM purpose._migration_convert(m, batch_size);
		WHEN 'rewriting' THEN PERFORM purpose._migration_rewrite(m);
		WHEN 'statistics' THEN PERFORM purpose._migration_clear_statistics(m);
		ELSE RETURN false;
	END CASE;
	RETURN true;
END $$;
COMMENT ON FUNCTION purpose._migration_step(bigint, int) IS 'One transaction''s worth of sealing or unsealing a column; false when there is nothing left to do';
REVOKE ALL ON FUNCTION purpose._migration_step(bigint, int) FROM PUBLIC;

CREATE PROCEDURE purpose.seal_column(relation regclass, "column" name, label text,
	batch_size int DEFAULT 10000, force boolean DEFAULT false)
LANGUAGE c
AS 'MODULE_PATHNAME', 'migrate_seal_column';
COMMENT ON PROCEDURE purpose.seal_column(regclass, name, text, int, boolean) IS 'Seals an existing column of a protected table in place, in batches that are committed one by one; called again, it goes on where it was interrupted. Ends with a rewrite of the table and its indexes under an ACCESS EXCLUSIVE lock. While a column is being unsealed, takes that back. force => true: although the table is published. Errors 25001, 2BP01, 42703, 42704, 42809, 42P16, 55000, 55006, PU002, PU006, PU008, PU014, PU015';
REVOKE ALL ON PROCEDURE purpose.seal_column(regclass, name, text, int, boolean) FROM PUBLIC;

CREATE PROCEDURE purpose.unseal_column(relation regclass, "column" name,
	batch_size int DEFAULT 10000, shredded_as_null boolean DEFAULT false, force boolean DEFAULT false)
LANGUAGE c
AS 'MODULE_PATHNAME', 'migrate_unseal_column';
COMMENT ON PROCEDURE purpose.unseal_column(regclass, name, int, boolean, boolean) IS 'Gives a sealed column its clear type again, as purpose.seal_column() works; needs a purpose that opens every value. The column gets a label that says what the sealed type''s said, unless it has one. While a column is being sealed, takes that back. shredded_as_null => true: shredded values become NULL. Errors 23502, 25001, 2BP01, 42703, 42809, 42P16, 55000, 55006, PU005, PU006, PU015';
REVOKE ALL ON PROCEDURE purpose.unseal_column(regclass, name, int, boolean, boolean) FROM PUBLIC;

CREATE VIEW purpose.seal_progress AS
	SELECT m.relation, m."column", m.direction,
		   CASE WHEN m.abandoned THEN 'taken back' || CASE WHEN m.phase <> 'done' THEN ', ' || m.phase ELSE '' END ELSE m.phase END AS phase,
		   m.label, m.pass, m.rows_done, m.rows_estimated, m.started_at, m.started_by, m.last_batch_at, m.finished_at,
		   CASE WHEN m.finished_at IS NOT NULL AND m.rewritten_by IS NOT NULL AND (m.direction = 'seal') <> m.abandoned
				THEN coalesce(m.clear_copies_until,
							  m.finished_at + make_interval(days => nullif(current_setting('purpose.backup_horizon', true)::int, 0)),
							  'infinity') END AS clear_copies_until
	FROM purpose.column_migration m
	WHERE m.relation::oid IN (SELECT oid FROM pg_catalog.pg_class)
	ORDER BY m.migration_id;
COMMENT ON VIEW purpose.seal_progress IS 'Columns that were, or are being, sealed or unsealed in place: rows_done is how many rows the present pass has seen; clear_copies_until is when the last backup with clear values expires, by purpose.backup_horizon';
GRANT SELECT ON purpose.seal_progress TO PUBLIC;

-- ---------------------------------------------------------------------------
-- Legal holds
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._hold_condition(relation regclass, condition text) RETURNS text
LANGUAGE c STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'hold_condition';
COMMENT ON FUNCTION purpose._hold_condition(regclass, text) IS 'Checks the condition of a hold, and returns it as it is kept. Errors 22023, and what PostgreSQL raises for a condition that is wrong';
REVOKE ALL ON FUNCTION purpose._hold_condition(regclass, text) FROM PUBLIC;

CREATE FUNCTION purpose._holds_of(subject_table regclass, key text) RETURNS TABLE (hold_id bigint, group_numbers int[])
LANGUAGE c VOLATILE STRICT
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
AS 'MODULE_PATHNAME', 'hold_find';
COMMENT ON FUNCTION purpose._holds_of(regclass, text) IS 'The holds in force for a subject, given by its canonical key, with the newest snapshot; group_numbers are the key groups that they hold, NULL for all. Error PU006, and what a condition raises that does not fit its relation any more';
REVOKE ALL ON FUNCTION purpose._holds_of(regclass, text) FROM PUBLIC;

CREATE FUNCTION purpose._require_not_held(subject_table regclass, key text, wanted int[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held record;
BEGIN
	-- Whoever shreds and whoever holds wait for each other.
	LOCK TABLE purpose.legal_hold IN SHARE MODE;
	SELECT min(h.hold_id) AS hold_id, bool_or(h.group_numbers IS NULL) AS all_groups,
		   string_agg(DISTINCT CASE g WHEN 0 THEN 'default' ELSE (SELECT k.name FROM purpose.key_group k WHERE k.number = g) END, ', ') AS groups
		INTO held
		FROM purpose._holds_of(subject_table, key) h LEFT JOIN unnest(h.group_numbers) g ON true
		WHERE h.group_numbers IS NULL OR wanted IS NULL OR h.group_numbers && wanted;
	IF held.hold_id IS NOT NULL THEN
		RAISE EXCEPTION 'legal hold % keeps the data subject from being shredded', held.hold_id USING ERRCODE = 'PU018',
			DETAIL = CASE WHEN held.all_groups THEN 'All key groups are held.' ELSE format('Held key groups: %s.', held.groups) END,
			HINT = CASE WHEN held.all_groups THEN 'SELECT * FROM purpose.holds says why. Release it with purpose.release_hold() when the ground is gone.'
						ELSE 'SELECT * FROM purpose.holds says why. Shred the other key groups with groups => ''{...}'', or release the hold with purpose.release_hold() when the ground is gone.' END;
	END IF;
END $$;
COMMENT ON FUNCTION purpose._require_not_held(regclass, text, int[]) IS 'Before key groups of a subject, NULL for all, are shredded: error PU018 if one is held. From here to the end of the transaction nobody places or releases a hold';
REVOKE ALL ON FUNCTION purpose._require_not_held(regclass, text, int[]) FROM PUBLIC;

CREATE FUNCTION purpose._add_hold(relation regclass, condition text, subject text, reason text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	hold bigint;
BEGIN
	IF relation IS NULL OR num_nonnulls(condition, subject) <> 1 THEN
		RAISE EXCEPTION 'what is to be held must be given' USING ERRCODE = '22004',
			HINT = 'purpose.hold(relation, condition, reason) holds rows, purpose.hold_subject(subject_table, subject, reason) a data subject.';
	END IF;
	IF coalesce(btrim(reason), '') = '' THEN
		RAISE EXCEPTION 'a hold needs a reason' USING ERRCODE = '22004',
			HINT = 'Name the case or the ground, as in reason => ''case 2026/17''.';
	END IF;
	LOCK TABLE purpose.legal_hold IN ROW EXCLUSIVE MODE;
	INSERT INTO purpose.legal_hold AS h (relation, condition, subject, reason, held_at, held_by)
		VALUES (relation, condition, subject, reason, purpose._now(), purpose._acting_role_name())
		RETURNING h.hold_id INTO hold;
	RETURN hold;
END $$;
COMMENT ON FUNCTION purpose._add_hold(regclass, text, text, text) IS 'Records a hold, once no shred is under way. Error 22004';
REVOKE ALL ON FUNCTION purpose._add_hold(regclass, text, text, text) FROM PUBLIC;

CREATE FUNCTION purpose.hold(relation regclass, "where" text, reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF relation IS NOT NULL AND (SELECT c.relkind NOT IN ('r', 'p') OR c.relnamespace IN ('pg_catalog'::regnamespace, 'purpose'::regnamespace)
								 FROM pg_class c WHERE c.oid = relation) THEN
		RAISE EXCEPTION '% is not a table that can be held', relation USING ERRCODE = '42809';
	END IF;
	RETURN purpose._add_hold(relation, purpose._hold_condition(relation, "where"), NULL, reason);
END $$;
COMMENT ON FUNCTION purpose.hold(regclass, text, text) IS 'Keeps the rows of a table that fulfil a condition, now or later, and the key groups that they are sealed under, from being erased: a legal hold (GDPR Art. 17(3)(e)). The condition is over the columns of one row, with functions of PostgreSQL only; other names in it are schema-qualified. Returns the hold''s id. Errors 22004, 22023, 42809, 42P01. A shred of what is held raises PU018';
REVOKE ALL ON FUNCTION purpose.hold(regclass, text, text) FROM PUBLIC;

CREATE FUNCTION purpose._hold_subject(subject_table regclass, subject text, reason text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	hold bigint;
BEGIN
	hold := purpose._add_hold(subject_table, NULL, purpose._subject_key(subject_table, subject), reason);
	IF EXISTS (SELECT FROM purpose.shred_receipt r JOIN purpose.subject_number n ON n.number = r.numbers[1] JOIN purpose.legal_hold h ON h.relation = n.subject_table AND h.subject = n.subject
			   WHERE h.hold_id = hold AND r.kind = 'subject') THEN
		RAISE WARNING 'sealed values of the data subject were shredded already'
			USING HINT = 'SELECT * FROM purpose.shred_receipts. The hold keeps what is left.';
	END IF;
	RETURN hold;
END $$;
COMMENT ON FUNCTION purpose._hold_subject(regclass, text, text) IS 'purpose.hold_subject() for keys of all types';
REVOKE ALL ON FUNCTION purpose._hold_subject(regclass, text, text) FROM PUBLIC;

DO $do$
DECLARE
	type text;
BEGIN
	FOREACH type IN ARRAY ARRAY['text', 'bigint', 'uuid'] LOOP
		EXECUTE format($f$
CREATE FUNCTION purpose.hold_subject(subject_table regclass, subject %1$s, reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN purpose._hold_subject(subject_table, subject::text, reason);
END $$;
COMMENT ON FUNCTION purpose.hold_subject(regclass, %1$s, text) IS 'Keeps all data of a data subject from being erased: a legal hold (GDPR Art. 17(3)(e)). Returns the hold''s id. Errors 22004, PU006';
REVOKE ALL ON FUNCTION purpose.hold_subject(regclass, %1$s, text) FROM PUBLIC;
$f$, type);
	END LOOP;
END $do$;

CREATE FUNCTION purpose.release_hold(hold_id bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	UPDATE purpose.legal_hold h SET released_at = purpose._now(), released_by = purpose._acting_role_name()
		WHERE h.hold_id = hold_id AND h.released_at IS NULL;
	IF NOT found THEN
		RAISE EXCEPTION 'legal hold % is not in force', hold_id USING ERRCODE = '42704',
			HINT = 'SELECT * FROM purpose.holds lists all holds.';
	END IF;
END $$;
COMMENT ON FUNCTION purpose.release_hold(bigint) IS 'Ends a legal hold. It stays on record. Error 42704 if it is not in force';
REVOKE ALL ON FUNCTION purpose.release_hold(bigint) FROM PUBLIC;

CREATE VIEW purpose.holds AS
	SELECT hold_id, relation, condition AS "where", subject, reason, held_at, held_by, released_at, released_by
	FROM purpose.legal_hold;
COMMENT ON VIEW purpose.holds IS 'Legal holds, those released too: of a data subject, or of the rows of a relation that fulfil a condition';

-- ---------------------------------------------------------------------------
-- Shredding
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._shreds_changed() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'tombstone_changed';
COMMENT ON FUNCTION purpose._shreds_changed() IS 'Tells every backend, and standbys, that subjects were shredded';
REVOKE ALL ON FUNCTION purpose._shreds_changed() FROM PUBLIC;
CREATE TRIGGER shreds_changed AFTER INSERT OR UPDATE OR DELETE
	ON purpose.shred_receipt FOR EACH ROW EXECUTE FUNCTION purpose._shreds_changed();
ALTER TABLE purpose.shred_receipt ENABLE ALWAYS TRIGGER shreds_changed;
CREATE TRIGGER shreds_gone AFTER TRUNCATE
	ON purpose.shred_receipt FOR EACH STATEMENT EXECUTE FUNCTION purpose._shreds_changed();
ALTER TABLE purpose.shred_receipt ENABLE ALWAYS TRIGGER shreds_gone;

CREATE FUNCTION purpose._obtain_number(subject_table regclass, subject text) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'subjectnumber_obtain_sql';
COMMENT ON FUNCTION purpose._obtain_number(regclass, text) IS 'The current number of a subject, given by its canonical key; draws one if it has none. Errors PU011, PU013';
REVOKE ALL ON FUNCTION purpose._obtain_number(regclass, text) FROM PUBLIC;

CREATE FUNCTION purpose._request_cycle() RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'tombstone_request_cycle';
COMMENT ON FUNCTION purpose._request_cycle() IS 'Has the transaction''s commit flushed, whatever synchronous_commit says, and the key worker woken after it';
REVOKE ALL ON FUNCTION purpose._request_cycle() FROM PUBLIC;

DO $do$
DECLARE
	type text;
BEGIN
	FOREACH type IN ARRAY ARRAY['text', 'bigint', 'uuid'] LOOP
		EXECUTE format($f$
CREATE FUNCTION purpose.shred(subject_table regclass, subject %1$s, groups text[] DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN purpose._shred(subject_table, subject::text, groups);
END $$;
COMMENT ON FUNCTION purpose.shred(regclass, %1$s, text[]) IS 'Makes all sealed values of a data subject, or those of some key groups, unreadable for ever: at once when this transaction commits, in backups as soon as the receipt says destroyed (GDPR Art. 17). Returns the receipt''s id. Errors PU006, PU011, PU013, PU018 for what a legal hold keeps, 42704 for an unknown key group';
REVOKE ALL ON FUNCTION purpose.shred(regclass, %1$s, text[]) FROM PUBLIC;

CREATE FUNCTION purpose.readmit(subject_table regclass, subject %1$s) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM purpose._readmit(subject_table, subject::text);
END $$;
COMMENT ON FUNCTION purpose.readmit(regclass, %1$s) IS 'Gives a data subject that was shredded new keys, so that values can be sealed for it again; what was shredded stays so. Errors PU006, PU011, PU013, 42704 for a subject that was not shredded';
REVOKE ALL ON FUNCTION purpose.readmit(regclass, %1$s) FROM PUBLIC;
$f$, type);
	END LOOP;
END $do$;

CREATE FUNCTION purpose._shred(subject_table regclass, subject text, groups text[]) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	key text;
	current bigint;
	wanted int[];
	unknown text;
	receipt purpose.shred_receipt;
BEGIN
	IF subject_table IS NULL OR subject IS NULL THEN
		RAISE EXCEPTION 'a subject table and a subject must be given' USING ERRCODE = '22004';
	END IF;
	key := purpose._subject_key(subject_table, subject);
	PERFORM purpose._begin_event();
	IF groups IS NOT NULL THEN
		SELECT array_agg(DISTINCT g) INTO groups FROM unnest(groups) g;
		SELECT g INTO unknown FROM unnest(groups) g
			WHERE g IS NULL OR (g <> 'default' AND NOT EXISTS (SELECT FROM purpose.key_group k WHERE k.name = g)) LIMIT 1;
		IF found OR groups IS NULL THEN
			RAISE EXCEPTION 'key group "%" does not exist', coalesce(unknown, '') USING ERRCODE = '42704',
				HINT = 'SELECT name FROM purpose.key_group lists the groups that labels name; "default" stands for labels that name none.';
		END IF;
		SELECT array_agg(CASE g WHEN 'default' THEN 0 ELSE (SELECT k.number FROM purpose.key_group k WHERE k.name = g) END ORDER BY g)
			INTO wanted FROM unnest(groups) g;
	END IF;

	current := purpose._obtain_number(subject_table, key);
	PERFORM FROM purpose.subject_number n WHERE n.subject_table = subject_table AND n.subject = key FOR UPDATE;
	-- Again: a readmission may have come between.
	current := purpose._obtain_number(subject_table, key);

	SELECT r.* INTO receipt FROM purpose.shred_receipt r
		WHERE r.numbers[1] = current AND r.kind = 'subject'
		AND r.keyring = (SELECT b.keyring FROM purpose.keyring_binding b) AND (r.groups IS NULL OR (wanted IS NOT NULL AND r.group_numbers @> wanted))
		ORDER BY r.requested_at LIMIT 1;
	IF found THEN
		RAISE NOTICE 'the subject is shredded already';
		RETURN receipt.receipt_id;
	END IF;
	PERFORM purpose._require_not_held(subject_table, key, wanted);

	INSERT INTO purpose.shred_receipt AS r (keyring, numbers, group_numbers, groups, subject_hash, requested_at, requested_by)
		VALUES ((SELECT b.keyring FROM purpose.keyring_binding b),
				ARRAY[current] || ARRAY(SELECT t.number FROM purpose.retired_number t
										WHERE t.subject_table = subject_table AND t.subject = key ORDER BY t.number),
				wanted, groups, purpose._subject_hash(purpose._journal_name(subject_table), key, false),
				purpose._now(), purpose._acting_role_name())
		RETURNING r.* INTO receipt;
	INSERT INTO purpose.journal_outbox (kind, subject_table, subject, at, detail)
		VALUES ('shred', subject_table, key, receipt.requested_at,
				jsonb_strip_nulls(jsonb_build_object('receipt_id', receipt.receipt_id, 'numbers', receipt.numbers,
													 'group_numbers', wanted, 'groups', groups)));
	PERFORM purpose._request_cycle();
	RETURN receipt.receipt_id;
END $$;
COMMENT ON FUNCTION purpose._shred(regclass, text, text[]) IS 'purpose.shred() for keys of all types';
REVOKE ALL ON FUNCTION purpose._shred(regclass, text, text[]) FROM PUBLIC;

CREATE FUNCTION purpose._readmit(subject_table regclass, subject text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	key text;
	current bigint;
BEGIN
	IF subject_table IS NULL OR subject IS NULL THEN
		RAISE EXCEPTION 'a subject table and a subject must be given' USING ERRCODE = '22004';
	END IF;
	key := purpose._subject_key(subject_table, subject);
	PERFORM purpose._begin_event();
	SELECT n.number INTO current FROM purpose.subject_number n
		WHERE n.subject_table = subject_table AND n.subject = key FOR UPDATE;
	IF NOT found OR NOT EXISTS (SELECT FROM purpose.shred_receipt r WHERE r.numbers[1] = current AND r.kind = 'subject'
								AND r.keyring = (SELECT b.keyring FROM purpose.keyring_binding b)) THEN
		RAISE EXCEPTION 'the subject was not shredded' USING ERRCODE = '42704',
			HINT = 'Only a subject whose keys were shredded needs to be readmitted.';
	END IF;
	INSERT INTO purpose.retired_number VALUES (subject_table, key, current);
	DELETE FROM purpose.subject_number n WHERE n.subject_table = subject_table AND n.subject = key;
	INSERT INTO purpose.journal_outbox (kind, subject_table, subject, at, detail)
		SELECT 'readmit', subject_table, key, purpose._now(),
			   jsonb_build_object('retired', current, 'number', purpose._obtain_number(subject_table, key));
END $$;
COMMENT ON FUNCTION purpose._readmit(regclass, text) IS 'purpose.readmit() for keys of all types';
REVOKE ALL ON FUNCTION purpose._readmit(regclass, text) FROM PUBLIC;

CREATE FUNCTION purpose._retoken_column(relation regclass, "column" name, number bigint) RETURNS bigint
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'retoken_column';
COMMENT ON FUNCTION purpose._retoken_column(regclass, name, bigint) IS 'Gives all values of a searchable column tokens under another key; returns how many';
REVOKE ALL ON FUNCTION purpose._retoken_column(regclass, name, bigint) FROM PUBLIC;

CREATE FUNCTION purpose._draw_number() RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'subjectnumber_draw_sql';
COMMENT ON FUNCTION purpose._draw_number() IS 'A number of the keyring that was never drawn before. Errors PU011, PU013';
REVOKE ALL ON FUNCTION purpose._draw_number() FROM PUBLIC;

CREATE FUNCTION purpose.rotate_tokens(relation regclass, "column" name) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	old bigint;
	new bigint;
	receipt uuid;
BEGIN
	IF relation IS NULL OR "column" IS NULL THEN
		RAISE EXCEPTION 'a relation and a column must be given' USING ERRCODE = '22004';
	END IF;
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relispartition) THEN
		RAISE EXCEPTION '% is a partition', relation USING ERRCODE = '42809',
			HINT = 'Partitions share their tokens: name the partitioned table.';
	END IF;
	PERFORM purpose._begin_event();
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation);
	SELECT k.number INTO old FROM purpose.token_key k WHERE k.relation = relation AND k."column" = "column" FOR UPDATE;
	IF NOT found THEN
		RAISE EXCEPTION 'column "%" of relation "%" has no tokens', "column", relation USING ERRCODE = '42704',
			HINT = 'Only columns of types such as purpose.searchable_text have tokens, once a value was sealed in them.';
	END IF;
	new := purpose._draw_number();
	PERFORM purpose._retoken_column(relation, "column", new);
	UPDATE purpose.token_key k SET number = new, created_at = purpose._now() WHERE k.relation = relation AND k."column" = "column";
	INSERT INTO purpose.shred_receipt AS r (keyring, numbers, kind, requested_at, requested_by)
		VALUES ((SELECT b.keyring FROM purpose.keyring_binding b), ARRAY[old], 'token', purpose._now(), purpose._acting_role_name())
		RETURNING r.receipt_id INTO receipt;
	INSERT INTO purpose.journal_outbox (kind, at, detail)
		SELECT 'rotated', r.requested_at,
			   jsonb_build_object('receipt_id', r.receipt_id, 'numbers', r.numbers, 'relation', purpose._qualified(relation), 'column', "column")
		FROM purpose.shred_receipt r WHERE r.receipt_id = receipt;
	PERFORM purpose._request_cycle();
	RETURN receipt;
END $$;
COMMENT ON FUNCTION purpose.rotate_tokens(regclass, name) IS 'Gives all values of a searchable column new tokens and destroys the key of the old ones, so that tokens left by shredded subjects, in backups too, match nothing any more. Rewrites the column''s rows under ACCESS EXCLUSIVE. Returns a receipt''s id. Errors PU011, PU013, PU017, 42704, 42809';
REVOKE ALL ON FUNCTION purpose.rotate_tokens(regclass, name) FROM PUBLIC;

CREATE FUNCTION purpose._residual(number bigint, shredded_at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH subject AS (
		SELECT n.subject_table FROM purpose.subject_number n WHERE n.number = $1
		UNION ALL SELECT n.subject_table FROM purpose.retired_number n WHERE n.number = $1
	), tables AS (
		SELECT t.relation FROM purpose.protected_tables t JOIN subject s ON s.subject_table = t.subject_table
	)
	SELECT nullif(jsonb_strip_nulls(jsonb_build_object(
		'tokens', (SELECT jsonb_agg(format('%s.%I', k.relation, k."column") ORDER BY k.relation::text COLLATE "C", k."column")
				   FROM purpose.token_key k JOIN tables USING (relation) WHERE k.created_at <= $2),
		'clear_columns', (SELECT jsonb_agg(format('%s.%I', l.relation, l."column") ORDER BY l.relation::text COLLATE "C", l."column")
						  FROM purpose.labels l JOIN tables USING (relation) JOIN pg_attribute a ON a.attrelid = l.relation AND a.attname = l."column"
						  WHERE NOT purpose._contains_sealed(a.atttypid)),
		'clear_copies_until', (SELECT max(m.clear_copies_until) FROM purpose.column_migration m JOIN tables USING (relation)
							   WHERE m.direction = 'seal' AND m.clear_copies_until > purpose._now()))), '{}')
$$;
COMMENT ON FUNCTION purpose._residual(bigint, timestamptz) IS 'What a shred does not reach, as of now: tokens made before it that were not rotated, labelled columns that are not sealed, and until when backups hold columns in clear that were sealed later';
REVOKE ALL ON FUNCTION purpose._residual(bigint, timestamptz) FROM PUBLIC;

CREATE FUNCTION purpose._not_reached(keyring uuid, numbers bigint[], punctured_version bigint) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_strip_nulls(jsonb_build_object(
		'forks', jsonb_agg(c.other ORDER BY c.made_at, c.other) FILTER (WHERE NOT c.is_origin),
		'copy_of', jsonb_agg(c.other ORDER BY c.made_at, c.other) FILTER (WHERE c.is_origin)))
	FROM purpose.keyring_copy c
	WHERE c.keyring = $1 AND c.ended_at IS NULL
	AND c.numbers_below > (SELECT min(n) FROM unnest($2) n) AND ($3 > c.version) IS NOT FALSE
$$;
COMMENT ON FUNCTION purpose._not_reached(uuid, bigint[], bigint) IS 'Which other keyrings have, or had when they were copied, the keys of a shred';
REVOKE ALL ON FUNCTION purpose._not_reached(uuid, bigint[], bigint) FROM PUBLIC;

CREATE FUNCTION purpose._shred_receipts() RETURNS TABLE (receipt_id uuid, kind text, subject_hash bytea, groups text[],
	requested_at timestamptz, requested_by name, unreachable_at timestamptz, destroyed_at timestamptz, evidence text, residual jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.receipt_id, r.kind, r.subject_hash, r.groups, r.requested_at, r.requested_by::name, r.unreachable_at, r.destroyed_at,
		   r.evidence, nullif(coalesce(CASE r.kind WHEN 'subject' THEN purpose._residual(r.numbers[1], r.requested_at) END, '{}')
							  || purpose._not_reached(r.keyring, r.numbers, r.punctured_version), '{}')
	FROM purpose.shred_receipt r
$$;
COMMENT ON FUNCTION purpose._shred_receipts() IS 'The rows of purpose.shred_receipts';
REVOKE ALL ON FUNCTION purpose._shred_receipts() FROM PUBLIC;

CREATE VIEW purpose.shred_receipts AS
	SELECT * FROM purpose._shred_receipts();
COMMENT ON VIEW purpose.shred_receipts IS 'What became of each shred: unreachable_at live, destroyed_at in every backup; groups NULL means all; subject_hash is a keyed hash of the subject; residual is what the shred does not reach, as of now';

-- ---------------------------------------------------------------------------
-- Journal
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._begin_event() RETURNS boolean
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_begin_event';
COMMENT ON FUNCTION purpose._begin_event() IS 'Before something is done that belongs into the journal: is there one? Errors PU017 in a database that was put back and not reconciled, PU011';
REVOKE ALL ON FUNCTION purpose._begin_event() FROM PUBLIC;

CREATE FUNCTION purpose._request_journal() RETURNS void
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_request_journal';
COMMENT ON FUNCTION purpose._request_journal() IS 'Has the key worker write the journal after this transaction''s commit';
REVOKE ALL ON FUNCTION purpose._request_journal() FROM PUBLIC;

CREATE FUNCTION purpose._subject_hash("table" text, key text, required boolean) RETURNS bytea
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'purpose_subject_hash';
COMMENT ON FUNCTION purpose._subject_hash(text, text, boolean) IS 'HMAC of a subject, by its table''s name in the journal; NULL without a keyring, and if the key for it cannot be read and is not required. Error PU011';
REVOKE ALL ON FUNCTION purpose._subject_hash(text, text, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._match_subjects(subject_table regclass, "table" text, hashes bytea[],
	OUT subject_hash bytea, OUT subject text)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'purpose_match_subjects';
COMMENT ON FUNCTION purpose._match_subjects(regclass, text, bytea[]) IS 'Those subjects of a table whose HMAC is among the hashes. Errors PU006, PU011';
REVOKE ALL ON FUNCTION purpose._match_subjects(regclass, text, bytea[]) FROM PUBLIC;

CREATE FUNCTION purpose._journal_verdict(OUT verdict text, OUT missing bigint)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_journal_verdict';
COMMENT ON FUNCTION purpose._journal_verdict() IS 'Does the database have what its journal has? none (no keyring), current, rewound, pruned. Error PU011';
REVOKE ALL ON FUNCTION purpose._journal_verdict() FROM PUBLIC;

CREATE FUNCTION purpose._journal_missing(accept_loss boolean, OUT sequence bigint, OUT incarnation bigint,
	OUT kind text, OUT imported boolean, OUT table_name text, OUT subject_hash bytea, OUT purpose text,
	OUT at timestamptz, OUT detail jsonb, OUT event uuid, OUT hash bytea, OUT known boolean)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'purpose_journal_missing';
COMMENT ON FUNCTION purpose._journal_missing(boolean) IS 'The journal''s entries after what the database has noted; known: its outbox has them; the last row, of kind end, is where the journal ends. Errors PU011, PU017';
REVOKE ALL ON FUNCTION purpose._journal_missing(boolean) FROM PUBLIC;

CREATE FUNCTION purpose._abandon_journal(sequence bigint, OUT sequence bigint, OUT hash bytea)
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'purpose_abandon_journal';
COMMENT ON FUNCTION purpose._abandon_journal(bigint) IS 'Gives the journal up, and begins it anew after an entry of this number. Errors PU011, PU013';
REVOKE ALL ON FUNCTION purpose._abandon_journal(bigint) FROM PUBLIC;

CREATE FUNCTION purpose._journal_name(subject_table regclass) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	known text;
	base text;
	candidate text;
	n int := 1;
BEGIN
	LOOP
		SELECT t.name INTO known FROM purpose.journal_table t WHERE t.subject_table = subject_table;
		IF found THEN
			RETURN known;
		END IF;
		base := coalesce(base, purpose._qualified(subject_table));
		candidate := coalesce(candidate, base);
		IF base IS NULL THEN
			RETURN '';
		END IF;
		INSERT INTO purpose.journal_table VALUES (subject_table, candidate) ON CONFLICT DO NOTHING;
		-- The name is taken by a table that was called so before.
		n := n + 1;
		candidate := format('%s#%s', base, n);
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._journal_name(regclass) IS 'Under which name a subject table is in the journal; for ever the one that it has at the first call';
REVOKE ALL ON FUNCTION purpose._journal_name(regclass) FROM PUBLIC;

CREATE FUNCTION purpose._journal_waiting(max_rows int)
RETURNS TABLE (event uuid, kind text, imported boolean, table_name text, subject text, purpose text, at timestamptz, detail text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT o.event, o.kind, o.imported,
		   CASE WHEN o.subject_table IS NOT NULL THEN purpose._journal_name(o.subject_table) END,
		   o.subject, o.purpose, o.at, o.detail::text
	FROM (SELECT * FROM purpose.journal_outbox ORDER BY id LIMIT max_rows) o ORDER BY o.id
$$;
COMMENT ON FUNCTION purpose._journal_waiting(int) IS 'The events that waited longest';
REVOKE ALL ON FUNCTION purpose._journal_waiting(int) FROM PUBLIC;

CREATE FUNCTION purpose._note_journal(keyring uuid, incarnation bigint, sequence bigint, hash bytea, events uuid[]) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO purpose.journal_state AS s VALUES (keyring, incarnation, sequence, hash)
		ON CONFLICT ON CONSTRAINT journal_state_pkey DO UPDATE
		SET incarnation = excluded.incarnation, sequence = excluded.sequence, hash = excluded.hash
		WHERE s.sequence <= excluded.sequence;
	DELETE FROM purpose.journal_outbox o WHERE o.event = ANY (events);
$$;
COMMENT ON FUNCTION purpose._note_journal(uuid, bigint, bigint, bytea, uuid[]) IS 'Notes where the journal ends, and that these events are in it';
REVOKE ALL ON FUNCTION purpose._note_journal(uuid, bigint, bigint, bytea, uuid[]) FROM PUBLIC;

CREATE FUNCTION purpose._note_subject_hash(detail jsonb, hash bytea) RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE purpose.shred_receipt SET subject_hash = hash
		WHERE receipt_id = (detail ->> 'receipt_id')::uuid AND subject_hash IS NULL
$$;
COMMENT ON FUNCTION purpose._note_subject_hash(jsonb, bytea) IS 'Gives a receipt its subject''s hash if it has none';
REVOKE ALL ON FUNCTION purpose._note_subject_hash(jsonb, bytea) FROM PUBLIC;

CREATE FUNCTION purpose._journal_destroyed() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	INSERT INTO purpose.journal_outbox (kind, at, detail)
		VALUES ('destroyed', new.destroyed_at,
				jsonb_build_object('receipt_id', new.receipt_id, 'unreachable_at', new.unreachable_at,
								   'destroyed_at', new.destroyed_at, 'punctured_version', new.punctured_version,
								   'evidence', new.evidence));
	RETURN NULL;
END $$;
COMMENT ON FUNCTION purpose._journal_destroyed() IS 'Trigger of purpose.shred_receipt: has it in the journal that the keys of a receipt were destroyed';
REVOKE ALL ON FUNCTION purpose._journal_destroyed() FROM PUBLIC;
CREATE TRIGGER journal_destroyed AFTER UPDATE ON purpose.shred_receipt
	FOR EACH ROW WHEN (old.destroyed_at IS NULL AND new.destroyed_at IS NOT NULL)
	EXECUTE FUNCTION purpose._journal_destroyed();

-- Replaying.  Each kind of entry does again what made it.

CREATE FUNCTION purpose._replay_consent(r purpose.journal_replay) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	id bigint;
	h record;
	-- Then the moment decides, not the order; also between events of before
	-- and after a restore.
	by_time boolean := r.imported OR r.late;
BEGIN
	INSERT INTO purpose.consent_history (subject_table, subject, purpose, state, at, expires_at, evidence, recorded_by)
		VALUES (r.subject_table, r.subject, r.purpose, r.kind, r.at, (r.detail ->> 'expires_at')::timestamptz,
				jsonb_build_object('replayed_from_journal', r.sequence), purpose._acting_role_name())
		RETURNING event_id INTO id;
	SELECT e.* INTO h FROM purpose.consent_history e
		WHERE e.subject_table = r.subject_table AND e.subject = r.subject AND e.purpose IS NOT DISTINCT FROM r.purpose
		AND (by_time OR e.event_id = id)
		ORDER BY e.at DESC, e.event_id DESC LIMIT 1;
	IF h.state IN ('objection_withdrawn', 'restriction_lifted') THEN
		DELETE FROM purpose.consent_state s
			WHERE s.subject_table = h.subject_table AND s.subject = h.subject AND s.purpose = coalesce(h.purpose, '')
			AND s.state = CASE h.state WHEN 'objection_withdrawn' THEN 'objected' ELSE 'restricted' END;
	ELSE
		INSERT INTO purpose.consent_state AS s (subject_table, subject, purpose, state, expires_at, since, event_id)
			VALUES (h.subject_table, h.subject, coalesce(h.purpose, ''), h.state, h.expires_at, h.at, h.event_id)
			ON CONFLICT ON CONSTRAINT consent_state_pkey DO UPDATE
			SET state = excluded.state, expires_at = excluded.expires_at, since = excluded.since, event_id = excluded.event_id
			WHERE NOT by_time OR s.since <= excluded.since;
	END IF;
END $$;
COMMENT ON FUNCTION purpose._replay_consent(purpose.journal_replay) IS 'Records a consent event again, with its own time';
REVOKE ALL ON FUNCTION purpose._replay_consent(purpose.journal_replay) FROM PUBLIC;

CREATE FUNCTION purpose._replay_shred(r purpose.journal_replay, keyring uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	numbers bigint[] := ARRAY(SELECT n::bigint FROM jsonb_array_elements_text(r.detail -> 'numbers') WITH ORDINALITY AS x(n, o) ORDER BY o);
BEGIN
	INSERT INTO purpose.shred_receipt (receipt_id, keyring, kind, numbers, group_numbers, groups, subject_hash, requested_at, requested_by)
		VALUES ((r.detail ->> 'receipt_id')::uuid, keyring, CASE r.kind WHEN 'rotated' THEN 'token' ELSE 'subject' END, numbers,
				CASE jsonb_typeof(r.detail -> 'group_numbers') WHEN 'array' THEN
					ARRAY(SELECT n::int FROM jsonb_array_elements_text(r.detail -> 'group_numbers') WITH ORDINALITY AS x(n, o) ORDER BY o) END,
				CASE jsonb_typeof(r.detail -> 'groups') WHEN 'array' THEN
					ARRAY(SELECT n FROM jsonb_array_elements_text(r.detail -> 'groups') WITH ORDINALITY AS x(n, o) ORDER BY o) END,
				r.subject_hash, r.at, purpose._acting_role_name())
		ON CONFLICT ON CONSTRAINT shred_receipt_pkey DO NOTHING;
	-- A subject that got its number after the restored moment must not get
	-- another one without being readmitted.
	IF r.subject IS NOT NULL THEN
		INSERT INTO purpose.subject_number VALUES (r.subject_table, r.subject, numbers[1]) ON CONFLICT DO NOTHING;
	END IF;
END $$;
COMMENT ON FUNCTION purpose._replay_shred(purpose.journal_replay, uuid) IS 'Makes the receipt of a shred, or of tokens that were rotated, again; the worker sees to it that the keys are gone';
REVOKE ALL ON FUNCTION purpose._replay_shred(purpose.journal_replay, uuid) FROM PUBLIC;

CREATE FUNCTION purpose._replay_destroyed(r purpose.journal_replay) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE purpose.shred_receipt s
		SET unreachable_at = (r.detail ->> 'unreachable_at')::timestamptz,
			destroyed_at = (r.detail ->> 'destroyed_at')::timestamptz,
			punctured_version = (r.detail ->> 'punctured_version')::bigint,
			evidence = r.detail ->> 'evidence'
		WHERE s.receipt_id = (r.detail ->> 'receipt_id')::uuid AND s.destroyed_at IS NULL;
	-- It is in the journal already.
	DELETE FROM purpose.journal_outbox o
		WHERE o.kind = 'destroyed' AND o.detail ->> 'receipt_id' = r.detail ->> 'receipt_id';
$$;
COMMENT ON FUNCTION purpose._replay_destroyed(purpose.journal_replay) IS 'Marks a receipt as destroyed again';
REVOKE ALL ON FUNCTION purpose._replay_destroyed(purpose.journal_replay) FROM PUBLIC;

CREATE FUNCTION purpose._replay_readmit(r purpose.journal_replay) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
	IF EXISTS (SELECT FROM purpose.retired_number t WHERE t.number = (r.detail ->> 'retired')::bigint) THEN
		RETURN;
	END IF;
	DELETE FROM purpose.subject_number n
		WHERE n.subject_table = r.subject_table AND n.subject = r.subject;
	INSERT INTO purpose.retired_number VALUES (r.subject_table, r.subject, (r.detail ->> 'retired')::bigint);
	INSERT INTO purpose.subject_number VALUES (r.subject_table, r.subject, (r.detail ->> 'number')::bigint);
END $$;
COMMENT ON FUNCTION purpose._replay_readmit(purpose.journal_replay) IS 'Gives a readmitted subject the number again that it got then';
REVOKE ALL ON FUNCTION purpose._replay_readmit(purpose.journal_replay) FROM PUBLIC;

CREATE FUNCTION purpose._replay_fork(r purpose.journal_replay, keyring uuid) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO purpose.keyring_copy (keyring, other, is_origin, version, numbers_below, made_at, made_by)
		SELECT $2, (r.detail ->> 'keyring')::uuid, false, (r.detail ->> 'version')::bigint, (r.detail ->> 'numbers_below')::bigint,
			   (r.detail ->> 'made_at')::timestamptz, r.detail ->> 'made_by'
		WHERE r.kind = 'forked'
		ON CONFLICT DO NOTHING;
	UPDATE purpose.keyring_copy c SET ended_at = r.at, ended_by = purpose._acting_role_name(), verified = (r.detail ->> 'verified')::boolean
		WHERE r.kind = 'fork_ended' AND c.keyring = $2 AND c.other = (r.detail ->> 'keyring')::uuid;
$$;
COMMENT ON FUNCTION purpose._replay_fork(purpose.journal_replay, uuid) IS 'Notes again that the keyring was forked, or that a fork is gone';
REVOKE ALL ON FUNCTION purpose._replay_fork(purpose.journal_replay, uuid) FROM PUBLIC;

CREATE FUNCTION purpose._find_replay_tables(tables jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	name text;
	target regclass;
BEGIN
	FOR name IN SELECT DISTINCT r.table_name FROM purpose.journal_replay r WHERE r.table_name IS NOT NULL LOOP
		IF tables ? name THEN
			target := (tables ->> name)::regclass;
			CONTINUE WHEN target IS NULL;
		ELSE
			SELECT t.subject_table INTO target FROM purpose.journal_table t WHERE t.name = name;
			IF NOT found THEN
				SELECT d.relation INTO target FROM purpose._declared_tables d
					WHERE purpose._qualified(d.relation) = name
					AND NOT EXISTS (SELECT FROM purpose.journal_table t WHERE t.subject_table = d.relation);
			END IF;
		END IF;
		IF NOT EXISTS (SELECT FROM purpose._declared_tables d WHERE d.relation = target AND d.kind = 'subject' AND d.target IS NULL) THEN
			RAISE EXCEPTION 'the journal knows a subject table "%", which is none in this database', name
				USING ERRCODE = 'PU006',
					  HINT = format('Protect it first.  If it has another name now: SELECT * FROM purpose.reconcile(tables => ''{"%s": "<schema.name>"}'').  If there is no such table any more, write null.', name);
		END IF;
		INSERT INTO purpose.journal_table VALUES (target, name) ON CONFLICT DO NOTHING;
		UPDATE purpose.journal_replay r SET subject_table = target WHERE r.table_name = name;
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._find_replay_tables(jsonb) IS 'Finds the subject tables that the entries to be replayed name. Error PU006 for one that is not there';
REVOKE ALL ON FUNCTION purpose._find_replay_tables(jsonb) FROM PUBLIC;

CREATE FUNCTION purpose._find_replay_subjects() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	t record;
BEGIN
	FOR t IN SELECT r.table_name, r.subject_table, array_agg(DISTINCT r.subject_hash) AS hashes FROM purpose.journal_replay r
			 WHERE r.subject_table IS NOT NULL AND r.subject_hash IS NOT NULL GROUP BY 1, 2 LOOP
		UPDATE purpose.journal_replay r SET subject = m.subject
			FROM purpose._match_subjects(t.subject_table, t.table_name, t.hashes) m
			WHERE r.table_name = t.table_name AND r.subject_hash = m.subject_hash;
		-- People whose row is not there, and of whom something is known.
		UPDATE purpose.journal_replay r SET subject = k.subject
			FROM (SELECT s.subject FROM purpose.consent_state s WHERE s.subject_table = t.subject_table
				  UNION SELECT h.subject FROM purpose.consent_history h WHERE h.subject_table = t.subject_table
				  UNION SELECT n.subject FROM purpose.subject_number n WHERE n.subject_table = t.subject_table) k
			WHERE r.table_name = t.table_name AND r.subject IS NULL
			AND r.subject_hash = purpose._subject_hash(t.table_name, k.subject, true);
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._find_replay_subjects() IS 'Finds the people whom the entries to be replayed are about, by the HMACs of all whom the database knows';
REVOKE ALL ON FUNCTION purpose._find_replay_subjects() FROM PUBLIC;

CREATE FUNCTION purpose._load_missing(keyring uuid, accept_loss boolean, OUT incarnation bigint, OUT sequence bigint,
	OUT hash bytea, OUT lost boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	own bigint := coalesce((SELECT s.sequence FROM purpose.journal_state s WHERE s.keyring = keyring), 0);
	last record;
BEGIN
	lost := false;
	UPDATE purpose.journal_replay r SET late = true, subject_table = NULL, subject = NULL;
	BEGIN
		WITH entry AS MATERIALIZED (
			SELECT * FROM purpose._journal_missing(accept_loss) m
		), loaded AS (
			INSERT INTO purpose.journal_replay (sequence, kind, imported, table_name, subject_hash, purpose, at, detail)
				SELECT m.sequence, m.kind, m.imported, m.table_name, m.subject_hash, m.purpose, m.at, m.detail
				FROM entry m WHERE NOT m.known AND m.kind NOT IN ('end', 'reconciled') ORDER BY m.sequence
		), known AS (
			DELETE FROM purpose.journal_outbox o USING entry m WHERE m.known AND o.event = m.event
		)
		SELECT m.incarnation, m.sequence, m.hash INTO last FROM entry m WHERE m.kind = 'end';
		incarnation := last.incarnation;
		sequence := last.sequence;
		hash := last.hash;
	EXCEPTION WHEN SQLSTATE 'PU011' THEN
		IF NOT accept_loss THEN
			RAISE;
		END IF;
		RAISE WARNING 'the journal cannot be read, and is given up: %', SQLERRM;
		SELECT s.incarnation INTO incarnation FROM purpose.journal_state s WHERE s.keyring = keyring;
		incarnation := coalesce(incarnation, 1);
		SELECT a.sequence, a.hash INTO sequence, hash FROM purpose._abandon_journal(own) a;
		lost := true;
	END;
END $$;
COMMENT ON FUNCTION purpose._load_missing(uuid, boolean) IS 'Reads into journal_replay what the database lacks; returns where the journal ends. Errors PU011, PU013, PU017';
REVOKE ALL ON FUNCTION purpose._load_missing(uuid, boolean) FROM PUBLIC;

CREATE FUNCTION purpose.reconcile(tables jsonb DEFAULT '{}', accept_loss boolean DEFAULT false)
RETURNS TABLE (kind text, replayed bigint, subject_gone bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	id uuid := (SELECT b.keyring FROM purpose.keyring_binding b);
	own purpose.journal_state;
	head record;
	r purpose.journal_replay;
BEGIN
	IF id IS NULL THEN
		RAISE EXCEPTION 'this database has no keyring' USING ERRCODE = 'PU011',
			HINT = 'Without one there is no journal: what was withdrawn since a backup is known to nobody.';
	END IF;
	LOCK TABLE purpose.journal_state IN SHARE ROW EXCLUSIVE MODE;
	SELECT s.* INTO own FROM purpose.journal_state s WHERE s.keyring = id;
	head := purpose._load_missing(id, coalesce(accept_loss, false));
	IF NOT EXISTS (SELECT FROM purpose.journal_replay) AND NOT head.lost THEN
		PERFORM purpose._note_journal(id, coalesce(own.incarnation, 1), head.sequence, head.hash, '{}');
		RETURN;
	END IF;

	PERFORM purpose._find_replay_tables(coalesce(tables, '{}'));
	PERFORM purpose._find_replay_subjects();
	FOR r IN SELECT * FROM purpose.journal_replay p ORDER BY p.id LOOP
		IF r.kind IN ('shred', 'rotated') THEN
			PERFORM purpose._replay_shred(r, id);
		ELSIF r.kind = 'destroyed' THEN
			PERFORM purpose._replay_destroyed(r);
		ELSIF r.kind IN ('forked', 'fork_ended') THEN
			PERFORM purpose._replay_fork(r, id);
		ELSIF r.subject IS NULL THEN
			CONTINUE;
		ELSIF r.kind = 'readmit' THEN
			PERFORM purpose._replay_readmit(r);
		ELSE
			PERFORM purpose._replay_consent(r);
		END IF;
	END LOOP;
	RETURN QUERY
		SELECT p.kind, count(*) FILTER (WHERE p.subject_hash IS NULL OR p.subject IS NOT NULL),
			   count(*) FILTER (WHERE p.subject_hash IS NOT NULL AND p.subject IS NULL)
		FROM purpose.journal_replay p GROUP BY p.kind ORDER BY min(p.id);
	DELETE FROM purpose.journal_replay p WHERE p.subject_hash IS NULL OR p.subject IS NOT NULL;
	UPDATE purpose.journal_replay SET subject_table = NULL WHERE subject_table IS NOT NULL;

	-- What comes now is another history than what was replayed.
	IF head.lost OR head.sequence IS DISTINCT FROM own.sequence THEN
		PERFORM purpose._note_journal(id, greatest(head.incarnation, own.incarnation) + 1, head.sequence, head.hash, '{}');
		INSERT INTO purpose.journal_outbox (kind, at) VALUES ('reconciled', purpose._now());
	END IF;
	PERFORM purpose._request_cycle();
	PERFORM purpose._request_journal();
END $$;
COMMENT ON FUNCTION purpose.reconcile(jsonb, boolean) IS 'After a restore to an earlier moment: replays from the journal what the database lacks, withdrawals, objections, grants, restrictions, shreds and readmissions, with their own times. Returns for each kind how many were replayed, and how many are about people who are not there; those are tried again at the next call. tables => {"name in the journal": "schema.name now"} for subject tables that were renamed since, null for those that are gone. accept_loss => true goes on although a part of the journal was pruned or cannot be read. Errors PU006, PU011, PU013, PU017';
REVOKE ALL ON FUNCTION purpose.reconcile(jsonb, boolean) FROM PUBLIC;

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
	labels text[];
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
	labels := ARRAY(SELECT coalesce(c.label, '') FROM purpose._column_labels(relation) c
					JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = c.attnum
					WHERE a.attname = "column");
	IF state.mode IS NULL OR (NOT state.protected AND labels = '{}') THEN
		verdict := 'allow'; reason := 'nothing is declared';
		RETURN;
	END IF;
	d := purpose._decide(acting, wanted, NULL, labels, consent, restricted, state.mode);
	verdict := d.verdict; reason := d.reason;
	IF d.verdict <> 'allow' OR d.observed THEN
		label := coalesce(d.label, nullif(labels[1], ''));
	END IF;
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
-- Keyring
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._keyring_binding_changed() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'purpose_keyring_binding_changed';
COMMENT ON FUNCTION purpose._keyring_binding_changed() IS 'Tells every backend that the database is bound to another keyring';
REVOKE ALL ON FUNCTION purpose._keyring_binding_changed() FROM PUBLIC;

CREATE TRIGGER keyring_binding_changed AFTER INSERT OR UPDATE OR DELETE
	ON purpose.keyring_binding FOR EACH ROW EXECUTE FUNCTION purpose._keyring_binding_changed();
ALTER TABLE purpose.keyring_binding ENABLE ALWAYS TRIGGER keyring_binding_changed;
CREATE TRIGGER keyring_binding_gone AFTER TRUNCATE
	ON purpose.keyring_binding FOR EACH STATEMENT EXECUTE FUNCTION purpose._keyring_binding_changed();
ALTER TABLE purpose.keyring_binding ENABLE ALWAYS TRIGGER keyring_binding_gone;

CREATE FUNCTION purpose._found_keyring() RETURNS uuid
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_keyring_found';
COMMENT ON FUNCTION purpose._found_keyring() IS 'Makes a keyring at the key provider, which nothing is bound to yet. Errors PU011, 25006, 55000';
REVOKE ALL ON FUNCTION purpose._found_keyring() FROM PUBLIC;

CREATE FUNCTION purpose.create_keyring() RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	id uuid;
BEGIN
	LOCK TABLE purpose.keyring_binding IN SHARE ROW EXCLUSIVE MODE;
	IF EXISTS (SELECT FROM purpose.keyring_binding) THEN
		RAISE EXCEPTION 'this database has a keyring already'
			USING ERRCODE = '42710',
				  HINT = 'SELECT * FROM purpose.check_keyring() says how it is.  A copy of a database gets a keyring of its own by purpose.fork_keyring().';
	END IF;
	id := purpose._found_keyring();
	INSERT INTO purpose.keyring_binding (keyring, created_by) VALUES (id, purpose._acting_role_name());
	RETURN id;
END $$;
COMMENT ON FUNCTION purpose.create_keyring() IS 'Makes this database''s keyring, at the place that purpose.keyring names; once. Returns its name. Rolled back, it leaves keys at the provider that open nothing. Errors 42710, PU011, 25006, 55000';
REVOKE ALL ON FUNCTION purpose.create_keyring() FROM PUBLIC;

CREATE FUNCTION purpose.claim_keyring() RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_keyring_claim';
COMMENT ON FUNCTION purpose.claim_keyring() IS 'Makes this server the one that may change the keyring: draw numbers for new subjects, destroy keys. Waits until the lease of the holder has lapsed; refuses while that one renews it. Returns the fencing token. At the provider at once, whatever becomes of the transaction. Errors PU011, PU013';
REVOKE ALL ON FUNCTION purpose.claim_keyring() FROM PUBLIC;

CREATE FUNCTION purpose._is_original() RETURNS boolean
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_keyring_is_original';
COMMENT ON FUNCTION purpose._is_original() IS 'Is this the instance that held the keyring''s claim last, whether it does now or not? Error PU011';
REVOKE ALL ON FUNCTION purpose._is_original() FROM PUBLIC;

CREATE FUNCTION purpose._fork_keyring(ancestors uuid[], versions bigint[], ends bigint[],
	OUT keyring uuid, OUT version bigint, OUT numbers_below bigint)
RETURNS record
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'purpose_keyring_fork';
COMMENT ON FUNCTION purpose._fork_keyring(uuid[], bigint[], bigint[]) IS 'Makes a keyring that has the keys of this one, recorded with this one and its ancestors, and that nothing is bound to yet. Errors PU011, 25006, 55000';
REVOKE ALL ON FUNCTION purpose._fork_keyring(uuid[], bigint[], bigint[]) FROM PUBLIC;

CREATE FUNCTION purpose._keyring_forks(OUT fork uuid, OUT version bigint, OUT numbers_below bigint, OUT made_at timestamptz, OUT made_by text)
RETURNS SETOF record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_keyring_forks';
COMMENT ON FUNCTION purpose._keyring_forks() IS 'The forks of this keyring that are recorded at the key provider. Errors PU011, 55000';
REVOKE ALL ON FUNCTION purpose._keyring_forks() FROM PUBLIC;

CREATE FUNCTION purpose._note_fork(keyring uuid, fork uuid, version bigint, numbers_below bigint, made_at timestamptz, made_by text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	WITH noted AS (
		INSERT INTO purpose.keyring_copy (keyring, other, is_origin, version, numbers_below, made_at, made_by)
			VALUES (keyring, fork, false, version, numbers_below, made_at, made_by)
			ON CONFLICT DO NOTHING
			RETURNING *
	)
	INSERT INTO purpose.journal_outbox (kind, at, detail)
		SELECT 'forked', purpose._now(),
			   jsonb_build_object('keyring', n.other, 'version', n.version, 'numbers_below', n.numbers_below,
								  'made_at', n.made_at, 'made_by', n.made_by)
		FROM noted n
$$;
COMMENT ON FUNCTION purpose._note_fork(uuid, uuid, bigint, bigint, timestamptz, text) IS 'Notes a fork of the keyring, here and in the journal, unless it is known';
REVOKE ALL ON FUNCTION purpose._note_fork(uuid, uuid, bigint, bigint, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION purpose._leave_keyring(old uuid, new uuid, keep_values boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	late bigint;
BEGIN
	-- What concerns the keyring that is left, and is for its own database to say.
	DELETE FROM purpose.journal_outbox o WHERE o.kind IN ('forked', 'fork_ended');
	-- Their hashes are under the journal key that is left: they match nobody.
	DELETE FROM purpose.journal_replay;
	GET DIAGNOSTICS late = ROW_COUNT;
	IF late > 0 THEN
		RAISE NOTICE '% event(s) of the journal about people who are not in this database are forgotten', late;
	END IF;

	UPDATE purpose.keyring_binding SET keyring = new, created_at = now(), created_by = purpose._acting_role_name();
	IF keep_values THEN
		DELETE FROM purpose.keyring_copy c WHERE c.keyring <> old OR NOT c.is_origin;
		UPDATE purpose.keyring_copy SET keyring = new;
		UPDATE purpose.shred_receipt r
			SET keyring = new,
				subject_hash = (SELECT purpose._subject_hash(purpose._journal_name(n.subject_table), n.subject, false)
								FROM (SELECT * FROM purpose.subject_number UNION ALL SELECT * FROM purpose.retired_number) n
								WHERE n.number = r.numbers[1] AND r.kind = 'subject')
			WHERE r.keyring = old;
	ELSE
		-- All of these are about numbers of the keyring that is left.
		DELETE FROM purpose.journal_outbox o WHERE o.kind IN ('shred', 'rotated', 'destroyed', 'readmit');
		DELETE FROM purpose.subject_number;
		DELETE FROM purpose.retired_number;
		DELETE FROM purpose.token_key;
		DELETE FROM purpose.shred_receipt;
		DELETE FROM purpose.keyring_copy;
	END IF;
	PERFORM purpose._request_cycle();
	PERFORM purpose._request_journal();
END $$;
COMMENT ON FUNCTION purpose._leave_keyring(uuid, uuid, boolean) IS 'Binds the database to another keyring, which has the keys of the old one (keep_values) or has none of them';
REVOKE ALL ON FUNCTION purpose._leave_keyring(uuid, uuid, boolean) FROM PUBLIC;

CREATE FUNCTION purpose.fork_keyring(keep_values boolean DEFAULT false, accept_loss boolean DEFAULT false) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	old uuid;
	fork record;
	id uuid;
BEGIN
	LOCK TABLE purpose.keyring_binding IN SHARE ROW EXCLUSIVE MODE;
	SELECT b.keyring INTO old FROM purpose.keyring_binding b;
	IF NOT found THEN
		RAISE EXCEPTION 'this database has no keyring'
			USING ERRCODE = 'PU011', HINT = 'SELECT purpose.create_keyring() makes one.';
	END IF;
	IF purpose._is_original() THEN
		RAISE EXCEPTION 'this database holds the claim of its keyring: it is no copy'
			USING ERRCODE = '55000',
				  HINT = 'Run it in the copy.';
	END IF;
	BEGIN
		PERFORM purpose._begin_event();
	EXCEPTION WHEN SQLSTATE 'PU011' THEN
		IF NOT coalesce(accept_loss, false) THEN
			RAISE EXCEPTION 'whether this database lacks what people withdrew since cannot be told'
				USING ERRCODE = 'PU011', DETAIL = SQLERRM,
					  HINT = 'Let purpose.keyring name the place where its keyring is, until it is forked.  If it shall have a keyring of its own all the same: fork_keyring(accept_loss => true).';
		END IF;
		RAISE WARNING 'whether this database lacks what people withdrew since is not known: %', SQLERRM;
	END;

	IF keep_values THEN
		SELECT f.* INTO fork FROM (
				SELECT coalesce(array_agg(c.other ORDER BY c.other), '{}') AS others,
					   coalesce(array_agg(c.version ORDER BY c.other), '{}') AS versions,
					   coalesce(array_agg(c.numbers_below ORDER BY c.other), '{}') AS ends
				FROM purpose.keyring_copy c WHERE c.keyring = old AND c.is_origin AND c.ended_at IS NULL
			) a, purpose._fork_keyring(a.others, a.versions, a.ends) f;
		id := fork.keyring;
	ELSE
		id := purpose._found_keyring();
	END IF;
	PERFORM purpose._leave_keyring(old, id, coalesce(keep_values, false));
	IF keep_values THEN
		INSERT INTO purpose.keyring_copy (keyring, other, is_origin, version, numbers_below, made_at, made_by)
			VALUES (id, old, true, fork.version, fork.numbers_below, now(), 'this database');
	END IF;
	RETURN id;
END $$;
COMMENT ON FUNCTION purpose.fork_keyring(boolean, boolean) IS 'Gives a copy of a database, such as a test clone, a keyring of its own: what it shreds concerns nobody else. Values sealed before do not open in it any more, and it forgets numbers and receipts; with keep_values => true it has the keys of all of them, and the keyring that was copied lists it in its receipts as not reached. accept_loss => true: although it cannot be told whether the copy lacks something of the journal. Returns the new keyring''s name. Errors PU011, PU017 (reconcile it first), 25006, 55000 (this is the original)';
REVOKE ALL ON FUNCTION purpose.fork_keyring(boolean, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._end_fork(fork uuid, unverified boolean) RETURNS boolean
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'purpose_keyring_end_fork';
COMMENT ON FUNCTION purpose._end_fork(uuid, boolean) IS 'Destroys the keys of a fork at the key provider; false: there are none, which is an error unless unverified. Errors PU011, PU013, 25006, 55000';
REVOKE ALL ON FUNCTION purpose._end_fork(uuid, boolean) FROM PUBLIC;

CREATE FUNCTION purpose.end_fork(fork uuid, unverified boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	c purpose.keyring_copy;
	verified boolean := false;
BEGIN
	PERFORM purpose._begin_event();
	PERFORM purpose._note_fork(b.keyring, f.fork, f.version, f.numbers_below, f.made_at, f.made_by)
		FROM purpose.keyring_binding b, purpose._keyring_forks() f;
	SELECT k.* INTO c FROM purpose.keyring_copy k JOIN purpose.keyring_binding b USING (keyring)
		WHERE k.other = fork AND k.ended_at IS NULL FOR UPDATE OF k;
	IF NOT found THEN
		RAISE EXCEPTION 'this keyring has no such fork'
			USING ERRCODE = '42704', HINT = 'SELECT * FROM purpose.keyring_copy lists them.';
	END IF;
	IF c.is_origin AND NOT coalesce(unverified, false) THEN
		RAISE EXCEPTION 'keyring % is the one that this one was copied from', fork
			USING ERRCODE = '55000',
				  HINT = 'It is not for a copy to destroy.  If it is known to be gone for good: end_fork(..., unverified => true).';
	END IF;
	IF NOT c.is_origin THEN
		verified := purpose._end_fork(fork, coalesce(unverified, false));
	END IF;
	UPDATE purpose.keyring_copy k SET ended_at = purpose._now(), ended_by = purpose._acting_role_name(), verified = verified
		WHERE k.keyring = c.keyring AND k.other = c.other;
	INSERT INTO purpose.journal_outbox (kind, at, detail)
		SELECT 'fork_ended', purpose._now(), jsonb_build_object('keyring', fork, 'verified', verified);
END $$;
COMMENT ON FUNCTION purpose.end_fork(uuid, boolean) IS 'Destroys the keys of a fork that is no longer wanted, so that receipts need not list it any more. Refuses while its database uses them, and waits until nobody can who has read them. At the provider at once, whatever becomes of the transaction. unverified => true: also if the provider does not know the fork, whose end the caller vouches for. Errors 42704, 55000, PU011, PU013, PU017';
REVOKE ALL ON FUNCTION purpose.end_fork(uuid, boolean) FROM PUBLIC;

CREATE FUNCTION purpose._check_forks(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	id uuid := (SELECT b.keyring FROM purpose.keyring_binding b);
	recorded jsonb := '[]';
BEGIN
	BEGIN
		SELECT coalesce(jsonb_agg(to_jsonb(f)), '[]') INTO recorded FROM purpose._keyring_forks() f WHERE id IS NOT NULL;
	EXCEPTION WHEN SQLSTATE 'PU011' THEN
		RETURN QUERY SELECT 'error', 'forks', format('whether the keyring was copied cannot be told: %s', SQLERRM),
			'See the warnings, and what else is reported here.';
	END;
	RETURN QUERY
		SELECT 'warning', format('fork %s', f.other),
			   format('a copy of the keys of all numbers below %s, made by %s at %s: what is shredded since is not destroyed there', f.numbers_below, f.made_by, f.made_at),
			   format('SELECT purpose.end_fork(%L); -- once that database is gone', f.other)
		FROM (
			SELECT c.other, c.numbers_below, c.made_by, c.made_at FROM purpose.keyring_copy c
				WHERE c.keyring = id AND NOT c.is_origin AND c.ended_at IS NULL
			UNION ALL
			SELECT r.fork, r.numbers_below, r.made_by, r.made_at
				FROM jsonb_to_recordset(recorded) r(fork uuid, numbers_below bigint, made_by text, made_at timestamptz)
				WHERE NOT EXISTS (SELECT FROM purpose.keyring_copy c WHERE c.keyring = id AND c.other = r.fork)
		) f
		UNION ALL
		SELECT 'info', format('keyring %s', c.other),
			   format('this one has its keys of all numbers below %s: what is shredded here is not destroyed there', c.numbers_below),
			   'Shred there, too.'
		FROM purpose.keyring_copy c WHERE c.keyring = id AND c.is_origin AND c.ended_at IS NULL;
END $$;
COMMENT ON FUNCTION purpose._check_forks() IS 'check_keyring(): copies of the keyring that go their own way';
REVOKE ALL ON FUNCTION purpose._check_forks() FROM PUBLIC;

CREATE FUNCTION purpose.rotate_root_key() RETURNS bigint
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_keyring_rotate';
COMMENT ON FUNCTION purpose.rotate_root_key() IS 'Has the worker put the keyring under a new root key and destroy the old one; also punctures what waits. Returns the new version. At the provider at once, whatever becomes of the transaction. Errors PU011, PU013';
REVOKE ALL ON FUNCTION purpose.rotate_root_key() FROM PUBLIC;

CREATE FUNCTION purpose._keyring_status(OUT keyring uuid, OUT claim text, OUT claim_holder text, OUT claim_written_at timestamptz,
	OUT fencing_token bigint, OUT version bigint, OUT lease_until timestamptz, OUT cover_nodes bigint, OUT numbers_left bigint,
	OUT numbers_claimed bigint, OUT last_cycle timestamptz, OUT last_run timestamptz, OUT last_error text, OUT failures int,
	OUT memory_used bigint, OUT memory_total bigint)
RETURNS record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_keyring_status';
COMMENT ON FUNCTION purpose._keyring_status() IS 'What this server knows about the database''s keyring; NULLs without one. Errors PU011, 55000';
REVOKE ALL ON FUNCTION purpose._keyring_status() FROM PUBLIC;

CREATE VIEW purpose.keyring_status AS
	SELECT * FROM purpose._keyring_status() s WHERE s.keyring IS NOT NULL;
COMMENT ON VIEW purpose.keyring_status IS 'This database''s keyring as this server knows it: who holds the claim, which version is loaded (NULL: none yet) and until when it may be used, what the worker did last and why it failed. Numbers and memory are the server''s own';

CREATE FUNCTION purpose._check_keyring_provider(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_keyring_check';
COMMENT ON FUNCTION purpose._check_keyring_provider() IS 'What is wrong with the keyring and its provider. Errors PU011, 55000';
REVOKE ALL ON FUNCTION purpose._check_keyring_provider() FROM PUBLIC;

CREATE FUNCTION purpose.check_keyring() RETURNS TABLE (severity text, object text, problem text, remedy text)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.severity, p.object, p.problem, p.remedy FROM (
		SELECT * FROM purpose._check_keyring_provider()
		UNION ALL
		SELECT * FROM purpose._check_forks()
		UNION ALL
		SELECT 'warning', 'purpose.shred_receipt', format('%s shred(s) requested before %s are not final', count(*), now() - interval '1 day'),
			   'SELECT * FROM purpose.keyring_status; -- and the server log'
		FROM purpose.shred_receipt r
		WHERE r.destroyed_at IS NULL AND r.requested_at < now() - interval '1 day'
		AND r.keyring = (SELECT b.keyring FROM purpose.keyring_binding b)
		HAVING count(*) > 0
		UNION ALL
		SELECT 'error', format('%s.%I', k.relation, k."column"),
			   'its tokens were rotated after the moment to which the database was put back: values cannot be searched for, nor sealed in it',
			   format('SELECT purpose.rotate_tokens(%L, %L);', k.relation, k."column")
		FROM purpose.token_key k
		WHERE EXISTS (SELECT FROM purpose.shred_receipt r WHERE r.kind = 'token' AND r.numbers[1] = k.number
					  AND r.keyring = (SELECT b.keyring FROM purpose.keyring_binding b))
	) p
	ORDER BY array_position(ARRAY['error', 'warning', 'info'], p.severity), p.object COLLATE "C", p.problem COLLATE "C"
$$;
COMMENT ON FUNCTION purpose.check_keyring() IS 'Looks for what is wrong with the keyring, the places where it is kept, and its worker; nothing without a keyring. Asks the provider for everything, so it may take a while. Errors PU011, 55000';
REVOKE ALL ON FUNCTION purpose.check_keyring() FROM PUBLIC;

CREATE FUNCTION purpose._verify_keys(kind text, numbers bigint[], group_numbers int[], punctured_version bigint,
	OUT derivable boolean, OUT remaining bigint[], OUT asked text[])
RETURNS record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'purpose_keyring_verify';
COMMENT ON FUNCTION purpose._verify_keys(text, bigint[], int[], bigint) IS 'Asks the key provider: can any of these keys be derived from the newest state, and of which states before that version are there still roots? Errors PU011, 55000';
REVOKE ALL ON FUNCTION purpose._verify_keys(text, bigint[], int[], bigint) FROM PUBLIC;

CREATE FUNCTION purpose.verify_receipt(receipt uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	r purpose.shred_receipt;
	v record;
	others jsonb;
	recorded jsonb;
BEGIN
	SELECT * INTO r FROM purpose.shred_receipt s WHERE s.receipt_id = receipt;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no such receipt'
			USING ERRCODE = '42704', HINT = 'SELECT * FROM purpose.shred_receipts lists them.';
	END IF;
	IF r.keyring IS DISTINCT FROM (SELECT b.keyring FROM purpose.keyring_binding b) THEN
		RAISE EXCEPTION 'the receipt is about another keyring'
			USING ERRCODE = 'PU011', HINT = 'This database was given a keyring of its own since: ask where the receipt was made.';
	END IF;
	SELECT * INTO v FROM purpose._verify_keys(r.kind, r.numbers, r.group_numbers, r.punctured_version);
	-- Forks that are known, and those that are recorded at the provider and will be.
	others := purpose._not_reached(r.keyring, r.numbers, r.punctured_version);
	SELECT jsonb_agg(f.fork ORDER BY f.made_at) INTO recorded FROM purpose._keyring_forks() f
		WHERE f.numbers_below > (SELECT min(n) FROM unnest(r.numbers) n) AND (r.punctured_version > f.version) IS NOT FALSE
		AND NOT EXISTS (SELECT FROM purpose.keyring_copy c WHERE c.keyring = r.keyring AND c.other = f.fork);
	RETURN jsonb_build_object(
		'verified', r.destroyed_at IS NOT NULL AND NOT v.derivable AND v.remaining = '{}',
		'destroyed_at', r.destroyed_at, 'punctured_version', r.punctured_version,
		'derivable', v.derivable, 'roots_remaining', v.remaining,
		'asked', v.asked, 'asked_at', clock_timestamp(),
		'forks', coalesce(others -> 'forks', '[]') || coalesce(recorded, '[]'), 'copy_of', coalesce(others -> 'copy_of', '[]'));
END $$;
COMMENT ON FUNCTION purpose.verify_receipt(uuid) IS 'Asks the key provider again whether the keys of a receipt are gone: verified is true if it is final, the newest state does not derive them, and no older root is at any of the places asked. forks and copy_of are other keyrings that were given the keys before, and are not asked. Errors 42704, PU011';
REVOKE ALL ON FUNCTION purpose.verify_receipt(uuid) FROM PUBLIC;

-- ---------------------------------------------------------------------------
-- Privacy officers
-- ---------------------------------------------------------------------------

CREATE FUNCTION purpose._officer_objects() RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('EXECUTE ON ROUTINE %s', p.oid::regprocedure)
	FROM pg_proc p WHERE p.pronamespace = 'purpose'::regnamespace
	AND p.proname NOT LIKE '\_%' AND p.proname NOT IN ('appoint_officer', 'dismiss_officer')
	AND NOT EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
	UNION ALL SELECT 'SELECT ON purpose.consent_history'
	UNION ALL SELECT 'SELECT ON purpose.consent_state'
	UNION ALL SELECT 'SELECT ON purpose.purpose_grant'
	UNION ALL SELECT 'SELECT ON purpose.observed_violations'
	UNION ALL SELECT 'EXECUTE ON FUNCTION purpose._observed_violations()'
	UNION ALL SELECT 'SELECT ON purpose.shred_receipts'
	UNION ALL SELECT 'SELECT ON purpose.holds'
	UNION ALL SELECT 'EXECUTE ON FUNCTION purpose._shred_receipts()'
	UNION ALL SELECT 'INSERT ON purpose.consent_import'
	UNION ALL SELECT 'SELECT ON purpose.keyring_binding'
	UNION ALL SELECT 'SELECT ON purpose.keyring_copy'
	UNION ALL SELECT 'SELECT ON purpose.keyring_status'
	UNION ALL SELECT 'EXECUTE ON FUNCTION purpose._keyring_status()'
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
		CROSS JOIN LATERAL purpose._decide(0, c.name, 'n/a', ARRAY[t.canonical], NULL, false, 'enforce') d
		GROUP BY t.canonical
	)
	SELECT 'error', object, format('its label cannot be read (%s): nobody who is bound may use it', problem),
		   purpose._label_command(relation, "column", domain,
								  format('for %s', coalesce(purpose._suggested_purposes(relation), 'service')))
	FROM l WHERE problem IS NOT NULL
	UNION ALL
	SELECT 'error', object, format('what its label gives for redacted values cannot be used (%s): whoever would see it is refused',
								   purpose._stand_in_problem(relation, "column", domain, canonical)),
		   purpose._label_command(relation, "column", domain, '...') || ' -- or make what the label names'
	FROM parsed WHERE purpose._stand_in_problem(relation, "column", domain, canonical) IS NOT NULL
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
COMMENT ON FUNCTION purpose._check_labels() IS 'check(): labels that cannot be read, name unknown purposes, give what cannot stand in, or leave nobody who may use the column';
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

CREATE FUNCTION purpose._check_holds(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	hold record;
BEGIN
	FOR hold IN SELECT h.*, c.oid IS NULL AS gone FROM purpose.legal_hold h LEFT JOIN pg_class c ON c.oid = h.relation
				WHERE h.released_at IS NULL ORDER BY h.hold_id LOOP
		object := format('legal hold %s', hold.hold_id);
		remedy := format('SELECT purpose.release_hold(%s);', hold.hold_id);
		IF hold.gone THEN
			severity := 'warning';
			problem := 'the table that it is about is gone';
			RETURN NEXT;
		ELSIF hold.condition IS NOT NULL THEN
			BEGIN
				PERFORM purpose._hold_condition(hold.relation, hold.condition);
			EXCEPTION WHEN OTHERS THEN
				severity := 'error';
				problem := format('its condition does not fit %s any more, so nobody whose data are there can be shredded: %s', hold.relation, SQLERRM);
				remedy := remedy || '  -- and place it anew';
				RETURN NEXT;
			END;
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION purpose._check_holds() IS 'check(): legal holds that do not fit any more';
REVOKE ALL ON FUNCTION purpose._check_holds() FROM PUBLIC;

CREATE FUNCTION purpose._check_journal(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	v record;
	message text;
BEGIN
	IF NOT EXISTS (SELECT FROM purpose.keyring_binding) OR NOT purpose._loaded() THEN
		RETURN;
	END IF;
	BEGIN
		v := purpose._journal_verdict();
	EXCEPTION WHEN SQLSTATE 'PU011' THEN
		GET STACKED DIAGNOSTICS message = PG_EXCEPTION_DETAIL;
		RETURN QUERY SELECT 'error', 'purpose.journal_state',
			format('whether the database was put back to an earlier moment cannot be told: %s', concat_ws('. ', SQLERRM, nullif(message, ''))),
			'SELECT * FROM purpose.check_keyring();';
		RETURN;
	END;
	RETURN QUERY
		SELECT 'error', 'purpose.journal_state',
			   CASE v.verdict WHEN 'rewound' THEN format('the database was put back to an earlier moment, and lacks %s event(s) of its journal: protected rows and sealed values are refused', v.missing)
					ELSE 'the database was put back to a moment before its journal begins: protected rows and sealed values are refused' END,
			   CASE v.verdict WHEN 'rewound' THEN 'SELECT * FROM purpose.reconcile();'
					ELSE 'SELECT * FROM purpose.reconcile(accept_loss => true);' END
		WHERE v.verdict IN ('rewound', 'pruned')
		UNION ALL
		SELECT 'warning', 'purpose.journal_outbox',
			   format('%s event(s) wait for the journal, the oldest since %s: a restore to before them would forget them', count(*), min(o.at)),
			   'SELECT * FROM purpose.check_keyring();'
		FROM purpose.journal_outbox o WHERE NOT o.imported AND o.at < purpose._now() - interval '5 minutes' HAVING count(*) > 0
		UNION ALL
		SELECT 'info', 'purpose.journal_replay',
			   format('%s event(s) of the journal are about people who are not in the database', count(*)),
			   'SELECT * FROM purpose.reconcile();'
		FROM purpose.journal_replay HAVING count(*) > 0;
END $$;
COMMENT ON FUNCTION purpose._check_journal() IS 'check(): was the database put back, and is its journal written?';
REVOKE ALL ON FUNCTION purpose._check_journal() FROM PUBLIC;

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

CREATE FUNCTION purpose._check_keyring(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF purpose._loaded() THEN
		RETURN QUERY SELECT c.severity, 'keyring: ' || c.object, c.problem, c.remedy FROM purpose.check_keyring() c;
	END IF;
END $$;
COMMENT ON FUNCTION purpose._check_keyring() IS 'check(): the keyring';
REVOKE ALL ON FUNCTION purpose._check_keyring() FROM PUBLIC;

CREATE FUNCTION purpose._check_migrations(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'warning', format('%s.%I', m.relation, m."column"),
		   CASE WHEN m.phase = 'statistics'
				THEN format('it is %s, but old statistics of it stay in the database''s files for transactions that began before: %s',
							CASE WHEN (m.direction = 'seal') <> m.abandoned THEN 'sealed' ELSE 'unsealed' END,
							coalesce((SELECT string_agg(h.who, '; ' ORDER BY h.unused DESC, h.who COLLATE "C")
									  FROM purpose._holding_back(m.rewritten_by) h), 'they have ended'))
				WHEN m.direction = 'seal'
				THEN 'it is being sealed, and until that has finished its values are stored in clear'
				WHEN m.abandoned THEN 'unsealing it was taken back, and clear values are still stored'
				ELSE 'it is being unsealed' END,
		   CASE WHEN m.direction = 'seal' OR m.abandoned THEN format('CALL purpose.seal_column(%L, %L, %L);', m.relation, m."column", m.label)
				ELSE format('CALL purpose.unseal_column(%L, %L);', m.relation, m."column") END
	FROM purpose.column_migration m
	WHERE m.finished_at IS NULL AND m.relation::oid IN (SELECT oid FROM pg_class)
$$;
COMMENT ON FUNCTION purpose._check_migrations() IS 'check(): columns that are being sealed or unsealed';
REVOKE ALL ON FUNCTION purpose._check_migrations() FROM PUBLIC;

CREATE FUNCTION purpose._check_logging(OUT severity text, OUT object text, OUT problem text, OUT remedy text)
RETURNS SETOF record
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	-- What the server writes down of statements, and with them of sealed values
	-- that stand in their text or in their parameters.
	WITH writes(setting, safe, writes, problem) AS (VALUES
		('log_statement', 'none', '{mod,all}'::text[],
		 'statements are logged with the values that stand in them'),
		('log_min_duration_statement', '-1', NULL, 'slow statements are logged with the values that stand in them'),
		('log_min_duration_sample', '-1', NULL, 'a sample of slow statements is logged with the values that stand in them'),
		('log_transaction_sample_rate', '0', NULL, 'a sample of transactions is logged with the values that stand in their statements'),
		('log_parameter_max_length_on_error', '0', NULL, 'values given as parameters are logged when a statement fails'),
		('auto_explain.log_min_duration', '-1', NULL, 'slow statements are logged with the values that stand in them and in their plans'),
		('debug_print_parse', 'off', '{on}', 'parse trees are logged, with the values that stand in them'),
		('debug_print_rewritten', 'off', '{on}', 'parse trees are logged, with the values that stand in them'),
		('debug_print_plan', 'off', '{on}', 'plans are logged, with the values that stand in them'),
		('pg_stat_statements.track_utility', 'off', '{on}',
		 'pg_stat_statements keeps the text of utility statements as it is, with the values that stand in it')
	), found AS (
		SELECT w.*, s.setting AS value
		FROM writes w JOIN pg_settings s ON s.name = w.setting
		WHERE CASE WHEN w.writes IS NOT NULL THEN s.setting = ANY (w.writes)
				   -- What a library that is not loaded would have may be any text.
				   WHEN s.vartype IN ('integer', 'real') THEN s.setting::numeric <> w.safe::numeric END
	)
	SELECT CASE WHEN setting ~ '^pg_stat_statements' THEN 'info' ELSE 'warning' END, format('setting %s = %s', setting, value), problem,
		   format('ALTER SYSTEM SET %s = %L;  -- then SELECT pg_reload_conf();', setting, safe)
	FROM found
	WHERE EXISTS (SELECT FROM purpose.sealed_label)
	UNION ALL
	SELECT 'warning', 'setting log_parameter_max_length = ' || p.setting,
		   'values given as parameters are logged with the statements that are',
		   'ALTER SYSTEM SET log_parameter_max_length = 0;  -- then SELECT pg_reload_conf();'
	FROM pg_settings p
	WHERE p.name = 'log_parameter_max_length' AND p.setting <> '0'
	  AND EXISTS (SELECT FROM found WHERE setting ~ '^log_(statement|min|transaction)')
	  AND EXISTS (SELECT FROM purpose.sealed_label)
$$;
COMMENT ON FUNCTION purpose._check_logging() IS 'check(): settings that write down values of sealed columns';
REVOKE ALL ON FUNCTION purpose._check_logging() FROM PUBLIC;

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
					  'foreign_keys', 'roles', 'consents', 'holds', 'observing', 'logging', 'keyring', 'journal', 'migrations']) WITH ORDINALITY k(kind, ord)
	CROSS JOIN LATERAL purpose._check_one(k.kind) c
	ORDER BY array_position(ARRAY['error', 'warning', 'info'], c.severity), k.ord, c.object COLLATE "C", c.problem COLLATE "C"
$$;
COMMENT ON FUNCTION purpose.check() IS 'Looks for what is missing, lost or forgotten. severity is error (data is open, or closed to all), warning or info; remedy is SQL that runs as it stands, or a line of postgresql.conf. Never shows data';
REVOKE ALL ON FUNCTION purpose.check() FROM PUBLIC;
