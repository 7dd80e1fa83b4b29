/*
 * standin.h
 *		What stands in for a redacted value: the expression of a label.
 */
#ifndef PURPOSE_STANDIN_H
#define PURPOSE_STANDIN_H

#include "nodes/primnodes.h"

/* The type of a column. */
typedef struct StandInType
{
	Oid			type;
	int32		typmod;
	Oid			collation;
} StandInType;

extern Node *standin_make(const StandInType *of, const char *text);
extern Node *standin_fill(Node *stand_in, Node *value);
extern char *standin_problem(const StandInType *of, const char *text);
extern void standin_check_syntax(const char *text);

#endif							/* PURPOSE_STANDIN_H */
