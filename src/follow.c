/*
 * follow.c
 *		Makes declarations follow what they name.
 *
 * The label of a protected table names columns and tables.  Before a rename
 * all declarations are resolved to OIDs and attribute numbers, and after it
 * they are written anew with the names of that moment.  What could not be
 * resolved stays as it is.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_seclabel.h"
#include "commands/seclabel.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog.h"
#include "declaration.h"
#include "follow.h"
#include "protection.h"

typedef struct Remembered
{
	Oid			relid;
	Oid			target;
	char	   *text;
	Declaration *declaration;
	List	   *attnos;
	List	   *target_attnos;
} Remembered;

/*
 * Returns every readable declaration of the database, without resolving it.
 */
static List *
all_declarations(void)
{
	List	   *result = NIL;
	Relation	rel = table_open(SecLabelRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_seclabel_provider, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(PURPOSE_PROVIDER));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		FormData_pg_seclabel *form = (FormData_pg_seclabel *) GETSTRUCT(tuple);
		Remembered *r;
		bool		isnull;
		char	   *problem;

		if (form->classoid != RelationRelationId || form->objsubid != 0)
			continue;
		r = palloc0(sizeof(Remembered));
		r->relid = form->objoid;
		r->text = TextDatumGetCString(heap_getattr(tuple, Anum_pg_seclabel_label,
												   RelationGetDescr(rel), &isnull));
		r->declaration = declaration_parse(r->text, &problem);
		if (r->declaration == NULL)
			continue;
		if (r->declaration->target_table != NULL)
			r->target = protection_lookup_table(r->declaration->target_schema,
												r->declaration->target_table);
		result = lappend(result, r);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static List *
names_to_attnos(Oid relid, const List *names)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, names)
		result = lappend_int(result, get_attnum(relid, lfirst(lc)));
	return result;
}

static List *
attnos_to_names(Oid relid, const List *attnos, const List *names)
{
	List	   *result = NIL;
	ListCell   *lc;
	ListCell   *name;

	forboth(lc, attnos, name, names)
	{
		char	   *now = lfirst_int(lc) > 0 ? get_attname(relid, lfirst_int(lc), true) : NULL;

		result = lappend(result, now != NULL ? now : lfirst(name));
	}
	return result;
}

/*
 * To be called before a statement that renames something.
 */
List *
follow_remember(void)
{
	List	   *declarations = all_declarations();
	ListCell   *lc;

	foreach(lc, declarations)
	{
		Remembered *r = lfirst(lc);

		r->attnos = names_to_attnos(r->relid, r->declaration->columns);
		if (OidIsValid(r->target))
			r->target_attnos = names_to_attnos(r->target, r->declaration->target_columns);
	}
	return declarations;
}

/*
 * To be called after it: writes the declarations whose names changed.
 */
void
follow_rewrite(List *remembered)
{
	ListCell   *lc;

	CommandCounterIncrement();
	foreach(lc, remembered)
	{
		Remembered *r = lfirst(lc);
		Declaration *d = r->declaration;
		char	   *text;
		ObjectAddress address;

		d->columns = attnos_to_names(r->relid, r->attnos, d->columns);
		if (OidIsValid(r->target) && get_rel_name(r->target) != NULL)
		{
			d->target_columns = attnos_to_names(r->target, r->target_attnos, d->target_columns);
			d->target_schema = get_namespace_name(get_rel_namespace(r->target));
			d->target_table = get_rel_name(r->target);
		}
		text = declaration_deparse(d);
		if (strcmp(text, r->text) == 0 || get_rel_name(r->relid) == NULL)
			continue;
		ObjectAddressSet(address, RelationRelationId, r->relid);
		SetSecurityLabel(&address, PURPOSE_PROVIDER, text);
		CacheInvalidateRelcacheByRelid(r->relid);
		catalog_invalidate_declarations();
	}
}

static bool
has_name(const List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

/*
 * Returns the name of a table whose protection rests on this column, or NULL.
 */
char *
follow_user_of_column(Oid relid, const char *column)
{
	List	   *ancestors = protection_ancestors(relid);
	ListCell   *lc;

	foreach(lc, all_declarations())
	{
		Remembered *r = lfirst(lc);

		if (((r->relid == relid || list_member_oid(ancestors, r->relid)) &&
			 has_name(r->declaration->columns, column)) ||
			(r->target == relid && has_name(r->declaration->target_columns, column)))
			return get_rel_name(r->relid);
	}
	return NULL;
}
