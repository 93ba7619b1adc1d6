/* A disk whose flushes take long while the file named by SLOW_WHILE is there: preloaded into a node. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_while_slow(void) {
    const char *file = getenv("SLOW_WHILE");
    if (file && access(file, F_OK) == 0) usleep(60 * 1000);
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_while_slow();
    return real(fd);
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_while_slow();
    return real(fd);
}
