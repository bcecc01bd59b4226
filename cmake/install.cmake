# The installed package: headers, libholdfast.a, libholdfast.so, find_package(Holdfast), pkg-config.
#   Holdfast::holdfast  the shared library     Holdfast::static  the static one
# Headers under an internal/ folder are the rooms' own and are not installed.
include(CMakePackageConfigHelpers)

install(DIRECTORY src/holdfast DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library
        FILES_MATCHING PATTERN "*.hpp" PATTERN internal EXCLUDE PATTERN testing EXCLUDE)
set_target_properties(holdfast_shared PROPERTIES EXPORT_NAME holdfast)
install(TARGETS holdfast_static holdfast_shared holdfast_dependencies EXPORT HoldfastTargets COMPONENT library
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT HoldfastTargets NAMESPACE Holdfast:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Holdfast
        COMPONENT library)
configure_package_config_file(cmake/HoldfastConfig.cmake.in ${CMAKE_BINARY_DIR}/HoldfastConfig.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Holdfast)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/HoldfastConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/HoldfastConfig.cmake ${CMAKE_BINARY_DIR}/HoldfastConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Holdfast COMPONENT library)
# Relative, so that an installed tree can be moved, and --prefix is followed.
file(RELATIVE_PATH HOLDFAST_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/holdfast.pc.in ${CMAKE_BINARY_DIR}/holdfast.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/holdfast.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
