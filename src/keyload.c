/*
 * keyload.c
 *		From the provider into shared memory and back: the newest state of a
 *		keyring.
 *
 * Invariants:
 * - A state whose root was destroyed is never loaded, nor one that is older
 *	 than what this server has loaded before.
 * - A state that cannot be decrypted is refused.  Nothing here makes a new one
 *	 in its place.
 * - The lease counts from before the provider was asked: whoever destroyed the
 *	 root meanwhile knows when the last reader is gone.
 * - Keys are decrypted into secret memory only, and between its allocation and
 *	 its release nothing waits and nothing can be cancelled.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "keyclaim.h"
#include "keyload.h"
#include "keynumber.h"
#include "keystate.h"
#include "secret.h"

/* How often to look again when the keyring changes while it is being read. */
#define ATTEMPTS	5

/* A refined cover may take this part of the memory more than the cover does. */
#define FAST_SHARE	16

#define FIRST_SUBJECT	KEY_ADDRESS(KEY_SUBJECT, 0, 0)

typedef struct FoundState
{
	uint64		version;
	bool		loaded;			/* it is in the slot already */
	KeyStateHeader header;
	uint8		root[SECRET_KEY_LEN];
	uint8	   *sealed;
	size_t		len;
} FoundState;

compat_noreturn static void
refuse_state(uint64 version, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg("version %llu of the keyring cannot be used", (unsigned long long) version),
			 errdetail("%s", what),
			 errhint("%s", hint)));
}

/*
 * Fetches the newest state that has a root, but not the state that is loaded.
 * Returns false if the keyring changed meanwhile.
 */
static bool
find_state(KeyProvider *provider, KeyringRef *ref, FoundState *found)
{
	List	   *versions;
	uint64		known;
	bool		have;
	uint8	   *root = NULL;
	size_t		root_len = 0;
	int			i;

	keysegment_lock(ref, LW_SHARED);
	known = ref->slot->version;
	have = DsaPointerIsValid(ref->slot->cover);
	keysegment_unlock(ref);

	switch (keyprovider_list(provider, KEYOBJECT_STATE, &versions))
	{
		case KEYPROVIDER_DONE:
			break;
		case KEYPROVIDER_ABSENT:
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_UNAVAILABLE),
					 errmsg("the key provider does not know this database's keyring"),
					 errhint("Let purpose.keyring name the place where the keyring was created.")));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_UNAVAILABLE),
					 errmsg("the keyring cannot be reached"),
					 errhint("See the warnings, and SELECT * FROM purpose.check_keyring().")));
	}

	for (i = list_length(versions) - 1; i >= 0; i--)
	{
		KeyProviderResult result;

		found->version = *(uint64 *) list_nth(versions, i);
		result = keyprovider_fetch(provider, KEYOBJECT_ROOT, found->version, &root, &root_len);
		if (result == KEYPROVIDER_DONE)
			break;
		/* Destroyed: what is left of a cycle. */
		if (result != KEYPROVIDER_ABSENT && result != KEYPROVIDER_PENDING)
			refuse_state(found->version, "Its root cannot be read.",
						 "See the warnings, and SELECT * FROM purpose.check_keyring().");
	}
	if (i < 0)
		return false;

	if (root_len == SECRET_KEY_LEN)
		memcpy(found->root, root, SECRET_KEY_LEN);
	secret_wipe(root, root_len);
	if (root_len != SECRET_KEY_LEN)
		refuse_state(found->version, "Its root has not the length of a key.",
					 "Restore it from a mirror; see SELECT * FROM purpose.check_keyring().");
	if (found->version < known)
		refuse_state(found->version, "This server has used a newer one.",
					 "The key provider was put back to an earlier moment, which undoes erasures.  Bring its newest content back.");

	found->loaded = have && found->version == known;
	if (found->loaded)
		return true;

	switch (keyprovider_fetch(provider, KEYOBJECT_STATE, found->version,
							  &found->sealed, &found->len))
	{
		case KEYPROVIDER_DONE:
			break;
		case KEYPROVIDER_ABSENT:
			return false;
		default:
			refuse_state(found->version, "It cannot be read.",
						 "See the warnings, and SELECT * FROM purpose.check_keyring().");
	}
	if (!keystate_parse(found->sealed, found->len, &found->header) ||
		memcmp(found->header.keyring, ref->keyring, KEYRING_ID_LEN) != 0 ||
		found->header.version != found->version)
		refuse_state(found->version, "It is not a state of this keyring.",
					 "Restore it from a mirror; see SELECT * FROM purpose.check_keyring().");
	return true;
}

/*
 * Secret memory.  Raises PU011 if there is no room.
 */
static void *
allocate(size_t size, dsa_pointer *at)
{
	void	   *memory = keysegment_allocate(size, at);

	if (memory == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the keyring does not fit into memory"),
				 errhint("Raise purpose.keyring_memory and restart the server.")));
	return memory;
}

KeyCover *
keyload_allocate_cover(uint32 nodes, dsa_pointer *at, size_t *size)
{
	*size = keytree_cover_size(nodes);
	return allocate(*size, at);
}

/*
 * Decrypts a state into a new cover.  Raises PU011; keeps nothing then.
 */
static void
open_state(const FoundState *found, dsa_pointer *at, size_t *size)
{
	size_t		len = found->len - KEYSTATE_OVERHEAD;
	dsa_pointer plain_at;
	uint8	   *plain = allocate(len, &plain_at);

	*at = InvalidDsaPointer;
	*size = 0;
	PG_TRY();
	{
		uint32		nodes;

		if (!keystate_open(found->sealed, found->len, found->root, plain))
			refuse_state(found->version, "Its root does not open it: one of them was changed, or is another keyring's.",
						 "Restore both from a mirror; see SELECT * FROM purpose.check_keyring().");
		if (!keytree_deserialised_nodes(plain, len, &nodes) ||
			!keytree_deserialise(plain, len, keyload_allocate_cover(nodes, at, size)))
			refuse_state(found->version, "It holds no cover.",
						 "It may be of a later version of pg_purpose.");
	}
	PG_CATCH();
	{
		keysegment_free(plain_at, len);
		keysegment_free(*at, *size);
		PG_RE_THROW();
	}
	PG_END_TRY();
	keysegment_free(plain_at, len);
}

/*
 * Makes a state the one that this server uses, unless it has a newer one.
 */
static void
install_state(KeyringRef *ref, const FoundState *found, dsa_pointer at, size_t size,
			  uint64 started)
{
	KeySlot    *slot;

	keysegment_lock(ref, LW_EXCLUSIVE);
	slot = ref->slot;
	if (slot->version > found->version ||
		(slot->version == found->version && DsaPointerIsValid(slot->cover)))
		keysegment_free(at, size);	/* another process was quicker */
	else
	{
		keysegment_wipe_cover(slot);
		slot->cover = at;
		slot->cover_size = size;
		slot->version = found->version;
		slot->lease_ms = found->header.lease_ms;
		slot->prior_lease_ms = found->header.prior_lease_ms;
		keysegment_advance_generation();
	}
	if (slot->version == found->version)
		pg_atomic_write_u64(&slot->lease_until,
							Max(pg_atomic_read_u64(&slot->lease_until), started + slot->lease_ms));
	keysegment_unlock(ref);
}

/*
 * Lets the lease of what is loaded begin anew.  Returns false if it is not
 * loaded any more.
 */
static bool
extend_lease(KeyringRef *ref, uint64 version, uint64 started)
{
	bool		loaded;

	keysegment_lock(ref, LW_EXCLUSIVE);
	loaded = ref->slot->version == version && DsaPointerIsValid(ref->slot->cover);
	if (loaded)
		pg_atomic_write_u64(&ref->slot->lease_until,
							Max(pg_atomic_read_u64(&ref->slot->lease_until),
								started + ref->slot->lease_ms));
	keysegment_unlock(ref);
	return loaded;
}

/*
 * Loads what is newest at this moment.  Returns false if that changed meanwhile.
 */
static bool
try_load(KeyProvider *provider, KeyringRef *ref)
{
	uint64		started = clock_elapsed_ms();
	uint64		claimed_end = keynumber_read_end(provider, ref->keyring);
	FoundState	found = {0};
	volatile bool done = false;

	keysegment_lock(ref, LW_EXCLUSIVE);
	ref->slot->claimed_end = Max(ref->slot->claimed_end, claimed_end);
	keysegment_unlock(ref);

	PG_TRY();
	{
		if (!find_state(provider, ref, &found))
			 /* it changes just now */ ;
		else if (found.loaded)
			done = extend_lease(ref, found.version, started);
		else
		{
			dsa_pointer at;
			size_t		size;

			HOLD_INTERRUPTS();
			open_state(&found, &at, &size);
			install_state(ref, &found, at, size, started);
			RESUME_INTERRUPTS();
			done = true;
		}
	}
	PG_FINALLY();
	{
		secret_wipe(found.root, sizeof(found.root));
	}
	PG_END_TRY();
	if (found.sealed != NULL)
		pfree(found.sealed);
	return done;
}

/*
 * The level down to which nodes for the subjects' numbers below `end` fit into
 * a share of the memory; -1 if nothing is gained.
 */
static pg_noinline int
choose_level(const KeyCover *cover, uint64 end)
{
	size_t		used;
	size_t		total;
	uint64		last = KEY_ADDRESS(KEY_SUBJECT, end - 1, 0xFFFF);

	keysegment_memory(&used, &total);
	for (int level = KEYTREE_FAST_LEVEL; level > 0; level--)
	{
		uint32		nodes = keytree_refine_count(cover, FIRST_SUBJECT, last, level);

		if (keytree_cover_size(nodes - keytree_cover_nodes(cover)) <= total / FAST_SHARE)
			return level;
	}
	return -1;
}

/*
 * Refines a cover for the numbers below `end`.  Returns false where there is no
 * room for that.
 */
static bool
make_fast(const KeyCover *cover, uint64 end, dsa_pointer *at, size_t *size)
{
	uint64		last = KEY_ADDRESS(KEY_SUBJECT, end - 1, 0xFFFF);
	int			level = choose_level(cover, end);
	KeyCover   *fast;

	if (level < 0)
		return false;
	*size = keytree_cover_size(keytree_refine_count(cover, FIRST_SUBJECT, last, level));
	fast = keysegment_allocate(*size, at);
	if (fast == NULL)
		return false;
	PG_TRY();
	{
		keytree_refine(cover, FIRST_SUBJECT, last, level, fast);
	}
	PG_CATCH();
	{
		keysegment_free(*at, *size);
		PG_RE_THROW();
	}
	PG_END_TRY();
	return true;
}

/*
 * Makes the refined cover, from which keys of the numbers that are given out
 * derive in few steps.
 */
static void
refine(KeyringRef *ref)
{
	dsa_pointer at;
	size_t		size;
	uint64		version;
	uint64		end;
	KeySlot    *slot;
	bool		made;

	keysegment_lock(ref, LW_SHARED);
	slot = ref->slot;
	version = slot->version;
	end = slot->claimed_end;
	made = DsaPointerIsValid(slot->cover) && slot->fast_end < end &&
		make_fast(keysegment_address(slot->cover), end, &at, &size);
	keysegment_unlock(ref);
	if (!made)
		return;

	keysegment_lock(ref, LW_EXCLUSIVE);
	slot = ref->slot;
	if (slot->version == version && DsaPointerIsValid(slot->cover) && slot->fast_end < end)
	{
		keysegment_free(slot->fast, slot->fast_size);
		slot->fast = at;
		slot->fast_size = size;
		slot->fast_end = end;
	}
	else
		keysegment_free(at, size);
	keysegment_unlock(ref);
}

void
keyload_state(KeyProvider *provider, KeyringRef *ref)
{
	for (int i = 0; i < ATTEMPTS; i++)
	{
		if (try_load(provider, ref))
		{
			refine(ref);
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg("the keyring has no state that can be used"),
			 errdetail("The roots of all its states are missing or destroyed."),
			 errhint("Bring the newest content of the key provider back from a mirror.  See SELECT * FROM purpose.check_keyring().")));
}

uint8 *
keyload_seal_state(const KeyringRef *ref, uint64 version, uint32 prior_lease_ms,
				   const uint8 root[SECRET_KEY_LEN], const KeyCover *cover, size_t *len)
{
	KeyStateHeader header = {
		.version = version, .lease_ms = keyclaim_lease, .prior_lease_ms = prior_lease_ms
	};
	size_t		plain_len = keytree_serialised_size(keytree_cover_nodes(cover));
	uint8	   *sealed = MemoryContextAllocHuge(CurrentMemoryContext,
												plain_len + KEYSTATE_OVERHEAD);
	dsa_pointer at;
	uint8	   *plain = allocate(plain_len, &at);

	memcpy(header.keyring, ref->keyring, KEYRING_ID_LEN);
	PG_TRY();
	{
		keytree_serialise(cover, plain);
		keystate_seal(&header, root, plain, plain_len, sealed);
	}
	PG_FINALLY();
	{
		keysegment_free(at, plain_len);
	}
	PG_END_TRY();
	*len = plain_len + KEYSTATE_OVERHEAD;
	return sealed;
}
