#ifndef POUND_ADDON_BATCH_BINDING_H
#define POUND_ADDON_BATCH_BINDING_H

#include <napi.h>

namespace pound::addon {

/** Adds the batch function to the module's exports. */
void init_batch_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_BATCH_BINDING_H
