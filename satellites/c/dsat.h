/* dsat.h: satellites in C. A program becomes a worker or a source of dsatd.
 *
 *	#include "dsat.h"
 *
 *	static int work(dsat *d, const dsat_message *m, void *arg)
 *	{
 *		return dsat_put(d, NULL, DSAT_RAW, m->payload, m->size);	// what it gives rise to
 *	}
 *
 *	int main(void) { return dsat_run(work, NULL); }
 *
 * A message is acknowledged, together with what was put for it, when the handler has returned 0. Anything else gives it back:
 * it is tried again. A message may come again after a crash, with the same id. A source opens a session itself, and emits.
 *
 * In the topology: speaks = "bus", command = "./alarm". Build: cc -D_GNU_SOURCE -o alarm alarm.c *.c of this directory -lzmq -lpthread (C11, Linux,
 * little-endian). The functions of one session may be called from one thread at a time; dsat_stop from anywhere. What they
 * return below 0 is an error or the end; dsat_error says which. This is an implementation of bus/wire by its specification alone.
 */
#ifndef DSAT_H
#define DSAT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a payload is written. */
enum dsat_codec { DSAT_RAW, DSAT_TEXT, DSAT_JSON, DSAT_CBOR, DSAT_STRUCT };

enum dsat_role { DSAT_WORKER, DSAT_SOURCE };

typedef struct dsat dsat;

/* A message to handle. Everything it points to lasts until it is answered. */
typedef struct dsat_message {
	const void *payload;
	size_t size;		/* bytes of payload */
	const char *from;	/* the step it came by; "": from outside */
	uint64_t id;		/* the same in every redelivery */
	uint64_t task;
	int64_t time;		/* of its admission, Unix nanoseconds */
	uint16_t codec;
	uint16_t hops;		/* steps it has passed */
	unsigned attempt;	/* from 1; 256 stands for that or more */
} dsat_message;

/* Opens a session by what dsatd has put into the environment, and begins to say HELLO; it does not wait for the answer.
 * NULL: this is no child of a dsatd, or memory or threads are used up; why (may be NULL) gets a sentence of at most size bytes. */
dsat *dsat_open(enum dsat_role role, char *why, size_t size);

/* Waits for the next message, at most timeout ms (below 0: as long as it takes). 1: there is one, which has to be answered by
 * dsat_done or dsat_fail before the next is asked for; 0: the time is over; -1: nothing more will come. */
int dsat_next(dsat *d, dsat_message *m, int timeout);

/* Adds an output of the message in hand: it is sent, with all others, by dsat_done, and forgotten by dsat_fail. link is one of the
 * links of this step, NULL all of them. -1: there is no such link, it is too large, or memory is used up. */
int dsat_put(dsat *d, const char *link, enum dsat_codec codec, const void *payload, size_t size);

/* Answers the message in hand: it is done. */
int dsat_done(dsat *d);

/* Answers the message in hand: it failed, for a reason (UTF-8); with retry another attempt is worth it. */
int dsat_fail(dsat *d, int retry, const char *reason);

/* Says that the message in hand is still being worked on: its deadline starts anew. */
int dsat_progress(dsat *d);

/* Whether the answer to the message in hand will be ignored: its step was removed, its task cancelled, or dsatd was killed meanwhile and
 * the next one does not know it, as it does those of durable queues. While there is no dsatd nobody knows, and dsat_done waits. */
int dsat_cancelled(dsat *d);

/* Emits a new message, which is copied. It waits while the window that dsatd grants is used up, that is while queues below are full.
 * -1: nothing more is wanted (then dsat_error is NULL), or an error as of dsat_put. */
int dsat_emit(dsat *d, const char *link, enum dsat_codec codec, const void *payload, size_t size);

/* What may be asked of a message; zeros ask for nothing. One that asks for something goes by dsatd, also where a link is direct. */
typedef struct dsat_wishes {
	uint64_t id;		/* its number: taken once, where a queue has a window for that; each step has its own numbers */
	int64_t delay;		/* ms until it is given to a worker; up to 49 days */
	int64_t ttl;		/* ms in which its task must have ended; likewise */
	int priority;		/* 0 to 9, the highest first, where a queue has levels */
} dsat_wishes;

/* dsat_emit with wishes. */
int dsat_emit_with(dsat *d, const char *link, enum dsat_codec codec, const void *payload, size_t size, const dsat_wishes *w);

/* How a call ended: it is done; a message of its task was not done; its deadline came first, and nothing of it is begun any more; the
 * instance that its session was with is gone; nothing was sent; or dsatd went away, and what became of it is not known. */
enum dsat_end { DSAT_DONE, DSAT_FAILED, DSAT_EXPIRED, DSAT_LOST, DSAT_REFUSED, DSAT_DISCONNECTED };

/* An output of a last step. A zero follows the payload, which is not counted. */
typedef struct dsat_result {
	const void *payload;
	size_t size;
	uint16_t codec;
} dsat_result;

typedef struct dsat_reply {
	enum dsat_end end;
	uint64_t task;		/* 0: none was begun */
	size_t count;
	dsat_result *results;	/* in the order in which they were done */
	char reason[200];	/* of another end than DSAT_DONE */
} dsat_reply;

typedef struct dsat_call_options {
	int lasting;		/* the task goes on when nobody waits for it any more */
	uint64_t session;	/* from 1: all calls of one go to the same instance, in order; 0: none */
} dsat_call_options;

/* Sends a message to a step that `calls` of the topology names and waits for its answer, at most deadline ms; o may be NULL. A worker
 * calls while it has a message in hand, a source at any time. 0: it is done, and r has what the last steps put out, until
 * dsat_reply_free; -1: r->end says how it ended, dsat_error why. */
int dsat_call(dsat *d, const char *step, enum dsat_codec codec, const void *payload, size_t size, int deadline, const dsat_call_options *o,
	dsat_reply *r);
void dsat_reply_free(dsat_reply *r);

/* How many messages were emitted, and how many of these, the first ones, are accepted: dsatd has them. */
uint64_t dsat_emitted(dsat *d);
uint64_t dsat_accepted(dsat *d);

/* Waits until all that was emitted is accepted, at most timeout ms. 1: it is; 0: the time is over; -1: it will not be. */
int dsat_flush(dsat *d, int timeout);

/* Asks the session to end: what is in hand is finished, dsat_next and dsat_emit return -1 afterwards. For signal handlers too. */
void dsat_stop(dsat *d);

/* Lets SIGTERM and SIGINT stop this session, the only one of a process that asks for it. */
int dsat_catch_signals(dsat *d);

/* Why it ended, or why a call failed; NULL: nothing is wrong. It lasts until the next call. */
const char *dsat_error(dsat *d);

/* Says BYE as soon as all is answered and accepted, waits for that, and frees everything. 0, or -1 when something was left unsaid. */
int dsat_close(dsat *d);

/* A whole worker: opens a session, catches signals, handles until nothing more comes, closes. It returns what main returns; what went
 * wrong stands in stderr. A handler returns 0, or another number to have the message tried again; dsat_reason says why. */
typedef int (*dsat_handler)(dsat *d, const dsat_message *m, void *arg);
int dsat_run(dsat_handler handler, void *arg);

/* Why the handler is about to return another number than 0; permanent: no other attempt is worth it. It returns -1, to be returned. */
int dsat_reason(dsat *d, int permanent, const char *reason);

#ifdef __cplusplus
}
#endif
#endif
