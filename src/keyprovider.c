/*
 * keyprovider.c
 *		The settings of the key provider, and opening it: which places there
 *		are.  What is done with them together is in keymirrors.c.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "errcodes.h"
#include "keyplace.h"
#include "keyprovider.h"

char	   *keyprovider_setting = NULL;
int			keyprovider_timeout = 10000;

static const char *const kind_names[KEYOBJECT_KINDS] = {
	[KEYOBJECT_STATE] = "state",
	[KEYOBJECT_ROOT] = "root",
	[KEYOBJECT_EXTENTS] = "extents",
	[KEYOBJECT_CLAIM] = "claim",
	[KEYOBJECT_JOURNAL] = "journal",
	[KEYOBJECT_JOURNAL_KEY] = "journal-key",
	[KEYOBJECT_FORK] = "fork",
};

#define FILE_PREFIX		"file:"
#define COMMAND_PREFIX	"command:"

static List *parse_setting(const char *setting, bool *command, const char **why);

/*
 * Check hook of purpose.keyring: the form only.  It runs in every process at
 * every reload, so it must not touch a file system that might hang.
 */
static bool
check_setting(char **newval, void **extra, GucSource source)
{
	bool		command;
	const char *why;
	MemoryContext scratch;
	MemoryContext caller;
	bool		good;

	if (*newval == NULL || **newval == '\0')
		return true;
	scratch = AllocSetContextCreate(CurrentMemoryContext, "pg_purpose setting",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(scratch);
	good = parse_setting(*newval, &command, &why) != NIL;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
	if (!good)
	{
		GUC_check_errdetail("%s", why);
		GUC_check_errhint("For example 'file:/var/lib/pg_purpose, file:/mnt/second/pg_purpose' or 'command:/usr/local/bin/keys'.");
	}
	return good;
}

/*
 * Defines the settings.
 */
void
keyprovider_init(void)
{
	DefineCustomStringVariable("purpose.keyring",
							   "Where the keyring is kept: directories or a key service, never within the data directory.",
							   "file:/directory, file:/mirror; or command:/program arguments.",
							   &keyprovider_setting,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   check_setting, NULL, NULL);

	DefineCustomIntVariable("purpose.provider_timeout",
							"How long a key provider may take to answer.",
							"After that what it did is unknown, and is asked for again.",
							&keyprovider_timeout,
							10000, 100, 3600 * 1000,
							PGC_SIGHUP,
							GUC_UNIT_MS,
							NULL, NULL, NULL);
}

const char *
keyprovider_kind_name(KeyObjectKind kind)
{
	return kind_names[kind];
}

/*
 * The name of a result, for logs and tests.
 */
const char *
keyprovider_result_name(KeyProviderResult result)
{
	switch (result)
	{
		case KEYPROVIDER_DONE:
			return "done";
		case KEYPROVIDER_ABSENT:
			return "absent";
		case KEYPROVIDER_EXISTS:
			return "exists";
		case KEYPROVIDER_FENCED:
			return "fenced";
		case KEYPROVIDER_PENDING:
			return "pending";
		case KEYPROVIDER_UNKNOWN:
			break;
	}
	return "unknown";
}

/* ----------
 * Opening
 * ----------
 */

/*
 * Returns the directories that the setting names, or its one command, or NIL
 * and why it is none.
 */
static List *
parse_setting(const char *setting, bool *command, const char **why)
{
	List	   *found = NIL;
	char	   *rest;
	char	   *entry;

	while (*setting == ' ' || *setting == '\t')
		setting++;
	*command = strncmp(setting, COMMAND_PREFIX, strlen(COMMAND_PREFIX)) == 0;
	if (*command)
	{
		setting += strlen(COMMAND_PREFIX);
		if (keycommand_parse(setting, why) == NIL)
			return NIL;
		return list_make1(pstrdup(setting));
	}

	rest = pstrdup(setting);
	while ((entry = strsep(&rest, ",")) != NULL)
	{
		char	   *end;

		while (*entry == ' ' || *entry == '\t')
			entry++;
		end = entry + strlen(entry);
		while (end > entry && (end[-1] == ' ' || end[-1] == '\t'))
			*--end = '\0';
		if (strncmp(entry, FILE_PREFIX, strlen(FILE_PREFIX)) != 0)
		{
			*why = "Each entry begins with \"file:\"; a setting that begins with \"command:\" is one command.";
			return NIL;
		}
		entry += strlen(FILE_PREFIX);
		if (!is_absolute_path(entry))
		{
			*why = "A directory is named by an absolute path.";
			return NIL;
		}
		canonicalize_path(entry);
		if (DataDir != NULL && path_is_prefix_of_path(DataDir, entry))
		{
			*why = "A keyring within the data directory would be in every base backup.";
			return NIL;
		}
		found = lappend(found, entry);
	}
	return found;
}

KeyProvider *
keyprovider_open(const char *setting, const uint8 keyring[KEYRING_ID_LEN])
{
	MemoryContext context;
	MemoryContext caller;
	KeyProvider *provider;
	List	   *entries;
	ListCell   *lc;
	bool		command;
	const char *why;

	if (setting == NULL || setting[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("no place for keyrings is configured"),
				 errhint("Set purpose.keyring in the server's configuration, for example to 'file:/var/lib/pg_purpose'.")));

	context = AllocSetContextCreate(CurrentMemoryContext, "pg_purpose key provider",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	provider = palloc0(sizeof(KeyProvider));
	provider->context = context;
	entries = parse_setting(setting, &command, &why);
	if (entries == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_KEYRING_UNAVAILABLE),
				 errmsg("purpose.keyring cannot be read"),
				 errdetail("%s", why),
				 errhint("Correct purpose.keyring in the server's configuration and reload it.")));
	foreach(lc, entries)
	{
		char	   *entry = lfirst(lc);

		provider->places = lappend(provider->places,
								   command ? keycommand_open(entry, keyring) :
								   keyfile_open(entry, keyring));
	}
	provider->scratch = AllocSetContextCreate(context, "pg_purpose key operation",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(caller);
	return provider;
}

KeyProvider *
keyprovider_open_known(const char *setting, const uint8 keyring[KEYRING_ID_LEN])
{
	KeyProvider *provider = keyprovider_open(setting, keyring);
	MemoryContext caller = keyprovider_begin(provider);
	List	   *lacking = NIL;
	bool		known = false;
	ListCell   *lc;

	foreach(lc, provider->places)
	{
		KeyPlace   *place = lfirst(lc);

		switch (place->routine->knows(place))
		{
			case KEYPROVIDER_DONE:
				known = true;
				break;
			case KEYPROVIDER_ABSENT:
				lacking = lappend(lacking, place);
				break;
			default:
				break;
		}
	}
	MemoryContextSwitchTo(provider->context);
	if (known)
		provider->places = list_difference_ptr(provider->places, lacking);
	MemoryContextSwitchTo(caller);
	return provider;
}

/*
 * Frees the provider, but nothing that it returned.
 */
void
keyprovider_close(KeyProvider *provider)
{
	MemoryContextDelete(provider->context);
}
