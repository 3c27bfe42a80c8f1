/*
 * The agent as a hostile host speaks to it: bytes on the channel of an agent that has a job of two
 * ranks, with a greeting before them if the first byte is odd.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/agent_proto.h"
#include "tests/fuzz/agent_bench.h"
#include "tests/fuzz/fuzz.h"

static void feed(struct bench *bench, const void *bytes, size_t size)
{
    const char *p = bytes;
    while (size > 0) {
        ssize_t n = write(bench->host, p, size);
        if (n > 0) {
            p += n;
            size -= (size_t)n;
        } else if (bench->channel == NULL) {
            return;
        }
        bench_run(bench);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char hello[] =
        "{\"execute\":\"ninja-hello\",\"arguments\":{\"protocol\":" NINJA_AGENT_PROTOCOL_TEXT
        ",\"version\":\"0.1.0\"}}\n";
    struct bench bench;
    int ranks[2];
    bench_begin(&bench);
    for (uint32_t r = 0; r < 2; r++) {
        ranks[r] = bench_join_rank(&bench, r);
    }
    if (fuzz_byte(&data, &size) & 1) {
        feed(&bench, hello, sizeof(hello) - 1);
    }
    feed(&bench, data, size);
    for (int r = 0; r < 2; r++) {
        bench_drain_rank(ranks[r]);
        close(ranks[r]);
    }
    bench_run(&bench);
    bench_end(&bench);
    return 0;
}
