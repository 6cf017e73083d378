/*
 * libstdc++ counts the references of a shared_ptr without atomic instructions while the process has
 * one thread. To find out, it reads a variable that glibc has since version 2.32. This file defines
 * that variable, so that the addon also loads with the older glibc versions that Node supports. The
 * value is 0, because a Node process always has several threads.
 */
#include <cstdlib>

#if defined(__GLIBC__)

extern "C" {
// Hidden, so that only this addon uses it. The reserved name is the one that libstdc++ reads.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;
}

#endif
