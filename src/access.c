/*
 * access.c
 *		Judges statements as they are executed: relation by relation, column by
 *		column, with the purpose, the role and the labels of the moment.
 *
 * check_relations() runs from ExecutorCheckPerms_hook, which every
 * SELECT, DML and COPY passes.  It judges by the columns that planning found
 * to be really used (mark.h), or, where there is no mark, by all that the
 * parser saw.  A protected relation without a mark did not pass planning.c,
 * so it has no row rule, and is refused.
 *
 * Referential checks.  A foreign key's own queries must see hidden rows, or
 * checks and cascades would fail.  PostgreSQL runs them in a security context
 * of their own (SECURITY_NOFORCE_RLS); but a trigger fired by a cascade runs in
 * it, too.  So such a query is known by that context, by the form that
 * ri_triggers.c gives it, by using no columns but those of foreign keys, and by
 * running as the owner of what it reads.  What it calls is judged as usual: the
 * state is kept for each level of the executor.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "access.h"
#include "catalog.h"
#include "compat.h"
#include "cursor.h"
#include "decision.h"
#include "errcodes.h"
#include "mark.h"
#include "observe.h"
#include "protection.h"
#include "redact.h"
#include "visible.h"

/* The query that the executor is in is one of PostgreSQL's own. */
static bool internal = false;

/* A query of this library's own, which looks a row's subject up, is at work. */
static bool looking_up = false;

/* DECLARE ... WITH HOLD is at work. */
static bool opening_holdable = false;

/* What was judged last, and under which session and declarations. */
static const QueryDesc *judged_query = NULL;
static uint64 judged_stamp;
static uint64 judged_protections;

bool
access_is_internal(void)
{
	return internal;
}

/*
 * Sets the state for the query that is about to run, and returns the former
 * one, to be put back.
 */
bool
access_set_internal(bool now)
{
	bool		before = internal;

	internal = now;
	return before;
}

/*
 * To be called around a query that looks up which subject a row leads to.  As a
 * foreign key's own query, it is not judged.  Such a query may call no code but
 * PostgreSQL's.  Returns what was set before.
 */
bool
access_set_looking_up(bool now)
{
	bool		before = looking_up;

	looking_up = now;
	return before;
}

bool
access_set_opening_holdable(bool now)
{
	bool		before = opening_holdable;

	opening_holdable = now;
	return before;
}

static bool
starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/*
 * Has the query the form of one that ri_triggers.c makes?
 */
static bool
looks_referential(const char *text)
{
	if (text == NULL || !InNoForceRLSOperation())
		return false;
	return starts_with(text, "SELECT 1 FROM ") ||
		starts_with(text, "DELETE FROM ") ||
		starts_with(text, "UPDATE ");
}

/*
 * Returns the columns of a relation that any foreign key is made of, on
 * either side.
 */
static Bitmapset *
foreign_key_columns(Oid relid)
{
	Bitmapset  *result = NULL;
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);

		if (con->contype != CONSTRAINT_FOREIGN)
			continue;
		for (int side = 0; side < 2; side++)
		{
			bool		isnull;
			Datum		keys;
			ArrayType  *array;
			int16	   *attnos;

			if ((side == 0 ? con->conrelid : con->confrelid) != relid)
				continue;
			keys = heap_getattr(tuple,
								side == 0 ? Anum_pg_constraint_conkey : Anum_pg_constraint_confkey,
								RelationGetDescr(rel), &isnull);
			if (isnull)
				continue;
			array = DatumGetArrayTypeP(keys);
			attnos = (int16 *) ARR_DATA_PTR(array);
			for (int i = 0; i < ARR_DIMS(array)[0]; i++)
				result = bms_add_member(result, attnos[i] - FirstLowInvalidHeapAttributeNumber);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * Is this a foreign key's own query?  It has the form, asks for nothing but
 * columns of foreign keys, changes no others, returns nothing, and runs as the
 * owner of what it reads (as ri_PerformCheck() sees to; what a trigger inside a
 * cascade asks of somebody else's tables does not).
 */
static bool
query_is_referential(const QueryDesc *desc)
{
	PlannedStmt *stmt = desc->plannedstmt;
	ListCell   *lc;

	if (!looks_referential(desc->sourceText) || stmt->hasReturning || stmt->hasModifyingCTE ||
		(stmt->commandType == CMD_SELECT && stmt->rowMarks == NIL))
		return false;
	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		const RelationPolicy *policy;
		RelationUse use;
		Bitmapset  *used;
		Mark		mark;

		if (rte->rtekind != RTE_RELATION ||
			!compat_relation_use(rte, compat_perminfos(stmt), &use))
			continue;
		policy = protection_find(rte->relid);
		if (policy == NULL)
			continue;
		used = mark_get(rte, &mark) ? mark.used : use.selected;
		if (!bms_is_subset(bms_union(used, use.updated), foreign_key_columns(rte->relid)) ||
			!compat_is_owner(rte->relid, GetUserId()))
			return false;
	}
	return true;
}

/*
 * Does the effective user own all relations of the query that anything is
 * declared about?
 */
static bool
owns_declared_relations(const QueryDesc *desc)
{
	ListCell   *lc;

	foreach(lc, desc->plannedstmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && protection_find(rte->relid) != NULL &&
			!compat_is_owner(rte->relid, GetUserId()))
			return false;
	}
	return true;
}

/*
 * Does the query change nothing?  Then no trigger waits for its end either.
 */
bool
access_query_only_reads(const QueryDesc *desc)
{
	return desc->operation == CMD_SELECT && !desc->plannedstmt->hasModifyingCTE;
}

/*
 * Is this a query of PostgreSQL's own, or of this library's, to be freed from
 * judgement?  A foreign key's, one that looks a subject up, or that of a
 * materialised view which an exempt role refreshes over tables of the view's
 * owner (as whom it runs; what it calls is judged as that owner's doing).
 *
 * Not to be asked of a query that only reads once it has run: what received its
 * rows, which tells a refresh, may have been freed.
 */
bool
access_query_is_internal(const QueryDesc *desc)
{
	if (catalog_oids() == NULL || !protection_any())
		return false;
	if (looking_up)
		return true;
	if (access_query_only_reads(desc) && desc->dest != NULL &&
		desc->dest->mydest == DestTransientRel)
		return has_bypassrls_privilege(GetOuterUserId()) && owns_declared_relations(desc);
	return query_is_referential(desc);
}

/*
 * Before a query is planned: is it likely to be found internal when it runs?
 */
bool
access_seems_internal(const char *query_string)
{
	return looking_up || looks_referential(query_string);
}

/*
 * Judges one request.  Returns false instead of raising if the caller wants
 * that.
 */
static bool
judge(const DecisionRequest *request, Oid relid, AttrNumber attno, bool raise)
{
	Decision	decision = decision_make(request);

	if (decision.observed)
		observe_record(request->session, relid, attno, decision.reason, 1);
	if (decision.verdict == DECISION_ALLOW)
		return true;
	if (raise)
		decision_raise(&decision, request->session, relid, attno);
	return false;
}

/*
 * The plan does not redact what the session sees redacted.  planning_refresh()
 * sees to it that no plan starts so; a cursor may go on so.
 */
static bool
refuse_stale_plan(Oid relid, bool raise)
{
	if (raise)
		ereport(ERROR,
				(errcode(ERRCODE_PURPOSE_DENIED),
				 errmsg("the purpose, the role or a declaration changed since this statement was planned"),
				 OidIsValid(relid) ?
				 errdetail("What its plan shows of relation \"%s\" was redacted for what was declared then.",
						   get_rel_name(relid)) :
				 errdetail("What its plan shows was redacted for what was declared then."),
				 errhint("Run it again; close a cursor and open it again.")));
	return false;
}

/*
 * The session sees the column redacted, and the statement needs its value.
 */
static bool
refuse_exact_use(const Decision *decision, Oid relid, AttrNumber attno, bool raise)
{
	if (raise)
		ereport(ERROR,
				(errcode(ERRCODE_PURPOSE_DENIED),
				 errmsg("purpose \"%s\" sees column \"%s\" of relation \"%s\" only redacted, and cannot change rows by it",
						session_current()->purpose, get_attname(relid, attno, false),
						get_rel_name(relid)),
				 errdetail("Its label is: %s", label_deparse(decision->label)),
				 errhint("A statement that changes rows can return the column, redacted. For more, declare a purpose that the label allows.")));
	return false;
}

/*
 * Judges the use of one labelled column by a query whose relation carries this
 * mark, all empty if it carries none.  writes: it is given a new value.
 */
static bool
check_column(const DecisionRequest *request, Oid relid, bool is_table,
			 const LabelledColumn *column, const Mark *mark, bool writes, bool raise)
{
	Decision	decision = decision_make(request);
	bool		redacted = bms_is_member(MARK_BIT(column->attno), mark->redacted);
	bool		used = mark_has(mark->used, column->attno);

	if (decision.verdict != DECISION_REDACT)
	{
		if (redacted)
			return refuse_stale_plan(relid, raise);
		return !used || judge(request, relid, column->attno, raise);
	}

	/*
	 * Who sets row_security to off, as pg_dump does, wants all values or an
	 * error.
	 */
	if (used && !row_security)
	{
		if (raise)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("query would be affected by the redaction of column \"%s\" of relation \"%s\"",
							get_attname(relid, column->attno, false), get_rel_name(relid)),
					 errhint("Dump as a superuser, or as a role with BYPASSRLS.")));
		return false;
	}

	/*
	 * A view's columns are redacted where it is read, not where it is
	 * changed.
	 */
	if (mark_has(mark->exact, column->attno) || (!is_table && (writes || !redacted)))
		return refuse_exact_use(&decision, relid, column->attno, raise);
	return redacted || refuse_stale_plan(relid, raise);
}

/*
 * Judges what a query asks of one relation.
 */
static bool
check_relation(RangeTblEntry *rte, const RelationUse *use, const RelationPolicy *policy,
			   const Session *session, bool raise)
{
	DecisionRequest request = {.session = session, .mode = policy->mode};
	bool		writes = (use->required & (ACL_INSERT | ACL_UPDATE | ACL_DELETE)) != 0;
	bool		sees_rows = (use->required & (ACL_SELECT | ACL_UPDATE | ACL_DELETE)) != 0;
	bool		protected = policy->protection != NULL || policy->problem != NULL;
	bool		is_table = rte->relkind != RELKIND_VIEW;
	bool		marked;
	Mark		mark;
	ListCell   *lc;

	marked = mark_get(rte, &mark);
	if (!marked)
		mark.used = use->selected;

	/* Rows of a protected table, and any writing, need a usable purpose. */
	request.protection_broken = policy->problem != NULL;
	if ((protected || writes) && !judge(&request, policy->relid, 0, raise))
		return false;

	/*
	 * Who sets row_security to off, as pg_dump does, wants all rows or an
	 * error.
	 */
	if (protected && is_table && sees_rows && !row_security && policy->mode == MODE_ENFORCE)
	{
		if (raise)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("query would be affected by the row rule of relation \"%s\"",
							get_rel_name(policy->relid)),
					 errhint("Dump as a superuser, or as a role with BYPASSRLS.")));
		return false;
	}

	foreach(lc, policy->columns)
	{
		const LabelledColumn *column = lfirst(lc);
		bool		sets = bms_is_member(MARK_BIT(column->attno), use->updated);

		if (!sets && !mark_has(mark.used, column->attno))
			continue;
		request.labels = column->labels;
		request.label_broken = column->broken;
		if (!check_column(&request, policy->relid, is_table, column, &mark, sets, raise))
			return false;
	}
	if (mark.generation != 0 && !redact_mark_fits(policy, &mark))
		return refuse_stale_plan(policy->relid, raise);

	if (protected && is_table && sees_rows && !marked && policy->mode == MODE_ENFORCE)
	{
		if (raise)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PROTECTION),
					 errmsg("the plan for this statement lacks the row rule of relation \"%s\"",
							rte->eref ? rte->eref->aliasname : "?"),
					 errhint("The table was protected after the statement was planned, or another extension plans around pg_purpose.  Run the statement again.")));
		return false;
	}
	return true;
}

/*
 * Judges all relations of a statement.  Raises, or returns false if the caller
 * asks not to raise.
 */
static bool
check_relations(List *rtable, List *perminfos, bool raise)
{
	const Session *session;
	ListCell   *lc;

	if (catalog_oids() == NULL || !protection_any())
		return true;
	session = session_current();
	if (session->exempt || internal)
		return redact_fits(rtable, true) || refuse_stale_plan(InvalidOid, raise);

	foreach(lc, rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		RelationUse use;
		const RelationPolicy *policy;

		/* relkind 'c' is EXCLUDED: see rows.c */
		if (!compat_is_relation(rte) || rte->relkind == RELKIND_COMPOSITE_TYPE ||
			!compat_relation_use(rte, perminfos, &use))
			continue;
		policy = protection_find(rte->relid);
		if (policy != NULL && !check_relation(rte, &use, policy, session, raise))
			return false;
	}
	return true;
}

/*
 * Is something enforced about any of these relations, for this session?
 */
static bool
concerns_bound(List *rtable)
{
	ListCell   *lc;

	if (catalog_oids() == NULL || !protection_any() || session_current()->exempt)
		return false;
	foreach(lc, rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		const RelationPolicy *policy;

		if (rte->rtekind != RTE_RELATION)
			continue;
		policy = protection_find(rte->relid);
		if (policy != NULL && policy->mode == MODE_ENFORCE)
			return true;
	}
	return false;
}

/*
 * Is this a plan that a parallel worker got from its leader, which was checked
 * there?  Such a plan names no relations that it depends on (ExecSerializePlan
 * leaves that out), while any plan made by the planner does.
 */
static bool
plan_is_shipped(const QueryDesc *desc)
{
	return IsParallelWorker() && desc != NULL && desc->plannedstmt->relationOids == NIL;
}

/*
 * Judges the relations of the statement that the executor is starting: the
 * body of ExecutorCheckPerms_hook.
 */
bool
access_check_starting(List *rtable, List *perminfos, bool raise)
{
	if (plan_is_shipped(judged_query))
		return true;

	/*
	 * Only the validation of a new foreign key asks without raising: whether
	 * it may read both tables by one query.  Under the row rule that would
	 * not see hidden rows, so it must go row by row, as referential checks.
	 */
	if (!raise && concerns_bound(rtable))
		return false;
	if (opening_holdable && raise && concerns_bound(rtable))
		ereport(ERROR,
				(errcode(ERRCODE_PROTECTION_BYPASS),
				 errmsg("a cursor WITH HOLD over labelled or protected data is not allowed"),
				 errdetail("After its transaction nothing could tell for which purpose it is read."),
				 errhint("Read it within a transaction, by a cursor without WITH HOLD.")));
	return check_relations(rtable, perminfos, raise);
}

/*
 * To be called before the executor starts a query.
 *
 * Absorbs what other sessions committed: a transaction that already holds its
 * locks would not do that by itself, and go on with the labels that it began
 * with.
 */
void
access_statement_starts(QueryDesc *desc)
{
	AcceptInvalidationMessages();
	if (catalog_oids() == NULL || !protection_any())
		return;
	visible_statement_starts();
	judged_stamp = session_stamp();
	judged_protections = catalog_generation;
	judged_query = desc;
}

/*
 * Does the statement change a relation whose values an error must not show?
 * PostgreSQL itself keeps "Failing row contains" from those whom row-level
 * security binds, but not from the table's owner.
 */
bool
access_hides_details(const QueryDesc *desc)
{
	if (access_query_only_reads(desc))
		return false;
	return concerns_bound(desc->plannedstmt->rtable);
}

/*
 * Goes on with the error at hand, without the detail if that shows a row.
 * Must be called from PG_CATCH.
 */
void
access_rethrow(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	switch (error->sqlerrcode)
	{
		case ERRCODE_NOT_NULL_VIOLATION:
		case ERRCODE_UNIQUE_VIOLATION:
		case ERRCODE_CHECK_VIOLATION:
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
		case ERRCODE_EXCLUSION_VIOLATION:
		case ERRCODE_FOREIGN_KEY_VIOLATION:
		case ERRCODE_RESTRICT_VIOLATION:
			FlushErrorState();
			error->detail = NULL;
			error->detail_log = NULL;
			ReThrowError(error);
			break;
		default:
			FreeErrorData(error);
	}
	PG_RE_THROW();
}

/*
 * To be called at the end of each transaction.
 */
void
access_transaction_ends(void)
{
	cursor_transaction_ends();
	judged_query = NULL;
	internal = false;
	opening_holdable = false;
}

/*
 * To be called before the executor runs a query, which may be long after it
 * started: a cursor, a portal.  Judges again if anything changed that was
 * judged by.  in_portions: it may be run again for the rows that are left.
 */
void
access_statement_resumes(QueryDesc *desc, bool in_portions)
{
	uint64		stamp;

	if (catalog_oids() == NULL || !protection_any())
		return;
	AcceptInvalidationMessages();
	visible_statement_starts();
	stamp = session_stamp();
	if (in_portions && !internal && concerns_bound(desc->plannedstmt->rtable))
		cursor_check_held_rows(desc, stamp);
	if (judged_query == desc && judged_stamp == stamp &&
		judged_protections == catalog_generation)
		return;
	if (!plan_is_shipped(desc))
		check_relations(desc->plannedstmt->rtable,
						compat_perminfos(desc->plannedstmt), true);
	judged_query = desc;
	judged_stamp = stamp;
	judged_protections = catalog_generation;
}
