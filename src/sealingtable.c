/*
 * sealingtable.c
 *		Keeps the CHECKs, the trigger and the recorded labels of tables with
 *		sealed columns in step with DDL.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "catalog.h"
#include "compat.h"
#include "errcodes.h"
#include "sealedio.h"
#include "sealedlabel.h"
#include "sealedlog.h"
#include "sealedtoken.h"
#include "sealedtype.h"
#include "sealing.h"
#include "sealingddl.h"
#include "sealingtable.h"

/*
 * Does the relation have a column that is, or contains, a sealed type?
 */
static bool
has_sealed_column(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && sealedtype_contained(attribute->atttypid))
			return true;
	}
	return false;
}

/*
 * The same for a relation given by its OID.
 */
bool
sealingtable_has_sealed_column(Oid relid)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		result = has_sealed_column(rel);

	relation_close(rel, NoLock);
	return result;
}

/*
 * Records the labels of the sealed types that a type is, or is made of, and
 * refuses modifiers that they cannot have.
 */
static void
record_labels_of_type(Oid type, int32 typmod, const char *column)
{
	const SealedType *found;
	Oid			element;

	check_stack_depth();
	type = getBaseTypeAndTypmod(type, &typmod);
	if (!sealedtype_contained(type))
		return;
	found = sealedtype_find(type);
	element = get_element_type(type);
	if (found != NULL)
	{
		SealedType	sealed = *found;
		const SealedLabel *label = typmod >= 0 ? sealedlabel_by_typmod(typmod) : NULL;

		if (label == NULL)
			return;
		if (sealed.searchable && !label->label->weak &&
			(sealed.base == BOOLOID || sealed.base == DATEOID))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_LABEL),
					 errmsg("column \"%s\" has too few possible values to be searchable", column),
					 errdetail("Whoever sees which values are equal could guess them."),
					 errhint("Add the modifier 'searchable weak' if that is acceptable.")));
		if (label->label->modifier != NULL)
			sealedio_check_modifier(&sealed, label->label->modifier);
		sealedlabel_record(label);
	}
	else if (OidIsValid(element))
		record_labels_of_type(element, typmod, column);
	else if (get_typtype(type) == TYPTYPE_COMPOSITE)
	{
		TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, -1);

		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, i);

			if (!attribute->attisdropped)
				record_labels_of_type(attribute->atttypid, attribute->atttypmod,
									  NameStr(attribute->attname));
		}
	}
}

/*
 * Records the labels of a relation's sealed columns.
 */
static void
record_labels(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped)
			record_labels_of_type(attribute->atttypid, attribute->atttypmod,
								  NameStr(attribute->attname));
	}
}

/*
 * After CREATE DOMAIN.
 */
void
sealingtable_sync_domain(Oid domain)
{
	if (OidIsValid(domain))
		record_labels_of_type(domain, -1, format_type_be(domain));
}

/*
 * Before COPY FROM: what goes wrong with a line of its input shows the line.
 */
void
sealingtable_copy_starts(const CopyStmt *stmt)
{
	Oid			relid = RangeVarGetRelid(stmt->relation, RowExclusiveLock, true);
	Relation	rel;

	if (!OidIsValid(relid))
		return;
	rel = relation_open(relid, NoLock);
	if (has_sealed_column(rel))
		sealedlog_plaintext_at_hand();
	relation_close(rel, NoLock);
}

/*
 * Refuses what a relation with sealed columns cannot have, and records their
 * labels.  Returns whether it has any.
 */
bool
sealingtable_check(Oid relid)
{
	Relation	rel;
	bool		sealed;

	if (!OidIsValid(relid) || get_rel_relkind(relid) == RELKIND_INDEX ||
		get_rel_relkind(relid) == RELKIND_PARTITIONED_INDEX)
		return false;
	rel = relation_open(relid, AccessShareLock);
	sealed = has_sealed_column(rel);
	if (sealed)
	{
		sealingddl_refuse_defaults(rel);
		sealingddl_refuse_partition_key(rel);
		sealingddl_refuse_foreign_keys(rel);
		record_labels(rel);
		if (rel->rd_rel->relkind != RELKIND_COMPOSITE_TYPE)
			sealingddl_check_statistics(relid);
	}
	relation_close(rel, NoLock);
	return sealed;
}

/*
 * Gives a relation with sealed columns its CHECKs and its trigger, after DDL or
 * a change of its protection.
 */
void
sealingtable_sync(Oid relid)
{
	Oid			argtypes[1] = {REGCLASSOID};

	if (sealingtable_check(relid) || OidIsValid(get_trigger_oid(relid, SEALING_TRIGGER, true)))
		OidFunctionCall1(catalog_function("_seal_sync", 1, argtypes, false),
						 ObjectIdGetDatum(relid));
}

/*
 * ENABLE TRIGGER, of ours or of all, leaves it to fire where replication does
 * not: has it fire always.
 */
void
sealingtable_enable(Oid relid)
{
	Oid			argtypes[1] = {REGCLASSOID};

	if (OidIsValid(relid) && OidIsValid(get_trigger_oid(relid, SEALING_TRIGGER, true)))
		OidFunctionCall1(catalog_function("_seal_enable", 1, argtypes, false),
						 ObjectIdGetDatum(relid));
}

/*
 * A table that is to become a partition gets a clone of its parent's sealing
 * trigger, and cannot have one of its own.
 */
void
sealingtable_before_attach(Oid parent, Oid partition)
{
	if (OidIsValid(partition) && compat_is_owner(partition, GetUserId()) &&
		OidIsValid(get_trigger_oid(parent, SEALING_TRIGGER, true)))
		sealingtable_make_way(partition);
}

/*
 * A restore creates the sealing trigger by its own command, where CREATE TABLE
 * may have done so before: drops that one.
 */
void
sealingtable_make_way(Oid relid)
{
	ObjectAddress trigger = {
		.classId = TriggerRelationId,
		.objectId = get_trigger_oid(relid, SEALING_TRIGGER, true),
	};

	if (!OidIsValid(trigger.objectId))
		return;
	performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

/*
 * Has the token key of a column follow its renaming.
 */
void
sealingtable_rename_column(Oid relid, const char *old_name, const char *new_name)
{
	Oid			argtypes[3] = {REGCLASSOID, NAMEOID, NAMEOID};
	NameData	names[2];

	if (!OidIsValid(relid) || sealedtoken_key_of_column(relid, old_name, false) == 0)
		return;
	namestrcpy(&names[0], old_name);
	namestrcpy(&names[1], new_name);
	OidFunctionCall3(catalog_function("_rename_token_key", 3, argtypes, false),
					 ObjectIdGetDatum(relid), NameGetDatum(&names[0]), NameGetDatum(&names[1]));
}
