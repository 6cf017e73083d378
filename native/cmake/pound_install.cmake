include(CMakePackageConfigHelpers)

set(POUND_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/pound)

install(TARGETS pound EXPORT pound_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
# pages.h is an implementation detail of the arena.
install(DIRECTORY pound/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pound
    FILES_MATCHING PATTERN "*.h" PATTERN "pages.h" EXCLUDE)
install(EXPORT pound_targets NAMESPACE pound:: FILE pound-targets.cmake
    DESTINATION ${POUND_CONFIG_DIR})

configure_package_config_file(cmake/pound-config.cmake.in
    ${CMAKE_CURRENT_BINARY_DIR}/pound-config.cmake INSTALL_DESTINATION ${POUND_CONFIG_DIR})
# Before 1.0.0, a minor version may break compatibility.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/pound-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES
    ${CMAKE_CURRENT_BINARY_DIR}/pound-config.cmake
    ${CMAKE_CURRENT_BINARY_DIR}/pound-config-version.cmake
    DESTINATION ${POUND_CONFIG_DIR})
