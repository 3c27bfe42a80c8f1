/*
 * Theory of operation
 *
 * A stock MPI_Init opens the framework hook, but not crcp (fault tolerance is compiled out). This
 * component opens crcp in its place, if and only if the user asked for crcp "ninja"; otherwise it
 * does nothing. If the user also chose a PML that cannot be moved, it says so and does nothing
 * else: such a job gets all that Open MPI would give it. Where the job would run on pml/ucx, it gets
 * our own PML over UCX.
 *
 *   after MCA is up, before anything is selected   defaults that keep the job migratable
 *   at the end of MPI_Init                         open crcp, select crcp/ninja
 *   in MPI_Finalize, when all ranks have come      the reverse
 *
 * A rank may come to MPI_Finalize long before the others, and must take part in a switch until they
 * have come, too. MPI_Finalize finds out by a PMIx fence. There is no hook behind it, so it is
 * replaced by one that goes on to leave when it is complete.
 */
#include "ompi_config.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ompi/constants.h"
#include "ompi/mca/crcp/ninja/own_pml.h"
#include "ompi/mca/crcp/ninja/transport_layer.h"
#include "ompi/mca/crcp/base/base.h"
#include "ompi/mca/crcp/crcp.h"
#include "ompi/mca/hook/hook.h"
#include "ompi/mca/pml/base/base.h"
#include "ompi/runtime/params.h"
#include "opal/mca/base/mca_base_component_repository.h"
#include "opal/mca/base/mca_base_var.h"
#include "opal/mca/pmix/pmix.h"
#include "opal/runtime/opal_progress.h"
#include "opal/util/output.h"

static void after_opal(int argc, char **argv, int requested, int *provided);
static void end_of_init(int argc, char **argv, int requested, int *provided);
static void begin_of_finalize(void);

const ompi_hook_base_component_1_0_0_t mca_hook_ninja_component = {
    .hookm_version =
        {
            OMPI_HOOK_BASE_VERSION_1_0_0,
            .mca_component_name = "ninja",
            .mca_component_major_version = OMPI_MAJOR_VERSION,
            .mca_component_minor_version = OMPI_MINOR_VERSION,
            .mca_component_release_version = OMPI_RELEASE_VERSION,
        },
    .hookm_data = {MCA_BASE_METADATA_PARAM_CHECKPOINT},
    .hookm_mpi_init_top_post_opal = after_opal,
    .hookm_mpi_init_bottom = end_of_init,
    .hookm_mpi_finalize_top = begin_of_finalize,
};

#define STOCK_UCX "ucx"
#define OUR_UCX   "ninja_ucx"

/* What keeps a job migratable, unless the user says otherwise. */
static const struct {
    const char *framework;
    const char *value;
    const char *why;
    bool not_with_threads, not_with_ucx;
} defaults[] = {
    {"pml", "ob1", "its messages can be drained", false, false}, /* or OUR_UCX */
    /* osc/pt2pt makes no window with MPI_THREAD_MULTIPLE, and its windows hang on UCX, on the stock
     * PML as well; then the stock choice at least runs */
    {"osc", "sm,pt2pt", "windows do not hold on to a transport", true, true},
    {"coll", "^hcoll", "collectives do not bypass the PML", false, false},
};

static bool wanted;
static bool opened;

/* A distribution's defaults (Debian's exclude osc/pt2pt) are nobody's choice for this job. */
static bool is_system_file(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL && strcmp(slash + 1, "openmpi-mca-params.conf") == 0;
}

/*
 * Reads the value that a framework's selection has from the command line, the environment or a
 * file, before the framework itself registers it.
 *
 * @param by_the_system  whether the system's file counts, too
 * @return malloc'ed, or NULL if it is not set
 */
static char *selection_of(const char *framework, bool by_the_system)
{
    char *value = NULL;
    const char *file = NULL;
    mca_base_var_source_t source = MCA_BASE_VAR_SOURCE_DEFAULT;
    int id = mca_base_var_register("ompi", framework, NULL, NULL, NULL, MCA_BASE_VAR_TYPE_STRING,
                                   NULL, 0, MCA_BASE_VAR_FLAG_SETTABLE, OPAL_INFO_LVL_9,
                                   MCA_BASE_VAR_SCOPE_READONLY, &value);
    if (id < 0) {
        return NULL;
    }
    mca_base_var_get_value(id, NULL, &source, &file);
    bool chosen = source != MCA_BASE_VAR_SOURCE_DEFAULT &&
                  (by_the_system || source != MCA_BASE_VAR_SOURCE_FILE || !is_system_file(file));
    char *copy = chosen && value != NULL ? strdup(value) : NULL;
    mca_base_var_deregister(id);
    return copy;
}

static void set_defaults(int thread_level, bool on_ucx)
{
    char variable[64];
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        if ((defaults[i].not_with_threads && thread_level == MPI_THREAD_MULTIPLE) ||
            (defaults[i].not_with_ucx && on_ucx)) {
            continue;
        }
        char *chosen = selection_of(defaults[i].framework, false);
        if (chosen == NULL) {
            snprintf(variable, sizeof(variable), "OMPI_MCA_%s", defaults[i].framework);
            setenv(variable, defaults[i].value, 0);
            opal_output_verbose(10, 0, "ninja: --mca %s %s, so that %s", defaults[i].framework,
                                defaults[i].value, defaults[i].why);
        }
        free(chosen);
    }
}

/* --- UCX ---------------------------------------------------------------------------------- */

static bool is_installed(const char *pml)
{
    opal_list_t *found;
    mca_base_component_repository_item_t *item;
    if (mca_base_component_repository_get_components(&ompi_pml_base_framework, &found) !=
        OPAL_SUCCESS) {
        return false;
    }
    OPAL_LIST_FOREACH (item, found, mca_base_component_repository_item_t) {
        if (strcmp(item->ri_name, pml) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_infiniband(const char *link_layer)
{
    char text[32] = "";
    FILE *file = fopen(link_layer, "re");
    if (file != NULL) {
        (void)!fgets(text, sizeof(text), file);
        fclose(file);
    }
    return strcmp(text, "InfiniBand\n") == 0;
}

static bool has_infiniband(void)
{
    glob_t ports = {0};
    bool has = false;
    if (glob("/sys/class/infiniband/*/ports/*/link_layer", 0, NULL, &ports) == 0) {
        for (size_t i = 0; i < ports.gl_pathc; i++) {
            has |= is_infiniband(ports.gl_pathv[i]);
        }
    }
    globfree(&ports);
    return has;
}

static bool is_ucx(const char *pml)
{
    return pml != NULL && (strcmp(pml, STOCK_UCX) == 0 || strcmp(pml, OUR_UCX) == 0);
}

/*
 * Whether the job would run on pml/ucx: because it was asked for, by the user or the system, or
 * because there is InfiniBand and nobody has said anything about PMLs and BTLs.
 */
static bool would_run_on_ucx(void)
{
    char *users = selection_of("pml", false), *anybodys = selection_of("pml", true);
    char *btls = selection_of("btl", false);
    bool would = anybodys == NULL && btls == NULL && has_infiniband();
    if (users != NULL || anybodys != NULL) {
        would = is_ucx(users != NULL ? users : anybodys);
    }
    free(users);
    free(anybodys);
    free(btls);
    return would;
}

static void choose_our_ucx(void)
{
    setenv("OMPI_MCA_pml", OUR_UCX, 1);
    opal_output_verbose(10, 0, "ninja: --mca pml %s in place of %s, whose messages cannot be drained",
                        OUR_UCX, STOCK_UCX);
}

/* --- other PMLs ---------------------------------------------------------------------------- */

/* Whether pml/monitoring is to be put around the other PML. */
static bool is_monitored(void)
{
    int enabled = 0;
    int id = mca_base_var_register("ompi", "pml", "monitoring", "enable", NULL,
                                   MCA_BASE_VAR_TYPE_INT, NULL, 0, 0,
                                   OPAL_INFO_LVL_4, MCA_BASE_VAR_SCOPE_READONLY, &enabled);
    bool is = id >= 0 && enabled != 0;
    if (id >= 0) {
        mca_base_var_deregister(id);
    }
    return is;
}

/* MPI does not know yet. With neither variable the process was started by itself. */
static bool is_first_of_node(void)
{
    const char *number = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    number = number != NULL ? number : getenv("SLURM_LOCALID");
    return number == NULL || strcmp(number, "0") == 0;
}

static bool can_be_moved(const char *pml)
{
#define NAME(pml) #pml,
    static const char *const names[] = {TRANSPORT_LAYERS(NAME) OWN_PMLS(NAME)};
    bool can = strcmp(pml, STOCK_UCX) == 0 && is_installed(OUR_UCX);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        can |= strcmp(names[i], pml) == 0;
    }
    return can;
}

/*
 * Whether the user chose a PML that cannot be moved. This is said now, as that PML may not be
 * possible on this machine: then Open MPI ends the job, and nobody should take it for our doing.
 */
static bool is_on_another_pml(void)
{
    char *pml = selection_of("pml", false);
    bool named = pml != NULL && pml[0] != '^' && !can_be_moved(pml);
    bool monitored = pml == NULL && is_monitored();
    if ((named || monitored) && is_first_of_node()) {
        opal_output(0,
                    "ninja: a job on --mca %s %s cannot be migrated, only one on pml/ob1 or "
                    "pml/ucx can: leave that out, or choose --mca pml ob1. It is left to Open MPI as it would be "
                    "without --mca crcp ninja.",
                    named ? "pml" : "pml_monitoring_enable", named ? pml : "1");
    }
    free(pml);
    return named || monitored;
}

static void after_opal(int argc, char **argv, int requested, int *provided)
{
    char *crcp = selection_of("crcp", true);
    wanted = crcp != NULL && strcmp(crcp, "ninja") == 0 && !is_on_another_pml();
    free(crcp);
    if (wanted) {
        bool on_ucx = would_run_on_ucx() && is_installed(OUR_UCX);
        if (on_ucx) {
            choose_our_ucx();
        }
        set_defaults(*provided, on_ucx);
    }
}

static void end_of_init(int argc, char **argv, int requested, int *provided)
{
    if (!wanted) {
        return;
    }
    if (mca_base_framework_open(&ompi_crcp_base_framework, 0) != OMPI_SUCCESS) {
        opal_output(0, "ninja: the component crcp/ninja cannot be opened; the job runs, but cannot "
                       "be migrated");
        return;
    }
    opened = true;
    if (ompi_crcp_base_select() != OMPI_SUCCESS) {
        opal_output(0,
                    "ninja: the component crcp/ninja cannot be selected; the job runs, but cannot "
                    "be migrated");
        mca_base_framework_close(&ompi_crcp_base_framework);
        opened = false;
    }
}

static void leave(void)
{
    opened = false;
    if (ompi_crcp.crcp_finalize != NULL) {
        ompi_crcp.crcp_finalize();
    }
    mca_base_framework_close(&ompi_crcp_base_framework);
}

static opal_pmix_base_module_fence_nb_fn_t stock_fence;
static volatile bool all_have_come;
static int fence_status;

static void on_fence(int status, void *cbdata)
{
    fence_status = status;
    __atomic_store_n(&all_have_come, true, __ATOMIC_RELEASE);
}

/* In place of PMIx's. Has no limit of its own, as MPI_Finalize has none. */
static int fence_and_leave(opal_list_t *procs, int collect_data, opal_pmix_op_cbfunc_t cbfunc,
                           void *cbdata)
{
    if (procs != NULL) { /* not that of all ranks of the job */
        return stock_fence(procs, collect_data, cbfunc, cbdata);
    }
    opal_pmix.fence_nb = stock_fence;
    all_have_come = false;
    int rc = stock_fence(procs, collect_data, on_fence, NULL);
    while (rc == OPAL_SUCCESS && !__atomic_load_n(&all_have_come, __ATOMIC_ACQUIRE)) {
        opal_progress();
        usleep(100);
    }
    leave();
    if (rc == OPAL_SUCCESS) {
        cbfunc(fence_status, cbdata);
    }
    return rc;
}

static void begin_of_finalize(void)
{
    if (!opened) {
        return;
    }
    if (opal_pmix.fence_nb == NULL || ompi_async_mpi_finalize) {
        leave();
        return;
    }
    stock_fence = opal_pmix.fence_nb;
    opal_pmix.fence_nb = fence_and_leave;
}
