/*
 * keyload.h
 *		From the provider into shared memory and back: the newest state of a
 *		keyring.
 */
#ifndef PURPOSE_KEYLOAD_H
#define PURPOSE_KEYLOAD_H

#include "keysegment.h"

/*
 * Loads the newest state that has a root, or finds that it is loaded already;
 * either way its lease begins anew.  Raises PU011 if there is none, or if
 * anything is not as it must be.
 */
extern void keyload_state(KeyProvider *provider, KeyringRef *ref);

/*
 * Encrypts a cover as a state, ready to be stored.  `prior_lease_ms`: how long
 * states before this one may be in use after they are gone.  Raises PU011 if
 * there is no room.
 */
extern uint8 *keyload_seal_state(const KeyringRef *ref, uint64 version, uint32 prior_lease_ms,
								 const uint8 root[SECRET_KEY_LEN], const KeyCover *cover,
								 size_t *len);

/*
 * Secret memory for a cover; keysegment_free() it.  Raises PU011 if there is no
 * room.
 */
extern KeyCover *keyload_allocate_cover(uint32 nodes, dsa_pointer *at, size_t *size);

#endif							/* PURPOSE_KEYLOAD_H */
