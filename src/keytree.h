/*
 * keytree.h
 *		The puncturable key tree: covers, derivation, puncture.  No I/O, no
 *		catalog, no shared state.
 *
 * A leaf address has 64 bits: kind (8) | number (40) | group (16).  The tree
 * has one level of arity 256 for the kind, 20 of arity 4 for the number, 4 of
 * arity 16 for the group.  A node is a prefix of an address: its level (0 the
 * root, KEYTREE_DEPTH a leaf) and the address with all bits below the level 0.
 *
 * A cover is a set of nodes, no one above another, sorted by address: exactly
 * the leaves below them can be derived.
 */
#ifndef PURPOSE_KEYTREE_H
#define PURPOSE_KEYTREE_H

#include "secret.h"

#define KEYTREE_DEPTH			25
#define KEYTREE_NUMBER_LEVEL	21	/* a node here is a subject */

typedef enum KeyKind
{
	KEY_SUBJECT = 1,
	KEY_EPOCH = 2,
	KEY_TOKEN = 3
} KeyKind;

#define KEY_NUMBER_MAX			((UINT64CONST(1) << 40) - 1)
#define KEY_GROUP_DEFAULT		0

#define KEY_ADDRESS(kind, number, group) \
	(((uint64) (kind) << 56) | ((uint64) (number) << 16) | (uint64) (group))
#define KEY_ADDRESS_KIND(address)	((KeyKind) ((address) >> 56))
#define KEY_ADDRESS_NUMBER(address) (((address) >> 16) & KEY_NUMBER_MAX)
#define KEY_ADDRESS_GROUP(address)	((uint16) ((address) & 0xFFFF))

typedef struct KeyPoint
{
	uint64		address;
	int			level;
} KeyPoint;

/*
 * A cover in one piece of memory without pointers, so that it can lie in
 * shared memory at any address.  `at` and `level` say where the nodes are,
 * `keys` (in the same order) what they are.
 */
typedef struct KeyCover KeyCover;

extern size_t keytree_cover_size(uint32 nodes);
extern uint32 keytree_cover_nodes(const KeyCover *cover);
extern void keytree_plant(KeyCover *cover, const uint8 root[SECRET_KEY_LEN]);	/* size of 1 node */

/* Derives the key of a leaf.  false: it has been punctured. */
extern bool keytree_derive(const KeyCover *cover, uint64 address, uint8 key[SECRET_KEY_LEN]);

/*
 * How many nodes would be left; then fills `out`, which has room for them.
 * points need not be sorted or unique; what is punctured already is skipped.
 * On error, too, the caller wipes what it let be filled.
 */
extern uint32 keytree_puncture_count(const KeyCover *cover, const KeyPoint *points, int npoints);
extern void keytree_puncture(const KeyCover *cover, const KeyPoint *points, int npoints,
							 KeyCover *out);
extern bool keytree_punctured(const KeyCover *cover, const KeyPoint *point);

/*
 * A cover for use rather than for keeping: the same leaves derive, but keys of
 * higher nodes have been replaced by those of `level` below them, wherever they
 * are above the leaves first to last, so that these derive in fewer steps.  At
 * KEYTREE_FAST_LEVEL it takes 41 bytes per 64 subjects.
 *
 * To puncture, and to write a state, take the cover that was not refined: a
 * refined one is right, too, but stays as large as it is.
 */
#define KEYTREE_FAST_LEVEL		18

extern uint32 keytree_refine_count(const KeyCover *cover, uint64 first, uint64 last, int level);
extern void keytree_refine(const KeyCover *cover, uint64 first, uint64 last, int level,
						   KeyCover *out);

/*
 * A cover that shares keys with another: leaves of numbers below `end` derive
 * as they do from `cover`, or not at all, and every other leaf as from a new
 * tree with this root.  So a number from `end` on has another key in each.
 */
extern uint32 keytree_fork_count(const KeyCover *cover, uint64 end);
extern void keytree_fork(const KeyCover *cover, uint64 end, const uint8 root[SECRET_KEY_LEN],
						 KeyCover *out);

/* As bytes that a file can hold, big-endian and versioned; deserialise checks
 * everything (order, levels, overlap, length) and returns false for what is
 * no cover. */
extern size_t keytree_serialised_size(uint32 nodes);
extern void keytree_serialise(const KeyCover *cover, uint8 *out);
extern bool keytree_deserialised_nodes(const uint8 *bytes, size_t len, uint32 *nodes);
extern bool keytree_deserialise(const uint8 *bytes, size_t len, KeyCover *cover);

#endif							/* PURPOSE_KEYTREE_H */
