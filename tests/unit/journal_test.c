/*
 * journal_test.c
 *		Objects of the journal: they come back as they were, as the bytes that
 *		journalformat.h says, and none that was changed comes back.
 */
#include "postgres.h"

#include "journalformat.h"
#include "keybytes.h"

#include "standin.h"

static const uint8 keyring[KEYRING_ID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8 key[SECRET_KEY_LEN] = {42};

static JournalEntry *
make_entry(JournalKind kind, const char *table, const char *purpose, const char *detail)
{
	JournalEntry *entry = palloc0(sizeof(JournalEntry));

	entry->kind = kind;
	entry->incarnation = 7;
	entry->at = INT64CONST(1234567890123456);
	memset(entry->event, 0xEE, JOURNAL_EVENT_LEN);
	memset(entry->subject, 0x55, JOURNAL_HASH_LEN);
	entry->table = table;
	entry->purpose = purpose;
	entry->detail = detail;
	return entry;
}

static JournalObject *
make_object(uint64 version)
{
	JournalObject *object = palloc0(sizeof(JournalObject));

	object->version = version;
	object->written_at = -5;
	journalformat_origin(keyring, &object->base);
	object->checkpoint = object->last = object->base;
	journalformat_chain(object, make_entry(JOURNAL_WITHDRAWN, "public.customers", "marketing", ""));
	journalformat_chain(object, make_entry(JOURNAL_SHRED, "public.customers", "", "{\"numbers\": [1]}"));
	journalformat_chain(object, make_entry(JOURNAL_RECONCILED, "", "", ""));
	return object;
}

static void
test_round_trip(void)
{
	JournalObject *object = make_object(3);
	uint8	   *bytes = journalformat_print(object, keyring, key);
	JournalObject *back = journalformat_parse(bytes, object->len, keyring, 3, key);
	JournalEntry *entry;
	uint8	   *again;

	check(object->len == 128 + (88 + 16 + 9) + (88 + 16 + 16) + 88 + 32, "the length");
	check(back != NULL, "an object is read back");
	check(back->version == 3 && back->written_at == -5 && list_length(back->entries) == 3, "its header");
	check(journalformat_same_point(&back->last, &object->last), "the chain's end");
	entry = lsecond(back->entries);
	check(entry->sequence == 2 && entry->kind == JOURNAL_SHRED && entry->incarnation == 7 &&
		  entry->at == INT64CONST(1234567890123456), "an entry's numbers");
	check(strcmp(entry->table, "public.customers") == 0 && strcmp(entry->purpose, "") == 0 &&
		  strcmp(entry->detail, "{\"numbers\": [1]}") == 0, "its texts");
	again = journalformat_print(back, keyring, key);
	check(back->len == object->len && memcmp(again, bytes, back->len) == 0, "it prints as the same bytes");

	check(memcmp(bytes, "PGPJOURN", 8) == 0 && keybytes_get16(bytes + 8) == 1, "format 1");
	check(keybytes_get64(bytes + 28) == 3 && keybytes_get32(bytes + 124) == 3, "where version and count are");
	check(bytes[128 + 4] == 3 && keybytes_get64(bytes + 128 + 16) == 1, "where the first entry is");
}

static void
test_chain(void)
{
	JournalObject *object = make_object(3);
	JournalObject *other = palloc0(sizeof(JournalObject));
	JournalPoint origin;
	uint8		another[KEYRING_ID_LEN] = {9};

	journalformat_origin(another, &origin);
	check(!journalformat_same_point(&origin, &object->base), "another keyring begins elsewhere");
	other->base = other->last = object->base;
	journalformat_chain(other, make_entry(JOURNAL_GIVEN, "public.customers", "marketing", ""));
	check(other->last.sequence == 1 &&
		  memcmp(other->last.hash, ((JournalEntry *) linitial(object->entries))->hash, JOURNAL_HASH_LEN) != 0,
		  "another entry leads elsewhere");
}

/*
 * Gives what was changed a valid HMAC, as whoever has the key could: what is
 * inside must hold together all the same.
 */
static JournalObject *
parse_forged(uint8 *bytes, size_t len)
{
	kdf_hmac(key, bytes, len - KDF_HASH_LEN, bytes + len - KDF_HASH_LEN);
	return journalformat_parse(bytes, len, keyring, 3, key);
}

static void
test_tampering(void)
{
	JournalObject *object = make_object(3);
	uint8	   *bytes = journalformat_print(object, keyring, key);
	size_t		len = object->len;
	uint8	   *copy = palloc(len);
	uint8		wrong_key[SECRET_KEY_LEN] = {43};
	bool		accepted = false;

	for (size_t i = 0; i < len; i++)
	{
		memcpy(copy, bytes, len);
		copy[i] ^= 1 << (i % 8);
		accepted |= journalformat_parse(copy, len, keyring, 3, key) != NULL;
	}
	check(!accepted, "no byte can be changed");

	for (size_t i = 0; i < len; i++)
	{
		/* In memory of that size, so that reading past it is seen. */
		uint8	   *cut = palloc(Max(i, 1));

		memcpy(cut, bytes, i);
		accepted |= journalformat_parse(cut, i, keyring, 3, key) != NULL;
		if (i > KDF_HASH_LEN)
			accepted |= parse_forged(cut, i) != NULL;
		pfree(cut);
	}
	check(!accepted, "nothing can be cut off, even with another HMAC");

	check(journalformat_parse(bytes, len, keyring, 4, key) == NULL, "it is no other version");
	check(journalformat_parse(bytes, len, wrong_key, 3, key) == NULL, "nor another keyring's");
	check(journalformat_parse(bytes, len, keyring, 3, wrong_key) == NULL, "nor under another key");

	/* Whatever lengths say, nothing is read that is not there. */
	for (size_t at = 128; at < len - KDF_HASH_LEN - 16; at++)
	{
		memcpy(copy, bytes, len);
		memset(copy + at, 0xFF, 4);
		(void) parse_forged(copy, len);
	}
	memcpy(copy, bytes, len);
	keybytes_put64(copy + 128 + 16, 2);
	check(parse_forged(copy, len) == NULL, "a sequence has no gap");
	memcpy(copy, bytes, len);
	keybytes_put64(copy + 44, 1);
	check(parse_forged(copy, len) == NULL, "a checkpoint is not behind the first entry");
	memcpy(copy, bytes, len);
	keybytes_put32(copy + 124, 2);
	check(parse_forged(copy, len) == NULL, "there are no more entries than are counted");
	memcpy(copy, bytes, len);
	keybytes_put32(copy + 124, 4);
	check(parse_forged(copy, len) == NULL, "nor fewer");
}

static void
test_kinds(void)
{
	JournalKind kind;

	check(journalformat_parse_kind("withdrawn", &kind) && kind == JOURNAL_WITHDRAWN, "a kind by its name");
	check(strcmp(journalformat_kind_name(JOURNAL_READMIT), "readmit") == 0, "and its name");
	check(!journalformat_parse_kind("erased", &kind), "there is no other one");
	check(journalformat_kind_name(99) == NULL, "by number either");
}

int
main(void)
{
	standin_begin();
	secret_init();
	kdf_init();
	test_round_trip();
	test_chain();
	test_tampering();
	test_kinds();
	standin_free();
	standin_end();
	return check_done();
}
