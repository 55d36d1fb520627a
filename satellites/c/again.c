/* Answers that were sent, and may be asked for again: dsatd does not say that it has one, and what was on its way when it was killed is lost.
 * The last frames are kept as they are; the next dsatd is told whose answers stand in them, and says which it does not know. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	most_frames = 16,
	most_bytes = 1 << 20,
	most_names = 4096	/* of dispatches in a HELLO */
};

void dsat_keep_spoken(struct dsat *d, struct parcel *frames)
{
	struct parcel *p;

	for (*d->spoken_last = frames; *d->spoken_last; d->spoken_last = &(*d->spoken_last)->next) {
		d->spoken_count++;
		d->spoken_bytes += (*d->spoken_last)->frame.size;
	}
	while ((p = d->spoken) && (d->spoken_count > most_frames || d->spoken_bytes > most_bytes)) {
		if (!(d->spoken = p->next))
			d->spoken_last = &d->spoken;
		d->spoken_count--;
		d->spoken_bytes -= p->frame.size;
		p->next = NULL;
		dsat_free_parcels(p);
	}
}

void dsat_forget_spoken(struct dsat *d)
{
	dsat_free_parcels(d->spoken);
	d->spoken = NULL;
	d->spoken_last = &d->spoken;
	d->spoken_count = d->spoken_bytes = 0;
}

void dsat_renamed(struct dsat *d, uint32_t epoch, uint64_t number)
{
	size_t i = d->renamed_count++ % (sizeof d->renamed / sizeof *d->renamed);

	d->renamed[i] = (struct renamed){epoch, number, d->held.epoch, d->held.n};
}

/* By what name the daemon knows a dispatch that gave it out first. */
static void name_of(const struct dsat *d, uint32_t *epoch, uint64_t *n)
{
	size_t i;

	for (i = 0; i < sizeof d->renamed / sizeof *d->renamed; i++)
		if (d->renamed[i].number == *n && d->renamed[i].epoch == *epoch) {
			*epoch = d->renamed[i].before;
			*n = d->renamed[i].n;
			return;
		}
}

static int is_answer(const struct wire_header *h) { return h->kind == WIRE_DONE || h->kind == WIRE_FAIL; }

/* Calls f for each dispatch that a frame answers, until it returns something else than 0. */
static int each(const struct dsat *d, int (*f)(void *arg, const struct parcel *p, const struct wire_header *h, uint32_t epoch, uint64_t n), void *arg)
{
	const struct wire_header *h;
	const struct parcel *p;
	uint64_t k, n;
	uint32_t epoch;
	int stop = 0;

	for (p = d->spoken; p && !stop; p = p->next) {
		size_t at = 0;
		while (!stop && (h = wire_next(p->frame.bytes, p->frame.size, &at)))
			for (k = h->n; is_answer(h) && !stop && k <= (h->m > h->n ? h->m : h->n); k++) {
				epoch = h->epoch;
				n = k;
				name_of(d, &epoch, &n);
				stop = f(arg, p, h, epoch, n);
			}
	}
	return stop;
}

struct text {
	char *bytes;
	size_t size, room, names;
};

static int add_name(void *arg, const struct parcel *p, const struct wire_header *h, uint32_t epoch, uint64_t n)
{
	struct text *t = arg;

	(void)p, (void)h;
	if (t->size + 48 > t->room) {
		char *more = realloc(t->bytes, t->room ? t->room * 2 : 1024);
		if (!more)
			return 1; /* who is not named is handled again */
		t->bytes = more;
		t->room = t->room ? t->room * 2 : 1024;
	}
	t->size += (size_t)snprintf(t->bytes + t->size, 48, "%s\"%lu.%llu\"", t->size ? "," : "", (unsigned long)epoch, (unsigned long long)n);
	return ++t->names == most_names;
}

char *dsat_holds(const struct dsat *d)
{
	struct text t = {0};

	if (d->held.n && d->held.state == held_asked)
		add_name(&t, NULL, NULL, d->held.epoch, d->held.n);
	each(d, add_name, &t);
	return t.bytes ? t.bytes : calloc(1, 1);
}

struct wanted {
	struct dsat *d;
	uint32_t epoch;
	uint64_t n, number;
	int ok;
};

/* Says an answer again, under another number, with the outputs that were staged for it. */
static int say_again(void *arg, const struct parcel *p, const struct wire_header *h, uint32_t epoch, uint64_t n)
{
	struct wanted *w = arg;
	struct wire_header again = *h;
	const struct wire_header *out;
	size_t at;

	if (epoch != w->epoch || n != w->n)
		return 0;
	for (p = w->d->spoken; h->kind == WIRE_DONE && h->m == 0 && p; p = p->next)
		for (at = 0; (out = wire_next(p->frame.bytes, p->frame.size, &at));)
			if (out->kind == WIRE_OUT && out->n == h->n && out->epoch == h->epoch) {
				struct wire_header staged = *out;
				staged.n = w->number;
				w->ok &= dsat_say(w->d, &staged, wire_body(out), out->length);
			}
	again.n = w->number;
	again.m = 0;
	w->ok &= dsat_say(w->d, &again, wire_body(h), h->length);
	return 1;
}

/* Whether links mean the same as in the session before: else answers with outputs cannot be said again. */
int dsat_same_links(json_strings a, json_strings b)
{
	size_t i;

	for (i = 0; a && b && a[i] && b[i] && strcmp(a[i], b[i]) == 0; i++)
		;
	return a && b && !a[i] && !b[i];
}

int dsat_go_on(struct dsat *d, const char *text, size_t size, json_strings before)
{
	json_strings list = json_list(text, size, "held");
	unsigned long long dispatch, number;
	unsigned long epoch;
	struct wanted w = {.d = d, .ok = 1};
	size_t i;

	if (!list)
		return 0;
	if (d->held.n)
		d->held.state = held_unwanted;
	for (i = 0; list[i]; i++) { /* "EPOCH.N NUMBER" */
		if (sscanf(list[i], "%lu.%llu %llu", &epoch, &dispatch, &number) != 3)
			continue;
		if (epoch == d->held.epoch && dispatch == d->held.n) {
			d->held.state = held_wanted;
			d->held.number = number;
			dsat_renamed(d, d->epoch, number);
			d->in_hand++;
			continue;
		}
		w.epoch = (uint32_t)epoch;
		w.n = dispatch;
		w.number = number;
		if (dsat_same_links(before, d->to))
			each(d, say_again, &w);
		else
			w.ok &= dsat_say(d, &(struct wire_header){.kind = WIRE_FAIL, .flags = WIRE_FLAG_RETRY, .n = number}, "the links have changed while dsatd was away", 43);
	}
	free(list);
	dsat_forget_spoken(d);
	return w.ok;
}
