/* Between the worker and libc: counts every file call below OUBLIETTE_FAULT_ROOT, and at one of them does what the driver asks for.
 *
 * OUBLIETTE_FAULT_LIST   a file that gets a line for each call (number, name, size, path), and, behind `=`, for each acknowledgement
 * OUBLIETTE_FAULT_AT     the number of the call to attack, from 1
 * OUBLIETTE_FAULT_DO     kill      SIGKILL before the call
 *                        tear      half of a write, cut at a sector's border where it has one inside, then SIGKILL
 *                        fail      the call fails with OUBLIETTE_FAULT_ERRNO, and does nothing
 *                        half      half of a write, up to a sector's border, and the next write to that file fails with
 *                                  OUBLIETTE_FAULT_ERRNO: so does a system that meets it half-way (without a border inside: as fail)
 *                        short     half of the bytes, and no error
 *                        shutdown  the ext4 file system below the root goes away, then SIGKILL
 * OUBLIETTE_FAULT_FOR    how many calls from there on (0: all of them)
 * OUBLIETTE_FAULT_ON     the calls' names that it is about, with a comma behind each (none: all)
 * OUBLIETTE_FAULT_RECORD a file that gets all that is written, renamed and synced, in order, and between it
 *                        what is written to OUBLIETTE_FAULT_ACKS: for simulating power cuts
 * OUBLIETTE_FAULT_LIES   if set, syncs of files and folders do nothing and say that all is well: a control
 *
 * Only for a process that opens at most 1024 files at a time. Rust's standard library finds `statx` and `copy_file_range` by `dlsym`, and
 * so here too; what would go through `syscall` is counted by its number.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 1024
#define PATH 512
#define SECTOR 512
#define EXPORT __attribute__((visibility("default")))
#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)next(#name)

enum what { PASS, KILL, TEAR, FAIL, HALF, SHORT, SHUTDOWN };

static char root[PATH], acks[PATH], on[1024];
static size_t root_len;
static enum what what = PASS;
static long at, last_for = 1;
static int error_number, lies, list = -1, record = -1;
static atomic_long calls, failures;
static atomic_int is_down; /* the file system goes away */
static atomic_int half_way = -1; /* the file whose next write fails */
static char paths[FILES][PATH];
static atomic_int tracked[FILES]; /* 1: below the root, 2: the acknowledgements */
static pthread_mutex_t order = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void *next(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) { fprintf(stderr, "shim: no %s\n", name); abort(); }
    return found;
}

/* Past ourselves. */
#define raw(number, ...) real_syscall()(number, __VA_ARGS__)
typedef long (*numbered)(long, ...);
static numbered real_syscall(void) {
    static numbered real;
    if (!real) real = (numbered)next("syscall");
    return real;
}

static int raw_open(const char *path, int flags) { return (int)raw(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0600); }

static void raw_write(int fd, const void *bytes, size_t len) {
    const char *from = bytes;
    while (len > 0) {
        long done = raw(SYS_write, fd, from, len);
        if (done <= 0) abort();
        from += done; len -= (size_t)done;
    }
}

static const char *env(const char *name) { const char *v = getenv(name); return v && *v ? v : NULL; }

__attribute__((constructor)) static void begin(void) {
    const char *v;
    if (!(v = env("OUBLIETTE_FAULT_ROOT"))) return;
    snprintf(root, sizeof root, "%s", v);
    if ((v = env("OUBLIETTE_FAULT_ACKS"))) snprintf(acks, sizeof acks, "%s", v);
    if ((v = env("OUBLIETTE_FAULT_ON"))) snprintf(on, sizeof on, "%s", v);
    lies = env("OUBLIETTE_FAULT_LIES") != NULL;
    if ((v = env("OUBLIETTE_FAULT_AT"))) at = atol(v);
    if ((v = env("OUBLIETTE_FAULT_FOR"))) last_for = atol(v);
    if ((v = env("OUBLIETTE_FAULT_ERRNO"))) error_number = atoi(v);
    if ((v = env("OUBLIETTE_FAULT_DO"))) {
        static const char *names[] = {"pass", "kill", "tear", "fail", "half", "short", "shutdown"};
        for (int i = 0; i < 7; i++) if (!strcmp(v, names[i])) what = (enum what)i;
    }
    if ((v = env("OUBLIETTE_FAULT_LIST"))) list = raw_open(v, O_WRONLY | O_CREAT | O_APPEND);
    if ((v = env("OUBLIETTE_FAULT_RECORD"))) record = raw_open(v, O_WRONLY | O_CREAT | O_APPEND);
    root_len = strlen(root);
}

/* The absolute path; false if it is too long. */
static int absolute(int dir, const char *path, char *into) {
    if (!path) return 0;
    if (path[0] == '/') return snprintf(into, PATH, "%s", path) < PATH;
    if (dir >= 0 && dir < FILES && tracked[dir]) {
        if (!*path) return snprintf(into, PATH, "%s", paths[dir]) < PATH;
        return snprintf(into, PATH, "%s/%s", paths[dir], path) < PATH;
    }
    return 0;
}

static int is_below(const char *path) {
    return root_len && !strncmp(path, root, root_len) && (path[root_len] == '/' || !path[root_len]);
}

static int below(int dir, const char *path, char *into) { return root_len && absolute(dir, path, into) && is_below(into); }
static int is_file(int fd) { return fd >= 0 && fd < FILES && tracked[fd] == 1; }
static int is_acks(int fd) { return fd >= 0 && fd < FILES && tracked[fd] == 2; }

static void track(int fd, const char *path) {
    if (fd < 0 || fd >= FILES || !root_len) return;
    int kind = is_below(path) ? 1 : (*acks && !strcmp(path, acks)) ? 2 : 0;
    if (kind) snprintf(paths[fd], PATH, "%s", path);
    tracked[fd] = kind;
}

static void lock(void);

/* Not while another thread has written something and not yet noted it: what comes next would see it, and the power cut not know of it. */
static void die(void) {
    lock();
    raw(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static void shut_down(void) {
    uint32_t flags = (uint32_t)error_number; /* 0: flush all, 1: flush the journal, 2: nothing */
    atomic_store(&is_down, 1);
    int fd = raw_open(root, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || raw(SYS_ioctl, fd, _IOR('X', 125, uint32_t), &flags)) {
        dprintf(2, "shim: the file system cannot be shut down: %s\n", strerror(errno));
        abort();
    }
    die();
}

/* Counts a call, and says what is to become of it. KILL, and what is one, never comes back. */
static enum what meet(const char *name, const char *path, size_t size) {
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (list >= 0) {
        char line[PATH + 128];
        int len = snprintf(line, sizeof line, "%ld %s %zu %s\n", number, name, size, path + root_len);
        raw_write(list, line, (size_t)len);
    }
    if (what == PASS || !at || number < at) return PASS;
    if (number == at && what == KILL) die();
    if (number == at && what == SHUTDOWN) shut_down();
    if (what == KILL || (what == TEAR && number > at)) return PASS;
    /* Of several threads' calls another may be the one of this number: the next one that can fail so is meant. */
    char needle[64];
    snprintf(needle, sizeof needle, "%s,", name);
    if (*on && !strstr(on, needle)) return PASS;
    if (last_for && atomic_fetch_add(&failures, 1) >= last_for) return PASS;
    return what;
}

/* ---- the record */

struct head { uint32_t kind, a, b, pad; uint64_t inode, offset; };

static void note(char kind, uint64_t inode, uint64_t offset, const char *a, size_t a_len, const void *b, size_t b_len) {
    struct head head = {(uint32_t)kind, (uint32_t)a_len, (uint32_t)b_len, 0, inode, offset};
    raw_write(record, &head, sizeof head);
    raw_write(record, a, a_len);
    raw_write(record, b, b_len);
}

static uint64_t inode_of(int fd) { struct stat s; return raw(SYS_fstat, fd, &s) ? 0 : s.st_ino; }
static uint64_t inode_at(const char *path) {
    struct stat s;
    return raw(SYS_newfstatat, AT_FDCWD, path, &s, AT_SYMLINK_NOFOLLOW) ? 0 : s.st_ino;
}
static void note_path(char kind, const char *path, uint64_t inode) {
    if (record >= 0) note(kind, inode, 0, path + root_len, strlen(path + root_len), "", 0);
}
static void lock(void) { if (record >= 0) pthread_mutex_lock(&order); }
static void unlock(void) { if (record >= 0) { int e = errno; pthread_mutex_unlock(&order); errno = e; } }

/* ---- open and close */

static int opened(int dir, const char *path, int flags, mode_t mode) {
    char full[PATH];
    int in = below(dir, path, full);
    int is_new = flags & O_CREAT;
    if (in && meet(is_new ? "create" : "open", full, 0) != PASS) {
        if (what == FAIL || what == HALF) { errno = error_number; return -1; }
    }
    lock();
    int before = record >= 0 && in && inode_at(full) != 0;
    int fd = (int)raw(SYS_openat, dir, path, flags, mode);
    if (fd >= 0) {
        if (in || absolute(dir, path, full)) track(fd, full); else if (fd < FILES) tracked[fd] = 0;
        if (record >= 0 && in) {
            if (is_new && !before) note_path('C', full, inode_of(fd));
            else if (flags & O_TRUNC) note('T', inode_of(fd), 0, "", 0, "", 0);
        }
    }
    unlock();
    return fd;
}

#define MODE(flags) mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list args; va_start(args, flags); mode = (mode_t)va_arg(args, int); va_end(args); }

EXPORT int open(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags, mode); }
EXPORT int open64(const char *path, int flags, ...) { MODE(flags) return opened(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
EXPORT int openat(int dir, const char *path, int flags, ...) { MODE(flags) return opened(dir, path, flags, mode); }
EXPORT int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return opened(dir, path, flags | O_LARGEFILE, mode); }
EXPORT int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

EXPORT int close(int fd) {
    int in = is_file(fd);
    enum what now = in ? meet("close", paths[fd], 0) : PASS;
    if (fd >= 0 && fd < FILES) tracked[fd] = 0;
    int done = (int)raw(SYS_close, fd);
    if (now == FAIL || now == HALF) { errno = error_number; return -1; }
    return done;
}

static int duplicated(int from, int to) {
    if (to >= 0 && to < FILES) {
        int kind = from >= 0 && from < FILES ? tracked[from] : 0;
        if (kind) memcpy(paths[to], paths[from], PATH);
        tracked[to] = kind;
    }
    return to;
}
EXPORT int dup(int fd) { REAL(dup); return duplicated(fd, real(fd)); }
EXPORT int dup2(int fd, int to) { REAL(dup2); return duplicated(fd, real(fd, to)); }
EXPORT int dup3(int fd, int to, int flags) { REAL(dup3); return duplicated(fd, real(fd, to, flags)); }
static int is_lock(int command) {
    return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW;
}
static int controlled(int fd, int command, void *arg) {
    /* (To unlock does not fail.) */
    if (is_file(fd) && is_lock(command) && ((struct flock *)arg)->l_type != F_UNLCK) {
        enum what now = meet("lock", paths[fd], 0);
        if (now == FAIL || now == HALF) { errno = error_number; return -1; }
    }
    int done = (int)raw(SYS_fcntl, fd, command, arg);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) duplicated(fd, done);
    return done;
}
#define ARG(last) va_list args; va_start(args, last); void *arg = va_arg(args, void *); va_end(args);
EXPORT int fcntl(int fd, int command, ...) { ARG(command) return controlled(fd, command, arg); }
EXPORT int fcntl64(int fd, int command, ...) { ARG(command) return controlled(fd, command, arg); }

/* ---- reading */

static size_t half(size_t size) { return size > 1 ? size / 2 : size; }

static ssize_t reads(const char *name, int fd, void *bytes, size_t size, off64_t offset) {
    if (is_file(fd)) {
        switch (meet(name, paths[fd], size)) {
        case FAIL: case HALF: errno = error_number; return -1;
        case SHORT: size = half(size); break;
        default: break;
        }
    }
    return offset < 0 ? raw(SYS_read, fd, bytes, size) : raw(SYS_pread64, fd, bytes, size, offset);
}
EXPORT ssize_t read(int fd, void *bytes, size_t size) { return reads("read", fd, bytes, size, -1); }
EXPORT ssize_t pread(int fd, void *bytes, size_t size, off_t offset) { return reads("pread", fd, bytes, size, offset); }
EXPORT ssize_t pread64(int fd, void *bytes, size_t size, off64_t offset) { return reads("pread", fd, bytes, size, offset); }
EXPORT ssize_t readv(int fd, const struct iovec *v, int count) {
    /* Of several buffers one is filled: a short read, which anybody may get. */
    if (is_file(fd) && count > 0) return reads("read", fd, v[0].iov_base, v[0].iov_len, -1);
    return raw(SYS_readv, fd, v, count);
}

/* ---- writing */

static ssize_t put(int fd, const void *bytes, size_t size, off64_t offset) {
    lock();
    uint64_t where = (uint64_t)offset;
    if (record >= 0 && offset < 0) {
        if (raw(SYS_fcntl, fd, F_GETFL) & O_APPEND) {
            struct stat s; raw(SYS_fstat, fd, &s); where = (uint64_t)s.st_size;
        } else where = (uint64_t)raw(SYS_lseek, fd, 0, SEEK_CUR);
    }
    ssize_t done = offset < 0 ? raw(SYS_write, fd, bytes, size) : raw(SYS_pwrite64, fd, bytes, size, offset);
    if (record >= 0 && done > 0) {
        if (is_acks(fd)) note('A', 0, 0, "", 0, bytes, (size_t)done);
        else note('W', inode_of(fd), where, "", 0, bytes, (size_t)done);
    }
    unlock();
    return done;
}

/* Where a write tears: at a sector's border near its middle. */
static size_t border(int fd, size_t size, off64_t offset) {
    uint64_t from = offset < 0 ? (uint64_t)raw(SYS_lseek, fd, 0, SEEK_CUR) : (uint64_t)offset;
    uint64_t cut = (from + size / 2) / SECTOR * SECTOR;
    if (cut <= from) cut += SECTOR;
    return cut >= from + size ? size : (size_t)(cut - from);
}

static ssize_t writes(const char *name, int fd, const void *bytes, size_t size, off64_t offset) {
    if (is_file(fd)) {
        int first = fd;
        if (atomic_compare_exchange_strong(&half_way, &first, -1)) { errno = error_number; return -1; }
        switch (meet(name, paths[fd], size)) {
        case FAIL: errno = error_number; return -1;
        case HALF: {
            size_t cut_at = border(fd, size, offset);
            if (cut_at >= size) { errno = error_number; return -1; }
            atomic_store(&half_way, fd);
            return put(fd, bytes, cut_at, offset);
        }
        case TEAR: put(fd, bytes, border(fd, size, offset), offset); die(); break;
        case SHORT: size = half(size); break;
        default: break;
        }
        return put(fd, bytes, size, offset);
    }
    if (is_acks(fd)) {
        if (list >= 0) { raw_write(list, "= ", 2); raw_write(list, bytes, size); }
        return put(fd, bytes, size, offset);
    }
    return offset < 0 ? raw(SYS_write, fd, bytes, size) : raw(SYS_pwrite64, fd, bytes, size, offset);
}
EXPORT ssize_t write(int fd, const void *bytes, size_t size) { return writes("write", fd, bytes, size, -1); }
EXPORT ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) { return writes("pwrite", fd, bytes, size, offset); }
EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) { return writes("pwrite", fd, bytes, size, offset); }
EXPORT ssize_t writev(int fd, const struct iovec *v, int count) {
    if ((is_file(fd) || is_acks(fd)) && count > 0) return writes("write", fd, v[0].iov_base, v[0].iov_len, -1);
    return raw(SYS_writev, fd, v, count);
}

/* Copies within the kernel: a program must do without, and for the record it does. */
#define COPY(name, to, size) \
    enum what now = is_file(to) ? meet(#name, paths[to], size) : PASS; \
    if (record >= 0 && is_file(to)) { errno = EINVAL; return -1; } \
    if (now == FAIL || now == HALF) { errno = error_number; return -1; } \
    if (now == TEAR || now == SHORT) size = half(size);
EXPORT ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
    COPY(copy_file_range, to, size)
    ssize_t done = raw(SYS_copy_file_range, from, a, to, b, size, flags);
    if (now == TEAR) die();
    return done;
}
EXPORT ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
    COPY(sendfile, to, size)
    ssize_t done = raw(SYS_sendfile, to, from, offset, size);
    if (now == TEAR) die();
    return done;
}
EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return sendfile64(to, from, offset, size); }
EXPORT ssize_t splice(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags) {
    if (is_file(to) || is_file(from)) { errno = EINVAL; return -1; }
    return raw(SYS_splice, from, a, to, b, size, flags);
}

/* ---- what becomes durable */

#define FAILS(name, path, size) \
    do { enum what now = meet(name, path, size); if (now == FAIL || now == HALF) { errno = error_number; return -1; } } while (0)

/* A sync that was on its way when the file system went may say that all is well: its transaction was given up by then, and ext4 takes
 * one that it does not find for done. A power cut answers nobody. */
static int synced(int done) {
    if (done || !atomic_load(&is_down)) return done;
    errno = EIO;
    return -1;
}

EXPORT int fsync(int fd) {
    if (is_file(fd)) FAILS("fsync", paths[fd], 0);
    if (lies && is_file(fd)) return 0;
    lock();
    int done = synced((int)raw(SYS_fsync, fd));
    if (record >= 0 && !done && is_file(fd)) note('S', inode_of(fd), 0, "", 0, "", 0);
    unlock();
    return done;
}
EXPORT int fdatasync(int fd) {
    if (is_file(fd)) FAILS("fdatasync", paths[fd], 0);
    if (lies && is_file(fd)) return 0;
    lock();
    int done = synced((int)raw(SYS_fdatasync, fd));
    if (record >= 0 && !done && is_file(fd)) note('S', inode_of(fd), 0, "", 0, "", 0);
    unlock();
    return done;
}
EXPORT int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags) {
    if (is_file(fd)) FAILS("sync_file_range", paths[fd], (size_t)size);
    return (int)raw(SYS_sync_file_range, fd, offset, size, flags); /* and nothing is durable by it */
}

static int cut(int fd, off64_t len) {
    if (is_file(fd)) FAILS("ftruncate", paths[fd], (size_t)len);
    lock();
    int done = (int)raw(SYS_ftruncate, fd, len);
    if (record >= 0 && !done && is_file(fd)) note('T', inode_of(fd), (uint64_t)len, "", 0, "", 0);
    unlock();
    return done;
}
EXPORT int ftruncate(int fd, off_t len) { return cut(fd, len); }
EXPORT int ftruncate64(int fd, off64_t len) { return cut(fd, len); }
EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t len) {
    if (is_file(fd)) FAILS("fallocate", paths[fd], (size_t)len);
    if (record >= 0 && is_file(fd)) { errno = EOPNOTSUPP; return -1; }
    return (int)raw(SYS_fallocate, fd, mode, offset, len);
}
EXPORT int fallocate(int fd, int mode, off_t offset, off_t len) { return fallocate64(fd, mode, offset, len); }

/* ---- memory that is a file: what is written there goes by unseen, and is not recorded. SQLite's `-shm` is such a file, and nothing in it
 * outlives the last process that has it open (`power.rs`). */

EXPORT void *mmap64(void *where, size_t len, int protection, int flags, int fd, off64_t offset) {
    if (is_file(fd)) {
        enum what now = meet("mmap", paths[fd], len);
        if (now == FAIL || now == HALF) { errno = error_number; return MAP_FAILED; }
    }
    return (void *)raw(SYS_mmap, where, len, protection, flags, fd, offset);
}
EXPORT void *mmap(void *where, size_t len, int protection, int flags, int fd, off_t offset) {
    return mmap64(where, len, protection, flags, fd, offset);
}

/* ---- names */

static int renamed(int a, const char *from, int b, const char *to, unsigned flags) {
    char x[PATH], y[PATH];
    int in = below(b, to, y) && absolute(a, from, x);
    if (in) FAILS("rename", y, 0);
    lock();
    int done = (int)raw(SYS_renameat2, a, from, b, to, flags);
    if (record >= 0 && !done && in) {
        note('R', 0, 0, x + root_len, strlen(x + root_len), y + root_len, strlen(y + root_len));
    }
    unlock();
    return done;
}
EXPORT int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to, 0); }
EXPORT int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { return renamed(a, from, b, to, flags); }

static int removed(int dir, const char *path, int flags) {
    char full[PATH];
    int in = below(dir, path, full);
    if (in) FAILS(flags & AT_REMOVEDIR ? "rmdir" : "unlink", full, 0);
    lock();
    int done = (int)raw(SYS_unlinkat, dir, path, flags);
    if (!done && in) note_path(flags & AT_REMOVEDIR ? 'D' : 'U', full, 0);
    unlock();
    return done;
}
EXPORT int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
EXPORT int unlinkat(int dir, const char *path, int flags) { return removed(dir, path, flags); }
EXPORT int rmdir(const char *path) { return removed(AT_FDCWD, path, AT_REMOVEDIR); }

static int made(int dir, const char *path, mode_t mode) {
    char full[PATH];
    int in = below(dir, path, full);
    if (in) FAILS("mkdir", full, 0);
    lock();
    int done = (int)raw(SYS_mkdirat, dir, path, mode);
    if (!done && in) note_path('M', full, record >= 0 ? inode_at(full) : 0);
    unlock();
    return done;
}
EXPORT int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
EXPORT int mkdirat(int dir, const char *path, mode_t mode) { return made(dir, path, mode); }

/* ---- looking */

EXPORT int statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict into) {
    char full[PATH];
    if (below(dir, path, full)) FAILS("stat", full, 0);
    return (int)raw(SYS_statx, dir, path, flags, mask, into);
}
#define STAT(name, call) \
    EXPORT int name { char full[PATH]; if (below(AT_FDCWD, path, full)) FAILS("stat", full, 0); return (int)call; }
STAT(stat(const char *restrict path, struct stat *restrict s), raw(SYS_newfstatat, AT_FDCWD, path, s, 0))
STAT(stat64(const char *restrict path, struct stat64 *restrict s), raw(SYS_newfstatat, AT_FDCWD, path, s, 0))
STAT(lstat(const char *restrict path, struct stat *restrict s), raw(SYS_newfstatat, AT_FDCWD, path, s, AT_SYMLINK_NOFOLLOW))
STAT(lstat64(const char *restrict path, struct stat64 *restrict s), raw(SYS_newfstatat, AT_FDCWD, path, s, AT_SYMLINK_NOFOLLOW))
STAT(access(const char *path, int mode), raw(SYS_faccessat, AT_FDCWD, path, mode))
EXPORT int fstat(int fd, struct stat *s) { if (is_file(fd)) FAILS("fstat", paths[fd], 0); return (int)raw(SYS_fstat, fd, s); }
EXPORT int fstat64(int fd, struct stat64 *s) { if (is_file(fd)) FAILS("fstat", paths[fd], 0); return (int)raw(SYS_fstat, fd, s); }
EXPORT int fstatat64(int dir, const char *restrict path, struct stat64 *restrict s, int flags) {
    char full[PATH];
    if (below(dir, path, full)) FAILS("stat", full, 0);
    return (int)raw(SYS_newfstatat, dir, path, s, flags);
}
EXPORT int flock(int fd, int what_for) {
    if (is_file(fd)) FAILS("flock", paths[fd], 0);
    return (int)raw(SYS_flock, fd, what_for);
}
EXPORT off64_t lseek64(int fd, off64_t offset, int whence) {
    if (is_file(fd)) FAILS("lseek", paths[fd], 0);
    return raw(SYS_lseek, fd, offset, whence);
}
EXPORT off_t lseek(int fd, off_t offset, int whence) { return lseek64(fd, offset, whence); }

EXPORT DIR *opendir(const char *path) {
    REAL(opendir);
    char full[PATH];
    int in = below(AT_FDCWD, path, full);
    if (in) {
        enum what now = meet("opendir", full, 0);
        if (now == FAIL || now == HALF) { errno = error_number; return NULL; }
    }
    DIR *dir = real(path);
    if (dir && in) track(dirfd(dir), full);
    return dir;
}
EXPORT int closedir(DIR *dir) {
    REAL(closedir);
    int fd = dirfd(dir);
    if (fd >= 0 && fd < FILES) tracked[fd] = 0;
    return real(dir);
}
#define READDIR(type, name) \
    EXPORT struct type *name(DIR *dir) { \
        REAL(name); \
        int fd = dirfd(dir); \
        if (is_file(fd)) { \
            enum what now = meet("readdir", paths[fd], 0); \
            if (now == FAIL || now == HALF) { errno = error_number; return NULL; } \
        } \
        return real(dir); \
    }
READDIR(dirent, readdir)
READDIR(dirent64, readdir64)

/* What a program asks of the system in numbers: these are what Rust's standard library may; others are not about our files. */
EXPORT long syscall(long number, ...) {
    va_list args;
    va_start(args, number);
    long a[6];
    for (int i = 0; i < 6; i++) a[i] = va_arg(args, long);
    va_end(args);
    switch (number) {
    case SYS_statx: return statx((int)a[0], (const char *)a[1], (int)a[2], (unsigned)a[3], (struct statx *)a[4]);
    case SYS_copy_file_range:
        return copy_file_range((int)a[0], (off64_t *)a[1], (int)a[2], (off64_t *)a[3], (size_t)a[4], (unsigned)a[5]);
    default: return raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}
