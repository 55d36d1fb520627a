/* thread.h: what the files of the thread that owns the socket share. */
#ifndef DSAT_THREAD_H
#define DSAT_THREAD_H

#include "session.h"

/* What only the thread uses. */
struct end {
	struct dsat *d;
	void *context, *socket, *monitor;
	void *pull;		/* where other satellites send to, or NULL */
	void *callers;		/* its monitor */
	int connections;	/* that others have to it */
	char endpoint[128];	/* of it */
	int64_t heard;		/* when something came there last, ms */
	int64_t tallied;	/* when the last TALLY was said, ms */
	int64_t alone;		/* since when there is no session, ms of CLOCK_MONOTONIC; -1: there is one */
};

int64_t dsat_now_ms(void); /* of CLOCK_MONOTONIC */

/* What follows needs the lock. */

/* Ends the session: why it cannot go on. */
void dsat_end_with(struct dsat *d, const char *text);
void dsat_out_of_memory(struct dsat *d);

/* The session is over: what was not begun is given to others. */
void dsat_lose(struct end *e);

/* Says HELLO on a new connection, or because dsatd does not know the old one. */
void dsat_greet(struct end *e);

/* Takes one frame: control is done at once, a frame with DATA waits for the caller. The frame is the function's. */
void dsat_take(struct end *e, zmq_msg_t *frame);

/* An event of a monitor; 0: there is none. The lock is not needed. */
uint16_t dsat_event(void *monitor);

/* Makes the socket that other satellites send to; 0: it cannot be. */
int dsat_bind_directly(struct end *e, const char *dir);

/* Sends a frame, or does nothing: without a connection its end is reported. The lock is not needed. */
int dsat_transmit(struct end *e, struct wire_frame *f);

#endif
