/*
 * retoken.c
 *		Gives all values of a searchable column tokens under another key.
 *
 * For purpose.rotate_tokens(), which holds the table in ACCESS EXCLUSIVE mode
 * and punctures the old key afterwards.  The table is written anew, as ALTER
 * TABLE does it: no trigger fires, indexes are rebuilt (by PostgreSQL, with the
 * owner's rights), no old token is left in a file, and transactions with an
 * older snapshot find the table empty.  An index must hold tokens under one key
 * only, since they are ordered by key first.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/cluster.h"
#include "commands/tablecmds.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "errcodes.h"
#include "sealed.h"

PG_FUNCTION_INFO_V1(retoken_column);

/*
 * Writes one table anew.  Returns how many values it had.
 */
static int64
retoken_table(Oid relid, const char *column, uint64 number)
{
	Relation	rel = table_open(relid, AccessExclusiveLock);
	AttrNumber	attno = get_attnum(relid, column);
	const SealedType *found = sealedtype_find(getBaseType(get_atttype(relid, attno)));
	SealedType	type;
	Oid			new_relid;
	Relation	new_rel;
	BulkInsertState bulk;
	MemoryContext row_context;
	TupleTableSlot *slot;
	TupleTableSlot *copy;
	TableScanDesc scan;
	Snapshot	snapshot;
	int64		count = 0;

	if (found == NULL || !found->searchable)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("column \"%s\" of relation \"%s\" is not of a searchable type",
						column, RelationGetRelationName(rel)),
				 errhint("Only types such as purpose.searchable_text have tokens.")));
	type = *found;
	if (!RELKIND_HAS_STORAGE(rel->rd_rel->relkind))
	{
		table_close(rel, NoLock);
		return 0;
	}

	CheckTableNotInUse(rel, "rotate_tokens");
	new_relid = make_new_heap(relid, rel->rd_rel->reltablespace, rel->rd_rel->relam,
							  rel->rd_rel->relpersistence, AccessExclusiveLock);
	new_rel = table_open(new_relid, AccessExclusiveLock);
	bulk = GetBulkInsertState();
	row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_purpose row",
										ALLOCSET_DEFAULT_SIZES);
	slot = table_slot_create(rel, NULL);
	copy = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = table_beginscan(rel, snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext before = MemoryContextSwitchTo(row_context);
		HeapTuple	row;
		Datum		values[1];
		bool		nulls[1] = {false};
		int			columns[1] = {attno};

		CHECK_FOR_INTERRUPTS();
		row = ExecCopySlotHeapTuple(slot);
		slot_getallattrs(slot);
		if (!slot->tts_isnull[attno - 1])
		{
			values[0] = sealed_retoken(&type, slot->tts_values[attno - 1], number);
			row = heap_modify_tuple_by_cols(row, RelationGetDescr(rel), 1, columns, values, nulls);
			count++;
		}
		ExecForceStoreHeapTuple(row, copy, false);
		table_tuple_insert(new_rel, copy, GetCurrentCommandId(true), TABLE_INSERT_SKIP_FSM, bulk);
		ExecClearTuple(copy);
		MemoryContextSwitchTo(before);
		MemoryContextReset(row_context);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(copy);
	FreeBulkInsertState(bulk);
	MemoryContextDelete(row_context);
	table_finish_bulk_insert(new_rel, TABLE_INSERT_SKIP_FSM);
	table_close(new_rel, NoLock);
	table_close(rel, NoLock);

	/* Toasted values were copied, so toast tables are swapped as they are. */
	finish_heap_swap(relid, new_relid, false, false, false, true, RecentXmin,
					 ReadNextMultiXactId(), get_rel_persistence(relid));
	return count;
}

/*
 * purpose._retoken_column(relation regclass, column name, number bigint) -> bigint
 */
Datum
retoken_column(PG_FUNCTION_ARGS)
{
	int64		count = 0;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(PG_GETARG_OID(0), AccessExclusiveLock, NULL))
		count += retoken_table(lfirst_oid(lc), NameStr(*PG_GETARG_NAME(1)),
							   (uint64) PG_GETARG_INT64(2));
	PG_RETURN_INT64(count);
}
