# Builds the addon, and the addon of test/package/fixtures/core that uses its memories, with
# sanitizers. Sourced by asan.sh and tsan.sh, in the root of the repository. Needs dist/.

# Builds both in folder $1 with the flags $2 and the further compiler flags $3. The folder has the
# layout of an installed package, so that the package finds this build as any other.
build_sanitized() {
    local folder=$1 flags=$2 more=$3
    rm -rf "$folder"
    mkdir -p "$folder"
    cp -r package.json tsconfig.json binding.gyp dist lib native test "$folder"
    ln -s "$PWD/node_modules" "$folder/node_modules"
    core=$folder/test/package/fixtures/core
    mkdir "$core/node_modules"
    ln -s "$folder" "$core/node_modules/pound-guest-memory"
    echo '{ "name": "core" }' >"$core/package.json"
    (
        cd "$folder"
        export CXXFLAGS="$flags -g $more" CFLAGS="$flags -g $more" LDFLAGS="$flags"
        npx --no-install node-gyp rebuild && npx --no-install node-gyp rebuild --directory="$core"
    ) >"$folder/build.log" 2>&1 || {
        cat "$folder/build.log"
        exit 1
    }
}
