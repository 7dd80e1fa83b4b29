/*
 * clock.h
 *		The time that decisions are made by.
 */
#ifndef PURPOSE_CLOCK_H
#define PURPOSE_CLOCK_H

#include "datatype/timestamp.h"

extern void clock_init(void);
extern TimestampTz clock_now(void);

#endif							/* PURPOSE_CLOCK_H */
