#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	jam = 1 << 20,		/* bytes of one link that may wait for room */
	pipe_frames = 16,	/* that libzmq keeps for each other satellite, on either side */
	most_senders = 4096
};

static const int linger = dsat_patience * 1000; /* ms in which what was sent may go out after the end of its link */

struct road *dsat_road(struct dsat *d, unsigned port)
{
	struct road *r;

	for (r = d->roads; r; r = r->next)
		if (r->port == port && r->kept)
			return r;
	return NULL;
}

int dsat_jammed(const struct road *r) { return r->waiting > jam; }

int dsat_roads_empty(const struct dsat *d)
{
	const struct road *r;

	for (r = d->roads; r; r = r->next)
		if (r->full || r->filling.count)
			return 0;
	return 1;
}

int dsat_paved(const struct dsat *d)
{
	const struct road *r;

	for (r = d->roads; r; r = r->next)
		if (r->kept)
			return 1;
	return 0;
}

static struct road *build(struct dsat *d, uint16_t port)
{
	struct road *r = dsat_road(d, port);

	if (r || !(r = calloc(1, sizeof *r)))
		return r;
	r->port = port;
	r->kept = 1;
	r->full_last = &r->full;
	r->next = d->roads;
	d->roads = r;
	return r;
}

static struct line *string_line(struct dsat *d, struct road *r, void *context, const char *endpoint)
{
	int hwm = pipe_frames, one = 1;
	struct line *l;

	for (l = r->lines; l; l = l->next)
		if (strcmp(l->endpoint, endpoint) == 0)
			return l;
	if (!(l = calloc(1, sizeof *l)) || !(l->endpoint = strdup(endpoint)) || !(l->push = zmq_socket(context, ZMQ_PUSH))) {
		if (l)
			free(l->endpoint);
		free(l);
		return NULL;
	}
	l->number = ++d->lines_made;
	zmq_setsockopt(l->push, ZMQ_SNDHWM, &hwm, sizeof hwm);
	zmq_setsockopt(l->push, ZMQ_LINGER, &linger, sizeof linger);
	zmq_setsockopt(l->push, ZMQ_IMMEDIATE, &one, sizeof one);
	zmq_connect(l->push, endpoint); /* a name that is wrong is one that nobody is at */
	l->next = r->lines;
	r->lines = l;
	return l;
}

static void cut(struct line *l)
{
	if (l->push)
		zmq_close(l->push); /* what it has goes out: the linger */
	free(l->endpoint);
	free(l);
}

/* Closes what the newest table does not name. A link keeps what nobody was sent, and its counts: it may come back. */
static void clear_away(struct dsat *d)
{
	struct road *r;

	for (r = d->roads; r; r = r->next) {
		struct line **pl = &r->lines, *l;
		while ((l = *pl)) {
			if (l->kept && r->kept) {
				pl = &l->next;
				continue;
			}
			*pl = l->next;
			cut(l);
		}
	}
}

/* Moves the messages of a frame into EMITs; 1: all of them, 0: the window is used up, below 0: no memory. */
static int reload(struct dsat *d, const struct road *r, struct parcel *p)
{
	const struct wire_header *h;
	size_t at = p->taken;

	while ((h = wire_next(p->frame.bytes, p->frame.size, &at))) {
		struct wire_header head = {.kind = WIRE_EMIT, .port = r->port, .codec = h->codec};
		if (!dsat_open_for(d, h->length))
			return 0;
		if (!dsat_append(d, &head, wire_body(h), h->length))
			return -1;
		p->taken = at;
	}
	return 1;
}

int dsat_detour(struct dsat *d)
{
	struct road *r;
	struct parcel *p;
	int any = 0, left = 0;

	for (r = d->roads; r; r = r->next) {
		if (r->kept || (!r->full && !r->filling.count))
			continue;
		if (r->filling.count) {
			if (!(p = dsat_pack(&r->filling, &r->full_last)))
				return 0;
			r->waiting += p->frame.size;
		}
		while ((p = r->full) && (left = reload(d, r, p)) > 0) {
			if (!(r->full = p->next))
				r->full_last = &r->full;
			r->waiting -= p->frame.size;
			p->next = NULL;
			dsat_free_parcels(p);
		}
		if (left < 0)
			return 0;
		any = 1;
	}
	if (any)
		pthread_cond_broadcast(&d->changed); /* who emits along such a link waits behind them */
	return 1;
}

int dsat_detoured(const struct dsat *d, unsigned port)
{
	const struct road *r;

	for (r = d->roads; r; r = r->next)
		if (!r->kept && r->port == port && (r->full || r->filling.count))
			return 1;
	return 0;
}

void dsat_begin_tallies(struct dsat *d)
{
	struct road *r;
	struct line *l;

	for (r = d->roads; r; r = r->next) {
		r->sent = r->kept ? r->sent - r->told : 0; /* of a link that is not, nobody can be told */
		r->bytes = r->told = 0;
		for (l = r->lines; l; l = l->next) {
			l->number = ++d->lines_made;
			l->sent = 0;
		}
	}
	d->received -= d->told - d->told_missed;
	d->missed -= d->told_missed;
	d->told = d->told_missed = 0;
}

int dsat_pave(struct dsat *d, void *context, json_strings direct)
{
	unsigned port, origin;
	struct road *r;
	struct line *l;
	int at;

	for (r = d->roads; r; r = r->next) {
		r->kept = 0;
		for (l = r->lines; l; l = l->next)
			l->kept = 0;
	}
	for (; *direct; direct++) { /* "PORT ORIGIN ENDPOINT" */
		if (sscanf(*direct, "%u %u %n", &port, &origin, &at) != 2 || port >= WIRE_ALL_LINKS)
			continue;
		for (r = d->roads; r; r = r->next)
			if (r->port == port)
				r->kept = 1;
		if (!(r = build(d, (uint16_t)port)) || !(l = string_line(d, r, context, *direct + at)))
			return 0;
		r->origin = (uint16_t)origin;
		l->kept = 1;
	}
	clear_away(d);
	return 1;
}

int dsat_forward(struct dsat *d, struct road *r, const struct wire_header *h, const void *body, size_t n)
{
	struct wire_header head = {.kind = WIRE_EMIT, .port = r->origin, .epoch = d->epoch, .codec = h->codec, .id = d->id};
	struct parcel *p;
	void *to;

	if (!wire_fits(&r->filling, n)) {
		if (!(p = dsat_pack(&r->filling, &r->full_last)))
			return 0;
		r->waiting += p->frame.size;
	}
	if (!(to = wire_add(&r->filling, &head, n)))
		return 0;
	if (n)
		memcpy(to, body, n);
	return 1;
}

/* Numbers the messages of a frame for one receiver, which finds by the numbers whether some are missing. */
static void number(struct wire_frame *f, const struct road *r, const struct line *l, const struct dsat *d, uint64_t *bytes)
{
	struct wire_header *h;
	uint64_t last = l->sent;
	size_t at = 0;

	*bytes = 0;
	while ((h = (struct wire_header *)wire_next(f->bytes, f->size, &at))) {
		h->n = ++last;
		h->m = l->number;
		h->port = r->origin;
		h->epoch = d->epoch;
		h->id = d->id;
		*bytes += h->length;
	}
}

/* Sends a frame to one of those at the end of the link, in turn; 0: none of them has room. The lock is not held. */
static int send_one(struct dsat *d, struct road *r, struct parcel *p)
{
	struct line *first = r->lines, *l;
	uint64_t bytes;

	for (l = first; l; l = l->next) {
		number(&p->frame, r, l, d, &bytes);
		if (zmq_send(l->push, p->frame.bytes, p->frame.size, ZMQ_DONTWAIT) < 0)
			continue;
		l->sent += p->frame.count;
		r->sent += p->frame.count;
		r->bytes += bytes;
		/* The next frame goes to the next one. */
		if (l == first && l->next) {
			struct line *last = l;
			r->lines = l->next;
			while (last->next)
				last = last->next;
			last->next = l;
			l->next = NULL;
		}
		return 1;
	}
	return 0;
}

int dsat_travel(struct dsat *d)
{
	struct road *r;
	struct parcel *p;
	int sent;

	pthread_mutex_lock(&d->lock);
	for (r = d->roads; r; r = r->next) {
		if (!r->kept)
			continue;
		if (r->filling.count && !r->full) { /* nothing waits before it: it goes at once, as short as it is */
			if (!(p = dsat_pack(&r->filling, &r->full_last))) {
				pthread_mutex_unlock(&d->lock);
				return 0;
			}
			r->waiting += p->frame.size;
		}
		while ((p = r->full)) {
			pthread_mutex_unlock(&d->lock); /* only this thread takes from the list */
			sent = send_one(d, r, p);
			pthread_mutex_lock(&d->lock);
			if (!sent)
				break;
			if (!(r->full = p->next))
				r->full_last = &r->full;
			r->waiting -= p->frame.size;
			p->next = NULL;
			dsat_free_parcels(p);
			pthread_cond_broadcast(&d->changed);
		}
	}
	pthread_mutex_unlock(&d->lock);
	return 1;
}

int dsat_outlets(const struct dsat *d, zmq_pollitem_t *items, int most)
{
	const struct road *r;
	const struct line *l;
	int n = 0;

	for (r = d->roads; r; r = r->next)
		for (l = r->kept && r->full ? r->lines : NULL; l && n < most; l = l->next)
			items[n++] = (zmq_pollitem_t){l->push, 0, ZMQ_POLLOUT, 0};
	return n;
}

void dsat_demolish(struct dsat *d)
{
	struct road *r;

	while ((r = d->roads)) {
		struct line *l;
		d->roads = r->next;
		while ((l = r->lines)) {
			r->lines = l->next;
			cut(l);
		}
		dsat_free_parcels(r->full);
		free(r->filling.bytes);
		free(r);
	}
	free(d->senders);
	d->senders = NULL;
	d->sender_count = 0;
}

/* Where a sender is; a new one is begun. NULL: no memory, or there are too many. */
static struct sender *sender_of(struct dsat *d, const struct wire_header *h)
{
	struct sender *more;
	size_t i;

	for (i = d->sender_count; i-- > 0;)
		if (d->senders[i].id == h->id && d->senders[i].number == h->m && d->senders[i].epoch == h->epoch)
			return &d->senders[i];
	if (d->sender_count == most_senders) { /* the oldest half is of lives that are over */
		memmove(d->senders, d->senders + most_senders / 2, most_senders / 2 * sizeof *d->senders);
		d->sender_count = most_senders / 2;
	}
	if (!(more = realloc(d->senders, (d->sender_count + 1) * sizeof *more)))
		return NULL;
	d->senders = more;
	more[d->sender_count] = (struct sender){h->epoch, h->id, h->m, 0};
	return &more[d->sender_count++];
}

int dsat_admit(struct dsat *d, zmq_msg_t *frame)
{
	const uint8_t *bytes = zmq_msg_data(frame);
	size_t size = zmq_msg_size(frame), at = 0, count = 0;
	const struct wire_header *h, *last = NULL;
	struct sender *s = NULL;
	struct timespec now;
	struct arrival *a;

	if (wire_check(bytes, size)) { /* whoever it was, he is no satellite */
		zmq_msg_close(frame);
		return 1;
	}
	while ((h = wire_next(bytes, size, &at))) {
		if (h->kind != WIRE_EMIT)
			continue;
		if (!s && !(s = sender_of(d, h)))
			break;
		if (h->n > s->last + 1)
			d->missed += h->n - s->last - 1;
		s->last = h->n;
		last = h;
		count++;
	}
	if (!last || !(a = calloc(1, sizeof *a))) {
		zmq_msg_close(frame);
		return last == NULL && s != NULL;
	}
	zmq_msg_init(&a->frame);
	zmq_msg_move(&a->frame, frame);
	zmq_msg_close(frame);
	a->direct = 1;
	a->from = d->from;
	a->session = d->session;
	clock_gettime(CLOCK_REALTIME, &now);
	a->came = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	d->direct_bytes += size;
	d->direct_in_hand += count;
	d->received += count;
	*d->last = a;
	d->last = &a->next;
	return 1;
}

int dsat_tally(struct dsat *d)
{
	struct wire_header h = {.kind = WIRE_TALLY};
	struct road *r;

	for (r = d->roads; r; r = r->next) {
		if (r->told == r->sent)
			continue;
		h.port = r->port;
		h.n = r->sent;
		h.m = r->bytes;
		if (!dsat_close_range(d) || !dsat_say(d, &h, NULL, 0))
			return 0;
		r->told = r->sent;
	}
	if (d->told == d->received + d->missed)
		return 1;
	h = (struct wire_header){.kind = WIRE_TALLY, .flags = WIRE_FLAG_RECEIVED, .n = d->received, .m = d->missed};
	if (!dsat_close_range(d) || !dsat_say(d, &h, NULL, 0))
		return 0;
	d->told = d->received + d->missed;
	d->told_missed = d->missed;
	return 1;
}
