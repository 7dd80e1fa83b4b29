/*
 * standin.c
 *		The expression that a label gives for a redacted value.
 *
 *	else 'EXPRESSION'
 *		A constant, "value" (the hidden value), or a call of a function or an
 *		operator on such.  A name without a schema is PostgreSQL's own.  So it
 *		means the same under every search_path, and when a dump is restored.
 *
 * Whoever queries the column runs the expression, with his own rights.  What is
 * in it sees the hidden value, so it must be out of his hands: PostgreSQL's own
 * functions and C code, or functions of a superuser's or a privacy officer's
 * that look nothing up in the caller's search_path.  Nothing may be volatile,
 * run a domain's check, or parse the value's text, which fails with an error
 * that shows it.
 *
 * The expression is resolved whenever a query is planned in which it stands in.
 * If it cannot be, the query is refused.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "compat.h"
#include "errcodes.h"
#include "exempt.h"
#include "guard.h"
#include "sealedtype.h"
#include "standin.h"

/* What stands for the hidden value. */
#define VALUE_NAME	"value"

compat_noreturn static void
refuse(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_LABEL),
			 errmsg("invalid expression after \"else\""),
			 errdetail("%s", detail),
			 errhint("It is a constant, or a call of functions and operators on constants and \"value\", such as 'left(value, 2)' or 'schema.mask(value)'.")));
}

/*
 * Gives a name without a schema that of PostgreSQL's own objects.
 */
static List *
qualified(List *name)
{
	return list_length(name) == 1 ? lcons(makeString("pg_catalog"), name) : name;
}

static bool
is_plain_call(const FuncCall *call)
{
	return call->agg_order == NIL && call->agg_filter == NULL && call->over == NULL &&
		!call->agg_within_group && !call->agg_star && !call->agg_distinct &&
		!call->func_variadic;
}

static void
qualify(Node *raw)
{
	ListCell   *lc;

	check_stack_depth();
	switch (raw ? nodeTag(raw) : T_Invalid)
	{
		case T_A_Const:
			return;
		case T_ColumnRef:
			{
				List	   *fields = ((ColumnRef *) raw)->fields;

				if (list_length(fields) == 1 && IsA(linitial(fields), String) &&
					strcmp(strVal(linitial(fields)), VALUE_NAME) == 0)
					return;
				refuse("The column is called \"value\" in it, so that it survives a change of the column's name.");
			}
		case T_TypeCast:
			{
				TypeCast   *cast = (TypeCast *) raw;

				if (cast->typeName->setof || cast->typeName->pct_type)
					break;
				cast->typeName->names = qualified(cast->typeName->names);
				qualify(cast->arg);
				return;
			}
		case T_FuncCall:
			{
				FuncCall   *call = (FuncCall *) raw;

				if (!is_plain_call(call))
					break;
				call->funcname = qualified(call->funcname);
				foreach(lc, call->args)
					qualify(lfirst(lc));
				return;
			}
		case T_A_Expr:
			{
				A_Expr	   *operation = (A_Expr *) raw;

				if (operation->kind != AEXPR_OP)
					break;
				operation->name = qualified(operation->name);
				if (operation->lexpr != NULL)
					qualify(operation->lexpr);
				qualify(operation->rexpr);
				return;
			}
		default:
			break;
	}
	refuse("It may hold constants, \"value\", casts, and calls of functions and operators, nothing else.");
}

static Node *
parse(const char *text)
{
	Node	   *raw = guard_parse(text);

	if (raw == NULL)
		refuse("It must be one expression.");
	qualify(raw);
	return raw;
}

/*
 * Parser hook: what stands for "value" in an analysed expression.
 */
static Node *
refer_to_value(ParseState *pstate, ColumnRef *ref)
{
	return copyObject(pstate->p_ref_hook_state);
}

static bool
value_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, CoerceToDomainValue) || expression_tree_walker(node, value_walker, context);
}

static bool
names_are_bound(HeapTuple function)
{
	bool		isnull;

	(void) SysCacheGetAttr(PROCOID, function, Anum_pg_proc_prosqlbody, &isnull);
	return !isnull;
}

/*
 * May a function see hidden values?
 */
static bool
is_trusted(Oid function)
{
	HeapTuple	tuple;
	Oid			owner;
	bool		closed;

	if (guard_function_trusted(function))
		return true;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	closed = names_are_bound(tuple) || exempt_is_closed(function);
	ReleaseSysCache(tuple);
	return closed && catalog_is_officer(owner);
}

static bool
untrusted_function(Oid function, void *context)
{
	return !is_trusted(function);
}

/*
 * Refuses what an analysed expression must not hold.
 */
static bool
refuse_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
		case T_Const:
		case T_CoerceToDomainValue:
		case T_RelabelType:
		case T_FuncExpr:
		case T_OpExpr:
			break;
		case T_CoerceViaIO:
			if (value_walker((Node *) ((CoerceViaIO *) node)->arg, NULL) &&
				TypeCategory(getBaseType(exprType(node))) != TYPCATEGORY_STRING)
				refuse("A cast that parses the value would show it in an error.");
			break;
		default:
			refuse("It holds a conversion of a kind that is not allowed.");
	}
	if (check_functions_in_node(node, untrusted_function, NULL))
		refuse("Its functions see hidden values: they must be PostgreSQL's own, or belong to a privacy officer and pin their search_path.");
	return expression_tree_walker(node, refuse_walker, context);
}

/*
 * Resolves an expression for columns of a type.  Raises what is wrong.
 */
static Node *
resolve(const StandInType *of, const char *text)
{
	CoerceToDomainValue *value = makeNode(CoerceToDomainValue);
	ParseState *pstate = make_parsestate(NULL);
	int32		typmod = of->typmod;
	Oid			base = getBaseTypeAndTypmod(of->type, &typmod);
	Node	   *result;

	if (sealedtype_contained(of->type))
		refuse("A sealed column can only be redacted to null.");
	value->typeId = of->type;
	value->typeMod = of->typmod;
	value->collation = of->collation;
	value->location = -1;
	pstate->p_pre_columnref_hook = refer_to_value;
	pstate->p_ref_hook_state = value;

	result = transformExpr(pstate, parse(text), EXPR_KIND_DOMAIN_CHECK);
	result = coerce_to_target_type(pstate, result, exprType(result), base, typmod,
								   COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (result == NULL)
		refuse(psprintf("What it gives cannot be assigned to type %s.",
						format_type_with_typemod(of->type, of->typmod)));
	assign_expr_collations(pstate, result);
	free_parsestate(pstate);

	refuse_walker(result, NULL);
	if (contain_volatile_functions(result))
		refuse("It must not call a volatile function.");

	/* What fails on constants fails whenever it is planned. */
	(void) eval_const_expressions(NULL, copyObject(result));

	/* What stands in need not fulfil the checks of a domain. */
	if (exprType(result) != of->type || exprCollation(result) != of->collation ||
		exprTypmod(result) != of->typmod)
		result = (Node *) makeRelabelType((Expr *) result, of->type, of->typmod, of->collation,
										  COERCE_IMPLICIT_CAST);
	return result;
}

/*
 * Is the error at hand about the expression, not about the server?
 */
static bool
concerns_expression(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR):
		case ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION):
		case ERRCODE_TO_CATEGORY(ERRCODE_FEATURE_NOT_SUPPORTED):
		case ERRCODE_TO_CATEGORY(ERRCODE_INVALID_SCHEMA_NAME):
		case ERRCODE_TO_CATEGORY(ERRCODE_INVALID_LABEL):
			return true;
		default:
			return false;
	}
}

static const char *
told_by(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_INVALID_LABEL && error->detail ? error->detail :
		error->message;
}

/*
 * Makes the stand-in for columns of a type: an expression with a placeholder for
 * the hidden value, which standin_fill() replaces.  Raises PU006 if it cannot be
 * resolved.
 */
Node *
standin_make(const StandInType *of, const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	Node	   *volatile result = NULL;

	PG_TRY();
	{
		result = resolve(of, text);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!concerns_expression(error))
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PROTECTION),
				 errmsg("what stands in for a redacted value cannot be resolved: %s", text),
				 errdetail("%s", told_by(error)),
				 errhint("SELECT * FROM purpose.check() names the label.")));
	}
	PG_END_TRY();
	return result;
}

static Node *
fill_mutator(Node *node, void *value)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, CoerceToDomainValue))
		return copyObject(value);
	return expression_tree_mutator(node, fill_mutator, value);
}

/*
 * Puts the hidden value where a stand-in refers to it.
 */
Node *
standin_fill(Node *stand_in, Node *value)
{
	return fill_mutator(stand_in, value);
}

/*
 * Raises PU008 if a text is not of the form of a stand-in, whatever exists.
 */
void
standin_check_syntax(const char *text)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		(void) parse(text);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!concerns_expression(error) || error->sqlerrcode == ERRCODE_INVALID_LABEL)
			PG_RE_THROW();
		FlushErrorState();
		refuse(error->message);
	}
	PG_END_TRY();
}

/*
 * Says what is wrong with a stand-in for columns of a type as things are now,
 * NULL if nothing.  Not for parallel mode.
 */
char *
standin_problem(const StandInType *of, const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *volatile problem = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void) resolve(of, text);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!concerns_expression(error))
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		problem = pstrdup(told_by(error));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return problem;
}
