/*
 * compat.h
 *		Differences between the PostgreSQL versions that pg_purpose supports
 *		(15, 17, 18).  The only place where PG_VERSION_NUM may stand.
 */
#ifndef PURPOSE_COMPAT_H
#define PURPOSE_COMPAT_H

#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "commands/cluster.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
#include "utils/acl.h"

#if PG_VERSION_NUM < 150000
#error "pg_purpose needs PostgreSQL 15 or later"
#endif

/*
 * What a query asks of one relation.  Since 16 (a61b1f748) this lives in
 * RTEPermissionInfo; before, in the range table entry itself.
 */
typedef struct RelationUse
{
	AclMode		required;
	Bitmapset  *selected;
	Bitmapset  *inserted;
	Bitmapset  *updated;
} RelationUse;

#if PG_VERSION_NUM >= 160000

#include "parser/parse_relation.h"

#define COMPAT_CHECK_PERMS_ARGS		List *rtable, List *perminfos, bool ereport_on_violation
#define COMPAT_CHECK_PERMS_CALL		rtable, perminfos, ereport_on_violation
#define COMPAT_PERMINFOS			perminfos
#define compat_perminfos(stmt)		((stmt)->permInfos)

static inline bool
compat_relation_use(RangeTblEntry *rte, List *perminfos, RelationUse *use)
{
	RTEPermissionInfo *info;

	if (rte->perminfoindex == 0)
		return false;
	info = getRTEPermissionInfo(perminfos, rte);
	use->required = info->requiredPerms;
	use->selected = info->selectedCols;
	use->inserted = info->insertedCols;
	use->updated = info->updatedCols;
	return use->required != 0;
}

static inline bool
compat_function_executable(Oid func, Oid role)
{
	return object_aclcheck(ProcedureRelationId, func, role, ACL_EXECUTE) == ACLCHECK_OK;
}

#define compat_is_owner(rel, role)	object_ownercheck(RelationRelationId, (rel), (role))
#define compat_query_perminfos(query)	((query)->rteperminfos)

#else

#define COMPAT_CHECK_PERMS_ARGS		List *rtable, bool ereport_on_violation
#define COMPAT_CHECK_PERMS_CALL		rtable, ereport_on_violation
#define COMPAT_PERMINFOS			NIL
#define compat_perminfos(stmt)		NIL

static inline bool
compat_relation_use(RangeTblEntry *rte, List *perminfos, RelationUse *use)
{
	use->required = rte->requiredPerms;
	use->selected = rte->selectedCols;
	use->inserted = rte->insertedCols;
	use->updated = rte->updatedCols;
	return use->required != 0;
}

static inline bool
compat_function_executable(Oid func, Oid role)
{
	return pg_proc_aclcheck(func, role, ACL_EXECUTE) == ACLCHECK_OK;
}

#define compat_is_owner(rel, role)	pg_class_ownercheck((rel), (role))
#define compat_query_perminfos(query)	NIL

#endif							/* PG_VERSION_NUM >= 160000 */

/*
 * ExecutorRun_hook lost its execute_once argument in 18 (3eea7a0c9).  There a
 * query without a limit may be run again, but has no rows left.
 */
#if PG_VERSION_NUM >= 180000
#define COMPAT_EXECUTOR_RUN_ARGS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define COMPAT_EXECUTOR_RUN_CALL queryDesc, direction, count
#define COMPAT_RUNS_ONCE (count == 0)
#else
#define COMPAT_EXECUTOR_RUN_ARGS \
	QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once
#define COMPAT_EXECUTOR_RUN_CALL queryDesc, direction, count, execute_once
#define COMPAT_RUNS_ONCE execute_once
#endif

/*
 * Does the entry stand for a relation?  Since 16 (47bb9db75) that of a view
 * whose query was put in its place still does, for its permissions.
 */
static inline bool
compat_is_relation(const RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION ||
		(rte->rtekind == RTE_SUBQUERY && OidIsValid(rte->relid));
}

/*
 * Returns the entry that carries the permissions of a view whose query is this
 * subquery, or NULL if it is no view's: the subquery's own entry since 16, the
 * rule's OLD entry within it before.
 */
static inline RangeTblEntry *
compat_view_entry(RangeTblEntry *rte)
{
#if PG_VERSION_NUM >= 160000
	return OidIsValid(rte->relid) ? rte : NULL;
#else
	RangeTblEntry *first = rte->subquery->rtable == NIL ? NULL :
	linitial_node(RangeTblEntry, rte->subquery->rtable);

	return first != NULL && first->rtekind == RTE_RELATION &&
		first->relkind == RELKIND_VIEW ? first : NULL;
#endif
}

/*
 * The expressions that the columns of a join, and since 18 (247dea89f) of a
 * grouping, stand for.
 */
static inline List *
compat_alias_expressions(RangeTblEntry *rte)
{
	if (rte->rtekind == RTE_JOIN)
		return rte->joinaliasvars;
#if PG_VERSION_NUM >= 180000
	if (rte->rtekind == RTE_GROUP)
		return rte->groupexprs;
#endif
	return NIL;
}

/*
 * Replaces columns of a query's joins by what they stand for.  The planner's
 * function takes the planner's state since 16 (2489d76c4), for what cannot be
 * in a query that was not planned yet.
 */
#if PG_VERSION_NUM >= 160000
#define compat_flatten_join_aliases(query, node) flatten_join_alias_vars(NULL, (query), (node))
#else
#define compat_flatten_join_aliases(query, node) flatten_join_alias_vars((query), (node))
#endif

/*
 * Lets a range table entry that parser functions made for one of our own
 * queries be read by anybody.  Since 16 parts of the planner expect every
 * relation of a query to have permissions, and the executor expects them to
 * ask for something: so they ask whether the bootstrap superuser may read it.
 */
static inline void
compat_free_permissions(Query *query, ParseState *pstate, ParseNamespaceItem *nsitem)
{
#if PG_VERSION_NUM >= 160000
	nsitem->p_perminfo->requiredPerms = ACL_SELECT;
	nsitem->p_perminfo->selectedCols = NULL;
	nsitem->p_perminfo->checkAsUser = BOOTSTRAP_SUPERUSERID;
	query->rteperminfos = pstate->p_rteperminfos;
#else
	nsitem->p_rte->requiredPerms = 0;
	nsitem->p_rte->selectedCols = NULL;
#endif
}

/*
 * Checks, as for an INSERT into these columns, what parser functions entered.
 */
static inline void
compat_check_insert(ParseState *pstate, ParseNamespaceItem *nsitem, Bitmapset *columns)
{
#if PG_VERSION_NUM >= 160000
	nsitem->p_perminfo->requiredPerms = ACL_INSERT;
	nsitem->p_perminfo->selectedCols = NULL;
	nsitem->p_perminfo->insertedCols = columns;
	ExecCheckPermissions(pstate->p_rtable, list_make1(nsitem->p_perminfo), true);
#else
	nsitem->p_rte->requiredPerms = ACL_INSERT;
	nsitem->p_rte->selectedCols = NULL;
	nsitem->p_rte->insertedCols = columns;
	ExecCheckRTPerms(pstate->p_rtable, true);
#endif
}

/*
 * How many transactions with an xid have ended since the server started.
 * The variable cache got its new name in 17 (b31ba5310).
 */
#if PG_VERSION_NUM >= 170000
#define compat_completion_count() \
	(*((volatile uint64 *) &TransamVariables->xactCompletionCount))
#else
#define compat_completion_count() \
	(*((volatile uint64 *) &ShmemVariableCache->xactCompletionCount))
#endif

/*
 * parseTypeString() takes an error context instead of missing_ok since 16
 * (858e776c8).
 */
#if PG_VERSION_NUM >= 160000
#define COMPAT_TYPE_STRING_ERROR	NULL
#else
#define COMPAT_TYPE_STRING_ERROR	false
#endif

/*
 * Speculative insertion: the check of index constraints got the tuple's own id
 * in 18 (9f12a3b95 and later), index insertion a flag for BRIN in 16
 * (19d8e2308).
 */
static inline bool
compat_index_constraints_hold(ResultRelInfo *target, TupleTableSlot *slot, EState *estate,
							  ItemPointer conflict)
{
#if PG_VERSION_NUM >= 180000
	ItemPointerData none;

	ItemPointerSetInvalid(&none);
	return ExecCheckIndexConstraints(target, slot, estate, conflict, &none, NIL);
#else
	return ExecCheckIndexConstraints(target, slot, estate, conflict, NIL);
#endif
}

static inline List *
compat_insert_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *estate,
						   bool *conflicts)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(target, slot, estate, false, true, conflicts, NIL, false);
#else
	return ExecInsertIndexTuples(target, slot, estate, false, true, conflicts, NIL);
#endif
}

/*
 * A set of events to wait for, freed by who made it.  Since 17 (50c67c201) it
 * belongs to a resource owner, or to none, instead of a memory context.
 */
#if PG_VERSION_NUM >= 170000
#define compat_create_wait_event_set(n) CreateWaitEventSet(NULL, (n))
#else
#define compat_create_wait_event_set(n) CreateWaitEventSet(CurrentMemoryContext, (n))
#endif

/*
 * An update tells since 16 (19d8e2308) not only whether indexes need new
 * entries, but also whether only summarising ones (BRIN) do.
 */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes CompatIndexUpdate;
#define COMPAT_INDEXES_STAY		TU_None
#else
typedef bool CompatIndexUpdate;
#define COMPAT_INDEXES_STAY		false
#endif

static inline void
compat_update_index_tuples(ResultRelInfo *target, TupleTableSlot *slot, EState *estate,
						   CompatIndexUpdate update)
{
#if PG_VERSION_NUM >= 160000
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL, update == TU_Summarizing);
#else
	ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL);
#endif
}

/*
 * What VACUUM FULL does to a relation; since 18 (cc811f92b) it must be open.
 */
static inline void
compat_vacuum_full(Oid relid)
{
	ClusterParams params = {0};

#if PG_VERSION_NUM >= 180000
	cluster_rel(table_open(relid, AccessExclusiveLock), InvalidOid, &params);
#else
	cluster_rel(relid, InvalidOid, &params);
#endif
}

/*
 * Functions that do not return; the spelling changed in 18 (28e04155f).
 */
#if PG_VERSION_NUM >= 180000
#define compat_noreturn		pg_noreturn
#else
#define compat_noreturn		__attribute__((noreturn))
#endif

#endif							/* PURPOSE_COMPAT_H */
