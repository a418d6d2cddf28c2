/* package.c: writes all files of a generated library, or none. See package.h. */
#include "codegen/package/package.h"
#include "codegen/package/elf_write.h"
#include "codegen/package/runtime_files.h"
#include "ir/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILES = 8 };

/* Files written so far under temporary names. */
typedef struct {
    const package_content *p;
    const char *folder;
    arena *a;
    diag *d;
    const char *temporary[MAX_FILES], *final[MAX_FILES];
    int count;
} package;

static const char *begin_file(package *k, const char *name) {
    k->final[k->count] = arena_printf(k->a, "%s/%s", k->folder, name);
    k->temporary[k->count] = arena_printf(k->a, "%s/.%s.%ld.part", k->folder, name, (long)getpid());
    return k->temporary[k->count++];
}

static bool write_text(package *k, const char *name, const char *text, size_t n) {
    return file_write(begin_file(k, name), text, n, k->a, k->d);
}

/* ---- weights ---- */

static elf_span *weight_spans(package *k, size_t *count) {
    const program *g = k->p->program;
    elf_span *spans = ARENA_ARRAY(k->a, elf_span, g->buffers.count + 1);
    *count = 0;
    for (size_t i = 0; i < g->buffers.count; i++) {
        const program_buffer *b = &g->buffers.data[i];
        if (b->place != PLACE_WEIGHT) continue;
        size_t bytes = (size_t)dim_value(g->dims, b->bytes);
        const void *data = b->data;
        if (b->splat) {
            unsigned char *all = arena_alloc(k->a, bytes);
            for (size_t at = 0; at + b->element_bytes <= bytes; at += b->element_bytes)
                memcpy(all + at, b->data, b->element_bytes);
            data = all;
        }
        spans[(*count)++] = (elf_span){(uint64_t)dim_value(g->dims, b->offset), data, bytes};
    }
    return spans;
}

static bool write_weight_file(package *k) {
    size_t count;
    const elf_span *spans = weight_spans(k, &count);
    file_writer *w =
        file_create(begin_file(k, arena_printf(k->a, "%s.weights", k->p->program->name)), k->a);
    static const char zeros[64];
    for (size_t i = 0; i < count; i++) {
        while (file_position(w) < spans[i].offset) {
            size_t gap = (size_t)spans[i].offset - file_position(w);
            file_append(w, zeros, gap < sizeof zeros ? gap : sizeof zeros);
        }
        file_append(w, spans[i].data, spans[i].bytes);
    }
    return file_commit(w, k->d);
}

/* ---- the library ---- */

bool runtime_file_is_needed(const runtime_file *f, const void *object, size_t bytes) {
    return memmem(object, bytes, f->name, strlen(f->name) - strlen(".o")) != NULL;
}

/* What the generated code calls, and what its callers may: status names and the pool. The others
 * would only be weight, and the one that tells processors apart keeps its answer in a variable. */
static bool is_wanted(const package_content *p, const runtime_file *f) {
    static const char *const always[] = {"onnxcc_status.o", "onnxcc_pool.o"};
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strcmp(f->name, always[i]) == 0) return true;
    for (size_t i = 0; i < p->object_count; i++)
        if (runtime_file_is_needed(f, p->objects[i].data, p->objects[i].bytes)) return true;
    return false;
}

static bool write_library(package *k) {
    const package_content *p = k->p;
    const char *name = p->program->name;
    size_t count = 0, span_count;
    archive_member *members =
        ARENA_ARRAY(k->a, archive_member, p->object_count + runtime_file_count + 1);
    for (size_t i = 0; i < p->object_count; i++) members[count++] = p->objects[i];
    for (size_t i = 0; i < runtime_file_count; i++)
        if (is_wanted(p, &runtime_files[i]))
            members[count++] =
                (archive_member){runtime_files[i].name, runtime_files[i].object,
                                 (size_t)(runtime_files[i].object_end - runtime_files[i].object)};
    file_view weights = {0};
    const char *object =
        arena_printf(k->a, "%s/.%s.%ld.weights.o", k->folder, name, (long)getpid());
    if (!p->weights_in_file) {
        const elf_span *spans = weight_spans(k, &span_count);
        const char *error = NULL;
        uint64_t size = (uint64_t)p->program->weight_bytes;
        if (!elf_write_constants(object, arena_printf(k->a, "%s_weights", name), spans, span_count,
                                 size ? size : 64, k->d)) {
            unlink(object);
            return false;
        }
        bool mapped = file_map(object, &weights, &error);
        unlink(object);
        if (!mapped) return diag_error(k->d, object, NULL, NULL, "%s", error);
        members[count++] =
            (archive_member){arena_printf(k->a, "%s_weights.o", name), weights.data, weights.size};
    }
    bool ok = archive_write(begin_file(k, arena_printf(k->a, "lib%s.a", name)), members, count,
                            k->a, k->d);
    if (weights.size) file_unmap(weights);
    return ok;
}

static bool write_companions(package *k) {
    const char *name = k->p->program->name;
    bool c = k->p->c_source != NULL;
    const char *cmake = arena_printf(
        k->a,
        "# %s as a CMake package: find_package(%s) and target_link_libraries(... %s::%s).\n"
        "if(NOT TARGET %s::%s)\n"
        "  get_filename_component(_folder \"${CMAKE_CURRENT_LIST_FILE}\" PATH)\n"
        "  add_library(%s::%s %s IMPORTED)\n"
        "  set_target_properties(%s::%s PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "
        "\"${_folder}\"%s)\n"
        "endif()\n",
        name, name, name, name, name, name, name, name, c ? "INTERFACE" : "STATIC", name, name,
        c ? arena_printf(k->a, " INTERFACE_SOURCES \"${_folder}/%s.c\"", name)
          : arena_printf(k->a, " IMPORTED_LOCATION \"${_folder}/lib%s.a\"", name));
    const char *pc = arena_printf(
        k->a,
        "prefix=${pcfiledir}\nName: %s\nDescription: %s, compiled by onnxcc\nVersion: 1\n"
        "Cflags: -I${prefix}\nLibs: -L${prefix} -l%s\n",
        name, name, name);
    return write_text(k, arena_printf(k->a, "%sConfig.cmake", name), cmake, strlen(cmake)) &&
           (c || write_text(k, arena_printf(k->a, "%s.pc", name), pc, strlen(pc)));
}

static bool make_folder(const char *folder, arena *a, diag *d) {
    char *path = arena_strdup(a, folder);
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/') continue;
        char end = *p;
        *p = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return diag_error(d, folder, NULL, NULL, "cannot make the folder: %s", strerror(errno));
        *p = end;
        if (!end) return true;
    }
}

bool package_write(const package_content *p, const char *folder, arena *a, diag *d) {
    package k = {.p = p, .folder = folder, .a = a, .d = d};
    if (!*folder || !make_folder(folder, a, d)) return false;
    const char *header = package_header(p, a);
    bool ok = write_text(&k, arena_printf(a, "%s.h", p->program->name), header, strlen(header));
    if (p->c_source)
        ok = ok && write_text(&k, arena_printf(a, "%s.c", p->program->name), p->c_source,
                              p->c_source_bytes);
    else
        ok = ok && write_library(&k);
    if (p->weights_in_file) ok = ok && write_weight_file(&k);
    ok = ok && write_companions(&k);
    for (int i = 0; ok && i < k.count; i++)
        if (rename(k.temporary[i], k.final[i]) != 0)
            ok = diag_error(d, k.final[i], NULL, NULL, "cannot write: %s", strerror(errno));
    for (int i = 0; !ok && i < k.count; i++) unlink(k.temporary[i]);
    return ok;
}
