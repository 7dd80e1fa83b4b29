/*
 * columns.h
 *		Which columns a query really uses.
 */
#ifndef PURPOSE_COLUMNS_H
#define PURPOSE_COLUMNS_H

#include "nodes/parsenodes.h"

typedef struct ColumnUse ColumnUse;

extern ColumnUse *columns_analyze(Query *query);
extern Bitmapset *columns_used(ColumnUse *use, RangeTblEntry *rte);
extern Bitmapset *columns_used_exactly(ColumnUse *use, RangeTblEntry *rte);

#endif							/* PURPOSE_COLUMNS_H */
