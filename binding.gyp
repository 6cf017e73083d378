{
  "targets": [
    {
      "target_name": "pound_guest_memory",
      "sources": [
        "native/addon/addon.cpp",
        "native/addon/arena_binding.cpp",
        "native/addon/atomic_binding.cpp",
        "native/addon/batch_binding.cpp",
        "native/addon/core_binding.cpp",
        "native/addon/environment.cpp",
        "native/addon/errors.cpp",
        "native/addon/exposures.cpp",
        "native/addon/glibc_baseline.cpp",
        "native/addon/memory_binding.cpp",
        "native/addon/mmu_binding.cpp",
        "native/addon/sharing_binding.cpp",
        "native/addon/space_binding.cpp",
        "native/addon/stack_binding.cpp",
        "native/addon/terminate.cpp",
        "native/addon/watch_binding.cpp",
        "native/pound/host/memory/arena.cpp",
        "native/pound/host/memory/bus_guard.cpp",
        "native/pound/host/memory/forkable.cpp",
        "native/pound/host/memory/image.cpp",
        "native/pound/host/memory/page_file.cpp",
        "native/pound/host/memory/pages.cpp",
        "native/pound/host/memory/shared_object.cpp",
        "native/pound/host/memory/write_watch.cpp",
        "native/pound/kvm/guest.cpp"
      ],
      "include_dirs": [
        "<!@(node -p \"require('node-addon-api').include_dir\")",
        "native/addon",
        "native/pound"
      ],
      "defines": [
        "NAPI_VERSION=8",
        "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED",
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ],
      "configurations": {
        "Release": { "defines": ["NDEBUG"] }
      },
      "cflags": ["-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-fvisibility-inlines-hidden"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "MACOSX_DEPLOYMENT_TARGET": "11.0"
      },
      "msvs_settings": {
        "VCCLCompilerTool": { "AdditionalOptions": ["/std:c++17"] }
      }
    }
  ]
}
