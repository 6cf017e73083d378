#ifndef POUND_ADDON_SPACE_BINDING_H
#define POUND_ADDON_SPACE_BINDING_H

#include <napi.h>

namespace pound::addon {

/** Adds the functions of address spaces to the module's exports. */
void init_space_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_SPACE_BINDING_H
