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
 * The subject whose number was asked for last: rows of one come together.  It
 * holds while no transaction or subtransaction with an xid has ended anywhere,
 * this one has done nothing since, and it goes on; so a number that was rolled
 * back, prepared away or replaced by a readmission is never given out again.
 */
typedef struct LastSubject
{
	uint64		completions;
	CommandId	command;
	Oid			table;
	uint64		number;
	char		key[64];		/* longer ones are not remembered */
} LastSubject;

static LastSubject *last = NULL;	/* in TopTransactionContext */

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
 * Inserts a subject's number.  Returns false if the subject has one by now.
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

	InitResultRelInfo(target, rel, 0, NULL, 0);
	ExecOpenIndices(target, true);
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
		bool		conflicts = false;

		CHECK_FOR_INTERRUPTS();
		if (!compat_index_constraints_hold(target, slot, estate, &conflict))
			break;
		token = SpeculativeInsertionLockAcquire(xid);
		table_tuple_insert_speculative(rel, slot, estate->es_output_cid, 0, NULL, token);
		(void) compat_insert_index_tuples(target, slot, estate, &conflicts);
		table_tuple_complete_speculative(rel, slot, token, !conflicts);
		SpeculativeInsertionLockRelease(xid);
		inserted = !conflicts;
	}

	ExecDropSingleTupleTableSlot(slot);
	ExecCloseIndices(target);
	FreeExecutorState(estate);
	table_close(rel, RowExclusiveLock);
	return inserted;
}

static void
forget_last(void *arg)
{
	last = NULL;
}

/*
 * Remembers a number, found after `completions` was read.
 */
static void
remember_last(Oid subject_table, const char *key, uint64 number, uint64 completions)
{
	if (strlen(key) >= sizeof(last->key))
		return;
	if (last == NULL)
	{
		MemoryContextCallback *callback = MemoryContextAlloc(TopTransactionContext,
															 sizeof(MemoryContextCallback));

		last = MemoryContextAlloc(TopTransactionContext, sizeof(LastSubject));
		callback->func = forget_last;
		callback->arg = NULL;
		MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	}
	last->completions = completions;
	last->command = GetCurrentCommandId(false);
	last->table = subject_table;
	last->number = number;
	strlcpy(last->key, key, sizeof(last->key));
}

static bool
is_last(Oid subject_table, const char *key, uint64 completions)
{
	return last != NULL && last->completions == completions &&
		last->command == GetCurrentCommandId(false) &&
		last->table == subject_table && strcmp(last->key, key) == 0;
}

static uint64 find_or_give(Oid subject_table, const char *key);

/*
 * Returns the number of a subject, giving it one if it has none.  Raises what
 * keyring_draw_number() raises, and 25006 where nothing can be written.
 */
uint64
subjectnumber_obtain(Oid subject_table, const char *key)
{
	uint64		completions = compat_completion_count();
	uint64		number;

	if (is_last(subject_table, key, completions))
		return last->number;
	number = find_or_give(subject_table, key);
	remember_last(subject_table, key, number, completions);
	return number;
}

static uint64
find_or_give(Oid subject_table, const char *key)
{
	uint64		number;

	if (subjectnumber_find(subject_table, key, &number))
		return number;
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
