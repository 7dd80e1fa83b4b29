/*
 * aead.c
 *		Authenticated encryption: AES-256-GCM (NIST SP 800-38D) by libcrypto,
 *		and the nonces for it.
 *
 * A process has a few cipher contexts, made at first use.  Each keeps the
 * schedule of a key until it is taken for another key or the transaction ends,
 * whichever is first, because setting a key up takes longer than encrypting a
 * value; outside a transaction (in a background worker) until the call
 * returns.  A call that fails has wiped its output and all contexts.
 *
 * Nonces are 96 random bits, drawn in blocks, because libcrypto takes longer
 * for 12 bytes than for encrypting a value.  No nonce is handed out twice: the
 * pool belongs to the process whose id it bears, it is never filled in the
 * postmaster, reads as empty after any other fork(), and what is handed out is
 * wiped from it first.
 */
#include "postgres.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "access/xact.h"
#include "miscadmin.h"

#include "aead.h"

/* As many nonces as make the pool one page. */
#define POOL_SIZE	340

typedef struct NoncePool
{
	int			pid;			/* whose it is; 0 after fork() */
	int			left;			/* how many are left, from the start */
	uint8		nonces[POOL_SIZE][AEAD_NONCE_LEN];
} NoncePool;

static NoncePool *pool = NULL;

/* Values and those that wait to be sealed take turns; and labels do. */
#define CONTEXTS	4

typedef struct KeyedContext
{
	EVP_CIPHER_CTX *context;
	bool		ready;			/* knows the cipher, may hold a key */
} KeyedContext;

static EVP_CIPHER *cipher = NULL;
static KeyedContext contexts[CONTEXTS];
static uint8 (*context_keys)[SECRET_KEY_LEN] = NULL;	/* of those ready */
static int	next_context = 0;	/* to be taken for another key */

/*
 * Wipes the key schedules.
 */
static void
reset_contexts(void)
{
	for (int i = 0; i < CONTEXTS; i++)
	{
		if (contexts[i].ready)
			EVP_CIPHER_CTX_reset(contexts[i].context);
		contexts[i].ready = false;
	}
	if (context_keys != NULL)
		secret_wipe(context_keys, CONTEXTS * SECRET_KEY_LEN);
	next_context = 0;
}

static bool
fetch_cipher(void)
{
	if (cipher == NULL)
		cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	return cipher != NULL;
}

/*
 * Called once from _PG_init; in the postmaster, so that its children find the
 * cipher looked up.  A libcrypto that lacks it is an error at first use only:
 * a server on which nothing is sealed shall start.
 */
void
aead_init(void)
{
	if (!fetch_cipher())
		ERR_clear_error();
	secret_wipe_at_end(reset_contexts);
}

/*
 * Sets a context up for a key and nonce: one that has the key already, if there
 * is one.  Returns NULL if libcrypto failed.
 */
static EVP_CIPHER_CTX *
start(const uint8 *key, const uint8 *nonce, int encrypt)
{
	KeyedContext *keyed = NULL;
	bool		has_key;
	bool		ok;

	if (context_keys == NULL)
		context_keys = secret_private_memory(CONTEXTS * SECRET_KEY_LEN);
	for (int i = 0; i < CONTEXTS && keyed == NULL; i++)
	{
		if (contexts[i].ready && memcmp(context_keys[i], key, SECRET_KEY_LEN) == 0)
			keyed = &contexts[i];
	}
	has_key = keyed != NULL;
	if (!has_key)
	{
		keyed = &contexts[next_context];
		memcpy(context_keys[next_context], key, SECRET_KEY_LEN);
		next_context = (next_context + 1) % CONTEXTS;
	}
	if (keyed->context == NULL)
		keyed->context = EVP_CIPHER_CTX_new();
	if (keyed->context == NULL || !fetch_cipher())
		return NULL;

	/* The cipher is named once: naming it again would build the context anew. */
	ok = EVP_CipherInit_ex2(keyed->context, keyed->ready ? NULL : cipher,
							has_key ? NULL : key, nonce, encrypt, NULL) == 1;
	keyed->ready = true;
	return ok ? keyed->context : NULL;
}

/*
 * Feeds additional data, or text from `in` to `out`.  Nothing is fed for
 * a length of 0, which libcrypto would take for a reset in some versions.
 */
static bool
feed(EVP_CIPHER_CTX *context, uint8 *out, const void *in, size_t len)
{
	int			done;

	if (len == 0)
		return true;
	return EVP_CipherUpdate(context, out, &done, in, (int) len) == 1 && done == (int) len;
}

/*
 * Ends a call: no key stays behind where nothing would wipe it later.
 */
static void
finish(void)
{
	if (!IsTransactionState())
		reset_contexts();
}

static void
check_lengths(size_t aad_len, size_t len)
{
	if (aad_len > INT_MAX || len > INT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("value is too long to be sealed"),
				 errhint("At most 2 GB can be encrypted at once.")));
}

/*
 * Encrypts plain (len bytes, may be 0) into cipher (as long; may be plain
 * itself) and tag, which also authenticates the additional data.  The nonce
 * comes from aead_draw_nonce().  Raises an error
 * if libcrypto fails.
 */
void
aead_seal(const uint8 key[SECRET_KEY_LEN], const uint8 nonce[AEAD_NONCE_LEN],
		  const void *aad, size_t aad_len,
		  const void *plain, size_t len, uint8 *cipher_text, uint8 tag[AEAD_TAG_LEN])
{
	EVP_CIPHER_CTX *context;
	int			rest;

	check_lengths(aad_len, len);
	context = start(key, nonce, 1);
	if (context == NULL ||
		!feed(context, NULL, aad, aad_len) ||
		!feed(context, cipher_text, plain, len) ||
		EVP_CipherFinal_ex(context, tag, &rest) != 1 ||
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_LEN, tag) != 1)
	{
		reset_contexts();
		secret_wipe(cipher_text, len);
		secret_wipe(tag, AEAD_TAG_LEN);
		secret_library_failed("encrypt with AES-256-GCM");
	}
	finish();
}

/*
 * Decrypts what aead_seal() encrypted into plain (len bytes; may be the
 * ciphertext itself).  Returns false, with plain wiped, if key, nonce,
 * additional data, ciphertext or tag are not those of one call of it.  Raises
 * an error if libcrypto fails.
 */
bool
aead_open(const uint8 key[SECRET_KEY_LEN], const uint8 nonce[AEAD_NONCE_LEN],
		  const void *aad, size_t aad_len,
		  const void *cipher_text, size_t len, const uint8 tag[AEAD_TAG_LEN], uint8 *plain)
{
	EVP_CIPHER_CTX *context;
	uint8		wanted[AEAD_TAG_LEN];
	uint8		unused[AEAD_TAG_LEN];
	int			rest;
	bool		authentic;

	check_lengths(aad_len, len);
	memcpy(wanted, tag, AEAD_TAG_LEN);
	context = start(key, nonce, 0);
	if (context == NULL ||
		!feed(context, NULL, aad, aad_len) ||
		!feed(context, plain, cipher_text, len) ||
		EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_LEN, wanted) != 1)
	{
		reset_contexts();
		secret_wipe(plain, len);
		secret_library_failed("decrypt with AES-256-GCM");
	}

	/* All that can fail now is the comparison of the tags. */
	authentic = EVP_CipherFinal_ex(context, unused, &rest) == 1;
	if (!authentic)
	{
		ERR_clear_error();
		reset_contexts();
		secret_wipe(plain, len);
	}
	finish();
	return authentic;
}

/*
 * Draws the nonce for one call of aead_seal().
 */
void
aead_draw_nonce(uint8 nonce[AEAD_NONCE_LEN])
{
	if (IsPostmasterEnvironment && !IsUnderPostmaster)
	{
		/* Its children would inherit a pool. */
		secret_random(nonce, AEAD_NONCE_LEN);
		return;
	}
	if (pool == NULL)
		pool = secret_private_memory(sizeof(NoncePool));
	if (pool->left == 0 || pool->pid != MyProcPid)
	{
		pool->left = 0;
		secret_random(pool->nonces, sizeof(pool->nonces));
		pool->pid = MyProcPid;
		pool->left = POOL_SIZE;
	}
	pool->left--;
	memcpy(nonce, pool->nonces[pool->left], AEAD_NONCE_LEN);
	secret_wipe(pool->nonces[pool->left], AEAD_NONCE_LEN);
}
