/*
 * standin.c
 *		Running parts of src/ outside a server: see standin.h.
 *
 * Every palloc is a malloc of exactly that size, so that the sanitizers see
 * the first byte past its end.
 */
#include "postgres.h"

#include <stdio.h>

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#include "standin.h"

/* PostgreSQL's own are in a library that a program would have to link. */
#undef fprintf
#undef printf
#undef vprintf
#undef vsnprintf

/* Leaks are palloc's way of life. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "detect_leaks=0:abort_on_error=0";
}

/* Memory */

MemoryContext CurrentMemoryContext = NULL;
MemoryContext TopMemoryContext = NULL;
MemoryContext ErrorContext = NULL;

static void **blocks = NULL;
static size_t nblocks = 0,
			blocks_size = 0;

static void *
remember(void *block)
{
	if (block == NULL)
		abort();
	if (nblocks == blocks_size)
	{
		blocks_size = blocks_size * 2 + 64;
		blocks = realloc(blocks, blocks_size * sizeof(void *));
		if (blocks == NULL)
			abort();
	}
	return blocks[nblocks++] = block;
}

/* Removes a block from those to free; it must be one. */
static void
forget(void *block)
{
	for (size_t i = nblocks; i > 0; i--)
	{
		if (blocks[i - 1] == block)
		{
			blocks[i - 1] = blocks[--nblocks];
			return;
		}
	}
	abort();
}

void
standin_free(void)
{
	while (nblocks > 0)
		free(blocks[--nblocks]);
}

void *
palloc(Size size)
{
	return remember(malloc(size));
}

void *
palloc0(Size size)
{
	return remember(calloc(1, size));
}

void *
palloc_extended(Size size, int flags)
{
	return (flags & MCXT_ALLOC_ZERO) ? palloc0(size) : palloc(size);
}

void *
repalloc(void *pointer, Size size)
{
	forget(pointer);
	return remember(realloc(pointer, size));
}

void
pfree(void *pointer)
{
	forget(pointer);
	free(pointer);
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return palloc(size);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return palloc0(size);
}

void *
MemoryContextAllocZeroAligned(MemoryContext context, Size size)
{
	return palloc0(size);
}

char *
pnstrdup(const char *in, Size len)
{
	char	   *copy = palloc((len = strnlen(in, len)) + 1);

	memcpy(copy, in, len);
	copy[len] = '\0';
	return copy;
}

char *
pstrdup(const char *in)
{
	return pnstrdup(in, strlen(in));
}

/* Strings */

char *
psprintf(const char *format,...)
{
	va_list		args;
	char	   *result;
	int			len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	result = palloc(len + 1);
	va_start(args, format);
	vsnprintf(result, len + 1, format, args);
	va_end(args);
	return result;
}

void
initStringInfo(StringInfo str)
{
	str->maxlen = 16;
	str->data = palloc(str->maxlen);
	str->data[0] = '\0';
	str->len = 0;
	str->cursor = 0;
}

void
enlargeStringInfo(StringInfo str, int needed)
{
	if (str->len + needed < str->maxlen)
		return;
	str->maxlen = (str->len + needed + 1) * 2;
	str->data = repalloc(str->data, str->maxlen);
}

static void
append(StringInfo str, const void *data, int len)
{
	enlargeStringInfo(str, len);
	memcpy(str->data + str->len, data, len);
	str->len += len;
	str->data[str->len] = '\0';
}

void
appendStringInfoString(StringInfo str, const char *s)
{
	append(str, s, strlen(s));
}

void
appendStringInfoChar(StringInfo str, char c)
{
	append(str, &c, 1);
}

void
appendStringInfo(StringInfo str, const char *format,...)
{
	va_list		args;
	int			len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	enlargeStringInfo(str, len);
	va_start(args, format);
	vsnprintf(str->data + str->len, len + 1, format, args);
	va_end(args);
	str->len += len;
}

/* Lists */

List *
lappend(List *list, void *datum)
{
	if (list == NIL)
	{
		list = palloc0(sizeof(List));
		list->type = T_List;
	}
	list->max_length = list->length + 1;
	list->elements = list->elements == NULL ? palloc(sizeof(ListCell)) :
		repalloc(list->elements, list->max_length * sizeof(ListCell));
	list->elements[list->length++].ptr_value = datum;
	return list;
}

List *
list_concat_copy(const List *list1, const List *list2)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, list1)
		result = lappend(result, lfirst(lc));
	foreach(lc, list2)
		result = lappend(result, lfirst(lc));
	return result;
}

void
list_sort(List *list, list_sort_comparator cmp)
{
	if (list != NIL)
		(qsort) (list->elements, list->length, sizeof(ListCell),
				 (int (*) (const void *, const void *)) cmp);
}

/* Errors */

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;

int			standin_sqlstate;
char		standin_message[1024];

bool
errstart(int elevel, const char *domain)
{
	standin_sqlstate = 0;
	return elevel >= ERROR;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	standin_sqlstate = sqlerrcode;
	return 0;
}

int
errmsg(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(standin_message, sizeof(standin_message), format, args);
	va_end(args);
	return 0;
}

int
errmsg_internal(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(standin_message, sizeof(standin_message), format, args);
	va_end(args);
	return 0;
}

int
errhint(const char *format,...)
{
	return 0;
}

int
errdetail(const char *format,...)
{
	return 0;
}

void
pg_re_throw(void)
{
	if (PG_exception_stack == NULL)
	{
		fprintf(stderr, "error: %s\n", standin_message);
		abort();
	}
	siglongjmp(*PG_exception_stack, 1);
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	pg_re_throw();
}

void
ExceptionalCondition(const char *condition,
#if PG_VERSION_NUM < 160000
					 const char *type,
#endif
					 const char *file, int line)
{
	fprintf(stderr, "assertion failed: %s, %s:%d\n", condition, file, line);
	abort();
}

/* Transactions and processes */

bool		IsPostmasterEnvironment = true;
bool		IsUnderPostmaster = true;
int			MyProcPid = 1;

static bool in_transaction = true;
static XactCallback xact_callbacks[8];
static SubXactCallback subxact_callbacks[8];
static int	nxact = 0,
			nsubxact = 0;

bool
IsTransactionState(void)
{
	return in_transaction;
}

void
RegisterXactCallback(XactCallback callback, void *arg)
{
	xact_callbacks[nxact++] = callback;
}

void
RegisterSubXactCallback(SubXactCallback callback, void *arg)
{
	subxact_callbacks[nsubxact++] = callback;
}

void
standin_begin(void)
{
	in_transaction = true;
}

void
standin_end(void)
{
	in_transaction = false;
	for (int i = 0; i < nxact; i++)
		xact_callbacks[i] (XACT_EVENT_COMMIT, NULL);
}

void
standin_abort_subtransaction(void)
{
	for (int i = 0; i < nsubxact; i++)
		subxact_callbacks[i] (SUBXACT_EVENT_ABORT_SUB, 2, 1, NULL);
}

/* Checks */

static int	checks = 0,
			failures = 0;

/*
 * Counts and prints one check.
 */
void
check(bool ok, const char *format,...)
{
	va_list		args;

	printf("%sok %d - ", ok ? "" : "not ", ++checks);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	failures += !ok;
}

/*
 * Ends the TAP; returns the exit status.
 */
int
check_done(void)
{
	printf("1..%d\n", checks);
	return failures > 0;
}

size_t
from_hex(const char *hex, uint8 *out)
{
	size_t		len = strlen(hex) / 2;

	for (size_t i = 0; i < len; i++)
	{
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			abort();
		out[i] = (uint8) byte;
	}
	return len;
}
