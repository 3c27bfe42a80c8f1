/*
 * How fast memory pages are scanned and coded by a GPU, and by this machine's CPUs: bench/gpu runs
 * it.
 *
 *   gpu [OPTION]... NAME=FILE|NAME=pid:PID...
 *
 * A data set is a file, or the memory of a process that can be written. Its pages that are not zero
 * are put into the batches beforehand, again and again until they are full; then threads, each with
 * a batch, scan and code them until the time is over. So what is timed goes from the host's memory
 * to the host's memory. At the end every block is decoded and compared, and every hash, and only
 * then its line is printed.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "stream/codec.h"
#include "stream/gpu/engine.h"

enum { MAX_SET = 256 << 20, MAX_THREADS = 256 };

static const uint8_t key[32] = "the key of a benchmark, 32 bytes";

struct settings {
    double seconds;
    unsigned gpu_threads, cpu_threads;
    uint32_t gpu_batch, cpu_batch, block, bits;
    bool gpu, cpu;
    const char *only;
    void *image; /* NULL: as built in */
};

struct set {
    const char *name;
    uint8_t *pages;
    size_t n_pages;
};

struct run {
    struct gpu_batch *batch[MAX_THREADS];
    unsigned threads;
    bool scans, codes;
    double end; /* when it is over */
    uint64_t done[MAX_THREADS];
    pthread_barrier_t begin;
};

struct worker {
    struct run *run;
    unsigned number;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- what the GPU takes, by NVIDIA's management library; 0: not known ---- */

static double joules(void)
{
    static int (*energy)(void *, unsigned long long *);
    static void *device;
    static bool tried;
    unsigned long long millijoules;
    if (!tried) {
        void *nvml = dlopen("libnvidia-ml.so.1", RTLD_NOW);
        int (*init)(void) = NULL, (*handle)(unsigned, void **) = NULL;
        if (nvml) {
            *(void **)&init = dlsym(nvml, "nvmlInit_v2");
            *(void **)&handle = dlsym(nvml, "nvmlDeviceGetHandleByIndex_v2");
            *(void **)&energy = dlsym(nvml, "nvmlDeviceGetTotalEnergyConsumption");
        }
        if (!init || !handle || init() != 0 || handle(0, &device) != 0) {
            energy = NULL;
        }
        tried = true;
    }
    return energy && energy(device, &millijoules) == 0 ? (double)millijoules / 1e3 : 0;
}

/* ---- data sets ---- */

static void add(struct set *set, const uint8_t *page)
{
    static const uint8_t zero[GPU_PAGE];
    if (memcmp(page, zero, GPU_PAGE) != 0 && set->n_pages < MAX_SET / GPU_PAGE) {
        memcpy(set->pages + set->n_pages++ * GPU_PAGE, page, GPU_PAGE);
    }
}

static void add_file(struct set *set, const char *path)
{
    uint8_t page[GPU_PAGE];
    FILE *f = fopen(path, "rb");
    if (!f) {
        die(path);
    }
    while (fread(page, GPU_PAGE, 1, f) == 1) {
        add(set, page);
    }
    fclose(f);
}

static void add_process(struct set *set, const char *pid)
{
    char path[64], line[512];
    uint8_t page[GPU_PAGE];
    snprintf(path, sizeof(path), "/proc/%s/mem", pid);
    int memory = open(path, O_RDONLY);
    snprintf(path, sizeof(path), "/proc/%s/maps", pid);
    FILE *maps = fopen(path, "r");
    if (memory < 0 || !maps) {
        die(path);
    }
    while (fgets(line, sizeof(line), maps)) {
        uint64_t from, to;
        char rights[8];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &from, &to, rights) != 3 ||
            rights[1] != 'w') {
            continue;
        }
        for (; from < to && pread(memory, page, GPU_PAGE, (off_t)from) == GPU_PAGE;
             from += GPU_PAGE) {
            add(set, page);
        }
    }
    fclose(maps);
    close(memory);
}

static struct set load(char *text)
{
    struct set set = {.name = text, .pages = malloc(MAX_SET)};
    char *from = strchr(text, '=');
    if (!from || !set.pages) {
        fprintf(stderr, "gpu: \"%s\" is not NAME=FILE or NAME=pid:PID\n", text);
        exit(64);
    }
    *from++ = '\0';
    if (strncmp(from, "pid:", 4) == 0) {
        add_process(&set, from + 4);
    } else {
        add_file(&set, from);
    }
    if (set.n_pages == 0) {
        fprintf(stderr, "gpu: there is nothing in %s\n", from);
        exit(1);
    }
    return set;
}

static void fill(struct gpu_batch *batch, uint32_t pages, const struct set *set, size_t *at)
{
    for (uint32_t i = 0; i < pages; i++, *at = (*at + 1) % set->n_pages) {
        memcpy(batch->pages + (size_t)i * GPU_PAGE, set->pages + *at * GPU_PAGE, GPU_PAGE);
    }
    batch->n_pages = pages;
}

/* ---- a run ---- */

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct run *run = worker->run;
    struct gpu_batch *batch = run->batch[worker->number];
    pthread_barrier_wait(&run->begin);
    do {
        if (run->scans) {
            gpu_batch_scan(batch);
        }
        if (run->codes) {
            gpu_batch_code(batch);
        }
        run->done[worker->number] += (uint64_t)batch->n_pages * GPU_PAGE;
    } while (now() < run->end);
    codec_leave_thread();
    return NULL;
}

static void check_block(const struct gpu_batch *b, uint32_t i, uint32_t block_pages)
{
    uint8_t got[BLOCK_MAX_BYTES];
    uint32_t first = i * block_pages,
             n = b->n_listed - first < block_pages ? b->n_listed - first : block_pages;
    if (b->block[i].codec == BLOCK_RAW) {
        return;
    }
    if (!gpu_block_decode(b->block[i].codec, b->out + b->block[i].offset, b->block[i].length, got,
                          (size_t)n * GPU_PAGE)) {
        fprintf(stderr, "gpu: block %u (codec %u) cannot be decoded\n", i, b->block[i].codec);
        exit(1);
    }
    for (uint32_t k = 0; k < n; k++) {
        if (memcmp(got + (size_t)k * GPU_PAGE, b->pages + (size_t)b->list[first + k] * GPU_PAGE,
                   GPU_PAGE)) {
            fprintf(stderr, "gpu: page %u of block %u is another one\n", k, i);
            exit(1);
        }
    }
}

/* Bytes that come out: the blocks, and what is said of them and of pages. */
static uint64_t check(const struct gpu_batch *b, bool coded, uint32_t block_pages)
{
    uint64_t out = 0;
    for (uint32_t i = 0; i < b->n_pages; i++) {
        uint8_t hash[GPU_HASH_MAX];
        crypto_generichash(hash, sizeof(hash), b->pages + (size_t)i * GPU_PAGE, GPU_PAGE, key,
                           sizeof(key));
        if (memcmp(hash, b->page[i].hash, sizeof(hash))) {
            fprintf(stderr, "gpu: the hash of page %u is another one\n", i);
            exit(1);
        }
    }
    for (uint32_t i = 0; coded && i < b->n_blocks; i++) {
        check_block(b, i, block_pages);
        out += b->block[i].length;
    }
    return coded ? out : b->n_pages * sizeof(struct page_facts);
}

static void run_workers(struct run *run, double seconds)
{
    pthread_t thread[MAX_THREADS];
    struct worker worker[MAX_THREADS];
    pthread_barrier_init(&run->begin, NULL, run->threads + 1);
    memset(run->done, 0, sizeof(run->done));
    run->end = now() + seconds;
    for (unsigned i = 0; i < run->threads; i++) {
        worker[i] = (struct worker){run, i};
        if (pthread_create(&thread[i], NULL, work, &worker[i]) != 0) {
            die("pthread_create");
        }
    }
    pthread_barrier_wait(&run->begin);
    for (unsigned i = 0; i < run->threads; i++) {
        pthread_join(thread[i], NULL);
    }
    pthread_barrier_destroy(&run->begin);
}

struct mode {
    const char *name;
    uint32_t codecs;
    bool codes;
    bool on_cpu, on_gpu;
};

static const struct mode modes[] = {
    {"scan and hash", 0, false, true, true},
    {"lz4", 1 << BLOCK_LZ4, true, true, true},
    {"zstd 1", 1 << BLOCK_ZSTD, true, true, false},
    {"planes", 1 << BLOCK_PLANES, true, true, true},
    {"planes + lz4", 1 << BLOCK_PLANES | 1 << BLOCK_PLANES_LZ4, true, true, true},
    {"the best, lz4", 1 << BLOCK_LZ4 | 1 << BLOCK_PLANES | 1 << BLOCK_PLANES_LZ4, true, true, true},
    {"the best, zstd 1", 1 << BLOCK_ZSTD | 1 << BLOCK_PLANES | 1 << BLOCK_PLANES_LZ4, true, true,
     false},
};

static void measure(const struct settings *s, const struct set *set, const struct mode *mode,
                    bool gpu)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct gpu_engine_options options = {.gpu = gpu,
                                         .batch_pages = gpu ? s->gpu_batch : s->cpu_batch,
                                         .block_pages = s->block,
                                         .codecs = mode->codecs,
                                         .hash_bytes = GPU_HASH_MAX,
                                         .key = key,
                                         .key_bytes = sizeof(key),
                                         .gpu_table_bits = s->bits,
                                         .gpu_image = s->image};
    struct gpu_engine *engine = gpu_engine_new(&options, &err);
    struct run run = {
        .threads = gpu ? s->gpu_threads : s->cpu_threads, .scans = true, .codes = mode->codes};
    size_t at = 0;
    for (unsigned i = 0; engine && i < run.threads; i++) {
        run.batch[i] = gpu_batch_new(engine, &err);
        if (!run.batch[i]) {
            break;
        }
        fill(run.batch[i], options.batch_pages, set, &at);
        gpu_batch_scan(run.batch[i]);
    }
    if (ninja_error_is_set(&err)) {
        fprintf(stderr, "gpu: %s\n", err.message);
        exit(1);
    }
    run.scans = gpu || !mode->codes; /* on a CPU, the codec is timed alone */
    run_workers(&run, gpu ? 0.2 : 0.05);
    double energy = joules(), seconds = now(), cpu = cpu_seconds();
    run_workers(&run, s->seconds);
    seconds = now() - seconds;
    cpu = cpu_seconds() - cpu;
    energy = joules() - energy;
    double in = 0, out = 0, batches = 0;
    for (unsigned i = 0; i < run.threads; i++) {
        in += (double)run.done[i];
        out += (double)check(run.batch[i], mode->codes, s->block);
        batches += (double)run.batch[i]->n_pages * GPU_PAGE;
    }
    printf("%-10s %-16s %-22s %3u %8.2f %8.2f %7.3f %7.1f %8.2f\n", set->name, mode->name,
           gpu_engine_name(engine), run.threads, in / seconds / 1e9,
           in / seconds * (out / batches) / 1e9, mode->codes ? batches / out : 0,
           100 * cpu / seconds, gpu ? energy / (in / 1e9) : 0);
    if (gpu && gpu_engine_why(engine)[0]) {
        printf("(no GPU: %s)\n", gpu_engine_why(engine));
    }
    fflush(stdout);
    for (unsigned i = 0; i < run.threads; i++) {
        gpu_batch_free(run.batch[i]);
    }
    gpu_engine_free(engine);
}

static void *load_image(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    void *image = f && fstat(fileno(f), &st) == 0 ? malloc((size_t)st.st_size) : NULL;
    if (!image || fread(image, (size_t)st.st_size, 1, f) != 1) {
        die(path);
    }
    fclose(f);
    return image;
}

static void usage(int status)
{
    fprintf(status ? stderr : stdout,
            "usage: gpu [OPTION]... NAME=FILE|NAME=pid:PID...\n"
            "  --seconds S       of each line (default 1)\n"
            "  --slots N         batches that a GPU works on at once (default 4)\n"
            "  --batch PAGES     of such a batch (default 16384)\n"
            "  --block PAGES     of a block (default 16)\n"
            "  --bits N          of the kernels' hash table (default: as built)\n"
            "  --threads N       of the CPU (default: all that there are)\n"
            "  --cpu, --gpu      only this\n"
            "  --image FILE      the kernels\n"
            "  --only TEXT       only what has this in its name\n");
    exit(status);
}

static struct settings read_options(int argc, char **argv)
{
    struct settings s = {.seconds = 1,
                         .gpu_threads = 4,
                         .cpu_threads = (unsigned)sysconf(_SC_NPROCESSORS_ONLN),
                         .gpu_batch = 16384,
                         .cpu_batch = 2048,
                         .block = 16,
                         .gpu = true,
                         .cpu = true};
    static const struct option names[] = {
        {"seconds", 1, NULL, 's'}, {"slots", 1, NULL, 'n'}, {"batch", 1, NULL, 'b'},
        {"block", 1, NULL, 'k'},   {"bits", 1, NULL, 'h'},  {"threads", 1, NULL, 't'},
        {"cpu", 0, NULL, 'c'},     {"gpu", 0, NULL, 'g'},   {"only", 1, NULL, 'o'},
        {"image", 1, NULL, 'i'},   {"help", 0, NULL, '?'},  {NULL, 0, NULL, 0},
    };
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 's':
            s.seconds = atof(optarg);
            break;
        case 'n':
            s.gpu_threads = (unsigned)atoi(optarg);
            break;
        case 'b':
            s.gpu_batch = (uint32_t)atoi(optarg);
            break;
        case 'k':
            s.block = (uint32_t)atoi(optarg);
            break;
        case 'h':
            s.bits = (uint32_t)atoi(optarg);
            break;
        case 't':
            s.cpu_threads = (unsigned)atoi(optarg);
            break;
        case 'c':
            s.gpu = false;
            break;
        case 'g':
            s.cpu = false;
            break;
        case 'o':
            s.only = optarg;
            break;
        case 'i':
            s.image = load_image(optarg);
            break;
        default:
            usage(64);
        }
    }
    if (optind == argc || s.seconds <= 0 || s.gpu_threads - 1 >= MAX_THREADS ||
        s.cpu_threads - 1 >= MAX_THREADS) {
        usage(64);
    }
    return s;
}

int main(int argc, char **argv)
{
    struct settings s = read_options(argc, argv);
    printf("%-10s %-16s %-22s %3s %8s %8s %7s %7s %8s\n", "data", "codec", "by", "n", "GB/s in",
           "GB/s out", "ratio", "CPU %", "J/GB");
    for (int i = optind; i < argc; i++) {
        struct set set = load(argv[i]);
        for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
            if (s.only && !strstr(modes[m].name, s.only)) {
                continue;
            }
            if (s.gpu && modes[m].on_gpu) {
                measure(&s, &set, &modes[m], true);
            }
            if (s.cpu && modes[m].on_cpu) {
                measure(&s, &set, &modes[m], false);
            }
        }
        free(set.pages);
    }
    return 0;
}
