/*
 * redactquery.c
 *		Puts stand-ins in the place of redacted columns, before planning.
 *
 * A redacted column is replaced wherever the query refers to it: in outputs,
 * conditions, joins, groupings, RETURNING.  The planner never sees a reference
 * to the hidden column, so there is no index, no statistics, no error and no
 * timing by which it could tell.  Where the purpose is permitted, nothing is
 * replaced, and the plan is the one that the query has anyway.
 *
 * What stands in is CASE WHEN tableoid IS NOT NULL THEN <expression> END: NULL,
 * as the column would be, in rows that an outer join made up.  A whole row is
 * replaced by a row of its columns.
 *
 * Not replaced is what row-level security asks of its own relation, which is not
 * the user's doing, and what ON CONFLICT finds its index by; access.c refuses
 * that.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog.h"
#include "compat.h"
#include "redact.h"
#include "standin.h"

/* A redacted column of one entry of a range table. */
typedef struct Redaction
{
	Index		varno;
	AttrNumber	attno;
	Oid			relid;
	StandInType type;
	Node	   *stand_in;		/* NULL: null */
	char	   *text;			/* what it is made from */
} Redaction;

typedef struct ReplaceContext
{
	List	   *redactions;		/* of Redaction * */
	Index		sublevels_up;
} ReplaceContext;

/*
 * Lists the columns of a relation that its mark calls redacted, with what stands
 * in for those that the query uses or sets; the others come to no light.
 */
static List *
redactions_of(Oid relid, Index varno, const Mark *mark)
{
	const RelationPolicy *policy = protection_find(relid);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, policy ? policy->columns : NIL)
	{
		const LabelledColumn *column = lfirst(lc);
		Decision	decision = redact_decide(policy, column);
		Redaction  *redaction;

		if (!bms_is_member(MARK_BIT(column->attno), mark->redacted))
			continue;
		redaction = palloc0(sizeof(Redaction));
		redaction->varno = varno;
		redaction->relid = relid;
		redaction->attno = column->attno;
		if (decision.stand_in != NULL &&
			(mark_has(mark->used, column->attno) || mark_has(mark->set, column->attno)))
			redaction->text = pstrdup(decision.stand_in);
		result = lappend(result, redaction);
	}
	/* What follows opens relations, and the policy may go. */
	foreach(lc, result)
	{
		Redaction  *redaction = lfirst(lc);

		get_atttypetypmodcoll(relid, redaction->attno, &redaction->type.type,
							  &redaction->type.typmod, &redaction->type.collation);
		if (redaction->text != NULL)
			redaction->stand_in = standin_make(&redaction->type, redaction->text);
	}
	return result;
}

static Redaction *
find(List *redactions, Index varno, AttrNumber attno)
{
	ListCell   *lc;

	foreach(lc, redactions)
	{
		Redaction  *redaction = lfirst(lc);

		if (redaction->varno == varno &&
			(attno == InvalidAttrNumber || redaction->attno == attno))
			return redaction;
	}
	return NULL;
}

/*
 * Returns another column of the same row that a Var refers to.
 */
static Var *
column_beside(const Var *var, AttrNumber attno, Oid type, int32 typmod, Oid collation)
{
	Var		   *column = copyObject((Var *) var);

	column->varattno = attno;
	column->varattnosyn = attno;
	column->vartype = type;
	column->vartypmod = typmod;
	column->varcollid = collation;
	return column;
}

static Node *
make_null(const StandInType *type)
{
	return (Node *) makeNullConst(type->type, type->typmod, type->collation);
}

/*
 * Makes CASE WHEN <the row exists> THEN result END.
 */
static Node *
if_row_exists(const Var *var, Node *result)
{
	NullTest   *test = makeNode(NullTest);
	CaseWhen   *when = makeNode(CaseWhen);
	CaseExpr   *expression = makeNode(CaseExpr);
	StandInType type = {exprType(result), exprTypmod(result), exprCollation(result)};

	test->arg = (Expr *) column_beside(var, TableOidAttributeNumber, OIDOID, -1, InvalidOid);
	test->nulltesttype = IS_NOT_NULL;
	test->location = -1;
	when->expr = (Expr *) test;
	when->result = (Expr *) result;
	when->location = -1;
	expression->casetype = type.type;
	expression->casecollid = type.collation;
	expression->args = list_make1(when);
	expression->defresult = (Expr *) make_null(&type);
	expression->location = -1;
	return (Node *) expression;
}

/*
 * Returns what stands in for the column of a row that surely exists.
 */
static Node *
stand_in_for(const Redaction *redaction, Var *column)
{
	return redaction->stand_in == NULL ? make_null(&redaction->type) :
		standin_fill(redaction->stand_in, (Node *) column);
}

static Node *
replace_column(const Redaction *redaction, Var *var)
{
	Node	   *result = stand_in_for(redaction, var);

	return redaction->stand_in == NULL ? result : if_row_exists(var, result);
}

static Node *
replace_row(List *redactions, Var *var, Oid relid)
{
	Relation	rel = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	RowExpr    *row = makeNode(RowExpr);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Redaction  *redaction = find(redactions, var->varno, attribute->attnum);
		Node	   *field;

		if (attribute->attisdropped)
			field = (Node *) makeNullConst(INT4OID, -1, InvalidOid);
		else
		{
			Var		   *column = column_beside(var, attribute->attnum, attribute->atttypid,
											   attribute->atttypmod, attribute->attcollation);

			field = redaction == NULL ? (Node *) column : stand_in_for(redaction, column);
		}
		row->args = lappend(row->args, field);
		row->colnames = lappend(row->colnames, makeString(pstrdup(NameStr(attribute->attname))));
	}
	row->row_typeid = var->vartype;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	table_close(rel, NoLock);
	return if_row_exists(var, (Node *) row);
}

static Node *
replace_mutator(Node *node, void *argument)
{
	ReplaceContext *context = argument;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varlevelsup == context->sublevels_up)
	{
		Var		   *var = (Var *) node;
		Redaction  *redaction = find(context->redactions, var->varno, var->varattno);

		if (redaction != NULL)
			return var->varattno == InvalidAttrNumber ?
				replace_row(context->redactions, var, redaction->relid) :
				replace_column(redaction, var);
	}
	if (IsA(node, Query))
	{
		Query	   *result;

		context->sublevels_up++;
		result = query_tree_mutator((Query *) node, replace_mutator, context, 0);
		context->sublevels_up--;
		return (Node *) result;
	}
	return expression_tree_mutator(node, replace_mutator, argument);
}

/*
 * Replaces the columns of joins by what they stand for, in everything but the
 * joins themselves.  The planner does that later; where such a column is a
 * constant, it could not.
 */
static Node *
flatten_mutator(Node *node, void *query)
{
	return compat_flatten_join_aliases(query, node);
}

/*
 * What row-level security put in about one entry, taken out of a query while
 * columns are replaced.
 */
typedef struct OwnRules
{
	List	   *security_quals; /* one list for each entry */
	List	   *check_options;
	List	   *arbiter_elements;
	Node	   *arbiter_condition;
} OwnRules;

static bool
is_policy_check(const Query *query, const WithCheckOption *check)
{
	return check->kind != WCO_VIEW_CHECK ||
		(query->commandType == CMD_INSERT && query->onConflict == NULL);
}

static void
take_own_rules(Query *query, OwnRules *rules)
{
	List	   *others = NIL;
	ListCell   *lc;

	memset(rules, 0, sizeof(*rules));
	for (Index varno = 1; varno <= list_length(query->rtable); varno++)
	{
		RangeTblEntry *rte = rt_fetch(varno, query->rtable);
		bool		keep = varno == query->resultRelation;

		rules->security_quals = lappend(rules->security_quals, keep ? NIL : rte->securityQuals);
		if (!keep)
			rte->securityQuals = NIL;
	}
	foreach(lc, query->withCheckOptions)
	{
		WithCheckOption *check = lfirst_node(WithCheckOption, lc);

		if (is_policy_check(query, check))
			rules->check_options = lappend(rules->check_options, check);
		else
			others = lappend(others, check);
	}
	query->withCheckOptions = others;
	if (query->onConflict != NULL)
	{
		rules->arbiter_elements = query->onConflict->arbiterElems;
		rules->arbiter_condition = query->onConflict->arbiterWhere;
		query->onConflict->arbiterElems = NIL;
		query->onConflict->arbiterWhere = NULL;
	}
}

static void
put_own_rules(Query *query, const OwnRules *rules)
{
	for (Index varno = 1; varno <= list_length(query->rtable); varno++)
	{
		RangeTblEntry *rte = rt_fetch(varno, query->rtable);

		if (varno != query->resultRelation)
			rte->securityQuals = list_nth(rules->security_quals, varno - 1);
	}
	query->withCheckOptions = list_concat(rules->check_options, query->withCheckOptions);
	if (query->onConflict != NULL)
	{
		query->onConflict->arbiterElems = rules->arbiter_elements;
		query->onConflict->arbiterWhere = rules->arbiter_condition;
	}
}

/*
 * Lets no new value for a redacted column pass that is its stand-in.
 */
static void
guard_targets(List *targets, List *redactions, Index varno)
{
	ListCell   *lc;

	foreach(lc, targets)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		Redaction  *redaction = entry->resjunk || entry->resno == InvalidAttrNumber ? NULL :
		find(redactions, varno, entry->resno);
		StandInType *type;
		List	   *args;

		if (redaction == NULL)
			continue;
		type = &redaction->type;
		args = list_make4(entry->expr,
						  stand_in_for(redaction, makeVar(varno, redaction->attno, type->type,
														  type->typmod, type->collation, 0)),
						  makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
									ObjectIdGetDatum(redaction->relid), false, true),
						  makeConst(INT2OID, -1, InvalidOid, sizeof(int16),
									Int16GetDatum(redaction->attno), false, true));
		entry->expr = (Expr *) makeFuncExpr(catalog_oids()->fn_not_stand_in, type->type, args,
											type->collation, type->collation,
											COERCE_EXPLICIT_CALL);
	}
}

static void
guard_writes(Query *query, List *redactions)
{
	ListCell   *lc;

	if (query->commandType == CMD_UPDATE)
		guard_targets(query->targetList, redactions, query->resultRelation);
	if (query->onConflict != NULL)
		guard_targets(query->onConflict->onConflictSet, redactions, query->resultRelation);
	foreach(lc, query->mergeActionList)
	{
		MergeAction *action = lfirst_node(MergeAction, lc);

		if (action->commandType == CMD_UPDATE)
			guard_targets(action->targetList, redactions, query->resultRelation);
	}
}

/*
 * Replaces the columns that the marks of a query's own relations call redacted,
 * in the query and all below it.  To be called before the row rules are put in.
 */
void
redact_query(Query *query)
{
	ReplaceContext context = {0};
	Query	   *result;
	OwnRules	rules;

	for (Index varno = 1; varno <= list_length(query->rtable); varno++)
	{
		RangeTblEntry *rte = rt_fetch(varno, query->rtable);
		Mark		mark;

		if (rte->rtekind != RTE_RELATION || !mark_get(rte, &mark) || mark.redacted == NULL)
			continue;
		context.redactions = list_concat(context.redactions,
										 redactions_of(rte->relid, varno, &mark));
	}
	if (context.redactions == NIL)
		return;

	take_own_rules(query, &rules);
	result = query;
	result = query_tree_mutator(result, flatten_mutator, query, QTW_IGNORE_JOINALIASES);
	result = query_tree_mutator(result, replace_mutator, &context, QTW_IGNORE_JOINALIASES);
	memcpy(query, result, sizeof(Query));
	put_own_rules(query, &rules);
	guard_writes(query, context.redactions);
}

/*
 * Puts a query around that of a view, which redacts columns of it.
 */
void
redact_view(RangeTblEntry *rte, Oid view, const Mark *mark)
{
	List	   *redactions = redactions_of(view, 1, mark);
	RangeTblEntry *inner = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	Query	   *query = makeNode(Query);
	ListCell   *lc;

	inner->rtekind = RTE_SUBQUERY;
	inner->subquery = rte->subquery;
	inner->security_barrier = rte->security_barrier;
	inner->alias = makeAlias("redacted", NIL);
	inner->eref = copyObject(rte->eref);
	inner->inFromCl = true;
	ref->rtindex = 1;

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->rtable = list_make1(inner);
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	foreach(lc, rte->subquery->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, lc);
		Redaction  *redaction = find(redactions, 1, entry->resno);
		Var		   *column;

		if (entry->resjunk)
			continue;
		column = makeVarFromTargetEntry(1, entry);
		query->targetList = lappend(query->targetList,
									makeTargetEntry((Expr *) (redaction == NULL ? (Node *) column :
															  stand_in_for(redaction, column)),
													entry->resno, entry->resname, false));
	}
	rte->subquery = query;
}
