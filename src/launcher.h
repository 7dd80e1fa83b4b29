/*
 * launcher.h
 *		The background process that looks after the keyrings of this server.
 */
#ifndef PURPOSE_LAUNCHER_H
#define PURPOSE_LAUNCHER_H

extern void launcher_init(void);

extern PGDLLEXPORT void purpose_launcher_main(Datum arg);

#endif							/* PURPOSE_LAUNCHER_H */
