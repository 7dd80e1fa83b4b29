-- Operations on plain PostgreSQL.  Each stands under its name; the variables are
-- those of gdprbench_variables() in bench/cases.

-- operation: create_record
INSERT INTO usertable (key, pur, ttl, usr, obj, dec, acl, shr, src, cat, data) VALUES ('user' || lpad(:n::text, 10, '0'),
	'processing.p' || lpad(:p::text, 2, '0'), '2031-01-01', 'person' || lpad(:u::text, 8, '0'),
	'processing.o' || lpad(:o::text, 2, '0'), 'allow', 'bench_processor', 'recipient1', 'source1', 'category1',
	rpad('data of record ' || :n::text, 100, '+'));

-- operation: update_metadata_by_purpose
UPDATE usertable SET acl = 'bench_partner_' || :r::text WHERE pur = 'processing.p' || lpad(:p::text, 2, '0');

-- operation: update_metadata_by_user
UPDATE usertable SET obj = 'processing.o' || lpad(:o::text, 2, '0') WHERE usr = 'person' || lpad(:u::text, 8, '0');

-- operation: delete_records_by_user
DELETE FROM usertable WHERE usr = 'person' || lpad(:u::text, 8, '0');

-- operation: read_data_by_user
SELECT key, data FROM usertable WHERE usr = 'person' || lpad(:u::text, 8, '0');

-- operation: read_metadata_by_key
SELECT * FROM metadata WHERE key = 'user' || lpad(:k::text, 10, '0');

-- operation: update_data_by_key
UPDATE usertable SET data = rpad('corrected ' || :n::text, 100, '+') WHERE key = 'user' || lpad(:k::text, 10, '0');

-- operation: update_metadata_by_key
UPDATE usertable SET obj = 'processing.o' || lpad(:o::text, 2, '0') WHERE key = 'user' || lpad(:k::text, 10, '0');

-- operation: delete_record_by_key
DELETE FROM usertable WHERE key = 'user' || lpad(:k::text, 10, '0');

-- operation: read_data_by_key
SELECT key, data FROM usertable WHERE key = 'user' || lpad(:k::text, 10, '0');

-- operation: read_data_by_purpose
SELECT key, data FROM usertable WHERE pur = 'processing.p' || lpad(:p::text, 2, '0');

-- operation: read_data_by_objection
SELECT key, data FROM usertable WHERE pur = 'processing.p' || lpad(:p::text, 2, '0')
	AND obj <> 'processing.o' || lpad(:o::text, 2, '0');

-- operation: read_metadata_by_user
SELECT * FROM metadata WHERE usr = 'person' || lpad(:u::text, 8, '0');

-- operation: read_logs
SELECT * FROM change_log WHERE id BETWEEN :e AND :e + 99;

-- operation: verify_deletion
SELECT count(*) FROM usertable WHERE key = 'user' || lpad(:n::text, 10, '0');
