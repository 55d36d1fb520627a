#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The port of a link; -1: there is none. The lock is held. */
int dsat_port(dsat *d, const char *link)
{
	int i;

	if (!link)
		return WIRE_ALL_LINKS;
	for (i = 0; *link && d->to && d->to[i]; i++)
		if (strcmp(d->to[i], link) == 0)
			return i;
	snprintf(d->said, sizeof d->said, "there is no link to \"%.63s\"", link);
	return -1;
}

/* The name of a link, or NULL: there are not so many. The table may change while the caller waits. The lock is held. */
const char *dsat_link(const dsat *d, int i)
{
	int k;

	for (k = 0; d->to && d->to[k]; k++)
		if (k == i)
			return d->to[k];
	return NULL;
}

int dsat_fits(dsat *d, size_t size)
{
	if (size <= d->max_body)
		return 1;
	snprintf(d->said, sizeof d->said, "cannot send %zu bytes: a payload may have %zu", size, d->max_body);
	return 0;
}

int dsat_open_for(const dsat *d, size_t size)
{
	uint64_t waiting = d->emitted - d->accepted;

	if (!d->welcome || d->window_messages == 0 || d->window_bytes == 0)
		return 0;
	return waiting == 0 || (waiting < d->window_messages && d->unaccepted_bytes + size <= d->window_bytes);
}

int dsat_append(dsat *d, const struct wire_header *head, const void *payload, size_t size)
{
	struct wire_header h = *head;
	void *body;

	h.n = d->emitted + 1;
	h.epoch = d->epoch;
	if ((!wire_fits(&d->emits, size) && !dsat_seal_emits(d)) || !(body = wire_add(&d->emits, &h, size)))
		return 0;
	if (size)
		memcpy(body, payload, size);
	d->emitted++;
	d->unaccepted_bytes += size;
	return 1;
}

static uint64_t milliseconds(int64_t ms) { return ms < 0 ? 0 : ms > UINT32_MAX ? UINT32_MAX : (uint64_t)ms; }

static void wish(struct wire_header *h, const dsat_wishes *w)
{
	h->id = w->id;
	h->m = milliseconds(w->ttl) << 32 | milliseconds(w->delay);
	h->flags = (uint8_t)(w->priority < 0 ? 0 : w->priority > 9 ? 9 : w->priority);
}

static int unwanted(const dsat *d) { return d->stopping || d->draining || d->over; }

/* Whether an EMIT along a link may be appended. What was to go there directly, and cannot any more, goes before it. The lock is held. */
static int may_emit(const dsat *d, unsigned port, size_t size) { return dsat_open_for(d, size) && !dsat_detoured(d, port); }

/* Emits along one link, or all, and waits while there is no room. The lock is held. */
int dsat_emit_one(dsat *d, unsigned port, enum dsat_codec codec, const void *payload, size_t size, const dsat_wishes *w)
{
	struct wire_header h = {.kind = WIRE_EMIT, .codec = (uint16_t)codec, .port = (uint16_t)port};
	struct road *r = NULL;

	if (w)
		wish(&h, w);

	/* A worker that is to end still says what its last messages give rise to. */
	while (!(d->role == DSAT_SOURCE ? unwanted(d) : d->over) && ((r = w ? NULL : dsat_road(d, port)) ? dsat_jammed(r) : !may_emit(d, port, size)))
		pthread_cond_wait(&d->changed, &d->lock);
	if (d->role == DSAT_SOURCE ? unwanted(d) : d->over)
		return -1;
	if (r) {
		if (!dsat_forward(d, r, &h, payload, size))
			return dsat_no_memory(d);
		dsat_wake(d);
		return 0;
	}
	if (!dsat_append(d, &h, payload, size))
		return dsat_no_memory(d);
	dsat_wake(d);
	return 0;
}

int dsat_emit(dsat *d, const char *link, enum dsat_codec codec, const void *payload, size_t size)
{
	return dsat_emit_with(d, link, codec, payload, size, NULL);
}

int dsat_emit_with(dsat *d, const char *link, enum dsat_codec codec, const void *payload, size_t size, const dsat_wishes *w)
{
	int port = -1, i, result = 0;

	d->said[0] = 0;
	if (w && !w->id && w->delay <= 0 && w->ttl <= 0 && w->priority <= 0)
		w = NULL; /* it asks for nothing */
	if (d->role != DSAT_SOURCE)
		return dsat_mishap(d, "only a source emits: a worker puts outputs for what it has in hand");
	pthread_mutex_lock(&d->lock);
	while (!unwanted(d) && !d->to) /* before the first WELCOME */
		pthread_cond_wait(&d->changed, &d->lock);
	if (!unwanted(d) && (port = dsat_port(d, link)) >= 0 && !dsat_fits(d, size))
		port = -1;
	if (port == WIRE_ALL_LINKS && !w && dsat_paved(d)) {
		for (i = 0; dsat_link(d, i) && result == 0; i++)
			if (*dsat_link(d, i))
				result = dsat_emit_one(d, (unsigned)i, codec, payload, size, NULL);
	} else if (port >= 0) {
		result = dsat_emit_one(d, (unsigned)port, codec, payload, size, w);
	}
	pthread_mutex_unlock(&d->lock);
	return port < 0 ? -1 : result;
}

uint64_t dsat_emitted(dsat *d)
{
	uint64_t n;

	pthread_mutex_lock(&d->lock);
	n = d->emitted;
	pthread_mutex_unlock(&d->lock);
	return n;
}

uint64_t dsat_accepted(dsat *d)
{
	uint64_t n;

	pthread_mutex_lock(&d->lock);
	n = d->accepted;
	pthread_mutex_unlock(&d->lock);
	return n;
}

int dsat_flush(dsat *d, int timeout)
{
	struct timespec until = timeout >= 0 ? dsat_deadline(timeout) : (struct timespec){0, 0};
	int done;

	d->said[0] = 0;
	pthread_mutex_lock(&d->lock);
	while (!(done = d->accepted == d->emitted && dsat_roads_empty(d)) && !d->over && dsat_await(d, timeout, &until))
		;
	pthread_mutex_unlock(&d->lock);
	return done ? 1 : d->over ? -1 : 0;
}

struct timespec dsat_deadline(int timeout)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout / 1000;
	t.tv_nsec += timeout % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

int64_t dsat_left(const struct timespec *until)
{
	struct timespec now;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (until->tv_sec - now.tv_sec) * INT64_C(1000000000) + until->tv_nsec - now.tv_nsec;
	return ns > 0 ? ns : 1;
}

/* Waits for a change; 0: the time is over. The lock is held. */
int dsat_await(dsat *d, int timeout, const struct timespec *until)
{
	if (timeout < 0)
		return pthread_cond_wait(&d->changed, &d->lock) == 0;
	return pthread_cond_timedwait(&d->changed, &d->lock, until) != ETIMEDOUT;
}
