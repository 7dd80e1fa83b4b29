/*
 * Stands in for Valgrind's header where PostgreSQL is built with
 * AddressSanitizer: what PostgreSQL marks as out of bounds for the one (freed
 * chunks, the space between chunks, buffers that are not pinned) is poisoned for
 * the other.  Without this AddressSanitizer sees the blocks that a memory context
 * takes from malloc(), but not the chunks within them.
 *
 * AddressSanitizer knows nothing of initialized and uninitialized memory, nor of
 * pools: chunks are marked by their address and size, and what frees a chunk
 * wipes it, with --enable-cassert, and so marks it.
 */
#ifndef PURPOSE_SANITIZE_MEMCHECK_H
#define PURPOSE_SANITIZE_MEMCHECK_H

#include <sanitizer/asan_interface.h>

#define RUNNING_ON_VALGRIND									0
#define VALGRIND_COUNT_ERRORS								0
#define VALGRIND_PRINTF(...)								do {} while (0)

#define VALGRIND_CHECK_MEM_IS_DEFINED(addr, size)			do {} while (0)
#define VALGRIND_CREATE_MEMPOOL(pool, redzone, zeroed)		do {} while (0)
#define VALGRIND_DESTROY_MEMPOOL(pool)						do {} while (0)
#define VALGRIND_MEMPOOL_ALLOC(pool, addr, size)			ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MEMPOOL_FREE(pool, addr)					do {} while (0)
#define VALGRIND_MEMPOOL_CHANGE(pool, from, to, size)		do {} while (0)
#define VALGRIND_MEMPOOL_TRIM(pool, addr, size)				do {} while (0)
#define VALGRIND_MAKE_MEM_DEFINED(addr, size)				ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MAKE_MEM_UNDEFINED(addr, size)				ASAN_UNPOISON_MEMORY_REGION(addr, size)
#define VALGRIND_MAKE_MEM_NOACCESS(addr, size)				ASAN_POISON_MEMORY_REGION(addr, size)

#endif							/* PURPOSE_SANITIZE_MEMCHECK_H */
