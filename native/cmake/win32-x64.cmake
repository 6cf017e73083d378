# Windows, built with MinGW. The C++ library and the thread library are linked statically, because a
# Windows machine has no copy of MinGW's.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++)
# The linker strips the binary, because strip would write a timestamp into it.
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-static -s -Wl,--no-insert-timestamp")
