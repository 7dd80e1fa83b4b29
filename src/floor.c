/*
 * floor.c
 *		Keeps the closed floor of tables in step with their declarations.
 *
 * The work is SQL (purpose._floor_sync and purpose._floor_user_enables in the
 * install script, owned by the extension's owner); here is who must be synced
 * when.  Everything below a relation in an inheritance tree is synced with it,
 * since a partition addressed directly has only its own row-level security.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog.h"
#include "floor.h"

bool
floor_is_policy(const char *name)
{
	return strcmp(name, FLOOR_POLICY) == 0 || strcmp(name, FLOOR_POLICY_WOKEN) == 0;
}

/*
 * Finds purpose.<name>.  The functions are SECURITY DEFINER; that the caller
 * may not execute them himself does not matter here.
 */
static Oid
function(const char *name, int nargs, const Oid *argtypes)
{
	List	   *qualified = list_make2(makeString(pstrdup(PURPOSE_SCHEMA)),
									   makeString(pstrdup(name)));

	return LookupFuncName(qualified, nargs, argtypes, false);
}

/*
 * Gives a table and everything below it the floor that its declarations ask
 * for, or takes it away.
 */
void
floor_sync(Oid relid)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Oid			argtypes[2] = {REGCLASSOID, BOOLOID};

		OidFunctionCall2(function("_floor_sync", 2, argtypes),
						 ObjectIdGetDatum(lfirst_oid(lc)), BoolGetDatum(false));
	}
}

/*
 * Returns the tables that have a column of the domain.
 */
List *
floor_tables_of_domain(Oid domain)
{
	List	   *tables = NIL;
	Relation	rel = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_attribute_atttypid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(domain));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute att = (Form_pg_attribute) GETSTRUCT(tuple);
		char		relkind = get_rel_relkind(att->attrelid);

		if (!att->attisdropped &&
			(relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE))
			tables = list_append_unique_oid(tables, att->attrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tables;
}

/*
 * Syncs all tables with a column of the domain.
 */
void
floor_sync_domain(Oid domain)
{
	ListCell   *lc;

	foreach(lc, floor_tables_of_domain(domain))
		floor_sync(lfirst_oid(lc));
}

/*
 * The user switched row-level security on for a table of ours: from now on his
 * own policies count.
 */
void
floor_user_enables(Oid relid)
{
	Oid			argtypes[1] = {REGCLASSOID};

	OidFunctionCall1(function("_floor_user_enables", 1, argtypes), ObjectIdGetDatum(relid));
}
