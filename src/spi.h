/*
 * spi.h
 *		SQL run from C: transactions of background workers, rows of results.
 */
#ifndef PURPOSE_SPI_H
#define PURPOSE_SPI_H

#include "access/htup.h"
#include "access/tupdesc.h"

extern void spi_begin_transaction(void);
extern void spi_commit_transaction(void);
extern void spi_flush_visible(void);
extern HeapTuple spi_whole_row(HeapTuple result, TupleDesc result_desc, TupleDesc *desc);

#endif							/* PURPOSE_SPI_H */
