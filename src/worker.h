/*
 * worker.h
 *		The short-lived background process that works on one database's
 *		keyring: reads what was shredded, runs the puncture cycle, marks
 *		receipts.
 */
#ifndef PURPOSE_WORKER_H
#define PURPOSE_WORKER_H

extern PGDLLEXPORT void purpose_worker_main(Datum arg);

#endif							/* PURPOSE_WORKER_H */
