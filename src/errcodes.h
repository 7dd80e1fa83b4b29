/*
 * errcodes.h
 *		The SQLSTATEs that pg_purpose raises on its own account.
 *
 * Class "PU" lies in the range that the SQL standard leaves to
 * implementations.  Where PostgreSQL has a code that says the same thing
 * (insufficient_privilege for an act that needs a privacy officer,
 * feature_not_supported, ...) that one is used instead.  docs/errors.md lists
 * them for users; keep both in step.
 */
#ifndef PURPOSE_ERRCODES_H
#define PURPOSE_ERRCODES_H

#include "utils/elog.h"

/* No purpose is declared, or the declared one is the empty string. */
#define ERRCODE_PURPOSE_NOT_DECLARED	MAKE_SQLSTATE('P', 'U', '0', '0', '1')
/* The purpose is not in the vocabulary. */
#define ERRCODE_UNDEFINED_PURPOSE		MAKE_SQLSTATE('P', 'U', '0', '0', '2')
/* The acting role was not granted the purpose. */
#define ERRCODE_PURPOSE_NOT_GRANTED		MAKE_SQLSTATE('P', 'U', '0', '0', '3')
/* The purpose requires purpose.justification. */
#define ERRCODE_JUSTIFICATION_REQUIRED	MAKE_SQLSTATE('P', 'U', '0', '0', '4')
/* The column's label does not permit the declared purpose. */
#define ERRCODE_PURPOSE_DENIED			MAKE_SQLSTATE('P', 'U', '0', '0', '5')
/* A declaration (label, protection) cannot be read or resolved. */
#define ERRCODE_INVALID_PROTECTION		MAKE_SQLSTATE('P', 'U', '0', '0', '6')
/* The statement would take protected data past the checks. */
#define ERRCODE_PROTECTION_BYPASS		MAKE_SQLSTATE('P', 'U', '0', '0', '7')
/* A label does not follow the label grammar. */
#define ERRCODE_INVALID_LABEL			MAKE_SQLSTATE('P', 'U', '0', '0', '8')
/* Consent does not apply to a purpose on this legal basis. */
#define ERRCODE_CONSENT_NOT_APPLICABLE	MAKE_SQLSTATE('P', 'U', '0', '0', '9')
/* A purpose, label or table cannot go while something still relies on it. */
#define ERRCODE_PURPOSE_IN_USE			MAKE_SQLSTATE('P', 'U', '0', '1', '0')

#endif							/* PURPOSE_ERRCODES_H */
