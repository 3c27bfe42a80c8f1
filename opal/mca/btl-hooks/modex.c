/*
 * Theory of operation
 *
 * BTLs publish their addresses as PMIx values (the "modex") and read those of their peers. PMIx
 * gives out the first value of a key for ever, and keeps all values. So in a switch the addresses
 * travel through the agents and the coordinator instead, and the functions that put and get are
 * wrapped:
 * what a BTL puts while the transports are opened is kept here; modex_pack() gives all of it as one
 * piece, which is carried to the other ranks; modex_take() takes the pieces of all ranks. From then
 * on a get of a BTL's key is answered from the piece of that peer, also when it is contacted for
 * the first time much later, and up to the very end: MPI_Finalize may still make a first contact.
 * For a component that has been open since MPI_Init the piece says so, and the get goes to PMIx;
 * for anything else the peer has no such transport, and the answer comes at once (asking PMIx for
 * an unknown key takes seconds).
 *
 * Other jobs, which this one spawns or connects to later, ask PMIx: it gives them the value that
 * was put last before they asked for the first time. So all that is new is put there, too.
 *
 * Format of a piece: a 32-bit number of keys, so that none is empty; for each a header of three
 * 32-bit numbers (length of the key with its NUL, length of the data or SINCE_INIT, how many bytes
 * of the data are here), the key, the data without the zeros at its end: vader's data is a path in
 * a buffer of 4 KiB. It is not compressed, as the pieces of all ranks together become much smaller
 * (common/address_list.h).
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "opal/mca/pmix/pmix.h"
#include "opal/mca/shmem/shmem_types.h"

#define SINCE_INIT UINT32_MAX
#define KEY_PREFIX "btl."
#define KEY_VADER  KEY_PREFIX "vader."
#define KEY_TCP    KEY_PREFIX "tcp."
#define MAX_DATA   (1u << 20) /* bytes of one key, with the zeros */

struct entry {
    struct entry *next;
    char *key;
    uint8_t *data; /* NULL: published in MPI_Init, under its own key */
    uint32_t size;
};

static struct {
    opal_pmix_base_module_put_fn_t put;
    opal_pmix_base_module_get_fn_t get;
    struct entry *entries;         /* what this process offers */
    struct ninja_addresses newest; /* what all ranks offer; no map: as published in MPI_Init */
    bool keeping;
} modex;

/* --- what this process offers ----------------------------------------------------------------- */

static void entry_free(struct entry *entry)
{
    free(entry->key);
    free(entry->data);
    free(entry);
}

static void forget_key(const char *key)
{
    for (struct entry **p = &modex.entries; *p != NULL; p = &(*p)->next) {
        if (strcmp((*p)->key, key) == 0) {
            struct entry *gone = *p;
            *p = gone->next;
            entry_free(gone);
            return;
        }
    }
}

/* What vader publishes, as Open MPI 4.1 has it in its own source. */
struct vader_address {
    ino_t user_namespace;
    int segment_size; /* bytes of the segment's description that mean something */
    opal_shmem_ds_t segment;
};

/*
 * Vader publishes a structure from its stack: between its members, and after the path in a buffer
 * of 4 KiB, is whatever was there. It would be ten times the size of all else; and it is nobody's
 * business. tcp and openib clear what they publish.
 */
static void clear_unused(const char *key, uint8_t *data, uint32_t size)
{
    const size_t head = offsetof(struct vader_address, segment_size) + sizeof(int);
    const size_t path = offsetof(struct vader_address, segment.seg_name);
    if (strncmp(key, KEY_VADER, sizeof(KEY_VADER) - 1) != 0 ||
        size != sizeof(struct vader_address) || data[path] != '/') {
        return;
    }
    uint8_t *end = memchr(data + path, '\0', size - path);
    if (end != NULL) {
        memset(data + head, 0, offsetof(struct vader_address, segment) - head);
        memset(end, 0, (size_t)(data + size - end));
    }
}

static int keep(const char *key, const void *data, uint32_t size)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry != NULL) {
        entry->key = strdup(key);
        entry->data = data != NULL ? malloc(size + 1) : NULL;
    }
    if (entry == NULL || entry->key == NULL || (data != NULL && entry->data == NULL)) {
        return OPAL_ERR_OUT_OF_RESOURCE;
    }
    if (data != NULL) {
        memcpy(entry->data, data, size);
        clear_unused(key, entry->data, size);
    }
    entry->size = data != NULL ? size : SINCE_INIT;
    forget_key(key);
    entry->next = modex.entries;
    modex.entries = entry;
    return OPAL_SUCCESS;
}

void modex_forget(const mca_base_component_t *component)
{
    char *key = mca_base_component_to_string(component);
    if (key != NULL) {
        forget_key(key);
        free(key);
    }
}

static void offer_what_is_open(void)
{
    mca_btl_base_selected_module_t *module;
    OPAL_LIST_FOREACH(module, &mca_btl_base_modules_initialized, mca_btl_base_selected_module_t)
    {
        char *key = mca_base_component_to_string(&module->btl_component->btl_version);
        if (key != NULL) {
            keep(key, NULL, 0);
            free(key);
        }
    }
}

static uint32_t without_zeros(const uint8_t *data, uint32_t size)
{
    while (size > 0 && data[size - 1] == 0) {
        size--;
    }
    return size;
}

/* Writes an entry, or with NULL only counts it. Returns its bytes. */
static size_t pack_entry(const struct entry *entry, uint8_t *to)
{
    uint32_t kept = entry->data != NULL ? without_zeros(entry->data, entry->size) : 0;
    uint32_t header[3] = {(uint32_t)strlen(entry->key) + 1, entry->size, kept};
    if (to != NULL) {
        memcpy(to, header, sizeof(header));
        memcpy(to + sizeof(header), entry->key, header[0]);
        if (kept > 0) {
            memcpy(to + sizeof(header) + header[0], entry->data, kept);
        }
    }
    return sizeof(header) + header[0] + kept;
}

void *modex_pack(uint32_t *size, char *why, size_t why_size)
{
    uint32_t n = 0;
    size_t room = sizeof(n);
    for (const struct entry *e = modex.entries; e != NULL; e = e->next) {
        room += pack_entry(e, NULL);
        n++;
    }
    if (room > NINJA_ADDRESSES_MAX_RANK) {
        snprintf(why, why_size, "the addresses of the transports take %zu bytes, %u are possible",
                 room, NINJA_ADDRESSES_MAX_RANK);
        return NULL;
    }
    uint8_t *packed = malloc(room);
    if (packed == NULL) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    memcpy(packed, &n, sizeof(n));
    uint8_t *p = packed + sizeof(n);
    for (const struct entry *e = modex.entries; e != NULL; e = e->next) {
        p += pack_entry(e, p);
    }
    *size = (uint32_t)room;
    return packed;
}

/* --- what the peers offer -----------------------------------------------------------------------
 */

/* What a peer offers under a key: kept bytes, and zeros up to size. */
struct offer {
    const uint8_t *data;
    uint32_t kept;
    uint32_t size; /* SINCE_INIT: it is to be asked for under the original key */
};

/* Finds a key in the piece of a peer. */
static bool find(const opal_process_name_t *name, const char *wanted, struct offer *offer)
{
    size_t piece_size;
    if (name->vpid >= modex.newest.n_ranks) {
        return false;
    }
    const uint8_t *p = ninja_addresses_of(&modex.newest, name->vpid, &piece_size);
    const uint8_t *end = p + piece_size;
    uint32_t header[3];
    p += piece_size < sizeof(uint32_t) ? piece_size : sizeof(uint32_t);
    while ((size_t)(end - p) >= sizeof(header)) {
        memcpy(header, p, sizeof(header));
        p += sizeof(header);
        bool since_init = header[1] == SINCE_INIT;
        if (header[0] == 0 || header[0] > (size_t)(end - p) ||
            header[2] > (size_t)(end - p) - header[0] || p[header[0] - 1] != '\0' ||
            (!since_init && (header[1] > MAX_DATA || header[2] > header[1]))) {
            return false;
        }
        if (strcmp((const char *)p, wanted) == 0) {
            *offer = (struct offer){p + header[0], header[2], header[1]};
            return true;
        }
        p += header[0] + header[2];
    }
    return false;
}

static opal_value_t *make_value(const char *key, const struct offer *offer)
{
    opal_value_t *value = OBJ_NEW(opal_value_t);
    if (value != NULL) {
        value->key = strdup(key);
        value->type = OPAL_BYTE_OBJECT;
        value->data.bo.bytes = calloc(1, (size_t)offer->size + 1);
        value->data.bo.size = (int32_t)offer->size;
        if (value->key == NULL || value->data.bo.bytes == NULL) {
            OBJ_RELEASE(value);
            return NULL;
        }
        memcpy(value->data.bo.bytes, offer->data, offer->kept);
    }
    return value;
}

/* --- the wrapped functions --- */

static bool is_on_this_node(const opal_process_name_t *name)
{
    const opal_proc_t *proc = opal_proc_for_name(*name);
    return proc != NULL && OPAL_PROC_ON_LOCAL_NODE(proc->proc_flags);
}

static bool is_of_a_btl(const char *key)
{
    return strncmp(key, KEY_PREFIX, sizeof(KEY_PREFIX) - 1) == 0;
}

static int put_or_keep(opal_pmix_scope_t scope, opal_value_t *value)
{
    if (!modex.keeping || !is_of_a_btl(value->key) || value->type != OPAL_BYTE_OBJECT) {
        return modex.put(scope, value);
    }
    return keep(value->key, value->data.bo.bytes, (uint32_t)value->data.bo.size);
}

static int get_newest(const opal_process_name_t *name, const char *key, opal_list_t *info,
                      opal_value_t **value)
{
    if (modex.newest.map == NULL || !is_of_a_btl(key) || name->jobid != OPAL_PROC_MY_NAME.jobid) {
        return modex.get(name, key, info, value);
    }
    struct offer offer;
    if (!find(name, key, &offer)) {
        return OPAL_ERR_NOT_FOUND;
    }
    if (offer.size == SINCE_INIT) {
        return modex.get(name, key, info, value);
    }
    *value = make_value(key, &offer);
    if (*value == NULL) {
        return OPAL_ERR_OUT_OF_RESOURCE;
    }
    if (strncmp(key, KEY_TCP, sizeof(KEY_TCP) - 1) == 0 && !is_on_this_node(name)) {
        (*value)->data.bo.size =
            (int32_t)tcp_drop_own_addresses((*value)->data.bo.bytes, offer.size);
    }
    return OPAL_SUCCESS;
}

/* --- the exchange --- */

void modex_keep(bool keeping)
{
    modex.keeping = keeping;
}

static void put_for_other_jobs(void)
{
    for (struct entry *e = modex.entries; e != NULL; e = e->next) {
        const struct offer offer = {e->data, e->size, e->size};
        opal_value_t *value = e->data != NULL ? make_value(e->key, &offer) : NULL;
        if (value != NULL) {
            modex.put(OPAL_PMIX_GLOBAL, value);
            OBJ_RELEASE(value);
        }
    }
    opal_pmix.commit();
}

void modex_take(struct ninja_addresses *addresses)
{
    ninja_addresses_unmap(&modex.newest);
    modex.newest = *addresses;
    *addresses = (struct ninja_addresses){0};
    put_for_other_jobs();
}

/* It has no end, see above; the DSO stays in memory for that. */
void modex_open(void)
{
    offer_what_is_open();
    modex.put = opal_pmix.put;
    modex.get = opal_pmix.get;
    opal_pmix.put = put_or_keep;
    opal_pmix.get = get_newest;
}
