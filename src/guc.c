/*
 * guc.c
 *		The settings purpose.*: definition, and the generation that tells the
 *		layers above that one of them changed.
 *
 * A setting is only ever a wish.  Whether the role may declare the purpose is
 * decided when a statement uses it (session.c); the check at SET is there so
 * that people meet the error where they made the mistake.
 */
#include "postgres.h"

#include <limits.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"

#include "guc.h"

char	   *guc_purpose_current = NULL;
char	   *guc_purpose_justification = NULL;
int			guc_purpose_scope = PURPOSE_SCOPE_SESSION;
int			guc_observe_max = 5000;
int			guc_backup_horizon = 0;
int			guc_sealed_output = SEALED_OUTPUT_AUTO;
bool		guc_preloaded = false;
uint64		guc_generation = 1;
guc_purpose_validator_type guc_purpose_validator = NULL;

static const struct config_enum_entry scope_options[] = {
	{"session", PURPOSE_SCOPE_SESSION, false},
	{"transaction", PURPOSE_SCOPE_TRANSACTION, false},
	{NULL, 0, false}
};

static const struct config_enum_entry sealed_output_options[] = {
	{"auto", SEALED_OUTPUT_AUTO, false},
	{"open", SEALED_OUTPUT_OPEN, false},
	{"envelope", SEALED_OUTPUT_ENVELOPE, false},
	{"error", SEALED_OUTPUT_ERROR, false},
	{NULL, 0, false}
};

/*
 * Check hook of purpose.current.
 *
 * Only what a session sets for itself is looked up here.  Values from ALTER
 * ROLE, ALTER DATABASE or connection options arrive before the session can do
 * anything about them (an error would turn into a warning and an unset
 * purpose), so these are judged at first use.
 */
static bool
check_current(char **newval, void **extra, GucSource source)
{
	if (*newval == NULL || **newval == '\0')
		return true;
	if (source < PGC_S_INTERACTIVE || source == PGC_S_TEST)
		return true;
	if (guc_purpose_validator == NULL || !IsTransactionState() ||
		InitializingParallelWorker || MyDatabaseId == InvalidOid)
		return true;
	return guc_purpose_validator(*newval);
}

static void
assign_current(const char *newval, void *extra)
{
	guc_generation++;
}

/*
 * Defines the settings of general use.  Called once from _PG_init.
 */
void
guc_init(void)
{
	DefineCustomStringVariable("purpose.current",
							   "The purpose for which this session uses personal data.",
							   "A purpose declared with purpose.create_purpose() and granted to the role.",
							   &guc_purpose_current,
							   NULL,
							   PGC_USERSET,
							   GUC_REPORT,
							   check_current, assign_current, NULL);

	DefineCustomStringVariable("purpose.justification",
							   "Why the session uses personal data now, in its own words.",
							   "Recorded with the use; some purposes require it.",
							   &guc_purpose_justification,
							   NULL,
							   PGC_USERSET,
							   0,
							   NULL, assign_current, NULL);

	DefineCustomEnumVariable("purpose.scope",
							 "How long a declared purpose holds.",
							 "\"transaction\" resets purpose.current at the end of each transaction, for connection poolers.",
							 &guc_purpose_scope,
							 PURPOSE_SCOPE_SESSION,
							 scope_options,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomEnumVariable("purpose.sealed_output",
							 "How sealed values are printed.",
							 "\"auto\" opens what may be opened, but not in COPY of a table; \"open\" there too; \"envelope\" opens nothing; \"error\" refuses what may not be opened.",
							 &guc_sealed_output,
							 SEALED_OUTPUT_AUTO,
							 sealed_output_options,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomIntVariable("purpose.backup_horizon",
							"For how many days backups are kept.",
							"0: not declared.",
							&guc_backup_horizon,
							0, 0, 100 * 366,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	/*
	 * A library that is loaded late must not define what only a start can
	 * set.
	 */
	if (guc_preloaded)
		DefineCustomIntVariable("purpose.observe_max",
								"How many different violations observe mode can hold.",
								NULL,
								&guc_observe_max,
								5000, 100, INT_MAX / 1024,
								PGC_POSTMASTER,
								0,
								NULL, NULL, NULL);
}

/*
 * Makes other names under the prefix errors.  After the last setting has been
 * defined: what the configuration sets of one that is defined later is lost.
 */
void
guc_reserve_prefix(void)
{
	MarkGUCPrefixReserved("purpose");
}
