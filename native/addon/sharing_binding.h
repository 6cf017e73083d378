#ifndef POUND_ADDON_SHARING_BINDING_H
#define POUND_ADDON_SHARING_BINDING_H

#include <napi.h>

namespace pound::addon {

/** Adds the functions for memory that several processes map to the module's exports. */
void init_sharing_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_SHARING_BINDING_H
