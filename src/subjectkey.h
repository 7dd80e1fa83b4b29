/*
 * subjectkey.h
 *		The canonical text of a data subject's key.
 */
#ifndef PURPOSE_SUBJECTKEY_H
#define PURPOSE_SUBJECTKEY_H

#include "fmgr.h"

extern char *subjectkey_print(int nkeys, FmgrInfo *output, const Datum *keys);
extern char *subjectkey_canonical(Oid subject_table, const char *text);

#endif							/* PURPOSE_SUBJECTKEY_H */
