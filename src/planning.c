/*
 * planning.c
 *		What is done to a query before the planner sees it: inline the SQL
 *		functions that the planner would inline, find the columns that are
 *		really used, put the row rules in.
 *
 * The planner replaces simple set-returning SQL functions in FROM by their
 * bodies.  These bodies would then reach tables that no rule was put into, so
 * the same is done here first, with PostgreSQL's own code and under its own
 * conditions, and what it says about the plan's dependencies is handed on.
 * (Scalar SQL functions are inlined only if they touch no table.)
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"

#include "catalog.h"
#include "columns.h"
#include "planning.h"
#include "protection.h"
#include "rows.h"

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
 * Prepares a query in place.  Returns what planning_finish() must add to the
 * plan, or NULL when nothing in this database is declared.
 */
PlannerGlobal *
planning_prepare(Query *query, ParamListInfo params)
{
	PlannerGlobal *glob;
	PlannerInfo *root;

	if (query->commandType == CMD_UTILITY || catalog_oids() == NULL || !protection_any())
		return NULL;

	glob = makeNode(PlannerGlobal);
	glob->boundParams = params;
	root = makeNode(PlannerInfo);
	root->parse = query;
	root->glob = glob;
	root->query_level = 1;
	root->planner_cxt = CurrentMemoryContext;
	inline_walker((Node *) query, root);

	if (rows_query_concerned(query))
		rows_apply(query, columns_analyze(query));
	return glob;
}

/*
 * Hands on what inlining found out about the plan's dependencies.
 */
void
planning_finish(PlannedStmt *stmt, PlannerGlobal *glob)
{
	stmt->invalItems = list_concat(stmt->invalItems, glob->invalItems);
	stmt->dependsOnRole |= glob->dependsOnRole;
}
