/*
 * Scanning and coding, which take long, are done by each channel's thread for itself. In between,
 * what is a copy of what is decided with a lock held, batch by batch, and batches go to the link in
 * that very order: a copy then never comes before what it is a copy of.
 */
#include "stream/sender.h"

#include <pthread.h>

#include "host/base/memory.h"

/* How often of late the link was full, and from where on that is worth how much CPU. */
#define PRESSURE_STEP   8
#define PRESSURE_LITTLE 0.15
#define PRESSURE_MUCH   0.5

struct sender {
    struct link *link;
    const struct engine *engine;
    struct hashes *hashes;

    pthread_mutex_t lock;
    pthread_cond_t turned;
    uint64_t next_turn, turn; /* of batches whose copies are decided */
    double pressure;
    struct batch_counters counters[SESSION_MAX_VMS];
};

struct sender *sender_new(struct link *link, uint32_t pages)
{
    struct sender *sender = xcalloc(1, sizeof(*sender));
    sender->link = link;
    sender->engine = &engine_cpu;
    sender->hashes = hashes_new(pages);
    sender->pressure = 1; /* a slow link has most to lose */
    pthread_mutex_init(&sender->lock, NULL);
    pthread_cond_init(&sender->turned, NULL);
    return sender;
}

static enum effort next_effort(struct sender *sender)
{
    bool full = link_is_full(sender->link);
    pthread_mutex_lock(&sender->lock);
    double pressure = sender->pressure += ((full ? 1 : 0) - sender->pressure) / PRESSURE_STEP;
    pthread_mutex_unlock(&sender->lock);
    return pressure > PRESSURE_MUCH     ? EFFORT_MUCH
           : pressure > PRESSURE_LITTLE ? EFFORT_LITTLE
                                        : EFFORT_NONE;
}

/* Decides what is a copy; returns when it is this batch's turn, as a number. */
static uint64_t find_copies(struct sender *sender, struct batch *batch)
{
    pthread_mutex_lock(&sender->lock);
    for (unsigned i = 0; batch->is_stored && i < batch->n; i++) {
        if (batch->kind[i] == PAGE_LITERAL &&
            hashes_find(sender->hashes, &batch->hash[i], &batch->back[i])) {
            batch->kind[i] = PAGE_COPY;
        }
    }
    uint64_t turn = sender->next_turn++;
    pthread_mutex_unlock(&sender->lock);
    return turn;
}

static bool send_in_turn(struct sender *sender, struct frame *frame, uint64_t turn)
{
    pthread_mutex_lock(&sender->lock);
    while (sender->turn != turn) {
        pthread_cond_wait(&sender->turned, &sender->lock);
    }
    pthread_mutex_unlock(&sender->lock);
    bool sent = link_send(sender->link, frame);
    pthread_mutex_lock(&sender->lock);
    sender->turn++;
    pthread_cond_broadcast(&sender->turned);
    pthread_mutex_unlock(&sender->lock);
    return sent;
}

static void add(struct batch_counters *to, const struct batch_counters *more)
{
    to->pages += more->pages;
    to->same += more->same;
    to->copies += more->copies;
    to->raw_bytes += more->raw_bytes;
    to->coded_bytes += more->coded_bytes;
    for (size_t i = 0; i < CODECS; i++) {
        to->by_codec[i] += more->by_codec[i];
    }
}

bool sender_send(struct sender *sender, struct batch *batch, uint16_t channel, int vm)
{
    struct batch_counters counters = {0};
    enum effort effort = next_effort(sender);
    batch->is_stored = effort != EFFORT_NONE;
    sender->engine->scan(batch, batch->is_stored ? sender->hashes : NULL);
    uint64_t turn = find_copies(sender, batch);
    struct frame *frame = batch_encode(batch, channel, sender->engine, effort, &counters);
    bool sent = send_in_turn(sender, frame, turn);
    pthread_mutex_lock(&sender->lock);
    add(&sender->counters[vm], &counters);
    pthread_mutex_unlock(&sender->lock);
    batch_begin_anew(batch);
    return sent;
}

void sender_count(struct sender *sender, int vm, struct batch_counters *counters)
{
    pthread_mutex_lock(&sender->lock);
    add(counters, &sender->counters[vm]);
    pthread_mutex_unlock(&sender->lock);
}
