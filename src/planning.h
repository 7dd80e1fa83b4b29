/*
 * planning.h
 *		What is done to a query before the planner sees it.
 */
#ifndef PURPOSE_PLANNING_H
#define PURPOSE_PLANNING_H

#include "executor/execdesc.h"
#include "nodes/params.h"
#include "nodes/plannodes.h"

typedef struct Planning Planning;

extern Planning *planning_prepare(Query *query, const char *query_string, int cursor_options,
								  ParamListInfo params);
extern void planning_finish(PlannedStmt *stmt, Planning *planning);
extern bool planning_refresh(QueryDesc *desc, int eflags, bool internal);
extern void planning_release(QueryDesc *desc);

#endif							/* PURPOSE_PLANNING_H */
