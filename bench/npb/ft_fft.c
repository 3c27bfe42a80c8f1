/*
 * Stockham's transform, which puts the results into order as it goes, two powers of two at a time
 * (radix 4), and at the end one if one is left.
 *
 * FT_BLOCK lines are copied into work space, real and imaginary parts apart and the lines side
 * by side; so all inner loops run over neighbouring numbers with the same factor, and the
 * work space of a block stays in the cache.
 */
#include "ft_fft.h"
#include "npb.h"

#include <math.h>

/* Two buffers, real and imaginary part each: a step reads the first and writes the second. */
struct buffers {
    double *re, *im, *to_re, *to_im;
};

void ft_plan_make(struct ft_plan *p, int n)
{
    p->n = n;
    p->cosine = npb_allocate((size_t)n, sizeof(double));
    p->sine = npb_allocate((size_t)n, sizeof(double));
    for (int i = 0; i < n; i++) {
        p->cosine[i] = cos(2 * M_PI * i / n);
        p->sine[i] = sin(2 * M_PI * i / n);
    }
    for (int i = 0; i < 4; i++)
        p->work[i] = npb_allocate((size_t)n * FT_BLOCK, sizeof(double));
}

/* Combines four groups of `width` numbers each; the factors are those of the group. */
static void butterfly4(const double *restrict re, const double *restrict im, double *restrict to_re,
                       double *restrict to_im, size_t width, size_t quarter, int sign,
                       const double c[4], const double s[4])
{
    double turn = sign;

    for (size_t q = 0; q < width; q++) {
        double ar = re[q], ai = im[q], br = re[q + quarter], bi = im[q + quarter];
        double cr = re[q + 2 * quarter], ci = im[q + 2 * quarter];
        double dr = re[q + 3 * quarter], di = im[q + 3 * quarter];
        double sum_r = ar + cr, sum_i = ai + ci, diff_r = ar - cr, diff_i = ai - ci;
        double other_r = br + dr, other_i = bi + di;
        double turned_r = turn * (di - bi), turned_i = turn * (br - dr);
        double x1r = diff_r + turned_r, x1i = diff_i + turned_i;
        double x2r = sum_r - other_r, x2i = sum_i - other_i;
        double x3r = diff_r - turned_r, x3i = diff_i - turned_i;

        to_re[q] = sum_r + other_r;
        to_im[q] = sum_i + other_i;
        to_re[q + width] = x1r * c[1] - x1i * s[1];
        to_im[q + width] = x1r * s[1] + x1i * c[1];
        to_re[q + 2 * width] = x2r * c[2] - x2i * s[2];
        to_im[q + 2 * width] = x2r * s[2] + x2i * c[2];
        to_re[q + 3 * width] = x3r * c[3] - x3i * s[3];
        to_im[q + 3 * width] = x3r * s[3] + x3i * c[3];
    }
}

static void radix4(const struct ft_plan *p, int sign, const struct buffers *b, size_t left,
                   size_t width)
{
    size_t quarter = left / 4 * width;

    for (size_t i = 0; i < left / 4; i++) {
        double c[4], s[4];

        for (size_t k = 1; k < 4; k++) {
            size_t angle = k * i * ((size_t)p->n / left);

            c[k] = p->cosine[angle];
            s[k] = sign * p->sine[angle];
        }
        butterfly4(b->re + i * width, b->im + i * width, b->to_re + 4 * i * width,
                   b->to_im + 4 * i * width, width, quarter, sign, c, s);
    }
}

/* The last step, when two numbers are left to combine: no factors. */
static void radix2(const struct buffers *b, size_t width)
{
    const double *restrict re = b->re, *restrict im = b->im;
    double *restrict to_re = b->to_re, *restrict to_im = b->to_im;

    for (size_t q = 0; q < width; q++) {
        to_re[q] = re[q] + re[q + width];
        to_im[q] = im[q] + im[q + width];
        to_re[q + width] = re[q] - re[q + width];
        to_im[q + width] = im[q] - im[q + width];
    }
}

static void swap(struct buffers *b)
{
    *b = (struct buffers){b->to_re, b->to_im, b->re, b->im};
}

/* Leaves the result in b->re and b->im. */
static void transform_block(const struct ft_plan *p, int sign, struct buffers *b)
{
    size_t left = (size_t)p->n, width = FT_BLOCK;

    for (; left >= 4; left /= 4, width *= 4) {
        radix4(p, sign, b, left, width);
        swap(b);
    }
    if (left == 2) {
        radix2(b, width);
        swap(b);
    }
}

/* Along a line first if its numbers are neighbours, else across the lines. */
static void load(const struct buffers *b, int n, const struct ft_complex *in, size_t lines,
                 size_t line, size_t step)
{
    size_t count = (size_t)n;

    if (step == 1) {
        for (size_t l = 0; l < lines; l++)
            for (size_t i = 0; i < count; i++) {
                b->re[i * FT_BLOCK + l] = in[l * line + i].re;
                b->im[i * FT_BLOCK + l] = in[l * line + i].im;
            }
        return;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t l = 0; l < lines; l++) {
            b->re[i * FT_BLOCK + l] = in[l * line + i * step].re;
            b->im[i * FT_BLOCK + l] = in[l * line + i * step].im;
        }
}

static void store(const struct buffers *b, int n, struct ft_complex *out, size_t lines, size_t line,
                  size_t step)
{
    size_t count = (size_t)n;

    if (step == 1) {
        for (size_t l = 0; l < lines; l++)
            for (size_t i = 0; i < count; i++)
                out[l * line + i] =
                    (struct ft_complex){b->re[i * FT_BLOCK + l], b->im[i * FT_BLOCK + l]};
        return;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t l = 0; l < lines; l++)
            out[l * line + i * step] =
                (struct ft_complex){b->re[i * FT_BLOCK + l], b->im[i * FT_BLOCK + l]};
}

void ft_transform(const struct ft_plan *p, int sign, const struct ft_complex *in,
                  struct ft_complex *out, size_t lines, size_t line, size_t step)
{
    for (size_t l = 0; l < lines; l += FT_BLOCK) {
        size_t count = lines - l < FT_BLOCK ? lines - l : FT_BLOCK;
        struct buffers b = {p->work[0], p->work[1], p->work[2], p->work[3]};

        load(&b, p->n, in + l * line, count, line, step);
        transform_block(p, sign, &b);
        store(&b, p->n, out + l * line, count, line, step);
    }
}
