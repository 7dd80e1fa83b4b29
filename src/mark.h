/*
 * mark.h
 *		What planning found out about a relation, left on its range table
 *		entry for the moment of execution.
 */
#ifndef PURPOSE_MARK_H
#define PURPOSE_MARK_H

#include "access/sysattr.h"
#include "nodes/parsenodes.h"

/* Columns are members of sets by this, as in selectedCols. */
#define MARK_BIT(attno)	((attno) - FirstLowInvalidHeapAttributeNumber)

typedef struct Mark
{
	Bitmapset  *used;			/* columns really used */
	Bitmapset  *exact;			/* ... where no stand-in will do */
	Bitmapset  *set;			/* columns that are given new values */
	Bitmapset  *redacted;		/* columns that the plan redacts */
	uint64		generation;		/* redact_generation() that this was decided
								 * by; 0: nothing could be redacted */
	const char *stand_ins;		/* redact_describe() of what it shows */
} Mark;

extern void mark_set(RangeTblEntry *rte, const Mark *mark);
extern bool mark_get(const RangeTblEntry *rte, Mark *mark);
extern bool mark_has(const Bitmapset *columns, AttrNumber attno);

#endif							/* PURPOSE_MARK_H */
