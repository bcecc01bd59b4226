# with-faults/holdfast: the binary whose fault sites are there (src/holdfast/base/fault.hpp), which crash tests
# and the drill kill-between-steps end at each of them.
#
# The sources that have sites, found by what they say, are compiled once more with HOLDFAST_FAULTS. Their objects
# come before the libraries, so that the linker takes none of the same names from those.
file(GLOB_RECURSE may_have_sites CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*.[ch]pp ${CMAKE_SOURCE_DIR}/apps/*.[ch]pp)
list(FILTER may_have_sites EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$|/base/fault\\.hpp$")
set(sources_with_sites)
foreach(source ${may_have_sites})
  file(STRINGS ${source} sites REGEX "HOLDFAST_FAULT\\(|HOLDFAST_FAULTS" LIMIT_COUNT 1)
  if(sites AND source MATCHES "\\.hpp$")
    message(FATAL_ERROR "${source}: a fault site stands in a .cpp file, for only those are compiled with it")
  elseif(sites)
    list(APPEND sources_with_sites ${source})
  endif()
endforeach()
# Sites come and go with edits; a file's first one is seen when CMake runs again.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${sources_with_sites})

add_library(objects_with_sites OBJECT ${sources_with_sites})
target_compile_definitions(objects_with_sites PRIVATE HOLDFAST_FAULTS)
target_include_directories(objects_with_sites PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/apps)
target_link_libraries(objects_with_sites PRIVATE holdfast_settings holdfast_dependencies)
precompiled(libraries objects_with_sites)

add_executable(holdfast_with_faults main.cpp $<TARGET_OBJECTS:objects_with_sites>)
set_target_properties(holdfast_with_faults PROPERTIES OUTPUT_NAME holdfast
                      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/with-faults)
target_link_libraries(holdfast_with_faults PRIVATE holdfast_cli_parts holdfast_dependencies)
allocates_by_jemalloc(holdfast_with_faults)
if(NOT HOLDFAST_TESTS)
  set_target_properties(objects_with_sites holdfast_with_faults PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
