#include "ompi_config.h"

#include "crcp_ninja.h"

#include <stdarg.h>
#include <stdio.h>

#include "ompi/constants.h"
#include "ompi/mca/crcp/base/base.h"
#include "ompi/mca/crcp/crcp.h"
#include "ompi/mca/rte/rte.h"
#include "ompi/runtime/params.h"
#include "opal/mca/base/mca_base_var.h"
#include "opal/util/output.h"

struct ninja_params ninja_params;

static int verbose;
static int output = -1;

static ompi_crcp_base_module_t module = {
    .crcp_init = ninja_module_init,
    .crcp_finalize = ninja_module_finalize,
};

static int component_open(void);
static int component_close(void);
static int component_query(mca_base_module_t **selected, int *priority);
static int component_register(void);

ompi_crcp_base_component_t mca_crcp_ninja_component = {
    .base_version =
        {
            OMPI_CRCP_BASE_VERSION_2_0_0,
            .mca_component_name = "ninja",
            .mca_component_major_version = OMPI_MAJOR_VERSION,
            .mca_component_minor_version = OMPI_MINOR_VERSION,
            .mca_component_release_version = OMPI_RELEASE_VERSION,
            .mca_open_component = component_open,
            .mca_close_component = component_close,
            .mca_query_component = component_query,
            .mca_register_component_params = component_register,
        },
    .base_data = {MCA_BASE_METADATA_PARAM_CHECKPOINT},
};

static void register_string(const char *name, const char *help, char **value)
{
    mca_base_component_var_register(&mca_crcp_ninja_component.base_version, name, help,
                                    MCA_BASE_VAR_TYPE_STRING, NULL, 0, 0, OPAL_INFO_LVL_3,
                                    MCA_BASE_VAR_SCOPE_ALL, value);
}

static void register_int(const char *name, const char *help, int *value)
{
    mca_base_component_var_register(&mca_crcp_ninja_component.base_version, name, help,
                                    MCA_BASE_VAR_TYPE_INT, NULL, 0, 0, OPAL_INFO_LVL_5,
                                    MCA_BASE_VAR_SCOPE_ALL, value);
}

static void register_bool(const char *name, const char *help, bool *value)
{
    mca_base_component_var_register(&mca_crcp_ninja_component.base_version, name, help,
                                    MCA_BASE_VAR_TYPE_BOOL, NULL, 0, 0, OPAL_INFO_LVL_5,
                                    MCA_BASE_VAR_SCOPE_ALL, value);
}

static int component_register(void)
{
    verbose = 0;
    register_int("verbose",
                 "What to tell: 0 only what must be known, 1 switches of the transports, 10 also "
                 "state changes, 20 also messages",
                 &verbose);
    ninja_params.agent_socket = (char *)NINJA_RANK_SOCKET;
    register_string("agent", "UNIX socket of the ninja-agent of this machine",
                    &ninja_params.agent_socket);
    ninja_params.bypass = (char *)"openib,usnic,ofi,uct,ugni,portals4";
    register_string("bypass",
                    "BTL components that use a VMM-bypass device, which are let go for a migration",
                    &ninja_params.bypass);
    ninja_params.hello_timeout = 10000;
    register_int("hello_timeout",
                 "Milliseconds to wait for the agent's welcome in MPI_Init; without it the job "
                 "runs, but cannot be migrated",
                 &ninja_params.hello_timeout);
    ninja_params.finish_timeout = 60;
    register_int("finish_timeout",
                 "Seconds that MPI_Finalize waits for a switch of the transports that has begun",
                 &ninja_params.finish_timeout);
    ninja_params.helper_thread = false;
    register_bool("helper_thread",
                  "Let a thread take part in a switch of the transports while the application "
                  "computes for long without calling MPI. Needs MPI_THREAD_MULTIPLE (mpirun -x "
                  "OMPI_MPI_THREAD_LEVEL=3 gives it to a program that calls MPI_Init)",
                  &ninja_params.helper_thread);
    ninja_params.verify = true;
    register_bool("verify",
                  "Before the job goes on with other transports, send a message by them to each "
                  "rank that this one has ever exchanged messages with",
                  &ninja_params.verify);
    ninja_params.hold = 0;
    register_int("hold",
                 "For tests: seconds that MPI_Init waits at most for the first switch of the "
                 "transports, so that no program is too short for one",
                 &ninja_params.hold);
    ninja_params.watchdog = 20;
    register_int("watchdog",
                 "Seconds after which a step of a switch that hangs in a part of Open MPI is "
                 "reported as failed; 0: never",
                 &ninja_params.watchdog);
    return OMPI_SUCCESS;
}

static int component_open(void)
{
    if (ninja_params.hello_timeout < 0 || ninja_params.finish_timeout < 0 ||
        ninja_params.hold < 0 || ninja_params.watchdog < 0) {
        opal_output(0, "crcp/ninja: hello_timeout, finish_timeout, hold and watchdog must not be "
                       "negative; the job runs, but cannot be migrated");
        return OMPI_ERR_BAD_PARAM;
    }
    output = opal_output_open(NULL);
    opal_output_set_verbosity(output, verbose);
    return OMPI_SUCCESS;
}

static int component_close(void)
{
    opal_output_close(output);
    output = -1;
    return OMPI_SUCCESS;
}

static int component_query(mca_base_module_t **selected, int *priority)
{
    *priority = 0; /* only ever by name: --mca crcp ninja */
    *selected = (mca_base_module_t *)&module;
    return OMPI_SUCCESS;
}

void ninja_verbose(int level, const char *fmt, ...)
{
    if (level > verbose) {
        return;
    }
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    opal_output(output, "ninja: rank %d: %s", (int)OMPI_PROC_MY_NAME->vpid, text);
}

void ninja_warn(const char *fmt, ...)
{
    if (ompi_process_info.my_local_rank != 0) {
        return;
    }
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    opal_output(0, "ninja: %s: %s", ompi_process_info.nodename, text);
}
