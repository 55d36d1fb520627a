/* wire.h: frames and records of bus/wire, without sockets. The specification is the comment of bus/wire/wire.go. */
#ifndef DSAT_WIRE_H
#define DSAT_WIRE_H

#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the headers are used as they lie in memory, which is right for little-endian machines only"
#endif

#define WIRE_MAGIC 0x54415344u
#define WIRE_VERSION 1
#define WIRE_MAX_FRAME (64u << 10)	/* of a frame with several records */
#define WIRE_MAX_RECORDS 1024u
#define WIRE_MAX_BODY (16u << 20)	/* of one record that has a frame to itself */
#define WIRE_ALL_LINKS 0xFFFFu
#define WIRE_FLAG_RETRY 1		/* of FAIL */
#define WIRE_FLAG_LASTING 1	/* of CALL */
#define WIRE_FLAG_MORE 1	/* of REPLY */
#define WIRE_FLAG_RECEIVED 1	/* of TALLY */
#define WIRE_HELLO_AGAIN 1

enum wire_kind {
	WIRE_HELLO = 1, WIRE_WELCOME, WIRE_CREDIT, WIRE_DATA, WIRE_OUT, WIRE_DONE, WIRE_FAIL, WIRE_PROGRESS, WIRE_EMIT,
	WIRE_ACCEPTED, WIRE_CANCEL, WIRE_ROUTES, WIRE_DRAIN, WIRE_PING, WIRE_PONG, WIRE_BYE, WIRE_ERROR, WIRE_CALL, WIRE_REPLY, WIRE_TOPIC,
	WIRE_LISTEN, WIRE_TALLY
};

struct wire_frame_header {
	uint32_t magic;
	uint8_t version, flags;
	uint16_t zero;
	uint32_t length;	/* of the whole frame */
	uint32_t count;		/* of records */
};

struct wire_header {
	uint32_t length;	/* of the body, without padding */
	uint8_t kind, flags;
	uint16_t port;
	uint32_t epoch;
	uint16_t codec, hops;
	uint64_t n, m, id;
	int64_t time;
};

struct wire_output {
	uint32_t length;	/* of the payload, without padding */
	uint16_t port, codec;
};

_Static_assert(sizeof(struct wire_frame_header) == 16, "frame header");
_Static_assert(sizeof(struct wire_header) == 48, "record header");
_Static_assert(sizeof(struct wire_output) == 8, "output header");

static inline size_t wire_padded(size_t n) { return (n + 7) & ~(size_t)7; }

/* A frame that is being filled. Zeros are an empty one. */
struct wire_frame {
	uint8_t *bytes;
	size_t size, room;
	uint32_t count;
};

/* Whether a record with a body of n bytes may still be added. An empty frame takes any. */
int wire_fits(const struct wire_frame *f, size_t n);

/* Adds a record and returns where its body of n bytes goes; NULL: no memory. The padding is zeroed. */
void *wire_add(struct wire_frame *f, const struct wire_header *h, size_t n);

/* Writes the frame's header. */
void wire_seal(struct wire_frame *f);

/* Empties it and keeps the memory. */
void wire_reset(struct wire_frame *f);

/* The first thing that is wrong with a frame; NULL: it is well-formed as a whole. bytes is aligned to 8. */
const char *wire_check(const uint8_t *bytes, size_t size);

/* The record at *at of a frame that was checked, and moves *at to the next one; NULL at the end. *at begins with 0. */
const struct wire_header *wire_next(const uint8_t *bytes, size_t size, size_t *at);

static inline const void *wire_body(const struct wire_header *h) { return h + 1; }

/* The number of a codec or kind as people know it; for tests. */
const char *wire_kind_name(unsigned kind);

#endif
