#include "session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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
	dsat_free_parcels(d->spoken);
	free(d->answers.bytes);
	free(d->emits.bytes);
	free(d->outputs.bytes);
	free(d->gone);
	free(d->to);
	free(d->from);
	free(d->callees);
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
	d->spoken_last = &d->spoken;
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

int dsat_mishap(dsat *d, const char *text)
{
	snprintf(d->said, sizeof d->said, "%s", text);
	return -1;
}

int dsat_no_memory(dsat *d) { return dsat_mishap(d, "no memory is left"); }

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
	return sigaction(SIGTERM, &a, NULL) | sigaction(SIGINT, &a, NULL) ? dsat_mishap(d, strerror(errno)) : 0;
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
