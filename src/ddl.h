/*
 * ddl.h
 *		Guards utility statements.
 */
#ifndef PURPOSE_DDL_H
#define PURPOSE_DDL_H

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

/* What is known before a statement and needed after it. */
typedef struct DdlState
{
	bool		skip;			/* nothing to run: the state is there already */
	List	   *remembered;		/* declarations, before a rename */
	List	   *relations;		/* OIDs whose floor may have to change */
	List	   *launders;		/* of char *: labelled columns being copied */
	char	   *launder_target;
} DdlState;

extern void ddl_before(PlannedStmt *pstmt, DdlState *state);
extern bool ddl_hides_details(PlannedStmt *pstmt);
extern void ddl_after(PlannedStmt *pstmt, DdlState *state);

#endif							/* PURPOSE_DDL_H */
