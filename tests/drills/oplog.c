/* Records every change of the files below one folder, with its data, in the order in which they happen.

   Loaded into a program with LD_PRELOAD; power_loss.py rebuilds from the record what a disk may hold after a power
   failure. What can not be rebuilt (see `unknown`) is recorded as such, never left out in silence.

   OPLOG_ROOT     the folder, without symbolic links
   OPLOG_FILE     the record; it is appended to, and lies outside of the folder
   OPLOG_KILL_AT  kill the program, as kill -9 does, right after line N of what it adds to the record; -1: never
   OPLOG_FULL     the disk is full while this file exists, once the program has asked for that (see oplog_fill)
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

struct __attribute__((packed)) head {
    char kind;
    uint64_t inode;
    uint64_t offset;  /* of a write; the new size of a truncation */
    uint32_t path_size, other_size;
    uint64_t data_size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;  /* a change and its record are one step */
static const char *root;
static size_t root_size;
static int log_fd = -1;
static const char *full;
static long lines, kill_at = -1, room = -1;

static void fail(const char *what)
{
    fprintf(stderr, "oplog: %s: %s\n", what, strerror(errno));
    abort();
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("OPLOG_FILE"), *at = getenv("OPLOG_KILL_AT");
    root = getenv("OPLOG_ROOT");
    if (!root || !path)
        fail("OPLOG_ROOT and OPLOG_FILE must be set");
    root_size = strlen(root);
    full = getenv("OPLOG_FULL");
    kill_at = at ? atol(at) : -1;
    log_fd = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        fail(path);
}

static void enter(void)
{
    pthread_mutex_lock(&lock);
}

static void leave(void)
{
    pthread_mutex_unlock(&lock);
}

static void put(char kind, uint64_t inode, uint64_t offset, const char *path, const char *other, const void *data,
                size_t size)
{
    int saved = errno;
    struct head head = {kind, inode, offset, strlen(path), strlen(other), size};
    size_t total = sizeof head + head.path_size + head.other_size + size;
    char *line = malloc(total), *end = line;
    if (!line)
        fail("memory");
    end = mempcpy(end, &head, sizeof head);
    end = mempcpy(end, path, head.path_size);
    end = mempcpy(end, other, head.other_size);
    memcpy(end, data, size);
    if (REAL(write)(log_fd, line, total) != (ssize_t) total)
        fail("the record");
    if (lines++ == kill_at)
        kill(getpid(), SIGKILL);
    free(line);
    errno = saved;
}

/* What power_loss.py refuses to rebuild. */
static void unknown(const char *what, const char *path)
{
    put('?', 0, 0, path, what, "", 0);
}

/* The program says what it has promised, or whatever else it likes. */
void oplog_mark(const char *text)
{
    enter();
    put('!', 0, 0, text, "", "", 0);
    leave();
}

/* From now on the disk has room for n more changes, as long as OPLOG_FULL exists. */
void oplog_fill(long n)
{
    enter();
    room = n;
    leave();
}

/* Whether there is no room for one more change. The lock is held. */
static int no_room(void)
{
    if (room < 0 || !full || room-- > 0)
        return 0;
    room = 0;
    int saved = errno;
    if (access(full, F_OK)) {
        errno = saved;
        return 0;
    }
    put('!', 0, 0, "full", "", "", 0);
    errno = ENOSPC;
    return 1;
}

static const char *in_root(const char *path)
{
    if (strncmp(path, root, root_size) || (path[root_size] && path[root_size] != '/'))
        return NULL;
    return path[root_size] ? path + root_size + 1 : path + root_size;
}

/* Whether a path is below the folder; `found` gets it, relative to the folder. Its last part is not resolved. */
static int below(int folder, const char *path, char *found)
{
    char whole[2 * PATH_MAX + 64], resolved[PATH_MAX + NAME_MAX + 2];
    int saved = errno, yes = 0;
    if (!root || !path || log_fd < 0)
        return 0;
    if (path[0] == '/' || folder == AT_FDCWD)
        snprintf(whole, sizeof whole, "%s%s", path[0] == '/' ? "" : "./", path);
    else
        snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", folder, path);
    for (size_t n = strlen(whole); n > 1 && whole[n - 1] == '/'; n--)
        whole[n - 1] = 0;
    char *name = strrchr(whole, '/');
    char *parent = name == whole ? "/" : whole;
    if (name) {
        *name++ = 0;
        if (realpath(parent, resolved)) {
            snprintf(resolved + strlen(resolved), NAME_MAX + 2, "/%s", name);
            const char *relative = in_root(resolved);
            yes = relative != NULL;
            if (yes)
                strcpy(found, relative);
        }
    }
    errno = saved;
    return yes;
}

/* Whether an open file, or folder, is below the folder; a file that is deleted still is. */
static int watched(int fd, struct stat *found, char *path)
{
    char link[64], target[PATH_MAX];
    int saved = errno, yes = 0;
    if (root && log_fd >= 0 && fstat(fd, found) == 0 && (S_ISREG(found->st_mode) || S_ISDIR(found->st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, target, sizeof target - 1);
        target[size < 0 ? 0 : size] = 0;
        const char *relative = in_root(target);
        yes = size > 0 && relative != NULL;
        if (yes)
            strcpy(path, relative);
    }
    errno = saved;
    return yes;
}

/* ---- files are made ---- */

static int opened(int folder, const char *path, int flags, mode_t mode)
{
    char name[PATH_MAX];
    struct stat before, after;
    int changing = flags & (O_CREAT | O_TRUNC);
    if (!((flags & O_ACCMODE) != O_RDONLY || changing) || !below(folder, path, name))
        return REAL(openat)(folder, path, flags, mode);
    if (flags & O_DSYNC || (flags & O_TMPFILE) == O_TMPFILE)
        unknown("open with O_SYNC, O_DSYNC or O_TMPFILE", name);
    enter();
    if (no_room()) {
        leave();
        return -1;
    }
    if (!changing) {
        leave();
        return REAL(openat)(folder, path, flags, mode);
    }
    int saved = errno, was_there = fstatat(folder, path, &before, 0) == 0;
    errno = saved;
    int fd = REAL(openat)(folder, path, flags, mode);
    if (fd >= 0 && fstat(fd, &after) == 0) {
        if (!was_there)
            put('C', after.st_ino, 0, name, "", "", 0);
        else if (flags & O_TRUNC)
            put('T', after.st_ino, 0, "", "", "", 0);
    }
    leave();
    return fd;
}

#define OPEN(name)                                          \
    int name(const char *path, int flags, ...)              \
    {                                                       \
        va_list rest;                                       \
        va_start(rest, flags);                              \
        mode_t mode = va_arg(rest, int);                    \
        va_end(rest);                                       \
        return opened(AT_FDCWD, path, flags, mode);         \
    }
#define OPENAT(name)                                        \
    int name(int folder, const char *path, int flags, ...)  \
    {                                                       \
        va_list rest;                                       \
        va_start(rest, flags);                              \
        mode_t mode = va_arg(rest, int);                    \
        va_end(rest);                                       \
        return opened(folder, path, flags, mode);           \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* ---- files are written ---- */

/* `real` is the call; `at` is -1 where it writes at the file's position. */
#define WRITE(fd, real, at, data, size)                                                             \
    struct stat file;                                                                               \
    char path[PATH_MAX];                                                                            \
    if (!watched(fd, &file, path))                                                                  \
        return real;                                                                                \
    enter();                                                                                        \
    ssize_t done = no_room() ? -1 : real;                                                           \
    if (done > 0)                                                                                   \
        put('W', file.st_ino, (at) < 0 ? lseek(fd, 0, SEEK_CUR) - done : (at), "", "", data, done); \
    leave();                                                                                        \
    return done;

ssize_t write(int fd, const void *data, size_t size) { WRITE(fd, REAL(write)(fd, data, size), -1, data, size) }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    WRITE(fd, REAL(pwrite)(fd, data, size, at), at, data, size) }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    WRITE(fd, REAL(pwrite64)(fd, data, size, at), at, data, size) }

/* Several buffers: joined, and written as one. */
static ssize_t joined(int fd, const struct iovec *parts, int n, off64_t at)
{
    size_t total = 0;
    for (int i = 0; i < n; i++)
        total += parts[i].iov_len;
    char *data = malloc(total + 1), *end = data;
    if (!data)
        fail("memory");
    for (int i = 0; i < n; i++)
        end = mempcpy(end, parts[i].iov_base, parts[i].iov_len);
    ssize_t done = at < 0 ? write(fd, data, total) : pwrite64(fd, data, total, at);
    int saved = errno;
    free(data);
    errno = saved;
    return done;
}

#define WRITEV(fd, parts, n, at, real)     \
    struct stat file;                      \
    char path[PATH_MAX];                   \
    if (!watched(fd, &file, path))         \
        return real;                       \
    return joined(fd, parts, n, at);

ssize_t writev(int fd, const struct iovec *parts, int n) { WRITEV(fd, parts, n, -1, REAL(writev)(fd, parts, n)) }
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) {
    WRITEV(fd, parts, n, at, REAL(pwritev)(fd, parts, n, at)) }
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at) {
    WRITEV(fd, parts, n, at, REAL(pwritev64)(fd, parts, n, at)) }

/* After a call that changes a file's size, or forces it to disk: done is 0 if it has worked. */
#define CHANGE(fd, real, kind, size)                       \
    struct stat file;                                      \
    char path[PATH_MAX];                                   \
    if (!watched(fd, &file, path))                         \
        return real;                                       \
    enter();                                               \
    int done = no_room() ? -1 : real;                      \
    if (done == 0)                                         \
        put(kind, file.st_ino, size, path, "", "", 0);     \
    leave();                                               \
    return done;
#define MAX(a, b) ((a) > (b) ? (a) : (b))

int ftruncate(int fd, off_t size) { CHANGE(fd, REAL(ftruncate)(fd, size), 'T', size) }
int ftruncate64(int fd, off64_t size) { CHANGE(fd, REAL(ftruncate64)(fd, size), 'T', size) }
int posix_fallocate(int fd, off_t at, off_t n) {
    CHANGE(fd, REAL(posix_fallocate)(fd, at, n), 'T', MAX(file.st_size, at + n)) }
int posix_fallocate64(int fd, off64_t at, off64_t n) {
    CHANGE(fd, REAL(posix_fallocate64)(fd, at, n), 'T', MAX(file.st_size, at + n)) }
int fsync(int fd) { CHANGE(fd, REAL(fsync)(fd), 'S', 0) }
int fdatasync(int fd) { CHANGE(fd, REAL(fdatasync)(fd), 'S', 0) }  /* of a file's size, too, but of no name */

/* ---- names ---- */

#define MAKE(path_folder, path, real)                                          \
    char name[PATH_MAX];                                                       \
    struct stat made;                                                          \
    if (!below(path_folder, path, name))                                       \
        return real;                                                           \
    enter();                                                                   \
    int done = no_room() ? -1 : real;                                          \
    if (done == 0 && fstatat(path_folder, path, &made, 0) == 0)                \
        put('M', made.st_ino, 0, name, "", "", 0);                             \
    leave();                                                                   \
    return done;
#define REMOVE(path_folder, path, real)                                        \
    char name[PATH_MAX];                                                       \
    if (!below(path_folder, path, name))                                       \
        return real;                                                           \
    enter();                                                                   \
    int done = real;                                                           \
    if (done == 0)                                                             \
        put('U', 0, 0, name, "", "", 0);                                       \
    leave();                                                                   \
    return done;
#define TWO(kind, from_folder, from, to_folder, to, real)                      \
    char old[PATH_MAX] = "", new[PATH_MAX] = "";                               \
    int from_here = below(from_folder, from, old), to_here = below(to_folder, to, new); \
    if (!from_here && !to_here)                                                \
        return real;                                                           \
    enter();                                                                   \
    int done = no_room() ? -1 : real;                                          \
    if (done == 0 && from_here && to_here)                                     \
        put(kind, 0, 0, old, new, "", 0);                                      \
    else if (done == 0)                                                        \
        unknown("a name moved into or out of the folder", from_here ? old : new); \
    leave();                                                                   \
    return done;

int mkdir(const char *path, mode_t mode) { MAKE(AT_FDCWD, path, REAL(mkdir)(path, mode)) }
int mkdirat(int folder, const char *path, mode_t mode) { MAKE(folder, path, REAL(mkdirat)(folder, path, mode)) }
int unlink(const char *path) { REMOVE(AT_FDCWD, path, REAL(unlink)(path)) }
int unlinkat(int folder, const char *path, int flags) { REMOVE(folder, path, REAL(unlinkat)(folder, path, flags)) }
int rmdir(const char *path) { REMOVE(AT_FDCWD, path, REAL(rmdir)(path)) }
int remove(const char *path) { REMOVE(AT_FDCWD, path, REAL(remove)(path)) }
int rename(const char *from, const char *to) { TWO('R', AT_FDCWD, from, AT_FDCWD, to, REAL(rename)(from, to)) }
int renameat(int a, const char *from, int b, const char *to) { TWO('R', a, from, b, to, REAL(renameat)(a, from, b, to)) }
int link(const char *from, const char *to) { TWO('L', AT_FDCWD, from, AT_FDCWD, to, REAL(link)(from, to)) }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    TWO('L', a, from, b, to, REAL(linkat)(a, from, b, to, flags)) }

/* ---- what can not be rebuilt ---- */

#define UNKNOWN_FD(fd, what, real)                            \
    struct stat file;                                         \
    char path[PATH_MAX];                                      \
    if (watched(fd, &file, path))                             \
        unknown(what, path);                                  \
    return real;
#define UNKNOWN_PATH(path, what, real)                        \
    char name[PATH_MAX];                                      \
    if (below(AT_FDCWD, path, name))                          \
        unknown(what, name);                                  \
    return real;
#define SHARED(protection, flags) (((protection) & PROT_WRITE) && ((flags) & MAP_SHARED))

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t at)
{
    UNKNOWN_FD(SHARED(protection, flags) ? fd : -1, "mmap", REAL(mmap)(where, size, protection, flags, fd, at))
}
void *mmap64(void *where, size_t size, int protection, int flags, int fd, off64_t at)
{
    UNKNOWN_FD(SHARED(protection, flags) ? fd : -1, "mmap", REAL(mmap64)(where, size, protection, flags, fd, at))
}
int fallocate(int fd, int mode, off_t at, off_t n) { UNKNOWN_FD(fd, "fallocate", REAL(fallocate)(fd, mode, at, n)) }
int fallocate64(int fd, int mode, off64_t at, off64_t n) {
    UNKNOWN_FD(fd, "fallocate", REAL(fallocate64)(fd, mode, at, n)) }
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t n, unsigned flags) {
    UNKNOWN_FD(to, "copy_file_range", REAL(copy_file_range)(from, a, to, b, n, flags)) }
ssize_t sendfile(int to, int from, off_t *at, size_t n) { UNKNOWN_FD(to, "sendfile", REAL(sendfile)(to, from, at, n)) }
ssize_t sendfile64(int to, int from, off64_t *at, size_t n) {
    UNKNOWN_FD(to, "sendfile", REAL(sendfile64)(to, from, at, n)) }
int truncate(const char *path, off_t size) { UNKNOWN_PATH(path, "truncate", REAL(truncate)(path, size)) }
int truncate64(const char *path, off64_t size) { UNKNOWN_PATH(path, "truncate", REAL(truncate64)(path, size)) }
int symlink(const char *target, const char *path) { UNKNOWN_PATH(path, "symlink", REAL(symlink)(target, path)) }
