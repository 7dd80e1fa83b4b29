/*
 * keyring.c
 *		This database's keyring, for everybody who needs a key.
 *
 * Which keyring that is says purpose.keyring_binding, one row; what is known
 * of it is in shared memory (keysegment.h).  A backend that needs a key and
 * finds the lease of what is loaded lapsed loads it itself (keyload.h); one
 * process does so at a time, under a heavyweight lock, so that the others can
 * be cancelled while they wait.
 *
 * An idle backend holds no key.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "catalog.h"
#include "clock.h"
#include "errcodes.h"
#include "guc.h"
#include "keyclaim.h"
#include "keyload.h"
#include "keynumber.h"
#include "keyring.h"

/* A class of advisory locks that no SQL function can name. */
#define LOCK_CLASS		0x5050

/* Columns of purpose.keyring_binding. */
#define Anum_binding_keyring	2

static struct
{
	uint64		catalog_generation; /* 0: not looked up */
	Oid			relid;
	bool		present;
	KeyringRef	ref;
	TransactionId bound_by;
} binding;

/* What this transaction asks for when it commits. */
static bool cycle_requested = false;
static bool journal_requested = false;
static KeyringRef request_ref;
static bool look_requested = false;

/* ----------
 * Which keyring?
 * ----------
 */

static void
binding_relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == binding.relid)
		binding.	catalog_generation = 0;
}

/*
 * Tells all backends that the binding changed, this one at its next command,
 * others when the transaction commits, and has the launcher look then what
 * came along with it.
 */
void
keyring_invalidate_binding(void)
{
	const CatalogOids *oids = catalog_oids();
	Oid			relid = oids == NULL ? InvalidOid :
	get_relname_relid("keyring_binding", oids->schema);

	binding.	catalog_generation = 0;

	if (OidIsValid(relid))
		CacheInvalidateRelcacheByRelid(relid);
	keyring_request_look();
}

/*
 * Reads the binding with a snapshot of this moment.
 */
static void
look_up_binding(void)
{
	const CatalogOids *oids;
	uint64		generation;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	KeyringRef	found = {.database = MyDatabaseId};
	TransactionId bound_by = InvalidTransactionId;
	bool		present = false;

	oids = catalog_oids();
	generation = catalog_generation;
	binding.	relid = oids == NULL ? InvalidOid :
	get_relname_relid("keyring_binding", oids->schema);

	if (OidIsValid(binding.relid))
	{
		rel = table_open(binding.relid, AccessShareLock);
		scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
		tuple = systable_getnext(scan);
		if (HeapTupleIsValid(tuple))
		{
			bool		isnull;
			Datum		keyring = heap_getattr(tuple, Anum_binding_keyring,
											   RelationGetDescr(rel), &isnull);

			memcpy(found.keyring, DatumGetUUIDP(keyring)->data, KEYRING_ID_LEN);
			bound_by = HeapTupleHeaderGetRawXmin(tuple->t_data);
			present = true;
		}
		systable_endscan(scan);
		table_close(rel, AccessShareLock);
	}
	/* Keys that were derived from another keyring must not be used any more. */
	if (binding.present && keysegment_ready() &&
		(!present || memcmp(binding.ref.keyring, found.keyring, KEYRING_ID_LEN) != 0))
		keysegment_advance_generation();
	binding.	present = present;
	binding.	ref = found;
	binding.	bound_by = bound_by;
	binding.	catalog_generation = generation;
}

/*
 * Returns this database's keyring, or NULL if it has none.  Needs a
 * transaction.
 */
KeyringRef *
keyring_bound(void)
{
	if (unlikely(binding.catalog_generation != catalog_generation))
		look_up_binding();
	return binding.present ? &binding.ref : NULL;
}

TransactionId
keyring_bound_by(void)
{
	return keyring_bound() != NULL ? binding.bound_by : InvalidTransactionId;
}

bool
keyring_exists(void)
{
	return keyring_bound() != NULL;
}

/*
 * The same, or PU011.
 */
KeyringRef *
keyring_require(void)
{
	KeyringRef *ref;

	if (unlikely(!keysegment_ready()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_purpose must be loaded via \"shared_preload_libraries\""),
				 errhint("Add pg_purpose to shared_preload_libraries, as its last entry, and restart the server.")));
	ref = keyring_bound();
	if (unlikely(ref == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("this database has no keyring"),
				 errhint("SELECT purpose.create_keyring() makes one.")));
	return ref;
}

KeyProvider *
keyring_open_provider(void)
{
	return keyprovider_open(keyprovider_setting, keyring_require()->keyring);
}

static void
set_lock_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, 0, 0, LOCK_CLASS);
}

/*
 * Loading, claiming and changing this database's keyring: one process at a
 * time.  Can be cancelled while it waits.
 */
void
keyring_lock(void)
{
	LOCKTAG		tag;

	set_lock_tag(&tag);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

void
keyring_unlock(void)
{
	LOCKTAG		tag;

	set_lock_tag(&tag);
	(void) LockRelease(&tag, ExclusiveLock, false);
}

/* ----------
 * Keys
 * ----------
 */

static bool
slot_is_current(KeySlot *slot)
{
	return pg_atomic_read_u64(&slot->lease_until) > clock_elapsed_ms();
}

bool
keyring_lock_current(KeyringRef *ref)
{
	keysegment_lock(ref, LW_SHARED);
	if (DsaPointerIsValid(ref->slot->cover) && slot_is_current(ref->slot))
		return true;
	keysegment_unlock(ref);
	return false;
}

/*
 * Loads the keyring, unless another process did so meanwhile.
 */
static void
load(KeyringRef *ref)
{
	KeyProvider *provider;
	bool		current;

	keyring_lock();
	keysegment_lock(ref, LW_SHARED);
	current = slot_is_current(ref->slot);
	keysegment_unlock(ref);
	if (!current)
	{
		provider = keyring_open_provider();
		keyload_state(provider, ref);
		keyprovider_close(provider);
	}
	keyring_unlock();
}

/*
 * Has the number been given out?  Asks the provider if this server does not
 * know of it.
 */
static bool
is_claimed(KeyringRef *ref, uint64 number)
{
	KeyProvider *provider = keyring_open_provider();
	uint64		claimed_end = keynumber_read_end(provider, ref->keyring);

	keyprovider_close(provider);
	keysegment_lock(ref, LW_EXCLUSIVE);
	ref->slot->claimed_end = Max(ref->slot->claimed_end, claimed_end);
	keysegment_unlock(ref);
	return number < claimed_end;
}

/*
 * From the refined cover, where there is room for one: the same leaves derive
 * from it, in fewer steps.
 */
bool
keyring_derive(uint64 address, uint8 key[SECRET_KEY_LEN])
{
	KeyringRef *ref = keyring_require();
	uint64		number = KEY_ADDRESS_NUMBER(address);

	for (;;)
	{
		KeySlot    *slot;

		keysegment_lock(ref, LW_SHARED);
		slot = ref->slot;
		if (likely(slot_is_current(slot)))
		{
			dsa_pointer cover = DsaPointerIsValid(slot->fast) ? slot->fast : slot->cover;
			bool		claimed = number < slot->claimed_end;
			bool		derived = claimed &&
			keytree_derive(keysegment_address(cover), address, key);

			if (unlikely(!slot->used))
				slot->used = true;
			keysegment_unlock(ref);
			if (likely(claimed))
				return derived;
			if (!is_claimed(ref, number))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_SEALED_VALUE),
						 errmsg("a sealed value names a key that this database's keyring never gave out"),
						 errhint("It was made with another keyring, or was changed.")));
			continue;
		}
		keysegment_unlock(ref);
		load(ref);
	}
}

uint64
keyring_generation(void)
{
	return keysegment_ready() ? keysegment_generation() : 0;
}

/*
 * Without a lock: should the slot have gone to another keyring, the generation
 * has grown.
 */
bool
keyring_lease_current(void)
{
	return binding.present && binding.ref.slot != NULL && slot_is_current(binding.ref.slot);
}

const uint8 *
keyring_pending_key(void)
{
	if (!keysegment_ready())
		(void) keyring_require();
	return keysegment_pending_key();
}

uint64
keyring_draw_number(void)
{
	KeyringRef *ref = keyring_require();
	KeyProvider *provider;
	uint64		number;

	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_NOT_CLAIMED),
				 errmsg("a standby cannot change the keyring"),
				 errhint("Connect to the primary.")));
	if (likely(keynumber_draw_quickly(ref, &number)))
		return number;

	keyring_lock();
	provider = keyring_open_provider();
	number = keynumber_draw(provider, ref);
	keyprovider_close(provider);
	keyring_unlock();
	return number;
}

/* ----------
 * Asking for a cycle
 * ----------
 */

/*
 * Tells the launcher once it is certain that the work is there.
 */
static void
request_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (cycle_requested)
				keysegment_request(&request_ref, false);
			if (journal_requested)
				keysegment_request_journal(&request_ref);
			if (look_requested && keysegment_ready())
				keysegment_request_look();
			cycle_requested = journal_requested = look_requested = false;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			cycle_requested = journal_requested = look_requested = false;
			break;
		default:
			break;
	}
}

void
keyring_request_cycle(void)
{
	request_ref = *keyring_require();
	cycle_requested = true;
}

void
keyring_request_journal(void)
{
	request_ref = *keyring_require();
	journal_requested = true;
}

void
keyring_request_look(void)
{
	look_requested = true;
}

/*
 * Has a table a row, in which the column given (0: none) is NULL?  Says so too
 * when it cannot look at once.
 */
static bool
may_have_row(Oid relid, Oid index, AttrNumber column)
{
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		return true;
	rel = try_table_open(relid, NoLock);
	if (rel == NULL)
		return false;
	scan = systable_beginscan(rel, index, true, NULL, 0, NULL);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = column == 0 || heap_attisnull(tuple, column, RelationGetDescr(rel));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

void
keyring_request_waiting(void)
{
	const CatalogOids *oids = catalog_oids();

	if (oids == NULL || !keysegment_ready() || RecoveryInProgress())
		return;
	/* The binding may have come with the transaction. */
	AcceptInvalidationMessages();
	if (!keyring_exists())
		return;
	if (may_have_row(oids->shred_receipt, oids->shred_receipt_pending_idx,
					 Anum_receipt_punctured_version))
		keyring_request_cycle();
	if (may_have_row(oids->journal_outbox, oids->journal_outbox_pkey, 0))
		keyring_request_journal();
}

void
keyring_init(void)
{
	keyclaim_init();
	if (guc_preloaded)
		keysegment_init();
	CacheRegisterRelcacheCallback(binding_relcache_callback, (Datum) 0);
	RegisterXactCallback(request_xact_callback, NULL);
}
