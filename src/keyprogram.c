/*
 * keyprogram.c
 *		Runs the program of a key provider: no shell, no file of ours left open
 *		in it, a limit to its time and to its output.
 *
 * Invariants:
 * - Secrets go through pipes only; buffers that may have held one are wiped.
 * - The wait is interruptible.  Whatever ends it (an answer, a timeout,
 *	 cancellation, the end of the session or of the server) kills the program's
 *	 whole process group and reaps the program.
 * - What the program prints on standard error goes to the server log, in
 *	 printable ASCII and so much at most; what it prints on standard output never.
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "keyprogram.h"
#include "keyprovider.h"
#include "secret.h"

/* How long a program that has closed its output is waited for between looks. */
#define EXIT_LOOK_MS	10

/* How long anything is waited for between looks. */
#define WAIT_MAX_MS		200

/* So much of standard error is logged. */
#define MAX_MESSAGES	4096

extern char **environ;

typedef struct Program
{
	const char *path;
	pid_t		pid;			/* 0: not started, or reaped */
	int			status;
	int			in;				/* our ends of the pipes; -1: closed */
	int			out;
	int			err;
	const char *input;			/* still to be written */
	size_t		input_len;
	size_t		max_output;
	uint8	   *output;
	size_t		output_len;
	size_t		output_size;
	char		messages[MAX_MESSAGES];
	int			messages_len;
} Program;

static void
close_pipe(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/*
 * Ends the program and whatever it started, and forgets what it printed.  Also
 * the callback for errors and for the end of the process.
 */
static void
stop_program(int code, Datum arg)
{
	Program    *program = (Program *) DatumGetPointer(arg);

	close_pipe(&program->in);
	close_pipe(&program->out);
	close_pipe(&program->err);
	if (program->pid > 0)
	{
		kill(-program->pid, SIGKILL);
		/* In the moment before the group exists, the program alone. */
		kill(program->pid, SIGKILL);
		while (waitpid(program->pid, &program->status, 0) < 0 && errno == EINTR)
			;
		program->pid = 0;
	}
	if (program->output != NULL)
	{
		secret_wipe(program->output, program->output_size);
		pfree(program->output);
	}
	program->output = NULL;
	program->output_len = program->output_size = 0;
}

/*
 * Has the program inherit nothing but its three pipes.  PostgreSQL's own files
 * are not all closed on exec.
 */
static bool
close_others(posix_spawn_file_actions_t * actions)
{
	DIR		   *dir = opendir("/dev/fd");
	struct dirent *de;
	bool		good = dir != NULL;

	while (good && (de = readdir(dir)) != NULL)
	{
		int			fd = atoi(de->d_name);

		if (fd > STDERR_FILENO && fd != dirfd(dir))
			good = posix_spawn_file_actions_addclose(actions, fd) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return good;
}

/*
 * Starts the program; returns false with errno set.
 */
static bool
start_program(Program *program, char *const *argv)
{
	int			pipes[6] = {-1, -1, -1, -1, -1, -1};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t	signals;
	int			failure = 0;

	for (int i = 0; i < 6 && failure == 0; i += 2)
	{
		if (pipe2(pipes + i, O_CLOEXEC) != 0)
			failure = errno;
	}

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	if (failure == 0)
	{
		/* Before the pipes' own ends are closed with all others. */
		posix_spawn_file_actions_adddup2(&actions, pipes[0], STDIN_FILENO);
		posix_spawn_file_actions_adddup2(&actions, pipes[3], STDOUT_FILENO);
		posix_spawn_file_actions_adddup2(&actions, pipes[5], STDERR_FILENO);
		if (!close_others(&actions))
			failure = errno != 0 ? errno : ENOMEM;

		/* The server's signal handlers and mask are not for the program. */
		sigfillset(&signals);
		posix_spawnattr_setsigdefault(&attributes, &signals);
		sigemptyset(&signals);
		posix_spawnattr_setsigmask(&attributes, &signals);
		posix_spawnattr_setpgroup(&attributes, 0);
		posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF |
								 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	}
	if (failure == 0)
	{
		pid_t		pid;

		failure = posix_spawn(&pid, argv[0], &actions, &attributes, argv, environ);
		if (failure == 0)
			program->pid = pid;
	}
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);

	close_pipe(&pipes[0]);
	close_pipe(&pipes[3]);
	close_pipe(&pipes[5]);
	program->in = pipes[1];
	program->out = pipes[2];
	program->err = pipes[4];
	if (failure == 0 &&
		(!pg_set_noblock(program->in) || !pg_set_noblock(program->out) ||
		 !pg_set_noblock(program->err)))
		failure = errno;
	errno = failure;
	return failure == 0;
}

/* Writes as much input as the pipe takes. */
static void
feed(Program *program)
{
	while (program->in >= 0)
	{
		ssize_t		done = 0;

		if (program->input_len > 0)
			done = write(program->in, program->input, program->input_len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (done > 0)
		{
			program->input += done;
			program->input_len -= done;
		}

		/* All written; or the program does not want it, which is its affair. */
		if (done < 0 || program->input_len == 0)
			close_pipe(&program->in);
	}
}

/* Makes room for more output; no copy stays behind. */
static void
grow_output(Program *program)
{
	size_t		size = Min(program->output_size * 2, program->max_output + 1);
	uint8	   *larger = palloc_extended(size, MCXT_ALLOC_HUGE);

	memcpy(larger, program->output, program->output_len);
	secret_wipe(program->output, program->output_size);
	pfree(program->output);
	program->output = larger;
	program->output_size = size;
}

/*
 * Reads what the program has printed so far.  Returns false if that is too
 * much.
 */
static bool
drain_output(Program *program)
{
	while (program->out >= 0)
	{
		ssize_t		done;

		if (program->output_len == program->output_size)
			grow_output(program);
		done = read(program->out, program->output + program->output_len,
					program->output_size - program->output_len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (done <= 0)
			close_pipe(&program->out);
		else
			program->output_len += done;
		if (program->output_len > program->max_output)
			return false;
	}
	return true;
}

/* Reads what the program has to say; keeps as much as is logged. */
static void
drain_messages(Program *program)
{
	while (program->err >= 0)
	{
		char		buffer[1024];
		ssize_t		done = read(program->err, buffer, sizeof(buffer));

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (done <= 0)
			close_pipe(&program->err);
		else
		{
			int			kept = Min(done, MAX_MESSAGES - program->messages_len);

			memcpy(program->messages + program->messages_len, buffer, kept);
			program->messages_len += kept;
		}
	}
}

/* Logs what the program said on standard error, line by line. */
static void
log_messages(Program *program)
{
	char	   *line = program->messages;
	char	   *end = program->messages + program->messages_len;

	while (line < end)
	{
		char	   *stop = line;

		while (stop < end && *stop != '\n')
		{
			if (*stop < ' ' || *stop > '~')
				*stop = '?';
			stop++;
		}
		if (stop > line)
			ereport(LOG_SERVER_ONLY,
					(errmsg("key provider \"%s\": %.*s", program->path,
							(int) (stop - line), line),
					 errhidestmt(true), errhidecontext(true)));
		line = stop + 1;
	}
	if (program->messages_len == MAX_MESSAGES)
		ereport(LOG_SERVER_ONLY,
				(errmsg("key provider \"%s\" said more than is logged", program->path),
				 errhidestmt(true), errhidecontext(true)));
}

/*
 * Waits until a pipe is ready, the process is interrupted, or some time has
 * passed.
 */
static void
wait_for_program(Program *program, long timeout)
{
	WaitEventSet *set = compat_create_wait_event_set(5);
	WaitEvent	event;
	bool		server_died;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	if (IsUnderPostmaster)
		AddWaitEventToSet(set, WL_POSTMASTER_DEATH, PGINVALID_SOCKET, NULL, NULL);
	if (program->in >= 0)
		AddWaitEventToSet(set, WL_SOCKET_WRITEABLE, program->in, NULL, NULL);
	if (program->out >= 0)
		AddWaitEventToSet(set, WL_SOCKET_READABLE, program->out, NULL, NULL);
	if (program->err >= 0)
		AddWaitEventToSet(set, WL_SOCKET_READABLE, program->err, NULL, NULL);
	server_died = WaitEventSetWait(set, timeout, &event, 1, PG_WAIT_EXTENSION) > 0 &&
		event.events == WL_POSTMASTER_DEATH;
	FreeWaitEventSet(set);
	if (server_died)
		proc_exit(1);
	ResetLatch(MyLatch);
}

/*
 * Talks with the program until it has ended.  Returns false after a warning if
 * it has to be ended by force.
 */
static bool
await_program(Program *program)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   keyprovider_timeout);

	for (;;)
	{
		pid_t		ended = waitpid(program->pid, &program->status, WNOHANG);
		long		left;

		feed(program);
		drain_messages(program);
		if (!drain_output(program))
		{
			ereport(WARNING,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("key provider \"%s\" printed too much and was stopped", program->path)));
			return false;
		}
		if (ended == program->pid)
		{
			/* What it left running loses its pipes, and is killed. */
			kill(-program->pid, SIGKILL);
			program->pid = 0;
			return true;
		}
		if (ended < 0 && errno != EINTR)
		{
			ereport(WARNING,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("could not wait for key provider \"%s\": %m", program->path)));
			return false;
		}
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
		if (left <= 0)
		{
			ereport(WARNING,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("key provider \"%s\" did not answer within purpose.provider_timeout and was stopped",
							program->path)));
			return false;
		}
		wait_for_program(program,
						 Min(left, program->out < 0 && program->err < 0 ?
							 EXIT_LOOK_MS : WAIT_MAX_MS));
		CHECK_FOR_INTERRUPTS();
	}
}

int
keyprogram_run(char *const *argv, const void *input, size_t input_len,
			   size_t max_output, uint8 **output, size_t *output_len)
{
	Program    *program = palloc0(sizeof(Program));
	volatile int result = KEYPROGRAM_FAILED;

	*output = NULL;
	*output_len = 0;
	program->path = argv[0];
	program->in = program->out = program->err = -1;
	program->input = input;
	program->input_len = input_len;
	program->max_output = max_output;
	program->output_size = Min(8192, max_output + 1);
	program->output = palloc(program->output_size);

	PG_ENSURE_ERROR_CLEANUP(stop_program, PointerGetDatum(program));
	{
		if (!start_program(program, argv))
			ereport(WARNING,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg("could not start key provider \"%s\": %m", program->path)));
		else if (await_program(program))
		{
			if (WIFEXITED(program->status))
				result = WEXITSTATUS(program->status);
			else
				ereport(WARNING,
						(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
						 errmsg("key provider \"%s\" was ended by signal %d", program->path,
								WTERMSIG(program->status))));
		}
		log_messages(program);
	}
	PG_END_ENSURE_ERROR_CLEANUP(stop_program, PointerGetDatum(program));

	if (result == 0)
	{
		*output = program->output;
		*output_len = program->output_len;
		program->output = NULL;
	}
	stop_program(0, PointerGetDatum(program));
	pfree(program);
	return result;
}
