/*
 * What QEMU writes, all numbers in network order:
 *
 *     "QEVM" be32 version
 *     07 be32 length, name                                    the machine's name
 *     08 be16 command, be16 length, bytes                     open the return path, ping
 *     01 be32 section, u8 length, name, be32 be32             a device begins: here the memory,
 * "ram" 02 or 03 be32 section                                   more of it of "ram": be64, an
 * address whose low bits are flags, again and again: SIZES     the size of all blocks; u8 length,
 * name, be64 size of each ZERO      a byte that fills a page      \ before it, unless CONTINUE is
 * set, PAGE      a page                        / u8 length, name of its block END       of this
 * part; 7e be32 section follows 04 ...                                                  the state
 * of devices, of no known length
 *
 * Other devices that are saved in parts, post-copy, compression by QEMU: all of that is not known
 * here, and then passed on as it is.
 */
#include "stream/parser.h"

#include <string.h>

#include "stream/bytes.h"

#define FLAG_ZERO     0x02
#define FLAG_SIZES    0x04
#define FLAG_PAGE     0x08
#define FLAG_END      0x10
#define FLAG_CONTINUE 0x20
#define FLAGS         0xfff

#define COMMAND_OPEN_RETURN_PATH 1
#define COMMAND_PING             2

static void await(struct parser *parser, enum parser_state state, size_t need)
{
    parser->state = state;
    parser->need = need;
    parser->have = 0;
}

static void await_skip(struct parser *parser, size_t len, enum parser_state then, size_t need)
{
    if (len == 0) {
        await(parser, then, need);
        return;
    }
    await(parser, PARSER_SKIP, len);
    parser->after_skip = then;
    parser->skip = need;
}

void parser_init(struct parser *parser)
{
    memset(parser, 0, sizeof(*parser));
    await(parser, PARSER_MAGIC, 8);
}

static void await_section(struct parser *parser)
{
    await(parser, PARSER_SECTION, 1);
}

static void await_ram(struct parser *parser)
{
    await(parser, PARSER_RAM, 8);
}

static void give_up(struct parser *parser)
{
    await(parser, PARSER_BYTES, 0);
}

static void on_section(struct parser *parser)
{
    switch (parser->field[0]) {
    case 0x07:
        await(parser, PARSER_CONFIGURATION, 4);
        break;
    case 0x08:
        await(parser, PARSER_COMMAND, 4);
        break;
    case 0x01:
        await(parser, PARSER_START, 5);
        break;
    case 0x02:
    case 0x03:
        await(parser, PARSER_PART, 4);
        break;
    default:
        give_up(parser);
    }
}

static void on_command(struct parser *parser)
{
    uint16_t command = get16(parser->field);
    if (command == COMMAND_OPEN_RETURN_PATH || command == COMMAND_PING) {
        await_skip(parser, get16(parser->field + 2), PARSER_SECTION, 1);
    } else {
        give_up(parser);
    }
}

static void on_start(struct parser *parser)
{
    parser->ram = get32(parser->field);
    if (parser->field[4] == 3) {
        await(parser, PARSER_START_ID, 3);
    } else {
        give_up(parser);
    }
}

static void on_part(struct parser *parser)
{
    if (parser->knows_ram && get32(parser->field) == parser->ram) {
        await_ram(parser);
    } else {
        give_up(parser);
    }
}

static void await_content(struct parser *parser)
{
    if (parser->header & FLAG_PAGE) {
        await(parser, PARSER_PAGE, PAGE_BYTES);
    } else {
        await_skip(parser, 1, PARSER_RAM, 8);
    }
}

static void on_ram(struct parser *parser)
{
    parser->header = get64(parser->field);
    switch (parser->header & FLAGS & ~(uint64_t)FLAG_CONTINUE) {
    case FLAG_PAGE:
    case FLAG_ZERO:
        if (parser->header & FLAG_CONTINUE) {
            await_content(parser);
        } else {
            await(parser, PARSER_RAM_BLOCK, 1);
        }
        break;
    case FLAG_SIZES:
        parser->sizes = parser->header & ~(uint64_t)FLAGS;
        await(parser, PARSER_SIZES_BLOCK, 1);
        break;
    case FLAG_END:
        await(parser, PARSER_FOOTER, 5);
        break;
    default:
        give_up(parser);
    }
}

/* The block's name means nothing here. */
static void on_ram_block(struct parser *parser)
{
    bool is_page = (parser->header & FLAG_PAGE) != 0;
    size_t len = parser->field[0] + (is_page ? 0 : 1u);
    await_skip(parser, len, is_page ? PARSER_PAGE : PARSER_RAM, is_page ? PAGE_BYTES : 8);
}

static void on_sizes_length(struct parser *parser)
{
    uint64_t length = get64(parser->field);
    if (length > parser->sizes || length == 0) {
        give_up(parser);
        return;
    }
    parser->sizes -= length;
    if (parser->sizes == 0) {
        await_ram(parser);
    } else {
        await(parser, PARSER_SIZES_BLOCK, 1);
    }
}

/* Its field is whole. */
static void on_field(struct parser *parser)
{
    switch (parser->state) {
    case PARSER_MAGIC:
        await_section(parser);
        if (memcmp(parser->field, "QEVM", 4) != 0) {
            give_up(parser);
        }
        break;
    case PARSER_SECTION:
        on_section(parser);
        break;
    case PARSER_CONFIGURATION:
        await_skip(parser, get32(parser->field), PARSER_SECTION, 1);
        break;
    case PARSER_COMMAND:
        on_command(parser);
        break;
    case PARSER_START:
        on_start(parser);
        break;
    case PARSER_START_ID:
        parser->knows_ram = memcmp(parser->field, "ram", 3) == 0;
        await(parser, PARSER_START_VERSION, 8);
        break;
    case PARSER_START_VERSION:
        parser->knows_ram ? await_ram(parser) : give_up(parser);
        break;
    case PARSER_PART:
        on_part(parser);
        break;
    case PARSER_RAM:
        on_ram(parser);
        break;
    case PARSER_RAM_BLOCK:
        on_ram_block(parser);
        break;
    case PARSER_SIZES_BLOCK:
        await_skip(parser, parser->field[0], PARSER_SIZES_LENGTH, 8);
        break;
    case PARSER_SIZES_LENGTH:
        on_sizes_length(parser);
        break;
    case PARSER_FOOTER:
        parser->field[0] == 0x7e ? await_section(parser) : give_up(parser);
        break;
    case PARSER_SKIP:
        await(parser, parser->after_skip, parser->skip);
        break;
    case PARSER_PAGE:
        await_ram(parser);
        break;
    case PARSER_BYTES:
        break;
    }
}

size_t parser_take(struct parser *parser, const uint8_t *bytes, size_t len, bool *page, bool *ends)
{
    *page = parser->state == PARSER_PAGE;
    *ends = false;
    if (parser->state == PARSER_BYTES) {
        return len;
    }
    size_t left = parser->need - parser->have;
    size_t n = len < left ? len : left;
    if (parser->state != PARSER_PAGE && parser->state != PARSER_SKIP) {
        memcpy(parser->field + parser->have, bytes, n);
    }
    parser->have += n;
    if (parser->have == parser->need) {
        *ends = *page;
        on_field(parser);
    }
    return n;
}
