#include "ompi_config.h"

#include "leaving.h"

#include <stdlib.h>

#include "ompi/mca/rte/rte.h"

static bool *leaves; /* by rank; NULL: all do */
static uint32_t n_ranks;

bool leaving_set(const struct ninja_rank_pair *ranges, uint32_t n, uint32_t ranks)
{
    bool *by_rank = n > 0 ? calloc(ranks, sizeof(*by_rank)) : NULL;
    if (n > 0 && by_rank == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < ranges[i].value && ranges[i].peer + k < ranks; k++) {
            by_rank[ranges[i].peer + k] = true;
        }
    }
    leaving_forget();
    leaves = by_rank;
    n_ranks = ranks;
    return true;
}

void leaving_forget(void)
{
    free(leaves);
    leaves = NULL;
}

bool leaving_is(uint32_t rank)
{
    return leaves == NULL || rank >= n_ranks || leaves[rank];
}

bool leaving_concerns(uint32_t rank)
{
    return leaving_is(rank) || leaving_is(OMPI_PROC_MY_NAME->vpid);
}
