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

/* A frame with messages, as it came. */
struct arrival {
	struct arrival *next;
	zmq_msg_t frame;
	int direct;		/* from another satellite: nobody wants an answer */
	json_strings from;	/* of the session it came in */
	uint64_t session;
	uint64_t place;		/* of its first DATA in the order of delivery */
	int64_t came;		/* a direct one: when, Unix nanoseconds */
};

/* A frame that is to be sent; one of EMITs is kept until all of it is accepted. */
struct parcel {
	struct parcel *next;
	struct wire_frame frame;
	uint64_t last;		/* EMITs: number of the last one */
	size_t taken;		/* EMITs: bytes of the frame whose messages are accepted, or emitted after all, as of wire_next */
};

/* One other satellite at the end of a direct link. Only the thread uses it. */
struct line {
	struct line *next;
	char *endpoint;
	void *push;
	uint64_t number;	/* of this connection: there may be an older one to the same endpoint that is not empty yet */
	uint64_t sent;		/* messages: the sequence of the last one */
	int kept;		/* named by the newest ROUTES */
};

/* A direct link: what is emitted along it goes to other satellites without passing the daemon, at most once. */
struct road {
	struct road *next;
	uint16_t port, origin;	/* our number of the link, the receivers' number of us */
	int kept;
	struct wire_frame filling;
	struct parcel *full, **full_last;	/* before filling */
	size_t waiting;		/* bytes in full */
	struct line *lines;	/* of the thread */
	uint64_t sent, bytes;	/* messages, and bytes of their payloads, that were sent */
	uint64_t told;		/* of sent, in a TALLY */
};

/* How far a satellite is that sends to us. */
struct sender {
	uint32_t epoch;
	uint64_t id, number, last;	/* its session, its connection, the sequence of its last message */
};

/* A message that was begun in a session that is over: the next daemon is asked whether it shall be answered. */
struct held {
	uint64_t n;		/* of its dispatch; 0: there is none */
	uint32_t epoch;
	enum { held_asked, held_wanted, held_unwanted } state;
	uint64_t number;	/* under which it is answered */
};

/* A dispatch that has another number in a later session. */
struct renamed {
	uint32_t epoch;
	uint64_t number;
	uint32_t before;	/* and, in that epoch, */
	uint64_t n;
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
	atomic_uint_fast64_t session;	/* counts them */
	atomic_uint_fast64_t hand_n;	/* dispatch of the message that the caller has begun, or 0; without the lock, too */
	atomic_uint_fast32_t hand_epoch;
	json_strings callees;
	uint64_t called, calling;	/* number of the last CALL of this session, and of the one that is waited for, or 0 */
	int call_over;
	dsat_reply reply;
	struct held held;
	struct renamed renamed[64];	/* the last ones */
	size_t renamed_count;
	struct parcel *spoken, **spoken_last;	/* frames that were sent last: they may have got lost with the daemon */
	size_t spoken_count, spoken_bytes;
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

	uint64_t id;			/* of this session, in what goes along direct links */
	struct road *roads;
	uint64_t lines_made;
	int take;			/* other satellites may send to us */
	size_t direct_bytes;		/* of frames from them that wait for the caller */
	size_t direct_in_hand;		/* messages in them that are not answered */
	uint64_t received, missed;	/* messages from them; gaps between these */
	uint64_t told, told_missed;	/* of both together, and of the gaps, in a TALLY */
	struct sender *senders;
	size_t sender_count;

	/* Only the caller uses what follows. */
	struct arrival *current;
	size_t at;		/* in its frame */
	uint64_t place;		/* of the message in hand */
	const struct wire_header *message;	/* in hand, or NULL */
	struct wire_frame outputs;	/* put for it: OUTs */
	json_strings outputs_to;	/* the links these are of */
	uint64_t outputs_session;
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

/* Moves what is in a frame to the end of a list; NULL: no memory. */
struct parcel *dsat_pack(struct wire_frame *f, struct parcel ***last);

/* direct.c. All but the last three are for the thread, and need the lock where nothing else is said. */
struct road *dsat_road(struct dsat *d, unsigned port);		/* NULL: the link is none, or goes by the daemon */
int dsat_paved(const struct dsat *d);		/* whether there is any */
int dsat_pave(struct dsat *d, void *context, json_strings direct);	/* goes over to the direct links of a WELCOME or ROUTES; 0: no memory */
int dsat_travel(struct dsat *d);		/* sends what can be sent, without the lock; 0: no memory */
int dsat_outlets(const struct dsat *d, zmq_pollitem_t *items, int most);	/* has poll wait for room where something waits; how many, at most most */
void dsat_demolish(struct dsat *d);		/* closes all, after what was sent is gone or a second is over; without the lock */
int dsat_admit(struct dsat *d, zmq_msg_t *frame);	/* takes a frame from another satellite; the frame is the function's; 0: no memory */
int dsat_tally(struct dsat *d);			/* says how much was carried, when that is news; 0: no memory */
int dsat_forward(struct dsat *d, struct road *r, const struct wire_header *h, const void *body, size_t n);	/* of the caller: 0: no memory */
int dsat_jammed(const struct road *r);		/* whether the caller has to wait */
int dsat_roads_empty(const struct dsat *d);	/* whether nothing waits to be sent */
int dsat_detour(struct dsat *d);		/* emits what waits on links that are direct no more, as far as the window goes; 0: no memory */
int dsat_detoured(const struct dsat *d, unsigned port);	/* whether something of that link waits to be */
void dsat_begin_tallies(struct dsat *d);	/* a new session: TALLYs count from it on, and messages are numbered anew */

/* call.c and what it needs of message.c and emit.c. The lock is held. */
void dsat_end_call(struct dsat *d, enum dsat_end end, const void *reason, size_t size);	/* if there is one */
int dsat_replied(struct dsat *d, const struct wire_header *h);	/* takes a REPLY; 0: no memory */
uint64_t dsat_hop_in_hand(const dsat *d);	/* number of the message in hand; 0: none that the daemon knows of */
int dsat_unwanted_now(const dsat *d);		/* whether there is one whose answer will be ignored */
int64_t dsat_left(const struct timespec *until);	/* ns until then, 1 at least */

/* again.c. The lock is held. */
void dsat_keep_spoken(struct dsat *d, struct parcel *frames);	/* keeps frames that were sent, or will not be; they are the function's */
void dsat_forget_spoken(struct dsat *d);
void dsat_renamed(struct dsat *d, uint32_t epoch, uint64_t number);	/* the message that is held has a number of this epoch */
char *dsat_holds(const struct dsat *d);		/* the elements of a JSON list: what is in hand, and may be; to be freed; NULL: no memory */
int dsat_go_on(struct dsat *d, const char *text, size_t size, json_strings before);	/* with what a WELCOME says is to be answered; before: the links until now; 0: no memory */
int dsat_same_links(json_strings a, json_strings b);

void dsat_free_arrivals(struct arrival *a);
void dsat_free_parcels(struct parcel *p);

/* What the files of the caller's side share. */

/* Keeps what went wrong for dsat_error; -1. */
int dsat_mishap(dsat *d, const char *text);
int dsat_no_memory(dsat *d);

/* The end of a wait, and the wait for a change until then; 0: the time is over. A timeout below 0 is none. The lock is held. */
struct timespec dsat_deadline(int timeout);
int dsat_await(dsat *d, int timeout, const struct timespec *until);

/* The port of a link, NULL being all; -1: there is none. The lock is held. */
int dsat_port(dsat *d, const char *link);

/* The name of a link, or NULL: there are not so many. The table may change while the caller waits. The lock is held. */
const char *dsat_link(const dsat *d, int i);

/* Whether a payload is not too large. The lock is held. */
int dsat_fits(dsat *d, size_t size);

/* Whether the window has room for a payload; one that is larger than the window goes alone. The lock is held. */
int dsat_open_for(const dsat *d, size_t size);

/* Appends an EMIT, for which there is room; 0: no memory. The lock is held. */
int dsat_append(dsat *d, const struct wire_header *h, const void *payload, size_t size);

/* Emits along one link, or all, and waits while there is no room. The lock is held. */
int dsat_emit_one(dsat *d, unsigned port, enum dsat_codec codec, const void *payload, size_t size, const dsat_wishes *w);

#endif
