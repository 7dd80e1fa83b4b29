/*
 * hooks.h
 *		Installs PostgreSQL's hooks.
 */
#ifndef PURPOSE_HOOKS_H
#define PURPOSE_HOOKS_H

extern void hooks_init(void);

#endif							/* PURPOSE_HOOKS_H */
