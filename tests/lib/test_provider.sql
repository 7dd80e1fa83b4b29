-- The key provider as an SQL function, for tests.  The library has it in test
-- builds only.
CREATE FUNCTION public.provider(op text, kind text DEFAULT 'root', version bigint DEFAULT 1,
	fence bigint DEFAULT 1, data bytea DEFAULT '')
RETURNS text STRICT LANGUAGE c AS '$libdir/pg_purpose', 'purpose_test_provider';
REVOKE EXECUTE ON FUNCTION public.provider FROM PUBLIC;
