// Preloaded by a test: the wall clock is off by the microseconds that stand, as decimal text, in
// the file named by DAYBOOK_TEST_CLOCK_OFFSET.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long offset_micros(void)
{
    const char *path = getenv("DAYBOOK_TEST_CLOCK_OFFSET");
    char text[32] = {0};
    int file = path == NULL ? -1 : open(path, O_RDONLY);
    if (file < 0)
        return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    return got > 0 ? atoll(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int outcome = real(clock, now);
    if (outcome != 0 || clock != CLOCK_REALTIME)
        return outcome;
    long long nanos = now->tv_nsec + offset_micros() % 1000000 * 1000;
    now->tv_sec += offset_micros() / 1000000 + (nanos < 0 ? -1 : nanos / 1000000000);
    now->tv_nsec = nanos < 0 ? nanos + 1000000000 : nanos % 1000000000;
    return 0;
}
