/*
 * keynumber.c
 *		Which numbers of a keyring are given out.
 *
 * Numbers name data subjects, epochs and generations of tokens.  Extents of
 * them are claimed from the provider by compare-and-swap; numbers are drawn from
 * memory.
 *
 * A number is given out once: an extent belongs to the postmaster that stored
 * it, and what is left of it is lost with that postmaster.
 */
#include "postgres.h"

#include "clock.h"
#include "errcodes.h"
#include "keybytes.h"
#include "keyclaim.h"
#include "keynumber.h"

#define EXTENTS_MAGIC		"PGPEXTNT"
#define EXTENTS_FORMAT		1
#define EXTENTS_LEN			44

/* How often to try again when another process was quicker. */
#define ATTEMPTS			5

/*
 * Reads the highest extents.  Raises PU011.
 */
static uint64
read_extents(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN], uint64 *version,
			 List **versions)
{
	uint8	   *data = NULL;
	size_t		len;

	if (keyprovider_fetch_highest(provider, KEYOBJECT_EXTENTS, versions, version, &data, &len) != KEYPROVIDER_DONE)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the keyring's record of numbers could not be read"),
				 errhint("See the warnings, and SELECT * FROM purpose.check_keyring().")));
	if (len != EXTENTS_LEN || memcmp(data, EXTENTS_MAGIC, 8) != 0 ||
		keybytes_get16(data + 8) != EXTENTS_FORMAT ||
		memcmp(data + 12, keyring, KEYRING_ID_LEN) != 0 ||
		keybytes_get64(data + 28) > KEY_NUMBER_MAX + 1)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("extents.%llu of the keyring cannot be read", (unsigned long long) *version),
				 errhint("It may belong to another keyring, or to a later version of pg_purpose.")));
	return keybytes_get64(data + 28);
}

uint64
keynumber_read_end(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN])
{
	uint64		version;
	List	   *versions;

	return read_extents(provider, keyring, &version, &versions);
}

static KeyProviderResult
store_extents(KeyProvider *provider, KeyringRef *ref, uint64 version, uint64 end, uint64 fence)
{
	uint8		bytes[EXTENTS_LEN] = {0};

	memcpy(bytes, EXTENTS_MAGIC, 8);
	keybytes_put16(bytes + 8, EXTENTS_FORMAT);
	memcpy(bytes + 12, ref->keyring, KEYRING_ID_LEN);
	keybytes_put64(bytes + 28, end);
	keybytes_put64(bytes + 36, fence);
	return keyprovider_store(provider, KEYOBJECT_EXTENTS, version, fence, bytes, EXTENTS_LEN);
}

void
keynumber_found(KeyProvider *provider, KeyringRef *ref, uint64 end)
{
	if (store_extents(provider, ref, 1, end, 1) != KEYPROVIDER_DONE)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the keyring could not be stored"),
				 errhint("See the warnings; then try again.")));
}

/*
 * Claims the next extent.  Of two instances that try at once, the provider lets
 * one store the version; the other looks again, or is fenced.
 */
static void
claim_extent(KeyProvider *provider, KeyringRef *ref, uint64 fence)
{
	for (int i = 0; i < ATTEMPTS; i++)
	{
		uint64		version;
		List	   *versions;
		uint64		begin = read_extents(provider, ref->keyring, &version, &versions);

		if (begin > KEY_NUMBER_MAX + 1 - KEYNUMBER_EXTENT)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("the keyring has no numbers left"),
					 errhint("A new keyring has: see purpose.fork_keyring().")));
		switch (store_extents(provider, ref, version + 1, begin + KEYNUMBER_EXTENT, fence))
		{
			case KEYPROVIDER_DONE:
				keysegment_lock(ref, LW_EXCLUSIVE);
				/* 0 is no number, so that it can stand for none. */
				ref->slot->next_number = Max(begin, 1);
				ref->slot->end_number = begin + KEYNUMBER_EXTENT;
				ref->slot->claimed_end = Max(ref->slot->claimed_end, ref->slot->end_number);
				keysegment_unlock(ref);
				keyprovider_remove(provider, KEYOBJECT_EXTENTS, versions, fence);
				return;
			case KEYPROVIDER_EXISTS:
				continue;
			case KEYPROVIDER_FENCED:
				keyclaim_refuse(KEYCLAIM_OTHER);
				break;
			default:
				i = ATTEMPTS;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg("numbers could not be claimed from the keyring"),
			 errhint("See the warnings, and SELECT * FROM purpose.check_keyring().")));
}

static bool
next_number(KeySlot *slot, uint64 *number)
{
	bool		drawn = slot->next_number < slot->end_number;

	if (drawn)
		*number = slot->next_number++;
	return drawn;
}

bool
keynumber_draw_quickly(KeyringRef *ref, uint64 *number)
{
	bool		drawn;

	keysegment_lock(ref, LW_EXCLUSIVE);
	drawn = ref->slot->standing == KEYCLAIM_HELD && ref->slot->claim_until > clock_elapsed_ms() &&
		next_number(ref->slot, number);
	keysegment_unlock(ref);
	return drawn;
}

uint64
keynumber_draw(KeyProvider *provider, KeyringRef *ref)
{
	KeyClaimStanding standing = keyclaim_refresh(provider, ref, false);
	uint64		number;
	uint64		fence;
	bool		drawn;

	if (standing != KEYCLAIM_HELD && standing != KEYCLAIM_UNKNOWN)
		keyclaim_refuse(standing);

	/*
	 * While the provider is silent what is left of the extent can be used: it
	 * belongs to this postmaster, whoever holds the claim.
	 */
	keysegment_lock(ref, LW_EXCLUSIVE);
	drawn = next_number(ref->slot, &number);
	keysegment_unlock(ref);
	if (drawn)
		return number;
	if (standing == KEYCLAIM_UNKNOWN)
		keyclaim_refuse(standing);

	if (!keyclaim_held(ref, &fence))
		keyclaim_refuse(KEYCLAIM_UNKNOWN);
	claim_extent(provider, ref, fence);
	keysegment_lock(ref, LW_EXCLUSIVE);
	drawn = next_number(ref->slot, &number);
	keysegment_unlock(ref);
	if (!drawn)
		elog(ERROR, "extent of numbers is empty");
	return number;
}
