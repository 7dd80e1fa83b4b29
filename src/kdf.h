/*
 * kdf.h
 *		Keys from keys: HMAC-SHA-256 (RFC 2104), one block of HKDF-Expand
 *		(RFC 5869), SHA-256, and one level of the key tree (Goldreich,
 *		Goldwasser and Micali 1986).
 */
#ifndef PURPOSE_KDF_H
#define PURPOSE_KDF_H

#include "secret.h"

#define KDF_HASH_LEN	32

extern void kdf_init(void);
extern void kdf_hash(const void *data, size_t len, uint8 out[KDF_HASH_LEN]);
extern void kdf_hmac(const uint8 key[SECRET_KEY_LEN], const void *data, size_t len,
					 uint8 out[KDF_HASH_LEN]);
extern void kdf_expand(const uint8 prk[SECRET_KEY_LEN], const void *info, size_t len,
					   uint8 out[SECRET_KEY_LEN]);

/* Child i of a node: AES-256 under the node's key of the blocks 2i and 2i+1.
 * parent and child may be the same memory. */
extern void kdf_tree_child(const uint8 parent[SECRET_KEY_LEN], uint32 i,
						   uint8 child[SECRET_KEY_LEN]);
extern void kdf_tree_children(const uint8 parent[SECRET_KEY_LEN], uint32 n,
							  uint8 (*children)[SECRET_KEY_LEN]);

#endif							/* PURPOSE_KDF_H */
