/*
 * rows.c
 *		Puts the row rule into rewritten queries, before planning.
 *
 * Every protected relation, wherever a query reaches it (subqueries, WITH,
 * sublinks, the insides of views whoever owns them, targets of UPDATE, DELETE
 * and MERGE, partitions and children addressed directly), gets a security
 * qual in front of those that row-level security gave it, so that no other
 * condition, not even another policy's, sees a row that the rule hides:
 *
 *	purpose._visible(relation, key, ...)
 *		where the row names its subject;
 *	CASE WHEN purpose._unbound() THEN true
 *		 WHEN fk IS NULL THEN purpose._visible(relation, fk, ...)
 *		 ELSE coalesce((SELECT <the rule of the parent> FROM parent WHERE key = fk),
 *					   purpose._visible(relation)) END
 *		where it leads there by a foreign key ("via"), to any depth.  Whoever is
 *		not bound must not depend on the parent: in the middle of a cascade it
 *		is gone already.  A bound role does not see a row that leads nowhere.
 *
 * The rule holds no decision: purpose._visible() (visible.c) asks who acts,
 * and for what, when it runs.  INSERT needs no rule; the WHERE of ON CONFLICT
 * DO UPDATE gets it, so that a hidden row stays hidden there too.
 *
 * pg_statistic and pg_statistic_ext_data get a rule of their own: they hold
 * values of labelled columns, and the views on them show these to owners.
 *
 * Each relation that anything is declared about leaves marked (mark.h), and with
 * the columns redacted that its mark says so of (redact.c).
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext_data.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_collate.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog.h"
#include "compat.h"
#include "mark.h"
#include "protection.h"
#include "redact.h"
#include "rows.h"

/* Of a relation whose columns nobody judges. */
static const Mark nothing;

typedef struct ApplyContext
{
	ColumnUse  *use;
	bool		redacts;		/* the session is bound by labels */
	uint64		generation;		/* of declarations, from before they were read */
} ApplyContext;

/*
 * A copy of what one relation's rule is made from: building it opens
 * relations, during which a policy's memory may go.
 */
typedef struct RuleSource
{
	Oid			relid;
	List	   *hops;
	int			nkeys;
	AttrNumber	keys[INDEX_MAX_KEYS];
} RuleSource;

static bool
is_statistics(Oid relid)
{
	return relid == StatisticRelationId || relid == StatisticExtDataRelationId;
}

static bool
concerned_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		return compat_is_relation(rte) &&
			(is_statistics(rte->relid) || protection_find(rte->relid) != NULL);
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, concerned_walker, context,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, concerned_walker, context);
}

/*
 * Says whether a query reaches any relation that something is declared about.
 */
bool
rows_query_concerned(Query *query)
{
	return concerned_walker((Node *) query, NULL);
}

static Var *
make_column(Index varno, Oid relid, AttrNumber attno, Index levelsup)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relid, attno, &type, &typmod, &collation);
	return makeVar(varno, attno, type, typmod, collation, levelsup);
}

static Node *
make_visible_call(Oid relid, List *keys)
{
	Const	   *relation = makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
									 ObjectIdGetDatum(relid), false, true);

	/* The form of the call is the proof that it is ours: see visible.c. */
	return (Node *) makeFuncExpr(keys == NIL ? catalog_oids()->fn_orphan :
								 catalog_oids()->fn_visible, BOOLOID,
								 lcons(relation, keys), InvalidOid, InvalidOid,
								 COERCE_SQL_SYNTAX);
}

static CaseWhen *
make_when(Expr *condition, Expr *value)
{
	CaseWhen   *when = makeNode(CaseWhen);

	when->expr = condition;
	when->result = value;
	when->location = -1;
	return when;
}

static Node *make_rule(const RuleSource *source, int depth, Index varno, Oid at);

/*
 * Makes (SELECT <rule from the parent on> FROM parent WHERE key = fk AND ...).
 * The relation at hand is varno of the query around it.
 */
static Node *
make_parent_lookup(const RuleSource *source, int depth, Index varno, Oid at)
{
	SubjectHop *hop = list_nth(source->hops, depth);
	ParseState *pstate = make_parsestate(NULL);
	Query	   *query = makeNode(Query);
	SubLink    *sublink = makeNode(SubLink);
	RangeTblRef *ref = makeNode(RangeTblRef);
	Relation	parent = table_open(hop->parent, AccessShareLock);
	ParseNamespaceItem *nsitem;
	RangeTblEntry *rte;
	List	   *conditions = NIL;

	nsitem = addRangeTableEntryForRelation(pstate, parent, AccessShareLock, NULL, true, true);
	rte = nsitem->p_rte;
	compat_free_permissions(query, pstate, nsitem);
	mark_set(rte, &nothing);
	table_close(parent, NoLock);

	for (int i = 0; i < hop->nkeys; i++)
	{
		Node	   *key = (Node *) make_column(1, hop->parent, hop->parent_attnos[i], 0);
		Node	   *fk = (Node *) make_column(varno, at, hop->child_attnos[i], 1);
		Node	   *equal = (Node *) make_op(pstate,
											 list_make2(makeString("pg_catalog"), makeString("=")),
											 key, fk, NULL, -1);

		assign_expr_collations(pstate, equal);
		conditions = lappend(conditions, equal);
	}

	ref->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->rtable = list_make1(rte);
	query->jointree = makeFromExpr(list_make1(ref), (Node *) make_ands_explicit(conditions));
	query->targetList = list_make1(makeTargetEntry((Expr *) make_rule(source, depth + 1, 1,
																	  hop->parent),
												   1, pstrdup("visible"), false));
	query->hasSubLinks = depth + 1 < list_length(source->hops);
	free_parsestate(pstate);

	sublink->subLinkType = EXPR_SUBLINK;
	sublink->subselect = (Node *) query;
	sublink->location = -1;
	return (Node *) sublink;
}

/*
 * Makes the rule for the relation `at`, which is varno of its query, from hop
 * number depth on.
 */
static Node *
make_rule(const RuleSource *source, int depth, Index varno, Oid at)
{
	SubjectHop *hop;
	List	   *fks = NIL;
	List	   *nulls = NIL;
	CaseExpr   *result;
	CoalesceExpr *found;

	if (depth == list_length(source->hops))
	{
		List	   *keys = NIL;

		for (int i = 0; i < source->nkeys; i++)
			keys = lappend(keys, make_column(varno, at, source->keys[i], 0));
		return make_visible_call(source->relid, keys);
	}

	hop = list_nth(source->hops, depth);
	for (int i = 0; i < hop->nkeys; i++)
	{
		NullTest   *test = makeNode(NullTest);

		test->arg = (Expr *) make_column(varno, at, hop->child_attnos[i], 0);
		test->nulltesttype = IS_NULL;
		test->location = -1;
		nulls = lappend(nulls, test);
		fks = lappend(fks, copyObject(test->arg));
	}
	found = makeNode(CoalesceExpr);
	found->coalescetype = BOOLOID;
	found->args = list_make2(make_parent_lookup(source, depth, varno, at),
							 make_visible_call(source->relid, NIL));
	found->location = -1;

	result = makeNode(CaseExpr);
	result->casetype = BOOLOID;
	if (depth == 0)
		result->args = list_make1(make_when((Expr *) makeFuncExpr(catalog_oids()->fn_unbound, BOOLOID,
																  NIL, InvalidOid, InvalidOid,
																  COERCE_EXPLICIT_CALL),
											(Expr *) makeBoolConst(true, false)));
	result->args = lappend(result->args,
						   make_when(list_length(nulls) == 1 ? linitial(nulls) :
									 makeBoolExpr(OR_EXPR, nulls, -1),
									 (Expr *) make_visible_call(source->relid, fks)));
	result->defresult = (Expr *) found;
	result->location = -1;
	return (Node *) result;
}

/*
 * Makes the rule for statistics: judged by the relation and column that they
 * are about.
 */
static Node *
make_statistics_rule(Index varno, Oid catalog)
{
	List	   *args;
	Oid			function;

	if (catalog == StatisticRelationId)
	{
		function = catalog_oids()->fn_statistic_visible;
		args = list_make2(make_column(varno, catalog, Anum_pg_statistic_starelid, 0),
						  make_column(varno, catalog, Anum_pg_statistic_staattnum, 0));
	}
	else
	{
		function = catalog_oids()->fn_ext_statistic_visible;
		args = list_make1(make_column(varno, catalog, Anum_pg_statistic_ext_data_stxoid, 0));
	}
	return (Node *) makeFuncExpr(function, BOOLOID, args, InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

/*
 * Puts the rule where it works for this entry of this query.
 */
static void
inject(Query *query, Index varno, RangeTblEntry *rte, Node *rule, bool has_sublinks)
{
	bool		is_target = varno == query->resultRelation;

	if (is_target && query->commandType == CMD_INSERT)
	{
		OnConflictExpr *conflict = query->onConflict;

		if (conflict == NULL || conflict->action != ONCONFLICT_UPDATE)
			return;
		conflict->onConflictWhere = conflict->onConflictWhere == NULL ? rule :
			(Node *) makeBoolExpr(AND_EXPR, list_make2(rule, conflict->onConflictWhere), -1);
	}
	else
		rte->securityQuals = lcons(rule, rte->securityQuals);
	query->hasSubLinks |= has_sublinks;
}

/*
 * Returns the mark of a relation whose columns the query uses, and sets.
 */
static Mark
make_mark(ApplyContext *context, RangeTblEntry *uses, Bitmapset *updated,
		  const RelationPolicy *policy)
{
	Mark		mark = {0};

	mark.used = columns_used(context->use, uses);
	mark.exact = columns_used_exactly(context->use, uses);
	mark.set = updated;
	if (redact_is_possible(policy, bms_union(mark.used, mark.set)))
	{
		mark.generation = context->generation;
		if (context->redacts)
		{
			mark.redacted = redact_columns(policy);
			mark.stand_ins = redact_describe(policy, &mark);
		}
	}
	return mark;
}

/*
 * A labelled view, put in place of its name, leaves an entry behind that its
 * permissions are checked by.  It is marked with what the query around asks of
 * the view's columns.
 */
static void
mark_view(ApplyContext *context, RangeTblEntry *rte)
{
	RangeTblEntry *entry = compat_view_entry(rte);
	const RelationPolicy *policy = entry ? protection_find(entry->relid) : NULL;
	Mark		mark;

	if (policy == NULL)
		return;
	mark = make_mark(context, rte, NULL, policy);
	mark_set(entry, &mark);
	if (mark.redacted != NULL)
		redact_view(rte, entry->relid, &mark);
}

/*
 * Marks one relation of a query.  Returns what its rule is made from, NULL if it
 * needs none.
 */
static RuleSource *
mark_entry(ApplyContext *context, Query *query, RangeTblEntry *rte)
{
	const RelationPolicy *policy;
	RuleSource *source = NULL;
	RelationUse use = {0};
	ListCell   *lc;
	Mark		mark;

	if (rte->rtekind == RTE_SUBQUERY)
		mark_view(context, rte);
	if (rte->rtekind != RTE_RELATION || mark_get(rte, &mark))
		return NULL;
	if (is_statistics(rte->relid))
	{
		mark_set(rte, &nothing);
		source = palloc0(sizeof(RuleSource));
		source->relid = rte->relid;
		return source;
	}

	/*
	 * EXCLUDED is a range table entry of the target's relation, of relkind
	 * "composite type": values that the query brings itself.  Views have
	 * labels but no rows of their own.
	 */
	policy = protection_find(rte->relid);
	if (policy == NULL ||
		rte->relkind == RELKIND_COMPOSITE_TYPE || rte->relkind == RELKIND_VIEW)
		return NULL;
	if (policy->protection != NULL)
	{
		source = palloc0(sizeof(RuleSource));
		source->relid = rte->relid;
		source->nkeys = policy->protection->nkeys;
		memcpy(source->keys, policy->protection->keys, sizeof(source->keys));
		foreach(lc, policy->protection->hops)
		{
			SubjectHop *hop = palloc(sizeof(SubjectHop));

			memcpy(hop, lfirst(lc), sizeof(SubjectHop));
			source->hops = lappend(source->hops, hop);
		}
	}
	(void) compat_relation_use(rte, compat_query_perminfos(query), &use);
	mark = make_mark(context, rte, use.updated, policy);
	mark_set(rte, &mark);
	return source;
}

/*
 * Puts the row rule in for a relation that was marked.
 */
static void
guard_entry(Query *query, Index varno, const RuleSource *source)
{
	RangeTblEntry *rte = rt_fetch(varno, query->rtable);

	if (is_statistics(source->relid))
		inject(query, varno, rte, make_statistics_rule(varno, source->relid), false);
	else
		inject(query, varno, rte, make_rule(source, 0, varno, source->relid),
			   source->hops != NIL);
}

static bool
apply_walker(Node *node, void *argument)
{
	ApplyContext *context = argument;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		List	   *sources = NIL;
		ListCell   *lc;

		/* Inner queries first: the rules themselves need no visit. */
		query_tree_walker(query, apply_walker, argument, 0);
		foreach(lc, query->rtable)
			sources = lappend(sources, mark_entry(context, query, lfirst_node(RangeTblEntry, lc)));
		redact_query(query);
		foreach(lc, sources)
		{
			if (lfirst(lc) != NULL)
				guard_entry(query, foreach_current_index(lc) + 1, lfirst(lc));
		}
		return false;
	}
	return expression_tree_walker(node, apply_walker, argument);
}

/*
 * Marks and guards every relation of the query that something is declared
 * about, and redacts columns if the session is bound by labels.  Changes the
 * query in place.
 */
void
rows_apply(Query *query, ColumnUse *use, bool redacts)
{
	ApplyContext context = {use, redacts, redact_generation()};

	apply_walker((Node *) query, &context);
}

/*
 * Returns what is declared about the relation whose columns an entry gives: the
 * relation itself, or the view whose query is in its place.
 */
static const RelationPolicy *
policy_of(RangeTblEntry *rte)
{
	RangeTblEntry *view = rte->rtekind == RTE_SUBQUERY ? compat_view_entry(rte) : NULL;

	if (view != NULL)
		return protection_find(view->relid);
	if (rte->rtekind != RTE_RELATION || rte->relkind == RELKIND_COMPOSITE_TYPE ||
		rte->relkind == RELKIND_VIEW)
		return NULL;
	return protection_find(rte->relid);
}

typedef struct UsedColumns
{
	ColumnUse  *use;
	List	   *perminfos;		/* of the query that is walked */
	bool		redacts;
	List	   *names;
} UsedColumns;

static bool
redactable_walker(Node *node, void *argument)
{
	UsedColumns *context = argument;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		const RelationPolicy *policy = policy_of(rte);
		RelationUse use = {0};

		if (policy == NULL)
			return false;
		if (rte->rtekind == RTE_RELATION)
			(void) compat_relation_use(rte, context->perminfos, &use);
		return redact_is_possible(policy, bms_union(columns_used(context->use, rte), use.updated));
	}
	if (IsA(node, Query))
	{
		List	   *save = context->perminfos;
		bool		found;

		context->perminfos = compat_query_perminfos((Query *) node);
		found = query_tree_walker((Query *) node, redactable_walker, argument,
								  QTW_EXAMINE_RTES_BEFORE);
		context->perminfos = save;
		return found;
	}
	return expression_tree_walker(node, redactable_walker, argument);
}

/*
 * Does the query use or set columns that some session sees redacted?  Then its
 * plan depends on the session.
 */
bool
rows_query_redactable(Query *query, ColumnUse *use)
{
	UsedColumns context = {.use = use};

	return redactable_walker((Node *) query, &context);
}

static bool
labelled_walker(Node *node, void *argument)
{
	UsedColumns *context = argument;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;
		Bitmapset  *used = columns_used(context->use, rte);
		const RelationPolicy *policy = rte->rtekind == RTE_RELATION ? policy_of(rte) : NULL;
		Bitmapset  *redacted = policy && context->redacts ? redact_columns(policy) : NULL;
		ListCell   *lc;

		foreach(lc, policy ? policy->columns : NIL)
		{
			LabelledColumn *column = lfirst(lc);

			if (mark_has(used, column->attno) &&
				!bms_is_member(MARK_BIT(column->attno), redacted))
				context->names = lappend(context->names,
										 psprintf("\"%s.%s\"", get_rel_name(rte->relid),
												  get_attname(rte->relid, column->attno, false)));
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, labelled_walker, argument,
								 QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, labelled_walker, argument);
}

/*
 * Returns the names ("relation.column", quoted) of the labelled columns that a
 * rewritten query uses; without those that this session sees redacted, if it
 * is the session that counts.
 */
List *
rows_labelled_columns(Query *query, bool for_session)
{
	UsedColumns context = {.use = columns_analyze(query), .redacts = for_session};

	labelled_walker((Node *) query, &context);
	return context.names;
}
