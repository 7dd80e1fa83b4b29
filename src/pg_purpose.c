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
#include "aead.h"
#include "catalog.h"
#include "clock.h"
#include "exempt.h"
#include "guc.h"
#include "hooks.h"
#include "kdf.h"
#include "keyprovider.h"
#include "journal.h"
#include "keyring.h"
#include "launcher.h"
#include "observe.h"
#include "parity.h"
#include "protection.h"
#include "redact.h"
#include "rewound.h"
#include "sealed.h"
#include "sealedlog.h"
#include "sealedtoken.h"
#include "sealedtype.h"
#include "sealingddl.h"
#include "secret.h"
#include "session.h"
#include "stats.h"
#include "stopevent.h"
#include "tombstone.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	guc_preloaded = process_shared_preload_libraries_in_progress;

	guc_init();
	clock_init();
	stopevent_init();
	catalog_init();
	secret_init();
	aead_init();
	kdf_init();
	keyprovider_init();
	keyring_init();
	journal_init();
	launcher_init();
	protection_init();
	session_init();
	tombstone_init();
	sealedtype_init();
	sealed_init();
	sealedtoken_init();
	guc_reserve_prefix();
	if (!guc_preloaded)
		return;
	admin_init();
	rewound_init();
	observe_init();
	redact_init();
	stats_init();
	parity_init();
	exempt_init();
	sealingddl_init();
	sealedlog_init();
	hooks_init();
}
