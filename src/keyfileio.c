/*
 * keyfileio.c
 *		The files of a directory that is a place for keyrings: their names,
 *		the lock, and how one is written, read and erased.
 *
 * A file is 8 bytes "pgpurkey", the length of the content and a CRC-32C of
 * kind, version and content (both 32 bits, big-endian), and the content.  The
 * checksum tells a damaged file or one with another's name; it does not
 * authenticate anything.
 *
 * Invariants:
 * - A file is complete and on disk before it gets its name, and is not changed
 *	 under it, except to overwrite it when it is destroyed.
 * - Symbolic links are never followed below the configured directory.
 * - No ERROR between opening and closing a file.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "keyfile.h"
#include "secret.h"
#include "stopevent.h"

#define MAGIC			"pgpurkey"
#define HEADER_LEN		16
#define LOCK_NAME		"lock"

/* How often a waiter tries to get the lock. */
#define LOCK_RETRY_MS	20

/* How the name of a file goes on that is no object. */
static const char *const role_suffix[] = {
	[KEYFILE_OBJECT] = "",
	[KEYFILE_DESTROYED] = ".destroyed",
	[KEYFILE_FLOOR] = ".floor",
};

/*
 * As what a file is checksummed: a marker that is renamed to an object is not
 * one.
 */
static const char *
checksum_name(const char *kind, KeyFileRole role)
{
	return role == KEYFILE_OBJECT ? kind : role_suffix[role];
}

void
keyfile_warn(const char *what, const char *path)
{
	ereport(WARNING,
			(errcode_for_file_access(),
			 errmsg("could not %s key file \"%s\": %m", what, path)));
}

char *
keyfile_path(KeyFilePlace *place, const char *kind, uint64 version, KeyFileRole role)
{
	return psprintf("%s/%s.%llu%s", place->path, kind, (unsigned long long) version,
					role_suffix[role]);
}

/* ----------
 * Directories
 * ----------
 */

/* Reads some digits as a number, if that is how it is printed. */
static bool
parse_version(const char *digits, size_t len, uint64 *version)
{
	uint64		value = 0;

	if (len == 0 || len > 19 || (digits[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++)
		value = value * 10 + (digits[i] - '0');
	*version = value;
	return value <= KEYOBJECT_VERSION_MAX;
}

/*
 * Returns what the name of a file means, or NULL if it is none of ours.
 */
static KeyFileEntry *
parse_name(KeyFilePlace *place, const char *name)
{
	KeyFileEntry *entry = palloc0(sizeof(KeyFileEntry));
	const char *dot = strchr(name, '.');
	const char *suffix;

	entry->path = psprintf("%s/%s", place->path, name);
	if (strncmp(name, KEYFILE_TEMP_PREFIX, strlen(KEYFILE_TEMP_PREFIX)) == 0)
	{
		entry->kind = KEYFILE_WRITTEN;
		return entry;
	}
	if (dot == NULL)
		return NULL;
	for (entry->kind = 0; entry->kind <= KEYFILE_FENCE; entry->kind++)
	{
		const char *kind = entry->kind == KEYFILE_FENCE ? KEYFILE_FENCE_NAME :
		keyprovider_kind_name(entry->kind);

		if (strlen(kind) == dot - name && strncmp(name, kind, dot - name) == 0)
			break;
	}
	if (entry->kind > KEYFILE_FENCE)
		return NULL;

	dot++;
	suffix = dot + strspn(dot, "0123456789");
	for (entry->role = KEYFILE_OBJECT; strcmp(suffix, role_suffix[entry->role]) != 0; entry->role++)
	{
		if (entry->role == KEYFILE_FLOOR)
			return NULL;
	}
	return parse_version(dot, suffix - dot, &entry->version) ? entry : NULL;
}

/*
 * Lists the keyring's files as KeyFileEntry *.  Returns false after a warning if
 * that cannot be done in full.
 */
bool
keyfile_scan(KeyFilePlace *place, List **entries)
{
	DIR		   *dir;
	struct dirent *de;
	List	   *names = NIL;
	ListCell   *lc;

	*entries = NIL;
	dir = AllocateDir(place->path);
	if (dir == NULL)
	{
		keyfile_warn("list", place->path);
		return false;
	}
	while (errno = 0, (de = readdir(dir)) != NULL)
		names = lappend(names, pstrdup(de->d_name));
	if (errno != 0)
	{
		keyfile_warn("list", place->path);
		FreeDir(dir);
		return false;
	}
	FreeDir(dir);
	foreach(lc, names)
	{
		KeyFileEntry *entry = parse_name(place, lfirst(lc));

		if (entry != NULL)
			*entries = lappend(*entries, entry);
	}
	return true;
}

/*
 * Takes the keyring's lock; returns the file to be closed, or -1 after a
 * warning if that took too long.
 */
int
keyfile_lock(KeyFilePlace *place)
{
	char	   *path = psprintf("%s/" LOCK_NAME, place->path);
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   keyprovider_timeout);
	int			fd;

	for (;;)
	{
		fd = OpenTransientFilePerm(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK,
								   S_IRUSR | S_IWUSR);
		if (fd < 0)
		{
			keyfile_warn("open", path);
			return -1;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		if (errno != EWOULDBLOCK && errno != EINTR)
		{
			int			save_errno = errno;

			CloseTransientFile(fd);
			errno = save_errno;
			keyfile_warn("lock", path);
			return -1;
		}
		CloseTransientFile(fd);
		if (GetCurrentTimestamp() >= deadline)
		{
			ereport(WARNING,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("could not lock key file \"%s\" within purpose.provider_timeout", path),
					 errhint("Another instance that uses the keyring holds it.")));
			return -1;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOCK_RETRY_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ----------
 * Files
 * ----------
 */

static uint32
object_checksum(const char *kind, uint64 version, const void *data, size_t len)
{
	pg_crc32c	crc;
	uint64		number = pg_hton64(version);

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, kind, strlen(kind) + 1);
	COMP_CRC32C(crc, &number, sizeof(number));
	COMP_CRC32C(crc, data, len);
	FIN_CRC32C(crc);
	return crc;
}

static bool
write_all(int fd, const void *data, size_t len)
{
	const char *from = data;

	while (len > 0)
	{
		ssize_t		done;

		errno = 0;
		done = write(fd, from, len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
		{
			if (errno == 0)
				errno = ENOSPC;
			return false;
		}
		from += done;
		len -= done;
	}
	return true;
}

/* Reads len bytes; fewer is a failure with errno 0. */
static bool
read_all(int fd, void *data, size_t len)
{
	char	   *to = data;

	while (len > 0)
	{
		ssize_t		done;

		errno = 0;
		done = read(fd, to, len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		to += done;
		len -= done;
	}
	return true;
}

/* Opens a regular file that is no link; sets errno if it is something else. */
static int
open_regular(const char *path, int flags, struct stat *st)
{
	int			fd = OpenTransientFile(path, flags | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return -1;
	if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode))
	{
		CloseTransientFile(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

/*
 * Reads an object into `context`.  UNKNOWN, after a warning, if it cannot be
 * read or is damaged.
 */
KeyProviderResult
keyfile_read(KeyFilePlace *place, const char *kind, uint64 version,
			 MemoryContext context, uint8 **data, size_t *len)
{
	char	   *path = keyfile_path(place, kind, version, KEYFILE_OBJECT);
	uint8		header[HEADER_LEN];
	uint32		number = 0;
	struct stat st;
	size_t		room = 0;
	uint8	   *content;
	bool		good;
	int			fd;

	*data = NULL;
	*len = 0;
	if (lstat(path, &st) == 0 && st.st_size >= HEADER_LEN &&
		st.st_size - HEADER_LEN < MaxAllocSize)
		room = st.st_size - HEADER_LEN;
	/* Before the file is open, because this may fail. */
	content = MemoryContextAlloc(context, room + 1);
	fd = open_regular(path, O_RDONLY, &st);
	if (fd < 0)
	{
		int			save_errno = errno;

		pfree(content);
		if (save_errno == ENOENT)
			return KEYPROVIDER_ABSENT;
		errno = save_errno;
		keyfile_warn("open", path);
		return KEYPROVIDER_UNKNOWN;
	}
	errno = 0;
	good = st.st_size - HEADER_LEN == room && read_all(fd, header, HEADER_LEN);
	if (good)
	{
		memcpy(&number, header + 8, 4);
		good = memcmp(header, MAGIC, 8) == 0 && pg_ntoh32(number) == room &&
			read_all(fd, content, room);
		memcpy(&number, header + 12, 4);
	}
	if (!good && errno != 0)
		keyfile_warn("read", path);
	CloseTransientFile(fd);
	if (good && object_checksum(kind, version, content, room) == pg_ntoh32(number))
	{
		*data = content;
		*len = room;
		return KEYPROVIDER_DONE;
	}

	secret_wipe(content, room);
	pfree(content);
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("key file \"%s\" is damaged", path),
			 errhint("Where there is a second mirror its copy is used; replace the file by that one.")));
	return KEYPROVIDER_UNKNOWN;
}

/*
 * Gives a complete file its name, which nobody else may have: EEXIST then.
 */
static bool
rename_exclusively(const char *from, const char *to)
{
#ifdef RENAME_NOREPLACE
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return true;
	if (errno != EINVAL && errno != ENOSYS)
		return false;
	/* Some file systems know no such rename, but know links. */
#endif
	if (link(from, to) != 0)
		return false;
	return unlink(from) == 0;
}

bool
keyfile_sync(KeyFilePlace *place)
{
	return fsync_fname_ext(place->path, true, false, WARNING) == 0;
}

bool
keyfile_erase(const char *path, bool overwrite)
{
	static const char zeros[8192];
	struct stat st;
	int			fd;
	bool		good = true;

	fd = open_regular(path, O_RDWR, &st);
	if (fd < 0)
	{
		if (errno == ENOENT)
			return true;
		keyfile_warn("open", path);
		return false;
	}
	if (overwrite)
	{
		for (off_t left = st.st_size; good && left > 0; left -= Min(left, sizeof(zeros)))
			good = write_all(fd, zeros, Min(left, sizeof(zeros)));
		good = good && pg_fsync(fd) == 0;
	}
	if (!good)
		keyfile_warn("overwrite", path);
	CloseTransientFile(fd);
	if (!good)
		return false;

	stopevent_reach("keyfile_overwritten");
	if (unlink(path) != 0 && errno != ENOENT)
	{
		keyfile_warn("remove", path);
		return false;
	}
	return true;
}

void
keyfile_discard(const char *path)
{
	struct stat st;

	(void) keyfile_erase(path, lstat(path, &st) == 0 && st.st_nlink == 1);
}

/*
 * Writes an object under its name.  DONE, EXISTS if the name is taken, UNKNOWN
 * after a warning.
 */
KeyProviderResult
keyfile_write(KeyFilePlace *place, const char *kind, uint64 version, KeyFileRole role,
			  const void *data, size_t len)
{
	char	   *path = keyfile_path(place, kind, version, role);
	char	   *temp = psprintf("%s/" KEYFILE_TEMP_PREFIX "%s.%llu", place->path, kind,
								(unsigned long long) version);
	uint8		header[HEADER_LEN];
	uint32		number;
	int			fd;
	bool		good;

	memcpy(header, MAGIC, 8);
	number = pg_hton32((uint32) len);
	memcpy(header + 8, &number, 4);
	number = pg_hton32(object_checksum(checksum_name(kind, role), version, data, len));
	memcpy(header + 12, &number, 4);

	fd = OpenTransientFilePerm(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
							   S_IRUSR | S_IWUSR);
	if (fd < 0)
	{
		keyfile_warn("create", temp);
		return KEYPROVIDER_UNKNOWN;
	}
	good = write_all(fd, header, HEADER_LEN) && write_all(fd, data, len) &&
		pg_fsync(fd) == 0;
	if (!good)
		keyfile_warn("write", temp);
	if (CloseTransientFile(fd) != 0 && good)
	{
		keyfile_warn("close", temp);
		good = false;
	}
	if (!good)
	{
		keyfile_discard(temp);
		return KEYPROVIDER_UNKNOWN;
	}

	stopevent_reach("keyfile_written");
	if (!rename_exclusively(temp, path))
	{
		bool		taken = errno == EEXIST;

		if (!taken)
			keyfile_warn("name", path);
		keyfile_discard(temp);
		return taken ? KEYPROVIDER_EXISTS : KEYPROVIDER_UNKNOWN;
	}
	stopevent_reach("keyfile_named");
	return keyfile_sync(place) ? KEYPROVIDER_DONE : KEYPROVIDER_UNKNOWN;
}

/*
 * Is this what the object holds?  DONE, EXISTS with other content, ABSENT, or
 * UNKNOWN.
 */
KeyProviderResult
keyfile_compare(KeyFilePlace *place, const char *kind, uint64 version,
				const void *data, size_t len)
{
	KeyProviderResult result;
	uint8	   *found;
	size_t		found_len;

	result = keyfile_read(place, kind, version, CurrentMemoryContext, &found, &found_len);
	if (result != KEYPROVIDER_DONE)
		return result;
	if (found_len != len || memcmp(found, data, len) != 0)
		result = KEYPROVIDER_EXISTS;
	secret_wipe(found, found_len);
	pfree(found);
	return result;
}

/* DONE if there is a file of that name, ABSENT, or UNKNOWN after a warning. */
KeyProviderResult
keyfile_look_for(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0)
		return KEYPROVIDER_DONE;
	if (errno == ENOENT)
		return KEYPROVIDER_ABSENT;
	keyfile_warn("find", path);
	return KEYPROVIDER_UNKNOWN;
}
