/*
 * exempt.h
 *		Functions that a privacy officer freed from enforcement.
 */
#ifndef PURPOSE_EXEMPT_H
#define PURPOSE_EXEMPT_H

/* The label that exempts a function. */
#define EXEMPT_LABEL	"exempt"

extern void exempt_init(void);
extern bool exempt_function(Oid function);
extern bool exempt_is_closed(Oid function);

#endif							/* PURPOSE_EXEMPT_H */
