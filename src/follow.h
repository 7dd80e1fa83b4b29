/*
 * follow.h
 *		Makes declarations follow what they name.
 */
#ifndef PURPOSE_FOLLOW_H
#define PURPOSE_FOLLOW_H

#include "access/attnum.h"
#include "nodes/pg_list.h"

extern List *follow_remember(void);
extern void follow_rewrite(List *remembered);
extern char *follow_user_of_column(Oid relid, const char *column);

#endif							/* PURPOSE_FOLLOW_H */
