/*
 * protection.h
 *		What is declared about a relation: the labels of its columns and whose
 *		data its rows are.
 */
#ifndef PURPOSE_PROTECTION_H
#define PURPOSE_PROTECTION_H

#include "access/attnum.h"
#include "catalog/objectaddress.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "pg_config_manual.h"

#include "declaration.h"
#include "label.h"

/* One step from a row to the row that it belongs to. */
typedef struct SubjectHop
{
	Oid			parent;
	int			nkeys;
	AttrNumber	child_attnos[INDEX_MAX_KEYS];
	AttrNumber	parent_attnos[INDEX_MAX_KEYS];
} SubjectHop;

typedef struct Protection
{
	ProtectionMode mode;
	Oid			subject_table;
	List	   *hops;			/* of SubjectHop *, outermost first */
	int			nkeys;			/* subject key, in the relation where hops end */
	AttrNumber	keys[INDEX_MAX_KEYS];
} Protection;

typedef struct LabelledColumn
{
	AttrNumber	attno;
	List	   *labels;			/* of Label *; each must be satisfied */
	bool		broken;			/* one of them cannot be read: allows nothing */
} LabelledColumn;

typedef struct RelationPolicy
{
	Oid			relid;			/* hash key */
	bool		built;
	bool		relevant;		/* anything below is set */
	List	   *columns;		/* of LabelledColumn *, by attno */
	Bitmapset  *labelled;		/* attno - FirstLowInvalidHeapAttributeNumber */
	Protection *protection;		/* NULL: rows are nobody's */
	char	   *problem;		/* protection is declared and cannot be
								 * resolved */
	ProtectionMode mode;		/* also known where protection has a problem */
} RelationPolicy;

/*
 * Grows when what protection_find() returned earlier must not be used any
 * more.
 */
extern uint64 protection_generation;

extern void protection_init(void);
extern bool protection_any(void);
extern const RelationPolicy *protection_find(Oid relid);
extern List *protection_ancestors(Oid relid);
extern Oid	protection_lookup_table(const char *schema, const char *table);

#endif							/* PURPOSE_PROTECTION_H */
