#ifndef NINJA_GPU_IMAGE_H
#define NINJA_GPU_IMAGE_H

/** The kernels as nvcc made them when this program was built, or NULL: there was no nvcc. */
const void *gpu_image(void);

#endif
