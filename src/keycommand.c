/*
 * keycommand.c
 *		A program as a place for keyrings: for key services and hardware.
 *
 *	program [arguments] list KEYRING KIND
 *	program [arguments] store KEYRING KIND VERSION FENCE
 *	program [arguments] cas KEYRING KIND VERSION FENCE
 *	program [arguments] fetch KEYRING KIND VERSION
 *	program [arguments] destroy KEYRING KIND VERSION FENCE
 *	program [arguments] status KEYRING KIND VERSION
 *
 * docs/key-providers.md says what each has to do and by which exit status it
 * answers.
 *
 * Invariants:
 * - Contents go through standard input and output only.
 * - An answer is believed as far as it can be checked: what is said to be
 *	 stored is fetched and compared, what is said to be destroyed is asked for.
 *	 Any other exit status, a timeout or a signal is UNKNOWN.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "keyplace.h"
#include "keyprogram.h"
#include "secret.h"

/* Exit statuses, as documented. */
#define EXIT_DONE		0
#define EXIT_ABSENT		2
#define EXIT_EXISTS		3
#define EXIT_FENCED		4
#define EXIT_PENDING	5

/* More than any object of that kind has. */
#define MAX_SECRET		4096
#define MAX_OBJECT		(MaxAllocSize - 1)
#define MAX_LIST		(16 * 1024 * 1024)
#define MAX_CHATTER		4096

typedef struct KeyCommandPlace
{
	KeyPlace	base;
	List	   *words;			/* the program and its first arguments */
} KeyCommandPlace;

/*
 * Splits a command into words.  Blanks separate them; '...' and "..." hold
 * blanks; a backslash takes the next character as it is, but not within '...'.
 */
List *
keycommand_parse(const char *command, const char **why)
{
	List	   *words = NIL;
	const char *c = command;

	for (;;)
	{
		StringInfoData word;
		char		quote = '\0';

		while (*c == ' ' || *c == '\t')
			c++;
		if (*c == '\0')
			break;
		initStringInfo(&word);
		for (; *c != '\0' && (quote != '\0' || (*c != ' ' && *c != '\t')); c++)
		{
			if (*c == '\\' && quote != '\'' && c[1] != '\0')
				appendStringInfoChar(&word, *++c);
			else if (quote != '\0' && *c == quote)
				quote = '\0';
			else if (quote == '\0' && (*c == '\'' || *c == '"'))
				quote = *c;
			else
				appendStringInfoChar(&word, *c);
		}
		if (quote != '\0')
		{
			*why = "A quotation mark is not closed.";
			return NIL;
		}
		words = lappend(words, word.data);
	}
	if (words == NIL || !is_absolute_path((char *) linitial(words)))
	{
		*why = "A command begins with the absolute path of a program.";
		return NIL;
	}
	return words;
}

/*
 * Runs one operation.  Returns the exit status, or KEYPROGRAM_FAILED.
 */
static int
run(KeyCommandPlace *place, const char *operation, KeyObjectKind kind,
	const uint64 *version, const uint64 *fence, const void *input, size_t input_len,
	size_t max_output, uint8 **output, size_t *output_len)
{
	char	  **argv = palloc0((list_length(place->words) + 6) * sizeof(char *));
	int			argc = 0;
	ListCell   *lc;

	foreach(lc, place->words)
		argv[argc++] = lfirst(lc);
	argv[argc++] = pstrdup(operation);
	argv[argc++] = place->base.keyring;
	argv[argc++] = pstrdup(keyprovider_kind_name(kind));
	if (version != NULL)
		argv[argc++] = psprintf("%llu", (unsigned long long) *version);
	if (fence != NULL)
		argv[argc++] = psprintf("%llu", (unsigned long long) *fence);
	return keyprogram_run(argv, input, input_len, max_output, output, output_len);
}

/* Runs an operation whose output does not matter. */
static int
run_quietly(KeyCommandPlace *place, const char *operation, KeyObjectKind kind,
			uint64 version, const uint64 *fence, const void *input, size_t input_len)
{
	uint8	   *output;
	size_t		output_len;
	int			status;

	status = run(place, operation, kind, &version, fence, input, input_len,
				 MAX_CHATTER, &output, &output_len);
	if (output != NULL)
	{
		secret_wipe(output, output_len);
		pfree(output);
	}
	return status;
}

/* An exit status that means nothing for this operation. */
static KeyProviderResult
not_understood(KeyCommandPlace *place, const char *operation, int status)
{
	if (status != KEYPROGRAM_FAILED)
		ereport(WARNING,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("key provider \"%s\" failed to %s, with exit status %d",
						place->base.name, operation, status),
				 errhint("What it wrote to standard error is in the server log.")));
	return KEYPROVIDER_UNKNOWN;
}

/* A program that says that it did what it did not. */
static KeyProviderResult
not_true(KeyCommandPlace *place, const char *claim, KeyObjectKind kind, uint64 version)
{
	ereport(WARNING,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("key provider \"%s\" says that %s.%llu is %s, but it is not",
					place->base.name, keyprovider_kind_name(kind),
					(unsigned long long) version, claim)));
	return KEYPROVIDER_UNKNOWN;
}

/*
 * A program answers for what it cannot reach by an unknown exit status, so the
 * keyring is taken to be known.
 */
static KeyProviderResult
command_knows(KeyPlace *base)
{
	return KEYPROVIDER_DONE;
}

/*
 * Reads one line of a list: a version, perhaps "destroyed".
 */
static bool
parse_line(const char *line, KeyVersion *version)
{
	char	   *end;

	memset(version, 0, sizeof(*version));
	if (line[0] < '0' || line[0] > '9')
		return false;
	errno = 0;
	version->version = strtoull(line, &end, 10);
	if (errno != 0 || version->version > KEYOBJECT_VERSION_MAX)
		return false;
	version->destroyed = strcmp(end, " destroyed") == 0;
	version->present = !version->destroyed;
	return version->destroyed || *end == '\0';
}

static KeyProviderResult
command_list(KeyPlace *base, KeyObjectKind kind, List **versions, uint64 *floor)
{
	KeyCommandPlace *place = (KeyCommandPlace *) base;
	uint8	   *output;
	size_t		output_len;
	char	   *rest;
	char	   *line;
	int			status;

	status = run(place, "list", kind, NULL, NULL, NULL, 0, MAX_LIST, &output, &output_len);
	if (status == EXIT_ABSENT)
		return KEYPROVIDER_DONE;
	if (status != EXIT_DONE)
		return not_understood(place, "list", status);
	rest = pnstrdup((char *) output, output_len);
	while ((line = strsep(&rest, "\n")) != NULL)
	{
		KeyVersion *version;

		if (*line == '\0')
			continue;
		version = palloc(sizeof(KeyVersion));
		if (!parse_line(line, version))
		{
			ereport(WARNING,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("key provider \"%s\" printed a list that cannot be read", base->name),
					 errhint("Each line is a version, or a version and \" destroyed\".")));
			return KEYPROVIDER_UNKNOWN;
		}
		*versions = lappend(*versions, version);
	}
	return KEYPROVIDER_DONE;
}

static KeyProviderResult
command_fetch(KeyPlace *base, KeyObjectKind kind, uint64 version,
			  MemoryContext context, uint8 **data, size_t *len)
{
	KeyCommandPlace *place = (KeyCommandPlace *) base;
	MemoryContext caller = MemoryContextSwitchTo(context);
	int			status;

	status = run(place, "fetch", kind, &version, NULL, NULL, 0,
				 KEYOBJECT_IS_SECRET(kind) ? MAX_SECRET : MAX_OBJECT, data, len);
	MemoryContextSwitchTo(caller);
	switch (status)
	{
		case EXIT_DONE:
			return KEYPROVIDER_DONE;
		case EXIT_ABSENT:
			return KEYPROVIDER_ABSENT;
		case EXIT_PENDING:
			return KEYPROVIDER_PENDING;
	}
	return not_understood(place, "fetch", status);
}

/*
 * Is this what the program gives back?
 */
static KeyProviderResult
compare(KeyCommandPlace *place, KeyObjectKind kind, uint64 version,
		const void *data, size_t len)
{
	KeyProviderResult result;
	uint8	   *found;
	size_t		found_len;

	result = command_fetch(&place->base, kind, version, CurrentMemoryContext,
						   &found, &found_len);
	if (result != KEYPROVIDER_DONE)
		return result;
	if (found_len != len || memcmp(found, data, len) != 0)
		result = KEYPROVIDER_EXISTS;
	secret_wipe(found, found_len);
	pfree(found);
	return result;
}

static KeyProviderResult
command_store(KeyPlace *base, KeyObjectKind kind, uint64 version, uint64 fence,
			  const void *data, size_t len)
{
	KeyCommandPlace *place = (KeyCommandPlace *) base;
	const char *operation = KEYOBJECT_IS_SWAPPED(kind) ? "cas" : "store";
	int			status;

	status = run_quietly(place, operation, kind, version, &fence, data, len);
	switch (status)
	{
		case EXIT_DONE:
			switch (compare(place, kind, version, data, len))
			{
				case KEYPROVIDER_DONE:
					return KEYPROVIDER_DONE;
				case KEYPROVIDER_UNKNOWN:
					return KEYPROVIDER_UNKNOWN;
				default:
					return not_true(place, "stored", kind, version);
			}
		case EXIT_EXISTS:
			/* Ours, if it was stored before and the answer got lost. */
			return compare(place, kind, version, data, len) == KEYPROVIDER_DONE ?
				KEYPROVIDER_DONE : KEYPROVIDER_EXISTS;
		case EXIT_FENCED:
			return KEYPROVIDER_FENCED;
	}
	return not_understood(place, operation, status);
}

static KeyProviderResult
command_status(KeyPlace *base, KeyObjectKind kind, uint64 version, bool *destroyed)
{
	KeyCommandPlace *place = (KeyCommandPlace *) base;
	int			status = run_quietly(place, "status", kind, version, NULL, NULL, 0);

	*destroyed = status == EXIT_PENDING;
	switch (status)
	{
		case EXIT_DONE:
			return KEYPROVIDER_DONE;
		case EXIT_ABSENT:
			return KEYPROVIDER_ABSENT;
		case EXIT_PENDING:
			return KEYPROVIDER_PENDING;
	}
	return not_understood(place, "tell the status", status);
}

static KeyProviderResult
command_destroy(KeyPlace *base, KeyObjectKind kind, uint64 version, uint64 fence)
{
	KeyCommandPlace *place = (KeyCommandPlace *) base;
	int			status = run_quietly(place, "destroy", kind, version, &fence, NULL, 0);
	bool		destroyed;

	switch (status)
	{
		case EXIT_DONE:
		case EXIT_ABSENT:
			switch (command_status(base, kind, version, &destroyed))
			{
				case KEYPROVIDER_ABSENT:
					return KEYPROVIDER_DONE;
				case KEYPROVIDER_PENDING:
					return KEYPROVIDER_PENDING;
				case KEYPROVIDER_DONE:
					return not_true(place, "destroyed", kind, version);
				default:
					return KEYPROVIDER_UNKNOWN;
			}
		case EXIT_PENDING:
			return KEYPROVIDER_PENDING;
		case EXIT_FENCED:
			return KEYPROVIDER_FENCED;
	}
	return not_understood(place, "destroy", status);
}

static void
command_check(KeyPlace *base, List **problems)
{
	struct stat st;

	if (stat(base->name, &st) != 0 || access(base->name, X_OK) != 0)
		keyplace_problem(problems, "error", base->name,
						 "Install the program, and let the server's user run it.",
						 "the program cannot be run: %m");
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		keyplace_problem(problems, "error", base->name,
						 "Take the right to write of group and others: chmod go-w.",
						 "others may change the program that keeps the keys");
}

static const KeyPlaceRoutine command_routine = {
	.evidence = "provider-acknowledged",
	.knows = command_knows,
	.fence = NULL,
	.list = command_list,
	.store = command_store,
	.fetch = command_fetch,
	.destroy = command_destroy,
	.status = command_status,
	.check = command_check,
};

/*
 * Returns the place that the command stands for; keyprovider.c has parsed it
 * once without complaint.
 */
KeyPlace *
keycommand_open(const char *command, const uint8 keyring[KEYRING_ID_LEN])
{
	KeyCommandPlace *place = palloc0(sizeof(KeyCommandPlace));
	const char *why;

	place->words = keycommand_parse(command, &why);
	Assert(place->words != NIL);
	place->base.routine = &command_routine;
	place->base.name = linitial(place->words);
	hex_encode((const char *) keyring, KEYRING_ID_LEN, place->base.keyring);
	return &place->base;
}
