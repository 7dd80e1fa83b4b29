/*
 * purpose.c
 *		The vocabulary of purposes, read from purpose_catalog and
 *		purpose_grant into one tree a backend.
 *
 * The whole vocabulary is read at once (it has tens or hundreds of entries)
 * and thrown away as a whole when catalog_generation moves.  A pointer that
 * purpose_find() returned is good until the next call of purpose_find().
 *
 * Restored or hand-made rows may be broken: a purpose whose parent is missing
 * or whose basis is unknown is left out, and so allows nothing.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/genam.h"
#include "access/table.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "catalog.h"
#include "purpose.h"

static HTAB *vocabulary = NULL;
static MemoryContext vocabulary_context = NULL;
static uint64 vocabulary_generation = 0;

static LegalBasis
parse_basis(const char *text)
{
	static const struct
	{
		const char *name;
		LegalBasis	basis;
	}			names[] = {
		{"consent", BASIS_CONSENT},
		{"contract", BASIS_CONTRACT},
		{"legal_obligation", BASIS_LEGAL_OBLIGATION},
		{"vital_interests", BASIS_VITAL_INTERESTS},
		{"public_task", BASIS_PUBLIC_TASK},
		{"legitimate_interests", BASIS_LEGITIMATE_INTERESTS},
	};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(names[i].name, text) == 0)
			return names[i].basis;
	}
	return BASIS_UNKNOWN;
}

/*
 * Returns what a legal basis asks of the person.  Consent must be given
 * (Art. 7); public task and legitimate interests may be objected to
 * (Art. 21(1)); the others depend on neither.
 */
ConsentModel
purpose_consent_model(LegalBasis basis)
{
	switch (basis)
	{
		case BASIS_CONTRACT:
		case BASIS_LEGAL_OBLIGATION:
		case BASIS_VITAL_INTERESTS:
			return CONSENT_NOT_APPLICABLE;
		case BASIS_PUBLIC_TASK:
		case BASIS_LEGITIMATE_INTERESTS:
			return CONSENT_OPT_OUT;
		case BASIS_CONSENT:
		case BASIS_UNKNOWN:
			break;
	}
	return CONSENT_OPT_IN;
}

/*
 * Reads purpose_catalog into the hash; parents are not linked yet.
 */
static void
load_purposes(const CatalogOids *oids)
{
	Relation	rel = table_open(oids->purpose_catalog, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_purpose_name, desc, &isnull);
		char	   *name = TextDatumGetCString(value);
		char		key[PURPOSE_NAME_LEN] = {0};
		Purpose    *purpose;
		bool		found;

		if (!purpose_name_valid(name))
			continue;
		strlcpy(key, name, sizeof(key));
		purpose = hash_search(vocabulary, key, HASH_ENTER, &found);
		purpose->parent = NULL;
		purpose->granted = NIL;

		value = heap_getattr(tuple, Anum_purpose_basis, desc, &isnull);
		purpose->basis = isnull ? BASIS_UNKNOWN :
			parse_basis(TextDatumGetCString(value));
		value = heap_getattr(tuple, Anum_purpose_requires_just, desc, &isnull);
		purpose->requires_justification = !isnull && DatumGetBool(value);
		value = heap_getattr(tuple, Anum_purpose_despite_restr, desc, &isnull);
		purpose->despite_restriction = !isnull && DatumGetBool(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
load_grants(const CatalogOids *oids)
{
	Relation	rel = table_open(oids->purpose_grant, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		char		key[PURPOSE_NAME_LEN] = {0};
		Purpose    *purpose;
		Datum		value = heap_getattr(tuple, Anum_grant_purpose, desc, &isnull);

		strlcpy(key, TextDatumGetCString(value), sizeof(key));
		value = heap_getattr(tuple, Anum_grant_role, desc, &isnull);
		purpose = hash_search(vocabulary, key, HASH_FIND, NULL);
		if (purpose != NULL && !isnull)
		{
			MemoryContext old = MemoryContextSwitchTo(vocabulary_context);

			purpose->granted = lappend_oid(purpose->granted, DatumGetObjectId(value));
			MemoryContextSwitchTo(old);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Finds the parent of a purpose and takes over what it inherits, parents
 * first.  Returns false if the path to the root is broken.
 */
static bool
link_purpose(Purpose *purpose)
{
	char		key[PURPOSE_NAME_LEN] = {0};
	char	   *dot;

	if (purpose->parent != NULL)
		return true;
	strlcpy(key, purpose->name, sizeof(key));
	dot = strrchr(key, '.');
	if (dot == NULL)
		return purpose->basis != BASIS_UNKNOWN;
	memset(dot, 0, sizeof(key) - (dot - key));

	purpose->parent = hash_search(vocabulary, key, HASH_FIND, NULL);
	if (purpose->parent == NULL || !link_purpose(purpose->parent))
	{
		purpose->parent = NULL;
		return false;
	}
	if (purpose->basis == BASIS_UNKNOWN)
		purpose->basis = purpose->parent->basis;
	purpose->requires_justification |= purpose->parent->requires_justification;
	purpose->despite_restriction |= purpose->parent->despite_restriction;
	return true;
}

static void
load_vocabulary(const CatalogOids *oids)
{
	HASHCTL		ctl = {0};
	HASH_SEQ_STATUS seq;
	Purpose    *purpose;
	uint64		generation;

	if (vocabulary_context != NULL)
		MemoryContextDelete(vocabulary_context);
	vocabulary = NULL;
	vocabulary_context = AllocSetContextCreate(CacheMemoryContext,
											   "pg_purpose vocabulary",
											   ALLOCSET_SMALL_SIZES);
	ctl.keysize = PURPOSE_NAME_LEN;
	ctl.entrysize = sizeof(Purpose);
	ctl.hcxt = vocabulary_context;
	vocabulary = hash_create("pg_purpose vocabulary", 64, &ctl,
							 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);

	/* A message that arrives while reading makes the result stale at birth. */
	generation = catalog_generation;
	load_purposes(oids);
	load_grants(oids);

	hash_seq_init(&seq, vocabulary);
	while ((purpose = hash_seq_search(&seq)) != NULL)
	{
		if (!link_purpose(purpose))
			purpose->basis = BASIS_UNKNOWN;
	}
	vocabulary_generation = generation;
}

/*
 * Returns the purpose of that name, or NULL if the vocabulary has none, or
 * has it in a broken form.  Needs a transaction.
 */
const Purpose *
purpose_find(const char *name)
{
	const CatalogOids *oids = catalog_oids();
	char		key[PURPOSE_NAME_LEN] = {0};
	Purpose    *purpose;

	if (oids == NULL || strlen(name) >= PURPOSE_NAME_LEN)
		return NULL;
	if (vocabulary == NULL || vocabulary_generation != catalog_generation)
	{
		/* If reading fails, the next call must start over. */
		vocabulary_generation = 0;
		load_vocabulary(oids);
	}
	strlcpy(key, name, sizeof(key));
	purpose = hash_search(vocabulary, key, HASH_FIND, NULL);
	if (purpose == NULL || purpose->basis == BASIS_UNKNOWN)
		return NULL;
	return purpose;
}

/*
 * Says whether a role was granted a purpose: the purpose or one of its
 * ancestors, to the role, to PUBLIC, or to a role whose privileges it has.
 */
bool
purpose_granted_to(const Purpose *purpose, Oid role)
{
	for (const Purpose *p = purpose; p != NULL; p = p->parent)
	{
		ListCell   *lc;

		foreach(lc, p->granted)
		{
			Oid			granted = lfirst_oid(lc);

			if (granted == InvalidOid || has_privs_of_role(role, granted))
				return true;
		}
	}
	return false;
}
