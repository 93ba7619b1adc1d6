/* A disk that forgets what was not flushed, for the flush test (flush.rs).
 *
 * Preloaded into the server. It lets every call through, and keeps a journal of what each write to a
 * file below FORGET_DIR replaced, and of each completed flush. After a kill -9 the test takes back, from
 * the journal, every write that no flush covers: what a loss of power may do and a kill alone cannot
 * show. The journal is appended to before the write it describes, and read only once the process is gone.
 *
 * FORGET_LIES=1 notes no flush: a disk that says it has flushed and has not. The test must then find
 * losses, or it proves nothing.
 *
 * What it treats as durable at once: names (rename, unlink), lengths given by fallocate, O_TRUNC.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FD_MAX 65536

/* One record; `kept` old bytes follow it. */
struct record {
  uint64_t kind;     /* 'W' write, 'S' flush, 'D' gone, 'T' truncation */
  uint64_t inode;
  uint64_t offset;   /* W: where; T: the new length */
  uint64_t length;   /* W: bytes to be written; S: records that the flush surely covers */
  uint64_t old_size;
  uint64_t kept;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char watched[FD_MAX]; /* 1: watched, 2: watched and appending */
static int journal = -1;
static uint64_t records;
static const char *directory;
static int lies;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_close)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void begin(void) {
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwritev = dlsym(RTLD_NEXT, "pwritev64");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_close = dlsym(RTLD_NEXT, "close");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  const char *path = getenv("FORGET_JOURNAL");
  directory = getenv("FORGET_DIR");
  lies = getenv("FORGET_LIES") != NULL;
  if (path && directory)
    journal = syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
}

static int is_watched(int fd) { return journal >= 0 && fd >= 0 && fd < FD_MAX && watched[fd]; }

static void note(struct record record, const void *old) {
  struct iovec parts[2] = {{&record, sizeof record}, {(void *)old, record.kept}};
  if (syscall(SYS_writev, journal, parts, record.kept ? 2 : 1) != (ssize_t)(sizeof record + record.kept))
    abort(); /* a journal with a hole would prove nothing */
  records++;
}

/* Notes what a write of `length` bytes at `offset` (-1: at the file's position) replaces. Locked. */
static void note_write(int fd, off_t offset, size_t length) {
  struct stat status;
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return;
  if (offset < 0) offset = watched[fd] == 2 ? status.st_size : syscall(SYS_lseek, fd, 0, SEEK_CUR);
  size_t kept = 0;
  char *old = NULL;
  if (offset < status.st_size) {
    kept = (size_t)(status.st_size - offset);
    if (kept > length) kept = length;
    char name[64] = "/proc/self/fd/";
    int at = 14, digits[10], count = 0, rest = fd;
    do { digits[count++] = rest % 10; rest /= 10; } while (rest);
    while (count) name[at++] = '0' + digits[--count];
    name[at] = 0;
    int reader = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    old = malloc(kept);
    if (reader < 0 || !old || syscall(SYS_pread64, reader, old, kept, offset) != (ssize_t)kept) abort();
    syscall(SYS_close, reader);
  }
  note((struct record){'W', status.st_ino, offset, length, status.st_size, kept}, old);
  free(old);
}

static void note_gone(const char *path) {
  struct stat status;
  if (journal < 0 || stat(path, &status) != 0 || !S_ISREG(status.st_mode)) return;
  pthread_mutex_lock(&lock);
  note((struct record){'D', status.st_ino, 0, 0, 0, 0}, NULL);
  pthread_mutex_unlock(&lock);
}

static int opened(int fd, const char *path, int flags) {
  if (fd < 0 || fd >= FD_MAX || journal < 0) return fd;
  watched[fd] = 0;
  char full[PATH_MAX];
  if (strncmp(path, directory, strlen(directory)) != 0 && (!realpath(path, full) || strncmp(full, directory, strlen(directory)) != 0))
    return fd;
  if ((flags & O_ACCMODE) != O_RDONLY) watched[fd] = flags & O_APPEND ? 2 : 1;
  if (flags & O_TRUNC) note_gone(path);
  return fd;
}

#define OPEN(name, parameters, path, call)                                        \
  int name parameters {                                                           \
    mode_t mode = 0;                                                              \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                        \
      va_list rest;                                                               \
      va_start(rest, flags);                                                      \
      mode = va_arg(rest, mode_t);                                                \
      va_end(rest);                                                               \
    }                                                                             \
    return opened(call, path, flags);                                             \
  }
OPEN(open, (const char *path, int flags, ...), path, (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), path, (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), path, (int)syscall(SYS_openat, at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), path, (int)syscall(SYS_openat, at, path, flags, mode))

int close(int fd) {
  if (fd >= 0 && fd < FD_MAX) watched[fd] = 0;
  return real_close(fd);
}

#define WRITE(name, parameters, offset, length, call)                             \
  ssize_t name parameters {                                                       \
    if (!is_watched(fd)) return call;                                             \
    pthread_mutex_lock(&lock);                                                    \
    note_write(fd, offset, length);                                               \
    ssize_t written = call;                                                       \
    int error = errno;                                                            \
    pthread_mutex_unlock(&lock);                                                  \
    errno = error;                                                                \
    return written;                                                               \
  }
static size_t total(const struct iovec *parts, int count) {
  size_t sum = 0;
  for (int i = 0; i < count; i++) sum += parts[i].iov_len;
  return sum;
}
WRITE(write, (int fd, const void *bytes, size_t length), -1, length, real_write(fd, bytes, length))
WRITE(pwrite, (int fd, const void *bytes, size_t length, off_t at), at, length, real_pwrite(fd, bytes, length, at))
WRITE(pwrite64, (int fd, const void *bytes, size_t length, off_t at), at, length, real_pwrite(fd, bytes, length, at))
WRITE(writev, (int fd, const struct iovec *parts, int count), -1, total(parts, count), real_writev(fd, parts, count))
WRITE(pwritev, (int fd, const struct iovec *parts, int count, off_t at), at, total(parts, count), real_pwritev(fd, parts, count, at))
WRITE(pwritev64, (int fd, const struct iovec *parts, int count, off_t at), at, total(parts, count), real_pwritev(fd, parts, count, at))

static int flush(int fd, int (*call)(int)) {
  if (!is_watched(fd)) return call(fd);
  pthread_mutex_lock(&lock);
  uint64_t covered = records;
  pthread_mutex_unlock(&lock);
  int result = call(fd);
  struct stat status;
  if (result == 0 && !lies && fstat(fd, &status) == 0) {
    pthread_mutex_lock(&lock);
    note((struct record){'S', status.st_ino, 0, covered, 0, 0}, NULL);
    pthread_mutex_unlock(&lock);
  }
  return result;
}
int fdatasync(int fd) { return flush(fd, real_fdatasync); }
int fsync(int fd) { return flush(fd, real_fsync); }

int rename(const char *from, const char *to) {
  note_gone(to);
  return real_rename(from, to);
}
int unlink(const char *path) {
  note_gone(path);
  return real_unlink(path);
}
int unlinkat(int at, const char *path, int flags) {
  if (at == AT_FDCWD) note_gone(path);
  return real_unlinkat(at, path, flags);
}

static int truncate_noted(int fd, off_t length) {
  if (!is_watched(fd)) return real_ftruncate(fd, length);
  struct stat status;
  pthread_mutex_lock(&lock);
  if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
    note((struct record){'T', status.st_ino, length, 0, status.st_size, 0}, NULL);
  int result = real_ftruncate(fd, length);
  pthread_mutex_unlock(&lock);
  return result;
}
int ftruncate(int fd, off_t length) { return truncate_noted(fd, length); }
int ftruncate64(int fd, off_t length) { return truncate_noted(fd, length); }
