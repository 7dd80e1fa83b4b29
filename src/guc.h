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

typedef enum SealedOutput
{
	SEALED_OUTPUT_AUTO,			/* open what may be opened, but not in COPY TO */
	SEALED_OUTPUT_OPEN,			/* there too */
	SEALED_OUTPUT_ENVELOPE,		/* nothing */
	SEALED_OUTPUT_ERROR			/* refuse what may not be opened */
} SealedOutput;

/* NULL while nothing was ever set: "unset" and "empty" have their own errors. */
extern char *guc_purpose_current;
extern char *guc_purpose_justification;
extern int	guc_purpose_scope;
extern int	guc_observe_max;
extern int	guc_sealed_output;
extern int	guc_backup_horizon;

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
extern void guc_reserve_prefix(void);

#endif							/* PURPOSE_GUC_H */
