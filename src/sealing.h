/*
 * sealing.h
 *		Keeps plaintext out of sealed columns.
 */
#ifndef PURPOSE_SEALING_H
#define PURPOSE_SEALING_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "protection.h"

/* The trigger that seals, last of all BEFORE triggers by its name. */
#define SEALING_TRIGGER		"~purpose_seal"

extern bool sealing_same_value(TupleDesc desc, HeapTuple a, HeapTuple b, AttrNumber attno);
extern char *sealing_subject_of_row(const Protection *protection, TupleDesc desc, HeapTuple tuple);

#endif							/* PURPOSE_SEALING_H */
