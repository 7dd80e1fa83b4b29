/*
 * keyprovider.h
 *		Where a keyring's objects are kept: directories ("file:", several are
 *		mirrors) or a key service behind a program ("command:").
 *
 * An object has a kind and a version; it is stored once and never changed.  A
 * new version of "claim" or "extents" can be stored only if neither it nor a
 * higher one exists: that is the compare-and-swap.
 *
 * Nothing here raises an error because a place fails: it warns, with the place
 * and the reason, and returns a result.  What may be raised is an unusable
 * setting (keyprovider_open), cancellation, and lack of memory; the result of
 * the operation is then unknown, and the operation can be repeated.
 */
#ifndef PURPOSE_KEYPROVIDER_H
#define PURPOSE_KEYPROVIDER_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#define KEYRING_ID_LEN	16

/* Highest version and fencing token: programs may hold them signed. */
#define KEYOBJECT_VERSION_MAX	((uint64) PG_INT64_MAX)

typedef enum KeyObjectKind
{
	KEYOBJECT_STATE,
	KEYOBJECT_ROOT,
	KEYOBJECT_EXTENTS,
	KEYOBJECT_CLAIM,
	KEYOBJECT_JOURNAL,
	KEYOBJECT_JOURNAL_KEY,
	KEYOBJECT_FORK
} KeyObjectKind;

#define KEYOBJECT_KINDS		(KEYOBJECT_FORK + 1)

typedef enum KeyProviderResult
{
	KEYPROVIDER_DONE,
	KEYPROVIDER_ABSENT,			/* and known to be: on every mirror */
	KEYPROVIDER_EXISTS,			/* with other content */
	KEYPROVIDER_FENCED,			/* a higher fencing token was seen */
	KEYPROVIDER_PENDING,		/* will be destroyed, is not yet */
	KEYPROVIDER_UNKNOWN			/* may or may not have happened: ask status */
} KeyProviderResult;

typedef struct KeyProvider KeyProvider;

/* The setting purpose.keyring, "" if there is none; for keyprovider_open. */
extern char *keyprovider_setting;

/* The setting purpose.provider_timeout, in milliseconds. */
extern int	keyprovider_timeout;

extern void keyprovider_init(void);
extern const char *keyprovider_kind_name(KeyObjectKind kind);
extern const char *keyprovider_result_name(KeyProviderResult result);

/*
 * The provider lives in the memory context that is current; so does what the
 * functions below return.  Raises PU011 for a setting that cannot be used, such
 * as a directory within the data directory.
 */
extern KeyProvider *keyprovider_open(const char *setting, const uint8 keyring[KEYRING_ID_LEN]);
extern void keyprovider_close(KeyProvider *provider);

/*
 * The same for a keyring of another database, which may have fewer mirrors:
 * those that do not know it do not count, if another one does.  So all mirrors
 * must be there, which the caller has found out by a keyring that all of them
 * know.
 */
extern KeyProvider *keyprovider_open_known(const char *setting,
										   const uint8 keyring[KEYRING_ID_LEN]);

/*
 * The versions that can be fetched; ABSENT if no mirror knows the keyring.
 */
extern KeyProviderResult keyprovider_list(KeyProvider *provider, KeyObjectKind kind,
										  List **versions); /* of uint64 *,
															 * ascending */

/*
 * The highest version that any mirror has seen, also if it has been destroyed
 * since; 0 for none.
 */
extern KeyProviderResult keyprovider_highest(KeyProvider *provider, KeyObjectKind kind,
											 uint64 *version);

/*
 * DONE: all mirrors have the object, on disk, read back.  Storing the same
 * content again is DONE too; other content, or a version that was destroyed,
 * is EXISTS.
 */
extern KeyProviderResult keyprovider_store(KeyProvider *provider, KeyObjectKind kind,
										   uint64 version, uint64 fence,
										   const void *data, size_t len);

/*
 * From any mirror that has it undamaged.  PENDING: it was destroyed on one
 * mirror at least, so it is given by none.  The caller wipes what it got.
 */
extern KeyProviderResult keyprovider_fetch(KeyProvider *provider, KeyObjectKind kind,
										   uint64 version, uint8 **data, size_t *len);

/*
 * Of a kind that is replaced: the highest version, which may be replaced while
 * it is being read, and all that are listed.
 */
extern KeyProviderResult keyprovider_fetch_highest(KeyProvider *provider, KeyObjectKind kind,
												   List **versions, uint64 *version,
												   uint8 **data, size_t *len);

/*
 * DONE: no mirror has it, as it says when it is asked again.
 */
extern KeyProviderResult keyprovider_destroy(KeyProvider *provider, KeyObjectKind kind,
											 uint64 version, uint64 fence);

/* Removes versions that do not count any more.  That it fails is only untidy. */
extern void keyprovider_remove(KeyProvider *provider, KeyObjectKind kind, List *versions,
							   uint64 fence);

/*
 * DONE: on all mirrors.  ABSENT: on none, and all know the keyring.  EXISTS: on
 * some mirrors only.  PENDING: destroyed on one mirror, not yet on all.
 */
extern KeyProviderResult keyprovider_status(KeyProvider *provider, KeyObjectKind kind,
											uint64 version);

/*
 * The versions that any mirror has, destroyed or not, ascending.  DONE: all
 * mirrors have answered.
 */
extern KeyProviderResult keyprovider_remaining(KeyProvider *provider, KeyObjectKind kind,
											   List **versions);	/* of uint64 * */

/*
 * For the holder of the claim: gives mirrors that lack an object what another
 * one has, and destroys everywhere what was destroyed on one mirror.  A new
 * mirror begins with an empty directory of the keyring.  DONE: all are equal in
 * what counts.
 */
extern KeyProviderResult keyprovider_repair(KeyProvider *provider, uint64 fence);

/* Evidence class of a receipt: "file-unlinked" or "provider-acknowledged". */
extern const char *keyprovider_evidence(KeyProvider *provider);
extern List *keyprovider_locations(KeyProvider *provider);	/* of char *, for people */

/* What an operator should know about the places; see check_keyring(). */
typedef struct KeyProviderProblem
{
	const char *severity;		/* "error", "warning", "info" */
	char	   *object;
	char	   *problem;
	char	   *remedy;
} KeyProviderProblem;
extern List *keyprovider_check(KeyProvider *provider);

#endif							/* PURPOSE_KEYPROVIDER_H */
