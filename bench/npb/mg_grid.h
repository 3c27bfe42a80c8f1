/* MG's grids: cubes of points on several levels, cut into boxes, one a rank, with halos. */
#ifndef NPB_MG_GRID_H
#define NPB_MG_GRID_H

#include <stdbool.h>
#include <stddef.h>

#define MG_MAX_LEVEL 10 /* 2^10 points along each side: class D */

/*
 * One level, or this rank's box of it. The arrays have a halo of one point all around: (n[0] + 2) x
 * (n[1] + 2) x (n[2] + 2), the first index runs fastest.
 */
struct mg_box {
    bool whole;   /* all of the level, on every rank */
    int side;     /* of the level: points along each axis */
    int n[3];     /* points of the box, without halo */
    int first[3]; /* where the box begins in the level */
    double *u, *r;
};

static inline size_t mg_row(const struct mg_box *b, int j, int k)
{
    return ((size_t)k * (size_t)(b->n[1] + 2) + (size_t)j) * (size_t)(b->n[0] + 2);
}

static inline size_t mg_points(const struct mg_box *b)
{
    return (size_t)(b->n[0] + 2) * (size_t)(b->n[1] + 2) * (size_t)(b->n[2] + 2);
}

/* Arranges the ranks, a power of two of them, as a box; the first axis gets the fewest. */
void mg_grid_init(int top);

/* Whether each rank has at least one point of a level along each axis. */
bool mg_grid_fits(int level);

struct mg_box mg_box_make(int level, bool whole);

/* Fills the halo of one of the box's arrays: from the neighbours, periodically. */
void mg_halo(const struct mg_box *b, double *array);

/* Fills `all`, which is the whole level, from the ranks' boxes of it, halo included. */
void mg_gather(const struct mg_box *b, const double *array, const struct mg_box *all, double *to);

/* The own box out of the whole level, halo included. */
void mg_cut(const struct mg_box *all, const double *from, const struct mg_box *b, double *to);

#endif
