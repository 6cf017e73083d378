/*
 * For mocha: without the addon, skips each test that uses the native path, which throws
 * `ERR_NO_ADDON`. The tests of the addon itself are in test/native.
 */
"use strict";
const { GuestMemory } = require("pound-guest-memory");
const { Runnable } = require("mocha");
const { skipMissing } = require("./skip-missing.cjs");

if (!GuestMemory.hasNative) {
  skipMissing(Runnable, ["ERR_NO_ADDON"]);
}
