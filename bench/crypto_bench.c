/*
 * crypto_bench.c
 *		What the primitives of layer 1 cost, in nanoseconds a call: the best of
 *		several rounds.
 *
 *	make -C tests/unit bench
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <time.h>

#include "aead.h"
#include "envelope.h"
#include "kdf.h"
#include "secret.h"

#include "standin.h"

#undef printf

#define CALLS	2000
#define ROUNDS	500
#define KEYS	1024

static uint8 keys[KEYS][SECRET_KEY_LEN];
static uint8 nonce[AEAD_NONCE_LEN];
static uint8 aad[ENVELOPE_HEADER_LEN + 32];	/* header, label, base type */
static uint8 sealed[KEYS][16];
static uint8 tags[KEYS][AEAD_TAG_LEN];
static uint8 out[SECRET_KEY_LEN];
static uint8 children[16][SECRET_KEY_LEN];

static const char info[] = "pg_purpose value v1ssssssssssfor billing, care.treatment";

static void
seal_same(int i)
{
	aead_seal(keys[0], nonce, aad, sizeof(aad), out, 16, sealed[0], tags[0]);
}

static void
seal_other(int i)
{
	i %= KEYS;
	aead_seal(keys[i], nonce, aad, sizeof(aad), out, 16, sealed[i], tags[i]);
}

static void
open_same(int i)
{
	if (!aead_open(keys[0], nonce, aad, sizeof(aad), sealed[0], 16, tags[0], out))
		abort();
}

static void
open_other(int i)
{
	i %= KEYS;
	if (!aead_open(keys[i], nonce, aad, sizeof(aad), sealed[i], 16, tags[i], out))
		abort();
}

static void
draw_nonce(int i)
{
	aead_draw_nonce(nonce);
}

static void
expand(int i)
{
	kdf_expand(keys[i % KEYS], info, sizeof(info), out);
}

static void
hmac(int i)
{
	kdf_hmac(keys[i % KEYS], keys[0], SECRET_KEY_LEN, out);
}

static void
tree_level(int i)
{
	kdf_tree_child(keys[i % KEYS], i % 4, out);
}

static void
tree_children(int i)
{
	kdf_tree_children(keys[i % KEYS], 4, children);
}

static void
hash(int i)
{
	kdf_hash(info, sizeof(info), out);
}

/* Per transaction: what the contexts' reset makes of the next use. */
static void
transaction(int i)
{
	standin_begin();
	expand(i);
	tree_level(i);
	seal_other(i);
	standin_end();
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void
measure(const char *what, void (*call) (int i))
{
	double		best = 1e9;

	for (int round = 0; round < ROUNDS; round++)
	{
		double		start = seconds();

		for (int i = 0; i < CALLS; i++)
			call(i);
		best = Min(best, seconds() - start);
	}
	printf("%-58s %8.0f ns\n", what, best / CALLS * 1e9);
}

int
main(void)
{
	secret_init();
	aead_init();
	kdf_init();
	secret_random(keys, sizeof(keys));
	printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
	measure("seal 16 bytes, one key", seal_same);
	measure("seal 16 bytes, another key each", seal_other);
	open_other(0);
	measure("open 16 bytes, another key each", open_other);
	measure("open 16 bytes, one key", open_same);
	measure("draw a nonce", draw_nonce);
	measure("HKDF-Expand of 56 bytes", expand);
	measure("HMAC of 32 bytes", hmac);
	measure("one level of the tree", tree_level);
	measure("all four children of a node", tree_children);
	measure("SHA-256 of 56 bytes", hash);
	measure("transaction with one expand, one level and one seal", transaction);
	return 0;
}
