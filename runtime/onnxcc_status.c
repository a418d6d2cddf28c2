/* onnxcc_status.c: names of status codes. */
#include "onnxcc_runtime.h"

const char *onnxcc_status_name(int status) {
    switch (status) {
    case ONNXCC_OK: return "ok";
    case ONNXCC_ERROR_NULL_POINTER: return "null pointer";
    case ONNXCC_ERROR_ARENA_TOO_SMALL: return "arena too small";
    case ONNXCC_ERROR_ARENA_MISALIGNED: return "arena misaligned";
    case ONNXCC_ERROR_BAD_SHAPE: return "bad shape";
    case ONNXCC_ERROR_INDEX_OUT_OF_RANGE: return "index out of range";
    case ONNXCC_ERROR_CANCELLED: return "cancelled";
    case ONNXCC_ERROR_UNSUPPORTED_CPU: return "unsupported CPU";
    case ONNXCC_ERROR_UNSUPPORTED_VALUE: return "unsupported value";
    default: return "unknown status";
    }
}
