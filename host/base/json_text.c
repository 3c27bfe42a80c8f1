#include "host/base/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "host/base/memory.h"

json_t *json_text(const char *text)
{
    json_t *json = json_string(text);
    if (json != NULL) {
        return json;
    }
    char *copy = xstrdup(text);
    for (char *c = copy; *c != '\0'; c++) {
        if ((unsigned char)*c >= 0x80) {
            *c = '?';
        }
    }
    json = json_string(copy);
    free(copy);
    return json;
}

const char *json_text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}
