/*
 * consent.c
 *		Looks up what a data subject has said about a purpose.
 *
 * This is the one place that reads consents for a decision.  It reads the
 * current states (consent_state, one row a subject and purpose) through their
 * primary key with a snapshot taken at that moment: systable_beginscan()
 * without a snapshot takes the newest one, in REPEATABLE READ and in parallel
 * workers too, and sees what its own transaction did before this command.  So
 * a withdrawal binds every look-up that starts after its COMMIT returned.
 *
 * Rows with the empty purpose hold the restriction of processing (Art. 18),
 * which concerns all purposes.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/genam.h"
#include "access/table.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "consent.h"
#include "purpose.h"

/*
 * Reads the name of a consent state.  Returns false if it is none.
 */
bool
consent_parse_state(const char *text, ConsentState *state)
{
	static const struct
	{
		const char *name;
		ConsentState state;
	}			names[] = {
		{"none", CONSENT_NONE},
		{"given", CONSENT_GIVEN},
		{"refused", CONSENT_REFUSED},
		{"withdrawn", CONSENT_WITHDRAWN},
		{"expired", CONSENT_EXPIRED},
		{"objected", CONSENT_OBJECTED},
	};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(names[i].name, text) == 0)
		{
			*state = names[i].state;
			return true;
		}
	}
	return false;
}

/*
 * Looks up the nearest recorded state on the path from purpose up to the
 * root, as it is at `now`, and whether processing is restricted.  Nothing on
 * record gives CONSENT_NONE.  A state that cannot be read counts as refused.
 */
void
consent_lookup(Oid subject_table, const char *subject, const char *purpose,
			   TimestampTz now, SubjectConsent *result)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData keys[2];
	HeapTuple	tuple;
	size_t		nearest = 0;

	result->state = CONSENT_NONE;
	result->restricted = false;
	result->until = DT_NOEND;
	if (oids == NULL)
		return;

	ScanKeyInit(&keys[0], Anum_state_subject_table, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(subject_table));
	ScanKeyInit(&keys[1], Anum_state_subject, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(subject));
	rel = table_open(oids->consent_state, AccessShareLock);
	scan = systable_beginscan(rel, oids->consent_state_pkey, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(rel);
		bool		isnull;
		char	   *recorded_for;
		Datum		expires_at;
		ConsentState state;

		recorded_for = TextDatumGetCString(heap_getattr(tuple, Anum_state_purpose,
														desc, &isnull));
		if (recorded_for[0] == '\0')
		{
			result->restricted = true;
			continue;
		}
		if (strlen(recorded_for) <= nearest ||
			!purpose_path_contains(recorded_for, purpose))
			continue;

		if (!consent_parse_state(TextDatumGetCString(heap_getattr(tuple, Anum_state_state,
																  desc, &isnull)), &state))
			state = CONSENT_REFUSED;
		expires_at = heap_getattr(tuple, Anum_state_expires_at, desc, &isnull);
		result->until = DT_NOEND;
		if (state == CONSENT_GIVEN && !isnull)
		{
			if (DatumGetTimestampTz(expires_at) <= now)
				state = CONSENT_EXPIRED;
			else
				result->until = DatumGetTimestampTz(expires_at);
		}
		nearest = strlen(recorded_for);
		result->state = state;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Is the processing of anybody's data restricted (Art. 18)?  Where nobody's is,
 * purposes that ask for no consent need not look anybody up.
 */
bool
consent_anyone_restricted(void)
{
	const CatalogOids *oids = catalog_oids();
	Relation	rel;
	SysScanDesc scan;
	bool		found;

	if (oids == NULL)
		return true;
	rel = table_open(oids->consent_state, AccessShareLock);
	scan = systable_beginscan(rel, oids->consent_state_restricted_idx, true, NULL, 0, NULL);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}
