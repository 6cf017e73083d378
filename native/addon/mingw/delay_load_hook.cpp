/*
 * Resolves Node-API in the program that loads the addon, whatever its name is: node.exe, Electron,
 * or an emulator that embeds Node.
 *
 * Only MinGW builds use this file. For Microsoft's compiler, node-gyp and cmake-js provide a hook.
 */
#include <windows.h>

#include <delayimp.h>
#include <string.h>

extern "C" {
/** The start of this binary in memory. The addresses in the descriptor are relative to it. */
extern const unsigned char __ImageBase[];
/** The descriptor that dlltool has put into libnode.a: the names of the host's functions. */
extern const ImgDelayDescr __DELAY_IMPORT_DESCRIPTOR_libnode_a;
/** MinGW's function that looks a function up and stores its address at `entry`. */
FARPROC WINAPI __delayLoadHelper2(PCImgDelayDescr descriptor, PImgThunkData entry);
}

namespace {

FARPROC WINAPI find_host(unsigned int event, DelayLoadInfo* info) {
    // The import library names node.exe, which here means any host program.
    if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) {
        return nullptr;
    }
    // Node-API is in libnode.dll if Node was built as a library, and else in the program.
    HMODULE host = GetModuleHandleA("libnode.dll");
    if (host == nullptr) {
        host = GetModuleHandleA(nullptr);
    }
    return reinterpret_cast<FARPROC>(host);
}

/**
 * Resolves all functions of Node-API when the addon is loaded.
 *
 * A function resolved at its first call could receive wrong arguments: the thunk that dlltool makes
 * does not save the registers of floating point arguments. MinGW's __HrLoadAllImportsForDll does
 * the same as this struct, but it finds nothing, because MinGW's linker omits the table that it
 * reads.
 */
struct HostLoader {
    HostLoader() {
        const ImgDelayDescr& descriptor = __DELAY_IMPORT_DESCRIPTOR_libnode_a;
        auto* names = reinterpret_cast<PCImgThunkData>(__ImageBase + descriptor.rvaINT);
        auto* entry = reinterpret_cast<PImgThunkData>(
            const_cast<unsigned char*>(__ImageBase + descriptor.rvaIAT));
        for (; names->u1.AddressOfData != 0; ++names, ++entry) {
            __delayLoadHelper2(&descriptor, entry);
        }
    }
} host_loader;

} // namespace

extern "C" {
// The name that __delayLoadHelper2 reads.
PfnDliHook __pfnDliNotifyHook2 = find_host;
}
