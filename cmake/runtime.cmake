# The runtime: a library for this process (the JIT calls it), and position-independent objects that onnxcc carries with itself and
# puts into the archives that it writes. Nothing in them may need more than memcpy, memmove, memset and pthreads.
file(GLOB runtime_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/runtime/*.c)
set(runtime_flags -O2 -std=c11 -fPIC -ffreestanding -fno-stack-protector -fno-asynchronous-unwind-tables -ffunction-sections)
set(runtime_objects)
set(runtime_pairs)
foreach(source ${runtime_sources})
  get_filename_component(name ${source} NAME_WE)
  set(object ${CMAKE_BINARY_DIR}/generated/runtime/${name}.o)
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/generated/runtime
    COMMAND ${CMAKE_C_COMPILER} ${runtime_flags} -Wall -Wextra -Wpedantic -Werror -MMD -MF ${object}.d -c ${source} -o ${object}
    DEPENDS ${source} DEPFILE ${object}.d VERBATIM)
  list(APPEND runtime_objects ${object})
  list(APPEND runtime_pairs ${source}=${object})
endforeach()
set(runtime_data ${CMAKE_BINARY_DIR}/generated/runtime_files.c)
add_custom_command(OUTPUT ${runtime_data}
  COMMAND ${ONNXCC_PYTHON} ${CMAKE_SOURCE_DIR}/cmake/embed_runtime.py ${runtime_data}
          ${CMAKE_SOURCE_DIR}/runtime/onnxcc_runtime.h ${runtime_pairs}
  DEPENDS ${runtime_objects} ${CMAKE_SOURCE_DIR}/cmake/embed_runtime.py VERBATIM)
find_package(Threads REQUIRED)
add_library(onnxcc_runtime STATIC ${runtime_sources} ${runtime_data})
target_include_directories(onnxcc_runtime PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(onnxcc_runtime PUBLIC Threads::Threads)
