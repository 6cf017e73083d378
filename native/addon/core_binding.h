#ifndef POUND_ADDON_CORE_BINDING_H
#define POUND_ADDON_CORE_BINDING_H

#include <napi.h>

namespace pound::addon {

/** Adds the functions that make handles for other addons to the module's exports. */
void init_core_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_CORE_BINDING_H
