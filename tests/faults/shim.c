/* Preloaded into a process (LD_PRELOAD), it stands between SQLite and the files of one database.
 *
 * It records every write, truncation, sync and removal in the order in which they happened, for the replay of a power
 * loss, and lets the n-th call of a kind fail as a full or a broken disk would. The process itself gives the orders
 * (fault_arm, fault_mark, through ctypes); AGENT_SYSTEM_FAULT_PATH names the database, AGENT_SYSTEM_FAULT_LOG the record.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum operation { ANY = 0, WRITE, SYNC, READ, TRUNCATE, OPEN, UNLINK, MARK, OPERATIONS };
enum file { NONE = 0, DATABASE, WAL, OTHER, FILES };

/* One entry of the record; the bytes of a write follow it. tests/faults/shim.py reads it. */
struct entry {
    uint32_t operation, file;
    uint64_t offset, length;
};

#define DESCRIPTORS 65536
static unsigned char file_of[DESCRIPTORS];
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static int record = -1;
static const char *database;

static struct { int operation, file, error; long first, times, fired; } fault;
static long calls[OPERATIONS][FILES];

static int (*real_open)(const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_pread)(int, void *, size_t, off64_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void begin(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    database = getenv("AGENT_SYSTEM_FAULT_PATH");
    const char *log = getenv("AGENT_SYSTEM_FAULT_LOG");
    if (log) record = real_open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static int kind(const char *path) {
    size_t length = database ? strlen(database) : 0;
    if (!length || strncmp(path, database, length)) return NONE;
    if (!path[length]) return DATABASE;
    if (!strcmp(path + length, "-wal")) return WAL;
    return strcmp(path + length, "-shm") ? OTHER : NONE; /* the index is rebuilt from the log after a power loss */
}

static int kind_of(int descriptor) { return descriptor >= 0 && descriptor < DESCRIPTORS ? file_of[descriptor] : NONE; }

static void put(const void *bytes, size_t length) {
    const char *next = bytes;
    while (length) {
        long written = syscall(SYS_write, record, next, length);
        if (written < 0) abort(); /* a record with a hole would prove nothing */
        next += written;
        length -= written;
    }
}

static void note(int operation, int file, uint64_t offset, const void *bytes, size_t length) {
    if (record < 0) return;
    struct entry entry = {operation, file, offset, length};
    put(&entry, sizeof entry);
    if (bytes) put(bytes, length);
}

/* Under the guard: whether this call is one that must fail. */
static int fails(int operation, int file) {
    long number = ++calls[operation][file];
    if (!fault.error || (fault.operation != ANY && fault.operation != operation)) return 0;
    if (fault.file && fault.file != file) return 0;
    if (number < fault.first || (fault.times >= 0 && number >= fault.first + fault.times)) return 0;
    fault.fired++;
    return 1;
}

/* Orders of the process itself. */

void fault_arm(int operation, int file, int error, long first, long times) {
    pthread_mutex_lock(&guard);
    memset(calls, 0, sizeof calls);
    fault.operation = operation, fault.file = file, fault.error = error;
    fault.first = first, fault.times = times, fault.fired = 0;
    pthread_mutex_unlock(&guard);
}

long fault_disarm(void) {
    pthread_mutex_lock(&guard);
    long fired = fault.fired;
    fault.error = 0;
    pthread_mutex_unlock(&guard);
    return fired;
}

void fault_mark(long number) {
    pthread_mutex_lock(&guard);
    note(MARK, NONE, number, NULL, 0);
    pthread_mutex_unlock(&guard);
}

/* What SQLite calls. */

static int open_file(const char *path, int flags, mode_t mode) {
    int file = kind(path);
    if (!file) return real_open(path, flags, mode);
    pthread_mutex_lock(&guard);
    int descriptor = -1;
    if (fails(OPEN, file)) errno = fault.error;
    else descriptor = real_open(path, flags, mode);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) file_of[descriptor] = file;
    pthread_mutex_unlock(&guard);
    return descriptor;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_file(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_file(path, flags, mode);
}

int close(int descriptor) {
    if (kind_of(descriptor)) file_of[descriptor] = NONE;
    return real_close(descriptor);
}

ssize_t pread64(int descriptor, void *bytes, size_t length, off64_t offset) {
    int file = kind_of(descriptor);
    if (file) {
        pthread_mutex_lock(&guard);
        int must_fail = fails(READ, file);
        pthread_mutex_unlock(&guard);
        if (must_fail) return errno = fault.error, -1;
    }
    return real_pread(descriptor, bytes, length, offset);
}

ssize_t pread(int descriptor, void *bytes, size_t length, off_t offset) {
    return pread64(descriptor, bytes, length, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    int file = kind_of(descriptor);
    if (!file) return real_pwrite(descriptor, bytes, length, offset);
    pthread_mutex_lock(&guard);
    ssize_t written = -1;
    if (fails(WRITE, file)) {
        /* A disk becomes full in the middle of a write. */
        if (fault.error == ENOSPC && length > 1) written = real_pwrite(descriptor, bytes, length / 2, offset);
        else errno = fault.error;
    } else {
        written = real_pwrite(descriptor, bytes, length, offset);
    }
    if (written > 0) note(WRITE, file, offset, bytes, written);
    pthread_mutex_unlock(&guard);
    return written;
}

ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    return pwrite64(descriptor, bytes, length, offset);
}

int ftruncate64(int descriptor, off64_t length) {
    int file = kind_of(descriptor);
    if (!file) return real_ftruncate(descriptor, length);
    pthread_mutex_lock(&guard);
    int result = -1;
    if (fails(TRUNCATE, file)) errno = fault.error;
    else if (!(result = real_ftruncate(descriptor, length))) note(TRUNCATE, file, length, NULL, 0);
    pthread_mutex_unlock(&guard);
    return result;
}

int ftruncate(int descriptor, off_t length) { return ftruncate64(descriptor, length); }

static int sync_file(int descriptor, int (*real)(int)) {
    int file = kind_of(descriptor);
    if (!file) return real(descriptor);
    pthread_mutex_lock(&guard);
    int result = -1;
    /* What is recorded as synced is what the replay keeps, so the disk itself need not be waited for. */
    if (fails(SYNC, file)) errno = fault.error;
    else result = 0, note(SYNC, file, 0, NULL, 0);
    pthread_mutex_unlock(&guard);
    return result;
}

int fsync(int descriptor) { return sync_file(descriptor, real_fsync); }

int fdatasync(int descriptor) { return sync_file(descriptor, real_fdatasync); }

int unlink(const char *path) {
    int file = kind(path);
    if (!file) return real_unlink(path);
    pthread_mutex_lock(&guard);
    int result = -1;
    if (fails(UNLINK, file)) errno = fault.error;
    else if (!(result = real_unlink(path))) note(UNLINK, file, 0, NULL, 0);
    pthread_mutex_unlock(&guard);
    return result;
}
