/*
 * planning.h
 *		What is done to a query before the planner sees it.
 */
#ifndef PURPOSE_PLANNING_H
#define PURPOSE_PLANNING_H

#include "nodes/params.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"

extern PlannerGlobal *planning_prepare(Query *query, ParamListInfo params);
extern void planning_finish(PlannedStmt *stmt, PlannerGlobal *glob);

#endif							/* PURPOSE_PLANNING_H */
