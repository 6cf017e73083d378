#ifndef POUND_ADDON_STACK_BINDING_H
#define POUND_ADDON_STACK_BINDING_H

#include <napi.h>

namespace pound::addon {

/** Adds the function that reports the position of the stack to the module's exports. */
void init_stack_binding(Napi::Env env, Napi::Object exports);

} // namespace pound::addon

#endif // POUND_ADDON_STACK_BINDING_H
