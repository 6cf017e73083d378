{
  "targets": [
    {
      "target_name": "bench",
      "sources": [
        "native/bench.cpp",
        "../native/pound/host/memory/arena.cpp",
        "../native/pound/host/memory/bus_guard.cpp",
        "../native/pound/host/memory/page_file.cpp",
        "../native/pound/host/memory/pages.cpp",
        "../native/pound/host/memory/shared_object.cpp",
        "../native/pound/kvm/guest.cpp"
      ],
      "include_dirs": ["../native/pound"],
      "defines": ["NAPI_VERSION=8", "NDEBUG"],
      "cflags!": ["-O3"],
      "cflags": ["-O2"],
      "cflags_cc": ["-std=c++17", "-fvisibility=hidden"]
    }
  ]
}
