/*
 * subjectnumber.h
 *		Which number of the keyring is a data subject's.
 */
#ifndef PURPOSE_SUBJECTNUMBER_H
#define PURPOSE_SUBJECTNUMBER_H

typedef struct SubjectName
{
	Oid			table;
	char	   *key;			/* canonical (subjectkey.h) */
} SubjectName;

extern bool subjectnumber_find(Oid subject_table, const char *key, uint64 *number);
extern uint64 subjectnumber_obtain(Oid subject_table, const char *key);
extern bool subjectnumber_owner(uint64 number, SubjectName *owner);

#endif							/* PURPOSE_SUBJECTNUMBER_H */
