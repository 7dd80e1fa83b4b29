/*
 * purpose.h
 *		The vocabulary of purposes: a tree of dotted paths, each with a legal
 *		basis (GDPR Art. 6(1)) of its own or of its nearest ancestor.
 */
#ifndef PURPOSE_PURPOSE_H
#define PURPOSE_PURPOSE_H

#include "nodes/pg_list.h"

/* Longest purpose path, with its terminating zero. */
#define PURPOSE_NAME_LEN	128

/* GDPR Art. 6(1), in the order of its letters. */
typedef enum LegalBasis
{
	BASIS_UNKNOWN,
	BASIS_CONSENT,				/* (a) */
	BASIS_CONTRACT,				/* (b) */
	BASIS_LEGAL_OBLIGATION,		/* (c) */
	BASIS_VITAL_INTERESTS,		/* (d) */
	BASIS_PUBLIC_TASK,			/* (e) */
	BASIS_LEGITIMATE_INTERESTS	/* (f) */
} LegalBasis;

/* What a basis asks of the person: Art. 7 for opt-in, Art. 21 for opt-out. */
typedef enum ConsentModel
{
	CONSENT_NOT_APPLICABLE,
	CONSENT_OPT_IN,
	CONSENT_OPT_OUT
} ConsentModel;

typedef struct Purpose
{
	char		name[PURPOSE_NAME_LEN]; /* hash key */
	struct Purpose *parent;		/* NULL at the top level */
	LegalBasis	basis;			/* its own or inherited */
	bool		requires_justification;
	bool		despite_restriction;	/* Art. 18(2): usable on restricted
										 * data */
	List	   *granted;		/* OIDs of roles; InvalidOid stands for PUBLIC */
} Purpose;

extern const Purpose *purpose_find(const char *name);
extern bool purpose_granted_to(const Purpose *purpose, Oid role);
extern ConsentModel purpose_consent_model(LegalBasis basis);

/* purposepath.c */
extern bool purpose_name_valid(const char *name);
extern bool purpose_path_contains(const char *ancestor, const char *name);

#endif							/* PURPOSE_PURPOSE_H */
