/*
 * The addresses of ranks, as the host reads them from agents, base64, and an agent from the host: a
 * list, put into the file that ranks map.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address_list.h"
#include "common/addresses.h"
#include "common/base64.h"
#include "guest-agent/stepargs.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text)
{
    static char bytes[4096];
    ssize_t n = ninja_base64_decode(text, bytes, sizeof(bytes));
    ssize_t counted = ninja_base64_decode(text, NULL, sizeof(bytes));
    FUZZ_CHECK(n == counted && n <= (ssize_t)sizeof(bytes));
    if (n >= 0) {
        char *again = ninja_base64_encode(bytes, (size_t)n);
        FUZZ_CHECK(again != NULL && strcmp(again, text) == 0);
        free(again);
    }
}

/* The text of a list, as an agent takes it from the host, for each number of ranks. */
static void check_list(const char *text)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct step_args args = {.type = NINJA_RANK_CONNECT, .addresses = text};
    for (uint32_t n_ranks = 1; n_ranks < 6; n_ranks++) {
        struct ninja_addresses addresses;
        int file;
        if (!step_args_file(&args, n_ranks, &file, &err)) {
            continue;
        }
        FUZZ_CHECK(ninja_addresses_map(file, n_ranks, &addresses) == NULL);
        ninja_addresses_unmap(&addresses);
        close(file);
    }
}

/* The bytes of ranks, of lengths that they say themselves, have to come back. */
static void check_there_and_back(const uint8_t *data, size_t size)
{
    uint32_t ends[8], got_ends[8], n = 0, end = 0;
    for (size_t at = 0; n < 8 && at < size && data[at] > 0 && at + data[at] < size;
         at += data[at] + 1u) {
        end += data[at];
        ends[n++] = end;
    }
    if (n == 0) {
        return;
    }
    char *text = ninja_address_list_encode(ends, n, data);
    void *got;
    FUZZ_CHECK(text != NULL && ninja_address_list_decode(text, n, got_ends, &got) == NULL);
    FUZZ_CHECK(memcmp(ends, got_ends, n * sizeof(*ends)) == 0 && memcmp(data, got, end) == 0);
    free(text);
    free(got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    check_text(text);
    check_list(text);
    check_there_and_back(data, size);
    free(text);
    return 0;
}
