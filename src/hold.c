/*
 * hold.c
 *		Legal holds: their conditions, and what of a data subject they hold.
 *
 * A hold is about one subject, or about the rows of a relation that fulfil a
 * condition.  The latter holds those key groups of a subject that values in
 * such rows of the subject's are sealed under, as they are at that moment: so
 * holds are looked at with the newest snapshot, in REPEATABLE READ too.
 *
 * A condition comes from a privacy officer, who may own nothing.  So it may call
 * only functions that guard.c trusts, and no query; it is run as the relation's
 * owner, and frees nobody from anything.  It may not look into sealed columns:
 * what they show depends on the session.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"

#include "access.h"
#include "compat.h"
#include "errcodes.h"
#include "guard.h"
#include "keytree.h"
#include "protection.h"
#include "sealed.h"
#include "sealedwalk.h"
#include "sealing.h"
#include "sealingtable.h"
#include "spi.h"

/* Rows that are read at a time. */
#define HOLD_FETCH	100

PG_FUNCTION_INFO_V1(hold_condition);
PG_FUNCTION_INFO_V1(hold_find);

compat_noreturn static void
refuse_condition(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the condition of a hold cannot be used"),
			 errdetail("%s", detail),
			 errhint("Give a condition over the columns of one row, such as 'customer_id = 42'.")));
}

static bool
sealed_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) && sealedtype_contained(exprType(node)))
		return true;
	if (IsA(node, Var) && castNode(Var, node)->varattno == InvalidAttrNumber)
		return sealingtable_has_sealed_column(*(Oid *) context);
	return expression_tree_walker(node, sealed_walker, context);
}

/*
 * _hold_condition(relation regclass, condition text) RETURNS text
 *
 * Checks the condition of a hold on a relation, and returns it as it is kept:
 * the same whatever search path and DateStyle it is read under.  Raises 22023
 * for one that cannot be used, and what PostgreSQL raises for one that is wrong.
 */
Datum
hold_condition(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	Node	   *raw = guard_parse(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	Node	   *condition;
	bool		trusted;
	int			level;
	char	   *text;

	if (raw == NULL)
		refuse_condition("It must be one expression.");
	condition = guard_analyse(relid, raw, EXPR_KIND_WHERE, &trusted);
	condition = coerce_to_boolean(NULL, condition, "WHERE");
	if (!trusted)
		refuse_condition("It may use no query, no volatile function, and none that is not PostgreSQL's own or written in C.");
	if (sealed_walker(condition, &relid))
		refuse_condition("What a sealed column shows depends on the session.");

	level = NewGUCNestLevel();
	(void) set_config_option("datestyle", "ISO", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, ERROR, false);
	(void) set_config_option("intervalstyle", "postgres", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, ERROR, false);
	text = deparse_expression(condition, deparse_context_for(get_rel_name(relid), relid),
							  false, false);
	AtEOXact_GUC(false, level);
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/*
 * Adds the key group of a sealed value to a set of them.
 */
static Datum
add_group(void *context, const SealedType *type, int32 typmod, Datum value)
{
	Bitmapset **groups = context;
	SealedValue look = sealed_look(value);

	if (!look.pending)
		*groups = bms_add_member(*groups, KEY_ADDRESS_GROUP(look.header.address) + 1);
	return value;
}

/*
 * Adds the key groups that a row's values are sealed under.
 */
static void
add_groups_of_row(TupleDesc desc, HeapTuple row, Bitmapset **groups)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		isnull;
		bool		changed = false;
		Datum		value;

		if (attribute->attisdropped || !sealedtype_contained(attribute->atttypid))
			continue;
		value = heap_getattr(row, i + 1, desc, &isnull);
		if (!isnull)
			(void) sealedwalk(value, attribute->atttypid, attribute->atttypmod, add_group,
							  groups, &changed);
	}
}

/*
 * Opens a cursor over the rows of a relation that fulfil a condition, narrowed
 * down to a subject's where its key is a column of the relation's own.
 */
static Portal
open_rows(Oid relid, const char *condition, const Protection *protection, const char *key)
{
	const char *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
												  get_rel_name(relid));
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(key)};
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfo(&query, "SELECT (r.*)::%s FROM %s r WHERE (%s)", name, name, condition);
	if (protection->hops == NIL && protection->nkeys == 1)
	{
		Oid			type = getBaseType(get_atttype(relid, protection->keys[0]));

		appendStringInfo(&query, " AND r.%s OPERATOR(pg_catalog.=) $1::%s",
						 quote_identifier(get_attname(relid, protection->keys[0], false)),
						 format_type_be_qualified(type));
	}
	else
		appendStringInfoString(&query, " AND $1 IS NOT NULL");
	return SPI_cursor_open_with_args(NULL, query.data, 1, types, values, NULL, true, 0);
}

/*
 * Throws the error that was caught, without the value that the condition failed
 * on.
 */
compat_noreturn static void
rethrow(void)
{
	ErrorData  *error = CopyErrorData();

	FlushErrorState();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION))
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("the condition of a legal hold fails on a row"),
				 errhint("Release the hold, and place it anew with a condition that fits every row.")));
	ReThrowError(error);
}

static void
name_hold(void *arg)
{
	errcontext("legal hold " INT64_FORMAT, *(int64 *) arg);
}

/*
 * Returns the key groups, each plus one and after a 0, of the values of a
 * subject in the rows of a relation that fulfil a condition.
 */
static Bitmapset *
groups_held(Oid relid, const char *condition, const Protection *protection, const char *key)
{
	Bitmapset **groups = palloc(sizeof(Bitmapset *));
	Oid			owner;
	Oid			user;
	int			context;
	bool		looking_up;
	int			level;
	MemoryContext caller = CurrentMemoryContext;
	Relation	rel = table_open(relid, AccessShareLock);

	*groups = bms_make_singleton(0);
	owner = rel->rd_rel->relowner;
	table_close(rel, NoLock);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(owner, context | SECURITY_RESTRICTED_OPERATION |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	level = NewGUCNestLevel();
	looking_up = access_set_looking_up(true);
	PG_TRY();
	{
		Portal		portal;

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		portal = open_rows(relid, condition, protection, key);
		for (;;)
		{
			SPI_cursor_fetch(portal, true, HOLD_FETCH);
			if (SPI_processed == 0)
				break;
			for (uint64 i = 0; i < SPI_processed; i++)
			{
				TupleDesc	desc;
				HeapTuple	row = spi_whole_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &desc);
				char	   *subject = sealing_subject_of_row(protection, desc, row);

				if (subject != NULL && strcmp(subject, key) == 0)
					add_groups_of_row(desc, row, groups);
				heap_freetuple(row);
			}
			SPI_freetuptable(SPI_tuptable);
			CHECK_FOR_INTERRUPTS();
		}
		SPI_cursor_close(portal);
		SPI_finish();
	}
	PG_CATCH();
	{
		access_set_looking_up(looking_up);
		SetUserIdAndSecContext(user, context);
		MemoryContextSwitchTo(caller);
		rethrow();
	}
	PG_END_TRY();
	access_set_looking_up(looking_up);
	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(user, context);
	return *groups;
}

/*
 * Adds a row to the result: a hold, and the key groups that it holds; NULL for
 * all of them.
 */
static void
report(ReturnSetInfo *result, int64 hold, const Bitmapset *groups)
{
	Datum		values[2] = {Int64GetDatum(hold)};
	bool		nulls[2] = {false, groups == NULL};
	Datum	   *elements = palloc((bms_num_members(groups) + 1) * sizeof(Datum));
	int			n = 0;

	for (int member = 0; groups != NULL && (member = bms_next_member(groups, member)) > 0;)
		elements[n++] = Int32GetDatum(member - 1);
	if (groups != NULL)
	{
		if (n == 0)
			return;
		values[1] = PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true,
													TYPALIGN_INT));
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * Looks at one hold, a row of the query in hold_find().
 */
static void
look_at_hold(ReturnSetInfo *result, HeapTuple tuple, TupleDesc desc, Oid subject_table,
			 const char *key)
{
	bool		isnull;
	int64		hold = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	Oid			relid = DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull));
	char	   *condition = SPI_getvalue(tuple, desc, 3);
	const RelationPolicy *policy;
	ErrorContextCallback callback = {.callback = name_hold, .arg = &hold};

	if (condition == NULL)
	{
		report(result, hold, NULL);
		return;
	}
	policy = protection_find(relid);
	if (policy != NULL && policy->problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PROTECTION),
				 errmsg("the protection of relation \"%s\" cannot be resolved, so legal hold " INT64_FORMAT " may hold anybody",
						get_rel_name(relid), hold),
				 errhint("SELECT * FROM purpose.check() says what is missing.")));
	if (policy == NULL || policy->protection == NULL ||
		policy->protection->subject_table != subject_table)
		return;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	report(result, hold, groups_held(relid, condition, policy->protection, key));
	error_context_stack = callback.previous;
}

/*
 * _holds_of(subject_table regclass, key text)
 * RETURNS TABLE (hold_id bigint, group_numbers int[])
 *
 * The holds that are in force now for a subject, given by its canonical key, and
 * the key groups that they hold; NULL for all.  Raises what a condition raises
 * that does not fit its relation any more.
 */
Datum
hold_find(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			subject_table = PG_GETARG_OID(0);
	char	   *key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			types[2] = {REGCLASSOID, TEXTOID};
	Datum		values[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	SPITupleTable *holds;

	InitMaterializedSRF(fcinfo, 0);
	PushActiveSnapshot(GetLatestSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (plan == NULL)
	{
		SPIPlanPtr	made = SPI_prepare_cursor("SELECT h.hold_id, h.relation::oid, h.condition FROM purpose.legal_hold h "
											  "WHERE h.released_at IS NULL AND (h.subject IS NULL OR (h.relation = $1 AND h.subject = $2)) "
											  "AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = h.relation) "
											  "ORDER BY h.hold_id",
											  2, types, CURSOR_OPT_GENERIC_PLAN);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "the legal holds cannot be asked for");
		plan = made;
	}
	if (SPI_execute_plan(plan, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "the legal holds could not be read");
	holds = SPI_tuptable;
	for (uint64 i = 0; i < holds->numvals; i++)
		look_at_hold(result, holds->vals[i], holds->tupdesc, subject_table, key);
	SPI_finish();
	PopActiveSnapshot();
	return (Datum) 0;
}
