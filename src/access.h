/*
 * access.h
 *		Judges statements as they are executed.
 */
#ifndef PURPOSE_ACCESS_H
#define PURPOSE_ACCESS_H

#include "executor/execdesc.h"
#include "nodes/parsenodes.h"

#include "compat.h"

extern bool access_check_starting(List *rtable, List *perminfos, bool raise);
extern void access_statement_starts(QueryDesc *desc);
extern void access_statement_resumes(QueryDesc *desc, bool in_portions);
extern bool access_query_only_reads(const QueryDesc *desc);
extern bool access_query_is_internal(const QueryDesc *desc);
extern bool access_seems_internal(const char *query_string);
extern bool access_is_internal(void);
extern bool access_set_internal(bool internal);
extern bool access_hides_details(const QueryDesc *desc);
compat_noreturn extern void access_rethrow(MemoryContext context);
extern void access_transaction_ends(void);
extern bool access_set_looking_up(bool looking_up);
extern bool access_set_opening_holdable(bool opening);

#endif							/* PURPOSE_ACCESS_H */
