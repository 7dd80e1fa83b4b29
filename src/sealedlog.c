/*
 * sealedlog.c
 *		Keeps the plaintext of sealed columns out of the server log.
 *
 * PostgreSQL writes values into errors: a row that violates a constraint, the
 * line of a COPY that failed, the constant that could not be read, and the
 * statement's own text.  Who ran the statement may see them, and does; the log
 * would keep them where no shred reaches.  So errors go to the log without
 * them, and to the client as they are.
 *
 * - Where the database has a keyring, the text of a failed statement is logged
 *	 only if there is no constant in it, as where values come as parameters.
 *	 That depends neither on what the statement would have touched nor on how
 *	 far it got: it may have failed before either is known.
 * - Once a transaction has had plaintext of sealed values in its hands, what
 *	 shows rows is left out, too.
 * - A message that quotes values is replaced by one that says what kind of
 *	 message it was: a LOG beside the ERROR that only the client gets.  These
 *	 are data exceptions and syntax errors.
 *
 * What the server is told to log of statements that succeed it logs;
 * purpose.check() names those settings.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"

#include "keysegment.h"
#include "sealedlog.h"

static bool plaintext_at_hand = false;
static emit_log_hook_type prev_emit_log = NULL;

/*
 * To be called where a value is taken in or opened.
 */
void
sealedlog_plaintext_at_hand(void)
{
	plaintext_at_hand = true;
}

/*
 * Does the text have a line that COPY FROM wrote about a line of its input?
 */
static bool
mentions_copy(const char *context)
{
	for (const char *line = context; line != NULL; line = strchr(line, '\n'))
	{
		if (*line == '\n')
			line++;
		if (strncmp(line, "COPY ", 5) == 0)
			return true;
	}
	return false;
}

/*
 * May the text have a constant in it?  Numbers count, but not those that are
 * part of a name or of a parameter ($1); so does any kind of quote but that of
 * names, and any comment.
 */
static bool
has_constant(const char *sql)
{
	char		before = ' ';

	for (const char *c = sql; *c != '\0'; before = *c++)
	{
		if (*c == '"')
		{
			while (c[1] != '\0' && c[1] != '"')
				c++;
			if (c[1] == '\0')
				return true;
			c++;
		}
		else if (*c == '\'' || (c[0] == '-' && c[1] == '-') || (c[0] == '/' && c[1] == '*') ||
				 (c[0] == '$' && !(c[1] >= '0' && c[1] <= '9')))
			return true;
		else if (*c >= '0' && *c <= '9' && before != '_' && before != '$' &&
				 !isalnum((unsigned char) before) && !IS_HIGHBIT_SET(before))
			return true;
	}
	return false;
}

/*
 * Does the message quote what was given, or what was opened?
 */
static bool
quotes_values(const ErrorData *edata)
{
	return edata->sqlerrcode == ERRCODE_SYNTAX_ERROR ||
		ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_DATA_EXCEPTION ||
		(edata->internalquery != NULL && has_constant(edata->internalquery));
}

/*
 * Leaves out of an error's way into the log what may show values.
 */
static void
hide_values(ErrorData *edata)
{
	const char *detail = "Values are not shown: they are, or stand beside, those of sealed columns.";

	if (quotes_values(edata))
	{
		edata->output_to_server = false;
		ereport(LOG_SERVER_ONLY,
				(errcode(edata->sqlerrcode),
				 errmsg("an error whose message may show values went to the client only: %s",
						edata->message_id != NULL ? edata->message_id : "(no text)"),
				 errdetail_log("%s", detail),
				 errhidestmt(true), errhidecontext(true)));
		return;
	}
	if (debug_query_string != NULL && has_constant(debug_query_string))
		edata->hide_stmt = true;
	if (edata->context != NULL &&
		(mentions_copy(edata->context) || strchr(edata->context, '\'') != NULL))
		edata->hide_ctx = true;
	/* It names the statements of all who were in the deadlock. */
	if (edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED && edata->detail != NULL)
		edata->detail_log = pstrdup(edata->detail);
	if (plaintext_at_hand && edata->detail != NULL && edata->detail_log == NULL &&
		ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
		edata->detail_log = pstrdup(detail);
}

static void
emit_log(ErrorData *edata)
{
	if (edata->elevel >= ERROR)
	{
		if (plaintext_at_hand || keysegment_serves(MyDatabaseId))
			hide_values(edata);
	}
	else if (MyProcPid == PostmasterPid && edata->detail != NULL &&
			 edata->message_id != NULL && strncmp(edata->message_id, "%s (PID %d)", 11) == 0 &&
			 keysegment_serves(InvalidOid))
	{
		/* A process crashed; the detail is what it was running. */
		edata->detail_log = pstrdup("What it was running is not shown: it may hold values of sealed columns.");
	}
	if (prev_emit_log && edata->output_to_server)
		prev_emit_log(edata);
}

/*
 * An error is reported before its transaction ends.
 */
static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			plaintext_at_hand = false;
			break;
		default:
			break;
	}
}

/*
 * Installs the hook.  Called from _PG_init while preloading.
 */
void
sealedlog_init(void)
{
	prev_emit_log = emit_log_hook;
	emit_log_hook = emit_log;
	RegisterXactCallback(end_of_transaction, NULL);
}
