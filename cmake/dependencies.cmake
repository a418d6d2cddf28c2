# What onnxcc needs from the machine. Each missing piece is named with the Debian package that brings it.

find_program(ONNXCC_LLVM_CONFIG NAMES llvm-config-${ONNXCC_LLVM_VERSION}
             HINTS /usr/lib/llvm-${ONNXCC_LLVM_VERSION}/bin)
if(NOT ONNXCC_LLVM_CONFIG)
  message(FATAL_ERROR "llvm-config-${ONNXCC_LLVM_VERSION} not found: install llvm-${ONNXCC_LLVM_VERSION}-dev, "
                      "or choose another version with -DONNXCC_LLVM_VERSION=N")
endif()
function(onnxcc_ask_llvm variable)
  execute_process(COMMAND ${ONNXCC_LLVM_CONFIG} ${ARGN} OUTPUT_VARIABLE answer
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(answer UNIX_COMMAND "${answer}")
  set(${variable} ${answer} PARENT_SCOPE)
endfunction()
onnxcc_ask_llvm(llvm_include --includedir)
onnxcc_ask_llvm(llvm_link --ldflags --libs --system-libs)
add_library(onnxcc_llvm INTERFACE)
target_include_directories(onnxcc_llvm SYSTEM INTERFACE ${llvm_include})
target_link_libraries(onnxcc_llvm INTERFACE ${llvm_link})

find_program(ONNXCC_PROTOC_C protoc-c)
find_path(ONNXCC_PROTOBUF_C_INCLUDE protobuf-c/protobuf-c.h)
find_library(ONNXCC_PROTOBUF_C_LIBRARY protobuf-c)
if(NOT ONNXCC_PROTOC_C OR NOT ONNXCC_PROTOBUF_C_INCLUDE OR NOT ONNXCC_PROTOBUF_C_LIBRARY)
  message(FATAL_ERROR "protobuf-c not found: install libprotobuf-c-dev and protobuf-c-compiler")
endif()

execute_process(
  COMMAND ${ONNXCC_PYTHON} -c "import onnx, os; print(os.path.dirname(onnx.__file__), onnx.__version__, sep=';')"
  OUTPUT_VARIABLE onnx_package OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "no Python with the onnx package at ${ONNXCC_PYTHON}: run cmake/setup.sh, "
                      "or name another with -DONNXCC_PYTHON=FILE")
endif()
list(GET onnx_package 0 ONNXCC_ONNX_DIR)
list(GET onnx_package 1 ONNXCC_ONNX_VERSION)
file(STRINGS ${CMAKE_SOURCE_DIR}/cmake/requirements.txt pin REGEX "^onnx==")
if(NOT pin STREQUAL "onnx==${ONNXCC_ONNX_VERSION}")
  message(FATAL_ERROR "onnx ${ONNXCC_ONNX_VERSION} found, ${pin} wanted: the operator table follows that version")
endif()
