/*
 * guc.h
 *		The settings purpose.*.
 */
#ifndef PURPOSE_GUC_H
#define PURPOSE_GUC_H

#include "utils/guc.h"

typedef enum PurposeScope
{
	PURPOSE_SCOPE_SESSION,
	PURPOSE_SCOPE_TRANSACTION
} PurposeScope;

/* NULL while nothing was ever set: "unset" and "empty" have their own errors. */
extern char *guc_purpose_current;
extern char *guc_purpose_justification;
extern int	guc_purpose_scope;
extern int	guc_observe_max;

/* The library was named in shared_preload_libraries: its hooks are there. */
extern bool guc_preloaded;

/* Grows whenever a setting that decisions rest on is assigned. */
extern uint64 guc_generation;

/*
 * Set by the session layer: says whether a purpose that somebody SETs may be
 * declared.  Returns false after GUC_check_err*() when it may not.
 */
typedef bool (*guc_purpose_validator_type) (const char *name);
extern guc_purpose_validator_type guc_purpose_validator;

extern void guc_init(void);

#endif							/* PURPOSE_GUC_H */
