#ifndef POUND_ADDON_MMU_BINDING_H
#define POUND_ADDON_MMU_BINDING_H

#include <napi.h>

namespace pound::addon {

/** Adds the functions of MMUs to the module's exports. */
void init_mmu_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_MMU_BINDING_H
