/*
 * mark.c
 *		Marks on range table entries.
 *
 * A mark says which columns of the relation the query really uses, which of
 * them the plan redacts, and that the row rule was put in where the relation
 * needs one.  It must survive planning and the plan cache, in every kind of
 * statement.
 *
 * It is written into the field ctename, which PostgreSQL uses for references
 * to WITH queries only: for a relation it is NULL, copied with the entry, and
 * read by nobody.  (The bitmaps of columns were no choice: for the target of
 * an INSERT or a MERGE every one of them is checked against column
 * privileges.)  The field is not sent to parallel workers; those run plans
 * that their leader was checked for, and check nothing themselves.
 *
 * An entry without a mark is judged by all columns that the parser saw.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "mark.h"

#define MARK_PREFIX "\001pg_purpose:"

static void
print_columns(StringInfo buf, const Bitmapset *columns)
{
	int			bit = -1;

	while ((bit = bms_next_member(columns, bit)) >= 0)
		appendStringInfo(buf, "%d ", bit);
	appendStringInfoChar(buf, ';');
}

/*
 * Reads what print_columns() wrote, and leaves *text after it.  Returns false
 * if it is something else.
 */
static bool
read_columns(const char **text, Bitmapset **columns)
{
	const char *p = *text;

	while (*p != ';')
	{
		char	   *end;
		long		bit = strtol(p, &end, 10);

		if (end == p || *end != ' ')
			return false;
		*columns = bms_add_member(*columns, (int) bit);
		p = end + 1;
	}
	*text = p + 1;
	return true;
}

/*
 * Marks an entry.
 */
void
mark_set(RangeTblEntry *rte, const Mark *mark)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, MARK_PREFIX);
	print_columns(&buf, mark->used);
	print_columns(&buf, mark->exact);
	print_columns(&buf, mark->set);
	print_columns(&buf, mark->redacted);
	appendStringInfo(&buf, UINT64_FORMAT ";%s", mark->generation,
					 mark->stand_ins ? mark->stand_ins : "");
	rte->ctename = buf.data;
}

/*
 * Returns false if the entry carries no mark.  The mark's text is the entry's.
 */
bool
mark_get(const RangeTblEntry *rte, Mark *mark)
{
	const char *p;
	char	   *end;

	memset(mark, 0, sizeof(*mark));
	if (rte->ctename == NULL ||
		strncmp(rte->ctename, MARK_PREFIX, strlen(MARK_PREFIX)) != 0)
		return false;
	p = rte->ctename + strlen(MARK_PREFIX);
	if (!read_columns(&p, &mark->used) || !read_columns(&p, &mark->exact) ||
		!read_columns(&p, &mark->set) || !read_columns(&p, &mark->redacted))
		return false;
	mark->generation = strtou64(p, &end, 10);
	mark->stand_ins = end + 1;
	return end > p && *end == ';';
}

/*
 * Does a set of columns hold this one?  A whole-row reference uses all.
 */
bool
mark_has(const Bitmapset *columns, AttrNumber attno)
{
	return bms_is_member(MARK_BIT(attno), columns) || bms_is_member(MARK_BIT(0), columns);
}
