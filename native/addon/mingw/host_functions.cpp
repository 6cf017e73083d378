/*
 * Resolves Node-API in the program that loads the addon, whatever its name is: node.exe, Electron,
 * or an emulator that embeds Node.
 *
 * Only MinGW builds use this file. For Microsoft's compiler, node-gyp and cmake-js provide a hook.
 */
#include <windows.h>

#include <string.h>

extern "C" {
// Of the object file that scripts/prebuilds/node-api-object.mts writes: the names of the functions
// one after the other, an empty one at the end, and the addresses to which the functions jump.
extern const char pound_host_names[];
extern FARPROC pound_host_functions[];
}

namespace {

/** Looks up all functions of Node-API when the addon is loaded. */
struct HostLoader {
    HostLoader() {
        // Node-API is in libnode.dll if Node was built as a library, and else in the program.
        HMODULE host = GetModuleHandleA("libnode.dll");
        if (host == nullptr) {
            host = GetModuleHandleA(nullptr);
        }
        FARPROC* function = pound_host_functions;
        for (const char* name = pound_host_names; *name != '\0'; name += strlen(name) + 1) {
            *function++ = GetProcAddress(host, name);
        }
    }
} host_loader;

} // namespace
