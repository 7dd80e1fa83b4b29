/*
 * rows.h
 *		Puts the row rule into queries.
 */
#ifndef PURPOSE_ROWS_H
#define PURPOSE_ROWS_H

#include "columns.h"

extern bool rows_query_concerned(Query *query);
extern bool rows_query_redactable(Query *query, ColumnUse *use);
extern List *rows_labelled_columns(Query *query, bool for_session);
extern void rows_apply(Query *query, ColumnUse *use, bool redacts);

#endif							/* PURPOSE_ROWS_H */
