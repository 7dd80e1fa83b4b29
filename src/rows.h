/*
 * rows.h
 *		Puts the row rule into queries.
 */
#ifndef PURPOSE_ROWS_H
#define PURPOSE_ROWS_H

#include "columns.h"

extern bool rows_query_concerned(Query *query);
extern List *rows_labelled_columns(Query *query);
extern void rows_apply(Query *query, ColumnUse *use);

#endif							/* PURPOSE_ROWS_H */
