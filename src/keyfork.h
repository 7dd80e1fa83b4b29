/*
 * keyfork.h
 *		Copies of a keyring that go their own way: keyrings that another database
 *		made, which derive keys of this one, and which no puncture here reaches.
 *
 * fork.<v>, an object of the keyring that was copied, all integers big-endian:
 *
 *	offset	length	field
 *	0		8		"PGPFORKS"
 *	8		2		format, 1
 *	10		2		zero
 *	12		16		keyring
 *	28		16		the fork: another keyring
 *	44		8		version: what this state did not derive, the fork does not
 *	52		8		numbers below this one are shared
 *	60		8		when, microseconds since 2000, by the clock of who made it
 *	68		n		who made it: host, data directory and database, for people
 *
 * Each is stored before the fork exists.  Versions say nothing but that a
 * record is another.
 */
#ifndef PURPOSE_KEYFORK_H
#define PURPOSE_KEYFORK_H

#include "datatype/timestamp.h"

#include "keysegment.h"

typedef struct KeyFork
{
	uint8		keyring[KEYRING_ID_LEN];
	uint64		version;
	uint64		end;			/* numbers below this one are shared */
	TimestampTz made_at;
	char	   *made_by;
} KeyFork;

/*
 * Stores that `of` was forked; an instance without its claim may do that, and
 * nothing else.  Raises PU011 unless it is on all mirrors.
 */
extern void keyfork_record(KeyProvider *provider, const uint8 of[KEYRING_ID_LEN],
						   const KeyFork *fork);

/*
 * Reads the forks of a keyring that are recorded, a List of KeyFork *.  For the
 * holder of the claim (fence is not 0) it sees to it that all mirrors have them.
 * Raises PU011 unless all mirrors have answered.
 */
extern List *keyfork_list(KeyProvider *provider, const uint8 of[KEYRING_ID_LEN], uint64 fence);

/* Removes the record of a fork that is no more. */
extern void keyfork_forget(KeyProvider *provider, const uint8 of[KEYRING_ID_LEN],
						   const uint8 fork[KEYRING_ID_LEN], uint64 fence);

/*
 * Destroys the keys of a fork: takes its claim, destroys its roots and waits
 * until nobody can use what he has read of it.  Returns false if no place of the
 * provider knows it.  Raises PU013 if it is in use, PU011 if a provider fails.
 */
extern bool keyfork_destroy(KeyringRef *fork);

#endif							/* PURPOSE_KEYFORK_H */
