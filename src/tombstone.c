/*
 * tombstone.c
 *		Subjects that were shredded and not yet punctured from the keyring.
 *
 * From the COMMIT of a shred until the worker has destroyed the keys, the
 * receipt is the tombstone that keeps everybody from using them.  There are few
 * at a time, so each backend holds them all, and reads them anew after a
 * relcache invalidation of purpose.shred_receipt.  That message is sent by a
 * trigger with every change of the table; it is in commit records and records
 * of COMMIT PREPARED, standbys replay it, and a rollback undoes it here.
 *
 * A message is sent after its transaction has become visible.  So whoever
 * absorbs messages when a statement starts, as sealed_open() does,
 * knows every shred whose COMMIT returned before.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "catalog.h"
#include "guc.h"
#include "keyring.h"
#include "tombstone.h"

PG_FUNCTION_INFO_V1(tombstone_changed);
PG_FUNCTION_INFO_V1(tombstone_request_cycle);

/* Instead of a group's number: all groups. */
#define ALL_GROUPS	0x10000

/* number << 17 | group, or ALL_GROUPS */
typedef uint64 TombstoneKey;

static Oid	receipt_relid = InvalidOid;
static HTAB *pending = NULL;
static bool pending_valid = false;
static uint64 pending_generation;	/* of the catalog: the keyring is another? */

static void
receipt_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == receipt_relid)
		pending_valid = false;
}

/*
 * Registers the invalidation callback.  Called once from _PG_init.
 */
void
tombstone_init(void)
{
	CacheRegisterRelcacheCallback(receipt_callback, (Datum) 0);
}

static void
add(uint64 number, uint32 group)
{
	TombstoneKey key = (number << 17) | group;

	(void) hash_search(pending, &key, HASH_ENTER, NULL);
}

static void
add_receipt(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		kind = heap_getattr(tuple, Anum_receipt_kind, desc, &isnull);
	KeyringRef *bound = keyring_bound();
	Datum		numbers;
	Datum	   *number;
	Datum	   *group = NULL;
	int			nnumbers;
	int			ngroups = 0;

	if (bound == NULL || strcmp(TextDatumGetCString(kind), "subject") != 0 ||
		memcmp(DatumGetUUIDP(heap_getattr(tuple, Anum_receipt_keyring, desc, &isnull))->data,
			   bound->keyring, KEYRING_ID_LEN) != 0)
		return;
	numbers = heap_getattr(tuple, Anum_receipt_numbers, desc, &isnull);
	deconstruct_array(DatumGetArrayTypeP(numbers), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &number, NULL, &nnumbers);
	numbers = heap_getattr(tuple, Anum_receipt_group_numbers, desc, &isnull);
	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(numbers), INT4OID, sizeof(int32), true,
						  TYPALIGN_INT, &group, NULL, &ngroups);
	for (int i = 0; i < nnumbers; i++)
	{
		if (isnull)
			add(DatumGetInt64(number[i]), ALL_GROUPS);
		for (int j = 0; j < ngroups; j++)
			add(DatumGetInt64(number[i]), (uint16) DatumGetInt32(group[j]));
	}
}

static void
load(void)
{
	const CatalogOids *oids = catalog_oids();
	HASHCTL		ctl = {.keysize = sizeof(TombstoneKey), .entrysize = sizeof(TombstoneKey)};
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (pending != NULL)
		hash_destroy(pending);
	pending = NULL;
	ctl.hcxt = TopMemoryContext;
	pending = hash_create("pg_purpose tombstones", 16, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	/* What arrives while we read makes the result stale at birth. */
	receipt_relid = oids->shred_receipt;
	pending_valid = true;
	pending_generation = catalog_generation;
	rel = table_open(oids->shred_receipt, AccessShareLock);
	scan = systable_beginscan(rel, oids->shred_receipt_pending_idx, true, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_receipt(tuple, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Has the number, or this group of it, been shredded, by a transaction that
 * this session knows of?
 */
bool
tombstone_covers(uint64 number, uint16 group)
{
	TombstoneKey key = (number << 17) | group;

	while (!pending_valid || pending_generation != catalog_generation)
		load();
	if (hash_get_num_entries(pending) == 0)
		return false;
	if (hash_search(pending, &key, HASH_FIND, NULL) != NULL)
		return true;
	key = (number << 17) | ALL_GROUPS;
	return hash_search(pending, &key, HASH_FIND, NULL) != NULL;
}

/*
 * purpose._shreds_changed() -> trigger: tells all backends to read the
 * receipts anew when the transaction commits, and this one at once.
 */
Datum
tombstone_changed(PG_FUNCTION_ARGS)
{
	const CatalogOids *oids = catalog_oids();

	if (oids != NULL)
		CacheInvalidateRelcacheByRelid(oids->shred_receipt);
	pending_valid = false;
	return PointerGetDatum(NULL);
}

/*
 * purpose._request_cycle(): a shred must not be lost with a commit that was
 * reported before it was flushed, and the worker is to act after it.
 */
Datum
tombstone_request_cycle(PG_FUNCTION_ARGS)
{
	if (synchronous_commit == SYNCHRONOUS_COMMIT_OFF)
		(void) set_config_option("synchronous_commit", "local", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, ERROR, false);
	keyring_request_cycle();
	PG_RETURN_VOID();
}
