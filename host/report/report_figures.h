/*
 * The figures of a migration, and how those of two migrations differ.
 */
#ifndef NINJA_REPORT_FIGURES_H
#define NINJA_REPORT_FIGURES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/** A figure by its name, as in docs/ninjactl-json.md; -1: the report has none. */
double figure_value(json_t *report, const char *name);

/** A number of bytes in a report, at least 0. */
double figure_bytes(const json_t *object, const char *key);

size_t figure_count(void);
/** What it is, for people. */
const char *figure_label(size_t figure);

#define FIGURE_SIZE      40
#define FIGURE_DIFF_SIZE 60

/**
 * A line of a comparison, as texts.
 *
 * @param a, b        out: FIGURE_SIZE bytes
 * @param difference  out: FIGURE_DIFF_SIZE bytes; from the first to the second
 * @return false: neither report has it
 */
bool figure_row(size_t figure, json_t *first, json_t *second, char *a, char *b, char *difference);

/** Two migrations side by side. */
void compare_print(FILE *out, json_t *first, json_t *second);
/** The same as a new object, as docs/ninjactl-json.md describes it. */
json_t *compare_to_json(json_t *first, json_t *second);

#endif
