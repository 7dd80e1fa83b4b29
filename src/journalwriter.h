/*
 * journalwriter.h
 *		From purpose.journal_outbox to the journal beside the keyring.
 */
#ifndef PURPOSE_JOURNALWRITER_H
#define PURPOSE_JOURNALWRITER_H

#include "keyring.h"

/*
 * Appends what committed transactions have put into the outbox, all of it; and
 * prunes the journal.  For the key worker of the instance that holds the claim,
 * in transactions of its own.  Raises PU011 and PU013; what was done then is seen
 * the next time.
 */
extern void journalwriter_run(KeyringRef *ref, uint64 fence);

#endif							/* PURPOSE_JOURNALWRITER_H */
