/* A child that costs nothing: its first act is to append a stamp, {CLOCK_MONOTONIC in ns, pid}, then it waits for ever.
 * usage: child [DIGIT]FILE; a digit is the descriptor that is told by a newline that the child is ready. */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	uint64_t stamp[2];
	const char *path = argc > 1 ? argv[1] : "";
	int fd, ready = *path >= '0' && *path <= '9' ? *path++ - '0' : -1;

	clock_gettime(CLOCK_MONOTONIC, &now);
	stamp[0] = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	stamp[1] = (uint64_t)getpid();
	fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0 || write(fd, stamp, sizeof stamp) != sizeof stamp)
		return 1;
	close(fd);
	if (ready >= 0 && (write(ready, "\n", 1) != 1 || close(ready) != 0))
		return 1;
	for (;;)
		pause();
}
