/*
 * secret.h
 *		Memory and random numbers for secrets, and when they are wiped.
 */
#ifndef PURPOSE_SECRET_H
#define PURPOSE_SECRET_H

#include "compat.h"

/* Every key in pg_purpose is 256 bits. */
#define SECRET_KEY_LEN	32

extern void secret_init(void);
extern void secret_wipe(void *secret, size_t len);
extern bool secret_equal(const void *a, const void *b, size_t len);
extern void secret_random(void *out, size_t len);

/* Private to this process, locked where permitted, in no core dump, empty
 * after fork(). */
extern void *secret_private_memory(size_t len);

/* Shared with all children of the postmaster; else the same. */
extern void *secret_shared_memory(size_t len);

/* Has wipe() called at the end of every transaction and of every
 * subtransaction that fails.  Outside transactions nobody calls it. */
extern void secret_wipe_at_end(void (*wipe) (void));

/* What a crypto library's error queue says last, without any data; and an
 * ERROR of it ("could not <act>: <reason>"). */
extern const char *secret_library_error(void);
compat_noreturn extern void secret_library_failed(const char *act);

#endif							/* PURPOSE_SECRET_H */
