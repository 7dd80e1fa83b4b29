/*
 * declaration.c
 *		Parses and prints the security labels of protected tables.  Text only:
 *		no name is looked up here.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "declaration.h"

typedef struct Tokens
{
	const char *at;
	char	   *word;			/* current token, NULL at the end */
	bool		quoted;			/* it was an identifier in double quotes */
	const char *problem;
} Tokens;

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Reads the next token: an identifier, quoted or not, or one of , ( ) and dot.
 */
static void
next(Tokens *t)
{
	StringInfoData buf;

	while (is_space(*t->at))
		t->at++;
	t->word = NULL;
	t->quoted = false;
	if (*t->at == '\0')
		return;

	initStringInfo(&buf);
	if (*t->at == '"')
	{
		t->quoted = true;
		for (t->at++;; t->at++)
		{
			if (*t->at == '\0')
			{
				t->problem = "a quoted identifier does not end";
				return;
			}
			if (*t->at == '"')
			{
				t->at++;
				if (*t->at != '"')
					break;
			}
			appendStringInfoChar(&buf, *t->at);
		}
	}
	else if (strchr(",().", *t->at) != NULL)
		appendStringInfoChar(&buf, *t->at++);
	else
	{
		while (*t->at && !is_space(*t->at) && strchr(",().\"", *t->at) == NULL)
			appendStringInfoChar(&buf, *t->at++);
	}
	t->word = buf.data;
}

static bool
is(const Tokens *t, const char *word)
{
	return t->word != NULL && !t->quoted && strcmp(t->word, word) == 0;
}

/*
 * Takes the current token as an identifier.
 */
static char *
identifier(Tokens *t)
{
	char	   *name = t->word;

	if (name == NULL || name[0] == '\0' ||
		(!t->quoted && strchr(",().", name[0]) != NULL))
	{
		if (t->problem == NULL)
			t->problem = "a name is missing";
		return NULL;
	}
	next(t);
	return name;
}

static List *
columns(Tokens *t)
{
	List	   *result = NIL;

	do
	{
		next(t);
		result = lappend(result, identifier(t));
	} while (is(t, ",") && t->problem == NULL);
	return result;
}

static void
table(Tokens *t, Declaration *d)
{
	next(t);
	d->target_schema = identifier(t);
	if (!is(t, "."))
	{
		t->problem = "a table needs its schema";
		return;
	}
	next(t);
	d->target_table = identifier(t);
}

/*
 * Parses a declaration.  Returns NULL and sets *problem when text does not
 * follow the grammar.
 */
Declaration *
declaration_parse(const char *text, char **problem)
{
	Tokens		t = {.at = text};
	Declaration *d = palloc0(sizeof(Declaration));

	if (strlen(text) > DECLARATION_MAX_LEN)
	{
		*problem = "it is too long";
		return NULL;
	}
	next(&t);
	if (is(&t, "subject"))
	{
		d->kind = DECLARATION_SUBJECT;
		d->columns = columns(&t);
		if (is(&t, "of"))
			table(&t, d);
	}
	else if (is(&t, "via"))
	{
		d->kind = DECLARATION_VIA;
		d->columns = columns(&t);
		if (!is(&t, "to"))
			t.problem = "\"via\" needs \"to\"";
		else
			table(&t, d);
		if (t.problem == NULL && is(&t, "("))
		{
			d->target_columns = columns(&t);
			if (!is(&t, ")"))
				t.problem = "a parenthesis is missing";
			next(&t);
		}
		if (t.problem == NULL &&
			list_length(d->columns) != list_length(d->target_columns))
			t.problem = "the columns of both sides must be as many";
	}
	else
		t.problem = "it must start with \"subject\" or \"via\"";

	d->mode = MODE_ENFORCE;
	if (t.problem == NULL && is(&t, "mode"))
	{
		next(&t);
		if (is(&t, "observe"))
			d->mode = MODE_OBSERVE;
		else if (!is(&t, "enforce"))
			t.problem = "the mode must be enforce or observe";
		next(&t);
	}
	if (t.problem == NULL && t.word != NULL)
		t.problem = "it has words after its end";

	*problem = t.problem ? pstrdup(t.problem) : NULL;
	return t.problem == NULL ? d : NULL;
}

static void
print_columns(StringInfo buf, const List *names)
{
	ListCell   *lc;
	const char *separator = "";

	foreach(lc, names)
	{
		appendStringInfo(buf, "%s%s", separator, quote_identifier(lfirst(lc)));
		separator = ", ";
	}
}

/*
 * Prints a declaration in the form that declaration_parse() takes.
 */
char *
declaration_deparse(const Declaration *d)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, d->kind == DECLARATION_SUBJECT ? "subject " : "via ");
	print_columns(&buf, d->columns);
	if (d->target_table != NULL)
		appendStringInfo(&buf, " %s %s",
						 d->kind == DECLARATION_SUBJECT ? "of" : "to",
						 quote_qualified_identifier(d->target_schema, d->target_table));
	if (d->target_columns != NIL)
	{
		appendStringInfoString(&buf, " (");
		print_columns(&buf, d->target_columns);
		appendStringInfoChar(&buf, ')');
	}
	appendStringInfoString(&buf, d->mode == MODE_OBSERVE ? " mode observe" : " mode enforce");
	return buf.data;
}
