/*
 * hooks.c
 *		PostgreSQL's hooks: who is called when, and nothing else.
 *
 *	planner			planning.c puts the row rules in, marks what is used, redacts
 *	ExecutorStart	access.c absorbs changes, planning.c looks whether the plan
 *					redacts what this session sees redacted; during it
 *	CheckPerms		access.c judges
 *	ExecutorRun,
 *	ExecutorFinish	access.c judges again if the world changed since
 *	ExecutorEnd		sealed.c: what the statement rested on is over; planning.c
 *					frees a plan that it made anew
 *	ProcessUtility	ddl.c guards, copy.c takes COPY over
 *
 * Other extensions' hooks are called from ours, so what they change in a query
 * before planning is seen only if they were loaded after us; the library
 * should come last in shared_preload_libraries, so that its hooks run first
 * and wrap the others.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/planner.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"

#include "access.h"
#include "catalog.h"
#include "compat.h"
#include "copy.h"
#include "ddl.h"
#include "hooks.h"
#include "keyring.h"
#include "planning.h"
#include "sealed.h"
#include "sealedio.h"
#include "sealedtoken.h"
#include "sealingddl.h"
#include "sealingtable.h"
#include "session.h"

/* REFRESH MATERIALIZED VIEW is at work. */
static bool refreshing = false;

static planner_hook_type prev_planner = NULL;
static ExecutorStart_hook_type prev_executor_start = NULL;
static ExecutorRun_hook_type prev_executor_run = NULL;
static ExecutorFinish_hook_type prev_executor_finish = NULL;
static ExecutorEnd_hook_type prev_executor_end = NULL;
static ExecutorCheckPerms_hook_type prev_check_perms = NULL;
static ProcessUtility_hook_type prev_process_utility = NULL;

static PlannedStmt *
plan(Query *query, const char *query_string, int cursor_options, ParamListInfo params)
{
	Planning   *planning;
	PlannedStmt *stmt;

	sealedtoken_prepare_query(query);
	planning = planning_prepare(query, query_string, cursor_options, params);

	/* That a statement is freed from judgement is not carried to workers. */
	if (session_in_exempt_function() || refreshing)
		cursor_options &= ~CURSOR_OPT_PARALLEL_OK;

	if (prev_planner)
		stmt = prev_planner(query, query_string, cursor_options, params);
	else
		stmt = standard_planner(query, query_string, cursor_options, params);
	if (planning != NULL)
		planning_finish(stmt, planning);
	return stmt;
}

static void
next_executor_start(QueryDesc *desc, int eflags)
{
	if (prev_executor_start)
		prev_executor_start(desc, eflags);
	else
		standard_ExecutorStart(desc, eflags);
}

static void
executor_start(QueryDesc *desc, int eflags)
{
	bool		internal = access_query_is_internal(desc);

	sealed_statement_changes();
	access_statement_starts(desc);
	/* To absorb a change may make the plan unfit again; give up some day. */
	for (int i = 0; i < 3 && planning_refresh(desc, eflags, internal); i++)
		access_statement_starts(desc);
	if (internal == access_is_internal())
		next_executor_start(desc, eflags);
	else
	{
		bool		before = access_set_internal(internal);

		PG_TRY();
		{
			next_executor_start(desc, eflags);
		}
		PG_FINALLY();
		{
			access_set_internal(before);
		}
		PG_END_TRY();
	}
}

static void
call_executor_run(COMPAT_EXECUTOR_RUN_ARGS)
{
	if (prev_executor_run)
		prev_executor_run(COMPAT_EXECUTOR_RUN_CALL);
	else
		standard_ExecutorRun(COMPAT_EXECUTOR_RUN_CALL);
}

static void
next_executor_run(COMPAT_EXECUTOR_RUN_ARGS)
{
	MemoryContext context = CurrentMemoryContext;

	if (!access_hides_details(queryDesc))
	{
		call_executor_run(COMPAT_EXECUTOR_RUN_CALL);
		return;
	}
	PG_TRY();
	{
		call_executor_run(COMPAT_EXECUTOR_RUN_CALL);
	}
	PG_CATCH();
	{
		access_rethrow(context);
	}
	PG_END_TRY();
}

static void
executor_run(COMPAT_EXECUTOR_RUN_ARGS)
{
	bool		internal = access_query_is_internal(queryDesc);

	sealed_statement_changes();
	if (internal == access_is_internal())
	{
		access_statement_resumes(queryDesc, !COMPAT_RUNS_ONCE);
		next_executor_run(COMPAT_EXECUTOR_RUN_CALL);
	}
	else
	{
		bool		before = access_set_internal(internal);

		PG_TRY();
		{
			access_statement_resumes(queryDesc, !COMPAT_RUNS_ONCE);
			next_executor_run(COMPAT_EXECUTOR_RUN_CALL);
		}
		PG_FINALLY();
		{
			access_set_internal(before);
		}
		PG_END_TRY();
	}
}

static void
call_executor_finish(QueryDesc *desc)
{
	if (prev_executor_finish)
		prev_executor_finish(desc);
	else
		standard_ExecutorFinish(desc);
}

static void
next_executor_finish(QueryDesc *desc)
{
	MemoryContext context = CurrentMemoryContext;

	if (!access_hides_details(desc))
	{
		call_executor_finish(desc);
		return;
	}
	PG_TRY();
	{
		call_executor_finish(desc);
	}
	PG_CATCH();
	{
		access_rethrow(context);
	}
	PG_END_TRY();
}

/*
 * Data-modifying WITH queries and AFTER triggers run here: nothing at all for a
 * query that only reads.
 */
static void
executor_finish(QueryDesc *desc)
{
	bool		internal;

	sealed_statement_changes();
	if (access_query_only_reads(desc))
	{
		call_executor_finish(desc);
		return;
	}
	internal = access_query_is_internal(desc);
	if (internal == access_is_internal())
	{
		access_statement_resumes(desc, false);
		next_executor_finish(desc);
	}
	else
	{
		bool		before = access_set_internal(internal);

		PG_TRY();
		{
			access_statement_resumes(desc, false);
			next_executor_finish(desc);
		}
		PG_FINALLY();
		{
			access_set_internal(before);
		}
		PG_END_TRY();
	}
}

static void
executor_end(QueryDesc *desc)
{
	sealed_statement_changes();
	if (prev_executor_end)
		prev_executor_end(desc);
	else
		standard_ExecutorEnd(desc);
	planning_release(desc);
}

static bool
check_perms(COMPAT_CHECK_PERMS_ARGS)
{
	if (prev_check_perms && !prev_check_perms(COMPAT_CHECK_PERMS_CALL))
		return false;
	return access_check_starting(rtable, COMPAT_PERMINFOS, ereport_on_violation);
}

static void
call_process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
					 ProcessUtilityContext context, ParamListInfo params,
					 QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (prev_process_utility)
		prev_process_utility(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
	else
		standard_ProcessUtility(pstmt, query_string, read_only_tree, context, params, env,
								dest, qc);
}

/*
 * ALTER TABLE validates constraints, and says which row breaks them.
 */
static void
next_process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
					 ProcessUtilityContext context, ParamListInfo params,
					 QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	MemoryContext memory = CurrentMemoryContext;

	if (!IsA(pstmt->utilityStmt, AlterTableStmt) || !ddl_hides_details(pstmt))
	{
		call_process_utility(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
		return;
	}
	PG_TRY();
	{
		call_process_utility(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
	}
	PG_CATCH();
	{
		access_rethrow(memory);
	}
	PG_END_TRY();
}

/*
 * ALTER TABLE may change a sealed column into a clear one.
 */
static void
process_opening(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	bool		was_strict = sealedio_set_must_open(true);

	PG_TRY();
	{
		next_process_utility(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		(void) sealedio_set_must_open(was_strict);
	}
	PG_END_TRY();
}

/*
 * Tells the keyring's processes what they cannot see: a prepared transaction
 * could not ask for a puncture cycle when it was prepared, and a database that is
 * dropped gives up its claim.
 */
static void
tell_keyring(Node *stmt)
{
	if (IsBinaryUpgrade)
		return;
	if (IsA(stmt, TransactionStmt) &&
		((TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED)
		keyring_request_waiting();
	else if (IsA(stmt, DropdbStmt))
		keyring_request_look();
}

/*
 * Is this a statement that can reach data or declarations at all?  The others
 * (transaction control above all, which must work in a failed transaction) are
 * passed through untouched.
 */
static bool
utility_concerns_us(const PlannedStmt *pstmt)
{
	return !IsA(pstmt->utilityStmt, TransactionStmt) && IsTransactionState() &&
		!IsAbortedTransactionBlockState() && catalog_oids() != NULL && !IsBinaryUpgrade;
}

/*
 * Runs DECLARE ... WITH HOLD or REFRESH, during which executor and planner must
 * know of it.
 */
static void
process_flagged(bool holdable, PlannedStmt *pstmt, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	bool		was_holdable = access_set_opening_holdable(holdable);
	bool		was_refreshing = refreshing;

	refreshing = !holdable;
	PG_TRY();
	{
		next_process_utility(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		access_set_opening_holdable(was_holdable);
		refreshing = was_refreshing;
	}
	PG_END_TRY();
}

/*
 * Runs COPY, during which sealed values come in as envelopes, and go out as
 * such if a whole table is copied.
 */
static void
process_copy(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	CopyStmt   *stmt = castNode(CopyStmt, pstmt->utilityStmt);
	bool		was_in = sealedio_set_copying_in(stmt->is_from);
	bool		was_out = sealedio_set_copying_out(!stmt->is_from && stmt->relation != NULL);
	uint64		processed;

	if (stmt->is_from)
		sealingtable_copy_starts(stmt);
	PG_TRY();
	{
		if (copy_from_guarded(pstmt, query_string, &processed))
		{
			if (qc)
				SetQueryCompletion(qc, CMDTAG_COPY, processed);
		}
		else
			next_process_utility(copy_to_as_query(pstmt), query_string, read_only_tree, context,
								 params, env, dest, qc);
	}
	PG_FINALLY();
	{
		(void) sealedio_set_copying_in(was_in);
		(void) sealedio_set_copying_out(was_out);
	}
	PG_END_TRY();
}

static void
process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	DdlState	state = {0};
	bool		holdable;

	sealed_statement_changes();
	if (!utility_concerns_us(pstmt) || IsA(pstmt->utilityStmt, DropdbStmt))
	{
		next_process_utility(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
		tell_keyring(pstmt->utilityStmt);
		return;
	}
	if (IsA(pstmt->utilityStmt, CopyStmt))
	{
		process_copy(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
		return;
	}

	ddl_before(pstmt, &state);
	holdable = IsA(pstmt->utilityStmt, DeclareCursorStmt) &&
		(((DeclareCursorStmt *) pstmt->utilityStmt)->options & CURSOR_OPT_HOLD) != 0;
	if (holdable || IsA(pstmt->utilityStmt, RefreshMatViewStmt))
		process_flagged(holdable, pstmt, query_string, read_only_tree, context, params, env,
						dest, qc);
	else if (IsA(pstmt->utilityStmt, AlterTableStmt) &&
			 sealingddl_opens_column((AlterTableStmt *) pstmt->utilityStmt))
		process_opening(pstmt, query_string, read_only_tree, context, params, env, dest, qc);
	else
		next_process_utility(pstmt, query_string, read_only_tree, context, params, env, dest, qc);

	/* A procedure that was called may have left us without a transaction. */
	if (IsTransactionState())
		ddl_after(pstmt, &state);
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		access_transaction_ends();
}

/*
 * Installs the hooks.  Called from _PG_init while preloading.
 */
void
hooks_init(void)
{
	prev_planner = planner_hook;
	planner_hook = plan;
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	prev_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	prev_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	prev_executor_end = ExecutorEnd_hook;
	ExecutorEnd_hook = executor_end;
	prev_check_perms = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_perms;
	RegisterXactCallback(end_of_transaction, NULL);
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
