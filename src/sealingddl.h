/*
 * sealingddl.h
 *		What DDL may not do with sealed columns.
 */
#ifndef PURPOSE_SEALINGDDL_H
#define PURPOSE_SEALINGDDL_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

extern void sealingddl_init(void);
extern void sealingddl_refuse_defaults(Relation rel);
extern void sealingddl_refuse_partition_key(Relation rel);
extern void sealingddl_refuse_foreign_keys(Relation rel);
extern void sealingddl_check_statistics(Oid relid);
extern void sealingddl_guard_trigger(Oid relid, const char *name, Oid function);
extern bool sealingddl_opens_column(const AlterTableStmt *stmt);

#endif							/* PURPOSE_SEALINGDDL_H */
