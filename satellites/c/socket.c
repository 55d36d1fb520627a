#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What only the thread uses. */
struct end {
	struct dsat *d;
	void *context, *socket, *monitor;
	int64_t alone;		/* since when there is no session, ms of CLOCK_MONOTONIC; -1: there is one */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Why the session cannot go on. The lock is held. */
static void end_with(struct dsat *d, const char *text)
{
	if (!*d->fault)
		snprintf(d->fault, sizeof d->fault, "%s", text);
	d->over = 1;
}

static void out_of_memory(struct dsat *d) { end_with(d, "cannot go on: no memory is left"); }

void dsat_wake(struct dsat *d)
{
	uint64_t one = 1;

	if (d->asleep) {
		d->asleep = 0;
		(void)!write(d->wake, &one, sizeof one); /* when it is full the thread is to be woken already */
	}
}

void dsat_free_arrivals(struct arrival *a)
{
	while (a) {
		struct arrival *next = a->next;
		zmq_msg_close(&a->frame);
		free(a);
		a = next;
	}
}

void dsat_free_parcels(struct parcel *p)
{
	while (p) {
		struct parcel *next = p->next;
		free(p->frame.bytes);
		free(p);
		p = next;
	}
}

/* Moves what is in a frame to the end of a list. */
static struct parcel *pack(struct wire_frame *f, struct parcel ***last)
{
	struct parcel *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	wire_seal(f);
	p->frame = *f;
	memset(f, 0, sizeof *f);
	**last = p;
	*last = &p->next;
	return p;
}

int dsat_say(struct dsat *d, const struct wire_header *h, const void *body, size_t n)
{
	struct wire_header head = *h;
	void *to;

	head.epoch = d->epoch;
	if (!wire_fits(&d->answers, n) && !pack(&d->answers, &d->full_last))
		return 0;
	if (!(to = wire_add(&d->answers, &head, n)))
		return 0;
	if (n)
		memcpy(to, body, n);
	return 1;
}

int dsat_close_range(struct dsat *d)
{
	struct wire_header h = {.kind = WIRE_DONE, .n = d->done_first};

	if (!d->done_first)
		return 1;
	if (d->done_last > d->done_first)
		h.m = d->done_last;
	d->done_first = 0;
	return dsat_say(d, &h, NULL, 0);
}

int dsat_seal_emits(struct dsat *d)
{
	struct parcel *p;

	if (d->emits.count == 0)
		return 1;
	if (!(p = pack(&d->emits, &d->kept_last)))
		return 0;
	p->last = d->emitted;
	if (!d->unsent)
		d->unsent = p;
	return 1;
}

/* Takes note that all EMITs up to n are accepted. The lock is held. */
static void accept_up_to(struct dsat *d, uint64_t n)
{
	struct parcel *p;

	while ((p = d->kept)) {
		const struct wire_header *h;
		size_t at = p->taken;
		while ((h = wire_next(p->frame.bytes, p->frame.size, &at)) && h->n <= n) {
			d->unaccepted_bytes -= h->length;
			d->accepted = h->n;
			p->taken = at;
		}
		if (d->accepted < p->last)
			return;
		if (d->unsent == p)
			d->unsent = p->next;
		if (!(d->kept = p->next))
			d->kept_last = &d->kept;
		p->next = NULL;
		dsat_free_parcels(p);
	}
}

/* The session is over: what was not begun is given to others. The lock is held. */
static void lose(struct end *e)
{
	struct dsat *d = e->d;

	if (e->alone < 0)
		e->alone = now_ms();
	d->welcome = 0;
	d->session++;
	d->delivered = 0;
	d->in_hand = 0;
	d->gone_count = 0;
	d->done_first = 0;
	dsat_free_arrivals(d->first);
	d->first = NULL;
	d->last = &d->first;
	dsat_free_parcels(d->full);
	d->full = NULL;
	d->full_last = &d->full;
	wire_reset(&d->answers);
}

static int transmit(struct end *e, struct wire_frame *f)
{
	return zmq_send(e->socket, f->bytes, f->size, ZMQ_DONTWAIT) >= 0;
}

/* Says HELLO on a new connection, or because dsatd does not know the old one. The lock is held. */
static void greet(struct end *e)
{
	struct dsat *d = e->d;
	struct wire_frame f = {0};
	struct wire_header h = {.kind = WIRE_HELLO};
	char body[2048];
	int n;

	lose(e);
	n = snprintf(body, sizeof body,
		"{\"step\":\"%s\",\"wid\":%d,\"incarnation\":\"%llu\",\"token\":\"%s\",\"pid\":%ld,\"concurrency\":1,\"source\":%s,\"sdk\":\"c-1\",\"accepted\":%llu}",
		d->name, d->wid, (unsigned long long)d->incarnation, d->token, (long)getpid(), d->role == DSAT_SOURCE ? "true" : "false",
		(unsigned long long)d->accepted);
	void *to = wire_add(&f, &h, (size_t)n);
	if (to) {
		memcpy(to, body, (size_t)n);
		wire_seal(&f);
		transmit(e, &f); /* without a connection its end is reported */
	} else {
		out_of_memory(d);
	}
	free(f.bytes);
}

/* Replaces the lists of links; the old ones may be in use by the caller. The lock is held. */
static int relink(struct dsat *d, const char *text, size_t n)
{
	json_strings lists[2] = {json_list(text, n, "routes"), json_list(text, n, "from")};
	json_strings *places[2] = {&d->to, &d->from};
	int i;

	for (i = 0; i < 2; i++) {
		struct old_links *old = calloc(1, sizeof *old);
		if (!old || !lists[i]) {
			free(old);
			free(lists[i]);
			out_of_memory(d);
			return 0;
		}
		old->links = *places[i];
		old->next = d->old;
		d->old = old;
		*places[i] = lists[i];
	}
	return 1;
}

/* What is not accepted is sent again, under the new epoch. The lock is held. */
static void resend(struct dsat *d)
{
	struct parcel *p;

	if (!dsat_seal_emits(d)) {
		out_of_memory(d);
		return;
	}
	for (p = d->kept; p; p = p->next) {
		size_t at = 0;
		struct wire_header *h;
		while ((h = (struct wire_header *)wire_next(p->frame.bytes, p->frame.size, &at)))
			h->epoch = d->epoch;
	}
	d->unsent = d->kept;
}

static void welcomed(struct end *e, const struct wire_header *h)
{
	struct dsat *d = e->d;
	const char *text = wire_body(h);
	int64_t max_body;

	if (!json_object(text, h->length)) {
		end_with(d, "cannot understand WELCOME: it is no JSON object");
		return;
	}
	if (!relink(d, text, h->length))
		return;
	d->epoch = (uint32_t)json_number(text, h->length, "epoch", 0);
	d->window_messages = (uint64_t)json_number(text, h->length, "emit_messages", 0);
	d->window_bytes = (uint64_t)json_number(text, h->length, "emit_bytes", 0);
	max_body = json_number(text, h->length, "max_body", 0);
	d->max_body = max_body > 0 && max_body < WIRE_MAX_BODY ? (size_t)max_body : WIRE_MAX_BODY;
	accept_up_to(d, (uint64_t)json_number(text, h->length, "accepted", 0));
	resend(d);
	d->welcome = 1;
	d->bye = 0;
	e->alone = -1;
}

static void cancelled(struct dsat *d, uint64_t n)
{
	if (d->gone_count == d->gone_room) {
		size_t room = d->gone_room ? d->gone_room * 2 : 64;
		uint64_t *more = realloc(d->gone, room * sizeof *more);
		if (!more)
			return; /* it is handled for nothing */
		d->gone = more;
		d->gone_room = room;
	}
	d->gone[d->gone_count++] = n;
}

static void refused(struct end *e, const struct wire_header *h)
{
	char text[200];

	if (h->n == WIRE_HELLO_AGAIN) {
		if (e->d->welcome) /* else HELLO is under way already */
			greet(e);
		return;
	}
	snprintf(text, sizeof text, "dsatd ended the session: %.*s (code %llu)", (int)(h->length < 120 ? h->length : 120),
		(const char *)wire_body(h), (unsigned long long)h->n);
	end_with(e->d, text);
}

/* One record that is no DATA. The lock is held. */
static void control(struct end *e, const struct wire_header *h)
{
	struct dsat *d = e->d;

	if (h->kind == WIRE_WELCOME) {
		welcomed(e, h);
		return;
	}
	if (h->kind == WIRE_ERROR) {
		refused(e, h);
		return;
	}
	if (!d->welcome)
		return;
	switch (h->kind) {
	case WIRE_CREDIT:
		d->window_messages = h->n;
		d->window_bytes = h->m;
		break;
	case WIRE_ACCEPTED:
		accept_up_to(d, h->n);
		break;
	case WIRE_CANCEL:
		cancelled(d, h->n);
		break;
	case WIRE_ROUTES:
		if (json_object(wire_body(h), h->length))
			relink(d, wire_body(h), h->length);
		break;
	case WIRE_DRAIN:
		d->draining = 1;
		break;
	case WIRE_PING:
		if (!dsat_close_range(d) || !dsat_say(d, &(struct wire_header){.kind = WIRE_PONG, .n = h->n}, NULL, 0))
			out_of_memory(d);
		break;
	case WIRE_BYE:
		d->over |= d->bye && (d->stopping || (d->finished && !d->draining));
		d->welcome = 0;
		e->alone = now_ms(); /* drained: the signal is to follow */
		break;
	default:
		break;
	}
}

/* Takes one frame: control is done at once, a frame with DATA waits for the caller. The lock is held; the frame is the function's. */
static void take(struct end *e, zmq_msg_t *frame)
{
	struct dsat *d = e->d;
	const uint8_t *bytes = zmq_msg_data(frame);
	size_t size = zmq_msg_size(frame), at = 0, data = 0;
	const char *wrong = wire_check(bytes, size);
	const struct wire_header *h;
	struct arrival *a;

	if (wrong) {
		char text[160];
		snprintf(text, sizeof text, "cannot understand dsatd: a frame that is wrong: %s", wrong);
		end_with(d, text);
		zmq_msg_close(frame);
		return;
	}
	while ((h = wire_next(bytes, size, &at))) {
		if (h->kind != WIRE_DATA)
			control(e, h);
		else if (d->welcome && !d->bye)
			data++;
	}
	if (data == 0 || !(a = calloc(1, sizeof *a))) {
		if (data)
			out_of_memory(d);
		zmq_msg_close(frame);
		return;
	}
	zmq_msg_init(&a->frame);
	zmq_msg_move(&a->frame, frame);
	zmq_msg_close(frame);
	a->from = d->from;
	a->session = d->session;
	a->place = d->delivered + 1;
	d->delivered += data;
	d->in_hand += data;
	*d->last = a;
	d->last = &a->next;
}

static void receive(struct end *e)
{
	for (;;) {
		zmq_msg_t frame;
		zmq_msg_init(&frame);
		if (zmq_msg_recv(&frame, e->socket, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&frame);
			return;
		}
		pthread_mutex_lock(&e->d->lock);
		take(e, &frame);
		pthread_cond_broadcast(&e->d->changed);
		pthread_mutex_unlock(&e->d->lock);
	}
}

/* BYE, when there is nothing left to say before it. The lock is held. */
static void leave(struct dsat *d)
{
	int done;

	if (!d->welcome || d->bye)
		return;
	if (d->role == DSAT_SOURCE)
		done = (d->finished || d->stopping || d->draining) && d->accepted == d->emitted;
	else
		done = (d->draining || d->stopping) && d->in_hand == 0;
	if (d->role == DSAT_WORKER && d->stopping && !done && !d->draining) {
		d->draining = 1; /* asks for no more, once */
		if (!dsat_close_range(d) || !dsat_say(d, &(struct wire_header){.kind = WIRE_CREDIT}, NULL, 0))
			out_of_memory(d);
	}
	if (done) {
		d->bye = 1;
		if (!dsat_close_range(d) || !dsat_say(d, &(struct wire_header){.kind = WIRE_BYE}, NULL, 0))
			out_of_memory(d);
	}
}

/* Sends all there is; 0: nothing was there, and the thread may sleep. */
static int dispatch(struct end *e)
{
	struct dsat *d = e->d;
	struct parcel *answers, *p;
	int any = 0;

	pthread_mutex_lock(&d->lock);
	if (d->welcome) {
		if (!dsat_close_range(d) || !dsat_seal_emits(d))
			out_of_memory(d);
		for (; (p = d->unsent); any = 1) {
			d->unsent = p->next; /* nobody but this thread frees it */
			pthread_mutex_unlock(&d->lock);
			transmit(e, &p->frame);
			pthread_mutex_lock(&d->lock);
		}
		leave(d);
		if (d->answers.count && !pack(&d->answers, &d->full_last))
			out_of_memory(d);
	}
	answers = d->full;
	d->full = NULL;
	d->full_last = &d->full;
	any |= answers != NULL;
	d->asleep = !any;
	pthread_mutex_unlock(&d->lock);
	for (p = answers; p; p = p->next)
		transmit(e, &p->frame);
	dsat_free_parcels(answers);
	return any;
}

static void connection(struct end *e)
{
	zmq_msg_t event;
	uint16_t what;

	zmq_msg_init(&event);
	if (zmq_msg_recv(&event, e->monitor, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&event);
		return;
	}
	memcpy(&what, zmq_msg_data(&event), sizeof what);
	while (zmq_msg_more(&event))
		zmq_msg_recv(&event, e->monitor, 0);
	zmq_msg_close(&event);
	pthread_mutex_lock(&e->d->lock);
	if (what == ZMQ_EVENT_DISCONNECTED)
		lose(e);
	else
		greet(e);
	pthread_cond_broadcast(&e->d->changed);
	pthread_mutex_unlock(&e->d->lock);
}

static int set(void *socket, int option, int value) { return zmq_setsockopt(socket, option, &value, sizeof value); }

static int connect_to(struct end *e)
{
	char monitor[64];

	e->context = zmq_ctx_new();
	e->socket = e->context ? zmq_socket(e->context, ZMQ_DEALER) : NULL;
	if (!e->socket)
		return 0;
	snprintf(monitor, sizeof monitor, "inproc://dsat-%p", (void *)e);
	if (set(e->socket, ZMQ_LINGER, 0) | set(e->socket, ZMQ_SNDHWM, 0) | set(e->socket, ZMQ_RCVHWM, 0) | set(e->socket, ZMQ_IMMEDIATE, 1) |
	    set(e->socket, ZMQ_RECONNECT_IVL, 20) | set(e->socket, ZMQ_RECONNECT_IVL_MAX, 500) |
	    zmq_socket_monitor(e->socket, monitor, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED))
		return 0;
	e->monitor = zmq_socket(e->context, ZMQ_PAIR);
	return e->monitor && zmq_connect(e->monitor, monitor) == 0 && zmq_connect(e->socket, e->d->bus) == 0;
}

static void disconnect(struct end *e)
{
	if (e->monitor)
		zmq_close(e->monitor);
	if (e->socket) {
		set(e->socket, ZMQ_LINGER, 1000); /* BYE and what came before it */
		zmq_close(e->socket);
	}
	while (e->context && zmq_ctx_term(e->context) != 0 && errno == EINTR)
		;
}

/* How long the thread may wait for a session; below 0: it has one. It ends what has waited too long. */
static long patience(struct end *e)
{
	struct dsat *d = e->d;
	int64_t left;

	if (e->alone < 0)
		return -1;
	left = e->alone + dsat_patience * 1000 - now_ms();
	if (left > 0)
		return (long)left + 1;
	pthread_mutex_lock(&d->lock);
	if (d->bye)
		d->over = 1;
	else
		end_with(d, "cannot go on: dsatd was away for 30 s");
	pthread_mutex_unlock(&d->lock);
	return 0;
}

/* Whether the caller has gone, and nothing can be said for it any more. The lock is held. */
static int abandoned(const struct dsat *d)
{
	if (d->finished && d->role == DSAT_WORKER && d->in_hand)
		return 1;
	return (d->stopping || d->finished) && !d->welcome && (d->role == DSAT_WORKER || d->bye || d->accepted == d->emitted || d->stopping);
}

void *dsat_thread(void *session)
{
	struct end e = {.d = session, .alone = now_ms()};
	struct dsat *d = session;
	uint64_t woken;
	int over = 0, busy;

	if (!connect_to(&e)) {
		pthread_mutex_lock(&d->lock);
		end_with(d, "cannot reach dsatd: no socket can be made");
		pthread_mutex_unlock(&d->lock);
	}
	while (!over && e.monitor) {
		zmq_pollitem_t items[3] = {{e.socket, 0, ZMQ_POLLIN, 0}, {e.monitor, 0, ZMQ_POLLIN, 0}, {NULL, d->wake, ZMQ_POLLIN, 0}};
		busy = dispatch(&e);
		if (zmq_poll(items, 3, busy ? 0 : patience(&e)) > 0) {
			if (items[1].revents)
				connection(&e);
			if (items[2].revents && read(d->wake, &woken, sizeof woken) < 0)
				continue;
			if (items[0].revents)
				receive(&e);
		}
		pthread_mutex_lock(&d->lock);
		if (d->stopping)
			pthread_cond_broadcast(&d->changed); /* a source may wait for room */
		d->over |= abandoned(d);
		over = d->over;
		pthread_mutex_unlock(&d->lock);
	}
	disconnect(&e);
	pthread_mutex_lock(&d->lock);
	d->over = 1;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}
