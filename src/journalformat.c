/*
 * journalformat.c
 *		A journal as bytes; see journalformat.h.
 *
 * Invariants:
 * - What is parsed has its HMAC verified before anything in it is believed, and
 *	 every length is checked against what is there.
 * - The same object prints as the same bytes: an append that is repeated after a
 *	 crash stores what was stored before.
 */
#include "postgres.h"

#include "journalformat.h"
#include "keybytes.h"
#include "secret.h"

#define MAGIC			"PGPJOURN"
#define FORMAT			1
#define HEADER_LEN		128
#define ENTRY_LEN		88
#define ORIGIN_PREFIX	"pg_purpose journal v1"

static const struct
{
	JournalKind kind;
	const char *name;
}			kinds[] = {
	{JOURNAL_GIVEN, "given"},
	{JOURNAL_REFUSED, "refused"},
	{JOURNAL_WITHDRAWN, "withdrawn"},
	{JOURNAL_OBJECTED, "objected"},
	{JOURNAL_OBJECTION_WITHDRAWN, "objection_withdrawn"},
	{JOURNAL_RESTRICTED, "restricted"},
	{JOURNAL_RESTRICTION_LIFTED, "restriction_lifted"},
	{JOURNAL_SHRED, "shred"},
	{JOURNAL_DESTROYED, "destroyed"},
	{JOURNAL_READMIT, "readmit"},
	{JOURNAL_ROTATED, "rotated"},
	{JOURNAL_FORKED, "forked"},
	{JOURNAL_FORK_ENDED, "fork_ended"},
	{JOURNAL_RECONCILED, "reconciled"},
};

/*
 * Returns NULL for what is no kind that this version knows.
 */
const char *
journalformat_kind_name(JournalKind kind)
{
	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (kinds[i].kind == kind)
			return kinds[i].name;
	}
	return NULL;
}

bool
journalformat_parse_kind(const char *name, JournalKind *kind)
{
	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (strcmp(kinds[i].name, name) == 0)
		{
			*kind = kinds[i].kind;
			return true;
		}
	}
	return false;
}

/* ----------
 * The chain
 * ----------
 */

void
journalformat_origin(const uint8 keyring[KEYRING_ID_LEN], JournalPoint *origin)
{
	uint8		bytes[sizeof(ORIGIN_PREFIX) - 1 + KEYRING_ID_LEN];

	memcpy(bytes, ORIGIN_PREFIX, sizeof(ORIGIN_PREFIX) - 1);
	memcpy(bytes + sizeof(ORIGIN_PREFIX) - 1, keyring, KEYRING_ID_LEN);
	origin->sequence = 0;
	kdf_hash(bytes, sizeof(bytes), origin->hash);
}

bool
journalformat_same_point(const JournalPoint *a, const JournalPoint *b)
{
	return a->sequence == b->sequence && memcmp(a->hash, b->hash, JOURNAL_HASH_LEN) == 0;
}

static void
put(StringInfo buf, const void *bytes, size_t len)
{
	enlargeStringInfo(buf, len);
	memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
}

static void
append_entry(StringInfo buf, const JournalEntry *entry)
{
	size_t		table_len = strlen(entry->table);
	size_t		purpose_len = strlen(entry->purpose);
	size_t		detail_len = strlen(entry->detail);
	uint8		fixed[ENTRY_LEN] = {0};

	if (table_len > PG_UINT16_MAX || purpose_len > PG_UINT16_MAX)
		elog(ERROR, "a name is too long for the journal");
	keybytes_put32(fixed, ENTRY_LEN + table_len + purpose_len + detail_len);
	fixed[4] = entry->kind;
	fixed[5] = entry->flags;
	keybytes_put16(fixed + 6, table_len);
	keybytes_put16(fixed + 8, purpose_len);
	keybytes_put32(fixed + 12, detail_len);
	keybytes_put64(fixed + 16, entry->sequence);
	keybytes_put64(fixed + 24, entry->incarnation);
	keybytes_put64(fixed + 32, (uint64) entry->at);
	memcpy(fixed + 40, entry->event, JOURNAL_EVENT_LEN);
	memcpy(fixed + 56, entry->subject, JOURNAL_HASH_LEN);
	put(buf, fixed, ENTRY_LEN);
	put(buf, entry->table, table_len);
	put(buf, entry->purpose, purpose_len);
	put(buf, entry->detail, detail_len);
}

/*
 * hash(n) from hash(n - 1) and the entry's bytes.
 */
static void
advance(JournalPoint *point, const void *bytes, size_t len)
{
	StringInfoData buf;

	initStringInfo(&buf);
	put(&buf, point->hash, JOURNAL_HASH_LEN);
	put(&buf, bytes, len);
	kdf_hash(buf.data, buf.len, point->hash);
	point->sequence++;
	pfree(buf.data);
}

void
journalformat_chain(JournalObject *object, JournalEntry *entry)
{
	StringInfoData buf;

	entry->sequence = object->last.sequence + 1;
	initStringInfo(&buf);
	append_entry(&buf, entry);
	advance(&object->last, buf.data, buf.len);
	pfree(buf.data);
	memcpy(entry->hash, object->last.hash, JOURNAL_HASH_LEN);
	object->entries = lappend(object->entries, entry);
}

/* ----------
 * Objects
 * ----------
 */

uint8 *
journalformat_print(JournalObject *object, const uint8 keyring[KEYRING_ID_LEN],
					const uint8 key[SECRET_KEY_LEN])
{
	uint8		header[HEADER_LEN] = {0};
	uint8		mac[KDF_HASH_LEN];
	StringInfoData buf;
	ListCell   *lc;

	memcpy(header, MAGIC, 8);
	keybytes_put16(header + 8, FORMAT);
	memcpy(header + 12, keyring, KEYRING_ID_LEN);
	keybytes_put64(header + 28, object->version);
	keybytes_put64(header + 36, (uint64) object->written_at);
	keybytes_put64(header + 44, object->checkpoint.sequence);
	memcpy(header + 52, object->checkpoint.hash, JOURNAL_HASH_LEN);
	keybytes_put64(header + 84, object->base.sequence);
	memcpy(header + 92, object->base.hash, JOURNAL_HASH_LEN);
	keybytes_put32(header + 124, list_length(object->entries));

	initStringInfo(&buf);
	put(&buf, header, HEADER_LEN);
	foreach(lc, object->entries)
		append_entry(&buf, lfirst(lc));
	kdf_hmac(key, buf.data, buf.len, mac);
	put(&buf, mac, KDF_HASH_LEN);
	object->len = buf.len;
	return (uint8 *) buf.data;
}

/*
 * Reads one entry.  Returns its length, 0 for what is none.
 */
static size_t
parse_entry(const uint8 *bytes, size_t len, JournalEntry *entry)
{
	size_t		total;
	size_t		table_len;
	size_t		purpose_len;
	size_t		detail_len;
	const char *text;

	if (len < ENTRY_LEN)
		return 0;
	total = keybytes_get32(bytes);
	table_len = keybytes_get16(bytes + 6);
	purpose_len = keybytes_get16(bytes + 8);
	detail_len = keybytes_get32(bytes + 12);
	if (total > len || total != ENTRY_LEN + table_len + purpose_len + detail_len ||
		keybytes_get16(bytes + 10) != 0)
		return 0;
	entry->kind = bytes[4];
	entry->flags = bytes[5];
	entry->sequence = keybytes_get64(bytes + 16);
	entry->incarnation = keybytes_get64(bytes + 24);
	entry->at = (TimestampTz) keybytes_get64(bytes + 32);
	memcpy(entry->event, bytes + 40, JOURNAL_EVENT_LEN);
	memcpy(entry->subject, bytes + 56, JOURNAL_HASH_LEN);
	text = (const char *) bytes + ENTRY_LEN;
	entry->table = pnstrdup(text, table_len);
	entry->purpose = pnstrdup(text + table_len, purpose_len);
	entry->detail = pnstrdup(text + table_len + purpose_len, detail_len);
	return total;
}

JournalObject *
journalformat_parse(const uint8 *bytes, size_t len, const uint8 keyring[KEYRING_ID_LEN],
					uint64 version, const uint8 key[SECRET_KEY_LEN])
{
	JournalObject *object;
	uint8		mac[KDF_HASH_LEN];
	uint32		count;

	if (len < HEADER_LEN + KDF_HASH_LEN ||
		memcmp(bytes, MAGIC, 8) != 0 ||
		keybytes_get16(bytes + 8) != FORMAT ||
		keybytes_get16(bytes + 10) != 0 ||
		memcmp(bytes + 12, keyring, KEYRING_ID_LEN) != 0 ||
		keybytes_get64(bytes + 28) != version)
		return NULL;
	kdf_hmac(key, bytes, len - KDF_HASH_LEN, mac);
	if (!secret_equal(mac, bytes + len - KDF_HASH_LEN, KDF_HASH_LEN))
		return NULL;

	object = palloc0(sizeof(JournalObject));
	object->version = version;
	object->written_at = (TimestampTz) keybytes_get64(bytes + 36);
	object->checkpoint.sequence = keybytes_get64(bytes + 44);
	memcpy(object->checkpoint.hash, bytes + 52, JOURNAL_HASH_LEN);
	object->base.sequence = keybytes_get64(bytes + 84);
	memcpy(object->base.hash, bytes + 92, JOURNAL_HASH_LEN);
	count = keybytes_get32(bytes + 124);
	object->last = object->base;
	object->len = len;

	bytes += HEADER_LEN;
	len -= HEADER_LEN + KDF_HASH_LEN;
	for (uint32 i = 0; i < count; i++)
	{
		JournalEntry *entry = palloc(sizeof(JournalEntry));
		size_t		entry_len = parse_entry(bytes, len, entry);

		if (entry_len == 0)
			return NULL;
		advance(&object->last, bytes, entry_len);
		if (entry->sequence != object->last.sequence)
			return NULL;
		memcpy(entry->hash, object->last.hash, JOURNAL_HASH_LEN);
		object->entries = lappend(object->entries, entry);
		bytes += entry_len;
		len -= entry_len;
	}
	return len == 0 && object->checkpoint.sequence <= object->base.sequence ? object : NULL;
}
