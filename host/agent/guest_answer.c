#include "host/agent/guest_answer.h"

#include "common/printable.h"
#include "host/base/json_text.h"

/* A new string without what steers a terminal, cut where it is too long. */
static json_t *clean_text(const char *text)
{
    char copy[GUEST_MAX_TEXT + 1];
    ninja_printable_copy(copy, sizeof(copy), text);
    return json_text(copy);
}

static void take_text(json_t *to, json_t *from, const char *key)
{
    const char *text = json_string_value(json_object_get(from, key));
    if (text != NULL) {
        json_object_set_new(to, key, clean_text(text));
    }
}

/* Copies names with whole numbers, at most max of them. */
static json_t *numbers(json_t *from, size_t max)
{
    const char *name;
    json_t *value, *to = json_object();
    json_object_foreach(from, name, value)
    {
        if (json_object_size(to) == max) {
            break;
        }
        if (json_is_integer(value)) {
            char key[GUEST_MAX_TEXT + 1];
            ninja_printable_copy(key, sizeof(key), name);
            /* A key that was cut within a character is no JSON, and is left out. */
            json_object_set(to, key, value);
        }
    }
    return to;
}

static json_t *addresses(json_t *from)
{
    size_t i;
    json_t *address, *to = json_array();
    json_array_foreach(from, i, address)
    {
        if (i < GUEST_MAX_ADDRESSES && json_is_string(address)) {
            json_array_append_new(to, clean_text(json_string_value(address)));
        }
    }
    return to;
}

static json_t *interface(json_t *from)
{
    static const char *const texts[] = {"name", "state", "link_layer", "netdev", "mac", "pci"};
    json_t *to = json_object(), *port = json_object_get(from, "port");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        take_text(to, from, texts[i]);
    }
    if (json_is_integer(port)) {
        json_object_set(to, "port", port);
    }
    if (json_is_array(json_object_get(from, "addresses"))) {
        json_object_set_new(to, "addresses", addresses(json_object_get(from, "addresses")));
    }
    if (json_is_object(json_object_get(from, "counters"))) {
        json_object_set_new(to, "counters",
                            numbers(json_object_get(from, "counters"), GUEST_MAX_COUNTERS));
    }
    return to;
}

static json_t *interfaces(json_t *from)
{
    size_t i;
    json_t *entry, *to = json_array();
    json_array_foreach(from, i, entry)
    {
        if (i < GUEST_MAX_INTERFACES && json_is_object(entry)) {
            json_array_append_new(to, interface(entry));
        }
    }
    return to;
}

json_t *guest_interconnects(json_t *answer)
{
    if (!json_is_object(answer)) {
        return NULL;
    }
    return json_pack("{s:o, s:o}", "rdma", interfaces(json_object_get(answer, "rdma")), "net",
                     interfaces(json_object_get(answer, "net")));
}

json_t *guest_transports(json_t *object)
{
    return json_is_object(object) ? numbers(object, GUEST_MAX_TRANSPORTS) : NULL;
}
