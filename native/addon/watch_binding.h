#ifndef POUND_ADDON_WATCH_BINDING_H
#define POUND_ADDON_WATCH_BINDING_H

#include <napi.h>

namespace pound::addon {

/** Adds the functions of write watches to the module's exports. */
void init_watch_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_WATCH_BINDING_H
