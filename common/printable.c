#include "common/printable.h"

#include <stdio.h>

void ninja_printable(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\r' || *c == '\t') {
            *c = ' ';
        } else if (*c < ' ' || *c == 0x7F) {
            *c = '?';
        } else if (*c == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0) {
            c[0] = c[1] = '?'; /* U+0080 to U+009F in UTF-8 */
        }
    }
}

void ninja_printable_copy(char *to, size_t size, const char *text)
{
    snprintf(to, size, "%s", text != NULL ? text : "");
    ninja_printable(to);
}
