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

/* Most that "pad" rounds up to, in bytes. */
#define LABEL_MAX_PAD	65536

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
 * Reads the number after "pad".
 */
static int
scan_pad(Scanner *s)
{
	long		number = 0;
	char	   *end = NULL;

	scan(s);
	if (s->word != NULL && !s->quoted)
		number = strtol(s->word, &end, 10);
	if (end == NULL || *end != '\0' || number < 1 || number > LABEL_MAX_PAD)
		fail(s, psprintf("\"pad\" must be followed by a number from 1 to %d", LABEL_MAX_PAD));
	scan(s);
	return (int) number;
}

/*
 * Reads the base type's modifiers, a string such as '(12,2)'.
 */
static char *
scan_modifier(Scanner *s)
{
	char	   *modifier;

	scan(s);
	modifier = s->word;
	if (modifier == NULL || !s->quoted || modifier[0] != '(' ||
		modifier[strlen(modifier) - 1] != ')')
		fail(s, "\"as\" must be followed by modifiers in quotes, such as '(12,2)'");
	scan(s);
	return modifier;
}

static bool
scan_weak(Scanner *s)
{
	scan(s);
	if (!is_word(s, "weak"))
		fail(s, "\"searchable\" must be followed by \"weak\"");
	scan(s);
	return true;
}

typedef enum Clause
{
	CLAUSE_FOR,
	CLAUSE_NEVER,
	CLAUSE_ELSE,
	CLAUSE_CATEGORY,
	CLAUSE_SOURCE,
	CLAUSE_KEEP,
	CLAUSE_GROUP,
	CLAUSE_PAD,
	CLAUSE_SEARCHABLE,
	CLAUSE_AS
} Clause;

static const struct
{
	const char *word;
	bool		in_column;		/* may stand in the label of a column */
	bool		in_sealed;		/* ... of a sealed type */
}			clauses[] = {
	[CLAUSE_FOR] = {"for", true, true},
	[CLAUSE_NEVER] = {"never", true, true},
	[CLAUSE_ELSE] = {"else", true, false},
	[CLAUSE_CATEGORY] = {"category", true, false},
	[CLAUSE_SOURCE] = {"source", true, false},
	[CLAUSE_KEEP] = {"keep", true, true},
	[CLAUSE_GROUP] = {"group", false, true},
	[CLAUSE_PAD] = {"pad", false, true},
	[CLAUSE_SEARCHABLE] = {"searchable", false, true},
	[CLAUSE_AS] = {"as", false, true},
};

static void
scan_clause(Scanner *s, Clause clause, Label *label)
{
	switch (clause)
	{
		case CLAUSE_FOR:
			label->allowed = scan_purposes(s, "for");
			break;
		case CLAUSE_NEVER:
			label->prohibited = scan_purposes(s, "never");
			break;
		case CLAUSE_ELSE:
			scan_else(s, label);
			break;
		case CLAUSE_CATEGORY:
			label->category = scan_name(s, "category");
			break;
		case CLAUSE_SOURCE:
			label->source = scan_name(s, "source");
			break;
		case CLAUSE_KEEP:
			label->keep = scan_name(s, "keep");
			break;
		case CLAUSE_GROUP:
			label->group = scan_name(s, "group");
			break;
		case CLAUSE_PAD:
			label->pad = scan_pad(s);
			break;
		case CLAUSE_SEARCHABLE:
			label->weak = scan_weak(s);
			break;
		case CLAUSE_AS:
			label->modifier = scan_modifier(s);
			break;
	}
}

static Label *
parse(const char *text, bool sealed, char **problem)
{
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
			if ((sealed ? clauses[clause].in_sealed : clauses[clause].in_column) &&
				is_word(&s, clauses[clause].word))
				break;
		}
		if (clause == lengthof(clauses))
		{
			fail(&s, psprintf("unknown clause \"%s\"", s.word));
			break;
		}
		if (seen[clause])
		{
			fail(&s, psprintf("clause \"%s\" stands twice", clauses[clause].word));
			break;
		}
		seen[clause] = true;
		scan_clause(&s, clause, label);
	}
	if (s.problem == NULL && !seen[CLAUSE_FOR])
		fail(&s, "clause \"for\" is missing");
	/* Printed with a blank after each comma, it must be read back. */
	if (s.problem == NULL && strlen(text) > LABEL_MAX_LEN / 2 &&
		strlen(label_deparse(label)) > LABEL_MAX_LEN)
		fail(&s, "it is too long");
	*problem = s.problem;
	return s.problem == NULL ? label : NULL;
}

/*
 * Parses a column's label.  Returns NULL, with *problem set to a phrase that
 * names the clause at fault, when text does not follow the grammar.
 */
Label *
label_parse(const char *text, char **problem)
{
	return parse(text, false, problem);
}

static int
compare_names(const ListCell *a, const ListCell *b)
{
	return strcmp(lfirst(a), lfirst(b));
}

/*
 * Sorts a list of names and drops those that stand twice.
 */
static List *
sort_names(List *names)
{
	List	   *sorted = NIL;
	ListCell   *lc;

	list_sort(names, compare_names);
	foreach(lc, names)
	{
		if (sorted == NIL || strcmp(llast(sorted), lfirst(lc)) != 0)
			sorted = lappend(sorted, lfirst(lc));
	}
	return sorted;
}

/*
 * Parses the label of a sealed type, which label_deparse() then prints in its
 * canonical form.  Returns NULL, with *problem set, as label_parse() does.
 */
Label *
label_parse_sealed(const char *text, char **problem)
{
	Label	   *label = parse(text, true, problem);

	if (label != NULL)
	{
		label->allowed = sort_names(label->allowed);
		label->prohibited = sort_names(label->prohibited);
	}
	return label;
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

static void
print_string(StringInfo buf, const char *clause, const char *string)
{
	appendStringInfo(buf, "%s'", clause);
	for (const char *p = string; *p; p++)
	{
		if (*p == '\'')
			appendStringInfoChar(buf, '\'');
		appendStringInfoChar(buf, *p);
	}
	appendStringInfoChar(buf, '\'');
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
		print_string(&buf, " else ", label->expression);
	if (label->category)
		appendStringInfo(&buf, " category %s", label->category);
	if (label->source)
		appendStringInfo(&buf, " source %s", label->source);
	if (label->keep)
		appendStringInfo(&buf, " keep %s", label->keep);
	if (label->group)
		appendStringInfo(&buf, " group %s", label->group);
	if (label->pad)
		appendStringInfo(&buf, " pad %d", label->pad);
	if (label->weak)
		appendStringInfoString(&buf, " searchable weak");
	if (label->modifier)
		print_string(&buf, " as ", label->modifier);
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

/*
 * Returns the label for data that holds or is made of what it was written for:
 * its expression would not fit, so NULL stands in.
 */
Label *
label_without_stand_in(const Label *label)
{
	Label	   *copy = palloc(sizeof(Label));

	memcpy(copy, label, sizeof(Label));
	if (copy->otherwise == LABEL_ELSE_EXPRESSION)
	{
		copy->otherwise = LABEL_ELSE_NULL;
		copy->expression = NULL;
	}
	return copy;
}
