/*
 * catalog.h
 *		The extension's own schema as C sees it: whether it is there, the OIDs
 *		of its tables and functions, and the message that tells every backend
 *		that a declaration changed.
 */
#ifndef PURPOSE_CATALOG_H
#define PURPOSE_CATALOG_H

#include "access/attnum.h"

#define PURPOSE_SCHEMA		"purpose"
#define PURPOSE_EXTENSION	"pg_purpose"
#define PURPOSE_PROVIDER	"purpose"

/* Columns of purpose.purpose_catalog, in the order of the install script. */
#define Anum_purpose_name				1
#define Anum_purpose_basis				2
#define Anum_purpose_description		3
#define Anum_purpose_requires_just		4
#define Anum_purpose_despite_restr		5

/* Columns of purpose.purpose_grant */
#define Anum_grant_purpose				1
#define Anum_grant_role					2

/* Columns of purpose.consent_state */
#define Anum_state_subject_table		1
#define Anum_state_subject				2
#define Anum_state_purpose				3
#define Anum_state_state				4
#define Anum_state_expires_at			5

/* Columns of purpose.sealed_type_registry */
#define Anum_sealed_type_type			1
#define Anum_sealed_type_base			2
#define Anum_sealed_type_name			3
#define Anum_sealed_type_pad			4
#define Anum_sealed_type_binary			5
#define Anum_sealed_type_searchable		6

/* Columns of purpose.sealed_label */
#define Anum_sealed_label_id			1
#define Anum_sealed_label_typmod		2
#define Anum_sealed_label_label			3

/* Columns of purpose.subject_number and purpose.retired_number */
#define Anum_number_subject_table		1
#define Anum_number_subject				2
#define Anum_number_number				3
#define Natts_number					3

/* Columns of purpose.token_key */
#define Anum_token_relation				1
#define Anum_token_column				2
#define Anum_token_number				3

/* Columns of purpose.shred_receipt */
#define Anum_receipt_keyring			2
#define Anum_receipt_numbers			3
#define Anum_receipt_group_numbers		4
#define Anum_receipt_kind				6
#define Anum_receipt_punctured_version	11

/* Columns of purpose.journal_state */
#define Anum_journal_keyring			1
#define Anum_journal_incarnation		2
#define Anum_journal_sequence			3
#define Anum_journal_hash				4

/* Columns of purpose.journal_outbox */
#define Anum_outbox_event				1

typedef struct CatalogOids
{
	Oid			schema;
	Oid			purpose_catalog;
	Oid			purpose_grant;
	Oid			consent_state;
	Oid			consent_state_pkey;
	Oid			consent_state_restricted_idx;
	Oid			sealed_type_registry;
	Oid			sealed_type_registry_pkey;
	Oid			sealed_label;
	Oid			sealed_label_pkey;
	Oid			sealed_label_typmod_key;
	Oid			subject_number;
	Oid			subject_number_pkey;
	Oid			subject_number_number_key;
	Oid			retired_number;
	Oid			retired_number_number_key;
	Oid			token_key;
	Oid			token_key_pkey;
	Oid			shred_receipt;
	Oid			shred_receipt_pending_idx;
	Oid			journal_state;
	Oid			journal_state_pkey;
	Oid			journal_outbox;
	Oid			journal_outbox_pkey;
	Oid			fn_visible;		/* purpose._visible(oid, VARIADIC "any") */
	Oid			fn_orphan;		/* purpose._visible(oid) */
	Oid			fn_unbound;		/* purpose._unbound() */
	Oid			fn_statistic_visible;	/* purpose._statistic_visible(oid,
										 * int2) */
	Oid			fn_ext_statistic_visible;	/* purpose._statistic_visible(oid) */
	Oid			fn_not_stand_in;	/* purpose._not_stand_in(anyelement,
									 * anyelement, oid, int2) */
	Oid			fn_label_column;	/* EXECUTE on it makes a privacy officer */
} CatalogOids;

/*
 * Grows whenever purposes, grants, labels or protections may have changed.
 * What was computed under another generation must not be used.
 */
extern uint64 catalog_generation;

extern void catalog_init(void);
extern const CatalogOids *catalog_oids(void);
extern void catalog_invalidate_declarations(void);
extern bool catalog_is_officer(Oid role);
extern Oid	catalog_function(const char *name, int nargs, const Oid *argtypes, bool missing_ok);

#endif							/* PURPOSE_CATALOG_H */
