/*
 * exempt.c
 *		Functions that a privacy officer freed from enforcement, by
 *		SECURITY LABEL FOR purpose ON FUNCTION ... IS 'exempt'.
 *
 * While such a function runs, its statements see what a superuser sees: a
 * login function that must read a password before any purpose is known, a
 * report that gives numbers only.  What it returns is the officer's
 * responsibility, and so is what it calls.  Its owner cannot replace it without
 * being an officer (ddl.c).
 *
 * PostgreSQL's function manager tells when a function is entered and left, by
 * an error too, so the depth kept in session.c cannot stay behind.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "catalog.h"
#include "exempt.h"
#include "protection.h"
#include "session.h"

static List *exempt_functions = NIL;
static uint64 exempt_generation = 0;

static needs_fmgr_hook_type prev_needs_hook = NULL;
static fmgr_hook_type prev_hook = NULL;

/*
 * Reads the labels of functions.
 */
static void
load(void)
{
	uint64		generation = catalog_generation;
	List	   *found = NIL;
	Relation	rel = table_open(SecLabelRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	MemoryContext old;

	ScanKeyInit(&keys[0], Anum_pg_seclabel_classoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&keys[1], Anum_pg_seclabel_provider, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(PURPOSE_PROVIDER));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = lappend_oid(found, ((FormData_pg_seclabel *) GETSTRUCT(tuple))->objoid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	old = MemoryContextSwitchTo(TopMemoryContext);
	list_free(exempt_functions);
	exempt_functions = list_copy(found);
	exempt_generation = generation;
	MemoryContextSwitchTo(old);
}

/*
 * Says whether a function is exempt.
 */
bool
exempt_function(Oid function)
{
	if (!IsTransactionState() || catalog_oids() == NULL || !protection_any())
		return false;
	if (exempt_generation != catalog_generation)
		load();
	return exempt_functions != NIL && list_member_oid(exempt_functions, function);
}

/*
 * Is this a search_path in which a caller cannot put anything in front?  The
 * schema of temporary objects is searched first unless it is named.
 */
static bool
path_is_closed(const char *value)
{
	List	   *names;
	ListCell   *lc;
	bool		names_temp = false;

	if (!SplitIdentifierString(pstrdup(value), ',', &names))
		return false;
	foreach(lc, names)
	{
		const char *name = lfirst(lc);

		if (strcmp(name, "$user") == 0)
			return false;
		if (strcmp(name, "pg_temp") == 0)
			names_temp = foreach_current_index(lc) > 0;
	}
	return names_temp;
}

/*
 * Does a function look its names up where its caller cannot put any?  C code
 * does not look names up that way.
 */
bool
exempt_is_closed(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		closed = false;
	bool		isnull;
	Datum		config;
	Oid			language;

	if (!HeapTupleIsValid(tuple))
		return false;
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	closed = language == ClanguageId || language == INTERNALlanguageId;
	config = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proconfig, &isnull);
	if (!isnull)
	{
		const char *prefix = "search_path=";
		Datum	   *settings;
		int			n;

		deconstruct_array(DatumGetArrayTypeP(config), TEXTOID, -1, false, TYPALIGN_INT,
						  &settings, NULL, &n);
		for (int i = 0; i < n; i++)
		{
			char	   *setting = TextDatumGetCString(settings[i]);

			if (strncmp(setting, prefix, strlen(prefix)) == 0)
				closed |= path_is_closed(setting + strlen(prefix));
		}
	}
	ReleaseSysCache(tuple);
	return closed;
}

static bool
needs_hook(Oid function)
{
	if (prev_needs_hook && prev_needs_hook(function))
		return true;
	return function >= FirstNormalObjectId && exempt_function(function);
}

/* What is kept for one call site between entering and leaving. */
typedef struct CallState
{
	bool		exempt;
	Datum		theirs;			/* of the hook before ours */
} CallState;

static void
function_event(FmgrHookEventType event, FmgrInfo *flinfo, Datum *private)
{
	CallState  *state = (CallState *) DatumGetPointer(*private);

	if (state == NULL)
	{
		state = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(CallState));
		*private = PointerGetDatum(state);
	}
	if (prev_hook)
		prev_hook(event, flinfo, &state->theirs);

	/*
	 * What was entered as exempt is left as exempt, whatever changed since.
	 * Entering comes last: after an error before it, nobody would leave.
	 */
	if (event == FHET_START)
	{
		state->exempt = exempt_function(flinfo->fn_oid);
		if (state->exempt)
			session_enter_exempt();
	}
	else if (state->exempt)
		session_leave_exempt();
}

/*
 * Installs the hooks.  Called from _PG_init while preloading.
 */
void
exempt_init(void)
{
	prev_needs_hook = needs_fmgr_hook;
	needs_fmgr_hook = needs_hook;
	prev_hook = fmgr_hook;
	fmgr_hook = function_event;
}
