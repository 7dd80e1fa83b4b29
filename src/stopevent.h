/*
 * stopevent.h
 *		Named places at which a test can make a process crash, fail or wait.
 *		Test builds only (make TEST_BUILD=1); otherwise nothing.
 */
#ifndef PURPOSE_STOPEVENT_H
#define PURPOSE_STOPEVENT_H

#ifdef PURPOSE_TEST_BUILD
extern void stopevent_init(void);
extern void stopevent_reach(const char *name);
#else
#define stopevent_init()		((void) 0)
#define stopevent_reach(name)	((void) 0)
#endif

#endif							/* PURPOSE_STOPEVENT_H */
