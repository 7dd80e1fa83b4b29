/*
 * keytree_test.c
 *		Model test of the key tree: whatever is punctured in whatever order, no
 *		key that is left derives a punctured leaf, and every other leaf derives
 *		as it did.
 *
 * Usage: keytree_test [number of sequences [seed]]
 *
 * The model knows the root and a list of the nodes that were punctured; it
 * walks from the root as the widths below say, and shares nothing with what it
 * tests.  After a sequence the whole cover is judged, not a sample of leaves:
 *
 *	1. each node has the key to which the model walks;
 *	2. none has a leaf in common with a punctured node, or with another;
 *	3. the leaves of all nodes and of all punctured nodes are 2^64, the whole
 *	   tree.  So what is not punctured is there;
 *	4. the parent of each node is above a punctured one: no cover is smaller.
 *
 * src/keytree.c is included, with what it asks of the server and of libcrypto
 * put in its place.  One level of the tree is a fast mixing function here, but
 * for known answers, which were made by the openssl program.
 */
#include "postgres.h"

#include <openssl/evp.h>
#include <setjmp.h>

#include "utils/memutils.h"

#include "kdf.h"
#include "keytree.h"

/* Those of the C library, for there is no libpgport here. */
#undef printf
#undef qsort
#undef snprintf

/* Also where PostgreSQL was built without them. */
static void assertion_failed(const char *what, int line);

#undef Assert
#define Assert(condition) \
	((condition) ? (void) 0 : assertion_failed(#condition, __LINE__))

#include "../../src/keytree.c"

typedef unsigned __int128 uint128_t;

/* The model's own: bits of an address that each level takes, from the top. */
static const int widths[] = {
	8,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	4, 4, 4, 4
};

#define LEVELS	((int) lengthof(widths))

#define MAX_POINTS	200

typedef struct Model
{
	uint8		root[SECRET_KEY_LEN];
	KeyPoint	points[MAX_POINTS];
	int			npoints;
	bool		minimal;		/* the cover was never refined */

	/* The last walk, so that a walk to a neighbour is short. */
	uint64		walked;
	int			walked_levels;
	uint8		path[lengthof(widths) + 1][SECRET_KEY_LEN];
} Model;

static int	tests = 0;
static int	bad_tests = 0;
static int	complaints = 0;
static int	bad = 0;			/* checks that failed in this test */
static uint64 sequence = 0;		/* to be named in complaints */
static uint64 seed = 20260301;
static uint64 random_state;

#define check(condition) \
	((condition) ? (void) 0 : complain(#condition, __LINE__))

static void
complain(const char *what, int line)
{
	bad++;
	if (complaints++ < 20)
		printf("# line %d, sequence " UINT64_FORMAT " of seed " UINT64_FORMAT ": not so: %s\n",
			   line, sequence, seed, what);
}

static void
assertion_failed(const char *what, int line)
{
	printf("Bail out! assertion of keytree.c failed, line %d: %s\n", line, what);
	exit(1);
}

static void
done_testing(const char *name)
{
	printf("%s %d - %s\n", bad == 0 ? "ok" : "not ok", ++tests, name);
	fflush(stdout);
	if (bad != 0)
		bad_tests++;
	bad = 0;
}


/* --- In place of the server and of libcrypto ------------------------------ */

/* Freed memory is watched for a while; with less of it, the test is faster. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=8";
}

MemoryContext CurrentMemoryContext = NULL;
sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;

static bool kdf_is_aes = false;
static int	kdf_fails_in = 0;	/* 0: never */
static size_t wiped = 0;

static void *
allocate(size_t size)
{
	void	   *memory = malloc(size);

	if (memory == NULL)
		abort();
	return memory;
}

static void *last_allocated = NULL;

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return last_allocated = allocate(size);
}

void
pfree(void *pointer)
{
	free(pointer);
}

void
pg_re_throw(void)
{
	siglongjmp(*PG_exception_stack, 1);
}

void
secret_wipe(void *secret, size_t len)
{
	memset(secret, 0, len);
	wiped += len;
}

static inline uint64
mix(uint64 x)
{
	x ^= x >> 30;
	x *= UINT64CONST(0xbf58476d1ce4e5b9);
	x ^= x >> 27;
	x *= UINT64CONST(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* As kdf.h says. */
static void
aes_child(const uint8 *parent, uint32 i, uint8 *child)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8		blocks[SECRET_KEY_LEN] = {0};
	int			len;

	for (int b = 0; b < 2; b++)
		for (int byte = 0; byte < 4; byte++)
			blocks[b * 16 + 15 - byte] = (2 * i + b) >> 8 * byte;
	if (EVP_EncryptInit_ex(context, EVP_aes_256_ecb(), NULL, parent, NULL) != 1 ||
		EVP_EncryptUpdate(context, child, &len, blocks, sizeof(blocks)) != 1 ||
		len != SECRET_KEY_LEN)
		abort();
	EVP_CIPHER_CTX_free(context);
}

void
kdf_tree_child(const uint8 parent[SECRET_KEY_LEN], uint32 i, uint8 child[SECRET_KEY_LEN])
{
	uint64		words[4];

	if (kdf_is_aes)
	{
		aes_child(parent, i, child);
		return;
	}
	if (kdf_fails_in > 0 && --kdf_fails_in == 0)
		pg_re_throw();
	memcpy(words, parent, sizeof(words));
	for (int w = 0; w < 4; w++)
		words[w] = mix(words[w] + words[(w + 1) % 4] + (i + 1) * UINT64CONST(0x9e3779b97f4a7c15));
	memcpy(child, words, sizeof(words));
}

void
kdf_tree_children(const uint8 parent[SECRET_KEY_LEN], uint32 n, uint8 (*children)[SECRET_KEY_LEN])
{
	for (uint32 i = 0; i < n; i++)
		kdf_tree_child(parent, i, children[i]);
}

static uint64
random_number(void)
{
	return mix(random_state += UINT64CONST(0x9e3779b97f4a7c15));
}

/* Less than limit; 0, which is what 2^64 is here, limits nothing. */
static uint64
random_below(uint64 limit)
{
	return limit == 0 ? random_number() : random_number() % limit;
}


/* --- The model ------------------------------------------------------------ */

/* How many bits of an address are below a node of that level. */
static int
model_bits(int level)
{
	static int	bits[lengthof(widths) + 1];

	if (bits[0] == 0)
	{
		bits[0] = 64;
		for (int i = 0; i < LEVELS; i++)
			bits[i + 1] = bits[i] - widths[i];
	}
	return bits[level];
}

static uint128_t
model_leaves(int level)
{
	return (uint128_t) 1 << model_bits(level);
}

static uint64
model_first(KeyPoint node)
{
	return node.address - node.address % model_leaves(node.level);
}

static uint64
model_last(KeyPoint node)
{
	return model_first(node) + (uint64) (model_leaves(node.level) - 1);
}

static bool
model_overlap(KeyPoint a, KeyPoint b)
{
	return model_first(a) <= model_last(b) && model_first(b) <= model_last(a);
}

/* Is a at b or above it? */
static bool
model_above(KeyPoint a, KeyPoint b)
{
	return a.level <= b.level && model_first(a) <= model_first(b) && model_last(b) <= model_last(a);
}

static void
model_begin(Model *model)
{
	for (int i = 0; i < SECRET_KEY_LEN; i++)
		model->root[i] = (uint8) random_number();
	memcpy(model->path[0], model->root, SECRET_KEY_LEN);
	model->npoints = 0;
	model->minimal = true;
	model->walked = 0;
	model->walked_levels = 0;
}

/* Adds a punctured node; of nodes above each other, the highest counts. */
static void
model_puncture(Model *model, KeyPoint point)
{
	int			kept = 0;

	point.address = model_first(point);
	for (int i = 0; i < model->npoints; i++)
		if (model_above(model->points[i], point))
			return;
	for (int i = 0; i < model->npoints; i++)
		if (!model_above(point, model->points[i]))
			model->points[kept++] = model->points[i];
	model->points[kept++] = point;
	model->npoints = kept;
}

/* The key of a node: walked from the root, or from where the last walk left
 * the same way. */
static const uint8 *
model_key(Model *model, KeyPoint node)
{
	int			level = 0;

	while (level < model->walked_levels && level < node.level &&
		   node.address >> model_bits(level + 1) == model->walked >> model_bits(level + 1))
		level++;
	for (; level < node.level; level++)
		kdf_tree_child(model->path[level],
					   (node.address >> model_bits(level + 1)) & ((1 << widths[level]) - 1),
					   model->path[level + 1]);
	model->walked = node.address;
	model->walked_levels = node.level;
	return model->path[node.level];
}

static bool
model_leaf_punctured(const Model *model, uint64 address)
{
	for (int i = 0; i < model->npoints; i++)
		if (model_first(model->points[i]) <= address && address <= model_last(model->points[i]))
			return true;
	return false;
}

/* All its leaves? */
static bool
model_punctured(const Model *model, KeyPoint node)
{
	uint128_t	left = model_leaves(node.level);

	for (int i = 0; i < model->npoints; i++)
	{
		if (model_above(model->points[i], node))
			return true;
		if (model_above(node, model->points[i]))
			left -= model_leaves(model->points[i].level);
	}
	return left == 0;
}

/* The four points at the top of this file. */
static void
check_cover(Model *model, const KeyCover *cover)
{
	uint128_t	leaves = 0;
	KeyPoint	before;
	KeyPoint   *sorted = allocate(sizeof(model->points));
	int			next = 0;

	/* Points in order, so that few are compared with each node. */
	memcpy(sorted, model->points, sizeof(model->points));
	for (int i = 1; i < model->npoints; i++)
		for (int j = i; j > 0 && sorted[j].address < sorted[j - 1].address; j--)
		{
			KeyPoint	swap = sorted[j];

			sorted[j] = sorted[j - 1];
			sorted[j - 1] = swap;
		}

	for (uint32 i = 0; i < keytree_cover_nodes(cover); i++)
	{
		KeyPoint	node = {.address = cover_addresses(cover)[i], .level = cover_levels(cover)[i]};
		KeyPoint	parent = {.address = node.address, .level = node.level - 1};

		check(node.level <= LEVELS && node.address == model_first(node));
		check(i == 0 || node.address > model_last(before));
		before = node;
		leaves += model_leaves(node.level);
		check(memcmp(cover_keys(cover)[i], model_key(model, node), SECRET_KEY_LEN) == 0);

		while (next < model->npoints && model_last(sorted[next]) < node.address)
			next++;
		check(next == model->npoints || !model_overlap(sorted[next], node));
		if (model->minimal && node.level > 0)
			check((next < model->npoints && model_above(parent, sorted[next])) ||
				  (next > 0 && model_above(parent, sorted[next - 1])));
	}
	for (int i = 0; i < model->npoints; i++)
		leaves += model_leaves(model->points[i].level);
	check(leaves == (uint128_t) 1 << 64);
	free(sorted);
}

static void
check_leaf(Model *model, const KeyCover *cover, uint64 address)
{
	KeyPoint	leaf = {.address = address, .level = LEVELS};
	uint8		key[SECRET_KEY_LEN];
	bool		derived = keytree_derive(cover, address, key);

	check(derived == !model_leaf_punctured(model, address));
	check(!derived || memcmp(key, model_key(model, leaf), SECRET_KEY_LEN) == 0);
	check(keytree_punctured(cover, &leaf) == !derived);
}

/* What keytree.h offers, at and around the points and anywhere. */
static void
check_look_ups(Model *model, const KeyCover *cover)
{
	for (int i = 0; i < model->npoints; i++)
	{
		KeyPoint	point = model->points[i];
		KeyPoint	above = {.address = point.address, .level = random_below(point.level + 1)};
		KeyPoint	below = {.address = point.address | random_below(model_leaves(point.level)),
		.level = LEVELS - random_below(LEVELS - point.level + 1)};

		check_leaf(model, cover, model_first(point));
		check_leaf(model, cover, model_last(point));
		check_leaf(model, cover, model_first(point) - 1);
		check_leaf(model, cover, model_last(point) + 1);
		check_leaf(model, cover, below.address);
		check(keytree_punctured(cover, &above) == model_punctured(model, above));
		check(keytree_punctured(cover, &below));
	}
	check_leaf(model, cover, random_number());
	check_leaf(model, cover, 0);
	check_leaf(model, cover, PG_UINT64_MAX);
}


/* --- Covers --------------------------------------------------------------- */

/* Of exactly the size that keytree_cover_size asks for: the address sanitizer
 * sees what is written past it. */
static KeyCover *
cover_plant(const Model *model)
{
	KeyCover   *cover = allocate(keytree_cover_size(1));

	keytree_plant(cover, model->root);
	return cover;
}

static KeyCover *
cover_puncture(KeyCover *cover, const KeyPoint *points, int npoints)
{
	uint32		nodes = keytree_puncture_count(cover, points, npoints);
	KeyCover   *out = allocate(keytree_cover_size(nodes));

	keytree_puncture(cover, points, npoints, out);
	check(keytree_cover_nodes(out) == nodes);
	free(cover);
	return out;
}

static KeyCover *
cover_refine(KeyCover *cover, uint64 first, uint64 last, int level)
{
	uint32		nodes = keytree_refine_count(cover, first, last, level);
	KeyCover   *out = allocate(keytree_cover_size(nodes));

	keytree_refine(cover, first, last, level, out);
	check(keytree_cover_nodes(out) == nodes);
	free(cover);
	return out;
}

static uint8 *
cover_bytes(const KeyCover *cover, size_t *len)
{
	uint8	   *bytes;

	*len = keytree_serialised_size(keytree_cover_nodes(cover));
	bytes = allocate(*len);
	keytree_serialise(cover, bytes);
	return bytes;
}

static KeyCover *
cover_from_bytes(const uint8 *bytes, size_t len)
{
	uint32		nodes;
	KeyCover   *cover;

	if (!keytree_deserialised_nodes(bytes, len, &nodes))
		return NULL;
	cover = allocate(keytree_cover_size(nodes));
	if (keytree_deserialise(bytes, len, cover))
		return cover;
	free(cover);
	return NULL;
}

static bool
cover_equal(const KeyCover *a, const KeyCover *b)
{
	size_t		a_len;
	size_t		b_len;
	uint8	   *a_bytes = cover_bytes(a, &a_len);
	uint8	   *b_bytes = cover_bytes(b, &b_len);
	bool		equal = a_len == b_len && memcmp(a_bytes, b_bytes, a_len) == 0;

	free(a_bytes);
	free(b_bytes);
	return equal;
}

/* Of numbers below end, of the kinds that have any, the first or last leaf. */
static uint64
shared_edge(int kind, uint64 end, bool last)
{
	return last ? KEY_ADDRESS(kind, end - 1, 0xFFFF) : KEY_ADDRESS(kind, 0, 0);
}

/* How many leaves of a node are shared? */
static uint128_t
shared_leaves(KeyPoint node, uint64 end)
{
	uint128_t	leaves = 0;

	for (int kind = KEY_SUBJECT; kind <= KEY_TOKEN && end > 0; kind++)
	{
		uint64		first = Max(model_first(node), shared_edge(kind, end, false));
		uint64		last = Min(model_last(node), shared_edge(kind, end, true));

		if (first <= last)
			leaves += (uint128_t) (last - first) + 1;
	}
	return leaves;
}

/*
 * A fork: each node is in the shared part, with the model's key and not
 * punctured there, or outside of it, with the new tree's key; and no leaf is
 * missing but the punctured ones.
 */
static void
check_fork(Model *model, const KeyCover *cover, uint64 end)
{
	Model	   *fresh = allocate(sizeof(Model));
	uint32		nodes = keytree_fork_count(cover, end);
	KeyCover   *fork = allocate(keytree_cover_size(nodes));
	uint128_t	leaves = 0;
	KeyPoint	before;
	uint64		edges[2 * 3];
	uint8	   *bytes;
	size_t		len;
	KeyCover   *other;

	model_begin(fresh);
	keytree_fork(cover, end, fresh->root, fork);
	check(keytree_cover_nodes(fork) == nodes);
	for (uint32 i = 0; i < nodes; i++)
	{
		KeyPoint	node = {.address = cover_addresses(fork)[i], .level = cover_levels(fork)[i]};
		uint128_t	shared = shared_leaves(node, end);

		check(i == 0 || node.address > model_last(before));
		before = node;
		check(shared == 0 || shared == model_leaves(node.level));
		check(memcmp(cover_keys(fork)[i], model_key(shared ? model : fresh, node), SECRET_KEY_LEN) == 0);
		for (int j = 0; j < model->npoints && shared; j++)
			check(!model_overlap(node, model->points[j]));
		leaves += model_leaves(node.level);
	}
	for (int i = 0; i < model->npoints; i++)
		leaves += shared_leaves(model->points[i], end);
	check(leaves == (uint128_t) 1 << 64);

	/* At both sides of the border. */
	for (int kind = KEY_SUBJECT; kind <= KEY_TOKEN; kind++)
	{
		edges[2 * (kind - KEY_SUBJECT)] = end > 0 ? shared_edge(kind, end, true) : 0;
		edges[2 * (kind - KEY_SUBJECT) + 1] = end <= KEY_NUMBER_MAX ? KEY_ADDRESS(kind, end, 0) : PG_UINT64_MAX;
	}
	for (int i = 0; i < lengthof(edges); i++)
	{
		KeyPoint	leaf = {.address = edges[i], .level = LEVELS};
		bool		shared = shared_leaves(leaf, end) > 0;
		uint8		key[SECRET_KEY_LEN];
		bool		derived = keytree_derive(fork, edges[i], key);

		check(derived == !(shared && model_leaf_punctured(model, edges[i])));
		check(!derived || memcmp(key, model_key(shared ? model : fresh, leaf), SECRET_KEY_LEN) == 0);
	}

	bytes = cover_bytes(fork, &len);
	other = cover_from_bytes(bytes, len);
	check(other != NULL && cover_equal(fork, other));
	free(other);
	free(bytes);
	free(fork);
	free(fresh);
}



/* --- Random sequences ----------------------------------------------------- */

/* Points that share subtrees: a random subject, of which some low bits, and
 * sometimes the kind, vary. */
typedef struct Neighbourhood
{
	uint64		number;
	int			number_bits;
	int			group_bits;
} Neighbourhood;

static KeyPoint
random_point(const Neighbourhood *around)
{
	uint64		number = around->number ^ random_below(UINT64CONST(1) << around->number_bits);
	uint64		group = random_below(1 << around->group_bits);
	int			kind = KEY_SUBJECT;
	KeyPoint	point;

	switch (random_below(40))
	{
		case 0:
			number = 0;
			break;
		case 1:
			number = KEY_NUMBER_MAX;
			break;
		case 2:
			number = random_below(KEY_NUMBER_MAX + 1);
			break;
		case 3:
			group = 0xFFFF;
			break;
		case 4:
			group = random_below(0x10000);
			break;
		case 5:
			kind = KEY_EPOCH;
			break;
		case 6:
			kind = random_below(256);
			break;
	}
	point.address = KEY_ADDRESS(kind, number, group);
	switch (random_below(8))
	{
		case 0:
			point.level = random_below(LEVELS + 1);
			break;
		case 1:
		case 2:
			point.level = 1 + 20 + random_below(5);
			break;
		case 3:
		case 4:
			point.level = LEVELS;
			break;
		default:
			point.level = KEYTREE_NUMBER_LEVEL;
			break;
	}
	/* The whole tree, and whole kinds, now and then only. */
	if (point.level < 8 && random_below(20) != 0)
		point.level = KEYTREE_NUMBER_LEVEL;
	return point;
}

static void
run_sequence(Model *model)
{
	Neighbourhood around = {
		.number = random_below(KEY_NUMBER_MAX + 1),
		.number_bits = random_below(5) == 0 ? random_below(41) : random_below(6),
		.group_bits = random_below(3) == 0 ? random_below(17) : random_below(4)
	};
	KeyPoint	all[MAX_POINTS];
	int			nall = 0;
	KeyCover   *cover;
	KeyCover   *other;
	uint8	   *bytes;
	size_t		len;
	int			batches = 1 + random_below(4);
	int			also = random_below(12);	/* what else is done with it */

	model_begin(model);
	cover = cover_plant(model);
	for (int batch = 0; batch < batches; batch++)
	{
		KeyPoint	points[16];
		int			n = random_below(5);

		if (random_below(50) == 0)
			n = lengthof(points);
		for (int i = 0; i < n; i++)
		{
			/* Some for the second time, in this batch or a later one. */
			points[i] = nall > 0 && random_below(8) == 0 ? all[random_below(nall)] : random_point(&around);
			model_puncture(model, points[i]);
			all[nall++] = points[i];
		}
		cover = cover_puncture(cover, points, n);
	}

	check_cover(model, cover);
	check_look_ups(model, cover);

	/* One by one, in another order. */
	if (also == 0)
	{
		for (int i = nall - 1; i > 0; i--)
		{
			int			j = random_below(i + 1);
			KeyPoint	swap = all[i];

			all[i] = all[j];
			all[j] = swap;
		}
		other = cover_plant(model);
		for (int i = 0; i < nall; i++)
			other = cover_puncture(other, &all[i], 1);
		check(cover_equal(cover, other));
		free(other);
	}

	/* All in one batch; and all a second time. */
	if (also <= 3)
	{
		other = cover_puncture(cover_plant(model), all, nall);
		check(cover_equal(cover, other));
		other = cover_puncture(other, all, nall);
		check(cover_equal(cover, other));
		free(other);
	}

	/* By way of bytes. */
	if (also == 4)
	{
		bytes = cover_bytes(cover, &len);
		other = cover_from_bytes(bytes, len);
		check(other != NULL && cover_equal(cover, other));
		free(other);
		free(bytes);
	}

	/* Forked: the numbers are given out in extents, but any border will do. */
	if (also == 5)
	{
		uint64		ends[] = {0, 1, 65536, (around.number + 1) & ~UINT64CONST(0xFFFF),
		around.number, around.number + 1, random_below(KEY_NUMBER_MAX + 2), KEY_NUMBER_MAX + 1};

		check_fork(model, cover, ends[random_below(lengthof(ends))]);
	}

	/* Refined after it was punctured, or before. */
	if (also >= 10)
	{
		KeyPoint	range = {.address = KEY_ADDRESS(KEY_SUBJECT, around.number, 0),
		.level = 12 + random_below(6)};
		uint64		first = model_first(range) - random_below(2);	/* KEY_SUBJECT is not 0 */
		uint64		last = random_below(3) == 0 ? first : model_last(range);
		int			level = random_below(range.level + 5);

		model->minimal = false;
		if (also == 10)
			cover = cover_refine(cover, first, last, level);
		else
		{
			free(cover);
			cover = cover_refine(cover_plant(model), first, last, level);
			cover = cover_puncture(cover, all, nall);
		}
		check_cover(model, cover);
		check_look_ups(model, cover);
		for (uint32 i = 0; i < keytree_cover_nodes(cover); i++)
			check(cover_levels(cover)[i] >= level || cover_addresses(cover)[i] > last ||
				  last_leaf(cover_node(cover, i)) < first);
	}
	free(cover);
}


/* --- Known answers -------------------------------------------------------- */

/*
 * The two leaves of docs/internals/key-tree.md, from a new tree and from covers
 * that were punctured next to them and refined.
 */
static void
test_known_answers(void)
{
	const struct
	{
		uint64		address;
		const char *key;
	}			leaves[] = {
		{KEY_ADDRESS(KEY_SUBJECT, 7, KEY_GROUP_DEFAULT),
		"b4e312f8eda018e8995c50cebac1d69412d005a351e82b40012d2b71f5e6f25b"},
		{KEY_ADDRESS(KEY_EPOCH, KEY_NUMBER_MAX, 0xABCD),
		"cf4b2a7941d07a30f0f03aa94c645f3ade21f007d4b4733bb9170ef06b8b1490"},
	};
	Model	   *model = allocate(sizeof(Model));
	KeyCover   *cover;

	kdf_is_aes = true;
	for (int i = 0; i < SECRET_KEY_LEN; i++)
		model->root[i] = i;
	cover = cover_plant(model);
	for (int step = 0; step < 3; step++)
	{
		for (int i = 0; i < lengthof(leaves); i++)
		{
			uint8		key[SECRET_KEY_LEN];
			char		hex[2 * SECRET_KEY_LEN + 1];

			check(keytree_derive(cover, leaves[i].address, key));
			for (int b = 0; b < SECRET_KEY_LEN; b++)
				snprintf(hex + 2 * b, 3, "%02x", key[b]);
			check(strcmp(hex, leaves[i].key) == 0);
		}
		if (step == 0)
		{
			KeyPoint	next[] = {{leaves[0].address + 1, KEYTREE_DEPTH},
			{leaves[1].address - 0x10000, KEYTREE_NUMBER_LEVEL}};

			cover = cover_puncture(cover, next, lengthof(next));
		}
		else if (step == 1)
			cover = cover_refine(cover, leaves[0].address, leaves[0].address, KEYTREE_FAST_LEVEL);
	}
	kdf_is_aes = false;
	free(cover);
	free(model);
	done_testing("known answers");
}


/* --- Edges ---------------------------------------------------------------- */

static void
test_edges(Model *model)
{
	KeyPoint	root = {.address = 12345, .level = 0};
	KeyPoint	subject = {.address = KEY_ADDRESS(KEY_SUBJECT, 7, 0), .level = KEYTREE_NUMBER_LEVEL};
	KeyPoint	edges[] = {
		{KEY_ADDRESS(KEY_SUBJECT, 0, 0), KEYTREE_NUMBER_LEVEL},
		{KEY_ADDRESS(KEY_SUBJECT, KEY_NUMBER_MAX, 0), KEYTREE_NUMBER_LEVEL},
		{KEY_ADDRESS(0, 0, 0), KEYTREE_DEPTH},
		{PG_UINT64_MAX, KEYTREE_DEPTH},
	};
	KeyPoint   *leaves = allocate(0x10000 * sizeof(KeyPoint));
	KeyCover   *cover;
	KeyCover   *other;
	uint8		key[SECRET_KEY_LEN];
	uint8	   *bytes;
	size_t		len;
	TreeWork	work = {.out = NULL};

	/* Nothing. */
	model_begin(model);
	cover = cover_puncture(cover_plant(model), NULL, 0);
	check(keytree_cover_nodes(cover) == 1);
	check_cover(model, cover);
	check_look_ups(model, cover);

	/* The first and the last. */
	for (int i = 0; i < lengthof(edges); i++)
		model_puncture(model, edges[i]);
	cover = cover_puncture(cover, edges, lengthof(edges));
	check_cover(model, cover);
	check_look_ups(model, cover);

	/* A subject by all its groups, as by itself. */
	for (int i = 0; i < 0x10000; i++)
	{
		leaves[i].address = KEY_ADDRESS(KEY_SUBJECT, 7, 0xFFFF - i);
		leaves[i].level = KEYTREE_DEPTH;
	}
	other = cover_puncture(cover_plant(model), leaves, 0x10000);
	free(cover);
	cover = cover_puncture(cover_plant(model), &subject, 1);
	check(cover_equal(cover, other));
	check(keytree_punctured(other, &subject));
	free(other);

	/* A subject's leaves with the subject among them. */
	leaves[0x8000] = subject;
	other = cover_puncture(cover_plant(model), leaves, 0x10000);
	check(cover_equal(cover, other));
	free(other);

	/* All but one group: the subject is not punctured. */
	other = cover_puncture(cover_plant(model), leaves, 0x8000);
	check(!keytree_punctured(other, &subject));
	check(keytree_derive(other, KEY_ADDRESS(KEY_SUBJECT, 7, 0), key));
	check(!keytree_derive(other, KEY_ADDRESS(KEY_SUBJECT, 7, 0xFFFF), key));
	free(other);

	/* Everything: a cover without a node, which can be kept and punctured. */
	cover = cover_puncture(cover, &root, 1);
	model_puncture(model, root);
	check(keytree_cover_nodes(cover) == 0);
	check_look_ups(model, cover);
	cover = cover_puncture(cover, edges, lengthof(edges));
	cover = cover_refine(cover, 0, PG_UINT64_MAX, KEYTREE_FAST_LEVEL);
	bytes = cover_bytes(cover, &len);
	other = cover_from_bytes(bytes, len);
	check(other != NULL && keytree_cover_nodes(other) == 0);
	free(bytes);
	free(other);
	free(cover);
	free(leaves);

	/* Sizes that do not wrap around. */
	check(keytree_cover_size(PG_UINT32_MAX) > UINT64CONST(41) * PG_UINT32_MAX);
	check(keytree_serialised_size(PG_UINT32_MAX) > UINT64CONST(41) * PG_UINT32_MAX);
	work.made = PG_UINT32_MAX - 1;
	work_emit(&work, root, NULL);
	work_emit(&work, root, NULL);
	check(work.made == PG_UINT32_MAX);
	done_testing("edges: nothing, the first, the last, all groups, the whole tree, sizes");
}

/* An error of the crypto library on the way leaves no key on the stack. */
static void
test_errors(Model *model)
{
	KeyPoint	subject = {.address = KEY_ADDRESS(KEY_SUBJECT, 7, 0), .level = KEYTREE_NUMBER_LEVEL};
	sigjmp_buf	handler;
	KeyCover   *volatile cover;
	KeyCover   *volatile out;

	model_begin(model);
	cover = cover_plant(model);
	out = allocate(keytree_cover_size(keytree_puncture_count(cover, &subject, 1)));
	for (int after = 1; after < 400; after += 7)
	{
		wiped = 0;
		PG_exception_stack = &handler;
		if (sigsetjmp(handler, 0) == 0)
		{
			kdf_fails_in = after;
			keytree_puncture(cover, &subject, 1, out);
			check(kdf_fails_in > 0);
		}
		else
		{
			check(after <= 256 + 20 * 4);
			free(last_allocated);	/* as the memory context would be */
		}
		kdf_fails_in = 0;
		PG_exception_stack = NULL;
		check(wiped == sizeof(((TreeWork *) NULL)->keys));
	}
	free(out);
	free(cover);
	done_testing("keys on the way are wiped, on error too");
}

/* Bytes that somebody has changed; the MAC around them is not for this layer. */
static void
test_bytes(Model *model)
{
	Neighbourhood around = {.number = 1000, .number_bits = 3, .group_bits = 2};
	KeyCover   *cover;
	KeyCover   *other;
	uint8	   *bytes;
	uint8	   *longer;
	size_t		len;
	int			refused = 0;

	model_begin(model);
	cover = cover_plant(model);
	for (int i = 0; i < 3; i++)
	{
		KeyPoint	point = random_point(&around);

		point.level = i == 0 ? KEYTREE_DEPTH : KEYTREE_NUMBER_LEVEL;
		model_puncture(model, point);
		cover = cover_puncture(cover, &point, 1);
	}
	bytes = cover_bytes(cover, &len);

	/* In memory of that very length: a read past it is seen. */
	for (size_t cut = 0; cut < len; cut++)
	{
		uint8	   *shorter = allocate(Max(cut, 1));

		memcpy(shorter, bytes, cut);
		check(cover_from_bytes(shorter, cut) == NULL);
		free(shorter);
	}
	longer = allocate(len + 41);
	memcpy(longer, bytes, len);
	memset(longer + len, 0, 41);
	check(cover_from_bytes(longer, len + 1) == NULL);
	check(cover_from_bytes(longer, len + 41) == NULL);
	free(longer);
	done_testing("every truncation, and every extension, is refused");

	for (size_t bit = 0; bit < len * 8; bit++)
	{
		bytes[bit / 8] ^= 1 << bit % 8;
		other = cover_from_bytes(bytes, len);
		refused += other == NULL;
		check(bit / 8 >= FORMAT_HEADER || other == NULL);
		for (int i = 0; i < model->npoints && other != NULL; i++)
		{
			KeyPoint	point = model->points[i];
			KeyPoint	leaves[] = {
				{model_first(point), LEVELS},
				{model_last(point), LEVELS},
				{point.address | random_below(model_leaves(point.level)), LEVELS}
			};
			uint8		key[SECRET_KEY_LEN];

			for (int l = 0; l < lengthof(leaves); l++)
				check(!keytree_derive(other, leaves[l].address, key) ||
					  memcmp(key, model_key(model, leaves[l]), SECRET_KEY_LEN) != 0);
		}
		free(other);
		bytes[bit / 8] ^= 1 << bit % 8;
	}
	check(refused > 0);
	done_testing("no flipped bit brings a punctured leaf back");

	free(bytes);
	free(cover);
}

static void
test_nodes_as_bytes(void)
{
	const uint64 subject = KEY_ADDRESS(KEY_SUBJECT, 7, 0);
	const uint64 leaf = KEY_ADDRESS(KEY_SUBJECT, 7, 5);
	const struct
	{
		KeyPoint	nodes[2];
		int			nnodes;
		bool		valid;
	}			covers[] = {
		{{{0, 0}}, 0, true},
		{{{0, 0}}, 1, true},
		{{{leaf, KEYTREE_DEPTH}}, 1, true},
		{{{PG_UINT64_MAX, KEYTREE_DEPTH}}, 1, true},
		{{{subject, KEYTREE_NUMBER_LEVEL}, {subject + 0x10000, KEYTREE_DEPTH}}, 2, true},
		{{{leaf, KEYTREE_DEPTH}, {leaf + 1, KEYTREE_DEPTH}}, 2, true},
		/* out of order */
		{{{subject + 0x10000, KEYTREE_DEPTH}, {subject, KEYTREE_NUMBER_LEVEL}}, 2, false},
		/* twice */
		{{{subject, KEYTREE_NUMBER_LEVEL}, {subject, KEYTREE_NUMBER_LEVEL}}, 2, false},
		{{{leaf, KEYTREE_DEPTH}, {leaf, KEYTREE_DEPTH}}, 2, false},
		/* one above the other */
		{{{0, 0}, {subject, KEYTREE_NUMBER_LEVEL}}, 2, false},
		{{{subject, KEYTREE_NUMBER_LEVEL}, {subject, KEYTREE_DEPTH}}, 2, false},
		{{{subject, KEYTREE_NUMBER_LEVEL}, {subject + 0xFFFF, KEYTREE_DEPTH}}, 2, false},
		{{{subject, KEYTREE_DEPTH}, {subject, KEYTREE_NUMBER_LEVEL}}, 2, false},
		/* bits below the level, and levels that there are not */
		{{{1, 0}}, 1, false},
		{{{leaf, KEYTREE_NUMBER_LEVEL}}, 1, false},
		{{{leaf, KEYTREE_DEPTH - 1}}, 1, false},
		{{{leaf, KEYTREE_DEPTH + 1}}, 1, false},
		{{{0, 255}}, 1, false},
	};

	for (int i = 0; i < lengthof(covers); i++)
	{
		size_t		len = FORMAT_HEADER + covers[i].nnodes * FORMAT_NODE;
		uint8	   *bytes = allocate(len);
		KeyCover   *cover;

		memset(bytes, 0, len);
		bytes[0] = FORMAT_VERSION;
		bytes[1] = KEYTREE_DEPTH;
		bytes[7] = covers[i].nnodes;
		for (int n = 0; n < covers[i].nnodes; n++)
		{
			uint8	   *at = bytes + FORMAT_HEADER + n * FORMAT_NODE;

			for (int b = 0; b < 8; b++)
				at[b] = covers[i].nodes[n].address >> (56 - 8 * b);
			at[8] = covers[i].nodes[n].level;
		}
		cover = cover_from_bytes(bytes, len);
		sequence = i;
		check((cover != NULL) == covers[i].valid);
		free(cover);
		free(bytes);
	}
	done_testing("nodes out of order, twice, above one another or at no level are refused");
}

int
main(int argc, char **argv)
{
	uint64		sequences = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
	Model	   *model = allocate(sizeof(Model));
	char		name[100];

	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	random_state = seed;
	test_known_answers();
	test_edges(model);
	test_errors(model);
	test_bytes(model);
	test_nodes_as_bytes();
	for (sequence = 1; sequence <= sequences; sequence++)
	{
		/* Any of them can be run alone, in a debugger. */
		random_state = mix(seed + sequence);
		run_sequence(model);
	}
	snprintf(name, sizeof(name), UINT64_FORMAT " random sequences of punctures", sequences);
	done_testing(name);
	printf("1..%d\n", tests);
	free(model);
	return bad_tests == 0 ? 0 : 1;
}
