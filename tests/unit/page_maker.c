#include "page_maker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t next(struct page_maker *maker)
{
    maker->state = maker->state * 6364136223846793005u + 1442695040888963407u;
    return maker->state ^ maker->state >> 29;
}

struct page_maker page_maker_new(void)
{
    const char *given = getenv("NINJA_SEED");
    uint64_t seed =
        given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    printf("NINJA_SEED=%llu\n", (unsigned long long)seed);
    return (struct page_maker){seed};
}

uint32_t page_maker_dice(struct page_maker *maker, uint32_t below)
{
    return (uint32_t)(next(maker) >> 16) % below;
}

static void put(uint8_t *to, uint64_t value)
{
    memcpy(to, &value, sizeof(value));
}

static void fill_text(struct page_maker *maker, uint8_t *page)
{
    static const char *const words[] = {
        "the ", "page ", "memory ", "int ",  "return ", "; ",   "struct ", "static ",
        "= ",   "{\n",   "}\n",     "0x7f ", "/usr/",   "lib/", ".so",     "const "};
    for (size_t at = 0; at < MADE_PAGE;) {
        const char *word = words[page_maker_dice(maker, 16)];
        size_t len = strlen(word) < MADE_PAGE - at ? strlen(word) : MADE_PAGE - at;
        memcpy(page + at, word, len);
        at += len;
    }
}

static void fill_doubles(struct page_maker *maker, uint8_t *page)
{
    double x = page_maker_dice(maker, 1000), step = page_maker_dice(maker, 100) / 1e3;
    for (size_t i = 0; i < MADE_PAGE / 8; i++) {
        double value = sin(x + step * (double)i) * 40 + page_maker_dice(maker, 100) / 1e9;
        memcpy(page + 8 * i, &value, 8);
    }
}

static void fill_integers(struct page_maker *maker, uint8_t *page)
{
    for (size_t i = 0; i < MADE_PAGE / 4; i++) {
        uint32_t value = page_maker_dice(maker, 1 << 19);
        memcpy(page + 4 * i, &value, 4);
    }
}

/* A short pattern again and again, with a byte of it wrong here and there. */
static void fill_periods(struct page_maker *maker, uint8_t *page)
{
    uint32_t period = 1 + page_maker_dice(maker, 70);
    for (size_t i = 0; i < MADE_PAGE; i++) {
        page[i] = i < period ? (uint8_t)next(maker) : page[i - period];
        if (page_maker_dice(maker, 300) == 0) {
            page[i] ^= 1;
        }
    }
}

void page_maker_fill(struct page_maker *maker, enum made kind, uint8_t page[MADE_PAGE])
{
    uint64_t same = kind == MADE_ZEROS ? 0 : next(maker) | 1;
    switch (kind) {
    case MADE_ZEROS:
    case MADE_SAME:
        for (size_t i = 0; i < MADE_PAGE; i += 8) {
            put(page + i, same);
        }
        break;
    case MADE_RANDOM:
        for (size_t i = 0; i < MADE_PAGE; i += 8) {
            put(page + i, next(maker) ^ next(maker) << 32);
        }
        break;
    case MADE_TEXT:
        fill_text(maker, page);
        break;
    case MADE_DOUBLES:
        fill_doubles(maker, page);
        break;
    case MADE_INTEGERS:
        fill_integers(maker, page);
        break;
    case MADE_SPARSE:
        memset(page, 0, MADE_PAGE);
        for (int i = 0; i < 40; i++) {
            page[page_maker_dice(maker, MADE_PAGE)] = (uint8_t)next(maker);
        }
        break;
    case MADE_PERIODS:
        fill_periods(maker, page);
        break;
    case MADE_HALF_RANDOM:
    default:
        fill_text(maker, page);
        for (size_t i = page_maker_dice(maker, 500) * 8; i < MADE_PAGE; i += 8) {
            put(page + i, next(maker) ^ next(maker) << 32);
        }
    }
}
