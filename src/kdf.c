/*
 * kdf.c
 *		Keys from keys: HMAC-SHA-256, one block of HKDF-Expand, SHA-256, and one
 *		level of the key tree, by libcrypto.
 *
 * The HMAC and the cipher of the tree have one context a process each, made at
 * first use, which keep a key until the next call or the end of the
 * transaction; outside a transaction until the call returns (as in aead.c).  A
 * call that fails has wiped its output and the context.
 */
#include "postgres.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "access/xact.h"
#include "port/pg_bswap.h"

#include "kdf.h"

#define BLOCK_LEN	16
#define BLOCKS_PER_KEY	(SECRET_KEY_LEN / BLOCK_LEN)

static EVP_MD *sha256 = NULL;
static EVP_MAC * hmac = NULL;
static EVP_CIPHER *aes = NULL;

static EVP_MAC_CTX * hmac_context = NULL;
static EVP_CIPHER_CTX *aes_context = NULL;
static bool aes_context_ready = false;	/* knows the cipher, may hold a key */

/*
 * Wipes the keys of both.
 */
static void
reset_contexts(void)
{
	/* There is no function that resets one of these. */
	EVP_MAC_CTX_free(hmac_context);
	hmac_context = NULL;
	if (aes_context_ready)
		EVP_CIPHER_CTX_reset(aes_context);
	aes_context_ready = false;
}

static bool
fetch_algorithms(void)
{
	if (sha256 == NULL)
		sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (hmac == NULL)
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (aes == NULL)
		aes = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	return sha256 != NULL && hmac != NULL && aes != NULL;
}

/*
 * Called once from _PG_init, as aead_init().
 */
void
kdf_init(void)
{
	if (!fetch_algorithms())
		ERR_clear_error();
	secret_wipe_at_end(reset_contexts);
}

/*
 * SHA-256 (FIPS 180-4).  Raises an error if libcrypto fails.
 */
void
kdf_hash(const void *data, size_t len, uint8 out[KDF_HASH_LEN])
{
	if (!fetch_algorithms() || EVP_Digest(data, len, out, NULL, sha256, NULL) != 1)
		secret_library_failed("hash with SHA-256");
}

/*
 * Sets up the context of the HMAC for a key.  Returns false if libcrypto
 * failed.
 */
static bool
start_hmac(const uint8 *key)
{
	if (hmac_context == NULL)
	{
		OSSL_PARAM	params[] = {
			OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, "SHA256", 0),
			OSSL_PARAM_construct_end()
		};

		if (!fetch_algorithms())
			return false;
		hmac_context = EVP_MAC_CTX_new(hmac);
		if (hmac_context == NULL || EVP_MAC_CTX_set_params(hmac_context, params) != 1)
			return false;
	}
	return EVP_MAC_init(hmac_context, key, SECRET_KEY_LEN, NULL) == 1;
}

/*
 * HMAC-SHA-256 of data and then, if it is not NULL, one byte more.
 */
static void
compute_hmac(const uint8 *key, const void *data, size_t len, const uint8 *last, uint8 *out)
{
	if (!start_hmac(key) ||
		EVP_MAC_update(hmac_context, data, len) != 1 ||
		(last != NULL && EVP_MAC_update(hmac_context, last, 1) != 1) ||
		EVP_MAC_final(hmac_context, out, NULL, KDF_HASH_LEN) != 1)
	{
		reset_contexts();
		secret_wipe(out, KDF_HASH_LEN);
		secret_library_failed("compute an HMAC-SHA-256");
	}
	if (!IsTransactionState())
		reset_contexts();
}

/*
 * HMAC-SHA-256 (RFC 2104).  Raises an error if libcrypto fails.
 */
void
kdf_hmac(const uint8 key[SECRET_KEY_LEN], const void *data, size_t len,
		 uint8 out[KDF_HASH_LEN])
{
	compute_hmac(key, data, len, NULL, out);
}

/*
 * The first 32 bytes of HKDF-Expand(prk, info) with SHA-256 (RFC 5869, 2.3).
 * Raises an error if libcrypto fails.
 */
void
kdf_expand(const uint8 prk[SECRET_KEY_LEN], const void *info, size_t len,
		   uint8 out[SECRET_KEY_LEN])
{
	static const uint8 first_block = 1;

	compute_hmac(prk, info, len, &first_block, out);
}

/*
 * Writes the blocks that a node's key turns into its i-th child: the numbers
 * 2i and 2i + 1, big-endian.
 */
static void
print_blocks(uint32 i, uint8 *key)
{
	memset(key, 0, SECRET_KEY_LEN);
	for (int block = 0; block < BLOCKS_PER_KEY; block++)
	{
		uint64		number = pg_hton64((uint64) i * BLOCKS_PER_KEY + block);

		memcpy(key + (block + 1) * BLOCK_LEN - sizeof(number), &number, sizeof(number));
	}
}

/*
 * Derives n children of a node, the first being number i, with one key
 * schedule.
 */
static void
derive_children(const uint8 *parent, uint32 i, uint32 n, uint8 (*children)[SECRET_KEY_LEN])
{
	int			len = n * SECRET_KEY_LEN;
	int			done = -1;

	if (aes_context == NULL)
		aes_context = EVP_CIPHER_CTX_new();
	if (fetch_algorithms() && aes_context != NULL &&
		EVP_EncryptInit_ex2(aes_context, aes_context_ready ? NULL : aes, parent, NULL, NULL) == 1)
	{
		aes_context_ready = true;
		/* Only now: the parent's key may stand where the children's will. */
		for (uint32 child = 0; child < n; child++)
			print_blocks(i + child, children[child]);
		/* Whole blocks come out at once, so there is no end to be padded. */
		if (EVP_EncryptUpdate(aes_context, children[0], &done, children[0], len) != 1)
			done = -1;
	}
	if (done != len)
	{
		aes_context_ready = aes_context != NULL;
		reset_contexts();
		secret_wipe(children, len);
		secret_library_failed("encrypt with AES-256");
	}
	if (!IsTransactionState())
		reset_contexts();
}

/*
 * Derives the key of a node's i-th child.  parent and child may be the same
 * memory.  Raises an error if libcrypto fails.
 */
void
kdf_tree_child(const uint8 parent[SECRET_KEY_LEN], uint32 i, uint8 child[SECRET_KEY_LEN])
{
	derive_children(parent, i, 1, (uint8 (*)[SECRET_KEY_LEN]) child);
}

/*
 * Derives the keys of a node's first n children.
 */
void
kdf_tree_children(const uint8 parent[SECRET_KEY_LEN], uint32 n,
				  uint8 (*children)[SECRET_KEY_LEN])
{
	derive_children(parent, 0, n, children);
}
