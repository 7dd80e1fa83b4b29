/*
 * launcher.c
 *		The background process that looks after the keyrings of this server.
 *
 * It runs as long as the server, connected to no database, on standbys too:
 *
 * - It starts a worker (worker.h) for a database that has work to do, and for
 *	 each database now and again, since not everybody can tell it: what was
 *	 before a crash does not, nor a transaction that a subscriber prepared.
 * - It renews the claims that this server holds, and gives them up when the
 *	 server stops.  Of others it sees for how long they have not been renewed.
 * - It renews the leases of keyrings that are in use, so that sessions need not
 *	 wait for that, and wipes what has lapsed.
 *
 * It does nothing that backends could not do, later, without it, but for
 * starting workers and wiping.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "clock.h"
#include "guc.h"
#include "keyclaim.h"
#include "keyload.h"
#include "keysegment.h"
#include "launcher.h"

#define LIST_DATABASES_MS		(60 * 1000) /* new and dropped ones */
#define LOOK_MS					(5 * 60 * 1000) /* with a keyring */
#define LOOK_WITHOUT_MS			(60 * 60 * 1000)	/* without one */
#define NO_WORKER_MS			(10 * 1000) /* all processes are in use */
#define LONGEST_PAUSE_MS		(60 * 1000) /* after failures in a row */
#define LOG_EVERY				16	/* failure in a row */
#define LONGEST_SLEEP_MS		LIST_DATABASES_MS

/* A database, as the launcher knows it. */
typedef struct Database
{
	Oid			oid;
	uint64		look_at;
	bool		seen;			/* in the last list */
} Database;

static int	shred_deadline = 0;

static MemoryContext launcher_context;
static List *databases = NIL;	/* of Database * */
static uint64 list_at = 0;		/* when to list them again */

/* When to look after a claim again, and how often that failed, by slot. */
static uint64 claim_at[KEYSEGMENT_SLOTS];
static int	claim_failures[KEYSEGMENT_SLOTS];

/* The worker that is running, one at a time. */
static BackgroundWorkerHandle *worker = NULL;
static Oid	worker_database = InvalidOid;
static uint64 no_worker_before = 0;

/* ----------
 * Databases
 * ----------
 */

static Database *
find_database(Oid oid)
{
	ListCell   *lc;

	foreach(lc, databases)
	{
		Database   *database = lfirst(lc);

		if (database->oid == oid)
			return database;
	}
	return NULL;
}

/*
 * Gives a keyring's claim up, if this server holds it.
 */
static void
release_claim(KeyringRef *ref)
{
	uint64		fence;

	if (!keyclaim_held(ref, &fence))
		return;
	StartTransactionCommand();
	keyclaim_release(keyprovider_open(keyprovider_setting, ref->keyring), ref);
	CommitTransactionCommand();
}

/*
 * Forgets the keyring of a database that was dropped.  If the claim cannot be
 * given up, its lease lapses.
 */
static void
forget_dropped(KeyringRef *ref)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		release_claim(ref);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		AbortOutOfAnyTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	keysegment_forget(ref);
}

/*
 * Reads which databases there are; forgets those that are gone.
 */
static void
list_databases(uint64 now)
{
	KeyringRef	refs[KEYSEGMENT_SLOTS];
	int			nrefs = 0;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *lc;

	/* Before the list is read: a database that is not in it then is gone. */
	for (int i = 0; i < KEYSEGMENT_SLOTS; i++)
		nrefs += keysegment_ref(i, &refs[nrefs]) ? 1 : 0;
	foreach(lc, databases)
		((Database *) lfirst(lc))->seen = false;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		Database   *database = find_database(form->oid);

		if (database == NULL)
		{
			MemoryContext caller = MemoryContextSwitchTo(launcher_context);

			database = palloc0(sizeof(Database));
			database->oid = form->oid;
			databases = lappend(databases, database);
			MemoryContextSwitchTo(caller);
		}
		database->seen = true;
		/* Below -1: it is being dropped. */
		if (!form->datallowconn || form->datconnlimit < -1)
			database->look_at = now + LOOK_WITHOUT_MS;
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();

	foreach(lc, databases)
	{
		Database   *database = lfirst(lc);

		if (!database->seen)
		{
			databases = foreach_delete_current(databases, lc);
			pfree(database);
		}
	}
	for (int i = 0; i < nrefs; i++)
	{
		if (find_database(refs[i].database) == NULL)
			forget_dropped(&refs[i]);
	}
}

/* ----------
 * Workers
 * ----------
 */

/*
 * When a slot's worker should run; PG_UINT64_MAX for never.
 */
static uint64
slot_due_at(const KeySlot *slot)
{
	uint64		due_at = PG_UINT64_MAX;

	if (slot->rotate)
		return slot->journal_at == 0 ? slot->wanted_at : Min(slot->wanted_at, slot->journal_at);
	if (slot->wanted_at != 0)
		due_at = slot->wanted_at + shred_deadline;
	if (slot->again_at != 0)
		due_at = Min(due_at, slot->again_at);
	if (due_at != PG_UINT64_MAX)
		due_at = Max(due_at, slot->hold_until);
	if (slot->journal_at != 0)
		due_at = Min(due_at, slot->journal_at);
	return due_at;
}

/*
 * Is the worker still running?  What it left undone counts as failed.
 */
static bool
worker_runs(void)
{
	pid_t		pid;

	if (worker == NULL)
		return false;
	if (GetBackgroundWorkerPid(worker, &pid) != BGWH_STOPPED)
		return true;
	pfree(worker);
	worker = NULL;

	for (int i = 0; i < KEYSEGMENT_SLOTS; i++)
	{
		KeyringRef	ref;

		if (!keysegment_ref(i, &ref) || ref.database != worker_database)
			continue;
		keysegment_lock(&ref, LW_EXCLUSIVE);
		if (ref.slot->worker != 0)
		{
			ref.slot->worker = 0;
			ref.slot->answered = ref.slot->requested;
			ref.slot->sqlstate = ERRCODE_ADMIN_SHUTDOWN;
			strlcpy(ref.slot->message, "the worker was ended", KEYSEGMENT_MESSAGE_LEN);
			ref.slot->failures++;
			ref.slot->wanted_at = clock_elapsed_ms();
			ref.slot->hold_until = ref.slot->wanted_at + 1000;
		}
		keysegment_unlock(&ref);
		ConditionVariableBroadcast(&ref.slot->answer_cv);
	}
	return false;
}

static void
start_worker(Oid database, uint64 now)
{
	BackgroundWorker process = {0};
	MemoryContext caller = MemoryContextSwitchTo(launcher_context);

	process.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	process.bgw_start_time = BgWorkerStart_ConsistentState;
	process.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(process.bgw_library_name, "pg_purpose", BGW_MAXLEN);
	strlcpy(process.bgw_function_name, "purpose_worker_main", BGW_MAXLEN);
	strlcpy(process.bgw_name, "pg_purpose key worker", BGW_MAXLEN);
	strlcpy(process.bgw_type, "pg_purpose key worker", BGW_MAXLEN);
	process.bgw_notify_pid = MyProcPid;
	process.bgw_main_arg = ObjectIdGetDatum(database);
	worker_database = database;
	if (!RegisterDynamicBackgroundWorker(&process, &worker))
	{
		worker = NULL;
		no_worker_before = now + NO_WORKER_MS;
		ereport(LOG,
				(errmsg("no process is free to work on keyrings"),
				 errhint("Raise max_worker_processes.")));
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Starts a worker where one is due, unless one is running.  Returns when that
 * must be looked at again, if nobody wakes us.
 */
static uint64
start_what_is_due(uint64 now)
{
	uint64		next = PG_UINT64_MAX;
	Oid			chosen = InvalidOid;
	ListCell   *lc;

	if (worker_runs())
		return PG_UINT64_MAX;	/* its end wakes us */
	if (now < no_worker_before)
		return no_worker_before;

	for (int i = 0; i < KEYSEGMENT_SLOTS && !OidIsValid(chosen); i++)
	{
		KeyringRef	ref;
		uint64		due_at;

		if (!keysegment_ref(i, &ref))
			continue;
		keysegment_lock(&ref, LW_SHARED);
		due_at = slot_due_at(ref.slot);
		keysegment_unlock(&ref);
		if (due_at <= now)
			chosen = ref.database;
		next = Min(next, due_at);
	}
	foreach(lc, databases)
	{
		Database   *database = lfirst(lc);

		if (!OidIsValid(chosen) && database->look_at <= now)
			chosen = database->oid;
		if (database->oid == chosen)
		{
			database->look_at = now + LOOK_WITHOUT_MS;
			for (int i = 0; i < KEYSEGMENT_SLOTS; i++)
			{
				KeyringRef	ref;

				if (keysegment_ref(i, &ref) && ref.database == chosen)
					database->look_at = now + LOOK_MS;
			}
		}
		next = Min(next, database->look_at);
	}
	if (OidIsValid(chosen))
		start_worker(chosen, now);
	return next;
}

/* ----------
 * Claims and leases
 * ----------
 */

/*
 * Notes when to look after a claim that could not be renewed or read: soon, and
 * less and less often.  Backends that need it do not wait for that.
 */
static void
claim_failed(int number)
{
	uint64		pause = Max(keyclaim_lease / 10, 100);

	pause <<= Min(claim_failures[number], 10);
	claim_failures[number]++;
	claim_at[number] = clock_elapsed_ms() + Min(pause, LONGEST_PAUSE_MS);
}

/*
 * Renews the claim if it is ours, sees how it stands if not.  Notes when to do
 * so again.
 */
static void
tend_claim(KeyProvider *provider, int number, KeyringRef *ref)
{
	switch (keyclaim_refresh(provider, ref, false))
	{
		case KEYCLAIM_UNKNOWN:
			claim_failed(number);
			return;
		case KEYCLAIM_HELD:
			keysegment_lock(ref, LW_SHARED);
			claim_at[number] = ref->slot->claim_until - Min(ref->slot->claim_until,
															keyclaim_lease / 2);
			keysegment_unlock(ref);
			/* It is still held, but was not renewed. */
			if (claim_at[number] <= clock_elapsed_ms())
			{
				claim_failed(number);
				return;
			}
			break;
		default:
			claim_at[number] = clock_elapsed_ms() + Max(keyclaim_lease / 4, 100);
	}
	claim_failures[number] = 0;
}

/*
 * Renews the lease of what is in use shortly before it lapses, and wipes what
 * has lapsed.  Returns when to do so again.
 */
static uint64
tend_lease(KeyProvider **provider, KeyringRef *ref)
{
	uint64		now = clock_elapsed_ms();
	uint64		until;
	uint64		renew_at;
	bool		used;

	keysegment_lock(ref, LW_SHARED);
	until = pg_atomic_read_u64(&ref->slot->lease_until);
	renew_at = until - Min(until, ref->slot->lease_ms / 3);
	used = ref->slot->used;
	keysegment_unlock(ref);

	if (until == 0)
		return PG_UINT64_MAX;
	if (now < renew_at)
		return renew_at;
	if (used)
	{
		ref->slot->used = false;
		if (*provider == NULL)
			*provider = keyprovider_open(keyprovider_setting, ref->keyring);
		keyload_state(*provider, ref);
		return clock_elapsed_ms() + 50;
	}
	if (now < until)
		return until;

	keysegment_lock(ref, LW_EXCLUSIVE);
	if (pg_atomic_read_u64(&ref->slot->lease_until) <= now)
		keysegment_wipe_cover(ref->slot);
	keysegment_unlock(ref);
	return PG_UINT64_MAX;
}

/*
 * Looks after one keyring.  Returns when to do so again.
 */
static uint64
tend(int number, KeyringRef *ref, uint64 now)
{
	KeyProvider *provider = NULL;
	uint64		next = PG_UINT64_MAX;

	StartTransactionCommand();
	if (claim_at[number] <= now && keyprovider_setting[0] != '\0')
	{
		provider = keyprovider_open(keyprovider_setting, ref->keyring);
		tend_claim(provider, number, ref);
	}
	next = tend_lease(&provider, ref);
	CommitTransactionCommand();
	return Min(next, claim_at[number]);
}

/*
 * Wipes what has lapsed and could not be renewed.
 */
static void
wipe_lapsed(KeyringRef *ref)
{
	uint64		until;

	keysegment_lock(ref, LW_EXCLUSIVE);
	until = pg_atomic_read_u64(&ref->slot->lease_until);
	if (until != 0 && until <= clock_elapsed_ms())
		keysegment_wipe_cover(ref->slot);
	keysegment_unlock(ref);
}

/*
 * Runs tend() for all keyrings; what fails for one is logged and does not keep
 * the others waiting.
 */
static uint64
tend_all(uint64 now)
{
	volatile uint64 next = PG_UINT64_MAX;
	MemoryContext caller = CurrentMemoryContext;

	for (volatile int i = 0; i < KEYSEGMENT_SLOTS; i++)
	{
		KeyringRef	ref;

		if (!keysegment_ref(i, &ref))
		{
			claim_at[i] = claim_failures[i] = 0;
			continue;
		}
		PG_TRY();
		{
			next = Min(next, tend(i, &ref, now));
		}
		PG_CATCH();
		{
			MemoryContextSwitchTo(caller);
			if (claim_failures[i] % LOG_EVERY == 0)
				EmitErrorReport();
			FlushErrorState();
			AbortOutOfAnyTransaction();
			wipe_lapsed(&ref);
			claim_failed(i);
			next = Min(next, claim_at[i]);
		}
		PG_END_TRY();
		MemoryContextSwitchTo(caller);
	}
	return next;
}

/*
 * At an orderly end: other instances, and this one at its next start, need not
 * wait for the leases of our claims.
 */
static void
release_claims(void)
{
	for (int i = 0; i < KEYSEGMENT_SLOTS; i++)
	{
		KeyringRef	ref;

		if (keysegment_ref(i, &ref))
			release_claim(&ref);
	}
}

/* ----------
 * The process
 * ----------
 */

static void
launcher_gone(int code, Datum arg)
{
	keysegment_set_launcher(NULL);
}

/*
 * Does what is due; returns when something will be.
 */
static uint64
run(void)
{
	uint64		now = clock_elapsed_ms();
	uint64		next;

	/* First what asks providers, and may miss that the latch was set. */
	next = tend_all(now);
	if (keysegment_take_look())
	{
		ListCell   *lc;

		foreach(lc, databases)
			((Database *) lfirst(lc))->look_at = 0;
		list_at = 0;
	}
	if (list_at <= now)
	{
		list_databases(now);
		list_at = now + LIST_DATABASES_MS;
	}
	next = Min(next, start_what_is_due(clock_elapsed_ms()));
	return Min(next, list_at);
}

/*
 * Entry point.
 */
void
purpose_launcher_main(Datum arg)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	launcher_context = AllocSetContextCreate(TopMemoryContext, "pg_purpose launcher",
											 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(launcher_context);
	before_shmem_exit(launcher_gone, (Datum) 0);
	keysegment_set_launcher(MyLatch);
	pgstat_report_activity(STATE_IDLE, NULL);

	while (!ShutdownRequestPending)
	{
		uint64		next = run();
		uint64		now = clock_elapsed_ms();

		if (next > now)
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 Min(next - now, LONGEST_SLEEP_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	release_claims();

	/* With 0 the postmaster would not start it again. */
	proc_exit(1);
}

/*
 * Defines the setting, and has the postmaster start the launcher.
 */
void
launcher_init(void)
{
	BackgroundWorker process = {0};

	DefineCustomIntVariable("purpose.shred_deadline",
							"How long a shred may wait for others, so that one cycle serves them all.",
							"It is cut off at once in any case; this is about when its keys are destroyed.",
							&shred_deadline,
							0, 0, 24 * 3600 * 1000,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
	if (!guc_preloaded || IsBinaryUpgrade)
		return;

	process.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	process.bgw_start_time = BgWorkerStart_ConsistentState;
	process.bgw_restart_time = 5;
	strlcpy(process.bgw_library_name, "pg_purpose", BGW_MAXLEN);
	strlcpy(process.bgw_function_name, "purpose_launcher_main", BGW_MAXLEN);
	strlcpy(process.bgw_name, "pg_purpose launcher", BGW_MAXLEN);
	strlcpy(process.bgw_type, "pg_purpose launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&process);
}
