/*
 * sealedwalk.h
 *		Finds the sealed values in a value.
 */
#ifndef PURPOSE_SEALEDWALK_H
#define PURPOSE_SEALEDWALK_H

#include "sealedtype.h"

/* Returns the sealed value itself, or another to be put in its place. */
typedef Datum (*SealedVisitor) (void *context, const SealedType *type, int32 typmod, Datum value);

extern Datum sealedwalk(Datum value, Oid type, int32 typmod, SealedVisitor visit, void *context,
						bool *changed);

#endif							/* PURPOSE_SEALEDWALK_H */
