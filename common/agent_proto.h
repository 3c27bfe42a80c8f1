/*
 * The protocol between coordinator and agent: docs/protocol.md, section 2. What goes over the wire
 * is written down there.
 */
#ifndef NINJA_AGENT_PROTO_H
#define NINJA_AGENT_PROTO_H

/* Its number. Host and agent may be of two versions, and an agent refuses another number: raise it
 * when one of them could not understand the other. */
#define NINJA_AGENT_PROTOCOL 6

#define NINJA_AS_TEXT(number)     #number
#define NINJA_NUMBER_TEXT(number) NINJA_AS_TEXT(number)

/* The same, for JSON that is written as text. */
#define NINJA_AGENT_PROTOCOL_TEXT NINJA_NUMBER_TEXT(NINJA_AGENT_PROTOCOL)

#endif
