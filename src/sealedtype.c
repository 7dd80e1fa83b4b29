/*
 * sealedtype.c
 *		What a sealed type seals: its base type, and how a base value becomes
 *		bytes and comes back.
 *
 * The bytes are an on-disk format, the same in every database: the base
 * type's binary send form with text in UTF-8, or, for types made by
 * create_sealed_type(), its text form under fixed settings.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "catalog.h"
#include "errcodes.h"
#include "sealedtype.h"

static HTAB *types = NULL;
static MemoryContext types_context = NULL;
static uint64 types_generation = 0;
static bool types_valid = false;
static Oid	registry_relid = InvalidOid;

PG_FUNCTION_INFO_V1(sealedtype_registered);

static void
type_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	types_valid = false;
}

static void
registry_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == registry_relid)
		types_valid = false;
}

/*
 * Registers the invalidation callbacks.  Called once from _PG_init.
 */
void
sealedtype_init(void)
{
	CacheRegisterSyscacheCallback(TYPEOID, type_callback, (Datum) 0);
	CacheRegisterRelcacheCallback(registry_callback, (Datum) 0);
}

/*
 * purpose._sealed_type_registered() -> trigger: AFTER INSERT on
 * purpose.sealed_type_registry.  Has the sealed type go with its base type.
 */
Datum
sealedtype_registered(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	ObjectAddress sealed;
	ObjectAddress base;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event) ||
		catalog_oids() == NULL ||
		RelationGetRelid(trigger->tg_relation) != catalog_oids()->sealed_type_registry)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("purpose._sealed_type_registered() serves purpose.sealed_type_registry only")));
	desc = RelationGetDescr(trigger->tg_relation);
	ObjectAddressSet(sealed, TypeRelationId,
					 DatumGetObjectId(heap_getattr(trigger->tg_trigtuple, Anum_sealed_type_type,
												   desc, &isnull)));
	ObjectAddressSet(base, TypeRelationId,
					 DatumGetObjectId(heap_getattr(trigger->tg_trigtuple, Anum_sealed_type_base,
												   desc, &isnull)));
	recordDependencyOn(&sealed, &base, DEPENDENCY_NORMAL);
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * Forgets the registration of a type that is being dropped.  When the extension
 * goes, the registry may be gone already.
 */
void
sealedtype_dropped(Oid type)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	if (oids == NULL || type < FirstNormalObjectId ||
		get_rel_relkind(oids->sealed_type_registry) != RELKIND_RELATION ||
		get_rel_relkind(oids->sealed_type_registry_pkey) != RELKIND_INDEX)
		return;
	ScanKeyInit(&key, Anum_sealed_type_type, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	rel = table_open(oids->sealed_type_registry, RowExclusiveLock);
	scan = systable_beginscan(rel, oids->sealed_type_registry_pkey, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		simple_heap_delete(rel, &tuple->t_self);
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
}

/*
 * Reads what is registered about a type.  Returns false for one that is not
 * sealed.
 */
static bool
read_registry(Oid oid, Oid *base, char **name, int *pad, bool *binary, bool *searchable)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	bool		found;

	if (oids == NULL)
		return false;
	ScanKeyInit(&key, Anum_sealed_type_type, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	rel = table_open(oids->sealed_type_registry, AccessShareLock);
	scan = systable_beginscan(rel, oids->sealed_type_registry_pkey, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;

		*base = DatumGetObjectId(heap_getattr(tuple, Anum_sealed_type_base, desc, &isnull));
		*name = TextDatumGetCString(heap_getattr(tuple, Anum_sealed_type_name, desc, &isnull));
		*pad = DatumGetInt32(heap_getattr(tuple, Anum_sealed_type_pad, desc, &isnull));
		*searchable = DatumGetBool(heap_getattr(tuple, Anum_sealed_type_searchable, desc, &isnull));
		*binary = DatumGetBool(heap_getattr(tuple, Anum_sealed_type_binary, desc, &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/*
 * Finds out from the catalogs alone what a type that create_sealed_type() made
 * seals: a restore loads values before purpose.sealed_type_registry.  Its input
 * function is ours, and it has one implicit cast.
 */
static bool
derive_registration(Oid oid, Oid *base, char **name)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(oid));
	Oid			input;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	bool		ours = false;

	if (!HeapTupleIsValid(tuple))
		return false;
	input = ((Form_pg_type) GETSTRUCT(tuple))->typinput;
	ReleaseSysCache(tuple);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(input));
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);

		ours = ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
			!isnull && strcmp(TextDatumGetCString(source), "sealed_in") == 0;
		ReleaseSysCache(tuple);
	}
	if (!ours)
		return false;

	*base = InvalidOid;
	ScanKeyInit(&key, Anum_pg_cast_castsource, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(oid));
	rel = table_open(CastRelationId, AccessShareLock);
	scan = systable_beginscan(rel, CastSourceTargetIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_cast form = (Form_pg_cast) GETSTRUCT(tuple);

		if (form->castcontext == COERCION_CODE_IMPLICIT && form->casttarget != oid)
			*base = form->casttarget;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(*base));
	if (!HeapTupleIsValid(tuple))
		return false;
	*name = quote_qualified_identifier(get_namespace_name(((Form_pg_type) GETSTRUCT(tuple))->typnamespace),
									   NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname));
	/* As format('%I.%I') has it, with the schema. */
	ReleaseSysCache(tuple);
	return true;
}

static void
fill(SealedType *type, Oid base, const char *name, int pad, bool binary)
{
	bool		varlena;
	Oid			to;
	Oid			from;
	Oid			input;

	type->name = MemoryContextStrdup(types_context, name);
	type->pad = pad;
	type->binary = binary;
	type->plain_varlena = base == BYTEAOID ||
		(base == TEXTOID && (GetDatabaseEncoding() == PG_UTF8 ||
							 GetDatabaseEncoding() == PG_SQL_ASCII));
	get_typlenbyvalalign(base, &type->typlen, &type->typbyval, &type->typalign);
	if (binary)
	{
		getTypeBinaryOutputInfo(base, &to, &varlena);
		getTypeBinaryInputInfo(base, &from, &type->ioparam);
	}
	else
	{
		getTypeOutputInfo(base, &to, &varlena);
		getTypeInputInfo(base, &from, &type->ioparam);
	}
	fmgr_info_cxt(to, &type->to_bytes, types_context);
	fmgr_info_cxt(from, &type->from_bytes, types_context);
	getTypeInputInfo(base, &input, &type->input_ioparam);
	fmgr_info_cxt(input, &type->input, types_context);
	type->base = base;			/* only now: an error leaves it unknown */
}

/*
 * Forgets all types.  What was handed out stays until the transaction ends: its
 * users look up others meanwhile, and whatever they do may change the catalogs.
 */
static void
start_over(void)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid), .entrysize = sizeof(SealedType)};

	types = NULL;
	if (types_context != NULL)
		MemoryContextSetParent(types_context, TopTransactionContext);
	types_context = NULL;
	types_context = AllocSetContextCreate(TopMemoryContext, "pg_purpose sealed types",
										  ALLOCSET_SMALL_SIZES);
	ctl.hcxt = types_context;
	types = hash_create("pg_purpose sealed types", 32, &ctl,
						HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Returns what is known about a sealed type, or NULL if it is not one.  The
 * result is good until the transaction ends.
 */
const SealedType *
sealedtype_find(Oid oid)
{
	static const SealedType *last = NULL;	/* in `types` */
	SealedType *type;
	Oid			base = InvalidOid;
	char	   *name = NULL;
	int			pad = 0;
	bool		binary = false;
	bool		searchable = false;
	bool		found;

	if (types == NULL || !types_valid || types_generation != catalog_generation)
	{
		(void) catalog_oids();
		types_valid = true;
		registry_relid = catalog_oids() != NULL ? catalog_oids()->sealed_type_registry : InvalidOid;
		types_generation = catalog_generation;
		last = NULL;
		start_over();
	}
	if (last != NULL && last->oid == oid)
		return last;
	type = hash_search(types, &oid, HASH_FIND, NULL);
	if (type != NULL)
	{
		if (!OidIsValid(type->base))
			return NULL;
		last = type;
		return type;
	}

	found = read_registry(oid, &base, &name, &pad, &binary, &searchable);
	if (!found && catalog_oids() == NULL)
		return NULL;
	if (!found && derive_registration(oid, &base, &name))
	{
		found = true;
		pad = 1;
	}
	type = hash_search(types, &oid, HASH_ENTER, NULL);
	type->base = InvalidOid;
	if (!found)
		return NULL;
	fill(type, base, name, pad, binary);
	type->searchable = searchable;
	return type;
}

static const SealedType *
require(Oid oid)
{
	const SealedType *type = sealedtype_find(oid);

	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not a sealed type", format_type_be(oid)),
				 errhint("purpose.create_sealed_type() makes sealed types.")));
	return type;
}

/*
 * Returns the sealed type that a function was declared with, as an argument or
 * as its result (-1).
 */
static const SealedType *
of_signature(FunctionCallInfo fcinfo, int argument)
{
	Oid		   *cached = fcinfo->flinfo->fn_extra;

	if (cached == NULL)
	{
		Oid		   *argtypes;
		int			nargs;
		Oid			result = get_func_signature(fcinfo->flinfo->fn_oid, &argtypes, &nargs);

		cached = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(Oid));
		*cached = argument < 0 ? result : argument < nargs ? argtypes[argument] : InvalidOid;
		fcinfo->flinfo->fn_extra = cached;
	}
	return require(*cached);
}

const SealedType *
sealedtype_of_argument(FunctionCallInfo fcinfo, int argument)
{
	return of_signature(fcinfo, argument);
}

const SealedType *
sealedtype_of_result(FunctionCallInfo fcinfo)
{
	return of_signature(fcinfo, -1);
}

/*
 * Runs a conversion with text in UTF-8, or under settings that fix the text
 * form.  Send and receive functions convert text to and from the client's
 * encoding.
 */
typedef struct Conversion
{
	const SealedType *type;
	Datum		value;
	StringInfo	bytes;
	Datum		result;
} Conversion;

static void
convert(Conversion *c)
{
	const SealedType *type = c->type;

	if (c->bytes == NULL)
		c->result = type->binary ?
			PointerGetDatum(SendFunctionCall((FmgrInfo *) &type->to_bytes, c->value)) :
			CStringGetDatum(OutputFunctionCall((FmgrInfo *) &type->to_bytes, c->value));
	else
		c->result = type->binary ?
			ReceiveFunctionCall((FmgrInfo *) &type->from_bytes, c->bytes, type->ioparam, -1) :
			InputFunctionCall((FmgrInfo *) &type->from_bytes, c->bytes->data, type->ioparam, -1);
}

static void
convert_in_utf8(Conversion *c)
{
	int			before = pg_get_client_encoding();

	if (before == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		convert(c);
		return;
	}
	if (PrepareClientEncoding(PG_UTF8) < 0 || SetClientEncoding(PG_UTF8) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("text in encoding %s cannot be sealed", GetDatabaseEncodingName()),
				 errdetail("There is no conversion to UTF-8.")));
	PG_TRY();
	{
		convert(c);
	}
	PG_FINALLY();
	{
		(void) SetClientEncoding(before);
	}
	PG_END_TRY();
}

static void
convert_as_text(Conversion *c)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO, YMD"},
		{"intervalstyle", "postgres"},
		{"extra_float_digits", "3"},
		{"timezone", "UTC"},
		{"search_path", "pg_catalog, pg_temp"},
		{"lc_monetary", "C"},
		{"bytea_output", "hex"},
		{"xmloption", "content"},
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, ERROR, false);
	convert(c);
	AtEOXact_GUC(true, level);
}

/*
 * Turns a base value into the bytes that are sealed.
 */
bytea *
sealedtype_to_bytes(const SealedType *type, Datum value)
{
	Conversion	c = {.type = type, .value = value};
	bytea	   *result;
	char	   *text;

	if (type->plain_varlena)
		return DatumGetByteaPP(value);
	if (type->binary)
	{
		convert_in_utf8(&c);
		return (bytea *) DatumGetPointer(c.result);
	}
	convert_as_text(&c);
	text = DatumGetCString(c.result);
	text = (char *) pg_do_encoding_conversion((unsigned char *) text, strlen(text),
											  GetDatabaseEncoding(), PG_UTF8);
	result = (bytea *) cstring_to_text(text);
	return result;
}

/*
 * Reads a base value's text form, which the type may no longer take: the label
 * of an enum was renamed, say.  What it says of that would quote the value.
 */
static void
convert_from_text(Conversion *c)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		convert_as_text(c);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_SEALED_VALUE),
				 errmsg("type %s no longer takes a value that was sealed", c->type->name),
				 errhint("Undo what changed the type since, such as the renaming of an enum's label, open the values, and seal them again.")));
	}
	PG_END_TRY();
}

/*
 * Turns bytes back into a base value, which may be the bytes themselves.
 */
Datum
sealedtype_from_bytes(const SealedType *type, bytea *plain)
{
	StringInfoData buf;
	Conversion	c = {.type = type, .bytes = &buf};
	const char *bytes = VARDATA_ANY(plain);
	int			len = VARSIZE_ANY_EXHDR(plain);

	if (type->plain_varlena)
		return PointerGetDatum(plain);
	initStringInfo(&buf);
	if (type->binary)
	{
		appendBinaryStringInfo(&buf, bytes, len);
		convert_in_utf8(&c);
	}
	else
	{
		char	   *text = pnstrdup(bytes, len);

		appendStringInfoString(&buf, (char *) pg_do_encoding_conversion((unsigned char *) text, len,
																		PG_UTF8, GetDatabaseEncoding()));
		convert_from_text(&c);
	}
	return c.result;
}

/*
 * Is the type sealed, or does a value of it contain sealed ones: a domain, an
 * array, a composite type, a range or multirange?
 */
bool
sealedtype_contained(Oid type)
{
	check_stack_depth();
	/* What initdb made holds nothing of ours, domains included. */
	if (type < FirstNormalObjectId && type != RECORDOID)
		return false;
	if (sealedtype_find(type) != NULL)
		return true;
	type = getBaseType(type);
	if (sealedtype_find(type) != NULL)
		return true;
	if (OidIsValid(get_element_type(type)))
		return sealedtype_contained(get_element_type(type));
	if (type_is_range(type))
		return sealedtype_contained(get_range_subtype(type));
	if (type_is_multirange(type))
		return sealedtype_contained(get_multirange_range(type));
	if (get_typtype(type) == TYPTYPE_COMPOSITE)
	{
		TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, -1);

		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, i);

			if (!attribute->attisdropped && sealedtype_contained(attribute->atttypid))
				return true;
		}
	}
	return false;
}
