/*
 * libstdc++ counts the references of a shared_ptr without atomic instructions
 * where the process has one thread, and asks a variable of glibc 2.32 for that.
 * Node has threads from its start. To answer so here keeps the addon loadable
 * with the older glibc that Node itself still runs on.
 */
#include <cstdlib>

#if defined(__GLIBC__)

extern "C" {
// Hidden: an answer for this addon alone. The name is the implementation's.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
}

#endif
