/*
 * crypto_test.c
 *		Layer 1 against published vectors, against tampering, and what it
 *		leaves in memory.
 *
 * Sources of the vectors: FIPS 180-4 and FIPS 197; NIST CAVP, ECBKeySbox256 and
 * gcmEncryptExtIV256; McGrew and Viega, The Galois/Counter Mode of Operation,
 * test cases 13 to 16; RFC 4231; RFC 5869, appendix A.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aead.h"
#include "envelope.h"
#include "kdf.h"
#include "miscadmin.h"
#include "secret.h"

#include "standin.h"

#undef snprintf
#undef printf

/*
 * libcrypto's memory comes from here, and nothing is ever given back, so that
 * what it left in memory that it freed can be found.
 */
#define ARENA_SIZE	(256 * 1024 * 1024)

static char *arena;
static size_t arena_used = 0;

static void *
arena_alloc(size_t size, const char *file, int line)
{
	char	   *at = arena + arena_used;

	size = (size + 31) & ~(size_t) 15;
	if (arena_used + size > ARENA_SIZE)
		abort();
	arena_used += size;
	memcpy(at, &size, sizeof(size));
	return at + 16;
}

static void *
arena_realloc(void *old, size_t size, const char *file, int line)
{
	void	   *new = arena_alloc(size, file, line);
	size_t		old_size = 0;

	if (old != NULL)
	{
		memcpy(&old_size, (char *) old - 16, sizeof(old_size));
		memcpy(new, old, Min(old_size - 16, size));
	}
	return new;
}

static void
arena_free(void *old, const char *file, int line)
{
}

static bool
arena_has(const uint8 *secret, size_t len)
{
	return memmem(arena, arena_used, secret, len) != NULL;
}

static bool
same(const uint8 *bytes, const char *hex)
{
	uint8		wanted[256];

	return memcmp(bytes, wanted, from_hex(hex, wanted)) == 0;
}

static bool
is_zero(const uint8 *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

/*
 * A cipher of our own, to have another opinion: AES-256 (FIPS 197), slow.
 */
static uint8
times(uint8 a, uint8 b)
{
	uint8		product = 0;

	for (; b != 0; b >>= 1)
	{
		if (b & 1)
			product ^= a;
		a = (a << 1) ^ (a & 0x80 ? 0x1B : 0);
	}
	return product;
}

static uint8
sbox(uint8 x)
{
	uint8		inverse = 1,
				result = 0x63;

	/* x^254 */
	for (int i = 0; i < 254; i++)
		inverse = times(inverse, x);
	for (int i = 0; i < 5; i++)
		result ^= (uint8) (inverse << i | inverse >> (8 - i));
	return result;
}

static void
slow_aes(const uint8 *key, const uint8 *in, uint8 *out)
{
	static uint8 table[256];
	uint8		w[60][4];
	uint8		s[16],
				t[16];
	uint8		rcon = 1;

	if (table[0] == 0)
	{
		for (int i = 0; i < 256; i++)
			table[i] = sbox(i);
	}
	memcpy(w, key, 32);
	for (int i = 8; i < 60; i++)
	{
		memcpy(w[i], w[i - 1], 4);
		if (i % 8 == 0)
		{
			uint8		first = w[i][0];

			for (int j = 0; j < 3; j++)
				w[i][j] = table[w[i][j + 1]];
			w[i][3] = table[first];
			w[i][0] ^= rcon;
			rcon = times(rcon, 2);
		}
		else if (i % 8 == 4)
		{
			for (int j = 0; j < 4; j++)
				w[i][j] = table[w[i][j]];
		}
		for (int j = 0; j < 4; j++)
			w[i][j] ^= w[i - 8][j];
	}
	for (int i = 0; i < 16; i++)
		s[i] = in[i] ^ w[i / 4][i % 4];
	for (int round = 1; round <= 14; round++)
	{
		for (int i = 0; i < 16; i++)
			t[i] = table[s[(i + 4 * (i % 4)) % 16]];
		for (int i = 0; i < 16; i++)
		{
			const uint8 *column = t + (i & ~3);

			s[i] = w[4 * round + i / 4][i % 4];
			if (round == 14)
				s[i] ^= t[i];
			else
				s[i] ^= times(column[i % 4], 2) ^ times(column[(i + 1) % 4], 3) ^
					column[(i + 2) % 4] ^ column[(i + 3) % 4];
		}
	}
	memcpy(out, s, 16);
}

static void
slow_child(const uint8 *parent, uint32 i, uint8 *child)
{
	for (int half = 0; half < 2; half++)
	{
		uint8		block[16] = {0};
		uint64		number = (uint64) i * 2 + half;

		for (int j = 0; j < 8; j++)
			block[15 - j] = (uint8) (number >> (8 * j));
		slow_aes(parent, block, child + 16 * half);
	}
}

static void
test_hash(void)
{
	uint8		out[KDF_HASH_LEN];

	kdf_hash("abc", 3, out);
	check(same(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
		  "SHA-256 of \"abc\"");
	kdf_hash("", 0, out);
	check(same(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
		  "SHA-256 of nothing");
}

/*
 * The RFC's keys are not 32 bytes long, but HMAC fills up shorter ones with
 * zeros, and hashes those that are longer than a block.
 */
static void
test_hmac(void)
{
	static const struct
	{
		int			number;
		const char *key;
		const char *data;
		const char *mac;
	}			vectors[] = {
		{1, "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{2, "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{3, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
			"dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
			"dddddddddddddddddddddddddddddddddddd",
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{4, "0102030405060708090a0b0c0d0e0f10111213141516171819",
			"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
			"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	};
	uint8		key[SECRET_KEY_LEN],
				data[128],
				out[KDF_HASH_LEN];
	const char *text;

	for (int i = 0; i < lengthof(vectors); i++)
	{
		memset(key, 0, sizeof(key));
		from_hex(vectors[i].key, key);
		kdf_hmac(key, data, from_hex(vectors[i].data, data), out);
		check(same(out, vectors[i].mac), "RFC 4231, test case %d", vectors[i].number);
	}

	/* 131 times 0xaa */
	from_hex("45ad4b37c6e2fc0a2cfcc1b5da524132ec707615c2cae1dbbc43c97aa521db81", key);
	memset(data, 0xaa, sizeof(data));
	{
		uint8		long_key[131];

		memset(long_key, 0xaa, sizeof(long_key));
		kdf_hash(long_key, sizeof(long_key), key);
	}
	text = "Test Using Larger Than Block-Size Key - Hash Key First";
	kdf_hmac(key, text, strlen(text), out);
	check(same(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
		  "RFC 4231, test case 6");
	text = "This is a test using a larger than block-size key and a larger than block-size data. "
		"The key needs to be hashed before being used by the HMAC algorithm.";
	kdf_hmac(key, text, strlen(text), out);
	check(same(out, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
		  "RFC 4231, test case 7");
}

static void
test_expand(void)
{
	uint8		prk[SECRET_KEY_LEN],
				info[80],
				out[SECRET_KEY_LEN];

	from_hex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5", prk);
	kdf_expand(prk, info, from_hex("f0f1f2f3f4f5f6f7f8f9", info), out);
	check(same(out, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"),
		  "RFC 5869, test case 1");
	from_hex("06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244", prk);
	for (int i = 0; i < 80; i++)
		info[i] = 0xb0 + i;
	kdf_expand(prk, info, 80, out);
	check(same(out, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"),
		  "RFC 5869, test case 2");
	from_hex("19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04", prk);
	kdf_expand(prk, NULL, 0, out);
	check(same(out, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"),
		  "RFC 5869, test case 3");
}

static void
test_tree(void)
{
	static uint8 children[256][SECRET_KEY_LEN];
	uint8		key[SECRET_KEY_LEN],
				block[16],
				child[SECRET_KEY_LEN],
				wanted[SECRET_KEY_LEN];
	bool		ok = true;

	for (int i = 0; i < 32; i++)
		key[i] = i;
	from_hex("00112233445566778899aabbccddeeff", block);
	slow_aes(key, block, block);
	check(same(block, "8ea2b7ca516745bfeafc49904b496089"), "FIPS 197, C.3, for the test's own AES");

	from_hex("c47b0294dbbbee0fec4757f22ffeee3587ca4730c3d33b691df38bab076bc558", key);
	kdf_tree_child(key, 0, child);
	check(same(child, "46f2fb342d6f0ab477476fc501242c5f"), "ECBKeySbox256, count 0");

	/* With a key, nonce and text of zeros, GCM's first blocks are these. */
	memset(key, 0, sizeof(key));
	kdf_tree_child(key, 0, child);
	check(same(child + 16, "530f8afbc74536b9a963b4f1c4cb738b"), "block 1, from GCM test case 13");
	kdf_tree_child(key, 1, child);
	check(same(child, "cea7403d4d606b6e074ec5d3baf39d18"), "block 2, from GCM test case 14");

	for (int i = 0; i < 2000; i++)
	{
		uint32		number;

		secret_random(key, sizeof(key));
		secret_random(&number, sizeof(number));
		if (i == 0)
			number = PG_UINT32_MAX;
		slow_child(key, number, wanted);
		kdf_tree_child(key, number, child);
		ok &= memcmp(child, wanted, sizeof(child)) == 0;
		/* in place */
		kdf_tree_child(key, number, key);
		ok &= memcmp(key, wanted, sizeof(key)) == 0;
	}
	check(ok, "children of random nodes, also in place, as the test's own AES has them");

	ok = true;
	for (int n = 0; n <= 256; n += 1 + n / 3)
	{
		secret_random(key, sizeof(key));
		memset(children, 0, sizeof(children));
		kdf_tree_children(key, n, children);
		for (int i = 0; i < n; i++)
		{
			kdf_tree_child(key, i, child);
			ok &= memcmp(children[i], child, sizeof(child)) == 0;
		}
		ok &= is_zero(children[0] + n * SECRET_KEY_LEN, sizeof(children) - n * SECRET_KEY_LEN);
	}
	check(ok, "children at once are those one by one, and no more");
}

static void
test_gcm_vectors(void)
{
	static const struct
	{
		const char *name;
		const char *key;
		const char *nonce;
		const char *aad;
		const char *plain;
		const char *cipher;
		const char *tag;
	}			vectors[] = {
		{"GCM test case 13",
			"0000000000000000000000000000000000000000000000000000000000000000",
		"000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
		{"GCM test case 14",
			"0000000000000000000000000000000000000000000000000000000000000000",
			"000000000000000000000000", "", "00000000000000000000000000000000",
		"cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
		{"GCM test case 15",
			"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
			"cafebabefacedbaddecaf888", "",
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
			"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
			"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
		"b094dac5d93471bdec1a502270e3cc6c"},
		{"GCM test case 16",
			"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
			"cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
			"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
			"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		"76fc6ece0f4e1768cddf8853bb2d551b"},
		{"gcmEncryptExtIV256, no text, count 0",
			"b52c505a37d78eda5dd34f20c22540ea1b58963cf8e5bf8ffa85f9f2492505b4",
		"516c33929df5a3284ff463d7", "", "", "", "bdc1ac884d332457a1d2664f168c76f0"},
		{"gcmEncryptExtIV256, 16 bytes, count 0",
			"31bdadd96698c204aa9ce1448ea94ae1fb4a9a0b3c9d773b51bb1822666b8f22",
			"0d18e06c7c725ac9e362e1ce", "", "2db5168e932556f8089a0622981d017d",
		"fa4362189661d163fcd6a56d8bf0405a", "d636ac1bbedd5cc3ee727dc2ab4a9489"},
	};

	for (int i = 0; i < lengthof(vectors); i++)
	{
		uint8		key[SECRET_KEY_LEN],
					nonce[AEAD_NONCE_LEN],
					aad[64],
					text[64],
					wanted[64],
					tag[AEAD_TAG_LEN];
		size_t		aad_len = from_hex(vectors[i].aad, aad);
		size_t		len = from_hex(vectors[i].plain, text);
		bool		ok = true;

		from_hex(vectors[i].key, key);
		from_hex(vectors[i].nonce, nonce);
		from_hex(vectors[i].plain, wanted);
		/* In place; with a key that is set up, and with one that is not. */
		for (int round = 0; round < 2; round++)
		{
			aead_seal(key, nonce, aad, aad_len, text, len, text, tag);
			ok &= same(text, vectors[i].cipher) && same(tag, vectors[i].tag);
			ok &= aead_open(key, nonce, aad, aad_len, text, len, tag, text);
			ok &= memcmp(text, wanted, len) == 0;
		}
		check(ok, "%s", vectors[i].name);
	}
}

static void
test_gcm_tampering(void)
{
	uint8		key[SECRET_KEY_LEN],
				nonce[AEAD_NONCE_LEN],
				aad[24],
				plain[70],
				tag[AEAD_TAG_LEN],
				text[70],
				out[70];
	struct
	{
		const char *what;
		uint8	   *at;
		size_t		len;
	}			parts[] = {{"key", key, sizeof(key)}, {"nonce", nonce, sizeof(nonce)},
	{"additional data", aad, sizeof(aad)}, {"ciphertext", text, sizeof(text)},
	{"tag", tag, sizeof(tag)}};
	bool		ok;

	secret_random(key, sizeof(key));
	secret_random(aad, sizeof(aad));
	secret_random(plain, sizeof(plain));
	aead_draw_nonce(nonce);
	aead_seal(key, nonce, aad, sizeof(aad), plain, sizeof(plain), text, tag);
	check(aead_open(key, nonce, aad, sizeof(aad), text, sizeof(text), tag, out) &&
		  memcmp(out, plain, sizeof(plain)) == 0, "what was sealed opens");

	for (int p = 0; p < lengthof(parts); p++)
	{
		ok = true;
		for (size_t i = 0; i < parts[p].len; i++)
		{
			for (int bit = 0; bit < 8; bit++)
			{
				parts[p].at[i] ^= 1 << bit;
				memset(out, 'x', sizeof(out));
				ok &= !aead_open(key, nonce, aad, sizeof(aad), text, sizeof(text), tag, out);
				ok &= is_zero(out, sizeof(out));
				parts[p].at[i] ^= 1 << bit;
			}
		}
		check(ok, "with any bit of the %s flipped it does not, and leaves zeros", parts[p].what);
	}

	ok = true;
	for (size_t len = 0; len < sizeof(text); len++)
		ok &= !aead_open(key, nonce, aad, sizeof(aad), text, len, tag, out);
	for (size_t len = 0; len < sizeof(aad); len++)
		ok &= !aead_open(key, nonce, aad, len, text, sizeof(text), tag, out);
	check(ok, "nor cut off anywhere");

	ok = true;
	for (size_t len = 0; len <= sizeof(plain); len++)
	{
		aead_draw_nonce(nonce);
		aead_seal(key, nonce, aad, 3, plain, len, text, tag);
		ok &= aead_open(key, nonce, aad, 3, text, len, tag, out) &&
			memcmp(out, plain, len) == 0;
		tag[0] ^= 1;
		ok &= !aead_open(key, nonce, aad, 3, text, len, tag, out);
	}
	check(ok, "values of each length from 0 open");
}

/*
 * Fills in an envelope as layer 4 does; returns its length.
 */
static size_t
seal_envelope(const uint8 *key, uint8 flags, const char *plain, size_t len, uint8 *out)
{
	EnvelopeHeader header = {
		.suite = ENVELOPE_SUITE_AES256GCM,
		.flags = flags,
		.address = UINT64CONST(0x0123456789ABCDEF),
		.label_id = UINT64CONST(0x02468ACE1357),
		.epoch = 0x89ABCDEF,
		.token_number = 0,
	};
	size_t		header_len = envelope_header_len(flags);

	if (flags & ENVELOPE_FLAG_SEARCHABLE)
	{
		header.token_number = UINT64CONST(0xFEDCBA9876543210);
		memset(header.token, 't', sizeof(header.token));
	}
	aead_draw_nonce(header.nonce);
	envelope_print_header(&header, out);
	aead_seal(key, header.nonce, out, header_len, plain, len,
			  out + header_len, out + header_len + len);
	return header_len + len + ENVELOPE_TAG_LEN;
}

static bool
envelope_opens(const uint8 *key, const uint8 *bytes, size_t len)
{
	EnvelopeHeader header;
	size_t		header_len;
	uint8		plain[256];

	if (!envelope_parse(bytes, len, &header) || (header.flags & ~ENVELOPE_FLAGS_STORED) != 0)
		return false;
	header_len = envelope_header_len(header.flags);
	len -= header_len + ENVELOPE_TAG_LEN;
	return aead_open(key, header.nonce, bytes, header_len,
					 bytes + header_len, len, bytes + header_len + len, plain);
}

static bool
text_opens(const uint8 *key, const char *text, size_t text_len)
{
	size_t		len;
	uint8	   *bytes = envelope_from_text(text, text_len, &len);

	return bytes != NULL && envelope_opens(key, bytes, len);
}

static void
test_envelope(uint8 flags, const char *name)
{
	const char *plain = "0123456789abcdefghijklmnopqrstuvwxyz";
	uint8		key[SECRET_KEY_LEN],
				bytes[256],
				again[256];
	size_t		len,
				text_len;
	EnvelopeHeader header;
	char	   *text;
	bool		ok;

	secret_random(key, sizeof(key));
	len = seal_envelope(key, flags, plain, strlen(plain), bytes);
	check(envelope_parse(bytes, len, &header) && header.flags == flags &&
		  header.suite == ENVELOPE_SUITE_AES256GCM &&
		  header.address == UINT64CONST(0x0123456789ABCDEF) &&
		  header.label_id == UINT64CONST(0x02468ACE1357) && header.epoch == 0x89ABCDEF &&
		  (flags & ENVELOPE_FLAG_SEARCHABLE ?
		   header.token_number == UINT64CONST(0xFEDCBA9876543210) && header.token[15] == 't' :
		   header.token_number == 0),
		  "%s envelope parses", name);
	check(same(bytes + 2, "0123456789abcdef" "02468ace1357" "89abcdef") && bytes[0] == 1 &&
		  bytes[1] == (0x10 | flags) && memcmp(bytes + 20, header.nonce, 12) == 0,
		  "%s envelope has its fields where the format says", name);
	envelope_print_header(&header, again);
	check(memcmp(bytes, again, envelope_header_len(flags)) == 0, "%s envelope prints back", name);
	check(envelope_opens(key, bytes, len), "%s envelope opens", name);

	ok = true;
	for (size_t i = 0; i < len; i++)
	{
		for (int change = 1; change < 256; change++)
		{
			bytes[i] ^= change;
			ok &= !envelope_opens(key, bytes, len);
			bytes[i] ^= change;
		}
	}
	check(ok, "%s envelope: with any byte changed to any other it does not", name);
	ok = true;
	for (size_t i = 0; i < len; i++)
		ok &= !envelope_opens(key, bytes, i) && !envelope_opens(key, bytes + len - i, i);
	check(ok, "%s envelope: nor any part of it", name);

	text = envelope_to_text(bytes, len);
	text_len = strlen(text);
	check(text_opens(key, text, text_len), "%s envelope opens from text", name);
	ok = true;
	for (size_t i = 0; i < text_len; i++)
	{
		for (int change = 1; change < 256; change++)
		{
			text[i] ^= change;
			ok &= !text_opens(key, text, text_len);
			text[i] ^= change;
		}
		standin_free();
		text = envelope_to_text(bytes, len);
	}
	check(ok, "%s envelope: with any letter of the text changed to any other it does not", name);
	ok = true;
	for (size_t i = 0; i < text_len; i++)
		ok &= !text_opens(key, text, i);
	check(ok, "%s envelope: nor the text cut off", name);
	standin_free();
}

static void
test_envelope_text(void)
{
	uint8		bytes[256];
	EnvelopeHeader header = {.suite = ENVELOPE_SUITE_AES256GCM};
	size_t		back;
	bool		ok = true;

	for (size_t len = 0; len < 200; len++)
	{
		char	   *text;
		uint8	   *again;
		bool		is_envelope = len >= ENVELOPE_OVERHEAD;

		secret_random(bytes, sizeof(bytes));
		bytes[0] = ENVELOPE_VERSION;
		bytes[1] = 0x10;
		text = envelope_to_text(bytes, len);
		again = envelope_from_text(text, strlen(text), &back);
		ok &= is_envelope ? (again != NULL && back == len && memcmp(again, bytes, len) == 0) :
			again == NULL;

		/* What others let pass for the same bytes. */
		ok &= envelope_from_text(psprintf("%s=", text), strlen(text) + 1, &back) == NULL;
		ok &= envelope_from_text(psprintf("%s==", text), strlen(text) + 2, &back) == NULL;
		ok &= envelope_from_text(psprintf("%s\n", text), strlen(text) + 1, &back) == NULL;
		ok &= envelope_from_text(psprintf(" %s", text), strlen(text) + 1, &back) == NULL;
		ok &= envelope_from_text(psprintf("%s", text), strlen(text) + 1, &back) == NULL;
		/* The last letter has bits to spare unless the length is a triple. */
		if (is_envelope && len % 3 != 0)
		{
			text[strlen(text) - 1]++;
			ok &= envelope_from_text(text, strlen(text), &back) == NULL;
		}
		standin_free();
	}
	check(ok, "texts of all lengths read back; padding, blanks and spare bits are refused");

	memset(bytes, 0xFB, sizeof(bytes));
	envelope_print_header(&header, bytes);
	{
		char	   *text = envelope_to_text(bytes, 60);
		size_t		len = strlen(text);

		ok = strpbrk(text, "-_") != NULL && strpbrk(text, "+/") == NULL;
		for (char *p = text; *p; p++)
			*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
		check(ok && envelope_from_text(text, len, &back) == NULL,
			  "only base64's letters for URLs are read");
	}
	ok = true;
	for (int flags = 0; flags < 16; flags++)
	{
		char	   *text;

		header.flags = flags;
		envelope_print_header(&header, bytes);
		text = envelope_to_text(bytes, 100);
		ok &= (envelope_from_text(text, strlen(text), &back) != NULL) ==
			((flags & ~ENVELOPE_FLAGS_STORED) == 0);
		ok &= envelope_parse(bytes, 100, &header) == ((flags & 12) != 12);
	}
	check(ok, "flags of memory only are not read from text, and not both at once");
	ok = true;
	for (int first = 0; first < 256; first++)
	{
		bytes[0] = first;
		bytes[1] = 0x10;
		ok &= envelope_parse(bytes, 100, &header) == (first == 1);
		bytes[0] = 1;
		bytes[1] = first & 0xF3;
		ok &= envelope_parse(bytes, 100, &header) == (first >> 4 == 1);
	}
	check(ok, "other versions and suites are refused");
	standin_free();
}

static int
compare_nonces(const void *a, const void *b)
{
	return memcmp(a, b, AEAD_NONCE_LEN);
}

static void
test_nonces(void)
{
	enum
	{
		N = 100000,
		SHARED = 500
	};
	uint8		(*nonces)[AEAD_NONCE_LEN] = malloc((N + 2 * SHARED) * AEAD_NONCE_LEN);
	uint8		(*shared)[AEAD_NONCE_LEN] = secret_shared_memory(2 * SHARED * AEAD_NONCE_LEN);
	bool		ok = true;
	int			n = N + 2 * SHARED;

	for (int i = 0; i < N; i++)
		aead_draw_nonce(nonces[i]);

	/*
	 * The pool is not empty now.  One child keeps its parent's process id, so
	 * that only the kernel's wiping can tell it that the pool is not its own.
	 */
	for (int child = 0; child < 2; child++)
	{
		pid_t		pid = fork();

		if (pid == 0)
		{
			if (child == 1)
				MyProcPid++;
			for (int i = 0; i < SHARED; i++)
				aead_draw_nonce(shared[child * SHARED + i]);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	memcpy(nonces + N, shared, 2 * SHARED * AEAD_NONCE_LEN);
	for (int i = 0; i < SHARED; i++)
		aead_draw_nonce(nonces[i]);
	(qsort) (nonces, n, AEAD_NONCE_LEN, compare_nonces);
	for (int i = 1; i < n; i++)
		ok &= memcmp(nonces[i - 1], nonces[i], AEAD_NONCE_LEN) != 0;
	check(ok && !is_zero(nonces[0], AEAD_NONCE_LEN),
		  "nonces do not repeat, nor do those of children and parent");

	IsUnderPostmaster = false;
	aead_draw_nonce(nonces[0]);
	aead_draw_nonce(nonces[1]);
	check(memcmp(nonces[0], nonces[1], AEAD_NONCE_LEN) != 0, "the postmaster draws without a pool");
	IsUnderPostmaster = true;
	free(nonces);
}

/*
 * Does the mapping at address have this flag of /proc/PID/smaps?
 */
static bool
mapping_has(const void *address, const char *flag)
{
	FILE	   *smaps = fopen("/proc/self/smaps", "r");
	char		line[1024],
				word[16];
	bool		here = false,
				found = false;

	snprintf(word, sizeof(word), " %s ", flag);
	while (smaps != NULL && fgets(line, sizeof(line), smaps) != NULL)
	{
		unsigned long from,
					to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from <= (uintptr_t) address && (uintptr_t) address < to;
		if (here && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, word) != NULL;
	}
	if (smaps != NULL)
		fclose(smaps);
	return found;
}

static void
test_memory(void)
{
	const char *word = "secret";
	char	   *mine = secret_private_memory(100);
	char	   *ours;
	int			status;
	pid_t		pid;

	IsUnderPostmaster = false;
	ours = secret_shared_memory(100000);
	IsUnderPostmaster = true;
	check(is_zero((uint8 *) mine, 100) && is_zero((uint8 *) ours, 100000), "memory is zeroed");
	check(mapping_has(mine, "dd") && mapping_has(ours, "dd"), "neither kind is in core dumps");
	check(mapping_has(mine, "wf"), "private memory is wiped on fork");
	strcpy(mine, word);
	strcpy(ours, word);
	pid = fork();
	if (pid == 0)
	{
		bool		ok = is_zero((uint8 *) mine, 100) && strcmp(ours, word) == 0;

		strcpy(ours, "answer");
		_exit(ok ? 0 : 1);
	}
	check(waitpid(pid, &status, 0) == pid && status == 0 && strcmp(ours, "answer") == 0 &&
		  strcmp(mine, word) == 0, "a child shares the one and finds the other empty");
	check(secret_equal("same", "same", 4) && !secret_equal("same", "sane", 4) &&
		  secret_equal("a", "b", 0), "comparison");
	secret_wipe(mine, 6);
	check(is_zero((uint8 *) mine, 100), "wiping");
}

static void
use_key(const uint8 *key)
{
	uint8		nonce[AEAD_NONCE_LEN],
				text[16],
				tag[AEAD_TAG_LEN],
				out[SECRET_KEY_LEN];

	aead_draw_nonce(nonce);
	aead_seal(key, nonce, "a", 1, "0123456789abcdef", 16, text, tag);
	kdf_hmac(key, "data", 4, out);
	kdf_expand(key, "data", 4, out);
	kdf_tree_child(key, 1, out);
	if (!aead_open(key, nonce, "a", 1, text, 16, tag, text))
		abort();
}

/*
 * What is left of a key in libcrypto's memory, freed memory included?  AES-NI
 * keeps a key as it is, as the first words of its schedule; where another
 * implementation runs the control falls to HMAC's copy alone.
 */
static void
test_wiping(void)
{
	uint8		key[SECRET_KEY_LEN],
				tag[AEAD_TAG_LEN],
				out[8];

	secret_random(key, sizeof(key));
	check(!arena_has(key, 16), "a new key is not in libcrypto's memory");
	use_key(key);
	check(arena_has(key, 16), "it is while it is used in a transaction");
	standin_end();
	check(!arena_has(key, 16) && !arena_has(key + 16, 16), "it is not when the transaction has ended");

	use_key(key);
	check(!arena_has(key, 16) && !arena_has(key + 16, 16), "nor after use outside a transaction");

	standin_begin();
	use_key(key);
	check(arena_has(key, 16), "it is again in the next transaction");
	standin_abort_subtransaction();
	check(!arena_has(key, 16) && !arena_has(key + 16, 16), "it is not when a subtransaction has failed");

	memset(tag, 0, sizeof(tag));
	if (aead_open(key, tag, NULL, 0, out, sizeof(out), tag, out))
		abort();
	check(!arena_has(key, 16) && !arena_has(key + 16, 16), "nor after a value that does not open");
	use_key(key);
	standin_end();
	standin_begin();
}

/*
 * More keys than are kept at a time: each goes on to open what it sealed, and
 * nothing else, and none is left behind.
 */
static void
test_keys_taking_turns(void)
{
	uint8		key[6][SECRET_KEY_LEN],
				nonce[6][AEAD_NONCE_LEN],
				text[6][16],
				tag[6][AEAD_TAG_LEN],
				out[16];
	bool		ok = true;

	for (int round = 0; round < 4; round++)
	{
		for (int i = 0; i < lengthof(key); i++)
		{
			if (round == 0)
				secret_random(key[i], SECRET_KEY_LEN);
			aead_draw_nonce(nonce[i]);
			aead_seal(key[i], nonce[i], "a", 1, "0123456789abcdef", 16, text[i], tag[i]);
			for (int j = 0; j <= i; j++)
				ok &= aead_open(key[j], nonce[j], "a", 1, text[j], 16, tag[j], out) &&
					memcmp(out, "0123456789abcdef", 16) == 0;
		}
		for (int i = 0; i < lengthof(key); i++)
			ok &= !aead_open(key[(i + round + 1) % lengthof(key)], nonce[i], "a", 1,
							 text[i], 16, tag[i], out);
	}
	check(ok, "keys that take turns do not get mixed up");
	for (int i = 0; i < lengthof(key); i++)
		use_key(key[i]);
	standin_end();
	ok = true;
	for (int i = 0; i < lengthof(key); i++)
		ok &= !arena_has(key[i], 16) && !arena_has(key[i] + 16, 16);
	check(ok, "and none is there when the transaction has ended");
	standin_begin();
}

/* Runs a statement that must raise an error of libcrypto. */
#define CHECK_FAILS(what, statement) \
	do { \
		volatile bool failed = false; \
		memset(out, 'x', sizeof(out)); \
		PG_TRY(); \
		{ \
			statement; \
		} \
		PG_CATCH(); \
		{ \
			failed = true; \
		} \
		PG_END_TRY(); \
		check(failed && standin_sqlstate == ERRCODE_SYSTEM_ERROR && \
			  strncmp(standin_message, "could not ", 10) == 0 && \
			  strstr(standin_message, ": unsupported") != NULL, \
			  "without libcrypto's help: %s (%s)", what, standin_message); \
	} while (0)

static void
test_library_fails(void)
{
	uint8		key[SECRET_KEY_LEN] = {0},
				nonce[AEAD_NONCE_LEN] = {0},
				tag[AEAD_TAG_LEN] = {0},
				out[32];

	CHECK_FAILS("seal", aead_seal(key, nonce, NULL, 0, "x", 1, out, tag));
	check(out[0] == 0, "output wiped");
	CHECK_FAILS("open", aead_open(key, nonce, NULL, 0, "x", 1, tag, out));
	check(out[0] == 0, "output wiped");
	CHECK_FAILS("hash", kdf_hash("x", 1, out));
	CHECK_FAILS("HMAC", kdf_hmac(key, "x", 1, out));
	check(is_zero(out, sizeof(out)), "output wiped");
	CHECK_FAILS("expand", kdf_expand(key, "x", 1, out));
	CHECK_FAILS("tree", kdf_tree_child(key, 1, out));
	check(is_zero(out, sizeof(out)), "output wiped");
}

int
main(void)
{
	arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (arena == MAP_FAILED ||
		CRYPTO_set_mem_functions(arena_alloc, arena_realloc, arena_free) != 1)
		abort();

	secret_init();
	EVP_set_default_properties(NULL, "provider=none");
	aead_init();
	kdf_init();
	test_library_fails();
	EVP_set_default_properties(NULL, "");

	test_memory();
	test_hash();
	test_hmac();
	test_expand();
	test_tree();
	test_gcm_vectors();
	test_wiping();
	test_keys_taking_turns();
	test_gcm_tampering();
	test_envelope(0, "plain");
	test_envelope(ENVELOPE_FLAG_PADDED, "padded");
	test_envelope(ENVELOPE_FLAG_SEARCHABLE, "searchable");
	test_envelope_text();
	test_nonces();
	return check_done();
}
