/* The floor of supervision: posix_spawn N children in sessions of their own, spawn again whoever ends, kill all on SIGTERM. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static volatile sig_atomic_t ending;
static volatile pid_t first;

/* A child's end wakes waitpid, also when the signal came just before it. */
static void on_term(int sig)
{
	(void)sig;
	ending = 1;
	if (first > 0)
		kill(first, SIGKILL);
}

static pid_t launch(const posix_spawnattr_t *attr, char **argv)
{
	pid_t pid;
	return posix_spawn(&pid, argv[0], NULL, attr, argv, environ) == 0 ? pid : -1;
}

int main(int argc, char **argv)
{
	struct sigaction term = {.sa_handler = on_term};
	posix_spawnattr_t attr;
	int n, i, status;
	pid_t *pids, dead;

	if (argc < 4)
		return 2;
	n = atoi(argv[1]);
	pids = calloc((size_t)n, sizeof *pids);
	sigaction(SIGTERM, &term, NULL);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
	for (i = 0; i < n; i++)
		pids[i] = launch(&attr, argv + 2);
	first = pids[0];
	while (!ending) {
		dead = waitpid(-1, &status, 0);
		if (ending || dead < 0)
			continue;
		for (i = 0; i < n; i++)
			if (pids[i] == dead)
				pids[i] = launch(&attr, argv + 2);
		first = pids[0];
	}
	for (i = 0; i < n; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
	while (waitpid(-1, &status, 0) > 0 || errno == EINTR)
		;
	return 0;
}
