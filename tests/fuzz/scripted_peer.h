/*
 * The hostile other end of a JSON-lines socket that the host connects to. What it says are the
 * lines of the input: after each line that it is sent, those up to the first one that holds an
 * answer, in which "$ID" is replaced by the id of what was asked and "$TOKEN" by its token
 * ("$PROTOCOL" is the number of the agents' protocol); and one whenever nothing else happens. So an
 * input is read as a conversation, and a fuzzer need not guess numbers.
 */
#ifndef FUZZ_SCRIPTED_PEER_H
#define FUZZ_SCRIPTED_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script {
    const uint8_t *data;
    size_t size;
};

/* Makes the answer to a line by itself; false: that is for the script. */
typedef bool scripted_answer(int fd, const char *line);

struct scripted_peer {
    char *path; /* where it listens */
    int listener, fd;
    bool greets; /* speaks first */
    scripted_answer *answer;
    struct script *script; /* may be shared */
    char line[16384];
    size_t len;
    char id[24], token[24];
};

/** Listens, for as long as the process lives. The rest of @p peer is for the caller to set. */
void scripted_peer_open(struct scripted_peer *peer, const char *name);

/** Reads what it was sent, and answers. False: nothing came. */
bool scripted_peer_serve(struct scripted_peer *peer);

/** Says the next line of the script, unasked. False: nobody is there, or nothing is left. */
bool scripted_peer_say(struct scripted_peer *peer);

void scripted_peer_hang_up(struct scripted_peer *peer);

#endif
