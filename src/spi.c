/*
 * spi.c
 *		SQL run from C: transactions of background workers, rows of results.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_control.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "spi.h"

/*
 * Begins a transaction with a snapshot, connected to SPI.
 */
void
spi_begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/*
 * Commits what spi_begin_transaction() began.
 */
void
spi_commit_transaction(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * Makes sure that everything that is visible now is on disk: a transaction that
 * does not wait for that (synchronous_commit) is visible before it is.
 */
void
spi_flush_visible(void)
{
	char		nothing = 0;

	XLogBeginInsert();
	XLogRegisterData(&nothing, sizeof(nothing));
	XLogFlush(XLogInsert(RM_XLOG_ID, XLOG_NOOP));
}

/*
 * Returns a copy of the row that is the only column of a query's result, and
 * sets *desc to its descriptor.  Unlike a query for t.*, one for t keeps the
 * attribute numbers of the table where columns were dropped.
 */
HeapTuple
spi_whole_row(HeapTuple result, TupleDesc result_desc, TupleDesc *desc)
{
	bool		isnull;
	HeapTupleHeader header = DatumGetHeapTupleHeader(heap_getattr(result, 1, result_desc, &isnull));
	HeapTupleData row = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};

	*desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header),
										HeapTupleHeaderGetTypMod(header));
	return heap_copytuple(&row);
}
