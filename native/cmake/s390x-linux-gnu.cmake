# A big-endian host, run under QEMU's user-mode emulation.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR s390x)
set(CMAKE_CXX_COMPILER s390x-linux-gnu-g++)
# Static, because QEMU would need the path of an s390x dynamic loader for other programs.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)

find_program(POUND_QEMU_S390X NAMES qemu-s390x-static qemu-s390x REQUIRED)
set(CMAKE_CROSSCOMPILING_EMULATOR ${POUND_QEMU_S390X})
