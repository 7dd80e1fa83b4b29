/*
 * standin.h
 *		Running parts of src/ outside a server.
 *
 * standin.c defines what those parts use of one: memory, lists, strings,
 * errors, transactions.  Nothing of it is faithful but the contracts that they
 * rely on.  A test program also counts here what it checks, in TAP.
 */
#ifndef PURPOSE_STANDIN_H
#define PURPOSE_STANDIN_H

/* Frees all that was palloc'd since the last call. */
extern void standin_free(void);

/* A transaction runs from the program's start. */
extern void standin_begin(void);
extern void standin_end(void);
extern void standin_abort_subtransaction(void);

/* The SQLSTATE and message of the last error caught with PG_TRY. */
extern int	standin_sqlstate;
extern char standin_message[1024];

extern void check(bool ok, const char *format,...);
extern int	check_done(void);

/* Reads "0a1b..." into out; returns the number of bytes. */
extern size_t from_hex(const char *hex, uint8 *out);

#endif							/* PURPOSE_STANDIN_H */
