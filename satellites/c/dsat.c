#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void say_why(char *why, size_t size, const char *text)
{
	if (why && size)
		snprintf(why, size, "%s", text);
}

/* Whether a value of the environment can stand in JSON as it is. */
static int plain(const char *s)
{
	return s && *s && strlen(s) < 512 && s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] == 0;
}

static int environment(struct dsat *d)
{
	const char *wid = getenv("DSAT_WID"), *incarnation = getenv("DSAT_INCARNATION");
	char *end = NULL;

	d->bus = getenv("DSAT_BUS");
	d->name = getenv("DSAT_NAME");
	d->token = getenv("DSAT_TOKEN");
	if (!d->bus || !plain(d->name) || !plain(d->token) || !wid || !incarnation)
		return 0;
	d->wid = atoi(wid);
	d->incarnation = strtoull(incarnation, &end, 10);
	return *incarnation && !*end;
}

static void conditions(struct dsat *d)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->changed, &attr);
	pthread_condattr_destroy(&attr);
}

static void release(struct dsat *d)
{
	struct old_links *o;

	dsat_free_arrivals(d->first);
	dsat_free_arrivals(d->current);
	dsat_free_parcels(d->full);
	dsat_free_parcels(d->kept);
	free(d->answers.bytes);
	free(d->emits.bytes);
	free(d->outputs.bytes);
	free(d->gone);
	free(d->to);
	free(d->from);
	while ((o = d->old)) {
		d->old = o->next;
		free(o->links);
		free(o);
	}
	if (d->wake >= 0)
		close(d->wake);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

dsat *dsat_open(enum dsat_role role, char *why, size_t size)
{
	struct dsat *d = calloc(1, sizeof *d);
	sigset_t all, before;
	int err;

	if (!d) {
		say_why(why, size, "cannot open a session: no memory");
		return NULL;
	}
	conditions(d);
	d->role = role;
	d->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->last = &d->first;
	d->full_last = &d->full;
	d->kept_last = &d->kept;
	d->max_body = WIRE_MAX_BODY;
	if (d->wake < 0 || !environment(d)) {
		say_why(why, size, d->wake < 0 ? "cannot open a session: no descriptors are left"
			: "cannot open a session: DSAT_BUS, DSAT_NAME, DSAT_WID, DSAT_INCARNATION and DSAT_TOKEN are not set: was this started by dsatd, with speaks = \"bus\"?");
		release(d);
		return NULL;
	}
	sigfillset(&all); /* signals are for the caller's threads */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&d->thread, NULL, dsat_thread, d);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		say_why(why, size, "cannot open a session: no thread can be made");
		release(d);
		return NULL;
	}
	return d;
}

static int fail(dsat *d, const char *text)
{
	snprintf(d->said, sizeof d->said, "%s", text);
	return -1;
}

static int no_memory(dsat *d) { return fail(d, "no memory is left"); }

const char *dsat_error(dsat *d)
{
	const char *text;

	pthread_mutex_lock(&d->lock);
	if (!*d->said && d->over)
		snprintf(d->said, sizeof d->said, "%s", d->fault);
	text = *d->said ? d->said : NULL;
	pthread_mutex_unlock(&d->lock);
	return text;
}

static struct timespec deadline(int timeout)
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

/* Waits for a change; 0: the time is over. The lock is held. */
static int await(dsat *d, int timeout, const struct timespec *until)
{
	if (timeout < 0)
		return pthread_cond_wait(&d->changed, &d->lock) == 0;
	return pthread_cond_timedwait(&d->changed, &d->lock, until) != ETIMEDOUT;
}

/* Whether dispatch n is not wanted any more. The lock is held. */
static int is_gone(const dsat *d, uint64_t n)
{
	size_t i;

	for (i = 0; i < d->gone_count; i++)
		if (d->gone[i] == n)
			return 1;
	return 0;
}

/* The next DATA of the frame in hand, or NULL. */
static const struct wire_header *following(dsat *d)
{
	const uint8_t *bytes = zmq_msg_data(&d->current->frame);
	size_t size = zmq_msg_size(&d->current->frame);
	const struct wire_header *h;

	while ((h = wire_next(bytes, size, &d->at)))
		if (h->kind == WIRE_DATA)
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
}

int dsat_next(dsat *d, dsat_message *m, int timeout)
{
	struct timespec until = {0, 0};
	int have = 0, gone = 0;

	d->said[0] = 0;
	if (d->message)
		return fail(d, "the message in hand is to be answered first");
	if (timeout >= 0)
		until = deadline(timeout);
	for (;;) {
		if (d->current && (d->message = following(d))) {
			d->place++;
			if (d->gone_count) { /* a glance without the lock: what is missed is a message handled for nothing */
				pthread_mutex_lock(&d->lock);
				gone = is_gone(d, d->message->n);
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
		while (!(have = d->first != NULL) && !d->over && await(d, timeout, &until))
			;
		if (have) {
			d->current = d->first;
			if (!(d->first = d->current->next))
				d->last = &d->first;
			d->current->next = NULL;
			d->at = 0;
			d->place = d->current->place - 1;
		}
		pthread_mutex_unlock(&d->lock);
		if (!have)
			return d->over ? -1 : 0;
	}
}

/* The port of a link; -1: there is none. The lock is held. */
static int port_of(dsat *d, const char *link)
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

static int fits(dsat *d, size_t size)
{
	if (size <= d->max_body)
		return 1;
	snprintf(d->said, sizeof d->said, "cannot send %zu bytes: a payload may have %zu", size, d->max_body);
	return 0;
}

int dsat_put(dsat *d, const char *link, enum dsat_codec codec, const void *payload, size_t size)
{
	struct wire_header h = {.kind = WIRE_OUT, .codec = (uint16_t)codec};
	int port;
	void *body;

	d->said[0] = 0;
	if (!d->message)
		return fail(d, "there is no message in hand to put something for");
	pthread_mutex_lock(&d->lock);
	port = port_of(d, link);
	if (port >= 0 && !fits(d, size))
		port = -1;
	pthread_mutex_unlock(&d->lock);
	if (port < 0)
		return -1;
	h.port = (uint16_t)port;
	h.n = d->message->n;
	if (!(body = wire_add(&d->outputs, &h, size)))
		return no_memory(d);
	if (size)
		memcpy(body, payload, size);
	d->outputs_body += sizeof(struct wire_output) + wire_padded(size);
	return 0;
}

/* Writes what was put for the message in hand as the body of its DONE. */
static void write_outputs(const dsat *d, uint8_t *to)
{
	const struct wire_header *h;
	size_t at = 0;

	while ((h = wire_next(d->outputs.bytes, d->outputs.size, &at))) {
		struct wire_output o = {.length = h->length, .port = h->port, .codec = h->codec};
		memcpy(to, &o, sizeof o);
		memcpy(to + sizeof o, wire_body(h), wire_padded(h->length));
		to += sizeof o + wire_padded(h->length);
	}
}

/* Appends a DONE with its outputs, or those one by one before it where they would not fit a frame. The lock is held. */
static int done_with_outputs(dsat *d)
{
	struct wire_header h = {.kind = WIRE_DONE, .n = d->message->n};
	size_t frame = sizeof(struct wire_frame_header) + sizeof h + d->outputs_body;
	const struct wire_header *out;
	size_t at = 0;
	uint8_t *body;

	if (!dsat_close_range(d))
		return 0;
	if (frame <= WIRE_MAX_FRAME) {
		body = malloc(d->outputs_body);
		if (!body)
			return 0;
		write_outputs(d, body);
		at = (size_t)dsat_say(d, &h, body, d->outputs_body);
		free(body);
		return at != 0;
	}
	while ((out = wire_next(d->outputs.bytes, d->outputs.size, &at)))
		if (!dsat_say(d, out, wire_body(out), out->length))
			return 0;
	return dsat_say(d, &h, NULL, 0);
}

/* Joins a DONE without outputs to those before it: only neighbours in the order of delivery. The lock is held. */
static int acknowledge(dsat *d)
{
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

static int say_failed(dsat *d, int retry, const char *reason)
{
	struct wire_header h = {.kind = WIRE_FAIL, .flags = retry ? WIRE_FLAG_RETRY : 0, .n = d->message->n};

	return dsat_close_range(d) && dsat_say(d, &h, reason, strnlen(reason, 2048));
}

/* Answers the message in hand. What belongs to a session that is over is nobody's any more. */
static int answer(dsat *d, int failed, int retry, const char *reason)
{
	int ok = 1;

	d->said[0] = 0;
	if (!d->message)
		return fail(d, "there is no message in hand to answer");
	pthread_mutex_lock(&d->lock);
	if (d->welcome && d->current->session == d->session) {
		if (failed)
			ok = say_failed(d, retry, reason);
		else if (d->outputs.count)
			ok = done_with_outputs(d);
		else
			ok = acknowledge(d);
		if (--d->in_hand == 0)
			d->gone_count = 0;
		dsat_wake(d);
	}
	pthread_mutex_unlock(&d->lock);
	wire_reset(&d->outputs);
	d->outputs_body = 0;
	d->message = NULL;
	return ok ? 0 : no_memory(d);
}

int dsat_done(dsat *d) { return answer(d, 0, 0, NULL); }

int dsat_fail(dsat *d, int retry, const char *reason) { return answer(d, 1, retry, reason ? reason : ""); }

int dsat_progress(dsat *d)
{
	struct wire_header h = {.kind = WIRE_PROGRESS};
	int ok = 1;

	d->said[0] = 0;
	if (!d->message)
		return fail(d, "there is no message in hand");
	h.n = d->message->n;
	pthread_mutex_lock(&d->lock);
	if (d->welcome && d->current->session == d->session) {
		ok = dsat_close_range(d) && dsat_say(d, &h, NULL, 0);
		dsat_wake(d);
	}
	pthread_mutex_unlock(&d->lock);
	return ok ? 0 : no_memory(d);
}

int dsat_cancelled(dsat *d)
{
	int gone;

	if (!d->message)
		return 0;
	pthread_mutex_lock(&d->lock);
	gone = d->current->session != d->session || is_gone(d, d->message->n);
	pthread_mutex_unlock(&d->lock);
	return gone;
}

/* Whether the window has room for a payload; one that is larger than the window goes alone. The lock is held. */
static int open_for(const dsat *d, size_t size)
{
	uint64_t waiting = d->emitted - d->accepted;

	if (!d->welcome || d->window_messages == 0 || d->window_bytes == 0)
		return 0;
	return waiting == 0 || (waiting < d->window_messages && d->unaccepted_bytes + size <= d->window_bytes);
}

static int unwanted(const dsat *d) { return d->stopping || d->draining || d->over; }

int dsat_emit(dsat *d, const char *link, enum dsat_codec codec, const void *payload, size_t size)
{
	struct wire_header h = {.kind = WIRE_EMIT, .codec = (uint16_t)codec};
	int port = -1;
	void *body;

	d->said[0] = 0;
	if (d->role != DSAT_SOURCE)
		return fail(d, "only a source emits: a worker puts outputs for what it has in hand");
	pthread_mutex_lock(&d->lock);
	while (!unwanted(d) && !open_for(d, size))
		pthread_cond_wait(&d->changed, &d->lock);
	if (!unwanted(d) && (port = port_of(d, link)) >= 0 && !fits(d, size))
		port = -1;
	if (port >= 0) {
		h.port = (uint16_t)port;
		h.n = d->emitted + 1;
		h.epoch = d->epoch;
		if (!wire_fits(&d->emits, size) && !dsat_seal_emits(d))
			body = NULL;
		else
			body = wire_add(&d->emits, &h, size);
		if (body) {
			if (size)
				memcpy(body, payload, size);
			d->emitted++;
			d->unaccepted_bytes += size;
			dsat_wake(d);
		} else {
			port = no_memory(d);
		}
	}
	pthread_mutex_unlock(&d->lock);
	return port < 0 ? -1 : 0;
}

uint64_t dsat_emitted(dsat *d) { return d->emitted; }

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
	struct timespec until = timeout >= 0 ? deadline(timeout) : (struct timespec){0, 0};
	int done;

	d->said[0] = 0;
	pthread_mutex_lock(&d->lock);
	while (!(done = d->accepted == d->emitted) && !d->over && await(d, timeout, &until))
		;
	pthread_mutex_unlock(&d->lock);
	return done ? 1 : d->over ? -1 : 0;
}

void dsat_stop(dsat *d)
{
	int before = errno;
	uint64_t one = 1;

	d->stopping = 1;
	(void)!write(d->wake, &one, sizeof one); /* when it is full the thread is to be woken already */
	errno = before;
}

static dsat *volatile caught; /* a handler of signals has no argument */

static void on_signal(int sig)
{
	(void)sig;
	if (caught)
		dsat_stop(caught);
}

int dsat_catch_signals(dsat *d)
{
	struct sigaction a = {.sa_handler = on_signal};

	caught = d;
	return sigaction(SIGTERM, &a, NULL) | sigaction(SIGINT, &a, NULL) ? fail(d, strerror(errno)) : 0;
}

int dsat_close(dsat *d)
{
	int clean;

	pthread_mutex_lock(&d->lock);
	d->finished = 1;
	pthread_mutex_unlock(&d->lock);
	if (d->role == DSAT_WORKER)
		dsat_stop(d);
	else
		(void)!write(d->wake, &(uint64_t){1}, sizeof(uint64_t));
	pthread_join(d->thread, NULL);
	clean = !*d->fault && d->accepted == d->emitted && d->in_hand == 0;
	if (caught == d) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		caught = NULL;
	}
	release(d);
	return clean ? 0 : -1;
}

int dsat_reason(dsat *d, int permanent, const char *reason)
{
	snprintf(d->said, sizeof d->said, "%s", reason ? reason : "");
	d->permanent = permanent;
	return -1;
}

int dsat_run(dsat_handler handler, void *arg)
{
	char why[300];
	dsat_message m;
	dsat *d = dsat_open(DSAT_WORKER, why, sizeof why);
	const char *error;
	int failed = 0;

	if (!d) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	dsat_catch_signals(d);
	while (dsat_next(d, &m, -1) > 0) {
		d->permanent = 0;
		d->said[0] = 0;
		if (handler(d, &m, arg) != 0)
			snprintf(why, sizeof why, "%s", *d->said ? d->said : "the handler returned an error");
		else
			why[0] = 0;
		if (d->message && (*why ? dsat_fail(d, !d->permanent, why) : dsat_done(d)) < 0)
			break;
	}
	if ((error = dsat_error(d))) {
		fprintf(stderr, "%s\n", error);
		failed = 1;
	}
	return dsat_close(d) < 0 || failed;
}
