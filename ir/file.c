/* file.c: mapping and atomic writing over POSIX calls. See file.h. */
#include "ir/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_map(const char *path, file_view *out, const char **error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        *error = strerror(errno);
        if (fd >= 0) close(fd);
        return false;
    }
    *error = S_ISREG(st.st_mode) ? NULL : "not a regular file";
    *out = (file_view){(const uint8_t *)"", 0};
    if (!*error && st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            *error = strerror(errno);
        else
            *out = (file_view){data, (size_t)st.st_size};
    }
    close(fd);
    return !*error;
}

void file_unmap(file_view view) {
    if (view.size) munmap((void *)view.data, view.size);
}

struct file_writer {
    const char *path;
    char *temporary;
    FILE *stream; /* NULL once something has failed */
    int error;    /* errno of the first failure */
    size_t position;
};

static void stop(file_writer *w, int error) {
    if (!w->stream) return;
    fclose(w->stream);
    unlink(w->temporary);
    w->stream = NULL;
    w->error = error;
}

file_writer *file_create(const char *path, arena *a) {
    file_writer *w = ARENA_NEW(a, file_writer);
    w->path = arena_strdup(a, path);
    w->temporary = arena_printf(a, "%s.%ld.part", path, (long)getpid());
    unlink(w->temporary); /* of a process that died */
    int fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) w->stream = fdopen(fd, "wb");
    if (!w->stream) {
        w->error = errno;
        if (fd >= 0) {
            close(fd);
            unlink(w->temporary);
        }
    }
    return w;
}

void file_append(file_writer *w, const void *data, size_t size) {
    if (w->stream && size && fwrite(data, 1, size, w->stream) != size) stop(w, errno);
    w->position += size;
}

void file_printf(file_writer *w, const char *format, ...) {
    if (!w->stream) return;
    va_list args;
    va_start(args, format);
    int n = vfprintf(w->stream, format, args);
    va_end(args);
    if (n < 0)
        stop(w, errno);
    else
        w->position += (size_t)n;
}

size_t file_position(const file_writer *w) {
    return w->position;
}

bool file_commit(file_writer *w, diag *d) {
    if (w->stream) {
        bool ok = fclose(w->stream) == 0 && rename(w->temporary, w->path) == 0;
        w->stream = NULL;
        if (ok) return true;
        w->error = errno;
        unlink(w->temporary);
    }
    diag_item item = {.severity = DIAG_ERROR,
                      .file = w->path,
                      .message = arena_printf(d->memory, "cannot write: %s", strerror(w->error))};
    return diag_add(d, item);
}

void file_abandon(file_writer *w) {
    stop(w, 0);
}

bool file_write(const char *path, const void *data, size_t size, arena *a, diag *d) {
    file_writer *w = file_create(path, a);
    file_append(w, data, size);
    return file_commit(w, d);
}
