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

/* The keyring is missing, cannot be read, or is not this database's. */
#define ERRCODE_KEYRING_UNAVAILABLE		MAKE_SQLSTATE('P', 'U', '0', '1', '1')
/* A value was tampered with, or belongs to another keyring. */
#define ERRCODE_INVALID_SEALED_VALUE	MAKE_SQLSTATE('P', 'U', '0', '1', '2')
/* This instance does not hold the keyring's claim. */
#define ERRCODE_KEYRING_NOT_CLAIMED		MAKE_SQLSTATE('P', 'U', '0', '1', '3')
/* Plaintext cannot be stored where nothing seals it. */
#define ERRCODE_NOT_SEALED				MAKE_SQLSTATE('P', 'U', '0', '1', '4')
/* The subject's keys were shredded. */
#define ERRCODE_SUBJECT_SHREDDED		MAKE_SQLSTATE('P', 'U', '0', '1', '5')
/* A sealed value of another subject, label or group is not accepted here. */
#define ERRCODE_FOREIGN_SEALED_VALUE	MAKE_SQLSTATE('P', 'U', '0', '1', '6')
/* The database was put back to an earlier moment, and lacks events since. */
#define ERRCODE_DATABASE_REWOUND		MAKE_SQLSTATE('P', 'U', '0', '1', '7')
/* A legal hold keeps the data from being erased. */
#define ERRCODE_LEGAL_HOLD				MAKE_SQLSTATE('P', 'U', '0', '1', '8')
/* A redacted column is set to what stands in for its value. */
#define ERRCODE_STAND_IN_WRITTEN		MAKE_SQLSTATE('P', 'U', '0', '1', '9')

#endif							/* PURPOSE_ERRCODES_H */
