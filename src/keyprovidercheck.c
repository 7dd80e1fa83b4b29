/*
 * keyprovidercheck.c
 *		What people are told of a key provider: where it is, what evidence it
 *		gives, and what is wrong with it.
 *
 * Nothing is changed here; any instance may ask.
 */
#include "postgres.h"

#include "keyplace.h"
#include "secret.h"

const char *
keyprovider_evidence(KeyProvider *provider)
{
	return ((KeyPlace *) linitial(provider->places))->routine->evidence;
}

List *
keyprovider_locations(KeyProvider *provider)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, provider->places)
		names = lappend(names, pstrdup(((KeyPlace *) lfirst(lc))->name));
	return names;
}

/*
 * Adds a problem to the list, in the memory context that is current.
 */
void
keyplace_problem(List **problems, const char *severity, const char *object,
				 const char *remedy, const char *problem,...)
{
	KeyProviderProblem *entry = palloc(sizeof(KeyProviderProblem));
	StringInfoData text;
	int			save_errno = errno;

	initStringInfo(&text);
	for (;;)
	{
		va_list		args;
		int			needed;

		errno = save_errno;		/* for %m */
		va_start(args, problem);
		needed = appendStringInfoVA(&text, problem, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	entry->severity = severity;
	entry->object = pstrdup(object);
	entry->problem = text.data;
	entry->remedy = pstrdup(remedy);
	*problems = lappend(*problems, entry);
}

/*
 * Compares one version on all mirrors; each lacks it, or has what the first of
 * them has.
 */
static void
check_version(KeyProvider *provider, KeyObjectKind kind, KeyVersion *found, List **problems)
{
	ListCell   *lc;
	KeyPlace   *first = NULL;
	uint8	   *data = NULL;
	size_t		len = 0;
	char	   *object = psprintf("%s.%llu", keyprovider_kind_name(kind),
								  (unsigned long long) found->version);

	if (found->present && found->destroyed)
	{
		keyplace_problem(problems, "error", object,
						 "The worker destroys it again; find out what restored it, and whether that place has more.",
						 "it was destroyed, and is there");
		return;
	}
	if (!found->present)
		return;
	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);
		uint8	   *copy = NULL;
		size_t		copy_len = 0;

		switch (place->routine->fetch(place, kind, found->version, CurrentMemoryContext,
									  &copy, &copy_len))
		{
			case KEYPROVIDER_DONE:
				break;
			case KEYPROVIDER_ABSENT:
				keyplace_problem(problems, "warning", object,
								 "Copy it from a mirror that has it; with the next cycle the mirrors are equal again.",
								 "mirror \"%s\" lacks it", place->name);
				continue;
			default:
				keyplace_problem(problems, "error", object,
								 "See the server log; repair the place, or copy the object from a mirror.",
								 "it cannot be read from \"%s\"", place->name);
				continue;
		}
		if (first == NULL)
		{
			first = place;
			data = copy;
			len = copy_len;
			continue;
		}
		if (copy_len != len || memcmp(copy, data, len) != 0)
			keyplace_problem(problems, "error", object,
							 "Find out which one opens the sealed values, and replace the other.",
							 "mirrors \"%s\" and \"%s\" differ", first->name, place->name);
		secret_wipe(copy, copy_len);
		pfree(copy);
	}
	if (data != NULL)
	{
		secret_wipe(data, len);
		pfree(data);
	}
}

List *
keyprovider_check(KeyProvider *provider)
{
	List	   *problems = NIL;
	ListCell   *lc;

	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);

		place->routine->check(place, &problems);
	}
	if (list_length(provider->places) == 1 &&
		strcmp(keyprovider_evidence(provider), "file-unlinked") == 0)
		keyplace_problem(&problems, "warning",
						 ((KeyPlace *) linitial(provider->places))->name,
						 "Name a second directory, on another disk, in purpose.keyring.",
						 "the keyring has a single mirror: if it is lost, so is every sealed value");

	for (int i = 1; i < list_length(provider->places); i++)
	{
		KeyPlace   *place = list_nth(provider->places, i);

		for (int j = 0; j < i; j++)
		{
			KeyPlace   *other = list_nth(provider->places, j);

			if (place->device != 0 && place->device == other->device)
				keyplace_problem(&problems, "warning", place->name,
								 "Put each mirror on a disk of its own.",
								 "it is on the same file system as \"%s\"", other->name);
		}
	}

	for (int kind = 0; kind < KEYOBJECT_KINDS; kind++)
	{
		MemoryContext caller = keyprovider_begin(provider);
		KeyProviderResult result;
		List	   *versions;
		uint64		highest;

		result = keyprovider_list_all(provider, kind, &versions, &highest);
		MemoryContextSwitchTo(caller);
		if (result == KEYPROVIDER_UNKNOWN)
		{
			keyplace_problem(&problems, "error", keyprovider_kind_name(kind),
							 "See the server log, and repair the place.",
							 "no mirror can be asked");
			break;
		}
		foreach(lc, versions)
			check_version(provider, kind, lfirst(lc), &problems);
	}
	return problems;
}
