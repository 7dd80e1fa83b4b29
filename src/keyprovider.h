/*
 * keyprovider.h
 *		Where a keyring's objects are kept: directories ("file:", several are
 *		mirrors) or a key service behind a program ("command:").
 *
 * An object has a kind and a version; it is stored once and never changed.  A
 * new version of "claim" or "extents" can be stored only if it does not exist
 * yet: that is the compare-and-swap.
 */
#ifndef PURPOSE_KEYPROVIDER_H
#define PURPOSE_KEYPROVIDER_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#define KEYRING_ID_LEN	16

typedef enum KeyObjectKind
{
	KEYOBJECT_STATE,
	KEYOBJECT_ROOT,
	KEYOBJECT_EXTENTS,
	KEYOBJECT_CLAIM,
	KEYOBJECT_JOURNAL,
	KEYOBJECT_JOURNAL_KEY
} KeyObjectKind;

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

extern KeyProvider *keyprovider_open(const char *setting, const uint8 keyring[KEYRING_ID_LEN]);
extern void keyprovider_close(KeyProvider *provider);

extern KeyProviderResult keyprovider_list(KeyProvider *provider, KeyObjectKind kind,
										  List **versions);	/* of uint64 *, ascending */
extern KeyProviderResult keyprovider_store(KeyProvider *provider, KeyObjectKind kind,
										   uint64 version, uint64 fence,
										   const void *data, size_t len);
extern KeyProviderResult keyprovider_fetch(KeyProvider *provider, KeyObjectKind kind,
										   uint64 version, uint8 **data, size_t *len);
extern KeyProviderResult keyprovider_destroy(KeyProvider *provider, KeyObjectKind kind,
											 uint64 version, uint64 fence);
extern KeyProviderResult keyprovider_status(KeyProvider *provider, KeyObjectKind kind,
											uint64 version);

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
