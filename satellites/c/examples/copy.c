/* A worker: what comes in goes out, along all links. */
#include "dsat.h"

static int copy(dsat *d, const dsat_message *m, void *arg)
{
	(void)arg;
	return dsat_put(d, NULL, (enum dsat_codec)m->codec, m->payload, m->size);
}

int main(void)
{
	return dsat_run(copy, NULL);
}
