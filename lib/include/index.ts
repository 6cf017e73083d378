/**
 * The folders that the build files of a native addon need to compile against this package. Loading
 * this module does not load the addon.
 *
 * @example In binding.gyp:
 *
 * ```text
 * "include_dirs": ["<!(node -p \"require('pound-guest-memory/include').include_dir\")"]
 * ```
 *
 * @module
 */
import { join, relative } from "node:path";

const ROOT = join(__dirname, "..", "..");

/**
 * The folder of the C and C++ headers, such as `kvm/guest.h` and `node/guest_handle.h`. The path is
 * relative to the working directory, because node-gyp cannot use absolute paths with spaces.
 */
export const include_dir: string = portable(relative(".", join(ROOT, "native", "pound")));

/**
 * The absolute path of the folder of `pound-headers-config.cmake`. CMake's
 * `find_package(pound-headers CONFIG REQUIRED PATHS …)` finds the target `pound::headers` there.
 */
export const cmake_dir: string = portable(join(ROOT, "native", "cmake"));

/** Build systems read a backslash as an escape. */
function portable(path: string): string {
  return path.replaceAll("\\", "/");
}
