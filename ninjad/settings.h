/*
 * What an administrator can say about ninjad. Filled from the command line (main.c).
 */
#ifndef NINJAD_SETTINGS_H
#define NINJAD_SETTINGS_H

#include <stdbool.h>

#define SETTINGS_MAX_CLUSTERS 64
#define SETTINGS_SOCKET       "/run/ninja/ninjad.sock"
#define SETTINGS_GROUP        "ninja"

struct settings {
    const char *clusters[SETTINGS_MAX_CLUSTERS]; /* files */
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
