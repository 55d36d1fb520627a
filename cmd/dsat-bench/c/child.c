/* A child that costs nothing: its first act is to append a stamp, {CLOCK_MONOTONIC in ns, pid}, then it waits for ever. */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec now;
	uint64_t stamp[2];
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &now);
	stamp[0] = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	stamp[1] = (uint64_t)getpid();
	fd = argc > 1 ? open(argv[1], O_WRONLY | O_APPEND) : -1;
	if (fd < 0 || write(fd, stamp, sizeof stamp) != sizeof stamp)
		return 1;
	close(fd);
	for (;;)
		pause();
}
