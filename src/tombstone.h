/*
 * tombstone.h
 *		Subjects that were shredded and not yet punctured from the keyring.
 */
#ifndef PURPOSE_TOMBSTONE_H
#define PURPOSE_TOMBSTONE_H

extern void tombstone_init(void);
extern bool tombstone_covers(uint64 number, uint16 group);

#endif							/* PURPOSE_TOMBSTONE_H */
