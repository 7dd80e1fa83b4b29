/*
 * session.c
 *		Who acts, and for which purpose: the part of a decision that is the
 *		same for every row and column.
 *
 * The acting role is GetOuterUserId(): the login role or what SET ROLE made of
 * it.  A SECURITY DEFINER function changes GetUserId() but not this one, so
 * code of privileged owners serves its caller under the caller's purpose.  The
 * exception is maintenance: where PostgreSQL runs an owner's code on behalf of
 * somebody else (ANALYZE, REINDEX, REFRESH by a superuser), in a
 * security-restricted operation, that owner acts.  A SECURITY DEFINER function
 * called there serves neither: it must not lend the owner the rights of the
 * maintaining superuser, so an exempt role has no purpose there.
 *
 * The result is kept until the role, a setting, a declaration or a role
 * membership changes.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "errcodes.h"
#include "guc.h"
#include "session.h"

static Session current;
static bool current_valid = false;
static bool current_lent;
static uint64 current_guc_generation;
static uint64 current_catalog_generation;
static uint64 current_role_generation;

/* Grows when a role or a membership changes. */
static uint64 role_generation = 1;

/* Grows whenever `current` is computed anew. */
static uint64 last_stamp = 0;

/* How many exempt functions (exempt.c) are running, one inside the other. */
static int	exempt_depth = 0;

static void
role_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	role_generation++;
}

/*
 * Validates a purpose that somebody SETs; see guc.h.
 */
static bool
validate_setting(const char *name)
{
	Session		wanted;

	if (catalog_oids() == NULL)
		return true;
	session_fill(&wanted, GetOuterUserId(), name, NULL);
	switch (wanted.status)
	{
		case PURPOSE_UNDEFINED:
			GUC_check_errcode(ERRCODE_UNDEFINED_PURPOSE);
			GUC_check_errmsg("purpose \"%s\" does not exist", name);
			GUC_check_errhint("SELECT name, description FROM purpose.purposes lists the purposes.");
			return false;
		case PURPOSE_UNGRANTED:
			GUC_check_errcode(ERRCODE_PURPOSE_NOT_GRANTED);
			GUC_check_errmsg("role \"%s\" may not declare purpose \"%s\"",
							 GetUserNameFromId(wanted.role, false), name);
			GUC_check_errhint("A privacy officer can grant it with purpose.grant_purpose().");
			return false;
		default:
			return true;
	}
}

/*
 * With purpose.scope = transaction a declared purpose ends with its
 * transaction.  At commit it is reset before the settings of the transaction
 * become permanent; a rollback restores what was there before anyway.
 */
static void
end_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT && exempt_depth != 0)
	{
		exempt_depth = 0;
		current_valid = false;
	}

	/*
	 * A worker's settings are its leader's, restored in a transaction of its
	 * own.
	 */
	if ((event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE) || IsParallelWorker())
		return;
	if (guc_purpose_scope != PURPOSE_SCOPE_TRANSACTION)
		return;
	(void) set_config_option("purpose.current", NULL, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SET, true, ERROR, false);
	(void) set_config_option("purpose.justification", NULL, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SET, true, ERROR, false);
}

/*
 * Registers callbacks.  Called once from _PG_init, after guc_init().
 */
void
session_init(void)
{
	guc_purpose_validator = validate_setting;
	CacheRegisterSyscacheCallback(AUTHOID, role_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, role_callback, (Datum) 0);
	RegisterXactCallback(end_of_transaction, NULL);
}

/*
 * Fills a session for any role and purpose.  name may be NULL (unset);
 * InvalidOid stands for a bound role that was granted every purpose;
 * justification NULL skips that requirement.
 */
void
session_fill(Session *session, Oid role, const char *name, const char *justification)
{
	const Purpose *purpose;

	memset(session, 0, sizeof(*session));
	session->role = role;
	session->exempt = OidIsValid(role) && has_bypassrls_privilege(role);
	if (name == NULL)
	{
		session->status = PURPOSE_UNSET;
		return;
	}
	if (name[0] == '\0')
	{
		session->status = PURPOSE_EMPTY;
		return;
	}
	strlcpy(session->purpose, name, sizeof(session->purpose));

	purpose = purpose_find(name);
	if (purpose == NULL)
	{
		session->status = PURPOSE_UNDEFINED;
		return;
	}
	session->basis = purpose->basis;
	session->despite_restriction = purpose->despite_restriction;
	if (!session->exempt && OidIsValid(role) && !purpose_granted_to(purpose, role))
		session->status = PURPOSE_UNGRANTED;
	else if (purpose->requires_justification &&
			 justification != NULL && justification[0] == '\0')
		session->status = PURPOSE_UNJUSTIFIED;
	else
		session->status = PURPOSE_USABLE;
}

/*
 * To be called when an exempt function is entered and left.
 */
void
session_enter_exempt(void)
{
	exempt_depth++;
	current_valid = false;
}

void
session_leave_exempt(void)
{
	if (exempt_depth > 0)
		exempt_depth--;
	current_valid = false;
}

bool
session_in_exempt_function(void)
{
	return exempt_depth > 0;
}

/*
 * Is this a SECURITY DEFINER function inside a security-restricted operation?
 */
static bool
in_lent_code(void)
{
	return InSecurityRestrictedOperation() && InLocalUserIdChange();
}

/*
 * Returns the acting role: see the head of this file.
 */
Oid
session_acting_role(void)
{
	return InSecurityRestrictedOperation() && !InLocalUserIdChange() ?
		GetUserId() : GetOuterUserId();
}

/*
 * Returns the session as it is at this moment.  The pointer stays good; what
 * it points to may change with the next call.
 */
const Session *
session_current(void)
{
	Oid			role = session_acting_role();
	bool		lent = in_lent_code();

	if (current_valid && current_lent == lent && current.role == role &&
		current_guc_generation == guc_generation &&
		current_catalog_generation == catalog_generation &&
		current_role_generation == role_generation)
		return &current;

	/*
	 * Take the generations first: what arrives during the look-ups makes the
	 * result stale at birth.
	 */
	current_valid = false;
	current_guc_generation = guc_generation;
	current_catalog_generation = catalog_generation;
	current_role_generation = role_generation;
	session_fill(&current, role, guc_purpose_current,
				 guc_purpose_justification ? guc_purpose_justification : "");
	if (lent && current.exempt)
	{
		current.exempt = false;
		current.status = PURPOSE_UNSET;
		current.purpose[0] = '\0';
	}
	current.exempt |= exempt_depth > 0;
	current_lent = lent;
	current_valid = true;
	current.stamp = ++last_stamp;
	return &current;
}

/*
 * Returns a number that changes whenever session_current() would answer
 * otherwise than before.
 */
uint64
session_stamp(void)
{
	return session_current()->stamp;
}
