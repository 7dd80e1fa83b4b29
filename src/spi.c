/*
 * spi.c
 *		Transactions of background workers, in which they run SQL.
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_control.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"

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
