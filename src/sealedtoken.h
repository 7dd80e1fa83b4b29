/*
 * sealedtoken.h
 *		Blind tokens: equality search on sealed values.
 */
#ifndef PURPOSE_SEALEDTOKEN_H
#define PURPOSE_SEALEDTOKEN_H

#include "nodes/parsenodes.h"

#include "envelope.h"
#include "sealedtype.h"

extern void sealedtoken_init(void);
extern void sealedtoken_prepare_query(Query *query);
extern uint64 sealedtoken_key_of_column(Oid relation, const char *column, bool create);
extern void sealedtoken_make(const SealedType *type, Datum base, uint64 number,
							 uint8 token[ENVELOPE_TOKEN_LEN]);

#endif							/* PURPOSE_SEALEDTOKEN_H */
