/*
 * ninja-image: the image of one VM, for ninjactl, which must not wait for a disk.
 *
 *     ninja-image save FILE KEYFILE ID                       standard input -> FILE
 *     ninja-image load FILE KEYFILE ID BYTES STORED CHECKSUM   FILE -> standard input, a socket
 *
 * KEYFILE may be "none". Otherwise ID is that of the key that it had when ninjactl read it.
 * It says one line of JSON: what was written, or {"error": {"class": , "desc": }}.
 */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/base/json_text.h"
#include "host/base/memory.h"
#include "host/checkpoint/image.h"

#define MAX_THREADS 8
#define EXIT_WRONG  1
#define EXIT_USAGE  64

static int tell(json_t *line, int code)
{
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
    return fflush(stdout) == 0 ? code : EXIT_WRONG;
}

static int threads(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n < MAX_THREADS ? (int)n : MAX_THREADS;
}

/* The key of the words; NULL: none. */
static bool find_key(char **words, struct image_key *key, const struct image_key **found,
                     struct ninja_error *err)
{
    *found = strcmp(words[0], IMAGE_KEY_NONE) != 0 ? key : NULL;
    if (*found == NULL) {
        return true;
    }
    return image_key_read(key, words[0], err) &&
           (strcmp(key->id, words[1]) == 0 ||
            ninja_error_set(err, ERR_REFUSED, "%s has another key than before", words[0]));
}

static bool run(char **words, bool saves, struct image_sum *sum, struct ninja_error *err)
{
    struct image_key key = {0};
    const struct image_key *found;
    bool ok = find_key(words + 1, &key, &found, err);
    if (ok && saves) {
        ok = image_save(STDIN_FILENO, words[0], threads(), found, sum, err);
    } else if (ok) {
        sum->bytes = strtoll(words[3], NULL, 10);
        sum->stored = strtoll(words[4], NULL, 10);
        snprintf(sum->blake2b, sizeof(sum->blake2b), "%s", words[5]);
        ok = image_load(words[0], sum, found, STDIN_FILENO, err);
    }
    image_key_forget(&key);
    return ok;
}

int main(int argc, char **argv)
{
    struct ninja_error err = NINJA_ERROR_INIT;
    struct image_sum sum = {0};
    bool saves = argc == 5 && strcmp(argv[1], "save") == 0;
    bool loads = argc == 8 && strcmp(argv[1], "load") == 0;
    memory_begin();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (!saves && !loads) {
        fprintf(stderr, "ninja-image is started by ninjactl\n");
        return EXIT_USAGE;
    }
    if (!run(argv + 2, saves, &sum, &err)) {
        return tell(json_pack("{s:{s:s, s:o}}", "error", "class", ninja_error_class_name(err.class),
                              "desc", json_text(err.message)),
                    EXIT_WRONG);
    }
    return tell(json_pack("{s:I, s:I, s:s}", "bytes", (json_int_t)sum.bytes, "stored",
                          (json_int_t)sum.stored, "blake2b", sum.blake2b),
                EXIT_SUCCESS);
}
