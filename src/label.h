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
} Label;

typedef enum LabelVerdict
{
	LABEL_SATISFIED,
	LABEL_NOT_ALLOWED,
	LABEL_PROHIBITED
} LabelVerdict;

extern Label *label_parse(const char *text, char **problem);
extern char *label_deparse(const Label *label);
extern LabelVerdict label_judge(const Label *label, const char *purpose);
extern List *label_purposes(const Label *label);

#endif							/* PURPOSE_LABEL_H */
