/*
 * floor.c
 *		Keeps the closed floor of tables in step with their declarations.
 *
 * The work is SQL (purpose._floor_sync and purpose._floor_restrict in the
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
#include "catalog/pg_range.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog.h"
#include "floor.h"
#include "protection.h"

bool
floor_is_policy(const char *name)
{
	return strcmp(name, FLOOR_POLICY) == 0 || strcmp(name, FLOOR_POLICY_WOKEN) == 0;
}

/*
 * Gives a table and everything below it the floor that its declarations ask
 * for, or takes it away.
 */
void
floor_sync(Oid relid)
{
	List	   *tables = find_all_inheritors(relid, AccessShareLock, NULL);
	ListCell   *lc;

	/* A parent of a protected table is closed as well: protection.c. */
	foreach(lc, list_concat_unique_oid(tables, protection_ancestors(relid)))
	{
		Oid			argtypes[2] = {REGCLASSOID, BOOLOID};

		OidFunctionCall2(catalog_function("_floor_sync", 2, argtypes, false),
						 ObjectIdGetDatum(lfirst_oid(lc)), BoolGetDatum(false));
	}
}

/*
 * Returns the values of one column of a catalog's rows in which another is
 * among `wanted`.
 */
static List *
select_oids(Oid catalog, AttrNumber filter, const List *wanted, AttrNumber result)
{
	List	   *oids = NIL;
	Relation	rel = table_open(catalog, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Oid			value = DatumGetObjectId(heap_getattr(tuple, filter,
														  RelationGetDescr(rel), &isnull));

		if (!isnull && list_member_oid(wanted, value))
			oids = list_append_unique_oid(oids,
										  DatumGetObjectId(heap_getattr(tuple, result,
																		RelationGetDescr(rel),
																		&isnull)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return oids;
}

/*
 * Returns the tables that have a column of the domain, or of a type made of
 * it: a domain over it, an array, a composite or a range.
 */
List *
floor_tables_of_domain(Oid domain)
{
	List	   *types = list_make1_oid(domain);
	List	   *tables = NIL;
	List	   *relations;
	ListCell   *lc;
	int			before;

	do
	{
		before = list_length(types);
		relations = select_oids(AttributeRelationId, Anum_pg_attribute_atttypid, types,
								Anum_pg_attribute_attrelid);
		types = list_concat_unique_oid(types,
									   select_oids(TypeRelationId, Anum_pg_type_typbasetype,
												   types, Anum_pg_type_oid));
		types = list_concat_unique_oid(types,
									   select_oids(TypeRelationId, Anum_pg_type_typelem,
												   types, Anum_pg_type_oid));
		types = list_concat_unique_oid(types,
									   select_oids(RangeRelationId, Anum_pg_range_rngsubtype,
												   types, Anum_pg_range_rngtypid));
		types = list_concat_unique_oid(types,
									   select_oids(TypeRelationId, Anum_pg_type_typrelid,
												   relations, Anum_pg_type_oid));
	} while (list_length(types) > before);

	foreach(lc, relations)
	{
		char		relkind = get_rel_relkind(lfirst_oid(lc));

		if (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE)
			tables = lappend_oid(tables, lfirst_oid(lc));
	}
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
 * The table has policies of its own by now: makes a permissive floor
 * restrictive, so that the two are ANDed.
 */
void
floor_restrict(Oid relid)
{
	Oid			argtypes[1] = {REGCLASSOID};

	OidFunctionCall1(catalog_function("_floor_restrict", 1, argtypes, false), ObjectIdGetDatum(relid));
}
