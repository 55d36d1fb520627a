// A random tree of processes that do not want to end: it forks, forks twice, leaves its session, ignores signals, answers TERM with
// another child, forgets its environment (with an argument). What grows depends on the instance and its incarnation.
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static unsigned state;

static unsigned dice(unsigned n) {
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % n;
}

static void hydra(int sig) {
	(void)sig;
	if (fork() > 0)
		_exit(0);
}

static void grow(int depth, int hide);

static void child(int depth, int hide, unsigned seed) {
	state = seed | 1;
	if (dice(3) == 0)
		setsid();
	if (dice(4) == 0 && fork() > 0)
		_exit(0); // its parent is gone: an orphan
	if (hide && dice(4) == 0)
		execle("/bin/sleep", "sleep", "1000", (char *)0, (char *[]){NULL});
	grow(depth + 1, hide);
	_exit(0);
}

static void grow(int depth, int hide) {
	switch (dice(5)) {
	case 0:
		signal(SIGTERM, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		break;
	case 1:
		signal(SIGTERM, hydra);
	}
	for (unsigned n = depth < 4 ? dice(4) : 0; n > 0; n--) {
		unsigned seed = dice(1u << 30);
		if (fork() == 0)
			child(depth, hide, seed);
	}
	if (depth > 0 && dice(4) == 0)
		return; // leaves its children behind
	for (;;)
		pause();
}

int main(int argc, char **argv) {
	const char *me[] = {getenv("DSAT_INSTANCE"), getenv("DSAT_INCARNATION"), getenv("SEED")};
	state = 2166136261u;
	for (int i = 0; i < 3; i++)
		for (const char *p = me[i]; p && *p; p++)
			state = (state ^ (unsigned char)*p) * 16777619u;
	state |= 1;
	for (int i = 0; i < 8; i++)
		dice(2);
	grow(0, argc > 1 && strcmp(argv[1], "hide") == 0);
}
