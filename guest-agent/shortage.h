/*
 * Memory that was short while something was put together in JSON.
 *
 * Most of jansson's calls can fail for lack of memory, and then an object lacks a member, or a list
 * an entry: a process that holds a device, say, or a count of messages. Rather than to look at each
 * call, jansson's allocations are watched here: who puts something together forgets what was
 * before, and throws it away if there was a shortage meanwhile.
 */
#ifndef AGENT_SHORTAGE_H
#define AGENT_SHORTAGE_H

#include <jansson.h>
#include <stdbool.h>

/** Watches jansson's allocations. To be called before jansson is used. */
void shortage_watch(void);

void shortage_forget(void);

/** There was one elsewhere: errno is that of a call without which the JSON is not complete. Others
 * than those for lack of memory, or descriptors, are none. */
void shortage_note(void);

/** Whether there was one since the last shortage_forget(). */
bool shortage_was(void);

/** The same JSON; NULL, and this one freed, if there was one. */
json_t *shortage_checked(json_t *json);

#endif
