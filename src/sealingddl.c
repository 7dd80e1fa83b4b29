/*
 * sealingddl.c
 *		What DDL may not do with sealed columns.
 *
 * Whatever PostgreSQL computes of a column and keeps must not come from opened
 * values: an index, a stored generated column, a partition's bounds, extended
 * statistics.  Each of them would hold plaintext of whoever's session wrote the
 * row, for everybody and beyond any shred.  PostgreSQL itself refuses most of
 * them, because opening a value is not immutable; an owner's function that says
 * it is gets around that, so expressions are searched for sealed columns here.
 *
 * Indexes are looked at as they are created, whatever creates them; the rest
 * after the statement, by sealingtable_sync() and sealingddl_check_statistics().
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "partitioning/partdefs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "compat.h"
#include "errcodes.h"
#include "sealedtype.h"
#include "sealing.h"
#include "sealingddl.h"
#include "sealingtable.h"

static object_access_hook_type prev_object_access = NULL;

static bool
reads_sealed_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) && sealedtype_contained(((Var *) node)->vartype))
		return true;
	/* Whether there is a value is seen without opening it. */
	if (IsA(node, NullTest) && IsA(((NullTest *) node)->arg, Var) &&
		((Var *) ((NullTest *) node)->arg)->varattno != 0)
		return false;
	return expression_tree_walker(node, reads_sealed_walker, context);
}

/*
 * Does an expression, as a catalog has it, read a sealed column?
 */
static bool
expression_reads_sealed(Datum expression)
{
	return reads_sealed_walker(stringToNode(TextDatumGetCString(expression)), NULL);
}

/*
 * Is a column's default NULL, under whatever casts?
 */
static bool
default_is_null(TupleDesc desc, AttrNumber attno)
{
	for (int i = 0; desc->constr != NULL && i < desc->constr->num_defval; i++)
	{
		Node	   *node;

		if (desc->constr->defval[i].adnum != attno)
			continue;
		node = stringToNode(desc->constr->defval[i].adbin);
		for (;;)
		{
			if (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcformat != COERCE_EXPLICIT_CALL)
				node = linitial(((FuncExpr *) node)->args);
			else if (IsA(node, RelabelType))
				node = (Node *) ((RelabelType *) node)->arg;
			else if (IsA(node, CoerceToDomain))
				node = (Node *) ((CoerceToDomain *) node)->arg;
			else
				break;
		}
		return IsA(node, Const) && ((Const *) node)->constisnull;
	}
	return false;
}

/*
 * Refuses defaults and generation expressions of sealed columns: a default's
 * value would lie in the catalog unsealed.  Refuses stored columns that are
 * generated from sealed ones.
 */
void
sealingddl_refuse_defaults(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TupleConstr *constraints = desc->constr;

	for (int i = 0; constraints != NULL && i < constraints->num_defval; i++)
	{
		AttrDefault *expression = &constraints->defval[i];
		Form_pg_attribute attribute = TupleDescAttr(desc, expression->adnum - 1);

		if (attribute->attgenerated == ATTRIBUTE_GENERATED_STORED &&
			reads_sealed_walker(stringToNode(expression->adbin), NULL))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" cannot be generated from a sealed column",
							NameStr(attribute->attname)),
					 errdetail("It would store opened values, which a shred does not reach."),
					 errhint("Compute the value where it is read, or seal it in a column of its own.")));
	}

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped || !attribute->atthasdef ||
			!sealedtype_contained(attribute->atttypid) || default_is_null(desc, i + 1))
			continue;
		if (attribute->attgenerated != '\0')
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("sealed column \"%s\" cannot be generated", NameStr(attribute->attname)),
					 errhint("Compute the value where it is read, from the opened column.")));
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("sealed column \"%s\" cannot have a default", NameStr(attribute->attname)),
				 errdetail("The value would lie in the catalog, where nothing seals it."),
				 errhint("Let the application, or a BEFORE trigger, give the value.")));
	}
}

/*
 * Refuses a partition key that contains a sealed column.
 */
void
sealingddl_refuse_partition_key(Relation rel)
{
	PartitionKey key = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
	RelationGetPartitionKey(rel) : NULL;

	for (int i = 0; key != NULL && i < key->partnatts; i++)
	{
		if (sealedtype_contained(key->parttypid[i]) ||
			reads_sealed_walker((Node *) key->partexprs, NULL))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a sealed column cannot be part of a partition key"),
					 errdetail("What a session may open decides how sealed values compare.")));
	}
}

/*
 * Refuses a foreign key from a sealed column: whether a value has its match
 * would depend on who asks, and a restore, which opens nothing, would find none.
 */
void
sealingddl_refuse_foreign_keys(Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, lc);

		for (int i = 0; i < key->nkeys; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), key->conkey[i] - 1);

			if (key->conrelid == RelationGetRelid(rel) && sealedtype_contained(attribute->atttypid))
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("sealed column \"%s\" cannot be part of a foreign key",
								NameStr(attribute->attname)),
						 errdetail("Whether a value has its match would depend on what a session may open."),
						 errhint("Refer by a column that is not sealed.")));
		}
	}
}

/*
 * Is a relation that this command has just created an index?
 */
static bool
is_new_index(Oid relid)
{
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		index = false;

	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, ClassOidIndexId, true, SnapshotSelf, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		char		kind = ((Form_pg_class) GETSTRUCT(tuple))->relkind;

		index = kind == RELKIND_INDEX || kind == RELKIND_PARTITIONED_INDEX;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return index;
}

/*
 * Refuses an index whose keys are sealed values, or are computed from them.  It
 * is read as this command has just written it; what it says of its keys' types
 * is what it stores, so the table's columns are asked.
 */
static void
check_index(Oid index)
{
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		sealed = false;
	bool		computed = false;

	ScanKeyInit(&key, Anum_pg_index_indexrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(index));
	scan = systable_beginscan(rel, IndexRelidIndexId, true, SnapshotSelf, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);
		const AttrNumber expressions[] = {Anum_pg_index_indexprs, Anum_pg_index_indpred};

		for (int i = 0; i < form->indnatts; i++)
		{
			AttrNumber	attno = form->indkey.values[i];
			Oid			type = attno > 0 ? getBaseType(get_atttype(form->indrelid, attno)) : InvalidOid;
			const SealedType *found = attno > 0 ? sealedtype_find(type) : NULL;

			sealed |= found != NULL ? !found->searchable :
				attno > 0 && sealedtype_contained(type);
		}
		for (int i = 0; i < lengthof(expressions); i++)
		{
			bool		isnull;
			Datum		expression = heap_getattr(tuple, expressions[i], RelationGetDescr(rel),
												  &isnull);

			computed |= !isnull && expression_reads_sealed(expression);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (sealed)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a sealed column cannot be indexed"),
				 errdetail("What a session may open decides how sealed values compare, so no order of them holds for all."),
				 errhint("Types such as purpose.searchable_text can be indexed for equality.")));
	if (computed)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an expression over a sealed column cannot be indexed"),
				 errdetail("The index would hold opened values, which a shred does not reach."),
				 errhint("Types such as purpose.searchable_text can be indexed for equality.")));
}

/*
 * Refuses extended statistics over sealed columns of a relation.
 */
void
sealingddl_check_statistics(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *statistics = RelationGetStatExtList(rel);
	ListCell   *lc;

	foreach(lc, statistics)
	{
		HeapTuple	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_statistic_ext form;
		Datum		expressions;
		bool		isnull;
		bool		sealed;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_statistic_ext) GETSTRUCT(tuple);
		expressions = SysCacheGetAttr(STATEXTOID, tuple, Anum_pg_statistic_ext_stxexprs, &isnull);
		sealed = !isnull && expression_reads_sealed(expressions);
		for (int i = 0; i < form->stxkeys.dim1; i++)
		{
			AttrNumber	attno = form->stxkeys.values[i];

			sealed |= attno > 0 && sealedtype_contained(get_atttype(relid, attno));
		}
		if (sealed)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("extended statistics cannot cover a sealed column"),
					 errdetail("They would hold values, and how often each occurs.")));
		ReleaseSysCache(tuple);
	}
	table_close(rel, AccessShareLock);
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class_id, object_id, sub_id, arg);
	/* Looking up our own objects comes here too, so they are asked for last. */
	if (sub_id != 0 || IsBinaryUpgrade)
		return;
	if (access == OAT_POST_CREATE && class_id == RelationRelationId)
	{
		if (catalog_oids() != NULL && is_new_index(object_id))
			check_index(object_id);
	}
	else if (access == OAT_DROP && class_id == TypeRelationId)
		sealedtype_dropped(object_id);
}

/*
 * Installs the hook.  Called from _PG_init while preloading.
 */
void
sealingddl_init(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
}

/*
 * Refuses to drop or rename the trigger that seals, or to put another in its
 * place.  function is what CREATE TRIGGER names, else InvalidOid.
 */
void
sealingddl_guard_trigger(Oid relid, const char *name, Oid function)
{
	if (!OidIsValid(relid) || strcmp(name, SEALING_TRIGGER) != 0 || superuser() ||
		(OidIsValid(function) && function == catalog_function("_seal_row", 0, NULL, true)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_PROTECTION_BYPASS),
			 errmsg("trigger \"%s\" of relation \"%s\" is part of its protection",
					SEALING_TRIGGER, get_rel_name(relid)),
			 errhint("purpose.unprotect() takes the protection away.")));
}

/*
 * Does an ALTER TABLE change the type of a sealed column, so that its values
 * are opened?
 */
bool
sealingddl_opens_column(const AlterTableStmt *stmt)
{
	Oid			relid = InvalidOid;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		AttrNumber	attno;

		if (cmd->subtype != AT_AlterColumnType)
			continue;
		if (!OidIsValid(relid))
			relid = RangeVarGetRelid(stmt->relation, NoLock, true);
		attno = OidIsValid(relid) ? get_attnum(relid, cmd->name) : InvalidAttrNumber;
		if (attno != InvalidAttrNumber && sealedtype_contained(get_atttype(relid, attno)))
			return true;
	}
	return false;
}
