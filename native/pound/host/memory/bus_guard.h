#ifndef POUND_HOST_MEMORY_BUS_GUARD_H
#define POUND_HOST_MEMORY_BUS_GUARD_H

#include <cstddef>

/*
 * Survival of files that another process makes shorter while they are mapped.
 *
 * Linux and macOS send SIGBUS to a thread that accesses a page of a mapping whose file has ended
 * before it, or for which the disk has no room. The first guard installs a handler of SIGBUS. It
 * replaces the lost pages of guarded mappings by private pages of zeros, and the access continues.
 * It calls the handler that was installed before for every other SIGBUS.
 *
 * Windows refuses to make a mapped file shorter, so it needs no guard.
 */
namespace pound::host::memory {

/**
 * Guards a mapping of a file.
 *
 * @param data       The start of a page.
 * @param size       Bytes, at least 1.
 * @param descriptor The file, mapped from its start. The guard keeps a duplicate. -1 if all pages
 * of the mapping are to be replaced when one is lost.
 * @return False if the system refuses.
 */
[[nodiscard]] bool bus_guard_add(void* data, size_t size, int descriptor);

/** Ends the guard of the mapping at `data`, if there is one. Call it before munmap(). */
void bus_guard_remove(const void* data);

/** Whether a page of the guarded mapping at `data` was replaced. */
[[nodiscard]] bool bus_guard_has_replaced(const void* data);

} // namespace pound::host::memory

#endif // POUND_HOST_MEMORY_BUS_GUARD_H
