/*
 * keytree.c
 *		The puncturable key tree (Goldreich, Goldwasser and Micali 1986; Boneh
 *		and Waters 2013): covers, derivation, puncture.
 *
 * A cover holds the keys of nodes, none above another; the leaves below them
 * are those that can be derived.  Puncturing makes another cover, which holds
 * in place of each node above a point the siblings along the path to it.
 * docs/internals/key-tree.md says more, and what it costs.
 *
 * Invariants of a cover:
 * - Nodes are in the order of their addresses, and no two overlap.
 * - A node's address has no bit below its level.
 * - It is never changed once made, so whoever may read its memory needs no
 *	 lock.
 *
 * Key material is in covers, which are the caller's, in the caller's output,
 * and in a TreeWork on the stack, which is wiped on error too.  Addresses are
 * no secret.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "kdf.h"
#include "keytree.h"

/* Serialised: a header, then the nodes.  docs/internals/key-tree.md. */
#define FORMAT_VERSION	1
#define FORMAT_HEADER	8
#define FORMAT_NODE		(8 + 1 + SECRET_KEY_LEN)

/*
 * In memory: this, then the keys and the addresses of all nodes, every 16th
 * address again, and the levels, each in an array of its own.  So a search
 * reads a small array that stays in the processor's cache, and then two cache
 * lines of addresses.
 */
struct KeyCover
{
	uint32		nodes;
	uint32		unused[15];		/* no key lies across two cache lines */
};

#define INDEX_STEP		16

#define MEMORY_NODE		(SECRET_KEY_LEN + sizeof(uint64) + sizeof(uint8))

typedef uint8 TreeKey[SECRET_KEY_LEN];

/* Of an address, how many bits are below a node of each level. */
static const uint8 bits_below[KEYTREE_DEPTH + 1] = {
	64,							/* the root */
	56,							/* kind */
	54, 52, 50, 48, 46, 44, 42, 40, 38, 36, /* number ... */
	34, 32, 30, 28, 26, 24, 22, 20, 18, 16, /* ... down to the subject */
	12, 8, 4, 0					/* group, down to the leaf */
};

/* The children of one node of each level: 256, 20 times 4, 4 times 16. */
#define WORK_KEYS		(256 + 20 * 4 + 4 * 16)

StaticAssertDecl(KEYTREE_DEPTH == 1 + 20 + 4 && KEYTREE_NUMBER_LEVEL == 1 + 20,
				 "the levels are those of bits_below");

/* A walk over the nodes of a cover that makes another, or counts its nodes. */
typedef struct TreeWork
{
	KeyCover   *out;			/* NULL: only count */
	uint32		made;			/* nodes; stops at the highest uint32 */

	/* To puncture: in order. */
	KeyPoint   *points;
	int			npoints;

	/* To refine: these leaves' nodes, down to this level. */
	uint64		first;
	uint64		last;
	int			level;

	/*
	 * To fork: numbers below this one are shared, the others are of this
	 * root.
	 */
	uint64		end;
	const uint8 *root;

	/* The children of each node on the way to the one that is looked at. */
	TreeKey		keys[WORK_KEYS];
} TreeWork;


/* --- Nodes ---------------------------------------------------------------- */

static inline uint64
mask_below(int level)
{
	return level == 0 ? PG_UINT64_MAX : (UINT64CONST(1) << bits_below[level]) - 1;
}

/* The last leaf of a node.  The first has the node's own address. */
static inline uint64
last_leaf(KeyPoint node)
{
	return node.address | mask_below(node.level);
}

static inline uint32
node_arity(int level)
{
	return UINT64CONST(1) << (bits_below[level] - bits_below[level + 1]);
}

/* Which child of a node of that level leads to the address. */
static inline uint32
child_towards(uint64 address, int level)
{
	return (address >> bits_below[level + 1]) & (node_arity(level) - 1);
}

static inline KeyPoint
node_child(KeyPoint node, uint32 i)
{
	KeyPoint	child;

	child.level = node.level + 1;
	child.address = node.address | ((uint64) i << bits_below[child.level]);
	return child;
}


/* --- Covers in memory ----------------------------------------------------- */

static inline TreeKey *
cover_keys(const KeyCover *cover)
{
	return (TreeKey *) (cover + 1);
}

static inline uint64 *
cover_addresses(const KeyCover *cover)
{
	return (uint64 *) (cover_keys(cover) + cover->nodes);
}

/* How many entries has the array of every 16th address? */
static inline uint32
index_entries(uint32 nodes)
{
	return nodes / INDEX_STEP + (nodes % INDEX_STEP != 0 ? 1 : 0);
}

static inline uint64 *
cover_index(const KeyCover *cover)
{
	return cover_addresses(cover) + cover->nodes;
}

static inline uint8 *
cover_levels(const KeyCover *cover)
{
	return (uint8 *) (cover_index(cover) + index_entries(cover->nodes));
}

static inline KeyPoint
cover_node(const KeyCover *cover, uint32 i)
{
	KeyPoint	node;

	node.address = cover_addresses(cover)[i];
	node.level = cover_levels(cover)[i];
	return node;
}

static inline void
cover_set(KeyCover *cover, uint32 i, KeyPoint node, const uint8 *key)
{
	memcpy(cover_keys(cover)[i], key, SECRET_KEY_LEN);
	cover_addresses(cover)[i] = node.address;
	cover_levels(cover)[i] = node.level;
	if (i % INDEX_STEP == 0)
		cover_index(cover)[i / INDEX_STEP] = node.address;
}

/* What does not fit into a size_t, which may have 32 bits, fits nowhere. */
static size_t
size_of_nodes(uint32 nodes, size_t header, size_t node)
{
	uint64		size = header + (uint64) nodes * node;

	return Min(size, (uint64) SIZE_MAX);
}

/*
 * How many bytes a cover of so many nodes takes; its address must be MAXALIGNed.
 */
size_t
keytree_cover_size(uint32 nodes)
{
	return size_of_nodes(nodes,
						 sizeof(KeyCover) + index_entries(nodes) * sizeof(uint64),
						 MEMORY_NODE);
}

uint32
keytree_cover_nodes(const KeyCover *cover)
{
	return cover->nodes;
}

/* Makes the cover of a new tree, from which every leaf derives. */
void
keytree_plant(KeyCover *cover, const uint8 root[SECRET_KEY_LEN])
{
	KeyPoint	node = {.address = 0, .level = 0};

	cover->nodes = 1;
	cover_set(cover, 0, node, root);
}

/*
 * Finds the last of n addresses, in order, that is not above the one wanted;
 * the first if all are.  n is not 0.  Without branches that depend on what is
 * found: the processor would mispredict every other one.
 */
static inline uint32
find_address(const uint64 *addresses, uint32 n, uint64 address)
{
	const uint64 *at = addresses;

	while (n > 1)
	{
		uint32		half = n / 2;

		at += (at[half] <= address) ? half : 0;
		n -= half;
	}
	return at - addresses;
}

/*
 * Finds the last node that begins at or before an address; the first node if
 * none does.  There must be a node.
 */
static uint32
find_node(const KeyCover *cover, uint64 address)
{
	uint32		first = INDEX_STEP * find_address(cover_index(cover),
												  index_entries(cover->nodes), address);

	return first + find_address(cover_addresses(cover) + first,
								Min(INDEX_STEP, cover->nodes - first), address);
}


/* --- Derivation ----------------------------------------------------------- */

/*
 * Derives the key of a leaf into key.  Returns false, and leaves key alone, if
 * the leaf has been punctured.  Raises what kdf_tree_child raises; key then
 * holds some other secret.  The caller wipes it, in either case.
 */
bool
keytree_derive(const KeyCover *cover, uint64 address, uint8 key[SECRET_KEY_LEN])
{
	uint32		i;
	KeyPoint	node;

	if (cover->nodes == 0)
		return false;
	i = find_node(cover, address);
	node = cover_node(cover, i);
	if (address < node.address || address > last_leaf(node))
		return false;

	memcpy(key, cover_keys(cover)[i], SECRET_KEY_LEN);
	for (int level = node.level; level < KEYTREE_DEPTH; level++)
		kdf_tree_child(key, child_towards(address, level), key);
	return true;
}

/* Can no leaf below the point be derived? */
bool
keytree_punctured(const KeyCover *cover, const KeyPoint *point)
{
	KeyPoint	range = {.address = point->address & ~mask_below(point->level),
	.level = point->level};
	KeyPoint	node;
	uint32		i;

	if (cover->nodes == 0)
		return true;

	/* The last node that begins within the point or before it. */
	i = find_node(cover, last_leaf(range));
	node = cover_node(cover, i);
	return node.address > last_leaf(range) || last_leaf(node) < range.address;
}


/* --- Making covers -------------------------------------------------------- */

static void
work_emit(TreeWork *work, KeyPoint node, const uint8 *key)
{
	if (work->out)
	{
		Assert(work->made < work->out->nodes);
		cover_set(work->out, work->made, node, key);
	}
	if (work->made < PG_UINT32_MAX)
		work->made++;
}

/*
 * Derives the keys of all children of a node, unless only nodes are counted.
 * They stay until the children of another node of that level are asked for.
 */
static TreeKey *
work_children(TreeWork *work, int level, const uint8 *key)
{
	TreeKey    *children = work->keys;

	for (int i = 0; i < level; i++)
		children += node_arity(i);
	if (work->out)
		kdf_tree_children(key, node_arity(level), children);
	return children;
}

/*
 * Emits what is left of a node without the points first to end - 1, all of
 * them at it, above it or below it, and at least one.
 */
static void
puncture_node(TreeWork *work, KeyPoint node, const uint8 *key, int first, int end)
{
	TreeKey    *children;

	if (work->points[first].level <= node.level)
		return;

	children = work_children(work, node.level, key);
	for (uint32 i = 0; i < node_arity(node.level); i++)
	{
		KeyPoint	child = node_child(node, i);
		int			next = first;

		while (next < end && work->points[next].address <= last_leaf(child))
			next++;
		if (next == first)
			work_emit(work, child, children[i]);
		else
			puncture_node(work, child, children[i], first, next);
		first = next;
	}
}

/* One pass over nodes and points, both in order. */
static void
puncture_cover(TreeWork *work, const KeyCover *cover)
{
	int			first = 0;

	for (uint32 i = 0; i < cover->nodes; i++)
	{
		KeyPoint	node = cover_node(cover, i);
		int			end;

		while (first < work->npoints && last_leaf(work->points[first]) < node.address)
			first++;
		end = first;
		while (end < work->npoints && work->points[end].address <= last_leaf(node))
			end++;
		if (end == first)
			work_emit(work, node, cover_keys(cover)[i]);
		else
			puncture_node(work, node, cover_keys(cover)[i], first, end);
	}
}

/* By address; a node before those below it. */
static int
compare_points(const void *a, const void *b)
{
	const KeyPoint *x = a;
	const KeyPoint *y = b;

	if (x->address != y->address)
		return x->address < y->address ? -1 : 1;
	return x->level - y->level;
}

/* A copy of the points, in order.  The same one twice, or one below another, is
 * no harm: who meets the first is done. */
static void
work_set_points(TreeWork *work, const KeyPoint *points, int npoints)
{
	KeyPoint   *sorted = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(npoints, 1) * sizeof(KeyPoint));

	for (int i = 0; i < npoints; i++)
	{
		Assert(points[i].level >= 0 && points[i].level <= KEYTREE_DEPTH);
		sorted[i] = points[i];
		sorted[i].address &= ~mask_below(points[i].level);
	}
	qsort(sorted, npoints, sizeof(KeyPoint), compare_points);
	work->points = sorted;
	work->npoints = npoints;
}

/*
 * Emits a node, or in its place those below it: down to the level wanted, and
 * only as far as they have to do with the leaves wanted.
 */
static void
refine_node(TreeWork *work, KeyPoint node, const uint8 *key)
{
	TreeKey    *children;

	if (node.level >= work->level ||
		last_leaf(node) < work->first || node.address > work->last)
	{
		work_emit(work, node, key);
		return;
	}

	children = work_children(work, node.level, key);
	for (uint32 i = 0; i < node_arity(node.level); i++)
		refine_node(work, node_child(node, i), children[i]);
}

static void
refine_cover(TreeWork *work, const KeyCover *cover)
{
	for (uint32 i = 0; i < cover->nodes; i++)
		refine_node(work, cover_node(cover, i), cover_keys(cover)[i]);
}

/*
 * Counts, with out NULL; else counts and then fills out, which must have room
 * for the nodes.
 */
static uint32
work_run(TreeWork *work, const KeyCover *cover, KeyCover *out,
		 void (*run) (TreeWork *, const KeyCover *))
{
	work->out = NULL;
	work->made = 0;
	run(work, cover);
	if (out == NULL)
		return work->made;

	/* Where a cover's arrays lie depends on how many nodes it has. */
	out->nodes = work->made;
	work->out = out;
	work->made = 0;
	PG_TRY();
	{
		run(work, cover);
	}
	PG_FINALLY();
	{
		secret_wipe(work->keys, sizeof(work->keys));
	}
	PG_END_TRY();
	Assert(work->made == out->nodes);
	return work->made;
}

/*
 * How many nodes keytree_puncture would make.  The highest uint32 stands for
 * itself and for more; no memory holds such a cover.
 */
uint32
keytree_puncture_count(const KeyCover *cover, const KeyPoint *points, int npoints)
{
	TreeWork	work;
	uint32		nodes;

	work_set_points(&work, points, npoints);
	nodes = work_run(&work, cover, NULL, puncture_cover);
	pfree(work.points);
	return nodes;
}

/*
 * Makes in out the cover from which the same leaves derive, less all those at
 * and below the points.  out is not the same memory as cover, and has room for
 * keytree_puncture_count() nodes.  Raises what kdf_tree_children raises; out
 * then holds keys in no order and is the caller's to wipe, as always.
 */
void
keytree_puncture(const KeyCover *cover, const KeyPoint *points, int npoints,
				 KeyCover *out)
{
	TreeWork	work;

	work_set_points(&work, points, npoints);
	(void) work_run(&work, cover, out, puncture_cover);
	pfree(work.points);
}

/* How many nodes keytree_refine would make; as keytree_puncture_count. */
uint32
keytree_refine_count(const KeyCover *cover, uint64 first, uint64 last, int level)
{
	TreeWork	work;

	work.first = first;
	work.last = last;
	work.level = level;
	return work_run(&work, cover, NULL, refine_cover);
}

/*
 * Makes in out the cover from which the same leaves derive, and those from
 * first to last in no more than KEYTREE_DEPTH - level steps.  As
 * keytree_puncture otherwise.
 */
void
keytree_refine(const KeyCover *cover, uint64 first, uint64 last, int level,
			   KeyCover *out)
{
	TreeWork	work;

	work.first = first;
	work.last = last;
	work.level = level;
	(void) work_run(&work, cover, out, refine_cover);
}

/*
 * Emits what a cover has of a node, whose keys are shared.
 */
static void
fork_shared(TreeWork *work, const KeyCover *cover, KeyPoint node)
{
	uint32		i;
	KeyPoint	found;
	TreeKey		key = {0};

	if (cover->nodes == 0)
		return;
	i = find_node(cover, node.address);
	found = cover_node(cover, i);
	if (found.level <= node.level && found.address <= node.address &&
		last_leaf(found) >= last_leaf(node))
	{
		PG_TRY();
		{
			if (work->out)
			{
				memcpy(key, cover_keys(cover)[i], SECRET_KEY_LEN);
				for (int level = found.level; level < node.level; level++)
					kdf_tree_child(key, child_towards(node.address, level), key);
			}
			work_emit(work, node, key);
		}
		PG_FINALLY();
		{
			secret_wipe(key, sizeof(key));
		}
		PG_END_TRY();
		return;
	}
	for (; i < cover->nodes && (found = cover_node(cover, i)).address <= last_leaf(node); i++)
	{
		if (found.address >= node.address)
			work_emit(work, found, cover_keys(cover)[i]);
	}
}

/*
 * Emits a node of the new tree, but for the leaves below it that are shared:
 * those of the cover.
 */
static void
fork_node(TreeWork *work, const KeyCover *cover, KeyPoint node, const uint8 *key)
{
	uint64		first = KEY_ADDRESS_NUMBER(node.address);
	uint64		last = KEY_ADDRESS_NUMBER(last_leaf(node));
	int			kind = node.address >> 56;
	TreeKey    *children;

	if (node.level > 0 && (kind < KEY_SUBJECT || kind > KEY_TOKEN || first >= work->end))
		work_emit(work, node, key);
	else if (node.level > 0 && last < work->end)
		fork_shared(work, cover, node);
	else
	{
		children = work_children(work, node.level, key);
		for (uint32 i = 0; i < node_arity(node.level); i++)
			fork_node(work, cover, node_child(node, i), children[i]);
	}
}

static void
fork_cover(TreeWork *work, const KeyCover *cover)
{
	KeyPoint	top = {.address = 0, .level = 0};

	fork_node(work, cover, top, work->root);
}

/* How many nodes keytree_fork would make; as keytree_puncture_count. */
uint32
keytree_fork_count(const KeyCover *cover, uint64 end)
{
	TreeWork	work;

	work.end = end;
	work.root = NULL;
	return work_run(&work, cover, NULL, fork_cover);
}

/*
 * Makes in out the cover that keytree.h describes.  As keytree_puncture
 * otherwise.
 */
void
keytree_fork(const KeyCover *cover, uint64 end, const uint8 root[SECRET_KEY_LEN], KeyCover *out)
{
	TreeWork	work;

	work.end = end;
	work.root = root;
	(void) work_run(&work, cover, out, fork_cover);
}


/* --- Covers as bytes ------------------------------------------------------ */

static void
write_number(uint8 *at, uint64 number, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, number >>= 8)
		at[i] = (uint8) number;
}

static uint64
read_number(const uint8 *at, int bytes)
{
	uint64		number = 0;

	for (int i = 0; i < bytes; i++)
		number = number << 8 | at[i];
	return number;
}

size_t
keytree_serialised_size(uint32 nodes)
{
	return size_of_nodes(nodes, FORMAT_HEADER, FORMAT_NODE);
}

/* Writes keytree_serialised_size() bytes, which are as secret as the cover. */
void
keytree_serialise(const KeyCover *cover, uint8 *out)
{
	write_number(out, FORMAT_VERSION, 1);
	write_number(out + 1, KEYTREE_DEPTH, 1);
	write_number(out + 2, 0, 2);
	write_number(out + 4, cover->nodes, 4);
	out += FORMAT_HEADER;
	for (uint32 i = 0; i < cover->nodes; i++, out += FORMAT_NODE)
	{
		KeyPoint	node = cover_node(cover, i);

		write_number(out, node.address, 8);
		write_number(out + 8, node.level, 1);
		memcpy(out + 9, cover_keys(cover)[i], SECRET_KEY_LEN);
	}
}

/*
 * How many nodes has the cover that these bytes are?  Returns false if they
 * begin as none does, or are not as many as they say.
 */
bool
keytree_deserialised_nodes(const uint8 *bytes, size_t len, uint32 *nodes)
{
	if (len < FORMAT_HEADER ||
		read_number(bytes, 1) != FORMAT_VERSION ||
		read_number(bytes + 1, 1) != KEYTREE_DEPTH ||
		read_number(bytes + 2, 2) != 0)
		return false;
	*nodes = (uint32) read_number(bytes + 4, 4);
	return len == keytree_serialised_size(*nodes);
}

/*
 * Makes the cover that the bytes are; it must have room for the nodes that
 * keytree_deserialised_nodes() says.  Returns false for what is no cover:
 * nodes that overlap, are out of order, at no level, or not where one of their
 * level can be.  Nothing has been written then.
 *
 * That nobody has changed the bytes is for the caller to make sure; other keys
 * or fewer nodes make a cover, too.
 */
bool
keytree_deserialise(const uint8 *bytes, size_t len, KeyCover *cover)
{
	const uint8 *at = bytes + FORMAT_HEADER;
	KeyPoint	node;
	KeyPoint	before = {0};
	uint32		nodes;

	if (!keytree_deserialised_nodes(bytes, len, &nodes))
		return false;
	for (uint32 i = 0; i < nodes; i++, at += FORMAT_NODE)
	{
		node.address = read_number(at, 8);
		node.level = (int) read_number(at + 8, 1);
		if (node.level > KEYTREE_DEPTH || (node.address & mask_below(node.level)) != 0)
			return false;
		if (i > 0 && node.address <= last_leaf(before))
			return false;
		before = node;
	}

	cover->nodes = nodes;
	at = bytes + FORMAT_HEADER;
	for (uint32 i = 0; i < nodes; i++, at += FORMAT_NODE)
	{
		node.address = read_number(at, 8);
		node.level = (int) read_number(at + 8, 1);
		cover_set(cover, i, node, at + 9);
	}
	return true;
}
