/*
 * keycycle.h
 *		The provider's side of the puncture cycle: a new state without some
 *		points, under a new root; then the old root is destroyed.
 */
#ifndef PURPOSE_KEYCYCLE_H
#define PURPOSE_KEYCYCLE_H

#include "utils/array.h"

#include "keysegment.h"

/*
 * All of these need the claim; `fence` is its token.  They raise PU013 if the
 * provider has seen a higher one, PU011 if it fails or is silent.  They can be
 * repeated, whatever happened in between.
 */

/*
 * Has a cycle been left unfinished?  Cheap, and loads nothing.
 */
extern bool keycycle_unfinished(KeyProvider *provider, KeyringRef *ref);

/*
 * Finishes it: what was being made is made, or destroyed.  Loads the newest
 * state.
 */
extern void keycycle_recover(KeyProvider *provider, KeyringRef *ref, uint64 fence);

/*
 * The points that a shred of these numbers (bigint[]) is about: all of them, or
 * of each some groups (int[]).
 */
extern KeyPoint *keycycle_points(KeyKind kind, ArrayType *numbers, ArrayType *groups, int *npoints);

/*
 * Which of the points does the loaded state still have?  Returns their number,
 * having moved them to the front.
 */
extern int	keycycle_unpunctured(KeyProvider *provider, KeyringRef *ref,
								 KeyPoint *points, int npoints);

/*
 * One cycle; after keycycle_recover().  Returns the new version.
 */
extern uint64 keycycle_run(KeyProvider *provider, KeyringRef *ref, uint64 fence,
						   const KeyPoint *points, int npoints);

/*
 * Destroys the roots, and removes the states, of all versions but one (0: of
 * all).  A root whose destruction is pending is given to nobody any more, and is
 * no error.
 */
extern void keycycle_destroy_roots(KeyProvider *provider, uint64 keep, uint64 fence);
extern void keycycle_destroy_states(KeyProvider *provider, uint64 keep, uint64 fence);

/*
 * Up to which version can nobody use an older state any more?  All whose roots
 * are gone at the provider, and the leases of whose readers have lapsed.
 * again_at: when asking again may give more; 0 if nothing is to come by waiting
 * for leases.  Raises PU011 if the provider cannot be asked.
 */
extern uint64 keycycle_retired(KeyProvider *provider, KeyringRef *ref, uint64 *again_at);

#endif							/* PURPOSE_KEYCYCLE_H */
