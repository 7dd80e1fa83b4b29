/*
 * subjectnumber.c
 *		Which number of the keyring is a data subject's.
 *
 * purpose.subject_number gives each subject that ever had a value sealed its
 * current number; purpose.retired_number the numbers that it had before it was
 * readmitted after a shred.  They are read with a snapshot of the moment, as
 * consents are, so that two sessions that seal for the same new subject agree.
 *
 * A number is drawn from the keyring outside of any transaction and inserted
 * speculatively, as INSERT ... ON CONFLICT DO NOTHING does: whoever comes
 * second waits for the first one's transaction and takes its number.  The
 * number that was drawn in vain is never used.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "catalog.h"
#include "compat.h"
#include "keyring.h"
#include "subjectnumber.h"

/*
 * What is known of subjects that follow each other in the order of their keys:
 * all that have a number, from `low` on, as far as the last of them; with
 * `open_end` beyond it, too.  So rows of one person that come together, and rows
 * in the order of their people, need few look-ups.
 *
 * It holds while no transaction or subtransaction with an xid has ended anywhere,
 * this one has done nothing since but to give numbers here, and it goes on; so a
 * number that was rolled back, prepared away or replaced by a readmission is
 * never given out again.
 */
#define WINDOW_SUBJECTS		128

typedef struct Window
{
	MemoryContext context;		/* of the keys */
	uint64		completions;
	CommandId	command;
	Oid			table;
	char	   *low;
	bool		open_end;
	bool		ahead;			/* it was read ahead */
	int			hits;			/* how often it helped */
	int			n;
	char	   *keys[WINDOW_SUBJECTS];	/* in their order */
	uint64		numbers[WINDOW_SUBJECTS];
} Window;

static Window *window = NULL;	/* in TopTransactionContext */

/*
 * Reading ahead costs as much as a few look-ups.  How many of these to do before
 * it: at the beginning of a transaction, and after it helped less often than
 * that.
 */
#define PATIENCE_AT_FIRST	16
#define PATIENCE_IN_VAIN	128
#define WORTHWHILE_HITS		8

static int	patience;

PG_FUNCTION_INFO_V1(subjectnumber_obtain_sql);
PG_FUNCTION_INFO_V1(subjectnumber_draw_sql);

/*
 * Finds the current number of a subject.
 */
bool
subjectnumber_find(Oid subject_table, const char *key, uint64 *number)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple	tuple;
	bool		isnull;

	ScanKeyInit(&keys[0], Anum_number_subject_table, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(subject_table));
	ScanKeyInit(&keys[1], Anum_number_subject, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(key));
	rel = table_open(oids->subject_number, AccessShareLock);
	scan = systable_beginscan(rel, oids->subject_number_pkey, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		*number = (uint64) DatumGetInt64(heap_getattr(tuple, Anum_number_number,
													  RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

/*
 * Inserts the number of a subject that was found to have none.  Returns false
 * if it has one by now.
 */
static bool
insert_number(Oid subject_table, const char *key, uint64 number)
{
	Relation	rel = table_open(catalog_oids()->subject_number, RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TransactionId xid = GetCurrentTransactionId();
	bool		inserted = false;
	bool		conflicts = false;

	InitResultRelInfo(target, rel, 0, NULL, 0);
	ExecOpenIndices(target, false);
	estate->es_output_cid = GetCurrentCommandId(true);

	ExecClearTuple(slot);
	slot->tts_values[Anum_number_subject_table - 1] = ObjectIdGetDatum(subject_table);
	slot->tts_values[Anum_number_subject - 1] = CStringGetTextDatum(key);
	slot->tts_values[Anum_number_number - 1] = Int64GetDatum((int64) number);
	memset(slot->tts_isnull, 0, Natts_number * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(rel);

	while (!inserted)
	{
		ItemPointerData conflict;
		uint32		token;

		CHECK_FOR_INTERRUPTS();
		/* Waits for who is before us; the first time there is hardly anybody. */
		if (conflicts)
		{
			for (int i = 0; i < target->ri_NumIndices; i++)
			{
				IndexInfo  *info = target->ri_IndexRelationInfo[i];

				if (info->ii_Unique && info->ii_UniqueOps == NULL)
					BuildSpeculativeIndexInfo(target->ri_IndexRelationDescs[i], info);
			}
			if (!compat_index_constraints_hold(target, slot, estate, &conflict))
				break;
		}
		conflicts = false;
		token = SpeculativeInsertionLockAcquire(xid);
		table_tuple_insert_speculative(rel, slot, estate->es_output_cid, 0, NULL, token);
		(void) compat_insert_index_tuples(target, slot, estate, &conflicts);
		table_tuple_complete_speculative(rel, slot, token, !conflicts);
		SpeculativeInsertionLockRelease(xid);
		inserted = !conflicts;
	}

	/* The locks stay, as those of a table that is written to: more will come. */
	ExecDropSingleTupleTableSlot(slot);
	for (int i = 0; i < target->ri_NumIndices; i++)
		index_close(target->ri_IndexRelationDescs[i], NoLock);
	FreeExecutorState(estate);
	table_close(rel, NoLock);
	return inserted;
}

/* ----------
 * The window
 * ----------
 */

static void
window_gone(void *arg)
{
	window = NULL;
}

/*
 * Makes the window one of a table's subjects from `low` on, of which none is
 * known yet.
 */
static void
window_begin(Oid subject_table, const char *low, uint64 completions)
{
	if (window == NULL)
	{
		MemoryContextCallback *callback = MemoryContextAlloc(TopTransactionContext,
															 sizeof(MemoryContextCallback));

		callback->func = window_gone;
		callback->arg = NULL;
		window = MemoryContextAllocZero(TopTransactionContext, sizeof(Window));
		MemoryContextRegisterResetCallback(TopTransactionContext, callback);
		window->context = AllocSetContextCreate(TopTransactionContext, "pg_purpose numbers",
												ALLOCSET_DEFAULT_SIZES);
		patience = PATIENCE_AT_FIRST;
	}
	window->n = window->hits = 0;
	window->open_end = false;
	MemoryContextReset(window->context);
	window->low = MemoryContextStrdup(window->context, low);
	window->table = subject_table;
	window->completions = completions;
	window->command = GetCurrentCommandId(false);
}

/*
 * Where in the window is a key, or would it be?  -1 if it is not of the window.
 */
static int
window_find(Oid subject_table, const char *key, uint64 completions, bool *found)
{
	int			first = 0;
	int			end;

	*found = false;
	if (window == NULL || window->completions != completions ||
		window->command != GetCurrentCommandId(false) ||
		window->table != subject_table || strcmp(key, window->low) < 0)
		return -1;
	end = window->n;
	while (first < end)
	{
		int			middle = (first + end) / 2;
		int			order = strcmp(window->keys[middle], key);

		if (order == 0)
		{
			*found = true;
			return middle;
		}
		if (order < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return first < window->n || window->open_end ? first : -1;
}

/*
 * Has a full window end, or begin, in its middle.
 */
static void
window_halve(bool keep_lower)
{
	const int	half = WINDOW_SUBJECTS / 2;
	int			gone = keep_lower ? half : 0;

	if (!keep_lower)
	{
		char	   *low = MemoryContextStrdup(window->context, window->keys[half]);

		pfree(window->low);
		window->low = low;
	}
	else
		window->open_end = false;
	for (int i = gone; i < gone + half; i++)
		pfree(window->keys[i]);
	window->n = half;
	if (!keep_lower)
	{
		memmove(window->keys, window->keys + half, half * sizeof(char *));
		memmove(window->numbers, window->numbers + half, half * sizeof(uint64));
	}
}

/*
 * Adds a subject that belongs into the window at a place.  A full one loses the
 * half that is further away.
 */
static void
window_add(int place, const char *key, uint64 number)
{
	char	   *copy = MemoryContextStrdup(window->context, key);

	if (window->n == WINDOW_SUBJECTS)
	{
		bool		keep_lower = place < WINDOW_SUBJECTS / 2;

		window_halve(keep_lower);
		if (!keep_lower)
			place -= WINDOW_SUBJECTS / 2;
	}
	memmove(window->keys + place + 1, window->keys + place,
			(window->n - place) * sizeof(char *));
	memmove(window->numbers + place + 1, window->numbers + place,
			(window->n - place) * sizeof(uint64));
	window->keys[place] = copy;
	window->numbers[place] = number;
	window->n++;
}

/*
 * Fills the window with the subjects that come after its lower end.
 */
static void
window_read_ahead(void)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel = table_open(oids->subject_number, AccessShareLock);
	Relation	index = index_open(oids->subject_number_pkey, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple	tuple = NULL;

	ScanKeyInit(&keys[0], Anum_number_subject_table, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(window->table));
	ScanKeyInit(&keys[1], Anum_number_subject, BTGreaterEqualStrategyNumber, F_TEXT_GE,
				CStringGetTextDatum(window->low));
	scan = systable_beginscan_ordered(rel, index, NULL, 2, keys);
	while (window->n < WINDOW_SUBJECTS &&
		   HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		char	   *key = TextDatumGetCString(heap_getattr(tuple, Anum_number_subject, desc,
														   &isnull));

		window_add(window->n, key,
				   (uint64) DatumGetInt64(heap_getattr(tuple, Anum_number_number, desc, &isnull)));
		pfree(key);
	}
	window->open_end = !HeapTupleIsValid(tuple);
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
}

/*
 * Looks a subject up that is not of the window, and has the window begin with it.
 */
static void
window_look_up(Oid subject_table, const char *key, uint64 completions)
{
	uint64		number;

	if (window != NULL && window->ahead && window->hits < WORTHWHILE_HITS)
		patience = PATIENCE_IN_VAIN;
	window_begin(subject_table, key, completions);
	window->ahead = patience == 0;
	if (window->ahead)
		window_read_ahead();
	else
	{
		patience--;
		if (subjectnumber_find(subject_table, key, &number))
			window_add(0, key, number);
	}
}

/*
 * Gives a number to a subject that has none, as far as is known.
 */
static uint64
give_number(Oid subject_table, const char *key)
{
	uint64		number;

	PreventCommandIfReadOnly("sealing a value of a new subject");
	PreventCommandIfParallelMode("sealing a value of a new subject");
	number = keyring_draw_number();
	if (insert_number(subject_table, key, number))
	{
		/* What this command does next with the value must find its owner. */
		CommandCounterIncrement();
		return number;
	}

	/* Another transaction's, committed by now, or this command's own. */
	CommandCounterIncrement();
	if (!subjectnumber_find(subject_table, key, &number))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not give a subject its key number because of concurrent changes"),
				 errhint("Run the transaction again.")));
	return number;
}

/*
 * Returns the number of a subject, giving it one if it has none.  Raises what
 * keyring_draw_number() raises, and 25006 where nothing can be written.
 */
uint64
subjectnumber_obtain(Oid subject_table, const char *key)
{
	uint64		completions = compat_completion_count();
	uint64		number;
	int			place;
	bool		found;

	place = window_find(subject_table, key, completions, &found);
	if (place >= 0)
		window->hits++;
	else
	{
		window_look_up(subject_table, key, completions);
		place = window_find(subject_table, key, completions, &found);
	}
	if (found)
		return window->numbers[place];

	number = give_number(subject_table, key);
	window_add(Max(place, 0), key, number);
	/* That was a command of this transaction, but the window knows of it. */
	window->command = GetCurrentCommandId(false);
	return number;
}

/*
 * Finds the subject that has, or had, a number.  owner->key is allocated in
 * the current context.
 */
bool
subjectnumber_owner(uint64 number, SubjectName *owner)
{
	const CatalogOids *oids = catalog_oids();
	const struct
	{
		Oid			table;
		Oid			index;
	}			places[] = {
		{oids->subject_number, oids->subject_number_number_key},
		{oids->retired_number, oids->retired_number_number_key},
	};
	bool		found = false;

	for (int i = 0; i < lengthof(places) && !found; i++)
	{
		Relation	rel = table_open(places[i].table, AccessShareLock);
		SysScanDesc scan;
		ScanKeyData key;
		HeapTuple	tuple;
		bool		isnull;

		ScanKeyInit(&key, Anum_number_number, BTEqualStrategyNumber, F_INT8EQ,
					Int64GetDatum((int64) number));
		scan = systable_beginscan(rel, places[i].index, true, NULL, 1, &key);
		tuple = systable_getnext(scan);
		if (HeapTupleIsValid(tuple))
		{
			TupleDesc	desc = RelationGetDescr(rel);

			owner->table = DatumGetObjectId(heap_getattr(tuple, Anum_number_subject_table,
														 desc, &isnull));
			owner->key = TextDatumGetCString(heap_getattr(tuple, Anum_number_subject,
														  desc, &isnull));
			found = true;
		}
		systable_endscan(scan);
		table_close(rel, AccessShareLock);
	}
	return found;
}

/*
 * purpose._obtain_number(subject_table regclass, subject text) -> bigint
 */
Datum
subjectnumber_obtain_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) subjectnumber_obtain(PG_GETARG_OID(0),
												 text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

/*
 * purpose._draw_number() -> bigint
 */
Datum
subjectnumber_draw_sql(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) keyring_draw_number());
}
