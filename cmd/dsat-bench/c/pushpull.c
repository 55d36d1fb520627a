/* What libzmq itself moves: PUSH in one process, PULL in another, one message a frame, nothing acknowledged.
 * usage: pushpull ENDPOINT SIZE COUNT; prints messages a second as the receiver saw them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int push(const char *endpoint, size_t size, long count)
{
	void *context = zmq_ctx_new(), *socket = zmq_socket(context, ZMQ_PUSH);
	char *message = calloc(1, size);
	if (zmq_connect(socket, endpoint) != 0)
		return 1;
	while (count-- > 0)
		if (zmq_send(socket, message, size, 0) < 0)
			return 1;
	zmq_close(socket);
	zmq_ctx_term(context);
	return 0;
}

int main(int argc, char **argv)
{
	void *context, *socket;
	size_t size;
	long count, i;
	double begin;
	char *buffer;
	pid_t child;

	if (argc != 4)
		return 2;
	size = (size_t)atol(argv[2]);
	count = atol(argv[3]);
	child = fork();
	if (child == 0)
		_exit(push(argv[1], size, count));
	context = zmq_ctx_new();
	socket = zmq_socket(context, ZMQ_PULL);
	buffer = malloc(size);
	if (zmq_bind(socket, argv[1]) != 0 || zmq_recv(socket, buffer, size, 0) < 0)
		return 1;
	begin = now();
	for (i = 1; i < count; i++)
		if (zmq_recv(socket, buffer, size, 0) < 0)
			return 1;
	printf("%.0f\n", (double)(count - 1) / (now() - begin));
	zmq_close(socket);
	zmq_ctx_term(context);
	waitpid(child, NULL, 0);
	return 0;
}
