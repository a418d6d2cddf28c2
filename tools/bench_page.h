/* bench_page.h: tools/bench_page.html as text, put into the program when it is built
 * (cmake/embed_text.py). `@REPORT@` in it stands for the report's JSON. */
#ifndef ONNXCC_TOOLS_BENCH_PAGE_H
#define ONNXCC_TOOLS_BENCH_PAGE_H

extern const char bench_page[];

#endif
