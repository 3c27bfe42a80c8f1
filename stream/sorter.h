/*
 * Sorts what a QEMU writes into a batch: its pages, and what is around them.
 */
#ifndef NINJA_STREAM_SORTER_H
#define NINJA_STREAM_SORTER_H

#include "stream/batch.h"

struct sorter {
    struct parser parser;
    size_t page_len;    /* of the page that has not ended */
    size_t rest_before; /* the last page of the batch */
    struct batch batch;
};

/** For memory that is all 0. */
void sorter_init(struct sorter *sorter);

/**
 * Takes bytes, until all are taken or the batch is full.
 *
 * @return how many
 */
size_t sorter_take(struct sorter *sorter, const uint8_t *bytes, size_t len);

/** The batch is to be sent and begun anew before more can be taken. */
bool sorter_is_full(const struct sorter *sorter);

#endif
