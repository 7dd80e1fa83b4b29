/*
 * label.c
 *		Parses, prints and judges labels.  Pure text and lists: no catalog is
 *		read here, and nothing raises an error but running out of memory.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "label.h"
#include "purpose.h"

typedef struct Scanner
{
	const char *at;				/* next character */
	char	   *word;			/* current token, NULL at the end */
	bool		quoted;			/* it was a string in quotes */
	char	   *problem;		/* first thing that went wrong */
} Scanner;

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/*
 * Reads the next token: a string in quotes, a comma, or a run of other
 * characters.  Sets problem for a string without end.
 */
static void
scan(Scanner *s)
{
	StringInfoData buf;

	while (is_space(*s->at))
		s->at++;
	s->quoted = false;
	s->word = NULL;
	if (*s->at == '\0')
		return;

	initStringInfo(&buf);
	if (*s->at == '\'')
	{
		s->quoted = true;
		for (s->at++;; s->at++)
		{
			if (*s->at == '\0')
			{
				s->problem = "a quoted string does not end";
				return;
			}
			if (*s->at == '\'')
			{
				s->at++;
				if (*s->at != '\'')
					break;
			}
			appendStringInfoChar(&buf, *s->at);
		}
	}
	else if (*s->at == ',')
		appendStringInfoChar(&buf, *s->at++);
	else
	{
		while (*s->at && !is_space(*s->at) && *s->at != ',' && *s->at != '\'')
			appendStringInfoChar(&buf, *s->at++);
	}
	s->word = buf.data;
}

static bool
is_word(const Scanner *s, const char *word)
{
	return s->word != NULL && !s->quoted && strcmp(s->word, word) == 0;
}

static void
fail(Scanner *s, char *problem)
{
	if (s->problem == NULL)
		s->problem = problem;
}

/*
 * Reads "purpose {, purpose}" and leaves the scanner after it.
 */
static List *
scan_purposes(Scanner *s, const char *clause)
{
	List	   *purposes = NIL;

	for (;;)
	{
		scan(s);
		if (s->word == NULL || s->quoted || !purpose_name_valid(s->word))
		{
			fail(s, psprintf("\"%s\" must be followed by a purpose", clause));
			return NIL;
		}
		purposes = lappend(purposes, s->word);
		scan(s);
		if (!is_word(s, ","))
			return purposes;
	}
}

/*
 * Reads one word that must be a dotted name, and the token after it.
 */
static char *
scan_name(Scanner *s, const char *clause)
{
	char	   *name;

	scan(s);
	name = s->word;
	if (name == NULL || s->quoted || !purpose_name_valid(name))
	{
		fail(s, psprintf("\"%s\" must be followed by a name", clause));
		return NULL;
	}
	scan(s);
	return name;
}

static void
scan_else(Scanner *s, Label *label)
{
	scan(s);
	if (is_word(s, "error"))
		label->otherwise = LABEL_ELSE_ERROR;
	else if (is_word(s, "null"))
		label->otherwise = LABEL_ELSE_NULL;
	else if (s->word != NULL && s->quoted && s->word[0] != '\0')
	{
		label->otherwise = LABEL_ELSE_EXPRESSION;
		label->expression = s->word;
	}
	else
		fail(s, "\"else\" must be followed by error, null or an expression in quotes");
	scan(s);
}

/*
 * Parses a label.  Returns NULL, with *problem set to a phrase that names the
 * clause at fault, when text does not follow the grammar.
 */
Label *
label_parse(const char *text, char **problem)
{
	static const char *const clauses[] = {"for", "never", "else", "category", "source", "keep"};
	Scanner		s = {.at = text};
	Label	   *label = palloc0(sizeof(Label));
	bool		seen[lengthof(clauses)] = {false};

	if (strlen(text) > LABEL_MAX_LEN)
	{
		*problem = "it is too long";
		return NULL;
	}
	scan(&s);
	while (s.word != NULL && s.problem == NULL)
	{
		int			clause;

		for (clause = 0; clause < lengthof(clauses); clause++)
		{
			if (is_word(&s, clauses[clause]))
				break;
		}
		if (clause == lengthof(clauses))
		{
			fail(&s, psprintf("unknown clause \"%s\"", s.word));
			break;
		}
		if (seen[clause])
		{
			fail(&s, psprintf("clause \"%s\" stands twice", clauses[clause]));
			break;
		}
		seen[clause] = true;

		switch (clause)
		{
			case 0:
				label->allowed = scan_purposes(&s, "for");
				break;
			case 1:
				label->prohibited = scan_purposes(&s, "never");
				break;
			case 2:
				scan_else(&s, label);
				break;
			case 3:
				label->category = scan_name(&s, "category");
				break;
			case 4:
				label->source = scan_name(&s, "source");
				break;
			case 5:
				label->keep = scan_name(&s, "keep");
				break;
		}
	}
	if (s.problem == NULL && !seen[0])
		fail(&s, "clause \"for\" is missing");
	*problem = s.problem;
	return s.problem == NULL ? label : NULL;
}

static void
print_purposes(StringInfo buf, const char *clause, const List *purposes)
{
	ListCell   *lc;
	const char *separator = "";

	if (purposes == NIL)
		return;
	appendStringInfo(buf, "%s%s ", buf->len > 0 ? " " : "", clause);
	foreach(lc, purposes)
	{
		appendStringInfo(buf, "%s%s", separator, (char *) lfirst(lc));
		separator = ", ";
	}
}

/*
 * Prints a label in its canonical form, which label_parse() takes back.
 */
char *
label_deparse(const Label *label)
{
	StringInfoData buf;

	initStringInfo(&buf);
	print_purposes(&buf, "for", label->allowed);
	print_purposes(&buf, "never", label->prohibited);
	if (label->otherwise == LABEL_ELSE_NULL)
		appendStringInfoString(&buf, " else null");
	else if (label->otherwise == LABEL_ELSE_EXPRESSION)
	{
		appendStringInfoString(&buf, " else '");
		for (const char *p = label->expression; *p; p++)
		{
			if (*p == '\'')
				appendStringInfoChar(&buf, '\'');
			appendStringInfoChar(&buf, *p);
		}
		appendStringInfoChar(&buf, '\'');
	}
	if (label->category)
		appendStringInfo(&buf, " category %s", label->category);
	if (label->source)
		appendStringInfo(&buf, " source %s", label->source);
	if (label->keep)
		appendStringInfo(&buf, " keep %s", label->keep);
	return buf.data;
}

/*
 * Judges an existing purpose against a label: it must be, or lie below, an
 * allowed one; and neither it, nor what it lies below, nor what lies below it
 * may be prohibited.
 */
LabelVerdict
label_judge(const Label *label, const char *purpose)
{
	ListCell   *lc;

	foreach(lc, label->prohibited)
	{
		const char *prohibited = lfirst(lc);

		if (purpose_path_contains(prohibited, purpose) ||
			purpose_path_contains(purpose, prohibited))
			return LABEL_PROHIBITED;
	}
	foreach(lc, label->allowed)
	{
		if (purpose_path_contains(lfirst(lc), purpose))
			return LABEL_SATISFIED;
	}
	return LABEL_NOT_ALLOWED;
}

/*
 * Returns all purposes that a label names, allowed ones first.
 */
List *
label_purposes(const Label *label)
{
	return list_concat_copy(label->allowed, label->prohibited);
}
