/*
 * reconcile.c
 *		The C side of the SQL functions about the journal; purpose.reconcile()
 *		itself is SQL.
 *
 * Who may call them is SQL's business: EXECUTE is revoked from PUBLIC in the
 * install script.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xlog.h"
#include "catalog/pg_inherits.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "clock.h"
#include "errcodes.h"
#include "guc.h"
#include "journal.h"
#include "keyclaim.h"
#include "keyring.h"
#include "protection.h"
#include "rewound.h"
#include "subjectkey.h"

PG_FUNCTION_INFO_V1(purpose_begin_event);
PG_FUNCTION_INFO_V1(purpose_request_journal);
PG_FUNCTION_INFO_V1(purpose_subject_hash);
PG_FUNCTION_INFO_V1(purpose_match_subjects);
PG_FUNCTION_INFO_V1(purpose_journal_verdict);
PG_FUNCTION_INFO_V1(purpose_journal_missing);
PG_FUNCTION_INFO_V1(purpose_abandon_journal);

static Datum
hash_datum(const uint8 hash[JOURNAL_HASH_LEN])
{
	bytea	   *result = palloc(VARHDRSZ + JOURNAL_HASH_LEN);

	SET_VARSIZE(result, VARHDRSZ + JOURNAL_HASH_LEN);
	memcpy(VARDATA(result), hash, JOURNAL_HASH_LEN);
	return PointerGetDatum(result);
}

/*
 * purpose._begin_event() -> boolean
 *
 * Before something is done that belongs into the journal: is there one?  Raises
 * PU017 or PU011 where the database must be reconciled first.  The worker is
 * asked to come after the transaction's commit.
 */
Datum
purpose_begin_event(PG_FUNCTION_ARGS)
{
	if (!keyring_exists())
		PG_RETURN_BOOL(false);
	if (guc_preloaded)
	{
		rewound_require_not();
		keyring_request_journal();
	}
	PG_RETURN_BOOL(true);
}

/*
 * purpose._request_journal()
 */
Datum
purpose_request_journal(PG_FUNCTION_ARGS)
{
	if (keyring_exists() && guc_preloaded)
		keyring_request_journal();
	PG_RETURN_VOID();
}

/*
 * purpose._subject_hash("table" text, key text, required boolean) -> bytea
 *
 * The HMAC of a subject, by the name that its table has in the journal.  NULL
 * without a keyring, and, unless it is required, where the provider does not
 * give the key for it; else PU011.
 */
Datum
purpose_subject_hash(PG_FUNCTION_ARGS)
{
	KeyringRef *ref = keyring_bound();
	char	   *table = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	KeyProvider *provider;
	uint8		hash[JOURNAL_HASH_LEN];
	bool		known;

	if (ref == NULL)
		PG_RETURN_NULL();
	provider = keyring_open_provider();
	known = PG_GETARG_BOOL(2) || journal_load_keys(provider, ref->keyring);
	if (known)
		journal_hash_subject(provider, ref->keyring,
							 pg_server_to_any(table, strlen(table), PG_UTF8),
							 pg_server_to_any(key, strlen(key), PG_UTF8), hash);
	keyprovider_close(provider);
	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(hash_datum(hash));
}

/* ----------
 * Whose HMAC is it?
 * ----------
 */

typedef struct WantedHash
{
	uint8		hash[JOURNAL_HASH_LEN];
} WantedHash;

/*
 * The hashes of an array, as a hash table.
 */
static HTAB *
want_hashes(ArrayType *array)
{
	HASHCTL		ctl = {.keysize = JOURNAL_HASH_LEN, .entrysize = sizeof(WantedHash)};
	HTAB	   *wanted;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	ctl.hcxt = CurrentMemoryContext;
	wanted = hash_create("pg_purpose hashes", 1024, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	deconstruct_array(array, BYTEAOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		bytea	   *hash = nulls[i] ? NULL : DatumGetByteaPP(elements[i]);

		if (hash != NULL && VARSIZE_ANY_EXHDR(hash) == JOURNAL_HASH_LEN)
			(void) hash_search(wanted, VARDATA_ANY(hash), HASH_ENTER, NULL);
	}
	return wanted;
}

/* What one look through a table and its children needs. */
typedef struct Matching
{
	ReturnSetInfo *rsinfo;
	KeyProvider *provider;
	const uint8 *keyring;
	const char *table;			/* its name in the journal, UTF-8 */
	HTAB	   *wanted;
	int			nkeys;
	FmgrInfo	output[INDEX_MAX_KEYS];
	MemoryContext row_context;
} Matching;

/*
 * Looks through one table.  By itself, not by a query: no right to the rows, and
 * no purpose, is needed to find whose withdrawal it was.
 */
static void
match_table(Matching *matching, Relation rel, const AttrNumber *attnos)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	MemoryContext caller = MemoryContextSwitchTo(matching->row_context);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Datum		keys[INDEX_MAX_KEYS];
		bool		isnull = false;
		char	   *key;
		uint8		hash[JOURNAL_HASH_LEN];

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(matching->row_context);
		for (int i = 0; i < matching->nkeys && !isnull; i++)
			keys[i] = slot_getattr(slot, attnos[i], &isnull);
		if (isnull)
			continue;
		key = subjectkey_print(matching->nkeys, matching->output, keys);
		journal_hash_subject(matching->provider, matching->keyring, matching->table,
							 pg_server_to_any(key, strlen(key), PG_UTF8), hash);
		if (hash_search(matching->wanted, hash, HASH_FIND, NULL) != NULL)
		{
			Datum		values[2] = {hash_datum(hash), CStringGetTextDatum(key)};
			bool		nulls[2] = {false, false};

			tuplestore_putvalues(matching->rsinfo->setResult, matching->rsinfo->setDesc,
								 values, nulls);
		}
	}
	MemoryContextSwitchTo(caller);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * purpose._match_subjects(subject_table regclass, "table" text, hashes bytea[])
 * -> setof (subject_hash bytea, subject text)
 */
Datum
purpose_match_subjects(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	char	   *table = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const RelationPolicy *policy;
	Matching	matching = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	AttrNumber	parent_attnos[INDEX_MAX_KEYS];
	List	   *relids;
	ListCell   *lc;

	/* find_all_inheritors() locks the partitions only. */
	LockRelationOid(relid, AccessShareLock);
	policy = protection_find(relid);
	if (policy == NULL || policy->protection == NULL || policy->protection->subject_table != relid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PROTECTION),
				 errmsg("relation \"%s\" is not a subject table", get_rel_name(relid)),
				 errhint("Protect it first.")));
	InitMaterializedSRF(fcinfo, 0);
	matching.nkeys = policy->protection->nkeys;
	memcpy(parent_attnos, policy->protection->keys, sizeof(parent_attnos));
	for (int i = 0; i < matching.nkeys; i++)
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(get_atttype(relid, parent_attnos[i]), &output, &varlena);
		fmgr_info(output, &matching.output[i]);
	}
	matching.keyring = keyring_require()->keyring;
	matching.provider = keyring_open_provider();
	matching.table = pg_server_to_any(table, strlen(table), PG_UTF8);
	matching.wanted = want_hashes(PG_GETARG_ARRAYTYPE_P(2));
	matching.row_context = AllocSetContextCreate(CurrentMemoryContext, "pg_purpose row",
												 ALLOCSET_SMALL_SIZES);

	relids = find_all_inheritors(relid, AccessShareLock, NULL);
	foreach(lc, relids)
	{
		Relation	rel = table_open(lfirst_oid(lc), NoLock);
		AttrNumber	attnos[INDEX_MAX_KEYS];

		for (int i = 0; i < matching.nkeys; i++)
			attnos[i] = get_attnum(lfirst_oid(lc), get_attname(relid, parent_attnos[i], false));
		if (RELKIND_HAS_TABLE_AM(rel->rd_rel->relkind))
			match_table(&matching, rel, attnos);
		table_close(rel, NoLock);
	}
	keyprovider_close(matching.provider);
	return (Datum) 0;
}

/*
 * purpose._journal_verdict(OUT verdict text, OUT missing bigint): 'none' without
 * a keyring, 'current', 'rewound', 'pruned'.  Raises PU011.
 */
Datum
purpose_journal_verdict(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		[REWOUND_NOT] = "current",
		[REWOUND_BEHIND] = "rewound",
		[REWOUND_PRUNED] = "pruned",
	};
	KeyringRef *ref = keyring_bound();
	const char *name = "none";
	int			missing = 0;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (ref != NULL && !RecoveryInProgress())
	{
		KeyProvider *provider = keyring_open_provider();
		RewoundFinding finding;

		rewound_find_out(provider, ref, &finding);
		keyprovider_close(provider);
		name = names[finding.verdict];
		missing = list_length(finding.missing);
	}
	values[0] = CStringGetTextDatum(name);
	values[1] = Int64GetDatum(missing);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* Columns of purpose._journal_missing(). */
enum
{
	MISSING_SEQUENCE,
	MISSING_INCARNATION,
	MISSING_KIND,
	MISSING_IMPORTED,
	MISSING_TABLE,
	MISSING_SUBJECT_HASH,
	MISSING_PURPOSE,
	MISSING_AT,
	MISSING_DETAIL,
	MISSING_EVENT,
	MISSING_HASH,
	MISSING_KNOWN,
	MISSING_COLUMNS
};

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text[0] == '\0';
	return *isnull ? (Datum) 0 :
		CStringGetTextDatum(pg_any_to_server(text, strlen(text), PG_UTF8));
}

static void
put_entry(ReturnSetInfo *rsinfo, const JournalEntry *entry, bool is_known)
{
	static const uint8 nobody[JOURNAL_HASH_LEN] = {0};
	Datum		values[MISSING_COLUMNS];
	bool		nulls[MISSING_COLUMNS] = {false};
	const char *kind = journalformat_kind_name(entry->kind);
	pg_uuid_t	event;

	if (kind == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("entry %llu of the journal is of a kind that this version does not know",
						(unsigned long long) entry->sequence),
				 errhint("Install the version of pg_purpose that wrote it, or a later one.")));
	memcpy(event.data, entry->event, JOURNAL_EVENT_LEN);
	values[MISSING_SEQUENCE] = Int64GetDatum((int64) entry->sequence);
	values[MISSING_INCARNATION] = Int64GetDatum((int64) entry->incarnation);
	values[MISSING_KIND] = CStringGetTextDatum(kind);
	values[MISSING_IMPORTED] = BoolGetDatum((entry->flags & JOURNAL_FLAG_IMPORTED) != 0);
	values[MISSING_TABLE] = text_or_null(entry->table, &nulls[MISSING_TABLE]);
	nulls[MISSING_SUBJECT_HASH] = memcmp(entry->subject, nobody, JOURNAL_HASH_LEN) == 0;
	values[MISSING_SUBJECT_HASH] = hash_datum(entry->subject);
	values[MISSING_PURPOSE] = text_or_null(entry->purpose, &nulls[MISSING_PURPOSE]);
	values[MISSING_AT] = TimestampTzGetDatum(entry->at);
	values[MISSING_DETAIL] = (Datum) 0;
	nulls[MISSING_DETAIL] = entry->detail[0] == '\0';
	if (!nulls[MISSING_DETAIL])
		values[MISSING_DETAIL] = DirectFunctionCall1(jsonb_in,
													 CStringGetDatum(pg_any_to_server(entry->detail,
																					  strlen(entry->detail),
																					  PG_UTF8)));
	values[MISSING_EVENT] = UUIDPGetDatum(&event);
	values[MISSING_HASH] = hash_datum(entry->hash);
	values[MISSING_KNOWN] = BoolGetDatum(is_known);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * The row that says where the journal ends, and in which incarnation.
 */
static void
put_end(ReturnSetInfo *rsinfo, const RewoundFinding *finding)
{
	Datum		values[MISSING_COLUMNS] = {0};
	bool		nulls[MISSING_COLUMNS];
	uint64		incarnation = finding->state.incarnation;
	ListCell   *lc;

	foreach(lc, finding->missing)
		incarnation = Max(incarnation, ((JournalEntry *) lfirst(lc))->incarnation);
	memset(nulls, true, sizeof(nulls));
	nulls[MISSING_SEQUENCE] = nulls[MISSING_INCARNATION] = nulls[MISSING_KIND] =
		nulls[MISSING_HASH] = false;
	values[MISSING_SEQUENCE] = Int64GetDatum((int64) finding->journal->head.sequence);
	values[MISSING_INCARNATION] = Int64GetDatum((int64) incarnation);
	values[MISSING_KIND] = CStringGetTextDatum("end");
	values[MISSING_HASH] = hash_datum(finding->journal->head.hash);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * purpose._journal_missing(accept_loss boolean) -> setof record
 *
 * The entries that come after what the database has noted, those that it knows
 * of all the same included.  If some were pruned: all that are left, or PU017.
 */
Datum
purpose_journal_missing(PG_FUNCTION_ARGS)
{
	bool		accept_loss = PG_GETARG_BOOL(0);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	KeyringRef *ref = keyring_require();
	KeyProvider *provider = keyring_open_provider();
	RewoundFinding finding;
	ListCell   *lc;

	PreventCommandDuringRecovery("purpose.reconcile()");
	InitMaterializedSRF(fcinfo, 0);
	rewound_find_out(provider, ref, &finding);
	if (finding.verdict == REWOUND_PRUNED)
	{
		if (!accept_loss)
			ereport(ERROR,
					(errcode(ERRCODE_DATABASE_REWOUND),
					 errmsg("this database was put back to a moment before its journal begins"),
					 errhint("Restore a backup that is not older than purpose.backup_horizon.  To go on with what the journal has: SELECT * FROM purpose.reconcile(accept_loss => true).")));
		(void) journal_read_after(finding.journal, &finding.journal->checkpoint,
								  &finding.missing);
	}
	foreach(lc, finding.explained)
		put_entry(rsinfo, lfirst(lc), true);
	foreach(lc, finding.missing)
		put_entry(rsinfo, lfirst(lc), false);
	put_end(rsinfo, &finding);
	keyprovider_close(provider);
	return (Datum) 0;
}

/*
 * purpose._abandon_journal(OUT sequence bigint, OUT hash bytea)
 *
 * Begins the journal anew where the database is.  Raises PU013 without the
 * claim, PU011 if the provider fails.
 */
Datum
purpose_abandon_journal(PG_FUNCTION_ARGS)
{
	KeyringRef *ref = keyring_require();
	KeyProvider *provider = keyring_open_provider();
	KeyClaimStanding standing;
	uint64		fence;
	JournalPoint point;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	PreventCommandDuringRecovery("purpose.reconcile()");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	standing = keyclaim_refresh(provider, ref, false);
	if (standing != KEYCLAIM_HELD || !keyclaim_held(ref, &fence))
		keyclaim_refuse(standing);
	journal_abandon(provider, ref->keyring, fence, PG_GETARG_INT64(0), clock_now(), &point);
	keyprovider_close(provider);
	values[0] = Int64GetDatum((int64) point.sequence);
	values[1] = hash_datum(point.hash);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
