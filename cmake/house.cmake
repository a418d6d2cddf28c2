# How a folder becomes a library, and a test file a test.

set(ONNXCC_SANITIZERS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)

# onnxcc_library(NAME LIBRARIES...): the folder's .c files, as onnxcc_NAME. A folder without sources is an empty library.
# Beside it stands onnxcc_NAME_sanitized, built only where a test links it.
function(onnxcc_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${name}/*.c)
  if(sources)
    add_library(onnxcc_${name} STATIC ${sources})
    add_library(onnxcc_${name}_sanitized STATIC EXCLUDE_FROM_ALL ${sources})
    target_compile_options(onnxcc_${name}_sanitized PRIVATE -O1 ${ONNXCC_SANITIZERS})
    set(reach PUBLIC)
  else()
    add_library(onnxcc_${name} INTERFACE)
    add_library(onnxcc_${name}_sanitized INTERFACE)
    set(reach INTERFACE)
  endif()
  foreach(library onnxcc_${name} onnxcc_${name}_sanitized)
    target_include_directories(${library} ${reach} ${CMAKE_SOURCE_DIR} ${ONNXCC_GENERATED})
  endforeach()
  target_link_libraries(onnxcc_${name} ${reach} ${ARGN})
  list(TRANSFORM ARGN REPLACE "^(onnxcc_(ir|frontend|passes|codegen))$" "\\1_sanitized" OUTPUT_VARIABLE twins)
  target_link_libraries(onnxcc_${name}_sanitized ${reach} ${twins} -fsanitize=address,undefined)
endfunction()

# onnxcc_add_test(NAME [SANITIZED] SOURCES file.c... [LIBRARIES lib...] [ARGUMENTS arg...]): a C test. It prints its
# totals as `N passed, N failed` on the last line (test/unit.h does) and fails by its exit status. With SANITIZED it is
# built with the sanitizers; so are its libraries, when they are the _sanitized ones.
function(onnxcc_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "SANITIZED" "" "SOURCES;LIBRARIES;ARGUMENTS")
  add_executable(test_${name} ${arg_SOURCES})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(test_${name} PRIVATE ${arg_LIBRARIES})
  if(arg_SANITIZED)
    target_compile_options(test_${name} PRIVATE -O1 ${ONNXCC_SANITIZERS})
  endif()
  add_test(NAME ${name} COMMAND test_${name} ${arg_ARGUMENTS})
endfunction()

# onnxcc_add_python_test(NAME SCRIPT arg...): a test script, run by the private Python; same last line.
function(onnxcc_add_python_test name script)
  add_test(NAME ${name} COMMAND ${ONNXCC_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${ARGN})
endfunction()

# onnxcc_add_fuzzer(NAME SOURCES file.c... [LIBRARIES lib...]): a libFuzzer target, built with ONNXCC_FUZZERS only.
function(onnxcc_add_fuzzer name)
  if(NOT ONNXCC_FUZZERS)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LIBRARIES")
  add_executable(fuzz_${name} ${arg_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE ${arg_LIBRARIES} -fsanitize=fuzzer)
endfunction()

# onnxcc_levels(VARIABLE): the instruction sets of the target table (codegen/target.c), for tests that force each of them.
function(onnxcc_levels variable)
  file(STRINGS ${CMAKE_SOURCE_DIR}/codegen/target.c names REGEX "\\.name = \"x86-")
  list(TRANSFORM names REPLACE ".*\"(x86-[^\"]*)\".*" "\\1")
  set(${variable} ${names} PARENT_SCOPE)
endfunction()
