/*
 * envelope_fuzz.c
 *		The envelope's parser, from bytes and from text.
 *
 * Whatever the input: no byte outside it is read, and what is taken for an
 * envelope prints back as the very same bytes and letters.
 */
#include "postgres.h"

#include "envelope.h"

#include "standin.h"

int			LLVMFuzzerTestOneInput(const uint8 *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
try_bytes(const uint8 *data, size_t size)
{
	EnvelopeHeader header;
	size_t		header_len;
	uint8	   *printed;
	char	   *text;
	uint8	   *again;
	size_t		again_len;
	bool		may_be_stored;

	text = envelope_to_text(data, size);
	again = envelope_from_text(text, strlen(text), &again_len);
	if (!envelope_parse(data, size, &header))
	{
		must(again == NULL);
		return;
	}
	header_len = envelope_header_len(header.flags);
	must(header_len + ENVELOPE_TAG_LEN <= size);
	printed = palloc(header_len);
	envelope_print_header(&header, printed);
	must(memcmp(printed, data, header_len) == 0);

	may_be_stored = (header.flags & ~ENVELOPE_FLAGS_STORED) == 0;
	must((again != NULL) == may_be_stored);
	if (again != NULL)
		must(again_len == size && memcmp(again, data, size) == 0);
}

static void
try_text(const char *text, size_t size)
{
	size_t		len;
	uint8	   *bytes = envelope_from_text(text, size, &len);
	char	   *printed;

	if (bytes == NULL)
		return;
	printed = envelope_to_text(bytes, len);
	must(strlen(printed) == size && memcmp(printed, text, size) == 0);
	try_bytes(bytes, len);
}

int
LLVMFuzzerTestOneInput(const uint8 *data, size_t size)
{
	/* The sanitizer sees reads past the end of this, not of the input. */
	uint8	   *copy = palloc(size);

	memcpy(copy, data, size);
	try_bytes(copy, size);
	try_text((const char *) copy, size);

	/* Most inputs are no text of an envelope by their first letters. */
	copy = palloc(strlen(ENVELOPE_TEXT_PREFIX) + size);
	memcpy(copy, ENVELOPE_TEXT_PREFIX, strlen(ENVELOPE_TEXT_PREFIX));
	memcpy(copy + strlen(ENVELOPE_TEXT_PREFIX), data, size);
	try_text((const char *) copy, strlen(ENVELOPE_TEXT_PREFIX) + size);
	standin_free();
	return 0;
}
