/*
 * Node-API is looked for in the program that loads the addon, whatever its name
 * is: node.exe, Electron's, or an emulator's own with Node in it.
 *
 * For MinGW alone. For Microsoft's compiler, node-gyp and cmake-js bring a hook
 * of their own.
 */
#include <windows.h>

#include <delayimp.h>
#include <string.h>

extern "C" {
/** Start of this binary in memory, from which the descriptor counts. */
extern const unsigned char __ImageBase[];
/** What dlltool has put into libnode.a: the functions of the host, by name. */
extern const ImgDelayDescr __DELAY_IMPORT_DESCRIPTOR_libnode_a;
/** Of MinGW: looks a function up and stores its address at `entry`. */
FARPROC WINAPI __delayLoadHelper2(PCImgDelayDescr descriptor, PImgThunkData entry);
}

namespace {

FARPROC WINAPI find_host(unsigned int event, DelayLoadInfo* info) {
    // The name in the import library stands for whatever program it is.
    if (event != dliNotePreLoadLibrary || _stricmp(info->szDll, "node.exe") != 0) {
        return nullptr;
    }
    // Node can be built as a library; else Node-API is the program's own.
    HMODULE host = GetModuleHandleA("libnode.dll");
    if (host == nullptr) {
        host = GetModuleHandleA(nullptr);
    }
    return reinterpret_cast<FARPROC>(host);
}

/**
 * Looks all of Node-API up when the addon is loaded.
 *
 * Looked up at its first call, a function could get other arguments than its
 * caller's: the code that dlltool makes for it does not save the registers of
 * floating point ones. MinGW's own function for this, __HrLoadAllImportsForDll,
 * finds nothing, since its linker leaves the table that it reads out.
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
// The name that __delayLoadHelper2 knows.
PfnDliHook __pfnDliNotifyHook2 = find_host;
}
