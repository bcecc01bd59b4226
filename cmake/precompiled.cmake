# Headers that nearly every source includes are compiled once: a third of the time to build. Sources include
# what they use all the same, and are compiled without this where HOLDFAST_PCH is off, as ./test --full does.
option(HOLDFAST_PCH "Compile the headers of the standard library, Boost.Describe and GoogleTest once" ON)

set(precompiled_of_libraries <algorithm> <array> <atomic> <charconv> <chrono> <condition_variable> <cstdint> <cstring>
  <deque> <filesystem> <fstream> <functional> <map> <memory> <mutex> <optional> <set> <span> <sstream> <string>
  <string_view> <thread> <tuple> <unordered_map> <utility> <variant> <vector>
  <boost/describe.hpp> <boost/mp11/algorithm.hpp> <boost/mp11/list.hpp>)

# Targets that only own a compiled header; the others of the same flags take it from them.
if(HOLDFAST_PCH)
  file(WRITE ${CMAKE_BINARY_DIR}/precompiled/nothing.cpp.new "int main() {}\n")
  file(COPY_FILE ${CMAKE_BINARY_DIR}/precompiled/nothing.cpp.new ${CMAKE_BINARY_DIR}/precompiled/nothing.cpp ONLY_IF_DIFFERENT)
  add_library(precompiled_for_libraries OBJECT ${CMAKE_BINARY_DIR}/precompiled/nothing.cpp)
  target_link_libraries(precompiled_for_libraries PRIVATE holdfast_settings holdfast_dependencies)
  target_precompile_headers(precompiled_for_libraries PRIVATE ${precompiled_of_libraries})
  if(TARGET GTest::gmock)
    add_executable(precompiled_for_tests ${CMAKE_BINARY_DIR}/precompiled/nothing.cpp)
    target_link_libraries(precompiled_for_tests PRIVATE holdfast_settings holdfast_dependencies GTest::gmock)
    target_compile_options(precompiled_for_tests PRIVATE ${HOLDFAST_TESTS_OPTIMIZATION})
    target_precompile_headers(precompiled_for_tests PRIVATE ${precompiled_of_libraries} <gmock/gmock.h> <gtest/gtest.h>)
  endif()
endif()

# precompiled(libraries TARGET…) for libraries, and precompiled(tests TARGET…) for programs of tests.
function(precompiled kind)
  if(TARGET precompiled_for_${kind})
    foreach(target ${ARGN})
      target_link_libraries(${target} PRIVATE holdfast_dependencies)  # their definitions are in the header
      target_precompile_headers(${target} REUSE_FROM precompiled_for_${kind})
    endforeach()
  endif()
endfunction()
