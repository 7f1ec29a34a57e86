/*
 * What a crash of the machine would leave of a folder.
 *
 * Preloaded into a program (LD_PRELOAD), it lets every call through, and keeps beside each regular file of the
 * guarded folder a shadow: the file as it was at its last fsync or fdatasync. After the program was killed, putting
 * the shadows in the place of the files loses exactly what was never synced.
 *
 *   LOSTWRITES_DIR     the guarded folder, as a canonical path
 *   LOSTWRITES_SHADOW  the folder of the shadows, outside the guarded one; the shadow of a/b is the file a%2Fb
 *   LOSTWRITES_TRACE   optional: a file that gets a line for each event, in the order they happened:
 *                        MICROSECONDS sync-begin THREAD fsync|fdatasync SHADOW     (then sync-end or sync-failed)
 *                        MICROSECONDS request SOCKET PATH                          (a POST's head was read)
 *                        MICROSECONDS answer SOCKET STATUS                         (an HTTP/1.1 head is about to leave)
 *
 * The model, where a real disk has more freedom:
 *   - What an fsync covers is what was written when it was called; it is in the shadow before the fsync returns.
 *   - A new file lasts (name and content) once it was synced itself. A rename or an unlink lasts at once; a file that
 *     was renamed before it was ever synced is empty after the crash.
 *   - Files whose name ends in -shm are left alone: SQLite maps them into memory and rebuilds them.
 *   - Not seen: writes through mmap, stdio's own buffers (fopen), io_uring, copy_file_range, sendfile, raw system
 *     calls, hard links. What is not seen is lost, so a blind spot makes a test fail, never pass.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 65536
#define RANGES_MAX 256
#define COPY_BYTES (256 * 1024)

/* ---- the real calls ------------------------------------------------------------------------------------------- */

/* The C library's own; looked up once at each place. Two threads that look at once find the same. */
#define REAL(name)                                                                                                     \
    ({                                                                                                                 \
        static __typeof__(&name) cached;                                                                               \
        __typeof__(&name) real = __atomic_load_n(&cached, __ATOMIC_RELAXED);                                           \
        if (!real) {                                                                                                   \
            real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                                         \
            if (!real)                                                                                                 \
                abort();                                                                                               \
            __atomic_store_n(&cached, real, __ATOMIC_RELAXED);                                                         \
        }                                                                                                              \
        real;                                                                                                          \
    })

/* ---- state ---------------------------------------------------------------------------------------------------- */

struct range {
    off_t from, to;
};

/* A guarded file that was opened. Lives as long as the process: their number is small. */
struct file {
    struct file *next;
    dev_t device;
    ino_t inode;
    char name[NAME_MAX + 1]; /* the shadow's name; empty once the file was unlinked */
    int shadow;              /* the shadow's descriptor, or -1 until the first sync */
    off_t size_min;          /* the smallest size since the last sync: what lay beyond it is gone, or -1 */
    int count;
    struct range dirty[RANGES_MAX]; /* written since the last sync */
};

struct descriptor {
    struct file *file;
    int synchronous; /* O_SYNC, O_DSYNC: each write is its own sync */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;
static struct descriptor descriptors[DESCRIPTORS_MAX];
static char guarded[PATH_MAX];
static size_t guarded_length;
static int shadows = -1;
static int trace = -1;

__attribute__((constructor)) static void begin(void) {
    const char *dir = getenv("LOSTWRITES_DIR"), *shadow = getenv("LOSTWRITES_SHADOW");
    const char *trace_path = getenv("LOSTWRITES_TRACE");
    if (!dir || !shadow || strlen(dir) >= sizeof guarded)
        return;
    int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC;
    shadows = REAL(open)(shadow, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (trace_path)
        trace = REAL(open)(trace_path, flags, 0644);
    strcpy(guarded, dir);
    guarded_length = strlen(guarded);
}

static void fail(const char *what) {
    char text[256];
    int length = snprintf(text, sizeof text, "lostwrites: %s: %s\n", what, strerror(errno));
    ssize_t ignored = REAL(write)(2, text, length);
    (void)ignored;
    abort();
}

/* One line of the trace: written whole, at the moment it tells of. */
__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...) {
    if (trace < 0)
        return;
    char line[512];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(line, sizeof line, "%lld ", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    va_list args;
    va_start(args, format);
    length += vsnprintf(line + length, sizeof line - length - 1, format, args);
    va_end(args);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    if (REAL(write)(trace, line, length) != length)
        fail("cannot write the trace");
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The shadow's name of a canonical path; 0 if the path is not guarded. */
static int shadow_name(const char *path, char name[NAME_MAX + 1]) {
    if (shadows < 0 || strncmp(path, guarded, guarded_length) != 0 || path[guarded_length] != '/')
        return 0;
    if (ends_with(path, "-shm"))
        return 0;
    size_t at = 0;
    for (const char *c = path + guarded_length + 1; *c; c++) {
        const char *code = *c == '/' ? "%2F" : *c == '%' ? "%25" : NULL;
        size_t length = code ? 3 : 1;
        if (at + length > NAME_MAX)
            return 0;
        memcpy(name + at, code ? code : c, length);
        at += length;
    }
    name[at] = 0;
    return at > 0;
}

/* The same for a path that a call was given: its folder is resolved, its last part is taken as it is. */
static int shadow_name_at(int dir, const char *path, char name[NAME_MAX + 1]) {
    char joined[2 * PATH_MAX], real[PATH_MAX], whole[PATH_MAX + NAME_MAX + 2];
    if (shadows < 0 || !path)
        return 0;
    if (path[0] == '/' || dir == AT_FDCWD)
        snprintf(joined, sizeof joined, "%s", path);
    else
        snprintf(joined, sizeof joined, "/proc/self/fd/%d/%s", dir, path);
    char *slash = strrchr(joined, '/');
    char last[NAME_MAX + 1];
    if (strlen(slash ? slash + 1 : joined) > NAME_MAX)
        return 0;
    strcpy(last, slash ? slash + 1 : joined);
    if (slash)
        slash[slash == joined ? 1 : 0] = 0;
    if (!realpath(slash ? joined : ".", real))
        return 0;
    snprintf(whole, sizeof whole, "%s/%s", real, last);
    return shadow_name(whole, name);
}

/* ---- files (the lock is held) --------------------------------------------------------------------------------- */

static struct file *file_of(const struct stat *status) {
    struct file *file = files;
    while (file && !(file->device == status->st_dev && file->inode == status->st_ino && file->name[0]))
        file = file->next;
    return file;
}

static struct file *file_named(const char *name) {
    struct file *file = files;
    while (file && strcmp(file->name, name) != 0)
        file = file->next;
    return file;
}

/* The guarded file behind a descriptor. A descriptor can be closed behind our back (fclose) and used anew. */
static struct file *guarded_file(int fd, struct stat *status) {
    if (fd < 0 || fd >= DESCRIPTORS_MAX || !descriptors[fd].file)
        return NULL;
    struct file *file = descriptors[fd].file;
    if (fstat(fd, status) == 0 && file->device == status->st_dev && file->inode == status->st_ino)
        return file;
    descriptors[fd].file = NULL;
    return NULL;
}

static void forget_writes(struct file *file) {
    file->count = 0;
    file->size_min = -1;
}

/* Notes a write. Too many ranges become one: what lies between them equals the shadow already. */
static void note(struct file *file, off_t from, off_t to) {
    if (to <= from)
        return;
    for (int i = 0; i < file->count; i++) {
        struct range *range = &file->dirty[i];
        if (from <= range->to && range->from <= to) {
            range->from = from < range->from ? from : range->from;
            range->to = to > range->to ? to : range->to;
            return;
        }
    }
    if (file->count == RANGES_MAX) {
        for (int i = 1; i < file->count; i++) {
            struct range *all = &file->dirty[0], *range = &file->dirty[i];
            all->from = range->from < all->from ? range->from : all->from;
            all->to = range->to > all->to ? range->to : all->to;
        }
        file->count = 1;
        note(file, from, to);
        return;
    }
    file->dirty[file->count++] = (struct range){from, to};
}

static void note_size(struct file *file, off_t size) {
    if (file->size_min < 0 || size < file->size_min)
        file->size_min = size;
}

static void copy_range(int from, int to, struct range range) {
    static char buffer[COPY_BYTES];
    while (range.from < range.to) {
        size_t want = range.to - range.from < COPY_BYTES ? range.to - range.from : COPY_BYTES;
        ssize_t got = REAL(pread)(from, buffer, want, range.from);
        if (got < 0)
            fail("cannot read a guarded file");
        if (got == 0)
            return; /* truncated since */
        if (REAL(pwrite)(to, buffer, got, range.from) != got)
            fail("cannot write a shadow");
        range.from += got;
    }
}

/*
 * Brings the shadow up to the file as it is now, reading through the program's own descriptor where it may: closing
 * another descriptor of the file would drop the fcntl locks that the program holds on it.
 */
static void sync_shadow(struct file *file, int fd) {
    struct stat status;
    if (!file->name[0])
        return;
    if (file->shadow < 0)
        file->shadow = REAL(openat)(shadows, file->name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file->shadow < 0)
        fail("cannot open a shadow");
    int from = fd, write_only = (REAL(fcntl)(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
    if (write_only) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        from = REAL(open)(link, O_RDONLY | O_CLOEXEC);
    }
    if (from < 0 || fstat(from, &status) != 0)
        fail("cannot read a guarded file");
    if (file->size_min >= 0 && REAL(ftruncate)(file->shadow, file->size_min) != 0)
        fail("cannot shorten a shadow");
    for (int i = 0; i < file->count; i++)
        copy_range(from, file->shadow, file->dirty[i]);
    if (REAL(ftruncate)(file->shadow, status.st_size) != 0)
        fail("cannot size a shadow");
    if (write_only)
        REAL(close)(from);
    forget_writes(file);
}

/* ---- what the calls tell us ----------------------------------------------------------------------------------- */

static void opened(int fd, int flags) {
    char link[64], path[PATH_MAX], name[NAME_MAX + 1];
    struct stat status;
    if (fd < 0 || fd >= DESCRIPTORS_MAX || shadows < 0)
        return;
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    int ours = shadow_name(path, name) && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    pthread_mutex_lock(&lock);
    descriptors[fd] = (struct descriptor){0};
    if (ours) {
        struct file *file = file_of(&status);
        if (!file) {
            file = calloc(1, sizeof *file);
            if (!file)
                fail("no memory");
            *file = (struct file){.next = files, .device = status.st_dev, .inode = status.st_ino, .shadow = -1};
            file->size_min = -1;
            strcpy(file->name, name);
            files = file;
        }
        if (flags & O_TRUNC)
            note_size(file, 0);
        descriptors[fd] = (struct descriptor){file, (flags & (O_SYNC | O_DSYNC)) != 0};
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static void duplicated(int from, int to) {
    if (from < 0 || from >= DESCRIPTORS_MAX || to < 0 || to >= DESCRIPTORS_MAX)
        return;
    pthread_mutex_lock(&lock);
    descriptors[to] = descriptors[from];
    pthread_mutex_unlock(&lock);
}

/* Whether the descriptor is a guarded file; if so the lock is held. A hint first, so that sockets pay nothing. */
static struct file *lock_guarded(int fd) {
    struct stat status;
    if (fd < 0 || fd >= DESCRIPTORS_MAX || !__atomic_load_n(&descriptors[fd].file, __ATOMIC_RELAXED))
        return NULL;
    pthread_mutex_lock(&lock);
    struct file *file = guarded_file(fd, &status);
    if (!file)
        pthread_mutex_unlock(&lock);
    return file;
}

/* After a write of `length` bytes at `offset` (-1: at the descriptor's own place); lets the lock go. */
static void wrote(int fd, struct file *file, ssize_t length, off_t offset) {
    int saved = errno;
    if (length > 0) {
        struct stat status;
        int appends = REAL(fcntl)(fd, F_GETFL) & O_APPEND;
        if (offset >= 0 && appends && fstat(fd, &status) == 0)
            offset = status.st_size - length; /* Linux appends even where an offset was given. */
        else if (offset < 0)
            offset = lseek(fd, 0, SEEK_CUR) - length;
        note(file, offset, offset + length);
        if (descriptors[fd].synchronous)
            sync_shadow(file, fd);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

/* A sync: the shadow first, so that it holds what was written until now and nothing later. */
static int synced(int fd, const char *call, int (*real)(int)) {
    struct file *file = lock_guarded(fd);
    if (!file)
        return real(fd);
    char name[NAME_MAX + 1];
    strcpy(name, file->name);
    tell("sync-begin %d %s %s", gettid(), call, name);
    int saved = errno;
    sync_shadow(file, fd);
    errno = saved;
    pthread_mutex_unlock(&lock);
    int result = real(fd);
    tell("%s %d %s %s", result == 0 ? "sync-end" : "sync-failed", gettid(), call, name);
    return result;
}

static void truncated(struct file *file, off_t before, off_t after) {
    note_size(file, after < before ? after : before);
}

/* ---- sockets -------------------------------------------------------------------------------------------------- */

static int is_socket(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

static int begins(const void *data, size_t length, const char *with) {
    size_t want = strlen(with);
    return length >= want && memcmp(data, with, want) == 0;
}

static void leaving(int fd, const void *data, size_t length) {
    if (trace >= 0 && begins(data, length, "HTTP/1.1 ") && length >= 12 && is_socket(fd)) {
        int saved = errno;
        tell("answer %d %.3s", fd, (const char *)data + 9);
        errno = saved;
    }
}

static void came(int fd, const void *data, ssize_t length) {
    if (trace >= 0 && length > 0 && begins(data, length, "POST ") && is_socket(fd)) {
        int saved = errno;
        const char *path = (const char *)data + 5;
        const char *end = memchr(path, ' ', length - 5);
        int path_length = end && end - path < 200 ? (int)(end - path) : 0;
        tell("request %d %.*s", fd, path_length, path);
        errno = saved;
    }
}

static void leaving_all(int fd, const struct iovec *parts, int count) {
    for (int i = 0; i < count; i++)
        if (parts[i].iov_len > 0) {
            leaving(fd, parts[i].iov_base, parts[i].iov_len);
            return;
        }
}

static void came_all(int fd, const struct iovec *parts, int count, ssize_t length) {
    if (count > 0 && length > 0)
        came(fd, parts[0].iov_base, (size_t)length < parts[0].iov_len ? length : (ssize_t)parts[0].iov_len);
}

/* ---- the calls: opening and closing --------------------------------------------------------------------------- */

#define MODE(flags, last)                                                                                              \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list args;                                                                                                  \
        va_start(args, last);                                                                                          \
        mode = va_arg(args, mode_t);                                                                                   \
        va_end(args);                                                                                                  \
    }

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        MODE(flags, flags)                                                                                             \
        int fd = REAL(name)(path, flags, mode);                                                                        \
        opened(fd, flags);                                                                                             \
        return fd;                                                                                                     \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                                   \
    int name(int dir, const char *path, int flags, ...) {                                                              \
        MODE(flags, flags)                                                                                             \
        int fd = REAL(name)(dir, path, flags, mode);                                                                   \
        opened(fd, flags);                                                                                             \
        return fd;                                                                                                     \
    }
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name)                                                                                                    \
    int name(const char *path, mode_t mode) {                                                                          \
        int fd = REAL(name)(path, mode);                                                                               \
        opened(fd, O_CREAT | O_TRUNC | O_WRONLY);                                                                      \
        return fd;                                                                                                     \
    }
CREAT(creat)
CREAT(creat64)

int close(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS_MAX && __atomic_load_n(&descriptors[fd].file, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&lock);
        descriptors[fd] = (struct descriptor){0};
        pthread_mutex_unlock(&lock);
    }
    return REAL(close)(fd);
}

int dup(int fd) {
    int copy = REAL(dup)(fd);
    duplicated(fd, copy);
    return copy;
}

int dup2(int fd, int to) {
    int copy = REAL(dup2)(fd, to);
    duplicated(fd, copy);
    return copy;
}

int dup3(int fd, int to, int flags) {
    int copy = REAL(dup3)(fd, to, flags);
    duplicated(fd, copy);
    return copy;
}

#define FCNTL(name)                                                                                                    \
    int name(int fd, int command, ...) {                                                                               \
        va_list args;                                                                                                  \
        va_start(args, command);                                                                                       \
        void *argument = va_arg(args, void *);                                                                         \
        va_end(args);                                                                                                  \
        int result = REAL(name)(fd, command, argument);                                                                \
        if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)                                                          \
            duplicated(fd, result);                                                                                    \
        return result;                                                                                                 \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* ---- the calls: writing --------------------------------------------------------------------------------------- */

ssize_t write(int fd, const void *data, size_t length) {
    struct file *file = lock_guarded(fd);
    if (!file) {
        leaving(fd, data, length);
        return REAL(write)(fd, data, length);
    }
    ssize_t result = REAL(write)(fd, data, length);
    wrote(fd, file, result, -1);
    return result;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    struct file *file = lock_guarded(fd);
    if (!file) {
        leaving_all(fd, parts, count);
        return REAL(writev)(fd, parts, count);
    }
    ssize_t result = REAL(writev)(fd, parts, count);
    wrote(fd, file, result, -1);
    return result;
}

#define PWRITE(name, data_type, length_type, offset_type)                                                              \
    ssize_t name(int fd, data_type data, length_type length, offset_type offset) {                                     \
        struct file *file = lock_guarded(fd);                                                                          \
        ssize_t result = REAL(name)(fd, data, length, offset);                                                         \
        if (file)                                                                                                      \
            wrote(fd, file, result, offset);                                                                           \
        return result;                                                                                                 \
    }
PWRITE(pwrite, const void *, size_t, off_t)
PWRITE(pwrite64, const void *, size_t, off64_t)
PWRITE(pwritev, const struct iovec *, int, off_t)
PWRITE(pwritev64, const struct iovec *, int, off64_t)

#define PWRITEV2(name, offset_type)                                                                                    \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_type offset, int flags) {                        \
        struct file *file = lock_guarded(fd);                                                                          \
        ssize_t result = REAL(name)(fd, parts, count, offset, flags);                                                  \
        if (file)                                                                                                      \
            wrote(fd, file, result, offset);                                                                           \
        return result;                                                                                                 \
    }
PWRITEV2(pwritev2, off_t)
PWRITEV2(pwritev64v2, off64_t)

#define FTRUNCATE(name, offset_type)                                                                                   \
    int name(int fd, offset_type size) {                                                                               \
        struct stat before;                                                                                            \
        struct file *file = lock_guarded(fd);                                                                          \
        int known = file && fstat(fd, &before) == 0;                                                                   \
        int result = REAL(name)(fd, size);                                                                             \
        if (file) {                                                                                                    \
            if (result == 0 && known)                                                                                  \
                truncated(file, before.st_size, size);                                                                 \
            pthread_mutex_unlock(&lock);                                                                               \
        }                                                                                                              \
        return result;                                                                                                 \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

#define TRUNCATE(name, offset_type)                                                                                    \
    int name(const char *path, offset_type size) {                                                                     \
        int fd = open(path, O_WRONLY | O_CLOEXEC);                                                                     \
        if (fd < 0)                                                                                                    \
            return -1;                                                                                                 \
        int result = ftruncate(fd, size);                                                                              \
        int saved = errno;                                                                                             \
        close(fd);                                                                                                     \
        errno = saved;                                                                                                 \
        return result;                                                                                                 \
    }
TRUNCATE(truncate, off_t)
TRUNCATE(truncate64, off64_t)

/* ---- the calls: syncing --------------------------------------------------------------------------------------- */

int fsync(int fd) { return synced(fd, "fsync", REAL(fsync)); }

int fdatasync(int fd) { return synced(fd, "fdatasync", REAL(fdatasync)); }

/* ---- the calls: names ----------------------------------------------------------------------------------------- */

static void removed(int ours, const char *name) {
    if (!ours)
        return;
    int saved = errno;
    pthread_mutex_lock(&lock);
    struct file *file = file_named(name);
    if (file) {
        file->name[0] = 0;
        if (file->shadow >= 0)
            REAL(close)(file->shadow);
        file->shadow = -1;
    }
    REAL(unlinkat)(shadows, name, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static void renamed(int old_ours, const char *old, int new_ours, const char *new) {
    removed(new_ours, new);
    if (!old_ours)
        return;
    int saved = errno;
    pthread_mutex_lock(&lock);
    struct file *file = file_named(old);
    if (!new_ours) {
        if (file)
            file->name[0] = 0;
        REAL(unlinkat)(shadows, old, 0);
    } else {
        if (file)
            strcpy(file->name, new);
        if (REAL(renameat)(shadows, old, shadows, new) != 0)
            REAL(close)(REAL(openat)(shadows, new, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

int unlinkat(int dir, const char *path, int flags) {
    char name[NAME_MAX + 1];
    int ours = !(flags & AT_REMOVEDIR) && shadow_name_at(dir, path, name);
    int result = REAL(unlinkat)(dir, path, flags);
    if (result == 0)
        removed(ours, name);
    return result;
}

int unlink(const char *path) {
    char name[NAME_MAX + 1];
    int ours = shadow_name_at(AT_FDCWD, path, name);
    int result = REAL(unlink)(path);
    if (result == 0)
        removed(ours, name);
    return result;
}

int renameat2(int old_dir, const char *old, int new_dir, const char *new, unsigned flags) {
    char old_name[NAME_MAX + 1], new_name[NAME_MAX + 1];
    int old_ours = shadow_name_at(old_dir, old, old_name), new_ours = shadow_name_at(new_dir, new, new_name);
    int result = REAL(renameat2)(old_dir, old, new_dir, new, flags);
    if (result == 0)
        renamed(old_ours, old_name, new_ours, new_name);
    return result;
}

int renameat(int old_dir, const char *old, int new_dir, const char *new) {
    return renameat2(old_dir, old, new_dir, new, 0);
}

int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

/* ---- the calls: sockets --------------------------------------------------------------------------------------- */

ssize_t send(int fd, const void *data, size_t length, int flags) {
    leaving(fd, data, length);
    return REAL(send)(fd, data, length, flags);
}

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t to_length) {
    leaving(fd, data, length);
    return REAL(sendto)(fd, data, length, flags, to, to_length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    leaving_all(fd, message->msg_iov, message->msg_iovlen);
    return REAL(sendmsg)(fd, message, flags);
}

ssize_t recv(int fd, void *data, size_t length, int flags) {
    ssize_t result = REAL(recv)(fd, data, length, flags);
    came(fd, data, result);
    return result;
}

ssize_t recvfrom(int fd, void *data, size_t length, int flags, struct sockaddr *from, socklen_t *from_length) {
    ssize_t result = REAL(recvfrom)(fd, data, length, flags, from, from_length);
    came(fd, data, result);
    return result;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    ssize_t result = REAL(recvmsg)(fd, message, flags);
    came_all(fd, message->msg_iov, message->msg_iovlen, result);
    return result;
}

ssize_t read(int fd, void *data, size_t length) {
    ssize_t result = REAL(read)(fd, data, length);
    came(fd, data, result);
    return result;
}

ssize_t readv(int fd, const struct iovec *parts, int count) {
    ssize_t result = REAL(readv)(fd, parts, count);
    came_all(fd, parts, count, result);
    return result;
}
