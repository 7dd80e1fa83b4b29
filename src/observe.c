/*
 * observe.c
 *		Counts, in shared memory, the uses that enforcement would have refused.
 *
 * Shared memory and not a table, because a read-only transaction, a standby
 * and a transaction that rolls back must be observed as well.  The table has
 * room for purpose.observe_max different violations; what does not fit is
 * counted, so that nobody takes a full table for a complete one.  It is
 * written to a file at shutdown and read again at start; a crash loses what
 * was seen since.
 *
 * `lock` guards everything: shared to find an entry and for readers, exclusive
 * to add or clear.  An entry's counters are changed under its own spinlock.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "guc.h"
#include "observe.h"

#define OBSERVE_FILE	"pg_stat/pg_purpose_observed.stat"
#define OBSERVE_MAGIC	0x50550001

typedef struct ViolationKey
{
	Oid			database;
	Oid			relid;
	Oid			role;
	int32		attno;
	int32		reason;
	char		purpose[PURPOSE_NAME_LEN];
} ViolationKey;

typedef struct Violation
{
	ViolationKey key;			/* hash key; zero-padded */
	slock_t		mutex;
	uint64		count;
	TimestampTz last_seen;
} Violation;

typedef struct ObserveShared
{
	LWLock	   *lock;
	pg_atomic_uint64 dropped;	/* violations that found no room */
} ObserveShared;

static ObserveShared *shared = NULL;
static HTAB *violations = NULL;
static shmem_request_hook_type prev_shmem_request = NULL;
static shmem_startup_hook_type prev_shmem_startup = NULL;

PG_FUNCTION_INFO_V1(purpose_observed_violations);
PG_FUNCTION_INFO_V1(purpose_reset_observed);
PG_FUNCTION_INFO_V1(purpose_observed_dropped);

static Size
shared_size(void)
{
	return add_size(MAXALIGN(sizeof(ObserveShared)),
					hash_estimate_size(guc_observe_max, sizeof(Violation)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request)
		prev_shmem_request();
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche("pg_purpose", 1);
}

/*
 * Writes what was seen, at an orderly shutdown.  A failure loses statistics
 * only, so it is logged and no more.
 */
static void
save(int code, Datum arg)
{
	FILE	   *file;
	HASH_SEQ_STATUS seq;
	Violation  *violation;
	uint32		magic = OBSERVE_MAGIC;
	bool		ok;

	if (code != 0 || shared == NULL || violations == NULL)
		return;
	file = AllocateFile(OBSERVE_FILE ".tmp", PG_BINARY_W);
	if (file == NULL)
	{
		ereport(LOG, (errcode_for_file_access(),
					  errmsg("could not write file \"%s\": %m", OBSERVE_FILE ".tmp")));
		return;
	}
	ok = fwrite(&magic, sizeof(magic), 1, file) == 1;
	hash_seq_init(&seq, violations);
	while ((violation = hash_seq_search(&seq)) != NULL)
		ok = ok && fwrite(violation, sizeof(Violation), 1, file) == 1;
	if (FreeFile(file) != 0 || !ok)
	{
		ereport(LOG, (errcode_for_file_access(),
					  errmsg("could not write file \"%s\": %m", OBSERVE_FILE ".tmp")));
		unlink(OBSERVE_FILE ".tmp");
		return;
	}
	(void) durable_rename(OBSERVE_FILE ".tmp", OBSERVE_FILE, LOG);
}

/*
 * Reads what the last orderly shutdown left, and removes the file: after a
 * crash an old state must not come back.
 */
static void
load(void)
{
	FILE	   *file = AllocateFile(OBSERVE_FILE, PG_BINARY_R);
	Violation	saved;
	uint32		magic;

	if (file == NULL)
		return;
	if (fread(&magic, sizeof(magic), 1, file) == 1 && magic == OBSERVE_MAGIC)
	{
		while (fread(&saved, sizeof(saved), 1, file) == 1)
		{
			bool		found;
			Violation  *violation = hash_search(violations, &saved.key, HASH_ENTER_NULL, &found);

			if (violation == NULL)
				break;
			SpinLockInit(&violation->mutex);
			violation->count = saved.count;
			violation->last_seen = saved.last_seen;
		}
	}
	FreeFile(file);
	unlink(OBSERVE_FILE);
}

static void
startup_shmem(void)
{
	HASHCTL		ctl = {0};
	bool		found;

	if (prev_shmem_startup)
		prev_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("pg_purpose observe", sizeof(ObserveShared), &found);
	if (!found)
	{
		shared->lock = &(GetNamedLWLockTranche("pg_purpose"))->lock;
		pg_atomic_init_u64(&shared->dropped, 0);
	}
	ctl.keysize = sizeof(ViolationKey);
	ctl.entrysize = sizeof(Violation);
	violations = ShmemInitHash("pg_purpose violations", guc_observe_max, guc_observe_max,
							   &ctl, HASH_ELEM | HASH_BLOBS);
	LWLockRelease(AddinShmemInitLock);

	if (!IsUnderPostmaster)
	{
		on_shmem_exit(save, (Datum) 0);
		if (!found)
			load();
	}
}

/*
 * Reserves shared memory.  Called from _PG_init while preloading.
 */
void
observe_init(void)
{
	prev_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

/*
 * Counts a violation `count` times more.  attno is 0 for rows.  Raises
 * nothing: observing must not break what it observes.
 */
void
observe_record(const Session *session, Oid relid, AttrNumber attno,
			   DecisionReason reason, uint64 count)
{
	ViolationKey key;
	Violation  *violation;
	bool		found;

	if (shared == NULL || count == 0)
		return;
	memset(&key, 0, sizeof(key));
	key.database = MyDatabaseId;
	key.relid = relid;
	key.role = session->role;
	key.attno = attno;
	key.reason = reason;
	strlcpy(key.purpose, session->purpose, sizeof(key.purpose));

	LWLockAcquire(shared->lock, LW_SHARED);
	violation = hash_search(violations, &key, HASH_FIND, NULL);
	if (violation == NULL)
	{
		LWLockRelease(shared->lock);
		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		violation = NULL;
		if (hash_get_num_entries(violations) < guc_observe_max ||
			hash_search(violations, &key, HASH_FIND, NULL) != NULL)
			violation = hash_search(violations, &key, HASH_ENTER_NULL, &found);
		if (violation == NULL)
		{
			pg_atomic_fetch_add_u64(&shared->dropped, count);
			LWLockRelease(shared->lock);
			return;
		}
		if (!found)
		{
			SpinLockInit(&violation->mutex);
			violation->count = 0;
			violation->last_seen = 0;
		}
	}
	SpinLockAcquire(&violation->mutex);
	violation->count += count;
	violation->last_seen = GetCurrentTimestamp();
	SpinLockRelease(&violation->mutex);
	LWLockRelease(shared->lock);
}

static void
require_shared(void)
{
	if (shared == NULL || violations == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_purpose must be loaded via \"shared_preload_libraries\"")));
}

/*
 * purpose._observed_violations() -> setof (relid oid, attno int2, purpose
 * text, role oid, reason text, count bigint, last_seen timestamptz)
 *
 * Those of this database.  Raises 55000 if the library is not preloaded.
 */
Datum
purpose_observed_violations(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HASH_SEQ_STATUS seq;
	Violation  *violation;

	require_shared();
	InitMaterializedSRF(fcinfo, 0);
	LWLockAcquire(shared->lock, LW_SHARED);
	hash_seq_init(&seq, violations);
	while ((violation = hash_seq_search(&seq)) != NULL)
	{
		Datum		values[7];
		bool		nulls[7] = {false};
		uint64		count;
		TimestampTz last_seen;

		if (violation->key.database != MyDatabaseId)
			continue;
		SpinLockAcquire(&violation->mutex);
		count = violation->count;
		last_seen = violation->last_seen;
		SpinLockRelease(&violation->mutex);

		values[0] = ObjectIdGetDatum(violation->key.relid);
		values[1] = Int16GetDatum((int16) violation->key.attno);
		nulls[1] = violation->key.attno == 0;
		values[2] = CStringGetTextDatum(violation->key.purpose);
		nulls[2] = violation->key.purpose[0] == '\0';
		values[3] = ObjectIdGetDatum(violation->key.role);
		values[4] = CStringGetTextDatum(decision_reason_name(violation->key.reason));
		values[5] = Int64GetDatum((int64) count);
		values[6] = TimestampTzGetDatum(last_seen);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	LWLockRelease(shared->lock);
	return (Datum) 0;
}

/*
 * purpose._observed_dropped() -> bigint: violations that found no room.
 */
Datum
purpose_observed_dropped(PG_FUNCTION_ARGS)
{
	require_shared();
	PG_RETURN_INT64((int64) pg_atomic_read_u64(&shared->dropped));
}

/*
 * purpose.reset_observed_violations(): forgets those of this database.
 */
Datum
purpose_reset_observed(PG_FUNCTION_ARGS)
{
	HASH_SEQ_STATUS seq;
	Violation  *violation;

	require_shared();
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	hash_seq_init(&seq, violations);
	while ((violation = hash_seq_search(&seq)) != NULL)
	{
		if (violation->key.database == MyDatabaseId)
			hash_search(violations, &violation->key, HASH_REMOVE, NULL);
	}
	pg_atomic_write_u64(&shared->dropped, 0);
	LWLockRelease(shared->lock);
	PG_RETURN_VOID();
}
