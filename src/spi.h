/*
 * spi.h
 *		Transactions of background workers, in which they run SQL.
 */
#ifndef PURPOSE_SPI_H
#define PURPOSE_SPI_H

extern void spi_begin_transaction(void);
extern void spi_commit_transaction(void);
extern void spi_flush_visible(void);

#endif							/* PURPOSE_SPI_H */
