#include "session.h"

#include <stdlib.h>
#include <string.h>

/* Whether dispatch n is not wanted any more. The lock is held. */
static int is_gone(const dsat *d, uint64_t n)
{
	size_t i;

	for (i = 0; i < d->gone_count; i++)
		if (d->gone[i] == n)
			return 1;
	return 0;
}

/* Whether the message in hand is that of a session before. The lock is held. */
static int is_held(const dsat *d)
{
	return d->current->session != d->session && d->held.n == d->message->n && d->held.epoch == d->message->epoch;
}

/* Takes note that a message is begun; 0: its session is over, and it is not ours any more. */
static int begin(dsat *d)
{
	int held;

	if (d->current->direct)
		return 1;
	d->hand_epoch = d->message->epoch;
	d->hand_n = d->message->n; /* before the look at the session, which the thread changes before it looks at this */
	if (d->session == d->current->session)
		return 1;
	pthread_mutex_lock(&d->lock);
	if (!(held = is_held(d)))
		d->hand_n = 0;
	pthread_mutex_unlock(&d->lock);
	return held;
}

/* Under which number the message in hand is known to the daemon; 0: nobody wants its answer. The lock is held. */
static uint64_t known_as(const dsat *d)
{
	if (d->current->session == d->session)
		return d->welcome ? d->message->n : 0;
	return is_held(d) && d->held.state == held_wanted ? d->held.number : 0;
}

/* Likewise; while the daemon is away nobody knows, and that is waited for. The lock is held. */
static uint64_t number_of(dsat *d)
{
	while (is_held(d) && d->held.state == held_asked && !d->over)
		pthread_cond_wait(&d->changed, &d->lock);
	return known_as(d);
}

/* The next message of the frame in hand, or NULL. */
static const struct wire_header *following(dsat *d)
{
	const uint8_t *bytes = zmq_msg_data(&d->current->frame);
	size_t size = zmq_msg_size(&d->current->frame);
	const struct wire_header *h;

	while ((h = wire_next(bytes, size, &d->at)))
		if (h->kind == (d->current->direct ? WIRE_EMIT : WIRE_DATA))
			return h;
	return NULL;
}

static void fill(const dsat *d, dsat_message *m, const struct wire_header *h)
{
	size_t i;

	m->payload = wire_body(h);
	m->size = h->length;
	m->from = "";
	for (i = 0; h->port != WIRE_ALL_LINKS && d->current->from[i]; i++)
		if (i == h->port)
			m->from = d->current->from[i];
	m->id = h->id;
	m->task = h->m;
	m->time = h->time;
	m->codec = h->codec;
	m->hops = h->hops;
	m->attempt = h->flags + 1u;
	if (d->current->direct) { /* it is numbered by its sender, and nothing is known of it */
		m->task = m->id = 0;
		m->time = d->current->came;
		m->hops = 1;
		m->attempt = 1;
	}
}

int dsat_next(dsat *d, dsat_message *m, int timeout)
{
	struct timespec until = {0, 0};
	int have = 0, gone = 0;

	d->said[0] = 0;
	if (d->message)
		return dsat_mishap(d, "the message in hand is to be answered first");
	if (timeout >= 0)
		until = dsat_deadline(timeout);
	for (;;) {
		if (d->current && (d->message = following(d))) {
			d->place++;
			if (!begin(d)) {
				d->message = NULL;
				continue;
			}
			if (d->gone_count && !d->current->direct) { /* a glance without the lock: what is missed is a message handled for nothing */
				pthread_mutex_lock(&d->lock);
				gone = d->current->session == d->session && is_gone(d, d->message->n);
				pthread_mutex_unlock(&d->lock);
			}
			if (!gone) {
				fill(d, m, d->message);
				return 1;
			}
			gone = 0;
			dsat_done(d);
			continue;
		}
		dsat_free_arrivals(d->current);
		d->current = NULL;
		pthread_mutex_lock(&d->lock);
		while (!(have = d->first != NULL) && !d->over && dsat_await(d, timeout, &until))
			;
		if (have) {
			d->current = d->first;
			if (!(d->first = d->current->next))
				d->last = &d->first;
			d->current->next = NULL;
			d->at = 0;
			d->place = d->current->place - 1;
			if (d->current->direct) {
				d->direct_bytes -= zmq_msg_size(&d->current->frame);
				dsat_wake(d); /* it may have waited for room */
			}
		}
		pthread_mutex_unlock(&d->lock);
		if (!have)
			return d->over ? -1 : 0;
	}
}

/* Stages an output of the message in hand. The lock is held. */
static int stage(dsat *d, unsigned port, enum dsat_codec codec, const void *payload, size_t size)
{
	struct wire_header h = {.kind = WIRE_OUT, .codec = (uint16_t)codec, .port = (uint16_t)port, .n = d->message->n};
	void *body = wire_add(&d->outputs, &h, size);

	if (!body)
		return dsat_no_memory(d);
	if (size)
		memcpy(body, payload, size);
	if (d->outputs.count == 1) {
		d->outputs_to = d->to;
		d->outputs_session = d->session;
	}
	return 0;
}

int dsat_put(dsat *d, const char *link, enum dsat_codec codec, const void *payload, size_t size)
{
	int port, i, several, result = 0;

	d->said[0] = 0;
	if (!d->message)
		return dsat_mishap(d, "there is no message in hand to put something for");
	pthread_mutex_lock(&d->lock);
	port = dsat_port(d, link);
	if (port >= 0 && !dsat_fits(d, size))
		port = -1;
	several = port == WIRE_ALL_LINKS && (dsat_paved(d) || d->current->direct);
	if (several) { /* each by its own way */
		for (i = 0; dsat_link(d, i) && result == 0; i++)
			if (*dsat_link(d, i))
				result = stage(d, (unsigned)i, codec, payload, size);
	} else if (port >= 0) {
		result = stage(d, (unsigned)port, codec, payload, size);
	}
	pthread_mutex_unlock(&d->lock);
	return port < 0 ? -1 : result;
}

/* Writes outputs as the body of a DONE. */
static void write_outputs(const struct wire_frame *f, uint8_t *to)
{
	const struct wire_header *h;
	size_t at = 0;

	while ((h = wire_next(f->bytes, f->size, &at))) {
		struct wire_output o = {.length = h->length, .port = h->port, .codec = h->codec};
		memcpy(to, &o, sizeof o);
		memcpy(to + sizeof o, wire_body(h), wire_padded(h->length));
		to += sizeof o + wire_padded(h->length);
	}
}

/* Appends a DONE with its outputs, or those one by one before it where they would not fit a frame. The lock is held. */
static int done_with_outputs(dsat *d, uint64_t n)
{
	struct wire_header h = {.kind = WIRE_DONE, .n = n}, staged;
	const struct wire_header *out;
	size_t at = 0, length = 0;
	uint8_t *body;
	int ok;

	if (!dsat_close_range(d))
		return 0;
	while ((out = wire_next(d->outputs.bytes, d->outputs.size, &at)))
		length += sizeof(struct wire_output) + wire_padded(out->length);
	if (sizeof(struct wire_frame_header) + sizeof h + length <= WIRE_MAX_FRAME) {
		if (!(body = malloc(length)))
			return 0;
		write_outputs(&d->outputs, body);
		ok = dsat_say(d, &h, body, length);
		free(body);
		return ok;
	}
	at = 0;
	while ((out = wire_next(d->outputs.bytes, d->outputs.size, &at))) {
		staged = *out;
		staged.n = n;
		if (!dsat_say(d, &staged, wire_body(out), out->length))
			return 0;
	}
	return dsat_say(d, &h, NULL, 0);
}

/* Sends what was put along direct links, and keeps the rest. Of a message that came directly nothing is kept: there is no DONE it could
 * go with, so that it is emitted. 0: no memory, or nobody wants it. The lock is held. */
static int forward_outputs(dsat *d)
{
	struct wire_frame rest = {0}, all = d->outputs;
	const struct wire_header *h;
	struct road *r;
	size_t at = 0;
	void *body;
	int ok = 1;

	while (ok && (h = wire_next(all.bytes, all.size, &at))) {
		if (d->current->direct) {
			ok = dsat_emit_one(d, h->port, (enum dsat_codec)h->codec, wire_body(h), h->length, NULL) == 0;
			continue;
		}
		while ((r = dsat_road(d, h->port)) && dsat_jammed(r) && !d->over)
			pthread_cond_wait(&d->changed, &d->lock);
		if (r) {
			ok = dsat_forward(d, r, h, wire_body(h), h->length);
		} else {
			ok = (body = wire_add(&rest, h, h->length)) != NULL;
			if (ok && h->length)
				memcpy(body, wire_body(h), h->length);
		}
	}
	free(all.bytes);
	d->outputs = rest;
	return ok;
}

/* Joins a DONE without outputs to those before it: only neighbours in the order of delivery. The lock is held. */
static int acknowledge(dsat *d, uint64_t n)
{
	if (is_held(d)) /* it is nobody's neighbour */
		return dsat_close_range(d) && dsat_say(d, &(struct wire_header){.kind = WIRE_DONE, .n = n}, NULL, 0);
	if (d->done_first && d->place == d->done_place + 1 && d->message->n > d->done_last) {
		d->done_last = d->message->n;
		d->done_place = d->place;
		return 1;
	}
	if (!dsat_close_range(d))
		return 0;
	d->done_first = d->done_last = d->message->n;
	d->done_place = d->place;
	return 1;
}

static int say_failed(dsat *d, uint64_t n, int retry, const char *reason)
{
	struct wire_header h = {.kind = WIRE_FAIL, .flags = retry ? WIRE_FLAG_RETRY : 0, .n = n};

	return dsat_close_range(d) && dsat_say(d, &h, reason, strnlen(reason, 2048));
}

/* Whether the outputs in hand are of links that mean something else by now. The lock is held. */
static int misled(const dsat *d)
{
	return d->outputs.count > 0 && d->outputs_session != d->session && !dsat_same_links(d->outputs_to, d->to);
}

/* Answers the message in hand. What belongs to a session that is over, and not to the next one, is nobody's any more. */
static int answer(dsat *d, int failed, int retry, const char *reason)
{
	int ok = 1;
	uint64_t n;

	d->said[0] = 0;
	if (!d->message)
		return dsat_mishap(d, "there is no message in hand to answer");
	pthread_mutex_lock(&d->lock);
	n = d->current->direct ? 0 : number_of(d);
	if (!failed && n && misled(d)) {
		failed = retry = 1;
		reason = "the links have changed while dsatd was away";
	}
	if (!failed && (n || d->current->direct) && d->outputs.count && (dsat_paved(d) || d->current->direct)) {
		ok = forward_outputs(d);
		n = d->current->direct ? 0 : number_of(d); /* that may have taken its time */
	}
	if (d->current->direct) {
		d->direct_in_hand--;
		dsat_wake(d);
	} else if (n) {
		if (!ok)
			;
		else if (failed)
			ok = say_failed(d, n, retry, reason);
		else if (d->outputs.count)
			ok = done_with_outputs(d, n);
		else
			ok = acknowledge(d, n);
		if (--d->in_hand == 0)
			d->gone_count = 0;
		dsat_wake(d);
	}
	if (!d->current->direct) {
		d->hand_n = 0;
		d->held = (struct held){0};
	}
	pthread_mutex_unlock(&d->lock);
	wire_reset(&d->outputs);
	d->message = NULL;
	return ok ? 0 : dsat_no_memory(d);
}

int dsat_done(dsat *d) { return answer(d, 0, 0, NULL); }

int dsat_fail(dsat *d, int retry, const char *reason) { return answer(d, 1, retry, reason ? reason : ""); }

int dsat_progress(dsat *d)
{
	struct wire_header h = {.kind = WIRE_PROGRESS};
	int ok = 1;

	d->said[0] = 0;
	if (!d->message)
		return dsat_mishap(d, "there is no message in hand");
	pthread_mutex_lock(&d->lock);
	if (!d->current->direct && (h.n = known_as(d))) {
		ok = dsat_close_range(d) && dsat_say(d, &h, NULL, 0);
		dsat_wake(d);
	}
	pthread_mutex_unlock(&d->lock);
	return ok ? 0 : dsat_no_memory(d);
}

int dsat_unwanted_now(const dsat *d)
{
	int gone;

	if (!d->message || d->current->direct)
		return 0;
	if (d->current->session != d->session && !(is_held(d) && d->held.state == held_wanted))
		gone = !is_held(d) || d->held.state == held_unwanted; /* else nobody knows yet */
	else
		gone = is_gone(d, known_as(d));
	return gone;
}

int dsat_cancelled(dsat *d)
{
	int gone;

	pthread_mutex_lock(&d->lock);
	gone = dsat_unwanted_now(d);
	pthread_mutex_unlock(&d->lock);
	return gone;
}

uint64_t dsat_hop_in_hand(const dsat *d)
{
	return d->message && !d->current->direct ? known_as(d) : 0;
}
