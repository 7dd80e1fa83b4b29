/*
 * keyplace.h
 *		What keyprovider.c asks of one place (one mirror): implemented by
 *		keyfile.c and keycommand.c, used by nobody else.
 *
 * The functions report trouble themselves, as a WARNING, and return UNKNOWN.
 */
#ifndef PURPOSE_KEYPLACE_H
#define PURPOSE_KEYPLACE_H

#include "keyprovider.h"

typedef struct KeyPlace KeyPlace;

/* What a place knows of one version. */
typedef struct KeyVersion
{
	uint64		version;
	bool		present;
	bool		destroyed;		/* as the place remembers; may be both */
} KeyVersion;

typedef struct KeyPlaceRoutine
{
	const char *evidence;

	/* Does the place know the keyring?  DONE, ABSENT or UNKNOWN. */
	KeyProviderResult (*knows) (KeyPlace *place);

	/* The highest fencing token that the place has seen.  May be NULL. */
	KeyProviderResult (*fence) (KeyPlace *place, uint64 *fence);

	/*
	 * List of KeyVersion *, in any order.  All versions below the floor were
	 * destroyed, too, and need not be listed.
	 */
	KeyProviderResult (*list) (KeyPlace *place, KeyObjectKind kind, List **versions,
							   uint64 *floor);

	KeyProviderResult (*store) (KeyPlace *place, KeyObjectKind kind, uint64 version,
								uint64 fence, const void *data, size_t len);

	/*
	 * Into `context`; gives nothing that was destroyed.
	 */
	KeyProviderResult (*fetch) (KeyPlace *place, KeyObjectKind kind, uint64 version,
								MemoryContext context, uint8 **data, size_t *len);
	KeyProviderResult (*destroy) (KeyPlace *place, KeyObjectKind kind, uint64 version,
								  uint64 fence);

	/*
	 * DONE (it is there), ABSENT, PENDING (there, though destroyed) or
	 * UNKNOWN, also if the place does not know the keyring.  `destroyed`: the
	 * place remembers that it was destroyed.
	 */
	KeyProviderResult (*status) (KeyPlace *place, KeyObjectKind kind, uint64 version,
								 bool *destroyed);

	/* Adds KeyProviderProblems. */
	void		(*check) (KeyPlace *place, List **problems);
} KeyPlaceRoutine;

struct KeyPlace
{
	const KeyPlaceRoutine *routine;
	char	   *name;			/* for people: a directory or a program */
	char		keyring[2 * KEYRING_ID_LEN + 1];	/* in hex */
	uint64		device;			/* its file system; 0 if unknown */
	bool		told;			/* that it is missing has been warned of */
};

struct KeyProvider
{
	MemoryContext context;
	MemoryContext scratch;		/* of one operation */
	List	   *places;			/* of KeyPlace * */
};

/*
 * Begins an operation: frees what the one before left, makes the scratch memory
 * current and returns what was.
 */
extern MemoryContext keyprovider_begin(KeyProvider *provider);

/*
 * Unites what the mirrors list into one sorted list of KeyVersion *: present on
 * any, destroyed on any.  `highest` is the highest version ever seen.  DONE if
 * one mirror at least could answer.
 */
extern KeyProviderResult keyprovider_list_all(KeyProvider *provider, KeyObjectKind kind,
											  List **versions, uint64 *highest);

/* Kinds of which a new version must be the highest: compare-and-swap. */
#define KEYOBJECT_IS_SWAPPED(kind) \
	((kind) == KEYOBJECT_EXTENTS || (kind) == KEYOBJECT_CLAIM)

/* Kinds that open something: destroyed for good, and remembered so. */
#define KEYOBJECT_IS_SECRET(kind) \
	((kind) == KEYOBJECT_ROOT || (kind) == KEYOBJECT_JOURNAL_KEY)

extern void keyplace_problem(List **problems, const char *severity, const char *object,
							 const char *remedy, const char *problem,...)
			pg_attribute_printf(5, 6);

/* keyfile.c.  Raises PU011 for a directory that no keyring may be in. */
extern KeyPlace *keyfile_open(const char *directory, const uint8 keyring[KEYRING_ID_LEN]);

/* keycommand.c.  keycommand_parse returns NULL, and why, for what is no
 * command. */
extern KeyPlace *keycommand_open(const char *command, const uint8 keyring[KEYRING_ID_LEN]);
extern List *keycommand_parse(const char *command, const char **why);

#endif							/* PURPOSE_KEYPLACE_H */
