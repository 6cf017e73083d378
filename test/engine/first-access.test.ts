import { Session } from "node:inspector";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";

interface Paused {
  params: { data?: { description?: string } };
}

/** The errors that are thrown while a function runs, also those that are caught. */
function errorsOf(run: () => void): string[] {
  const session = new Session();
  session.connect();
  const errors: string[] = [];
  session.on("Debugger.paused", ({ params }: Paused) => {
    errors.push(params.data?.description?.split("\n")[0] ?? "");
    session.post("Debugger.resume");
  });
  session.post("Debugger.enable");
  session.post("Debugger.setPauseOnExceptions", { state: "all" });
  try {
    run();
  } finally {
    session.disconnect();
  }
  return errors;
}

describe("the first access of an address space", () => {
  it("throws no error inside, after which V8 would make the accessor slower", () => {
    const out = new Uint32Array(2);
    const accesses: ((space: AddressSpace) => void)[] = [
      (space) => space.tryReadb(0, new Uint8Array(1)),
      (space) => space.tryReadl(0x8000_0000, out),
      (space) => space.tryReadqHalves(0xffff_fff8, out, 0),
      (space) => space.tryWritel(0, 1),
      (space) => space.tryWriteqHalves(0x8000_0000, 1, 1),
      (space) => space.native.tryReadl(0, out),
      (space) => space.native.tryWritel(0xffff_fffc, 1),
    ];
    for (const access of accesses) {
      for (const options of [{}, { alignment: "allow" }, { endian: "big" }] as const) {
        const [empty, mapped] = [new AddressSpace(options), new AddressSpace(options)];
        mapped.addRam(0, 65536);
        expect(errorsOf(() => [empty, mapped].forEach(access))).to.deep.equal([]);
      }
    }
    // The inspector does report errors that are caught.
    const caught = errorsOf(() => {
      try {
        throw new Error("caught");
      } catch {
        // Nothing else to do.
      }
    });
    expect(caught).to.deep.equal(["Error: caught"]);
  });
});
