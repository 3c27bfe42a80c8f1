/*
 * What an administrator can say about ninjad. Filled from ninja.conf, the environment and the
 * command line (main.c).
 */
#ifndef NINJAD_OPTIONS_H
#define NINJAD_OPTIONS_H

#include <stdbool.h>

#define OPTIONS_MAX_CLUSTERS 64
#define NINJAD_GROUP         "ninja"

struct options {
    const char *clusters[OPTIONS_MAX_CLUSTERS]; /* files */
    int n_clusters;
    const char *state_dir;
    const char *listen;    /* a path; NULL: none */
    const char *listen_ro; /* the same, for looking only */
    const char *group;     /* its members may use the socket */
    const char *metrics;   /* a file; NULL: none */
    const char *ninjactl;  /* the program that does the work */
    bool resume;           /* interrupted migrations, each once */
    int exit_idle_s;       /* 0: never */
    int max_workers;
    int max_clients;
};

#endif
