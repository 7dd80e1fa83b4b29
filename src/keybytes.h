/*
 * keybytes.h
 *		Big-endian integers in envelopes and in the keyring's files, at any
 *		alignment.
 */
#ifndef PURPOSE_KEYBYTES_H
#define PURPOSE_KEYBYTES_H

#include "port/pg_bswap.h"

static inline void
keybytes_put16(uint8 *at, uint16 value)
{
	value = pg_hton16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void
keybytes_put32(uint8 *at, uint32 value)
{
	value = pg_hton32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void
keybytes_put64(uint8 *at, uint64 value)
{
	value = pg_hton64(value);
	memcpy(at, &value, sizeof(value));
}

static inline uint16
keybytes_get16(const uint8 *at)
{
	uint16		value;

	memcpy(&value, at, sizeof(value));
	return pg_ntoh16(value);
}

static inline uint32
keybytes_get32(const uint8 *at)
{
	uint32		value;

	memcpy(&value, at, sizeof(value));
	return pg_ntoh32(value);
}

static inline uint64
keybytes_get64(const uint8 *at)
{
	uint64		value;

	memcpy(&value, at, sizeof(value));
	return pg_ntoh64(value);
}

#endif							/* PURPOSE_KEYBYTES_H */
