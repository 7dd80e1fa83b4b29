/*
 * planning.c
 *		What is done to a query before the planner sees it: inline the SQL
 *		functions that the planner would inline, find the columns that are
 *		really used, put the row rules in, redact columns.
 *
 * The planner replaces simple set-returning SQL functions in FROM by their
 * bodies.  These bodies would then reach tables that no rule was put into, so
 * the same is done here first, with PostgreSQL's own code and under its own
 * conditions, and what it says about the plan's dependencies is handed on.
 * (Scalar SQL functions are inlined only if they touch no table.)
 *
 * Plans that redact.  Which columns a query sees redacted depends on the session,
 * so a plan is good for some sessions only, and PostgreSQL's plan cache does not
 * know.  Where a query uses a column that any session may see redacted, the query
 * as it was is kept with its plan: in the field functions of an entry of the plan's
 * range table, which is copied with the plan, but read by nobody and not sent to
 * parallel workers where the entry is not a function's.  Whoever starts to execute the
 * plan asks planning_refresh() first.  If the plan does not fit the session, the
 * kept query is planned anew, for this execution, and the plan cache is told that
 * all such plans of this backend are outdated: they depend, as far as it knows,
 * on the function _not_stand_in(), which is said to have changed.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planner.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "access.h"
#include "catalog.h"
#include "columns.h"
#include "compat.h"
#include "mark.h"
#include "planning.h"
#include "protection.h"
#include "redact.h"
#include "rows.h"
#include "session.h"

struct Planning
{
	PlannerGlobal *glob;		/* what inlining made the plan depend on */
	Query	   *kept;			/* the query, if its plan depends on the
								 * session */
	int			cursor_options;
};

/* Identifies the memory of a plan that was made anew. */
static const char refreshed[] = "made anew";

/* A query is planned anew, and known to be or not to be freed from judgement. */
static bool replanning = false;
static bool replanning_internal;

/*
 * Inlines functions in one query's FROM, then inside everything below it, the
 * bodies just put in included.
 */
static bool
inline_walker(Node *node, void *context)
{
	PlannerInfo *root = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *lc;

		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
			Query	   *body;

			if (rte->rtekind != RTE_FUNCTION)
				continue;
			rte->functions = (List *) eval_const_expressions(root, (Node *) rte->functions);
			body = inline_set_returning_function(root, rte);
			if (body == NULL)
				continue;
			rte->rtekind = RTE_SUBQUERY;
			rte->subquery = body;
			rte->security_barrier = false;
			rte->functions = NIL;
			rte->funcordinality = false;
		}
		return query_tree_walker(query, inline_walker, context, 0);
	}
	return expression_tree_walker(node, inline_walker, context);
}

/*
 * Is the query that is being planned to be redacted?  Before it is executed this
 * is a guess, as far as PostgreSQL's own queries go.
 */
static bool
redacts(const char *query_string)
{
	bool		internal = replanning ? replanning_internal : access_seems_internal(query_string);

	return !internal && !session_current()->exempt;
}

/*
 * Prepares a query in place.  Returns what planning_finish() must add to the
 * plan, or NULL when nothing in this database is declared.
 */
Planning *
planning_prepare(Query *query, const char *query_string, int cursor_options, ParamListInfo params)
{
	Planning   *planning;
	PlannerInfo *root;

	if (query->commandType == CMD_UTILITY || catalog_oids() == NULL || !protection_any())
		return NULL;

	planning = palloc0(sizeof(Planning));
	planning->cursor_options = cursor_options;
	planning->glob = makeNode(PlannerGlobal);
	planning->glob->boundParams = params;
	root = makeNode(PlannerInfo);
	root->parse = query;
	root->glob = planning->glob;
	root->query_level = 1;
	root->planner_cxt = CurrentMemoryContext;
	inline_walker((Node *) query, root);

	if (rows_query_concerned(query))
	{
		ColumnUse  *use = columns_analyze(query);

		if (rows_query_redactable(query, use))
			planning->kept = copyObject(query);
		rows_apply(query, use, redacts(query_string));
	}
	return planning;
}

/*
 * Keeps the query with its plan, on the first entry that was marked.
 */
static void
keep_query(PlannedStmt *stmt, const Planning *planning)
{
	PlanInvalItem *item = makeNode(PlanInvalItem);
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		Mark		mark;

		if (!mark_get(rte, &mark))
			continue;
		rte->functions = list_make2(planning->kept, makeInteger(planning->cursor_options));
		break;
	}
	item->cacheId = PROCOID;
	item->hashValue = redact_dependency();
	stmt->invalItems = lappend(stmt->invalItems, item);
}

/*
 * Hands on what inlining found out about the plan's dependencies, and what the
 * plan may have to be made anew from.
 */
void
planning_finish(PlannedStmt *stmt, Planning *planning)
{
	stmt->invalItems = list_concat(stmt->invalItems, planning->glob->invalItems);
	stmt->dependsOnRole |= planning->glob->dependsOnRole;
	if (planning->kept != NULL)
		keep_query(stmt, planning);
}

/*
 * Returns the query that is kept with a plan, or NULL.
 */
static Query *
kept_query(const PlannedStmt *stmt, int *cursor_options)
{
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->functions == NIL || !IsA(linitial(rte->functions), Query))
			continue;
		*cursor_options = intVal(lsecond(rte->functions));
		return linitial_node(Query, rte->functions);
	}
	return NULL;
}

/*
 * Does the plan redact what the session sees redacted?  Leaves no memory behind.
 */
static bool
plan_fits(const PlannedStmt *stmt, bool internal)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_purpose fit",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		fits = redact_fits(stmt->rtable, internal || session_current()->exempt);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return fits;
}

/*
 * To be called before the executor starts a query.  Makes the plan anew if it
 * redacts other columns than the session sees redacted; tells whether it did.
 * internal: the query is freed from judgement.
 */
bool
planning_refresh(QueryDesc *desc, int eflags, bool internal)
{
	Query	   *query;
	int			cursor_options;
	MemoryContext context;
	MemoryContext old;
	bool		was_replanning = replanning;
	bool		was_internal = replanning_internal;

	if (catalog_oids() == NULL || !protection_any())
		return false;
	query = kept_query(desc->plannedstmt, &cursor_options);
	if (query == NULL || plan_fits(desc->plannedstmt, internal))
		return false;

	redact_outdate_plans();

	/*
	 * A cursor's owner has chosen by the plan that was whether it may go
	 * back.
	 */
	if (eflags & EXEC_FLAG_BACKWARD)
		cursor_options |= CURSOR_OPT_SCROLL;
	context = AllocSetContextCreate(GetMemoryChunkContext(desc), "pg_purpose plan",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSetIdentifier(context, refreshed);
	old = MemoryContextSwitchTo(context);
	replanning = true;
	replanning_internal = internal;
	PG_TRY();
	{
		desc->plannedstmt = planner(copyObject(query), desc->sourceText, cursor_options,
									desc->params);
	}
	PG_FINALLY();
	{
		replanning = was_replanning;
		replanning_internal = was_internal;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * To be called after the executor ended a query: frees a plan that was made anew.
 */
void
planning_release(QueryDesc *desc)
{
	MemoryContext context;
	int			cursor_options;

	if (kept_query(desc->plannedstmt, &cursor_options) == NULL)
		return;
	context = GetMemoryChunkContext(desc->plannedstmt);
	if (context->ident != refreshed)
		return;
	desc->plannedstmt = NULL;
	MemoryContextDelete(context);
}
