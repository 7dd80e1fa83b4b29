/*
 * stopevent.c
 *		Stop events of test builds: what purpose.test_stop_event says happens
 *		where the code calls stopevent_reach().
 *
 * The setting is a list, "name:action, name:action", of these actions:
 *
 *	crash	the process kills itself with SIGKILL: no cleanup of any kind
 *	error	an ERROR is raised
 *	wait	the process waits, interruptibly, until a reload of the
 *			configuration has taken the event off the setting
 *
 * Each event that acts is written to the server log first, so that a test can
 * see that it was reached.  A production build has nothing of this.
 */
#include "postgres.h"

#ifdef PURPOSE_TEST_BUILD

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"
#include "utils/wait_event.h"

#include "stopevent.h"

/* How often a waiting process looks whether the setting has changed. */
#define LOOK_MS		20

static char *test_stop_event = NULL;

void
stopevent_init(void)
{
	DefineCustomStringVariable("purpose.test_stop_event",
							   "What happens at named places of the code, in test builds.",
							   "A list of name:action; an action is crash, error or wait.",
							   &test_stop_event,
							   NULL,
							   PGC_SUSET,
							   GUC_NOT_IN_SAMPLE | GUC_LIST_INPUT,
							   NULL, NULL, NULL);
}

/*
 * Returns what the setting wants done at the event, or NULL; in memory that the
 * caller does not free.
 */
static const char *
action_at(const char *name)
{
	List	   *events;
	ListCell   *lc;
	size_t		len = strlen(name);

	if (test_stop_event == NULL || test_stop_event[0] == '\0')
		return NULL;
	if (!SplitDirectoriesString(pstrdup(test_stop_event), ',', &events))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("purpose.test_stop_event cannot be read"),
				 errhint("Write name:action, name:action.")));
	foreach(lc, events)
	{
		const char *event = lfirst(lc);

		if (strncmp(event, name, len) == 0 && event[len] == ':')
			return event + len + 1;
	}
	return NULL;
}

/*
 * Does what the setting wants at this event.  Not in a critical section, nor
 * where an ERROR or waiting would do harm that an interrupt would not do.
 */
void
stopevent_reach(const char *name)
{
	const char *action = action_at(name);

	if (action == NULL)
		return;
	ereport(LOG,
			(errmsg("stop event %s reached: %s", name, action),
			 errhidestmt(true), errhidecontext(true)));

	if (strcmp(action, "crash") == 0)
	{
		kill(getpid(), SIGKILL);
		pause();
	}
	else if (strcmp(action, "error") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("stop event %s", name),
				 errhint("This is a test build; purpose.test_stop_event asked for the error.")));
	else if (strcmp(action, "wait") == 0)
	{
		while ((action = action_at(name)) != NULL && strcmp(action, "wait") == 0)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 LOOK_MS, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
			if (ConfigReloadPending)
			{
				ConfigReloadPending = false;
				ProcessConfigFile(PGC_SIGHUP);
			}
		}
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("stop event %s has an unknown action", name),
				 errhint("An action is crash, error or wait.")));
}

#endif							/* PURPOSE_TEST_BUILD */
