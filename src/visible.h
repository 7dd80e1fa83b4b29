/*
 * visible.h
 *		The row rule as it runs.
 */
#ifndef PURPOSE_VISIBLE_H
#define PURPOSE_VISIBLE_H

extern void visible_statement_starts(void);

#endif							/* PURPOSE_VISIBLE_H */
