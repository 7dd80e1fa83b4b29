/*
 * clock.c
 *		The time that decisions are made by: the start of the client's
 *		statement, so that one statement has one answer.
 *
 * Test builds (make TEST_BUILD=1) have purpose.test_clock, a timestamp that
 * takes the clock's place, so that tests can wait years in no time.
 */
#include "postgres.h"

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
