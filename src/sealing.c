/*
 * sealing.c
 *		Seals what is written to sealed columns, and keeps plaintext out of
 *		them: the trigger, the CHECK, and what DDL may not do with them.
 *
 * Each table with a sealed column has, added by sealingtable_sync(),
 *
 *	- a CHECK on each such column that calls purpose.require_sealed(), which
 *	  raises an error of its own for a value that was not sealed;
 *	- if it is protected, the trigger ~purpose_seal, ENABLE ALWAYS, which seals
 *	  for the data subject that the new row belongs to.
 *
 * A table that has no trigger (unprotected, or in the middle of a restore)
 * takes sealed values and refuses plaintext.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "access.h"
#include "catalog.h"
#include "errcodes.h"
#include "keytree.h"
#include "protection.h"
#include "sealed.h"
#include "sealedio.h"
#include "sealedlog.h"
#include "sealedtoken.h"
#include "sealedwalk.h"
#include "sealing.h"
#include "spi.h"
#include "subjectkey.h"
#include "subjectnumber.h"

PG_FUNCTION_INFO_V1(sealing_seal_row);
PG_FUNCTION_INFO_V1(sealing_require_sealed);
PG_FUNCTION_INFO_V1(sealing_contains_sealed);
PG_FUNCTION_INFO_V1(sealing_seal);

/* For whom a row's values are sealed. */
typedef struct Sealer
{
	Relation	rel;
	bool		replica;		/* a change that was judged elsewhere */
	SubjectName subject;
	bool		subject_changed;
	bool		has_number;
	uint64		number;
	const char *column;
	bool		inserting;
	bool		has_old;		/* the column's value before, if not NULL */
	Datum		old;
	Oid			column_type;
} Sealer;

/*
 * Reads a subject's key from a row of its protection's last relation.
 */
static char *
print_key(TupleDesc desc, HeapTuple tuple, int nkeys, const AttrNumber *attnos)
{
	Datum		keys[INDEX_MAX_KEYS];
	FmgrInfo	output[INDEX_MAX_KEYS];

	for (int i = 0; i < nkeys; i++)
	{
		Oid			function;
		bool		varlena;
		bool		isnull;

		keys[i] = heap_getattr(tuple, attnos[i], desc, &isnull);
		if (isnull)
			return NULL;
		getTypeOutputInfo(getBaseType(TupleDescAttr(desc, attnos[i] - 1)->atttypid),
						  &function, &varlena);
		fmgr_info(function, &output[i]);
	}
	return subjectkey_print(nkeys, output, keys);
}

/*
 * Follows a foreign key: finds the row of hop->parent that `tuple` refers to.
 * Returns it in memory of the caller's, or NULL.  As a foreign key's own check
 * does, it reads with the newest snapshot and whatever the session may see.
 */
static HeapTuple
find_parent(const SubjectHop *hop, TupleDesc desc, HeapTuple tuple, TupleDesc *parent_desc)
{
	MemoryContext caller = CurrentMemoryContext;
	StringInfoData query;
	Datum		values[INDEX_MAX_KEYS];
	Oid			types[INDEX_MAX_KEYS];
	SPIPlanPtr	plan;
	volatile HeapTuple parent = NULL;
	const char *parent_name;
	bool		looking_up;
	Oid			user;
	int			context;

	initStringInfo(&query);

	parent_name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(hop->parent)),
											 get_rel_name(hop->parent));
	appendStringInfo(&query, "SELECT (p.*)::%s FROM %s p WHERE", parent_name, parent_name);
	for (int i = 0; i < hop->nkeys; i++)
	{
		bool		isnull;

		values[i] = heap_getattr(tuple, hop->child_attnos[i], desc, &isnull);
		if (isnull)
			return NULL;
		types[i] = TupleDescAttr(desc, hop->child_attnos[i] - 1)->atttypid;
		appendStringInfo(&query, "%s p.%s = $%d", i > 0 ? " AND" : "",
						 quote_identifier(get_attname(hop->parent, hop->parent_attnos[i], false)),
						 i + 1);
	}

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID,
						   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	looking_up = access_set_looking_up(true);
	PG_TRY();
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		plan = SPI_prepare(query.data, hop->nkeys, types);
		if (plan == NULL ||
			SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(), InvalidSnapshot,
								 true, false, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not look a data subject up");
		if (SPI_processed > 0)
		{
			MemoryContext before = MemoryContextSwitchTo(caller);

			parent = spi_whole_row(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, parent_desc);
			MemoryContextSwitchTo(before);
		}
		SPI_finish();
	}
	PG_FINALLY();
	{
		access_set_looking_up(looking_up);
		SetUserIdAndSecContext(user, context);
	}
	PG_END_TRY();
	return parent;
}

/*
 * Returns the canonical key of the subject that a row belongs to, or NULL if
 * it leads to none.
 */
char *
sealing_subject_of_row(const Protection *protection, TupleDesc desc, HeapTuple tuple)
{
	ListCell   *lc;

	foreach(lc, protection->hops)
	{
		TupleDesc	parent_desc = NULL;

		tuple = find_parent(lfirst(lc), desc, tuple, &parent_desc);
		if (tuple == NULL)
			return NULL;
		desc = parent_desc;
	}
	return print_key(desc, tuple, protection->nkeys, protection->keys);
}

static uint64
sealer_number(Sealer *sealer)
{
	if (!sealer->has_number)
	{
		if (sealer->subject.key == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_NOT_SEALED),
					 errmsg("a row of relation \"%s\" belongs to no data subject, so its values cannot be sealed",
							RelationGetRelationName(sealer->rel)),
					 errhint("Give the row its subject, or leave the sealed columns NULL.")));
		sealer->number = subjectnumber_obtain(sealer->subject.table, sealer->subject.key);
		sealer->has_number = true;
	}
	return sealer->number;
}

/*
 * Is this the number of the row's subject, now or before a readmission?
 */
static bool
sealer_owns(Sealer *sealer, uint64 number)
{
	SubjectName owner;

	if (sealer->has_number && sealer->number == number)
		return true;
	return sealer->subject.key != NULL && subjectnumber_owner(number, &owner) &&
		owner.table == sealer->subject.table && strcmp(owner.key, sealer->subject.key) == 0;
}

/*
 * Returns the token key of the column at work, if its type is searchable.
 */
static uint64
sealer_token_key(Sealer *sealer, const SealedType *type)
{
	Oid			relation = RelationGetRelid(sealer->rel);

	if (!type->searchable)
		return 0;
	if (sealer->rel->rd_rel->relispartition)
		relation = llast_oid(get_partition_ancestors(relation));
	return sealedtoken_key_of_column(relation, sealer->column, true);
}

typedef struct Search
{
	Datum		wanted;
	bool		found;
} Search;

static Datum
search_value(void *context, const SealedType *type, int32 typmod, Datum value)
{
	Search	   *search = context;

	search->found |= datum_image_eq(value, search->wanted, false, -1);
	return value;
}

/*
 * Was this the column's value, or in it, before?  One that was shredded cannot
 * be told from a forgery otherwise, and must survive being written back.
 */
static bool
sealer_had(Sealer *sealer, Datum value)
{
	Search		search = {.wanted = value};
	bool		changed = false;

	if (sealer->has_old)
		(void) sealedwalk(sealer->old, sealer->column_type, -1, search_value, &search, &changed);
	return search.found;
}

/*
 * What the last row to be inserted was given in plaintext: the pending values,
 * encrypted as ever, by the headers of the sealed ones that took their place.
 *
 * INSERT ... ON CONFLICT DO UPDATE needs them.  Its EXCLUDED row was sealed for
 * the subject that it named, often a new one by a sequence, and its values go
 * into another subject's row.  They are the session's own input, so they are
 * sealed for that subject as if they had been given to it.
 */
typedef struct GivenValue
{
	uint8		header[ENVELOPE_HEADER_LEN];
	Datum		pending;
	Oid			type;
} GivenValue;

static MemoryContext given_context = NULL;
static List *given_values = NIL;

static void
given_forget(void *arg)
{
	given_context = NULL;
	given_values = NIL;
}

/*
 * Starts anew, for a row that is being inserted.
 */
static void
given_begin(void)
{
	if (given_context == NULL)
	{
		MemoryContextCallback *callback;

		given_context = AllocSetContextCreate(TopTransactionContext, "pg_purpose inserted row",
											  ALLOCSET_SMALL_SIZES);
		callback = MemoryContextAlloc(TopTransactionContext, sizeof(MemoryContextCallback));
		callback->func = given_forget;
		callback->arg = NULL;
		MemoryContextRegisterResetCallback(TopTransactionContext, callback);
	}
	else if (given_values != NIL)
		MemoryContextReset(given_context);
	given_values = NIL;
}

static void
given_add(const SealedType *type, Datum sealed, Datum pending)
{
	MemoryContext before = MemoryContextSwitchTo(given_context);
	GivenValue *given = palloc(sizeof(GivenValue));

	memcpy(given->header, VARDATA_ANY(DatumGetPointer(sealed)), ENVELOPE_HEADER_LEN);
	given->pending = datumCopy(pending, false, -1);
	given->type = type->oid;
	given_values = lappend(given_values, given);
	MemoryContextSwitchTo(before);
}

/*
 * Returns what a sealed value was given as, or false.
 */
static bool
given_find(const SealedType *type, const SealedValue *look, Datum *pending)
{
	ListCell   *lc;

	foreach(lc, given_values)
	{
		GivenValue *given = lfirst(lc);

		if (given->type == type->oid &&
			memcmp(given->header, look->bytes, ENVELOPE_HEADER_LEN) == 0)
		{
			*pending = given->pending;
			return true;
		}
	}
	return false;
}

/*
 * Seals plaintext for the row's subject.
 */
static Datum
seal_pending(Sealer *sealer, const SealedType *type, const SealedLabel *label, Datum pending)
{
	Datum		base;
	Datum		result;

	if (label == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_SEALED),
				 errmsg("a sealed column of relation \"%s\" names no purposes, so values cannot be sealed in it",
						RelationGetRelationName(sealer->rel)),
				 errhint("Give the column's type its purposes, such as %s(billing).",
						 format_type_be(type->oid))));
	(void) sealed_open(type, pending, &base);
	if (label->label->modifier != NULL)
		base = sealedio_apply_modifier(type, base, label->label->modifier, false);
	sealedlabel_record(label);
	result = sealed_seal(type, base, label, sealer_number(sealer),
						 sealer_token_key(sealer, type));
	if (sealer->inserting)
		given_add(type, result, pending);
	return result;
}

/*
 * Does COPY FROM bring the value before its subject's number, as the load of a
 * dump may?  Only for roles whose envelopes are taken on trust.
 */
static bool
is_being_restored(uint64 address)
{
	SubjectName owner;

	return sealedio_restores() && !subjectnumber_owner(KEY_ADDRESS_NUMBER(address), &owner);
}

/*
 * Seals one value for the row's subject.
 */
static Datum
seal_value(void *context, const SealedType *type, int32 typmod, Datum value)
{
	Sealer	   *sealer = context;
	SealedValue look = sealed_look(value);
	const SealedLabel *label = sealedlabel_by_typmod(typmod);
	Datum		base;

	if (look.pending)
		return seal_pending(sealer, type, label, value);

	if (!sealer->replica && !is_being_restored(look.header.address))
	{
		if (label != NULL && KEY_ADDRESS_GROUP(look.header.address) != label->group &&
			!sealer->subject_changed)
			ereport(ERROR,
					(errcode(ERRCODE_FOREIGN_SEALED_VALUE),
					 errmsg("a sealed value of another key group cannot be stored in relation \"%s\"",
							RelationGetRelationName(sealer->rel))));
		if (!sealer_owns(sealer, KEY_ADDRESS_NUMBER(look.header.address)))
		{
			const SealedLabel *own = sealedlabel_by_id(look.header.label_id);
			Datum		pending;

			if (given_find(type, &look, &pending))
				return seal_pending(sealer, type, label, pending);
			if (look.claimed || !sealer->subject_changed)
				ereport(ERROR,
						(errcode(ERRCODE_FOREIGN_SEALED_VALUE),
						 errmsg("a sealed value of another data subject cannot be stored in relation \"%s\"",
								RelationGetRelationName(sealer->rel)),
						 errhint("Open the value, with a purpose that permits it, and write it in clear text: it is sealed for the row's subject.")));
			if (own == NULL || !sealed_open(type, value, &base))
				ereport(ERROR,
						(errcode(ERRCODE_FOREIGN_SEALED_VALUE),
						 errmsg("the subject of a row of relation \"%s\" cannot be changed: its sealed values may not be opened",
								RelationGetRelationName(sealer->rel)),
						 errhint("Declare a purpose that permits opening all of them, or set them to NULL.")));
			return sealed_seal(type, base, own, sealer_number(sealer),
							   sealer_token_key(sealer, type));
		}
	}
	if (look.claimed)
	{
		Datum		accepted = sealed_unclaim(&look);

		if (!sealer->replica && !sealed_verify(type, accepted) &&
			!sealer_had(sealer, accepted))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_SEALED_VALUE),
					 errmsg("the text of a sealed value cannot be stored in relation \"%s\": it is not genuine",
							RelationGetRelationName(sealer->rel)),
					 errhint("Put a backslash in front of a text that begins with \"%s\" and is not an envelope.",
							 ENVELOPE_TEXT_PREFIX)));
		return accepted;
	}
	return value;
}

/*
 * Do two versions of a row hold the same bytes in a column?
 */
bool
sealing_same_value(TupleDesc desc, HeapTuple a, HeapTuple b, AttrNumber attno)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, attno - 1);
	bool		null_a;
	bool		null_b;
	Datum		value_a = heap_getattr(a, attno, desc, &null_a);
	Datum		value_b = heap_getattr(b, attno, desc, &null_b);

	if (null_a || null_b)
		return null_a && null_b;
	return datum_image_eq(value_a, value_b, attribute->attbyval, attribute->attlen);
}

/*
 * purpose._seal_row() -> trigger: BEFORE INSERT OR UPDATE FOR EACH ROW.
 */
Datum
sealing_seal_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	HeapTuple	old = NULL;
	const RelationPolicy *policy;
	Sealer		sealer = {0};
	int		   *columns;
	Datum	   *values;
	bool	   *nulls;
	int			ncolumns = 0;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("purpose._seal_row() must be called by a BEFORE trigger for each row")));
	sealer.rel = trigger->tg_relation;
	sealer.replica = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA;
	desc = RelationGetDescr(sealer.rel);
	row = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		old = trigger->tg_trigtuple;
		row = trigger->tg_newtuple;
	}
	sealer.inserting = old == NULL;
	if (sealer.inserting)
		given_begin();

	policy = protection_find(RelationGetRelid(sealer.rel));
	if (policy == NULL || policy->protection == NULL)
		PG_RETURN_POINTER(row);
	sealer.subject.table = policy->protection->subject_table;
	sealer.subject.key = sealing_subject_of_row(policy->protection, desc, row);
	if (old != NULL)
	{
		char	   *before = sealing_subject_of_row(policy->protection, desc, old);

		sealer.subject_changed = before != NULL &&
			(sealer.subject.key == NULL || strcmp(before, sealer.subject.key) != 0);
	}

	columns = palloc(desc->natts * sizeof(int));
	values = palloc(desc->natts * sizeof(Datum));
	nulls = palloc0(desc->natts * sizeof(bool));
	for (int attno = 1; attno <= desc->natts; attno++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, attno - 1);
		Sealer		one = sealer;
		bool		changed = false;
		bool		isnull;
		Datum		value;

		if (attribute->attisdropped || !sealedtype_contained(attribute->atttypid))
			continue;
		if (old != NULL && sealing_same_value(desc, old, row, attno))
		{
			if (!sealer.subject_changed)
				continue;
		}
		else
			one.subject_changed = false;
		value = heap_getattr(row, attno, desc, &isnull);
		if (isnull)
			continue;
		one.column = NameStr(attribute->attname);
		one.column_type = attribute->atttypid;
		if (old != NULL)
		{
			one.old = heap_getattr(old, attno, desc, &isnull);
			one.has_old = !isnull;
		}
		value = sealedwalk(value, attribute->atttypid, attribute->atttypmod, seal_value, &one, &changed);
		sealer.has_number = one.has_number;
		sealer.number = one.number;
		if (changed)
		{
			columns[ncolumns] = attno;
			values[ncolumns++] = value;
		}
	}
	if (ncolumns > 0)
		row = heap_modify_tuple_by_cols(row, desc, ncolumns, columns, values, nulls);
	PG_RETURN_POINTER(row);
}

static Datum
require_value(void *context, const SealedType *type, int32 typmod, Datum value)
{
	SealedValue look = sealed_look(value);

	if (look.pending)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_SEALED),
				 errmsg("plaintext cannot be stored in a column of type %s here", format_type_be(type->oid)),
				 errdetail("Nothing seals it: the table does not say whose data its rows are, or its trigger %s did not run.",
						   SEALING_TRIGGER),
				 errhint("Protect the table with purpose.protect(), or seal the value with purpose.seal().")));
	if (look.claimed)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("a sealed value that was given as text cannot be stored here"),
				 errhint("Protected tables accept envelopes of the row's own subject; elsewhere the role needs EXECUTE on purpose.accept_envelope().")));
	return value;
}

/*
 * purpose.require_sealed("any") -> boolean: true, or an error (PU014, 42501)
 * for a value, or one within it, that was not sealed.
 */
Datum
sealing_require_sealed(PG_FUNCTION_ARGS)
{
	bool		changed = false;

	if (!PG_ARGISNULL(0))
		(void) sealedwalk(PG_GETARG_DATUM(0), get_fn_expr_argtype(fcinfo->flinfo, 0), -1,
						  require_value, NULL, &changed);
	PG_RETURN_BOOL(true);
}

/*
 * purpose._contains_sealed(oid) -> boolean: is the type sealed, or made of
 * sealed ones?
 */
Datum
sealing_contains_sealed(PG_FUNCTION_ARGS)
{
	Oid			type = PG_GETARG_OID(0);

	/* That of a column that was dropped is 0. */
	PG_RETURN_BOOL(SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)) &&
				   sealedtype_contained(type));
}

/*
 * purpose.seal(value, subject_table regclass, subject "any", label text)
 *
 * Seals a value by hand.  Raises 42501 for a role that could not write to the
 * subject table, PU008, PU013, PU015.
 */
Datum
sealing_seal(PG_FUNCTION_ARGS)
{
	const SealedType *found = sealedtype_of_result(fcinfo);
	SealedType	type = *found;
	Oid			subject_table = PG_GETARG_OID(1);
	Oid			subject_type = get_fn_expr_argtype(fcinfo->flinfo, 2);
	const SealedLabel *label;
	const RelationPolicy *policy = protection_find(subject_table);
	char	   *key;

	if (policy == NULL || policy->protection == NULL ||
		policy->protection->subject_table != subject_table)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation \"%s\" is not a subject table", get_rel_name(subject_table)),
				 errhint("purpose.protect() makes it one.")));
	if (pg_class_aclmask(subject_table, GetUserId(), ACL_INSERT | ACL_UPDATE, ACLMASK_ANY) == 0 &&
		!catalog_is_officer(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("sealing for subjects of relation \"%s\" needs the right to write to it",
						get_rel_name(subject_table))));
	if (!OidIsValid(subject_type))
		elog(ERROR, "could not determine the type of the subject");
	if (subject_type == UNKNOWNOID)
		key = pstrdup(PG_GETARG_CSTRING(2));
	else
	{
		Oid			function;
		bool		varlena;

		getTypeOutputInfo(subject_type, &function, &varlena);
		key = OidOutputFunctionCall(function, PG_GETARG_DATUM(2));
	}
	key = subjectkey_canonical(subject_table, key);
	label = sealedlabel_from_text(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	sealedlabel_record(label);
	PG_RETURN_DATUM(sealed_seal(&type, PG_GETARG_DATUM(0), label,
								subjectnumber_obtain(subject_table, key), 0));
}
