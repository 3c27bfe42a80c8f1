/* One-dimensional Fourier transforms of many lines at once. */
#ifndef NPB_FT_FFT_H
#define NPB_FT_FFT_H

#include <stddef.h>

struct ft_complex {
    double re, im;
};

/* How many lines go through the cache together. */
#define FT_BLOCK 16

struct ft_plan {
    int n;          /* a power of two */
    double *cosine; /* of 2 pi i / n, and the sine; n of each */
    double *sine;
    double *work[4]; /* n x FT_BLOCK each */
};

void ft_plan_make(struct ft_plan *p, int n);

/*
 * Transforms `lines` lines of n numbers, not scaled. sign is that of the exponent. Number i of line
 * l is at in[l * line + i * step], and of the result at out[l * line + i * step]; in and out may be
 * the same.
 */
void ft_transform(const struct ft_plan *p, int sign, const struct ft_complex *in,
                  struct ft_complex *out, size_t lines, size_t line, size_t step);

#endif
