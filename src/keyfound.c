/*
 * keyfound.c
 *		New keyrings: with a tree of their own, or as a fork of another one.
 *
 * Root keys and trees are drawn here and nowhere else, but for the roots of the
 * puncture cycle.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "errcodes.h"
#include "keyclaim.h"
#include "keyfound.h"
#include "keyload.h"
#include "keynumber.h"
#include "keyring.h"
#include "stopevent.h"

/* What the objects of a new keyring are made of. */
typedef struct Foundation
{
	KeyringRef	ref;
	uint64		version;		/* of its first state */
	uint64		end;			/* numbers below are given out */
	KeyringRef *parent;			/* NULL: none */
	KeyProvider *parent_provider;
} Foundation;

/* ----------
 * The first state
 * ----------
 */

/*
 * A state with a new tree, under the root.
 */
static uint8 *
seal_planted(Foundation *foundation, const uint8 tree[SECRET_KEY_LEN],
			 const uint8 root[SECRET_KEY_LEN], size_t *len)
{
	dsa_pointer at;
	size_t		size;
	KeyCover   *cover = keyload_allocate_cover(1, &at, &size);
	uint8	   *sealed = NULL;

	PG_TRY();
	{
		keytree_plant(cover, tree);
		sealed = keyload_seal_state(&foundation->ref, foundation->version, keyclaim_lease,
									root, cover, len);
	}
	PG_FINALLY();
	{
		keysegment_free(at, size);
	}
	PG_END_TRY();
	return sealed;
}

/*
 * A state with the keys of the parent for the numbers that are given out, and a
 * new tree for the others, under the root.  What is copied is under a lease that
 * runs: see keyfork.c.
 */
static uint8 *
seal_forked(Foundation *foundation, const uint8 tree[SECRET_KEY_LEN],
			const uint8 root[SECRET_KEY_LEN], size_t *len)
{
	KeyringRef *parent = foundation->parent;
	dsa_pointer at = InvalidDsaPointer;
	size_t		size = 0;
	uint8	   *volatile sealed = NULL;
	KeySlot    *slot;

	do
	{
		CHECK_FOR_INTERRUPTS();
		keyload_state(foundation->parent_provider, parent);
	} while (!keyring_lock_current(parent));
	slot = parent->slot;
	foundation->version = slot->version;
	PG_TRY();
	{
		const KeyCover *old = keysegment_address(slot->cover);
		uint32		nodes = keytree_fork_count(old, foundation->end);
		KeyCover   *cover = keyload_allocate_cover(nodes, &at, &size);

		keytree_fork(old, foundation->end, tree, cover);
		sealed = keyload_seal_state(&foundation->ref, foundation->version,
									Max(slot->lease_ms, slot->prior_lease_ms), root, cover, len);
	}
	PG_FINALLY();
	{
		keysegment_free(at, size);
	}
	PG_END_TRY();
	keysegment_unlock(parent);
	return sealed;
}

/* ----------
 * Founding
 * ----------
 */

static void
store(KeyProvider *provider, KeyObjectKind kind, uint64 version, const void *data, size_t len)
{
	if (keyprovider_store(provider, kind, version, 1, data, len) != KEYPROVIDER_DONE)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("the keyring could not be stored"),
				 errhint("See the warnings; then try again.")));
}

/*
 * Draws the id.
 */
static void
begin(Foundation *foundation)
{
	uint8	   *keyring = foundation->ref.keyring;

	if (!keysegment_ready())
		(void) keyring_require();
	PreventCommandDuringRecovery("purpose.create_keyring()");

	/* A version 4 UUID: random, and of no more use than any name. */
	foundation->ref.database = MyDatabaseId;
	secret_random(keyring, KEYRING_ID_LEN);
	keyring[6] = (keyring[6] & 0x0F) | 0x40;
	keyring[8] = (keyring[8] & 0x3F) | 0x80;
}

/*
 * Makes the keyring.
 */
static void
found(Foundation *foundation)
{
	KeyProvider *provider = keyprovider_open(keyprovider_setting, foundation->ref.keyring);
	uint8		tree[SECRET_KEY_LEN];
	uint8		secret[SECRET_KEY_LEN];

	PG_TRY();
	{
		uint8	   *sealed;
		size_t		len;

		secret_random(tree, sizeof(tree));
		secret_random(secret, sizeof(secret));
		sealed = foundation->parent == NULL ? seal_planted(foundation, tree, secret, &len) :
			seal_forked(foundation, tree, secret, &len);
		keyclaim_found(provider, &foundation->ref);
		keynumber_found(provider, &foundation->ref, foundation->end);
		store(provider, KEYOBJECT_ROOT, foundation->version, secret, sizeof(secret));
		store(provider, KEYOBJECT_STATE, foundation->version, sealed, len);
		secret_random(secret, sizeof(secret));
		store(provider, KEYOBJECT_JOURNAL_KEY, 1, secret, sizeof(secret));
	}
	PG_FINALLY();
	{
		secret_wipe(tree, sizeof(tree));
		secret_wipe(secret, sizeof(secret));
	}
	PG_END_TRY();
	keyprovider_close(provider);
}

void
keyfound_plant(uint8 keyring[KEYRING_ID_LEN])
{
	Foundation	foundation = {.version = 1};

	begin(&foundation);
	found(&foundation);
	memcpy(keyring, foundation.ref.keyring, KEYRING_ID_LEN);
}

void
keyfound_fork(KeyringRef *parent, List *ancestors, KeyFork *fork)
{
	Foundation	foundation = {.parent = parent};
	KeyProvider *provider = keyprovider_open(keyprovider_setting, parent->keyring);
	ListCell   *lc;

	begin(&foundation);
	keyload_state(provider, parent);
	keysegment_lock(parent, LW_SHARED);
	fork->version = parent->slot->version;
	keysegment_unlock(parent);
	memcpy(fork->keyring, foundation.ref.keyring, KEYRING_ID_LEN);
	fork->end = keynumber_read_end(provider, parent->keyring);
	fork->made_at = clock_now();
	fork->made_by = psprintf("%s, database %s", keyclaim_instance_name(),
							 get_database_name(MyDatabaseId));
	keyfork_record(provider, parent->keyring, fork);
	foreach(lc, ancestors)
	{
		KeyFork    *ancestor = lfirst(lc);
		KeyFork		record = *fork;
		KeyProvider *other = keyprovider_open_known(keyprovider_setting, ancestor->keyring);

		record.version = ancestor->version;
		record.end = ancestor->end;
		keyfork_record(other, ancestor->keyring, &record);
		keyprovider_close(other);
	}

	stopevent_reach("key_fork_recorded");
	foundation.end = fork->end;
	foundation.parent_provider = provider;
	found(&foundation);
	fork->version = foundation.version;
	keyprovider_close(provider);
}
