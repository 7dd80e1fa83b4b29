/*
 * keyclaim.c
 *		Who may change a keyring.
 *
 * A keyring may be in reach of several instances: standbys, restored backups,
 * test clones, copies of the database.  All may read it; the one that holds
 * the claim changes it.  The claim is an object at the provider, replaced by
 * compare-and-swap, with a lease that its holder renews.
 *
 * Invariants:
 * - Nobody takes a claim whose lease runs.  Clocks of two machines are never
 *	 compared: a lease has lapsed for an instance when it saw, by its own clock,
 *	 the same version of the claim for longer than the lease.
 * - The holder stops a tenth before its lease ends, counted from before it
 *	 began to renew.
 * - Whatever else goes wrong with clocks, each new holder has a higher fencing
 *	 token, and a provider refuses changes under a lower one than it has seen.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "clock.h"
#include "errcodes.h"
#include "kdf.h"
#include "keybytes.h"
#include "keyclaim.h"

#define CLAIM_MAGIC			"PGPCLAIM"
#define CLAIM_FORMAT		1
#define CLAIM_RELEASED		0x1
#define CLAIM_LEN			112
#define CLAIM_NAME_MAX		512

/* How often to try again when another process was quicker. */
#define ATTEMPTS			5

int			keyclaim_lease = 30000;
bool		keyclaim_on_promotion = false;

void
keyclaim_init(void)
{
	DefineCustomIntVariable("purpose.key_lease",
							"How long keys may be used after the keyring was read.",
							"A shred is final when the leases of all who may have read the keyring before have lapsed.",
							&keyclaim_lease,
							30000, 100, 3600 * 1000,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("purpose.claim_on_promotion",
							 "A promoted standby takes the claim of the keyring by itself.",
							 "Only when the lease of the old primary has lapsed.",
							 &keyclaim_on_promotion,
							 false,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);
}

/* ----------
 * Who is this instance?
 * ----------
 */

/* Reads a short file of the system; returns its length, 0 if there is none. */
static size_t
read_system_file(const char *path, char *buffer, size_t size)
{
	FILE	   *file = AllocateFile(path, PG_BINARY_R);
	size_t		len;

	if (file == NULL)
		return 0;
	len = fread(buffer, 1, size, file);
	FreeFile(file);
	return len;
}

/*
 * A machine, a data directory on it, a database in that: a copy of any of them
 * differs.
 */
static void
identify_holder(Oid database, uint8 holder[KEYCLAIM_HOLDER_LEN])
{
	static const char domain[] = "pg_purpose holder v1";
	uint8		bytes[sizeof(domain) + 256 + 20] = {0};
	char		machine[256] = "";
	struct stat st;

	if (read_system_file("/etc/machine-id", machine, sizeof(machine)) == 0 &&
		gethostname(machine, sizeof(machine) - 1) != 0)
		strlcpy(machine, "unknown", sizeof(machine));
	if (stat(DataDir, &st) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat the data directory: %m")));
	memcpy(bytes, domain, sizeof(domain));
	memcpy(bytes + sizeof(domain), machine, sizeof(machine));
	keybytes_put64(bytes + sizeof(domain) + 256, st.st_dev);
	keybytes_put64(bytes + sizeof(domain) + 264, st.st_ino);
	keybytes_put32(bytes + sizeof(domain) + 272, database);
	kdf_hash(bytes, sizeof(bytes), holder);
}

/*
 * The time since the machine started.  On the same machine, in the same boot,
 * PostgreSQL lets one postmaster into a data directory: an earlier one is
 * dead.  False if it cannot be known.
 */
static bool
identify_boot(uint8 boot[KEYCLAIM_BOOT_LEN])
{
	char		id[64];
	size_t		len = read_system_file("/proc/sys/kernel/random/boot_id", id, sizeof(id));
	uint8		hash[KDF_HASH_LEN];

	memset(boot, 0, KEYCLAIM_BOOT_LEN);
	if (len == 0)
		return false;
	kdf_hash(id, len, hash);
	memcpy(boot, hash, KEYCLAIM_BOOT_LEN);
	return true;
}

char *
keyclaim_instance_name(void)
{
	char		host[256] = "";

	(void) gethostname(host, sizeof(host) - 1);
	return psprintf("%s:%s", host, DataDir);
}

/*
 * Whoever can write to the provider chose these bytes.
 */
char *
keyclaim_printable(const char *name, size_t len)
{
	char	   *result = pnstrdup(name, len);
	bool		valid = pg_verifymbstr(result, strlen(result), true);

	for (char *c = result; *c != '\0'; c++)
	{
		if ((uint8) *c < 0x20 || *c == 0x7F || (!valid && IS_HIGHBIT_SET(*c)))
			*c = '?';
	}
	return result;
}

/* ----------
 * The claim
 * ----------
 */

static bool
parse_claim(const uint8 *bytes, size_t len, const uint8 keyring[KEYRING_ID_LEN], KeyClaim *claim)
{
	if (len < CLAIM_LEN || len > CLAIM_LEN + CLAIM_NAME_MAX ||
		memcmp(bytes, CLAIM_MAGIC, 8) != 0 ||
		keybytes_get16(bytes + 8) != CLAIM_FORMAT ||
		memcmp(bytes + 12, keyring, KEYRING_ID_LEN) != 0)
		return false;
	claim->released = (keybytes_get16(bytes + 10) & CLAIM_RELEASED) != 0;
	claim->fence = keybytes_get64(bytes + 28);
	claim->lease_ms = keybytes_get32(bytes + 36);
	memcpy(claim->holder, bytes + 40, KEYCLAIM_HOLDER_LEN);
	memcpy(claim->nonce, bytes + 72, KEYSEGMENT_NONCE_LEN);
	memcpy(claim->boot, bytes + 88, KEYCLAIM_BOOT_LEN);
	claim->written_at = (TimestampTz) keybytes_get64(bytes + 104);
	claim->holder_name = keyclaim_printable((const char *) bytes + CLAIM_LEN, len - CLAIM_LEN);
	return true;
}

static KeyProviderResult
read_claim(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN], KeyClaim *claim,
		   List **versions)
{
	KeyProviderResult result;
	uint8	   *data;
	size_t		len;

	result = keyprovider_fetch_highest(provider, KEYOBJECT_CLAIM, versions, &claim->version, &data,
									   &len);
	if (result != KEYPROVIDER_DONE)
		return result == KEYPROVIDER_ABSENT ? result : KEYPROVIDER_UNKNOWN;
	if (parse_claim(data, len, keyring, claim))
		return KEYPROVIDER_DONE;
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("claim.%llu of the keyring cannot be read", (unsigned long long) claim->version),
			 errhint("It may belong to another keyring, or to a later version of pg_purpose.")));
	return KEYPROVIDER_UNKNOWN;
}

KeyProviderResult
keyclaim_read(KeyProvider *provider, const uint8 keyring[KEYRING_ID_LEN], KeyClaim *claim)
{
	List	   *versions;

	return read_claim(provider, keyring, claim, &versions);
}

/*
 * Stores a claim of this instance as the version given.
 */
static KeyProviderResult
store_claim(KeyProvider *provider, KeyringRef *ref, uint64 version, uint64 fence,
			uint32 lease_ms, bool released)
{
	uint8		bytes[CLAIM_LEN + CLAIM_NAME_MAX] = {0};
	char	   *name = keyclaim_instance_name();
	size_t		name_len = Min(strlen(name), CLAIM_NAME_MAX);

	memcpy(bytes, CLAIM_MAGIC, 8);
	keybytes_put16(bytes + 8, CLAIM_FORMAT);
	keybytes_put16(bytes + 10, released ? CLAIM_RELEASED : 0);
	memcpy(bytes + 12, ref->keyring, KEYRING_ID_LEN);
	keybytes_put64(bytes + 28, fence);
	keybytes_put32(bytes + 36, lease_ms);
	identify_holder(ref->database, bytes + 40);
	memcpy(bytes + 72, keysegment_nonce(), KEYSEGMENT_NONCE_LEN);
	(void) identify_boot(bytes + 88);
	keybytes_put64(bytes + 104, (uint64) GetCurrentTimestamp());
	memcpy(bytes + CLAIM_LEN, name, name_len);
	return keyprovider_store(provider, KEYOBJECT_CLAIM, version, fence, bytes,
							 CLAIM_LEN + name_len);
}

/* Notes what was learnt, unless something newer was meanwhile. */
static void
note_standing(KeyringRef *ref, KeyClaimStanding standing, uint64 version, uint64 until,
			  uint64 fence)
{
	keysegment_lock(ref, LW_EXCLUSIVE);
	if (version >= ref->slot->claim_version)
	{
		if (version > ref->slot->claim_version)
		{
			ref->slot->claim_version = version;
			ref->slot->claim_seen_at = clock_elapsed_ms();
		}
		ref->slot->standing = standing;
		ref->slot->was_held |= standing == KEYCLAIM_HELD;
		ref->slot->claim_until = until;
		ref->slot->fence = fence;
	}
	keysegment_unlock(ref);
}

/*
 * Has this version of the claim been there, unchanged, for longer than its
 * lease?
 */
static bool
has_lapsed(KeyringRef *ref, const KeyClaim *claim)
{
	bool		lapsed;

	keysegment_lock(ref, LW_SHARED);
	lapsed = ref->slot->claim_version == claim->version &&
		clock_elapsed_ms() - ref->slot->claim_seen_at > (uint64) claim->lease_ms + claim->lease_ms / 10;
	keysegment_unlock(ref);
	return lapsed;
}

/* Whose claim is it, seen from here? */
typedef enum
{
	CLAIM_THIS_POSTMASTER,
	CLAIM_THIS_INSTANCE_FREE,	/* and its postmaster is gone for sure */
	CLAIM_THIS_INSTANCE,
	CLAIM_OTHER_FREE,
	CLAIM_OTHER
} ClaimOwner;

bool
keyclaim_is_own(Oid database, const KeyClaim *claim)
{
	uint8		holder[KEYCLAIM_HOLDER_LEN];

	identify_holder(database, holder);
	return memcmp(claim->holder, holder, sizeof(holder)) == 0;
}

static ClaimOwner
judge_owner(KeyringRef *ref, const KeyClaim *claim)
{
	uint8		boot[KEYCLAIM_BOOT_LEN];
	bool		free = claim->released || has_lapsed(ref, claim);

	if (!keyclaim_is_own(ref->database, claim))
		return free ? CLAIM_OTHER_FREE : CLAIM_OTHER;
	if (memcmp(claim->nonce, keysegment_nonce(), KEYSEGMENT_NONCE_LEN) == 0)
		return claim->released ? CLAIM_THIS_INSTANCE_FREE : CLAIM_THIS_POSTMASTER;
	if (identify_boot(boot) && memcmp(claim->boot, boot, sizeof(boot)) == 0)
		free = true;
	return free ? CLAIM_THIS_INSTANCE_FREE : CLAIM_THIS_INSTANCE;
}

/*
 * Reads the claim, and renews or takes it where that is right: `take_other`
 * says whether that of another instance may be taken once it is free.
 */
static KeyClaimStanding
try_claim(KeyProvider *provider, KeyringRef *ref, bool take_other)
{
	uint32		lease = keyclaim_lease;

	for (int i = 0; i < ATTEMPTS; i++)
	{
		uint64		started = clock_elapsed_ms();
		KeyClaimStanding standing;
		KeyClaim	claim;
		List	   *versions;
		uint64		fence;

		switch (read_claim(provider, ref->keyring, &claim, &versions))
		{
			case KEYPROVIDER_DONE:
				break;
			case KEYPROVIDER_ABSENT:
				return KEYCLAIM_NONE;
			default:
				return KEYCLAIM_UNKNOWN;
		}

		switch (judge_owner(ref, &claim))
		{
			case CLAIM_THIS_POSTMASTER:
				standing = KEYCLAIM_HELD;
				fence = claim.fence;
				break;
			case CLAIM_THIS_INSTANCE_FREE:
				standing = KEYCLAIM_HELD;
				fence = claim.fence + 1;
				break;
			case CLAIM_OTHER_FREE:
				standing = take_other ? KEYCLAIM_HELD :
					claim.released ? KEYCLAIM_NONE : KEYCLAIM_OTHER;
				fence = claim.fence + 1;
				break;
			case CLAIM_THIS_INSTANCE:
				standing = KEYCLAIM_WAITING;
				fence = 0;
				break;
			default:
				standing = KEYCLAIM_OTHER;
				fence = 0;
		}
		if (standing == KEYCLAIM_HELD && RecoveryInProgress())
			standing = claim.released ? KEYCLAIM_NONE : KEYCLAIM_OTHER;
		if (standing != KEYCLAIM_HELD)
		{
			note_standing(ref, standing, claim.version, 0, 0);
			return standing;
		}

		switch (store_claim(provider, ref, claim.version + 1, fence, lease, false))
		{
			case KEYPROVIDER_DONE:
				note_standing(ref, KEYCLAIM_HELD, claim.version + 1,
							  started + lease - lease / 10, fence);
				keyprovider_remove(provider, KEYOBJECT_CLAIM, versions, fence);
				return KEYCLAIM_HELD;
			case KEYPROVIDER_EXISTS:
				continue;		/* somebody else was quicker: who? */
			case KEYPROVIDER_FENCED:
				note_standing(ref, KEYCLAIM_OTHER, claim.version, 0, 0);
				return KEYCLAIM_OTHER;
			default:
				return KEYCLAIM_UNKNOWN;
		}
	}
	return KEYCLAIM_UNKNOWN;
}

KeyClaimStanding
keyclaim_refresh(KeyProvider *provider, KeyringRef *ref, bool force)
{
	KeyClaimStanding standing;
	uint64		now = clock_elapsed_ms();
	bool		held;
	bool		fresh;
	bool		promoted;

	keysegment_lock(ref, LW_SHARED);
	held = ref->slot->standing == KEYCLAIM_HELD && ref->slot->claim_until > now;
	fresh = held && ref->slot->claim_until - now > keyclaim_lease / 2;
	/* Once: who has taken it from a server that was promoted keeps it. */
	promoted = keyclaim_on_promotion && keysegment_was_standby() && !ref->slot->was_held;
	keysegment_unlock(ref);
	if (fresh && !force)
		return KEYCLAIM_HELD;

	standing = try_claim(provider, ref, promoted);

	/* A silent provider takes nothing away before its time. */
	if (standing == KEYCLAIM_UNKNOWN && held)
		return KEYCLAIM_HELD;
	if (standing == KEYCLAIM_UNKNOWN || standing == KEYCLAIM_NONE)
	{
		keysegment_lock(ref, LW_EXCLUSIVE);
		if (ref->slot->standing != KEYCLAIM_HELD || ref->slot->claim_until <= clock_elapsed_ms())
			ref->slot->standing = standing;
		keysegment_unlock(ref);
	}
	return standing;
}

bool
keyclaim_held(KeyringRef *ref, uint64 *fence)
{
	bool		held;

	keysegment_lock(ref, LW_SHARED);
	held = ref->slot->standing == KEYCLAIM_HELD && ref->slot->claim_until > clock_elapsed_ms();
	*fence = ref->slot->fence;
	keysegment_unlock(ref);
	return held;
}

void
keyclaim_refuse(KeyClaimStanding standing)
{
	switch (standing)
	{
		case KEYCLAIM_WAITING:
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_NOT_CLAIMED),
					 errmsg("the keyring is still claimed by an earlier start of this server"),
					 errhint("Its lease must lapse, within purpose.key_lease.  Try again then.")));
			break;
		case KEYCLAIM_NONE:
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_NOT_CLAIMED),
					 errmsg("nobody holds the claim of the keyring"),
					 errhint("If this is the server that shall change the keyring, run SELECT purpose.claim_keyring().")));
			break;
		case KEYCLAIM_UNKNOWN:
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_UNAVAILABLE),
					 errmsg("the claim of the keyring could not be read or renewed"),
					 errhint("See the warnings, and SELECT * FROM purpose.check_keyring().")));
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_NOT_CLAIMED),
					 errmsg("another instance holds the claim of the keyring"),
					 errhint("SELECT * FROM purpose.keyring_status says which.  If that one is gone for good, run SELECT purpose.claim_keyring() here; for a test clone, purpose.fork_keyring().")));
	}
	pg_unreachable();
}

void
keyclaim_take(KeyProvider *provider, KeyringRef *ref)
{
	uint64		first_version = 0;

	for (;;)
	{
		KeyClaim	claim;
		KeyClaimStanding standing = try_claim(provider, ref, true);

		if (standing == KEYCLAIM_HELD)
			return;
		if (standing == KEYCLAIM_UNKNOWN || standing == KEYCLAIM_NONE ||
			keyclaim_read(provider, ref->keyring, &claim) != KEYPROVIDER_DONE)
			keyclaim_refuse(KEYCLAIM_UNKNOWN);

		/* A holder that renews its claim is alive. */
		if (first_version != 0 && claim.version != first_version && !claim.released)
			ereport(ERROR,
					(errcode(ERRCODE_KEYRING_NOT_CLAIMED),
					 errmsg("the claim of the keyring is in use"),
					 errdetail("Its holder is %s.", claim.holder_name),
					 errhint("Stop that server first, or wait until its lease has lapsed.")));
		first_version = claim.version;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(500, claim.lease_ms / 4 + 10), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
keyclaim_found(KeyProvider *provider, KeyringRef *ref)
{
	uint64		started = clock_elapsed_ms();
	uint32		lease = keyclaim_lease;

	if (store_claim(provider, ref, 1, 1, lease, false) != KEYPROVIDER_DONE)
		keyclaim_refuse(KEYCLAIM_UNKNOWN);

	/* Not before: the launcher would look after the claim while it is stored. */
	keysegment_reserve(ref);
	note_standing(ref, KEYCLAIM_HELD, 1,
				  started + lease - lease / 10, 1);
}

void
keyclaim_release(KeyProvider *provider, KeyringRef *ref)
{
	KeyClaim	claim;
	List	   *versions;

	if (read_claim(provider, ref->keyring, &claim, &versions) != KEYPROVIDER_DONE ||
		judge_owner(ref, &claim) != CLAIM_THIS_POSTMASTER)
		return;
	if (store_claim(provider, ref, claim.version + 1, claim.fence, claim.lease_ms, true) !=
		KEYPROVIDER_DONE)
		return;
	note_standing(ref, KEYCLAIM_NONE, claim.version + 1, 0, 0);
	keyprovider_remove(provider, KEYOBJECT_CLAIM, versions, claim.fence);
}
