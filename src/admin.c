/*
 * admin.c
 *		The C side of the administrative SQL functions, and the label provider.
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/seclabel.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "admin.h"
#include "catalog.h"
#include "clock.h"
#include "consent.h"
#include "decision.h"
#include "declaration.h"
#include "errcodes.h"
#include "exempt.h"
#include "guc.h"
#include "label.h"
#include "protection.h"
#include "purpose.h"
#include "session.h"
#include "standin.h"
#include "subjectkey.h"

PG_FUNCTION_INFO_V1(purpose_current_purpose);
PG_FUNCTION_INFO_V1(purpose_acting_role);
PG_FUNCTION_INFO_V1(purpose_acting_role_name);
PG_FUNCTION_INFO_V1(purpose_now);
PG_FUNCTION_INFO_V1(purpose_set_label);
PG_FUNCTION_INFO_V1(purpose_parse_label);
PG_FUNCTION_INFO_V1(purpose_parse_declaration);
PG_FUNCTION_INFO_V1(purpose_protection);
PG_FUNCTION_INFO_V1(purpose_column_labels);
PG_FUNCTION_INFO_V1(purpose_subject_key);
PG_FUNCTION_INFO_V1(purpose_name_is_valid);
PG_FUNCTION_INFO_V1(purpose_declarations_changed);
PG_FUNCTION_INFO_V1(purpose_decide);
PG_FUNCTION_INFO_V1(purpose_stand_in_problem);

static Label *
parse_label(const char *text)
{
	char	   *problem;
	Label	   *label = label_parse(text, &problem);

	if (label == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_LABEL),
				 errmsg("invalid label: %s", problem),
				 errhint("A label reads: for <purposes> [never <purposes>] [else error | null | '<expression>'] [category <name>] [source <name>] [keep <class>].")));
	return label;
}

static Declaration *
parse_declaration(const char *text)
{
	char	   *problem;
	Declaration *declaration = declaration_parse(text, &problem);

	if (declaration == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_LABEL),
				 errmsg("invalid label of a table: %s", problem),
				 errhint("Tables are protected with purpose.protect(), which writes this label.")));
	return declaration;
}

/*
 * Warns of purposes that do not exist: they allow nothing.  (A restored dump
 * sets labels before the purposes are there, so this cannot be an error.)
 */
static void
warn_of_unknown_purposes(const Label *label)
{
	ListCell   *lc;

	foreach(lc, label_purposes(label))
	{
		if (purpose_find(lfirst(lc)) == NULL)
			ereport(WARNING,
					(errcode(ERRCODE_UNDEFINED_PURPOSE),
					 errmsg("purpose \"%s\" does not exist, and allows nothing until it does",
							(char *) lfirst(lc))));
	}
}

/*
 * Fills what a stand-in must be assignable to.
 */
static void
stand_in_type(const ObjectAddress *object, StandInType *type)
{
	if (object->classId == RelationRelationId)
		get_atttypetypmodcoll(object->objectId, object->objectSubId, &type->type, &type->typmod,
							  &type->collation);
	else
	{
		type->type = object->objectId;
		type->typmod = -1;
		type->collation = get_typcollation(object->objectId);
	}
}

/*
 * Checks what a label gives for a redacted value.  What does not exist, or does
 * not fit, is only warned of: the functions of a restored dump may come later.
 */
static void
check_stand_in(const ObjectAddress *object, const Label *label)
{
	StandInType type;
	char	   *problem;

	if (label->otherwise != LABEL_ELSE_EXPRESSION)
		return;
	standin_check_syntax(label->expression);
	stand_in_type(object, &type);
	problem = standin_problem(&type, label->expression);
	if (problem != NULL)
		ereport(WARNING,
				(errcode(ERRCODE_INVALID_LABEL),
				 errmsg("what stands in for redacted values cannot be resolved, so reading them is refused until it can: %s",
						problem)));
}

/*
 * The label provider: checks a label that is about to be set (NULL: cleared).
 */
static void
check_label(const ObjectAddress *object, const char *text)
{
	bool		is_column = object->classId == RelationRelationId && object->objectSubId > 0;
	bool		is_table = object->classId == RelationRelationId && object->objectSubId == 0;
	bool		is_domain = object->classId == TypeRelationId &&
	get_typtype(object->objectId) == TYPTYPE_DOMAIN;

	bool		is_function = object->classId == ProcedureRelationId;

	if (!is_column && !is_table && !is_domain && !is_function)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("purpose labels belong on columns, domains, protected tables and exempt functions")));
	if (catalog_oids() == NULL && !IsBinaryUpgrade)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"%s\" is not installed in this database", PURPOSE_EXTENSION),
				 errhint("CREATE EXTENSION %s;", PURPOSE_EXTENSION)));
	if (!catalog_is_officer(GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("only a privacy officer may set or clear a purpose label"),
				 errhint("A privacy officer is a role that may execute purpose.label_column().")));
	if (text != NULL)
	{
		if (is_table)
			parse_declaration(text);
		else if (is_function)
		{
			if (strcmp(text, EXEMPT_LABEL) != 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_LABEL),
						 errmsg("invalid label of a function"),
						 errhint("The only label of a function is \"%s\".", EXEMPT_LABEL)));
			if (!exempt_is_closed(object->objectId))
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_LABEL),
						 errmsg("an exempt function must pin its search_path"),
						 errdetail("Its caller could put operators and functions of his own in the place of those that it means."),
						 errhint("ALTER FUNCTION ... SET search_path = pg_catalog, pg_temp;")));
		}
		else
		{
			Label	   *label = parse_label(text);

			/* pg_upgrade sets labels before the extension's tables are there. */
			if (!IsBinaryUpgrade)
			{
				warn_of_unknown_purposes(label);
				check_stand_in(object, label);
			}
		}
	}

	/*
	 * Plans hold marks and row rules of the relation, of what is below it,
	 * and of whatever leads to its subjects, which may be any table.
	 */
	if (is_column)
	{
		ListCell   *lc;

		foreach(lc, find_all_inheritors(object->objectId, NoLock, NULL))
			CacheInvalidateRelcacheByRelid(lfirst_oid(lc));
	}
	else
		CacheInvalidateRelcacheAll();
	catalog_invalidate_declarations();
}

/*
 * Registers the label provider.  Called from _PG_init while preloading.
 */
void
admin_init(void)
{
	register_label_provider(PURPOSE_PROVIDER, check_label);
}

/*
 * purpose._set_label(relation regclass, column name, label text): sets a label
 * without owning the relation.  column NULL means the table, label NULL clears.
 */
Datum
purpose_set_label(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *label = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	ObjectAddress address;
	AttrNumber	attno = 0;

	if (!guc_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_purpose must be loaded via \"shared_preload_libraries\""),
				 errhint("Add pg_purpose to shared_preload_libraries, as its last entry, and restart the server.")));
	LockRelationOid(relid, ShareUpdateExclusiveLock);
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!PG_ARGISNULL(1))
	{
		char	   *column = NameStr(*PG_GETARG_NAME(1));

		attno = get_attnum(relid, column);
		if (attno <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation \"%s\" does not exist",
							column, get_rel_name(relid))));
	}
	ObjectAddressSubSet(address, RelationRelationId, relid, attno);
	check_label(&address, label);
	SetSecurityLabel(&address, PURPOSE_PROVIDER, label);
	PG_RETURN_VOID();
}

static ArrayType *
text_array(const List *strings)
{
	Datum	   *items = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, strings)
		items[n++] = CStringGetTextDatum(lfirst(lc));
	return construct_array(items, n, TEXTOID, -1, false, TYPALIGN_INT);
}

static Datum
return_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static Datum
optional_text(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/*
 * purpose._parse_label(text) -> (canonical, allowed text[], prohibited text[],
 * otherwise, category, source, keep).  Raises PU008.
 */
Datum
purpose_parse_label(PG_FUNCTION_ARGS)
{
	Label	   *label = parse_label(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = CStringGetTextDatum(label_deparse(label));
	values[1] = PointerGetDatum(text_array(label->allowed));
	values[2] = PointerGetDatum(text_array(label->prohibited));
	values[3] = CStringGetTextDatum(label->otherwise == LABEL_ELSE_ERROR ? "error" :
									label->otherwise == LABEL_ELSE_NULL ? "null" :
									label->expression);
	values[4] = optional_text(label->category, &nulls[4]);
	values[5] = optional_text(label->source, &nulls[5]);
	values[6] = optional_text(label->keep, &nulls[6]);
	return return_row(fcinfo, values, nulls);
}

/*
 * purpose._parse_declaration(text) -> (kind, columns text[], target_schema,
 * target_table, target_columns text[], mode).  Raises PU008.
 */
Datum
purpose_parse_declaration(PG_FUNCTION_ARGS)
{
	Declaration *d = parse_declaration(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = CStringGetTextDatum(d->kind == DECLARATION_SUBJECT ? "subject" : "via");
	values[1] = PointerGetDatum(text_array(d->columns));
	values[2] = optional_text(d->target_schema, &nulls[2]);
	values[3] = optional_text(d->target_table, &nulls[3]);
	values[4] = PointerGetDatum(text_array(d->target_columns));
	values[5] = CStringGetTextDatum(d->mode == MODE_OBSERVE ? "observe" : "enforce");
	return return_row(fcinfo, values, nulls);
}

/*
 * purpose._protection(relation oid) -> (labelled boolean, protected boolean,
 * mode text, subject_table oid, hops int, problem text): what is in force for a
 * relation, its ancestors' declarations included.  All NULL when nothing is.
 */
Datum
purpose_protection(PG_FUNCTION_ARGS)
{
	const RelationPolicy *policy = protection_find(PG_GETARG_OID(0));
	Datum		values[6] = {0};
	bool		nulls[6] = {true, true, true, true, true, true};

	if (policy != NULL)
	{
		memset(nulls, 0, sizeof(nulls));
		values[0] = BoolGetDatum(policy->columns != NIL);
		values[1] = BoolGetDatum(policy->protection != NULL || policy->problem != NULL);
		values[2] = CStringGetTextDatum(policy->mode == MODE_OBSERVE ? "observe" : "enforce");
		nulls[3] = policy->protection == NULL;
		nulls[4] = policy->protection == NULL;
		if (policy->protection != NULL)
		{
			values[3] = ObjectIdGetDatum(policy->protection->subject_table);
			values[4] = Int32GetDatum(list_length(policy->protection->hops));
		}
		values[5] = optional_text(policy->problem, &nulls[5]);
	}
	return return_row(fcinfo, values, nulls);
}

/*
 * purpose._column_labels(relation oid) -> setof (attnum int2, label text,
 * broken boolean): every label that counts for a column, its ancestors' and
 * domains' included.
 */
Datum
purpose_column_labels(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const RelationPolicy *policy;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	policy = protection_find(PG_GETARG_OID(0));
	foreach(lc, policy ? policy->columns : NIL)
	{
		const LabelledColumn *column = lfirst(lc);
		ListCell   *lc2;
		Datum		values[3];
		bool		nulls[3] = {false};

		values[0] = Int16GetDatum(column->attno);
		values[2] = BoolGetDatum(column->broken);
		foreach(lc2, column->labels)
		{
			values[1] = CStringGetTextDatum(label_deparse(lfirst(lc2)));
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
		if (column->labels == NIL)
		{
			nulls[1] = true;
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}

/*
 * purpose._subject_key(subject_table regclass, subject text) -> text: the
 * canonical key.  Raises PU006 and what the key types' input functions raise.
 */
Datum
purpose_subject_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(subjectkey_canonical(PG_GETARG_OID(0),
														  text_to_cstring(PG_GETARG_TEXT_PP(1)))));
}

/*
 * purpose._valid_name(text) -> boolean: has it the form of a purpose?
 */
Datum
purpose_name_is_valid(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(purpose_name_valid(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}

/*
 * purpose.current_purpose() -> text: the declared purpose, NULL if none is.
 */
Datum
purpose_current_purpose(PG_FUNCTION_ARGS)
{
	const Session *session = session_current();

	if (session->purpose[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(session->purpose));
}

/*
 * purpose._acting_role() -> oid: the login role, or what SET ROLE made of it;
 * never the owner of a SECURITY DEFINER function.
 */
Datum
purpose_acting_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(session_acting_role());
}

/*
 * purpose._acting_role_name() -> name
 */
Datum
purpose_acting_role_name(PG_FUNCTION_ARGS)
{
	Name		name = palloc0(sizeof(NameData));

	namestrcpy(name, GetUserNameFromId(session_acting_role(), false));
	PG_RETURN_NAME(name);
}

/*
 * purpose._now() -> timestamptz: the time that decisions are made by.
 */
Datum
purpose_now(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(clock_now());
}

/*
 * Statement trigger on the tables of declarations: tells every backend.
 */
Datum
purpose_declarations_changed(PG_FUNCTION_ARGS)
{
	catalog_invalidate_declarations();
	return PointerGetDatum(NULL);
}

/*
 * purpose._decide(role oid, purpose text, justification text, labels text[],
 * consent text, restricted boolean, mode text) -> (verdict text, reason text,
 * observed boolean, label text, stand_in text)
 *
 * The decision itself, on arguments instead of the session and the tables.
 * labels NULL: no label; consent NULL: no subject.
 */
Datum
purpose_decide(PG_FUNCTION_ARGS)
{
	Session		session;
	DecisionRequest request = {.session = &session};
	SubjectConsent consent = {CONSENT_NONE, false, DT_NOEND};
	Decision	decision;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	session_fill(&session, PG_GETARG_OID(0),
				 PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
				 PG_ARGISNULL(2) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (!PG_ARGISNULL(3))
	{
		Datum	   *labels;
		int			n;

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(3), TEXTOID, -1, false, TYPALIGN_INT,
						  &labels, NULL, &n);
		for (int i = 0; i < n; i++)
		{
			char	   *problem;
			Label	   *label = label_parse(TextDatumGetCString(labels[i]), &problem);

			if (label == NULL)
				request.label_broken = true;
			else
				request.labels = lappend((List *) request.labels, label);
		}
	}
	if (!PG_ARGISNULL(4))
	{
		char	   *state = text_to_cstring(PG_GETARG_TEXT_PP(4));

		if (!consent_parse_state(state, &consent.state))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is not a consent state", state)));
		consent.restricted = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
		request.consent = &consent;
	}
	request.mode = !PG_ARGISNULL(6) &&
		strcmp(text_to_cstring(PG_GETARG_TEXT_PP(6)), "observe") == 0 ? MODE_OBSERVE : MODE_ENFORCE;

	decision = decision_make(&request);
	values[0] = CStringGetTextDatum(decision.verdict == DECISION_ALLOW ? "allow" :
									decision.verdict == DECISION_REDACT ? "redact" : "deny");
	values[1] = CStringGetTextDatum(decision_reason_name(decision.reason));
	values[2] = BoolGetDatum(decision.observed);
	values[3] = optional_text(decision.label ? label_deparse(decision.label) : NULL, &nulls[3]);
	values[4] = optional_text(decision.verdict == DECISION_REDACT ? decision.stand_in : NULL,
							  &nulls[4]);
	return return_row(fcinfo, values, nulls);
}

/*
 * purpose._stand_in_problem(relation regclass, column name, domain regtype, label
 * text) -> text: what is wrong with what the label gives for redacted values of
 * the column, or of the domain where relation is NULL.
 */
Datum
purpose_stand_in_problem(PG_FUNCTION_ARGS)
{
	Label	   *label;
	ObjectAddress object;
	StandInType type;
	char	   *problem;

	if (PG_ARGISNULL(3))
		PG_RETURN_NULL();
	label = parse_label(text_to_cstring(PG_GETARG_TEXT_PP(3)));
	if (label->otherwise != LABEL_ELSE_EXPRESSION)
		PG_RETURN_NULL();
	if (PG_ARGISNULL(0))
		ObjectAddressSet(object, TypeRelationId, PG_GETARG_OID(2));
	else
	{
		ObjectAddressSubSet(object, RelationRelationId, PG_GETARG_OID(0),
							get_attnum(PG_GETARG_OID(0), NameStr(*PG_GETARG_NAME(1))));
		if (object.objectSubId <= 0)
			PG_RETURN_NULL();
	}
	stand_in_type(&object, &type);
	problem = standin_problem(&type, label->expression);
	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}
