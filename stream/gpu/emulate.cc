#include "stream/gpu/emulate.h"

#include "stream/gpu/kernels.h"

static void scan(const struct gpu_job *job)
{
    for (uint32_t i = 0; i < job->n_pages; i++) {
        scan_page(job, i);
    }
}

static void gather(const struct gpu_job *job)
{
    for (uint32_t i = 0; i < job->n_listed; i++) {
        gather_page(job, i);
    }
}

static void turn(const struct gpu_job *job)
{
    for (uint32_t i = 0; i < job->n_blocks * GPU_TURN_PARTS(job->block_pages); i++) {
        turn_part(job, i);
    }
}

static void pack(const struct gpu_job *job)
{
    for (uint32_t i = 0; i < job->n_blocks; i++) {
        pack_block(job, i);
    }
}

static void code_sources(const struct gpu_job *job, uint32_t planes)
{
    lz4_entry table[1 << GPU_TABLE_BITS];
    for (uint32_t i = 0; i < job->n_blocks * parts_of_source(job); i++) {
        code_part(job, i, planes, table);
    }
}

static void code(const struct gpu_job *job)
{
    code_sources(job, 0);
}

static void code_planes(const struct gpu_job *job)
{
    code_sources(job, 1);
}

static void join(const struct gpu_job *job)
{
    for (uint32_t i = 0; i < 2 * job->n_blocks * parts_of_source(job); i++) {
        join_part(job, i);
    }
}

static void collect(const struct gpu_job *job)
{
    for (uint32_t i = 0; i < job->n_blocks * GPU_COLLECT_PARTS; i++) {
        collect_part(job, i);
    }
}

static const struct {
    const char *name;
    void (*run)(const struct gpu_job *job);
} kernels[] = {
    {"ninja_scan", scan},         {"ninja_gather", gather}, {"ninja_turn", turn},
    {"ninja_pack", pack},         {"ninja_code", code},     {"ninja_collect", collect},
    {"ninja_choose", choose_all}, {"ninja_join", join},     {"ninja_code_planes", code_planes},
};

bool emulate_kernel(const char *name, const struct gpu_job *job)
{
    for (const auto &k : kernels) {
        if (strcmp(k.name, name) == 0) {
            k.run(job);
            return true;
        }
    }
    return false;
}
