/*
 * secret.c
 *		Memory and random numbers for secrets, and when they are wiped.
 *
 * Memory that is made here is mapped directly, never part of a memory context:
 * MemoryContextStats, palloc's reuse and a core dump do not reach it.  It is
 * never unmapped; whoever owns it wipes what it holds.
 *
 * - Both kinds are left out of core dumps.  A kernel that cannot do that is an
 *   error, not a warning: a dump of a key is as bad as a backup of it.
 * - Private memory reads as zeros after fork(), so that no child inherits a
 *   key or a nonce.  That is an error too where it cannot be had.
 * - Locking in memory is tried and may fail, because it depends on a limit
 *   (RLIMIT_MEMLOCK) that most systems set lower than what we ask for.
 *
 * Keys that code above leaves in a cipher's context or in private memory, to be
 * faster at the next value, go at the end of the transaction, whether it
 * committed or failed.  Outside a transaction nothing would call for that, so
 * there they must not be left at all.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"

#include "errcodes.h"
#include "secret.h"

#define MAX_WIPERS	8

static void (*wipers[MAX_WIPERS]) (void);
static int	nwipers = 0;

static void
call_wipers(void)
{
	for (int i = 0; i < nwipers; i++)
		wipers[i] ();
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			call_wipers();
			break;
		default:
			break;
	}
}

static void
end_of_subtransaction(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		call_wipers();
}

/*
 * Called once from _PG_init, before what uses it.
 */
void
secret_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
}

void
secret_wipe_at_end(void (*wipe) (void))
{
	if (nwipers == MAX_WIPERS)
		elog(ERROR, "too many wipers");
	wipers[nwipers++] = wipe;
}

/*
 * Overwrites memory in a way that no compiler leaves out.
 */
void
secret_wipe(void *secret, size_t len)
{
	OPENSSL_cleanse(secret, len);
}

/*
 * Compares in a time that depends on the length only.
 */
bool
secret_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

/*
 * Fills out with random bytes that are fit for keys.
 */
void
secret_random(void *out, size_t len)
{
	if (len > INT_MAX || RAND_priv_bytes(out, (int) len) != 1)
	{
		secret_wipe(out, len);
		secret_library_failed("draw random numbers");
	}
}

/*
 * Maps memory of at least len bytes, zeroed, with these flags, and gives it
 * this advice besides staying out of core dumps.  Reports at level if it cannot
 * be locked.
 */
static void *
map_memory(size_t len, int flags, int advice, int level)
{
	size_t		page = sysconf(_SC_PAGESIZE);
	void	   *memory;

	len = TYPEALIGN(page, len);
	memory = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not map %zu bytes for keys: %m", len),
				 errhint("Free some memory, or lower purpose.keyring_memory.")));
	if (madvise(memory, len, MADV_DONTDUMP) != 0 ||
		(advice != 0 && madvise(memory, len, advice) != 0))
	{
		int			error = errno;

		munmap(memory, len);
		errno = error;
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not protect memory for keys: %m"),
				 errhint("pg_purpose needs a kernel that leaves memory out of core dumps and empties it in child processes: Linux 4.14 or later.")));
	}
	/* On fault only: the whole of a large mapping is rarely used. */
	if (mlock2(memory, len, MLOCK_ONFAULT) != 0)
		ereport(level,
				(errmsg("memory for keys cannot be locked, so it may be swapped out: %m"),
				 errhint("Raise the server's limit on locked memory (RLIMIT_MEMLOCK), or encrypt or disable swap.")));
	return memory;
}

/*
 * Returns memory of this process alone: locked where permitted, in no core
 * dump, zeros after fork().
 */
void *
secret_private_memory(size_t len)
{
	return map_memory(len, MAP_PRIVATE, MADV_WIPEONFORK, DEBUG1);
}

/*
 * Returns memory that this process, which must be the postmaster (or alone),
 * shares with the children that it forks from now on.  Pages are taken when
 * they are first written, so asking for much costs little.
 */
void *
secret_shared_memory(size_t len)
{
	Assert(!IsUnderPostmaster);
	return map_memory(len, MAP_SHARED | MAP_NORESERVE, 0, LOG);
}

/*
 * Returns why libcrypto failed last, and forgets it.  The reason is one of its
 * fixed texts; what OpenSSL appends to them, which may be data, is left out.
 */
const char *
secret_library_error(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);

	ERR_clear_error();
	return reason != NULL ? reason : "unknown reason";
}

/*
 * Raises the error that libcrypto could not do something.  All secrets must
 * have been wiped, but for those that the end of the transaction wipes.
 */
void
secret_library_failed(const char *act)
{
	ereport(ERROR,
			(errcode(ERRCODE_SYSTEM_ERROR),
			 errmsg("could not %s: %s", act, secret_library_error()),
			 errhint("Check the server's OpenSSL: its version, its configuration file and what providers that file loads.")));
}
