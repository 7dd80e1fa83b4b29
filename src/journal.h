/*
 * journal.h
 *		The journal beside the keyring: what a database that is restored to an
 *		earlier moment would have forgotten.  Reading, appending, pruning.
 *
 * All functions raise PU011, unless they say otherwise: for a provider that
 * fails, and for a journal that was changed, or of which a part is missing.
 */
#ifndef PURPOSE_JOURNAL_H
#define PURPOSE_JOURNAL_H

#include "journalformat.h"

typedef struct Journal
{
	KeyProvider *provider;
	uint8		keyring[KEYRING_ID_LEN];
	List	   *versions;		/* of uint64 *, ascending: what can be fetched */
	uint64		highest;		/* the highest version that there ever was */
	JournalObject *tail;		/* the newest object; NULL if there is none */
	JournalPoint head;			/* where the journal ends */
	JournalPoint checkpoint;	/* what comes before was pruned */
} Journal;

extern void journal_init(void);

/*
 * Reads where the journal ends.  Lives, as what is read from it, in the memory
 * context that is current; the provider must be kept open for it.
 */
extern Journal *journal_open(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN]);

/*
 * Reads the entries after a point that the caller knows, a List of
 * JournalEntry *.  Returns false if some of them have been pruned.  Raises
 * PU011 if the journal does not go through that point.
 */
extern bool journal_read_after(Journal *journal, const JournalPoint *point, List **entries);

/*
 * Appends entries; sets their sequences and hashes.  `written_at` is the time.
 * Raises PU013 if the provider has seen a higher fencing token.  After an error
 * they may be appended or not: open the journal again to see.
 */
extern void journal_append(Journal *journal, uint64 fence, List *entries,
						   TimestampTz written_at);

/*
 * Makes certain that all mirrors have the newest object.
 */
extern void journal_secure(Journal *journal, uint64 fence);

/*
 * Destroys objects all of whose entries were written before a moment, behind a
 * new checkpoint.  Returns true if there were any.
 */
extern bool journal_prune(Journal *journal, uint64 fence, TimestampTz before,
						  TimestampTz written_at);

/*
 * Gives up whatever the journal holds, and begins anew at a point that it
 * returns.
 */
extern void journal_abandon(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN],
							uint64 fence, uint64 sequence, TimestampTz written_at,
							JournalPoint *point);

/*
 * HMAC of a data subject, by the name that its table has in the journal and its
 * canonical key.
 */
extern void journal_hash_subject(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN],
								 const char *table, const char *key,
								 uint8 hash[JOURNAL_HASH_LEN]);

/* Makes that succeed until the end of the transaction, or returns false. */
extern bool journal_load_keys(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN]);

#endif							/* PURPOSE_JOURNAL_H */
