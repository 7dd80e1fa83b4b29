/*
 * sealedlabel.h
 *		The labels of sealed types: text, type modifier and id.
 *
 * A label's id is the first 48 bits of a hash of its canonical text, the type
 * modifier the lowest 31 of those.  So both are the same in every database
 * and do not depend on what was created first.
 */
#ifndef PURPOSE_SEALEDLABEL_H
#define PURPOSE_SEALEDLABEL_H

#include "label.h"

typedef struct SealedLabel
{
	int32		typmod;			/* hash key */
	uint64		id;
	uint16		group;			/* number of the key group */
	char	   *text;			/* canonical */
	const Label *label;
	bool		recorded;		/* in purpose.sealed_label */
} SealedLabel;

extern const SealedLabel *sealedlabel_from_text(const char *text);
extern const SealedLabel *sealedlabel_by_typmod(int32 typmod);
extern const SealedLabel *sealedlabel_by_id(uint64 id);
extern void sealedlabel_record(const SealedLabel *label);
extern uint16 sealedlabel_group_number(const char *group);

#endif							/* PURPOSE_SEALEDLABEL_H */
