/*
 * redact.c
 *		Which columns a session sees redacted, and whether a plan shows them so.
 *
 * A column is redacted if its labels say "else null" or "else 'expression'" and
 * do not permit the purpose (decision.c).  redactquery.c then replaces it in the
 * query.  So a plan is good only for sessions that see the same columns.  The
 * mark of a relation says which ones its plan redacts; redact_fits() compares
 * that with what the session at hand sees, when the plan is about to run;
 * planning.c has a plan that does not fit made anew.
 *
 * What is written back.  Who reads a stand-in and writes it back would destroy
 * the value behind it.  So a new value for a redacted column goes through
 * purpose._not_stand_in(value, stand-in, ...), which raises PU019 for what the
 * session was shown, whatever is stored: or the error would tell.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "catalog.h"
#include "compat.h"
#include "errcodes.h"
#include "redact.h"
#include "session.h"

PG_FUNCTION_INFO_V1(redact_not_stand_in);

/*
 * Grows when a declaration changes, or a function, of which some make stand-ins.
 */
static uint64 generation = 1;

static void
function_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	generation++;
}

/*
 * Registers the invalidation callback.  Called once from _PG_init.
 */
void
redact_init(void)
{
	CacheRegisterSyscacheCallback(PROCOID, function_callback, (Datum) 0);
}

/*
 * Returns the generation of stand-ins: what redacts by another one is outdated.
 */
uint64
redact_generation(void)
{
	static uint64 declarations = 0;

	if (declarations != catalog_generation)
	{
		declarations = catalog_generation;
		generation++;
	}
	return generation;
}

/*
 * Tells the plan cache that the plans which redact are outdated: see planning.c.
 */
void
redact_outdate_plans(void)
{
	uint64		save = redact_generation();

	CallSyscacheCallbacks(PROCOID, redact_dependency());
	generation = save;
}

/*
 * Returns the hash of the function that plans which redact depend on.
 */
uint32
redact_dependency(void)
{
	return GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(catalog_oids()->fn_not_stand_in));
}

/*
 * Decides about a labelled column of a relation, for the session at hand.
 */
Decision
redact_decide(const RelationPolicy *policy, const LabelledColumn *column)
{
	DecisionRequest request = {.session = session_current(), .mode = policy->mode,
		.protection_broken = policy->problem != NULL,
	.labels = column->labels, .label_broken = column->broken};

	return decision_make(&request);
}

/*
 * Returns the columns that the session may see redacted only, offset as in
 * selectedCols.
 */
Bitmapset *
redact_columns(const RelationPolicy *policy)
{
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, policy->columns)
	{
		const LabelledColumn *column = lfirst(lc);

		if (redact_decide(policy, column).verdict == DECISION_REDACT)
			result = bms_add_member(result, MARK_BIT(column->attno));
	}
	return result;
}

/*
 * Says what the session at hand sees in the place of the columns that a relation's
 * mark calls used or set; "" if none of them is redacted.  By the same
 * declarations, equal texts mean equal stand-ins: two purposes may both see a
 * column redacted, each by another label of it.
 */
char *
redact_describe(const RelationPolicy *policy, const Mark *mark)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, policy->columns)
	{
		const LabelledColumn *column = lfirst(lc);
		Decision	decision;

		if (!mark_has(mark->used, column->attno) && !mark_has(mark->set, column->attno))
			continue;
		decision = redact_decide(policy, column);
		if (decision.verdict != DECISION_REDACT)
			continue;
		appendStringInfo(&buf, "%d ", column->attno);
		if (decision.stand_in != NULL)
			appendStringInfo(&buf, "%zu:%s", strlen(decision.stand_in), decision.stand_in);
		appendStringInfoChar(&buf, ';');
	}
	return buf.data;
}

/*
 * Could any of these columns be redacted, for some session?
 */
bool
redact_is_possible(const RelationPolicy *policy, const Bitmapset *columns)
{
	ListCell   *lc;
	ListCell   *lc2;

	foreach(lc, policy->columns)
	{
		const LabelledColumn *column = lfirst(lc);

		if (!mark_has(columns, column->attno))
			continue;
		foreach(lc2, column->labels)
		{
			if (((const Label *) lfirst(lc2))->otherwise != LABEL_ELSE_ERROR)
				return true;
		}
	}
	return false;
}

/*
 * Does a plan with this mark show what the session at hand sees of the relation,
 * by the declarations of now?  policy: NULL if nothing is redacted for it.
 */
bool
redact_mark_fits(const RelationPolicy *policy, const Mark *mark)
{
	const char *wanted = policy ? redact_describe(policy, mark) : "";

	return strcmp(wanted, mark->stand_ins) == 0 &&
		(*wanted == '\0' || mark->generation == redact_generation());
}

/*
 * Do all marks of a plan fit the session at hand?  free: the query is freed from
 * judgement.
 */
bool
redact_fits(List *rtable, bool free)
{
	ListCell   *lc;

	foreach(lc, rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		Mark		mark;

		if (compat_is_relation(rte) && mark_get(rte, &mark) && mark.generation != 0 &&
			!redact_mark_fits(free ? NULL : protection_find(rte->relid), &mark))
			return false;
	}
	return true;
}

static bool
same_value(Oid type, Oid collation, Datum a, Datum b)
{
	TypeCacheEntry *entry = lookup_type_cache(getBaseType(type), TYPECACHE_EQ_OPR_FINFO);

	if (OidIsValid(entry->eq_opr_finfo.fn_oid))
		return DatumGetBool(FunctionCall2Coll(&entry->eq_opr_finfo, collation, a, b));
	return datum_image_eq(a, b, entry->typbyval, entry->typlen);
}

/*
 * purpose._not_stand_in(value anyelement, stand_in anyelement, relation oid,
 * attnum int2) -> the value.  Raises PU019 if it is the stand-in.
 */
Datum
redact_not_stand_in(PG_FUNCTION_ARGS)
{
	bool		same = PG_ARGISNULL(0) == PG_ARGISNULL(1);

	if (same && !PG_ARGISNULL(0))
		same = same_value(get_fn_expr_argtype(fcinfo->flinfo, 0), PG_GET_COLLATION(),
						  PG_GETARG_DATUM(0), PG_GETARG_DATUM(1));
	if (same)
		ereport(ERROR,
				(errcode(ERRCODE_STAND_IN_WRITTEN),
				 errmsg("column \"%s\" of relation \"%s\" would be set to what stands in for its value",
						get_attname(PG_GETARG_OID(2), PG_GETARG_INT16(3), true),
						get_rel_name(PG_GETARG_OID(2))),
				 errdetail("Purpose \"%s\" sees the column redacted; the stored value would be lost.",
						   session_current()->purpose),
				 errhint("Leave the column out of the statement, or declare a purpose that its label allows.")));
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}
