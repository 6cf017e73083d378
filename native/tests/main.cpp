#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "kvm/endian.h"

int main(int argc, char** argv) {
    // The log must show the byte order: otherwise nobody would notice that a cross build fell back
    // to the host's compiler.
    printf("host byte order: %s-endian, %zu-bit%s\n", HOST_IS_LITTLE_ENDIAN ? "little" : "big",
           sizeof(void*) * 8, POUND_TESTS_EMULATED ? ", emulated" : "");
    fflush(stdout);
    doctest::Context context(argc, argv);
    return context.run();
}
