/*
 * keyfilecheck.c
 *		Is a directory a good place for a keyring?  What is refused, and what
 *		check_keyring() tells an operator.
 *
 * Keys within the data directory would be in every base backup; on a file
 * system that keeps old versions, or in a repository, a destroyed file can be
 * brought back.  Only the former can be told for certain, and is refused.
 */
#include "postgres.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

#include "miscadmin.h"
#include "storage/fd.h"

#include "errcodes.h"
#include "keyfile.h"

/*
 * Resolves a path into `path`, of MAXPGPATH bytes.  Returns false if that
 * fails, or the result is longer.
 */
static bool
resolve(const char *directory, char *path)
{
	char	   *resolved = realpath(directory, NULL);
	bool		fits;

	if (resolved == NULL)
		return false;
	fits = strlcpy(path, resolved, MAXPGPATH) < MAXPGPATH;
	free(resolved);
	return fits;
}

/* What is above the directory, however it is reached. */
static bool
is_above(const struct stat *above, const char *directory)
{
	char		path[MAXPGPATH];
	struct stat st;

	if (!resolve(directory, path))
		strlcpy(path, directory, MAXPGPATH);
	for (;;)
	{
		if (stat(path, &st) == 0 && st.st_dev == above->st_dev && st.st_ino == above->st_ino)
			return true;
		if (strcmp(path, "/") == 0 || path[0] == '\0')
			return false;
		get_parent_directory(path);
		if (path[0] == '\0')
			strcpy(path, "/");
	}
}

static void
refuse(const char *directory, const char *within)
{
	ereport(ERROR,
			(errcode(ERRCODE_KEYRING_UNAVAILABLE),
			 errmsg("key directory \"%s\" is within %s", directory, within),
			 errdetail("It would be in every base backup, which would open what was shredded."),
			 errhint("Name a directory outside of all that is backed up with the database in purpose.keyring.")));
}

void
keyfile_refuse_data_directory(const char *directory)
{
	struct stat st;
	char	   *tablespaces = psprintf("%s/pg_tblspc", DataDir);
	DIR		   *dir;
	struct dirent *de;

	if (stat(DataDir, &st) == 0 && is_above(&st, directory))
		refuse(directory, "the data directory");
	if (stat(psprintf("%s/pg_wal", DataDir), &st) == 0 && is_above(&st, directory))
		refuse(directory, "the directory of the write-ahead log");
	dir = AllocateDir(tablespaces);
	while ((de = ReadDir(dir, tablespaces)) != NULL)
	{
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		if (stat(psprintf("%s/%s", tablespaces, de->d_name), &st) == 0 &&
			is_above(&st, directory))
			refuse(directory, "a tablespace");
	}
	FreeDir(dir);
}

/*
 * File systems on which an overwritten or unlinked file may live on.
 */
static void
check_file_system(const char *path, List **problems)
{
#ifdef __linux__
	static const struct
	{
		unsigned long magic;
		const char *name;
	}			copying[] = {
		{0x9123683E, "btrfs"},
		{0x2FC12FC1, "zfs"},
		{0xCA451A4E, "bcachefs"},
		{0x3434, "nilfs2"},
		{0xF2F52010, "f2fs"},
		{0x794C7630, "overlayfs"},
		{0x5346414F, "afs"},
	};
	struct statfs fs;
	unsigned long magic;

	if (statfs(path, &fs) != 0)
		return;
	/* Some architectures sign-extend it. */
	magic = (unsigned long) fs.f_type & 0xFFFFFFFF;
	for (int i = 0; i < lengthof(copying); i++)
	{
		if (magic == copying[i].magic)
			keyplace_problem(problems, "warning", path,
							 "Use a file system that overwrites in place (ext4, xfs) and takes no snapshots, or a command: provider.",
							 "it is on %s, which writes elsewhere what is overwritten, and may keep what is destroyed",
							 copying[i].name);
	}
	if (magic == 0x01021994 || magic == 0x858458F6)
		keyplace_problem(problems, "error", path,
						 "Use a directory on disk.",
						 "it is in memory only: a restart of the machine loses the keyring");
	if (magic == 0x6969 || magic == 0xFE534D42 || magic == 0xFF534D42)
		keyplace_problem(problems, "info", path,
						 "Make sure that the file server takes no snapshots of it, and that locks reach it.",
						 "it is on a network file system");
#endif
}

/* A directory above that is a git work tree. */
static void
check_repository(const char *directory, List **problems)
{
	char		path[MAXPGPATH];
	struct stat st;

	if (!resolve(directory, path))
		return;
	for (;;)
	{
		char		git[MAXPGPATH];

		snprintf(git, sizeof(git), "%s/.git", strcmp(path, "/") == 0 ? "" : path);
		if (stat(git, &st) == 0)
		{
			keyplace_problem(problems, "warning", directory,
							 "Move the keyring, and see that no commit holds it.",
							 "it is within a git repository, \"%s\"", path);
			return;
		}
		if (strcmp(path, "/") == 0)
			return;
		get_parent_directory(path);
		if (path[0] == '\0')
			strcpy(path, "/");
	}
}

static void
check_permissions(const char *path, List **problems)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return;
	if (S_ISLNK(st.st_mode))
		keyplace_problem(problems, "error", path, "Put the file itself there.",
						 "it is a symbolic link, which is not followed");
	else if (st.st_mode & (S_IRWXG | S_IRWXO))
		keyplace_problem(problems, "error", path,
						 "Take all rights of group and others: chmod go-rwx.",
						 "others than the server's user may read or change it");
	else if (st.st_uid != geteuid())
		keyplace_problem(problems, "error", path, "Make the server's user its owner.",
						 "it belongs to another user");
	if (S_ISREG(st.st_mode) && st.st_nlink > 1)
		keyplace_problem(problems, "error", path,
						 "Find and remove the other name: find / -samefile.",
						 "the file has another name somewhere");
}

/*
 * Adds what is wrong with the place itself; what the mirrors hold is compared
 * by keyprovider_check.
 */
void
keyfile_check(KeyPlace *base, List **problems)
{
	KeyFilePlace *place = (KeyFilePlace *) base;
	struct stat st;
	DIR		   *dir;
	struct dirent *de;

	if (stat(base->name, &st) != 0)
	{
		keyplace_problem(problems, "error", base->name,
						 "Mount it, or take it out of purpose.keyring.",
						 "the directory cannot be found: %m");
		return;
	}
	if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))
		keyplace_problem(problems, "error", base->name, "Take the right to write: chmod o-w.",
						 "everybody may put files there");
	check_file_system(base->name, problems);
	check_repository(base->name, problems);
	if (!enableFsync)
		keyplace_problem(problems, "warning", base->name, "Switch the setting fsync on.",
						 "the setting fsync is off: keys are not written to disk before they are used");

	if (stat(place->path, &st) != 0)
	{
		keyplace_problem(problems, "error", base->name,
						 "Mount it; for a new mirror, make an empty directory of the keyring's name in it.",
						 "keyring %s is not there", base->keyring);
		return;
	}
	check_permissions(place->path, problems);
	if (access(place->path, R_OK | W_OK | X_OK) != 0)
		keyplace_problem(problems, "error", place->path,
						 "Let the server's user read and write it.",
						 "it cannot be written: %m");
	dir = AllocateDir(place->path);
	while ((de = ReadDirExtended(dir, place->path, WARNING)) != NULL)
	{
		char	   *path = psprintf("%s/%s", place->path, de->d_name);

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		check_permissions(path, problems);
		if (strncmp(de->d_name, KEYFILE_TEMP_PREFIX, strlen(KEYFILE_TEMP_PREFIX)) == 0)
			keyplace_problem(problems, "info", path,
							 "The next change of the keyring removes it.",
							 "an interrupted change left it over");
	}
	FreeDir(dir);
}
