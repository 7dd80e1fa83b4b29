/*
 * keycycle.c
 *		The provider's side of the puncture cycle.
 *
 * The states of a keyring are numbered.  From v to w, higher than any number
 * seen before:
 *
 *	1	points are chosen: their shreds are committed and flushed (worker.c)
 *	2	root.w is stored on all mirrors, and read back
 *	3	state.w, punctured, is stored on all mirrors, read back, and loaded
 *	4	root.v is destroyed on all mirrors, then state.v removed
 *	5	when all leases on v have lapsed, receipts are marked (worker.c)
 *
 * A crash leaves one of these, which keycycle_recover() tells apart:
 *
 *	root.w, no state.w			destroys root.w; v counts
 *	root.w, state.w, root.v		w counts; goes on with 4
 *	root.w, state.w, state.v	the same: root.v was destroyed
 *	state.w, no root.w			that root was being destroyed; removes state.w
 *
 * Only one process of one instance runs this: the worker of the database that
 * holds the claim.  What is stored and destroyed carries the fencing token.
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "clock.h"
#include "errcodes.h"
#include "keyclaim.h"
#include "keycycle.h"
#include "keyload.h"
#include "secret.h"
#include "stopevent.h"

/* A cycle under way. */
typedef struct Cycle
{
	KeyProvider *provider;
	KeyringRef *ref;
	uint64		fence;
	uint64		version;		/* that it makes */
	const KeyPoint *points;
	int			npoints;
} Cycle;

/*
 * Raises what a provider's answer means for the cycle, unless it did what it
 * was asked.
 */
static void
require(KeyProviderResult result, const char *deed, const char *object, uint64 version)
{
	if (result == KEYPROVIDER_DONE)
		return;
	if (result == KEYPROVIDER_FENCED)
		keyclaim_refuse(KEYCLAIM_OTHER);
	ereport(ERROR,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg("%s.%llu of the keyring could not be %s", object,
					(unsigned long long) version, deed),
			 errdetail("The key provider answered: %s.", keyprovider_result_name(result)),
			 errhint("It is tried again.  See the warnings, and SELECT * FROM purpose.check_keyring().")));
}

static List *
list_versions(KeyProvider *provider, KeyObjectKind kind)
{
	List	   *versions;

	if (keyprovider_list(provider, kind, &versions) != KEYPROVIDER_DONE)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the keyring cannot be reached"),
				 errhint("It is tried again.  See the warnings, and SELECT * FROM purpose.check_keyring().")));
	return versions;
}

static uint64
loaded_version(KeyringRef *ref)
{
	uint64		version;

	keysegment_lock(ref, LW_SHARED);
	version = ref->slot->version;
	keysegment_unlock(ref);
	return version;
}

void
keycycle_destroy_roots(KeyProvider *provider, uint64 keep, uint64 fence)
{
	ListCell   *lc;

	foreach(lc, list_versions(provider, KEYOBJECT_ROOT))
	{
		uint64		version = *(uint64 *) lfirst(lc);
		KeyProviderResult result;

		if (version == keep)
			continue;
		result = keyprovider_destroy(provider, KEYOBJECT_ROOT, version, fence);
		if (result != KEYPROVIDER_PENDING)
			require(result, "destroyed", "root", version);
	}
}

void
keycycle_destroy_states(KeyProvider *provider, uint64 keep, uint64 fence)
{
	ListCell   *lc;

	foreach(lc, list_versions(provider, KEYOBJECT_STATE))
	{
		uint64		version = *(uint64 *) lfirst(lc);

		if (version != keep)
			require(keyprovider_destroy(provider, KEYOBJECT_STATE, version, fence),
					"removed", "state", version);
	}
}

/*
 * What is left to do when a version is the one that counts.
 */
static void
destroy_others(KeyProvider *provider, uint64 keep, uint64 fence)
{
	keycycle_destroy_roots(provider, keep, fence);
	stopevent_reach("key_cycle_root_destroyed");
	keycycle_destroy_states(provider, keep, fence);
	stopevent_reach("key_cycle_state_removed");
}

/*
 * Notes that all states below `version` are gone since now: their readers'
 * leases lapse one after the other.  Clocks of different machines may run
 * differently fast, hence the hundredth.
 */
static void
note_retirement(KeyringRef *ref, uint64 version)
{
	KeySlot    *slot;
	KeyRetirement *last;

	keysegment_lock(ref, LW_EXCLUSIVE);
	slot = ref->slot;
	/* The last one waits longer if there is no room for all. */
	if (slot->nretiring < KEYSEGMENT_RETIRING)
		slot->nretiring++;
	last = &slot->retiring[slot->nretiring - 1];
	last->version = version;
	last->at = clock_elapsed_ms() + slot->prior_lease_ms + slot->prior_lease_ms / 100 + 10;
	keysegment_unlock(ref);
}

/* Moves what has lapsed from `retiring` to `retired`.  Lock held, exclusive. */
static void
retire_lapsed(KeySlot *slot)
{
	uint64		now = clock_elapsed_ms();
	int			lapsed = 0;

	while (lapsed < slot->nretiring && slot->retiring[lapsed].at <= now)
		lapsed++;
	if (lapsed == 0)
		return;
	slot->retired = slot->retiring[lapsed - 1].version;
	slot->nretiring -= lapsed;
	memmove(slot->retiring, slot->retiring + lapsed, slot->nretiring * sizeof(KeyRetirement));
}

bool
keycycle_unfinished(KeyProvider *provider, KeyringRef *ref)
{
	List	   *remaining;

	return list_length(list_versions(provider, KEYOBJECT_ROOT)) != 1 ||
		list_length(list_versions(provider, KEYOBJECT_STATE)) != 1 ||
		(keyprovider_remaining(provider, KEYOBJECT_ROOT, &remaining) == KEYPROVIDER_DONE &&
		 list_length(remaining) != 1);
}

void
keycycle_recover(KeyProvider *provider, KeyringRef *ref, uint64 fence)
{
	uint64		version;

	keyload_state(provider, ref);
	version = loaded_version(ref);
	if (keycycle_unfinished(provider, ref))
	{
		destroy_others(provider, version, fence);
		require(keyprovider_repair(provider, fence), "completed", "state", version);
	}
}

KeyPoint *
keycycle_points(KeyKind kind, ArrayType *numbers, ArrayType *groups, int *npoints)
{
	Datum	   *number;
	Datum	   *group = NULL;
	int			nnumbers;
	int			ngroups = 1;
	KeyPoint   *points;

	deconstruct_array(numbers, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &number, NULL, &nnumbers);
	if (groups != NULL)
		deconstruct_array(groups, INT4OID, sizeof(int32), true, TYPALIGN_INT,
						  &group, NULL, &ngroups);
	points = palloc(sizeof(KeyPoint) * (nnumbers * ngroups + 1));
	*npoints = 0;
	for (int i = 0; i < nnumbers; i++)
	{
		for (int j = 0; j < ngroups; j++)
		{
			KeyPoint   *point = &points[(*npoints)++];

			point->address = KEY_ADDRESS(kind, DatumGetInt64(number[i]) & KEY_NUMBER_MAX,
										 group == NULL ? 0 : (uint16) DatumGetInt32(group[j]));
			point->level = group == NULL ? KEYTREE_NUMBER_LEVEL : KEYTREE_DEPTH;
		}
	}
	return points;
}

/* Locks the keyring, shared, with its state loaded. */
static void
lock_cover(KeyProvider *provider, KeyringRef *ref)
{
	keysegment_lock(ref, LW_SHARED);
	while (!DsaPointerIsValid(ref->slot->cover))
	{
		keysegment_unlock(ref);
		keyload_state(provider, ref);
		keysegment_lock(ref, LW_SHARED);
	}
}

int
keycycle_unpunctured(KeyProvider *provider, KeyringRef *ref, KeyPoint *points, int npoints)
{
	int			n = 0;
	const KeyCover *cover;

	lock_cover(provider, ref);
	cover = keysegment_address(ref->slot->cover);
	for (int i = 0; i < npoints; i++)
	{
		if (!keytree_punctured(cover, &points[i]))
			points[n++] = points[i];
	}
	keysegment_unlock(ref);
	return n;
}

/*
 * The loaded state without the points, under the new root.  That takes no
 * lease: nothing is derived.
 */
static uint8 *
seal_punctured(const Cycle *cycle, const uint8 root[SECRET_KEY_LEN], size_t *len)
{
	KeyringRef *ref = cycle->ref;
	dsa_pointer at = InvalidDsaPointer;
	size_t		size = 0;
	uint8	   *volatile sealed = NULL;
	uint32		prior_lease;
	KeySlot    *slot;

	lock_cover(cycle->provider, ref);
	slot = ref->slot;
	prior_lease = slot->lease_ms;
	if (slot->nretiring > 0 || slot->retired != slot->version)
		prior_lease = Max(prior_lease, slot->prior_lease_ms);
	PG_TRY();
	{
		const KeyCover *old = keysegment_address(slot->cover);
		uint32		nodes = keytree_puncture_count(old, cycle->points, cycle->npoints);
		KeyCover   *cover = keyload_allocate_cover(nodes, &at, &size);

		keytree_puncture(old, cycle->points, cycle->npoints, cover);
		sealed = keyload_seal_state(ref, cycle->version, prior_lease, root, cover, len);
	}
	PG_FINALLY();
	{
		keysegment_free(at, size);
	}
	PG_END_TRY();
	keysegment_unlock(ref);
	return sealed;
}

/*
 * Steps 2 and 3, with a root that is nowhere else than on the caller's stack.
 */
static void
store_under(const Cycle *cycle, const uint8 root[SECRET_KEY_LEN])
{
	uint8	   *sealed;
	size_t		len;

	require(keyprovider_store(cycle->provider, KEYOBJECT_ROOT, cycle->version, cycle->fence,
							  root, SECRET_KEY_LEN),
			"stored", "root", cycle->version);
	stopevent_reach("key_cycle_root_stored");
	sealed = seal_punctured(cycle, root, &len);
	require(keyprovider_store(cycle->provider, KEYOBJECT_STATE, cycle->version, cycle->fence,
							  sealed, len),
			"stored", "state", cycle->version);
	pfree(sealed);
	stopevent_reach("key_cycle_state_stored");
}

uint64
keycycle_run(KeyProvider *provider, KeyringRef *ref, uint64 fence, const KeyPoint *points,
			 int npoints)
{
	Cycle		cycle = {
		.provider = provider, .ref = ref, .fence = fence, .points = points, .npoints = npoints
	};
	uint64		version = loaded_version(ref);
	uint64		highest_root;
	uint64		highest_state;
	uint8		root[SECRET_KEY_LEN];

	if (keyprovider_highest(provider, KEYOBJECT_ROOT, &highest_root) != KEYPROVIDER_DONE ||
		keyprovider_highest(provider, KEYOBJECT_STATE, &highest_state) != KEYPROVIDER_DONE)
		require(KEYPROVIDER_UNKNOWN, "found", "root", version);
	cycle.version = Max(version, Max(highest_root, highest_state)) + 1;
	stopevent_reach("key_cycle_planned");

	PG_TRY();
	{
		secret_random(root, sizeof(root));
		store_under(&cycle, root);
	}
	PG_FINALLY();
	{
		secret_wipe(root, sizeof(root));
	}
	PG_END_TRY();

	keyload_state(provider, ref);
	if (loaded_version(ref) != cycle.version)
		require(KEYPROVIDER_UNKNOWN, "loaded", "state", cycle.version);
	stopevent_reach("key_cycle_loaded");

	destroy_others(provider, cycle.version, fence);
	note_retirement(ref, cycle.version);
	return cycle.version;
}

uint64
keycycle_retired(KeyProvider *provider, KeyringRef *ref, uint64 *again_at)
{
	List	   *remaining;
	uint64		retired;
	KeySlot    *slot;
	uint64		version;
	bool		noted;

	/* After a restart nobody knows when a state was destroyed: now, then. */
	keysegment_lock(ref, LW_SHARED);
	slot = ref->slot;
	version = slot->version;
	noted = slot->retired == version ||
		(slot->nretiring > 0 && slot->retiring[slot->nretiring - 1].version == version);
	keysegment_unlock(ref);

	if (keyprovider_remaining(provider, KEYOBJECT_ROOT, &remaining) != KEYPROVIDER_DONE)
		require(KEYPROVIDER_UNKNOWN, "asked for", "root", version);
	if (!noted)
		note_retirement(ref, version);

	keysegment_lock(ref, LW_EXCLUSIVE);
	slot = ref->slot;
	retire_lapsed(slot);
	retired = slot->retired;
	*again_at = slot->nretiring > 0 ? slot->retiring[0].at : 0;
	keysegment_unlock(ref);

	/* Below the lowest root that is still there. */
	if (remaining != NIL)
		retired = Min(retired, *(uint64 *) linitial(remaining));
	return retired;
}
