-- The keyring as SQL functions: test builds have them in the library.
CREATE FUNCTION key_fingerprint(number bigint, key_group int DEFAULT 0, kind int DEFAULT 1) RETURNS text
	LANGUAGE c VOLATILE STRICT AS '$libdir/pg_purpose', 'purpose_test_key';
CREATE FUNCTION raw_key(number bigint, key_group int DEFAULT 0, kind int DEFAULT 1) RETURNS bytea
	LANGUAGE c VOLATILE STRICT AS '$libdir/pg_purpose', 'purpose_test_raw_key';
CREATE FUNCTION draw_number() RETURNS bigint
	LANGUAGE c VOLATILE AS '$libdir/pg_purpose', 'purpose_test_draw';
CREATE FUNCTION request_cycle() RETURNS void
	LANGUAGE c VOLATILE AS '$libdir/pg_purpose', 'purpose_test_request';
-- What purpose.shred() does, for keys that no table names.
CREATE FUNCTION shred_number(number bigint, key_groups int[] DEFAULT NULL) RETURNS uuid
	LANGUAGE sql VOLATILE AS $$
	SELECT request_cycle();
	INSERT INTO purpose.shred_receipt (keyring, subject_hash, numbers, groups, group_numbers, requested_at, requested_by)
	SELECT keyring, sha256(number::text::bytea), ARRAY[number], key_groups::text[], key_groups, now(), current_user
	FROM purpose.keyring_binding
	RETURNING receipt_id
$$;
