/*
 * aead.h
 *		Authenticated encryption: AES-256-GCM (NIST SP 800-38D) with random
 *		96-bit nonces that the caller never chooses.
 */
#ifndef PURPOSE_AEAD_H
#define PURPOSE_AEAD_H

#include "secret.h"

#define AEAD_NONCE_LEN	12
#define AEAD_TAG_LEN	16

extern void aead_init(void);
extern void aead_draw_nonce(uint8 nonce[AEAD_NONCE_LEN]);
extern void aead_seal(const uint8 key[SECRET_KEY_LEN],
					  const uint8 nonce[AEAD_NONCE_LEN],
					  const void *aad, size_t aad_len,
					  const void *plain, size_t len,
					  uint8 *cipher_text, uint8 tag[AEAD_TAG_LEN]);
extern bool aead_open(const uint8 key[SECRET_KEY_LEN],
					  const uint8 nonce[AEAD_NONCE_LEN],
					  const void *aad, size_t aad_len,
					  const void *cipher_text, size_t len,
					  const uint8 tag[AEAD_TAG_LEN], uint8 *plain);

#endif							/* PURPOSE_AEAD_H */
