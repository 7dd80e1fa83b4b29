/*
 * decision.h
 *		The decision: may this session, for its purpose, use this?
 */
#ifndef PURPOSE_DECISION_H
#define PURPOSE_DECISION_H

#include "compat.h"
#include "consent.h"
#include "declaration.h"
#include "label.h"
#include "session.h"

typedef enum DecisionVerdict
{
	DECISION_ALLOW,
	DECISION_REDACT,
	DECISION_DENY
} DecisionVerdict;

typedef enum DecisionReason
{
	REASON_PERMITTED,
	REASON_EXEMPT,
	REASON_PURPOSE_UNSET,
	REASON_PURPOSE_EMPTY,
	REASON_PURPOSE_UNDEFINED,
	REASON_PURPOSE_UNGRANTED,
	REASON_PURPOSE_UNJUSTIFIED,
	REASON_PROTECTION_INVALID,
	REASON_LABEL_INVALID,
	REASON_LABEL_NOT_ALLOWED,
	REASON_LABEL_PROHIBITED,
	REASON_RESTRICTED,
	REASON_CONSENT_NONE,
	REASON_CONSENT_REFUSED,
	REASON_CONSENT_WITHDRAWN,
	REASON_CONSENT_EXPIRED,
	REASON_OBJECTED,
	REASON_SUBJECT_UNKNOWN
} DecisionReason;
#define NUM_DECISION_REASONS (REASON_SUBJECT_UNKNOWN + 1)

/* What is asked about.  Each part that is absent does not restrict. */
typedef struct DecisionRequest
{
	const Session *session;
	bool		sealed;			/* about a sealed value: nobody is exempt */
	bool		protection_broken;	/* declared, but cannot be resolved */
	bool		label_broken;	/* labelled, but cannot be read */
	const List *labels;			/* of Label *: each must be satisfied */
	const SubjectConsent *consent;	/* NULL: the data is nobody's */
	ProtectionMode mode;
} DecisionRequest;

typedef struct Decision
{
	DecisionVerdict verdict;
	DecisionReason reason;		/* why, also where observe mode lets it pass */
	const Label *label;			/* the label that refused, if one did */
	const char *stand_in;		/* of DECISION_REDACT: an expression; NULL:
								 * null */
	bool		observed;		/* enforcement would have refused */
} Decision;

extern bool decision_asks_nobody(const Session *session);
extern Decision decision_make(const DecisionRequest *request);
extern const char *decision_reason_name(DecisionReason reason);
compat_noreturn extern void decision_raise(const Decision *decision, const Session *session,
										   Oid relid, AttrNumber attno);

#endif							/* PURPOSE_DECISION_H */
