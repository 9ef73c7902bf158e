// A file system for power cuts and failing disks: `disk BACKING MOUNTPOINT CONTROL`.
//
// What is written stays in this process's memory until it is synced (fsync, fdatasync, O_SYNC), and only then reaches the
// folder BACKING. So to kill this process is to cut the power: what was not synced is gone. Names (create, rename, link,
// remove) and attributes reach BACKING at once, as if each were synced; a real disk may lose those too.
//
// CONTROL is a file of three 32-bit integers, read while it runs: milliseconds that each sync takes longer; 1 if the disk
// is full; 1 if syncs fail with EIO.
#define _GNU_SOURCE
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PAGE 4096
#define BUCKETS 4096

struct control {
    volatile int32_t slow_ms, full, failing;
};

// A file with content that is not synced, or that is open.
struct node {
    struct node *next;
    dev_t dev;
    ino_t ino;
    int opened;
    pthread_mutex_t lock;
    off_t size;   // As programs see it.
    off_t stored; // Bytes of BACKING's file that are part of it.
    size_t count; // Of `pages`.
    char **pages; // Those that are not synced; null for others.
    int dirty;
};

struct handle {
    int fd, sync;
    struct node *node;
};

static int root;
static struct control *control;
static struct node *nodes[BUCKETS];
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;

static const char *inside(const char *path) { return path[1] ? path + 1 : "."; }
static struct handle *of(struct fuse_file_info *fi) { return (struct handle *)(uintptr_t)fi->fh; }
static int result(int outcome) { return outcome < 0 ? -errno : 0; }
static int full(void) { return control->full; }

static struct node **slot(const struct stat *st) {
    struct node **at = &nodes[st->st_ino % BUCKETS];
    while (*at && ((*at)->ino != st->st_ino || (*at)->dev != st->st_dev)) at = &(*at)->next;
    return at;
}

static void discard(struct node **at) {
    struct node *node = *at;
    *at = node->next;
    for (size_t i = 0; i < node->count; i++) free(node->pages[i]);
    free(node->pages);
    free(node);
}

// The last name of a file disappears: what was not synced does too, since its inode number may be used again.
static void forget(const char *path) {
    struct stat st;
    if (fstatat(root, inside(path), &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) || st.st_nlink > 1) return;
    pthread_mutex_lock(&table);
    struct node **at = slot(&st);
    if (*at && !(*at)->opened) discard(at);
    pthread_mutex_unlock(&table);
}

static struct node *opened(int fd) {
    struct stat st;
    fstat(fd, &st);
    pthread_mutex_lock(&table);
    struct node **at = slot(&st);
    if (!*at) {
        *at = calloc(1, sizeof **at);
        **at = (struct node){.dev = st.st_dev, .ino = st.st_ino, .size = st.st_size, .stored = st.st_size};
        pthread_mutex_init(&(*at)->lock, NULL);
    }
    (*at)->opened++;
    struct node *node = *at;
    pthread_mutex_unlock(&table);
    return node;
}

static void closed(struct node *node) {
    struct stat st = {.st_dev = node->dev, .st_ino = node->ino};
    pthread_mutex_lock(&table);
    if (!--node->opened && !node->dirty) discard(slot(&st));
    pthread_mutex_unlock(&table);
}

static void visible_size(struct stat *st) {
    pthread_mutex_lock(&table);
    struct node *node = *slot(st);
    if (node && S_ISREG(st->st_mode)) st->st_size = node->size, st->st_blocks = (node->size + 511) / 512;
    pthread_mutex_unlock(&table);
}

// Copies what BACKING has of a page; the rest is zeros.
static void load(int fd, struct node *node, size_t index, char *page) {
    off_t start = (off_t)index * PAGE, end = start + PAGE < node->stored ? start + PAGE : node->stored;
    memset(page, 0, PAGE);
    if (end > start && pread(fd, page, end - start, start) < 0) memset(page, 0, PAGE);
}

static char *page_to_write(int fd, struct node *node, size_t index) {
    if (index >= node->count) {
        size_t count = index * 2 + 16;
        node->pages = realloc(node->pages, count * sizeof *node->pages);
        memset(node->pages + node->count, 0, (count - node->count) * sizeof *node->pages);
        node->count = count;
    }
    if (!node->pages[index]) load(fd, node, index, node->pages[index] = malloc(PAGE));
    node->dirty = 1;
    return node->pages[index];
}

static int resize(int fd, struct node *node, off_t size) {
    if (size < node->size && size % PAGE) {
        char *page = page_to_write(fd, node, size / PAGE);
        memset(page + size % PAGE, 0, PAGE - size % PAGE);
    }
    for (size_t i = (size + PAGE - 1) / PAGE; i < node->count; i++) free(node->pages[i]), node->pages[i] = NULL;
    if (size < node->stored) node->stored = size;
    node->size = size;
    node->dirty = 1;
    return 0;
}

static int store(int fd, struct node *node) {
    if (control->slow_ms) usleep(control->slow_ms * 1000);
    if (control->failing) return -EIO;
    if (!node->dirty) return 0;
    if (ftruncate(fd, node->stored)) return -errno;
    for (size_t i = 0; i < node->count; i++) {
        off_t start = (off_t)i * PAGE, left = node->size - start;
        if (node->pages[i] && left > 0 && pwrite(fd, node->pages[i], left < PAGE ? left : PAGE, start) < 0) return -errno;
        free(node->pages[i]), node->pages[i] = NULL;
    }
    if (ftruncate(fd, node->size)) return -errno;
    node->stored = node->size;
    node->dirty = 0;
    return 0;
}

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi) {
    int outcome = fi ? fstat(of(fi)->fd, st) : fstatat(root, inside(path), st, AT_SYMLINK_NOFOLLOW);
    if (outcome) return -errno;
    visible_size(st);
    return 0;
}

static int open_at(const char *path, mode_t mode, struct fuse_file_info *fi) {
    int created = fi->flags & O_CREAT;
    if (created && full()) return -ENOSPC;
    // Pages are read before they are written.
    int flags = (fi->flags & (O_CREAT | O_EXCL | O_NOFOLLOW)) | O_RDWR;
    int fd = openat(root, inside(path), flags, mode);
    if (fd < 0 && (errno == EACCES || errno == EROFS)) fd = openat(root, inside(path), O_RDONLY);
    if (fd < 0) return -errno;
    if (created) {
        struct fuse_context *caller = fuse_get_context();
        if (fchown(fd, caller->uid, caller->gid)) return -errno;
    }
    struct handle *handle = malloc(sizeof *handle);
    *handle = (struct handle){.fd = fd, .sync = fi->flags & (O_SYNC | O_DSYNC), .node = opened(fd)};
    if (fi->flags & O_TRUNC) {
        pthread_mutex_lock(&handle->node->lock);
        resize(fd, handle->node, 0);
        pthread_mutex_unlock(&handle->node->lock);
    }
    fi->fh = (uintptr_t)handle;
    return 0;
}

static int do_open(const char *path, struct fuse_file_info *fi) { return open_at(path, 0, fi); }
static int do_create(const char *path, mode_t mode, struct fuse_file_info *fi) {
    fi->flags |= O_CREAT;
    return open_at(path, mode, fi);
}

static int do_release(const char *path, struct fuse_file_info *fi) {
    (void)path;
    closed(of(fi)->node);
    close(of(fi)->fd);
    free(of(fi));
    return 0;
}

static int do_read(const char *path, char *buffer, size_t length, off_t at, struct fuse_file_info *fi) {
    (void)path;
    struct node *node = of(fi)->node;
    char page[PAGE];
    pthread_mutex_lock(&node->lock);
    if (at >= node->size) length = 0;
    else if ((off_t)length > node->size - at) length = node->size - at;
    for (size_t done = 0; done < length;) {
        size_t index = (at + done) / PAGE, offset = (at + done) % PAGE;
        size_t part = PAGE - offset < length - done ? PAGE - offset : length - done;
        char *from = index < node->count ? node->pages[index] : NULL;
        if (!from) load(of(fi)->fd, node, index, from = page);
        memcpy(buffer + done, from + offset, part);
        done += part;
    }
    pthread_mutex_unlock(&node->lock);
    return length;
}

static int do_write(const char *path, const char *data, size_t length, off_t at, struct fuse_file_info *fi) {
    (void)path;
    if (full()) return -ENOSPC;
    struct node *node = of(fi)->node;
    int outcome = length;
    pthread_mutex_lock(&node->lock);
    if (at > node->size) resize(of(fi)->fd, node, at);
    for (size_t done = 0; done < length;) {
        size_t index = (at + done) / PAGE, offset = (at + done) % PAGE;
        size_t part = PAGE - offset < length - done ? PAGE - offset : length - done;
        memcpy(page_to_write(of(fi)->fd, node, index) + offset, data + done, part);
        done += part;
    }
    if (at + (off_t)length > node->size) node->size = at + length;
    if (of(fi)->sync) {
        int stored = store(of(fi)->fd, node);
        if (stored) outcome = stored;
    }
    pthread_mutex_unlock(&node->lock);
    return outcome;
}

static int do_fsync(const char *path, int data_only, struct fuse_file_info *fi) {
    (void)path, (void)data_only;
    pthread_mutex_lock(&of(fi)->node->lock);
    int outcome = store(of(fi)->fd, of(fi)->node);
    pthread_mutex_unlock(&of(fi)->node->lock);
    return outcome;
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi) {
    if (fi) {
        pthread_mutex_lock(&of(fi)->node->lock);
        resize(of(fi)->fd, of(fi)->node, size);
        pthread_mutex_unlock(&of(fi)->node->lock);
        return 0;
    }
    struct fuse_file_info opened = {.flags = O_RDWR};
    int outcome = open_at(path, 0, &opened);
    if (outcome) return outcome;
    outcome = do_truncate(path, size, &opened);
    do_release(path, &opened);
    return outcome;
}

static int do_readdir(const char *path, void *list, fuse_fill_dir_t fill, off_t at, struct fuse_file_info *fi,
                      enum fuse_readdir_flags flags) {
    (void)at, (void)fi, (void)flags;
    int fd = openat(root, inside(path), O_RDONLY | O_DIRECTORY);
    if (fd < 0) return -errno;
    DIR *folder = fdopendir(fd);
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat st = {.st_ino = entry->d_ino, .st_mode = entry->d_type << 12};
        fill(list, entry->d_name, &st, 0, 0);
    }
    closedir(folder);
    return 0;
}

static int do_mkdir(const char *path, mode_t mode) {
    if (full()) return -ENOSPC;
    if (mkdirat(root, inside(path), mode)) return -errno;
    struct fuse_context *caller = fuse_get_context();
    return result(fchownat(root, inside(path), caller->uid, caller->gid, 0));
}

static int do_symlink(const char *to, const char *path) {
    if (symlinkat(to, root, inside(path))) return -errno;
    struct fuse_context *caller = fuse_get_context();
    return result(fchownat(root, inside(path), caller->uid, caller->gid, AT_SYMLINK_NOFOLLOW));
}

static int do_readlink(const char *path, char *buffer, size_t size) {
    ssize_t length = readlinkat(root, inside(path), buffer, size - 1);
    if (length < 0) return -errno;
    buffer[length] = 0;
    return 0;
}

static int do_unlink(const char *path) { return forget(path), result(unlinkat(root, inside(path), 0)); }
static int do_rmdir(const char *path) { return result(unlinkat(root, inside(path), AT_REMOVEDIR)); }
static int do_rename(const char *from, const char *to, unsigned flags) {
    if (!flags) forget(to);
    return result(renameat2(root, inside(from), root, inside(to), flags));
}
static int do_link(const char *from, const char *to) {
    return result(linkat(root, inside(from), root, inside(to), 0));
}
static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *fi) {
    (void)fi;
    return result(fchmodat(root, inside(path), mode, 0));
}
static int do_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *fi) {
    (void)fi;
    return result(fchownat(root, inside(path), user, group, AT_SYMLINK_NOFOLLOW));
}
static int do_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi) {
    (void)fi;
    return result(utimensat(root, inside(path), times, AT_SYMLINK_NOFOLLOW));
}
static int do_fsyncdir(const char *path, int data_only, struct fuse_file_info *fi) {
    (void)path, (void)data_only, (void)fi;
    return control->failing ? -EIO : 0;
}
static int do_statfs(const char *path, struct statvfs *found) {
    (void)path;
    if (fstatvfs(root, found)) return -errno;
    if (full()) found->f_bfree = found->f_bavail = 0;
    return 0;
}

static void *start(struct fuse_conn_info *connection, struct fuse_config *config) {
    (void)connection;
    config->use_ino = 1;
    return NULL;
}

static const struct fuse_operations operations = {
    .init = start, .getattr = do_getattr, .readlink = do_readlink, .mkdir = do_mkdir, .unlink = do_unlink,
    .rmdir = do_rmdir, .symlink = do_symlink, .rename = do_rename, .link = do_link, .chmod = do_chmod,
    .chown = do_chown, .truncate = do_truncate, .open = do_open, .create = do_create, .read = do_read,
    .write = do_write, .statfs = do_statfs, .release = do_release, .fsync = do_fsync, .fsyncdir = do_fsyncdir,
    .readdir = do_readdir, .utimens = do_utimens,
};

int main(int count, char **given) {
    if (count != 4) return 2;
    umask(0);
    root = open(given[1], O_RDONLY | O_DIRECTORY);
    int file = open(given[3], O_RDWR | O_CREAT, 0600);
    if (root < 0 || file < 0 || ftruncate(file, sizeof *control)) return 1;
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *options[] = {given[0], "-f", "-o", "allow_other,default_permissions", given[2]};
    return fuse_main(5, options, &operations, NULL);
}
