/*
 * purposepath.c
 *		The paths that name purposes: their form, and which lies below which.
 *
 * Pure text, so that what else is pure text (label.c) runs without a server in
 * the fuzz tests.
 */
#include "postgres.h"

#include "purpose.h"

/*
 * Says whether text has the form of a purpose: labels of letters, digits,
 * underscores and hyphens that start with a letter or underscore, joined by
 * dots, at most PURPOSE_NAME_LEN - 1 bytes.
 */
bool
purpose_name_valid(const char *name)
{
	bool		at_start = true;
	const char *p;

	if (strlen(name) >= PURPOSE_NAME_LEN)
		return false;
	for (p = name; *p; p++)
	{
		bool		letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
		bool		other = (*p >= '0' && *p <= '9') || *p == '-';

		if (at_start ? !letter : !(letter || other || *p == '.'))
			return false;
		at_start = (*p == '.');
	}
	return !at_start;
}

/*
 * Says whether name is ancestor or lies below it.
 */
bool
purpose_path_contains(const char *ancestor, const char *name)
{
	size_t		len = strlen(ancestor);

	return strncmp(ancestor, name, len) == 0 && (name[len] == '\0' || name[len] == '.');
}
