/*
 * consent.h
 *		What a data subject has said about a purpose.
 */
#ifndef PURPOSE_CONSENT_H
#define PURPOSE_CONSENT_H

#include "datatype/timestamp.h"

typedef enum ConsentState
{
	CONSENT_NONE,				/* nothing on the path to the root */
	CONSENT_GIVEN,
	CONSENT_REFUSED,
	CONSENT_WITHDRAWN,
	CONSENT_EXPIRED,
	CONSENT_OBJECTED
} ConsentState;

typedef struct SubjectConsent
{
	ConsentState state;			/* the nearest on the path to the root */
	bool		restricted;		/* GDPR Art. 18 */
	TimestampTz until;			/* so it stays till then, if nobody says
								 * otherwise */
} SubjectConsent;

extern void consent_lookup(Oid subject_table, const char *subject, const char *purpose,
						   TimestampTz now, SubjectConsent *result);
extern bool consent_anyone_restricted(void);
extern bool consent_parse_state(const char *text, ConsentState *state);

#endif							/* PURPOSE_CONSENT_H */
