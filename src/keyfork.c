/*
 * keyfork.c
 *		Copies of a keyring that go their own way.
 *
 * A fork that keeps values has keys of the keyring that it was made from.  What
 * that one punctures later it keeps, so a receipt that is to be believed has to
 * name it.  Hence:
 *
 *	1	who makes a fork stores a record with the keyring that is copied
 *	2	then copies its state, under a lease of its own (keyfound.c)
 *	3	the worker there, before it marks a receipt, but after the leases on older
 *		states have lapsed, reads the records
 *
 * A copy that has the keys of a receipt was made under a lease on an older state,
 * so before 3; its record before that.  A record without a fork, of a transaction
 * that rolled back, does no harm.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "clock.h"
#include "compat.h"
#include "errcodes.h"
#include "keybytes.h"
#include "keyclaim.h"
#include "keycycle.h"
#include "keyfork.h"
#include "keystate.h"

#define MAGIC		"PGPFORKS"
#define FORMAT		1
#define FORK_LEN	68
#define NAME_MAX_LEN	512

/* How often to try again when another instance was quicker. */
#define ATTEMPTS	5

/* ----------
 * Records
 * ----------
 */

static uint8 *
print_fork(const KeyFork *fork, const uint8 of[KEYRING_ID_LEN], size_t *len)
{
	size_t		name_len = Min(strlen(fork->made_by), NAME_MAX_LEN);
	uint8	   *bytes = palloc0(FORK_LEN + name_len);

	memcpy(bytes, MAGIC, 8);
	keybytes_put16(bytes + 8, FORMAT);
	memcpy(bytes + 12, of, KEYRING_ID_LEN);
	memcpy(bytes + 28, fork->keyring, KEYRING_ID_LEN);
	keybytes_put64(bytes + 44, fork->version);
	keybytes_put64(bytes + 52, fork->end);
	keybytes_put64(bytes + 60, (uint64) fork->made_at);
	memcpy(bytes + FORK_LEN, fork->made_by, name_len);
	*len = FORK_LEN + name_len;
	return bytes;
}

static bool
parse_fork(const uint8 *bytes, size_t len, const uint8 of[KEYRING_ID_LEN], KeyFork *fork)
{
	if (len < FORK_LEN || len > FORK_LEN + NAME_MAX_LEN ||
		memcmp(bytes, MAGIC, 8) != 0 || keybytes_get16(bytes + 8) != FORMAT ||
		memcmp(bytes + 12, of, KEYRING_ID_LEN) != 0)
		return false;
	memcpy(fork->keyring, bytes + 28, KEYRING_ID_LEN);
	fork->version = keybytes_get64(bytes + 44);
	fork->end = keybytes_get64(bytes + 52);
	fork->made_at = (TimestampTz) keybytes_get64(bytes + 60);
	fork->made_by = keyclaim_printable((const char *) bytes + FORK_LEN, len - FORK_LEN);
	return fork->version <= KEYOBJECT_VERSION_MAX && fork->end <= KEY_NUMBER_MAX + 1 &&
		IS_VALID_TIMESTAMP(fork->made_at);
}

compat_noreturn static void
refuse(const char *message)
{
	ereport(ERROR,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg_internal("%s", message),
			 errhint("See the warnings, and SELECT * FROM purpose.check_keyring().")));
}

void
keyfork_record(KeyProvider *provider, const uint8 of[KEYRING_ID_LEN], const KeyFork *fork)
{
	size_t		len;
	uint8	   *bytes = print_fork(fork, of, &len);

	for (int i = 0; i < ATTEMPTS; i++)
	{
		KeyClaim	claim;
		uint64		highest;
		KeyProviderResult result;

		/* Who holds the claim does not matter, but a lower token is fenced. */
		if (keyclaim_read(provider, of, &claim) != KEYPROVIDER_DONE ||
			keyprovider_highest(provider, KEYOBJECT_FORK, &highest) != KEYPROVIDER_DONE)
			break;
		result = keyprovider_store(provider, KEYOBJECT_FORK, highest + 1, claim.fence, bytes, len);
		if (result == KEYPROVIDER_DONE)
			return;
		if (result != KEYPROVIDER_EXISTS && result != KEYPROVIDER_FENCED)
			break;
	}
	refuse("a fork could not be recorded with the keyring that it would be made from");
}

static KeyFork *
read_fork(KeyProvider *provider, const uint8 of[KEYRING_ID_LEN], uint64 version, uint64 fence)
{
	KeyFork    *fork = palloc(sizeof(KeyFork));
	uint8	   *data;
	size_t		len;

	switch (keyprovider_fetch(provider, KEYOBJECT_FORK, version, &data, &len))
	{
		case KEYPROVIDER_DONE:
			break;
		case KEYPROVIDER_ABSENT:
			return NULL;
		default:
			refuse(psprintf("fork.%llu of the keyring cannot be read",
							(unsigned long long) version));
	}
	if (!parse_fork(data, len, of, fork))
		refuse(psprintf("fork.%llu of the keyring is no record of a fork",
						(unsigned long long) version));
	if (fence != 0 &&
		keyprovider_status(provider, KEYOBJECT_FORK, version) == KEYPROVIDER_EXISTS)
		(void) keyprovider_store(provider, KEYOBJECT_FORK, version, fence, data, len);
	return fork;
}

List *
keyfork_list(KeyProvider *provider, const uint8 of[KEYRING_ID_LEN], uint64 fence)
{
	List	   *versions;
	List	   *forks = NIL;
	ListCell   *lc;

	if (keyprovider_remaining(provider, KEYOBJECT_FORK, &versions) != KEYPROVIDER_DONE)
		refuse("the forks of the keyring cannot be listed");
	foreach(lc, versions)
	{
		KeyFork    *fork = read_fork(provider, of, *(uint64 *) lfirst(lc), fence);

		if (fork != NULL)
			forks = lappend(forks, fork);
	}
	return forks;
}

void
keyfork_forget(KeyProvider *provider, const uint8 of[KEYRING_ID_LEN],
			   const uint8 id[KEYRING_ID_LEN], uint64 fence)
{
	List	   *versions;
	ListCell   *lc;

	if (keyprovider_remaining(provider, KEYOBJECT_FORK, &versions) != KEYPROVIDER_DONE)
		return;
	foreach(lc, versions)
	{
		KeyFork    *fork = read_fork(provider, of, *(uint64 *) lfirst(lc), 0);

		if (fork != NULL && memcmp(fork->keyring, id, KEYRING_ID_LEN) == 0)
			(void) keyprovider_destroy(provider, KEYOBJECT_FORK, *(uint64 *) lfirst(lc), fence);
	}
}

/* ----------
 * The end of a fork
 * ----------
 */

/*
 * For how long the states of a keyring may be used by who has read them.
 */
static uint64
longest_lease(KeyProvider *provider)
{
	List	   *versions;
	ListCell   *lc;
	uint64		longest = 0;

	if (keyprovider_list(provider, KEYOBJECT_STATE, &versions) != KEYPROVIDER_DONE)
		refuse("the states of the fork cannot be listed");
	foreach(lc, versions)
	{
		uint8	   *data;
		size_t		len;
		KeyStateHeader header;
		KeyProviderResult result = keyprovider_fetch(provider, KEYOBJECT_STATE,
													 *(uint64 *) lfirst(lc), &data, &len);

		if (result == KEYPROVIDER_ABSENT)
			continue;
		if (result != KEYPROVIDER_DONE || !keystate_parse(data, len, &header))
			refuse("the states of the fork cannot be read");
		longest = Max(longest, Max(header.lease_ms, header.prior_lease_ms));
		pfree(data);
	}
	return longest;
}

/* Waits, and can be cancelled. */
static void
wait_until(uint64 at)
{
	uint64		now;

	while ((now = clock_elapsed_ms()) < at)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 (long) (at - now), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

bool
keyfork_destroy(KeyringRef *fork)
{
	KeyProvider *provider = keyprovider_open_known(keyprovider_setting, fork->keyring);
	List	   *versions;
	KeyClaim	claim;
	uint64		lease;
	uint64		fence;
	KeyProviderResult result = keyprovider_list(provider, KEYOBJECT_ROOT, &versions);

	/* A program does not say that it knows nothing of a keyring. */
	if (result == KEYPROVIDER_DONE && versions == NIL)
		result = keyclaim_read(provider, fork->keyring, &claim);
	if (result == KEYPROVIDER_ABSENT)
		return false;
	if (result != KEYPROVIDER_DONE)
		refuse("the fork cannot be reached");
	keysegment_reserve(fork);
	keyclaim_take(provider, fork);
	if (!keyclaim_held(fork, &fence))
		keyclaim_refuse(KEYCLAIM_UNKNOWN);

	/* States go last: they say how long to wait, to a second attempt, too. */
	lease = longest_lease(provider);
	keycycle_destroy_roots(provider, 0, fence);
	if (keyprovider_remaining(provider, KEYOBJECT_ROOT, &versions) != KEYPROVIDER_DONE ||
		versions != NIL)
		refuse("the roots of the fork are not gone yet");
	wait_until(clock_elapsed_ms() + lease + lease / 100 + 10);
	keycycle_destroy_states(provider, 0, fence);
	(void) keyprovider_destroy(provider, KEYOBJECT_JOURNAL_KEY, 1, fence);
	keyprovider_close(provider);
	return true;
}
