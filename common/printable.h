/*
 * Texts of others (a guest, a rank, QEMU) that are shown to a person.
 */
#ifndef NINJA_PRINTABLE_H
#define NINJA_PRINTABLE_H

#include <stddef.h>

/**
 * Replaces, in place, what would steer a terminal or forge another line of a log: blanks for the
 * ends of lines and tabs, '?' for every other control character, those of two bytes included.
 */
void ninja_printable(char *text);

/** Copies as much as there is room for, as ninja_printable(); NULL counts as empty. */
void ninja_printable_copy(char *to, size_t size, const char *text);

#endif
