/* session.h: what dsat.c, the side of the caller, and socket.c, the thread that owns the socket, share. */
#ifndef DSAT_SESSION_H
#define DSAT_SESSION_H

#include "dsat.h"
#include "json.h"
#include "wire.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <zmq.h>

enum { dsat_patience = 30 };	/* seconds that a satellite outlives its daemon */

/* A frame with DATA, as it came. */
struct arrival {
	struct arrival *next;
	zmq_msg_t frame;
	json_strings from;	/* of the session it came in */
	uint64_t session;
	uint64_t place;		/* of its first DATA in the order of delivery */
};

/* A frame that is to be sent; one of EMITs is kept until all of it is accepted. */
struct parcel {
	struct parcel *next;
	struct wire_frame frame;
	uint64_t last;		/* EMITs: number of the last one */
	size_t taken;		/* EMITs: bytes of the frame whose messages are accepted, as of wire_next */
};

/* A list of lists of links that are out of date: pointers into them may still be in use. */
struct old_links {
	struct old_links *next;
	json_strings links;
};

struct dsat {
	/* Never changed after dsat_open. */
	enum dsat_role role;
	const char *bus, *name, *token;
	int wid;
	uint64_t incarnation;
	int wake;		/* eventfd by which the thread is told */
	pthread_t thread;
	atomic_int stopping;	/* without the lock: a signal handler sets it */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* All that follows needs the lock. */
	int welcome;		/* there is a session */
	int draining;		/* nothing new is wanted of us */
	int finished;		/* the caller wants to end */
	int bye, over;		/* we have said it; the thread has ended */
	int asleep;		/* the thread waits for wake */
	char fault[256];	/* why it ended; "": well */
	uint64_t session;	/* counts them */
	uint32_t epoch;
	json_strings to, from;
	struct old_links *old;
	size_t max_body;

	struct arrival *first, **last;
	uint64_t delivered;	/* DATA of this session */
	size_t in_hand;		/* of them, not answered */
	uint64_t *gone;		/* cancelled before they were answered */
	atomic_size_t gone_count;	/* looked at without the lock, too */
	size_t gone_room;

	struct parcel *full, **full_last;	/* answers to send, before answers */
	struct wire_frame answers;		/* being filled */
	uint64_t done_first, done_last, done_place;	/* DONEs not in a frame yet; done_first 0: none */

	uint64_t window_messages, window_bytes;
	uint64_t emitted, accepted, unaccepted_bytes;
	struct parcel *kept, **kept_last;	/* EMITs not accepted */
	struct parcel *unsent;			/* the first of them not sent in this session */
	struct wire_frame emits;		/* being filled, after kept */

	/* Only the caller uses what follows. */
	struct arrival *current;
	size_t at;		/* in its frame */
	uint64_t place;		/* of the message in hand */
	const struct wire_header *message;	/* in hand, or NULL */
	struct wire_frame outputs;	/* put for it: OUTs */
	size_t outputs_body;	/* what they take in the body of a DONE */
	char said[256];		/* the last error of a call */
	int permanent;		/* dsat_reason */
};

/* The thread; argument and result as pthread_create wants them. */
void *dsat_thread(void *session);

/* Tells the thread that there is something to send. The lock is held. */
void dsat_wake(struct dsat *d);

/* Appends a record to what is to be sent; 0: no memory. The lock is held. */
int dsat_say(struct dsat *d, const struct wire_header *h, const void *body, size_t n);

/* Puts joined DONEs into the frame. The lock is held. */
int dsat_close_range(struct dsat *d);

/* Ends the frame of EMITs that is being filled. The lock is held. */
int dsat_seal_emits(struct dsat *d);

void dsat_free_arrivals(struct arrival *a);
void dsat_free_parcels(struct parcel *p);

#endif
