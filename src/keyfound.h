/*
 * keyfound.h
 *		New keyrings: with a tree of their own, or as a fork of another one.
 */
#ifndef PURPOSE_KEYFOUND_H
#define PURPOSE_KEYFOUND_H

#include "keyfork.h"

/*
 * Makes a new keyring at the provider, which nothing is bound to yet.  Raises
 * PU011.  If the transaction rolls back, or this fails halfway, an orphan is left
 * there: keys that open nothing.
 */
extern void keyfound_plant(uint8 keyring[KEYRING_ID_LEN]);

/*
 * Makes one that has the keys of `parent`, for all numbers that are given out
 * by now; fills `fork`.  Records it with the parent and with each of its
 * ancestors, List of KeyFork *, whose `keyring` is the ancestor.  Raises PU011.
 * What an orphan has left behind is recorded, and opens what the parent's keys
 * open.
 */
extern void keyfound_fork(KeyringRef *parent, List *ancestors, KeyFork *fork);

#endif							/* PURPOSE_KEYFOUND_H */
