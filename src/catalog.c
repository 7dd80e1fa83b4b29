/*
 * catalog.c
 *		Finds the extension's objects and carries the news of a change.
 *
 * Declarations live in pg_seclabel (labels, protections) and in the tables
 * purpose_catalog and purpose_grant.  Whoever changes one of them calls
 * catalog_invalidate_declarations(): a relcache message for purpose_catalog,
 * which travels with the commit record, to standbys too, and makes every
 * backend's catalog_generation grow when it is absorbed.  The same happens in
 * the changing transaction at its next command, and when it rolls back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "compat.h"

uint64		catalog_generation = 1;

typedef enum
{
	EXTENSION_UNKNOWN,
	EXTENSION_ABSENT,
	EXTENSION_PRESENT
} ExtensionState;

static ExtensionState extension_state = EXTENSION_UNKNOWN;
static CatalogOids oids;

/* Tables and indexes that are looked up by name. */
#define RELATION(name)	{#name, &oids.name}
static const struct
{
	const char *name;
	Oid		   *oid;
}			relations[] = {

	RELATION(purpose_catalog),
	RELATION(purpose_grant),
	RELATION(consent_state),
	RELATION(consent_state_pkey),
	RELATION(consent_state_restricted_idx),
	RELATION(sealed_type_registry),
	RELATION(sealed_type_registry_pkey),
	RELATION(sealed_label),
	RELATION(sealed_label_pkey),
	RELATION(sealed_label_typmod_key),
	RELATION(subject_number),
	RELATION(subject_number_pkey),
	RELATION(subject_number_number_key),
	RELATION(retired_number),
	RELATION(retired_number_number_key),
	RELATION(token_key),
	RELATION(token_key_pkey),
	RELATION(shred_receipt),
	RELATION(shred_receipt_pending_idx),
	RELATION(journal_state),
	RELATION(journal_state_pkey),
	RELATION(journal_outbox),
	RELATION(journal_outbox_pkey),
};

static void
declaration_relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid ||
		(extension_state == EXTENSION_PRESENT && relid == oids.purpose_catalog))
		catalog_generation++;
}

static void
namespace_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	extension_state = EXTENSION_UNKNOWN;
	catalog_generation++;
}

/*
 * Registers the invalidation callbacks.  Called once from _PG_init.
 */
void
catalog_init(void)
{
	CacheRegisterRelcacheCallback(declaration_relcache_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, namespace_callback, (Datum) 0);
}

/*
 * Finds purpose.<name>.  Returns InvalidOid, or raises 42883, if it is missing.
 * To call an internal function this way asks for no privilege on it.
 */
Oid
catalog_function(const char *name, int nargs, const Oid *argtypes, bool missing_ok)
{
	List	   *qualified = list_make2(makeString(pstrdup(PURPOSE_SCHEMA)),
									   makeString(pstrdup(name)));

	return LookupFuncName(qualified, nargs, argtypes, missing_ok);
}

/*
 * Looks the extension's objects up.  Returns false while any of them is
 * missing, as in the middle of CREATE EXTENSION.
 */
static bool
fill_oids(Oid schema)
{
	Oid			visible_args[2] = {OIDOID, ANYOID};
	Oid			statistic_args[2] = {OIDOID, INT2OID};
	Oid			stand_in_args[4] = {ANYELEMENTOID, ANYELEMENTOID, OIDOID, INT2OID};
	Oid			label_args[3] = {REGCLASSOID, NAMEOID, TEXTOID};
	bool		complete = true;

	oids.schema = schema;
	for (int i = 0; i < lengthof(relations); i++)
	{
		*relations[i].oid = get_relname_relid(relations[i].name, schema);
		complete &= OidIsValid(*relations[i].oid);
	}
	oids.fn_visible = catalog_function("_visible", 2, visible_args, true);
	oids.fn_orphan = catalog_function("_visible", 1, visible_args, true);
	oids.fn_unbound = catalog_function("_unbound", 0, NULL, true);
	oids.fn_statistic_visible = catalog_function("_statistic_visible", 2, statistic_args, true);
	oids.fn_ext_statistic_visible = catalog_function("_statistic_visible", 1, statistic_args, true);
	oids.fn_not_stand_in = catalog_function("_not_stand_in", 4, stand_in_args, true);
	oids.fn_label_column = catalog_function("label_column", 3, label_args, true);

	return complete &&
		OidIsValid(oids.fn_visible) &&
		OidIsValid(oids.fn_orphan) &&
		OidIsValid(oids.fn_unbound) &&
		OidIsValid(oids.fn_statistic_visible) &&
		OidIsValid(oids.fn_ext_statistic_visible) &&
		OidIsValid(oids.fn_not_stand_in) &&
		OidIsValid(oids.fn_label_column);
}

/*
 * Returns the OIDs of the extension's objects, or NULL when the extension is
 * not (yet) installed in this database.  Needs a transaction.
 *
 * A schema that merely has our name proves nothing: it must belong to the
 * extension, or a user could hand us tables of his own making.
 */
const CatalogOids *
catalog_oids(void)
{
	Oid			schema;
	Oid			extension;

	if (extension_state == EXTENSION_PRESENT)
		return &oids;
	if (extension_state == EXTENSION_ABSENT)
		return NULL;
	if (!IsTransactionState() || !OidIsValid(MyDatabaseId))
		return NULL;

	schema = get_namespace_oid(PURPOSE_SCHEMA, true);
	if (!OidIsValid(schema))
	{
		extension_state = EXTENSION_ABSENT;
		return NULL;
	}
	extension = get_extension_oid(PURPOSE_EXTENSION, true);
	if (!OidIsValid(extension) ||
		getExtensionOfObject(NamespaceRelationId, schema) != extension ||
		!fill_oids(schema))
		return NULL;			/* not remembered: it may be on its way */

	extension_state = EXTENSION_PRESENT;
	catalog_generation++;
	return &oids;
}

/*
 * Tells all backends, this one included, that a declaration changed.  Takes
 * effect elsewhere when the transaction commits.
 */
void
catalog_invalidate_declarations(void)
{
	const CatalogOids *o = catalog_oids();

	if (o != NULL)
		CacheInvalidateRelcacheByRelid(o->purpose_catalog);
	catalog_generation++;
}

/*
 * Says whether a role is a privacy officer: whoever may execute
 * purpose.label_column().  Superusers always may.
 */
bool
catalog_is_officer(Oid role)
{
	const CatalogOids *o;

	if (superuser_arg(role))
		return true;
	o = catalog_oids();
	return o != NULL && compat_function_executable(o->fn_label_column, role);
}
