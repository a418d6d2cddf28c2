/* test_npy.c: .npy files there and back, and broken ones. */
#include "frontend/npy.h"
#include "test/unit.h"

#include <stdlib.h>
#include <unistd.h>

static arena *memory;
static diag messages;
static char path[] = "/tmp/onnxcc-npy-XXXXXX";

static bool read_text(const char *header, const void *data, size_t size, dtype wanted,
                      load_tensor_result *out) {
    size_t n = strlen(header);
    uint8_t *file = arena_alloc(memory, 10 + n + size);
    memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[8] = n & 0xff;
    file[9] = n >> 8 & 0xff;
    memcpy(file + 10, header, n);
    memcpy(file + 10 + n, data, size);
    diag_init(&messages, memory, NULL);
    return file_write(path, file, 10 + n + size, memory, &messages) &&
           npy_read(path, wanted, memory, &messages, out);
}

static bool round_trip(dtype t, int rank, const int64_t *dims, const void *data, size_t bytes) {
    load_tensor_result in = {.dtype = t, .rank = rank, .dims = dims, .data = {data, bytes, false}};
    load_tensor_result out;
    diag_init(&messages, memory, NULL);
    return npy_write(path, &in, memory, &messages) && npy_read(path, t, memory, &messages, &out) &&
           out.dtype == t && out.rank == rank &&
           memcmp(out.dims, dims, (size_t)rank * sizeof *dims) == 0 && out.data.bytes == bytes &&
           memcmp(out.data.data, data, bytes) == 0;
}

static void test_round_trip(void) {
    const int64_t dims[] = {2, 3};
    const uint64_t data[12] = {1, 2, 3, 0xff};
    const dtype types[] = {DTYPE_F32,    DTYPE_F64,  DTYPE_F16, DTYPE_BF16,   DTYPE_I8,
                           DTYPE_U64,    DTYPE_BOOL, DTYPE_C64, DTYPE_F8E5M2, DTYPE_U4,
                           DTYPE_I4,     DTYPE_I2,   DTYPE_U16, DTYPE_C128,   DTYPE_F4E2M1,
                           DTYPE_F8E8M0, DTYPE_I16,  DTYPE_I64};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        size_t bytes = dtype_bytes(types[i]);
        CHECK(round_trip(types[i], 2, dims, data, 6 * bytes));
        CHECK(round_trip(types[i], 0, dims, data, bytes));
        CHECK(round_trip(types[i], 1, dims, data, 2 * bytes));
    }
    CHECK(round_trip(DTYPE_F32, 2, (int64_t[]){0, 5}, data, 0));
}

static void test_strings(void) {
    const blob_string data[] = {
        {"a", 1}, {"gr\xc3\xbc\xc3\x9f", 6}, {"\xf0\x9f\x99\x82", 4}, {"", 0}};
    const int64_t dims[] = {4};
    load_tensor_result in = {
        .dtype = DTYPE_STRING, .rank = 1, .dims = dims, .data = {data, sizeof data, false}};
    load_tensor_result out;
    diag_init(&messages, memory, NULL);
    CHECK(npy_write(path, &in, memory, &messages));
    CHECK(npy_read(path, DTYPE_STRING, memory, &messages, &out));
    const blob_string *s = out.data.data;
    for (int i = 0; i < 4; i++)
        CHECK(s[i].length == data[i].length && memcmp(s[i].data, data[i].data, s[i].length) == 0);
}

static void test_fortran_order(void) {
    load_tensor_result out;
    const float data[] = {1, 4, 2, 5, 3, 6};
    CHECK(read_text("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", data,
                    sizeof data, DTYPE_NONE, &out));
    CHECK(memcmp(out.data.data, (float[]){1, 2, 3, 4, 5, 6}, sizeof data) == 0);
}

static void test_broken(void) {
    load_tensor_result out;
    const char *const headers[] = {
        "{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }\n",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1099511627776, 2), }\n",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (1099511627776,), }\n",
        "{'descr': '<f4'}\n",
        "",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }\n",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }\n"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        CHECK(!read_text(headers[i], "abcd", 4, DTYPE_NONE, &out) && messages.error_count == 1);
    diag_init(&messages, memory, NULL);
    CHECK(file_write(path, "\x93NUMPY\x01\x00\xff\xff..", 12, memory, &messages));
    CHECK(!npy_read(path, DTYPE_NONE, memory, &messages, &out));
    CHECK(!npy_read("/nowhere/x.npy", DTYPE_NONE, memory, &messages, &out));
    CHECK(
        !npy_write("/nowhere/x.npy", &(load_tensor_result){.dtype = DTYPE_F32}, memory, &messages));
}

int main(void) {
    memory = arena_create();
    close(mkstemp(path));
    RUN(test_round_trip);
    RUN(test_strings);
    RUN(test_fortran_order);
    RUN(test_broken);
    unlink(path);
    arena_destroy(memory);
    return unit_finish();
}
