/* The sparse matrix of CG: one rank's block of it. */
#ifndef NPB_CG_MATRIX_H
#define NPB_CG_MATRIX_H

#include <stdint.h>

struct cg_range {
    int begin, end; /* the end excluded */
};

/* Compressed rows; indices are relative to the block. */
struct cg_matrix {
    int rows;
    int64_t *begin; /* of each row; one more than rows */
    int32_t *col;
    double *value;
};

/*
 * Makes the block rows x cols of the matrix of order n: a weighted sum of outer products of random
 * sparse vectors with per_row nonzeros, the weights in geometric progression from 1 to 0.1, plus
 * (0.1 - shift) on the diagonal. Every rank makes all vectors, as they come from one sequence.
 */
void cg_matrix_make(struct cg_matrix *m, int n, int per_row, double shift, struct cg_range rows,
                    struct cg_range cols);

/* out[rows] = block * in[cols] */
void cg_matrix_multiply(const struct cg_matrix *m, const double *in, double *out);

#endif
