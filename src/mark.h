/*
 * mark.h
 *		What planning found out about a relation, left on its range table
 *		entry for the moment of execution.
 */
#ifndef PURPOSE_MARK_H
#define PURPOSE_MARK_H

#include "nodes/parsenodes.h"

typedef struct Mark
{
	Bitmapset  *used;			/* columns really used, attno -
								 * FirstLowInvalid... */
} Mark;

extern void mark_set(RangeTblEntry *rte, const Bitmapset *used);
extern bool mark_get(const RangeTblEntry *rte, Mark *mark);

#endif							/* PURPOSE_MARK_H */
