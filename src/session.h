/*
 * session.h
 *		Who acts, and for which purpose.
 */
#ifndef PURPOSE_SESSION_H
#define PURPOSE_SESSION_H

#include "purpose.h"

typedef enum PurposeStatus
{
	PURPOSE_USABLE,
	PURPOSE_UNSET,				/* nothing was ever declared */
	PURPOSE_EMPTY,				/* the empty string, as RESET by poolers
								 * leaves it */
	PURPOSE_UNDEFINED,			/* not in the vocabulary */
	PURPOSE_UNGRANTED,			/* the acting role may not declare it */
	PURPOSE_UNJUSTIFIED			/* it requires purpose.justification */
} PurposeStatus;

typedef struct Session
{
	Oid			role;			/* acting role: after SET ROLE, never a
								 * definer */
	bool		exempt;			/* superuser, BYPASSRLS, or in an exempt
								 * function */
	PurposeStatus status;
	char		purpose[PURPOSE_NAME_LEN];	/* as declared; "" when not */
	LegalBasis	basis;			/* the rest is only of a usable purpose */
	bool		despite_restriction;
	uint64		stamp;			/* session_stamp() of it; 0 of a made-up one */
} Session;

extern void session_init(void);
extern Oid	session_acting_role(void);
extern const Session *session_current(void);
extern void session_enter_exempt(void);
extern void session_leave_exempt(void);
extern bool session_in_exempt_function(void);
extern uint64 session_stamp(void);
extern void session_fill(Session *session, Oid role, const char *purpose,
						 const char *justification);

#endif							/* PURPOSE_SESSION_H */
