/*
 * stats.c
 *		Keeps statistics of labelled columns from estimators.
 *
 * Planning comes before the check of what the statement may read.  An operator
 * that a user made with a borrowed estimator (RESTRICT = eqsel) is called by
 * it with the most common values of a column, and may print them.  So the
 * planner gets the statistics of a labelled column only if the declared
 * purpose satisfies the label.  (Where a row rule is in force, PostgreSQL
 * itself hands statistics to leakproof operators only.)
 */
#include "postgres.h"

#include "catalog/index.h"
#include "optimizer/plancat.h"
#include "utils/selfuncs.h"

#include "catalog.h"
#include "decision.h"
#include "protection.h"
#include "stats.h"

static get_relation_stats_hook_type prev_relation_stats = NULL;
static get_relation_info_hook_type prev_relation_info = NULL;
static get_index_stats_hook_type prev_index_stats = NULL;

/*
 * May the session see values of this column, or of any column when attno is 0?
 */
static bool
may_see(Oid relid, AttrNumber attno)
{
	const Session *session;
	const RelationPolicy *policy;
	ListCell   *lc;

	if (catalog_oids() == NULL || !protection_any())
		return true;
	session = session_current();
	policy = session->exempt ? NULL : protection_find(relid);
	if (policy == NULL || policy->mode == MODE_OBSERVE)
		return true;
	foreach(lc, policy->columns)
	{
		const LabelledColumn *column = lfirst(lc);
		DecisionRequest request = {.session = session, .labels = column->labels,
		.label_broken = column->broken};

		if ((attno == 0 || attno == column->attno) &&
			decision_make(&request).verdict != DECISION_ALLOW)
			return false;
	}
	return true;
}

static bool
relation_stats(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
			   VariableStatData *vardata)
{
	if (rte->rtekind == RTE_RELATION && !may_see(rte->relid, attnum))
	{
		vardata->statsTuple = NULL;
		return true;
	}
	return prev_relation_stats && prev_relation_stats(root, rte, attnum, vardata);
}

static bool
index_stats(PlannerInfo *root, Oid index, AttrNumber attnum, VariableStatData *vardata)
{
	if (!may_see(IndexGetRelation(index, false), 0))
	{
		vardata->statsTuple = NULL;
		return true;
	}
	return prev_index_stats && prev_index_stats(root, index, attnum, vardata);
}

/*
 * Extended statistics are not asked for one by one.
 */
static void
relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	if (prev_relation_info)
		prev_relation_info(root, relid, inhparent, rel);
	if (rel->statlist != NIL && !may_see(relid, 0))
		rel->statlist = NIL;
}

/*
 * Installs the hooks.  Called from _PG_init while preloading.
 */
void
stats_init(void)
{
	prev_relation_stats = get_relation_stats_hook;
	get_relation_stats_hook = relation_stats;
	prev_relation_info = get_relation_info_hook;
	get_relation_info_hook = relation_info;
	prev_index_stats = get_index_stats_hook;
	get_index_stats_hook = index_stats;
}
