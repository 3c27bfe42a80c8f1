/*
 * A directory of scripts that an administrator puts there, to be run in the order of their names.
 */
#ifndef NINJA_SCRIPT_DIR_H
#define NINJA_SCRIPT_DIR_H

#include <dirent.h>
#include <stdbool.h>

/**
 * All names of a directory, in the order of their bytes: not that of the locale.
 *
 * @param names  out: freed with script_dir_free(); NULL if there are none
 * @return how many; -1 with errno if the directory cannot be read
 */
int script_dir_list(const char *dir, struct dirent ***names);
void script_dir_free(struct dirent **names, int n);

/** Whether it is an executable file, and not what an editor or a package manager left there. */
bool script_dir_has(const char *dir, const char *name);

#endif
