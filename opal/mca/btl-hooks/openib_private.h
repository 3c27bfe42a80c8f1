/*
 * The parts of btl/openib that its developer headers leave out.
 *
 * Source: opal/mca/btl/openib of Open MPI 4.1; ob1_view_open() refuses to work with any other
 * version. They are declared here under names of our own, up to the last member that is used.
 */
#ifndef NINJA_OPENIB_PRIVATE_H
#define NINJA_OPENIB_PRIVATE_H

#include "opal_config.h"

#include <infiniband/verbs.h>

#include "opal/class/opal_free_list.h"
#include "opal/class/opal_list.h"
#include "opal/class/opal_pointer_array.h"
#include "opal/mca/btl/btl.h"
#include "opal/mca/event/event.h"
#include "opal/threads/mutex.h"
#include "opal/util/proc.h"

/* btl_openib.h */
struct openib_component {
    mca_btl_base_component_3_0_0_t super;
    int max_btls, num_btls, allowed_btls;
    void *btls;
    opal_pointer_array_t devices;
    int devices_count;
    int free_list_num, free_list_max, free_list_inc;
    opal_list_t procs; /* of struct openib_proc */
    opal_event_t send_event, recv_event;
    opal_mutex_t lock;
    char *mpool_hints, *rcache_name;
    uint8_t num_pp_qps, num_srq_qps, num_xrc_qps, num_qps;
};

struct openib_port {
    uint64_t subnet_id;
    uint16_t lid, apm_lid;
    uint8_t mtu;
    uint32_t vendor_id, vendor_part_id;
    uint8_t transport_type, end;
};

/* A port of a device. */
struct openib_module {
    mca_btl_base_module_t super;
    bool btl_inited, srqs_created;
    struct openib_port port;
    void *cpcs;
    uint8_t num_cpcs;
    void *device;
    char *device_name;
    uint8_t port_num;
    uint16_t pkey_index;
    struct ibv_port_attr attributes;
    uint16_t lid;
    int apm_port;
    uint8_t src_path_bits;
    int32_t num_peers; /* by which its completion queues grow */
};

/* btl_openib_proc.h: what is known of a process; it keeps the addresses that it had first */
struct openib_proc_module {
    opal_list_item_t super;
    struct openib_module *module;
};
struct openib_proc {
    opal_list_item_t super;
    const opal_proc_t *proc;
    void *ports;
    uint8_t port_count;
    opal_list_t modules; /* of struct openib_proc_module: those that count it as a peer */
};

/* btl_openib_frag.h */
enum openib_fragment_type { OPENIB_FRAGMENT_RECV };
struct openib_fragment {
    mca_btl_base_descriptor_t super;
    mca_btl_base_segment_t segment;
    enum openib_fragment_type type;
    opal_free_list_t *list;
};

/* btl_openib_endpoint.h: a connection, which may have several queue pairs */
struct openib_qp {
    struct ibv_qp *qp; /* NULL: not connected yet */
};
struct openib_endpoint_qp {
    struct openib_qp *qp;
    opal_list_t no_credits[2], no_wqe[2];
    int32_t credit_send_lock;
    struct openib_fragment *credit_fragment;
    size_t inline_max;
    int32_t send_credits;
    int32_t posted; /* receives, where they do not come from a shared queue */
    int32_t credits[4];
};
struct openib_endpoint {
    opal_list_item_t super;
    struct openib_module *module;
    void *proc, *cpc, *cpc_data;
    bool initiator;
    void *remote_cpc_data;
    int state;
    size_t retries;
    double timestamp;
    opal_mutex_t lock;
    opal_list_t pending_lazy;
    struct openib_endpoint_qp *qps;
};

#endif
