/*
 * For mocha: skips each test that throws an error with one of the codes, which tell that the
 * process lacks what the test uses.
 */
"use strict";

exports.skipMissing = (Runnable, codes) => {
  const isMissing = (error) =>
    codes.includes(error?.code) || (error?.cause != null && isMissing(error.cause));
  const { run } = Runnable.prototype;
  Runnable.prototype.run = function (done) {
    run.call(this, (error) => {
      if (isMissing(error)) {
        // Mocha permits no hook after the tests to skip them.
        this.pending = !this.title.startsWith('"after ');
        done();
      } else {
        done(error);
      }
    });
  };
};
