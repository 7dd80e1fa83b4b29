/*
 * sealingtable.h
 *		Keeps the CHECKs, the trigger and the recorded labels of tables with
 *		sealed columns in step with DDL.
 */
#ifndef PURPOSE_SEALINGTABLE_H
#define PURPOSE_SEALINGTABLE_H

#include "nodes/parsenodes.h"

extern bool sealingtable_has_sealed_column(Oid relid);
extern bool sealingtable_check(Oid relid);
extern void sealingtable_sync(Oid relid);
extern void sealingtable_make_way(Oid relid);
extern void sealingtable_enable(Oid relid);
extern void sealingtable_before_attach(Oid parent, Oid partition);
extern void sealingtable_sync_domain(Oid domain);
extern void sealingtable_copy_starts(const CopyStmt *stmt);
extern void sealingtable_rename_column(Oid relid, const char *old_name, const char *new_name);

#endif							/* PURPOSE_SEALINGTABLE_H */
