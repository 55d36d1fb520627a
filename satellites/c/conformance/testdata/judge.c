/* What the C implementation makes of what it is given, for the tests in Go. Each line of stdin is a letter and hexadecimal bytes;
 * each gets one line of answer.
 *
 *	f FRAME   the records as KIND flags port epoch codec hops n m id time body, and the frame written anew; or "wrong"
 *	j TEXT    "object" or "wrong"; then the number under "n", and the strings under "s", each in hexadecimal
 */
#include "json.h"
#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hex(const void *p, size_t n)
{
	const uint8_t *b = p;

	while (n--)
		printf("%02x", *b++);
}

static void frame(const uint8_t *bytes, size_t size)
{
	struct wire_frame again = {0};
	const struct wire_header *h;
	size_t at = 0;
	void *body;

	if (wire_check(bytes, size)) {
		printf("wrong\n");
		return;
	}
	while ((h = wire_next(bytes, size, &at))) {
		printf("%s %u %u %u %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " ", wire_kind_name(h->kind), h->flags, h->port, h->epoch,
			h->codec, h->hops, h->n, h->m, h->id, h->time);
		hex(wire_body(h), h->length);
		printf("|");
		if (!wire_fits(&again, h->length) || !(body = wire_add(&again, h, h->length)))
			abort();
		if (h->length)
			memcpy(body, wire_body(h), h->length);
	}
	wire_seal(&again);
	hex(again.bytes, again.size);
	printf("\n");
	free(again.bytes);
}

static void object(const char *text, size_t size)
{
	json_strings all;
	size_t i;

	if (!json_object(text, size)) {
		printf("wrong\n");
		return;
	}
	printf("object %" PRId64, json_number(text, size, "n", -1));
	all = json_list(text, size, "s");
	for (i = 0; all[i]; i++) {
		printf(" x");
		hex(all[i], strlen(all[i]));
	}
	free(all);
	printf("\n");
}

int main(void)
{
	char *line = NULL;
	size_t room = 0, n, i;
	ssize_t got;

	while ((got = getline(&line, &room, stdin)) > 2) {
		unsigned byte;
		uint8_t *bytes;
		n = ((size_t)got - 3) / 2;
		bytes = malloc(n ? n : 1); /* of that size, so that a step beyond is noticed */
		for (i = 0; i < n && sscanf(line + 2 + 2 * i, "%2x", &byte) == 1; i++)
			bytes[i] = (uint8_t)byte;
		if (line[0] == 'f')
			frame(bytes, n);
		else
			object((char *)bytes, n);
		fflush(stdout);
		free(bytes);
	}
	free(line);
	return 0;
}
