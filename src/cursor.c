/*
 * cursor.c
 *		Cursors that hold rows back.
 *
 * What a cursor still has to give follows the purpose of the moment, if its plan
 * reads row by row.  A plan that holds rows back (a sort, a hash table) holds
 * rows that were chosen for another purpose, and is refused when the purpose,
 * the role or a declaration changed since it began to run.
 */
#include "postgres.h"

#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "utils/hsearch.h"

#include "catalog.h"
#include "cursor.h"
#include "errcodes.h"

/*
 * Queries on protected relations that have begun to run, and under which
 * session and declarations.  Forgotten at the end of the transaction.
 */
typedef struct RunningQuery
{
	const QueryDesc *desc;		/* hash key */
	uint64		stamp;
	uint64		declarations;
} RunningQuery;

static HTAB *running = NULL;

/*
 * Does the plan give each row as soon as it has read it?
 */
static bool
holds_rows_back(PlanState *state, void *context)
{
	if (state == NULL)
		return false;
	switch (nodeTag(state))
	{
		case T_SeqScanState:
		case T_SampleScanState:
		case T_IndexScanState:
		case T_IndexOnlyScanState:
		case T_BitmapHeapScanState:
		case T_BitmapIndexScanState:
		case T_BitmapAndState:
		case T_BitmapOrState:
		case T_TidScanState:
		case T_TidRangeScanState:
		case T_SubqueryScanState:
		case T_ValuesScanState:
		case T_ResultState:
		case T_ProjectSetState:
		case T_AppendState:
		case T_MergeAppendState:
		case T_NestLoopState:
		case T_LockRowsState:
		case T_LimitState:
		case T_ModifyTableState:
			return planstate_tree_walker(state, holds_rows_back, context);
		default:
			return true;
	}
}

/*
 * Refuses to go on with a query that holds rows back which were chosen under
 * another session.
 */
void
cursor_check_held_rows(QueryDesc *desc, uint64 stamp)
{
	RunningQuery *entry;
	HASHCTL		ctl = {0};
	bool		found;

	if (running == NULL)
	{
		ctl.keysize = sizeof(void *);
		ctl.entrysize = sizeof(RunningQuery);
		running = hash_create("pg_purpose running queries", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	entry = hash_search(running, &desc, HASH_ENTER, &found);
	if (desc->already_executed &&
		(!found || entry->stamp != stamp || entry->declarations != catalog_generation) &&
		holds_rows_back(desc->planstate, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_PURPOSE_DENIED),
				 errmsg("the purpose, the role or a declaration changed since this cursor began to read"),
				 errdetail("Its plan holds rows that were chosen for what was declared then."),
				 errhint("Close it and open it again.")));
	entry->stamp = stamp;
	entry->declarations = catalog_generation;
}

/*
 * To be called at the end of each transaction.
 */
void
cursor_transaction_ends(void)
{
	if (running != NULL)
		hash_destroy(running);
	running = NULL;
}
