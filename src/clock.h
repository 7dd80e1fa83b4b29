/*
 * clock.h
 *		The time that decisions are made by, and the one that leases are.
 */
#ifndef PURPOSE_CLOCK_H
#define PURPOSE_CLOCK_H

#include "datatype/timestamp.h"

extern void clock_init(void);
extern TimestampTz clock_now(void);
extern uint64 clock_elapsed_ms(void);

#endif							/* PURPOSE_CLOCK_H */
