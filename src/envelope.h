/*
 * envelope.h
 *		The format of a sealed value, byte by byte (all integers big-endian):
 *
 *	offset	length	field
 *	0		1		version, 1
 *	1		1		suite (high nibble, 1 = AES-256-GCM with HKDF-SHA-256) and
 *					flags (low nibble)
 *	2		8		address of the subject's key (keytree.h)
 *	10		6		label id
 *	16		4		epoch of the retention class, 0 = none
 *	20		12		nonce
 *	32		n		ciphertext
 *	32 + n	16		tag
 *
 * That is 48 bytes over the plaintext.  The envelope of a searchable type has
 * the flag SEARCHABLE and, between nonce and ciphertext,
 *
 *	32		8		number of the token key
 *	40		16		token: equal for equal values of a column
 *
 * and so 72 bytes over the plaintext.  All that stands before the ciphertext
 * is authenticated with it.  Two flags exist in memory only and are
 * never stored: PENDING, whose ciphertext is under a key of this server's
 * memory and waits for the trigger that seals it; and CLAIMED, a complete
 * envelope that somebody typed in, which the trigger has to verify.
 *
 * The text form is "purpose:1:" and the bytes in base64url (RFC 4648, section
 * 5) without padding; exactly one text stands for an envelope.
 */
#ifndef PURPOSE_ENVELOPE_H
#define PURPOSE_ENVELOPE_H

#define ENVELOPE_VERSION		1
#define ENVELOPE_SUITE_AES256GCM	1

#define ENVELOPE_FLAG_PADDED	0x1 /* plaintext ends in 0x80 and zeros
									 * (ISO/IEC 7816-4) */
#define ENVELOPE_FLAG_SEARCHABLE 0x2
#define ENVELOPE_FLAG_PENDING	0x4
#define ENVELOPE_FLAG_CLAIMED	0x8
#define ENVELOPE_FLAGS_STORED	(ENVELOPE_FLAG_PADDED | ENVELOPE_FLAG_SEARCHABLE)

#define ENVELOPE_HEADER_LEN		32
#define ENVELOPE_TAG_LEN		16
#define ENVELOPE_OVERHEAD		(ENVELOPE_HEADER_LEN + ENVELOPE_TAG_LEN)
#define ENVELOPE_NONCE_OFFSET	20
#define ENVELOPE_NONCE_LEN		12
#define ENVELOPE_TOKEN_LEN		16
#define ENVELOPE_SEARCH_LEN		(8 + ENVELOPE_TOKEN_LEN)
#define ENVELOPE_TEXT_PREFIX	"purpose:1:"

typedef struct EnvelopeHeader
{
	uint8		suite;
	uint8		flags;
	uint64		address;
	uint64		label_id;		/* 48 bits */
	uint32		epoch;
	uint8		nonce[ENVELOPE_NONCE_LEN];

	/* of searchable ones */
	uint64		token_number;
	uint8		token[ENVELOPE_TOKEN_LEN];
} EnvelopeHeader;

/* Length of all that stands before the ciphertext. */
#define envelope_header_len(flags) \
	(ENVELOPE_HEADER_LEN + (((flags) & ENVELOPE_FLAG_SEARCHABLE) ? ENVELOPE_SEARCH_LEN : 0))

/* Returns false for what is no envelope: too short, another version, an
 * unknown suite or flag.  envelope_print_header() writes
 * envelope_header_len(header->flags) bytes. */
extern bool envelope_parse(const uint8 *bytes, size_t len, EnvelopeHeader *header);
extern void envelope_print_header(const EnvelopeHeader *header, uint8 *out);

/* Text form.  envelope_from_text returns NULL for text that does not stand for
 * an envelope, in its one canonical form. */
extern char *envelope_to_text(const uint8 *bytes, size_t len);
extern uint8 *envelope_from_text(const char *text, size_t text_len, size_t *len);

#endif							/* PURPOSE_ENVELOPE_H */
