/*
 * keynumber.h
 *		Which numbers of a keyring are given out.
 *
 * extents.<v>:
 *
 *	offset	length	field
 *	0		8		"PGPEXTNT"
 *	8		2		format, 1
 *	10		2		zero
 *	12		16		keyring
 *	28		8		numbers below this one are given out
 *	36		8		fencing token of who took the last extent
 *
 * The highest version counts.
 */
#ifndef PURPOSE_KEYNUMBER_H
#define PURPOSE_KEYNUMBER_H

#include "keysegment.h"

/* How many numbers an extent has. */
#define KEYNUMBER_EXTENT		65536

/* Reads up to which number extents are given out.  Raises PU011. */
extern uint64 keynumber_read_end(KeyProvider *provider,
								 const uint8 keyring[KEYRING_ID_LEN]);

/* Stores the first extents of a new keyring: numbers from `end` on are free. */
extern void keynumber_found(KeyProvider *provider, KeyringRef *ref, uint64 end);

/*
 * Draws a number from the server's own extent.  Returns false if the provider
 * has to be asked first.
 */
extern bool keynumber_draw_quickly(KeyringRef *ref, uint64 *number);

/*
 * The same, having asked: renews the claim, claims another extent if the last
 * one is used up.  One process of the server at a time.  Raises PU013 without
 * the claim, PU011 if a provider fails.
 */
extern uint64 keynumber_draw(KeyProvider *provider, KeyringRef *ref);

#endif							/* PURPOSE_KEYNUMBER_H */
