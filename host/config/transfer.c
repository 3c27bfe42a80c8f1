#include "host/config/transfer.h"

#include <string.h>

const struct transfer_number transfer_numbers[] = {
    {"bandwidth", offsetof(struct cluster, bandwidth_mib), 0, CLUSTER_MAX_BANDWIDTH, false},
    {"downtime-limit", offsetof(struct cluster, downtime_limit_ms), 1, CLUSTER_MAX_DOWNTIME, false},
    {"post-copy", offsetof(struct cluster, post_copy_after), 0, 1000, true},
    {"post-copy-bandwidth", offsetof(struct cluster, post_copy_bandwidth_mib), 0,
     CLUSTER_MAX_BANDWIDTH, false},
    {"parallel", offsetof(struct cluster, parallel), 0, CLUSTER_MAX_PARALLEL, false},
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

int *transfer_value(struct cluster *cluster, const struct transfer_number *number)
{
    return (int *)((char *)cluster + number->offset);
}

json_t *transfer_to_json(const struct cluster *cluster)
{
    json_t *json = json_pack("{s:s}", "compress", compress_name(cluster->compress));
    for (const struct transfer_number *number = transfer_numbers; number->key != NULL; number++) {
        const int *value = (const int *)((const char *)cluster + number->offset);
        json_object_set_new(json, number->key, json_integer(*value));
    }
    return json;
}

void transfer_from_json(struct cluster *cluster, const json_t *json)
{
    struct ninja_error unused = NINJA_ERROR_INIT;
    const char *compress = json_string_value(json_object_get(json, "compress"));
    for (const struct transfer_number *number = transfer_numbers; number->key != NULL; number++) {
        json_t *value = json_object_get(json, number->key);
        json_int_t n = json_integer_value(value);
        int min = number->may_be_unset ? -1 : number->min;
        if (json_is_integer(value) && n >= min && n <= number->max) {
            *transfer_value(cluster, number) = (int)n;
        }
    }
    if (compress != NULL) {
        cluster_set_compress(cluster, compress, &unused);
    }
}
