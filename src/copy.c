/*
 * copy.c
 *		COPY of labelled and protected tables, in both directions.
 *
 * COPY table TO reads the heap without planner or executor, except where
 * row-level security binds the role, which it does not bind owners.  So for
 * relations that something is declared about, it is turned into
 * COPY (SELECT ... FROM ONLY table) TO, which is planned and judged as any
 * query.
 *
 * COPY table FROM is refused by PostgreSQL where row-level security binds the
 * role.  Where the only policy is our floor, which restricts no new row, that
 * would be for nothing: then the steps of DoCopy() are run here.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "commands/copy.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "rewrite/rowsecurity.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "catalog.h"
#include "compat.h"
#include "copy.h"
#include "floor.h"
#include "protection.h"
#include "session.h"

static ResTarget *
make_target(Node *field)
{
	ColumnRef  *ref = makeNode(ColumnRef);
	ResTarget  *target = makeNode(ResTarget);

	ref->fields = list_make1(field);
	ref->location = -1;
	target->val = (Node *) ref;
	target->location = -1;
	return target;
}

/*
 * Turns COPY table TO into COPY (query) TO if something is declared about the
 * table and the session is bound by it.  Returns the statement to run, which
 * is pstmt itself otherwise.
 */
PlannedStmt *
copy_to_as_query(PlannedStmt *pstmt)
{
	CopyStmt   *stmt = castNode(CopyStmt, pstmt->utilityStmt);
	Relation	rel;
	SelectStmt *select;
	RangeVar   *from;
	List	   *targets = NIL;

	if (stmt->is_from || stmt->relation == NULL ||
		catalog_oids() == NULL || !protection_any() || session_current()->exempt)
		return pstmt;

	rel = table_openrv_extended(stmt->relation, AccessShareLock, true);
	if (rel == NULL)
		return pstmt;
	if (protection_find(RelationGetRelid(rel)) == NULL)
	{
		table_close(rel, NoLock);
		return pstmt;
	}
	/* Our floor would make this an empty COPY (SELECT ... FROM ONLY ...). */
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot copy from partitioned table \"%s\"", RelationGetRelationName(rel)),
				 errhint("Try the COPY (SELECT ...) TO variant.")));
	if (rel->rd_rel->relkind != RELKIND_RELATION)
	{
		table_close(rel, NoLock);
		return pstmt;
	}

	/* Raises what PostgreSQL has against the list of columns. */
	(void) CopyGetAttnums(RelationGetDescr(rel), rel, stmt->attlist);

	if (stmt->attlist != NIL)
	{
		ListCell   *lc;

		foreach(lc, stmt->attlist)
			targets = lappend(targets, make_target(lfirst(lc)));
	}
	else
	{
		/* As COPY table does: all columns but the generated ones. */
		for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

			if (!att->attisdropped && att->attgenerated == '\0')
				targets = lappend(targets,
								  make_target((Node *) makeString(pstrdup(NameStr(att->attname)))));
		}
	}
	from = makeRangeVar(get_namespace_name(RelationGetNamespace(rel)),
						pstrdup(RelationGetRelationName(rel)), -1);
	from->inh = false;
	select = makeNode(SelectStmt);
	select->targetList = targets;
	select->fromClause = list_make1(from);

	/* The lock stays, so that the name means the same when it is resolved. */
	table_close(rel, NoLock);

	pstmt = copyObject(pstmt);
	stmt = castNode(CopyStmt, pstmt->utilityStmt);
	stmt->relation = NULL;
	stmt->attlist = NIL;
	stmt->query = (Node *) select;
	return pstmt;
}

/*
 * Is our permissive floor the only policy that would bind the role?
 */
static bool
only_floor_binds(Relation rel)
{
	RowSecurityPolicy *policy;

	if (rel->rd_rsdesc == NULL || list_length(rel->rd_rsdesc->policies) != 1)
		return false;
	policy = linitial(rel->rd_rsdesc->policies);
	return policy->permissive && strcmp(policy->policy_name, FLOOR_POLICY) == 0;
}

static void
require_file_rights(const CopyStmt *stmt)
{
	if (stmt->filename == NULL)
		return;
	if (stmt->is_program)
	{
		if (!has_privs_of_role(GetUserId(), ROLE_PG_EXECUTE_SERVER_PROGRAM))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to COPY from an external program"),
					 errhint("Anyone can COPY from stdin.")));
	}
	else if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to COPY from a file"),
				 errhint("Anyone can COPY from stdin.")));
}

/*
 * Turns the condition of COPY FROM ... WHERE into what BeginCopyFrom() takes.
 */
static Node *
transform_where(ParseState *pstate, ParseNamespaceItem *nsitem, Relation rel, Node *raw)
{
	Node	   *where;
	Bitmapset  *attrs = NULL;
	int			bit = -1;

	addNSItemToQuery(pstate, nsitem, false, true, true);
	where = transformExpr(pstate, copyObject(raw), EXPR_KIND_COPY_WHERE);
	where = coerce_to_boolean(pstate, where, "WHERE");
	assign_expr_collations(pstate, where);

	pull_varattnos(where, 1, &attrs);
	while ((bit = bms_next_member(attrs, bit)) >= 0)
	{
		AttrNumber	attno = bit + FirstLowInvalidHeapAttributeNumber;

		if (attno > 0 && TupleDescAttr(RelationGetDescr(rel), attno - 1)->attgenerated)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
					 errmsg("generated columns are not supported in COPY FROM WHERE conditions")));
	}
	where = eval_const_expressions(NULL, where);
	where = (Node *) canonicalize_qual((Expr *) where, false);
	return (Node *) make_ands_implicit((Expr *) where);
}

/*
 * Runs COPY table FROM where PostgreSQL would refuse it because of our floor
 * alone.  Returns false if it is not that case and PostgreSQL should go on.
 */
bool
copy_from_guarded(PlannedStmt *pstmt, const char *query_string, uint64 *processed)
{
	CopyStmt   *stmt = castNode(CopyStmt, pstmt->utilityStmt);
	Relation	rel;
	ParseState *pstate;
	ParseNamespaceItem *nsitem;
	Bitmapset  *columns = NULL;
	Node	   *where = NULL;
	CopyFromState state;
	ListCell   *lc;

	if (!stmt->is_from || stmt->relation == NULL ||
		catalog_oids() == NULL || !protection_any())
		return false;
	rel = table_openrv_extended(stmt->relation, RowExclusiveLock, true);
	if (rel == NULL)
		return false;
	if (!only_floor_binds(rel) ||
		check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED)
	{
		table_close(rel, NoLock);
		return false;
	}

	require_file_rights(stmt);
	pstate = make_parsestate(NULL);
	pstate->p_sourcetext = query_string;
	nsitem = addRangeTableEntryForRelation(pstate, rel, RowExclusiveLock, NULL, false, false);
	if (stmt->whereClause != NULL)
		where = transform_where(pstate, nsitem, rel, stmt->whereClause);
	foreach(lc, CopyGetAttnums(RelationGetDescr(rel), rel, stmt->attlist))
		columns = bms_add_member(columns, lfirst_int(lc) - FirstLowInvalidHeapAttributeNumber);
	compat_check_insert(pstate, nsitem, columns);

	if (XactReadOnly && !rel->rd_islocaltemp)
		PreventCommandIfReadOnly("COPY FROM");
	state = BeginCopyFrom(pstate, rel, where, stmt->filename, stmt->is_program, NULL,
						  stmt->attlist, stmt->options);
	*processed = CopyFrom(state);
	EndCopyFrom(state);
	free_parsestate(pstate);
	table_close(rel, NoLock);
	return true;
}
