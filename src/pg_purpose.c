/*
 * pg_purpose.c
 *		Loads the library: each part's own initialisation, lowest layer first.
 *
 * Hooks are installed only when the library is preloaded for all sessions.
 * Loaded later, by a call of one of its functions, it would guard that one
 * session and leave the others open, so then it guards nothing, says so
 * (purpose._loaded() is false), and the floor of each table stays closed.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"

#include "admin.h"
#include "catalog.h"
#include "clock.h"
#include "exempt.h"
#include "guc.h"
#include "hooks.h"
#include "observe.h"
#include "protection.h"
#include "session.h"
#include "stats.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	guc_preloaded = process_shared_preload_libraries_in_progress;

	guc_init();
	clock_init();
	catalog_init();
	protection_init();
	session_init();
	if (!guc_preloaded)
		return;
	admin_init();
	observe_init();
	stats_init();
	exempt_init();
	hooks_init();
}
