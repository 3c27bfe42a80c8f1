/*
 * Metrics in the text format of Prometheus, in a file that node_exporter's textfile collector
 * reads.
 */
#ifndef NINJAD_METRICS_H
#define NINJAD_METRICS_H

#include <stdbool.h>

#include "ninjad/ninjad.h"

/* How often the file is written where nothing changes. */
#define METRICS_MS 15000

struct metrics;

struct metrics *metrics_new(struct ninjad *ninjad);
void metrics_free(struct metrics *metrics);

/** Counts an answered request. command: of the table, or NULL: it was none. */
void metrics_count_request(struct metrics *metrics, const char *command, bool ok);

/** Writes the file, if there is to be one, as a whole. Logs what goes wrong, once. */
void metrics_write(struct metrics *metrics);

#endif
