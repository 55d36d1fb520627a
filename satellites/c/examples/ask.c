/* A worker that asks others: of a message "STEP TEXT" it sends TEXT to STEP, and what comes of that, in 2 s at most, goes out. */
#include "dsat.h"

#include <stdio.h>
#include <string.h>

static int ask(dsat *d, const dsat_message *m, void *arg)
{
	static const char *const ends[] = {"done", "failed", "expired", "lost", "refused", "disconnected"};
	char step[64] = "", text[300];
	const char *rest = memchr(m->payload, ' ', m->size);
	size_t n = rest ? (size_t)(rest - (const char *)m->payload) : m->size;
	dsat_reply r;
	int result;

	(void)arg;
	snprintf(step, sizeof step, "%.*s", (int)n, (const char *)m->payload);
	n = rest ? m->size - n - 1 : 0;
	if (dsat_call(d, step, DSAT_TEXT, rest ? rest + 1 : "", n, 2000, NULL, &r) < 0) {
		snprintf(text, sizeof text, "%s: %s", ends[r.end], *r.reason ? r.reason : dsat_error(d));
		return dsat_put(d, NULL, DSAT_TEXT, text, strlen(text));
	}
	result = r.count ? dsat_put(d, NULL, (enum dsat_codec)r.results[0].codec, r.results[0].payload, r.results[0].size) : 0;
	dsat_reply_free(&r);
	return result;
}

int main(void)
{
	return dsat_run(ask, NULL);
}
