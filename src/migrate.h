/*
 * migrate.h
 *		Sealing an existing column in place, and back.
 */
#ifndef PURPOSE_MIGRATE_H
#define PURPOSE_MIGRATE_H

/* The trigger that keeps the shadow column in step; before ~purpose_seal. */
#define MIGRATE_TRIGGER		"~purpose_migrate"

extern void migrate_guard_column(Oid relid, const char *column, const char *what);
extern void migrate_guard_relation(Oid relid, const char *what);

#endif							/* PURPOSE_MIGRATE_H */
