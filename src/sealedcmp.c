/*
 * sealedcmp.c
 *		Comparison and hashing of sealed values, for DISTINCT, GROUP BY, ORDER
 *		BY and UNION; and their one operator of another kind.
 *
 * Values that the session may open compare as their base type does; the others
 * as their envelopes, after all opened ones.  So the order depends on the
 * session, and an index on it is refused (sealing.c).
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "errcodes.h"
#include "sealed.h"

PG_FUNCTION_INFO_V1(sealed_cmp);
PG_FUNCTION_INFO_V1(sealed_eq);
PG_FUNCTION_INFO_V1(sealed_ne);
PG_FUNCTION_INFO_V1(sealed_lt);
PG_FUNCTION_INFO_V1(sealed_le);
PG_FUNCTION_INFO_V1(sealed_gt);
PG_FUNCTION_INFO_V1(sealed_ge);
PG_FUNCTION_INFO_V1(sealed_hash);
PG_FUNCTION_INFO_V1(sealed_hash_extended);
PG_FUNCTION_INFO_V1(sealed_concat);

/*
 * Opens a value to compare it.  One that was typed in as an envelope is
 * compared as that.
 */
static bool
open_to_compare(const SealedType *type, Datum value, Datum *base)
{
	return !sealed_look(value).claimed && sealed_open(type, value, base);
}

static int
compare(FunctionCallInfo fcinfo)
{
	const SealedType *type = sealedtype_of_argument(fcinfo, 0);
	Oid			base_type = type->base;
	Datum		a = PG_GETARG_DATUM(0);
	Datum		b = PG_GETARG_DATUM(1);
	Datum		base_a;
	Datum		base_b;
	bool		opened_a = open_to_compare(type, a, &base_a);
	bool		opened_b = open_to_compare(type, b, &base_b);

	if (opened_a && opened_b)
	{
		TypeCacheEntry *entry = lookup_type_cache(base_type, TYPECACHE_CMP_PROC_FINFO);

		return DatumGetInt32(FunctionCall2Coll(&entry->cmp_proc_finfo, PG_GET_COLLATION(),
											   base_a, base_b));
	}
	if (!opened_a && !opened_b)
	{
		SealedValue look_a = sealed_look(a);
		SealedValue look_b = sealed_look(b);

		return sealed_compare_envelopes(&look_a, &look_b);
	}
	return opened_a ? -1 : 1;
}

Datum
sealed_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare(fcinfo));
}

Datum
sealed_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) == 0);
}

Datum
sealed_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) != 0);
}

Datum
sealed_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) < 0);
}

Datum
sealed_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) <= 0);
}

Datum
sealed_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) > 0);
}

Datum
sealed_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) >= 0);
}

Datum
sealed_hash(PG_FUNCTION_ARGS)
{
	const SealedType *type = sealedtype_of_argument(fcinfo, 0);
	Oid			base_type = type->base;
	Datum		base;
	SealedValue look;

	if (open_to_compare(type, PG_GETARG_DATUM(0), &base))
	{
		TypeCacheEntry *entry = lookup_type_cache(base_type, TYPECACHE_HASH_PROC_FINFO);

		PG_RETURN_DATUM(FunctionCall1Coll(&entry->hash_proc_finfo, PG_GET_COLLATION(), base));
	}
	look = sealed_look(PG_GETARG_DATUM(0));
	PG_RETURN_UINT32(hash_bytes(look.bytes + 2, look.len - 2));
}

/*
 * Hashing with a seed: (sealed, int8).
 */
Datum
sealed_hash_extended(PG_FUNCTION_ARGS)
{
	const SealedType *type = sealedtype_of_argument(fcinfo, 0);
	Oid			base_type = type->base;
	Datum		base;
	SealedValue look;

	if (open_to_compare(type, PG_GETARG_DATUM(0), &base))
	{
		TypeCacheEntry *entry = lookup_type_cache(base_type,
												  TYPECACHE_HASH_EXTENDED_PROC_FINFO);

		PG_RETURN_DATUM(FunctionCall2Coll(&entry->hash_extended_proc_finfo, PG_GET_COLLATION(),
										  base, PG_GETARG_DATUM(1)));
	}
	look = sealed_look(PG_GETARG_DATUM(0));
	PG_RETURN_UINT64(hash_bytes_extended(look.bytes + 2, look.len - 2, PG_GETARG_INT64(1)));
}

/* What sealed_concat() needs, kept with its call site. */
typedef struct ConcatCall
{
	Oid			sealed;			/* first, as sealedtype_of_argument() has it */
	FmgrInfo	function;
} ConcatCall;

/*
 * The base type's || of two opened values: NULL if one may not be opened.
 *
 * All other operators are found for the base type, through the implicit cast.
 * Not "value || 'literal'": there PostgreSQL would prefer the one that appends
 * a text to anything.
 */
Datum
sealed_concat(PG_FUNCTION_ARGS)
{
	ConcatCall *call = fcinfo->flinfo->fn_extra;
	SealedType	type;
	Datum		a;
	Datum		b;

	if (call == NULL)
	{
		Oid			sealed = sealedtype_of_argument(fcinfo, 0)->oid;
		Oid			base = sealedtype_find(sealed)->base;
		Oid			operator = OpernameGetOprid(list_make2(makeString("pg_catalog"),
														   makeString("||")), base, base);

		if (!OidIsValid(operator))
			elog(ERROR, "type %u has no operator ||", base);
		call = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(ConcatCall));
		call->sealed = sealed;
		fmgr_info_cxt(get_opcode(operator), &call->function, fcinfo->flinfo->fn_mcxt);
		fcinfo->flinfo->fn_extra = call;
	}
	type = *sealedtype_find(call->sealed);
	if (!sealed_open(&type, PG_GETARG_DATUM(0), &a) ||
		!sealed_open(&type, PG_GETARG_DATUM(1), &b))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(FunctionCall2Coll(&call->function, PG_GET_COLLATION(), a, b));
}
