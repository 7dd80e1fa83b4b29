/*
 * keystate.h
 *		A state of the keyring as the provider keeps it: the cover, encrypted
 *		under the root key of the same version (all integers big-endian):
 *
 *	offset	length	field
 *	0		8		"PGPSTATE"
 *	8		2		format, 1
 *	10		2		zero
 *	12		16		keyring
 *	28		8		version
 *	36		4		lease in milliseconds: so long may this state be used
 *					after it was read
 *	40		4		the longest lease of a state before this one
 *	44		12		nonce
 *	56		n		the serialised cover (keytree.h) under AES-256-GCM, the 56
 *					bytes above being authenticated with it
 *	56 + n	16		tag
 */
#ifndef PURPOSE_KEYSTATE_H
#define PURPOSE_KEYSTATE_H

#include "keyprovider.h"
#include "keytree.h"

#define KEYSTATE_HEADER_LEN		56
#define KEYSTATE_TAG_LEN		16
#define KEYSTATE_OVERHEAD		(KEYSTATE_HEADER_LEN + KEYSTATE_TAG_LEN)

typedef struct KeyStateHeader
{
	uint8		keyring[KEYRING_ID_LEN];
	uint64		version;
	uint32		lease_ms;
	uint32		prior_lease_ms;
} KeyStateHeader;

/*
 * Encrypts a serialised cover into `out`, which has room for its length and
 * KEYSTATE_OVERHEAD.
 */
extern void keystate_seal(const KeyStateHeader *header, const uint8 root[SECRET_KEY_LEN],
						  const uint8 *plain, size_t len, uint8 *out);

/*
 * Reads the header.  Returns false for what is no state; what it returns is
 * not authenticated before keystate_open.
 */
extern bool keystate_parse(const uint8 *bytes, size_t len, KeyStateHeader *header);

/*
 * Decrypts what keystate_parse accepted into `plain`, len - KEYSTATE_OVERHEAD
 * bytes.  Returns false, and wipes `plain`, if the root is another one or
 * anything was changed.
 */
extern bool keystate_open(const uint8 *bytes, size_t len, const uint8 root[SECRET_KEY_LEN],
						  uint8 *plain);

#endif							/* PURPOSE_KEYSTATE_H */
