/*
 * ddl.c
 *		Guards utility statements: what reaches data, or takes protection away,
 *		past the planner and the executor's check.
 *
 * Two kinds of rule: what would hand rows to code of the owner's choice
 * (guard.c says when that needs a privacy officer), and what would undo
 * protection: dropping or disabling the floor, dropping or changing a column
 * that protection rests on, TRUNCATE past hidden rows, detaching a partition,
 * dropping the extension.
 *
 * The rights of the statement's effective user count here (GetUserId), as for
 * all DDL.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/heap.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "commands/policy.h"
#include "commands/prepare.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "parser/parse_type.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/regproc.h"

#include "catalog.h"
#include "ddl.h"
#include "errcodes.h"
#include "exempt.h"
#include "floor.h"
#include "follow.h"
#include "guard.h"
#include "migrate.h"
#include "protection.h"
#include "rows.h"
#include "sealing.h"
#include "sealingddl.h"
#include "sealingtable.h"
#include "session.h"

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
		OidFunctionCall1(catalog_function("_keep_inherited", 1, argtypes, false),
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

/*
 * Before a partition of a referenced table goes, PostgreSQL looks for rows that
 * refer to it, by an ordinary query of the session.  Under the row rule that
 * would not see hidden rows, and leave them pointing nowhere.
 */
static void
guard_detach(Oid relid)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		hidden = false;

	if (session_current()->exempt)
		return;
	ScanKeyInit(&key, Anum_pg_constraint_confrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	rel = table_open(ConstraintRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		const RelationPolicy *policy = protection_find(relid);

		if (policy == NULL || policy->mode != MODE_ENFORCE)
			policy = protection_find(((Form_pg_constraint) GETSTRUCT(tuple))->conrelid);
		hidden |= policy != NULL && policy->mode == MODE_ENFORCE;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (hidden)
		ereport(ERROR,
				(errcode(ERRCODE_PROTECTION_BYPASS),
				 errmsg("detaching a partition of relation \"%s\" needs a role that sees all rows",
						get_rel_name(relid)),
				 errdetail("Rows that refer to the partition may be hidden, and would be left pointing nowhere."),
				 errhint("Run it as a superuser, or as a role with BYPASSRLS.")));
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
			migrate_guard_column(relid, cmd->name, "changing a column's type in");
			if (policy != NULL)
				guard_key_type(relid, cmd->name, castNode(ColumnDef, cmd->def)->typeName);
			if (guarded)
			{
				ColumnDef  *def = castNode(ColumnDef, cmd->def);

				guard_type(relid, def->typeName, "changing a column's type to this one");
				if (!guard_is_officer() && guard_is_labelled(relid, cmd->name) &&
					get_atttype(relid, get_attnum(relid, cmd->name)) >= FirstNormalObjectId)
					guard_refuse(relid, "changing the type that a column has its label from");
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
			if (guarded && !guard_is_officer() && guard_is_labelled(relid, cmd->name))
				guard_refuse(relid, "dropping the expression that a column has its label from");
			break;
		case AT_DropColumn:
			migrate_guard_column(relid, cmd->name, "dropping a column of");
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
			migrate_guard_relation(relid, "detaching a partition of");
			guard_detach(relid);
			keep_inherited(castNode(PartitionCmd, cmd->def)->name);
			break;
		case AT_AttachPartition:
			child = RangeVarGetRelid(castNode(PartitionCmd, cmd->def)->name, NoLock, true);
			guard_inheritance(relid, child, false);
			sealingtable_before_attach(relid, child);
			remember_relation(state, child);
			break;
		case AT_AddInherit:
			guard_inheritance(RangeVarGetRelid(castNode(RangeVar, cmd->def), NoLock, true), relid,
							  false);
			remember_relation(state, relid);
			break;
		case AT_DropInherit:
			migrate_guard_relation(relid, "NO INHERIT of");
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

	if (guard_is_officer() || session_current()->exempt)
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
 * Refuses the floor's names for policies of others.
 */
static void
refuse_reserved_policy(const char *name)
{
	if (floor_is_policy(name) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("policy name \"%s\" is reserved", name)));
}

/*
 * Refuses to drop, alter or rename the floor.
 */
static void
guard_floor_policy(RangeVar *table, const char *policy)
{
	Oid			relid;

	if (!floor_is_policy(policy) || superuser())
		return;
	relid = guard_find(table);
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

			guard_floor_policy(makeRangeVarFromNameList(list_truncate(list_copy(names),
																	  list_length(names) - 1)),
							   policy);
		}
		else if (stmt->removeType == OBJECT_TRIGGER)
		{
			List	   *names = castNode(List, object);

			sealingddl_guard_trigger(guard_find(makeRangeVarFromNameList(list_truncate(list_copy(names),
																					   list_length(names) - 1))),
									 strVal(llast(names)), InvalidOid);
		}
		else if (stmt->removeType == OBJECT_EXTENSION &&
				 strcmp(strVal(object), PURPOSE_EXTENSION) == 0 && superuser())
		{
			/* Leave the users' tables as they were found. */
			OidFunctionCall0(catalog_function("_before_drop_extension", 0, NULL, false));
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

	if (OidIsValid(relid))
		refuse_reserved_policy(stmt->policy_name);
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
	before_policy(guard_find(stmt->table), stmt->qual, stmt->with_check);
}

static void
before_trigger(CreateTrigStmt *stmt)
{
	Oid			relid = guard_find(stmt->relation);
	Oid			function;

	function = LookupFuncName(stmt->funcname, 0, NULL, true);
	sealingddl_guard_trigger(relid, stmt->trigname, function);
	if (OidIsValid(relid) && strcmp(stmt->trigname, SEALING_TRIGGER) == 0)
		sealingtable_make_way(relid);
	if (!OidIsValid(relid) || guard_is_officer())
		return;
	if ((OidIsValid(function) && !guard_trigger_trusted(function)) || stmt->whenClause != NULL)
		guard_refuse(relid, "a trigger");
}

static void
before_statistics(CreateStatsStmt *stmt)
{
	ListCell   *lc;
	Oid			relid;

	if (list_length(stmt->relations) != 1 || !IsA(linitial(stmt->relations), RangeVar))
		return;
	relid = guard_find(linitial_node(RangeVar, stmt->relations));
	if (!OidIsValid(relid))
		return;
	foreach(lc, stmt->exprs)
		guard_expression(relid, lfirst_node(StatsElem, lc)->expr, EXPR_KIND_STATS_EXPRESSION,
						 "statistics on an expression");
}

/*
 * A domain's check runs on every value of its columns.
 */
static void
before_alter_domain(AlterDomainStmt *stmt)
{
	Oid			domain;
	ListCell   *lc;

	if (stmt->subtype != 'C' || guard_is_officer())
		return;
	domain = LookupTypeNameOid(NULL, makeTypeNameFromNameList(stmt->typeName), true);
	if (!OidIsValid(domain) || !IsA(stmt->def, Constraint) ||
		guard_domain_check_trusted(domain, (Constraint *) stmt->def))
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
	if (OidIsValid(function) && exempt_function(function) && !guard_is_officer())
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
		/* What a materialised view holds, it holds for whoever refreshes it. */
		state->launders = list_concat(state->launders,
									  rows_labelled_columns(query, stmt->objtype != OBJECT_MATVIEW));
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

static void
before_rename_column(RenameStmt *stmt)
{
	Oid			relid = stmt->renameType == OBJECT_COLUMN && stmt->relation != NULL ?
	RangeVarGetRelid(stmt->relation, NoLock, true) : InvalidOid;

	if (OidIsValid(relid))
		migrate_guard_column(relid, stmt->subname, "renaming a column of");
}

/*
 * Guards one statement before it runs.  Raises PU007 where a privacy officer
 * is needed or protection would be lost, PU010 where something rests on what
 * goes.
 */
void
ddl_before(PlannedStmt *pstmt, DdlState *state)
{
	Node	   *stmt = pstmt->utilityStmt;
	Oid			relid;

	if (!protection_any() && !IsA(stmt, SecLabelStmt) && !IsA(stmt, DropStmt) &&
		!IsA(stmt, CreatePolicyStmt) && !IsA(stmt, RenameStmt))
		return;
	switch (nodeTag(stmt))
	{
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_POLICY)
			{
				guard_floor_policy(((RenameStmt *) stmt)->relation, ((RenameStmt *) stmt)->subname);
				refuse_reserved_policy(((RenameStmt *) stmt)->newname);
			}
			if (((RenameStmt *) stmt)->renameType == OBJECT_TRIGGER)
				sealingddl_guard_trigger(guard_find(((RenameStmt *) stmt)->relation),
										 ((RenameStmt *) stmt)->subname, InvalidOid);
			before_rename_column((RenameStmt *) stmt);
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
			relid = guard_find(((IndexStmt *) stmt)->relation);
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
			relid = guard_find(((RuleStmt *) stmt)->relation);
			if (OidIsValid(relid) && !guard_is_officer() &&
				get_rel_relkind(relid) != RELKIND_VIEW)
				guard_refuse(relid, "a rule");
			break;
		case T_CreatePolicyStmt:
			before_create_policy((CreatePolicyStmt *) stmt);
			break;
		case T_AlterPolicyStmt:
			relid = guard_find(((AlterPolicyStmt *) stmt)->table);
			guard_floor_policy(((AlterPolicyStmt *) stmt)->table,
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
	Oid			relid = superuser() ? InvalidOid : guard_find(stmt->relation);
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
	Oid			relid = guard_find(stmt->table);

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
		OidIsValid(guard_find(stmt->relation));
}

/*
 * May an ALTER TABLE leave columns without what they need to be sealed?  Others
 * are let alone: a restore runs them before the data is there, which is loaded
 * without the trigger.
 */
static bool
changes_columns(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AddColumn:
			case AT_DropColumn:
			case AT_AlterColumnType:
			case AT_DropConstraint:
				return true;
			default:
				break;
		}
	}
	return false;
}

static bool
enables_triggers(const AlterTableStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_EnableTrig:
			case AT_EnableTrigAll:
			case AT_EnableTrigUser:
			case AT_EnableReplicaTrig:
				return true;
			default:
				break;
		}
	}
	return false;
}

/*
 * Gives relations that a statement made or changed the means to seal.
 */
static void
sync_sealing(Node *stmt)
{
	RangeVar   *relation = NULL;

	switch (nodeTag(stmt))
	{
		case T_CreateStmt:
			relation = ((CreateStmt *) stmt)->relation;
			break;
		case T_AlterTableStmt:
			relation = ((AlterTableStmt *) stmt)->relation;
			if (changes_columns((AlterTableStmt *) stmt))
				break;
			CommandCounterIncrement();
			sealingtable_check(RangeVarGetRelid(relation, NoLock, true));
			if (enables_triggers((AlterTableStmt *) stmt))
				sealingtable_enable(RangeVarGetRelid(relation, NoLock, true));
			return;
		case T_CreateTableAsStmt:
			relation = ((CreateTableAsStmt *) stmt)->into->rel;
			break;
		case T_CreateForeignTableStmt:
			relation = ((CreateForeignTableStmt *) stmt)->base.relation;
			break;
		case T_ViewStmt:
			relation = ((ViewStmt *) stmt)->view;
			break;
		case T_CompositeTypeStmt:
			relation = ((CompositeTypeStmt *) stmt)->typevar;
			break;
		case T_CreateDomainStmt:
			CommandCounterIncrement();
			sealingtable_sync_domain(typenameTypeId(NULL, makeTypeNameFromNameList(((CreateDomainStmt *) stmt)->domainname)));
			return;
		case T_RenameStmt:
			if (((RenameStmt *) stmt)->renameType == OBJECT_COLUMN &&
				((RenameStmt *) stmt)->relation != NULL)
				sealingtable_rename_column(RangeVarGetRelid(((RenameStmt *) stmt)->relation, NoLock, true),
										   ((RenameStmt *) stmt)->subname,
										   ((RenameStmt *) stmt)->newname);
			return;
		case T_CreateStatsStmt:
			relation = linitial(((CreateStatsStmt *) stmt)->relations);
			CommandCounterIncrement();
			sealingddl_check_statistics(RangeVarGetRelid(relation, NoLock, false));
			return;
		default:
			return;
	}
	CommandCounterIncrement();
	sealingtable_sync(RangeVarGetRelid(relation, NoLock, true));
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

	sync_sealing(stmt);
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
