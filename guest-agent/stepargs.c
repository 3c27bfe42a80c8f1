#include "guest-agent/stepargs.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/address_list.h"

#define MAX_LIST (NINJA_RANK_MAX_TEXT / 2 - 1)

static bool take_number(json_t *json, const char *key, uint32_t min, uint32_t max, uint32_t *value,
                        struct ninja_error *err)
{
    json_t *number = json_object_get(json, key);
    if (!json_is_integer(number) || json_integer_value(number) < min ||
        json_integer_value(number) > max) {
        return ninja_error_set(err, ERR_BAD_STEP, "'%s' must be a number from %u to %u", key, min,
                               max);
    }
    *value = (uint32_t)json_integer_value(number);
    return true;
}

static bool take_common(json_t *json, struct step_args *args, struct ninja_error *err)
{
    uint32_t round;
    args->job = json_string_value(json_object_get(json, "job"));
    const char *step = json_string_value(json_object_get(json, "step"));
    if (args->job == NULL) {
        return ninja_error_set(err, ERR_BAD_STEP, "'job' must be the name of a job");
    }
    args->type = step != NULL ? ninja_rank_step_from_name(step) : 0;
    if (args->type == 0) {
        return ninja_error_set(err, ERR_BAD_STEP, "'step' must be one of %s", ninja_step_names());
    }
    if (!take_number(json, "epoch", 0, UINT32_MAX, &args->epoch, err) ||
        !take_number(json, "round", 0, UINT16_MAX, &round, err) ||
        !take_number(json, "timeout-ms", 1, STEP_MAX_MS, &args->timeout_ms, err)) {
        return false;
    }
    args->round = (uint16_t)round;
    return true;
}

static bool take_list(json_t *json, const char *key, const char **list, struct ninja_error *err)
{
    *list = json_string_value(json_object_get(json, key));
    size_t len = *list != NULL ? strlen(*list) : 0;
    if (len == 0 || len > MAX_LIST) {
        return ninja_error_set(
            err, ERR_BAD_STEP,
            "'%s' must be a comma-separated list of transports, at most %u bytes", key, MAX_LIST);
    }
    for (size_t i = 0; i < len; i++) {
        if (!isgraph((unsigned char)(*list)[i])) {
            return ninja_error_set(err, ERR_BAD_STEP, "'%s' holds a blank or unprintable character",
                                   key);
        }
    }
    return true;
}

static bool take_text(json_t *json, struct step_args *args, struct ninja_error *err)
{
    const char *list;
    if (!take_list(json, "transports", &list, err)) {
        return false;
    }
    snprintf(args->text, sizeof(args->text), "%s", list);
    return true;
}

static bool take_lease(json_t *json, struct step_args *args, struct ninja_error *err)
{
    if (!take_number(json, "lease-ms", 1, STEP_MAX_MS, &args->lease_ms, err)) {
        return false;
    }
    args->leaving = json_object_get(json, "leaving");
    if (args->leaving != NULL && json_array_size(args->leaving) == 0) {
        return ninja_error_set(err, ERR_BAD_STEP,
                               "'leaving' must be an array of [FIRST RANK, HOW MANY]");
    }
    if (json_object_get(json, "release") == NULL && json_object_get(json, "open") == NULL) {
        return true;
    }
    const char *release, *open;
    if (!take_list(json, "release", &release, err) || !take_list(json, "open", &open, err)) {
        return false;
    }
    snprintf(args->text, sizeof(args->text), "%s\n%s", release, open);
    return true;
}

bool step_args_parse(json_t *json, struct step_args *args, struct ninja_error *err)
{
    memset(args, 0, sizeof(*args));
    if (!take_common(json, args, err)) {
        return false;
    }
    switch (ninja_rank_step_row(args->type)->carries) {
    case NINJA_CARRIES_LEASE:
        return take_lease(json, args, err);
    case NINJA_CARRIES_SENT:
    case NINJA_CARRIES_HELD:
        args->tables = json_object_get(json, "tables");
        return json_is_object(args->tables) ||
               ninja_error_set(err, ERR_BAD_STEP, "'tables' must be an object");
    case NINJA_CARRIES_LIST:
        return take_text(json, args, err);
    case NINJA_CARRIES_ADDRESSES:
        args->addresses = json_string_value(json_object_get(json, "addresses"));
        return args->addresses != NULL ||
               ninja_error_set(err, ERR_BAD_STEP, "'addresses' must be a text");
    case NINJA_CARRIES_LIMIT:
    case NINJA_CARRIES_NOTHING:
        break;
    }
    return true;
}

/* A rank's number as the key of a table: decimal, nothing else. */
static bool rank_of_key(const char *key, uint32_t *rank)
{
    char *end;
    if (!isdigit((unsigned char)key[0])) {
        return false;
    }
    errno = 0;
    unsigned long value = strtoul(key, &end, 10);
    *rank = (uint32_t)value;
    return errno == 0 && *end == '\0' && value < NINJA_RANK_MAX_SIZE;
}

static bool is_pair(json_t *pair, uint32_t size)
{
    json_t *peer = json_array_get(pair, 0), *count = json_array_get(pair, 1);
    return json_array_size(pair) == 2 && json_is_integer(peer) && json_integer_value(peer) >= 0 &&
           json_integer_value(peer) < size && json_is_integer(count) &&
           json_integer_value(count) >= 0 && json_integer_value(count) <= UINT32_MAX;
}

static bool tables_fit(json_t *tables, uint32_t size, struct ninja_error *err)
{
    const char *key;
    json_t *table, *pair;
    size_t i;

    json_object_foreach(tables, key, table)
    {
        uint32_t rank;
        if (!rank_of_key(key, &rank) || rank >= size) {
            return ninja_error_set(err, ERR_BAD_STEP,
                                   "'tables' has the key '%.32s', which is no rank below %u", key,
                                   size);
        }
        if (!json_is_array(table) || json_array_size(table) > NINJA_RANK_MAX_PAIRS) {
            return ninja_error_set(err, ERR_BAD_STEP,
                                   "the table of rank %u must be an array of at most %u pairs",
                                   rank, NINJA_RANK_MAX_PAIRS);
        }
        json_array_foreach(table, i, pair)
        {
            if (!is_pair(pair, size)) {
                return ninja_error_set(err, ERR_BAD_STEP,
                                       "entry %zu of the table of rank %u must be [PEER, COUNT] "
                                       "with a peer below %u",
                                       i, rank, size);
            }
        }
    }
    return true;
}

static bool is_range(json_t *range, uint32_t size)
{
    json_t *first = json_array_get(range, 0), *n = json_array_get(range, 1);
    return json_array_size(range) == 2 && json_is_integer(first) && json_is_integer(n) &&
           json_integer_value(first) >= 0 && json_integer_value(first) < size &&
           json_integer_value(n) > 0 && json_integer_value(n) <= size - json_integer_value(first);
}

static bool leaving_fits(json_t *leaving, uint32_t size, struct ninja_error *err)
{
    json_t *range;
    size_t i;
    bool ok = json_array_size(leaving) <= NINJA_RANK_MAX_PAIRS;
    json_array_foreach(leaving, i, range)
    {
        ok = ok && is_range(range, size);
    }
    return ok ||
           ninja_error_set(err, ERR_BAD_STEP,
                           "'leaving' must be at most %u of [FIRST RANK, HOW MANY], all below "
                           "%u",
                           NINJA_RANK_MAX_PAIRS, size);
}

bool step_args_fit(const struct step_args *args, uint32_t size, struct ninja_error *err)
{
    return tables_fit(args->tables, size, err) && leaving_fits(args->leaving, size, err);
}

bool step_args_file(const struct step_args *args, uint32_t size, int *file, struct ninja_error *err)
{
    uint32_t *ends = calloc(size, sizeof(*ends));
    void *bytes = NULL;
    const char *wrong = "out of memory";
    *file = -1;
    if (ends != NULL) {
        wrong = ninja_address_list_decode(args->addresses, size, ends, &bytes);
    }
    if (wrong != NULL) {
        ninja_error_set(err, ERR_BAD_STEP, "'addresses' cannot be read: %s", wrong);
    } else {
        *file = ninja_addresses_make(ends, size, bytes);
        if (*file < 0) {
            ninja_error_set(err, ERR_GENERIC, "the addresses cannot be passed to the ranks: %m");
        }
    }
    free(ends);
    free(bytes);
    return *file >= 0;
}

/* The rank knows what it waits for, so its word is to come before the time-out. */
static uint32_t limit_ms(uint32_t timeout_ms)
{
    return timeout_ms - timeout_ms / 10;
}

void step_args_message(const struct step_args *args, uint32_t rank, struct ninja_rank_pair *pairs,
                       struct ninja_rank_msg *msg)
{
    enum ninja_step_carries carries = ninja_rank_step_row(args->type)->carries;
    char key[16];
    snprintf(key, sizeof(key), "%u", rank);
    json_t *table =
        carries == NINJA_CARRIES_LEASE ? args->leaving : json_object_get(args->tables, key);
    uint32_t n = (uint32_t)json_array_size(table);
    for (uint32_t i = 0; i < n; i++) {
        json_t *pair = json_array_get(table, i);
        pairs[i].peer = (uint32_t)json_integer_value(json_array_get(pair, 0));
        pairs[i].value = (uint32_t)json_integer_value(json_array_get(pair, 1));
    }
    *msg = (struct ninja_rank_msg){
        .type = args->type,
        .round = args->round,
        .epoch = args->epoch,
        .arg = carries == NINJA_CARRIES_LIMIT ? limit_ms(args->timeout_ms) : args->lease_ms,
        .text = (char *)args->text,
    };
    if (carries == NINJA_CARRIES_SENT || carries == NINJA_CARRIES_LEASE) {
        msg->a = pairs;
        msg->n_a = n;
    } else if (carries == NINJA_CARRIES_HELD) {
        msg->b = pairs;
        msg->n_b = n;
    }
}
