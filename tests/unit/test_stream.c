/* Two of the program ninja-stream, and what stands for QEMUs at both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/qemu_stream.h"

#define VMS   3
#define KEY   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define PAGES 4000

struct program {
    pid_t pid;
    FILE *in, *out;
};

struct guest {
    struct qemu_stream stream;
    char socket[108]; /* of the source's side */
    int listener, source, destination;
    pthread_t writer, reader;
    size_t right; /* bytes that came */
};

struct world {
    char dir[32];
    struct program destination, source;
    struct guest guests[VMS];
};

/* ---- the programs ---- */

static void start(struct program *program)
{
    int in[2], out[2];
    assert_int_equal(pipe(in) | pipe(out), 0);
    program->pid = fork();
    if (program->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        for (int fd = 3; fd < 64; fd++) {
            close(fd);
        }
        execl(NINJA_STREAM, NINJA_STREAM, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    program->in = fdopen(in[1], "w");
    program->out = fdopen(out[0], "r");
}

/* Takes the request. */
static json_t *ask(struct program *program, json_t *request)
{
    char line[4096];
    json_dumpf(request, program->in, JSON_COMPACT);
    json_decref(request);
    fputc('\n', program->in);
    fflush(program->in);
    assert_non_null(fgets(line, sizeof(line), program->out));
    json_t *answer = json_loads(line, 0, NULL);
    assert_non_null(answer);
    return answer;
}

static json_t *begin(struct program *program, const char *side, int port, const char *key,
                     int bandwidth)
{
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    return ask(program, json_pack("{s:s, s:i, s:{s:i, s:s, s:s, s:s, s:i, s:i, s:i}}", "execute",
                                  "begin", "id", 1, "arguments", "version", 1, "side", side,
                                  "address", address, "key", key, "connect_ms", 30000, "resume_ms",
                                  30000, "bandwidth", bandwidth));
}

static void expect_return(json_t *answer)
{
    if (json_object_get(answer, "return") == NULL) {
        fail_msg("%s", json_dumps(answer, 0));
    }
    json_decref(answer);
}

/* Of the answer, or of the end of the program, which may come first. */
static const char *error_class(json_t *answer, char *class, size_t size)
{
    json_t *error = json_object_get(answer, "error");
    const char *text = json_string_value(
        json_object_get(error != NULL ? error : json_object_get(answer, "data"), "class"));
    snprintf(class, size, "%s", text != NULL ? text : "");
    json_decref(answer);
    return class;
}

static int exit_status(struct program *program)
{
    int status = -1;
    fclose(program->in);
    waitpid(program->pid, &status, 0);
    fclose(program->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* ---- what stands for QEMUs ---- */

static struct sockaddr_un unix_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return address;
}

static void add_vm(struct world *world, int i)
{
    struct guest *guest = &world->guests[i];
    char path[108];
    snprintf(path, sizeof(path), "%s/%d", world->dir, i);
    struct sockaddr_un address = unix_address(path);
    guest->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(guest->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(guest->listener, 1), 0);
    expect_return(
        ask(&world->destination, json_pack("{s:s, s:i, s:{s:i, s:s}}", "execute", "vm", "id", i,
                                           "arguments", "number", i, "socket", path)));
    json_t *answer = ask(&world->source, json_pack("{s:s, s:i, s:{s:i}}", "execute", "vm", "id", i,
                                                   "arguments", "number", i));
    snprintf(guest->socket, sizeof(guest->socket), "%s",
             json_string_value(json_object_get(json_object_get(answer, "return"), "socket")));
    json_decref(answer);
}

static void *write_memory(void *arg)
{
    struct guest *guest = arg;
    for (size_t at = 0; at < guest->stream.len;) {
        ssize_t n =
            send(guest->source, guest->stream.bytes + at, guest->stream.len - at, MSG_NOSIGNAL);
        if (n <= 0) {
            break;
        }
        at += (size_t)n;
    }
    shutdown(guest->source, SHUT_WR);
    return NULL;
}

/* And answers at the end, as with a return path. */
static void *read_memory(void *arg)
{
    struct guest *guest = arg;
    static _Thread_local uint8_t bytes[65536];
    ssize_t n;
    while ((n = read(guest->destination, bytes, sizeof(bytes))) > 0) {
        if (guest->right + (size_t)n > guest->stream.len ||
            memcmp(bytes, guest->stream.bytes + guest->right, (size_t)n) != 0) {
            break;
        }
        guest->right += (size_t)n;
    }
    if (n == 0 && guest->right == guest->stream.len) {
        send(guest->destination, "well", 4, MSG_NOSIGNAL);
    }
    close(guest->destination);
    return NULL;
}

static void begin_copy(struct guest *guest, unsigned seed)
{
    struct sockaddr_un address = unix_address(guest->socket);
    qemu_stream_make(&guest->stream, seed, PAGES);
    guest->source = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(guest->source, (struct sockaddr *)&address, sizeof(address)), 0);
    guest->destination = accept(guest->listener, NULL, NULL);
    assert_true(guest->destination >= 0);
    pthread_create(&guest->writer, NULL, write_memory, guest);
    pthread_create(&guest->reader, NULL, read_memory, guest);
}

static void expect_copied(struct guest *guest)
{
    char answer[8] = "";
    pthread_join(guest->writer, NULL);
    pthread_join(guest->reader, NULL);
    assert_int_equal(guest->right, guest->stream.len);
    assert_int_equal(recv(guest->source, answer, sizeof(answer), MSG_WAITALL), 4);
    assert_string_equal(answer, "well");
    close(guest->source);
    close(guest->listener);
    qemu_stream_free(&guest->stream);
}

/* ---- both sides ---- */

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    strcpy(world->dir, "/tmp/ninja-test-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    start(&world->destination);
    start(&world->source);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    char path[64];
    for (int i = 0; i < VMS; i++) {
        snprintf(path, sizeof(path), "%s/%d", world->dir, i);
        unlink(path);
    }
    rmdir(world->dir);
    free(world);
    return 0;
}

static unsigned draw_seed(void)
{
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    return seed;
}

static void connect_sides(struct world *world, int port, int source_port, int bandwidth)
{
    expect_return(begin(&world->destination, "destination", port, KEY, 0));
    expect_return(begin(&world->source, "source", source_port, KEY, bandwidth));
    for (int i = 0; i < VMS; i++) {
        add_vm(world, i);
    }
}

static json_int_t counted(struct world *world, const char *name)
{
    json_t *answer = ask(&world->source,
                         json_pack("{s:s, s:i, s:{}}", "execute", "count", "id", 1, "arguments"));
    json_t *result = json_object_get(answer, "return");
    json_t *value = json_object_get(result, name);
    json_int_t n = json_integer_value(
        value != NULL ? value : json_object_get(json_object_get(result, "memory"), name));
    json_decref(answer);
    return n;
}

static void expect_ended(struct world *world)
{
    assert_int_equal(exit_status(&world->source), 0);
    assert_int_equal(exit_status(&world->destination), 0);
    assert_int_not_equal(access(world->guests[0].socket, F_OK), 0);
}

static void memory_comes_out_as_it_went_in(void **state)
{
    struct world *world = *state;
    int port = free_port();
    unsigned seed = draw_seed();
    connect_sides(world, port, port, 4000000); /* slow, so that it is worth some CPU */
    for (int i = 0; i < VMS; i++) {
        begin_copy(&world->guests[i], seed + (unsigned)i / 2); /* two of them are alike */
    }
    for (int i = 0; i < VMS; i++) {
        expect_copied(&world->guests[i]);
    }
    assert_true(counted(world, "pages") > 0);
    assert_true(counted(world, "copied_pages") * 5 > counted(world, "pages"));
    assert_true(counted(world, "sent_bytes") * 2 < counted(world, "raw_bytes"));
    expect_ended(world);
}

static void a_side_with_another_key_is_refused(void **state)
{
    struct world *world = *state;
    char class[32], other[] = KEY;
    int port = free_port();
    other[0] = '7';
    expect_return(begin(&world->destination, "destination", port, KEY, 0));
    assert_string_equal(
        error_class(begin(&world->source, "source", port, other, 0), class, sizeof(class)),
        "Forbidden");
    exit_status(&world->source);
    kill(world->destination.pid, SIGTERM); /* it waits for the right one */
    exit_status(&world->destination);
}

static void what_goes_through_goes_on_without_the_coordinator(void **state)
{
    struct world *world = *state;
    int port = free_port();
    connect_sides(world, port, port, 8000000);
    begin_copy(&world->guests[0], draw_seed());
    for (int i = 1; i < VMS; i++) {
        close(world->guests[i].listener);
    }
    fclose(world->source.in);
    fclose(world->destination.in);
    expect_copied(&world->guests[0]);
    world->source.in = fopen("/dev/null", "w");
    world->destination.in = fopen("/dev/null", "w");
    expect_ended(world);
}

/* ---- a connection that breaks ---- */

struct relay {
    int listener, port, breaks;
    pthread_t thread;
};

static int connect_port(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Until so many bytes went that way, or the end; false: the end. */
static int carry(int a, int b, size_t limit)
{
    static uint8_t bytes[65536];
    while (limit > 0) {
        struct pollfd both[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
        poll(both, 2, -1);
        for (int i = 0; i < 2; i++) {
            ssize_t n = both[i].revents ? read(both[i].fd, bytes, sizeof(bytes)) : 0;
            if ((both[i].revents && n <= 0) ||
                (n > 0 && send(i == 0 ? b : a, bytes, (size_t)n, MSG_NOSIGNAL) != n)) {
                return 0;
            }
            limit -= (size_t)n < limit ? (size_t)n : limit;
        }
    }
    return 1;
}

static void *relay_run(void *arg)
{
    struct relay *relay = arg;
    int goes_on = 1;
    while (goes_on) {
        int a = accept(relay->listener, NULL, NULL), b = a < 0 ? -1 : connect_port(relay->port);
        if (b < 0) {
            break;
        }
        goes_on = carry(a, b, relay->breaks-- > 0 ? 600000 : (size_t)-1);
        close(a);
        close(b);
    }
    return NULL;
}

static void a_broken_connection_is_taken_up_again(void **state)
{
    struct world *world = *state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct relay relay = {.port = free_port(), .breaks = 5};
    int port = free_port();
    address.sin_port = htons((uint16_t)port);
    relay.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(relay.listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(relay.listener, 4), 0);
    pthread_create(&relay.thread, NULL, relay_run, &relay);
    connect_sides(world, relay.port, port, 0);
    unsigned seed = draw_seed();
    for (int i = 0; i < VMS; i++) {
        begin_copy(&world->guests[i], seed + (unsigned)i);
    }
    for (int i = 0; i < VMS; i++) {
        expect_copied(&world->guests[i]);
    }
    assert_true(counted(world, "reconnects") >= 5);
    expect_ended(world);
    pthread_join(relay.thread, NULL);
    close(relay.listener);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_comes_out_as_it_went_in),
        TEST(a_side_with_another_key_is_refused),
        TEST(what_goes_through_goes_on_without_the_coordinator),
        TEST(a_broken_connection_is_taken_up_again),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
