/*
 * rewound.c
 *		Was this database put back to an earlier moment, so that it lacks what
 *		people withdrew, objected to and had erased since?
 *
 * purpose.journal_state says up to which entry the database has written the
 * journal that is kept beside its keyring.  If the journal goes on from there, a
 * restore took away what came after.  Unless these entries are in
 * purpose.journal_outbox still: an append that stored them crashed, or has not
 * committed, before it could say so here.
 *
 * Invariants:
 * - Only the answer "no" is remembered, in shared memory, until the server
 *	 stops, and of one binding to a keyring: a running server is not put back but
 *	 by a dump that is loaded, which binds anew.  Any other answer is found out
 *	 anew each time, so that nothing needs to be told when it has changed.
 * - During recovery nobody asks; a promoted standby remembers nothing, and so
 *	 asks then.
 * - The state is read before the journal, and once more after it: an append that
 *	 commits in between is not taken for a restore.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "catalog.h"
#include "errcodes.h"
#include "guc.h"
#include "rewound.h"

#define TRANCHE		"pg_purpose_rewound"

/* How many databases are remembered; more are asked for again. */
#define MEMORY_SIZE	KEYSEGMENT_SLOTS

/* Fields are written under `lock`, exclusive, by the backend that found out. */
typedef struct RewoundMemory
{
	LWLock	   *lock;
	int			next;			/* the place that is used next */
	struct
	{
		Oid			database;
		TransactionId bound_by; /* keyring_bound_by() */
		uint8		keyring[KEYRING_ID_LEN];
	}			sound[MEMORY_SIZE];
} RewoundMemory;

static RewoundMemory *memory = NULL;

/* This backend's own memory. */
static bool known = false;
static TransactionId known_bound_by;
static uint8 known_keyring[KEYRING_ID_LEN];

static shmem_request_hook_type prev_shmem_request = NULL;
static shmem_startup_hook_type prev_shmem_startup = NULL;

static void
request_shmem(void)
{
	if (prev_shmem_request)
		prev_shmem_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(RewoundMemory)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
startup_shmem(void)
{
	bool		found;

	if (prev_shmem_startup)
		prev_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	memory = ShmemInitStruct("pg_purpose rewound", sizeof(RewoundMemory), &found);
	if (!found)
	{
		memset(memory, 0, sizeof(RewoundMemory));
		memory->lock = &GetNamedLWLockTranche(TRANCHE)[0].lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * Reserves the memory.  While the library is preloaded.
 */
void
rewound_init(void)
{
	prev_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

static bool
is_remembered(const uint8 keyring[KEYRING_ID_LEN], TransactionId bound_by)
{
	bool		found = false;

	LWLockAcquire(memory->lock, LW_SHARED);
	for (int i = 0; i < MEMORY_SIZE && !found; i++)
		found = memory->sound[i].database == MyDatabaseId &&
			memory->sound[i].bound_by == bound_by &&
			memcmp(memory->sound[i].keyring, keyring, KEYRING_ID_LEN) == 0;
	LWLockRelease(memory->lock);
	return found;
}

static void
remember(const uint8 keyring[KEYRING_ID_LEN], TransactionId bound_by)
{
	if (is_remembered(keyring, bound_by))
		return;
	LWLockAcquire(memory->lock, LW_EXCLUSIVE);
	memory->sound[memory->next].database = MyDatabaseId;
	memory->sound[memory->next].bound_by = bound_by;
	memcpy(memory->sound[memory->next].keyring, keyring, KEYRING_ID_LEN);
	memory->next = (memory->next + 1) % MEMORY_SIZE;
	LWLockRelease(memory->lock);
}

/* ----------
 * What the database says
 * ----------
 */

/*
 * Reads journal_state with a snapshot of this moment.  A database without one
 * has written nothing yet.
 */
void
rewound_read_state(const uint8 keyring[KEYRING_ID_LEN], JournalState *state)
{
	const CatalogOids *oids = catalog_oids();
	pg_uuid_t	uuid;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	memset(state, 0, sizeof(JournalState));
	journalformat_origin(keyring, &state->point);
	state->incarnation = 1;

	memcpy(uuid.data, keyring, KEYRING_ID_LEN);
	ScanKeyInit(&key, Anum_journal_keyring, BTEqualStrategyNumber, F_UUID_EQ,
				UUIDPGetDatum(&uuid));
	rel = table_open(oids->journal_state, AccessShareLock);
	scan = systable_beginscan(rel, oids->journal_state_pkey, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		bytea	   *hash;

		state->incarnation = DatumGetInt64(heap_getattr(tuple, Anum_journal_incarnation,
														desc, &isnull));
		state->point.sequence = DatumGetInt64(heap_getattr(tuple, Anum_journal_sequence,
														   desc, &isnull));
		hash = DatumGetByteaPP(heap_getattr(tuple, Anum_journal_hash, desc, &isnull));
		memset(state->point.hash, 0, JOURNAL_HASH_LEN);
		memcpy(state->point.hash, VARDATA_ANY(hash),
			   Min(VARSIZE_ANY_EXHDR(hash), JOURNAL_HASH_LEN));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Sorts entries that the database did not note by whether its outbox has them.
 */
static void
sort_entries(List *entries, List **missing, List **explained)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel;
	ListCell   *lc;

	*missing = *explained = NIL;
	if (entries == NIL)
		return;
	rel = table_open(oids->journal_outbox, AccessShareLock);
	foreach(lc, entries)
	{
		JournalEntry *entry = lfirst(lc);
		pg_uuid_t	uuid;
		SysScanDesc scan;
		ScanKeyData key;

		CHECK_FOR_INTERRUPTS();
		memcpy(uuid.data, entry->event, JOURNAL_EVENT_LEN);
		ScanKeyInit(&key, Anum_outbox_event, BTEqualStrategyNumber, F_UUID_EQ,
					UUIDPGetDatum(&uuid));
		scan = systable_beginscan(rel, oids->journal_outbox_pkey, true, NULL, 1, &key);
		if (HeapTupleIsValid(systable_getnext(scan)))
			*explained = lappend(*explained, entry);
		else
			*missing = lappend(*missing, entry);
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
}

/*
 * Compares the state that is in `finding` with the journal.
 */
static void
compare(KeyProvider *provider, KeyringRef *ref, bool quickly, RewoundFinding *finding)
{
	Journal    *journal = journal_open(provider, ref->keyring);
	JournalState state = finding->state;
	List	   *entries;

	memset(finding, 0, sizeof(RewoundFinding));
	finding->state = state;
	finding->journal = journal;

	if (quickly && journal->head.sequence > state.point.sequence &&
		journal->tail->entries != NIL)
	{
		sort_entries(list_make1(llast(journal->tail->entries)), &finding->missing,
					 &finding->explained);
		if (finding->missing != NIL)
		{
			finding->verdict = REWOUND_BEHIND;
			finding->missing = NIL;
			return;
		}
	}
	if (!journal_read_after(journal, &state.point, &entries))
		finding->verdict = REWOUND_PRUNED;
	else
	{
		sort_entries(entries, &finding->missing, &finding->explained);
		finding->verdict = finding->missing != NIL ? REWOUND_BEHIND : REWOUND_NOT;
	}
}

static void
find_out(KeyProvider *provider, KeyringRef *ref, bool quickly, RewoundFinding *finding)
{
	JournalState after;

	rewound_read_state(ref->keyring, &after);
	do
	{
		CHECK_FOR_INTERRUPTS();
		finding->state = after;
		compare(provider, ref, quickly, finding);
		if (finding->verdict == REWOUND_NOT)
			return;

		/* If the state has moved, that was an append. */
		rewound_read_state(ref->keyring, &after);
	} while (!journalformat_same_point(&after.point, &finding->state.point));
}

void
rewound_find_out(KeyProvider *provider, KeyringRef *ref, RewoundFinding *finding)
{
	find_out(provider, ref, false, finding);
}

void
rewound_find_out_quickly(KeyProvider *provider, KeyringRef *ref, RewoundFinding *finding)
{
	find_out(provider, ref, true, finding);
}

static void
refuse(const RewoundFinding *finding)
{
	/* What was pruned is not read in a hurry. */
	if (finding->state.point.sequence < finding->journal->checkpoint.sequence)
		ereport(ERROR,
				(errcode(ERRCODE_DATABASE_REWOUND),
				 errmsg("this database was put back to a moment before its journal begins"),
				 errdetail("Events between the two, withdrawals of consent perhaps, are known to nobody."),
				 errhint("Restore a backup that is not older than purpose.backup_horizon.  To go on with what the journal has: SELECT * FROM purpose.reconcile(accept_loss => true).")));
	ereport(ERROR,
			(errcode(ERRCODE_DATABASE_REWOUND),
			 errmsg("this database was put back to an earlier moment, and lacks up to %llu events of its journal",
					(unsigned long long) (finding->journal->head.sequence -
										  finding->state.point.sequence)),
			 errdetail("They may be withdrawals of consent, objections or erasures."),
			 errhint("A privacy officer replays them: SELECT * FROM purpose.reconcile().")));
}

void
rewound_require_not(void)
{
	KeyringRef *ref = keyring_bound();
	TransactionId bound_by = keyring_bound_by();
	MemoryContext scratch;
	MemoryContext caller;

	if (likely(ref == NULL ||
			   (known && known_bound_by == bound_by &&
				memcmp(known_keyring, ref->keyring, KEYRING_ID_LEN) == 0)))
		return;
	if (memory == NULL || IsBinaryUpgrade || RecoveryInProgress())
		return;
	if (!is_remembered(ref->keyring, bound_by))
	{
		KeyringRef	asked = *ref;
		KeyProvider *provider;
		RewoundFinding finding;

		scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_purpose journal",
										ALLOCSET_DEFAULT_SIZES);
		caller = MemoryContextSwitchTo(scratch);
		provider = keyprovider_open(keyprovider_setting, asked.keyring);
		rewound_find_out_quickly(provider, &asked, &finding);
		if (finding.verdict != REWOUND_NOT)
			refuse(&finding);
		keyprovider_close(provider);
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(scratch);
		remember(asked.keyring, bound_by);
		memcpy(known_keyring, asked.keyring, KEYRING_ID_LEN);
	}
	else
		memcpy(known_keyring, ref->keyring, KEYRING_ID_LEN);
	known_bound_by = bound_by;
	known = true;
}
