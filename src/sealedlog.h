/*
 * sealedlog.h
 *		Keeps the plaintext of sealed columns out of the server log.
 */
#ifndef PURPOSE_SEALEDLOG_H
#define PURPOSE_SEALEDLOG_H

extern void sealedlog_init(void);
extern void sealedlog_plaintext_at_hand(void);

#endif							/* PURPOSE_SEALEDLOG_H */
