/*
 * sealedio.c
 *		Input, output and casts of all sealed types.
 *
 * The functions here are declared once for each sealed type; which one it is
 * they see from the declaration that they were called by.
 *
 * Text form: what may be opened prints as its base type does; everything else
 * as its envelope ("purpose:1:..."), so that whoever writes back what he read
 * loses nothing.  A genuine text that begins like an envelope gets a backslash
 * in front, which input takes off again.  Binary form: a byte, 0 before the
 * base type's binary form, 1 before an envelope.
 *
 * Dumps, COPY of a table and replication always get envelopes, so what leaves
 * the database wholesale never depends on the purpose of who runs them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_type.h"
#include "commands/vacuum.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_type.h"
#include "replication/logicalworker.h"
#include "replication/walsender.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "compat.h"
#include "errcodes.h"
#include "guc.h"
#include "sealed.h"
#include "sealedio.h"

#define BINARY_BASE		0
#define BINARY_ENVELOPE 1

/* COPY FROM is at work, or COPY TO of a whole table. */
static bool copying_in = false;
static bool copying_out = false;

/* ALTER TABLE rewrites a sealed column. */
static bool must_open = false;

PG_FUNCTION_INFO_V1(sealed_in);
PG_FUNCTION_INFO_V1(sealed_out);
PG_FUNCTION_INFO_V1(sealed_recv);
PG_FUNCTION_INFO_V1(sealed_send);
PG_FUNCTION_INFO_V1(sealed_to);
PG_FUNCTION_INFO_V1(sealed_to_json);
PG_FUNCTION_INFO_V1(sealed_from);
PG_FUNCTION_INFO_V1(sealed_apply_typmod);
PG_FUNCTION_INFO_V1(sealed_typanalyze);

/*
 * To be called around COPY FROM, and around COPY TO of a table.  Each returns
 * what was set before.
 */
bool
sealedio_set_copying_in(bool copying)
{
	bool		before = copying_in;

	copying_in = copying;
	return before;
}

bool
sealedio_set_copying_out(bool copying)
{
	bool		before = copying_out;

	copying_out = copying;
	return before;
}

static bool
may_accept(void)
{
	Oid			accept = catalog_function("accept_envelope", 0, NULL, true);

	return OidIsValid(accept) && compat_function_executable(accept, GetUserId());
}

/*
 * To be called around what would store the NULL that a cast gives for a value
 * that may not be opened: then it is an error.  Returns what was set before.
 */
bool
sealedio_set_must_open(bool must)
{
	bool		before = must_open;

	must_open = must;
	return before;
}

/*
 * Opens a value for a cast.
 */
static bool
open_to_cast(const SealedType *type, Datum value, Datum *base)
{
	if (sealed_open(type, value, base))
		return true;
	if (must_open)
		ereport(ERROR,
				(errcode(ERRCODE_PURPOSE_DENIED),
				 errmsg("a sealed value may not be opened, and would be lost"),
				 errhint("Declare a purpose that permits opening all values of the column.")));
	return false;
}

/*
 * May envelopes come in here without being checked?  COPY FROM and replication
 * carry them; elsewhere only roles that may execute purpose.accept_envelope().
 */
static bool
envelopes_accepted(void)
{
	return copying_in || IsLogicalWorker() || catalog_oids() == NULL || may_accept();
}

/*
 * Is this COPY FROM by a role whose envelopes are taken on trust?
 */
bool
sealedio_restores(void)
{
	return copying_in && may_accept();
}

static Datum
input_value(Oid type, char *text)
{
	Oid			function;
	Oid			ioparam;

	getTypeInputInfo(type, &function, &ioparam);
	return OidInputFunctionCall(function, text, ioparam, -1);
}

/*
 * Reads a base value.  What the base type says of a bad one would quote it, in
 * the server log too, so only its SQLSTATE is kept.
 */
static Datum
input_base(const SealedType *type, const char *text, size_t len)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile Datum result = (Datum) 0;

	/* No text is a bad one. */
	if (type->base == TEXTOID)
		return PointerGetDatum(cstring_to_text_with_len(text, len));

	PG_TRY();
	{
		result = InputFunctionCall(unconstify(FmgrInfo *, &type->input), pnstrdup(text, len),
								   type->input_ioparam, -1);
	}
	PG_CATCH();
	{
		int			code;

		MemoryContextSwitchTo(caller);
		code = geterrcode();
		if (ERRCODE_TO_CATEGORY(code) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(code),
				 errmsg("invalid input for a sealed value of type %s", type->name),
				 errhint("The input is not shown, for it would stay in the server log.")));
	}
	PG_END_TRY();
	return result;
}

static char *
output_value(Oid type, Datum value)
{
	Oid			function;
	bool		varlena;

	getTypeOutputInfo(type, &function, &varlena);
	return OidOutputFunctionCall(function, value);
}

/*
 * Does a text begin with the envelopes' prefix, after any number of
 * backslashes?
 */
static bool
looks_like_envelope(const char *text, size_t len)
{
	size_t		prefix_len = strlen(ENVELOPE_TEXT_PREFIX);

	while (len > 0 && *text == '\\')
	{
		text++;
		len--;
	}
	return len >= prefix_len && memcmp(text, ENVELOPE_TEXT_PREFIX, prefix_len) == 0;
}

/*
 * Reads a value's text form.
 */
static Datum
read_text(const SealedType *type, const char *text, size_t len, Datum base, bool is_base)
{
	uint8	   *envelope;
	size_t		envelope_len;

	if (looks_like_envelope(text, len))
	{
		if (text[0] == '\\')
			return sealed_pending(type, is_base ?
								  PointerGetDatum(cstring_to_text_with_len(text + 1, len - 1)) :
								  input_base(type, text + 1, len - 1));
		envelope = envelope_from_text(text, len, &envelope_len);
		if (envelope == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("invalid envelope of a sealed value"),
					 errhint("Put a backslash in front of a text that begins with \"%s\" and is not an envelope.",
							 ENVELOPE_TEXT_PREFIX)));
		return sealed_accept(envelope, envelope_len, !envelopes_accepted());
	}
	return sealed_pending(type, is_base ? base : input_base(type, text, len));
}

/*
 * Input: (cstring, oid, int4).
 */
Datum
sealed_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	const SealedType *type = sealedtype_of_result(fcinfo);

	PG_RETURN_DATUM(read_text(type, text, strlen(text), (Datum) 0, false));
}

/*
 * Should this output be an envelope whatever may be opened?
 */
static bool
only_envelopes(void)
{
	if (guc_sealed_output == SEALED_OUTPUT_ENVELOPE || am_walsender ||
		HistoricSnapshotActive() || IsLogicalWorker())
		return true;
	return copying_out && guc_sealed_output != SEALED_OUTPUT_OPEN;
}

/*
 * Opens a value for output.  Returns false, with the envelope as it is stored,
 * if it is to be given as that.
 */
static bool
open_for_output(const SealedType *type, Datum value, Datum *base,
				uint8 **envelope, size_t *envelope_len)
{
	SealedValue look = sealed_look(value);

	if (look.pending || (!look.claimed && !only_envelopes()))
	{
		if (sealed_open(type, value, base))
			return true;
		if (guc_sealed_output == SEALED_OUTPUT_ERROR)
			ereport(ERROR,
					(errcode(ERRCODE_PURPOSE_DENIED),
					 errmsg("a sealed value may not be opened"),
					 errhint("Set purpose.sealed_output to envelope or auto to have its envelope instead.")));
	}
	*envelope = palloc(look.len);
	*envelope_len = look.len;
	memcpy(*envelope, look.bytes, look.len);
	look.header.flags &= ENVELOPE_FLAGS_STORED;
	envelope_print_header(&look.header, *envelope);
	return false;
}

/*
 * Output.
 */
Datum
sealed_out(PG_FUNCTION_ARGS)
{
	const SealedType *type = sealedtype_of_argument(fcinfo, 0);
	uint8	   *envelope;
	size_t		len;
	Datum		base;
	char	   *text;

	if (!open_for_output(type, PG_GETARG_DATUM(0), &base, &envelope, &len))
		PG_RETURN_CSTRING(envelope_to_text(envelope, len));
	text = output_value(type->base, base);
	if (looks_like_envelope(text, strlen(text)))
		text = psprintf("\\%s", text);
	PG_RETURN_CSTRING(text);
}

/*
 * Binary input: (internal, oid, int4).
 */
Datum
sealed_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	const SealedType *type = sealedtype_of_result(fcinfo);
	int			form = pq_getmsgbyte(buf);
	int			len;
	const uint8 *envelope;
	EnvelopeHeader header;
	Oid			receive;
	Oid			ioparam;

	switch (form)
	{
		case BINARY_BASE:
			getTypeBinaryInputInfo(type->base, &receive, &ioparam);
			PG_RETURN_DATUM(sealed_pending(type, OidReceiveFunctionCall(receive, buf, ioparam, -1)));
		case BINARY_ENVELOPE:
			len = buf->len - buf->cursor;
			envelope = (const uint8 *) pq_getmsgbytes(buf, len);
			if (envelope_parse(envelope, len, &header) &&
				(header.flags & ~ENVELOPE_FLAGS_STORED) == 0)
				PG_RETURN_DATUM(sealed_accept(envelope, len, !envelopes_accepted()));
			break;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid binary form of a sealed value")));
	PG_RETURN_NULL();
}

/*
 * Binary output.
 */
Datum
sealed_send(PG_FUNCTION_ARGS)
{
	const SealedType *type = sealedtype_of_argument(fcinfo, 0);
	uint8	   *envelope;
	size_t		len;
	Datum		base;
	StringInfoData buf;

	pq_begintypsend(&buf);
	if (open_for_output(type, PG_GETARG_DATUM(0), &base, &envelope, &len))
	{
		Oid			send;
		bool		varlena;
		bytea	   *bytes;

		getTypeBinaryOutputInfo(type->base, &send, &varlena);
		bytes = OidSendFunctionCall(send, base);
		pq_sendbyte(&buf, BINARY_BASE);
		pq_sendbytes(&buf, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	}
	else
	{
		pq_sendbyte(&buf, BINARY_ENVELOPE);
		pq_sendbytes(&buf, (char *) envelope, len);
	}
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* How a cast goes on from the base type, or comes to it. */
typedef struct CastPath
{
	SealedType	type;
	CoercionPathType path;
	FmgrInfo	function;
	Oid			from;
	Oid			to;
	bool		is_text;		/* the other side is a text type */
} CastPath;

static bool
is_text_type(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == BPCHAROID || type == NAMEOID;
}

/*
 * Finds, once for a call site, how to get from one type to another.
 */
static CastPath *
find_path(FunctionCallInfo fcinfo, bool opens)
{
	CastPath   *cast = fcinfo->flinfo->fn_extra;
	Oid		   *argtypes;
	int			nargs;
	Oid			result;
	Oid			function = InvalidOid;
	const SealedType *type;

	if (cast != NULL)
		return cast;
	cast = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(CastPath));
	result = get_func_signature(fcinfo->flinfo->fn_oid, &argtypes, &nargs);
	type = sealedtype_find(opens ? argtypes[0] : result);
	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not a sealed type",
						format_type_be(opens ? argtypes[0] : result))));
	cast->type = *type;
	cast->from = opens ? type->base : argtypes[0];
	cast->to = opens ? result : type->base;
	cast->is_text = is_text_type(opens ? cast->to : cast->from);
	if (cast->from == cast->to)
		cast->path = COERCION_PATH_RELABELTYPE;
	else
		cast->path = find_coercion_pathway(cast->to, cast->from, COERCION_EXPLICIT, &function);
	if (cast->path == COERCION_PATH_FUNC)
		fmgr_info_cxt(function, &cast->function, fcinfo->flinfo->fn_mcxt);
	if (cast->path == COERCION_PATH_NONE && cast->is_text)
		cast->path = COERCION_PATH_COERCEVIAIO;
	fcinfo->flinfo->fn_extra = cast;
	return cast;
}

/*
 * Casts a value.  Functions of casts may give NULL, as that of an infinite
 * timestamp to time does.
 */
static Datum
follow_path(CastPath *cast, Datum value, Oid collation, bool *isnull)
{
	LOCAL_FCINFO(call, 3);
	Datum		result;

	*isnull = false;
	switch (cast->path)
	{
		case COERCION_PATH_RELABELTYPE:
			return value;
		case COERCION_PATH_FUNC:
			InitFunctionCallInfoData(*call, &cast->function, cast->function.fn_nargs, collation,
									 NULL, NULL);
			call->args[0].value = value;
			call->args[0].isnull = false;
			call->args[1].value = Int32GetDatum(-1);
			call->args[1].isnull = false;
			call->args[2].value = BoolGetDatum(true);
			call->args[2].isnull = false;
			result = FunctionCallInvoke(call);
			*isnull = call->isnull;
			return result;
		case COERCION_PATH_COERCEVIAIO:
			return input_value(cast->to, output_value(cast->from, value));
		default:
			ereport(ERROR,
					(errcode(ERRCODE_CANNOT_COERCE),
					 errmsg("cannot cast type %s to %s", format_type_be(cast->from),
							format_type_be(cast->to))));
	}
	pg_unreachable();
}

/*
 * Cast from a sealed type: opens, and goes on from the base type.  NULL if it
 * may not be opened.
 */
Datum
sealed_to(PG_FUNCTION_ARGS)
{
	CastPath   *cast = find_path(fcinfo, true);
	Datum		base;

	if (!open_to_cast(&cast->type, PG_GETARG_DATUM(0), &base))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(follow_path(cast, base, PG_GET_COLLATION(), &fcinfo->isnull));
}

/*
 * Cast from a sealed type to json: what to_json() makes of the base value, so
 * that to_json() and row_to_json() of the sealed one do the same.
 */
Datum
sealed_to_json(PG_FUNCTION_ARGS)
{
	const SealedType *type = sealedtype_of_argument(fcinfo, 0);
	Datum		base;
	FmgrInfo	to_json;
	FuncExpr   *call;

	if (!open_to_cast(type, PG_GETARG_DATUM(0), &base))
	{
		/* to_json() and its like call a cast directly, and take no NULL. */
		if (fcinfo->flinfo->fn_expr == NULL)
			PG_RETURN_TEXT_P(cstring_to_text("null"));
		PG_RETURN_NULL();
	}
	call = makeFuncExpr(F_TO_JSON, JSONOID,
						list_make1(makeNullConst(type->base, -1, InvalidOid)),
						InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	fmgr_info(F_TO_JSON, &to_json);
	fmgr_info_set_expr((Node *) call, &to_json);
	PG_RETURN_DATUM(FunctionCall1(&to_json, base));
}

/*
 * Cast to a sealed type.  From a text it reads the text form, so that an
 * envelope which an application writes back as a varchar is not sealed again.
 */
Datum
sealed_from(PG_FUNCTION_ARGS)
{
	CastPath   *cast = find_path(fcinfo, false);
	Datum		base;

	if (cast->is_text && cast->from != NAMEOID)
	{
		text	   *given = PG_GETARG_TEXT_PP(0);
		char	   *text = VARDATA_ANY(given);
		size_t		len = VARSIZE_ANY_EXHDR(given);

		/* Blanks at the end of a char(n) mean nothing. */
		while (cast->from == BPCHAROID && len > 0 && text[len - 1] == ' ')
			len--;
		if (cast->to != TEXTOID || looks_like_envelope(text, len))
			PG_RETURN_DATUM(read_text(&cast->type, text, len, (Datum) 0, false));
	}
	base = follow_path(cast, PG_GETARG_DATUM(0), PG_GET_COLLATION(), &fcinfo->isnull);
	if (fcinfo->isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(sealed_pending(&cast->type, base));
}

/*
 * Reads the base type's own modifiers, such as '(12,2)' of a numeric.  A text
 * has none: it takes those of varchar, a greatest length.  Raises what the type
 * says of bad ones.
 */
static int32
parse_modifier(const SealedType *type, const char *modifier, Oid *with_modifiers)
{
	HeapTuple	tuple;
	Form_pg_type form;
	int32		typmod;
	Oid			resolved;
	char	   *name;

	*with_modifiers = type->base == TEXTOID ? VARCHAROID : type->base;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(*with_modifiers));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", *with_modifiers);
	form = (Form_pg_type) GETSTRUCT(tuple);
	/* Not format_type(), which may print a name of several words. */
	name = quote_qualified_identifier(get_namespace_name(form->typnamespace),
									  NameStr(form->typname));
	ReleaseSysCache(tuple);
	parseTypeString(psprintf("%s%s", name, modifier), &resolved, &typmod,
					COMPAT_TYPE_STRING_ERROR);
	if (resolved != *with_modifiers)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_LABEL),
				 errmsg("\"%s\" are no modifiers of type %s", modifier,
						format_type_be(type->base)),
				 errhint("Write them as the type itself has them, such as '(12,2)' for numeric.")));
	return typmod;
}

/*
 * Refuses modifiers that the base type does not have.
 */
void
sealedio_check_modifier(const SealedType *type, const char *modifier)
{
	Oid			with_modifiers;

	(void) parse_modifier(type, modifier, &with_modifiers);
}

/*
 * Applies the base type's own modifiers to a base value.
 */
Datum
sealedio_apply_modifier(const SealedType *type, Datum base, const char *modifier, bool explicit)
{
	Oid			with_modifiers;
	int32		typmod = parse_modifier(type, modifier, &with_modifiers);
	Oid			function;

	if (find_typmod_coercion_function(with_modifiers, &function) != COERCION_PATH_FUNC)
		return base;
	return OidFunctionCall3(function, base, Int32GetDatum(typmod), BoolGetDatum(explicit));
}

/*
 * Length coercion: (sealed, int4, boolean).  A value that waits for its
 * trigger gets the base type's modifiers; a sealed one keeps its own label
 * wherever it goes.
 */
Datum
sealed_apply_typmod(PG_FUNCTION_ARGS)
{
	Datum		value = PG_GETARG_DATUM(0);
	const SealedLabel *label = sealedlabel_by_typmod(PG_GETARG_INT32(1));
	const SealedType *type;
	Datum		base;

	if (!sealed_look(value).pending || label == NULL || label->label->modifier == NULL)
		PG_RETURN_DATUM(value);
	type = sealedtype_of_argument(fcinfo, 0);
	(void) sealed_open(type, value, &base);
	PG_RETURN_DATUM(sealed_pending(type, sealedio_apply_modifier(type, base, label->label->modifier,
																 PG_GETARG_BOOL(2))));
}

/*
 * Statistics of a sealed column: how many NULLs and how wide, never values,
 * nor how often one occurs.
 */
static void
compute_sealed_stats(VacAttrStatsP stats, AnalyzeAttrFetchFunc fetch, int samplerows,
					 double totalrows)
{
	int			nulls = 0;
	double		width = 0;

	for (int i = 0; i < samplerows; i++)
	{
		bool		isnull;
		Datum		value = fetch(stats, i, &isnull);

		if (isnull)
			nulls++;
		else
			width += VARSIZE_ANY(DatumGetPointer(value));
	}
	if (samplerows == 0)
		return;
	stats->stats_valid = true;
	stats->stanullfrac = (double) nulls / samplerows;
	stats->stawidth = nulls < samplerows ? width / (samplerows - nulls) : 0;
	stats->stadistinct = 0;
}

/*
 * ANALYZE function of sealed types: (internal) -> boolean.
 */
Datum
sealed_typanalyze(PG_FUNCTION_ARGS)
{
	VacAttrStats *stats = (VacAttrStats *) PG_GETARG_POINTER(0);

	stats->compute_stats = compute_sealed_stats;
	stats->minrows = 300;
	PG_RETURN_BOOL(true);
}
