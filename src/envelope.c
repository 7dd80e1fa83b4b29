/*
 * envelope.c
 *		Reads and prints the format of a sealed value.
 *
 * Pure: no catalog, no key, no state, and no error is raised but for want of
 * memory.  It reads what anybody may have typed or tampered with, so nothing
 * is taken for granted, and there is one text and one sequence of bytes for
 * each envelope: what is parsed is printed back as it was.
 */
#include "postgres.h"

#include "envelope.h"
#include "keybytes.h"

/* Where the fields are, after version, suite and flags. */
#define AT_ADDRESS		2
#define AT_LABEL		10
#define AT_EPOCH		16
#define AT_TOKEN_NUMBER	ENVELOPE_HEADER_LEN
#define AT_TOKEN		(AT_TOKEN_NUMBER + 8)

#define PREFIX_LEN	(sizeof(ENVELOPE_TEXT_PREFIX) - 1)

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/*
 * Reads what stands before an envelope's ciphertext.  Returns false for bytes
 * that are no envelope: too short, another version, an unknown suite, flags
 * that contradict each other.  What it says is not authenticated yet.
 */
bool
envelope_parse(const uint8 *bytes, size_t len, EnvelopeHeader *header)
{
	memset(header, 0, sizeof(EnvelopeHeader));
	if (len < ENVELOPE_OVERHEAD || bytes[0] != ENVELOPE_VERSION)
		return false;
	header->suite = bytes[1] >> 4;
	header->flags = bytes[1] & 0x0F;
	if (header->suite != ENVELOPE_SUITE_AES256GCM ||
		((header->flags & ENVELOPE_FLAG_PENDING) && (header->flags & ENVELOPE_FLAG_CLAIMED)) ||
		len < envelope_header_len(header->flags) + ENVELOPE_TAG_LEN)
		return false;
	header->address = keybytes_get64(bytes + AT_ADDRESS);
	header->label_id = (uint64) keybytes_get32(bytes + AT_LABEL) << 16 |
		keybytes_get16(bytes + AT_LABEL + 4);
	header->epoch = keybytes_get32(bytes + AT_EPOCH);
	memcpy(header->nonce, bytes + ENVELOPE_NONCE_OFFSET, ENVELOPE_NONCE_LEN);
	if (header->flags & ENVELOPE_FLAG_SEARCHABLE)
	{
		header->token_number = keybytes_get64(bytes + AT_TOKEN_NUMBER);
		memcpy(header->token, bytes + AT_TOKEN, ENVELOPE_TOKEN_LEN);
	}
	return true;
}

/*
 * Prints what envelope_parse() reads: envelope_header_len(header->flags) bytes.
 */
void
envelope_print_header(const EnvelopeHeader *header, uint8 *out)
{
	out[0] = ENVELOPE_VERSION;
	out[1] = header->suite << 4 | header->flags;
	keybytes_put64(out + AT_ADDRESS, header->address);
	keybytes_put32(out + AT_LABEL, (uint32) (header->label_id >> 16));
	keybytes_put16(out + AT_LABEL + 4, (uint16) header->label_id);
	keybytes_put32(out + AT_EPOCH, header->epoch);
	memcpy(out + ENVELOPE_NONCE_OFFSET, header->nonce, ENVELOPE_NONCE_LEN);
	if (header->flags & ENVELOPE_FLAG_SEARCHABLE)
	{
		keybytes_put64(out + AT_TOKEN_NUMBER, header->token_number);
		memcpy(out + AT_TOKEN, header->token, ENVELOPE_TOKEN_LEN);
	}
}

/*
 * Returns the text that stands for the bytes of an envelope, palloc'd.
 */
char *
envelope_to_text(const uint8 *bytes, size_t len)
{
	char	   *text = palloc(PREFIX_LEN + (len / 3 + 1) * 4 + 1);
	char	   *out = text + PREFIX_LEN;

	memcpy(text, ENVELOPE_TEXT_PREFIX, PREFIX_LEN);
	while (len > 0)
	{
		int			n = Min(len, 3);
		uint32		group = bytes[0] << 16;

		if (n > 1)
			group |= bytes[1] << 8;
		if (n > 2)
			group |= bytes[2];
		for (int i = 0; i <= n; i++)
			*out++ = digits[(group >> (18 - 6 * i)) & 0x3F];
		bytes += n;
		len -= n;
	}
	*out = '\0';
	return text;
}

/*
 * Returns the value of a digit, or -1 for what is none.
 */
static int
digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

/*
 * Reads base64url: no padding, no blanks, no bits to spare.  out has room for
 * three bytes of each four digits begun.  Returns false for anything else.
 */
static bool
decode(const char *text, size_t text_len, uint8 *out, size_t *len)
{
	uint32		bits = 0;
	int			nbits = 0;

	*len = 0;
	if (text_len % 4 == 1)
		return false;
	for (size_t i = 0; i < text_len; i++)
	{
		int			value = digit_value(text[i]);

		if (value < 0)
			return false;
		bits = (bits << 6 | value) & 0x3FFF;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			out[(*len)++] = (uint8) (bits >> nbits);
		}
	}
	return (bits & ((1U << nbits) - 1)) == 0;
}

/*
 * Returns the bytes of the envelope that a text stands for, palloc'd, and their
 * number; NULL if it is not the text of an envelope that may be stored, letter
 * by letter as envelope_to_text() prints it.
 */
uint8 *
envelope_from_text(const char *text, size_t text_len, size_t *len)
{
	uint8	   *bytes;
	EnvelopeHeader header;

	if (text_len < PREFIX_LEN || memcmp(text, ENVELOPE_TEXT_PREFIX, PREFIX_LEN) != 0)
		return NULL;
	text += PREFIX_LEN;
	text_len -= PREFIX_LEN;
	bytes = palloc(text_len / 4 * 3 + 3);
	if (decode(text, text_len, bytes, len) &&
		envelope_parse(bytes, *len, &header) &&
		(header.flags & ~ENVELOPE_FLAGS_STORED) == 0)
		return bytes;
	pfree(bytes);
	return NULL;
}
