/*
 * The settings of all programs of the host side.
 */
#include "host/config/cluster.h"
#include "host/config/settings.h"

const struct setting_info settings_shared[] = {
    {"cluster-file", SETTING_TEXT, CLUSTER_DEFAULT_FILE, 0, 0, NULL, "the cluster file"},
    {"state-dir", SETTING_TEXT, SETTINGS_STATE_DIR, 0, 0, NULL,
     "where journals, logs and reports are kept"},
    {"mode", SETTING_WORD, "live", 0, 0, "live|paused",
     "whether jobs run while memory is copied, or wait"},
    {"log", SETTING_WORD, "auto", 0, 0, "auto|stderr|journal",
     "where messages go; auto: to the journal where standard error is connected to it"},
    {"log-level", SETTING_WORD, "info", 0, 0, "error|warning|info|debug",
     "the most detailed messages that are written"},
    {"hooks", SETTING_FLAG, "true", 0, 0, NULL, "whether hook scripts are run"},
    {"hooks-dir", SETTING_TEXT, HOOKS_DIR, 0, 0, NULL, "the directory with hook scripts"},
    {"hook-timeout", SETTING_TIME, "60000", 1, 24 * 3600 * 1000, NULL,
     "how long one hook script may run at one stage"},
    {"sysfs", SETTING_TEXT, "/sys", 0, 0, NULL, "where sysfs is mounted"},
};
const size_t settings_n_shared = sizeof(settings_shared) / sizeof(settings_shared[0]);
