/*
 * What the host reads back of a migration: the journal, when one was interrupted, and the report.
 * The first byte says which of them the input is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/config/placement.h"
#include "host/journal/history.h"
#include "host/journal/journal.h"
#include "host/journal/record.h"
#include "host/report/report.h"
#include "host/vmm/driver.h"
#include "tests/fuzz/fuzz.h"

#define ID "20260101-000000-1"

static char *state_dir, *journal_path, *report_path;
static struct cluster *cluster;

static const char cluster_text[] =
    "name = \"c\"; driver = \"local\"; vms = ( { name = \"vm1\"; }, { name = \"vm2\"; } );\n"
    "sites = ( { name = \"a\"; vms = ( { name = \"vm1\"; agent = \"/a1\"; },\n"
    "    { name = \"vm2\"; agent = \"/a2\"; } ); },\n"
    "  { name = \"b\"; vms = ( { name = \"vm1\"; agent = \"/b1\"; },\n"
    "    { name = \"vm2\"; agent = \"/b2\"; } ); } );\n";

static void write_file(const char *path, const void *text, size_t size)
{
    FILE *out = fopen(path, "w");
    FUZZ_CHECK(out != NULL && fwrite(text, 1, size, out) == size);
    fclose(out);
}

static void set_up(void)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    char *path = fuzz_path("cluster"), *dir = fuzz_path("state/" ID);
    state_dir = fuzz_path("state");
    journal_path = fuzz_path("state/" ID "/journal");
    report_path = fuzz_path("state/" ID "/report.json");
    FUZZ_CHECK(mkdir(dir, 0700) == 0);
    write_file(path, cluster_text, sizeof(cluster_text) - 1);
    cluster = cluster_read(path, driver_in_file, &err);
    FUZZ_CHECK(cluster != NULL);
    free(path);
    free(dir);
}

static void check_record(const struct record *record)
{
    FUZZ_CHECK(strcmp(record->to, PLACEMENT_SEVERAL) == 0 ||
               cluster_find_site(cluster, record->to, NULL) >= 0);
    for (int i = 0; i < cluster->n_vms; i++) {
        const struct record_vm *vm = &record->vms[i];
        FUZZ_CHECK(vm->from >= 0 && vm->from < cluster->n_sites);
        FUZZ_CHECK(vm->to >= PLACEMENT_STAYS && vm->to < cluster->n_sites);
        FUZZ_CHECK(!vm->moves || (vm->to >= 0 && vm->to != vm->from));
    }
}

static void read_journal(void)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct record record;
    bool last = record_find(state_dir, cluster, NULL, &record, &err);
    FUZZ_CHECK(last != ninja_error_is_set(&err));
    if (last) {
        check_record(&record);
        record_clear(&record);
    }
    bool named = record_find(state_dir, cluster, ID, &record, NULL);
    FUZZ_CHECK(named == last);
    if (named) {
        record_clear(&record);
        struct journal *journal = journal_open(state_dir, ID, &err);
        FUZZ_CHECK(journal != NULL);
        journal_write(journal, json_pack("{s:s}", "outcome", "rolled-back"));
        FUZZ_CHECK(journal_error(journal) == NULL);
        journal_free(journal);
        FUZZ_CHECK(!record_find(state_dir, cluster, NULL, &record, NULL));
    }
}

/* As ninjactl list and watch read what there is. */
static void read_history(void)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    json_t *list = history_list(state_dir, 0, &err), *line;
    FUZZ_CHECK(json_array_size(list) <= 1);
    json_decref(list);
    struct follow *follow = follow_new(state_dir, ID, "journal");
    while ((line = follow_next(follow)) != NULL) {
        FUZZ_CHECK(json_is_object(line));
        json_decref(line);
    }
    follow_free(follow);
}

static void read_report(void)
{
    static FILE *nowhere;
    struct ninja_error err = NINJA_ERROR_INIT;
    if (nowhere == NULL) {
        nowhere = fopen("/dev/null", "w");
    }
    json_t *report = report_read(state_dir, NULL, &err);
    if (report != NULL) {
        report_print(nowhere, report);
    }
    json_decref(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_report = fuzz_byte(&data, &size) & 1;
    if (cluster == NULL) {
        set_up();
    }
    write_file(is_report ? report_path : journal_path, data, size);
    read_history();
    if (is_report) {
        read_report();
    } else {
        read_journal();
    }
    unlink(journal_path);
    unlink(report_path);
    return 0;
}
