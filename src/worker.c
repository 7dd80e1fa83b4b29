/*
 * worker.c
 *		The short-lived background process that works on one database's
 *		keyring.
 *
 * The launcher starts it, and never two at a time for one database.  It reads
 * which shreds wait, has their keys punctured (keycycle.h), notes in which
 * version that was, and marks the receipts of those that nobody can derive any
 * more.  For what has to wait, such as leases, it asks to be started again and
 * ends: a database with a worker in it cannot be dropped or copied.
 *
 * - A shred counts once its transaction is flushed: a crash that loses the
 *	 receipt must not find the key destroyed.
 * - Nothing is remembered from one run to the next but in tables and at the
 *	 provider, so a run may end anywhere.
 * - While the provider is asked no snapshot is held.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "catalog.h"
#include "clock.h"
#include "journalwriter.h"
#include "keyclaim.h"
#include "keycycle.h"
#include "keyfork.h"
#include "keyring.h"
#include "spi.h"
#include "stopevent.h"
#include "worker.h"

/* After a failure: 1 s, 2 s, 4 s, ... this. */
#define LONGEST_PAUSE_MS	(5 * 60 * 1000)

/* Of failures in a row that are the same, one in so many is logged. */
#define LOG_EVERY			16

/* A shred that waits. */
typedef struct Receipt
{
	Datum		id;				/* uuid */
	bool		noted;			/* in which version it was punctured */
	KeyPoint   *points;
	int			npoints;
} Receipt;

/* What one run does. */
typedef struct Work
{
	MemoryContext context;
	KeyringRef	ref;
	bool		bound;			/* there is a keyring */
	uint64		fence;			/* 0: this server does not hold the claim */
	uint64		request;		/* this run answers it */
	bool		rotate;
	bool		held;			/* after a failure it is too early for a cycle */
	Receipt    *receipts;
	int			nreceipts;
	uint64		retired;		/* no older version can be used any more */
	uint64		again_at;
	const char *evidence;
	bool		cycled;
} Work;

/* ----------
 * What is there to do?
 * ----------
 */

/*
 * Reads the receipts that wait.
 */
static void
read_receipts(Work *work)
{
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum((pg_uuid_t *) work->ref.keyring)};
	MemoryContext caller;

	if (SPI_execute_with_args("SELECT receipt_id, numbers, group_numbers, punctured_version IS NOT NULL, kind = 'token'"
							  " FROM purpose.shred_receipt WHERE destroyed_at IS NULL AND keyring = $1",
							  1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "receipts could not be read");
	caller = MemoryContextSwitchTo(work->context);
	work->nreceipts = (int) SPI_processed;
	work->receipts = MemoryContextAllocHuge(work->context,
											Max(1, sizeof(Receipt) * SPI_processed));
	for (int i = 0; i < work->nreceipts; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Receipt    *receipt = &work->receipts[i];
		Datum		groups;
		Datum		numbers;
		bool		isnull;
		bool		whole;

		receipt->id = datumCopy(SPI_getbinval(tuple, desc, 1, &isnull), false, UUID_LEN);
		numbers = SPI_getbinval(tuple, desc, 2, &isnull);
		groups = SPI_getbinval(tuple, desc, 3, &whole);
		receipt->noted = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
		receipt->points = keycycle_points(DatumGetBool(SPI_getbinval(tuple, desc, 5, &isnull)) ?
										  KEY_TOKEN : KEY_SUBJECT,
										  DatumGetArrayTypeP(numbers),
										  whole ? NULL : DatumGetArrayTypeP(groups),
										  &receipt->npoints);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Finds the slots of this database's keyrings that may be given up unless one
 * is the keyring that it is bound to: not those that a transaction has made
 * which goes on.  So this comes before the binding is read.
 */
static int
find_idle(KeyringRef *idle)
{
	int			n = 0;

	for (int i = 0; i < KEYSEGMENT_SLOTS; i++)
	{
		KeySlot    *slot;
		bool		in_making;

		if (!keysegment_ref(i, &idle[n]) || idle[n].database != MyDatabaseId)
			continue;
		keysegment_lock(&idle[n], LW_EXCLUSIVE);
		slot = idle[n].slot;
		in_making = TransactionIdIsValid(slot->maker) && TransactionIdIsInProgress(slot->maker);
		if (!in_making)
			slot->maker = InvalidTransactionId;
		keysegment_unlock(&idle[n]);
		n += in_making ? 0 : 1;
	}
	return n;
}

/*
 * Gives up the slots of keyrings that this database was bound to once, in a
 * transaction that rolled back for instance.
 */
static void
forget_others(const Work *work, KeyringRef *idle, int nidle)
{
	for (int i = 0; i < nidle; i++)
	{
		if (!work->bound || memcmp(idle[i].keyring, work->ref.keyring, KEYRING_ID_LEN) != 0)
			keysegment_forget(&idle[i]);
	}
	stopevent_reach("key_worker_forgot");
}

/*
 * Learns what this run is about.  Returns false if there is nothing to do.
 */
static bool
take_work(Work *work)
{
	KeyringRef *ref;
	KeySlot    *slot;
	bool		present;
	KeyringRef	idle[KEYSEGMENT_SLOTS];
	int			nidle;

	spi_begin_transaction();
	nidle = find_idle(idle);
	present = catalog_oids() != NULL;
	ref = present ? keyring_bound() : NULL;
	if (ref != NULL)
	{
		work->bound = true;
		work->ref = *ref;
	}
	forget_others(work, idle, nidle);
	if (work->bound)
	{
		keysegment_lock(&work->ref, LW_EXCLUSIVE);
		slot = work->ref.slot;
		work->held = !slot->rotate && slot->hold_until > clock_elapsed_ms();
		if (!work->held)
		{
			work->request = slot->requested;
			work->rotate = slot->rotate;
			slot->rotate = false;
			slot->wanted_at = slot->again_at = 0;
		}
		slot->journal_at = 0;
		slot->worker = MyProcPid;
		keysegment_unlock(&work->ref);
		if (!work->held && !RecoveryInProgress())
			read_receipts(work);
	}
	spi_commit_transaction();
	return work->bound;
}

/* ----------
 * Doing it
 * ----------
 */

/*
 * Tells who waits, and the launcher, how it went.
 */
static void
answer(Work *work, ErrorData *error)
{
	KeySlot    *slot;

	keysegment_lock(&work->ref, LW_EXCLUSIVE);
	slot = work->ref.slot;
	slot->answered = Max(slot->answered, work->request);
	slot->answered_at = GetCurrentTimestamp();
	if (error == NULL)
	{
		slot->sqlstate = slot->failures = 0;
		slot->message[0] = '\0';
		slot->hold_until = 0;
		if (work->cycled)
			slot->cycled_at = slot->answered_at;
	}
	else
	{
		uint64		pause = Min(1000ULL << Min(slot->failures, 20), LONGEST_PAUSE_MS);

		slot->sqlstate = error->sqlerrcode;
		strlcpy(slot->message, error->message, KEYSEGMENT_MESSAGE_LEN);
		slot->failures++;
		slot->hold_until = clock_elapsed_ms() + pause;
		if (slot->wanted_at == 0)
			slot->wanted_at = clock_elapsed_ms();
	}
	keysegment_unlock(&work->ref);
	ConditionVariableBroadcast(&slot->answer_cv);
}

/*
 * Has everything that waits punctured.  Sets what has to be noted, and returns
 * the version that does not have it any more; 0 if nothing was to be done.
 */
static uint64
puncture(Work *work)
{
	KeyProvider *provider;
	KeyClaimStanding standing;
	KeyPoint   *points;
	int64		npoints = 0;
	uint64		version = 0;

	StartTransactionCommand();
	provider = keyring_open_provider();
	standing = keyclaim_refresh(provider, &work->ref, false);
	if (!keyclaim_held(&work->ref, &work->fence))
	{
		work->fence = 0;
		/* That others hold the claim is an error for who wants something. */
		if (work->nreceipts > 0 || work->rotate)
			keyclaim_refuse(standing);
	}
	else if (work->nreceipts > 0 || work->rotate || keycycle_unfinished(provider, &work->ref))
	{
		stopevent_reach("key_cycle_begun");
		keycycle_recover(provider, &work->ref, work->fence);
		for (int i = 0; i < work->nreceipts; i++)
			npoints += work->receipts[i].npoints;
		if (npoints > INT_MAX)
			elog(ERROR, "too many keys to puncture at once");
		points = MemoryContextAllocHuge(CurrentMemoryContext,
										Max(1, sizeof(KeyPoint) * npoints));
		npoints = 0;
		for (int i = 0; i < work->nreceipts; i++)
		{
			Receipt    *receipt = &work->receipts[i];
			KeyPoint   *mine = points + npoints;
			int			n;

			memcpy(mine, receipt->points, sizeof(KeyPoint) * receipt->npoints);
			n = keycycle_unpunctured(provider, &work->ref, mine, receipt->npoints);
			npoints += n;
			if (n > 0)
				receipt->noted = false;
		}
		if (npoints > 0 || work->rotate)
		{
			spi_flush_visible();
			(void) keycycle_run(provider, &work->ref, work->fence, points, (int) npoints);
			work->cycled = true;
		}
		keysegment_lock(&work->ref, LW_SHARED);
		version = work->ref.slot->version;
		keysegment_unlock(&work->ref);
	}
	CommitTransactionCommand();
	return version;
}

/* The receipts that have been noted, or not yet, as an array of uuid. */
static Datum
receipt_ids(const Work *work, bool noted)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(1, work->nreceipts));
	int			n = 0;

	for (int i = 0; i < work->nreceipts; i++)
	{
		if (work->receipts[i].noted == noted)
			ids[n++] = work->receipts[i].id;
	}
	return PointerGetDatum(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/*
 * Notes for the receipts from which version on their keys are not derived.
 */
static void
note_version(Work *work, uint64 version)
{
	Oid			types[2] = {UUIDARRAYOID, INT8OID};
	Datum		values[2];

	spi_begin_transaction();
	values[0] = receipt_ids(work, false);
	values[1] = Int64GetDatum((int64) version);
	if (SPI_execute_with_args("UPDATE purpose.shred_receipt SET punctured_version = $2,"
							  " unreachable_at = coalesce(unreachable_at, clock_timestamp())"
							  " WHERE receipt_id = ANY ($1)",
							  2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "receipts could not be changed");
	spi_commit_transaction();
	for (int i = 0; i < work->nreceipts; i++)
		work->receipts[i].noted = true;
	stopevent_reach("key_cycle_version_noted");
}

/*
 * Asks up to which version nobody can derive keys any more.
 */
static void
ask_retired(Work *work)
{
	KeyProvider *provider;

	StartTransactionCommand();
	provider = keyring_open_provider();
	work->retired = keycycle_retired(provider, &work->ref, &work->again_at);
	work->evidence = MemoryContextStrdup(work->context, keyprovider_evidence(provider));
	CommitTransactionCommand();
	stopevent_reach("key_cycle_retired");
}

/*
 * Learns of forks, after ask_retired(): who copied a state that counts as retired
 * has recorded that before.
 */
static void
learn_forks(Work *work)
{
	Oid			types[] = {UUIDOID, UUIDOID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID};
	MemoryContext caller;
	List	   *forks;
	ListCell   *lc;

	StartTransactionCommand();
	caller = MemoryContextSwitchTo(work->context);
	forks = keyfork_list(keyring_open_provider(), work->ref.keyring, work->fence);
	MemoryContextSwitchTo(caller);
	CommitTransactionCommand();
	if (forks == NIL)
		return;

	spi_begin_transaction();
	foreach(lc, forks)
	{
		KeyFork    *fork = lfirst(lc);
		Datum		values[] = {
			UUIDPGetDatum((pg_uuid_t *) work->ref.keyring),
			UUIDPGetDatum((pg_uuid_t *) fork->keyring),
			Int64GetDatum((int64) fork->version),
			Int64GetDatum((int64) fork->end),
			TimestampTzGetDatum(fork->made_at),
			CStringGetTextDatum(fork->made_by)
		};

		if (SPI_execute_with_args("SELECT purpose._note_fork($1, $2, $3, $4, $5, $6)", 6, types,
								  values, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "a fork could not be noted");
	}
	spi_commit_transaction();
}

/*
 * Marks the receipts of keys that nobody can derive any more.
 */
static void
mark_destroyed(Work *work)
{
	Oid			types[3] = {UUIDARRAYOID, INT8OID, TEXTOID};
	Datum		values[3];

	spi_begin_transaction();
	values[0] = receipt_ids(work, true);
	values[1] = Int64GetDatum((int64) work->retired);
	values[2] = CStringGetTextDatum(work->evidence);
	if (SPI_execute_with_args("UPDATE purpose.shred_receipt SET destroyed_at = clock_timestamp(), evidence = $3"
							  " WHERE receipt_id = ANY ($1) AND punctured_version <= $2 AND destroyed_at IS NULL",
							  3, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "receipts could not be changed");
	spi_commit_transaction();
	stopevent_reach("key_cycle_receipts_marked");
}

static void
do_work(Work *work)
{
	uint64		version = puncture(work);
	bool		receipts = version != 0 && work->nreceipts > 0;

	answer(work, NULL);
	for (int i = 0; i < work->nreceipts && receipts; i++)
	{
		if (!work->receipts[i].noted)
		{
			note_version(work, version);
			break;
		}
	}
	if (receipts)
		ask_retired(work);
	if (work->fence != 0)
		learn_forks(work);
	if (!receipts)
		return;
	mark_destroyed(work);
	keysegment_lock(&work->ref, LW_EXCLUSIVE);
	work->ref.slot->again_at = work->again_at;
	keysegment_unlock(&work->ref);
}

/*
 * Writes the journal.
 */
static void
write_journal(Work *work)
{
	KeyProvider *provider;
	uint64		fence;

	StartTransactionCommand();
	provider = keyring_open_provider();
	(void) keyclaim_refresh(provider, &work->ref, false);
	keyprovider_close(provider);
	CommitTransactionCommand();
	if (keyclaim_held(&work->ref, &fence))
		journalwriter_run(&work->ref, fence);
	keysegment_lock(&work->ref, LW_EXCLUSIVE);
	work->ref.slot->journal_failures = 0;
	keysegment_unlock(&work->ref);
}

/*
 * The journal is tried again, after longer and longer pauses.
 */
static void
report_journal_failure(Work *work, ErrorData *error)
{
	KeySlot    *slot;
	int			failures;

	keysegment_lock(&work->ref, LW_EXCLUSIVE);
	slot = work->ref.slot;
	failures = slot->journal_failures++;
	slot->journal_at = clock_elapsed_ms() +
		Min(1000ULL << Min(failures, 20), LONGEST_PAUSE_MS);
	keysegment_unlock(&work->ref);
	if (failures % LOG_EVERY == 0)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("the journal beside the keyring could not be written: %s", error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
}

/*
 * A failure is for who waits and for purpose.keyring_status; in the log it is
 * once, and then now and again while it lasts.
 */
static void
report_failure(Work *work, ErrorData *error)
{
	bool		known;

	keysegment_lock(&work->ref, LW_SHARED);
	known = work->ref.slot->failures % LOG_EVERY != 0 &&
		work->ref.slot->sqlstate == error->sqlerrcode;
	keysegment_unlock(&work->ref);
	answer(work, error);
	if (!known)
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("work on the keyring failed: %s", error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
}

static void
use_safe_settings(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"synchronous_commit", "local"},
		{"row_security", "off"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
}

static void
work_on_keys(Work *work)
{
	if (take_work(work) && !work->held && !RecoveryInProgress())
		do_work(work);
}

/*
 * Does one thing; an error is reported, and ends it.
 */
static void
attempt(Work *work, void (*deed) (Work *), void (*report) (Work *, ErrorData *))
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		deed(work);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		AbortOutOfAnyTransaction();
		if (work->bound)
			report(work, error);
		else
			ereport(LOG,
					(errcode(error->sqlerrcode),
					 errmsg("the keyring could not be looked after: %s", error->message)));
	}
	PG_END_TRY();
}

/*
 * Entry point; the argument is the database.
 */
void
purpose_worker_main(Datum arg)
{
	Work		work = {0};

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), InvalidOid, 0);
	use_safe_settings();
	pgstat_report_activity(STATE_RUNNING, "looking after the keyring");

	work.context = AllocSetContextCreate(TopMemoryContext, "pg_purpose key work",
										 ALLOCSET_DEFAULT_SIZES);
	attempt(&work, work_on_keys, report_failure);
	if (work.bound && !RecoveryInProgress())
		attempt(&work, write_journal, report_journal_failure);

	if (work.bound)
	{
		keysegment_lock(&work.ref, LW_EXCLUSIVE);
		work.ref.slot->worker = 0;
		keysegment_unlock(&work.ref);
	}
	proc_exit(0);
}
