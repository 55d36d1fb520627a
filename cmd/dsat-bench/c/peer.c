/* A satellite in C for direct links: usage: peer source SIZE | peer sink. A source emits as fast as it is let. */
#include "dsat.h"

#include <stdlib.h>
#include <string.h>

static int take(dsat *d, const dsat_message *m, void *arg)
{
	(void)d;
	(void)m;
	(void)arg;
	return 0;
}

int main(int argc, char **argv)
{
	size_t size = argc > 2 ? (size_t)atol(argv[2]) : 64;
	char *payload;
	dsat *d;

	if (argc < 2 || strcmp(argv[1], "source") != 0)
		return dsat_run(take, NULL);
	payload = calloc(1, size);
	d = dsat_open(DSAT_SOURCE, NULL, 0);
	if (!d || !payload)
		return 1;
	dsat_catch_signals(d);
	while (dsat_emit(d, NULL, DSAT_RAW, payload, size) == 0)
		;
	return dsat_close(d) < 0;
}
