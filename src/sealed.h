/*
 * sealed.h
 *		Sealed values: making, opening, comparing.
 */
#ifndef PURPOSE_SEALED_H
#define PURPOSE_SEALED_H

#include "envelope.h"
#include "sealedlabel.h"
#include "sealedtype.h"

/* What a value of a sealed type is before anybody opens it. */
typedef struct SealedValue
{
	const uint8 *bytes;
	size_t		len;
	EnvelopeHeader header;
	bool		pending;		/* waits for the trigger that seals it */
	bool		claimed;		/* somebody typed it in */
} SealedValue;

extern void sealed_init(void);
extern void sealed_statement_changes(void);

extern SealedValue sealed_look(Datum value);
extern Datum sealed_pending(const SealedType *type, Datum base);
extern Datum sealed_accept(const uint8 *envelope, size_t len, bool claimed);
extern Datum sealed_unclaim(const SealedValue *look);
extern Datum sealed_seal(const SealedType *type, Datum base, const SealedLabel *label,
						 uint64 number, uint64 token_number);
extern Datum sealed_retoken(const SealedType *type, Datum value, uint64 token_number);
extern bool sealed_label_permits(const SealedLabel *label);
extern bool sealed_verify(const SealedType *type, Datum value);
extern bool sealed_open(const SealedType *type, Datum value, Datum *base);
extern bool sealed_is_shredded(Datum value);
extern bool sealed_holds(const SealedType *type, Datum value, Datum base);
extern bool sealed_can_seal(const SealedLabel *label, uint64 number);
extern int	sealed_compare_envelopes(const SealedValue *a, const SealedValue *b);

#endif							/* PURPOSE_SEALED_H */
