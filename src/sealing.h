/*
 * sealing.h
 *		Keeps plaintext out of sealed columns.
 */
#ifndef PURPOSE_SEALING_H
#define PURPOSE_SEALING_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "nodes/parsenodes.h"

#include "protection.h"

/* The trigger that seals, last of all BEFORE triggers by its name. */
#define SEALING_TRIGGER		"~purpose_seal"

extern char *sealing_subject_of_row(const Protection *protection, TupleDesc desc, HeapTuple tuple);
extern bool sealing_check(Oid relid);
extern void sealing_sync(Oid relid);
extern void sealing_make_way(Oid relid);
extern void sealing_enable(Oid relid);
extern void sealing_before_attach(Oid parent, Oid partition);
extern void sealing_sync_domain(Oid domain);
extern void sealing_copy_starts(const CopyStmt *stmt);
extern void sealing_rename_column(Oid relid, const char *old_name, const char *new_name);

#endif							/* PURPOSE_SEALING_H */
