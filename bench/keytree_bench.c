/*
 * keytree_bench.c
 *		What the key tree costs: size of covers, time to derive and to puncture.
 *
 *	make -C tests/unit keytree_bench
 *
 * Prints the table of docs/internals/key-tree.md.  Times are those of the
 * processor, and the best of several rounds, since other programs only ever
 * make them longer.
 */
#include "postgres.h"

#include <time.h>

#include "utils/memutils.h"

#include "kdf.h"
#include "keytree.h"
#include "standin.h"

#undef printf
#undef qsort

#define ROUNDS			5
#define DERIVATIONS		100000
#define MORE_POINTS		1000

static uint64 random_state = 1;
static volatile uint8 sink;		/* so that nothing is optimised away */

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return palloc(size);
}

void
pg_qsort(void *base, size_t nel, size_t elsize, int (*cmp) (const void *, const void *))
{
	qsort(base, nel, elsize, cmp);
}

static double
microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* SplitMix64. */
static uint64
random_below(uint64 limit)
{
	uint64		x = (random_state += UINT64CONST(0x9e3779b97f4a7c15));

	x = (x ^ (x >> 30)) * UINT64CONST(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94d049bb133111eb);
	return (x ^ (x >> 31)) % limit;
}

static KeyCover *
allocate_cover(uint32 nodes)
{
	KeyCover   *cover = malloc(keytree_cover_size(nodes));

	if (cover == NULL)
		abort();
	return cover;
}

/*
 * Microseconds of a derivation: of subjects at random, or one after another;
 * of those only that are not punctured.
 */
static double
time_derive(const KeyCover *cover, uint64 subjects, bool at_random)
{
	static uint64 addresses[DERIVATIONS];
	double		best = 0;

	for (int round = 0; round < ROUNDS; round++)
	{
		uint64		number = random_below(subjects);
		double		start;
		double		each;

		for (int i = 0; i < DERIVATIONS;)
		{
			KeyPoint	leaf = {.level = KEYTREE_DEPTH};

			number = at_random ? random_below(subjects) : (number + 1) % subjects;
			leaf.address = KEY_ADDRESS(KEY_SUBJECT, number, KEY_GROUP_DEFAULT);
			if (!keytree_punctured(cover, &leaf))
				addresses[i++] = leaf.address;
		}
		start = microseconds();
		for (int i = 0; i < DERIVATIONS; i++)
		{
			uint8		key[SECRET_KEY_LEN];

			if (!keytree_derive(cover, addresses[i], key))
				abort();
			sink = key[0];
		}
		each = (microseconds() - start) / DERIVATIONS;
		if (round == 0 || each < best)
			best = each;
	}
	return best;
}

/* Milliseconds to puncture; *out is the new cover. */
static double
time_puncture(const KeyCover *cover, const KeyPoint *points, int npoints, int rounds, KeyCover **out)
{
	double		best = 0;

	*out = NULL;
	for (int round = 0; round < rounds; round++)
	{
		double		start = microseconds();
		double		each;

		free(*out);
		*out = allocate_cover(keytree_puncture_count(cover, points, npoints));
		keytree_puncture(cover, points, npoints, *out);
		each = (microseconds() - start) / 1e3;
		if (round == 0 || each < best)
			best = each;
	}
	return best;
}

static void
measure(uint64 subjects, double share)
{
	uint64		punctured = subjects * share;
	uint64	   *numbers = malloc(subjects * sizeof(uint64));
	KeyPoint   *points = malloc((punctured + MORE_POINTS) * sizeof(KeyPoint));
	uint8		root[SECRET_KEY_LEN] = {1};
	uint64		last = KEY_ADDRESS(KEY_SUBJECT, subjects - 1, 0xFFFF);
	uint64		first = KEY_ADDRESS(KEY_SUBJECT, 0, 0);
	KeyCover   *cover = allocate_cover(1);
	KeyCover   *fast;
	KeyCover   *other;
	double		one,
				many;

	if (numbers == NULL || points == NULL)
		abort();

	/* The first of a random order. */
	for (uint64 i = 0; i < subjects; i++)
		numbers[i] = i;
	for (uint64 i = 0; i < punctured + MORE_POINTS; i++)
	{
		uint64		j = i + random_below(subjects - i);

		points[i].address = KEY_ADDRESS(KEY_SUBJECT, numbers[j], 0);
		points[i].level = KEYTREE_NUMBER_LEVEL;
		numbers[j] = numbers[i];
	}
	keytree_plant(cover, root);
	time_puncture(cover, points, punctured, 1, &other);
	free(cover);
	cover = other;

	one = time_puncture(cover, points + punctured, 1, ROUNDS, &other);
	free(other);
	many = time_puncture(cover, points + punctured, MORE_POINTS, ROUNDS, &other);
	free(other);
	fast = allocate_cover(keytree_refine_count(cover, first, last, KEYTREE_FAST_LEVEL));
	keytree_refine(cover, first, last, KEYTREE_FAST_LEVEL, fast);

	printf("| " UINT64_FORMAT " | %g %% | %u | %.1f MB | %.1f | %.1f | %.1f MB | %.1f | %.1f | %.1f ms | %.1f ms |\n",
		   subjects, share * 100, keytree_cover_nodes(cover),
		   keytree_serialised_size(keytree_cover_nodes(cover)) / 1e6,
		   time_derive(cover, subjects, true), time_derive(cover, subjects, false),
		   keytree_cover_size(keytree_cover_nodes(fast)) / 1e6,
		   time_derive(fast, subjects, true), time_derive(fast, subjects, false),
		   one, many);
	fflush(stdout);
	free(fast);
	free(cover);
	free(points);
	free(numbers);
}

int
main(void)
{
	secret_init();
	kdf_init();
	printf("| subjects | punctured | nodes | cover | random | in a row | refined | random | in a row "
		   "| puncture 1 | puncture %d |\n|---|---|---|---|---|---|---|---|---|---|---|\n", MORE_POINTS);
	measure(1000000, 0);
	measure(1000000, 0.01);
	measure(1000000, 0.1);
	measure(1000000, 0.5);
	measure(10000000, 0.01);
	measure(10000000, 0.1);
	return 0;
}
