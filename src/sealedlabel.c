/*
 * sealedlabel.c
 *		The labels of sealed types.
 *
 * A label that a type modifier stands for must be found again from 31 bits, in
 * any session and after a restore.  purpose.sealed_label keeps the texts; a
 * session also remembers those that it has met, because type modifiers are
 * read in every cast, on standbys and before the table exists.  A row is
 * written when a relation or a value first uses the label; rows never change,
 * so what is remembered cannot become wrong.
 *
 * Two texts with one id, or one type modifier, are refused: the second cannot
 * be used in this database.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "catalog.h"
#include "errcodes.h"
#include "kdf.h"
#include "sealedlabel.h"

#define LABEL_HASH_PREFIX	"pg_purpose label v1"
#define GROUP_HASH_PREFIX	"pg_purpose group v1"

static HTAB *known = NULL;
static MemoryContext known_context = NULL;

PG_FUNCTION_INFO_V1(sealed_typmod_in);
PG_FUNCTION_INFO_V1(sealed_typmod_out);
PG_FUNCTION_INFO_V1(sealed_label_of);

/*
 * Returns the first nbytes (at most 8) of SHA-256(prefix || text), big-endian.
 */
static uint64
hash_text(const char *prefix, const char *text, int nbytes)
{
	char	   *input = psprintf("%s%s", prefix, text);
	uint8		hash[KDF_HASH_LEN];
	uint64		number = 0;

	kdf_hash(input, strlen(input), hash);
	for (int i = 0; i < nbytes; i++)
		number = (number << 8) | hash[i];
	pfree(input);
	return number;
}

/*
 * Returns the number of a key group; NULL is the default group.
 */
uint16
sealedlabel_group_number(const char *group)
{
	uint16		number;

	if (group == NULL)
		return 0;
	number = (uint16) hash_text(GROUP_HASH_PREFIX, group, 2);
	return number == 0 ? 1 : number;
}

/*
 * Returns the label with this type modifier if the session has met it.
 */
static const SealedLabel *
find_known(int32 typmod)
{
	static const SealedLabel *last = NULL;	/* entries stay for ever */

	if (last != NULL && last->typmod == typmod)
		return last;
	if (known == NULL)
		return NULL;
	last = hash_search(known, &typmod, HASH_FIND, NULL);
	return last;
}

static void
refuse_collision(const char *text)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("label \"%s\" cannot be used for sealed types in this database", text),
			 errdetail("Its identifier is that of another label in use."),
			 errhint("Use a label with another wording, such as one that names a key group.")));
}

/*
 * Remembers a label, given its canonical text.
 */
static SealedLabel *
remember(const char *text, bool recorded)
{
	uint64		id = hash_text(LABEL_HASH_PREFIX, text, 6);
	int32		typmod = (int32) (id & PG_INT32_MAX);
	SealedLabel *entry;
	MemoryContext before;
	char	   *problem;
	bool		found;

	if (known == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(int32), .entrysize = sizeof(SealedLabel)};

		known_context = AllocSetContextCreate(TopMemoryContext, "pg_purpose sealed labels",
											  ALLOCSET_SMALL_SIZES);
		ctl.hcxt = known_context;
		known = hash_create("pg_purpose sealed labels", 32, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(known, &typmod, HASH_FIND, NULL);
	if (entry != NULL)
	{
		if (strcmp(entry->text, text) != 0)
			refuse_collision(text);
		entry->recorded |= recorded;
		return entry;
	}

	before = MemoryContextSwitchTo(known_context);
	{
		char	   *copy = pstrdup(text);
		Label	   *label = label_parse_sealed(copy, &problem);

		if (label == NULL)
			elog(ERROR, "label of a sealed type cannot be read: %s", problem);
		entry = hash_search(known, &typmod, HASH_ENTER, &found);
		entry->id = id;
		entry->text = copy;
		entry->label = label;
		entry->group = sealedlabel_group_number(label->group);
		entry->recorded = recorded;
	}
	MemoryContextSwitchTo(before);
	return entry;
}

/*
 * Looks a label up in purpose.sealed_label, by one of its unique keys.  Returns
 * NULL if it is not there.
 */
static const SealedLabel *
read_label(Oid index, AttrNumber attno, RegProcedure equal, Datum key)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData skey;
	HeapTuple	tuple;
	char	   *label = NULL;

	ScanKeyInit(&skey, attno, BTEqualStrategyNumber, equal, key);
	rel = table_open(oids->sealed_label, AccessShareLock);
	scan = systable_beginscan(rel, index, true, NULL, 1, &skey);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;

		label = TextDatumGetCString(heap_getattr(tuple, Anum_sealed_label_label,
												 RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return label != NULL ? remember(label, true) : NULL;
}

/*
 * Returns the label with this text, in any form.  Raises PU008 if it does not
 * follow the grammar, 42710 if its id is that of another label.
 */
const SealedLabel *
sealedlabel_from_text(const char *text)
{
	char	   *problem;
	Label	   *label = label_parse_sealed(text, &problem);

	if (label == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_LABEL),
				 errmsg("label of a sealed type is invalid: %s", problem),
				 errhint("A label looks like: for billing, marketing never marketing.calls keep clickstream group contact pad 16.")));
	return remember(label_deparse(label), false);
}

/*
 * Returns the label that a type modifier stands for, or NULL if this database
 * does not know it.
 */
const SealedLabel *
sealedlabel_by_typmod(int32 typmod)
{
	const SealedLabel *entry = find_known(typmod);

	if (entry != NULL)
		return entry;
	if (typmod < 0 || catalog_oids() == NULL)
		return NULL;
	return read_label(catalog_oids()->sealed_label_typmod_key, Anum_sealed_label_typmod,
					  F_INT4EQ, Int32GetDatum(typmod));
}

/*
 * Returns the label with this id, or NULL if this database does not know it.
 */
const SealedLabel *
sealedlabel_by_id(uint64 id)
{
	const SealedLabel *entry = find_known((int32) (id & PG_INT32_MAX));

	if (entry != NULL)
		return entry->id == id ? entry : NULL;
	if (catalog_oids() == NULL)
		return NULL;
	return read_label(catalog_oids()->sealed_label_pkey, Anum_sealed_label_id,
					  F_INT8EQ, Int64GetDatum((int64) id));
}

/*
 * Makes sure that purpose.sealed_label has the label.
 */
void
sealedlabel_record(const SealedLabel *label)
{
	Oid			argtypes[5] = {INT8OID, INT4OID, TEXTOID, INT4OID, TEXTOID};

	if (label->recorded)
		return;

	/*
	 * What was remembered as unrecorded may have been recorded since, and
	 * what this transaction records may be rolled back: so look each time,
	 * until it is seen to be there from another transaction's commit.
	 */
	if (read_label(catalog_oids()->sealed_label_pkey, Anum_sealed_label_id, F_INT8EQ,
				   Int64GetDatum((int64) label->id)) != NULL)
		return;
	OidFunctionCall5(catalog_function("_record_sealed_label", 5, argtypes, false),
					 Int64GetDatum((int64) label->id), Int32GetDatum(label->typmod),
					 CStringGetTextDatum(label->text), Int32GetDatum(label->group),
					 label->label->group ? CStringGetTextDatum(label->label->group) :
					 CStringGetTextDatum(""));
}

/*
 * Turns one modifier of a sealed type, as sealed_text(billing, 'never
 * marketing') has them, into a part of a label: a purpose, or a clause.
 */
static void
append_modifier(StringInfo purposes, StringInfo clauses, const char *modifier)
{
	if (modifier[0] == '(')
	{
		appendStringInfo(clauses, " as %s", quote_literal_cstr(modifier));
		return;
	}
	if (strchr(modifier, ' ') != NULL)
	{
		appendStringInfo(clauses, " %s", modifier);
		return;
	}
	appendStringInfo(purposes, "%s%s", purposes->len > 0 ? ", " : "", modifier);
}

/*
 * sealed_typmod_in(cstring[]) -> int4
 *
 * The label as a type modifier.  Purposes stand as they are, other clauses in
 * quotes; '#number' is what sealed_typmod_out() prints for a label that it
 * does not know.  Raises PU008.
 */
Datum
sealed_typmod_in(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *elements;
	int			n;
	StringInfoData purposes;
	StringInfoData clauses;

	deconstruct_array(array, CSTRINGOID, -2, false, TYPALIGN_CHAR, &elements, NULL, &n);
	if (n == 1 && DatumGetCString(elements[0])[0] == '#')
	{
		const char *number = DatumGetCString(elements[0]) + 1;

		PG_RETURN_INT32(pg_strtoint32(number) & PG_INT32_MAX);
	}
	initStringInfo(&purposes);
	initStringInfo(&clauses);
	for (int i = 0; i < n; i++)
		append_modifier(&purposes, &clauses, DatumGetCString(elements[i]));
	if (purposes.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_LABEL),
				 errmsg("a sealed type must name at least one purpose"),
				 errhint("Write the purposes in parentheses, such as purpose.sealed_text(billing, marketing).")));
	appendStringInfoString(&purposes, clauses.data);
	PG_RETURN_INT32(sealedlabel_from_text(psprintf("for %s", purposes.data))->typmod);
}

static void
append_list(StringInfo buf, const char *item)
{
	appendStringInfo(buf, "%s%s", buf->len > 1 ? "," : "", item);
}

static void
append_clause(StringInfo buf, const char *word, const char *value)
{
	if (value != NULL)
		append_list(buf, quote_literal_cstr(psprintf("%s %s", word, value)));
}

/*
 * sealed_typmod_out(int4) -> cstring
 */
Datum
sealed_typmod_out(PG_FUNCTION_ARGS)
{
	int32		typmod = PG_GETARG_INT32(0);
	const SealedLabel *sealed = sealedlabel_by_typmod(typmod);
	StringInfoData buf;
	StringInfoData never;
	ListCell   *lc;

	if (sealed == NULL)
		PG_RETURN_CSTRING(psprintf("('#%d')", typmod));

	initStringInfo(&buf);
	initStringInfo(&never);
	appendStringInfoChar(&buf, '(');
	foreach(lc, sealed->label->allowed)
	{
		const char *name = lfirst(lc);

		append_list(&buf, quote_identifier(name) == name ? name : quote_literal_cstr(name));
	}
	foreach(lc, sealed->label->prohibited)
		appendStringInfo(&never, "%s%s", never.len > 0 ? ", " : "", (char *) lfirst(lc));
	append_clause(&buf, "never", never.len > 0 ? never.data : NULL);
	append_clause(&buf, "keep", sealed->label->keep);
	append_clause(&buf, "group", sealed->label->group);
	append_clause(&buf, "pad", sealed->label->pad > 0 ? psprintf("%d", sealed->label->pad) : NULL);
	append_clause(&buf, "searchable", sealed->label->weak ? "weak" : NULL);
	if (sealed->label->modifier)
		append_list(&buf, quote_literal_cstr(sealed->label->modifier));
	appendStringInfoChar(&buf, ')');
	PG_RETURN_CSTRING(buf.data);
}

/*
 * purpose._sealed_label(typmod int4) -> text: the label that a type modifier
 * stands for, or NULL.
 */
Datum
sealed_label_of(PG_FUNCTION_ARGS)
{
	const SealedLabel *sealed = sealedlabel_by_typmod(PG_GETARG_INT32(0));

	if (sealed == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(sealed->text));
}
