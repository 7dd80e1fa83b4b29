/*
 * sealed.c
 *		Sealed values: making, opening.
 *
 * A value opens when the session's purpose is usable and satisfies the value's
 * own label, the person's consent permits it, and the key has not been
 * shredded.  Everybody is bound, superusers too: without a purpose a sealed
 * value stays sealed.  What may not be opened gives false, and the caller
 * shows NULL or the envelope; what cannot be opened (a value that was tampered
 * with, a keyring that is missing) is an error, so that it is never written
 * back as NULL.
 *
 * Verdicts are latched for a statement: hooks call sealed_statement_changes()
 * wherever a statement starts, resumes or ends, and the first value opened
 * afterwards absorbs what other sessions did.
 *
 * Value keys are remembered in memory that is in no core dump, until the
 * transaction ends or the keyring changes.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/sinval.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "aead.h"
#include "catalog.h"
#include "clock.h"
#include "compat.h"
#include "decision.h"
#include "errcodes.h"
#include "guc.h"
#include "kdf.h"
#include "keyring.h"
#include "rewound.h"
#include "sealed.h"
#include "sealedlog.h"
#include "sealedtoken.h"
#include "secret.h"
#include "session.h"
#include "subjectnumber.h"
#include "tombstone.h"

#define VALUE_KEY_PREFIX	"pg_purpose value v1"

StaticAssertDecl(AEAD_NONCE_LEN == ENVELOPE_NONCE_LEN, "nonces fit");
StaticAssertDecl(AEAD_TAG_LEN == ENVELOPE_TAG_LEN, "tags fit");

/* Value keys, direct-mapped by address and label. */
#define VALUE_KEYS	512
typedef struct ValueKey
{
	bool		used;
	uint64		generation;		/* keyring_generation() */
	uint64		address;
	uint64		label_id;
	uint32		epoch;
	uint8		key[SECRET_KEY_LEN];
} ValueKey;
static ValueKey *value_keys = NULL;
static bool value_keys_used = false;

/* What the people behind the numbers say about the session's purpose. */
typedef struct NumberVerdict
{
	uint64		number;			/* hash key */
	char		status;			/* simplehash's own */
	bool		permitted;
	TimestampTz until;
} NumberVerdict;

#define SH_PREFIX		verdicts
#define SH_ELEMENT_TYPE NumberVerdict
#define SH_KEY_TYPE		uint64
#define SH_KEY			number
#define SH_HASH_KEY(tb, key) murmurhash32((uint32) ((key) ^ ((key) >> 32)))
#define SH_EQUAL(tb, a, b)	((a) == (b))
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "common/hashfn.h"
#include "lib/simplehash.h"

#define VERDICTS_LIMIT	100000

static verdicts_hash *verdicts = NULL;
static uint64 verdicts_completions;
static uint64 verdicts_stamp;
static CommandId verdicts_command;

/* The session's purpose needs nobody's consent, and nobody is restricted. */
static bool nobody_asked = false;

/* Label verdicts, direct-mapped by label. */
typedef struct JudgedLabel
{
	uint64		stamp;			/* session_stamp(); 0: none */
	uint64		label_id;
	bool		permitted;
} JudgedLabel;
static JudgedLabel judged_labels[16];

static bool latched = false;

/*
 * What this transaction encrypted last to wait for its trigger, direct-mapped by
 * nonce, in TopTransactionContext: mostly the trigger asks for it next.
 */
#define PENDING_VALUES	32
#define PENDING_MAX_LEN	1024	/* longer ones are decrypted */
typedef struct PendingValue
{
	bytea	   *value;			/* NULL: none */
	Oid			type;
	bytea	   *plain;
} PendingValue;
static PendingValue pending_values[PENDING_VALUES];

/*
 * Forgets all value keys.
 */
static void
wipe_keys(void)
{
	if (value_keys_used)
		secret_wipe(value_keys, VALUE_KEYS * sizeof(ValueKey));
	value_keys_used = false;
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	latched = false;
	memset(pending_values, 0, sizeof(pending_values));
}

/*
 * Registers callbacks.  Called once from _PG_init.
 */
void
sealed_init(void)
{
	secret_wipe_at_end(wipe_keys);
	RegisterXactCallback(end_of_transaction, NULL);
}

/*
 * To be called whenever a statement starts, resumes or ends: the next value
 * that is opened looks at the world anew.
 */
void
sealed_statement_changes(void)
{
	latched = false;
}

/*
 * Absorbs what others did, and forgets the verdicts that may be stale.
 */
static void
latch(void)
{
	uint64		completions;
	uint64		stamp;
	CommandId	command;

	AcceptInvalidationMessages();
	completions = compat_completion_count();
	stamp = session_stamp();
	command = GetCurrentCommandId(false);
	latched = true;
	if (verdicts != NULL && verdicts_completions == completions &&
		verdicts_stamp == stamp && verdicts_command == command &&
		verdicts->members < VERDICTS_LIMIT)
		return;
	if (verdicts == NULL)
		verdicts = verdicts_create(TopMemoryContext, 64, NULL);
	else
		verdicts_reset(verdicts);
	nobody_asked = decision_asks_nobody(session_current()) && !consent_anyone_restricted();
	verdicts_completions = completions;
	verdicts_stamp = stamp;
	verdicts_command = command;
}

compat_noreturn static void
refuse_invalid(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_SEALED_VALUE),
			 errmsg("sealed value is damaged or does not belong here"),
			 errdetail("It was changed after it was sealed, or sealed under another keyring or for another base type."),
			 errhint("Restore the value from a backup; purpose.check_keyring() says whether the keyring is the right one.")));
}

/*
 * Takes a value apart.  Raises PU012 if it is not one.
 */
SealedValue
sealed_look(Datum value)
{
	struct varlena *varlena = PG_DETOAST_DATUM_PACKED(value);
	SealedValue look;

	look.bytes = (const uint8 *) VARDATA_ANY(varlena);
	look.len = VARSIZE_ANY_EXHDR(varlena);
	if (!envelope_parse(look.bytes, look.len, &look.header))
		refuse_invalid();
	look.pending = (look.header.flags & ENVELOPE_FLAG_PENDING) != 0;
	look.claimed = (look.header.flags & ENVELOPE_FLAG_CLAIMED) != 0;
	return look;
}

/*
 * Makes a value of an envelope that came in from outside.
 */
Datum
sealed_accept(const uint8 *envelope, size_t len, bool claimed)
{
	EnvelopeHeader header;
	bytea	   *result = palloc(VARHDRSZ + len);

	if (!envelope_parse(envelope, len, &header) || (header.flags & ~ENVELOPE_FLAGS_STORED) != 0)
		refuse_invalid();
	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), envelope, len);
	if (claimed)
	{
		header.flags |= ENVELOPE_FLAG_CLAIMED;
		envelope_print_header(&header, (uint8 *) VARDATA(result));
	}
	return PointerGetDatum(result);
}

/*
 * Returns a value as it is stored: without the mark of one that was typed in.
 */
Datum
sealed_unclaim(const SealedValue *look)
{
	EnvelopeHeader header = look->header;
	bytea	   *result = palloc(VARHDRSZ + look->len);

	SET_VARSIZE(result, VARHDRSZ + look->len);
	memcpy(VARDATA(result), look->bytes, look->len);
	header.flags &= ENVELOPE_FLAGS_STORED;
	envelope_print_header(&header, (uint8 *) VARDATA(result));
	return PointerGetDatum(result);
}

/*
 * What a value is bound to: its header; its label's canonical text and a zero
 * byte, but of one that waits for its trigger; its base type's name.  Good until
 * the next call.
 */
static const uint8 *
print_aad(const uint8 *header, size_t header_len, const SealedLabel *label,
		  const SealedType *type, size_t *len)
{
	static uint8 *aad = NULL;
	static size_t room = 0;
	size_t		label_len = label != NULL ? strlen(label->text) + 1 : 0;
	size_t		name_len = strlen(type->name);

	*len = header_len + label_len + name_len;
	if (*len > room)
	{
		aad = aad == NULL ? MemoryContextAlloc(TopMemoryContext, *len) : repalloc(aad, *len);
		room = *len;
	}
	memcpy(aad, header, header_len);
	if (label != NULL)
		memcpy(aad + header_len, label->text, label_len);
	memcpy(aad + header_len + label_len, type->name, name_len);
	return aad;
}

/*
 * Encrypts under a key.  header lacks only its nonce; label is NULL for a value
 * that waits for its trigger.
 */
static Datum
encrypt(const uint8 *key, EnvelopeHeader *header, const SealedLabel *label,
		const SealedType *type, const char *plain, size_t len)
{
	size_t		header_len = envelope_header_len(header->flags);
	size_t		total = VARHDRSZ + header_len + len + ENVELOPE_TAG_LEN;
	bytea	   *result = palloc(total);
	uint8	   *bytes = (uint8 *) VARDATA(result);
	const uint8 *aad;
	size_t		aad_len;

	SET_VARSIZE(result, total);
	aead_draw_nonce(header->nonce);
	envelope_print_header(header, bytes);
	aad = print_aad(bytes, header_len, label, type, &aad_len);
	aead_seal(key, header->nonce, aad, aad_len, plain, len,
			  bytes + header_len, bytes + header_len + len);
	return PointerGetDatum(result);
}

/*
 * Decrypts an envelope into memory of the current context.  Returns NULL if the
 * tag is wrong.
 */
static bytea *
decrypt_bytes(const uint8 *key, const SealedValue *value, const SealedLabel *label,
			  const SealedType *type)
{
	size_t		header_len = envelope_header_len(value->header.flags);
	size_t		len = value->len - header_len - ENVELOPE_TAG_LEN;
	bytea	   *result = palloc(VARHDRSZ + len);
	uint8	   *plain = (uint8 *) VARDATA(result);
	size_t		aad_len;
	const uint8 *aad = print_aad(value->bytes, header_len, label, type, &aad_len);
	bool		authentic = aead_open(key, value->header.nonce, aad, aad_len,
									  value->bytes + header_len, len,
									  value->bytes + header_len + len, plain);

	if (authentic && (value->header.flags & ENVELOPE_FLAG_PADDED) != 0)
	{
		while (len > 0 && plain[len - 1] == 0)
			len--;
		authentic = len > 0 && plain[len - 1] == 0x80;
		len--;
	}
	if (authentic)
	{
		SET_VARSIZE(result, VARHDRSZ + len);
		return result;
	}
	pfree(result);
	return NULL;
}

/*
 * Decrypts an envelope, and hands the plaintext to the base type.  Returns
 * false if the tag is wrong.
 */
static bool
decrypt(const uint8 *key, const SealedValue *value, const SealedLabel *label,
		const SealedType *type, Datum *base)
{
	bytea	   *plain = decrypt_bytes(key, value, label, type);

	if (plain == NULL)
		return false;
	*base = sealedtype_from_bytes(type, plain);
	if (DatumGetPointer(*base) != (Pointer) plain)
		pfree(plain);
	return true;
}

static PendingValue *
pending_slot(const uint8 *envelope)
{
	return &pending_values[envelope[ENVELOPE_NONCE_OFFSET] % PENDING_VALUES];
}

static bytea *
copy_bytes(MemoryContext context, const bytea *bytes)
{
	bytea	   *copy = MemoryContextAlloc(context, VARSIZE_ANY(bytes));

	memcpy(copy, bytes, VARSIZE_ANY(bytes));
	return copy;
}

/*
 * Remembers what a value that waits for its trigger was made of.
 */
static void
remember_pending(const SealedType *type, const bytea *value, const bytea *plain)
{
	PendingValue *slot = pending_slot((const uint8 *) VARDATA_ANY(value));

	if (VARSIZE_ANY_EXHDR(plain) > PENDING_MAX_LEN)
		return;
	if (slot->value != NULL)
	{
		pfree(slot->value);
		slot->value = NULL;
		pfree(slot->plain);
	}
	slot->plain = copy_bytes(TopTransactionContext, plain);
	slot->value = copy_bytes(TopTransactionContext, value);
	slot->type = type->oid;
}

/*
 * Opens a value that waits for its trigger.  Raises PU014 for one that this run
 * of the server did not make.
 */
static Datum
open_pending(const SealedType *type, const SealedValue *value)
{
	PendingValue *slot = pending_slot(value->bytes);
	Datum		base;

	if (slot->value != NULL && slot->type == type->oid &&
		VARSIZE_ANY_EXHDR(slot->value) == value->len &&
		memcmp(VARDATA_ANY(slot->value), value->bytes, value->len) == 0)
		return sealedtype_from_bytes(type, copy_bytes(CurrentMemoryContext, slot->plain));
	if (!guc_preloaded || !decrypt(keyring_pending_key(), value, NULL, type, &base))
		ereport(ERROR,
				(errcode(ERRCODE_NOT_SEALED),
				 errmsg("value was never sealed, and is lost"),
				 errdetail("It was written where nothing seals values, by an earlier run of the server."),
				 errhint("Delete the value or write it again.")));
	return base;
}

/*
 * Returns a value that waits for its trigger.  It is encrypted, under a key of
 * this server's memory, so that one that goes astray is nobody's plaintext.
 */
Datum
sealed_pending(const SealedType *type, Datum base)
{
	EnvelopeHeader header = {.suite = ENVELOPE_SUITE_AES256GCM, .flags = ENVELOPE_FLAG_PENDING};
	bytea	   *plain;
	Datum		result;

	if (!guc_preloaded)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("values cannot be sealed while pg_purpose is not preloaded"),
				 errhint("Add pg_purpose to shared_preload_libraries, as its last entry, and restart the server.")));
	sealedlog_plaintext_at_hand();
	plain = sealedtype_to_bytes(type, base);
	result = encrypt(keyring_pending_key(), &header, NULL, type,
					 VARDATA_ANY(plain), VARSIZE_ANY_EXHDR(plain));
	remember_pending(type, (bytea *) DatumGetPointer(result), plain);
	return result;
}

/*
 * Derives the key of a value.  Returns false if its leaf was punctured.
 */
static bool
derive_value_key(const EnvelopeHeader *header, const SealedLabel *label,
				 uint8 key[SECRET_KEY_LEN])
{
	size_t		prefix_len = strlen(VALUE_KEY_PREFIX);
	uint32		label_len = strlen(label->text);
	size_t		info_len = prefix_len + 1 + 4 + 4 + label_len;
	uint8	   *info = palloc(info_len);
	uint8	   *p = info;
	uint8		leaf[SECRET_KEY_LEN];
	uint32		epoch = pg_hton32(header->epoch);
	uint32		length = pg_hton32(label_len);

	if (!keyring_derive(header->address, leaf))
		return false;
	memcpy(p, VALUE_KEY_PREFIX, prefix_len);
	p += prefix_len;
	*p++ = header->suite;
	memcpy(p, &epoch, 4);
	p += 4;
	memcpy(p, &length, 4);
	p += 4;
	memcpy(p, label->text, label_len);
	kdf_expand(leaf, info, info_len, key);
	secret_wipe(leaf, sizeof(leaf));
	pfree(info);
	return true;
}

/*
 * Returns the key of a value, remembered or derived, or NULL if its leaf was
 * punctured.  Good until the next call.
 */
static const uint8 *
value_key(const EnvelopeHeader *header, const SealedLabel *label)
{
	uint64		generation = keyring_lease_current() ? keyring_generation() : 0;
	uint32		hash = murmurhash32((uint32) (KEY_ADDRESS_NUMBER(header->address) * 31 +
											  KEY_ADDRESS_GROUP(header->address)) ^
									(uint32) header->label_id ^ header->epoch);
	ValueKey   *slot;

	if (value_keys == NULL)
		value_keys = secret_private_memory(VALUE_KEYS * sizeof(ValueKey));
	slot = &value_keys[hash % VALUE_KEYS];
	if (generation != 0 && slot->used && slot->generation == generation &&
		slot->address == header->address && slot->label_id == header->label_id &&
		slot->epoch == header->epoch)
		return slot->key;

	slot->used = false;
	value_keys_used = true;
	if (!derive_value_key(header, label, slot->key))
		return NULL;
	slot->generation = keyring_generation();
	slot->address = header->address;
	slot->label_id = header->label_id;
	slot->epoch = header->epoch;
	slot->used = true;
	return slot->key;
}

/*
 * The same, or NULL if a transaction that this statement knows of has shredded
 * it.
 */
static const uint8 *
key_unless_shredded(const EnvelopeHeader *header, const SealedLabel *label)
{
	if (!latched)
		latch();
	if (tombstone_covers(KEY_ADDRESS_NUMBER(header->address), label->group))
		return NULL;
	return value_key(header, label);
}

/*
 * Returns the label of a sealed value, or NULL if this database knows none that
 * it belongs to.
 */
static const SealedLabel *
label_of(const SealedValue *value)
{
	const SealedLabel *label = sealedlabel_by_id(value->header.label_id);

	if (value->pending || label == NULL ||
		KEY_ADDRESS_KIND(value->header.address) != KEY_SUBJECT ||
		KEY_ADDRESS_GROUP(value->header.address) != label->group)
		return NULL;
	return label;
}

/*
 * Seals a base value for the subject with this number; one of a searchable type
 * with its token under the token key with token_number.  Raises PU015 if the
 * subject was shredded, and what keyring_derive() raises.
 */
Datum
sealed_seal(const SealedType *type, Datum base, const SealedLabel *label, uint64 number,
			uint64 token_number)
{
	EnvelopeHeader header = {
		.suite = ENVELOPE_SUITE_AES256GCM,
		.address = KEY_ADDRESS(KEY_SUBJECT, number, label->group),
		.label_id = label->id,
	};
	bytea	   *plain = sealedtype_to_bytes(type, base);
	size_t		len = VARSIZE_ANY_EXHDR(plain);
	char	   *payload = VARDATA_ANY(plain);
	const uint8 *key;
	int			pad = label->label->pad > 0 ? label->label->pad : type->pad;

	if (label->label->keep != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("retention class \"%s\" does not exist", label->label->keep),
				 errhint("Seal the value under a label without \"keep\".")));
	rewound_require_not();
	key = key_unless_shredded(&header, label);
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SUBJECT_SHREDDED),
				 errmsg("the keys of this data subject were shredded"),
				 errhint("purpose.readmit() gives the subject new keys, if it is right to keep data of the person again.")));
	if (pad > 1)
	{
		size_t		padded = (len / pad + 1) * pad;
		char	   *copy = palloc0(padded);

		memcpy(copy, payload, len);
		copy[len] = (char) 0x80;
		payload = copy;
		len = padded;
		header.flags |= ENVELOPE_FLAG_PADDED;
	}
	if (type->searchable)
	{
		header.flags |= ENVELOPE_FLAG_SEARCHABLE;
		header.token_number = token_number;
		sealedtoken_make(type, base, token_number, header.token);
	}
	return encrypt(key, &header, label, type, payload, len);
}

static bool
label_permits(const Session *session, const SealedLabel *label)
{
	JudgedLabel *judged = &judged_labels[label->id % lengthof(judged_labels)];

	if (judged->stamp != session->stamp || judged->label_id != label->id)
	{
		List	   *labels = list_make1(unconstify(Label *, label->label));
		DecisionRequest request = {.session = session, .sealed = true, .labels = labels};
		uint64		stamp = session->stamp;

		judged->permitted = decision_make(&request).verdict == DECISION_ALLOW;
		judged->label_id = label->id;
		judged->stamp = stamp;
		list_free(labels);
	}
	return judged->permitted;
}

/*
 * Does the session's purpose satisfy the label?
 */
bool
sealed_label_permits(const SealedLabel *label)
{
	return label_permits(session_current(), label);
}

/*
 * Does the person behind a number permit the session's purpose?  A number
 * whose subject this database does not know permits nothing that a person
 * could forbid.
 */
static bool
subject_permits(const Session *session, uint64 number)
{
	NumberVerdict *entry;
	TimestampTz now;
	SubjectConsent consent = {.state = CONSENT_NONE, .restricted = true, .until = DT_NOEND};
	DecisionRequest request = {.session = session, .sealed = true, .consent = &consent};
	SubjectName owner;
	bool		found;

	if (nobody_asked && verdicts_stamp == session->stamp)
		return true;
	now = clock_now();
	entry = verdicts_lookup(verdicts, number);
	if (entry != NULL && now < entry->until)
		return entry->permitted;
	if (subjectnumber_owner(number, &owner))
	{
		consent_lookup(owner.table, owner.key, request.session->purpose, now, &consent);
		pfree(owner.key);
	}
	entry = verdicts_insert(verdicts, number, &found);
	entry->permitted = decision_make(&request).verdict == DECISION_ALLOW;
	entry->until = consent.until;
	return entry->permitted;
}

/*
 * Opens a value.  Returns false if that is not permitted now, or never again.
 * Raises PU012 for a value that is damaged, PU014 for one that was never
 * sealed, 42501 for an envelope that somebody typed in, and what
 * keyring_derive() raises.
 */
bool
sealed_open(const SealedType *type, Datum datum, Datum *base)
{
	SealedValue value = sealed_look(datum);
	const Session *session;
	const SealedLabel *label;
	const uint8 *key;

	if (value.pending)
	{
		*base = open_pending(type, &value);
		return true;
	}
	if (value.claimed)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("a sealed value that was given as text is not opened"),
				 errhint("Roles that may execute purpose.accept_envelope() can have envelopes opened.")));
	if (!guc_preloaded || catalog_oids() == NULL)
		return false;
	if (!latched)
		latch();
	session = session_current();
	if (session->status != PURPOSE_USABLE)
		return false;
	rewound_require_not();
	label = label_of(&value);
	if (label == NULL)
		refuse_invalid();
	if (!label_permits(session, label) ||
		!subject_permits(session, KEY_ADDRESS_NUMBER(value.header.address)))
		return false;
	key = key_unless_shredded(&value.header, label);
	if (key == NULL)
		return false;
	sealedlog_plaintext_at_hand();
	if (!decrypt(key, &value, label, type, base))
		refuse_invalid();
	return true;
}

/*
 * Returns a value of a searchable type with its token under another key.  It
 * is opened for that whoever asks; one whose keys were shredded gets a token
 * that is equal to none.
 */
Datum
sealed_retoken(const SealedType *type, Datum datum, uint64 token_number)
{
	SealedValue value = sealed_look(datum);
	const SealedLabel *label = sealedlabel_by_id(value.header.label_id);
	const uint8 *key;
	Datum		base;
	bytea	   *dead;

	if (label == NULL)
		refuse_invalid();
	key = key_unless_shredded(&value.header, label);
	if (key != NULL)
	{
		if (!decrypt(key, &value, label, type, &base))
			refuse_invalid();
		return sealed_seal(type, base, label, KEY_ADDRESS_NUMBER(value.header.address),
						   token_number);
	}
	dead = palloc(VARHDRSZ + value.len);
	SET_VARSIZE(dead, VARHDRSZ + value.len);
	memcpy(VARDATA(dead), value.bytes, value.len);
	value.header.token_number = token_number;
	secret_random(value.header.token, ENVELOPE_TOKEN_LEN);
	envelope_print_header(&value.header, (uint8 *) VARDATA(dead));
	return PointerGetDatum(dead);
}

/*
 * Is this a value that its own key opens, whoever may see it?  false also where
 * the key was shredded, or the label is not known here.  Raises what
 * keyring_derive() raises.
 */
bool
sealed_verify(const SealedType *type, Datum datum)
{
	SealedValue value = sealed_look(datum);
	const SealedLabel *label = label_of(&value);
	const uint8 *key = label != NULL ? key_unless_shredded(&value.header, label) : NULL;
	Datum		base;

	if (key == NULL)
		return false;
	return decrypt(key, &value, label, type, &base);
}

/*
 * Returns the key of a value that is sealed, whoever may open it, or NULL if it
 * was shredded.  Raises PU012 for a value that no label of this database
 * belongs to.
 */
static const uint8 *
key_of_anyone(const SealedValue *value, const SealedLabel **label)
{
	*label = label_of(value);
	if (*label == NULL)
		refuse_invalid();
	return key_unless_shredded(&value->header, *label);
}

/*
 * Was the value's key shredded?
 */
bool
sealed_is_shredded(Datum datum)
{
	SealedValue value = sealed_look(datum);
	const SealedLabel *label;

	return key_of_anyone(&value, &label) == NULL;
}

/*
 * Is this base value what was sealed?  It is compared byte by byte, whatever
 * the session may open, and no more than the answer comes out.  A value whose
 * key was shredded holds nothing.
 */
bool
sealed_holds(const SealedType *type, Datum datum, Datum base)
{
	SealedValue value = sealed_look(datum);
	const SealedLabel *label;
	const uint8 *key = key_of_anyone(&value, &label);
	bytea	   *expected = sealedtype_to_bytes(type, base);
	bytea	   *plain;
	bool		same;

	if (key == NULL)
		return false;
	plain = decrypt_bytes(key, &value, label, type);
	if (plain == NULL)
		refuse_invalid();
	same = VARSIZE_ANY_EXHDR(plain) == VARSIZE_ANY_EXHDR(expected) &&
		memcmp(VARDATA_ANY(plain), VARDATA_ANY(expected), VARSIZE_ANY_EXHDR(plain)) == 0;
	pfree(plain);
	return same;
}

/*
 * Can values be sealed under the label for the subject with this number?  Not
 * after a shred.
 */
bool
sealed_can_seal(const SealedLabel *label, uint64 number)
{
	EnvelopeHeader header = {
		.suite = ENVELOPE_SUITE_AES256GCM,
		.address = KEY_ADDRESS(KEY_SUBJECT, number, label->group),
		.label_id = label->id,
	};

	return key_unless_shredded(&header, label) != NULL;
}

/*
 * Orders two values by their envelopes.
 */
int
sealed_compare_envelopes(const SealedValue *a, const SealedValue *b)
{
	size_t		len = Min(a->len, b->len);
	int			order = memcmp(a->bytes + 2, b->bytes + 2, len - 2);

	return order != 0 ? order : a->len < b->len ? -1 : a->len > b->len;
}
