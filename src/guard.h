/*
 * guard.h
 *		Keeps code of an owner's choice from rows that something is enforced
 *		about.
 */
#ifndef PURPOSE_GUARD_H
#define PURPOSE_GUARD_H

#include "nodes/parsenodes.h"
#include "parser/parse_node.h"

extern bool guard_is_officer(void);
extern Oid	guard_find(RangeVar *name);
extern void guard_refuse(Oid relid, const char *what);
extern bool guard_function_trusted(Oid function);
extern Node *guard_parse(const char *text);
extern Node *guard_analyse(Oid relid, Node *raw, ParseExprKind kind, bool *trusted);
extern void guard_expression(Oid relid, Node *raw, ParseExprKind kind, const char *what);
extern void guard_type(Oid relid, TypeName *name, const char *what);
extern void guard_index(IndexStmt *stmt, Oid relid);
extern void guard_constraint(Constraint *con, Oid relid);
extern void guard_new_column(Constraint *con, Oid relid);
extern bool guard_trigger_trusted(Oid function);
extern void guard_inheritance(Oid parent, Oid child, bool created);
extern bool guard_is_labelled(Oid relid, const char *column);
extern void guard_using(Oid relid, const char *column, Node *raw);
extern bool guard_domain_check_trusted(Oid domain, Constraint *con);

#endif							/* PURPOSE_GUARD_H */
