/*
 * parity.h
 *		Has a query on a protected table planned as it would be without
 *		protection.
 */
#ifndef PURPOSE_PARITY_H
#define PURPOSE_PARITY_H

extern void parity_init(void);

#endif							/* PURPOSE_PARITY_H */
