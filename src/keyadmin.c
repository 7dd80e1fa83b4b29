/*
 * keyadmin.c
 *		The C side of the SQL functions about the keyring.
 *
 * Who may call them is SQL's business: EXECUTE is revoked from PUBLIC in the
 * install script.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"
#include "utils/wait_event.h"

#include "clock.h"
#include "errcodes.h"
#include "keyclaim.h"
#include "keycycle.h"
#include "keyfound.h"
#include "keyload.h"
#include "keyring.h"

/* How often who waits for the worker looks whether there is a launcher. */
#define LOOK_MS		500

PG_FUNCTION_INFO_V1(purpose_keyring_found);
PG_FUNCTION_INFO_V1(purpose_keyring_binding_changed);
PG_FUNCTION_INFO_V1(purpose_keyring_claim);
PG_FUNCTION_INFO_V1(purpose_keyring_rotate);
PG_FUNCTION_INFO_V1(purpose_keyring_status);
PG_FUNCTION_INFO_V1(purpose_keyring_check);
PG_FUNCTION_INFO_V1(purpose_keyring_verify);

/*
 * _found_keyring() RETURNS uuid: a new keyring, which nothing is bound to.
 */
Datum
purpose_keyring_found(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	keyfound_plant(uuid->data);
	PG_RETURN_UUID_P(uuid);
}

/*
 * Trigger of purpose.keyring_binding.
 */
Datum
purpose_keyring_binding_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("_keyring_binding_changed() is a trigger function"),
				 errhint("It belongs to purpose.keyring_binding; do not call it.")));
	keyring_invalidate_binding();
	return PointerGetDatum(NULL);
}

static void
refuse_on_standby(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_NOT_CLAIMED),
				 errmsg("a standby cannot change the keyring"),
				 errhint("Connect to the primary, or promote this server first.")));
}

/*
 * claim_keyring() RETURNS bigint: the fencing token.
 */
Datum
purpose_keyring_claim(PG_FUNCTION_ARGS)
{
	KeyringRef	ref = *keyring_require();
	KeyProvider *provider;
	uint64		fence;

	refuse_on_standby();
	provider = keyring_open_provider();
	keyclaim_take(provider, &ref);
	keyprovider_close(provider);
	if (!keyclaim_held(&ref, &fence))
		keyclaim_refuse(KEYCLAIM_UNKNOWN);

	/* Shreds may be waiting for it. */
	(void) keysegment_request(&ref, false);
	PG_RETURN_INT64((int64) fence);
}

/*
 * Waits for the worker's answer to a request, and raises the error that it ran
 * into.  Returns the version that is loaded then.
 */
static uint64
wait_for_answer(KeyringRef *ref, uint64 request)
{
	ConditionVariable *cv;
	uint64		version;

	keysegment_lock(ref, LW_SHARED);
	cv = &ref->slot->answer_cv;
	keysegment_unlock(ref);

	ConditionVariablePrepareToSleep(cv);
	for (;;)
	{
		bool		answered;
		bool		given_up;
		int			sqlstate;
		char		message[KEYSEGMENT_MESSAGE_LEN];

		keysegment_lock(ref, LW_SHARED);
		given_up = ref->slot->requested < request;
		answered = ref->slot->answered >= request;
		sqlstate = ref->slot->sqlstate;
		strlcpy(message, ref->slot->message, sizeof(message));
		version = ref->slot->version;
		keysegment_unlock(ref);

		if (given_up)
		{
			ConditionVariableCancelSleep();
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_UNAVAILABLE),
					 errmsg("the database was bound to another keyring meanwhile"),
					 errhint("Try again.")));
		}
		if (answered && sqlstate == 0)
			break;
		if (answered)
		{
			ConditionVariableCancelSleep();
			ereport(ERROR,
					(errcode(sqlstate),
					 errmsg_internal("%s", message),
					 errhint("See the server log, and SELECT * FROM purpose.keyring_status.")));
		}
		if (!keysegment_launcher_runs())
		{
			ConditionVariableCancelSleep();
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_UNAVAILABLE),
					 errmsg("the process that looks after keyrings is not running"),
					 errhint("It is started within seconds; see the server log if it is not, and raise max_worker_processes.")));
		}
		(void) ConditionVariableTimedSleep(cv, LOOK_MS, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return version;
}

/*
 * rotate_root_key() RETURNS bigint: the new version.
 */
Datum
purpose_keyring_rotate(PG_FUNCTION_ARGS)
{
	KeyringRef	ref = *keyring_require();
	KeyProvider *provider;
	uint64		before;
	uint64		after;

	refuse_on_standby();
	provider = keyring_open_provider();
	keyload_state(provider, &ref);
	keyprovider_close(provider);
	keysegment_lock(&ref, LW_SHARED);
	before = ref.slot->version;
	keysegment_unlock(&ref);

	after = wait_for_answer(&ref, keysegment_request(&ref, true));
	if (after <= before)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the root key was not replaced"),
				 errhint("Try again.")));
	PG_RETURN_INT64((int64) after);
}

/* ----------
 * Seeing
 * ----------
 */

static const char *
standing_name(KeyClaimStanding standing)
{
	switch (standing)
	{
		case KEYCLAIM_HELD:
			return "held";
		case KEYCLAIM_WAITING:
			return "held by an earlier start of this server";
		case KEYCLAIM_OTHER:
			return "held by another instance";
		case KEYCLAIM_NONE:
			return "free";
		case KEYCLAIM_UNKNOWN:
			break;
	}
	return "unknown";
}

/* A point of clock_elapsed_ms() as a time of day; NULL for 0. */
static Datum
point_in_time(uint64 at, bool *isnull)
{
	*isnull = at == 0;
	return TimestampTzGetDatum(GetCurrentTimestamp() +
							   ((int64) at - (int64) clock_elapsed_ms()) * 1000);
}

static Datum
optional_time(TimestampTz at, bool *isnull)
{
	*isnull = at == 0;
	return TimestampTzGetDatum(at);
}

/*
 * How does the claim stand?  Returns whether the provider said so; if the setting
 * does not even name one that could be asked, *why says what is wrong with it.
 */
static bool
ask_claim(KeyringRef *ref, KeyClaim *claim, char **why)
{
	MemoryContext caller = CurrentMemoryContext;
	KeyProvider *volatile provider = NULL;

	PG_TRY();
	{
		provider = keyring_open_provider();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_KEYRING_UNAVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		*why = error->message;
	}
	PG_END_TRY();
	if (provider == NULL)
		return false;
	(void) keyclaim_refresh(provider, ref, false);
	return keyclaim_read(provider, ref->keyring, claim) == KEYPROVIDER_DONE;
}

/*
 * _keyring_status() RETURNS record: what this server knows, and how the claim
 * stands.  Asks the provider for nothing but that.
 */
Datum
purpose_keyring_status(PG_FUNCTION_ARGS)
{
#define STATUS_COLUMNS	16
	KeyringRef *bound = keyring_bound();
	KeyringRef	ref;
	TupleDesc	desc;
	Datum		values[STATUS_COLUMNS] = {0};
	bool		nulls[STATUS_COLUMNS] = {0};
	KeySlot		slot;
	KeyClaim	claim;
	uint32		nodes = 0;
	uint64		lease_until;
	size_t		used;
	size_t		total;
	bool		known;
	char	   *why = NULL;
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	if (bound == NULL)
		PG_RETURN_NULL();
	ref = *keyring_require();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	known = ask_claim(&ref, &claim, &why);
	keysegment_lock(&ref, LW_SHARED);
	slot = *ref.slot;
	lease_until = pg_atomic_read_u64(&ref.slot->lease_until);
	if (DsaPointerIsValid(slot.cover))
		nodes = keytree_cover_nodes(keysegment_address(slot.cover));
	keysegment_unlock(&ref);
	keysegment_memory(&used, &total);

	memcpy(uuid->data, ref.keyring, UUID_LEN);
	values[0] = UUIDPGetDatum(uuid);
	values[1] = CStringGetTextDatum(standing_name(slot.standing));
	values[2] = known ? CStringGetTextDatum(claim.holder_name) : (Datum) 0;
	nulls[2] = !known;
	values[3] = known ? TimestampTzGetDatum(claim.written_at) : (Datum) 0;
	nulls[3] = !known;
	values[4] = known ? Int64GetDatum((int64) claim.fence) : (Datum) 0;
	nulls[4] = !known;
	values[5] = Int64GetDatum((int64) slot.version);
	nulls[5] = slot.version == 0;
	values[6] = point_in_time(lease_until, &nulls[6]);
	values[7] = Int64GetDatum((int64) nodes);
	nulls[7] = nodes == 0;
	values[8] = Int64GetDatum((int64) slot.end_number - (int64) slot.next_number);
	values[9] = Int64GetDatum((int64) slot.claimed_end);
	values[10] = optional_time(slot.cycled_at, &nulls[10]);
	values[11] = optional_time(slot.answered_at, &nulls[11]);
	if (why == NULL && slot.message[0] != '\0')
		why = slot.message;
	values[12] = why ? CStringGetTextDatum(why) : (Datum) 0;
	nulls[12] = why == NULL;
	values[13] = Int32GetDatum(slot.failures);
	values[14] = Int64GetDatum((int64) used);
	values[15] = Int64GetDatum((int64) total);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static void
report(ReturnSetInfo *result, const char *severity, const char *object,
	   const char *problem, const char *remedy)
{
	Datum		values[4] = {
		CStringGetTextDatum(severity), CStringGetTextDatum(object),
		CStringGetTextDatum(problem), CStringGetTextDatum(remedy)
	};
	bool		nulls[4] = {0};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Tries to load the state; what is wrong with it is a finding.
 */
static void
check_state(ReturnSetInfo *result, KeyProvider *provider, KeyringRef *ref)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		keyload_state(provider, ref);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_KEYRING_UNAVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		report(result, "error", "keyring",
			   error->detail ? psprintf("%s: %s", error->message, error->detail) : error->message,
			   error->hint ? error->hint : "See the server log.");
	}
	PG_END_TRY();
}

static void
check_claim(ReturnSetInfo *result, KeyProvider *provider, KeyringRef *ref)
{
	KeyClaim	claim;
	KeyClaimStanding standing = keyclaim_refresh(provider, ref, false);

	if (standing == KEYCLAIM_HELD || RecoveryInProgress())
		return;
	if (keyclaim_read(provider, ref->keyring, &claim) != KEYPROVIDER_DONE)
		claim.holder_name = "unknown";
	switch (standing)
	{
		case KEYCLAIM_WAITING:
			report(result, "info", "claim",
				   "it is held by an earlier start of this server, until its lease has lapsed",
				   "Wait for that: purpose.key_lease.");
			break;
		case KEYCLAIM_OTHER:
			report(result, "warning", "claim",
				   psprintf("another instance holds it: %s. This one opens values, but makes no keys for new subjects, and destroys none",
							claim.holder_name),
				   "SELECT purpose.claim_keyring(); -- if that one is gone; or SELECT purpose.fork_keyring(); -- if this is a test clone");
			break;
		case KEYCLAIM_NONE:
			report(result, "warning", "claim",
				   "nobody holds it: no keys are made for new subjects, and none destroyed",
				   "SELECT purpose.claim_keyring();");
			break;
		default:
			report(result, "error", "claim", "it cannot be read or renewed",
				   "See the warnings, and what else is reported here.");
	}
}

/*
 * _check_keyring_provider() RETURNS SETOF record (severity, object, problem,
 * remedy); nothing where there is no keyring.
 */
Datum
purpose_keyring_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	KeyringRef	ref;
	KeyProvider *provider;
	List	   *problems;
	ListCell   *lc;
	KeySlot		slot;

	InitMaterializedSRF(fcinfo, 0);
	if (keyring_bound() == NULL)
		return (Datum) 0;
	ref = *keyring_require();
	provider = keyring_open_provider();
	problems = keyprovider_check(provider);
	foreach(lc, problems)
	{
		KeyProviderProblem *problem = lfirst(lc);

		report(result, problem->severity, problem->object, problem->problem, problem->remedy);
	}
	check_state(result, provider, &ref);
	check_claim(result, provider, &ref);
	keyprovider_close(provider);

	keysegment_lock(&ref, LW_SHARED);
	slot = *ref.slot;
	keysegment_unlock(&ref);
	if (slot.failures > 0)
		report(result, "error", "worker",
			   psprintf("its work failed %d time(s) in a row: %s", slot.failures, slot.message),
			   "See the server log; it is tried again.");
	if (!keysegment_launcher_runs())
		report(result, "error", "worker",
			   "the process that looks after keyrings is not running: nothing is destroyed",
			   "Raise max_worker_processes, and see the server log.");
	return (Datum) 0;
}

/*
 * _verify_keys(numbers bigint[], group_numbers int[], punctured_version bigint)
 * RETURNS record (derivable boolean, remaining bigint[], asked text[]): does the
 * newest state derive any of the keys; which older states have roots; and which
 * places have said so.
 */
Datum
purpose_keyring_verify(PG_FUNCTION_ARGS)
{
	KeyringRef	ref = *keyring_require();
	KeyProvider *provider;
	TupleDesc	desc;
	KeyKind		kind;
	KeyPoint   *points;
	int			npoints;
	List	   *remaining;
	List	   *places;
	ListCell   *lc;
	Datum	   *elements;
	int			n = 0;
	Datum		values[3];
	bool		nulls[3] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	kind = strcmp(text_to_cstring(PG_GETARG_TEXT_PP(0)), "token") == 0 ? KEY_TOKEN : KEY_SUBJECT;
	points = keycycle_points(kind, PG_GETARG_ARRAYTYPE_P(1),
							 PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2), &npoints);

	provider = keyring_open_provider();
	keyload_state(provider, &ref);
	values[0] = BoolGetDatum(keycycle_unpunctured(provider, &ref, points, npoints) > 0);

	if (keyprovider_remaining(provider, KEYOBJECT_ROOT, &remaining) != KEYPROVIDER_DONE)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the keyring cannot be reached"),
				 errhint("See the warnings, and SELECT * FROM purpose.check_keyring().")));
	elements = palloc(sizeof(Datum) * (list_length(remaining) + 1));
	foreach(lc, remaining)
	{
		uint64		version = *(uint64 *) lfirst(lc);

		if (PG_ARGISNULL(3) || version < (uint64) PG_GETARG_INT64(3))
			elements[n++] = Int64GetDatum((int64) version);
	}
	values[1] = PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	places = keyprovider_locations(provider);
	elements = palloc(sizeof(Datum) * (list_length(places) + 1));
	n = 0;
	foreach(lc, places)
		elements[n++] = CStringGetTextDatum(lfirst(lc));
	values[2] = PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
	keyprovider_close(provider);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
