/* Records every write and sync below a directory, in order, so that a test can rebuild what a power loss would leave.
 *
 * LD_PRELOAD it with WFE_RECORD_ROOT (only files below it are recorded) and WFE_RECORD_FILE (where to).
 * A record is a header of 24 bytes, little endian, and its payload:
 *   op (u32), file (u32), offset (u64), length (u64)
 * ops: 1 open (payload: path), 2 write, 3 write through an O_DSYNC descriptor, 4 sync, 5 truncate (offset: new size),
 * 6 rename (payload: old path, a zero byte, new path).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OP_OPEN = 1, OP_WRITE, OP_WRITE_THROUGH, OP_SYNC, OP_TRUNCATE, OP_RENAME };
#define FDS 4096

static struct { uint32_t file; int through; } fds[FDS];
static char paths[FDS][512];
static uint32_t files;
static int out = -1;
static char root[400];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("WFE_RECORD_ROOT"), *file = getenv("WFE_RECORD_FILE");
    if (!where || !file || strlen(where) >= sizeof root) return;
    strcpy(root, where);
    out = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const void *data, size_t size) {
    const char *at = data;
    while (size) {
        long done = syscall(SYS_write, out, at, size);
        if (done <= 0) _exit(99);
        at += done;
        size -= (size_t)done;
    }
}

static void record(uint32_t op, uint32_t file, uint64_t offset, const void *data, uint64_t length, uint64_t payload) {
    struct { uint32_t op, file; uint64_t offset, length; } head = { op, file, offset, length };
    put(&head, sizeof head);
    if (payload) put(data, payload);
}

static uint32_t file_of(int fd) { return out >= 0 && fd >= 0 && fd < FDS ? fds[fd].file : 0; }

static void opened(int fd, const char *path, int flags) {
    char full[512];
    if (out < 0 || fd < 0 || fd >= FDS) return;
    fds[fd].file = 0;
    if (path[0] == '/') strncpy(full, path, sizeof full - 1);
    else return;
    full[sizeof full - 1] = 0;
    if (strncmp(full, root, strlen(root))) return;
    pthread_mutex_lock(&lock);
    uint32_t number = 0;
    for (uint32_t i = 1; i <= files; i++)
        if (!strcmp(paths[i], full)) number = i;
    if (!number && files + 1 < FDS) {
        number = ++files;
        strcpy(paths[number], full);
        record(OP_OPEN, number, 0, full, strlen(full), strlen(full));
    }
    fds[fd].file = number;
    fds[fd].through = (flags & O_DSYNC) != 0;
    if (number && (flags & O_TRUNC)) record(OP_TRUNCATE, number, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
}

#define REAL(name, result, ...) \
    static result (*real)(__VA_ARGS__); if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)
#define OPENER(name, ...) \
    va_list more; va_start(more, flags); \
    int mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, int) : 0; va_end(more); \
    int fd = real(__VA_ARGS__, flags, mode); opened(fd, path, flags); return fd

int open(const char *path, int flags, ...) { REAL("open", int, const char *, int, ...); OPENER("open", path); }
int open64(const char *path, int flags, ...) { REAL("open64", int, const char *, int, ...); OPENER("open64", path); }
int openat(int at, const char *path, int flags, ...) {
    REAL("openat", int, int, const char *, int, ...);
    OPENER("openat", at, path);
}
int openat64(int at, const char *path, int flags, ...) {
    REAL("openat64", int, int, const char *, int, ...);
    OPENER("openat64", at, path);
}

int close(int fd) {
    REAL("close", int, int);
    if (fd == out) return 0;
    if (fd >= 0 && fd < FDS) fds[fd].file = 0;
    return real(fd);
}

/* A write is recorded once it is done: it cannot be synced before, and the shard writes each file from one thread. */
static ssize_t write_at(int fd, const struct iovec *parts, int count, int64_t offset, ssize_t done) {
    if (done <= 0) return done;
    uint64_t at = offset < 0 ? (uint64_t)lseek(fd, 0, SEEK_CUR) - (uint64_t)done : (uint64_t)offset;
    uint64_t left = (uint64_t)done;
    uint32_t op = fds[fd].through ? OP_WRITE_THROUGH : OP_WRITE;
    pthread_mutex_lock(&lock);
    record(op, fds[fd].file, at, 0, left, 0);
    for (int i = 0; i < count && left; i++) {
        uint64_t size = parts[i].iov_len < left ? parts[i].iov_len : left;
        put(parts[i].iov_base, size);
        left -= size;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL("write", ssize_t, int, const void *, size_t);
    ssize_t done = real(fd, data, size);
    struct iovec part = { (void *)data, size };
    return file_of(fd) ? write_at(fd, &part, 1, -1, done) : done;
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL("pwrite64", ssize_t, int, const void *, size_t, off64_t);
    ssize_t done = real(fd, data, size, offset);
    struct iovec part = { (void *)data, size };
    return file_of(fd) ? write_at(fd, &part, 1, offset, done) : done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL("writev", ssize_t, int, const struct iovec *, int);
    ssize_t done = real(fd, parts, count);
    return file_of(fd) ? write_at(fd, parts, count, -1, done) : done;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    REAL("pwritev64", ssize_t, int, const struct iovec *, int, off64_t);
    ssize_t done = real(fd, parts, count, offset);
    return file_of(fd) ? write_at(fd, parts, count, offset, done) : done;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }

static int synced(int fd, int done) {
    if (!done && file_of(fd)) {
        pthread_mutex_lock(&lock);
        record(OP_SYNC, fds[fd].file, 0, 0, 0, 0);
        pthread_mutex_unlock(&lock);
    }
    return done;
}
int fsync(int fd) { REAL("fsync", int, int); return synced(fd, real(fd)); }
int fdatasync(int fd) { REAL("fdatasync", int, int); return synced(fd, real(fd)); }

static int truncated(int fd, off64_t size, int done) {
    if (!done && file_of(fd)) {
        pthread_mutex_lock(&lock);
        record(OP_TRUNCATE, fds[fd].file, (uint64_t)size, 0, 0, 0);
        pthread_mutex_unlock(&lock);
    }
    return done;
}
int ftruncate64(int fd, off64_t size) {
    REAL("ftruncate64", int, int, off64_t);
    return truncated(fd, size, real(fd, size));
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* Files below a renamed directory get a new number when they are opened again: the reader follows the rename. */
int rename(const char *from, const char *to) {
    REAL("rename", int, const char *, const char *);
    int done = real(from, to);
    if (!done && out >= 0 && !strncmp(from, root, strlen(root)) && strlen(from) + strlen(to) < 900) {
        char both[1000];
        size_t size = strlen(from) + 1 + strlen(to);
        strcpy(both, from);
        strcpy(both + strlen(from) + 1, to);
        pthread_mutex_lock(&lock);
        record(OP_RENAME, 0, 0, both, size, size);
        pthread_mutex_unlock(&lock);
    }
    return done;
}
