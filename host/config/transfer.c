#include "host/config/transfer.h"

#include <string.h>

const struct transfer_number transfer_numbers[] = {
    {"bandwidth", offsetof(struct transfer, bandwidth_mib), 0, TRANSFER_MAX_BANDWIDTH, false},
    {"downtime-limit", offsetof(struct transfer, downtime_limit_ms), 1, TRANSFER_MAX_DOWNTIME,
     false},
    {"post-copy", offsetof(struct transfer, post_copy_after), 0, 1000, true},
    {"post-copy-if-stuck", offsetof(struct transfer, post_copy_if_stuck), 1, 1000, true},
    {"post-copy-bandwidth", offsetof(struct transfer, post_copy_bandwidth_mib), 0,
     TRANSFER_MAX_BANDWIDTH, false},
    {"parallel", offsetof(struct transfer, parallel), 0, TRANSFER_MAX_PARALLEL, false},
    {0},
};

const struct transfer_number *transfer_number(const char *key)
{
    const struct transfer_number *number = transfer_numbers;
    while (strcmp(number->key, key) != 0) {
        number++;
    }
    return number;
}

int *transfer_value(struct transfer *transfer, const struct transfer_number *number)
{
    return (int *)((char *)transfer + number->offset);
}

static const char *const compress_names[] = {
    [COMPRESS_NONE] = "none",
    [COMPRESS_ZLIB] = "zlib",
    [COMPRESS_ZSTD] = "zstd",
};

const char *compress_name(enum compress compress)
{
    return compress_names[compress];
}

bool transfer_set_compress(struct transfer *transfer, const char *method, struct ninja_error *err)
{
    for (size_t i = 0; i < sizeof(compress_names) / sizeof(compress_names[0]); i++) {
        if (strcmp(method, compress_names[i]) == 0) {
            transfer->compress = (enum compress)i;
            return true;
        }
    }
    return ninja_error_set(err, ERR_USAGE,
                           "expected none, zlib or zstd to compress with, found \"%s\"", method);
}

bool transfer_has_post_copy(const struct transfer *transfer)
{
    return transfer->post_copy_after >= 0 || transfer->post_copy_if_stuck > 0;
}

bool transfer_check(struct transfer *transfer, struct ninja_error *err)
{
    if (transfer->compress != COMPRESS_NONE && transfer->parallel == 0) {
        transfer->parallel = TRANSFER_PARALLEL; /* QEMU compresses what goes over several only */
    }
    if (transfer->parallel > 0 && transfer_has_post_copy(transfer)) {
        return ninja_error_set(err, ERR_USAGE,
                               "post-copy does not work over several connections, nor compressed; "
                               "leave out one of them");
    }
    return true;
}

json_t *transfer_to_json(const struct transfer *transfer)
{
    json_t *json = json_pack("{s:s}", "compress", compress_name(transfer->compress));
    for (const struct transfer_number *number = transfer_numbers; number->key != NULL; number++) {
        const int *value = (const int *)((const char *)transfer + number->offset);
        json_object_set_new(json, number->key, json_integer(*value));
    }
    return json;
}

void transfer_from_json(struct transfer *transfer, const json_t *json)
{
    struct ninja_error unused = NINJA_ERROR_INIT;
    const char *compress = json_string_value(json_object_get(json, "compress"));
    for (const struct transfer_number *number = transfer_numbers; number->key != NULL; number++) {
        json_t *value = json_object_get(json, number->key);
        json_int_t n = json_integer_value(value);
        int min = number->may_be_unset ? -1 : number->min;
        if (json_is_integer(value) && n >= min && n <= number->max) {
            *transfer_value(transfer, number) = (int)n;
        }
    }
    if (compress != NULL) {
        transfer_set_compress(transfer, compress, &unused);
    }
}
