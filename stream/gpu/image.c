#include "stream/gpu/image.h"

#include <stddef.h>

#ifdef HAVE_KERNELS

#include "image_file.h" /* made by make, and new when the kernels are */

/* The assembler takes the file in as it is. */
__asm__(".section .rodata\n"
        ".balign 64\n"
        "gpu_image_bytes:\n"
        ".incbin \"" IMAGE_FILE "\"\n"
        ".previous\n");
extern const char gpu_image_bytes[] __attribute__((visibility("hidden")));

const void *gpu_image(void)
{
    return gpu_image_bytes;
}

#else

const void *gpu_image(void)
{
    return NULL;
}

#endif
