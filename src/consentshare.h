/*
 * consentshare.h
 *		Which share of a table's data subjects permits a purpose.
 */
#ifndef PURPOSE_CONSENTSHARE_H
#define PURPOSE_CONSENTSHARE_H

#include "session.h"

extern bool consentshare_estimate(Oid subject_table, const Session *session, double *share);

#endif							/* PURPOSE_CONSENTSHARE_H */
