#ifndef POUND_ADDON_SPACE_BINDING_H
#define POUND_ADDON_SPACE_BINDING_H

#include <napi.h>

#include <memory>

#include "kvm/page_table.h"

namespace pound::addon {

/** The page table of an address space. */
class SharedTable;

/** The table of a handle, or null if `value` is not a handle to a table of this environment. */
std::shared_ptr<SharedTable> open_table(Napi::Value value);

/** The entries of a table, valid until JavaScript runs. Call it on the thread of the table. */
kvm::memory::guest_page_table_t entries_of(const SharedTable& table);

/** Adds the functions of address spaces to the module's exports. */
void init_space_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_SPACE_BINDING_H
