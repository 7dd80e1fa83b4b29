/*
 * columns.c
 *		Finds the columns that a query really uses.
 *
 * PostgreSQL's own selectedCols names every column that a view or a subquery
 * mentions, needed or not.  Judged by that, count(*) over a view would need
 * the right to all its columns.  Here needs are passed down instead, from the
 * outputs of the top query, until nothing new turns up (WITH queries may be
 * met after they were passed through).
 *
 * Everything in a query counts, with one exception: an output of a subquery
 * that nobody asks for, if leaving it out is sure not to show.  So the walk is
 * PostgreSQL's own query_tree_walker over a copy of the Query whose target
 * list is reduced; a field that a later version adds is walked as well.
 *
 * When is an unneeded output sure not to show?  In a subquery in FROM the
 * planner takes it away (remove_unused_subquery_outputs), unless it is
 * volatile or returns a set, and unless DISTINCT or a set operation stands in
 * the way, or the statement locks or changes rows (then it keeps whole rows of
 * all subqueries, to look at them again).  Elsewhere (WITH, EXISTS, arms of set operations) it may be
 * evaluated, so it is left out only if evaluating it cannot tell anything: a
 * plain column, or leakproof functions of columns.
 *
 * What row-level security asks of the relation that it is for is not the
 * querying user's use; what its subqueries ask of others is.  On the target of
 * a data-modifying query, though, they cannot be told from the condition of a
 * security-barrier view, and count.
 *
 * A use is exact if a stand-in for the column's value would do harm: anywhere
 * in a statement that changes or deletes rows, except in what is only given
 * out (RETURNING, or the outputs of a SELECT over data-modifying WITH
 * queries), and where the planner must find the column itself (ON CONFLICT).
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_constraint.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

#include "columns.h"
#include "compat.h"

#define WHOLE_ROW	(0 - FirstLowInvalidHeapAttributeNumber)

/* Columns asked of a Query (as outputs) or of a RangeTblEntry. */
typedef struct UseEntry
{
	void	   *node;			/* hash key */
	Bitmapset  *columns;
	Bitmapset  *exact;			/* those of them that are used exactly */
} UseEntry;

typedef struct Level
{
	Query	   *query;
	struct Level *up;
} Level;

struct ColumnUse
{
	HTAB	   *entries;
	Level	   *level;
	bool		changed;
	bool		prunes;			/* the planner takes unneeded outputs away */
	bool		changes;		/* the statement changes or deletes rows */
	bool		exact;			/* what is walked now is used exactly */
	RangeTblEntry *own;			/* relation whose row-security quals are
								 * walked */
};

static void analyze_query(ColumnUse *use, Query *query, bool prunable);
static bool walk(Node *node, ColumnUse *use);
static void walk_policy(ColumnUse *use, RangeTblEntry *rte, Node *qual);
static void need_constraint(ColumnUse *use, Oid constraint);

static Bitmapset *
get(ColumnUse *use, void *node)
{
	UseEntry   *entry = hash_search(use->entries, &node, HASH_FIND, NULL);

	return entry ? entry->columns : NULL;
}

static Bitmapset *
get_exact(ColumnUse *use, void *node)
{
	UseEntry   *entry = hash_search(use->entries, &node, HASH_FIND, NULL);

	return entry ? entry->exact : NULL;
}

static void
add(ColumnUse *use, Bitmapset **columns, int bit)
{
	if (!bms_is_member(bit, *columns))
	{
		*columns = bms_add_member(*columns, bit);
		use->changed = true;
	}
}

static void
need_as(ColumnUse *use, void *node, int bit, bool exact)
{
	bool		found;
	UseEntry   *entry = hash_search(use->entries, &node, HASH_ENTER, &found);

	if (!found)
		entry->columns = entry->exact = NULL;
	add(use, &entry->columns, bit);
	if (exact)
		add(use, &entry->exact, bit);
}

static void
need(ColumnUse *use, void *node, int bit)
{
	need_as(use, node, bit, use->exact);
}

static void
need_all(ColumnUse *use, void *node)
{
	need(use, node, WHOLE_ROW);
}

/*
 * Walks what is used exactly, or not so, whatever is around it.
 */
static void
walk_as(ColumnUse *use, Node *node, bool exact)
{
	bool		save = use->exact;

	use->exact = exact;
	walk(node, use);
	use->exact = save;
}

/*
 * Asks of a query what is asked of the range table entry that holds it.
 */
static void
pass_down(ColumnUse *use, RangeTblEntry *rte, Query *query)
{
	Bitmapset  *columns = get(use, rte);
	Bitmapset  *exact = get_exact(use, rte);
	int			bit = -1;

	while ((bit = bms_next_member(columns, bit)) >= 0)
		need_as(use, query, bit, bms_is_member(bit, exact));
}

static bool
walk(Node *node, ColumnUse *use)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		Level	   *level = use->level;
		RangeTblEntry *rte;
		List	   *stands_for;

		for (Index i = 0; i < var->varlevelsup && level != NULL; i++)
			level = level->up;
		if (level == NULL)
			return false;
		rte = rt_fetch(var->varno, level->query->rtable);
		stands_for = compat_alias_expressions(rte);
		if (stands_for != NIL)
		{
			/* A join's or a grouping's column: what it is made of counts. */
			Level	   *save = use->level;

			use->level = level;
			if (var->varattno == 0)
				walk((Node *) stands_for, use);
			else
				walk(list_nth(stands_for, var->varattno - 1), use);
			use->level = save;
		}
		else if (rte != use->own)
			need(use, rte, var->varattno - FirstLowInvalidHeapAttributeNumber);
		return false;
	}
	if (IsA(node, SubLink))
	{
		SubLink    *sublink = (SubLink *) node;

		walk(sublink->testexpr, use);
		if (sublink->subLinkType != EXISTS_SUBLINK)
			need_all(use, sublink->subselect);
		analyze_query(use, castNode(Query, sublink->subselect), false);
		return false;
	}
	if (IsA(node, Query))
	{
		need_all(use, node);
		analyze_query(use, (Query *) node, false);
		return false;
	}
	if (IsA(node, WithCheckOption) &&
		(((WithCheckOption *) node)->kind != WCO_VIEW_CHECK ||
		 (use->level->query->commandType == CMD_INSERT && use->level->query->onConflict == NULL)))
	{
		/* A view's check of a plain INSERT sees only what the query brings. */
		Query	   *query = use->level->query;

		walk_policy(use, rt_fetch(query->resultRelation, query->rtable),
					((WithCheckOption *) node)->qual);
		return false;
	}
	if (IsA(node, OnConflictExpr))
	{
		OnConflictExpr *conflict = (OnConflictExpr *) node;

		walk_as(use, (Node *) conflict->arbiterElems, true);
		walk_as(use, conflict->arbiterWhere, true);
		if (OidIsValid(conflict->constraint))
			need_constraint(use, conflict->constraint);
	}
	return expression_tree_walker(node, walk, use);
}

/*
 * ON CONFLICT ON CONSTRAINT looks rows up by the constraint's columns.
 */
static void
need_constraint(ColumnUse *use, Oid constraint)
{
	Query	   *query = use->level->query;
	RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);
	char	   *name = get_constraint_name(constraint);
	Oid			found;
	Bitmapset  *columns;
	int			bit = -1;

	if (name == NULL)
		return;
	columns = get_relation_constraint_attnos(rte->relid, name, true, &found);
	while ((bit = bms_next_member(columns, bit)) >= 0)
		need_as(use, rte, bit, true);
}

/*
 * Walks a condition that row-level security put in.  What it asks of the
 * relation itself is not the querying user's use; what it asks of others,
 * through a subquery, is: the policy may be his own.
 */
static void
walk_policy(ColumnUse *use, RangeTblEntry *rte, Node *qual)
{
	RangeTblEntry *save = use->own;

	use->own = rte;
	walk(qual, use);
	use->own = save;
}

/*
 * May an output that nobody asked for be left out?
 */
static bool
output_is_idle(Node *expression, bool prunable)
{
	if (expression_returns_set(expression) || contain_volatile_functions(expression))
		return false;
	return prunable || !contain_leaked_vars(expression);
}

static bool
is_needed(const TargetEntry *entry, const Bitmapset *outputs, bool prunable)
{
	return bms_is_member(WHOLE_ROW, outputs) ||
		entry->resjunk ||
		entry->ressortgroupref != 0 ||
		bms_is_member(entry->resno - FirstLowInvalidHeapAttributeNumber, outputs) ||
		!output_is_idle((Node *) entry->expr, prunable);
}

/*
 * Returns the columns of one arm that are coerced to the set operation's type:
 * the coercion may be a user's function, and runs whoever asks for the column.
 */
static Bitmapset *
coerced_columns(Query *query, Node *arm, const List *types)
{
	Bitmapset  *result = NULL;
	List	   *arm_types = NIL;
	ListCell   *lc;
	ListCell   *lc2;
	int			resno = 1;

	if (IsA(arm, RangeTblRef))
	{
		Query	   *sub = rt_fetch(((RangeTblRef *) arm)->rtindex, query->rtable)->subquery;

		foreach(lc, sub->targetList)
		{
			TargetEntry *entry = lfirst_node(TargetEntry, lc);

			if (!entry->resjunk)
				arm_types = lappend_oid(arm_types, exprType((Node *) entry->expr));
		}
	}
	else
		arm_types = castNode(SetOperationStmt, arm)->colTypes;

	forboth(lc, arm_types, lc2, types)
	{
		if (lfirst_oid(lc) != lfirst_oid(lc2))
			result = bms_add_member(result, resno - FirstLowInvalidHeapAttributeNumber);
		resno++;
	}
	return result;
}

/*
 * Passes what is asked of a set operation down to its arms.  Only UNION ALL
 * lets single columns through; the others compare whole rows.
 */
static void
pass_to_arms(ColumnUse *use, Query *query, Node *node, const Bitmapset *outputs, bool all)
{
	if (IsA(node, RangeTblRef))
	{
		RangeTblEntry *rte = rt_fetch(((RangeTblRef *) node)->rtindex, query->rtable);
		Bitmapset  *exact = get_exact(use, query);
		int			bit = -1;

		if (all)
			need_all(use, rte);
		while ((bit = bms_next_member(outputs, bit)) >= 0)
			need_as(use, rte, bit, bms_is_member(bit, exact));
	}
	else
	{
		SetOperationStmt *op = castNode(SetOperationStmt, node);

		all |= !(op->op == SETOP_UNION && op->all);
		pass_to_arms(use, query, op->larg,
					 bms_union(outputs, coerced_columns(query, op->larg, op->colTypes)), all);
		pass_to_arms(use, query, op->rarg,
					 bms_union(outputs, coerced_columns(query, op->rarg, op->colTypes)), all);
	}
}

static void
pass_to_cte(ColumnUse *use, RangeTblEntry *rte)
{
	Level	   *level = use->level;
	ListCell   *lc;

	for (Index i = 0; i < rte->ctelevelsup && level != NULL; i++)
		level = level->up;
	if (level == NULL)
		return;
	foreach(lc, level->query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);

		if (strcmp(cte->ctename, rte->ctename) == 0)
		{
			pass_down(use, rte, castNode(Query, cte->ctequery));
			return;
		}
	}
}

static void
analyze_entry(ColumnUse *use, Query *query, RangeTblEntry *rte, bool in_setop)
{
	RangeTblEntry copy = *rte;

	if (rte->rtekind == RTE_SUBQUERY)
	{
		Query	   *sub = rte->subquery;

		pass_down(use, rte, sub);
		analyze_query(use, sub,
					  use->prunes && !in_setop &&
					  sub->setOperations == NULL && sub->distinctClause == NIL);
		return;
	}
	if (rte->rtekind == RTE_CTE)
		pass_to_cte(use, rte);

	if (query->resultRelation == 0 ||
		rte != rt_fetch(query->resultRelation, query->rtable))
	{
		copy.securityQuals = NIL;
		walk_policy(use, rte, (Node *) rte->securityQuals);
	}
	range_table_entry_walker(&copy, walk, use,
							 QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_JOINALIASES);
}

/*
 * Walks the target list of a query, less the outputs that nobody asks for.
 * Returns the outputs that are evaluated.
 */
static Bitmapset *
walk_outputs(ColumnUse *use, Query *query, bool prunable)
{
	Bitmapset  *outputs = bms_copy(get(use, query));
	Bitmapset  *exact = get_exact(use, query);
	bool		everything = query->commandType != CMD_SELECT;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		int			bit = entry->resno - FirstLowInvalidHeapAttributeNumber;

		if (!everything && !is_needed(entry, outputs, prunable))
			continue;
		walk_as(use, (Node *) entry,
				use->exact && (everything || entry->resjunk || entry->ressortgroupref != 0 ||
							   bms_is_member(bit, exact) || bms_is_member(WHOLE_ROW, exact)));
		if (entry->resno > 0)
			outputs = bms_add_member(outputs, bit);
	}
	return everything ? bms_add_member(outputs, WHOLE_ROW) : outputs;
}

/*
 * Walks one query, given what is asked of its outputs so far.  prunable: the
 * planner is sure to take unneeded outputs away.
 */
static void
analyze_query(ColumnUse *use, Query *query, bool prunable)
{
	Level		level = {query, use->level};
	Query		reduced = *query;
	Bitmapset  *outputs;
	bool		save = use->exact;
	ListCell   *lc;

	check_stack_depth();
	use->level = &level;
	use->exact = use->changes;

	outputs = walk_outputs(use, query, prunable);
	reduced.targetList = NIL;
	if (level.up == NULL)
	{
		/* What the statement returns only shows. */
		walk_as(use, (Node *) query->returningList, false);
		reduced.returningList = NIL;
	}
	query_tree_walker(&reduced, walk, use,
					  QTW_IGNORE_RANGE_TABLE | QTW_IGNORE_CTE_SUBQUERIES);
	if (query->setOperations != NULL)
		pass_to_arms(use, query, query->setOperations, outputs, bms_is_member(WHOLE_ROW, outputs));

	foreach(lc, query->rtable)
		analyze_entry(use, query, lfirst_node(RangeTblEntry, lc),
					  query->setOperations != NULL);

	foreach(lc, query->cteList)
	{
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);
		Query	   *sub = castNode(Query, cte->ctequery);

		if (cte->cterecursive || sub->commandType != CMD_SELECT)
			need_all(use, sub);
		analyze_query(use, sub, false);
	}
	use->level = level.up;
	use->exact = save;
}

/*
 * Does any query of the tree lock rows or change existing ones?
 */
static bool
locks_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		return query->rowMarks != NIL ||
			(query->commandType != CMD_SELECT && query->commandType != CMD_INSERT) ||
			query_tree_walker(query, locks_walker, context, 0);
	}
	return expression_tree_walker(node, locks_walker, context);
}

/*
 * Does any query of the tree change or delete existing rows?
 */
static bool
changes_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;

		return (query->commandType != CMD_SELECT && query->commandType != CMD_INSERT) ||
			(query->onConflict != NULL && query->onConflict->action == ONCONFLICT_UPDATE) ||
			query_tree_walker(query, changes_walker, context, 0);
	}
	return expression_tree_walker(node, changes_walker, context);
}

/*
 * Analyses a rewritten query, before planning.  All memory is of the current
 * context.
 */
ColumnUse *
columns_analyze(Query *query)
{
	ColumnUse  *use = palloc0(sizeof(ColumnUse));
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(void *);
	ctl.entrysize = sizeof(UseEntry);
	ctl.hcxt = CurrentMemoryContext;
	use->entries = hash_create("pg_purpose column use", 64, &ctl,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	use->prunes = !locks_walker((Node *) query, NULL);
	use->changes = changes_walker((Node *) query, NULL);
	need_all(use, query);
	do
	{
		use->changed = false;
		analyze_query(use, query, false);
	} while (use->changed);
	return use;
}

/*
 * Returns the columns of a relation's entry that the query uses, offset as in
 * selectedCols.
 */
Bitmapset *
columns_used(ColumnUse *use, RangeTblEntry *rte)
{
	return get(use, rte);
}

/*
 * Returns those of them that are used exactly.
 */
Bitmapset *
columns_used_exactly(ColumnUse *use, RangeTblEntry *rte)
{
	return get_exact(use, rte);
}
