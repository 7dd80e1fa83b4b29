-- Plain PostgreSQL: the metadata are columns of each record, indexed where
-- operations look for them, and nothing is protected.
CREATE TABLE usertable (key text PRIMARY KEY, pur text, ttl date, usr text, obj text, dec text, acl text,
	shr text, src text, cat text, data text);
CREATE INDEX ON usertable (pur);
CREATE INDEX ON usertable (usr);
CREATE INDEX ON usertable (obj);
CREATE VIEW metadata AS SELECT key, pur, ttl, usr, obj, dec, acl, shr, src, cat FROM usertable;
CREATE TABLE pristine AS SELECT key, pur, ttl, usr, obj, dec, acl, shr, src, cat, data FROM loaded_records;

-- What a regulator reads as logs: as many entries as pg_purpose has of consents.
CREATE TABLE change_log (id bigint PRIMARY KEY, at timestamptz, usr text, purpose text, what text);
INSERT INTO change_log
	SELECT row_number() OVER (), now(), usr, purpose, what
	FROM (SELECT usr, pur, 'given' FROM loaded_records
		  UNION ALL SELECT DISTINCT usr, obj, 'objected' FROM loaded_records
		  UNION ALL SELECT DISTINCT usr, 'processing.decisions', 'objected' FROM loaded_records WHERE dec = 'disallow')
		AS said (usr, purpose, what);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public
	TO bench_controller, bench_customer, bench_processor, bench_regulator;
