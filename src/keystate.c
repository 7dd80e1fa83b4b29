/*
 * keystate.c
 *		The format of a state object: header, encryption.  No I/O.
 */
#include "postgres.h"

#include "aead.h"
#include "keybytes.h"
#include "keystate.h"

#define MAGIC			"PGPSTATE"
#define FORMAT			1
#define NONCE_OFFSET	44

void
keystate_seal(const KeyStateHeader *header, const uint8 root[SECRET_KEY_LEN],
			  const uint8 *plain, size_t len, uint8 *out)
{
	memcpy(out, MAGIC, 8);
	keybytes_put16(out + 8, FORMAT);
	keybytes_put16(out + 10, 0);
	memcpy(out + 12, header->keyring, KEYRING_ID_LEN);
	keybytes_put64(out + 28, header->version);
	keybytes_put32(out + 36, header->lease_ms);
	keybytes_put32(out + 40, header->prior_lease_ms);
	aead_draw_nonce(out + NONCE_OFFSET);
	aead_seal(root, out + NONCE_OFFSET, out, KEYSTATE_HEADER_LEN,
			  plain, len, out + KEYSTATE_HEADER_LEN, out + KEYSTATE_HEADER_LEN + len);
}

bool
keystate_parse(const uint8 *bytes, size_t len, KeyStateHeader *header)
{
	if (len <= KEYSTATE_OVERHEAD || memcmp(bytes, MAGIC, 8) != 0 ||
		keybytes_get16(bytes + 8) != FORMAT || keybytes_get16(bytes + 10) != 0)
		return false;
	memcpy(header->keyring, bytes + 12, KEYRING_ID_LEN);
	header->version = keybytes_get64(bytes + 28);
	header->lease_ms = keybytes_get32(bytes + 36);
	header->prior_lease_ms = keybytes_get32(bytes + 40);
	return header->lease_ms > 0;
}

bool
keystate_open(const uint8 *bytes, size_t len, const uint8 root[SECRET_KEY_LEN], uint8 *plain)
{
	Assert(len >= KEYSTATE_OVERHEAD);
	return aead_open(root, bytes + NONCE_OFFSET, bytes, KEYSTATE_HEADER_LEN,
					 bytes + KEYSTATE_HEADER_LEN, len - KEYSTATE_OVERHEAD,
					 bytes + len - KEYSTATE_TAG_LEN, plain);
}
