/*
 * Finds the pages in what a QEMU writes in a pre-copy. Pages and what is around them are handed on
 * in the order in which they came, so nothing is lost whatever the parser makes of them: where it
 * does not know any further, all that follows is no page.
 */
#ifndef NINJA_STREAM_PARSER_H
#define NINJA_STREAM_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096

enum parser_state {
    PARSER_MAGIC,
    PARSER_SECTION,
    PARSER_CONFIGURATION,
    PARSER_START,
    PARSER_START_ID,
    PARSER_START_VERSION,
    PARSER_PART,
    PARSER_COMMAND,
    PARSER_SKIP, /* bytes that mean nothing here */
    PARSER_RAM,
    PARSER_RAM_BLOCK,
    PARSER_SIZES_BLOCK,
    PARSER_SIZES_LENGTH,
    PARSER_PAGE,
    PARSER_FOOTER,
    PARSER_BYTES, /* for good */
};

struct parser {
    enum parser_state state;
    uint8_t field[256];
    size_t have, need; /* of the field, or of the page */
    size_t skip;
    enum parser_state after_skip;
    bool knows_ram;
    uint32_t ram;    /* the number of its section */
    uint64_t header; /* of the page that follows */
    uint64_t sizes;  /* of memory whose blocks are still to be named */
};

void parser_init(struct parser *parser);

/**
 * Takes bytes.
 *
 * @param bytes  at least one
 * @param page   out: whether those that were taken are of a page; they are of one page then
 * @param ends   out: whether that page ends with them
 * @return how many were taken: at least one
 */
size_t parser_take(struct parser *parser, const uint8_t *bytes, size_t len, bool *page, bool *ends);

#endif
