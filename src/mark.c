/*
 * mark.c
 *		Marks on range table entries.
 *
 * A mark says two things: which columns of the relation the query really
 * uses, and that the row rule was put in where the relation needs one.  It
 * must survive planning and the plan cache, in every kind of statement.
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

/*
 * Marks an entry with the columns that its query uses.
 */
void
mark_set(RangeTblEntry *rte, const Bitmapset *used)
{
	StringInfoData buf;
	int			bit = -1;

	initStringInfo(&buf);
	appendStringInfoString(&buf, MARK_PREFIX);
	while ((bit = bms_next_member(used, bit)) >= 0)
		appendStringInfo(&buf, "%d ", bit);
	rte->ctename = buf.data;
}

/*
 * Returns false if the entry carries no mark.
 */
bool
mark_get(const RangeTblEntry *rte, Mark *mark)
{
	const char *p;

	mark->used = NULL;
	if (rte->ctename == NULL ||
		strncmp(rte->ctename, MARK_PREFIX, strlen(MARK_PREFIX)) != 0)
		return false;
	p = rte->ctename + strlen(MARK_PREFIX);
	while (*p)
	{
		char	   *end;
		long		bit = strtol(p, &end, 10);

		if (end == p)
			return false;
		mark->used = bms_add_member(mark->used, (int) bit);
		p = end + (*end == ' ');
	}
	return true;
}
