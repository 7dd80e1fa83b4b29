-- pg_purpose: what the metadata say is declared where it belongs.
--
--	PUR		stays a column, because a record was collected for one; it names a purpose
--	USR		the data subject: the rows of "users" are the persons
--	OBJ		an objection (Art. 21), recorded once for the person: purposes processing.oNN
--	DEC		the same, to processing.decisions
--	ACL		which roles were granted the purpose
--	TTL, SHR, SRC, CAT	stay columns
--
-- psql's variable "data" is the type of the data: text, or a sealed one.
SELECT purpose.create_purpose('processing', basis => 'contract', description => 'What records are used for');
SELECT purpose.create_purpose('processing.p' || lpad(i::text, 2, '0'), basis => 'consent') FROM generate_series(0, 24) i;
SELECT purpose.create_purpose('processing.o' || lpad(i::text, 2, '0'), basis => 'legitimate_interests')
	FROM generate_series(0, 99) i;
SELECT purpose.create_purpose('processing.decisions', basis => 'legitimate_interests');
SELECT purpose.create_purpose('self', basis => 'contract', description => 'Show and correct one''s own data');
SELECT purpose.create_purpose('controller', basis => 'legal_obligation', description => 'Keep the records');
SELECT purpose.create_purpose('oversight', basis => 'legal_obligation', description => 'Answer the authority');

SELECT purpose.grant_purpose('self', 'bench_customer');
SELECT purpose.grant_purpose('controller', 'bench_controller');
SELECT purpose.grant_purpose('oversight', 'bench_regulator');
SELECT purpose.grant_purpose(name, 'bench_processor') FROM purpose.purposes WHERE parent = 'processing';

CREATE TABLE users (id text PRIMARY KEY);
INSERT INTO users SELECT DISTINCT usr FROM loaded_records;
CREATE TABLE usertable (key text PRIMARY KEY, pur text, ttl date, usr text NOT NULL, shr text, src text, cat text, data :data);
CREATE INDEX ON usertable (pur);
CREATE INDEX ON usertable (usr);
SELECT purpose.protect('users', subject => 'id');
SELECT purpose.protect('usertable', subject => 'usr', of => 'users');
SELECT purpose.label_column('usertable', 'data', 'for processing, self, controller');

-- Ten consents of a person, one objection, and half of them to decisions.
INSERT INTO purpose.consent_import (subject_table, subject, purpose, state)
	SELECT 'users', usr, pur, 'given' FROM loaded_records
	UNION ALL SELECT DISTINCT 'users'::regclass, usr, obj, 'objected' FROM loaded_records
	UNION ALL SELECT DISTINCT 'users'::regclass, usr, 'processing.decisions', 'objected'
		FROM loaded_records WHERE dec = 'disallow';

-- The metadata in the form in which plain PostgreSQL has them.
CREATE VIEW metadata AS
SELECT r.key, r.pur, r.ttl, r.usr, said.obj, CASE WHEN said.decisions THEN 'disallow' ELSE 'allow' END AS dec,
	   granted.acl, r.shr, r.src, r.cat
FROM usertable r
LEFT JOIN LATERAL (
	SELECT string_agg(s.purpose, ' ' ORDER BY s.purpose) FILTER (WHERE s.purpose <> 'processing.decisions') AS obj,
		   bool_or(s.purpose = 'processing.decisions') AS decisions
	FROM purpose.consent_state s
	WHERE s.subject_table = 'users'::regclass AND s.subject = r.usr AND s.state = 'objected') AS said ON true
LEFT JOIN LATERAL (
	SELECT string_agg(g.role::text, ' ' ORDER BY g.role) AS acl FROM purpose.purpose_grant g WHERE g.purpose = r.pur) AS granted ON true;

-- Sealed already, so that a round begins without sealing all of them again.
INSERT INTO usertable SELECT key, pur, ttl, usr, shr, src, cat, data FROM loaded_records;
SET client_min_messages = error; -- that the copy has no label is known
CREATE TABLE pristine AS TABLE usertable;
RESET client_min_messages;

GRANT SELECT, INSERT, UPDATE, DELETE ON usertable, metadata
	TO bench_controller, bench_customer, bench_processor, bench_regulator;
GRANT SELECT ON users TO bench_controller, bench_customer;
GRANT SELECT ON purpose.consent_history TO bench_regulator;
GRANT EXECUTE ON FUNCTION purpose.object_to(regclass, text, text, jsonb) TO bench_controller, bench_customer;
GRANT EXECUTE ON FUNCTION purpose.grant_purpose(text, text), purpose.revoke_purpose(text, text) TO bench_controller;

SELECT format('ALTER ROLE %s IN DATABASE %I SET purpose.current = %L', role, current_database(), declared)
FROM (VALUES ('bench_controller', 'controller'), ('bench_customer', 'self'), ('bench_processor', 'processing.p00'),
			 ('bench_regulator', 'oversight')) AS v (role, declared) \gexec
