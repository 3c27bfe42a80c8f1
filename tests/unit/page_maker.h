/* Pages as guests have them, for tests of what makes pages smaller. */
#ifndef NINJA_PAGE_MAKER_H
#define NINJA_PAGE_MAKER_H

#include <stddef.h>
#include <stdint.h>

enum { MADE_PAGE = 4096 };

/* What a page is full of. */
enum made {
    MADE_ZEROS,
    MADE_SAME,
    MADE_RANDOM,
    MADE_TEXT,
    MADE_DOUBLES,
    MADE_INTEGERS,
    MADE_SPARSE,
    MADE_PERIODS,
    MADE_HALF_RANDOM,
    MADE_KINDS
};

struct page_maker {
    uint64_t state;
};

/** A seed of this run, which is printed, or that of NINJA_SEED. */
struct page_maker page_maker_new(void);

/** A number below `below`. */
uint32_t page_maker_dice(struct page_maker *maker, uint32_t below);

void page_maker_fill(struct page_maker *maker, enum made kind, uint8_t page[MADE_PAGE]);

#endif
