#include "wire.h"

#include <stdlib.h>
#include <string.h>

int wire_fits(const struct wire_frame *f, size_t n)
{
	if (f->count == 0)
		return 1;
	return f->count < WIRE_MAX_RECORDS && n <= WIRE_MAX_FRAME &&
	       f->size + sizeof(struct wire_header) + wire_padded(n) <= WIRE_MAX_FRAME;
}

static int grow(struct wire_frame *f, size_t want)
{
	size_t room = f->room ? f->room : 4096;
	uint8_t *bytes;

	if (want <= f->room)
		return 1;
	while (room < want)
		room *= 2;
	bytes = realloc(f->bytes, room);
	if (!bytes)
		return 0;
	f->bytes = bytes;
	f->room = room;
	return 1;
}

void *wire_add(struct wire_frame *f, const struct wire_header *h, size_t n)
{
	size_t at = f->count ? f->size : sizeof(struct wire_frame_header);
	size_t end = at + sizeof *h + wire_padded(n);
	struct wire_header head = *h;

	if (!grow(f, end))
		return NULL;
	head.length = (uint32_t)n;
	memcpy(f->bytes + at, &head, sizeof head);
	memset(f->bytes + at + sizeof head + n, 0, wire_padded(n) - n);
	f->size = end;
	f->count++;
	return f->bytes + at + sizeof head;
}

void wire_seal(struct wire_frame *f)
{
	struct wire_frame_header h = {.magic = WIRE_MAGIC, .version = WIRE_VERSION, .length = (uint32_t)f->size, .count = f->count};

	memcpy(f->bytes, &h, sizeof h);
}

void wire_reset(struct wire_frame *f)
{
	f->size = 0;
	f->count = 0;
}

static int zeros(const uint8_t *p, const uint8_t *end)
{
	while (p < end)
		if (*p++)
			return 0;
	return 1;
}

static const char *check_outputs(const uint8_t *p, size_t n)
{
	const uint8_t *end = p + n;
	struct wire_output o;

	while (p < end) {
		if ((size_t)(end - p) < sizeof o)
			return "outputs of a DONE do not add up";
		memcpy(&o, p, sizeof o);
		p += sizeof o;
		if (wire_padded(o.length) > (size_t)(end - p))
			return "outputs of a DONE do not add up";
		if (!zeros(p + o.length, p + wire_padded(o.length)))
			return "reserved bytes are not zero";
		p += wire_padded(o.length);
	}
	return NULL;
}

static const char *check_record(const uint8_t *at, size_t left, size_t *size)
{
	struct wire_header h;
	const uint8_t *body = at + sizeof h;

	if (left < sizeof h)
		return "lengths do not add up";
	memcpy(&h, at, sizeof h);
	if (h.length > WIRE_MAX_BODY)
		return "a record is larger than 16 MiB";
	*size = sizeof h + wire_padded(h.length);
	if (*size > left)
		return "lengths do not add up";
	if (!zeros(body + h.length, at + *size))
		return "reserved bytes are not zero";
	if (h.kind < WIRE_HELLO || h.kind > WIRE_TALLY)
		return "unknown kind of record";
	return h.kind == WIRE_DONE ? check_outputs(body, h.length) : NULL;
}

const char *wire_check(const uint8_t *bytes, size_t size)
{
	struct wire_frame_header f;
	size_t at = sizeof f, record;
	const char *wrong;
	uint32_t i;

	if (size < sizeof f)
		return "shorter than its header";
	memcpy(&f, bytes, sizeof f);
	if (f.magic != WIRE_MAGIC)
		return "it does not begin with DSAT";
	if (f.version != WIRE_VERSION)
		return "another version of the protocol";
	if (f.flags || f.zero)
		return "reserved bytes are not zero";
	if (f.length != size || f.count == 0)
		return "lengths do not add up";
	if (f.count > WIRE_MAX_RECORDS || (f.count > 1 && size > WIRE_MAX_FRAME))
		return "larger than 64 KiB or 1,024 records";
	for (i = 0; i < f.count; i++, at += record)
		if ((wrong = check_record(bytes + at, size - at, &record)))
			return wrong;
	return at == size ? NULL : "lengths do not add up";
}

const struct wire_header *wire_next(const uint8_t *bytes, size_t size, size_t *at)
{
	const struct wire_header *h;

	if (*at == 0)
		*at = sizeof(struct wire_frame_header);
	if (*at >= size)
		return NULL;
	h = (const struct wire_header *)(const void *)(bytes + *at);
	*at += sizeof *h + wire_padded(h->length);
	return h;
}

const char *wire_kind_name(unsigned kind)
{
	static const char *const names[] = {"HELLO", "WELCOME", "CREDIT", "DATA", "OUT", "DONE", "FAIL", "PROGRESS", "EMIT",
		"ACCEPTED", "CANCEL", "ROUTES", "DRAIN", "PING", "PONG", "BYE", "ERROR", "CALL", "REPLY", "TOPIC",
		"LISTEN", "TALLY"};

	return kind >= WIRE_HELLO && kind <= WIRE_TALLY ? names[kind - WIRE_HELLO] : "?";
}
