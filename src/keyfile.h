/*
 * keyfile.h
 *		What the files that make a directory a place for keyrings share:
 *		keyfile.c (what it does), keyfileio.c (its files) and keyfilecheck.c
 *		(is it a good place?).
 */
#ifndef PURPOSE_KEYFILE_H
#define PURPOSE_KEYFILE_H

#include "keyplace.h"

typedef struct KeyFilePlace
{
	KeyPlace	base;			/* base.name is the configured directory */
	char	   *path;			/* the keyring's own directory */
} KeyFilePlace;

/* The kind of an entry that is no object's: the fence, a file that is written. */
#define KEYFILE_FENCE		KEYOBJECT_KINDS
#define KEYFILE_WRITTEN		(-1)

#define KEYFILE_FENCE_NAME	"fence"
#define KEYFILE_TEMP_PREFIX "tmp."

typedef enum KeyFileRole
{
	KEYFILE_OBJECT,
	KEYFILE_DESTROYED,			/* its version was */
	KEYFILE_FLOOR				/* all versions below it were */
} KeyFileRole;

/* What the name of a file means. */
typedef struct KeyFileEntry
{
	int			kind;			/* a KeyObjectKind, or see above */
	uint64		version;
	KeyFileRole role;
	char	   *path;
} KeyFileEntry;

/*
 * Files.  What fails has been warned of, with the path and the reason.
 */

/* Warns of what errno says. */
extern void keyfile_warn(const char *what, const char *path);
extern char *keyfile_path(KeyFilePlace *place, const char *kind, uint64 version,
						  KeyFileRole role);

/* All files of the keyring, as KeyFileEntry *. */
extern bool keyfile_scan(KeyFilePlace *place, List **entries);

/* The lock, to be closed by CloseTransientFile; or -1. */
extern int	keyfile_lock(KeyFilePlace *place);

/* DONE: a file of that name is there, whatever it holds; ABSENT; UNKNOWN. */
extern KeyProviderResult keyfile_look_for(const char *path);

/* DONE, ABSENT, or UNKNOWN also if it is damaged.  The caller wipes the data. */
extern KeyProviderResult keyfile_read(KeyFilePlace *place, const char *kind, uint64 version,
									  MemoryContext context, uint8 **data, size_t *len);

/* Is this what the object holds?  DONE; EXISTS: other content; ABSENT; UNKNOWN. */
extern KeyProviderResult keyfile_compare(KeyFilePlace *place, const char *kind, uint64 version,
										 const void *data, size_t len);

/* DONE, EXISTS if the name is taken, UNKNOWN.  The caller holds the lock. */
extern KeyProviderResult keyfile_write(KeyFilePlace *place, const char *kind, uint64 version,
									   KeyFileRole role, const void *data, size_t len);

/*
 * Overwrites a file, if wanted, and removes its name; the caller holds the lock
 * and syncs the directory.
 */
extern bool keyfile_erase(const char *path, bool overwrite);

/*
 * Erases a file that was only written.  It may be an object's already, by
 * another name: then it loses this one, and keeps its content.
 */
extern void keyfile_discard(const char *path);
extern bool keyfile_sync(KeyFilePlace *place);

/*
 * Checks.
 */

/* Raises PU011 if the directory is within the data directory, the WAL's or a
 * tablespace, by whatever links. */
extern void keyfile_refuse_data_directory(const char *directory);

extern void keyfile_check(KeyPlace *base, List **problems);

#endif							/* PURPOSE_KEYFILE_H */
