/*
 * The API, as docs/api.md describes it: what a line of a client means, and how it is answered.
 */
#ifndef NINJAD_API_H
#define NINJAD_API_H

#include "ninjad/calls.h"

/** A request, or with request NULL a line that is none; both borrowed. */
void api_request(struct ninjad *ninjad, struct client *client, json_t *request, const char *wrong);

/** Takes on a migration that was interrupted, on our own account. */
void api_resume(struct ninjad *ninjad, const char *id);

/** Sends an answer; result is borrowed, and used if err is NULL. id: NULL is allowed. */
void api_answer(struct client *client, json_t *id, json_t *result, const struct ninja_error *err);

/** Sends an event; data is taken over. id: of the request that it belongs to; NULL: none */
void api_event(struct client *client, const char *name, json_t *id, json_t *data);

extern const struct command api_commands[];
extern const size_t api_n_commands;

#endif
