/*
 * keyprovidertest.c
 *		The key provider as an SQL function, for tests; in test builds only.
 *		tests/lib/test_provider.sql declares it.
 */
#include "postgres.h"

#ifdef PURPOSE_TEST_BUILD

#include "fmgr.h"
#include "utils/builtins.h"

#include "keyprovider.h"
#include "secret.h"

PG_FUNCTION_INFO_V1(purpose_test_provider);

static KeyObjectKind
kind_named(const char *name)
{
	for (int kind = 0; kind < KEYOBJECT_KINDS; kind++)
	{
		if (strcmp(keyprovider_kind_name(kind), name) == 0)
			return kind;
	}
	elog(ERROR, "no kind of key object: %s", name);
}

/*
 * provider(op text, kind text, version bigint, fence bigint,
 * data bytea) returns text: the result, and for some operations what they
 * gave.  The keyring is always the same one, 00112233...
 */
Datum
purpose_test_provider(PG_FUNCTION_ARGS)
{
	static const uint8 keyring[KEYRING_ID_LEN] = {
		0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
		0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff
	};
	char	   *op = text_to_cstring(PG_GETARG_TEXT_PP(0));
	KeyObjectKind kind = kind_named(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	uint64		version = PG_GETARG_INT64(2);
	uint64		fence = PG_GETARG_INT64(3);
	bytea	   *data = PG_GETARG_BYTEA_PP(4);
	KeyProvider *provider = keyprovider_open(keyprovider_setting, keyring);
	KeyProviderResult result = KEYPROVIDER_DONE;
	StringInfoData out;
	List	   *found = NIL;
	ListCell   *lc;

	initStringInfo(&out);
	if (strcmp(op, "store") == 0)
		result = keyprovider_store(provider, kind, version, fence,
								   VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	else if (strcmp(op, "destroy") == 0)
		result = keyprovider_destroy(provider, kind, version, fence);
	else if (strcmp(op, "repair") == 0)
		result = keyprovider_repair(provider, fence);
	else if (strcmp(op, "status") == 0)
		result = keyprovider_status(provider, kind, version);
	else if (strcmp(op, "list") == 0)
	{
		result = keyprovider_list(provider, kind, &found);
		foreach(lc, found)
			appendStringInfo(&out, " %llu", (unsigned long long) *(uint64 *) lfirst(lc));
	}
	else if (strcmp(op, "highest") == 0)
	{
		result = keyprovider_highest(provider, kind, &version);
		appendStringInfo(&out, " %llu", (unsigned long long) version);
	}
	else if (strcmp(op, "fetch") == 0)
	{
		uint8	   *object;
		size_t		len;

		result = keyprovider_fetch(provider, kind, version, &object, &len);
		if (result == KEYPROVIDER_DONE)
		{
			appendStringInfoChar(&out, ' ');
			enlargeStringInfo(&out, 2 * len + 1);
			out.len += hex_encode((char *) object, len, out.data + out.len);
			out.data[out.len] = '\0';
			secret_wipe(object, len);
		}
	}
	else if (strcmp(op, "places") == 0)
	{
		appendStringInfo(&out, " %s", keyprovider_evidence(provider));
		foreach(lc, keyprovider_locations(provider))
			appendStringInfo(&out, " %s", (char *) lfirst(lc));
	}
	else if (strcmp(op, "check") == 0)
	{
		foreach(lc, keyprovider_check(provider))
		{
			KeyProviderProblem *problem = lfirst(lc);

			appendStringInfo(&out, "\n%s|%s|%s", problem->severity, problem->object,
							 problem->problem);
		}
	}
	else
		elog(ERROR, "no such operation: %s", op);
	keyprovider_close(provider);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%s%s", keyprovider_result_name(result),
											  out.data)));
}

#endif							/* PURPOSE_TEST_BUILD */
