-- The same with pg_purpose.  What is not here is written as on plain PostgreSQL.

-- operation: create_record
INSERT INTO usertable (key, pur, ttl, usr, shr, src, cat, data) VALUES ('user' || lpad(:n::text, 10, '0'),
	'processing.p' || lpad(:p::text, 2, '0'), '2031-01-01', 'person' || lpad(:u::text, 8, '0'),
	'recipient1', 'source1', 'category1', rpad('data of record ' || :n::text, 100, '+'));

-- Who may use what was collected for a purpose: one row, instead of all records.
-- operation: update_metadata_by_purpose
SELECT CASE WHEN :g::int = 1 THEN purpose.grant_purpose('processing.p' || lpad(:p::text, 2, '0'), 'bench_partner_' || :r::text)
	ELSE purpose.revoke_purpose('processing.p' || lpad(:p::text, 2, '0'), 'bench_partner_' || :r::text) END;

-- operation: update_metadata_by_user
SELECT purpose.object_to('users', 'person' || lpad(:u::text, 8, '0'), 'processing.o' || lpad(:o::text, 2, '0'));

-- operation: update_metadata_by_key
SELECT purpose.object_to('users', usr, 'processing.o' || lpad(:o::text, 2, '0'))
FROM usertable WHERE key = 'user' || lpad(:k::text, 10, '0');

-- Whoever uses data in a way that can be objected to declares that use.
-- operation: read_data_by_objection
SELECT set_config('purpose.current', 'processing.o' || lpad(:o::text, 2, '0'), false);
SELECT key, data FROM usertable WHERE pur = 'processing.p' || lpad(:p::text, 2, '0');
SELECT set_config('purpose.current', 'processing.p' || lpad(:p::text, 2, '0'), false);

-- operation: read_logs
SELECT * FROM purpose.consent_history WHERE event_id BETWEEN :e AND :e + 99;
