/*
 * keysegment.h
 *		The memory of keyrings that all processes of this server share: one
 *		slot a keyring in ordinary shared memory, covers in secret memory.
 */
#ifndef PURPOSE_KEYSEGMENT_H
#define PURPOSE_KEYSEGMENT_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/dsa.h"

#include "keyprovider.h"
#include "keytree.h"

/* How many databases of one server may have a keyring. */
#define KEYSEGMENT_SLOTS	64

/* Names this postmaster, for as long as it runs. */
#define KEYSEGMENT_NONCE_LEN	16

#define KEYSEGMENT_MESSAGE_LEN	256

/* What this server last learnt about a keyring's claim. */
typedef enum KeyClaimStanding
{
	KEYCLAIM_UNKNOWN,			/* not asked yet, or the provider is silent */
	KEYCLAIM_HELD,				/* by this server, until claim_until */
	KEYCLAIM_WAITING,			/* by an earlier start of this server, whose
								 * lease has not run out yet */
	KEYCLAIM_OTHER,				/* by another instance */
	KEYCLAIM_NONE				/* by nobody */
} KeyClaimStanding;

/* Nobody has a state below `version` after `at` (clock_elapsed_ms()). */
typedef struct KeyRetirement
{
	uint64		version;
	uint64		at;
} KeyRetirement;

#define KEYSEGMENT_RETIRING		8

/*
 * A keyring as this server knows it.  Everything in here can be found again, so
 * a slot may be given up at any time.
 *
 * Fields may be read under `lock`, shared; those marked [a] without.  They are
 * written under `lock`, exclusive, by the processes named.
 */
typedef struct KeySlot
{
	LWLock	   *lock;			/* set when memory is made */
	int			number;			/* the slot's own index; the same */

	/* Whose it is.  Also needs KeySegment.lock, exclusive, to be written. */
	Oid			database;		/* InvalidOid: free */
	uint8		keyring[KEYRING_ID_LEN];

	/*
	 * A transaction that made this keyring, so that nobody else knows of it
	 * yet; invalid otherwise.  That transaction; the worker clears it.
	 */
	TransactionId maker;

	/*
	 * The state.  Whoever loads it: a backend, or the worker.  `version`
	 * stays when the cover is wiped: no lower one is loaded again.
	 */
	dsa_pointer cover;			/* of cover_size bytes, if valid */
	size_t		cover_size;
	dsa_pointer fast;			/* the same, refined for numbers below
								 * fast_end; not valid: none */
	size_t		fast_size;
	uint64		fast_end;
	uint64		version;
	uint32		lease_ms;		/* as that state's header says */
	uint32		prior_lease_ms; /* and of those before it */
	pg_atomic_uint64 lease_until;	/* [a] clock_elapsed_ms(); 0: no cover */
	bool		used;			/* [a] since the launcher last looked; set by
								 * whoever derives */

	/* Numbers.  Whoever claims an extent, draws a number or loads. */
	uint64		claimed_end;	/* lower ones are claimed, by whatever
								 * instance */
	uint64		next_number;	/* this server's own extent */
	uint64		end_number;

	/* The claim.  Launcher, worker, backends that need it. */
	KeyClaimStanding standing;
	uint64		claim_version;	/* last seen */
	uint64		claim_seen_at;	/* when claim_version was first seen */
	uint64		claim_until;	/* while HELD */
	uint64		fence;			/* while HELD: our fencing token */
	bool		was_held;		/* at some time */

	/*
	 * Which states can be in use nowhere any more: all below `retired`, and
	 * those below each of `retiring` from some time on.  The worker.
	 */
	uint64		retired;
	int			nretiring;
	KeyRetirement retiring[KEYSEGMENT_RETIRING];	/* in order of both */

	/* Work for the worker.  Backends ask, launcher and worker answer. */
	uint64		requested;		/* grows with each request */
	uint64		answered;		/* the request that was last answered */
	bool		rotate;			/* a cycle is wanted even without points */
	uint64		wanted_at;		/* when the first request not taken up yet was
								 * made; 0: none */
	uint64		again_at;		/* when the worker wants to go on; 0: not */
	uint64		hold_until;		/* but not before, after a failure */
	uint64		journal_at;		/* when the journal is to be written; 0: not */
	int			journal_failures;	/* in a row */
	int			worker;			/* process that is at it; 0: none */
	int			failures;		/* in a row */
	int			sqlstate;		/* of the last answer; 0: it went well */
	char		message[KEYSEGMENT_MESSAGE_LEN];
	TimestampTz answered_at;
	TimestampTz cycled_at;		/* last completed cycle; 0: none since start */
	ConditionVariable answer_cv;
} KeySlot;

extern void keysegment_init(void);
extern bool keysegment_ready(void);

/*
 * A keyring in use: find its slot (the launcher may give slots up at any time)
 * and lock it, in one.
 */
typedef struct KeyringRef
{
	Oid			database;
	uint8		keyring[KEYRING_ID_LEN];
	KeySlot    *slot;			/* valid while locked; NULL at first */
} KeyringRef;

/*
 * Locks the keyring's slot; takes a free one if it has none.  Raises PU011 if
 * none is free.
 */
extern void keysegment_lock(KeyringRef *ref, LWLockMode mode);
extern void keysegment_unlock(KeyringRef *ref);

/*
 * Keeps the keyring's slot from being given up until the current transaction
 * has ended, though no table names the keyring yet.
 */
extern void keysegment_reserve(KeyringRef *ref);

/*
 * Asks the worker for a cycle of this keyring; returns the number of the
 * request, which KeySlot.answered reaches when it was served.  Raises nothing.
 */
extern uint64 keysegment_request(KeyringRef *ref, bool rotate);

/*
 * Asks the worker to write the journal, in a moment that lets it gather more.
 * Raises nothing.
 */
extern void keysegment_request_journal(KeyringRef *ref);

/*
 * Asks the launcher to have a look at all databases; what it takes that from,
 * once.
 */
extern void keysegment_request_look(void);
extern bool keysegment_take_look(void);

/*
 * Has this server a keyring of that database, or (InvalidOid) of any?  Takes no
 * lock, so that it may be asked while an error is reported.
 */
extern bool keysegment_serves(Oid database);

/*
 * For who goes through all slots.  keysegment_ref returns false for one that is
 * nobody's.
 */
extern bool keysegment_ref(int number, KeyringRef *ref);
extern void keysegment_forget(KeyringRef *ref);

/* Covers.  allocate returns NULL if there is no room; free wipes. */
extern void *keysegment_allocate(size_t size, dsa_pointer *at);
extern void keysegment_free(dsa_pointer at, size_t size);
extern void *keysegment_address(dsa_pointer at);
extern void keysegment_wipe_cover(KeySlot *slot);
extern void keysegment_memory(size_t *used, size_t *total);

/* See keyring_generation() and keyring_pending_key(). */
extern uint64 keysegment_generation(void);
extern void keysegment_advance_generation(void);
extern const uint8 *keysegment_pending_key(void);

extern const uint8 *keysegment_nonce(void);
extern bool keysegment_was_standby(void);

/* The launcher, asleep on its latch. */
extern void keysegment_set_launcher(Latch *latch);
extern void keysegment_wake_launcher(void);
extern bool keysegment_launcher_runs(void);

#endif							/* PURPOSE_KEYSEGMENT_H */
