/*
 * Theory of operation
 *
 * BTLs publish their addresses as PMIx values (the "modex") and read those of their peers. A value
 * that was put once cannot be put again: the readers would see the old one. So the functions that
 * put and get are wrapped. From modex_begin() on, what a BTL puts is kept here; modex_exchange()
 * publishes everything that this process has kept as one value under a key of this exchange's
 * number, and waits in a fence until all ranks have. A get of a BTL's key is answered from the
 * newest such value of that peer. For a component that has been open since MPI_Init the value says
 * so, and the get goes to the original key; for anything else the peer has no such transport, and
 * the answer comes at once (asking PMIx for an unknown key takes seconds).
 *
 * Format of the value: a 32-bit number, the size of what follows before it was compressed. That is for
 * each key a header of two 32-bit numbers (length of the key with its NUL, length of the data or
 * SINCE_INIT), the key, the data. PMIx keeps every value until the job ends, so they are compressed
 * (vader's is a path in a buffer of 4 KiB).
 */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "opal/mca/pmix/pmix.h"

#define SINCE_INIT UINT32_MAX
#define KEY_PREFIX "btl."
#define MAX_OFFER  (1u << 20) /* bytes that a peer may offer */

struct entry {
    struct entry *next;
    char *key;
    uint8_t *data; /* NULL: published in MPI_Init, under its own key */
    uint32_t size;
};

struct blob {
    uint8_t *data;
    uint32_t size;
    unsigned number; /* of the exchange that it is from */
};

static struct {
    opal_pmix_base_module_put_fn_t put;
    opal_pmix_base_module_get_fn_t get;
    struct entry *entries; /* what this process offers */
    unsigned number;       /* of the last exchange; 0: none yet */
    bool keeping;
    int fence_seconds;
    struct blob *peers; /* by rank */
    size_t n_peers;
} modex;

static volatile bool fence_done;
static volatile int fence_status;

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
    OPAL_LIST_FOREACH(module, &mca_btl_base_modules_initialized, mca_btl_base_selected_module_t) {
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
        *size += (uint32_t)(2 * sizeof(uint32_t) + strlen(e->key) + 1) +
                 (e->data != NULL ? e->size : 0);
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

/* The packed entries in their compressed form, malloc'ed. */
static uint8_t *pack_and_compress(uint32_t *size)
{
    uint32_t raw_size;
    uint8_t *raw = pack(&raw_size);
    uLongf packed_size = compressBound(raw_size);
    uint8_t *packed = raw != NULL ? malloc(sizeof(raw_size) + packed_size) : NULL;
    if (packed != NULL &&
        compress(packed + sizeof(raw_size), &packed_size, raw, raw_size) == Z_OK) {
        memcpy(packed, &raw_size, sizeof(raw_size));
        *size = (uint32_t)(sizeof(raw_size) + packed_size);
    } else {
        free(packed);
        packed = NULL;
    }
    free(raw);
    return packed;
}

/* --- what the peers offer ----------------------------------------------------------------------- */

static void name_of_exchange(char *key, size_t size)
{
    snprintf(key, size, "ninja.modex.%u", modex.number);
}

static bool uncompress_into(struct blob *blob, const uint8_t *packed, size_t size)
{
    uint32_t raw_size;
    if (size < sizeof(raw_size)) {
        return false;
    }
    memcpy(&raw_size, packed, sizeof(raw_size));
    uint8_t *raw = raw_size <= MAX_OFFER ? malloc(raw_size + 1) : NULL;
    uLongf got = raw_size;
    if (raw == NULL || uncompress(raw, &got, packed + sizeof(raw_size), size - sizeof(raw_size)) != Z_OK ||
        got != raw_size) {
        free(raw);
        return false;
    }
    free(blob->data);
    blob->data = raw;
    blob->size = raw_size;
    return true;
}

/* Reads the newest value of a peer, once for each exchange. */
static struct blob *blob_of(const opal_process_name_t *name)
{
    if (name->jobid != OPAL_PROC_MY_NAME.jobid || name->vpid >= modex.n_peers) {
        return NULL;
    }
    struct blob *blob = &modex.peers[name->vpid];
    if (blob->number == modex.number) {
        return blob;
    }
    char key[32];
    name_of_exchange(key, sizeof(key));
    opal_value_t *value = NULL;
    if (modex.get(name, key, NULL, &value) != OPAL_SUCCESS || value == NULL) {
        return NULL;
    }
    if (value->type == OPAL_BYTE_OBJECT && value->data.bo.size >= 0 &&
        uncompress_into(blob, value->data.bo.bytes, (size_t)value->data.bo.size)) {
        blob->number = modex.number;
    }
    OBJ_RELEASE(value);
    return blob->number == modex.number ? blob : NULL;
}

/* Finds a key. Returns its data and size, or NULL (size SINCE_INIT: ask for the original key). */
static const uint8_t *find(const struct blob *blob, const char *wanted, uint32_t *size)
{
    const uint8_t *p = blob->data, *end = blob->data + blob->size;
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

/* --- the wrapped functions ------------------------------------------------------------------------ */

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
    if (modex.number == 0 || !is_of_a_btl(key)) {
        return modex.get(name, key, info, value);
    }
    struct blob *blob = blob_of(name);
    if (blob == NULL) {
        return OPAL_ERR_NOT_FOUND;
    }
    uint32_t size;
    const uint8_t *data = find(blob, key, &size);
    if (data == NULL) {
        return size == SINCE_INIT ? modex.get(name, key, info, value) : OPAL_ERR_NOT_FOUND;
    }
    *value = make_value(key, data, size);
    return *value != NULL ? OPAL_SUCCESS : OPAL_ERR_OUT_OF_RESOURCE;
}

/* --- the exchange ----------------------------------------------------------------------------------- */

void modex_begin(void)
{
    modex.keeping = true;
}

/* The end of a fence that was given up may come while a later one is waited for. */
static void on_fence(int status, void *number)
{
    if ((uintptr_t)number == modex.number) {
        fence_status = status;
        fence_done = true;
    }
}

static int publish(void)
{
    uint32_t size = 0;
    char key[32];
    name_of_exchange(key, sizeof(key));
    opal_value_t value;
    OBJ_CONSTRUCT(&value, opal_value_t);
    value.key = strdup(key);
    value.type = OPAL_BYTE_OBJECT;
    value.data.bo.bytes = pack_and_compress(&size);
    value.data.bo.size = value.data.bo.bytes != NULL ? (int32_t)size : 0;
    int rc = OPAL_ERR_OUT_OF_RESOURCE;
    if (value.key != NULL && value.data.bo.bytes != NULL) {
        rc = modex.put(OPAL_PMIX_GLOBAL, &value);
    }
    OBJ_DESTRUCT(&value);
    return rc == OPAL_SUCCESS ? opal_pmix.commit() : rc;
}

static int fence(void)
{
    const struct timespec pause = {0, 100000};
    struct timespec now, end;

    fence_done = false;
    int rc = opal_pmix.fence_nb(NULL, 1, on_fence, (void *)(uintptr_t)modex.number);
    if (rc != OPAL_SUCCESS) {
        return rc;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += modex.fence_seconds;
    while (!fence_done) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > end.tv_sec) {
            return OPAL_ERR_TIMEOUT;
        }
        nanosleep(&pause, NULL);
    }
    return fence_status;
}

bool modex_exchange(char *why, size_t size)
{
    modex.keeping = false;
    modex.number++;
    int rc = publish();
    int fence_rc = fence();
    if (rc == OPAL_SUCCESS) {
        rc = fence_rc;
    }
    if (rc != OPAL_SUCCESS) {
        snprintf(why, size, "exchange of addresses with the other ranks: %s", opal_strerror(rc));
        return false;
    }
    return true;
}

bool modex_open(int fence_seconds, char *why, size_t size)
{
    modex.n_peers = ompi_process_info.num_procs;
    modex.peers = calloc(modex.n_peers, sizeof(*modex.peers));
    if (modex.peers == NULL) {
        snprintf(why, size, "out of memory");
        return false;
    }
    modex.fence_seconds = fence_seconds;
    offer_what_is_open();
    modex.put = opal_pmix.put;
    modex.get = opal_pmix.get;
    opal_pmix.put = put_or_keep;
    opal_pmix.get = get_newest;
    return true;
}

void modex_close(void)
{
    if (modex.put != NULL) {
        opal_pmix.put = modex.put;
        opal_pmix.get = modex.get;
        modex.put = NULL;
        modex.get = NULL;
    }
    while (modex.entries != NULL) {
        struct entry *next = modex.entries->next;
        entry_free(modex.entries);
        modex.entries = next;
    }
    for (size_t i = 0; i < modex.n_peers; i++) {
        free(modex.peers[i].data);
    }
    free(modex.peers);
    modex.peers = NULL;
    modex.n_peers = 0;
}
