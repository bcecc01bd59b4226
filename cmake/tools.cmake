# Compiler flags, and the tools that make a build quick where they are installed.
find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The last two are for precompiled headers, which ccache else takes as changed in every build.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}
                                  CCACHE_NOHASHDIR=1 CCACHE_INODECACHE=1
                                  CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

option(HOLDFAST_WERROR "Warnings are errors" ON)
set(HOLDFAST_SANITIZER "" CACHE STRING "address (with undefined) or thread; empty for none")

add_library(holdfast_settings INTERFACE)
target_compile_options(holdfast_settings INTERFACE -Wall -Wextra -Wpedantic -Wnon-virtual-dtor
  -Wimplicit-fallthrough $<$<BOOL:${HOLDFAST_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives of these at -O2 inside libstdc++ and Boost.
  target_compile_options(holdfast_settings INTERFACE -Wshadow=local -Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread
    -Wno-array-bounds -Wno-dangling-pointer -Wno-missing-field-initializers -Wno-nonnull)
else()
  target_compile_options(holdfast_settings INTERFACE -Wno-missing-field-initializers)
endif()
if(HOLDFAST_SANITIZER STREQUAL "address")
  target_compile_options(holdfast_settings INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                                     -fno-omit-frame-pointer)
  target_link_options(holdfast_settings INTERFACE -fsanitize=address,undefined)
  if(HOLDFAST_FUZZERS)  # coverage for the fuzz targets, without their main
    target_compile_options(holdfast_settings INTERFACE -fsanitize=fuzzer-no-link)
  endif()
elseif(HOLDFAST_SANITIZER STREQUAL "thread")
  target_compile_options(holdfast_settings INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(holdfast_settings INTERFACE -fsanitize=thread)
endif()

# What ccache needs to know a precompiled header by its contents.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(holdfast_settings INTERFACE -fpch-preprocess)
else()
  target_compile_options(holdfast_settings INTERFACE "SHELL:-Xclang -fno-pch-timestamp")
endif()

# Tests' own sources are compiled once and run for milliseconds: a third of their time to build is saved. What
# fuzzers learn of coverage they learn of the library.
set(HOLDFAST_TESTS_OPTIMIZATION -O0 $<$<BOOL:${HOLDFAST_FUZZERS}>:-fno-sanitize=fuzzer-no-link>)
function(quick_to_build)
  foreach(target ${ARGN})
    target_compile_options(${target} PRIVATE ${HOLDFAST_TESTS_OPTIMIZATION})
  endforeach()
  precompiled(tests ${ARGN})
endfunction()
