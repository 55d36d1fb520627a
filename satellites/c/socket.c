#include "thread.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t dsat_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Why the session cannot go on. The lock is held. */
void dsat_end_with(struct dsat *d, const char *text)
{
	if (!*d->fault)
		snprintf(d->fault, sizeof d->fault, "%s", text);
	d->over = 1;
}

void dsat_out_of_memory(struct dsat *d) { dsat_end_with(d, "cannot go on: no memory is left"); }

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
		dsat_take(e, &frame);
		pthread_cond_broadcast(&e->d->changed);
		pthread_mutex_unlock(&e->d->lock);
	}
}

enum {
	most_outlets = 16,	/* full pipes to other satellites that poll is asked about */
	direct_room = 4 << 20,	/* bytes from other satellites that may wait for the caller */
	direct_quiet = 50,	/* ms without a word from them and without a connection, until a worker that is drained believes that there is no more */
	tally_every = 100	/* ms */
};

static void receive_directly(struct end *e)
{
	struct dsat *d = e->d;
	int room = 1;

	while (room) {
		zmq_msg_t frame;
		zmq_msg_init(&frame);
		if (zmq_msg_recv(&frame, e->pull, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&frame);
			return;
		}
		pthread_mutex_lock(&d->lock);
		e->heard = dsat_now_ms();
		if (!dsat_admit(d, &frame))
			dsat_out_of_memory(d);
		pthread_cond_broadcast(&d->changed);
		room = d->direct_bytes < direct_room;
		pthread_mutex_unlock(&d->lock);
	}
}

/* Whether all that goes along direct links is where it shall be. The lock is held. */
static int direct_done(const struct end *e)
{
	const struct dsat *d = e->d;

	return dsat_roads_empty(d) && d->direct_in_hand == 0 && (!e->pull || (e->connections == 0 && dsat_now_ms() - e->heard >= direct_quiet));
}

/* BYE, when there is nothing left to say before it. The lock is held. */
static void leave(struct end *e)
{
	struct dsat *d = e->d;
	int done;

	if (!d->welcome || d->bye)
		return;
	if (d->role == DSAT_SOURCE)
		done = d->finished || d->stopping || d->draining;
	else
		done = (d->draining || d->stopping) && d->in_hand == 0;
	done = done && d->accepted == d->emitted && direct_done(e);
	if (d->role == DSAT_WORKER && d->stopping && !done && !d->draining) {
		d->draining = 1; /* asks for no more, once */
		if (!dsat_close_range(d) || !dsat_say(d, &(struct wire_header){.kind = WIRE_CREDIT}, NULL, 0))
			dsat_out_of_memory(d);
	}
	if (done) {
		d->bye = 1;
		if (!dsat_tally(d) || !dsat_close_range(d) || !dsat_say(d, &(struct wire_header){.kind = WIRE_BYE}, NULL, 0))
			dsat_out_of_memory(d);
	}
}

/* Sends all there is; 0: nothing was there, and the thread may sleep. */
static int dispatch(struct end *e)
{
	struct dsat *d = e->d;
	struct parcel *answers, *p;
	int any = 0, travelled = dsat_travel(d);

	pthread_mutex_lock(&d->lock);
	if (!travelled)
		dsat_out_of_memory(d);
	if (d->welcome && !d->bye && dsat_now_ms() - e->tallied >= tally_every) {
		e->tallied = dsat_now_ms();
		if (!dsat_tally(d))
			dsat_out_of_memory(d);
	}
	if (d->welcome) {
		if (!dsat_close_range(d) || !dsat_detour(d) || !dsat_seal_emits(d))
			dsat_out_of_memory(d);
		for (; (p = d->unsent); any = 1) {
			d->unsent = p->next; /* nobody but this thread frees it */
			pthread_mutex_unlock(&d->lock);
			dsat_transmit(e, &p->frame);
			pthread_mutex_lock(&d->lock);
		}
		leave(e);
		if (d->answers.count && !dsat_pack(&d->answers, &d->full_last))
			dsat_out_of_memory(d);
	}
	answers = d->full;
	d->full = NULL;
	d->full_last = &d->full;
	any |= answers != NULL;
	d->asleep = !any;
	pthread_mutex_unlock(&d->lock);
	for (p = answers; p; p = p->next)
		dsat_transmit(e, &p->frame);
	pthread_mutex_lock(&d->lock);
	dsat_keep_spoken(d, answers);
	pthread_mutex_unlock(&d->lock);
	return any;
}

uint16_t dsat_event(void *monitor)
{
	zmq_msg_t event;
	uint16_t what;

	zmq_msg_init(&event);
	if (zmq_msg_recv(&event, monitor, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&event);
		return 0;
	}
	memcpy(&what, zmq_msg_data(&event), sizeof what);
	while (zmq_msg_more(&event))
		zmq_msg_recv(&event, monitor, 0);
	zmq_msg_close(&event);
	return what;
}

static void connection(struct end *e)
{
	uint16_t what = dsat_event(e->monitor);

	if (!what)
		return;
	pthread_mutex_lock(&e->d->lock);
	if (what == ZMQ_EVENT_DISCONNECTED)
		dsat_lose(e);
	else
		dsat_greet(e);
	pthread_cond_broadcast(&e->d->changed);
	pthread_mutex_unlock(&e->d->lock);
}

/* Others connect to us directly, and go. What they had sent has come before they go. */
static void callers(struct end *e)
{
	uint16_t what;

	while ((what = dsat_event(e->callers))) {
		e->connections += what == ZMQ_EVENT_ACCEPTED ? 1 : -1;
		e->heard = dsat_now_ms();
	}
}

static int set(void *socket, int option, int value) { return zmq_setsockopt(socket, option, &value, sizeof value); }

int dsat_bind_directly(struct end *e, const char *dir)
{
	char monitor[64];

	snprintf(e->endpoint, sizeof e->endpoint, "ipc://%s/in", dir);
	snprintf(monitor, sizeof monitor, "inproc://dsat-callers-%p", (void *)e);
	e->pull = zmq_socket(e->context, ZMQ_PULL);
	e->callers = zmq_socket(e->context, ZMQ_PAIR);
	if (e->pull && e->callers && !set(e->pull, ZMQ_RCVHWM, 16) && !set(e->pull, ZMQ_LINGER, 0) &&
	    !zmq_socket_monitor(e->pull, monitor, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED) && !zmq_connect(e->callers, monitor) &&
	    !zmq_bind(e->pull, e->endpoint))
		return 1;
	if (e->pull)
		zmq_close(e->pull);
	if (e->callers)
		zmq_close(e->callers);
	e->pull = e->callers = NULL;
	return 0;
}

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
	if (e->pull) {
		zmq_close(e->pull);
		zmq_close(e->callers);
	}
	dsat_demolish(e->d);
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
	left = e->alone + dsat_patience * 1000 - dsat_now_ms();
	if (left > 0)
		return (long)left + 1;
	pthread_mutex_lock(&d->lock);
	if (d->bye)
		d->over = 1;
	else
		dsat_end_with(d, "cannot go on: dsatd was away for 30 s");
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

/* How long the thread may sleep, in ms; below 0: until it is woken. outlets is how many full pipes wake it when there is room. */
static long slumber(struct end *e, int outlets)
{
	struct dsat *d = e->d;
	long left = patience(e), soon = -1;
	struct road *r;

	pthread_mutex_lock(&d->lock);
	if (d->welcome && !d->bye) {
		for (r = d->roads; r; r = r->next)
			if (r->told != r->sent)
				soon = tally_every;
		if (d->told != d->received + d->missed)
			soon = tally_every;
		if (e->pull && (d->draining || d->stopping))
			soon = direct_quiet / 2;
	}
	if (outlets == most_outlets)
		soon = 1; /* there may be more of them, which are looked at again */
	pthread_mutex_unlock(&d->lock);
	return left < 0 || (soon >= 0 && soon < left) ? soon : left;
}

void *dsat_thread(void *session)
{
	struct end e = {.d = session, .alone = dsat_now_ms()};
	struct dsat *d = session;
	uint64_t woken;
	int over = 0, busy, room, count, outlets;

	if (!connect_to(&e)) {
		pthread_mutex_lock(&d->lock);
		dsat_end_with(d, "cannot reach dsatd: no socket can be made");
		pthread_mutex_unlock(&d->lock);
	}
	while (!over && e.monitor) {
		zmq_pollitem_t items[5 + most_outlets] = {{e.socket, 0, ZMQ_POLLIN, 0}, {e.monitor, 0, ZMQ_POLLIN, 0}, {NULL, d->wake, ZMQ_POLLIN, 0},
			{e.callers, 0, ZMQ_POLLIN, 0}, {e.pull, 0, ZMQ_POLLIN, 0}};
		busy = dispatch(&e);
		pthread_mutex_lock(&d->lock);
		room = e.pull && d->direct_bytes < direct_room;
		count = room ? 5 : e.pull ? 4 : 3;
		outlets = dsat_outlets(d, items + count, most_outlets);
		pthread_mutex_unlock(&d->lock);
		if (zmq_poll(items, count + outlets, busy ? 0 : slumber(&e, outlets)) > 0) {
			if (items[1].revents)
				connection(&e);
			if (items[2].revents && read(d->wake, &woken, sizeof woken) < 0)
				continue;
			if (items[0].revents)
				receive(&e);
			if (count > 3 && items[3].revents)
				callers(&e);
			if (room && items[4].revents)
				receive_directly(&e);
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
