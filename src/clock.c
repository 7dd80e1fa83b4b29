/*
 * clock.c
 *		The time that decisions are made by: the start of the client's
 *		statement, so that one statement has one answer.
 *
 * Test builds (make TEST_BUILD=1) have purpose.test_clock, a timestamp that
 * takes the clock's place, so that tests can wait years in no time.
 */
#include "postgres.h"

#include <time.h>

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "clock.h"

#ifdef PURPOSE_TEST_BUILD
static char *test_clock = NULL;
#endif

void
clock_init(void)
{
#ifdef PURPOSE_TEST_BUILD
	DefineCustomStringVariable("purpose.test_clock",
							   "The time that decisions are made by, in test builds.",
							   NULL,
							   &test_clock,
							   NULL,
							   PGC_SUSET,
							   GUC_NOT_IN_SAMPLE,
							   NULL, NULL, NULL);
#endif
}

/*
 * Returns the time to judge by.
 */
TimestampTz
clock_now(void)
{
#ifdef PURPOSE_TEST_BUILD
	if (test_clock != NULL && test_clock[0] != '\0')
		return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
													   CStringGetDatum(test_clock),
													   ObjectIdGetDatum(InvalidOid),
													   Int32GetDatum(-1)));
#endif
	return GetCurrentStatementStartTimestamp();
}

/*
 * Returns milliseconds since the machine started, in which it slept or not: a
 * lease must lapse on a machine that was suspended, and nobody can set this
 * clock.  Never 0.
 */
uint64
clock_elapsed_ms(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_BOOTTIME, &now) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not read the clock: %m"),
				 errhint("pg_purpose needs a system that has CLOCK_BOOTTIME.")));
	return (uint64) now.tv_sec * 1000 + now.tv_nsec / 1000000 + 1;
}
