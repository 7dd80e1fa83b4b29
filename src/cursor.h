/*
 * cursor.h
 *		Cursors that hold rows back.
 */
#ifndef PURPOSE_CURSOR_H
#define PURPOSE_CURSOR_H

#include "executor/execdesc.h"

extern void cursor_check_held_rows(QueryDesc *desc, uint64 stamp);
extern void cursor_transaction_ends(void);

#endif							/* PURPOSE_CURSOR_H */
