/*
 * visible.c
 *		The row rule as it runs: purpose._visible() and its kin.
 *
 * Verdicts are remembered by subject.  The memory is worth nothing after
 *	- the session changed (role, settings, declarations): session_stamp();
 *	- any transaction with an xid ended anywhere, subtransactions included: the
 *	  completion count, which moves before its COMMIT returns, on standbys when
 *	  it is replayed;
 *	- this transaction did something itself: the command id.
 * That is compared whenever the executor starts or resumes a query, so a
 * consent change binds every statement that starts after it was committed.  A
 * verdict that rests on a consent for a time is remembered for that time.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "access.h"
#include "catalog.h"
#include "clock.h"
#include "compat.h"
#include "consent.h"
#include "decision.h"
#include "errcodes.h"
#include "guc.h"
#include "observe.h"
#include "protection.h"
#include "rewound.h"
#include "subjectkey.h"
#include "visible.h"

/* Above that many subjects the memory starts over. */
#define MEMO_LIMIT	1000000

typedef struct MemoKey
{
	Oid			subject_table;
	bool		is_text;
	union
	{
		int64		number;
		const char *text;
	}			value;
} MemoKey;

typedef struct MemoEntry
{
	MemoKey		key;
	uint32		hash;
	char		status;
	uint8		reason;			/* DecisionReason; REASON_PERMITTED allows */
	TimestampTz until;			/* when it may change by itself */
} MemoEntry;

static inline uint32
key_hash(MemoKey key)
{
	uint32		h = key.is_text ?
	hash_bytes((const unsigned char *) key.value.text, strlen(key.value.text)) :
	murmurhash32((uint32) key.value.number ^ (uint32) ((uint64) key.value.number >> 32));

	return hash_combine(h, key.subject_table);
}

static inline bool
key_equal(MemoKey a, MemoKey b)
{
	if (a.subject_table != b.subject_table || a.is_text != b.is_text)
		return false;
	return a.is_text ? strcmp(a.value.text, b.value.text) == 0 :
		a.value.number == b.value.number;
}

#define SH_PREFIX		memo
#define SH_ELEMENT_TYPE	MemoEntry
#define SH_KEY_TYPE		MemoKey
#define SH_KEY			key
#define SH_HASH_KEY(tb, key)	key_hash(key)
#define SH_EQUAL(tb, a, b)		key_equal(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)		(a)->hash
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static MemoryContext memo_context = NULL;
static memo_hash *memo = NULL;

/* What the memory was filled under. */
static uint64 memo_completions;
static uint64 memo_stamp;
static CommandId memo_command;

/* The session's purpose needs nobody's consent, and nobody is restricted. */
static bool nobody_asked = false;

/* What one call site of _visible() needs, kept with its query. */
typedef struct VisibleCall
{
	uint64		catalog_generation;
	uint64		protection_generation;
	Oid			relid;
	bool		broken;
	ProtectionMode mode;
	Oid			subject_table;
	int			subject_nkeys;	/* as declared */
	int			nkeys;			/* as called; a null foreign key may have
								 * others */
	Oid			types[INDEX_MAX_KEYS];
	FmgrInfo	output[INDEX_MAX_KEYS];
	MemoryContext context;

	/* observe mode: rows that enforcement would have hidden, not yet told */
	Session		observed_session;
	uint64		observed_stamp;
	uint64		observed[NUM_DECISION_REASONS];
} VisibleCall;

PG_FUNCTION_INFO_V1(purpose_visible);
PG_FUNCTION_INFO_V1(purpose_unbound);
PG_FUNCTION_INFO_V1(purpose_loaded);
PG_FUNCTION_INFO_V1(purpose_loaded_for);
PG_FUNCTION_INFO_V1(purpose_statistic_visible);
PG_FUNCTION_INFO_V1(purpose_ext_statistic_visible);

/*
 * Forgets the remembered verdicts if they may be stale.  Called whenever the
 * executor starts or resumes a query on protected relations.
 */
void
visible_statement_starts(void)
{
	uint64		completions = compat_completion_count();
	uint64		stamp = session_stamp();
	CommandId	command = GetCurrentCommandId(false);

	if (memo != NULL && memo_completions == completions && memo_stamp == stamp &&
		memo_command == command && memo->members < MEMO_LIMIT)
		return;
	if (memo == NULL || memo->members > 0)
	{
		if (memo_context == NULL)
			memo_context = AllocSetContextCreate(TopMemoryContext, "pg_purpose verdicts",
												 ALLOCSET_DEFAULT_SIZES);
		memo = NULL;
		MemoryContextReset(memo_context);
		memo = memo_create(memo_context, 64, NULL);
	}
	nobody_asked = decision_asks_nobody(session_current()) && !consent_anyone_restricted();
	/* The count was read first: what ends from here on is noticed next time. */
	memo_completions = completions;
	memo_stamp = stamp;
	memo_command = command;
}

/*
 * Tells observe mode what one call site has counted.
 */
static void
flush_observed(VisibleCall *call)
{
	for (int reason = 0; reason < NUM_DECISION_REASONS; reason++)
	{
		observe_record(&call->observed_session, call->relid, 0, reason,
					   call->observed[reason]);
		call->observed[reason] = 0;
	}
}

static void
call_ends(void *arg)
{
	flush_observed(arg);
}

static void
count_observed(VisibleCall *call, const Session *session, DecisionReason reason)
{
	uint64		stamp = session_stamp();

	if (call->observed_stamp != stamp)
	{
		flush_observed(call);
		call->observed_session = *session;
		call->observed_stamp = stamp;
	}
	call->observed[reason]++;
}

/*
 * Brings what is kept at the call site up to date.
 */
static VisibleCall *
prepare_call(FunctionCallInfo fcinfo, Oid relid)
{
	VisibleCall *call = fcinfo->flinfo->fn_extra;
	const RelationPolicy *policy;

	if (call != NULL && call->relid == relid &&
		call->catalog_generation == catalog_generation &&
		call->protection_generation == protection_generation)
		return call;

	if (call == NULL)
	{
		MemoryContextCallback *callback;

		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(VisibleCall));
		call->context = fcinfo->flinfo->fn_mcxt;
		callback = MemoryContextAllocZero(call->context, sizeof(MemoryContextCallback));
		callback->func = call_ends;
		callback->arg = call;
		MemoryContextRegisterResetCallback(call->context, callback);
		fcinfo->flinfo->fn_extra = call;
	}
	else
		flush_observed(call);

	/*
	 * A call in SQL would tell anybody what a person consented to.  No SQL
	 * can give a call of this function the form that the planner hook gives
	 * it.
	 */
	if (fcinfo->flinfo->fn_expr == NULL || !IsA(fcinfo->flinfo->fn_expr, FuncExpr) ||
		((FuncExpr *) fcinfo->flinfo->fn_expr)->funcformat != COERCE_SQL_SYNTAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROTECTION_BYPASS),
				 errmsg("purpose._visible() is for the planner only"),
				 errhint("purpose.explain_access() tells privacy officers what would be decided.")));

	/*
	 * The number of keys is that of the plan.  If the declaration changed
	 * since, the plan is on its way out, and this statement is refused rather
	 * than judged by half of a key.
	 */
	call->catalog_generation = 0;
	call->relid = relid;
	call->nkeys = PG_NARGS() - 1;
	policy = protection_find(relid);
	call->broken = policy == NULL || policy->protection == NULL ||
		call->nkeys > INDEX_MAX_KEYS || get_fn_expr_variadic(fcinfo->flinfo);
	call->subject_nkeys = call->broken ? 0 : policy->protection->nkeys;
	call->mode = policy != NULL ? policy->mode : MODE_ENFORCE;
	call->subject_table = call->broken ? InvalidOid : policy->protection->subject_table;
	for (int i = 0; i < call->nkeys && !call->broken; i++)
	{
		Oid			output;
		bool		varlena;

		call->types[i] = get_fn_expr_argtype(fcinfo->flinfo, i + 1);
		if (!OidIsValid(call->types[i]))
		{
			call->broken = true;
			break;
		}
		call->types[i] = getBaseType(call->types[i]);
		getTypeOutputInfo(call->types[i], &output, &varlena);
		fmgr_info_cxt(output, &call->output[i], call->context);
	}
	call->protection_generation = protection_generation;
	call->catalog_generation = catalog_generation;
	return call;
}

static bool
integer_key(const VisibleCall *call, FunctionCallInfo fcinfo, int64 *number)
{
	if (call->nkeys != 1)
		return false;
	switch (call->types[0])
	{
		case INT2OID:
			*number = PG_GETARG_INT16(1);
			return true;
		case INT4OID:
			*number = PG_GETARG_INT32(1);
			return true;
		case INT8OID:
			*number = PG_GETARG_INT64(1);
			return true;
		default:
			return false;
	}
}

/*
 * Returns why the subject's data may or may not be used, from memory or by
 * asking.
 */
static DecisionReason
judge_subject(VisibleCall *call, FunctionCallInfo fcinfo, const Session *session)
{
	MemoKey		key;
	MemoEntry  *entry;
	char	   *text = NULL;
	bool		found;
	SubjectConsent consent;
	DecisionRequest request = {.session = session, .consent = &consent};
	Decision	decision;

	if (nobody_asked && memo_stamp == session_stamp())
		return REASON_PERMITTED;
	memset(&key, 0, sizeof(key));
	key.subject_table = call->subject_table;
	if (!integer_key(call, fcinfo, &key.value.number))
	{
		Datum		keys[INDEX_MAX_KEYS];

		for (int i = 0; i < call->nkeys; i++)
			keys[i] = PG_GETARG_DATUM(i + 1);
		text = subjectkey_print(call->nkeys, call->output, keys);
		key.is_text = true;
		key.value.text = text;
	}

	entry = memo != NULL ? memo_lookup(memo, key) : NULL;
	if (entry != NULL && clock_now() < entry->until)
		return entry->reason;

	if (text == NULL)
		text = psprintf(INT64_FORMAT, key.value.number);
	consent_lookup(call->subject_table, text, session->purpose, clock_now(), &consent);
	decision = decision_make(&request);

	if (memo != NULL && memo->members < MEMO_LIMIT)
	{
		if (key.is_text && entry == NULL)
			key.value.text = MemoryContextStrdup(memo_context, text);
		entry = memo_insert(memo, key, &found);
		entry->reason = decision.reason;
		entry->until = consent.until;
	}
	return decision.reason;
}

/*
 * purpose._visible(relation oid, VARIADIC key "any") -> boolean
 *
 * May the acting role, for its declared purpose, see this row of relation,
 * which is the data of the subject with that key?  A key with a NULL in it
 * stands for no subject: then only the purpose is judged.  Without any key the
 * row leads to a parent that is not there, and is nobody's to see.  Raises PU001 to
 * PU004 if no usable purpose is declared, PU006 if the protection of relation
 * cannot be resolved.
 */
Datum
purpose_visible(PG_FUNCTION_ARGS)
{
	const Session *session = session_current();
	Oid			relid;
	VisibleCall *call;
	DecisionReason reason;
	DecisionRequest request = {.session = session};
	bool		has_subject = true;

	if (!guc_preloaded)
		PG_RETURN_BOOL(false);
	if (session->exempt || access_is_internal())
		PG_RETURN_BOOL(true);
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	relid = PG_GETARG_OID(0);
	call = prepare_call(fcinfo, relid);
	if (call->mode != MODE_OBSERVE)
		rewound_require_not();

	for (int i = 1; i < PG_NARGS(); i++)
		has_subject &= !PG_ARGISNULL(i);

	if (session->status != PURPOSE_USABLE || call->broken || !has_subject ||
		(call->nkeys != call->subject_nkeys && call->nkeys > 0))
	{
		Decision	decision;

		request.protection_broken = call->broken ||
			(has_subject && call->nkeys != call->subject_nkeys && call->nkeys > 0);
		request.mode = call->mode;
		decision = decision_make(&request);
		if (decision.verdict != DECISION_ALLOW)
			decision_raise(&decision, session, relid, 0);
		/* An unusable purpose was observed with the statement (access.c). */
		if (session->status != PURPOSE_USABLE)
			PG_RETURN_BOOL(true);
		reason = decision.reason;
	}
	else if (call->nkeys == 0)
		reason = REASON_SUBJECT_UNKNOWN;
	else
		reason = judge_subject(call, fcinfo, session);

	if (reason == REASON_PERMITTED || reason == REASON_EXEMPT)
		PG_RETURN_BOOL(true);
	if (call->mode == MODE_OBSERVE)
	{
		count_observed(call, session, reason);
		PG_RETURN_BOOL(true);
	}
	PG_RETURN_BOOL(false);
}

/*
 * purpose._unbound() -> boolean: is the session, or the query, free from
 * judgement?
 */
Datum
purpose_unbound(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(guc_preloaded && (session_current()->exempt || access_is_internal()));
}

/*
 * purpose._loaded(relation regclass) -> boolean: is the library preloaded, and
 * is anything declared about the relation?  The floor of a table asks this: a
 * table that lost its declarations stays closed, as one without the library.
 */
Datum
purpose_loaded_for(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(guc_preloaded && protection_find(PG_GETARG_OID(0)) != NULL);
}

/*
 * purpose._loaded() -> boolean: is the library preloaded, so that the rules
 * are put into queries?  Calling this function loads the library, too, but
 * that is not preloading it.
 */
Datum
purpose_loaded(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(guc_preloaded);
}

/*
 * purpose._statistic_visible(relation oid, attnum int2) -> boolean
 *
 * May the acting role see values that ANALYZE took from this column?  Of a
 * protected table never: they come from all rows.
 */
Datum
purpose_statistic_visible(PG_FUNCTION_ARGS)
{
	const Session *session = session_current();
	const RelationPolicy *policy;
	Oid			relid = PG_GETARG_OID(0);
	AttrNumber	attno = PG_GETARG_INT16(1);
	bool		is_index;
	ListCell   *lc;

	if (session->exempt)
		PG_RETURN_BOOL(true);

	/* An index on expressions has statistics made of any of the columns. */
	is_index = get_rel_relkind(relid) == RELKIND_INDEX;
	policy = protection_find(is_index ? IndexGetRelation(relid, true) : relid);
	if (policy == NULL || policy->mode == MODE_OBSERVE)
		PG_RETURN_BOOL(true);
	if (policy->protection != NULL || policy->problem != NULL)
		PG_RETURN_BOOL(false);
	foreach(lc, policy->columns)
	{
		const LabelledColumn *column = lfirst(lc);

		if (is_index || column->attno == attno)
		{
			DecisionRequest request = {.session = session, .labels = column->labels,
			.label_broken = column->broken};

			if (decision_make(&request).verdict != DECISION_ALLOW)
				PG_RETURN_BOOL(false);
		}
	}
	PG_RETURN_BOOL(true);
}

/*
 * purpose._statistic_visible(extended statistics oid) -> boolean
 *
 * The same for extended statistics: refused wherever anything is declared
 * about their table.
 */
Datum
purpose_ext_statistic_visible(PG_FUNCTION_ARGS)
{
	HeapTuple	tuple;
	Oid			relid;
	const RelationPolicy *policy;

	if (session_current()->exempt)
		PG_RETURN_BOOL(true);
	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(PG_GETARG_OID(0)));
	if (!HeapTupleIsValid(tuple))
		PG_RETURN_BOOL(false);
	relid = ((Form_pg_statistic_ext) GETSTRUCT(tuple))->stxrelid;
	ReleaseSysCache(tuple);
	policy = protection_find(relid);
	PG_RETURN_BOOL(policy == NULL || policy->mode == MODE_OBSERVE);
}
