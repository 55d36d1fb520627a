/* What libzmq itself needs for there and back: a DEALER asks a ROUTER in another process, one message at a time, a thousand a second.
 * usage: roundtrip ENDPOINT SIZE COUNT; prints the median and the 99th percentile in microseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int answer(const char *endpoint, size_t size)
{
	void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_ROUTER);
	char id[256], *message = malloc(size + 1);

	if (!message || zmq_bind(socket, endpoint) != 0)
		return 1;
	for (;;) {
		int n = zmq_recv(socket, id, sizeof id, 0);
		int m = zmq_recv(socket, message, size, 0);
		if (n < 0 || m < 0)
			return 1;
		if (m == 0) /* the end */
			return 0;
		zmq_send(socket, id, (size_t)n, ZMQ_SNDMORE);
		zmq_send(socket, message, (size_t)m, 0);
	}
}

static int ascending(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	void *context, *socket;
	size_t size;
	long count, i;
	long long *took, due;
	char *message;
	pid_t child;

	if (argc != 4)
		return 2;
	size = (size_t)atol(argv[2]);
	count = atol(argv[3]);
	child = fork();
	if (child == 0)
		_exit(answer(argv[1], size));
	prctl(PR_SET_TIMERSLACK, 1);
	context = zmq_ctx_new();
	socket = zmq_socket(context, ZMQ_DEALER);
	message = calloc(1, size);
	took = calloc((size_t)count, sizeof *took);
	if (!message || !took || zmq_connect(socket, argv[1]) != 0)
		return 1;
	due = now();
	for (i = -100; i < count; i++) { /* the first hundred warm up */
		struct timespec t = { due / 1000000000, due % 1000000000 };
		long long begin;

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		begin = now();
		if (zmq_send(socket, message, size, 0) < 0 || zmq_recv(socket, message, size, 0) < 0)
			return 1;
		if (i >= 0)
			took[i] = now() - begin;
		due += 1000000;
		if (due < now())
			due = now();
	}
	zmq_send(socket, message, 0, 0);
	waitpid(child, NULL, 0);
	qsort(took, (size_t)count, sizeof *took, ascending);
	printf("%.1f %.1f\n", (double)took[count / 2] / 1e3, (double)took[count * 99 / 100] / 1e3);
	return 0;
}
