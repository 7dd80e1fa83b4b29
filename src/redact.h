/*
 * redact.h
 *		Puts stand-ins in the place of columns that the purpose may not see.
 */
#ifndef PURPOSE_REDACT_H
#define PURPOSE_REDACT_H

#include "nodes/parsenodes.h"

#include "decision.h"
#include "mark.h"
#include "protection.h"

extern void redact_init(void);
extern uint64 redact_generation(void);
extern uint32 redact_dependency(void);
extern void redact_outdate_plans(void);
extern Decision redact_decide(const RelationPolicy *policy, const LabelledColumn *column);
extern Bitmapset *redact_columns(const RelationPolicy *policy);
extern char *redact_describe(const RelationPolicy *policy, const Mark *mark);
extern bool redact_is_possible(const RelationPolicy *policy, const Bitmapset *columns);
extern bool redact_mark_fits(const RelationPolicy *policy, const Mark *mark);
extern bool redact_fits(List *rtable, bool free);

/* redactquery.c */
extern void redact_query(Query *query);
extern void redact_view(RangeTblEntry *rte, Oid view, const Mark *mark);

#endif							/* PURPOSE_REDACT_H */
