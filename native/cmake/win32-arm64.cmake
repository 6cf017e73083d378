# Windows on ARM, built with the clang of Zig, which has MinGW's headers and libc++ for it. The
# environment names the compiler.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR ARM64)
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-static -s")
