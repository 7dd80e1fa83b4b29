/*
 * floor.h
 *		The closed floor: row-level security that closes a table to all but its
 *		owner and superusers when the library is not there.
 */
#ifndef PURPOSE_FLOOR_H
#define PURPOSE_FLOOR_H

#include "nodes/pg_list.h"

/*
 * Permissive: the table has no policies of its own, and row-level security was
 * off.  Restrictive: it has some, or had row-level security on, and keeps it.  "Woken": it had policies that were switched off, and the
 * officer forced them on.
 */
#define FLOOR_POLICY		"purpose_floor"
#define FLOOR_POLICY_WOKEN	"purpose_floor_woken"

extern bool floor_is_policy(const char *name);
extern List *floor_tables_of_domain(Oid domain);
extern void floor_sync(Oid relid);
extern void floor_sync_domain(Oid domain);
extern void floor_restrict(Oid relid);

#endif							/* PURPOSE_FLOOR_H */
