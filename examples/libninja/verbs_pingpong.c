/*
 * Two processes send each other messages by verbs, over a reliable connection of InfiniBand or
 * RoCE, and check each of them. Before their VM is migrated they let go of the device, and
 * afterwards they open the one that is there. Where there is none, they wait until a switch finds
 * one.
 *
 *     cc -o verbs_pingpong verbs_pingpong.c $(pkg-config --cflags --libs libninja libibverbs)
 *     ./verbs_pingpong --rank 0        in one VM
 *     ./verbs_pingpong --rank 1        in another one
 *     ninjactl switch                  on the host
 *
 * What a queue pair must know of the other one goes by the agents, also at the beginning: nobody is
 * connected until the first switch. Everything is one loop of poll(2), see serve_order().
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <infiniband/verbs.h>
#include <ninja.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAYLOAD  4080 /* bytes */
#define RECEIVES 4    /* messages that may come before we look */
#define PORT     1

enum kind { DATA, VERIFY };

struct message {
    uint64_t number;
    uint32_t kind;
    uint32_t unused;
    char bytes[PAYLOAD];
};

/* By what the peer reaches this process. */
struct address {
    uint32_t has_device;
    uint32_t qp;
    union ibv_gid gid;
    uint16_t lid;
};

static struct {
    const char *agent, *job;
    unsigned rank;
    uint64_t messages; /* 0: without end */
} options = {.job = "verbs-pingpong"};

static struct ninja *ninja;
static volatile sig_atomic_t ended;

/* The device, and all that was made of it; NULL: not there. */
static struct ibv_context *device;
static struct ibv_pd *pd;
static struct ibv_comp_channel *channel;
static struct ibv_cq *cq;
static struct ibv_qp *qp;
static struct ibv_mr *mr;
static struct ibv_port_attr port;
static uint8_t gid_index;
static struct {
    struct message out, in[RECEIVES];
} memory;
static bool connected;
static unsigned sending; /* messages that have not gone altogether */

/* The application. */
static uint64_t sent, received;
static bool turn;
static bool stopped;
static unsigned switches;

/* The order that is not done yet. */
static uint64_t order; /* 0: none */
static const char *step;
static uint16_t awaited; /* drain: messages that the peer has sent */
static bool verify_came;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "rank %u: ", options.rank);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n");
    va_end(ap);
    exit(1);
}

static bool is_finished(void)
{
    bool enough = options.messages > 0 && received >= options.messages;
    bool at_rest = sending == 0 && (options.rank == 0 || !turn);
    return (ended || enough) && at_rest;
}

/* --- messages ----------------------------------------------------------------------------- */

/* What message i of a rank is, byte by byte. */
static char byte_of(unsigned rank, uint64_t i, size_t at)
{
    return (char)((i * 2654435761u + at * 40503u + rank * 97u) >> 7);
}

static void post_receive(uint64_t i)
{
    struct ibv_sge where = {(uintptr_t)&memory.in[i], sizeof(memory.in[i]), mr->lkey};
    struct ibv_recv_wr request = {.wr_id = i, .sg_list = &where, .num_sge = 1}, *bad;
    if (ibv_post_recv(qp, &request, &bad) != 0) {
        die("ibv_post_recv: %s", strerror(errno));
    }
}

static void post_send(enum kind kind)
{
    struct ibv_sge where = {(uintptr_t)&memory.out, sizeof(memory.out), mr->lkey};
    struct ibv_send_wr request = {.sg_list = &where,
                                  .num_sge = 1,
                                  .opcode = IBV_WR_SEND,
                                  .send_flags = IBV_SEND_SIGNALED},
                       *bad;
    memory.out.kind = kind;
    if (ibv_post_send(qp, &request, &bad) != 0) {
        die("ibv_post_send: %s", strerror(errno));
    }
    sending++;
}

static void send_message(void)
{
    for (size_t at = 0; at < PAYLOAD; at++) {
        memory.out.bytes[at] = byte_of(options.rank, sent, at);
    }
    memory.out.number = sent++;
    turn = false;
    post_send(DATA);
}

static void check_message(const struct message *message)
{
    if (message->number != received) {
        die("message %llu is WRONG: it says that it is %llu", (unsigned long long)received,
            (unsigned long long)message->number);
    }
    for (size_t at = 0; at < PAYLOAD; at++) {
        if (message->bytes[at] != byte_of(1 - options.rank, received, at)) {
            die("message %llu is WRONG at byte %zu", (unsigned long long)received, at);
        }
    }
    received++;
    turn = true;
}

static void fail_order(const char *why)
{
    uint64_t number = order;
    order = 0;
    ninja_fail(ninja, number, why);
}

static void take_completion(const struct ibv_wc *wc)
{
    if (wc->status != IBV_WC_SUCCESS) {
        connected = false;
        if (order == 0) {
            die("the connection is lost: %s", ibv_wc_status_str(wc->status));
        }
        fail_order(ibv_wc_status_str(wc->status));
    } else if (wc->opcode == IBV_WC_SEND) {
        sending--;
    } else {
        const struct message *message = &memory.in[wc->wr_id];
        if (message->kind == VERIFY) {
            verify_came = true;
        } else {
            check_message(message);
        }
        post_receive(wc->wr_id);
    }
}

/* Takes what has come, and has the channel be readable for what comes then. */
static void take_completions(void)
{
    struct ibv_cq *of;
    void *context;
    struct ibv_wc wc;
    if (ibv_get_cq_event(channel, &of, &context) == 0) {
        ibv_ack_cq_events(of, 1);
        ibv_req_notify_cq(cq, 0);
    }
    while (cq != NULL && ibv_poll_cq(cq, 1, &wc) > 0) {
        take_completion(&wc);
    }
}

/* --- the device --------------------------------------------------------------------------- */

/* Lets go of all; nothing of it may be left. */
static void close_device(void)
{
    if (qp != NULL) {
        ibv_destroy_qp(qp);
    }
    if (mr != NULL) {
        ibv_dereg_mr(mr);
    }
    if (cq != NULL) {
        ibv_destroy_cq(cq);
    }
    if (channel != NULL) {
        ibv_destroy_comp_channel(channel);
    }
    if (pd != NULL) {
        ibv_dealloc_pd(pd);
    }
    if (device != NULL) {
        ibv_close_device(device);
    }
    qp = NULL;
    mr = NULL;
    cq = NULL;
    channel = NULL;
    pd = NULL;
    device = NULL;
    connected = false;
    sending = 0;
}

/* The first one whose port is up. False: there is none. */
static bool find_device(void)
{
    int n = 0;
    struct ibv_device **list = ibv_get_device_list(&n);
    for (int i = 0; i < n && device == NULL; i++) {
        device = ibv_open_device(list[i]);
        if (device != NULL &&
            (ibv_query_port(device, PORT, &port) != 0 || port.state != IBV_PORT_ACTIVE)) {
            ibv_close_device(device);
            device = NULL;
        }
    }
    if (list != NULL) {
        ibv_free_device_list(list);
    }
    return device != NULL;
}

/* The address of IPv4 if there is one, as RoCE may be routed by it; else the first one. */
static void choose_gid(union ibv_gid *gid)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    for (int i = 0; i < port.gid_tbl_len && i < 256; i++) {
        if (ibv_query_gid(device, PORT, i, gid) == 0 &&
            memcmp(gid->raw, mapped, sizeof(mapped)) == 0) {
            gid_index = (uint8_t)i;
            return;
        }
    }
    gid_index = 0;
    ibv_query_gid(device, PORT, 0, gid);
}

static bool to_init(void)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = PORT};
    return ibv_modify_qp(qp, &attr,
                         IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) == 0;
}

/* Makes what a connection needs, with the receives posted. False with errno. */
static bool make_queues(void)
{
    pd = ibv_alloc_pd(device);
    channel = ibv_create_comp_channel(device);
    if (pd == NULL || channel == NULL || fcntl(channel->fd, F_SETFL, O_NONBLOCK) != 0) {
        return false;
    }
    cq = ibv_create_cq(device, 2 * (RECEIVES + 1), NULL, channel, 0);
    mr = ibv_reg_mr(pd, &memory, sizeof(memory), IBV_ACCESS_LOCAL_WRITE);
    if (cq == NULL || mr == NULL || ibv_req_notify_cq(cq, 0) != 0) {
        return false;
    }
    struct ibv_qp_init_attr attr = {
        .send_cq = cq,
        .recv_cq = cq,
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 2, .max_recv_wr = RECEIVES, .max_send_sge = 1, .max_recv_sge = 1},
    };
    qp = ibv_create_qp(pd, &attr);
    if (qp == NULL || !to_init()) {
        return false;
    }
    for (uint64_t i = 0; i < RECEIVES; i++) {
        post_receive(i);
    }
    return true;
}

static bool to_ready_to_receive(const struct address *peer)
{
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTR,
        .path_mtu = port.active_mtu < IBV_MTU_1024 ? port.active_mtu : IBV_MTU_1024,
        .dest_qp_num = peer->qp,
        .max_dest_rd_atomic = 1,
        .min_rnr_timer = 12,
        .ah_attr = {.dlid = peer->lid, .port_num = PORT},
    };
    if (port.link_layer == IBV_LINK_LAYER_ETHERNET) {
        attr.ah_attr.is_global = 1;
        attr.ah_attr.grh.dgid = peer->gid;
        attr.ah_attr.grh.sgid_index = gid_index;
        attr.ah_attr.grh.hop_limit = 64;
    }
    return ibv_modify_qp(qp, &attr,
                         IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                             IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) == 0;
}

static bool to_ready_to_send(void)
{
    struct ibv_qp_attr attr = {
        .qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 1};
    return ibv_modify_qp(qp, &attr,
                         IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                             IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC) == 0;
}

/* --- the steps ---------------------------------------------------------------------------- */

static void later(const struct ninja_order *given)
{
    order = given->number;
    step = given->step;
}

static void fail(const struct ninja_order *given, const char *what)
{
    char why[128];
    snprintf(why, sizeof(why), "%s: %s", what, strerror(errno));
    ninja_fail(ninja, given->number, why);
}

static void on_stop(struct ninja *n, const struct ninja_order *given, void *arg)
{
    order = 0;
    stopped = true;
    ninja_say_sent(n, 1 - options.rank, (uint32_t)sent);
    ninja_done(n, given->number);
}

static void on_drain(struct ninja *n, const struct ninja_order *given, void *arg)
{
    awaited = 0;
    for (size_t i = 0; i < given->n_sent; i++) {
        awaited = (uint16_t)given->sent[i].messages;
    }
    later(given);
}

static void on_settle(struct ninja *n, const struct ninja_order *given, void *arg)
{
    later(given);
}

static void on_release(struct ninja *n, const struct ninja_order *given, void *arg)
{
    order = 0;
    close_device();
    ninja_done(n, given->number);
}

static void on_open(struct ninja *n, const struct ninja_order *given, void *arg)
{
    struct address own = {0};
    if (given->bypass && find_device()) {
        if (!make_queues()) {
            fail(given, ibv_get_device_name(device->device));
            return;
        }
        own.has_device = 1;
        own.qp = qp->qp_num;
        own.lid = port.lid;
        choose_gid(&own.gid);
    }
    ninja_say_address(n, &own, sizeof(own));
    ninja_done(n, given->number);
}

/* Without a device at either end there is nothing to connect: they wait for another switch. */
static void on_connect(struct ninja *n, const struct ninja_order *given, void *arg)
{
    size_t size;
    struct address peer;
    const void *address = ninja_address(n, 1 - options.rank, &size);
    if (address == NULL || size != sizeof(peer)) {
        ninja_fail(n, given->number, "the peer has said another address than this program does");
        return;
    }
    memcpy(&peer, address, sizeof(peer));
    if (device != NULL && peer.has_device) {
        if (!to_ready_to_receive(&peer) || !to_ready_to_send()) {
            fail(given, "the queue pair cannot be connected");
            return;
        }
        connected = true;
        ninja_say_transport(n, "verbs", 1);
    }
    ninja_done(n, given->number);
}

static void on_verify(struct ninja *n, const struct ninja_order *given, void *arg)
{
    verify_came = !connected;
    later(given);
    if (connected) {
        post_send(VERIFY);
    }
}

static void on_resume(struct ninja *n, const struct ninja_order *given, void *arg)
{
    order = 0;
    stopped = false;
    switches++;
    printf("rank %u: %s after %llu messages\n", options.rank,
           connected ? "goes on" : "waits without a device", (unsigned long long)received);
    ninja_done(n, given->number);
}

static void on_say(int level, const char *text, void *arg)
{
    if (level <= 1) {
        fprintf(stderr, "rank %u: %s\n", options.rank, text);
    }
}

static bool is_step(const char *name)
{
    return order != 0 && strcmp(step, name) == 0;
}

/* Ends the order that waits for something when that has come. */
static void serve_order(void)
{
    bool drained = is_step("drain") && (uint16_t)received == awaited;
    bool settled = is_step("settle") && sending == 0;
    bool verified = is_step("verify") && verify_came && sending == 0;
    if (drained || settled || verified) {
        uint64_t number = order;
        order = 0;
        ninja_done(ninja, number);
    }
}

/* --- the loop ----------------------------------------------------------------------------- */

/* Returns what ninja_dispatch() does. */
static int loop_once(void)
{
    struct pollfd fds[] = {{ninja_descriptor(ninja), POLLIN, 0}, {-1, POLLIN, 0}};
    if (channel != NULL) {
        fds[1].fd = channel->fd;
    }
    if (poll(fds, 2, 1000) < 0 && errno != EINTR) {
        die("poll: %s", strerror(errno));
    }
    if (fds[1].revents != 0) {
        take_completions();
    }
    int result = ninja_dispatch(ninja);
    serve_order();
    if (turn && !stopped && connected && sending == 0 && !is_finished()) {
        send_message();
    }
    return result;
}

static void run(void)
{
    bool leaving = false;
    turn = options.rank == 0;
    while (loop_once() != 1) {
        if (is_finished() && !leaving) {
            leaving = true;
            ninja_leave(ninja);
        }
    }
}

static void on_signal(int number)
{
    ended = 1;
}

static void take_options(int argc, char **argv)
{
    static const struct option known[] = {{"agent", 1, NULL, 'A'},
                                          {"job", 1, NULL, 'j'},
                                          {"rank", 1, NULL, 'r'},
                                          {"messages", 1, NULL, 'n'},
                                          {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case 'A':
            options.agent = optarg;
            break;
        case 'j':
            options.job = optarg;
            break;
        case 'r':
            options.rank = optarg[0] == '1';
            break;
        case 'n':
            options.messages = strtoull(optarg, NULL, 10);
            break;
        default:
            fprintf(stderr, "usage: %s --rank 0|1 [--job NAME] [--agent SOCKET] [--messages N]\n",
                    argv[0]);
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    const struct ninja_callbacks callbacks = {
        sizeof(callbacks), on_stop,    on_drain,  on_settle, on_release,
        on_open,           on_connect, on_verify, on_resume, on_say,
    };
    take_options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGTERM, on_signal);
    ninja = ninja_join(options.agent, options.job, options.rank, 2, &callbacks, NULL);
    if (ninja == NULL) {
        die("ninja_join: %s", strerror(errno));
    }
    run();
    ninja_close(ninja);
    close_device();
    printf("rank %u: %llu messages sent, %llu received, all right; %u switches\n", options.rank,
           (unsigned long long)sent, (unsigned long long)received, switches);
    return 0;
}
