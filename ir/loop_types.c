/* loop_types.c: which operand types each opcode takes. The parser refuses text by it, the verifier
 * checks kernels by it. */
#include "ir/loop_internal.h"

static bool is_number(dtype t) {
    return dtype_is_float(t) || dtype_is_integer(t);
}

/* Types of the operands of an operation, apart from their being equal. */
static const char *operand_error(loop_op op, dtype t) {
    if (op == LOOP_SELECT && t == DTYPE_STRING) return NULL; /* moved, not looked at */
    if (op == LOOP_EQ || op == LOOP_NE || op == LOOP_CAST || op == LOOP_SELECT)
        return is_number(t) || t == DTYPE_BOOL ? NULL : "takes numbers or bool";
    if (op == LOOP_DOT4) return t == DTYPE_U32 ? NULL : "takes u32";
    if (op == LOOP_SHL || op == LOOP_SHR) return dtype_is_integer(t) ? NULL : "takes integers";
    if (op >= LOOP_AND && op <= LOOP_NOT)
        return dtype_is_integer(t) || t == DTYPE_BOOL ? NULL : "takes integers or bool";
    if (op >= LOOP_EXP || op == LOOP_SQRT) return dtype_is_float(t) ? NULL : "takes floats";
    return is_number(t) ? NULL : "takes numbers";
}

const char *loop_type_error(const loop_kernel *k, loop_op op, dtype result, const loop_expr *args) {
    int arity = loop_ops[op].arity;
    dtype t = loop_type(k, args[0]);
    if (op == LOOP_SELECT) {
        if (t != DTYPE_BOOL) return "takes a bool first";
        t = loop_type(k, args[1]);
        if (loop_type(k, args[2]) != t) return "has operands of two types";
    } else {
        for (int i = 1; i < arity; i++)
            if (loop_type(k, args[i]) != t) return "has operands of two types";
    }
    if (op == LOOP_BITCAST)
        return dtype_bits(result) == dtype_bits(t) && result != DTYPE_STRING ? NULL
                                                                             : "changes the width";
    const char *error = operand_error(op, t);
    if (error) return error;
    if (op == LOOP_CAST)
        return is_number(result) || result == DTYPE_BOOL ? NULL : "gives no number";
    bool to_bool = op >= LOOP_EQ && op <= LOOP_LE;
    dtype right = to_bool ? DTYPE_BOOL : op == LOOP_DOT4 ? DTYPE_I32 : t;
    return result == right ? NULL : "has a result of the wrong type";
}
