/*
 * observe.h
 *		What observe mode saw: uses that enforcement would have refused.
 */
#ifndef PURPOSE_OBSERVE_H
#define PURPOSE_OBSERVE_H

#include "access/attnum.h"

#include "decision.h"

extern void observe_init(void);
extern void observe_record(const Session *session, Oid relid, AttrNumber attno,
						   DecisionReason reason, uint64 count);

#endif							/* PURPOSE_OBSERVE_H */
