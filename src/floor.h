/*
 * floor.h
 *		The closed floor: row-level security that closes a table to all but its
 *		owner and superusers when the library is not there.
 */
#ifndef PURPOSE_FLOOR_H
#define PURPOSE_FLOOR_H

#include "nodes/pg_list.h"

/*
 * Permissive: the table had no row-level security of its own.  Restrictive: it
 * has, and keeps it.  "Woken": it had policies that were switched off, and the
 * officer forced them on.
 */
#define FLOOR_POLICY		"purpose_floor"
#define FLOOR_POLICY_WOKEN	"purpose_floor_woken"

extern bool floor_is_policy(const char *name);
extern List *floor_tables_of_domain(Oid domain);
extern void floor_sync(Oid relid);
extern void floor_sync_domain(Oid domain);
extern void floor_user_enables(Oid relid);

#endif							/* PURPOSE_FLOOR_H */
