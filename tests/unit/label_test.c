/*
 * label_test.c
 *		The canonical form of labels: an on-disk format for sealed types.
 */
#include "postgres.h"

#include "label.h"

#include "standin.h"

typedef Label *(*LabelParser) (const char *text, char **problem);

static void
prints(LabelParser parse, const char *text, const char *canonical)
{
	char	   *problem = NULL;
	Label	   *label = parse(text, &problem);
	const char *printed = label == NULL ? problem : label_deparse(label);

	check(label != NULL && strcmp(printed, canonical) == 0, "%s -> %s", text, printed);
	if (label == NULL)
		return;
	label = parse(canonical, &problem);
	check(label != NULL && strcmp(label_deparse(label), canonical) == 0, "and that is its own form");
}

static void
refused(LabelParser parse, const char *text)
{
	char	   *problem = NULL;

	bool		ok = parse(text, &problem) == NULL && problem != NULL;

	check(ok, "refused: %s (%s)", text, problem);
}

/*
 * Labels of about the greatest length: one that is accepted can be read back,
 * although it may be printed with more blanks than it was written with.
 */
static void
test_length(LabelParser parse, const char *name)
{
	char	   *text = palloc(LABEL_MAX_LEN + 2);
	bool		ok = true;
	bool		accepted = false,
				was_refused = false;

	for (size_t len = LABEL_MAX_LEN / 2; len <= LABEL_MAX_LEN + 1; len += len < LABEL_MAX_LEN - 600 ? 511 : 53)
	{
		char	   *problem = NULL;
		Label	   *label;

		strcpy(text, "for ");
		/* baaa,caaa,... */
		for (size_t i = 4; i < len; i++)
		{
			static const int power[] = {1, 26, 676, 17576};

			text[i] = i % 5 == 3 ? ',' : 'a' + i / 5 / power[(i + 1) % 5] % 26;
		}
		text[len] = '\0';
		if (text[len - 1] == ',')
			text[len - 1] = ' ';
		label = parse(text, &problem);
		if (label != NULL)
		{
			accepted = true;
			ok &= parse(label_deparse(label), &problem) != NULL;
		}
		else
			was_refused = true;
	}
	check(ok && accepted && was_refused, "a long label of %s that is accepted can be read back", name);
}

int
main(void)
{
	prints(label_parse, "for care", "for care");
	prints(label_parse, "never c  for\tb,a else'x''y'source s\tkeep k category d.e",
		   "for b, a never c else 'x''y' category d.e source s keep k");
	prints(label_parse, "for a else error", "for a");
	prints(label_parse, "else null for a", "for a else null");
	refused(label_parse, "for a group g");
	refused(label_parse, "for a pad 16");

	prints(label_parse_sealed, "for b, a, b.c, a never d, d", "for a, b, b.c never d");
	prints(label_parse_sealed, "as '(12,2)' searchable weak pad 16 group g keep k never c for a",
		   "for a never c keep k group g pad 16 searchable weak as '(12,2)'");
	prints(label_parse_sealed, "for a pad 016", "for a pad 16");
	refused(label_parse_sealed, "for a else null");
	refused(label_parse_sealed, "for a category c");
	refused(label_parse_sealed, "for a source s");
	refused(label_parse_sealed, "for a pad 65537");
	refused(label_parse_sealed, "for a as '12'");
	refused(label_parse_sealed, "for a as '('");
	refused(label_parse_sealed, "for a as ''");

	test_length(label_parse, "a column");
	test_length(label_parse_sealed, "a sealed type");
	standin_free();
	return check_done();
}
