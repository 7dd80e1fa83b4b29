/*
 * admin.h
 *		The label provider.
 */
#ifndef PURPOSE_ADMIN_H
#define PURPOSE_ADMIN_H

extern void admin_init(void);

#endif							/* PURPOSE_ADMIN_H */
