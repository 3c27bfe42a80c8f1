/*
 * A table of counts between the ranks of a job: row r holds what rank r reported for each peer.
 * The coordinator gives each rank the column: what all others reported for it.
 */
#ifndef NINJA_COUNTS_H
#define NINJA_COUNTS_H

#include <jansson.h>
#include <stdint.h>

#include "common/error.h"

struct counts;

/** @param size  ranks of the job */
struct counts *counts_new(int size);
void counts_free(struct counts *counts);

/**
 * Sets a row from a guest's report.
 *
 * @param row      [[PEER, COUNT], ...], or NULL for none; a count of 0 is the same as none
 * @param changed  set to true if any count differs from the row before; otherwise left alone
 * @return false with err (class ERR_PROTOCOL) if the report is malformed; the row is then unchanged
 */
bool counts_set_row(struct counts *counts, int rank, json_t *row, bool *changed,
                    struct ninja_error *err);

/** What the others reported for a rank: a new array [[PEER, COUNT], ...], by peer. */
json_t *counts_column(struct counts *counts, int rank);

#endif
