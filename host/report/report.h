/*
 * The report of a migration as text; its JSON is made by migration_report().
 */
#ifndef NINJA_REPORT_H
#define NINJA_REPORT_H

#include <jansson.h>
#include <stdio.h>

/** Writes a report's table of every stage's time. */
void report_print(FILE *out, json_t *report);

/** Writes what a switch took, a line a step; for the command switch, too. */
void report_print_switch(FILE *out, json_t *sw);

#endif
