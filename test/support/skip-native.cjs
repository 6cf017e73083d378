/*
 * For mocha: without the addon, skips each test that uses the native path, which throws
 * `ERR_NO_ADDON`. The tests of the addon itself are in test/native.
 */
"use strict";
const { GuestMemory } = require("pound-guest-memory");
const { Runnable } = require("mocha");

function needsAddon(error) {
  return error?.code === "ERR_NO_ADDON" || (error?.cause != null && needsAddon(error.cause));
}

if (!GuestMemory.hasNative) {
  const { run } = Runnable.prototype;
  Runnable.prototype.run = function (done) {
    run.call(this, (error) => {
      if (needsAddon(error)) {
        this.pending = true;
        done();
      } else {
        done(error);
      }
    });
  };
}
