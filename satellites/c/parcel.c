#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

struct parcel *dsat_pack(struct wire_frame *f, struct parcel ***last)
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
	if (!wire_fits(&d->answers, n) && !dsat_pack(&d->answers, &d->full_last))
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
	if (!(p = dsat_pack(&d->emits, &d->kept_last)))
		return 0;
	p->last = d->emitted;
	if (!d->unsent)
		d->unsent = p;
	return 1;
}
