/*
 * keyringtest.c
 *		The keyring as SQL functions, for tests; in test builds only.
 *		tests/lib/test_keyring.sql declares them.
 */
#include "postgres.h"

#ifdef PURPOSE_TEST_BUILD

#include "fmgr.h"
#include "utils/builtins.h"

#include "kdf.h"
#include "keyring.h"
#include "secret.h"

PG_FUNCTION_INFO_V1(purpose_test_key);
PG_FUNCTION_INFO_V1(purpose_test_raw_key);
PG_FUNCTION_INFO_V1(purpose_test_draw);
PG_FUNCTION_INFO_V1(purpose_test_request);

/*
 * key_fingerprint(number bigint, key_group int, kind int) returns text: a hash
 * of the key, or NULL if it has been punctured.
 */
Datum
purpose_test_key(PG_FUNCTION_ARGS)
{
	uint64		address = KEY_ADDRESS(PG_GETARG_INT32(2), PG_GETARG_INT64(0), PG_GETARG_INT32(1));
	uint8		key[SECRET_KEY_LEN];
	uint8		hash[KDF_HASH_LEN];
	char		text[17] = {0};

	if (!keyring_derive(address, key))
		PG_RETURN_NULL();
	kdf_hash(key, sizeof(key), hash);
	secret_wipe(key, sizeof(key));
	hex_encode((const char *) hash, 8, text);
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/*
 * raw_key(number bigint, key_group int, kind int) returns bytea: the key itself,
 * for a test that looks for it where it must not be.
 */
Datum
purpose_test_raw_key(PG_FUNCTION_ARGS)
{
	uint64		address = KEY_ADDRESS(PG_GETARG_INT32(2), PG_GETARG_INT64(0), PG_GETARG_INT32(1));
	bytea	   *key = palloc(VARHDRSZ + SECRET_KEY_LEN);

	SET_VARSIZE(key, VARHDRSZ + SECRET_KEY_LEN);
	if (!keyring_derive(address, (uint8 *) VARDATA(key)))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(key);
}

/*
 * draw_number() returns bigint
 */
Datum
purpose_test_draw(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(keyring_draw_number());
}

/*
 * request_cycle() returns void
 */
Datum
purpose_test_request(PG_FUNCTION_ARGS)
{
	keyring_request_cycle();
	PG_RETURN_VOID();
}

#endif							/* PURPOSE_TEST_BUILD */
