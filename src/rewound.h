/*
 * rewound.h
 *		Was this database put back to an earlier moment, so that it lacks what
 *		people withdrew, objected to and had erased since?
 */
#ifndef PURPOSE_REWOUND_H
#define PURPOSE_REWOUND_H

#include "journal.h"
#include "keyring.h"

/* What the database says of its journal: purpose.journal_state. */
typedef struct JournalState
{
	JournalPoint point;			/* what it has written, or replayed */
	uint64		incarnation;
} JournalState;

typedef enum RewoundVerdict
{
	REWOUND_NOT,
	REWOUND_BEHIND,				/* `missing` is what it lacks */
	REWOUND_PRUNED				/* and some of that was pruned */
} RewoundVerdict;

typedef struct RewoundFinding
{
	RewoundVerdict verdict;
	JournalState state;
	Journal    *journal;
	List	   *missing;		/* of JournalEntry *: events that the database
								 * knows nothing of */
	List	   *explained;		/* events that it appended, and did not note
								 * that */
} RewoundFinding;

extern void rewound_init(void); /* shared memory; while preloading */

/*
 * Raises PU017 if this database was put back to an earlier moment and not
 * reconciled, and PU011 if that cannot be found out.  Asks the provider once in
 * the life of a server; cheap afterwards.  Nothing in a database without
 * keyring, or during recovery.
 */
extern void rewound_require_not(void);

/*
 * Compares the database with its journal.  Everything in `finding` lives in the
 * current memory context, and as long as the provider is open.  Raises PU011.
 */
extern void rewound_find_out(KeyProvider *provider, KeyringRef *ref, RewoundFinding *finding);

/*
 * The same, but where the newest entry is missing nothing else is read, and
 * `missing` stays empty.  How many there are at most the sequences say.
 */
extern void rewound_find_out_quickly(KeyProvider *provider, KeyringRef *ref,
									 RewoundFinding *finding);

/* Reads the state with a snapshot of this moment. */
extern void rewound_read_state(const uint8 keyring[KEYRING_ID_LEN], JournalState *state);

#endif							/* PURPOSE_REWOUND_H */
