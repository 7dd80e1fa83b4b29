/*
 * keyfile.c
 *		A directory as a place for keyrings: one file an object and version,
 *		in <directory>/<keyring in hex>/.
 *
 *	root.7				an object: kind and version
 *	root.6.destroyed	version 6 was destroyed and is never loaded again
 *	root.6.floor		all versions below 6 were destroyed
 *	fence.12			the highest fencing token seen, as an empty object
 *	lock				locked by whoever changes the directory
 *	tmp.root.7			being written; left over if the lock is free
 *
 * Invariants:
 * - What is stored was read back.
 * - The marker of a destroyed secret is on disk before the secret is touched.
 *	 Markers stay, or a floor that stands for all of them does.
 * - Directories are changed under the lock only, by an instance that is not
 *	 fenced.  Readers take no lock.
 * - The lock is closed on error.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"
#include "utils/builtins.h"

#include "keyfile.h"
#include "secret.h"
#include "stopevent.h"

/* So many markers at least are folded into a floor at once. */
#define FOLD_MARKERS	64

/* ----------
 * Directories
 * ----------
 */

/*
 * Does the place know the keyring?  UNKNOWN if the directory is not there or is
 * not one, with a warning the first time.
 */
static KeyProviderResult
file_knows(KeyPlace *base)
{
	KeyFilePlace *place = (KeyFilePlace *) base;
	const char *path = base->name;
	struct stat st;

	if (stat(path, &st) == 0)
	{
		path = place->path;
		errno = 0;
		if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return KEYPROVIDER_DONE;
		if (errno == ENOENT && access(base->name, R_OK | X_OK) == 0)
			return KEYPROVIDER_ABSENT;
		if (errno == 0)
			errno = ENOTDIR;
	}
	if (!base->told)
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not find key directory \"%s\": %m", path)));
	base->told = true;
	return KEYPROVIDER_UNKNOWN;
}

/*
 * Makes the keyring's directory unless it is there.
 */
static bool
make_directory(KeyFilePlace *place)
{
	if (mkdir(place->path, S_IRWXU) == 0)
	{
		if (fsync_fname_ext(place->base.name, true, false, WARNING) == 0)
			return true;
	}
	else if (errno == EEXIST)
		return file_knows(&place->base) == KEYPROVIDER_DONE;
	else
		keyfile_warn("create", place->path);
	return false;
}

/* ----------
 * Reading
 * ----------
 */

/* The highest fence among the entries, 0 for none. */
static uint64
highest_fence(List *entries)
{
	uint64		highest = 0;
	ListCell   *lc;

	foreach(lc, entries)
	{
		KeyFileEntry *entry = lfirst(lc);

		if (entry->kind == KEYFILE_FENCE)
			highest = Max(highest, entry->version);
	}
	return highest;
}

/* All versions of a kind below this one were destroyed. */
static uint64
floor_of(List *entries, KeyObjectKind kind)
{
	uint64		floor = 0;
	ListCell   *lc;

	foreach(lc, entries)
	{
		KeyFileEntry *entry = lfirst(lc);

		if (entry->kind == (int) kind && entry->role == KEYFILE_FLOOR)
			floor = Max(floor, entry->version);
	}
	return floor;
}

static bool
is_destroyed(List *entries, KeyObjectKind kind, uint64 version)
{
	ListCell   *lc;

	foreach(lc, entries)
	{
		KeyFileEntry *entry = lfirst(lc);

		if (entry->kind != (int) kind)
			continue;
		if (entry->role == KEYFILE_DESTROYED && entry->version == version)
			return true;
		if (entry->role == KEYFILE_FLOOR && entry->version > version)
			return true;
	}
	return false;
}

static KeyProviderResult
file_list(KeyPlace *base, KeyObjectKind kind, List **versions, uint64 *floor)
{
	KeyProviderResult result = file_knows(base);
	List	   *entries;
	ListCell   *lc;

	if (result != KEYPROVIDER_DONE)
		return result;
	if (!keyfile_scan((KeyFilePlace *) base, &entries))
		return KEYPROVIDER_UNKNOWN;
	*floor = floor_of(entries, kind);
	foreach(lc, entries)
	{
		KeyFileEntry *entry = lfirst(lc);
		KeyVersion *version;

		if (entry->kind != (int) kind || entry->role == KEYFILE_FLOOR)
			continue;
		version = palloc0(sizeof(KeyVersion));
		version->version = entry->version;
		version->present = entry->role == KEYFILE_OBJECT;
		version->destroyed = entry->role == KEYFILE_DESTROYED;
		*versions = lappend(*versions, version);
	}
	return KEYPROVIDER_DONE;
}

static KeyProviderResult
file_fence(KeyPlace *base, uint64 *fence)
{
	KeyProviderResult result = file_knows(base);
	List	   *entries;

	if (result != KEYPROVIDER_DONE)
		return result;
	if (!keyfile_scan((KeyFilePlace *) base, &entries))
		return KEYPROVIDER_UNKNOWN;
	*fence = highest_fence(entries);
	return KEYPROVIDER_DONE;
}

static KeyProviderResult
file_status(KeyPlace *base, KeyObjectKind kind, uint64 version, bool *destroyed)
{
	KeyFilePlace *place = (KeyFilePlace *) base;
	KeyProviderResult there;
	List	   *entries;

	if (file_knows(base) != KEYPROVIDER_DONE || !keyfile_scan(place, &entries))
		return KEYPROVIDER_UNKNOWN;
	*destroyed = is_destroyed(entries, kind, version);
	there = keyfile_look_for(keyfile_path(place, keyprovider_kind_name(kind), version,
										  KEYFILE_OBJECT));
	return *destroyed && there == KEYPROVIDER_DONE ? KEYPROVIDER_PENDING : there;
}

static KeyProviderResult
file_fetch(KeyPlace *base, KeyObjectKind kind, uint64 version,
		   MemoryContext context, uint8 **data, size_t *len)
{
	KeyFilePlace *place = (KeyFilePlace *) base;
	KeyProviderResult result = file_knows(base);

	if (result != KEYPROVIDER_DONE)
		return result;
	if (KEYOBJECT_IS_SECRET(kind))
	{
		bool		destroyed;

		result = file_status(base, kind, version, &destroyed);
		if (destroyed || result != KEYPROVIDER_DONE)
			return result;
	}
	return keyfile_read(place, keyprovider_kind_name(kind), version, context, data, len);
}

/* ----------
 * Changing
 * ----------
 */

/*
 * Begins a change under the lock: refuses a lower fencing token than was seen,
 * removes what a crash left over, records a higher token.
 */
static KeyProviderResult
begin_change(KeyFilePlace *place, uint64 fence, List **entries)
{
	uint64		highest;
	ListCell   *lc;

	if (!keyfile_scan(place, entries))
		return KEYPROVIDER_UNKNOWN;
	highest = highest_fence(*entries);
	if (fence < highest)
		return KEYPROVIDER_FENCED;
	foreach(lc, *entries)
	{
		KeyFileEntry *entry = lfirst(lc);

		if (entry->kind == KEYFILE_WRITTEN)
			keyfile_discard(entry->path);
	}
	if (fence == highest)
		return KEYPROVIDER_DONE;

	if (keyfile_write(place, KEYFILE_FENCE_NAME, fence, KEYFILE_OBJECT, NULL, 0) !=
		KEYPROVIDER_DONE)
		return KEYPROVIDER_UNKNOWN;
	foreach(lc, *entries)
	{
		KeyFileEntry *entry = lfirst(lc);

		if (entry->kind == KEYFILE_FENCE && unlink(entry->path) != 0)
			keyfile_warn("remove", entry->path);
	}
	return KEYPROVIDER_DONE;
}

/*
 * Destroys again what was destroyed and is there nevertheless.  What fails is
 * warned of, and tried again at the next store.
 */
static void
destroy_reappeared(KeyFilePlace *place, List *entries)
{
	ListCell   *lc;

	foreach(lc, entries)
	{
		KeyFileEntry *entry = lfirst(lc);

		if (entry->kind < 0 || entry->kind >= KEYOBJECT_KINDS ||
			entry->role != KEYFILE_OBJECT ||
			!is_destroyed(entries, entry->kind, entry->version))
			continue;
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("key file \"%s\" is marked as destroyed, and is there", entry->path),
				 errdetail("It is destroyed now."),
				 errhint("If no destruction was interrupted, find out what restored it, and whether that place has more.")));
		if (keyfile_erase(entry->path, true))
			(void) keyfile_sync(place);
	}
}

/*
 * Lets a floor stand for the markers of all versions up to some one, when that
 * saves many.  It says the same as they, so failing does no harm.
 */
static void
fold_markers(KeyFilePlace *place, KeyObjectKind kind)
{
	const char *kind_name = keyprovider_kind_name(kind);
	List	   *entries;
	ListCell   *lc;
	uint64		old_floor;
	uint64		floor;

	if (!keyfile_scan(place, &entries))
		return;
	/* Versions begin with 1. */
	old_floor = floor = Max(floor_of(entries, kind), 1);
	while (is_destroyed(entries, kind, floor))
		floor++;
	if (floor - old_floor < FOLD_MARKERS ||
		keyfile_write(place, kind_name, floor, KEYFILE_FLOOR, NULL, 0) == KEYPROVIDER_UNKNOWN)
		return;
	stopevent_reach("keyfile_folded");
	foreach(lc, entries)
	{
		KeyFileEntry *entry = lfirst(lc);

		if (entry->kind == (int) kind && entry->role != KEYFILE_OBJECT &&
			entry->version < floor && unlink(entry->path) != 0)
			keyfile_warn("remove", entry->path);
	}
}

static KeyProviderResult
store_locked(KeyFilePlace *place, KeyObjectKind kind, uint64 version, uint64 fence,
			 const void *data, size_t len)
{
	const char *kind_name = keyprovider_kind_name(kind);
	char	   *path = keyfile_path(place, kind_name, version, KEYFILE_OBJECT);
	KeyProviderResult result;
	List	   *entries;
	ListCell   *lc;

	result = begin_change(place, fence, &entries);
	if (result != KEYPROVIDER_DONE)
		return result;
	destroy_reappeared(place, entries);

	result = keyfile_compare(place, kind_name, version, data, len);
	if (result == KEYPROVIDER_ABSENT)
	{
		if (is_destroyed(entries, kind, version))
			return KEYPROVIDER_EXISTS;
		foreach(lc, entries)
		{
			KeyFileEntry *entry = lfirst(lc);

			if (KEYOBJECT_IS_SWAPPED(kind) && entry->kind == (int) kind &&
				entry->version > version)
				return KEYPROVIDER_EXISTS;
		}
		result = keyfile_write(place, kind_name, version, KEYFILE_OBJECT, data, len);
		if (result != KEYPROVIDER_DONE)
			return result;
	}
	else if (result == KEYPROVIDER_DONE)
	{
		/* As before, perhaps before a crash: make sure that it is on disk. */
		if (fsync_fname_ext(path, false, false, WARNING) != 0 ||
			!keyfile_sync(place))
			return KEYPROVIDER_UNKNOWN;
	}
	else
		return result;

	result = keyfile_compare(place, kind_name, version, data, len);
	if (result == KEYPROVIDER_DONE)
		return result;
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("key file \"%s\" does not hold what was written", path)));
	return KEYPROVIDER_UNKNOWN;
}

static KeyProviderResult
file_store(KeyPlace *base, KeyObjectKind kind, uint64 version, uint64 fence,
		   const void *data, size_t len)
{
	KeyFilePlace *place = (KeyFilePlace *) base;
	volatile KeyProviderResult result = KEYPROVIDER_UNKNOWN;
	int			lock;

	if (!make_directory(place))
		return KEYPROVIDER_UNKNOWN;
	lock = keyfile_lock(place);
	if (lock < 0)
		return KEYPROVIDER_UNKNOWN;
	PG_TRY();
	{
		result = store_locked(place, kind, version, fence, data, len);
	}
	PG_FINALLY();
	{
		CloseTransientFile(lock);
	}
	PG_END_TRY();
	return result;
}

static KeyProviderResult
destroy_locked(KeyFilePlace *place, KeyObjectKind kind, uint64 version, uint64 fence)
{
	const char *kind_name = keyprovider_kind_name(kind);
	char	   *path = keyfile_path(place, kind_name, version, KEYFILE_OBJECT);
	KeyProviderResult result;
	List	   *entries;
	struct stat st;

	result = begin_change(place, fence, &entries);
	if (result != KEYPROVIDER_DONE)
		return result;

	if (KEYOBJECT_IS_SECRET(kind))
	{
		if (!is_destroyed(entries, kind, version) &&
			keyfile_write(place, kind_name, version, KEYFILE_DESTROYED, NULL, 0) !=
			KEYPROVIDER_DONE)
			return KEYPROVIDER_UNKNOWN;
		/* A marker from before a crash may not be on disk yet. */
		if (!keyfile_sync(place))
			return KEYPROVIDER_UNKNOWN;
	}
	stopevent_reach("keyfile_marked");

	if (KEYOBJECT_IS_SECRET(kind) && lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		st.st_nlink > 1)
		ereport(WARNING,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("key file \"%s\" has another name somewhere", path),
				 errdetail("What it held is overwritten under that name, too.")));
	if (!keyfile_erase(path, KEYOBJECT_IS_SECRET(kind)))
		return KEYPROVIDER_UNKNOWN;
	stopevent_reach("keyfile_unlinked");
	if (!keyfile_sync(place))
		return KEYPROVIDER_UNKNOWN;
	result = keyfile_look_for(path);
	if (result != KEYPROVIDER_ABSENT)
		return KEYPROVIDER_UNKNOWN;
	if (KEYOBJECT_IS_SECRET(kind))
		fold_markers(place, kind);
	return KEYPROVIDER_DONE;
}

static KeyProviderResult
file_destroy(KeyPlace *base, KeyObjectKind kind, uint64 version, uint64 fence)
{
	KeyFilePlace *place = (KeyFilePlace *) base;
	volatile KeyProviderResult result = KEYPROVIDER_UNKNOWN;
	int			lock;

	if (file_knows(base) != KEYPROVIDER_DONE)
		return KEYPROVIDER_UNKNOWN;
	lock = keyfile_lock(place);
	if (lock < 0)
		return KEYPROVIDER_UNKNOWN;
	PG_TRY();
	{
		result = destroy_locked(place, kind, version, fence);
	}
	PG_FINALLY();
	{
		CloseTransientFile(lock);
	}
	PG_END_TRY();
	return result;
}

static const KeyPlaceRoutine file_routine = {
	.evidence = "file-unlinked",
	.knows = file_knows,
	.fence = file_fence,
	.list = file_list,
	.store = file_store,
	.fetch = file_fetch,
	.destroy = file_destroy,
	.status = file_status,
	.check = keyfile_check,
};

KeyPlace *
keyfile_open(const char *directory, const uint8 keyring[KEYRING_ID_LEN])
{
	KeyFilePlace *place = palloc0(sizeof(KeyFilePlace));
	struct stat st;

	keyfile_refuse_data_directory(directory);
	place->base.routine = &file_routine;
	place->base.name = pstrdup(directory);
	hex_encode((const char *) keyring, KEYRING_ID_LEN, place->base.keyring);
	place->path = psprintf("%s/%s", directory, place->base.keyring);
	if (stat(directory, &st) == 0)
		place->base.device = st.st_dev;
	return &place->base;
}
