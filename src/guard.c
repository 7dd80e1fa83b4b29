/*
 * guard.c
 *		Keeps code of an owner's choice from rows that something is enforced
 *		about.
 *
 * Expressions in ALTER TABLE, CHECKs, generated columns, indexes, statistics,
 * policies and partition keys, and triggers, run on every row without planner
 * or executor check.  They need a privacy officer, unless every function in
 * them is trusted: PostgreSQL's own, if it is not volatile, or C code, which
 * only a superuser can install.
 *
 * The rights of the statement's effective user count (GetUserId), as for all
 * DDL.  Whether a relation is guarded is asked of protection.c each time.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_expr.h"
#include "parser/parse_func.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "errcodes.h"
#include "guard.h"
#include "protection.h"

bool
guard_is_officer(void)
{
	return catalog_is_officer(GetUserId());
}

/*
 * Returns the relation's OID if something is enforced about it.
 */
Oid
guard_find(RangeVar *name)
{
	Oid			relid = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;
	const RelationPolicy *policy = OidIsValid(relid) ? protection_find(relid) : NULL;

	return policy != NULL && policy->mode == MODE_ENFORCE ? relid : InvalidOid;
}

void
guard_refuse(Oid relid, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROTECTION_BYPASS),
			 errmsg("%s on relation \"%s\" needs a privacy officer", what, get_rel_name(relid)),
			 errdetail("The relation holds labelled or protected data, and code of the statement's choice would see it without any check."),
			 errhint("Functions of PostgreSQL itself may be used; for others ask a role that may execute purpose.label_column().")));
}

/*
 * Is this function's code out of the owner's hands?  PostgreSQL's own volatile
 * functions are not trusted either: some carry values away (set_config,
 * pg_notify, lo_put, query_to_xml).
 */
bool
guard_function_trusted(Oid function)
{
	HeapTuple	tuple;
	Oid			language;

	if (function < FirstNormalObjectId)
		return func_volatile(function) != PROVOLATILE_VOLATILE;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);
	return language == ClanguageId || language == INTERNALlanguageId;
}

/*
 * Making a value of this type may run the check of a domain in it.
 */
static bool
type_may_check(Oid type)
{
	Oid			element = get_element_type(type);
	char		kind;

	if (OidIsValid(element))
		return type_may_check(element);
	if (type < FirstNormalObjectId)
		return false;
	kind = get_typtype(type);
	return kind == TYPTYPE_DOMAIN || kind == TYPTYPE_COMPOSITE || kind == TYPTYPE_RANGE ||
		kind == TYPTYPE_MULTIRANGE;
}

static bool
untrusted_function(Oid function, void *context)
{
	return !guard_function_trusted(function);
}

/*
 * Finds functions that are not trusted, and what may hide such ones: queries
 * and casts to domains, whose checks are not in the tree.
 */
static bool
untrusted_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink) || IsA(node, Query))
		return true;
	switch (nodeTag(node))
	{
		case T_CoerceToDomain:
		case T_CoerceViaIO:
		case T_ArrayCoerceExpr:
		case T_ConvertRowtypeExpr:
		case T_RowExpr:
		case T_FuncExpr:
			if (type_may_check(exprType(node)))
				return true;
			break;
		default:
			break;
	}
	if (check_functions_in_node(node, untrusted_function, context))
		return true;
	return expression_tree_walker(node, untrusted_walker, context);
}

/*
 * Parses a text that must be one expression, and nothing after it.  Returns
 * NULL if it is something else; raises what the parser raises if it is no SQL.
 */
Node *
guard_parse(const char *text)
{
	List	   *parsed = raw_parser(psprintf("SELECT %s", text), RAW_PARSE_DEFAULT);
	SelectStmt *select = list_length(parsed) == 1 ?
	(SelectStmt *) linitial_node(RawStmt, parsed)->stmt : NULL;
	SelectStmt *expected = makeNode(SelectStmt);
	ResTarget  *target;

	if (select == NULL || !IsA(select, SelectStmt) || list_length(select->targetList) != 1)
		return NULL;
	target = linitial_node(ResTarget, select->targetList);
	expected->targetList = select->targetList;
	expected->limitOption = select->limitOption;
	if (!equal(select, expected) || target->name != NULL || target->indirection != NIL)
		return NULL;
	return target->val;
}

/*
 * Analyses a raw expression over a relation's columns, which are varno 1.
 */
static Node *
analyse_expression(Oid relid, Node *raw, ParseExprKind kind)
{
	ParseState *pstate = make_parsestate(NULL);
	Relation	rel = table_open(relid, AccessShareLock);
	Node	   *expression;

	addNSItemToQuery(pstate,
					 addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
												   NULL, false, true),
					 false, true, true);
	expression = transformExpr(pstate, copyObject(raw), kind);
	table_close(rel, NoLock);
	free_parsestate(pstate);
	return expression;
}

/*
 * Analyses a raw expression over a relation's columns, which are varno 1, and
 * tells whether all that it calls is trusted.
 */
Node *
guard_analyse(Oid relid, Node *raw, ParseExprKind kind, bool *trusted)
{
	Node	   *expression = analyse_expression(relid, raw, kind);

	*trusted = !untrusted_walker(expression, NULL);
	return expression;
}

/*
 * Refuses a raw expression over a guarded relation's columns if it calls
 * anything that is not trusted.  What cannot be analysed is left to
 * PostgreSQL, which will say so itself.
 */
void
guard_expression(Oid relid, Node *raw, ParseExprKind kind, const char *what)
{
	if (raw == NULL || guard_is_officer())
		return;
	if (untrusted_walker(analyse_expression(relid, raw, kind), NULL))
		guard_refuse(relid, what);
}

/*
 * Refuses a column type whose conversion could run somebody's code.
 */
void
guard_type(Oid relid, TypeName *name, const char *what)
{
	Type		type = name ? LookupTypeName(NULL, name, NULL, true) : NULL;
	Oid			oid;

	if (type == NULL)
		return;
	oid = typeTypeId(type);
	ReleaseSysCache(type);
	if (oid >= FirstNormalObjectId && !guard_is_officer())
		guard_refuse(relid, what);
}

void
guard_index(IndexStmt *stmt, Oid relid)
{
	ListCell   *lc;

	/* LIKE INCLUDING INDEXES makes statements that are analysed already. */
	if (stmt->transformed)
	{
		bool		untrusted = untrusted_walker(stmt->whereClause, NULL);

		foreach(lc, stmt->indexParams)
			untrusted |= untrusted_walker(lfirst_node(IndexElem, lc)->expr, NULL);
		if (untrusted && !guard_is_officer())
			guard_refuse(relid, "an index on an expression");
		return;
	}
	guard_expression(relid, stmt->whereClause, EXPR_KIND_INDEX_PREDICATE, "a partial index");
	foreach(lc, stmt->indexParams)
		guard_expression(relid, lfirst_node(IndexElem, lc)->expr,
						 EXPR_KIND_INDEX_EXPRESSION, "an index on an expression");
}

void
guard_constraint(Constraint *con, Oid relid)
{
	ListCell   *lc;

	switch (con->contype)
	{
		case CONSTR_CHECK:
			guard_expression(relid, con->raw_expr, EXPR_KIND_CHECK_CONSTRAINT,
							 "a check constraint");
			break;
		case CONSTR_GENERATED:
			guard_expression(relid, con->raw_expr, EXPR_KIND_GENERATED_COLUMN,
							 "a generated column");
			break;
		case CONSTR_EXCLUSION:
			guard_expression(relid, con->where_clause, EXPR_KIND_INDEX_PREDICATE,
							 "an exclusion constraint");
			foreach(lc, con->exclusions)
				guard_expression(relid, linitial_node(IndexElem, lfirst_node(List, lc))->expr,
								 EXPR_KIND_INDEX_EXPRESSION, "an exclusion constraint");
			break;
		default:
			break;
	}
}

/*
 * The same for a constraint of a column that is only being added, whose
 * expressions cannot be analysed yet where they name it.
 */
void
guard_new_column(Constraint *con, Oid relid)
{
	if (con->contype == CONSTR_GENERATED)
		guard_constraint(con, relid);
	else if (con->contype == CONSTR_CHECK && !guard_is_officer())
		guard_refuse(relid, "a check constraint with a new column");
}

/*
 * Of PostgreSQL's own trigger functions one only looks: the others copy values
 * into another column (tsvector_update_trigger).
 */
bool
guard_trigger_trusted(Oid function)
{
	return function < FirstNormalObjectId ?
		function == F_SUPPRESS_REDUNDANT_UPDATES_TRIGGER : guard_function_trusted(function);
}

/*
 * Has the relation a check of that name?  A child's of the same name is the
 * same: PostgreSQL merges them only then.
 */
static bool
has_check(Oid relid, const char *name)
{
	Relation	rel = OidIsValid(relid) ? relation_open(relid, AccessShareLock) : NULL;
	bool		result = false;

	if (rel == NULL)
		return false;
	for (int i = 0; rel->rd_att->constr != NULL && i < rel->rd_att->constr->num_check; i++)
		result |= strcmp(rel->rd_att->constr->check[i].ccname, name) == 0;
	relation_close(rel, AccessShareLock);
	return result;
}

/*
 * Refuses to put a table under a guarded one, or a guarded one under another,
 * if the owner's code is attached to it already: it would see rows that come
 * by the parent, or decide where they go.  What is the parent's own, cloned,
 * is no new code.
 */
static void
guard_existing_code(Oid relid, Oid parent, Oid guarded)
{
	Relation	rel;
	bool		untrusted = false;
	ListCell   *lc;

	if (!OidIsValid(relid) || guard_is_officer())
		return;
	rel = relation_open(relid, AccessShareLock);
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		untrusted |= !trigger->tgisinternal && !trigger->tgisclone &&
			!guard_trigger_trusted(trigger->tgfoid);
	}
	for (int i = 0; rel->rd_att->constr != NULL && i < rel->rd_att->constr->num_check; i++)
	{
		ConstrCheck *check = &rel->rd_att->constr->check[i];

		untrusted |= !has_check(parent, check->ccname) &&
			untrusted_walker(stringToNode(check->ccbin), NULL);
	}
	for (int i = 0; i < rel->rd_att->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rel->rd_att, i);

		if (att->attgenerated != '\0' && att->attinhcount == 0)
			untrusted |= untrusted_walker(build_column_default(rel, i + 1), NULL);
	}
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		untrusted |= !index->rd_rel->relispartition &&
			(untrusted_walker((Node *) RelationGetIndexExpressions(index), NULL) ||
			 untrusted_walker((Node *) RelationGetIndexPredicate(index), NULL));
		index_close(index, AccessShareLock);
	}
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		untrusted |= untrusted_walker((Node *) RelationGetPartitionKey(rel)->partexprs, NULL);
	relation_close(rel, AccessShareLock);
	if (untrusted)
		guard_refuse(guarded, "inheritance with triggers or expressions of the owner's");
}

static bool
is_guarded(Oid relid)
{
	const RelationPolicy *policy = OidIsValid(relid) ? protection_find(relid) : NULL;

	return policy != NULL && policy->mode == MODE_ENFORCE;
}

/*
 * Guards CREATE ... PARTITION OF or INHERITS, ATTACH PARTITION and INHERIT.  A
 * table that is only created brings no rows under its parent.
 */
void
guard_inheritance(Oid parent, Oid child, bool created)
{
	ListCell   *lc;

	if (!OidIsValid(parent) || !OidIsValid(child))
		return;
	if (is_guarded(parent))
	{
		foreach(lc, find_all_inheritors(child, AccessShareLock, NULL))
			guard_existing_code(lfirst_oid(lc), parent, parent);
	}
	if (!created && is_guarded(child))
	{
		guard_existing_code(parent, InvalidOid, child);
		foreach(lc, protection_ancestors(parent))
			guard_existing_code(lfirst_oid(lc), InvalidOid, child);
	}
}

bool
guard_is_labelled(Oid relid, const char *column)
{
	const RelationPolicy *policy = protection_find(relid);

	return policy != NULL &&
		bms_is_member(get_attnum(relid, column) - FirstLowInvalidHeapAttributeNumber,
					  policy->labelled);
}

/*
 * Refuses ALTER COLUMN ... USING that copies another, labelled column.
 */
void
guard_using(Oid relid, const char *column, Node *raw)
{
	const RelationPolicy *policy;
	Bitmapset  *used = NULL;

	if (raw == NULL || guard_is_officer())
		return;
	guard_expression(relid, raw, EXPR_KIND_ALTER_COL_TRANSFORM, "changing a column's type");
	pull_varattnos(analyse_expression(relid, raw, EXPR_KIND_ALTER_COL_TRANSFORM), 1, &used);

	policy = protection_find(relid);
	used = bms_del_member(used, get_attnum(relid, column) - FirstLowInvalidHeapAttributeNumber);
	if (policy != NULL && policy->labelled != NULL &&
		(bms_overlap(used, policy->labelled) ||
		 bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used)))
		guard_refuse(relid, "filling a column from a labelled one");
}

/*
 * Stands a NULL of the domain's base type in for VALUE.
 */
static Node *
replace_value(ParseState *pstate, ColumnRef *ref)
{
	if (list_length(ref->fields) == 1 && strcmp(strVal(linitial(ref->fields)), "value") == 0)
		return (Node *) makeNullConst(*(Oid *) pstate->p_ref_hook_state, -1, InvalidOid);
	return NULL;
}

bool
guard_domain_check_trusted(Oid domain, Constraint *con)
{
	ParseState *pstate = make_parsestate(NULL);
	Oid			base = getBaseType(domain);

	pstate->p_pre_columnref_hook = replace_value;
	pstate->p_ref_hook_state = &base;
	return con->raw_expr == NULL ||
		!untrusted_walker(transformExpr(pstate, copyObject(con->raw_expr),
										EXPR_KIND_DOMAIN_CHECK), NULL);
}
