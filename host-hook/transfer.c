#include "host-hook/transfer.h"

#include <stddef.h>

static const struct {
    const char *key;
    size_t offset;
    int min, max;
} numbers[] = {
    {"bandwidth", offsetof(struct cluster, bandwidth_mib), 0, 1000000},
    {"downtime-limit", offsetof(struct cluster, downtime_limit_ms), 0, 2000000},
    {"parallel", offsetof(struct cluster, parallel), 0, 255},
    {"post-copy", offsetof(struct cluster, post_copy_after), -1, 1000},
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

json_t *transfer_to_json(const struct cluster *cluster)
{
    json_t *json = json_pack("{s:s}", "compress", compress_name(cluster->compress));
    for (size_t i = 0; i < NUMBERS; i++) {
        const int *number = (const int *)((const char *)cluster + numbers[i].offset);
        json_object_set_new(json, numbers[i].key, json_integer(*number));
    }
    return json;
}

void transfer_from_json(struct cluster *cluster, const json_t *json)
{
    struct ninja_error unused = NINJA_ERROR_INIT;
    const char *compress = json_string_value(json_object_get(json, "compress"));
    for (size_t i = 0; i < NUMBERS; i++) {
        json_t *value = json_object_get(json, numbers[i].key);
        json_int_t number = json_integer_value(value);
        if (json_is_integer(value) && number >= numbers[i].min && number <= numbers[i].max) {
            *(int *)((char *)cluster + numbers[i].offset) = (int)number;
        }
    }
    if (compress != NULL) {
        cluster_set_compress(cluster, compress, &unused);
    }
}
