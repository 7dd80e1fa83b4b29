/*
 * declaration.h
 *		How a table is protected, as its security label says it:
 *
 *	declaration = subject | via
 *	subject		= "subject" columns [ "of" table ] [ "mode" mode ]
 *	via			= "via" columns "to" table "(" columns ")" [ "mode" mode ]
 *	columns		= column { "," column }
 *	mode		= "enforce" | "observe"
 *
 * Names are SQL identifiers, quoted where SQL would quote them; a table has
 * its schema in front.  purpose.protect() writes these labels.
 */
#ifndef PURPOSE_DECLARATION_H
#define PURPOSE_DECLARATION_H

#include "nodes/pg_list.h"

/* Longest text of a declaration, in bytes. */
#define DECLARATION_MAX_LEN	16384

typedef enum DeclarationKind
{
	DECLARATION_SUBJECT,
	DECLARATION_VIA
} DeclarationKind;

typedef enum ProtectionMode
{
	MODE_ENFORCE,
	MODE_OBSERVE
} ProtectionMode;

typedef struct Declaration
{
	DeclarationKind kind;
	List	   *columns;		/* of char * */
	char	   *target_schema;	/* ""of" or "to"; NULL for a subject table */
	char	   *target_table;
	List	   *target_columns; /* of char *, only of "via" */
	ProtectionMode mode;
} Declaration;

extern Declaration *declaration_parse(const char *text, char **problem);
extern char *declaration_deparse(const Declaration *declaration);

#endif							/* PURPOSE_DECLARATION_H */
