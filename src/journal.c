/*
 * journal.c
 *		The journal beside the keyring: objects journal.<v> at the key provider,
 *		under the key journal-key.1.
 *
 * The newest object is written anew, under the next version, with what is
 * appended to it, until it is large; then another one begins.  So there are few
 * objects, though each append stores one.  An object that has the same base as a
 * newer one is what that one was made from, and does not count.
 *
 *	journal.17	[entries 1-480]
 *	journal.43	[entries 481-902]
 *	journal.44	[entries 903-904]	an append crashed before it removed this one
 *	journal.45	[entries 903-905]
 *
 * Invariants:
 * - A version is stored once: of two instances that append, one is refused.
 * - An object is removed only after its entries are in a newer one on all
 *	 mirrors, or are behind a checkpoint that is.
 * - What is read is a gap-free chain that ends in the newest object and begins
 *	 at its checkpoint, or it is an error.
 * - Keys are in secret memory, and gone at the end of the transaction.
 */
#include "postgres.h"

#include "access/xact.h"

#include "compat.h"
#include "errcodes.h"
#include "journal.h"
#include "secret.h"
#include "stopevent.h"

#define OBJECT_KEY_INFO		"pg_purpose journal object v1"
#define SUBJECT_KEY_INFO	"pg_purpose journal subject v1"

/* Above that size the next append begins another object. */
#define OBJECT_SIZE		(64 * 1024)

/* How often to look again when the journal changes while it is read. */
#define ATTEMPTS		5

typedef struct JournalKeys
{
	bool		used;
	uint8		keyring[KEYRING_ID_LEN];
	uint8		object[SECRET_KEY_LEN];
	uint8		subject[SECRET_KEY_LEN];
} JournalKeys;

static JournalKeys *keys = NULL;

/* ----------
 * Keys
 * ----------
 */

static void
end_of_transaction(XactEvent event, void *arg)
{
	if (keys != NULL && keys->used &&
		(event == XACT_EVENT_COMMIT || event == XACT_EVENT_PARALLEL_COMMIT ||
		 event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT ||
		 event == XACT_EVENT_PREPARE))
		secret_wipe(keys, sizeof(JournalKeys));
}

/*
 * Registers the callback that wipes the keys.  Called once from _PG_init.
 */
void
journal_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
}

/*
 * Fetches the journal's keys, once a transaction.  Returns false, having
 * warned, if the provider does not give them.
 */
bool
journal_load_keys(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN])
{
	uint8	   *data = NULL;
	size_t		len = 0;
	bool		good;

	if (keys == NULL)
		keys = secret_private_memory(sizeof(JournalKeys));
	if (keys->used && memcmp(keys->keyring, keyring, KEYRING_ID_LEN) == 0)
		return true;
	good = keyprovider_fetch(provider, KEYOBJECT_JOURNAL_KEY, 1, &data, &len) == KEYPROVIDER_DONE &&
		len == SECRET_KEY_LEN;
	if (good)
	{
		kdf_expand(data, OBJECT_KEY_INFO, strlen(OBJECT_KEY_INFO), keys->object);
		kdf_expand(data, SUBJECT_KEY_INFO, strlen(SUBJECT_KEY_INFO), keys->subject);
		memcpy(keys->keyring, keyring, KEYRING_ID_LEN);
		keys->used = true;
	}
	if (data != NULL)
	{
		secret_wipe(data, len);
		pfree(data);
	}
	return good;
}

static const JournalKeys *
get_keys(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN])
{
	if (!journal_load_keys(provider, keyring))
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the key of the keyring's journal cannot be read"),
				 errhint("See the warnings, and SELECT * FROM purpose.check_keyring().")));
	return keys;
}

void
journal_hash_subject(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN],
					 const char *table, const char *key, uint8 hash[JOURNAL_HASH_LEN])
{
	size_t		table_len = strlen(table) + 1;
	size_t		key_len = strlen(key);
	uint8	   *bytes = palloc(table_len + key_len);

	memcpy(bytes, table, table_len);
	memcpy(bytes + table_len, key, key_len);
	kdf_hmac(get_keys(provider, keyring)->subject, bytes, table_len + key_len, hash);
	pfree(bytes);
}

/* ----------
 * Reading
 * ----------
 */

compat_noreturn static void
refuse(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg("the keyring's journal cannot be used"),
			 errdetail("%s", detail),
			 errhint("Bring the newest content of the key provider back, from a mirror if there is one; see SELECT * FROM purpose.check_keyring().  Only if it is lost for good: SELECT * FROM purpose.reconcile(accept_loss => true).")));
}

/*
 * Reads one object.  Returns NULL if it is gone.
 */
static JournalObject *
read_object(Journal *journal, uint64 version)
{
	JournalObject *object;
	uint8	   *data = NULL;
	size_t		len;
	KeyProviderResult result = keyprovider_fetch(journal->provider, KEYOBJECT_JOURNAL, version,
												 &data, &len);

	if (result == KEYPROVIDER_ABSENT || result == KEYPROVIDER_PENDING)
		return NULL;
	if (result != KEYPROVIDER_DONE)
		refuse(psprintf("journal.%llu cannot be read.", (unsigned long long) version));
	object = journalformat_parse(data, len, journal->keyring, version,
								 get_keys(journal->provider, journal->keyring)->object);
	if (object == NULL)
		refuse(psprintf("journal.%llu was changed, or is another keyring's.",
						(unsigned long long) version));
	pfree(data);
	return object;
}

static uint64
version_at(const Journal *journal, int i)
{
	return *(uint64 *) list_nth(journal->versions, i);
}

/*
 * Lists what is there.
 */
static void
list_objects(Journal *journal)
{
	KeyProviderResult result = keyprovider_list(journal->provider, KEYOBJECT_JOURNAL,
												&journal->versions);

	if (result == KEYPROVIDER_DONE)
		result = keyprovider_highest(journal->provider, KEYOBJECT_JOURNAL, &journal->highest);
	if (result == KEYPROVIDER_ABSENT)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the key provider does not know this database's keyring"),
				 errhint("Let purpose.keyring name the place where the keyring was created.")));
	if (result != KEYPROVIDER_DONE)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the keyring's journal cannot be reached"),
				 errhint("See the warnings, and SELECT * FROM purpose.check_keyring().")));
}

Journal *
journal_open(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN])
{
	Journal    *journal = palloc0(sizeof(Journal));

	journal->provider = provider;
	memcpy(journal->keyring, keyring, KEYRING_ID_LEN);
	for (int i = 0; i < ATTEMPTS; i++)
	{
		list_objects(journal);
		if (journal->highest == 0)
		{
			journalformat_origin(keyring, &journal->head);
			journal->checkpoint = journal->head;
			return journal;
		}
		if (journal->versions == NIL)
			continue;
		journal->tail = read_object(journal, *(uint64 *) llast(journal->versions));
		if (journal->tail != NULL && journal->tail->version == journal->highest)
		{
			journal->head = journal->tail->last;
			journal->checkpoint = journal->tail->checkpoint;
			return journal;
		}
	}
	refuse(psprintf("journal.%llu was there, and is not.", (unsigned long long) journal->highest));
}

/*
 * Prepends the entries after a sequence to a list.
 */
static List *
entries_after(JournalObject *object, uint64 sequence, List *later)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, object->entries)
	{
		if (((JournalEntry *) lfirst(lc))->sequence > sequence)
			result = lappend(result, lfirst(lc));
	}
	return list_concat(result, later);
}

bool
journal_read_after(Journal *journal, const JournalPoint *point, List **entries)
{
	JournalObject *object = journal->tail;
	JournalPoint begin;
	ListCell   *lc;

	*entries = NIL;
	if (point->sequence > journal->head.sequence)
		refuse(psprintf("It ends with entry %llu, and this database has written up to entry %llu.",
						(unsigned long long) journal->head.sequence,
						(unsigned long long) point->sequence));
	if (point->sequence < journal->checkpoint.sequence)
		return false;

	/* From the newest object to the one that the point is in. */
	if (object != NULL)
		*entries = entries_after(object, point->sequence, NIL);
	begin = object == NULL ? journal->head : object->base;
	for (int i = list_length(journal->versions) - 2;
		 i >= 0 && begin.sequence > point->sequence; i--)
	{
		object = read_object(journal, version_at(journal, i));
		if (object == NULL)
			continue;			/* removed meanwhile: another one has it all */
		if (object->base.sequence >= begin.sequence)
			continue;			/* a newer one was made from it */
		if (!journalformat_same_point(&object->last, &begin))
			refuse(psprintf("journal.%llu does not lead to what comes after it.",
							(unsigned long long) object->version));
		*entries = entries_after(object, point->sequence, *entries);
		begin = object->base;
	}
	if (begin.sequence > point->sequence)
		refuse(psprintf("Entry %llu and those before it are missing.",
						(unsigned long long) begin.sequence));

	/* Does the chain go through the point? */
	if (begin.sequence < point->sequence)
	{
		foreach(lc, object->entries)
		{
			JournalEntry *entry = lfirst(lc);

			if (entry->sequence == point->sequence)
			{
				begin.sequence = entry->sequence;
				memcpy(begin.hash, entry->hash, JOURNAL_HASH_LEN);
			}
		}
	}
	if (!journalformat_same_point(&begin, point))
		refuse("Its entries are not those that this database has written.");
	return true;
}

/* ----------
 * Writing
 * ----------
 */

/*
 * Raises what a provider's answer means, unless it did what it was asked.
 */
static void
require_stored(KeyProviderResult result, uint64 version)
{
	if (result == KEYPROVIDER_DONE)
		return;
	if (result == KEYPROVIDER_FENCED)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_NOT_CLAIMED),
				 errmsg("another instance holds the claim of the keyring"),
				 errhint("SELECT * FROM purpose.keyring_status says which.")));
	ereport(ERROR,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg("journal.%llu could not be stored", (unsigned long long) version),
			 errdetail("The key provider answered: %s.", keyprovider_result_name(result)),
			 errhint("It is tried again.  See the warnings, and SELECT * FROM purpose.check_keyring().")));
}

/*
 * Stores an object as the next version, and makes it the newest.
 */
static void
store_object(Journal *journal, uint64 fence, JournalObject *object)
{
	uint8	   *bytes;
	uint64	   *version = palloc(sizeof(uint64));

	object->version = journal->highest + 1;
	bytes = journalformat_print(object, journal->keyring,
								get_keys(journal->provider, journal->keyring)->object);
	require_stored(keyprovider_store(journal->provider, KEYOBJECT_JOURNAL, object->version,
									 fence, bytes, object->len),
				   object->version);
	pfree(bytes);
	*version = object->version;
	journal->versions = lappend(journal->versions, version);
	journal->highest = object->version;
	journal->tail = object;
	journal->head = object->last;
	journal->checkpoint = object->checkpoint;
}

/*
 * Removes an object that is needed no more.  That it fails is only untidy.
 */
static void
remove_object(Journal *journal, uint64 fence, uint64 version)
{
	ListCell   *lc;

	(void) keyprovider_destroy(journal->provider, KEYOBJECT_JOURNAL, version, fence);
	foreach(lc, journal->versions)
	{
		if (*(uint64 *) lfirst(lc) == version)
			journal->versions = foreach_delete_current(journal->versions, lc);
	}
}

/*
 * Returns a copy of the newest object, with room for more entries; or an empty
 * one that comes after it.
 */
static JournalObject *
next_object(Journal *journal, bool replace, TimestampTz written_at)
{
	JournalObject *object = palloc0(sizeof(JournalObject));

	if (replace)
	{
		*object = *journal->tail;
		object->entries = list_copy(journal->tail->entries);
	}
	else
	{
		object->checkpoint = journal->checkpoint;
		object->base = journal->head;
		object->last = journal->head;
	}
	object->written_at = written_at;
	return object;
}

void
journal_append(Journal *journal, uint64 fence, List *entries, TimestampTz written_at)
{
	bool		replace = journal->tail != NULL && journal->tail->len < OBJECT_SIZE;
	uint64		replaced = replace ? journal->tail->version : 0;
	JournalObject *object = next_object(journal, replace, written_at);
	ListCell   *lc;

	foreach(lc, entries)
		journalformat_chain(object, lfirst(lc));
	store_object(journal, fence, object);
	stopevent_reach("journal_stored");
	if (replace)
		remove_object(journal, fence, replaced);
}

void
journal_secure(Journal *journal, uint64 fence)
{
	uint8	   *bytes;

	if (journal->tail == NULL)
		return;
	bytes = journalformat_print(journal->tail, journal->keyring,
								get_keys(journal->provider, journal->keyring)->object);
	require_stored(keyprovider_store(journal->provider, KEYOBJECT_JOURNAL,
									 journal->tail->version, fence, bytes, journal->tail->len),
				   journal->tail->version);
	pfree(bytes);
}

bool
journal_prune(Journal *journal, uint64 fence, TimestampTz before, TimestampTz written_at)
{
	JournalPoint checkpoint = journal->checkpoint;
	List	   *obsolete = NIL;
	JournalObject *object;
	JournalObject *tail;
	ListCell   *lc;
	int			count = list_length(journal->versions);

	for (int i = 0; i < count - 1; i++)
	{
		object = read_object(journal, version_at(journal, i));
		if (object == NULL)
			continue;
		if (object->last.sequence > checkpoint.sequence)
		{
			if (object->written_at >= before ||
				object->last.sequence > journal->tail->base.sequence)
				break;
			checkpoint = object->last;
		}
		obsolete = lappend(obsolete, list_nth(journal->versions, i));
	}

	/* What the newest one was made from, if nobody removed it. */
	if (count > 1 && !list_member_ptr(obsolete, list_nth(journal->versions, count - 2)))
	{
		object = read_object(journal, version_at(journal, count - 2));
		if (object != NULL && object->base.sequence >= journal->tail->base.sequence)
			obsolete = lappend(obsolete, list_nth(journal->versions, count - 2));
	}
	if (obsolete == NIL)
		return false;

	if (checkpoint.sequence > journal->checkpoint.sequence)
	{
		obsolete = lappend(obsolete, llast(journal->versions));
		tail = next_object(journal, true, written_at);
		tail->checkpoint = checkpoint;
		store_object(journal, fence, tail);
		stopevent_reach("journal_checkpoint_stored");
	}
	foreach(lc, obsolete)
		remove_object(journal, fence, *(uint64 *) lfirst(lc));
	return true;
}

void
journal_abandon(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN], uint64 fence,
				uint64 sequence, TimestampTz written_at, JournalPoint *point)
{
	Journal    *journal = palloc0(sizeof(Journal));
	JournalObject *object = palloc0(sizeof(JournalObject));
	List	   *obsolete;
	ListCell   *lc;

	journal->provider = provider;
	memcpy(journal->keyring, keyring, KEYRING_ID_LEN);
	list_objects(journal);
	obsolete = list_copy(journal->versions);

	/* A hash that is nobody's: no earlier copy of the database goes on here. */
	point->sequence = sequence;
	secret_random(point->hash, JOURNAL_HASH_LEN);
	object->checkpoint = object->base = object->last = *point;
	object->written_at = written_at;
	store_object(journal, fence, object);
	foreach(lc, obsolete)
		remove_object(journal, fence, *(uint64 *) lfirst(lc));
}
