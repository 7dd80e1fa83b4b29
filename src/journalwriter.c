/*
 * journalwriter.c
 *		From purpose.journal_outbox to the journal beside the keyring.
 *
 * What is to be in the journal is put into the outbox by the transaction that
 * does it.  The worker of the instance that holds the keyring's claim appends
 * it, in the order in which it was put there: for one subject and purpose that
 * is the order of commits, because the change of the consent's state, which comes
 * first, makes transactions wait for each other.
 *
 *	1	read a batch of the outbox
 *	2	flush the WAL: what is visible has been committed, but perhaps with
 *		synchronous_commit off, and must not be in a journal and then be lost
 *		with a crash
 *	3	append the batch to the journal, in a transaction without a snapshot
 *	4	delete the rows, and note the new end of the journal in journal_state,
 *		in one transaction
 *
 * After a crash between 3 and 4 the journal is ahead of the database by rows
 * that the outbox still holds: rewound.c calls them explained, and the next run
 * goes on with 4.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "clock.h"
#include "errcodes.h"
#include "guc.h"
#include "journal.h"
#include "journalwriter.h"
#include "rewound.h"
#include "spi.h"
#include "stopevent.h"

/* Rows that are appended at once. */
#define BATCH	5000

/* One round. */
typedef struct Round
{
	List	   *entries;		/* of JournalEntry *; from the outbox */
	List	   *subjects;		/* of char *, their keys; NULL for none */
	JournalState state;			/* before they were read */
	List	   *stored;			/* of JournalEntry *; to be noted */
	JournalPoint head;			/* where the journal ends now */
	uint64		incarnation;
} Round;

/* ----------
 * 1 and 2
 * ----------
 */

/* Columns of purpose._journal_waiting(). */
enum
{
	OUTBOX_EVENT = 1,
	OUTBOX_KIND,
	OUTBOX_IMPORTED,
	OUTBOX_TABLE,
	OUTBOX_SUBJECT,
	OUTBOX_PURPOSE,
	OUTBOX_AT,
	OUTBOX_DETAIL
};

/*
 * A column of a row as UTF-8; NULL for NULL.
 */
static char *
text_column(HeapTuple tuple, TupleDesc desc, int number)
{
	char	   *text = SPI_getvalue(tuple, desc, number);

	return text == NULL ? NULL : pg_server_to_any(text, strlen(text), PG_UTF8);
}

static const char *
or_empty(const char *text)
{
	return text == NULL ? "" : text;
}

/*
 * Makes an entry of a row, all but the subject's hash.
 */
static JournalEntry *
make_entry(HeapTuple tuple, TupleDesc desc)
{
	JournalEntry *entry = palloc0(sizeof(JournalEntry));
	bool		isnull;

	if (!journalformat_parse_kind(SPI_getvalue(tuple, desc, OUTBOX_KIND), &entry->kind))
		elog(ERROR, "the outbox holds an event of unknown kind");
	memcpy(entry->event, DatumGetUUIDP(SPI_getbinval(tuple, desc, OUTBOX_EVENT, &isnull))->data,
		   JOURNAL_EVENT_LEN);
	if (DatumGetBool(SPI_getbinval(tuple, desc, OUTBOX_IMPORTED, &isnull)))
		entry->flags |= JOURNAL_FLAG_IMPORTED;
	entry->at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, OUTBOX_AT, &isnull));
	entry->table = or_empty(text_column(tuple, desc, OUTBOX_TABLE));
	entry->purpose = or_empty(text_column(tuple, desc, OUTBOX_PURPOSE));
	entry->detail = or_empty(text_column(tuple, desc, OUTBOX_DETAIL));
	return entry;
}

/*
 * Reads a batch into `context`.
 */
static void
read_outbox(Round *round, KeyringRef *ref, MemoryContext context)
{
	Oid			types[] = {INT4OID};
	Datum		values[] = {Int32GetDatum(BATCH)};
	MemoryContext caller;

	spi_begin_transaction();
	rewound_read_state(ref->keyring, &round->state);
	PopActiveSnapshot();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute_with_args("SELECT * FROM purpose._journal_waiting($1)", 1, types, values, NULL,
							  false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the outbox could not be read");
	caller = MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		round->entries = lappend(round->entries, make_entry(tuple, desc));
		round->subjects = lappend(round->subjects, text_column(tuple, desc, OUTBOX_SUBJECT));
	}
	MemoryContextSwitchTo(caller);
	spi_commit_transaction();
}

/* ----------
 * 3
 * ----------
 */

/*
 * Prunes what is older than any backup.
 */
static void
prune(Journal *journal, uint64 fence)
{
	TimestampTz now = clock_now();

	if (guc_backup_horizon > 0 && list_length(journal->versions) > 1)
		(void) journal_prune(journal, fence, now - guc_backup_horizon * USECS_PER_DAY, now);
}

/*
 * Appends the batch, or finds that an earlier run appended what it did not note;
 * everything into `context`.  Returns false if there is nothing to go on with.
 */
static bool
write_journal(Round *round, KeyringRef *ref, uint64 fence, MemoryContext context)
{
	KeyProvider *provider;
	RewoundFinding finding;
	MemoryContext caller;
	ListCell   *entry;
	ListCell   *subject;
	bool		again = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	caller = MemoryContextSwitchTo(context);
	provider = keyprovider_open(keyprovider_setting, ref->keyring);
	rewound_find_out(provider, ref, &finding);
	round->incarnation = finding.state.incarnation;
	if (finding.verdict != REWOUND_NOT)
		ereport(LOG,
				(errcode(ERRCODE_DATABASE_REWOUND),
				 errmsg("nothing is appended to the journal: this database was put back to an earlier moment"),
				 errhint("A privacy officer replays what it lacks: SELECT * FROM purpose.reconcile().")));
	else if (finding.explained != NIL)
	{
		journal_secure(finding.journal, fence);
		round->stored = finding.explained;
	}
	else if (!journalformat_same_point(&finding.state.point, &round->state.point))
		again = true;			/* reconcile() was here: the batch is stale */
	else if (round->entries != NIL)
	{
		forboth(entry, round->entries, subject, round->subjects)
		{
			JournalEntry *e = lfirst(entry);

			e->incarnation = round->incarnation;
			if (lfirst(subject) != NULL)
				journal_hash_subject(provider, ref->keyring, e->table, lfirst(subject), e->subject);
		}
		journal_append(finding.journal, fence, round->entries, clock_now());
		round->stored = round->entries;
	}
	else
		prune(finding.journal, fence);
	round->head = finding.journal->head;
	keyprovider_close(provider);
	MemoryContextSwitchTo(caller);
	CommitTransactionCommand();
	return again || round->stored != NIL;
}

/* ----------
 * 4
 * ----------
 */

static Datum
bytes_datum(const uint8 *bytes, size_t len)
{
	bytea	   *result = palloc(VARHDRSZ + len);

	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), bytes, len);
	return PointerGetDatum(result);
}

/*
 * A receipt that was made while the journal's key could not be read learns its
 * subject's hash now.
 */
static void
note_subject_hash(const JournalEntry *entry)
{
	Oid			types[] = {TEXTOID, BYTEAOID};
	Datum		values[2];

	values[0] = CStringGetTextDatum(entry->detail);
	values[1] = bytes_datum(entry->subject, JOURNAL_HASH_LEN);
	if (SPI_execute_with_args("SELECT purpose._note_subject_hash($1::jsonb, $2)", 2, types, values,
							  NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "a subject's hash could not be noted");
}

static void
note_stored(const Round *round, const KeyringRef *ref)
{
	Oid			types[] = {UUIDOID, INT8OID, INT8OID, BYTEAOID, UUIDARRAYOID};
	Datum		values[5];
	Datum	   *events = palloc(sizeof(Datum) * list_length(round->stored));
	pg_uuid_t	keyring;
	ListCell   *lc;
	int			n = 0;

	spi_begin_transaction();
	foreach(lc, round->stored)
	{
		JournalEntry *entry = lfirst(lc);

		events[n++] = UUIDPGetDatum((pg_uuid_t *) entry->event);
		if (entry->kind == JOURNAL_SHRED)
			note_subject_hash(entry);
	}
	memcpy(keyring.data, ref->keyring, KEYRING_ID_LEN);
	values[0] = UUIDPGetDatum(&keyring);
	values[1] = Int64GetDatum((int64) round->incarnation);
	values[2] = Int64GetDatum((int64) round->head.sequence);
	values[3] = bytes_datum(round->head.hash, JOURNAL_HASH_LEN);
	values[4] = PointerGetDatum(construct_array(events, n, UUIDOID, UUID_LEN, false,
												TYPALIGN_CHAR));
	if (SPI_execute_with_args("SELECT purpose._note_journal($1, $2, $3, $4, $5)", 5, types, values,
							  NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "the end of the journal could not be noted");
	stopevent_reach("journal_noted");
	spi_commit_transaction();
}

void
journalwriter_run(KeyringRef *ref, uint64 fence)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "pg_purpose journal round",
												  ALLOCSET_DEFAULT_SIZES);
	bool		more = true;

	while (more)
	{
		Round		round = {0};

		MemoryContextReset(context);
		read_outbox(&round, ref, context);
		if (round.entries != NIL)
			spi_flush_visible();
		stopevent_reach("journal_read");
		more = write_journal(&round, ref, fence, context);
		stopevent_reach("journal_appended");
		if (round.stored != NIL)
			note_stored(&round, ref);
	}
	MemoryContextDelete(context);
}
