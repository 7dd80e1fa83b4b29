/*
 * keyprogram.h
 *		Runs a program with bytes on its standard input, and returns what it
 *		prints and its exit status.
 */
#ifndef PURPOSE_KEYPROGRAM_H
#define PURPOSE_KEYPROGRAM_H

/* The program did not end by itself, or said too much: nothing is known. */
#define KEYPROGRAM_FAILED	(-1)

/*
 * argv ends in NULL and names the program by its absolute path.  No shell.
 * Returns the exit status or, after a warning, KEYPROGRAM_FAILED.  The output,
 * of at most max_output bytes, is in the current memory context; the caller
 * wipes it.  There is none unless the exit status is 0.
 */
extern int	keyprogram_run(char *const *argv, const void *input, size_t input_len,
						   size_t max_output, uint8 **output, size_t *output_len);

#endif							/* PURPOSE_KEYPROGRAM_H */
