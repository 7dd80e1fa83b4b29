/*
 * keyring.h
 *		This database's keyring: the cover in shared memory, the claim, the
 *		numbers, and the cycle that punctures.
 */
#ifndef PURPOSE_KEYRING_H
#define PURPOSE_KEYRING_H

#include "keyprovider.h"
#include "keysegment.h"
#include "keytree.h"

extern void keyring_init(void); /* settings and shared memory; while
								 * preloading */

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

/* The same for the journal, in a database that has a keyring. */
extern void keyring_request_journal(void);

/* After this transaction's commit, have the launcher look at all databases. */
extern void keyring_request_look(void);

/*
 * After COMMIT PREPARED, in its own transaction: asks for what the prepared one
 * has left to do.  Waits for nobody.
 */
extern void keyring_request_waiting(void);

/* ----------
 * For the functions that administer the keyring, and for its worker
 * ----------
 */

/* The keyring that is bound, or NULL; its provider.  Both raise PU011. */
extern KeyringRef *keyring_bound(void);

/*
 * Names the transaction that bound it: another one if the same keyring is bound
 * once more, as by a dump that is loaded.
 */
extern TransactionId keyring_bound_by(void);
extern KeyringRef *keyring_require(void);
extern KeyProvider *keyring_open_provider(void);

/* One process of this database at a time; released by the transaction's end. */
extern void keyring_lock(void);
extern void keyring_unlock(void);

/*
 * Locks a keyring's slot, shared, if what is loaded may be used at this moment;
 * or returns false.
 */
extern bool keyring_lock_current(KeyringRef *ref);

/* The binding of this database changed. */
extern void keyring_invalidate_binding(void);

#endif							/* PURPOSE_KEYRING_H */
