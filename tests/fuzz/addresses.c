/*
 * The addresses of ranks, as the host reads them from agents and an agent from the host: base64,
 * a line for each rank, put into the file that ranks map.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static json_t *lines(char *text)
{
    json_t *list = json_array();
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        check_text(line);
        json_array_append_new(list, json_string(line));
    }
    return list;
}

static void check_file(const struct step_args *args, uint32_t n_ranks)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct ninja_addresses addresses;
    char bytes[4096];
    int file;
    if (!step_args_file(args, &file, &err)) {
        return;
    }
    FUZZ_CHECK(ninja_addresses_map(file, n_ranks, &addresses) == NULL);
    for (uint32_t rank = 0; rank < n_ranks; rank++) {
        size_t size;
        const void *got = ninja_addresses_of(&addresses, rank, &size);
        const char *text = json_string_value(json_array_get(args->addresses, rank));
        FUZZ_CHECK(ninja_base64_decode(text, bytes, sizeof(bytes)) == (ssize_t)size);
        FUZZ_CHECK(memcmp(bytes, got, size) == 0);
    }
    ninja_addresses_unmap(&addresses);
    close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    struct step_args args = {.type = NINJA_RANK_CONNECT, .addresses = lines(text)};
    uint32_t n = (uint32_t)json_array_size(args.addresses);
    if (step_args_fit(&args, n, &err)) {
        check_file(&args, n);
    }
    json_decref(args.addresses);
    free(text);
    return 0;
}
