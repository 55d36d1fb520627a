/* A source: numbers as text, COUNT of them (0: without end), and its end when all are accepted. */
#include "dsat.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 0, i;
	char why[300], text[32];
	dsat *d = dsat_open(DSAT_SOURCE, why, sizeof why);
	int n;

	if (!d) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	dsat_catch_signals(d);
	for (i = 1; count == 0 || i <= count; i++) {
		n = snprintf(text, sizeof text, "%" PRIu64, i);
		if (dsat_emit(d, NULL, DSAT_TEXT, text, (size_t)n) < 0) {
			if (dsat_error(d))
				fprintf(stderr, "%s\n", dsat_error(d));
			break;
		}
	}
	return dsat_close(d) < 0;
}
