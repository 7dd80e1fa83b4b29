/*
 * copy.h
 *		COPY of labelled and protected tables.
 */
#ifndef PURPOSE_COPY_H
#define PURPOSE_COPY_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

extern PlannedStmt *copy_to_as_query(PlannedStmt *pstmt);
extern bool copy_from_guarded(PlannedStmt *pstmt, const char *query_string, uint64 *processed);

#endif							/* PURPOSE_COPY_H */
