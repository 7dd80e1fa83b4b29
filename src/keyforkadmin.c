/*
 * keyforkadmin.c
 *		The C side of the SQL functions about copies of a keyring.
 *
 * Who may call them is SQL's business: EXECUTE is revoked from PUBLIC in the
 * install script.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "compat.h"
#include "errcodes.h"
#include "keyclaim.h"
#include "keyfork.h"
#include "keyfound.h"
#include "keyring.h"

PG_FUNCTION_INFO_V1(purpose_keyring_is_original);
PG_FUNCTION_INFO_V1(purpose_keyring_fork);
PG_FUNCTION_INFO_V1(purpose_keyring_forks);
PG_FUNCTION_INFO_V1(purpose_keyring_end_fork);

static Datum
uuid_datum(const uint8 keyring[KEYRING_ID_LEN])
{
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	memcpy(uuid->data, keyring, UUID_LEN);
	return UUIDPGetDatum(uuid);
}

/*
 * _is_original() RETURNS boolean: is this the instance that held the claim of
 * its keyring last, whether it does at this moment or not?  Raises PU011 if that
 * cannot be found out.
 */
Datum
purpose_keyring_is_original(PG_FUNCTION_ARGS)
{
	KeyringRef *ref = keyring_require();
	KeyProvider *provider = keyring_open_provider();
	KeyClaim	claim;
	KeyProviderResult result = keyclaim_read(provider, ref->keyring, &claim);

	keyprovider_close(provider);
	if (result == KEYPROVIDER_ABSENT)
		PG_RETURN_BOOL(false);
	if (result != KEYPROVIDER_DONE)
		keyclaim_refuse(KEYCLAIM_UNKNOWN);
	PG_RETURN_BOOL(keyclaim_is_own(MyDatabaseId, &claim));
}

/*
 * _fork_keyring(ancestors uuid[], versions bigint[], ends bigint[],
 *		OUT keyring uuid, OUT version bigint, OUT numbers_below bigint)
 *
 * A keyring with the keys of this one, which nothing is bound to yet.
 */
Datum
purpose_keyring_fork(PG_FUNCTION_ARGS)
{
	KeyringRef	ref = *keyring_require();
	Datum	   *ancestors;
	Datum	   *versions;
	Datum	   *ends;
	int			n;
	List	   *list = NIL;
	KeyFork		fork;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &versions, NULL, &n);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &ends, NULL, &n);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR,
					  &ancestors, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		KeyFork    *ancestor = palloc0(sizeof(KeyFork));

		memcpy(ancestor->keyring, DatumGetUUIDP(ancestors[i])->data, KEYRING_ID_LEN);
		ancestor->version = (uint64) DatumGetInt64(versions[i]);
		ancestor->end = (uint64) DatumGetInt64(ends[i]);
		list = lappend(list, ancestor);
	}
	keyfound_fork(&ref, list, &fork);
	values[0] = uuid_datum(fork.keyring);
	values[1] = Int64GetDatum((int64) fork.version);
	values[2] = Int64GetDatum((int64) fork.end);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * _keyring_forks() RETURNS SETOF record (fork uuid, version bigint,
 * numbers_below bigint, made_at timestamptz, made_by text): what is recorded at
 * the provider.
 */
Datum
purpose_keyring_forks(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	KeyringRef *ref = keyring_require();
	KeyProvider *provider = keyring_open_provider();
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, keyfork_list(provider, ref->keyring, 0))
	{
		KeyFork    *fork = lfirst(lc);
		Datum		values[5] = {
			uuid_datum(fork->keyring), Int64GetDatum((int64) fork->version),
			Int64GetDatum((int64) fork->end), TimestampTzGetDatum(fork->made_at),
			CStringGetTextDatum(fork->made_by)
		};
		bool		nulls[5] = {0};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	keyprovider_close(provider);
	return (Datum) 0;
}

/*
 * _end_fork(fork uuid, unverified boolean) RETURNS boolean: destroys the keys of
 * a fork, and removes its record.  false: no place of the provider knows it, which
 * is an error unless `unverified`.
 */
Datum
purpose_keyring_end_fork(PG_FUNCTION_ARGS)
{
	KeyringRef *ref = keyring_require();
	KeyProvider *provider;
	KeyringRef	fork = {.database = MyDatabaseId};
	KeyClaimStanding standing;
	uint64		fence;
	bool		destroyed;

	memcpy(fork.keyring, PG_GETARG_UUID_P(0)->data, KEYRING_ID_LEN);
	PreventCommandDuringRecovery("purpose.end_fork()");
	provider = keyring_open_provider();
	standing = keyclaim_refresh(provider, ref, false);
	if (standing != KEYCLAIM_HELD || !keyclaim_held(ref, &fence))
		keyclaim_refuse(standing);

	/* All mirrors are there: see keyprovider_open_known(). */
	(void) keyfork_list(provider, ref->keyring, fence);
	destroyed = keyfork_destroy(&fork);
	if (!destroyed && !PG_GETARG_BOOL(1))
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the key provider does not know the fork's keyring"),
				 errdetail("It may have been moved to another place, or was never made."),
				 errhint("If it is known to be gone for good, with all its copies: SELECT purpose.end_fork(..., unverified => true).")));
	keyfork_forget(provider, ref->keyring, fork.keyring, fence);
	keyprovider_close(provider);
	PG_RETURN_BOOL(destroyed);
}
