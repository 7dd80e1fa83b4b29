/*
 * keymirrors.c
 *		The operations of a key provider: what several mirrors make together of
 *		what each of them answers.
 *
 * Invariants:
 * - Nothing is DONE before it is done on every mirror, nothing ABSENT before
 *	 every mirror says so.
 * - What one mirror remembers as destroyed is fetched from none.
 * - A mirror that does not know a keyring which another one knows is missing,
 *	 not empty: perhaps it is not mounted.  Nothing is written to it.
 * - A place fails with a warning and a result, never with an error, and the
 *	 scratch memory of an operation goes with the operation.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "errcodes.h"
#include "keyplace.h"
#include "secret.h"

/* How often to look again when an object is replaced while it is being read. */
#define ATTEMPTS	5

MemoryContext
keyprovider_begin(KeyProvider *provider)
{
	MemoryContextReset(provider->scratch);
	return MemoryContextSwitchTo(provider->scratch);
}

static void
warn_missing(KeyPlace *place)
{
	if (place->told)
		return;
	place->told = true;
	ereport(WARNING,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg("key mirror \"%s\" does not know keyring %s", place->name, place->keyring),
			 errhint("If it is not mounted, mount it.  For a new mirror, make an empty directory of the keyring's name in it.")));
}

/*
 * Does any mirror know the keyring?  `missing` is the number of mirrors that
 * cannot be asked or, though another one knows it, do not: warned of.
 */
static KeyProviderResult
ask_who_knows(KeyProvider *provider, int *missing)
{
	KeyProviderResult result = KEYPROVIDER_ABSENT;
	List	   *lacking = NIL;
	ListCell   *lc;

	*missing = 0;
	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);

		switch (place->routine->knows(place))
		{
			case KEYPROVIDER_DONE:
				result = KEYPROVIDER_DONE;
				break;
			case KEYPROVIDER_ABSENT:
				lacking = lappend(lacking, place);
				break;
			default:
				(*missing)++;
		}
	}
	if (result == KEYPROVIDER_DONE)
	{
		foreach(lc, lacking)
			warn_missing(lfirst(lc));
		*missing += list_length(lacking);
	}
	else if (*missing > 0)
		result = KEYPROVIDER_UNKNOWN;
	return result;
}

static int
compare_versions(const ListCell *a, const ListCell *b)
{
	uint64		x = ((const KeyVersion *) lfirst(a))->version;
	uint64		y = ((const KeyVersion *) lfirst(b))->version;

	return x < y ? -1 : x > y;
}

KeyProviderResult
keyprovider_list_all(KeyProvider *provider, KeyObjectKind kind, List **versions, uint64 *highest)
{
	KeyProviderResult result;
	List	   *all = NIL;
	ListCell   *lc;
	uint64		floor = 0;
	int			missing;

	*versions = NIL;
	*highest = 0;
	result = ask_who_knows(provider, &missing);
	if (result != KEYPROVIDER_DONE)
		return result;

	result = KEYPROVIDER_UNKNOWN;
	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);
		List	   *found = NIL;
		uint64		place_floor = 0;

		if (place->routine->list(place, kind, &found, &place_floor) == KEYPROVIDER_DONE)
		{
			result = KEYPROVIDER_DONE;
			all = list_concat(all, found);
			floor = Max(floor, place_floor);
		}
	}
	list_sort(all, compare_versions);
	*highest = floor > 0 ? floor - 1 : 0;
	foreach(lc, all)
	{
		KeyVersion *found = lfirst(lc);
		KeyVersion *last = *versions == NIL ? NULL : llast(*versions);

		*highest = Max(*highest, found->version);
		found->destroyed |= found->version < floor;
		if (last != NULL && last->version == found->version)
		{
			last->present |= found->present;
			last->destroyed |= found->destroyed;
		}
		else
			*versions = lappend(*versions, found);
	}
	return result;
}

KeyProviderResult
keyprovider_list(KeyProvider *provider, KeyObjectKind kind, List **versions)
{
	MemoryContext caller = keyprovider_begin(provider);
	KeyProviderResult result;
	List	   *all;
	ListCell   *lc;
	uint64		highest;

	*versions = NIL;
	result = keyprovider_list_all(provider, kind, &all, &highest);
	MemoryContextSwitchTo(caller);
	foreach(lc, all)
	{
		KeyVersion *found = lfirst(lc);
		uint64	   *version;

		if (!found->present || found->destroyed)
			continue;
		version = palloc(sizeof(uint64));
		*version = found->version;
		*versions = lappend(*versions, version);
	}
	return result;
}

KeyProviderResult
keyprovider_remaining(KeyProvider *provider, KeyObjectKind kind, List **versions)
{
	MemoryContext caller = keyprovider_begin(provider);
	KeyProviderResult result;
	List	   *all = NIL;
	ListCell   *lc;
	int			missing;

	*versions = NIL;
	result = ask_who_knows(provider, &missing);
	if (result == KEYPROVIDER_DONE && missing > 0)
		result = KEYPROVIDER_UNKNOWN;
	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);
		List	   *found = NIL;
		uint64		floor;

		if (result == KEYPROVIDER_DONE)
			result = place->routine->list(place, kind, &found, &floor);
		all = list_concat(all, found);
	}
	list_sort(all, compare_versions);
	MemoryContextSwitchTo(caller);
	foreach(lc, all)
	{
		KeyVersion *found = lfirst(lc);
		uint64	   *version;

		if (!found->present ||
			(*versions != NIL && *(uint64 *) llast(*versions) == found->version))
			continue;
		version = palloc(sizeof(uint64));
		*version = found->version;
		*versions = lappend(*versions, version);
	}
	return result;
}

KeyProviderResult
keyprovider_highest(KeyProvider *provider, KeyObjectKind kind, uint64 *version)
{
	MemoryContext caller = keyprovider_begin(provider);
	KeyProviderResult result;
	List	   *all;

	result = keyprovider_list_all(provider, kind, &all, version);
	MemoryContextSwitchTo(caller);
	return result;
}

/*
 * Has any mirror seen a higher fencing token?  Asked of all before the first
 * of them is changed, so that a fenced instance changes none.
 */
static KeyProviderResult
check_fence(KeyProvider *provider, uint64 fence)
{
	ListCell   *lc;

	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);
		uint64		seen = 0;

		if (place->routine->fence == NULL)
			continue;
		if (place->routine->fence(place, &seen) == KEYPROVIDER_DONE && seen > fence)
			return KEYPROVIDER_FENCED;
	}
	return KEYPROVIDER_DONE;
}

KeyProviderResult
keyprovider_store(KeyProvider *provider, KeyObjectKind kind, uint64 version,
				  uint64 fence, const void *data, size_t len)
{
	MemoryContext caller = keyprovider_begin(provider);
	KeyProviderResult result;
	ListCell   *lc;
	int			missing;

	Assert(version <= KEYOBJECT_VERSION_MAX && fence <= KEYOBJECT_VERSION_MAX);
	result = ask_who_knows(provider, &missing);
	if (result == KEYPROVIDER_UNKNOWN || missing > 0)
		result = KEYPROVIDER_UNKNOWN;
	else
		result = check_fence(provider, fence);

	/*
	 * One after the other, and no further than the first that fails: of two
	 * instances that store the same version, the first mirror decides.
	 */
	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);

		if (result != KEYPROVIDER_DONE)
			break;
		result = place->routine->store(place, kind, version, fence, data, len);
	}
	MemoryContextSwitchTo(caller);
	return result;
}

/*
 * What each mirror says of one version, taken together; see
 * keyprovider_status in the header.
 */
static KeyProviderResult
status_of_all(KeyProvider *provider, KeyObjectKind kind, uint64 version)
{
	ListCell   *lc;
	int			present = 0;
	int			absent = 0;
	bool		any_destroyed = false;
	int			missing;

	if (ask_who_knows(provider, &missing) != KEYPROVIDER_DONE)
		return KEYPROVIDER_UNKNOWN;
	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);
		bool		destroyed = false;

		switch (place->routine->status(place, kind, version, &destroyed))
		{
			case KEYPROVIDER_DONE:
				present++;
				break;
			case KEYPROVIDER_PENDING:
				present++;
				destroyed = true;
				break;
			case KEYPROVIDER_ABSENT:
				absent++;
				break;
			default:
				break;
		}
		any_destroyed |= destroyed;
	}
	if (absent == list_length(provider->places))
		return KEYPROVIDER_ABSENT;
	if (any_destroyed)
		return KEYPROVIDER_PENDING;
	if (present == list_length(provider->places))
		return KEYPROVIDER_DONE;
	return present > 0 && present + absent == list_length(provider->places) ?
		KEYPROVIDER_EXISTS : KEYPROVIDER_UNKNOWN;
}

KeyProviderResult
keyprovider_status(KeyProvider *provider, KeyObjectKind kind, uint64 version)
{
	MemoryContext caller = keyprovider_begin(provider);
	KeyProviderResult result = status_of_all(provider, kind, version);

	MemoryContextSwitchTo(caller);
	return result;
}

KeyProviderResult
keyprovider_fetch(KeyProvider *provider, KeyObjectKind kind, uint64 version,
				  uint8 **data, size_t *len)
{
	MemoryContext caller = keyprovider_begin(provider);
	KeyProviderResult result = KEYPROVIDER_ABSENT;
	KeyPlace   *source = NULL;
	ListCell   *lc;
	int			missing;

	*data = NULL;
	*len = 0;

	/* A single place looks at its own memory of what was destroyed. */
	if (list_length(provider->places) > 1)
	{
		result = ask_who_knows(provider, &missing);
		if (result == KEYPROVIDER_DONE)
			result = status_of_all(provider, kind, version) == KEYPROVIDER_PENDING ?
				KEYPROVIDER_PENDING : KEYPROVIDER_ABSENT;
		if (result == KEYPROVIDER_PENDING || result == KEYPROVIDER_UNKNOWN)
		{
			MemoryContextSwitchTo(caller);
			return result;
		}
	}

	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);
		uint8	   *found = NULL;
		size_t		found_len = 0;
		KeyProviderResult answer;

		answer = place->routine->fetch(place, kind, version,
									   source == NULL ? caller : provider->scratch,
									   &found, &found_len);
		if (answer == KEYPROVIDER_DONE && source == NULL)
		{
			source = place;
			*data = found;
			*len = found_len;
			result = KEYPROVIDER_DONE;
		}
		else if (answer == KEYPROVIDER_DONE)
		{
			bool		equal = found_len == *len && memcmp(found, *data, found_len) == 0;

			secret_wipe(found, found_len);
			if (!equal)
				ereport(WARNING,
						(errcode(ERRCODE_KEYRING_UNAVAILABLE),
						 errmsg("key mirrors \"%s\" and \"%s\" differ in %s.%llu",
								source->name, place->name, keyprovider_kind_name(kind),
								(unsigned long long) version),
						 errhint("The first one was used.  SELECT * FROM purpose.check_keyring() names all differences.")));
		}
		else if (result != KEYPROVIDER_DONE && answer != KEYPROVIDER_ABSENT)
			result = answer;
	}
	MemoryContextSwitchTo(caller);
	return result;
}

KeyProviderResult
keyprovider_destroy(KeyProvider *provider, KeyObjectKind kind, uint64 version, uint64 fence)
{
	MemoryContext caller = keyprovider_begin(provider);
	KeyProviderResult result;
	ListCell   *lc;
	int			missing;

	result = ask_who_knows(provider, &missing);
	if (result == KEYPROVIDER_DONE)
		result = check_fence(provider, fence);
	else
		result = KEYPROVIDER_UNKNOWN;

	/* On as many as can be reached, whatever another one says. */
	if (result == KEYPROVIDER_DONE)
	{
		foreach(lc, provider->places)
		{
			KeyPlace   *place = lfirst(lc);
			KeyProviderResult answer;

			answer = place->routine->destroy(place, kind, version, fence);
			if (answer == KEYPROVIDER_FENCED)
			{
				result = answer;
				break;
			}
			if (answer == KEYPROVIDER_PENDING && result == KEYPROVIDER_DONE)
				result = answer;
			else if (answer != KEYPROVIDER_DONE && answer != KEYPROVIDER_PENDING)
				result = KEYPROVIDER_UNKNOWN;
		}
		if (result == KEYPROVIDER_DONE && missing > 0)
			result = KEYPROVIDER_UNKNOWN;
	}
	MemoryContextSwitchTo(caller);
	return result;
}

/*
 * Gives one version to the mirrors that lack it.
 */
static KeyProviderResult
repair_version(KeyProvider *provider, KeyObjectKind kind, uint64 version, uint64 fence)
{
	KeyProviderResult result = KEYPROVIDER_DONE;
	List	   *lacking = NIL;
	uint8	   *data = NULL;
	size_t		len = 0;
	ListCell   *lc;

	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);
		bool		destroyed;

		if (place->routine->status(place, kind, version, &destroyed) == KEYPROVIDER_ABSENT)
			lacking = lappend(lacking, place);
	}
	if (lacking == NIL)
		return KEYPROVIDER_DONE;
	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);

		if (data == NULL && !list_member_ptr(lacking, place))
			(void) place->routine->fetch(place, kind, version, CurrentMemoryContext,
										 &data, &len);
	}
	if (data == NULL)
		return KEYPROVIDER_UNKNOWN;
	foreach(lc, lacking)
	{
		KeyPlace   *place = lfirst(lc);
		KeyProviderResult answer;

		answer = place->routine->store(place, kind, version, fence, data, len);
		if (answer == KEYPROVIDER_DONE)
			ereport(LOG,
					(errmsg("key mirror \"%s\" lacked %s.%llu, and has it now", place->name,
							keyprovider_kind_name(kind), (unsigned long long) version)));
		else
			result = answer == KEYPROVIDER_FENCED ? answer : KEYPROVIDER_UNKNOWN;
	}
	secret_wipe(data, len);
	return result;
}

KeyProviderResult
keyprovider_repair(KeyProvider *provider, uint64 fence)
{
	MemoryContext caller = keyprovider_begin(provider);
	KeyProviderResult result;
	int			missing;

	result = ask_who_knows(provider, &missing);
	if (result == KEYPROVIDER_DONE)
		result = check_fence(provider, fence);
	for (int kind = 0; kind < KEYOBJECT_KINDS && result == KEYPROVIDER_DONE; kind++)
	{
		List	   *versions;
		ListCell   *lc;
		uint64		highest;

		result = keyprovider_list_all(provider, kind, &versions, &highest);
		foreach(lc, versions)
		{
			KeyVersion *found = lfirst(lc);
			KeyProviderResult answer = KEYPROVIDER_DONE;
			ListCell   *place;

			if (!found->present)
				continue;
			if (found->destroyed)
			{
				foreach(place, provider->places)
				{
					KeyPlace   *p = lfirst(place);

					if (p->routine->destroy(p, kind, found->version, fence) != KEYPROVIDER_DONE)
						answer = KEYPROVIDER_UNKNOWN;
				}
			}

			/*
			 * Of what is replaced, what was replaced is on its way out; some
			 * mirrors may have removed it already.
			 */
			else if (found == llast(versions) ||
					 !(KEYOBJECT_IS_SWAPPED(kind) || kind == KEYOBJECT_STATE))
				answer = repair_version(provider, kind, found->version, fence);
			if (answer != KEYPROVIDER_DONE)
				result = answer;
		}
	}
	MemoryContextSwitchTo(caller);
	return result == KEYPROVIDER_DONE && missing > 0 ? KEYPROVIDER_UNKNOWN : result;
}

KeyProviderResult
keyprovider_fetch_highest(KeyProvider *provider, KeyObjectKind kind, List **versions,
						  uint64 *version, uint8 **data, size_t *len)
{
	KeyProviderResult result = KEYPROVIDER_UNKNOWN;

	for (int i = 0; i < ATTEMPTS; i++)
	{
		result = keyprovider_list(provider, kind, versions);
		if (result != KEYPROVIDER_DONE)
			return result;
		if (*versions == NIL)
			return KEYPROVIDER_ABSENT;
		*version = *(uint64 *) llast(*versions);
		result = keyprovider_fetch(provider, kind, *version, data, len);
		if (result != KEYPROVIDER_ABSENT)
			return result;
	}
	return KEYPROVIDER_UNKNOWN;
}

void
keyprovider_remove(KeyProvider *provider, KeyObjectKind kind, List *versions, uint64 fence)
{
	ListCell   *lc;

	foreach(lc, versions)
		(void) keyprovider_destroy(provider, kind, *(uint64 *) lfirst(lc), fence);
}
