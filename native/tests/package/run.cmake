# Builds and runs the consumer in an empty directory, with an installed pound (MODE=installed) or
# with its sources (MODE=subdirectory).

function(run)
    execute_process(COMMAND ${ARGV} RESULT_VARIABLE result OUTPUT_VARIABLE output
        ERROR_VARIABLE output)
    if(NOT result EQUAL 0)
        list(JOIN ARGV " " command)
        message(FATAL_ERROR "${command}\n${output}\nexited with ${result}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${SCRATCH_DIR})
set(prefix ${SCRATCH_DIR}/prefix)
set(build ${SCRATCH_DIR}/build)

set(arguments
    -G ${GENERATOR}
    -DCMAKE_BUILD_TYPE=${CONFIG}
    -DCMAKE_CXX_COMPILER=${COMPILER}
    -DPOUND_EXPECTED_VERSION=${POUND_VERSION})
if(TOOLCHAIN_FILE)
    list(APPEND arguments -DCMAKE_TOOLCHAIN_FILE=${TOOLCHAIN_FILE})
endif()
if(MODE STREQUAL "installed")
    run(${CMAKE_COMMAND} --install ${POUND_BINARY_DIR} --config ${CONFIG} --prefix ${prefix})
    list(APPEND arguments -DCMAKE_PREFIX_PATH=${prefix})
else()
    list(APPEND arguments -DPOUND_SOURCE_DIR=${POUND_SOURCE_DIR} -DPOUND_SANITIZE=${SANITIZE})
endif()

run(${CMAKE_COMMAND} -S ${CONSUMER_SOURCE_DIR} -B ${build} ${arguments})
run(${CMAKE_COMMAND} --build ${build} --config ${CONFIG})
find_program(consumer consumer PATHS ${build} ${build}/${CONFIG} NO_DEFAULT_PATH REQUIRED)
run(${EMULATOR} ${consumer})
if(NOT output STREQUAL "pound consumer: 0x11223344\n")
    message(FATAL_ERROR "unexpected output: ${output}")
endif()

if(MODE STREQUAL "subdirectory")
    file(GLOB_RECURSE leftovers ${build}/*_tests ${build}/*pound-config*)
    if(leftovers)
        message(FATAL_ERROR "as a subdirectory, pound has no tests and installs nothing: "
            "${leftovers}")
    endif()
endif()
