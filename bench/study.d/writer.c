/*
 * Writes to memory at a chosen rate: writer MIB MIB-A-SECOND
 *
 * All MIB are filled first, so that they must be copied when the VM moves. Then a word of one page
 * after the other is written, which makes that page one to copy again, as many pages a second as
 * make up the rate; 0: none. What was reached is said every second, in MiB/s: a VM without KVM may
 * not reach what was asked.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE      4096
#define PERIOD_NS 10000000

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static char *fill(size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("writer");
        exit(1);
    }
    for (size_t at = 0; at < bytes; at += PAGE)
        *(volatile uint64_t *)(memory + at) = at + 1;
    puts("filled");
    fflush(stdout);
    return memory;
}

/* Writes pages for as long as a second, and says how many. */
static void write_second(char *memory, size_t bytes, double pages_a_second, size_t *at)
{
    double begin = now(), written = 0;

    while (now() - begin < 1) {
        double due = (now() - begin) * pages_a_second;
        for (; written < due; written++, *at = (*at + PAGE) % bytes)
            ++*(volatile uint64_t *)(memory + *at);
        nanosleep(&(struct timespec){0, PERIOD_NS}, NULL);
    }
    printf("%.1f\n", written * PAGE / (1 << 20) / (now() - begin));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 3 || atol(argv[1]) < 1 || atol(argv[2]) < 0) {
        fprintf(stderr, "usage: writer MIB MIB-A-SECOND\n");
        return 64;
    }
    size_t bytes = (size_t)atol(argv[1]) << 20, at = 0;
    char *memory = fill(bytes);
    double pages = (double)atol(argv[2]) * (1 << 20) / PAGE;
    while (pages > 0)
        write_second(memory, bytes, pages, &at);
    pause();
    return 0;
}
