/*
 * ddl.c
 *		Guards utility statements: what reaches data, or takes protection away,
 *		past the planner and the executor's check.
 *
 * Two kinds of rule:
 *  - What evaluates expressions over a labelled or protected table's rows, or
 *    is handed them (ALTER ... USING, CHECK, generated columns, indexes and
 *    statistics on expressions, triggers, policies), runs code of the owner's
 *    choice on every row without any check.  It needs a privacy officer,
 *    unless all functions in it are PostgreSQL's own or C code, which only a
 *    superuser can install.
 *  - What would undo protection: dropping or disabling the floor, dropping a
 *    column that protection rests on, TRUNCATE past hidden rows, detaching a
 *    partition, dropping the extension.
 *
 * The rights of the statement's effective user count here (GetUserId), as for
 * all DDL.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/policy.h"
#include "commands/prepare.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_expr.h"
#include "parser/parse_func.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "ddl.h"
#include "errcodes.h"
#include "exempt.h"
#include "floor.h"
#include "follow.h"
#include "protection.h"
#include "rows.h"
#include "session.h"

static bool
is_officer(void)
{
	return catalog_is_officer(GetUserId());
}

/*
 * Returns the relation's OID if something is enforced about it.
 */
static Oid
guarded_relation(RangeVar *name)
{
	Oid			relid = name ? RangeVarGetRelid(name, NoLock, true) : InvalidOid;
	const RelationPolicy *policy = OidIsValid(relid) ? protection_find(relid) : NULL;

	return policy != NULL && policy->mode == MODE_ENFORCE ? relid : InvalidOid;
}

static void
refuse_without_officer(Oid relid, const char *what)
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
static bool
function_is_trusted(Oid function)
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
	return !function_is_trusted(function);
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
 * Refuses a raw expression over a guarded relation's columns if it calls
 * anything that is not trusted.  What cannot be analysed is left to
 * PostgreSQL, which will say so itself.
 */
static void
guard_expression(Oid relid, Node *raw, ParseExprKind kind, const char *what)
{
	if (raw == NULL || is_officer())
		return;
	if (untrusted_walker(analyse_expression(relid, raw, kind), NULL))
		refuse_without_officer(relid, what);
}

/*
 * Refuses a column type whose conversion could run somebody's code.
 */
static void
guard_type(Oid relid, TypeName *name, const char *what)
{
	Type		type = name ? LookupTypeName(NULL, name, NULL, true) : NULL;
	Oid			oid;

	if (type == NULL)
		return;
	oid = typeTypeId(type);
	ReleaseSysCache(type);
	if (oid >= FirstNormalObjectId && !is_officer())
		refuse_without_officer(relid, what);
}

static void
guard_index(IndexStmt *stmt, Oid relid)
{
	ListCell   *lc;

	/* LIKE INCLUDING INDEXES makes statements that are analysed already. */
	if (stmt->transformed)
	{
		bool		untrusted = untrusted_walker(stmt->whereClause, NULL);

		foreach(lc, stmt->indexParams)
			untrusted |= untrusted_walker(lfirst_node(IndexElem, lc)->expr, NULL);
		if (untrusted && !is_officer())
			refuse_without_officer(relid, "an index on an expression");
		return;
	}
	guard_expression(relid, stmt->whereClause, EXPR_KIND_INDEX_PREDICATE, "a partial index");
	foreach(lc, stmt->indexParams)
		guard_expression(relid, lfirst_node(IndexElem, lc)->expr,
						 EXPR_KIND_INDEX_EXPRESSION, "an index on an expression");
}

static void
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
static void
guard_new_column(Constraint *con, Oid relid)
{
	if (con->contype == CONSTR_GENERATED)
		guard_constraint(con, relid);
	else if (con->contype == CONSTR_CHECK && !is_officer())
		refuse_without_officer(relid, "a check constraint with a new column");
}

static bool trigger_is_trusted(Oid function);

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

	if (!OidIsValid(relid) || is_officer())
		return;
	rel = relation_open(relid, AccessShareLock);
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		untrusted |= !trigger->tgisinternal && !trigger->tgisclone &&
			!trigger_is_trusted(trigger->tgfoid);
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
		refuse_without_officer(guarded, "inheritance with triggers or expressions of the owner's");
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
static void
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

static void
guard_column_use(Oid relid, const char *column)
{
	char	   *user = follow_user_of_column(relid, column);

	if (user != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PURPOSE_IN_USE),
				 errmsg("cannot drop column \"%s\" of relation \"%s\": the protection of \"%s\" rests on it",
						column, get_rel_name(relid), user),
				 errhint("Take the protection away first with purpose.unprotect().")));
}

/*
 * Copies to a relation that leaves its parent what it had by inheritance.
 */
static void
keep_inherited(RangeVar *child)
{
	Oid			relid = RangeVarGetRelid(child, NoLock, true);
	Oid			argtypes[1] = {REGCLASSOID};

	if (OidIsValid(relid) && protection_find(relid) != NULL)
		OidFunctionCall1(LookupFuncName(list_make2(makeString(PURPOSE_SCHEMA),
												   makeString("_keep_inherited")),
										1, argtypes, false),
						 ObjectIdGetDatum(relid));
}

static void
remember_relation(DdlState *state, Oid relid)
{
	if (OidIsValid(relid))
		state->relations = list_append_unique_oid(state->relations, relid);
}

/*
 * Which subject keys print alike?  As purpose._key_class() says.
 */
static int
key_class(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return 1;
		case UUIDOID:
			return 2;
		case TEXTOID:
		case VARCHAROID:
			return 3;
		default:
			return 0;
	}
}

/*
 * Refuses to change a subject key so that it prints otherwise: consents are
 * recorded under what it prints.
 */
static void
guard_key_type(Oid relid, const char *column, TypeName *name)
{
	char	   *user = follow_user_of_column(relid, column);
	Oid			type = LookupTypeNameOid(NULL, name, true);
	Oid			before = get_atttype(relid, get_attnum(relid, column));

	if (user != NULL && OidIsValid(type) && OidIsValid(before) &&
		key_class(type) != key_class(before))
		ereport(ERROR,
				(errcode(ERRCODE_PURPOSE_IN_USE),
				 errmsg("cannot change column \"%s\" of relation \"%s\" to type %s: the protection of \"%s\" rests on it",
						column, get_rel_name(relid), format_type_be(type), user),
				 errhint("Take the protection away first with purpose.unprotect().")));
}

static bool
is_labelled(Oid relid, const char *column)
{
	const RelationPolicy *policy = protection_find(relid);

	return policy != NULL &&
		bms_is_member(get_attnum(relid, column) - FirstLowInvalidHeapAttributeNumber,
					  policy->labelled);
}

/*
 * Refuses ALTER COLUMN ... USING that copies another, labelled column.
 */
static void
guard_using(Oid relid, const char *column, Node *raw)
{
	const RelationPolicy *policy;
	Bitmapset  *used = NULL;

	if (raw == NULL || is_officer())
		return;
	guard_expression(relid, raw, EXPR_KIND_ALTER_COL_TRANSFORM, "changing a column's type");
	pull_varattnos(analyse_expression(relid, raw, EXPR_KIND_ALTER_COL_TRANSFORM), 1, &used);

	policy = protection_find(relid);
	used = bms_del_member(used, get_attnum(relid, column) - FirstLowInvalidHeapAttributeNumber);
	if (policy != NULL && policy->labelled != NULL &&
		(bms_overlap(used, policy->labelled) ||
		 bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used)))
		refuse_without_officer(relid, "filling a column from a labelled one");
}

static void
before_alter_command(AlterTableCmd *cmd, Oid relid, DdlState *state)
{
	const RelationPolicy *policy = protection_find(relid);
	bool		guarded = policy != NULL && policy->mode == MODE_ENFORCE;
	Oid			child;
	ListCell   *lc;

	switch (cmd->subtype)
	{
		case AT_AlterColumnType:
			if (policy != NULL)
				guard_key_type(relid, cmd->name, castNode(ColumnDef, cmd->def)->typeName);
			if (guarded)
			{
				ColumnDef  *def = castNode(ColumnDef, cmd->def);

				guard_type(relid, def->typeName, "changing a column's type to this one");
				if (!is_officer() && is_labelled(relid, cmd->name) &&
					get_atttype(relid, get_attnum(relid, cmd->name)) >= FirstNormalObjectId)
					refuse_without_officer(relid, "changing the type that a column has its label from");
				guard_using(relid, cmd->name, def->raw_default);
			}
			break;
		case AT_AddColumn:
			if (guarded)
			{
				foreach(lc, castNode(ColumnDef, cmd->def)->constraints)
					guard_new_column(lfirst_node(Constraint, lc), relid);
			}
			remember_relation(state, relid);
			break;
		case AT_AddConstraint:
			if (guarded && IsA(cmd->def, Constraint))
				guard_constraint((Constraint *) cmd->def, relid);
			break;
		case AT_DropExpression:
			if (guarded && !is_officer() && is_labelled(relid, cmd->name))
				refuse_without_officer(relid, "dropping the expression that a column has its label from");
			break;
		case AT_DropColumn:
			if (policy != NULL)
				guard_column_use(relid, cmd->name);
			break;
		case AT_DisableRowSecurity:
			if (guarded && !superuser())
				ereport(ERROR,
						(errcode(ERRCODE_PROTECTION_BYPASS),
						 errmsg("row-level security of relation \"%s\" cannot be disabled: it is part of its protection",
								get_rel_name(relid)),
						 errhint("purpose.unprotect() and purpose.label_column() put it back as it was.")));
			break;
		case AT_DetachPartition:
			keep_inherited(castNode(PartitionCmd, cmd->def)->name);
			break;
		case AT_AttachPartition:
			child = RangeVarGetRelid(castNode(PartitionCmd, cmd->def)->name, NoLock, true);
			guard_inheritance(relid, child, false);
			remember_relation(state, child);
			break;
		case AT_AddInherit:
			guard_inheritance(RangeVarGetRelid(castNode(RangeVar, cmd->def), NoLock, true), relid,
							  false);
			remember_relation(state, relid);
			break;
		case AT_DropInherit:
			if (policy != NULL)
				keep_inherited(makeRangeVar(get_namespace_name(get_rel_namespace(relid)),
											get_rel_name(relid), -1));
			break;
		default:
			break;
	}
}

static void
before_alter_table(AlterTableStmt *stmt, DdlState *state)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	ListCell   *lc;

	if (!OidIsValid(relid))
		return;
	/* A composite type: tables with columns of it have its domains' labels. */
	if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
		catalog_invalidate_declarations();
	foreach(lc, stmt->cmds)
		before_alter_command(lfirst_node(AlterTableCmd, lc), relid, state);
}

/*
 * Returns all tables that the statement would empty: those below the named
 * ones, and with CASCADE those that refer to them.
 */
static List *
truncated_relations(TruncateStmt *stmt)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, stmt->relations)
	{
		RangeVar   *name = lfirst_node(RangeVar, lc);
		Oid			relid = RangeVarGetRelid(name, NoLock, true);

		if (OidIsValid(relid))
			result = list_union_oid(result, name->inh ? find_all_inheritors(relid, NoLock, NULL) :
									list_make1_oid(relid));
	}
	while (stmt->behavior == DROP_CASCADE && result != NIL)
	{
		List	   *more = list_difference_oid(heap_truncate_find_FKs(result), result);

		if (more == NIL)
			break;
		result = list_concat(result, more);
	}
	return result;
}

static void
before_truncate(TruncateStmt *stmt)
{
	ListCell   *lc;

	if (is_officer() || session_current()->exempt)
		return;
	foreach(lc, truncated_relations(stmt))
	{
		const RelationPolicy *policy = protection_find(lfirst_oid(lc));

		if (policy != NULL && policy->mode == MODE_ENFORCE &&
			(policy->protection != NULL || policy->problem != NULL))
			ereport(ERROR,
					(errcode(ERRCODE_PROTECTION_BYPASS),
					 errmsg("TRUNCATE of protected relation \"%s\" needs a privacy officer",
							get_rel_name(lfirst_oid(lc))),
					 errhint("DELETE removes the rows that the declared purpose can see.")));
	}
}

/*
 * Refuses to drop, alter or rename the floor.
 */
static void
guard_floor_policy(bool is_policy, RangeVar *table, const char *policy)
{
	Oid			relid;

	if (!is_policy || !floor_is_policy(policy) || superuser())
		return;
	relid = guarded_relation(table);
	if (OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_PROTECTION_BYPASS),
				 errmsg("policy \"%s\" of relation \"%s\" is part of its protection",
						policy, get_rel_name(relid)),
				 errhint("purpose.unprotect() takes the protection away.")));
}

static void
before_drop(DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Node	   *object = lfirst(lc);

		if (stmt->removeType == OBJECT_POLICY)
		{
			List	   *names = castNode(List, object);
			char	   *policy = strVal(llast(names));

			guard_floor_policy(true,
							   makeRangeVarFromNameList(list_truncate(list_copy(names),
																	  list_length(names) - 1)),
							   policy);
		}
		else if (stmt->removeType == OBJECT_EXTENSION &&
				 strcmp(strVal(object), PURPOSE_EXTENSION) == 0 && superuser())
		{
			/* Leave the users' tables as they were found. */
			OidFunctionCall0(LookupFuncName(list_make2(makeString(PURPOSE_SCHEMA),
													   makeString("_before_drop_extension")),
											0, NULL, false));
			CommandCounterIncrement();
		}
	}
}

static void
before_policy(Oid relid, Node *qual, Node *check)
{
	if (!OidIsValid(relid))
		return;
	guard_expression(relid, qual, EXPR_KIND_POLICY, "a policy");
	guard_expression(relid, check, EXPR_KIND_POLICY, "a policy");
}

/*
 * A dump brings the floor's policy along, after the labels that made us create
 * it already.  What the dump says counts.
 */
static void
before_create_policy(CreatePolicyStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->table, NoLock, true);

	if (OidIsValid(relid) && floor_is_policy(stmt->policy_name) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("policy name \"%s\" is reserved", stmt->policy_name)));
	if (OidIsValid(relid) && floor_is_policy(stmt->policy_name))
	{
		const char *names[] = {FLOOR_POLICY, FLOOR_POLICY_WOKEN};

		for (int i = 0; i < lengthof(names); i++)
		{
			Oid			policy = get_relation_policy_oid(relid, names[i], true);

			if (OidIsValid(policy))
			{
				ObjectAddress address;

				ObjectAddressSet(address, PolicyRelationId, policy);
				performDeletion(&address, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
				CommandCounterIncrement();
			}
		}
		return;
	}
	before_policy(guarded_relation(stmt->table), stmt->qual, stmt->with_check);
}

/*
 * Of PostgreSQL's own trigger functions one only looks: the others copy values
 * into another column (tsvector_update_trigger).
 */
static bool
trigger_is_trusted(Oid function)
{
	return function < FirstNormalObjectId ?
		function == F_SUPPRESS_REDUNDANT_UPDATES_TRIGGER : function_is_trusted(function);
}

static void
before_trigger(CreateTrigStmt *stmt)
{
	Oid			relid = guarded_relation(stmt->relation);
	Oid			function;

	if (!OidIsValid(relid) || is_officer())
		return;
	function = LookupFuncName(stmt->funcname, 0, NULL, true);
	if ((OidIsValid(function) && !trigger_is_trusted(function)) || stmt->whenClause != NULL)
		refuse_without_officer(relid, "a trigger");
}

static void
before_statistics(CreateStatsStmt *stmt)
{
	ListCell   *lc;
	Oid			relid;

	if (list_length(stmt->relations) != 1 || !IsA(linitial(stmt->relations), RangeVar))
		return;
	relid = guarded_relation(linitial_node(RangeVar, stmt->relations));
	if (!OidIsValid(relid))
		return;
	foreach(lc, stmt->exprs)
		guard_expression(relid, lfirst_node(StatsElem, lc)->expr, EXPR_KIND_STATS_EXPRESSION,
						 "statistics on an expression");
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

static bool
domain_check_is_trusted(Oid domain, Constraint *con)
{
	ParseState *pstate = make_parsestate(NULL);
	Oid			base = getBaseType(domain);

	pstate->p_pre_columnref_hook = replace_value;
	pstate->p_ref_hook_state = &base;
	return con->raw_expr == NULL ||
		!untrusted_walker(transformExpr(pstate, copyObject(con->raw_expr),
										EXPR_KIND_DOMAIN_CHECK), NULL);
}

/*
 * A domain's check runs on every value of its columns.
 */
static void
before_alter_domain(AlterDomainStmt *stmt)
{
	Oid			domain;
	ListCell   *lc;

	if (stmt->subtype != 'C' || is_officer())
		return;
	domain = LookupTypeNameOid(NULL, makeTypeNameFromNameList(stmt->typeName), true);
	if (!OidIsValid(domain) || !IsA(stmt->def, Constraint) ||
		domain_check_is_trusted(domain, (Constraint *) stmt->def))
		return;
	foreach(lc, floor_tables_of_domain(domain))
	{
		const RelationPolicy *policy = protection_find(lfirst_oid(lc));

		if (policy != NULL && policy->mode == MODE_ENFORCE)
			ereport(ERROR,
					(errcode(ERRCODE_PROTECTION_BYPASS),
					 errmsg("a check on domain \"%s\" needs a privacy officer",
							format_type_be(domain)),
					 errdetail("Columns of labelled or protected tables are of this domain, and the check would see their values.")));
	}
}

/*
 * An exempt function must stay what the officer saw.
 */
static void
guard_exempt_function(Oid function)
{
	if (OidIsValid(function) && exempt_function(function) && !is_officer())
		ereport(ERROR,
				(errcode(ERRCODE_PROTECTION_BYPASS),
				 errmsg("changing function %s needs a privacy officer: it is exempt from enforcement",
						format_procedure(function)),
				 errhint("SECURITY LABEL FOR purpose ON FUNCTION ... IS NULL takes the exemption away.")));
}

static void
before_create_function(CreateFunctionStmt *stmt)
{
	ObjectWithArgs *object = makeNode(ObjectWithArgs);
	Oid			namespace;
	char	   *name;
	ListCell   *lc;

	if (!stmt->replace)
		return;
	/* Where CREATE would make it, not where a call would find it. */
	namespace = QualifiedNameGetCreationNamespace(stmt->funcname, &name);
	object->objname = list_make2(makeString(get_namespace_name(namespace)), makeString(name));
	foreach(lc, stmt->parameters)
	{
		FunctionParameter *parameter = lfirst_node(FunctionParameter, lc);

		if (parameter->mode != FUNC_PARAM_OUT && parameter->mode != FUNC_PARAM_TABLE)
			object->objargs = lappend(object->objargs, parameter->argType);
	}
	guard_exempt_function(LookupFuncWithArgs(OBJECT_ROUTINE, object, true));
}

/*
 * Finds the labelled columns that a query reads, to warn that its copy will
 * hold them without their labels.
 */
static void
before_create_table_as(CreateTableAsStmt *stmt, DdlState *state)
{
	List	   *rewritten = NIL;
	Query	   *query;
	Oid			namespace;
	ListCell   *lc;

	if (!IsA(stmt->query, Query))
		return;
	query = (Query *) stmt->query;
	namespace = RangeVarGetCreationNamespace(stmt->into->rel);
	if (stmt->if_not_exists && OidIsValid(get_relname_relid(stmt->into->rel->relname, namespace)))
		return;
	if (query->commandType == CMD_SELECT)
		rewritten = pg_rewrite_query(copyObject(query));
	else if (query->commandType == CMD_UTILITY && IsA(query->utilityStmt, ExecuteStmt))
	{
		PreparedStatement *prepared =
		FetchPreparedStatement(((ExecuteStmt *) query->utilityStmt)->name, false);

		if (prepared != NULL)
			rewritten = copyObject(prepared->plansource->query_list);
	}
	foreach(lc, rewritten)
	{
		query = lfirst_node(Query, lc);
		if (query->commandType != CMD_SELECT)
			continue;
		state->launders = list_concat(state->launders, rows_labelled_columns(query));
	}
	state->launder_target = pstrdup(stmt->into->rel->relname);
}

static void
before_label(SecLabelStmt *stmt, DdlState *state)
{
	if (stmt->provider != NULL && strcmp(stmt->provider, PURPOSE_PROVIDER) != 0)
		return;
	if (stmt->objtype == OBJECT_COLUMN)
	{
		List	   *names = castNode(List, stmt->object);

		remember_relation(state,
						  RangeVarGetRelid(makeRangeVarFromNameList(list_truncate(list_copy(names),
																				  list_length(names) - 1)),
										   NoLock, true));
	}
	else if (stmt->objtype == OBJECT_TABLE)
		remember_relation(state,
						  RangeVarGetRelid(makeRangeVarFromNameList(castNode(List, stmt->object)),
										   NoLock, true));
}

/*
 * Guards one statement before it runs.  Raises PU007 where a privacy officer
 * is needed or protection would be lost, PU010 where something rests on what
 * goes.
 */
void
ddl_before(PlannedStmt *pstmt, const char *query_string, DdlState *state)
{
	Node	   *stmt = pstmt->utilityStmt;
	Oid			relid;

	if (!protection_any() && !IsA(stmt, SecLabelStmt) && !IsA(stmt, DropStmt) &&
		!IsA(stmt, CreatePolicyStmt) && !IsA(stmt, RenameStmt))
		return;
	switch (nodeTag(stmt))
	{
		case T_RenameStmt:
			guard_floor_policy(((RenameStmt *) stmt)->renameType == OBJECT_POLICY,
							   ((RenameStmt *) stmt)->relation, ((RenameStmt *) stmt)->subname);
			if (((RenameStmt *) stmt)->renameType == OBJECT_POLICY && !superuser() &&
				floor_is_policy(((RenameStmt *) stmt)->newname))
				ereport(ERROR,
						(errcode(ERRCODE_RESERVED_NAME),
						 errmsg("policy name \"%s\" is reserved", ((RenameStmt *) stmt)->newname)));
			state->remembered = follow_remember();
			break;
		case T_AlterObjectSchemaStmt:
			state->remembered = follow_remember();
			break;
		case T_AlterTableStmt:
			before_alter_table((AlterTableStmt *) stmt, state);
			break;
		case T_TruncateStmt:
			before_truncate((TruncateStmt *) stmt);
			break;
		case T_DropStmt:
			before_drop((DropStmt *) stmt);
			break;
		case T_IndexStmt:
			relid = guarded_relation(((IndexStmt *) stmt)->relation);
			if (OidIsValid(relid))
				guard_index((IndexStmt *) stmt, relid);
			break;
		case T_CreateStatsStmt:
			before_statistics((CreateStatsStmt *) stmt);
			break;
		case T_CreateTrigStmt:
			before_trigger((CreateTrigStmt *) stmt);
			break;
		case T_RuleStmt:
			relid = guarded_relation(((RuleStmt *) stmt)->relation);
			if (OidIsValid(relid) && !is_officer() &&
				get_rel_relkind(relid) != RELKIND_VIEW)
				refuse_without_officer(relid, "a rule");
			break;
		case T_CreatePolicyStmt:
			before_create_policy((CreatePolicyStmt *) stmt);
			break;
		case T_AlterPolicyStmt:
			relid = guarded_relation(((AlterPolicyStmt *) stmt)->table);
			guard_floor_policy(true, ((AlterPolicyStmt *) stmt)->table,
							   ((AlterPolicyStmt *) stmt)->policy_name);
			before_policy(relid, ((AlterPolicyStmt *) stmt)->qual,
						  ((AlterPolicyStmt *) stmt)->with_check);
			break;
		case T_AlterDomainStmt:
			before_alter_domain((AlterDomainStmt *) stmt);
			break;
		case T_CreateFunctionStmt:
			before_create_function((CreateFunctionStmt *) stmt);
			break;
		case T_AlterFunctionStmt:
			guard_exempt_function(LookupFuncWithArgs(OBJECT_ROUTINE,
													 ((AlterFunctionStmt *) stmt)->func, true));
			break;
		case T_CreateTableAsStmt:
			before_create_table_as((CreateTableAsStmt *) stmt, state);
			break;
		case T_SecLabelStmt:
			before_label((SecLabelStmt *) stmt, state);
			break;
		default:
			break;
	}
}

/*
 * An owner who enables row-level security himself wants his own policies, or
 * none, to count.  (A restore says the same, as superuser, and brings the
 * floor along as it was.)
 */
static void
after_alter_table(AlterTableStmt *stmt)
{
	Oid			relid = superuser() ? InvalidOid : guarded_relation(stmt->relation);
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		if (lfirst_node(AlterTableCmd, lc)->subtype == AT_EnableRowSecurity && OidIsValid(relid))
			floor_restrict(relid);
	}
}

static void
after_create_table(CreateStmt *stmt, DdlState *state)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	ListCell   *lc;

	foreach(lc, stmt->inhRelations)
		guard_inheritance(RangeVarGetRelid(lfirst_node(RangeVar, lc), NoLock, true), relid, true);
	remember_relation(state, relid);
}

/*
 * A permissive floor would be ORed with the user's own policy, which then
 * opened the table where the library is missing.
 */
static void
after_create_policy(CreatePolicyStmt *stmt)
{
	Oid			relid = guarded_relation(stmt->table);

	if (!OidIsValid(relid) || floor_is_policy(stmt->policy_name))
		return;
	CommandCounterIncrement();
	floor_restrict(relid);
}

static void
after_label(SecLabelStmt *stmt)
{
	if (stmt->objtype == OBJECT_DOMAIN)
	{
		Oid			domain = LookupTypeNameOid(NULL, castNode(TypeName, stmt->object), true);

		if (OidIsValid(domain))
			floor_sync_domain(domain);
	}
}

/*
 * Must an error of this ALTER TABLE keep values to itself?
 */
bool
ddl_hides_details(PlannedStmt *pstmt)
{
	AlterTableStmt *stmt = castNode(AlterTableStmt, pstmt->utilityStmt);

	return IsTransactionState() && !IsAbortedTransactionBlockState() &&
		catalog_oids() != NULL && protection_any() && !session_current()->exempt &&
		OidIsValid(guarded_relation(stmt->relation));
}

/*
 * Does what must follow a statement that ran.
 */
void
ddl_after(PlannedStmt *pstmt, DdlState *state)
{
	Node	   *stmt = pstmt->utilityStmt;
	ListCell   *lc;

	switch (nodeTag(stmt))
	{
		case T_RenameStmt:
		case T_AlterObjectSchemaStmt:
			follow_rewrite(state->remembered);
			break;
		case T_CreateStmt:
			CommandCounterIncrement();
			after_create_table((CreateStmt *) stmt, state);
			break;
		case T_AlterTableStmt:
			CommandCounterIncrement();
			after_alter_table((AlterTableStmt *) stmt);
			break;
		case T_CreatePolicyStmt:
			after_create_policy((CreatePolicyStmt *) stmt);
			break;
		case T_SecLabelStmt:
			CommandCounterIncrement();
			after_label((SecLabelStmt *) stmt);
			break;
		default:
			break;
	}

	foreach(lc, state->relations)
	{
		if (protection_find(lfirst_oid(lc)) != NULL || IsA(stmt, SecLabelStmt))
			floor_sync(lfirst_oid(lc));
	}
	foreach(lc, state->launders)
		ereport(WARNING,
				(errmsg("relation \"%s\" holds data of labelled column %s without its label",
						state->launder_target, (char *) lfirst(lc)),
				 errhint("Label its columns with purpose.label_column(), and protect it if its rows belong to data subjects.")));
}
