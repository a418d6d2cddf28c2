# Files made from the pinned onnx package at build time; nothing of it is copied into the repository.

set(ONNXCC_GENERATED ${CMAKE_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${ONNXCC_GENERATED})

# onnx-ml.proto and onnx-data.proto through protoc-c: the parser of the wire format.
set(proto_sources)
foreach(name onnx-ml onnx-data)
  add_custom_command(
    OUTPUT ${ONNXCC_GENERATED}/onnx/${name}.pb-c.c ${ONNXCC_GENERATED}/onnx/${name}.pb-c.h
    COMMAND ${ONNXCC_PROTOC_C} --c_out=${ONNXCC_GENERATED} --proto_path=${ONNXCC_ONNX_DIR}/..
            onnx/${name}.proto
    DEPENDS ${ONNXCC_ONNX_DIR}/${name}.proto
    VERBATIM)
  list(APPEND proto_sources ${ONNXCC_GENERATED}/onnx/${name}.pb-c.c)
endforeach()
add_library(onnxcc_proto STATIC ${proto_sources})
target_compile_options(onnxcc_proto PRIVATE -w)
target_include_directories(onnxcc_proto SYSTEM PUBLIC ${ONNXCC_GENERATED} ${ONNXCC_PROTOBUF_C_INCLUDE})
target_link_libraries(onnxcc_proto PUBLIC ${ONNXCC_PROTOBUF_C_LIBRARY})

# onnx.defs and ir/contrib.schema through ir/schema_table.py: the operator-schema table that ir/schema.h declares.
set(ONNXCC_SCHEMA_TABLE ${ONNXCC_GENERATED}/schema_table.c)
add_custom_command(
  OUTPUT ${ONNXCC_SCHEMA_TABLE}
  COMMAND ${ONNXCC_PYTHON} ${CMAKE_SOURCE_DIR}/ir/schema_table.py ${ONNXCC_SCHEMA_TABLE}
  DEPENDS ${CMAKE_SOURCE_DIR}/ir/schema_table.py ${CMAKE_SOURCE_DIR}/ir/contrib_schema.py
          ${CMAKE_SOURCE_DIR}/ir/contrib.schema ${ONNXCC_ONNX_DIR}/__init__.py
  VERBATIM)
