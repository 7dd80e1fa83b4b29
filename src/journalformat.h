/*
 * journalformat.h
 *		A journal as bytes: entries in a chain of hashes, in objects that are
 *		authenticated.  No I/O, no catalog.
 *
 * An entry (all integers big-endian):
 *
 *	offset	length	field
 *	0		4		length of the entry, with this field
 *	4		1		kind (JournalKind)
 *	5		1		flags: 1 = a consent that was imported
 *	6		2		t: length of the subject table's name
 *	8		2		p: length of the purpose
 *	10		2		zero
 *	12		4		d: length of the detail
 *	16		8		sequence: 1, 2, 3, ...
 *	24		8		incarnation of the database
 *	32		8		when it happened, microseconds since 2000-01-01 UTC
 *	40		16		event: a random UUID
 *	56		32		subject: HMAC, zero where the event concerns nobody
 *	88		t		name of the subject table, UTF-8
 *	88+t	p		purpose
 *	88+t+p	d		detail: JSON, UTF-8; what else a replay needs, nothing personal
 *
 * The chain: hash(n) = SHA-256(hash(n - 1) | entry n); hash(0) =
 * SHA-256("pg_purpose journal v1" | keyring).
 *
 * journal.<v>, an object of the key provider:
 *
 *	offset	length	field
 *	0		8		"PGPJOURN"
 *	8		2		format, 1
 *	10		2		zero
 *	12		16		keyring
 *	28		8		version v
 *	36		8		when it was written, microseconds since 2000-01-01 UTC
 *	44		8		checkpoint: entries up to this sequence were pruned
 *	52		32		the chain's hash there
 *	84		8		sequence before the first entry
 *	92		32		the chain's hash there
 *	124		4		number of entries
 *	128		n		entries
 *	128+n	32		HMAC-SHA-256 of all that stands before
 *
 * The keys of both HMACs are derived from journal-key by HKDF-Expand, with
 * "pg_purpose journal object v1" and "pg_purpose journal subject v1".  That of a
 * subject is over the table's name, a zero byte, and the subject's canonical
 * key.
 */
#ifndef PURPOSE_JOURNALFORMAT_H
#define PURPOSE_JOURNALFORMAT_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "kdf.h"
#include "keyprovider.h"

#define JOURNAL_HASH_LEN	KDF_HASH_LEN
#define JOURNAL_EVENT_LEN	16

/* Never change a number. */
typedef enum JournalKind
{
	JOURNAL_GIVEN = 1,
	JOURNAL_REFUSED = 2,
	JOURNAL_WITHDRAWN = 3,
	JOURNAL_OBJECTED = 4,
	JOURNAL_OBJECTION_WITHDRAWN = 5,
	JOURNAL_RESTRICTED = 6,
	JOURNAL_RESTRICTION_LIFTED = 7,
	JOURNAL_SHRED = 16,			/* a receipt was made */
	JOURNAL_DESTROYED = 17,		/* the receipt's keys were destroyed */
	JOURNAL_READMIT = 18,
	JOURNAL_ROTATED = 19,		/* the receipt of old tokens was made */
	JOURNAL_FORKED = 20,		/* a copy of the keyring is known */
	JOURNAL_FORK_ENDED = 21,	/* and is no more */
	JOURNAL_RECONCILED = 32		/* a new incarnation begins */
} JournalKind;

#define JOURNAL_FLAG_IMPORTED	0x1

typedef struct JournalEntry
{
	uint64		sequence;		/* set by journalformat_chain() */
	uint64		incarnation;
	JournalKind kind;
	uint8		flags;
	TimestampTz at;
	uint8		event[JOURNAL_EVENT_LEN];
	uint8		subject[JOURNAL_HASH_LEN];
	const char *table;			/* "" where there is none; UTF-8, as the rest */
	const char *purpose;
	const char *detail;
	uint8		hash[JOURNAL_HASH_LEN]; /* the chain, with this entry */
} JournalEntry;

/* A place in the chain. */
typedef struct JournalPoint
{
	uint64		sequence;
	uint8		hash[JOURNAL_HASH_LEN];
} JournalPoint;

typedef struct JournalObject
{
	uint64		version;
	TimestampTz written_at;
	JournalPoint checkpoint;
	JournalPoint base;			/* before the first entry */
	JournalPoint last;			/* the last entry, or the base */
	List	   *entries;		/* of JournalEntry * */
	size_t		len;			/* as bytes */
} JournalObject;

extern const char *journalformat_kind_name(JournalKind kind);
extern bool journalformat_parse_kind(const char *name, JournalKind *kind);

/* The beginning of a keyring's journal. */
extern void journalformat_origin(const uint8 keyring[KEYRING_ID_LEN], JournalPoint *origin);

/* Is it the same place, of the same history? */
extern bool journalformat_same_point(const JournalPoint *a, const JournalPoint *b);

/* Appends an entry to the object's: sets its sequence and hash. */
extern void journalformat_chain(JournalObject *object, JournalEntry *entry);

/* The object as bytes.  Its length is set. */
extern uint8 *journalformat_print(JournalObject *object, const uint8 keyring[KEYRING_ID_LEN],
								  const uint8 key[SECRET_KEY_LEN]);

/*
 * Returns NULL for what is not this version of this keyring's journal, or was
 * changed: all lengths, the chain and the HMAC are checked.
 */
extern JournalObject *journalformat_parse(const uint8 *bytes, size_t len,
										  const uint8 keyring[KEYRING_ID_LEN], uint64 version,
										  const uint8 key[SECRET_KEY_LEN]);

#endif							/* PURPOSE_JOURNALFORMAT_H */
