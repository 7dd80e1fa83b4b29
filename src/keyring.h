/*
 * keyring.h
 *		This database's keyring: the cover in shared memory, the claim, the
 *		numbers, and the cycle that punctures.
 */
#ifndef PURPOSE_KEYRING_H
#define PURPOSE_KEYRING_H

#include "keyprovider.h"
#include "keytree.h"

extern void keyring_init(void);	/* shared memory; while preloading */

/* Is a keyring recorded for this database? */
extern bool keyring_exists(void);

/*
 * Derives the key of a leaf into key, which the caller wipes.  Returns false
 * if the leaf has been punctured.  Raises PU011 if there is no keyring or it
 * cannot be loaded, PU012 if the number was never claimed from it.
 */
extern bool keyring_derive(uint64 address, uint8 key[SECRET_KEY_LEN]);

/*
 * Grows, in all backends, whenever keys derived earlier must not be used any
 * more: a new state was loaded, the lease lapsed, the segment was wiped.  Cheap.
 * keyring_lease_current() is false when the state must be reloaded before any
 * key derived from it may be used.
 */
extern uint64 keyring_generation(void);
extern bool keyring_lease_current(void);

/*
 * Draws a number for a new subject, epoch or token generation: never drawn
 * before, whatever the transaction or the database's past.  Raises PU013
 * without the claim.
 */
extern uint64 keyring_draw_number(void);

/* Key of this server's memory, for values that are not sealed yet. */
extern const uint8 *keyring_pending_key(void);

/* After this transaction's commit, tell the worker that there is work. */
extern void keyring_request_cycle(void);

#endif							/* PURPOSE_KEYRING_H */
