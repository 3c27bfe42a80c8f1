/*
 * Two processes send each other messages over TCP, and check each of them. When the VM of one is to
 * be migrated both close their connection, and afterwards they make another one. It is done as it
 * would be with a device that bypasses the VMM, but runs anywhere.
 *
 *     cc -o tcp_pingpong tcp_pingpong.c $(pkg-config --cflags --libs libninja)
 *     ./tcp_pingpong --rank 0 --port 7000 &
 *     ./tcp_pingpong --rank 1 --port 7000 --peer 127.0.0.1
 *
 * Rank 0 sends, and rank 1 sends back, until so many --messages came back, or rank 0 gets SIGTERM.
 * Until the first switch rank 1 finds rank 0 at --peer and
 * --port; later the addresses come with the steps. Everything is one loop of poll(2) that never
 * waits elsewhere, so most steps end later than their callbacks: see serve_order().
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <ninja.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE 4096 /* bytes */
#define BEGIN_S 20   /* so long rank 1 looks for rank 0 at the beginning */

static struct {
    const char *agent, *job, *address, *peer;
    int port;
    unsigned rank;
    uint64_t messages; /* 0: without end */
} options = {.job = "tcp-pingpong", .address = "127.0.0.1", .peer = "127.0.0.1", .port = 7000};

static struct ninja *ninja;
static volatile sig_atomic_t ended;

/* The connection, and what is under way in it. */
static int listener = -1, sock = -1;
static bool connecting;
static char in[MESSAGE], out[MESSAGE];
static size_t n_in, n_out; /* bytes of the message that have come, and that have gone */
static bool sending;       /* out has not gone altogether */

/* The application. */
static uint64_t sent, received; /* messages */
static bool turn;               /* it is for us to send */
static unsigned switches;

/* The order that is not done yet. */
static uint64_t order;   /* 0: none */
static const char *step; /* of it */
static uint16_t awaited; /* drain: messages that the peer has sent */
static bool verify_came;
static bool stopped;      /* no new message is begun */
static bool reads = true; /* not from the end of settle to verify, and not from there to resume */

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

/* Rank 0 ends when a message has come back, and rank 1 when rank 0 has ended. */
static bool is_finished(void)
{
    bool enough = options.messages > 0 && received >= options.messages;
    return options.rank == 0 ? turn && (ended || enough) : ended;
}

/* --- messages ----------------------------------------------------------------------------- */

/* What message i of a rank is, byte by byte. */
static char byte_of(unsigned rank, uint64_t i, size_t at)
{
    return (char)((i * 2654435761u + at * 40503u + rank * 97u) >> 7);
}

static void make_message(void)
{
    for (size_t at = 0; at < MESSAGE; at++) {
        out[at] = byte_of(options.rank, sent, at);
    }
    sent++;
    n_out = 0;
    sending = true;
    turn = false;
}

static void check_message(void)
{
    for (size_t at = 0; at < MESSAGE; at++) {
        if (in[at] != byte_of(1 - options.rank, received, at)) {
            die("message %llu is WRONG at byte %zu", (unsigned long long)received, at);
        }
    }
    received++;
    n_in = 0;
    turn = true;
}

static void close_all(void)
{
    if (sock >= 0) {
        close(sock);
    }
    if (listener >= 0) {
        close(listener);
    }
    sock = listener = -1;
    connecting = false;
}

/* The peer is gone, or the network. Between two messages it may have ended. */
static void lost(const char *why)
{
    bool between = n_in == 0 && !sending;
    close(sock);
    sock = -1;
    if (order != 0) {
        ninja_fail(ninja, order, why);
        order = 0;
    } else if (options.rank == 0 || !between) {
        die("the connection is lost: %s", why);
    } else {
        ended = 1;
    }
}

static bool may_be_later(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void receive(void)
{
    bool verifying = order != 0 && strcmp(step, "verify") == 0;
    ssize_t n = recv(sock, in + n_in, verifying ? 1 : MESSAGE - n_in, 0);
    if (n == 0 || (n < 0 && !may_be_later(n))) {
        lost(n == 0 ? "it was closed" : strerror(errno));
    } else if (n > 0 && verifying) {
        verify_came = true;
    } else if (n > 0) {
        n_in += (size_t)n;
        if (n_in == MESSAGE) {
            check_message();
        }
    }
}

static void send_more(void)
{
    ssize_t n = send(sock, out + n_out, MESSAGE - n_out, MSG_NOSIGNAL);
    if (n < 0 && !may_be_later(n)) {
        lost(strerror(errno));
    } else if (n > 0) {
        n_out += (size_t)n;
        sending = n_out < MESSAGE;
    }
}

/* --- connecting --------------------------------------------------------------------------- */

static void listen_at(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1;
    inet_pton(AF_INET, options.address, &at.sin_addr);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 1) != 0) {
        die("%s port %d: %s", options.address, port, strerror(errno));
    }
}

static void no_delay(void)
{
    int yes = 1;
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/* False with errno. */
static bool begin_to_connect(const struct sockaddr_in *to)
{
    sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    no_delay();
    connecting = true;
    return connect(sock, (const struct sockaddr *)to, sizeof(*to)) == 0 || errno == EINPROGRESS;
}

static void accept_peer(void)
{
    sock = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (sock >= 0) {
        no_delay();
    }
}

static void end_of_connect(void)
{
    int why = 0;
    socklen_t size = sizeof(why);
    getsockopt(sock, SOL_SOCKET, SO_ERROR, &why, &size);
    connecting = false;
    if (why != 0) {
        lost(strerror(why));
    }
}

/* At the beginning, before there is anything to switch. */
static void find_each_other(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    if (options.rank == 0) {
        listen_at(options.port);
        return;
    }
    inet_pton(AF_INET, options.peer, &to.sin_addr);
    for (int i = 0; i < BEGIN_S * 10; i++) {
        sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(sock, (struct sockaddr *)&to, sizeof(to)) == 0) {
            fcntl(sock, F_SETFL, O_NONBLOCK);
            no_delay();
            return;
        }
        close(sock);
        usleep(100000);
    }
    die("nobody is at %s port %d", options.peer, options.port);
}

/* --- the steps ---------------------------------------------------------------------------- */

static void later(const struct ninja_order *given)
{
    order = given->number;
    step = given->step;
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
    close_all();
    reads = false;
    ninja_done(n, given->number);
}

/* Where rank 0 is found. That of rank 1 nobody needs. */
static void on_open(struct ninja *n, const struct ninja_order *given, void *arg)
{
    struct sockaddr_in at = {0};
    socklen_t size = sizeof(at);
    if (options.rank == 0) {
        listen_at(0);
        getsockname(listener, (struct sockaddr *)&at, &size);
    }
    ninja_say_address(n, &at, sizeof(at));
    ninja_done(n, given->number);
}

static void on_connect(struct ninja *n, const struct ninja_order *given, void *arg)
{
    size_t size;
    struct sockaddr_in to;
    const void *address = ninja_address(n, 0, &size);
    ninja_say_transport(n, "tcp", 1);
    later(given);
    if (options.rank == 0) {
        return;
    }
    if (address == NULL || size != sizeof(to)) {
        lost("rank 0 has said another address than this program does");
        return;
    }
    memcpy(&to, address, size);
    if (!begin_to_connect(&to)) {
        lost(strerror(errno));
    }
}

static void on_verify(struct ninja *n, const struct ninja_order *given, void *arg)
{
    verify_came = false;
    reads = true;
    later(given);
    if (send(sock, "v", 1, MSG_NOSIGNAL) != 1) {
        lost(strerror(errno));
    }
}

static void on_resume(struct ninja *n, const struct ninja_order *given, void *arg)
{
    order = 0;
    stopped = false;
    reads = true;
    switches++;
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
    bool settled = is_step("settle") && !sending;
    bool connected = is_step("connect") && sock >= 0 && !connecting;
    bool verified = is_step("verify") && verify_came;
    if (drained || settled || connected || verified) {
        uint64_t number = order;
        order = 0;
        /* Nothing more comes before resume; but the peer may be at the next step already. */
        reads = reads && !settled && !verified;
        ninja_done(ninja, number);
    }
}

/* --- the loop ----------------------------------------------------------------------------- */

static void serve_sock(short events)
{
    if (connecting && (events & (POLLOUT | POLLERR | POLLHUP)) != 0) {
        end_of_connect();
    } else if (sock >= 0 && (events & (POLLIN | POLLERR | POLLHUP)) != 0) {
        receive();
    }
    if (sock >= 0 && sending && (events & POLLOUT) != 0) {
        send_more();
    }
}

/* Returns what ninja_dispatch() does. */
static int loop_once(void)
{
    struct pollfd fds[] = {{ninja_descriptor(ninja), POLLIN, 0}, {-1, 0, 0}, {-1, POLLIN, 0}};
    if (sock >= 0 && (reads || connecting)) {
        fds[1].fd = sock;
        fds[1].events = (short)((connecting ? 0 : POLLIN) | (connecting || sending ? POLLOUT : 0));
    }
    if (sock < 0) {
        fds[2].fd = listener;
    }
    if (poll(fds, 3, 1000) < 0 && errno != EINTR) {
        die("poll: %s", strerror(errno));
    }
    if (fds[2].revents != 0) {
        accept_peer();
    }
    if (fds[1].revents != 0) {
        serve_sock(fds[1].revents);
    }
    int result = ninja_dispatch(ninja);
    serve_order();
    if (turn && !stopped && sock >= 0 && !connecting && !is_finished()) {
        make_message();
        send_more();
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
    static const struct option known[] = {
        {"agent", 1, NULL, 'A'},    {"job", 1, NULL, 'j'},  {"rank", 1, NULL, 'r'},
        {"messages", 1, NULL, 'n'}, {"peer", 1, NULL, 'p'}, {"port", 1, NULL, 'P'},
        {"address", 1, NULL, 'a'},  {NULL, 0, NULL, 0},
    };
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
        case 'p':
            options.peer = optarg;
            break;
        case 'P':
            options.port = atoi(optarg);
            break;
        case 'a':
            options.address = optarg;
            break;
        default:
            fprintf(stderr,
                    "usage: %s --rank 0|1 [--job NAME] [--agent SOCKET] [--messages N]\n"
                    "    [--address OWN-ADDRESS] [--peer ADDRESS] [--port PORT]\n",
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
    signal(SIGTERM, options.rank == 0 ? on_signal : SIG_IGN);
    find_each_other();
    ninja = ninja_join(options.agent, options.job, options.rank, 2, &callbacks, NULL);
    if (ninja == NULL) {
        die("ninja_join: %s", strerror(errno));
    }
    run();
    ninja_close(ninja);
    printf("rank %u: %llu messages sent, %llu received, all right; %u switches\n", options.rank,
           (unsigned long long)sent, (unsigned long long)received, switches);
    return 0;
}
