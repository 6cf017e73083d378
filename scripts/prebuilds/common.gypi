# The settings that node-gyp reads from Node's headers, for the prebuilt binaries:
# a release build, with Node's own flags for addons, except that -O2 replaces -O3. The accessors are
# as fast, because a call through Node-API takes most of their time, and the binary is a third
# smaller.
{
  "variables": {
    "node_engine_include_dir%": "include/node"
  },
  "target_defaults": {
    "default_configuration": "Release",
    "defines": ["NDEBUG"],
    "cflags": ["-fPIC", "-pthread", "-O2", "-fno-omit-frame-pointer"],
    "cflags_cc": ["-fno-rtti", "-fno-exceptions", "-fno-strict-aliasing"],
    "ldflags": ["-pthread"],
    "configurations": { "Debug": {}, "Release": {} }
  }
}
