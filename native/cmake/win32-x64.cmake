# Windows, by MinGW. The C++ library and the threads go into the binary: a
# Windows machine has no MinGW's to load.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++)
# Stripped by the linker, since strip would write the time into it.
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-static -s -Wl,--no-insert-timestamp")
