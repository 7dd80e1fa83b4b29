/*
 * sealedtype.h
 *		What a sealed type seals: its base type, and how a base value becomes
 *		bytes.
 */
#ifndef PURPOSE_SEALEDTYPE_H
#define PURPOSE_SEALEDTYPE_H

#include "fmgr.h"
#include "lib/stringinfo.h"

typedef struct SealedType
{
	Oid			oid;			/* hash key */
	Oid			base;
	char	   *name;			/* of the base type: values are bound to it */
	int			pad;			/* padding where the label names none */
	bool		searchable;		/* its values carry a token */
	bool		binary;			/* bytes are those of send/recv; else text */
	bool		plain_varlena;	/* bytes are the datum's own */
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Oid			ioparam;
	FmgrInfo	to_bytes;		/* send or output function */
	FmgrInfo	from_bytes;		/* receive or input function */
	FmgrInfo	input;			/* of the base type */
	Oid			input_ioparam;
} SealedType;

extern void sealedtype_init(void);
extern void sealedtype_dropped(Oid type);
extern const SealedType *sealedtype_find(Oid type);
extern const SealedType *sealedtype_of_argument(FunctionCallInfo fcinfo, int argument);
extern const SealedType *sealedtype_of_result(FunctionCallInfo fcinfo);
extern bytea *sealedtype_to_bytes(const SealedType *type, Datum value);
extern Datum sealedtype_from_bytes(const SealedType *type, bytea *plain);
extern bool sealedtype_contained(Oid type);

#endif							/* PURPOSE_SEALEDTYPE_H */
