#ifndef POUND_ADDON_ATOMIC_BINDING_H
#define POUND_ADDON_ATOMIC_BINDING_H

#include <napi.h>

namespace pound::addon {

/** Adds the function that runs the atomic accessors to the module's exports. */
void init_atomic_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_ATOMIC_BINDING_H
