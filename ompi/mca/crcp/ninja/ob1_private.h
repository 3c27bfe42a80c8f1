/*
 * The parts of pml/ob1 that its developer headers leave out.
 *
 * Source: ompi/mca/pml/ob1 of Open MPI 4.1; these layouts are the same in 4.1.0 to 4.1.8. They are
 * declared here under names of our own, and ob1_view_open() refuses to work with any other
 * version, or when the sizes that ob1 itself recorded at run time do not agree with ours.
 */
#ifndef NINJA_OB1_PRIVATE_H
#define NINJA_OB1_PRIVATE_H

#include "ompi_config.h"
#include "ompi/communicator/communicator.h"
#include "ompi/mca/bml/bml.h"
#include "ompi/mca/pml/base/pml_base_request.h"
#include "ompi/mca/pml/pml.h"
#include "opal/class/opal_free_list.h"
#include "opal/mca/allocator/allocator.h"
#include "opal/mca/btl/btl.h"

/* pml_ob1_comm.h: what ob1 keeps of one communicator, and in it of one peer */
struct ob1_peer {
    opal_object_t super;
    struct ompi_proc_t *proc;
    uint16_t expected_sequence;     /* of the next message to be matched; the first is 1 */
    volatile int32_t send_sequence; /* of the last message sent */
    struct ob1_frag *frags_cant_match;
    opal_list_t specific_receives;
    opal_list_t unexpected_frags;
};

struct ob1_comm {
    opal_object_t super;
    volatile uint32_t recv_sequence;
    opal_mutex_t matching_lock;
    opal_list_t wild_receives;
    opal_mutex_t proc_lock;
    struct ob1_peer **peers;
    size_t n_peers;
    size_t last_probed;
};

/* pml_ob1_hdr.h */
enum {
    OB1_HDR_MATCH = MCA_BTL_TAG_PML + 1,
    OB1_HDR_RNDV = MCA_BTL_TAG_PML + 2,
    OB1_HDR_RGET = MCA_BTL_TAG_PML + 3,
};
#define OB1_HDR_FLAG_PIN 4

struct ob1_match_hdr {
    uint8_t type;
    uint8_t flags;
    uint16_t ctx;
    int32_t src;
    int32_t tag;
    uint16_t seq;
#if OPAL_ENABLE_HETEROGENEOUS_SUPPORT
    uint8_t padding[2];
#endif
};

struct ob1_rndv_hdr {
    struct ob1_match_hdr match;
    uint64_t msg_length;
    opal_ptr_t src_req;
};

struct ob1_rget_hdr {
    struct ob1_rndv_hdr rndv;
#if OPAL_ENABLE_HETEROGENEOUS_SUPPORT
    uint8_t padding[4];
#endif
    opal_ptr_t frag;
    uint64_t src_ptr;
};

struct ob1_rdma_hdr {
    uint8_t type;
    uint8_t flags;
#if OPAL_ENABLE_HETEROGENEOUS_SUPPORT
    uint8_t padding[2];
#endif
    opal_ptr_t req;
    opal_ptr_t frag;
    opal_ptr_t recv_req;
    uint64_t rdma_offset;
    uint64_t dst_ptr;
    uint64_t dst_size;
};

struct ob1_ack_hdr {
    uint8_t type;
    uint8_t flags;
#if OPAL_ENABLE_HETEROGENEOUS_SUPPORT
    uint8_t padding[6];
#endif
    opal_ptr_t src_req;
    opal_ptr_t dst_req;
    uint64_t send_offset;
    uint64_t send_size;
};

union ob1_hdr {
    struct ob1_match_hdr match;
    struct ob1_rndv_hdr rndv;
    struct ob1_rget_hdr rget;
    struct ob1_rdma_hdr rdma;
    struct ob1_ack_hdr ack;
};

/* pml_ob1_recvfrag.h: a header that arrived and is not matched yet, with a copy of the packet */
struct ob1_frag {
    opal_free_list_item_t super;
    union ob1_hdr hdr;
    size_t num_segments;
    struct ob1_frag *range;
    mca_btl_base_module_t *btl;
    mca_btl_base_segment_t segments[MCA_BTL_DES_MAX_SEGMENTS];
    struct {
        size_t len;
        void *addr;
    } buffers[MCA_BTL_DES_MAX_SEGMENTS];
    unsigned char addr[1];
};

/* pml_ob1_rdma.h, pml_ob1_rdmafrag.h */
struct ob1_com_btl {
    mca_bml_base_btl_t *bml_btl;
    struct mca_btl_base_registration_handle_t *registration;
    size_t length;
};

struct ob1_rdma_frag {
    opal_free_list_item_t super;
    mca_bml_base_btl_t *rdma_bml;
    union ob1_hdr rdma_hdr;
    int rdma_state;
    size_t rdma_length;
    opal_atomic_size_t rdma_bytes_remaining;
    void *rdma_req;
    uint32_t retries;
    void *cbfunc;
    uint64_t rdma_offset;
    void *local_address;
    struct mca_btl_base_registration_handle_t *local_handle;
    uint64_t remote_address;
    uint8_t remote_handle[MCA_BTL_REG_HANDLE_MAX_SIZE];
};

/* pml_base_sendreq.h (whose own includes are not installed), pml_ob1_sendreq.h */
struct ob1_send_request {
    mca_pml_base_request_t base;
    const void *addr;
    size_t bytes_packed;
    mca_pml_base_send_mode_t send_mode;
    mca_bml_base_endpoint_t *endpoint;
    opal_ptr_t recv_req;
    int32_t state; /* events that are still to come: the ACK, the local completion */
    int32_t lock;
    bool throttle_sends;
    int32_t pipeline_depth;
    size_t bytes_delivered;
    uint32_t rdma_cnt;
    int pending;
    opal_mutex_t range_lock;
    opal_list_t ranges;
    struct ob1_rdma_frag *rdma_frag; /* set while an RGET header is out */
    struct ob1_com_btl rdma[];
};

/* pml_ob1.h */
struct ob1_module {
    mca_pml_base_module_t super;
    int priority;
    int free_list_num;
    int free_list_max;
    int free_list_inc;
    int32_t send_pipeline_depth;
    int32_t recv_pipeline_depth;
    size_t rdma_retries_limit;
    int max_rdma_per_request;
    int max_send_per_range;
    bool use_all_rdma;
    opal_mutex_t lock;
    opal_free_list_t rdma_frags;
    opal_free_list_t recv_frags;
    opal_free_list_t pending_pckts;
    opal_free_list_t buffers;
    opal_free_list_t send_ranges;
    opal_list_t pckt_pending;
    opal_list_t send_pending;
    opal_list_t recv_pending;
    opal_list_t rdma_pending;
    opal_list_t non_existing_communicator_pending;
    bool enabled;
    char *allocator_name;
    mca_allocator_base_module_t *allocator;
    unsigned int unexpected_limit;
};

#endif
