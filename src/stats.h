/*
 * stats.h
 *		Keeps statistics of labelled columns from estimators.
 */
#ifndef PURPOSE_STATS_H
#define PURPOSE_STATS_H

extern void stats_init(void);

#endif							/* PURPOSE_STATS_H */
