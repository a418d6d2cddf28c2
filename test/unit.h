/* unit.h: the whole of the unit-test harness. A test file holds functions `static void
 * test_...(void)`, each run by RUN from main; CHECK records what fails and goes on. A test function
 * is one case. */
#ifndef ONNXCC_TEST_UNIT_H
#define ONNXCC_TEST_UNIT_H

#include <stdio.h>
#include <string.h>

static int unit_passed, unit_failed, unit_errors;

#define CHECK(condition)                                                                           \
    ((condition)                                                                                   \
         ? (void)0                                                                                 \
         : (void)(unit_errors++, printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition)))

#define CHECK_STR(got, wanted)                                                                     \
    do {                                                                                           \
        const char *got_ = (got), *wanted_ = (wanted);                                             \
        if (!got_ || strcmp(got_, wanted_) != 0) {                                                 \
            unit_errors++;                                                                         \
            printf("%s:%d: got \"%s\", wanted \"%s\"\n", __FILE__, __LINE__,                       \
                   got_ ? got_ : "(null)", wanted_);                                               \
        }                                                                                          \
    } while (0)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        unit_errors = 0;                                                                           \
        test();                                                                                    \
        unit_errors ? unit_failed++ : unit_passed++;                                               \
        if (unit_errors) printf("FAILED %s\n", #test);                                             \
    } while (0)

/* The last line of main: the totals, and the exit status. */
static inline int unit_finish(void) {
    printf("%d passed, %d failed\n", unit_passed, unit_failed);
    return unit_failed != 0;
}

#endif
