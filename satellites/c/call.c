/* Calls: a message to a step that the topology's `calls` names, whose answer is waited for. A session has one at a time. */
#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { grace = 2000 }; /* ms after a deadline that dsatd has to say so */

static void drop_results(dsat_reply *r)
{
	size_t i;

	for (i = 0; i < r->count; i++)
		free((void *)(uintptr_t)r->results[i].payload);
	free(r->results);
	r->results = NULL;
	r->count = 0;
}

void dsat_reply_free(dsat_reply *r) { drop_results(r); }

void dsat_end_call(struct dsat *d, enum dsat_end end, const void *reason, size_t size)
{
	if (!d->calling || d->call_over)
		return;
	d->call_over = 1;
	d->reply.end = end;
	snprintf(d->reply.reason, sizeof d->reply.reason, "%.*s", (int)(size < sizeof d->reply.reason ? size : sizeof d->reply.reason - 1), (const char *)reason);
}

static int add_result(dsat_reply *r, const struct wire_header *h)
{
	dsat_result *more = realloc(r->results, (r->count + 1) * sizeof *more);
	void *copy;

	if (!more)
		return 0;
	r->results = more;
	if (!(copy = malloc(h->length + 1)))
		return 0;
	memcpy(copy, wire_body(h), h->length);
	((char *)copy)[h->length] = 0;
	more[r->count++] = (dsat_result){copy, h->length, h->codec};
	return 1;
}

int dsat_replied(struct dsat *d, const struct wire_header *h)
{
	if (!d->calling || h->n != d->calling || d->call_over) /* it was given up */
		return 1;
	if (h->flags & WIRE_FLAG_MORE)
		return add_result(&d->reply, h);
	d->reply.task = h->id;
	dsat_end_call(d, h->m <= DSAT_REFUSED ? (enum dsat_end)h->m : DSAT_FAILED, wire_body(h), h->length);
	return 1;
}

/* The port of a step that may be called; -1: there is none. The lock is held. */
static int callee(dsat *d, const char *step)
{
	int i;

	for (i = 0; *step && d->callees && d->callees[i]; i++)
		if (strcmp(d->callees[i], step) == 0)
			return i;
	snprintf(d->said, sizeof d->said, "cannot call \"%.63s\": `calls` of the topology does not name it", step);
	return -1;
}

/* Waits for the end of the call, and gives it up when there is none in time. The lock is held. */
static void await_end(dsat *d, int deadline)
{
	struct timespec until = dsat_deadline(deadline + grace);

	while (!d->call_over && !d->over && !dsat_unwanted_now(d)) {
		if (dsat_await(d, 0, &until))
			continue;
		if (!d->call_over)
			dsat_end_call(d, DSAT_EXPIRED, "dsatd does not answer", 21);
		break;
	}
	if (!d->call_over)
		dsat_end_call(d, d->over ? DSAT_DISCONNECTED : DSAT_REFUSED, "the message it is for is not wanted any more", 44);
}

int dsat_call(dsat *d, const char *step, enum dsat_codec codec, const void *payload, size_t size, int deadline, const dsat_call_options *o, dsat_reply *r)
{
	struct wire_header h = {.kind = WIRE_CALL, .codec = (uint16_t)codec};
	struct timespec until;
	uint64_t session;
	int port = -1, ok = 1;

	memset(r, 0, sizeof *r);
	r->end = DSAT_REFUSED;
	d->said[0] = 0;
	if (deadline <= 0)
		return dsat_mishap(d, "a call needs a deadline, in ms");
	until = dsat_deadline(deadline);
	pthread_mutex_lock(&d->lock);
	while (!d->welcome && !d->over && dsat_await(d, 0, &until))
		;
	if (!d->welcome || d->bye)
		snprintf(d->said, sizeof d->said, "cannot call \"%.63s\": dsatd is away", step);
	else if ((port = callee(d, step)) >= 0 && !dsat_fits(d, size))
		port = -1;
	if (port < 0) {
		pthread_mutex_unlock(&d->lock);
		return -1;
	}
	if (o) {
		h.flags = o->lasting ? WIRE_FLAG_LASTING : 0;
		h.id = o->session;
	}
	h.port = (uint16_t)port;
	h.n = d->calling = ++d->called;
	h.m = dsat_hop_in_hand(d);
	h.time = dsat_left(&until);
	memset(&d->reply, 0, sizeof d->reply);
	d->call_over = 0;
	session = d->session;
	ok = dsat_close_range(d) && dsat_say(d, &h, payload, size);
	dsat_wake(d);
	if (ok)
		await_end(d, deadline);
	if (ok && d->reply.end != DSAT_DONE && session == d->session && d->welcome) { /* forgets what may be under way still */
		struct wire_header cancel = {.kind = WIRE_CANCEL, .n = h.n};
		ok = dsat_close_range(d) && dsat_say(d, &cancel, NULL, 0);
		dsat_wake(d);
	}
	*r = d->reply;
	d->calling = 0;
	if (r->end != DSAT_DONE) {
		drop_results(r);
		snprintf(d->said, sizeof d->said, "the call of \"%.63s\" is not done: %.150s", step, r->reason);
	}
	pthread_mutex_unlock(&d->lock);
	if (!ok)
		return dsat_no_memory(d);
	return r->end == DSAT_DONE ? 0 : -1;
}
