/*
 * keysegment.c
 *		The memory of keyrings that all processes of this server share.
 *
 * Two pieces.  Slots, locks and counters are in PostgreSQL's shared memory.
 * Covers and the key of pending values are in a mapping of secret.c, made by
 * the postmaster before it forks: in no core dump, and on no disk where the
 * system permits it to be locked.  A dsa_area in that mapping, which cannot
 * grow out of it, hands its memory out.
 *
 * Invariants:
 * - Key material is freed only by keysegment_free(), which wipes it first.
 * - When shared memory goes, at shutdown or because a process crashed, the
 *	 mapping is wiped and given back to the system, page by page.
 * - Locks are taken in this order: KeySegment.lock, a slot's lock, the locks
 *	 within the dsa_area.
 */
#include "postgres.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "clock.h"
#include "errcodes.h"
#include "guc.h"
#include "keysegment.h"
#include "secret.h"

/* How long events wait for others to be written to the journal with them. */
#define JOURNAL_GATHER_MS	200

#define TRANCHE		"pg_purpose_keyring"

typedef struct KeySegment
{
	LWLock	   *lock;			/* which slot is whose; the pending key */
	slock_t		mutex;			/* launcher */
	Latch	   *launcher;		/* NULL: none is running */
	int			tranche;		/* the locks of the dsa_area */
	bool		was_standby;	/* when the postmaster started */
	pg_atomic_uint64 generation;
	pg_atomic_uint64 used;		/* bytes of the mapping */
	pg_atomic_uint32 look;		/* the launcher shall look everywhere */
	KeySlot		slots[KEYSEGMENT_SLOTS];
} KeySegment;

/* The beginning of the secret mapping; the dsa_area follows. */
typedef struct SecretHeader
{
	bool		has_pending_key;
	uint8		pending_key[SECRET_KEY_LEN];
} SecretHeader;

#define AREA_OFFSET		BUFFERALIGN(sizeof(SecretHeader))

static int	keyring_memory = 64;	/* MB */

static KeySegment *segment = NULL;
static void *mapping = NULL;	/* the same address in all processes */
static size_t mapping_size = 0;
static uint8 nonce[KEYSEGMENT_NONCE_LEN];
static bool nonce_drawn = false;
static dsa_area *area = NULL;	/* this process's handle */

static shmem_request_hook_type prev_shmem_request = NULL;
static shmem_startup_hook_type prev_shmem_startup = NULL;

static void
request_shmem(void)
{
	if (prev_shmem_request)
		prev_shmem_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(KeySegment)));
	RequestNamedLWLockTranche(TRANCHE, KEYSEGMENT_SLOTS + 1);
}

/*
 * Overwrites the pages of the mapping that are in memory, and gives all of
 * them back to the system.  Pages that were never used are not touched, or
 * wiping would make them.
 */
static void
wipe_mapping(int code, Datum arg)
{
	size_t		page = sysconf(_SC_PAGESIZE);
	unsigned char resident[256];

	for (size_t at = 0; at < mapping_size; at += lengthof(resident) * page)
	{
		size_t		len = Min(lengthof(resident) * page, mapping_size - at);

		if (mincore((char *) mapping + at, len, resident) != 0)
			memset(resident, 1, sizeof(resident));
		for (size_t i = 0; i * page < len; i++)
		{
			if (resident[i] & 1)
				secret_wipe((char *) mapping + at + i * page, page);
		}
	}
	(void) madvise(mapping, mapping_size, MADV_REMOVE);
}

/*
 * Makes the shared state, in the postmaster: at its start, and again each time
 * that it has wiped shared memory after a crash.
 */
static void
startup_shmem(void)
{
	LWLockPadded *locks;
	bool		found;
	struct stat st;

	if (prev_shmem_startup)
		prev_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	segment = ShmemInitStruct("pg_purpose keyrings", sizeof(KeySegment), &found);
	if (!found)
	{
		static bool started_as_standby = false;
		MemoryContext caller;
		dsa_area   *fresh;

		/* After a crash the signal file may be gone; it was read then. */
		if (!nonce_drawn)
		{
			started_as_standby = stat(STANDBY_SIGNAL_FILE, &st) == 0;
			secret_random(nonce, sizeof(nonce));
			nonce_drawn = true;
		}

		memset(segment, 0, sizeof(KeySegment));
		locks = GetNamedLWLockTranche(TRANCHE);
		segment->lock = &locks[KEYSEGMENT_SLOTS].lock;
		segment->tranche = segment->lock->tranche;
		segment->was_standby = started_as_standby;
		SpinLockInit(&segment->mutex);
		pg_atomic_init_u64(&segment->generation, 1);
		pg_atomic_init_u64(&segment->used, 0);
		pg_atomic_init_u32(&segment->look, 0);
		for (int i = 0; i < KEYSEGMENT_SLOTS; i++)
		{
			KeySlot    *slot = &segment->slots[i];

			slot->number = i;
			slot->lock = &locks[i].lock;
			pg_atomic_init_u64(&slot->lease_until, 0);
			ConditionVariableInit(&slot->answer_cv);
		}

		/*
		 * Without the limit the area would help itself to dynamic shared
		 * memory, which is neither locked nor left out of core dumps.
		 */
		caller = MemoryContextSwitchTo(TopMemoryContext);
		fresh = dsa_create_in_place((char *) mapping + AREA_OFFSET,
									mapping_size - AREA_OFFSET,
									segment->tranche, NULL);
		dsa_set_size_limit(fresh, mapping_size - AREA_OFFSET);
		dsa_pin(fresh);
		dsa_detach(fresh);
		MemoryContextSwitchTo(caller);
		on_shmem_exit(wipe_mapping, (Datum) 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Reserves the memory.  While the library is preloaded.
 */
void
keysegment_init(void)
{
	DefineCustomIntVariable("purpose.keyring_memory",
							"How much memory the keys of all databases may take.",
							"It is reserved, and used as the keyrings grow: each subject shredded among many costs some hundred bytes.",
							&keyring_memory,
							64, 8, 1024 * 1024,
							PGC_POSTMASTER,
							GUC_UNIT_MB,
							NULL, NULL, NULL);

	mapping_size = (size_t) keyring_memory * 1024 * 1024;
	mapping = secret_shared_memory(mapping_size);

	prev_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

/*
 * Was the library preloaded, so that there is memory to share?
 */
bool
keysegment_ready(void)
{
	return segment != NULL;
}

/*
 * See keysegment.h.  A slot's database is read as it is: one that is being
 * taken or given up may be seen either way.
 */
bool
keysegment_serves(Oid database)
{
	if (segment == NULL)
		return false;
	for (int i = 0; i < KEYSEGMENT_SLOTS; i++)
	{
		Oid			owner = *(volatile Oid *) &segment->slots[i].database;

		if (OidIsValid(owner) && (owner == database || !OidIsValid(database)))
			return true;
	}
	return false;
}

/* ----------
 * Slots
 * ----------
 */

bool
keysegment_ref(int number, KeyringRef *ref)
{
	KeySlot    *slot = &segment->slots[number];

	LWLockAcquire(slot->lock, LW_SHARED);
	ref->database = slot->database;
	memcpy(ref->keyring, slot->keyring, KEYRING_ID_LEN);
	ref->slot = slot;
	LWLockRelease(slot->lock);
	return OidIsValid(ref->database);
}

static bool
slot_is(const KeySlot *slot, const KeyringRef *ref)
{
	return slot->database == ref->database &&
		memcmp(slot->keyring, ref->keyring, KEYRING_ID_LEN) == 0;
}

static KeySlot *
find_slot(const KeyringRef *ref)
{
	for (int i = 0; i < KEYSEGMENT_SLOTS; i++)
	{
		if (slot_is(&segment->slots[i], ref))
			return &segment->slots[i];
	}
	return NULL;
}

/* Everything but what is set once; under both locks. */
static void
reset_slot(KeySlot *slot)
{
	keysegment_wipe_cover(slot);
	slot->database = InvalidOid;
	memset(slot->keyring, 0, KEYRING_ID_LEN);
	slot->maker = InvalidTransactionId;
	slot->version = slot->lease_ms = slot->prior_lease_ms = 0;
	slot->claimed_end = slot->next_number = slot->end_number = 0;
	slot->standing = KEYCLAIM_UNKNOWN;
	slot->claim_version = slot->claim_seen_at = slot->claim_until = slot->fence = 0;
	slot->was_held = false;
	slot->retired = slot->nretiring = 0;
	slot->used = false;
	slot->answered = slot->requested;
	slot->rotate = false;
	slot->wanted_at = slot->again_at = slot->hold_until = slot->journal_at = 0;
	slot->journal_failures = 0;
	slot->worker = 0;
	slot->failures = slot->sqlstate = 0;
	slot->message[0] = '\0';
	slot->answered_at = slot->cycled_at = 0;
}

/*
 * Finds the slot of a keyring, or takes a free one for it.  Raises PU011 if
 * none is free.
 */
static KeySlot *
take_slot(const KeyringRef *ref)
{
	KeySlot    *slot;

	LWLockAcquire(segment->lock, LW_SHARED);
	slot = find_slot(ref);
	LWLockRelease(segment->lock);
	if (slot != NULL)
		return slot;

	LWLockAcquire(segment->lock, LW_EXCLUSIVE);
	slot = find_slot(ref);
	for (int i = 0; slot == NULL && i < KEYSEGMENT_SLOTS; i++)
	{
		if (OidIsValid(segment->slots[i].database))
			continue;
		slot = &segment->slots[i];
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		reset_slot(slot);
		slot->database = ref->database;
		memcpy(slot->keyring, ref->keyring, KEYRING_ID_LEN);
		slot->again_at = 1;		/* the launcher looks at what is new */
		LWLockRelease(slot->lock);
	}
	LWLockRelease(segment->lock);
	if (slot == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("too many databases of this server have a keyring"),
				 errdetail("At most %d can be in use at a time.", KEYSEGMENT_SLOTS),
				 errhint("Move some of the databases to another server.")));
	keysegment_wake_launcher();
	return slot;
}

void
keysegment_lock(KeyringRef *ref, LWLockMode mode)
{
	for (;;)
	{
		if (ref->slot == NULL)
			ref->slot = take_slot(ref);
		LWLockAcquire(ref->slot->lock, mode);
		if (likely(slot_is(ref->slot, ref)))
			return;
		LWLockRelease(ref->slot->lock);
		ref->slot = NULL;
	}
}

void
keysegment_unlock(KeyringRef *ref)
{
	LWLockRelease(ref->slot->lock);
}

void
keysegment_reserve(KeyringRef *ref)
{
	TransactionId xid = GetTopTransactionId();

	keysegment_lock(ref, LW_EXCLUSIVE);
	ref->slot->maker = xid;
	keysegment_unlock(ref);
}

/*
 * Forgets a keyring, such as that of a dropped database.  Who still uses it
 * takes a slot again.
 */
void
keysegment_forget(KeyringRef *ref)
{
	KeySlot    *slot;

	LWLockAcquire(segment->lock, LW_EXCLUSIVE);
	slot = find_slot(ref);
	if (slot != NULL)
	{
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		reset_slot(slot);
		LWLockRelease(slot->lock);
	}
	LWLockRelease(segment->lock);
	ref->slot = NULL;
	if (slot != NULL)
		ConditionVariableBroadcast(&slot->answer_cv);
}

/*
 * In a transaction that has committed: so nothing here may fail, and no slot is
 * taken.  Without one the launcher looks into all databases.
 */
uint64
keysegment_request(KeyringRef *ref, bool rotate)
{
	KeySlot    *slot;
	uint64		request = 0;

	LWLockAcquire(segment->lock, LW_SHARED);
	slot = find_slot(ref);
	if (slot != NULL)
	{
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		request = ++slot->requested;
		slot->rotate |= rotate;
		if (slot->wanted_at == 0)
			slot->wanted_at = clock_elapsed_ms();
		LWLockRelease(slot->lock);
	}
	LWLockRelease(segment->lock);
	if (slot == NULL)
		keysegment_request_look();
	keysegment_wake_launcher();
	return request;
}

void
keysegment_request_journal(KeyringRef *ref)
{
	KeySlot    *slot;

	LWLockAcquire(segment->lock, LW_SHARED);
	slot = find_slot(ref);
	if (slot != NULL)
	{
		LWLockAcquire(slot->lock, LW_EXCLUSIVE);
		if (slot->journal_at == 0)
			slot->journal_at = clock_elapsed_ms() + JOURNAL_GATHER_MS;
		LWLockRelease(slot->lock);
	}
	LWLockRelease(segment->lock);
	if (slot == NULL)
		pg_atomic_write_u32(&segment->look, 1);
	keysegment_wake_launcher();
}

void
keysegment_request_look(void)
{
	pg_atomic_write_u32(&segment->look, 1);
	keysegment_wake_launcher();
}

bool
keysegment_take_look(void)
{
	return pg_atomic_exchange_u32(&segment->look, 0) != 0;
}

/* ----------
 * Secret memory
 * ----------
 */

static void
release_area(int code, Datum arg)
{
	dsa_release_in_place((char *) mapping + AREA_OFFSET);
}

/* This process's handle of the area. */
static dsa_area *
attached_area(void)
{
	if (area == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

		area = dsa_attach_in_place((char *) mapping + AREA_OFFSET, NULL);
		dsa_pin_mapping(area);
		on_shmem_exit(release_area, (Datum) 0);
		MemoryContextSwitchTo(caller);
	}
	return area;
}

/*
 * Returns zeroed memory, and where it is for other processes; NULL if there is
 * no room.
 */
void *
keysegment_allocate(size_t size, dsa_pointer *at)
{
	*at = dsa_allocate_extended(attached_area(), size,
								DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM | DSA_ALLOC_ZERO);
	if (!DsaPointerIsValid(*at))
		return NULL;
	pg_atomic_fetch_add_u64(&segment->used, size);
	return dsa_get_address(area, *at);
}

/*
 * Wipes and frees.
 */
void
keysegment_free(dsa_pointer at, size_t size)
{
	if (!DsaPointerIsValid(at))
		return;
	secret_wipe(dsa_get_address(attached_area(), at), size);
	dsa_free(area, at);
	pg_atomic_fetch_sub_u64(&segment->used, size);
}

void *
keysegment_address(dsa_pointer at)
{
	return dsa_get_address(attached_area(), at);
}

/*
 * Wipes the cover of a slot; its lock is held, exclusive.  What was derived from
 * it must not be used any more.
 */
void
keysegment_wipe_cover(KeySlot *slot)
{
	pg_atomic_write_u64(&slot->lease_until, 0);
	if (!DsaPointerIsValid(slot->cover))
		return;
	keysegment_advance_generation();
	keysegment_free(slot->cover, slot->cover_size);
	keysegment_free(slot->fast, slot->fast_size);
	slot->cover = slot->fast = InvalidDsaPointer;
	slot->cover_size = slot->fast_size = slot->fast_end = 0;
}

void
keysegment_memory(size_t *used, size_t *total)
{
	*used = pg_atomic_read_u64(&segment->used);
	*total = mapping_size;
}

/*
 * One counter for all keyrings: what it counts is rare.
 */
uint64
keysegment_generation(void)
{
	return pg_atomic_read_u64(&segment->generation);
}

void
keysegment_advance_generation(void)
{
	pg_atomic_fetch_add_u64(&segment->generation, 1);
}

/*
 * Returns the key of pending values, drawn when the first process asks for it;
 * it stays for as long as this process does.
 */
const uint8 *
keysegment_pending_key(void)
{
	static bool drawn = false;
	SecretHeader *header = mapping;

	if (drawn)
		return header->pending_key;
	LWLockAcquire(segment->lock, LW_SHARED);
	if (!header->has_pending_key)
	{
		LWLockRelease(segment->lock);
		LWLockAcquire(segment->lock, LW_EXCLUSIVE);
		if (!header->has_pending_key)
		{
			secret_random(header->pending_key, SECRET_KEY_LEN);
			header->has_pending_key = true;
		}
	}
	LWLockRelease(segment->lock);
	drawn = true;
	return header->pending_key;
}

/* ----------
 * This server
 * ----------
 */

/*
 * A random name of this postmaster; the same after a crash of one of its
 * processes, another one after its own start.
 */
const uint8 *
keysegment_nonce(void)
{
	return nonce;
}

/*
 * Was this server a standby when its postmaster started?
 */
bool
keysegment_was_standby(void)
{
	return segment->was_standby;
}

/*
 * The launcher says where it can be woken, or NULL at its end.
 */
void
keysegment_set_launcher(Latch *latch)
{
	SpinLockAcquire(&segment->mutex);
	segment->launcher = latch;
	SpinLockRelease(&segment->mutex);
}

void
keysegment_wake_launcher(void)
{
	Latch	   *latch;

	SpinLockAcquire(&segment->mutex);
	latch = segment->launcher;
	SpinLockRelease(&segment->mutex);
	if (latch != NULL)
		SetLatch(latch);
}

bool
keysegment_launcher_runs(void)
{
	bool		runs;

	SpinLockAcquire(&segment->mutex);
	runs = segment->launcher != NULL;
	SpinLockRelease(&segment->mutex);
	return runs;
}
