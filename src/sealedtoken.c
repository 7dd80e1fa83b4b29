/*
 * sealedtoken.c
 *		Blind tokens: equality search on sealed values.
 *
 * A value of a searchable type carries HMAC-SHA-256 of its plaintext under a
 * key of its column, cut to 128 bits.  Equal values of a column have equal
 * tokens, whoever's they are, so an index on them finds a value without
 * opening any.  That is also what they tell whoever sees the column: which
 * rows have equal values.
 *
 * A column's token key is a leaf of the keyring (kind token), whose number
 * stands in purpose.token_key.  Partitions share the key of their topmost
 * parent.  Tokens outlive a shred until purpose.rotate_tokens().
 *
 * The default operator classes of searchable types compare tokens; those of a
 * searchable type with its base type make the token of the base value under
 * the key of the other side.  A session whose purpose does not satisfy the
 * label finds nothing that way.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "access/transam.h"
#include "common/hashfn.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "catalog.h"
#include "errcodes.h"
#include "kdf.h"
#include "keyring.h"
#include "sealed.h"
#include "sealedtoken.h"

PG_FUNCTION_INFO_V1(searchable_cmp);
PG_FUNCTION_INFO_V1(searchable_eq);
PG_FUNCTION_INFO_V1(searchable_ne);
PG_FUNCTION_INFO_V1(searchable_lt);
PG_FUNCTION_INFO_V1(searchable_le);
PG_FUNCTION_INFO_V1(searchable_gt);
PG_FUNCTION_INFO_V1(searchable_ge);
PG_FUNCTION_INFO_V1(searchable_hash);
PG_FUNCTION_INFO_V1(searchable_hash_extended);
PG_FUNCTION_INFO_V1(searchable_cmp_base);
PG_FUNCTION_INFO_V1(searchable_eq_base);
PG_FUNCTION_INFO_V1(searchable_ne_base);

/* The column that was looked up last: rows come column by column. */
static struct
{
	bool		valid;
	Oid			relation;
	NameData	column;
	uint64		number;
} last_column;

static void
token_key_callback(Datum arg, Oid relid)
{
	last_column.valid = false;
}

/*
 * Registers the invalidation callback.  Called once from _PG_init.
 */
void
sealedtoken_init(void)
{
	CacheRegisterRelcacheCallback(token_key_callback, (Datum) 0);
}

/*
 * Gives "column = ANY (array)" of a searchable column the comparison of opened
 * values, in place.
 */
static bool
prepare_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, prepare_walker, context, 0);
	if (IsA(node, ScalarArrayOpExpr))
	{
		ScalarArrayOpExpr *any = (ScalarArrayOpExpr *) node;
		Node	   *left = linitial(any->args);
		Oid			left_type = getBaseType(exprType(left));
		const SealedType *type = left_type >= FirstNormalObjectId ?
		sealedtype_find(left_type) : NULL;

		if (type != NULL && type->searchable && any->useOr &&
			get_element_type(exprType(lsecond(any->args))) == type->base)
		{
			Oid			base = type->base;
			Oid			collation = exprCollation(left);
			Oid			cast;

			if (find_coercion_pathway(base, left_type, COERCION_IMPLICIT, &cast) ==
				COERCION_PATH_FUNC)
			{
				any->opno = lookup_type_cache(base, TYPECACHE_EQ_OPR)->eq_opr;
				any->opfuncid = InvalidOid;
				linitial(any->args) = makeFuncExpr(cast, base, list_make1(left), collation,
												   collation, COERCE_IMPLICIT_CAST);
			}
		}
	}
	return expression_tree_walker(node, prepare_walker, context);
}

/*
 * Prepares a query for planning.  An index on tokens cannot be searched for an
 * array of base values: a btree sorts the array first, in an order that must be
 * the index's, which only the column's key knows.
 */
void
sealedtoken_prepare_query(Query *query)
{
	if (catalog_oids() != NULL)
		(void) query_tree_walker(query, prepare_walker, NULL, 0);
}

/*
 * Returns the number of a column's token key, or 0 if it has none and none is
 * to be made.
 */
uint64
sealedtoken_key_of_column(Oid relation, const char *column, bool create)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple	tuple;
	NameData	name;
	uint64		number = 0;

	if (last_column.valid && last_column.relation == relation &&
		strcmp(NameStr(last_column.column), column) == 0)
		return last_column.number;

	namestrcpy(&name, column);
	ScanKeyInit(&keys[0], Anum_token_relation, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relation));
	ScanKeyInit(&keys[1], Anum_token_column, BTEqualStrategyNumber, F_NAMEEQ,
				NameGetDatum(&name));
	rel = table_open(oids->token_key, AccessShareLock);
	scan = systable_beginscan(rel, oids->token_key_pkey, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		number = (uint64) DatumGetInt64(heap_getattr(tuple, Anum_token_number,
													 RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (number == 0 && create)
	{
		Oid			argtypes[3] = {REGCLASSOID, NAMEOID, INT8OID};

		number = (uint64) DatumGetInt64(OidFunctionCall3(catalog_function("_record_token_key", 3,
																		  argtypes, false),
														 ObjectIdGetDatum(relation),
														 NameGetDatum(&name),
														 Int64GetDatum((int64) keyring_draw_number())));
	}
	if (number != 0)
	{
		last_column.relation = relation;
		last_column.column = name;
		last_column.number = number;
		last_column.valid = true;
	}
	return number;
}

/*
 * Makes the token of a base value.  Raises PU012 if the token key is gone:
 * then the value was sealed before its column's tokens were rotated.
 */
void
sealedtoken_make(const SealedType *type, Datum base, uint64 number,
				 uint8 token[ENVELOPE_TOKEN_LEN])
{
	uint8		key[SECRET_KEY_LEN];
	uint8		mac[KDF_HASH_LEN];
	bytea	   *bytes;

	/* Equal numerics may differ in their scale. */
	if (type->base == NUMERICOID)
		base = OidFunctionCall1(F_TRIM_SCALE, base);
	bytes = sealedtype_to_bytes(type, base);
	if (!keyring_derive(KEY_ADDRESS(KEY_TOKEN, number, 0), key))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_SEALED_VALUE),
				 errmsg("the tokens of this value are no longer in use"),
				 errhint("Its column's tokens were rotated since it was sealed.")));
	kdf_hmac(key, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), mac);
	memcpy(token, mac, ENVELOPE_TOKEN_LEN);
	secret_wipe(key, sizeof(key));
	secret_wipe(mac, sizeof(mac));
}

static int
compare_tokens(const SealedValue *a, const SealedValue *b)
{
	if (a->header.token_number != b->header.token_number)
		return a->header.token_number < b->header.token_number ? -1 : 1;
	return memcmp(a->header.token, b->header.token, ENVELOPE_TOKEN_LEN);
}

/*
 * Compares two values of a searchable type.  One that waits for its trigger
 * has no token: it comes after those that have, by its envelope.
 */
static int
compare(FunctionCallInfo fcinfo)
{
	SealedValue a = sealed_look(PG_GETARG_DATUM(0));
	SealedValue b = sealed_look(PG_GETARG_DATUM(1));
	bool		has_a = (a.header.flags & ENVELOPE_FLAG_SEARCHABLE) != 0;
	bool		has_b = (b.header.flags & ENVELOPE_FLAG_SEARCHABLE) != 0;

	if (has_a && has_b)
		return compare_tokens(&a, &b);
	if (!has_a && !has_b)
		return sealed_compare_envelopes(&a, &b);
	return has_a ? -1 : 1;
}

Datum
searchable_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare(fcinfo));
}

Datum
searchable_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) == 0);
}

Datum
searchable_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) != 0);
}

Datum
searchable_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) < 0);
}

Datum
searchable_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) <= 0);
}

Datum
searchable_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) > 0);
}

Datum
searchable_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare(fcinfo) >= 0);
}

Datum
searchable_hash(PG_FUNCTION_ARGS)
{
	SealedValue value = sealed_look(PG_GETARG_DATUM(0));

	if ((value.header.flags & ENVELOPE_FLAG_SEARCHABLE) != 0)
		PG_RETURN_UINT32(hash_bytes(value.header.token, ENVELOPE_TOKEN_LEN));
	PG_RETURN_UINT32(hash_bytes(value.bytes + 2, value.len - 2));
}

Datum
searchable_hash_extended(PG_FUNCTION_ARGS)
{
	SealedValue value = sealed_look(PG_GETARG_DATUM(0));
	uint64		seed = PG_GETARG_INT64(1);

	if ((value.header.flags & ENVELOPE_FLAG_SEARCHABLE) != 0)
		PG_RETURN_UINT64(hash_bytes_extended(value.header.token, ENVELOPE_TOKEN_LEN, seed));
	PG_RETURN_UINT64(hash_bytes_extended(value.bytes + 2, value.len - 2, seed));
}

/* The base value's token that a call site made last, and what it was made of. */
typedef struct TokenMemo
{
	Oid			sealed;			/* first, as sealedtype_of_argument() has it */
	bool		valid;
	uint64		number;
	bytea	   *plain;
	uint8		token[ENVELOPE_TOKEN_LEN];
} TokenMemo;

/*
 * Compares a value of a searchable type with one of its base type: by token,
 * without opening anything.  To whom the label does not permit it, nothing is
 * equal.
 */
static int
compare_base(FunctionCallInfo fcinfo)
{
	TokenMemo  *memo = fcinfo->flinfo->fn_extra;
	SealedValue value = sealed_look(PG_GETARG_DATUM(0));
	const SealedLabel *label;
	SealedType	type;
	bytea	   *plain;

	if (memo == NULL)
	{
		const SealedType *found = sealedtype_of_argument(fcinfo, 0);
		Oid			sealed = found->oid;

		memo = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TokenMemo));
		memo->sealed = sealed;
		fcinfo->flinfo->fn_extra = memo;
	}
	type = *sealedtype_find(memo->sealed);
	if ((value.header.flags & ENVELOPE_FLAG_SEARCHABLE) == 0)
	{
		Datum		base;

		if (!value.pending || !sealed_open(&type, PG_GETARG_DATUM(0), &base))
			return 1;
		plain = sealedtype_to_bytes(&type, base);
		return datumIsEqual(PointerGetDatum(plain),
							PointerGetDatum(sealedtype_to_bytes(&type, PG_GETARG_DATUM(1))),
							false, -1) ? 0 : 1;
	}
	label = sealedlabel_by_id(value.header.label_id);
	if (label == NULL || !sealed_label_permits(label))
		return 1;

	plain = sealedtype_to_bytes(&type, PG_GETARG_DATUM(1));
	if (!memo->valid || memo->number != value.header.token_number ||
		VARSIZE_ANY_EXHDR(memo->plain) != VARSIZE_ANY_EXHDR(plain) ||
		memcmp(VARDATA_ANY(memo->plain), VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain)) != 0)
	{
		memo->valid = false;
		sealedtoken_make(&type, PG_GETARG_DATUM(1), value.header.token_number, memo->token);
		if (memo->plain)
			pfree(memo->plain);
		memo->plain = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, VARSIZE_ANY(plain));
		memcpy(memo->plain, plain, VARSIZE_ANY(plain));
		memo->number = value.header.token_number;
		memo->valid = true;
	}
	return memcmp(value.header.token, memo->token, ENVELOPE_TOKEN_LEN);
}

Datum
searchable_cmp_base(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_base(fcinfo));
}

Datum
searchable_eq_base(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_base(fcinfo) == 0);
}

Datum
searchable_ne_base(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_base(fcinfo) != 0);
}
