/*
 * migratescan.c
 *		The rows of a column that is being sealed or unsealed: counts those that
 *		stand in the way, and fills the shadow column of the others.
 *
 * Rows are changed below the executor.  That is maintenance: no trigger, rule
 * or policy of anybody's is asked, and no value but the shadow's changes.  The
 * only code of the owner's that runs is that of index expressions, as the
 * owner and in a security-restricted operation, as in VACUUM FULL.
 *
 * A row that another transaction has locked is left for a later pass, so this
 * never waits for a row while it holds others.  Relations are locked until the
 * end of the transaction.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "errcodes.h"
#include "protection.h"
#include "sealed.h"
#include "sealing.h"
#include "subjectnumber.h"

/* Blocks between two looks at what has been done. */
#define SCAN_CHUNK	16

/* Rows looked at in one transaction, for each that may be changed. */
#define SCAN_SEEN_FACTOR	10

PG_FUNCTION_INFO_V1(migrate_scan);

typedef struct MigrationScan
{
	Relation	rel;
	bool		unseals;
	bool		shredded_as_null;
	AttrNumber	source;			/* the column, as it is */
	AttrNumber	shadow;			/* what it becomes; 0: only count */
	SealedType	type;
	const SealedLabel *label;	/* of what is sealed */
	EState	   *estate;
	ResultRelInfo *target;
	TupleTableSlot *seen;
	TupleTableSlot *locked;
	TupleTableSlot *changed;

	/* what was found */
	int64		rows;
	int64		done;
	int64		busy;			/* locked by somebody else */
	int64		nobodys;		/* without a subject */
	int64		shredded;
	int64		closed;			/* may not be opened by the session */
} MigrationScan;

typedef enum Verdict
{
	ROW_STAYS,
	ROW_NULLS,					/* the shadow must be NULL and is not */
	ROW_CHANGES,				/* the shadow must get a value */
	ROW_NOBODYS,
	ROW_SHREDDED,
	ROW_CLOSED
} Verdict;

static Datum
get_column(HeapTuple tuple, TupleDesc desc, AttrNumber attno, bool *isnull)
{
	*isnull = true;
	return attno > 0 ? heap_getattr(tuple, attno, desc, isnull) : (Datum) 0;
}

/*
 * Seals one value for its row's subject; only sees whether that can be done
 * if nothing is to be changed.
 */
static Verdict
seal_value(MigrationScan *scan, HeapTuple tuple, Datum value, Datum *result)
{
	const RelationPolicy *policy = protection_find(RelationGetRelid(scan->rel));
	Oid			subject_table;
	char	   *key;
	uint64		number;

	if (policy == NULL || policy->protection == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PROTECTION),
				 errmsg("relation \"%s\" is not protected", RelationGetRelationName(scan->rel)),
				 errhint("purpose.protect() says whose data its rows are.")));
	subject_table = policy->protection->subject_table;
	key = sealing_subject_of_row(policy->protection, RelationGetDescr(scan->rel), tuple);
	if (key == NULL)
		return ROW_NOBODYS;
	if (scan->shadow == 0)
		return subjectnumber_find(subject_table, key, &number) &&
			!sealed_can_seal(scan->label, number) ? ROW_SHREDDED : ROW_CHANGES;
	number = subjectnumber_obtain(subject_table, key);
	if (!sealed_can_seal(scan->label, number))
		return ROW_SHREDDED;
	*result = sealed_seal(&scan->type, value, scan->label, number, 0);
	return ROW_CHANGES;
}

/*
 * Opens one value, with what the session may open.
 */
static Verdict
open_value(MigrationScan *scan, Datum value, Datum *result)
{
	if (sealed_is_shredded(value))
		return scan->shredded_as_null ? ROW_STAYS : ROW_SHREDDED;
	return sealed_open(&scan->type, value, result) ? ROW_CHANGES : ROW_CLOSED;
}

/*
 * Says what is to be done with a row, and which value its shadow gets.
 */
static Verdict
judge_row(MigrationScan *scan, HeapTuple tuple, Datum *result)
{
	TupleDesc	desc = RelationGetDescr(scan->rel);
	bool		source_null;
	bool		shadow_null;
	Datum		source = get_column(tuple, desc, scan->source, &source_null);

	(void) get_column(tuple, desc, scan->shadow, &shadow_null);
	if (source_null)
		return shadow_null ? ROW_STAYS : ROW_NULLS;
	if (shadow_null)
		return scan->unseals ? open_value(scan, source, result) :
			seal_value(scan, tuple, source, result);
	/* A subject that was shredded since: the clear copy must not stay. */
	if (scan->unseals && sealed_is_shredded(source))
		return scan->shredded_as_null ? ROW_NULLS : ROW_SHREDDED;
	return ROW_STAYS;
}

/*
 * Puts a new version of the row in `locked` in its place.
 */
static void
replace_row(MigrationScan *scan, HeapTuple tuple, Datum value, bool isnull)
{
	Relation	rel = scan->rel;
	CompatIndexUpdate update = COMPAT_INDEXES_STAY;
	int			column = scan->shadow;
	HeapTuple	changed = heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), 1, &column,
													&value, &isnull);
	Oid			user;
	int			context;
	int			level;

	ExecForceStoreHeapTuple(changed, scan->changed, false);
	scan->changed->tts_tableOid = RelationGetRelid(rel);
	simple_table_tuple_update(rel, &scan->locked->tts_tid, scan->changed, GetActiveSnapshot(),
							  &update);
	if (update != COMPAT_INDEXES_STAY)
	{
		GetUserIdAndSecContext(&user, &context);
		SetUserIdAndSecContext(rel->rd_rel->relowner, context | SECURITY_RESTRICTED_OPERATION);
		level = NewGUCNestLevel();
		compat_update_index_tuples(scan->target, scan->changed, scan->estate, update);
		AtEOXact_GUC(false, level);
		SetUserIdAndSecContext(user, context);
	}
	ResetPerTupleExprContext(scan->estate);
	/* The number that a subject has just got must be seen by its next row. */
	CommandCounterIncrement();
}

static void
count_verdict(MigrationScan *scan, Verdict verdict)
{
	switch (verdict)
	{
		case ROW_NOBODYS:
			scan->nobodys++;
			break;
		case ROW_SHREDDED:
			scan->shredded++;
			break;
		case ROW_CLOSED:
			scan->closed++;
			break;
		default:
			break;
	}
}

/*
 * Locks the newest version of the row in `seen`, judges that, and changes it
 * if that is to be done.
 */
static void
change_row(MigrationScan *scan)
{
	TM_FailureData failure;
	TM_Result	locked;
	HeapTuple	tuple;
	bool		free_tuple;
	Datum		value = (Datum) 0;
	Verdict		verdict;

	locked = table_tuple_lock(scan->rel, &scan->seen->tts_tid, GetActiveSnapshot(), scan->locked,
							  GetCurrentCommandId(false), LockTupleNoKeyExclusive, LockWaitSkip,
							  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (locked == TM_WouldBlock)
		scan->busy++;
	if (locked != TM_Ok)
		return;
	tuple = ExecFetchSlotHeapTuple(scan->locked, false, &free_tuple);
	verdict = judge_row(scan, tuple, &value);
	count_verdict(scan, verdict);
	if (verdict == ROW_CHANGES || verdict == ROW_NULLS)
	{
		replace_row(scan, tuple, value, verdict == ROW_NULLS);
		scan->done++;
	}
	if (free_tuple)
		heap_freetuple(tuple);
}

/*
 * Looks at the row in `seen`.
 */
static void
visit_row(MigrationScan *scan)
{
	bool		free_tuple;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(scan->seen, false, &free_tuple);
	TupleDesc	desc = RelationGetDescr(scan->rel);
	Datum		source;
	Datum		value = (Datum) 0;
	bool		source_null;
	bool		shadow_null;

	scan->rows++;
	source = get_column(tuple, desc, scan->source, &source_null);
	(void) get_column(tuple, desc, scan->shadow, &shadow_null);
	if (scan->shadow == 0)
		count_verdict(scan, source_null ? ROW_STAYS : judge_row(scan, tuple, &value));
	else if (source_null != shadow_null ||
			 (scan->unseals && !source_null && sealed_is_shredded(source)))
		change_row(scan);
	if (free_tuple)
		heap_freetuple(tuple);
}

/*
 * Visits the rows of blocks from `from` to before `to`; stops early when
 * `limit` rows were changed or many times that were seen, unless it is 0.
 * Returns the block to go on with.
 */
static BlockNumber
visit_blocks(MigrationScan *scan, BlockNumber from, BlockNumber to, int64 limit)
{
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_purpose row",
													  ALLOCSET_DEFAULT_SIZES);

	while (from < to)
	{
		BlockNumber end = Min(from + SCAN_CHUNK, to);
		ItemPointerData first;
		ItemPointerData last;
		TableScanDesc blocks;

		ItemPointerSet(&first, from, FirstOffsetNumber);
		ItemPointerSet(&last, end - 1, MaxOffsetNumber);
		blocks = table_beginscan_tidrange(scan->rel, GetActiveSnapshot(), &first, &last);
		while (table_scan_getnextslot_tidrange(blocks, ForwardScanDirection, scan->seen))
		{
			MemoryContext before = MemoryContextSwitchTo(row_context);

			CHECK_FOR_INTERRUPTS();
			visit_row(scan);
			MemoryContextSwitchTo(before);
			ExecClearTuple(scan->locked);
			ExecClearTuple(scan->changed);
			MemoryContextReset(row_context);
		}
		table_endscan(blocks);
		from = end;
		if (limit > 0 && (scan->done >= limit || scan->rows >= SCAN_SEEN_FACTOR * limit))
			break;
	}
	MemoryContextDelete(row_context);
	return from;
}

static AttrNumber
find_column(Relation rel, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of relation \"%s\" does not exist",
						name, RelationGetRelationName(rel)),
				 errhint("A child that was added under the relation meanwhile must have it, too.")));
	return attno;
}

/*
 * Finds out what is to be done: towards which side, with which type and label.
 */
static void
fill_scan(MigrationScan *scan, const char *source, const char *shadow, const char *label)
{
	TupleDesc	desc = RelationGetDescr(scan->rel);
	Form_pg_attribute sealed;
	const SealedType *type;

	scan->source = find_column(scan->rel, source);
	scan->shadow = shadow != NULL ? find_column(scan->rel, shadow) : 0;
	sealed = TupleDescAttr(desc, scan->source - 1);
	type = sealedtype_find(sealed->atttypid);
	scan->unseals = type != NULL;
	if (!scan->unseals && scan->shadow > 0)
	{
		sealed = TupleDescAttr(desc, scan->shadow - 1);
		type = sealedtype_find(sealed->atttypid);
		if (type == NULL)
			elog(ERROR, "column \"%s\" is not of a sealed type", shadow);
		scan->label = sealedlabel_by_typmod(sealed->atttypmod);
		if (scan->label == NULL)
			elog(ERROR, "label of column \"%s\" is not known", shadow);
		sealedlabel_record(scan->label);
	}
	else if (!scan->unseals)
		scan->label = sealedlabel_from_text(label);
	if (type != NULL)
		scan->type = *type;
}

/*
 * purpose._migration_scan(relation regclass, source name, shadow name,
 *		label text, shredded_as_null boolean, first bigint, past bigint,
 *		batch_size int, OUT next bigint, OUT rows_seen bigint, OUT rows_done
 *		bigint, OUT rows_busy bigint, OUT nobodys bigint, OUT shredded bigint,
 *		OUT closed bigint)
 *
 * Visits the rows of one table: with a shadow fills it, without one (NULL) only
 * counts.  past NULL stands for the table's end, batch_size 0 for no limit.
 * next is past when there is no row left before it.
 */
Datum
migrate_scan(PG_FUNCTION_ARGS)
{
	MigrationScan scan = {0};
	bool		counts = PG_ARGISNULL(2);
	int64		first = PG_GETARG_INT64(5);
	BlockNumber past;
	BlockNumber next;
	TupleDesc	result;
	Datum		values[7];
	bool		nulls[7] = {false};

	if (get_call_result_type(fcinfo, NULL, &result) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	sealed_statement_changes();
	scan.rel = table_open(PG_GETARG_OID(0), counts ? AccessShareLock : RowExclusiveLock);
	scan.shredded_as_null = PG_GETARG_BOOL(4);
	fill_scan(&scan, NameStr(*PG_GETARG_NAME(1)), counts ? NULL : NameStr(*PG_GETARG_NAME(2)),
			  PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3)));

	/* The table may have become shorter since `past` was found. */
	past = RelationGetNumberOfBlocks(scan.rel);
	if (!PG_ARGISNULL(6))
		past = (BlockNumber) Min((int64) past, PG_GETARG_INT64(6));
	scan.seen = table_slot_create(scan.rel, NULL);
	scan.locked = table_slot_create(scan.rel, NULL);
	scan.changed = table_slot_create(scan.rel, NULL);
	scan.estate = CreateExecutorState();
	scan.target = makeNode(ResultRelInfo);
	InitResultRelInfo(scan.target, scan.rel, 0, NULL, 0);
	if (!counts)
	{
		CheckCmdReplicaIdentity(scan.rel, CMD_UPDATE);
		ExecOpenIndices(scan.target, false);
	}

	next = visit_blocks(&scan, (BlockNumber) Min(first, (int64) past), past,
						PG_GETARG_INT32(7));

	if (!counts)
		ExecCloseIndices(scan.target);
	ExecDropSingleTupleTableSlot(scan.seen);
	ExecDropSingleTupleTableSlot(scan.locked);
	ExecDropSingleTupleTableSlot(scan.changed);
	FreeExecutorState(scan.estate);
	table_close(scan.rel, NoLock);

	values[0] = next < past || PG_ARGISNULL(6) ? Int64GetDatum(next) : PG_GETARG_DATUM(6);
	values[1] = Int64GetDatum(scan.rows);
	values[2] = Int64GetDatum(scan.done);
	values[3] = Int64GetDatum(scan.busy);
	values[4] = Int64GetDatum(scan.nobodys);
	values[5] = Int64GetDatum(scan.shredded);
	values[6] = Int64GetDatum(scan.closed);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(result), values, nulls)));
}
