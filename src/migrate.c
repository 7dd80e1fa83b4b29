/*
 * migrate.c
 *		Sealing an existing column in place, and back: the procedures, the
 *		trigger, and what nobody may do meanwhile.
 *
 * The table gets a shadow column of the other type.  A trigger fills it for
 * what is written from then on, batches fill it for what was there
 * (migratescan.c), each in a transaction of its own.  At last one ALTER TABLE
 * gives the column its new type and the shadow's values, which rewrites the
 * table without the old ones, and takes the shadow away.
 *
 * What is done next is decided by SQL (section Migration of the install
 * script) from a row of purpose.column_migration, which changes in the same
 * transactions; so whatever interrupts the work, the next call goes on.  The
 * procedures here only call step after step and commit.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext_data.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "catalog.h"
#include "compat.h"
#include "errcodes.h"
#include "guc.h"
#include "migrate.h"
#include "protection.h"
#include "sealed.h"
#include "sealing.h"

/* Fourth part of the lock that lets only one session migrate a table. */
#define MIGRATE_LOCK	0x5ea1

PG_FUNCTION_INFO_V1(migrate_seal_column);
PG_FUNCTION_INFO_V1(migrate_unseal_column);
PG_FUNCTION_INFO_V1(migrate_row);
PG_FUNCTION_INFO_V1(migrate_require_in_step);
PG_FUNCTION_INFO_V1(migrate_rewrite);
PG_FUNCTION_INFO_V1(migrate_rewrite_statistics);
PG_FUNCTION_INFO_V1(migrate_everyone_sees);
PG_FUNCTION_INFO_V1(migrate_parse_label);

typedef struct Migration
{
	bool		unseals;
	Oid			relation;
	Name		column;
	text	   *label;			/* empty when unsealing */
	int32		batch_size;
	bool		shredded_as_null;
	bool		force;
	int64		id;
} Migration;

/*
 * Calls one of the SQL functions with a snapshot of its own.
 */
static Datum
call_sql(const char *name, int nargs, const Oid *argtypes, const Datum *args)
{
	FmgrInfo	function;

	LOCAL_FCINFO(fcinfo, 8);
	Datum		result;

	fmgr_info(catalog_function(name, nargs, argtypes, false), &function);
	InitFunctionCallInfoData(*fcinfo, &function, nargs, InvalidOid, NULL, NULL);
	for (int i = 0; i < nargs; i++)
	{
		fcinfo->args[i].value = args[i];
		fcinfo->args[i].isnull = false;
	}
	PushActiveSnapshot(GetTransactionSnapshot());
	result = FunctionCallInvoke(fcinfo);
	PopActiveSnapshot();
	return result;
}

/*
 * Begins the work, or finds what is left of it.
 */
static void
begin(Migration *m)
{
	const Oid	argtypes[] = {REGCLASSOID, NAMEOID, BOOLOID, TEXTOID, BOOLOID, BOOLOID, INT8OID};
	Datum		args[] = {
		ObjectIdGetDatum(m->relation), NameGetDatum(m->column), BoolGetDatum(m->unseals),
		PointerGetDatum(m->label), BoolGetDatum(m->shredded_as_null), BoolGetDatum(m->force), 0,
	};

	m->id = DatumGetInt64(call_sql("_migration_find", 6, argtypes, args));
	if (m->id != 0)
		return;
	args[6] = call_sql("_migration_check", 6, argtypes, args);

	/* So that the strong lock that follows is not taken on top of a weak one. */
	SPI_commit();
	m->id = DatumGetInt64(call_sql("_migration_start", 7, argtypes, args));
}

static bool
step(Migration *m)
{
	const Oid	argtypes[] = {INT8OID, INT4OID};
	const Datum args[] = {Int64GetDatum(m->id), Int32GetDatum(m->batch_size)};

	return DatumGetBool(call_sql("_migration_step", 2, argtypes, args));
}

static void
set_lock_tag(LOCKTAG *tag, Oid relation)
{
	tag->locktag_field1 = MyDatabaseId;
	tag->locktag_field2 = relation;
	tag->locktag_field3 = 0;
	tag->locktag_field4 = MIGRATE_LOCK;
	tag->locktag_type = LOCKTAG_USERLOCK;
	tag->locktag_lockmethodid = DEFAULT_LOCKMETHOD;
}

/*
 * Does all the work, in transactions of its own.  Raises 25001 where it cannot
 * have any, 55006 if another session is at it, and what the SQL functions
 * raise.
 */
static void
migrate(FunctionCallInfo fcinfo, Migration *m)
{
	const char *name = m->unseals ? "unseal_column" : "seal_column";
	LOCKTAG		tag;

	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		((CallContext *) fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("purpose.%s() cannot run inside a transaction block", name),
				 errdetail("It commits after each batch."),
				 errhint("CALL it by itself, outside of BEGIN and of functions.")));
	if (m->batch_size < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be at least 1")));
	if (m->unseals && guc_purpose_scope == PURPOSE_SCOPE_TRANSACTION)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("purpose.%s() needs a purpose that outlives a transaction", name),
				 errhint("SET purpose.scope = 'session', and declare the purpose again.")));

	/* Held over transactions; an error, or the session's end, releases it. */
	set_lock_tag(&tag, m->relation);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another session is sealing or unsealing a column of this relation"),
				 errhint("purpose.seal_progress shows how far it is.")));
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	begin(m);
	do
		SPI_commit();
	while (step(m));
	SPI_finish();
	LockRelease(&tag, ExclusiveLock, true);
}

static void
require_arguments(FunctionCallInfo fcinfo)
{
	for (int i = 0; i < PG_NARGS(); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("no argument may be NULL")));
	}
}

/*
 * purpose.seal_column(relation regclass, column name, label text,
 *		batch_size int, force boolean)
 */
Datum
migrate_seal_column(PG_FUNCTION_ARGS)
{
	Migration	m = {0};

	require_arguments(fcinfo);
	m.relation = PG_GETARG_OID(0);
	m.column = PG_GETARG_NAME(1);
	m.label = PG_GETARG_TEXT_P(2);
	m.batch_size = PG_GETARG_INT32(3);
	m.force = PG_GETARG_BOOL(4);
	migrate(fcinfo, &m);
	PG_RETURN_VOID();
}

/*
 * purpose.unseal_column(relation regclass, column name, batch_size int,
 *		shredded_as_null boolean, force boolean)
 */
Datum
migrate_unseal_column(PG_FUNCTION_ARGS)
{
	Migration	m = {.unseals = true};

	require_arguments(fcinfo);
	m.relation = PG_GETARG_OID(0);
	m.column = PG_GETARG_NAME(1);
	m.label = cstring_to_text("");
	m.batch_size = PG_GETARG_INT32(2);
	m.shredded_as_null = PG_GETARG_BOOL(3);
	m.force = PG_GETARG_BOOL(4);
	migrate(fcinfo, &m);
	PG_RETURN_VOID();
}

/*
 * Do two versions of a row lead to the same subject, as far as their own
 * columns go?
 */
static bool
same_subject(Relation rel, HeapTuple a, HeapTuple b)
{
	const RelationPolicy *policy = protection_find(RelationGetRelid(rel));
	const Protection *protection = policy != NULL ? policy->protection : NULL;
	const SubjectHop *hop;
	int			n;
	const AttrNumber *attnos;

	if (protection == NULL)
		return true;
	hop = protection->hops != NIL ? linitial(protection->hops) : NULL;
	n = hop != NULL ? hop->nkeys : protection->nkeys;
	attnos = hop != NULL ? hop->child_attnos : protection->keys;
	for (int i = 0; i < n; i++)
	{
		if (!sealing_same_value(RelationGetDescr(rel), a, b, attnos[i]))
			return false;
	}
	return true;
}

/*
 * Returns what the shadow gets for a value that is written while the column is
 * being sealed: one that ~purpose_seal, the next trigger, seals.
 */
static Datum
shadow_of_clear(Oid shadow_type, Datum value)
{
	const SealedType *type = sealedtype_find(shadow_type);

	if (type == NULL)
		elog(ERROR, "shadow column is not of a sealed type");
	return sealed_pending(type, value);
}

/*
 * The same while it is being unsealed.  A value that was written as an envelope
 * may not be for this session to open: then the shadow stays NULL, and a later
 * batch fills it.
 */
static Datum
shadow_of_sealed(Oid column_type, Datum value, bool *isnull)
{
	const SealedType *found = sealedtype_find(column_type);
	SealedType	type;
	Datum		base = (Datum) 0;

	if (found == NULL)
		elog(ERROR, "column is not of a sealed type");
	type = *found;
	*isnull = sealed_look(value).claimed || !sealed_open(&type, value, &base);
	return base;
}

/*
 * purpose._migrate_row() -> trigger: BEFORE INSERT OR UPDATE FOR EACH ROW, with
 * the names of the column and of its shadow as arguments.  Nobody else writes
 * to the shadow.
 */
Datum
migrate_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	HeapTuple	old = NULL;
	AttrNumber	column;
	int			shadow;
	Oid			column_type;
	Oid			shadow_type;
	bool		unseals;
	Datum		value;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || trigger->tg_trigger->tgnargs != 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("purpose._migrate_row() must be called by the trigger of a column that is being sealed")));
	desc = RelationGetDescr(trigger->tg_relation);
	row = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		old = trigger->tg_trigtuple;
		row = trigger->tg_newtuple;
	}
	column = SPI_fnumber(desc, trigger->tg_trigger->tgargs[0]);
	shadow = SPI_fnumber(desc, trigger->tg_trigger->tgargs[1]);
	if (column <= 0 || shadow <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("relation \"%s\" lacks a column that is being sealed or unsealed",
						RelationGetRelationName(trigger->tg_relation))));
	column_type = TupleDescAttr(desc, column - 1)->atttypid;
	shadow_type = TupleDescAttr(desc, shadow - 1)->atttypid;
	unseals = sealedtype_find(column_type) != NULL;

	if (old != NULL && sealing_same_value(desc, old, row, column) &&
		(unseals || same_subject(trigger->tg_relation, old, row)))
	{
		if (sealing_same_value(desc, old, row, shadow))
			PG_RETURN_POINTER(row);
		value = heap_getattr(old, shadow, desc, &isnull);
	}
	else
	{
		value = heap_getattr(row, column, desc, &isnull);
		if (!isnull)
			value = unseals ? shadow_of_sealed(column_type, value, &isnull) :
				shadow_of_clear(shadow_type, value);
	}
	PG_RETURN_POINTER(heap_modify_tuple_by_cols(row, desc, 1, &shadow, &value, &isnull));
}

compat_noreturn static void
refuse_out_of_step(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("a row was changed past the trigger %s", MIGRATE_TRIGGER),
			 errdetail("The sealed value and the clear one are not the same, so neither may be given up."),
			 errhint("See to it that the trigger is enabled and no other trigger changes the column after it, take the work back with the opposite procedure, and begin again.")));
}

/*
 * purpose._require_in_step(shadow anyelement, value "any",
 *		shredded_as_null boolean) -> anyelement
 *
 * The last look before the column's old value is given up: returns the shadow,
 * if it is the same value.  A subject that was shredded since loses the value.
 */
Datum
migrate_require_in_step(PG_FUNCTION_ARGS)
{
	Oid			shadow_type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			value_type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	const SealedType *found = sealedtype_find(shadow_type);
	bool		unseals = found == NULL;
	bool		shredded_as_null = PG_GETARG_BOOL(2);
	SealedType	type;
	Datum		sealed;
	Datum		clear;

	if (unseals)
		found = sealedtype_find(value_type);
	if (found == NULL)
		elog(ERROR, "neither column is of a sealed type");
	type = *found;
	if (PG_ARGISNULL(1))
	{
		if (!PG_ARGISNULL(0))
			refuse_out_of_step();
		PG_RETURN_NULL();
	}
	if (unseals && shredded_as_null && sealed_is_shredded(PG_GETARG_DATUM(1)))
		PG_RETURN_NULL();
	if (PG_ARGISNULL(0))
		refuse_out_of_step();
	sealed = PG_GETARG_DATUM(unseals ? 1 : 0);
	clear = PG_GETARG_DATUM(unseals ? 0 : 1);
	if (!sealed_holds(&type, sealed, clear) && (unseals || !sealed_is_shredded(sealed)))
		refuse_out_of_step();
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/*
 * purpose._rewrite(relation regclass): what VACUUM FULL does, within a
 * transaction.  Dropped columns leave the file.
 */
Datum
migrate_rewrite(PG_FUNCTION_ARGS)
{
	compat_vacuum_full(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

/*
 * purpose._rewrite_statistics(): the rows of a column that is gone stay in the
 * files of these catalogs, dead, with values of the column in them.
 */
Datum
migrate_rewrite_statistics(PG_FUNCTION_ARGS)
{
	compat_vacuum_full(StatisticRelationId);
	compat_vacuum_full(StatisticExtDataRelationId);
	PG_RETURN_VOID();
}

/*
 * purpose._everyone_sees(transaction xid8) -> boolean: has it ended, and with
 * it every snapshot to which dead rows of the statistics may still be alive?
 */
Datum
migrate_everyone_sees(PG_FUNCTION_ARGS)
{
	uint64		wanted = U64FromFullTransactionId(PG_GETARG_FULLTRANSACTIONID(0));
	Relation	rel = table_open(StatisticRelationId, AccessShareLock);
	TransactionId oldest = GetOldestNonRemovableTransactionId(rel);
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());
	uint64		full = (next & ~(uint64) PG_UINT32_MAX) | oldest;

	table_close(rel, AccessShareLock);
	if (oldest > (TransactionId) next)
		full -= UINT64CONST(1) << 32;
	/* One that is still to come is of the cluster that was dumped. */
	PG_RETURN_BOOL(wanted < full || wanted >= next);
}

static Datum
names_to_array(const List *names, bool *isnull)
{
	Datum	   *elements = palloc(list_length(names) * sizeof(Datum));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, names)
		elements[n++] = CStringGetTextDatum(lfirst(lc));
	*isnull = false;
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
text_or_null(const char *string, bool *isnull)
{
	*isnull = string == NULL;
	return string != NULL ? CStringGetTextDatum(string) : (Datum) 0;
}

/*
 * purpose._parse_sealed_label(label text, OUT canonical text, OUT typmod int,
 *		OUT allowed text[], OUT prohibited text[], OUT keep text, OUT modifier text)
 *
 * Takes the label of a sealed type apart.  Raises PU008.
 */
Datum
migrate_parse_label(PG_FUNCTION_ARGS)
{
	const SealedLabel *sealed = sealedlabel_from_text(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(sealed->text);
	values[1] = Int32GetDatum(sealed->typmod);
	values[2] = names_to_array(sealed->label->allowed, &nulls[2]);
	values[3] = names_to_array(sealed->label->prohibited, &nulls[3]);
	values[4] = text_or_null(sealed->label->keep, &nulls[4]);
	values[5] = text_or_null(sealed->label->modifier, &nulls[5]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * Finds the trigger on a relation that is being migrated, and the names of the
 * column and of its shadow.
 */
static bool
find_trigger(Oid relid, char **column, char **shadow)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&keys[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(MIGRATE_TRIGGER));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple) && ((Form_pg_trigger) GETSTRUCT(tuple))->tgnargs == 2;
	if (found)
	{
		bool		isnull;
		bytea	   *args = DatumGetByteaPP(heap_getattr(tuple, Anum_pg_trigger_tgargs,
														RelationGetDescr(rel), &isnull));

		/* Two strings, each with its zero byte. */
		*column = pstrdup(VARDATA_ANY(args));
		*shadow = pstrdup(VARDATA_ANY(args) + strlen(*column) + 1);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

static void
refuse(Oid relid, const char *column, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_PURPOSE_IN_USE),
			 errmsg("%s relation \"%s\" must wait: its column \"%s\" is being sealed or unsealed",
					what, get_rel_name(relid), column),
			 errhint("CALL purpose.seal_column() or purpose.unseal_column() again to go on; the opposite one takes the work back.")));
}

/*
 * Refuses to change a column, or its shadow, while it is being migrated.  Raises
 * PU010.
 */
void
migrate_guard_column(Oid relid, const char *column, const char *what)
{
	char	   *migrated;
	char	   *shadow;

	if (find_trigger(relid, &migrated, &shadow) &&
		(strcmp(column, migrated) == 0 || strcmp(column, shadow) == 0))
		refuse(relid, migrated, what);
}

/*
 * Refuses to take a relation out of its tree while that is being migrated.
 */
void
migrate_guard_relation(Oid relid, const char *what)
{
	char	   *migrated;
	char	   *shadow;

	if (OidIsValid(relid) && find_trigger(relid, &migrated, &shadow))
		refuse(relid, migrated, what);
}
