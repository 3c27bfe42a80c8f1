/* What tests ask of the driver without a GPU (fake_cuda.c), by dlsym(). */
#ifndef NINJA_FAKE_CUDA_H
#define NINJA_FAKE_CUDA_H

/* After so many calls more, each one fails; -1: none does. */
void fake_cuda_fail_after(int calls);

/* Calls since then. */
int fake_cuda_calls(void);

/* Pieces of memory that are taken or pinned. */
int fake_cuda_held(void);

#endif
