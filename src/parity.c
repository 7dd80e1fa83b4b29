/*
 * parity.c
 *		Has a query on a protected table planned as it would be without
 *		protection, as far as that gives nothing away.
 *
 * The row rule is a security qual, so PostgreSQL uses an index for another
 * condition only if that is leakproof: evaluated before the rule, it must not
 * tell anything about rows that the rule hides.  PostgreSQL marks few functions
 * so.  Here more of its functions are vetted by their code: for no value do they
 * raise an error or do anything but return, given that the condition has passed
 * the tests below.
 *
 * A vetted condition counts as leakproof only while index paths are made.  What
 * is evaluated beside the index stays behind the rule.
 *
 * The planner is also told what the rule costs, and which share of the rows it
 * lets through.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "catalog.h"
#include "consentshare.h"
#include "decision.h"
#include "guc.h"
#include "parity.h"
#include "protection.h"

/* What the rule costs a row, in units of cpu_operator_cost. */
#define RULE_COST_NOBODY_ASKED	1
#define RULE_COST				3

PG_FUNCTION_INFO_V1(parity_visible_support);
PG_FUNCTION_INFO_V1(parity_loaded_support);

static set_rel_pathlist_hook_type prev_set_rel_pathlist = NULL;

/* What a vetted function is given must fulfil this. */
typedef enum Vetting
{
	VETTED_ALWAYS,
	VETTED_PATTERN,				/* a constant pattern that is well formed */
	VETTED_TYPES				/* no type that a user made: its operators
								 * would be called */
} Vetting;

static const struct
{
	Oid			function;
	Vetting		vetting;
}			vetted[] = {

	/* patterns */
	{F_TEXTLIKE, VETTED_PATTERN},
	{F_BPCHARLIKE, VETTED_PATTERN},
	{F_NAMELIKE, VETTED_PATTERN},
	{F_TEXTICLIKE, VETTED_PATTERN},
	{F_BPCHARICLIKE, VETTED_PATTERN},
	{F_TEXTREGEXEQ, VETTED_PATTERN},
	{F_BPCHARREGEXEQ, VETTED_PATTERN},
	{F_NAMEREGEXEQ, VETTED_PATTERN},
	{F_TEXTICREGEXEQ, VETTED_PATTERN},
	{F_BPCHARICREGEXEQ, VETTED_PATTERN},
	{F_STARTS_WITH, VETTED_ALWAYS},

	/* comparisons */
	{F_NUMERIC_EQ, VETTED_ALWAYS},
	{F_NUMERIC_LT, VETTED_ALWAYS},
	{F_NUMERIC_LE, VETTED_ALWAYS},
	{F_NUMERIC_GT, VETTED_ALWAYS},
	{F_NUMERIC_GE, VETTED_ALWAYS},
	{F_DATE_EQ_TIMESTAMP, VETTED_ALWAYS},
	{F_DATE_LT_TIMESTAMP, VETTED_ALWAYS},
	{F_DATE_LE_TIMESTAMP, VETTED_ALWAYS},
	{F_DATE_GT_TIMESTAMP, VETTED_ALWAYS},
	{F_DATE_GE_TIMESTAMP, VETTED_ALWAYS},
	{F_DATE_EQ_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_DATE_LT_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_DATE_LE_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_DATE_GT_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_DATE_GE_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_TIMESTAMP_EQ_DATE, VETTED_ALWAYS},
	{F_TIMESTAMP_LT_DATE, VETTED_ALWAYS},
	{F_TIMESTAMP_LE_DATE, VETTED_ALWAYS},
	{F_TIMESTAMP_GT_DATE, VETTED_ALWAYS},
	{F_TIMESTAMP_GE_DATE, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_EQ_DATE, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_LT_DATE, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_LE_DATE, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_GT_DATE, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_GE_DATE, VETTED_ALWAYS},
	{F_TIMESTAMP_EQ_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_TIMESTAMP_LT_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_TIMESTAMP_LE_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_TIMESTAMP_GT_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_TIMESTAMP_GE_TIMESTAMPTZ, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_EQ_TIMESTAMP, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_LT_TIMESTAMP, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_LE_TIMESTAMP, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_GT_TIMESTAMP, VETTED_ALWAYS},
	{F_TIMESTAMPTZ_GE_TIMESTAMP, VETTED_ALWAYS},

	/* documents, arrays, ranges, networks */
	{F_JSONB_CONTAINS, VETTED_ALWAYS},
	{F_JSONB_EXISTS, VETTED_ALWAYS},
	{F_JSONB_EXISTS_ANY, VETTED_ALWAYS},
	{F_JSONB_EXISTS_ALL, VETTED_ALWAYS},
	{F_JSONB_OBJECT_FIELD, VETTED_ALWAYS},
	{F_JSONB_OBJECT_FIELD_TEXT, VETTED_ALWAYS},
	{F_TS_MATCH_VQ, VETTED_ALWAYS},
	{F_TS_MATCH_QV, VETTED_ALWAYS},
	{F_ARRAYCONTAINS, VETTED_TYPES},
	{F_ARRAYCONTAINED, VETTED_TYPES},
	{F_ARRAYOVERLAP, VETTED_TYPES},
	{F_RANGE_CONTAINS, VETTED_TYPES},
	{F_RANGE_CONTAINS_ELEM, VETTED_TYPES},
	{F_RANGE_CONTAINED_BY, VETTED_TYPES},
	{F_ELEM_CONTAINED_BY_RANGE, VETTED_TYPES},
	{F_RANGE_OVERLAPS, VETTED_TYPES},
	{F_NETWORK_SUB, VETTED_ALWAYS},
	{F_NETWORK_SUBEQ, VETTED_ALWAYS},
	{F_NETWORK_SUP, VETTED_ALWAYS},
	{F_NETWORK_SUPEQ, VETTED_ALWAYS},
	{F_NETWORK_OVERLAP, VETTED_ALWAYS},

	/* in indexes on expressions */
	{F_LOWER_TEXT, VETTED_ALWAYS},
	{F_UPPER_TEXT, VETTED_ALWAYS},
	{F_DATE_TIMESTAMP, VETTED_ALWAYS},
};

/*
 * Is the pattern of this call a constant that is matched without an error?  A
 * pattern of LIKE must not end in a backslash that escapes nothing: whether
 * that is noticed depends on the value.
 */
static bool
pattern_is_safe(List *args)
{
	Const	   *pattern = list_length(args) == 2 ? lsecond(args) : NULL;
	char	   *characters;
	int			backslashes = 0;

	if (pattern == NULL || !IsA(pattern, Const))
		return false;
	if (pattern->constisnull)
		return true;
	if (pattern->consttype != TEXTOID)
		return false;
	characters = TextDatumGetCString(pattern->constvalue);
	for (size_t i = strlen(characters); i > 0 && characters[i - 1] == '\\'; i--)
		backslashes++;
	return backslashes % 2 == 0;
}

static bool
function_is_vetted(Oid function, List *args)
{
	ListCell   *lc;

	if (get_func_leakproof(function))
		return true;
	for (int i = 0; i < lengthof(vetted); i++)
	{
		if (vetted[i].function != function)
			continue;
		switch (vetted[i].vetting)
		{
			case VETTED_ALWAYS:
				return true;
			case VETTED_PATTERN:
				return pattern_is_safe(args);
			case VETTED_TYPES:
				foreach(lc, args)
				{
					if (getBaseType(exprType(lfirst(lc))) >= FirstNormalObjectId)
						return false;
				}
				return true;
		}
	}
	return false;
}

/*
 * Finds what is not known to be safe: every kind of node that is not named here,
 * and every function that is not vetted.
 */
static bool
unvetted_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
		case T_Param:
		case T_RelabelType:
		case T_NullTest:
		case T_BooleanTest:
		case T_BoolExpr:
		case T_ArrayExpr:
		case T_List:
			break;
		case T_FuncExpr:
			if (!function_is_vetted(((FuncExpr *) node)->funcid, ((FuncExpr *) node)->args))
				return true;
			break;
		case T_OpExpr:
			set_opfuncid((OpExpr *) node);
			if (!function_is_vetted(((OpExpr *) node)->opfuncid, ((OpExpr *) node)->args))
				return true;
			break;
		case T_ScalarArrayOpExpr:
			set_sa_opfuncid((ScalarArrayOpExpr *) node);
			if (!get_func_leakproof(((ScalarArrayOpExpr *) node)->opfuncid) &&
				!function_is_vetted(((ScalarArrayOpExpr *) node)->opfuncid, NIL))
				return true;
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, unvetted_walker, context);
}

static bool
rule_walker(Node *node, void *context)
{
	const CatalogOids *oids = context;

	if (node == NULL)
		return false;
	if (IsA(node, FuncExpr) && (((FuncExpr *) node)->funcid == oids->fn_visible ||
								((FuncExpr *) node)->funcid == oids->fn_orphan))
		return true;
	return expression_tree_walker(node, rule_walker, context);
}

/*
 * Is the row rule among these restrictions?
 */
static bool
has_rule(List *restrictions)
{
	const CatalogOids *oids = catalog_oids();
	ListCell   *lc;

	if (oids == NULL)
		return false;
	foreach(lc, restrictions)
	{
		if (rule_walker((Node *) lfirst_node(RestrictInfo, lc)->clause, (void *) oids))
			return true;
	}
	return false;
}

/*
 * Marks a restriction, and those inside it if it is an OR of some, as leakproof
 * where they are vetted.  Adds those that were marked to *promoted.
 */
static void
promote(Node *node, List **promoted)
{
	ListCell   *lc;

	if (IsA(node, BoolExpr))
	{
		foreach(lc, ((BoolExpr *) node)->args)
			promote(lfirst(lc), promoted);
	}
	else if (IsA(node, RestrictInfo))
	{
		RestrictInfo *restriction = (RestrictInfo *) node;

		if (restriction->security_level > 0 && !restriction->leakproof &&
			!unvetted_walker((Node *) restriction->clause, NULL))
		{
			restriction->leakproof = true;
			*promoted = lappend(*promoted, restriction);
		}
		if (restriction->orclause != NULL)
			promote((Node *) restriction->orclause, promoted);
	}
}

/*
 * Adds the index paths that vetted conditions make possible.
 */
static void
add_index_paths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	List	   *promoted = NIL;
	ListCell   *lc;

	if (prev_set_rel_pathlist)
		prev_set_rel_pathlist(root, rel, rti, rte);
	if (rte->rtekind != RTE_RELATION || rte->inh || rel->indexlist == NIL ||
		!has_rule(rel->baserestrictinfo))
		return;
	foreach(lc, rel->baserestrictinfo)
		promote(lfirst(lc), &promoted);
	foreach(lc, rel->joininfo)
		promote(lfirst(lc), &promoted);
	if (promoted == NIL)
		return;
	create_index_paths(root, rel);
	foreach(lc, promoted)
		lfirst_node(RestrictInfo, lc)->leakproof = false;
}

/*
 * Returns the subject table of a call of the row rule, given by its arguments.
 */
static Oid
subject_table_of(List *args)
{
	Const	   *relation = args != NIL ? linitial(args) : NULL;
	const RelationPolicy *policy = NULL;

	if (relation != NULL && IsA(relation, Const) && !relation->constisnull)
		policy = protection_find(DatumGetObjectId(relation->constvalue));
	return policy != NULL && policy->protection != NULL ? policy->protection->subject_table :
		InvalidOid;
}

/*
 * The planner's questions about purpose._visible(relation, key, ...): the share
 * of rows that it lets through, and what it costs.
 */
Datum
parity_visible_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	const Session *session;
	bool		unasked;

	if (!IsA(request, SupportRequestSelectivity) && !IsA(request, SupportRequestCost))
		PG_RETURN_POINTER(NULL);
	session = session_current();
	unasked = session->exempt || decision_asks_nobody(session);
	if (IsA(request, SupportRequestCost))
	{
		SupportRequestCost *cost = (SupportRequestCost *) request;

		cost->startup = 0;
		cost->per_tuple = (unasked ? RULE_COST_NOBODY_ASKED : RULE_COST) * cpu_operator_cost;
	}
	else
	{
		SupportRequestSelectivity *selectivity = (SupportRequestSelectivity *) request;
		double		share = 1.0;

		if (!unasked)
		{
			if (session->status != PURPOSE_USABLE ||
				!consentshare_estimate(subject_table_of(selectivity->args), session, &share))
				PG_RETURN_POINTER(NULL);
		}
		selectivity->selectivity = share;
	}
	PG_RETURN_POINTER(request);
}

/*
 * The planner's question about purpose._loaded(relation), the floor: it hides
 * all rows or none.
 */
Datum
parity_loaded_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (!IsA(request, SupportRequestSelectivity))
		PG_RETURN_POINTER(NULL);
	((SupportRequestSelectivity *) request)->selectivity = guc_preloaded ? 1.0 : 0.0;
	PG_RETURN_POINTER(request);
}

/*
 * Installs the hook.  Called from _PG_init while preloading.
 */
void
parity_init(void)
{
	prev_set_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = add_index_paths;
}
