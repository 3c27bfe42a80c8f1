/*
 * As much of a debugger as it takes to have Open MPI's own library for that (libompi_dbg_msgq) show
 * the message queues of a process: queues LIBRARY PID.
 *
 * The library asks for symbols, for the layout of types, and for memory. Symbols are where they are
 * in this process, which has the same libraries loaded, moved by the difference of the addresses at
 * which the libraries lie. Layouts are those of the headers, as distributions ship no debug
 * information.
 */
/* It needs a header that developers' packages leave out; nothing of it is needed here. */
#define _PERUSE_INTERNAL_H_

#include "ompi_config.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "ompi/communicator/communicator.h"
#include "ompi/datatype/ompi_datatype.h"
#include "ompi/debuggers/msgq_interface.h"
#include "ompi/group/group.h"
#include "ompi/mca/pml/base/pml_base_recvreq.h"
#include "ompi/mca/pml/base/pml_base_request.h"
#include "ompi/mca/pml/base/pml_base_sendreq.h"
#include "ompi/request/request.h"
#include "opal/class/opal_free_list.h"
#include "opal/class/opal_hash_table.h"
#include "opal/class/opal_list.h"
#include "opal/class/opal_pointer_array.h"

#define SIZE(type)                                                                                 \
    {                                                                                              \
#type, NULL, sizeof(type)                                                                  \
    }
#define FIELD(type, field)                                                                         \
    {                                                                                              \
#type, #field, offsetof(type, field)                                                       \
    }

static const struct layout {
    const char *type, *field;
    size_t value;
} layouts[] = {
    SIZE(opal_list_item_t),
    FIELD(opal_list_item_t, opal_list_next),
    SIZE(opal_list_t),
    FIELD(opal_list_t, opal_list_sentinel),
    SIZE(opal_free_list_item_t),
    SIZE(opal_free_list_t),
    FIELD(opal_free_list_t, fl_mpool),
    FIELD(opal_free_list_t, fl_allocations),
    FIELD(opal_free_list_t, fl_frag_class),
    FIELD(opal_free_list_t, fl_frag_size),
    FIELD(opal_free_list_t, fl_frag_alignment),
    FIELD(opal_free_list_t, fl_max_to_alloc),
    FIELD(opal_free_list_t, fl_num_per_alloc),
    FIELD(opal_free_list_t, fl_num_allocated),
    SIZE(opal_hash_table_t),
    FIELD(opal_hash_table_t, ht_table),
    FIELD(opal_hash_table_t, ht_size),
    SIZE(ompi_request_t),
    FIELD(ompi_request_t, req_type),
    FIELD(ompi_request_t, req_status),
    FIELD(ompi_request_t, req_complete),
    FIELD(ompi_request_t, req_state),
    FIELD(ompi_request_t, req_f_to_c_index),
    SIZE(mca_pml_base_request_t),
    FIELD(mca_pml_base_request_t, req_addr),
    FIELD(mca_pml_base_request_t, req_count),
    FIELD(mca_pml_base_request_t, req_peer),
    FIELD(mca_pml_base_request_t, req_tag),
    FIELD(mca_pml_base_request_t, req_comm),
    FIELD(mca_pml_base_request_t, req_datatype),
    FIELD(mca_pml_base_request_t, req_proc),
    FIELD(mca_pml_base_request_t, req_sequence),
    FIELD(mca_pml_base_request_t, req_type),
    FIELD(mca_pml_base_request_t, req_pml_complete),
    SIZE(mca_pml_base_send_request_t),
    FIELD(mca_pml_base_send_request_t, req_addr),
    FIELD(mca_pml_base_send_request_t, req_bytes_packed),
    FIELD(mca_pml_base_send_request_t, req_send_mode),
    SIZE(mca_pml_base_recv_request_t),
    FIELD(mca_pml_base_recv_request_t, req_bytes_packed),
    SIZE(opal_pointer_array_t),
    FIELD(opal_pointer_array_t, lowest_free),
    FIELD(opal_pointer_array_t, number_free),
    FIELD(opal_pointer_array_t, size),
    FIELD(opal_pointer_array_t, addr),
    SIZE(ompi_communicator_t),
    FIELD(ompi_communicator_t, c_name),
    FIELD(ompi_communicator_t, c_contextid),
    FIELD(ompi_communicator_t, c_my_rank),
    FIELD(ompi_communicator_t, c_local_group),
    FIELD(ompi_communicator_t, c_remote_group),
    FIELD(ompi_communicator_t, c_flags),
    FIELD(ompi_communicator_t, c_f_to_c_index),
    FIELD(ompi_communicator_t, c_topo),
    FIELD(ompi_communicator_t, c_keyhash),
    SIZE(ompi_group_t),
    FIELD(ompi_group_t, grp_proc_count),
    FIELD(ompi_group_t, grp_proc_pointers),
    FIELD(ompi_group_t, grp_my_rank),
    FIELD(ompi_group_t, grp_flags),
    SIZE(ompi_status_public_t),
    FIELD(ompi_status_public_t, MPI_SOURCE),
    FIELD(ompi_status_public_t, MPI_TAG),
    FIELD(ompi_status_public_t, MPI_ERROR),
    FIELD(ompi_status_public_t, _ucount),
    FIELD(ompi_status_public_t, _cancelled),
    SIZE(ompi_datatype_t),
    FIELD(ompi_datatype_t, name),
    FIELD(ompi_datatype_t, super),
    SIZE(opal_datatype_t),
    FIELD(opal_datatype_t, size),
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

static pid_t pid;
static mqs_image_info *image_info;
static mqs_process_info *process_info;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "queues: %s: %s\n", what, why);
    exit(1);
}

/* --- what the library asks for --- */

static void put_image_info(mqs_image *image, mqs_image_info *info)
{
    image_info = info;
}

static mqs_image_info *get_image_info(mqs_image *image)
{
    return image_info;
}

static void put_process_info(mqs_process *process, mqs_process_info *info)
{
    process_info = info;
}

static mqs_process_info *get_process_info(mqs_process *process)
{
    return process_info;
}

static void print(const char *text)
{
    fputs(text, stderr);
}

static char *error_string(int code)
{
    static char text[32];
    snprintf(text, sizeof(text), "error %d", code);
    return text;
}

static void type_sizes(mqs_process *process, mqs_target_type_sizes *sizes)
{
    *sizes = (mqs_target_type_sizes){sizeof(short),  sizeof(int),  sizeof(long),  sizeof(long long),
                                     sizeof(void *), sizeof(bool), sizeof(size_t)};
}

/* The first mapping of a file whose path has that in it: its address, 0 if there is none, and path.
 */
static unsigned long mapping_in_target(const char *part, char *path, size_t size)
{
    char maps_path[40], line[4500];
    unsigned long base = 0;
    snprintf(maps_path, sizeof(maps_path), "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(maps_path, "r");
    while (maps != NULL && base == 0 && fgets(line, sizeof(line), maps) != NULL) {
        const char *name = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        if (name != NULL && strstr(name, part) != NULL) {
            base = strtoul(line, NULL, 16);
            snprintf(path, size, "%s", name);
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return base;
}

static int find_symbol(mqs_image *image, char *name, mqs_taddr_t *address)
{
    Dl_info info;
    char *real, path[4096];
    void *here = dlsym(RTLD_DEFAULT, name);
    if (here == NULL || dladdr(here, &info) == 0 ||
        (real = realpath(info.dli_fname, NULL)) == NULL) {
        return mqs_no_information;
    }
    unsigned long base = mapping_in_target(strrchr(real, '/'), path, sizeof(path));
    free(real);
    if (address != NULL && base != 0) {
        *address = base + (unsigned long)((char *)here - (char *)info.dli_fbase);
    }
    return base != 0 ? mqs_ok : mqs_no_information;
}

static int find_function(mqs_image *image, char *name, mqs_lang_code language, mqs_taddr_t *address)
{
    return find_symbol(image, name, address);
}

/* A type is its name. */
static mqs_type *find_type(mqs_image *image, char *name, mqs_lang_code language)
{
    return (mqs_type *)name;
}

static bool is_known(const char *type)
{
    for (size_t i = 0; i < LAYOUTS; i++) {
        if (strcmp(layouts[i].type, type) == 0) {
            return true;
        }
    }
    return false;
}

static int look_up(const char *type, const char *field)
{
    for (size_t i = 0; i < LAYOUTS; i++) {
        const char *it = layouts[i].field;
        if (strcmp(layouts[i].type, type) == 0 &&
            (field == NULL ? it == NULL : it != NULL && strcmp(it, field) == 0)) {
            return (int)layouts[i].value;
        }
    }
    return is_known(type) ? -1 : 0; /* of topologies, for one, nothing is needed */
}

static int field_offset(mqs_type *type, char *field)
{
    return look_up((const char *)type, field);
}

static int size_of(mqs_type *type)
{
    return look_up((const char *)type, NULL);
}

static int global_rank(mqs_process *process)
{
    return 0;
}

static mqs_image *image_of(mqs_process *process)
{
    return (mqs_image *)process;
}

static int fetch_data(mqs_process *process, mqs_taddr_t address, int size, void *data)
{
    struct iovec here = {data, (size_t)size}, there = {(void *)address, (size_t)size};
    return process_vm_readv(pid, &here, 1, &there, 1, 0) == size ? mqs_ok : mqs_no_information;
}

static void target_to_host(mqs_process *process, const void *in, void *out, int size)
{
    memcpy(out, in, (size_t)size);
}

/* --- what is asked of the library --- */

static struct {
    void (*setup_basic_callbacks)(const mqs_basic_callbacks *);
    int (*setup_image)(mqs_image *, const mqs_image_callbacks *);
    int (*image_has_queues)(mqs_image *, char **);
    int (*setup_process)(mqs_process *, const mqs_process_callbacks *);
    int (*process_has_queues)(mqs_process *, char **);
    int (*update_communicator_list)(mqs_process *);
    int (*setup_communicator_iterator)(mqs_process *);
    int (*get_communicator)(mqs_process *, mqs_communicator *);
    int (*next_communicator)(mqs_process *);
    int (*setup_operation_iterator)(mqs_process *, int);
    int (*next_operation)(mqs_process *, mqs_pending_operation *);
} mqs;

static void *symbol(void *library, const char *name)
{
    void *it = dlsym(library, name);
    if (it == NULL) {
        fail("the library", dlerror());
    }
    return it;
}

static void load(const char *path)
{
    char libmpi[4096] = "";
    if (mapping_in_target("/libmpi.so", libmpi, sizeof(libmpi)) == 0) {
        fail("the process", "it has no libmpi.so");
    }
    void *mpi = dlopen(libmpi, RTLD_NOW | RTLD_GLOBAL), *library = dlopen(path, RTLD_NOW);
    if (mpi == NULL || library == NULL) {
        fail("the library", dlerror());
    }
    mqs.setup_basic_callbacks = symbol(library, "mqs_setup_basic_callbacks");
    mqs.setup_image = symbol(library, "mqs_setup_image");
    mqs.image_has_queues = symbol(library, "mqs_image_has_queues");
    mqs.setup_process = symbol(library, "mqs_setup_process");
    mqs.process_has_queues = symbol(library, "mqs_process_has_queues");
    mqs.update_communicator_list = symbol(library, "mqs_update_communicator_list");
    mqs.setup_communicator_iterator = symbol(library, "mqs_setup_communicator_iterator");
    mqs.get_communicator = symbol(library, "mqs_get_communicator");
    mqs.next_communicator = symbol(library, "mqs_next_communicator");
    mqs.setup_operation_iterator = symbol(library, "mqs_setup_operation_iterator");
    mqs.next_operation = symbol(library, "mqs_next_operation");
}

static void must(int code, const char *what)
{
    if (code != mqs_ok) {
        fail(what, error_string(code));
    }
}

static void show(mqs_process *process, const char *communicator, const char *what, int class)
{
    mqs_pending_operation it;
    if (mqs.setup_operation_iterator(process, class) != mqs_ok) {
        return;
    }
    while (memset(&it, 0, sizeof(it)), mqs.next_operation(process, &it) == mqs_ok) {
        printf("%s: %s, peer %ld, tag %s%ld, %ld bytes at %#lx, %s\n", communicator, what,
               it.desired_local_rank, it.tag_wild ? "any, " : "", it.desired_tag, it.desired_length,
               it.buffer,
               it.status == mqs_st_pending   ? "pending"
               : it.status == mqs_st_matched ? "matched"
                                             : "complete");
    }
}

int main(int argc, char **argv)
{
    static const mqs_basic_callbacks basic = {malloc,
                                              free,
                                              print,
                                              error_string,
                                              put_image_info,
                                              get_image_info,
                                              put_process_info,
                                              get_process_info};
    static const mqs_image_callbacks of_image = {type_sizes, find_function, find_symbol,
                                                 find_type,  field_offset,  size_of};
    static const mqs_process_callbacks of_process = {global_rank, image_of, fetch_data,
                                                     target_to_host};
    mqs_process *process = (mqs_process *)&pid;
    mqs_communicator communicator;
    char *message = NULL;
    if (argc != 3 || (pid = atoi(argv[2])) <= 0) {
        fail("usage", "queues LIBRARY PID");
    }
    load(argv[1]);
    mqs.setup_basic_callbacks(&basic);
    must(mqs.setup_image(image_of(process), &of_image), "the image");
    must(mqs.image_has_queues(image_of(process), &message), "the image's queues");
    must(mqs.setup_process(process, &of_process), "the process");
    must(mqs.process_has_queues(process, &message), "the process's queues");
    must(mqs.update_communicator_list(process), "the communicators");
    must(mqs.setup_communicator_iterator(process), "the communicators");
    while (mqs.get_communicator(process, &communicator) == mqs_ok) {
        printf("%s: rank %ld of %ld\n", communicator.name, communicator.local_rank,
               communicator.size);
        show(process, communicator.name, "receive", mqs_pending_receives);
        show(process, communicator.name, "send", mqs_pending_sends);
        if (mqs.next_communicator(process) != mqs_ok) {
            break;
        }
    }
    return 0;
}
