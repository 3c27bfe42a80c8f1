#include "host/report/html.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"

void html_begin(struct html *html, size_t max_text)
{
    *html = (struct html){.max_text = max_text};
    html->out = xopen_stream(&html->text, &html->size);
}

/* Returns the character at *at, and goes past it. A byte that is no UTF-8 counts as U+FFFD. */
static uint32_t next_character(const unsigned char **at)
{
    uint32_t c = *(*at)++;
    int more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : 3;
    if (more == 0) {
        return c;
    }
    if (c < 0xC2 || c > 0xF4) {
        return 0xFFFD;
    }
    c &= 0x3FU >> more;
    for (int i = 0; i < more; i++) {
        if ((**at & 0xC0) != 0x80) {
            return 0xFFFD;
        }
        c = c << 6 | (*(*at)++ & 0x3F);
    }
    return c;
}

/* XML does not allow some characters in a text, and others would show it in another order. */
static bool is_unfit(uint32_t c)
{
    return c < ' ' || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
           (c >= 0xD800 && c < 0xE000) || c == 0xFEFF || c >= 0xFFFE;
}

static void put_text(struct html *html, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        const unsigned char *begin = at;
        uint32_t c = next_character(&at);
        if ((size_t)(at - (const unsigned char *)text) > html->max_text) {
            fputs("\xE2\x80\xA6", html->out); /* an ellipsis */
            return;
        }
        switch (c) {
        case '&':
            fputs("&amp;", html->out);
            break;
        case '<':
            fputs("&lt;", html->out);
            break;
        case '>':
            fputs("&gt;", html->out);
            break;
        case '"':
            fputs("&quot;", html->out);
            break;
        case '\'':
            fputs("&#39;", html->out);
            break;
        case '\n':
        case '\r':
        case '\t':
            fputc(' ', html->out);
            break;
        default:
            if (is_unfit(c) || c == 0xFFFD) {
                fputc('?', html->out);
            } else {
                fwrite(begin, 1, (size_t)(at - begin), html->out);
            }
        }
    }
}

void html_put(struct html *html, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (const char *c = format; *c != '\0'; c++) {
        if (*c != '%') {
            fputc(*c, html->out);
            continue;
        }
        if (strncmp(c, "%s", 2) == 0) {
            const char *text = va_arg(args, const char *);
            put_text(html, text != NULL ? text : "");
            c += 1;
        } else if (strncmp(c, "%d", 2) == 0) {
            fprintf(html->out, "%d", va_arg(args, int));
            c += 1;
        } else if (strncmp(c, "%lld", 4) == 0) {
            fprintf(html->out, "%lld", va_arg(args, long long));
            c += 3;
        } else if (strncmp(c, "%.1f", 4) == 0) {
            fprintf(html->out, "%.1f", va_arg(args, double));
            c += 3;
        } else if (strncmp(c, "%%", 2) == 0) {
            fputc('%', html->out);
            c += 1;
        } else {
            abort(); /* the formats are all in the program */
        }
    }
    va_end(args);
}

char *html_end(struct html *html, size_t *size)
{
    fclose(html->out);
    *size = html->size;
    return html->text;
}
