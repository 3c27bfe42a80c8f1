/*
 * The addresses of all ranks of a job, as the coordinator gives them to each of its agents: one
 * text, in which there is little left of what many ranks have in common. What the bytes of one
 * rank's addresses mean only the ranks know.
 */
#ifndef NINJA_ADDRESS_LIST_H
#define NINJA_ADDRESS_LIST_H

#include <stdint.h>

/**
 * Makes the text.
 *
 * @param ends  for each rank, where its bytes end in data; those of rank 0 begin at 0
 * @return malloc'ed; NULL with errno: EFBIG, they are more than the file of addresses.h can have,
 *         or ENOMEM
 */
char *ninja_address_list_encode(const uint32_t *ends, uint32_t n_ranks, const void *data);

/**
 * Reads a text from another process.
 *
 * @param ends  out: n_ranks numbers, as above
 * @param data  out: malloc'ed; NULL if the text is wrong
 * @return NULL, or what is wrong with the text (a constant string)
 */
const char *ninja_address_list_decode(const char *text, uint32_t n_ranks, uint32_t *ends,
                                      void **data);

#endif
