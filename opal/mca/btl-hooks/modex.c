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
 * Format of a piece: a 32-bit number, the size of what follows before it was compressed. That is
 * for each key a header of two 32-bit numbers (length of the key with its NUL, length of the data
 * or SINCE_INIT), the key, the data. It is compressed as vader's data is a path in a buffer of 4
 * KiB.
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <zlib.h>

#include "opal/mca/pmix/pmix.h"
#include "opal/mca/shmem/shmem_types.h"

#define SINCE_INIT UINT32_MAX
#define KEY_PREFIX "btl."
#define KEY_VADER  KEY_PREFIX "vader."
#define KEY_TCP    KEY_PREFIX "tcp."
#define MAX_RAW    (1u << 20) /* bytes of a piece before it was compressed */

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
 * of 4 KiB, is whatever was there. As that does not compress, it is ten times the size of all else;
 * and it is nobody's business. tcp and openib clear what they publish.
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

static uint8_t *pack(uint32_t *size)
{
    *size = 0;
    for (struct entry *e = modex.entries; e != NULL; e = e->next) {
        *size +=
            (uint32_t)(2 * sizeof(uint32_t) + strlen(e->key) + 1) + (e->data != NULL ? e->size : 0);
    }
    uint8_t *packed = malloc(*size + 1);
    uint8_t *p = packed;
    for (struct entry *e = modex.entries; packed != NULL && e != NULL; e = e->next) {
        uint32_t header[2] = {(uint32_t)strlen(e->key) + 1, e->size};
        memcpy(p, header, sizeof(header));
        memcpy(p + sizeof(header), e->key, header[0]);
        p += sizeof(header) + header[0];
        if (e->data != NULL) {
            memcpy(p, e->data, e->size);
            p += e->size;
        }
    }
    return packed;
}

void *modex_pack(uint32_t *size, char *why, size_t why_size)
{
    uint32_t raw_size;
    uint8_t *raw = pack(&raw_size);
    uLongf packed_size = compressBound(raw_size);
    uint8_t *packed = raw != NULL ? malloc(sizeof(raw_size) + packed_size) : NULL;
    bool ok =
        packed != NULL && compress(packed + sizeof(raw_size), &packed_size, raw, raw_size) == Z_OK;
    free(raw);
    if (!ok) {
        snprintf(why, why_size, "out of memory");
    } else if (raw_size > MAX_RAW || sizeof(raw_size) + packed_size > NINJA_ADDRESSES_MAX_RANK) {
        snprintf(why, why_size, "the addresses of the transports take %lu bytes, %u are possible",
                 packed_size, NINJA_ADDRESSES_MAX_RANK);
        ok = false;
    }
    if (!ok) {
        free(packed);
        return NULL;
    }
    memcpy(packed, &raw_size, sizeof(raw_size));
    *size = (uint32_t)(sizeof(raw_size) + packed_size);
    return packed;
}

/* --- what the peers offer -----------------------------------------------------------------------
 */

/* The piece of a peer as it was before it was compressed, malloc'ed; NULL if there is none. */
static uint8_t *piece_of(const opal_process_name_t *name, uint32_t *raw_size)
{
    size_t size;
    if (name->vpid >= modex.newest.n_ranks) {
        return NULL;
    }
    const uint8_t *packed = ninja_addresses_of(&modex.newest, name->vpid, &size);
    if (size < sizeof(*raw_size)) {
        return NULL;
    }
    memcpy(raw_size, packed, sizeof(*raw_size));
    uint8_t *raw = *raw_size <= MAX_RAW ? malloc(*raw_size + 1) : NULL;
    uLongf got = *raw_size;
    if (raw == NULL ||
        uncompress(raw, &got, packed + sizeof(*raw_size), size - sizeof(*raw_size)) != Z_OK ||
        got != *raw_size) {
        free(raw);
        return NULL;
    }
    return raw;
}

/* Finds a key. Returns its data and size, or NULL (size SINCE_INIT: ask for the original key). */
static uint8_t *find(uint8_t *piece, uint32_t piece_size, const char *wanted, uint32_t *size)
{
    uint8_t *p = piece, *end = piece + piece_size;
    uint32_t header[2];

    *size = 0;
    while ((size_t)(end - p) >= sizeof(header)) {
        memcpy(header, p, sizeof(header));
        p += sizeof(header);
        uint32_t data_size = header[1] == SINCE_INIT ? 0 : header[1];
        if (header[0] == 0 || header[0] > (size_t)(end - p) ||
            data_size > (size_t)(end - p) - header[0] || p[header[0] - 1] != '\0') {
            return NULL;
        }
        if (strcmp((const char *)p, wanted) == 0) {
            *size = header[1];
            return header[1] == SINCE_INIT ? NULL : p + header[0];
        }
        p += header[0] + data_size;
    }
    return NULL;
}

static opal_value_t *make_value(const char *key, const uint8_t *data, uint32_t size)
{
    opal_value_t *value = OBJ_NEW(opal_value_t);
    if (value != NULL) {
        value->key = strdup(key);
        value->type = OPAL_BYTE_OBJECT;
        value->data.bo.bytes = malloc(size + 1);
        value->data.bo.size = (int32_t)size;
        if (value->key == NULL || value->data.bo.bytes == NULL) {
            OBJ_RELEASE(value);
            return NULL;
        }
        memcpy(value->data.bo.bytes, data, size);
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
    uint32_t piece_size, size;
    uint8_t *piece = piece_of(name, &piece_size);
    if (piece == NULL) {
        return OPAL_ERR_NOT_FOUND;
    }
    int rc = OPAL_ERR_NOT_FOUND;
    uint8_t *data = find(piece, piece_size, key, &size);
    if (data != NULL) {
        if (strncmp(key, KEY_TCP, sizeof(KEY_TCP) - 1) == 0 && !is_on_this_node(name)) {
            size = tcp_drop_own_addresses(data, size);
        }
        *value = make_value(key, data, size);
        rc = *value != NULL ? OPAL_SUCCESS : OPAL_ERR_OUT_OF_RESOURCE;
    } else if (size == SINCE_INIT) {
        rc = modex.get(name, key, info, value);
    }
    free(piece);
    return rc;
}

/* --- the exchange --- */

void modex_keep(bool keeping)
{
    modex.keeping = keeping;
}

static void put_for_other_jobs(void)
{
    for (struct entry *e = modex.entries; e != NULL; e = e->next) {
        opal_value_t *value = e->data != NULL ? make_value(e->key, e->data, e->size) : NULL;
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
