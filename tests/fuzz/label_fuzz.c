/*
 * label_fuzz.c
 *		The parser of labels, those of columns and those of sealed types.
 *
 * Whatever the input: no byte outside it is read; a refusal says why; and what
 * is accepted prints in a form that is accepted, means the same, and prints as
 * itself.  Sealed values are bound to that form, so a second one for the same
 * label would make them unreadable.
 */
#include "postgres.h"

#include "label.h"

#include "standin.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
same_string(const char *a, const char *b)
{
	must((a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0));
}

static void
try_label(Label *(*parse) (const char *text, char **problem), const char *text)
{
	char	   *problem = NULL;
	Label	   *label = parse(text, &problem);
	Label	   *again;
	char	   *printed;
	ListCell   *lc;

	must((label == NULL) == (problem != NULL));
	if (label == NULL)
		return;
	printed = label_deparse(label);
	again = parse(printed, &problem);
	must(again != NULL);
	same_string(label_deparse(again), printed);

	same_string(again->expression, label->expression);
	same_string(again->category, label->category);
	same_string(again->source, label->source);
	same_string(again->keep, label->keep);
	same_string(again->group, label->group);
	same_string(again->modifier, label->modifier);
	must(again->otherwise == label->otherwise && again->pad == label->pad &&
		 again->weak == label->weak);
	must(label->allowed != NIL);
	foreach(lc, label_purposes(label))
		must(label_judge(label, lfirst(lc)) == label_judge(again, lfirst(lc)));
	foreach(lc, label->prohibited)
		must(label_judge(label, lfirst(lc)) == LABEL_PROHIBITED);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	char	   *text = palloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	try_label(label_parse, text);
	try_label(label_parse_sealed, text);
	standin_free();
	return 0;
}
