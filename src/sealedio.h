/*
 * sealedio.h
 *		Input and output of sealed types.
 */
#ifndef PURPOSE_SEALEDIO_H
#define PURPOSE_SEALEDIO_H

#include "sealedtype.h"

extern bool sealedio_set_copying_in(bool copying);
extern bool sealedio_restores(void);
extern bool sealedio_set_copying_out(bool copying);
extern bool sealedio_set_must_open(bool must);
extern void sealedio_check_modifier(const SealedType *type, const char *modifier);
extern Datum sealedio_apply_modifier(const SealedType *type, Datum base, const char *modifier,
									 bool explicit);

#endif							/* PURPOSE_SEALEDIO_H */
