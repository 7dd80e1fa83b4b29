/*
 * keyclaim.h
 *		Who may change a keyring.
 *
 * claim.<v>, all integers big-endian:
 *
 *	offset	length	field
 *	0		8		"PGPCLAIM"
 *	8		2		format, 1
 *	10		2		flags: 1 = released by its holder
 *	12		16		keyring
 *	28		8		fencing token; grows with each new holder
 *	36		4		lease in milliseconds
 *	40		32		holder: SHA-256 of machine, data directory and database
 *	72		16		nonce of the holder's postmaster
 *	88		16		SHA-256 of the holder's boot, its first bytes
 *	104		8		time of writing, microseconds since 2000, for people
 *	112		n		host and data directory, for people
 *
 * The highest version counts.
 */
#ifndef PURPOSE_KEYCLAIM_H
#define PURPOSE_KEYCLAIM_H

#include "datatype/timestamp.h"

#include "compat.h"
#include "keysegment.h"

#define KEYCLAIM_HOLDER_LEN		32
#define KEYCLAIM_BOOT_LEN		16

typedef struct KeyClaim
{
	uint64		version;
	bool		released;
	uint64		fence;
	uint32		lease_ms;
	uint8		holder[KEYCLAIM_HOLDER_LEN];
	uint8		nonce[KEYSEGMENT_NONCE_LEN];
	uint8		boot[KEYCLAIM_BOOT_LEN];
	TimestampTz written_at;
	char	   *holder_name;
} KeyClaim;

/* The setting purpose.key_lease, in milliseconds; purpose.claim_on_promotion. */
extern int	keyclaim_lease;
extern bool keyclaim_on_promotion;

extern void keyclaim_init(void);

/* The claim as the provider has it now.  ABSENT, or UNKNOWN after a warning. */
extern KeyProviderResult keyclaim_read(KeyProvider *provider,
									   const uint8 keyring[KEYRING_ID_LEN], KeyClaim *claim);

/*
 * Makes the slot's standing what it is: renews the claim that this server
 * holds, takes again what this instance held.  `force`: at the provider, even
 * if there is time left.  Raises nothing because a provider fails.  During
 * recovery it only looks.
 */
extern KeyClaimStanding keyclaim_refresh(KeyProvider *provider, KeyringRef *ref, bool force);

/* Raises PU013, in the words for this standing. */
compat_noreturn extern void keyclaim_refuse(KeyClaimStanding standing);

/* Is it held now?  Then its fencing token. */
extern bool keyclaim_held(KeyringRef *ref, uint64 *fence);

/*
 * Takes the claim from whoever held it; waits until the holder's lease has
 * lapsed.  Raises PU013 if the holder is alive, PU011 if a provider fails.
 */
extern void keyclaim_take(KeyProvider *provider, KeyringRef *ref);

/* Is it the claim of this instance, held or not, or of an earlier start of it? */
extern bool keyclaim_is_own(Oid database, const KeyClaim *claim);

/* What people call this instance: host and data directory. */
extern char *keyclaim_instance_name(void);

/* Such a name as another instance wrote it, made fit to be shown. */
extern char *keyclaim_printable(const char *name, size_t len);

/*
 * Stores the first claim of a new keyring, and keeps a slot for it until the
 * transaction ends.  Raises PU011.
 */
extern void keyclaim_found(KeyProvider *provider, KeyringRef *ref);

/* Gives the claim up, so that it can be taken at once. */
extern void keyclaim_release(KeyProvider *provider, KeyringRef *ref);

#endif							/* PURPOSE_KEYCLAIM_H */
