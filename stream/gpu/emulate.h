/* The kernels of kernels.h as host C++: for tests, and for who wants to see what they do. */
#ifndef NINJA_GPU_EMULATE_H
#define NINJA_GPU_EMULATE_H

#include <stdbool.h>

#include "stream/gpu/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the kernel of this name over everything that the job names; false: there is none. */
bool emulate_kernel(const char *name, const struct gpu_job *job);

#ifdef __cplusplus
}
#endif

#endif
