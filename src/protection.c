/*
 * protection.c
 *		Reads labels and protections from pg_seclabel and keeps them, resolved
 *		to OIDs and attribute numbers, one entry a relation.
 *
 * A relation is governed by its own declarations and by those of everything
 * that it is a partition or inheritance child of, matched by column name; so a
 * partition addressed directly is as protected as its parent.  For the row
 * rule the nearest declaration counts, for columns all labels together, those
 * of the column's domains included.  A generated column carries the labels of
 * the columns that it is computed from; where these give a stand-in, it is NULL.
 *
 * What cannot be resolved is kept as a problem, and whoever decides refuses.
 *
 * Entries live in one memory context and go all at once: when a declaration
 * changed anywhere (catalog_generation) or when a relation changed that any
 * entry was built from.  A pointer from protection_find() is good until the
 * next call of protection_find(); whoever keeps one compares
 * protection_generation before each use.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_type.h"
#include "commands/seclabel.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "catalog.h"
#include "protection.h"

/* Deeper paths from a row to its subject are taken for a cycle. */
#define MAX_HOPS	32

uint64		protection_generation = 1;

static HTAB *policies = NULL;
static MemoryContext policy_context = NULL;
static uint64 policy_catalog_generation = 0;
static bool policies_stale = true;
static int	build_depth = 0;

/* Relations that entries were built from, besides their own. */
static HTAB *involved = NULL;

static bool any_label = false;
static uint64 any_label_generation = 0;

static RelationPolicy *find_or_build(Oid relid);

static void
relation_callback(Datum arg, Oid relid)
{
	RelationPolicy *policy;

	if (policies == NULL || policies_stale)
		return;
	if (relid == InvalidOid ||
		(involved != NULL && hash_search(involved, &relid, HASH_FIND, NULL) != NULL))
	{
		policies_stale = true;
		protection_generation++;
		return;
	}
	policy = hash_search(policies, &relid, HASH_FIND, NULL);
	if (policy == NULL)
		return;
	if (policy->relevant)
	{
		policies_stale = true;
		protection_generation++;
	}
	else
		policy->built = false;
}

/*
 * Registers the invalidation callback.  Called once from _PG_init, after
 * catalog_init().
 */
void
protection_init(void)
{
	CacheRegisterRelcacheCallback(relation_callback, (Datum) 0);
}

/*
 * Says whether the database has any label at all; if not, there is nothing to
 * enforce, and nobody should pay for it.
 */
bool
protection_any(void)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	uint64		generation;

	if (any_label_generation == catalog_generation)
		return any_label;
	if (catalog_oids() == NULL)
		return false;

	generation = catalog_generation;
	ScanKeyInit(&key, Anum_pg_seclabel_provider, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(PURPOSE_PROVIDER));
	rel = table_open(SecLabelRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	any_label = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	any_label_generation = generation;
	return any_label;
}

/*
 * Returns what the relation is directly a partition or inheritance child of.
 */
static List *
parents(Oid relid)
{
	List	   *result = NIL;
	Relation	rel = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = lappend_oid(result, ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/*
 * Returns all that the relation is a partition or inheritance child of,
 * nearest first, without duplicates.
 */
List *
protection_ancestors(Oid relid)
{
	List	   *result = parents(relid);

	for (int i = 0; i < list_length(result); i++)
		result = list_concat_unique_oid(result, parents(list_nth_oid(result, i)));
	return result;
}

/*
 * Returns the relation of that name, or InvalidOid.
 */
Oid
protection_lookup_table(const char *schema, const char *table)
{
	Oid			nsp = get_namespace_oid(schema, true);

	return OidIsValid(nsp) ? get_relname_relid(table, nsp) : InvalidOid;
}

static char *
security_label(Oid classid, Oid objid, int subid)
{
	ObjectAddress address;

	ObjectAddressSubSet(address, classid, objid, subid);
	return GetSecurityLabel(&address, PURPOSE_PROVIDER);
}

static void
involve(Oid relid)
{
	hash_search(involved, &relid, HASH_ENTER, NULL);
}

static LabelledColumn *
labelled_column(RelationPolicy *policy, AttrNumber attno)
{
	LabelledColumn *column;
	ListCell   *lc;

	foreach(lc, policy->columns)
	{
		column = lfirst(lc);
		if (column->attno == attno)
			return column;
	}
	column = palloc0(sizeof(LabelledColumn));
	column->attno = attno;
	policy->columns = lappend(policy->columns, column);
	policy->labelled = bms_add_member(policy->labelled,
									  attno - FirstLowInvalidHeapAttributeNumber);
	return column;
}

static void
add_label(RelationPolicy *policy, AttrNumber attno, const char *text, bool is_whole)
{
	LabelledColumn *column = labelled_column(policy, attno);
	char	   *problem;
	Label	   *label = label_parse(text, &problem);

	if (label == NULL)
		column->broken = true;
	else
		column->labels = lappend(column->labels,
								 is_whole ? label : label_without_stand_in(label));
}

/*
 * Adds the labels that columns of source carry to the columns of the same
 * name of the policy's relation.  With source the relation itself, its own.
 */
static void
add_column_labels(RelationPolicy *policy, Oid source)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_seclabel_objoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(source));
	ScanKeyInit(&keys[1], Anum_pg_seclabel_classoid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	rel = table_open(SecLabelRelationId, AccessShareLock);
	scan = systable_beginscan(rel, SecLabelObjectIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		FormData_pg_seclabel *form = (FormData_pg_seclabel *) GETSTRUCT(tuple);
		AttrNumber	attno = form->objsubid;
		bool		isnull;
		Datum		provider = heap_getattr(tuple, Anum_pg_seclabel_provider,
											RelationGetDescr(rel), &isnull);
		Datum		label = heap_getattr(tuple, Anum_pg_seclabel_label,
										 RelationGetDescr(rel), &isnull);

		if (attno <= 0 || strcmp(TextDatumGetCString(provider), PURPOSE_PROVIDER) != 0)
			continue;
		if (source != policy->relid)
		{
			char	   *name = get_attname(source, attno, true);

			attno = name ? get_attnum(policy->relid, name) : InvalidAttrNumber;
			if (attno <= 0)
				continue;
		}
		add_label(policy, attno, TextDatumGetCString(label), true);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Adds the labels of a type that holds a labelled domain: the domain itself,
 * a domain over it, an array or a composite or range of it.  is_whole: the type
 * is the column's, or one that the column's is a domain over; a stand-in made
 * for a value of the domain's does not fit any other.
 */
static void
add_type_labels(RelationPolicy *policy, AttrNumber attno, Oid type, bool is_whole, int depth)
{
	char		kind;

	if (!OidIsValid(type) || type < FirstNormalObjectId || depth > MAX_HOPS)
		return;
	check_stack_depth();

	kind = get_typtype(type);
	if (kind == TYPTYPE_DOMAIN)
	{
		char	   *label = security_label(TypeRelationId, type, 0);
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));

		if (label != NULL)
			add_label(policy, attno, label, is_whole);
		if (HeapTupleIsValid(tuple))
		{
			Oid			base = ((Form_pg_type) GETSTRUCT(tuple))->typbasetype;

			ReleaseSysCache(tuple);
			add_type_labels(policy, attno, base, is_whole, depth + 1);
		}
	}
	else if (OidIsValid(get_element_type(type)))
		add_type_labels(policy, attno, get_element_type(type), false, depth + 1);
	else if (kind == TYPTYPE_COMPOSITE)
	{
		TupleDesc	desc = lookup_rowtype_tupdesc_noerror(type, -1, true);

		if (desc == NULL)
			return;
		for (int i = 0; i < desc->natts; i++)
		{
			if (!TupleDescAttr(desc, i)->attisdropped)
				add_type_labels(policy, attno, TupleDescAttr(desc, i)->atttypid, false, depth + 1);
		}
		ReleaseTupleDesc(desc);
	}
	else if (kind == TYPTYPE_RANGE)
		add_type_labels(policy, attno, get_range_subtype(type), false, depth + 1);
	else if (kind == TYPTYPE_MULTIRANGE)
		add_type_labels(policy, attno, get_multirange_range(type), false, depth + 1);
}

/*
 * Gives generated columns the labels of the columns in their expressions.
 * (Generated columns cannot refer to each other.)
 */
static void
add_generated_labels(RelationPolicy *policy, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (desc->constr == NULL || policy->columns == NIL)
		return;
	for (AttrNumber attno = 1; attno <= desc->natts; attno++)
	{
		Node	   *expression;
		Bitmapset  *inputs = NULL;
		List	   *sources = list_copy(policy->columns);
		ListCell   *lc;

		if (TupleDescAttr(desc, attno - 1)->attisdropped ||
			TupleDescAttr(desc, attno - 1)->attgenerated == '\0')
			continue;
		expression = build_column_default(rel, attno);
		if (expression == NULL)
			continue;
		pull_varattnos(expression, 1, &inputs);
		foreach(lc, sources)
		{
			LabelledColumn *source = lfirst(lc);

			if (source->attno != attno &&
				(bms_is_member(source->attno - FirstLowInvalidHeapAttributeNumber, inputs) ||
				 bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, inputs)))
			{
				LabelledColumn *target = labelled_column(policy, attno);
				ListCell   *lc2;

				foreach(lc2, source->labels)
					target->labels = lappend(target->labels, label_without_stand_in(lfirst(lc2)));
				target->broken |= source->broken;
			}
		}
	}
}

/*
 * Turns column names into attribute numbers.  Returns false if one is missing.
 */
static bool
resolve_columns(Oid relid, const List *names, AttrNumber *attnos)
{
	ListCell   *lc;
	int			i = 0;

	if (list_length(names) > INDEX_MAX_KEYS)
		return false;
	foreach(lc, names)
	{
		attnos[i] = get_attnum(relid, lfirst(lc));
		if (attnos[i++] <= 0)
			return false;
	}
	return true;
}

/*
 * Resolves "via": the parent must be protected itself, and its path to the
 * subject is continued.  Returns NULL or what is wrong.
 */
static char *
resolve_via(RelationPolicy *policy, const Declaration *d, Oid target, Protection *p)
{
	SubjectHop *hop = palloc0(sizeof(SubjectHop));
	RelationPolicy *parent;

	hop->parent = target;
	hop->nkeys = list_length(d->columns);
	if (!resolve_columns(policy->relid, d->columns, hop->child_attnos) ||
		!resolve_columns(target, d->target_columns, hop->parent_attnos))
		return "a column that it names does not exist";
	if (build_depth > MAX_HOPS)
		return "its path to the subject is a cycle";

	parent = find_or_build(target);
	if (parent->problem != NULL)
		return "the protection of the table that it leads to cannot be resolved";
	if (parent->protection == NULL)
		return "the table that it leads to is not protected";
	p->hops = lcons(hop, list_copy(parent->protection->hops));
	p->subject_table = parent->protection->subject_table;
	p->nkeys = parent->protection->nkeys;
	memcpy(p->keys, parent->protection->keys, sizeof(p->keys));
	return NULL;
}

/*
 * Is the table declared as a subject table with a key of so many columns?
 */
static bool
is_subject_table(Oid relid, int nkeys)
{
	char	   *text = security_label(RelationRelationId, relid, 0);
	char	   *problem;
	Declaration *d = text ? declaration_parse(text, &problem) : NULL;

	return d != NULL && d->kind == DECLARATION_SUBJECT && d->target_table == NULL &&
		list_length(d->columns) == nkeys;
}

static char *
resolve_declaration(RelationPolicy *policy, const Declaration *d, Oid declared_on)
{
	Protection *p = palloc0(sizeof(Protection));
	Oid			target = declared_on;
	char	   *problem;

	p->mode = d->mode;
	if (d->target_table != NULL)
	{
		target = protection_lookup_table(d->target_schema, d->target_table);
		if (!OidIsValid(target))
			return "a table that it names does not exist";
		involve(target);
	}

	if (d->kind == DECLARATION_VIA)
	{
		problem = resolve_via(policy, d, target, p);
		if (problem != NULL)
			return problem;
	}
	else
	{
		if (target != declared_on && !is_subject_table(target, list_length(d->columns)))
			return "the table that it names is not a subject table with such a key";
		p->subject_table = target;
		p->nkeys = list_length(d->columns);
		if (!resolve_columns(policy->relid, d->columns, p->keys))
			return "a column that it names does not exist";
	}
	policy->protection = p;
	return NULL;
}

/*
 * Brings a declaration that is inherited from `ancestor` into a form that says
 * the same of the child: a subject table's key names that table's subjects.
 */
static char *
inherited_form(const char *text, Oid ancestor)
{
	char	   *problem;
	Declaration *d = declaration_parse(text, &problem);

	if (d != NULL && d->target_table == NULL)
	{
		d->target_schema = get_namespace_name(get_rel_namespace(ancestor));
		d->target_table = get_rel_name(ancestor);
	}
	return d != NULL ? declaration_deparse(d) : pstrdup(text);
}

/*
 * Finds the nearest declaration for the rows of the relation.  Parents of the
 * same distance must declare the same.
 */
static void
build_protection(RelationPolicy *policy)
{
	List	   *level = list_make1_oid(policy->relid);
	List	   *seen = NIL;
	Oid			declared_on = InvalidOid;
	char	   *text = NULL;
	char	   *problem = NULL;
	bool		differ = false;
	Declaration *d;
	ListCell   *lc;

	while (text == NULL && level != NIL)
	{
		List	   *next = NIL;

		foreach(lc, level)
		{
			Oid			relid = lfirst_oid(lc);
			char	   *own = security_label(RelationRelationId, relid, 0);

			seen = list_append_unique_oid(seen, relid);
			next = list_concat_unique_oid(next, parents(relid));
			if (own == NULL)
				continue;
			if (text == NULL)
			{
				text = own;
				declared_on = relid;
			}
			else if (strcmp(inherited_form(own, relid),
							inherited_form(text, declared_on)) != 0)
				differ = true;
		}
		level = list_difference_oid(next, seen);
	}
	if (text == NULL)
		return;

	policy->relevant = true;
	d = declaration_parse(text, &problem);
	if (d != NULL)
	{
		policy->mode = d->mode;
		problem = differ ? "its parents are protected in different ways" :
			resolve_declaration(policy, d, declared_on);
	}
	if (differ)
		policy->mode = MODE_ENFORCE;
	policy->problem = problem;
}

/*
 * Adds what is declared about tables below the relation, and about other
 * parents of these.  A query on a parent reaches its children's rows by the
 * parent's rule, not by theirs; so a parent without a rule of its own is
 * refused while a child has one, and labels of the children's columns count
 * for the parent's.
 */
static void
add_descendants(RelationPolicy *policy, List *ancestors)
{
	List	   *sources = NIL;
	ListCell   *lc;

	if (!has_subclass(policy->relid))
		return;
	foreach(lc, find_all_inheritors(policy->relid, NoLock, NULL))
	{
		sources = list_append_unique_oid(sources, lfirst_oid(lc));
		sources = list_concat_unique_oid(sources, protection_ancestors(lfirst_oid(lc)));
	}
	sources = list_difference_oid(list_delete_oid(sources, policy->relid), ancestors);
	foreach(lc, sources)
	{
		Oid			source = lfirst_oid(lc);

		involve(source);
		add_column_labels(policy, source);
		if (policy->protection == NULL && policy->problem == NULL &&
			security_label(RelationRelationId, source, 0) != NULL)
		{
			policy->relevant = true;
			policy->problem = "a table below it is protected, and it is not";
		}
	}
}

static void
build(RelationPolicy *policy)
{
	Relation	rel;
	List	   *ancestors;
	ListCell   *lc;
	char		relkind = get_rel_relkind(policy->relid);

	policy->columns = NIL;
	policy->labelled = NULL;
	policy->protection = NULL;
	policy->problem = NULL;
	policy->mode = MODE_ENFORCE;
	policy->relevant = false;

	switch (relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_FOREIGN_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
			break;
		default:
			return;
	}

	ancestors = protection_ancestors(policy->relid);
	build_protection(policy);

	add_column_labels(policy, policy->relid);
	foreach(lc, ancestors)
	{
		add_column_labels(policy, lfirst_oid(lc));
		involve(lfirst_oid(lc));
	}

	add_descendants(policy, ancestors);

	rel = try_relation_open(policy->relid, AccessShareLock);
	if (rel != NULL)
	{
		TupleDesc	desc = RelationGetDescr(rel);

		for (int i = 0; i < desc->natts; i++)
		{
			if (!TupleDescAttr(desc, i)->attisdropped)
				add_type_labels(policy, i + 1, TupleDescAttr(desc, i)->atttypid, true, 0);
		}
		add_generated_labels(policy, rel);
		relation_close(rel, AccessShareLock);
	}
	if (policy->columns != NIL)
		policy->relevant = true;
}

static RelationPolicy *
find_or_build(Oid relid)
{
	RelationPolicy *policy;
	bool		found;

	policy = hash_search(policies, &relid, HASH_ENTER, &found);
	if (!found)
		policy->built = false;
	if (!policy->built)
	{
		MemoryContext old = MemoryContextSwitchTo(policy_context);

		build_depth++;
		/* A path that comes back here must not start over for ever. */
		policy->built = true;
		policy->relevant = false;
		policy->protection = NULL;
		policy->problem = "its path to the subject is a cycle";
		PG_TRY();
		{
			build(policy);
		}
		PG_CATCH();
		{
			build_depth--;
			policies_stale = true;
			protection_generation++;
			PG_RE_THROW();
		}
		PG_END_TRY();
		build_depth--;
		MemoryContextSwitchTo(old);
	}
	return policy;
}

static void
reset(void)
{
	HASHCTL		ctl = {0};

	if (policy_context != NULL)
		MemoryContextDelete(policy_context);
	policies = NULL;
	involved = NULL;
	policy_context = AllocSetContextCreate(CacheMemoryContext, "pg_purpose policies",
										   ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(RelationPolicy);
	ctl.hcxt = policy_context;
	policies = hash_create("pg_purpose policies", 256, &ctl,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ctl.entrysize = sizeof(Oid);
	involved = hash_create("pg_purpose involved relations", 64, &ctl,
						   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	policies_stale = false;
	protection_generation++;
}

/*
 * Returns what is declared about a relation, or NULL if nothing is.  Needs a
 * transaction, and a lock on the relation if it may be dropped meanwhile.
 */
const RelationPolicy *
protection_find(Oid relid)
{
	RelationPolicy *policy;

	if (relid < FirstNormalObjectId || !protection_any())
		return NULL;
	Assert(build_depth == 0);
	build_depth = 0;
	if (policies == NULL || policies_stale ||
		policy_catalog_generation != catalog_generation)
	{
		policy_catalog_generation = catalog_generation;
		reset();
	}
	policy = find_or_build(relid);
	return policy->relevant ? policy : NULL;
}
