#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* Lets go what came by the daemon; what other satellites have sent is nobody else's. The lock is held. */
static void forget_arrivals(struct dsat *d)
{
	struct arrival **pa = &d->first, *a;

	while ((a = *pa)) {
		if (a->direct) {
			pa = &a->next;
			continue;
		}
		*pa = a->next;
		a->next = NULL;
		dsat_free_arrivals(a);
	}
	d->last = pa;
}

/* The session is over: what was not begun is given to others. The lock is held. */
void dsat_lose(struct end *e)
{
	struct dsat *d = e->d;

	if (e->alone < 0)
		e->alone = dsat_now_ms();
	d->welcome = 0;
	d->session++;
	if (d->hand_n && d->held.n == 0) {
		d->held.n = d->hand_n;
		d->held.epoch = (uint32_t)d->hand_epoch;
	}
	if (d->held.state != held_unwanted)
		d->held.state = held_asked;
	dsat_end_call(d, DSAT_DISCONNECTED, "the session with dsatd is over", 30);
	d->called = 0;
	d->delivered = 0;
	d->in_hand = 0;
	d->gone_count = 0;
	forget_arrivals(d);
	if (dsat_close_range(d) && d->answers.count)
		dsat_pack(&d->answers, &d->full_last); /* or they are forgotten */
	wire_reset(&d->answers);
	dsat_keep_spoken(d, d->full);
	d->full = NULL;
	d->full_last = &d->full;
}

int dsat_transmit(struct end *e, struct wire_frame *f)
{
	return zmq_send(e->socket, f->bytes, f->size, ZMQ_DONTWAIT) >= 0;
}

/* Says HELLO on a new connection, or because dsatd does not know the old one. The lock is held. */
void dsat_greet(struct end *e)
{
	struct dsat *d = e->d;
	struct wire_frame f = {0};
	struct wire_header h = {.kind = WIRE_HELLO};
	char *holds, *body;
	size_t room;
	void *to = NULL;
	int n = 0;

	dsat_lose(e);
	holds = dsat_holds(d);
	room = 2048 + (holds ? strlen(holds) : 0);
	body = malloc(room);
	if (body && holds)
		n = snprintf(body, room,
		"{\"step\":\"%s\",\"wid\":%d,\"incarnation\":\"%llu\",\"token\":\"%s\",\"pid\":%ld,\"concurrency\":1,\"source\":%s,\"sdk\":\"c-1\",\"direct\":true,\"holds\":[%s],\"accepted\":%llu}",
		d->name, d->wid, (unsigned long long)d->incarnation, d->token, (long)getpid(), d->role == DSAT_SOURCE ? "true" : "false",
		holds, (unsigned long long)d->accepted);
	if (n > 0 && (to = wire_add(&f, &h, (size_t)n))) {
		memcpy(to, body, (size_t)n);
		wire_seal(&f);
		dsat_transmit(e, &f); /* without a connection its end is reported */
	} else {
		dsat_out_of_memory(d);
	}
	free(f.bytes);
	free(body);
	free(holds);
}

/* Lets other satellites send to us, and says where. The lock is held. */
static void listen_directly(struct end *e)
{
	struct dsat *d = e->d;
	const char *dir = getenv("DSAT_DIRECT");

	if (!d->take || !dir || d->role != DSAT_WORKER || (!e->pull && !dsat_bind_directly(e, dir)))
		return; /* all goes by the daemon then */
	if (!dsat_close_range(d) || !dsat_say(d, &(struct wire_header){.kind = WIRE_LISTEN}, e->endpoint, strlen(e->endpoint)))
		dsat_out_of_memory(d);
}

/* Replaces the lists of links by those of WELCOME or ROUTES; the old ones may be in use by the caller. 0: no memory. The lock is held. */
static int relink(struct end *e, const char *text, size_t n)
{
	struct dsat *d = e->d;
	json_strings lists[3] = {json_list(text, n, "routes"), json_list(text, n, "from"), json_list(text, n, "direct")};
	json_strings *places[2] = {&d->to, &d->from};
	int i, ok = lists[0] && lists[1] && lists[2];

	for (i = 0; i < 2 && ok; i++) {
		struct old_links *old = calloc(1, sizeof *old);
		if (!(ok = old != NULL))
			break;
		old->links = *places[i];
		old->next = d->old;
		d->old = old;
		*places[i] = lists[i];
		lists[i] = NULL;
	}
	free(d->callees);
	ok = (d->callees = json_list(text, n, "calls")) && ok;
	ok = ok && dsat_pave(d, e->context, lists[2]);
	for (i = 0; i < 3; i++)
		free(lists[i]);
	d->take = json_true(text, n, "take");
	if (!ok)
		dsat_out_of_memory(d);
	return ok;
}

/* What is not accepted is sent again, under the new epoch. The lock is held. */
static void resend(struct dsat *d)
{
	struct parcel *p;

	if (!dsat_seal_emits(d)) {
		dsat_out_of_memory(d);
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
	json_strings before = d->to;
	int64_t max_body;

	if (!json_object(text, h->length)) {
		dsat_end_with(d, "cannot understand WELCOME: it is no JSON object");
		return;
	}
	if (!relink(e, text, h->length))
		return;
	d->id = (uint64_t)json_number(text, h->length, "session", 0);
	d->epoch = (uint32_t)json_number(text, h->length, "epoch", 0);
	d->window_messages = (uint64_t)json_number(text, h->length, "emit_messages", 0);
	d->window_bytes = (uint64_t)json_number(text, h->length, "emit_bytes", 0);
	max_body = json_number(text, h->length, "max_body", 0);
	d->max_body = max_body > 0 && max_body < WIRE_MAX_BODY ? (size_t)max_body : WIRE_MAX_BODY;
	accept_up_to(d, (uint64_t)json_number(text, h->length, "accepted", 0));
	resend(d);
	if (!dsat_go_on(d, text, h->length, before)) {
		dsat_out_of_memory(d);
		return;
	}
	dsat_begin_tallies(d);
	d->welcome = 1;
	d->bye = 0;
	e->alone = -1;
	listen_directly(e);
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
			dsat_greet(e);
		return;
	}
	snprintf(text, sizeof text, "dsatd ended the session: %.*s (code %llu)", (int)(h->length < 120 ? h->length : 120),
		(const char *)wire_body(h), (unsigned long long)h->n);
	dsat_end_with(e->d, text);
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
		if (json_object(wire_body(h), h->length) && relink(e, wire_body(h), h->length))
			listen_directly(e);
		break;
	case WIRE_REPLY:
		if (!dsat_replied(d, h))
			dsat_out_of_memory(d);
		break;
	case WIRE_DRAIN:
		d->draining = 1;
		e->heard = dsat_now_ms(); /* who was told of us may be connecting still */
		break;
	case WIRE_PING:
		if (!dsat_close_range(d) || !dsat_say(d, &(struct wire_header){.kind = WIRE_PONG, .n = h->n}, NULL, 0))
			dsat_out_of_memory(d);
		break;
	case WIRE_BYE:
		d->over |= d->bye && (d->stopping || (d->finished && !d->draining));
		d->welcome = 0;
		e->alone = dsat_now_ms(); /* drained: the signal is to follow */
		break;
	default:
		break;
	}
}

/* Takes one frame: control is done at once, a frame with DATA waits for the caller. The lock is held; the frame is the function's. */
void dsat_take(struct end *e, zmq_msg_t *frame)
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
		dsat_end_with(d, text);
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
			dsat_out_of_memory(d);
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
