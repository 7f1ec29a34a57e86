/*
 * A wall clock of its own for each process of an app under test.
 *
 * The process of an app under test is a thread (and those it starts); a test that kills it and starts the next one wants
 * the next one to find another time of day, as it would after a night's outage. The name of a thread says how far its
 * wall clock is off: "bwl@+86461" is 86,461 seconds ahead. Every other thread, and every other clock, is left alone: the
 * monotonic clock, and with it every timer and deadline, goes on as ever.
 *
 * This takes the place of clock_gettime for the code that is linked into this program; libraries that are loaded keep the
 * system's. Linux with glibc or musl only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "bwl@"
#define NAME_BYTES 16

typedef int clock_gettime_fn(clockid_t, struct timespec *);

static clock_gettime_fn *system_clock;

static int by_syscall(clockid_t id, struct timespec *now) {
    return (int)syscall(SYS_clock_gettime, id, now);
}

/* The system's own, which needs no system call on most machines. */
__attribute__((constructor)) static void find_system_clock(void) {
    system_clock = (clock_gettime_fn *)dlsym(RTLD_NEXT, "clock_gettime");
}

/* Read once per thread: a thread has its name before it runs any code of an app. */
static __thread int is_known;
static __thread long offset_s;

static long offset_of_thread(void) {
    if (!is_known) {
        char name[NAME_BYTES + 1] = {0};
        if (prctl(PR_GET_NAME, name, 0, 0, 0) == 0 && strncmp(name, PREFIX, strlen(PREFIX)) == 0) {
            offset_s = strtol(name + strlen(PREFIX), NULL, 10);
        }
        is_known = 1;
    }
    return offset_s;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    clock_gettime_fn *ask = system_clock ? system_clock : by_syscall;
    int asked = ask(id, now);
    if (asked == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        now->tv_sec += offset_of_thread();
    }
    return asked;
}
