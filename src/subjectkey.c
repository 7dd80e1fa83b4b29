/*
 * subjectkey.c
 *		The canonical text of a data subject's key.
 *
 * Consents are recorded under (subject table, key as text).  For a key of one
 * column the text is what its output function prints; for several it is
 * '(a,b)' as a row prints, with the quoting of rows.  int4 and int8 print the
 * same number alike, so a foreign key may be narrower than what it refers to.
 * This is an on-disk format.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "errcodes.h"
#include "protection.h"
#include "subjectkey.h"

static void
print_field(StringInfo buf, const char *value)
{
	bool		quote = value[0] == '\0';
	const char *p;

	for (p = value; *p; p++)
	{
		if (strchr("\"\\(),", *p) != NULL || isspace((unsigned char) *p))
			quote = true;
	}
	if (quote)
		appendStringInfoChar(buf, '"');
	for (p = value; *p; p++)
	{
		if (*p == '"' || *p == '\\')
			appendStringInfoChar(buf, *p);
		appendStringInfoChar(buf, *p);
	}
	if (quote)
		appendStringInfoChar(buf, '"');
}

static char *
print_row(int nkeys, char *const *values)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '(');
	for (int i = 0; i < nkeys; i++)
	{
		if (i > 0)
			appendStringInfoChar(&buf, ',');
		print_field(&buf, values[i]);
	}
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/*
 * Prints the key of a row.  No key may be NULL.
 */
char *
subjectkey_print(int nkeys, FmgrInfo *output, const Datum *keys)
{
	char	   *values[INDEX_MAX_KEYS];

	if (nkeys == 1)
		return OutputFunctionCall(&output[0], keys[0]);
	for (int i = 0; i < nkeys; i++)
		values[i] = OutputFunctionCall(&output[i], keys[i]);
	return print_row(nkeys, values);
}

static void
bad_key(Oid subject_table, int nkeys)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid subject key for relation \"%s\"", get_rel_name(subject_table)),
			 errhint("A key of %d columns is written as a row, such as '(7,42)'.", nkeys)));
}

/*
 * Splits '(a,"b,c")' into exactly nkeys values.
 */
static void
split_row(Oid subject_table, const char *text, int nkeys, char **values)
{
	const char *p = text;
	int			n = 0;

	if (*p++ != '(')
		bad_key(subject_table, nkeys);
	for (;;)
	{
		StringInfoData buf;
		bool		in_quotes = false;

		initStringInfo(&buf);
		for (; *p && (in_quotes || (*p != ',' && *p != ')')); p++)
		{
			if (*p == '\\' && p[1])
				appendStringInfoChar(&buf, *++p);
			else if (*p == '"' && in_quotes && p[1] == '"')
				appendStringInfoChar(&buf, *++p);
			else if (*p == '"')
				in_quotes = !in_quotes;
			else
				appendStringInfoChar(&buf, *p);
		}
		if (*p == '\0' || n == nkeys)
			bad_key(subject_table, nkeys);
		values[n++] = buf.data;
		if (*p++ == ')')
			break;
	}
	if (*p != '\0' || n != nkeys)
		bad_key(subject_table, nkeys);
}

/*
 * Brings a key that somebody wrote into canonical form: through the input and
 * output functions of the key columns.  Raises PU006 if subject_table is not a
 * protected subject table, and what the input functions raise.
 */
char *
subjectkey_canonical(Oid subject_table, const char *text)
{
	const RelationPolicy *policy = protection_find(subject_table);
	char	   *values[INDEX_MAX_KEYS];
	AttrNumber	keys[INDEX_MAX_KEYS];
	int			nkeys;

	if (policy == NULL || policy->protection == NULL ||
		policy->protection->subject_table != subject_table)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PROTECTION),
				 errmsg("relation \"%s\" is not a subject table", get_rel_name(subject_table)),
				 errhint("Declare it with purpose.protect('%s', subject => '<its key>').",
						 get_rel_name(subject_table))));
	nkeys = policy->protection->nkeys;
	memcpy(keys, policy->protection->keys, sizeof(keys));

	if (nkeys == 1)
		values[0] = pstrdup(text);
	else
		split_row(subject_table, text, nkeys, values);
	for (int i = 0; i < nkeys; i++)
	{
		Oid			type;
		int32		typmod;
		Oid			collation;
		Oid			input;
		Oid			output;
		Oid			param;
		bool		varlena;
		Datum		value;

		get_atttypetypmodcoll(subject_table, keys[i], &type, &typmod, &collation);
		getTypeInputInfo(type, &input, &param);
		getTypeOutputInfo(type, &output, &varlena);
		value = OidInputFunctionCall(input, values[i], param, typmod);
		values[i] = OidOutputFunctionCall(output, value);
	}
	return nkeys == 1 ? values[0] : print_row(nkeys, values);
}
