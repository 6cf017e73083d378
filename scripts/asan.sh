#!/usr/bin/env bash
# Runs the tests of what the addon does on a build of it with AddressSanitizer and
# UndefinedBehaviorSanitizer, and then the lifetime fuzzer.
#
#   scripts/asan.sh [SECONDS OF FUZZING]
#
# Needs dist/ (npm run build:ts). Without g++ or the sanitizers' runtimes it is skipped with the
# reason; with POUND_REQUIRE_ALL=1 that is an error instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SECONDS_OF_FUZZING=${1:-30}
readonly FOLDER=$PWD/build-asan
readonly FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

# Those that call the addon. The rest of the suite would run the same code of it, slowly.
readonly TESTS=(
    arena atomics bad-input bulk cloning differential guest-memory lifetime lifetime-moved
    native-access shared-ram space-access typed-region write-from
)

asan=$(g++ -print-file-name=libasan.so 2>/dev/null || true)
if [[ $asan != /* ]]; then
    echo "asan: SKIPPED (not installed: g++ and its runtime of -fsanitize=address)"
    [[ ${POUND_REQUIRE_ALL:-} != 1 ]]
    exit
fi

# What a user has installed, but for the binary, so that the package loads it as it loads any.
rm -rf "$FOLDER"
mkdir -p "$FOLDER"
cp -r package.json tsconfig.json binding.gyp dist lib native test "$FOLDER"
ln -s "$PWD/node_modules" "$FOLDER/node_modules"
cd "$FOLDER"
specs=("${TESTS[@]/#/test/}")
specs=("${specs[@]/%/.test.ts}")
# The asserts of the release build are off, and wanted here.
CXXFLAGS="$FLAGS -O1 -g -UNDEBUG" LDFLAGS="$FLAGS" \
    npx --no-install node-gyp rebuild >build.log 2>&1 || {
    cat build.log
    exit 1
}

# The runtime has to come first, since node is not built with it. Leaks are those of node, which
# frees little at its end. Some tests ask for memory that no machine has. A small quarantine leaves room for the tests that measure memory. ASan
# cannot run under an address space limit, and the tests of one are skipped where emulators are
# given more time.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1:quarantine_size_mb=8
export UBSAN_OPTIONS=print_stacktrace=1
export POUND_TEST_PATIENCE=3
# Node 20 has ArrayBuffer.prototype.transfer behind a flag; the tests set it for their children.
transfer=()
if [[ $(node -p '"transfer" in ArrayBuffer.prototype') != true ]]; then
    transfer=(--harmony-rab-gsab-transfer)
fi
export LD_PRELOAD=$asan

node --expose-gc node_modules/mocha/bin/mocha.js --no-config --no-package --no-color \
    --timeout=180000 --require=tsx "${specs[@]}"
node --expose-gc "${transfer[@]}" --import=tsx test/support/lifetime-fuzz.ts \
    --seconds "$SECONDS_OF_FUZZING"
