/*
 * consentshare.c
 *		Estimates which share of a table's data subjects permits a purpose, for
 *		the planner.
 *
 * It is estimated as the planner itself would: by what ANALYZE found in
 * purpose.consent_state, whose extended statistics count which states are most
 * common for which purpose and table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic_ext_data.h"
#include "nodes/value.h"
#include "statistics/statistics.h"
#include "utils/builtins.h"
#include "utils/selfuncs.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "consentshare.h"

/*
 * Returns how many rows a relation has, as far as is known, or -1.
 */
static double
rows_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	double		rows;

	if (!HeapTupleIsValid(tuple))
		return -1;
	rows = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);
	return rows;
}

/*
 * Returns what ANALYZE found about table, purpose and state of consents taken
 * together, or NULL.
 */
static MCVList *
load_frequencies(void)
{
	Oid			statistics = get_statistics_object_oid(list_make2(makeString(PURPOSE_SCHEMA),
																  makeString("consent_state_mcv")),
													   true);
	HeapTuple	tuple = OidIsValid(statistics) ?
	SearchSysCache2(STATEXTDATASTXOID, ObjectIdGetDatum(statistics), BoolGetDatum(false)) : NULL;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	(void) SysCacheGetAttr(STATEXTDATASTXOID, tuple, Anum_pg_statistic_ext_data_stxdmcv, &isnull);
	ReleaseSysCache(tuple);
	return isnull ? NULL : statext_mcv_load(statistics, false);
}

/*
 * Is this item about a state that permits or, under opt-out, forbids, what is
 * recorded for the purpose or one above it?
 */
static bool
item_counts(const MCVItem *item, Oid subject_table, const char *purpose, bool opt_in)
{
	bool		given;

	if (DatumGetObjectId(item->values[0]) != subject_table)
		return false;
	given = strcmp(TextDatumGetCString(item->values[2]), "given") == 0;
	return given == opt_in &&
		purpose_path_contains(TextDatumGetCString(item->values[1]), purpose);
}

/*
 * Estimates the share of a table's data subjects whose word permits the
 * session's purpose, which asks for it.  Returns false if nothing is known.
 */
bool
consentshare_estimate(Oid subject_table, const Session *session, double *share)
{
	const CatalogOids *oids = catalog_oids();
	bool		opt_in = purpose_consent_model(session->basis) == CONSENT_OPT_IN;
	double		subjects = OidIsValid(subject_table) ? rows_of(subject_table) : -1;
	double		recorded = oids != NULL ? rows_of(oids->consent_state) : -1;
	double		counted = 0.0;
	MCVList    *frequencies;

	if (subjects <= 0 || recorded < 0)
		return false;
	frequencies = load_frequencies();
	if (frequencies == NULL)
		return false;
	for (int i = 0; i < frequencies->nitems; i++)
	{
		if (item_counts(&frequencies->items[i], subject_table, session->purpose, opt_in))
			counted += frequencies->items[i].frequency;
	}
	counted *= recorded / subjects;
	*share = opt_in ? counted : 1.0 - counted;
	/* A plan should bear an estimate that is wrong. */
	*share = Max(*share, Min(1.0, 1.0 / subjects));
	CLAMP_PROBABILITY(*share);
	return true;
}
