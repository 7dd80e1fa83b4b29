/*
 * label.h
 *		What a column's data may be used for: the label grammar.
 *
 *	label	= clause { clause }
 *	clause	= "for" purpose { "," purpose }
 *			| "never" purpose { "," purpose }
 *			| "else" ( "error" | "null" | string )
 *			| "category" name | "source" name | "keep" name
 *
 * Each clause may stand once, "for" must stand.  A string is in single
 * quotes, doubled inside.
 *
 * The label of a sealed type has, instead of the last two lines,
 *
 *			| "keep" name | "group" name | "pad" number
 *			| "searchable" "weak" | "as" string
 *
 * where "as" gives the base type's own modifiers.  Its canonical form, with
 * purposes sorted and clauses in this order, is an on-disk format: sealed
 * values are bound to it.
 */
#ifndef PURPOSE_LABEL_H
#define PURPOSE_LABEL_H

#include "nodes/pg_list.h"

/* Longest text of a label, in bytes. */
#define LABEL_MAX_LEN	16384

typedef enum LabelElse
{
	LABEL_ELSE_ERROR,
	LABEL_ELSE_NULL,
	LABEL_ELSE_EXPRESSION
} LabelElse;

typedef struct Label
{
	List	   *allowed;		/* of char *: purposes */
	List	   *prohibited;		/* of char *: purposes */
	LabelElse	otherwise;
	char	   *expression;		/* of LABEL_ELSE_EXPRESSION */
	char	   *category;		/* e.g. user.contact.email (fideslang) */
	char	   *source;			/* GDPR Art. 14(2)(f) */
	char	   *keep;			/* retention class */

	/* of sealed types only */
	char	   *group;			/* key group; NULL: the default one */
	int			pad;			/* plaintext is padded to a multiple of this */
	char	   *modifier;		/* of the base type, as '(12,2)' */
	bool		weak;			/* searchable although easily guessed */
} Label;

typedef enum LabelVerdict
{
	LABEL_SATISFIED,
	LABEL_NOT_ALLOWED,
	LABEL_PROHIBITED
} LabelVerdict;

extern Label *label_parse(const char *text, char **problem);
extern Label *label_parse_sealed(const char *text, char **problem);
extern char *label_deparse(const Label *label);
extern LabelVerdict label_judge(const Label *label, const char *purpose);
extern List *label_purposes(const Label *label);
extern Label *label_without_stand_in(const Label *label);

#endif							/* PURPOSE_LABEL_H */
