#include "tests/unit/qemu_stream.h"

#include <stdlib.h>
#include <string.h>

#define PAGE 4096

static unsigned draw(struct qemu_stream *stream, unsigned below)
{
    stream->seed = stream->seed * 1103515245u + 12345u;
    return (stream->seed >> 16) % below;
}

static void put(struct qemu_stream *stream, const void *bytes, size_t len)
{
    if (stream->len + len > stream->room) {
        stream->room = 2 * (stream->len + len);
        stream->bytes = realloc(stream->bytes, stream->room);
    }
    memcpy(stream->bytes + stream->len, bytes, len);
    stream->len += len;
}

static void put_number(struct qemu_stream *stream, uint64_t value, size_t len)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(value >> 8 * (len - 1 - i));
    }
    put(stream, bytes, len);
}

static void put_name(struct qemu_stream *stream, const char *name)
{
    put_number(stream, strlen(name), 1);
    put(stream, name, strlen(name));
}

static void make_page(struct qemu_stream *stream, uint8_t *page)
{
    unsigned kind = draw(stream, 5);
    uint64_t value = draw(stream, 3);
    for (size_t i = 0; i < PAGE; i++) {
        page[i] = kind == 0 ? (uint8_t)draw(stream, 256) : (uint8_t)('a' + draw(stream, 4));
    }
    for (size_t i = 0; i < PAGE && kind == 1; i += 8) {
        memcpy(page + i, &value, 8);
    }
    for (size_t i = 0; stream->numbers && i < PAGE; i += 8) { /* as arrays of results have them */
        double number = 1000.0 + (double)draw(stream, 4096) / 4096;
        memcpy(page + i, &number, 8);
    }
    if (kind == 2) {
        memcpy(page, stream->kept[draw(stream, 8)], PAGE);
    }
}

static void put_page(struct qemu_stream *stream, uint64_t address, int first)
{
    uint8_t page[PAGE];
    int is_zero = draw(stream, 4) == 0;
    put_number(stream, address | (is_zero ? 0x02 : 0x08) | (first ? 0 : 0x20), 8);
    if (first) {
        put_name(stream, "pc.ram");
    }
    if (is_zero) {
        put_number(stream, 0, 1);
        return;
    }
    make_page(stream, page);
    put(stream, page, PAGE);
    stream->pages++;
}

static void begin(struct qemu_stream *stream, uint64_t bytes)
{
    put(stream, "QEVM\0\0\0\3\7", 9);
    put_number(stream, 12, 4);
    put(stream, "pc-q35-7.2  ", 12);
    put(stream, "\10\0\1\0\0\10\0\2\0\4\0\0\0\1", 14); /* open the return path, ping */
    put(stream, "\1\0\0\0\2\3ram\0\0\0\0\0\0\0\4", 17);
    put_number(stream, bytes | 0x04, 8);
    put_name(stream, "pc.ram");
    put_number(stream, bytes - PAGE, 8);
    put_name(stream, "pc.bios");
    put_number(stream, PAGE, 8);
    put_number(stream, 0x10, 8);
    put(stream, "\x7e\0\0\0\2", 5);
}

void qemu_stream_make(struct qemu_stream *stream, unsigned seed, size_t pages)
{
    *stream = (struct qemu_stream){.seed = seed};
    for (size_t i = 0; i < 8 * PAGE; i++) {
        stream->kept[i / PAGE][i % PAGE] = (uint8_t)draw(stream, 256);
    }
    begin(stream, (pages + 1) * PAGE);
    for (size_t done = 0; done < pages;) {
        size_t n = 1 + draw(stream, 300);
        stream->numbers = draw(stream, 3) == 0;
        put(stream, done == 0 ? "\2\0\0\0\2" : "\3\0\0\0\2", 5);
        for (size_t i = 0; i < n && done < pages; i++, done++) {
            put_page(stream, (uint64_t)done * PAGE, i == 0);
        }
        put_number(stream, 0x10, 8);
        put(stream, "\x7e\0\0\0\2", 5);
    }
    put(stream, "\4\0\0\0\3\5timer", 11); /* devices, of no known length */
    for (size_t i = 0; i < 70000; i++) {
        put_number(stream, draw(stream, 40), 1);
    }
}

void qemu_stream_free(struct qemu_stream *stream)
{
    free(stream->bytes);
}
