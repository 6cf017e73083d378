/*
 * libstdc++'s handler of uncaught exceptions prints the name of the exception's type in C++. The
 * functions that decode the name would take 50 KB of the binary. This handler replaces it, and
 * prints the encoded name, such as "St9bad_alloc".
 */
#include <cstdio>
#include <cstdlib>

#if defined(__GLIBCXX__)

#include <cxxabi.h>
#include <typeinfo>

namespace __gnu_cxx {

// Declared as libstdc++ does.
void __verbose_terminate_handler();

void __verbose_terminate_handler() {
    std::fputs("pound-guest-memory: uncaught C++ exception ", stderr);
    const std::type_info* type = abi::__cxa_current_exception_type();
    std::fputs(type != nullptr ? type->name() : "(none)", stderr);
    std::fputs("\n", stderr);
    std::abort();
}

} // namespace __gnu_cxx

#endif
