/*
 * The component crcp/ninja: what its files share.
 *
 *     crcp_ninja_component.c   the component and its MCA parameters
 *     crcp_ninja_module.c      start, end, and the safe point inside MPI's progress
 *     calls.c                  with several threads: the functions of the PML, behind a gate
 *     lookout.c                a thread that waits for the agent, and if wanted serves it
 *     agent_link.c             the connection to the agent
 *     steps.c                  the state of this rank, and what it does at each step of a switch
 *     watchdog.c               says so when a step hangs in what Open MPI brings
 *     windows.c                one-sided communication
 *     transport_layer.c        the table of what a step does, by the PML of the job; its rows:
 *     ob1_layer.c                  pml/ob1 with BTLs
 *     ob1_drain.c                  when nothing of ob1's messages is in flight
 *     ob1_view.c                   counts, requests and headers inside ob1
 *     ob1_gate.c                   with several threads: what leads from BTLs into ob1
 */
#ifndef NINJA_CRCP_NINJA_H
#define NINJA_CRCP_NINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/member.h"
#include "common/rank_proto.h"

struct transport_layer;

/* --- crcp_ninja_component.c: the MCA parameters, and the stream for messages --- */
struct ninja_params {
    char *agent_socket;
    char *bypass;
    int hello_timeout;  /* ms */
    int finish_timeout; /* s */
    bool helper_thread;
    bool verify;
    int hold;     /* s */
    int watchdog; /* s; 0: none */
};
extern struct ninja_params ninja_params;

/** Verbosity: 1 what a user should know, 10 each state change, 20 each message. */
void ninja_verbose(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Says what the user must see whatever the verbosity; one rank of each node says it. */
void ninja_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- crcp_ninja_module.c --- */
int ninja_module_init(void);
int ninja_module_finalize(void);
/** Serves the agent from this thread. False if another thread does, or if this one is in a call. */
bool ninja_module_serve(void);
/** Has the next thread that comes to the safe point serve the agent. Any thread may call it. */
void ninja_module_call(void);
bool ninja_module_is_called(void);
/** Serves if it was called to. Always returns 0, as a progress function of MPI. */
int ninja_module_safe_point(void);

/* --- calls.c --- */

/** Builds the gate, for good, where several threads may be inside MPI; before there are others. */
bool calls_gate(const struct transport_layer *layer, char *why, size_t size);

/* --- lookout.c --- */

/** @param serves  whether its thread serves the agent itself, beside the application's */
bool lookout_open(bool serves, char *why, size_t size);
/**
 * Has the safe point called once, when there is something to read or after so long.
 *
 * @param fd            or -1; it stays the caller's, who gives another order before closing it
 * @param milliseconds  or -1
 */
void lookout_watch(int fd, int milliseconds);
void lookout_close(void);

/* --- agent_link.c --- */

/** Connects and says hello. The member is borrowed until agent_link_close(). */
void agent_link_open(const struct member *member);
void agent_link_close(void);
/** Has the safe point called when there is something to read, or it is time to connect again. */
void agent_link_watch(void);
bool agent_link_is_up(void);
/** Reads one message if there is one. If the connection is lost, this also sees to that. */
bool agent_link_receive(struct ninja_rank_msg *msg);
/** The descriptor that came with the last message, or -1. It is closed before the next is read. */
int agent_link_descriptor(void);
/** Sends; a failure is treated as loss of the connection. */
void agent_link_send(const struct ninja_rank_msg *msg);
/** The same for a thread that does not have the connection: a failure changes nothing. */
bool agent_link_send_apart(const struct ninja_rank_msg *msg);
/** Waits until there is something to read, or for so long. Tries to connect again meanwhile. */
void agent_link_wait(int milliseconds);

/* --- steps.c --- */
/** @param layer  what the steps do; it has been started */
void steps_open(const struct transport_layer *layer);
void steps_close(void);
/** Does what the agent asks until this rank may go back to the application. */
void steps_serve(void);
/** In MPI_Finalize: says goodbye, and takes part in a switch that has begun. */
void steps_finish(void);
/** This rank, for the agent. */
const struct member *steps_member(void);
/** A rank_say: what link and member say goes where ours does. */
void steps_say(void *arg, int level, const char *text);

/* --- watchdog.c --- */
bool watchdog_open(char *why, size_t size);
void watchdog_close(void);
/** A step begins, in this thread; only type, epoch and round are read. */
void watchdog_begin(const struct ninja_rank_msg *step);
/** This thread has come round: nothing that it called hangs. */
void watchdog_feed(void);
/** The step is over. False: the agent has been told that it hangs, and must not hear of it again.
 */
bool watchdog_end(void);

/* --- windows.c --- */

/** Before there are windows: sees that none of osc/pt2pt waits for ever. */
void windows_open(void);
/** Says whether all open windows can move (why names one that cannot), and sees that they do. */
bool windows_can_move(char *why, size_t size);
void windows_close(void);

#endif
