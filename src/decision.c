/*
 * decision.c
 *		The one place that decides whether a session may use data for its
 *		purpose, and the words in which a refusal is told.
 *
 * The order of the questions: who acts; is the purpose usable; are the
 * declarations readable; do the labels permit the purpose; does the person.
 * The first "no" decides.  sql/decision.sql is the truth table.
 *
 * A column may have several labels.  Those that do not permit the purpose
 * redact only if all of them say so, and give a stand-in only if all of them
 * give the same: else it is NULL.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"

#include "decision.h"
#include "errcodes.h"

static const char *const reason_names[] = {
	[REASON_PERMITTED] = "permitted",
	[REASON_EXEMPT] = "role is exempt",
	[REASON_PURPOSE_UNSET] = "no purpose declared",
	[REASON_PURPOSE_EMPTY] = "empty purpose declared",
	[REASON_PURPOSE_UNDEFINED] = "purpose does not exist",
	[REASON_PURPOSE_UNGRANTED] = "purpose not granted to role",
	[REASON_PURPOSE_UNJUSTIFIED] = "justification missing",
	[REASON_PROTECTION_INVALID] = "protection cannot be resolved",
	[REASON_LABEL_INVALID] = "label cannot be read",
	[REASON_LABEL_NOT_ALLOWED] = "label does not allow purpose",
	[REASON_LABEL_PROHIBITED] = "label prohibits purpose",
	[REASON_RESTRICTED] = "processing restricted",
	[REASON_CONSENT_NONE] = "consent not given",
	[REASON_CONSENT_REFUSED] = "consent refused",
	[REASON_CONSENT_WITHDRAWN] = "consent withdrawn",
	[REASON_CONSENT_EXPIRED] = "consent expired",
	[REASON_OBJECTED] = "subject objected",
	[REASON_SUBJECT_UNKNOWN] = "row leads to no subject",
};

StaticAssertDecl(lengthof(reason_names) == NUM_DECISION_REASONS,
				 "every reason needs its name");

const char *
decision_reason_name(DecisionReason reason)
{
	return reason_names[reason];
}

static DecisionReason
judge_purpose(const Session *session)
{
	switch (session->status)
	{
		case PURPOSE_USABLE:
			return REASON_PERMITTED;
		case PURPOSE_UNSET:
			return REASON_PURPOSE_UNSET;
		case PURPOSE_EMPTY:
			return REASON_PURPOSE_EMPTY;
		case PURPOSE_UNGRANTED:
			return REASON_PURPOSE_UNGRANTED;
		case PURPOSE_UNJUSTIFIED:
			return REASON_PURPOSE_UNJUSTIFIED;
		case PURPOSE_UNDEFINED:
			break;
	}
	return REASON_PURPOSE_UNDEFINED;
}

/*
 * What the person said, judged by the legal basis.  Restriction (Art. 18)
 * comes before all bases; only a purpose declared as one of Art. 18(2) may
 * pass it.
 */
static DecisionReason
judge_consent(const Session *session, const SubjectConsent *consent)
{
	ConsentModel model = purpose_consent_model(session->basis);

	if (consent->restricted && !session->despite_restriction)
		return REASON_RESTRICTED;
	if (model == CONSENT_NOT_APPLICABLE)
		return REASON_PERMITTED;

	switch (consent->state)
	{
		case CONSENT_GIVEN:
			return REASON_PERMITTED;
		case CONSENT_NONE:
			return model == CONSENT_OPT_OUT ? REASON_PERMITTED : REASON_CONSENT_NONE;
		case CONSENT_EXPIRED:
			/* Under opt-out it lifted an objection, for a time that is over. */
			return REASON_CONSENT_EXPIRED;
		case CONSENT_REFUSED:
			return REASON_CONSENT_REFUSED;
		case CONSENT_WITHDRAWN:
			return REASON_CONSENT_WITHDRAWN;
		case CONSENT_OBJECTED:
			break;
	}
	return REASON_OBJECTED;
}

/*
 * Does no person's word count for the session's purpose, as long as nobody's
 * processing is restricted?
 */
bool
decision_asks_nobody(const Session *session)
{
	return session->status == PURPOSE_USABLE &&
		purpose_consent_model(session->basis) == CONSENT_NOT_APPLICABLE;
}

/*
 * Judges labels, each of which must permit the purpose.  Sets the decision's
 * label to the one that refuses it, one that is strict before one that redacts,
 * and the stand-in.
 */
static DecisionReason
judge_labels(const List *labels, const char *purpose, Decision *decision)
{
	DecisionReason reason = REASON_PERMITTED;
	ListCell   *lc;

	foreach(lc, labels)
	{
		const Label *label = lfirst(lc);
		LabelVerdict verdict = label_judge(label, purpose);

		if (verdict == LABEL_SATISFIED)
			continue;
		if (decision->label == NULL || label->otherwise == LABEL_ELSE_ERROR)
		{
			decision->label = label;
			decision->stand_in = label->expression;
			reason = verdict == LABEL_PROHIBITED ? REASON_LABEL_PROHIBITED :
				REASON_LABEL_NOT_ALLOWED;
		}
		else if (label->expression == NULL || decision->stand_in == NULL ||
				 strcmp(label->expression, decision->stand_in) != 0)
			decision->stand_in = NULL;
		if (label->otherwise == LABEL_ELSE_ERROR)
			break;
	}
	return reason;
}

static DecisionReason
judge(const DecisionRequest *request, Decision *decision)
{
	DecisionReason reason;

	if (request->session->exempt && !request->sealed)
		return REASON_EXEMPT;
	reason = judge_purpose(request->session);
	if (reason != REASON_PERMITTED)
		return reason;
	if (request->protection_broken)
		return REASON_PROTECTION_INVALID;
	if (request->label_broken)
		return REASON_LABEL_INVALID;
	reason = judge_labels(request->labels, request->session->purpose, decision);
	if (reason == REASON_PERMITTED && request->consent != NULL)
		reason = judge_consent(request->session, request->consent);
	return reason;
}

/*
 * Decides.  Everything that asks whether data may be used asks here.
 */
Decision
decision_make(const DecisionRequest *request)
{
	Decision	decision = {0};

	decision.reason = judge(request, &decision);
	if (decision.reason == REASON_PERMITTED || decision.reason == REASON_EXEMPT)
		decision.verdict = DECISION_ALLOW;
	else if (request->mode == MODE_OBSERVE)
	{
		decision.verdict = DECISION_ALLOW;
		decision.observed = true;
	}
	else if (decision.label != NULL && decision.label->otherwise != LABEL_ELSE_ERROR)
		decision.verdict = DECISION_REDACT;
	else
		decision.verdict = DECISION_DENY;
	return decision;
}

/*
 * Raises the error for a refusal concerning a relation, or a column of it
 * when attno is not 0.  The message names objects and purposes, never data.
 */
void
decision_raise(const Decision *decision, const Session *session,
			   Oid relid, AttrNumber attno)
{
	char	   *relation = get_rel_name(relid);
	char	   *column = attno != 0 ? get_attname(relid, attno, true) : NULL;
	StringInfoData what;

	initStringInfo(&what);
	if (column != NULL)
		appendStringInfo(&what, "column \"%s\" of relation \"%s\"", column,
						 relation ? relation : "?");
	else
		appendStringInfo(&what, "relation \"%s\"", relation ? relation : "?");

	switch (decision->reason)
	{
		case REASON_PURPOSE_UNSET:
			ereport(ERROR,
					(errcode(ERRCODE_PURPOSE_NOT_DECLARED),
					 errmsg("no purpose is declared for using %s", what.data),
					 errhint("Declare one with SET purpose.current = '...'; SELECT name, description FROM purpose.purposes lists them.")));
			break;
		case REASON_PURPOSE_EMPTY:
			ereport(ERROR,
					(errcode(ERRCODE_PURPOSE_NOT_DECLARED),
					 errmsg("the declared purpose is empty and does not permit using %s", what.data),
					 errhint("SET purpose.current to the name of a purpose, or RESET it to the role's default.")));
			break;
		case REASON_PURPOSE_UNDEFINED:
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_PURPOSE),
					 errmsg("purpose \"%s\" does not exist", session->purpose),
					 errhint("SELECT name, description FROM purpose.purposes lists the purposes.")));
			break;
		case REASON_PURPOSE_UNGRANTED:
			ereport(ERROR,
					(errcode(ERRCODE_PURPOSE_NOT_GRANTED),
					 errmsg("role \"%s\" may not declare purpose \"%s\"",
							GetUserNameFromId(session->role, false), session->purpose),
					 errhint("A privacy officer can grant it with purpose.grant_purpose().")));
			break;
		case REASON_PURPOSE_UNJUSTIFIED:
			ereport(ERROR,
					(errcode(ERRCODE_JUSTIFICATION_REQUIRED),
					 errmsg("purpose \"%s\" requires a justification", session->purpose),
					 errhint("SET purpose.justification to the reason, such as a ticket number.")));
			break;
		case REASON_PROTECTION_INVALID:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PROTECTION),
					 errmsg("the protection of %s cannot be resolved", what.data),
					 errhint("SELECT * FROM purpose.check() says what is missing.")));
			break;
		case REASON_LABEL_INVALID:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PROTECTION),
					 errmsg("the label of %s cannot be read", what.data),
					 errhint("Set it again with purpose.label_column().")));
			break;
		case REASON_LABEL_NOT_ALLOWED:
		case REASON_LABEL_PROHIBITED:
			ereport(ERROR,
					(errcode(ERRCODE_PURPOSE_DENIED),
					 errmsg("purpose \"%s\" does not permit using %s",
							session->purpose, what.data),
					 errdetail("Its label is: %s", label_deparse(decision->label)),
					 errhint("Declare a purpose that the label allows, or leave the column out of the query.")));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_PURPOSE_DENIED),
					 errmsg("purpose \"%s\" does not permit using %s",
							session->purpose, what.data),
					 errdetail("Reason: %s.", decision_reason_name(decision->reason))));
			break;
	}
	pg_unreachable();
}
