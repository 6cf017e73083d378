import { expect } from "chai";
import {
  type AccessPolicy,
  GuestMemAccessResult,
  GuestMemory,
  OpKind,
  packOps,
  type TryAccess,
} from "pound-guest-memory";
import { crosscheck, decodeOpLog, encodeOpLog, OpRecorder } from "pound-guest-memory/crosscheck";
import { itNative } from "../support/native-tests.js";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const OPS = [
  { kind: OpKind.WRITEQ, gpa: 8n, value: 0x1122_3344_5566_7788n },
  { kind: OpKind.READW, gpa: 2n ** 64n - 2n, value: 0n },
];

const OP_LAST = { kind: OpKind.WRITEL, gpa: 2n ** 33n + 64n, value: 9n };

/** The bound methods of a memory, for a test to replace some. */
function bound(memory: GuestMemory): TryAccess {
  return {
    tryReadb: (gpa, out) => memory.tryReadb(gpa, out),
    tryReadw: (gpa, out) => memory.tryReadw(gpa, out),
    tryReadl: (gpa, out) => memory.tryReadl(gpa, out),
    tryReadq: (gpa, out) => memory.tryReadq(gpa, out),
    tryWriteb: (gpa, value) => memory.tryWriteb(gpa, value),
    tryWritew: (gpa, value) => memory.tryWritew(gpa, value),
    tryWritel: (gpa, value) => memory.tryWritel(gpa, value),
    tryWriteq: (gpa, value) => memory.tryWriteq(gpa, value),
  };
}

describe("the operation log", () => {
  it("has the bytes that docs/op-log.md describes", () => {
    const policy = { alignment: "allow", endian: "big" } as const;
    const log = encodeOpLog({ size: 4096, ops: packOps(OPS), policy });
    expect(log.toString("hex").match(/.{16}/g)).to.deep.equal([
      "50474d4f50530002",
      "0010000000000000",
      "0300000000000000",
      "0800000000000000",
      "8877665544332211",
      "0700000000000000",
      "feffffffffffffff",
      "0000000000000000",
      "0100000000000000",
    ]);
    const decoded = decodeOpLog(log);
    expect(decoded.size).to.equal(4096);
    expect(decoded.policy).to.deep.equal(policy);
    expect([decoded.ops.op(0), decoded.ops.op(1)]).to.deep.equal(OPS);
  });

  it("keeps each policy, and has that of Pound's header by default", () => {
    const ops = packOps(OPS);
    for (const alignment of ["fault", "allow"] as const) {
      for (const endian of ["little", "big"] as const) {
        const policy = { alignment, endian };
        expect(decodeOpLog(encodeOpLog({ size: 8, ops, policy })).policy).to.deep.equal(policy);
      }
    }
    const header = { alignment: "fault", endian: "little" };
    expect(decodeOpLog(encodeOpLog({ size: 8, ops })).policy).to.deep.equal(header);
    const policy = { endian: "middle" } as unknown as AccessPolicy;
    expect(thrown(() => encodeOpLog({ size: 8, ops, policy }))).to.deep.equal(OUT_OF_RANGE);
  });

  it("is read in version 1, which has no policy", () => {
    const log = encodeOpLog({ size: 4096, ops: packOps(OPS) });
    const old = Buffer.concat([log.subarray(0, 16), log.subarray(24)]);
    old[7] = 1;
    const { size, ops, policy } = decodeOpLog(old);
    expect(size).to.equal(4096);
    expect(policy).to.deep.equal({ alignment: "fault", endian: "little" });
    expect([ops.op(0), ops.op(1)]).to.deep.equal(OPS);
  });

  it("is refused if it is truncated, damaged or of another version", () => {
    const log = encodeOpLog({ size: 4096, ops: packOps(OPS) });
    for (let length = 0; length < log.length; length++) {
      const whole = length >= 24 && length % 24 === 0;
      const outcome = thrown(() => decodeOpLog(log.subarray(0, length)));
      expect(outcome.name, `${length} bytes`).to.equal(whole ? "nothing" : "RangeError");
    }
    for (const [at, value] of [
      [0, 0x51],
      [7, 0],
      [7, 3],
      [15, 0xff],
      [16, 4],
      [23, 1],
      // More than 2^40 bytes of RAM.
      [13, 0x01],
      [40, 8],
    ] as const) {
      const damaged = Buffer.from(log);
      damaged[at] = value;
      expect(
        thrown(() => decodeOpLog(damaged)),
        `byte ${at}`,
      ).to.deep.equal(OUT_OF_RANGE);
    }
  });

  itNative(
    "is compared where its operations can reach, whatever size of RAM it declares",
    async function () {
      this.timeout(240_000);
      if (process.platform === "win32") {
        // There, all of that RAM would count against the commit limit.
        this.skip();
      }
      const size = 2 ** 36;
      const ops = packOps([
        { kind: OpKind.WRITEQ, gpa: 2n ** 36n - 8n, value: 7n },
        { kind: OpKind.WRITEL, gpa: 2n ** 33n + 64n, value: 9n },
      ]);
      const check = (log: Buffer, makeSubject: (size: number) => TryAccess) => {
        const decoded = decodeOpLog(log);
        return crosscheck(makeSubject, () => [decoded.ops], { size: decoded.size });
      };
      const view = (bytes: number): GuestMemory => GuestMemory.allocate(bytes);
      const empty = await check(encodeOpLog({ size, ops: packOps([]) }), view);
      expect(empty).to.deep.include({ operations: 0, difference: null });
      const log = encodeOpLog({ size, ops });
      expect(await check(log, view)).to.deep.include({ operations: 2, difference: null });
      // One also writes after the value, and the other cuts addresses to 32 bits.
      const spilling = (bytes: number): TryAccess => {
        const memory = view(bytes);
        return {
          ...bound(memory),
          tryWritel: (gpa, value) => {
            memory.tryWritel(Number(gpa) + 4, 1);
            return memory.tryWritel(gpa, value);
          },
        };
      };
      const doubling = (bytes: number): TryAccess => {
        const memory = view(bytes);
        return {
          ...bound(memory),
          tryWritel: (gpa, value) => {
            memory.tryWritel(Number(gpa) % 2 ** 32, value);
            return memory.tryWritel(gpa, value);
          },
        };
      };
      for (const [subject, at] of [
        [spilling, 2n ** 33n + 68n],
        [doubling, 64n],
      ] as const) {
        // No operation follows the write, so only the comparison at the end can detect it.
        const last = encodeOpLog({ size: 2 ** 33 + 4096, ops: packOps([OP_LAST]) });
        const { difference } = await check(last, subject);
        expect(difference?.ops.at(-1)).to.deep.include({ kind: OpKind.READB, gpa: at });
      }
    },
  );

  it("records operations made through a recorder, and crosscheck replays it", async () => {
    const memory = GuestMemory.allocate(64);
    const recorder = new OpRecorder(memory);
    const out = new Uint32Array(1);
    expect(recorder.tryWritel(4, 7)).to.equal(GuestMemAccessResult.OK);
    expect(recorder.tryReadl(4, out)).to.equal(GuestMemAccessResult.OK);
    expect(out[0]).to.equal(7);
    expect(recorder.tryReadl(5, out)).to.equal(GuestMemAccessResult.FAULT_UNALIGNED);
    const { ops } = decodeOpLog(encodeOpLog(recorder.log(64)));
    expect(
      [0, 1, 2].map((i) => [ops.kind(i), ops.gpa(i), ops.value(i), ops.result(i)]),
    ).to.deep.equal([
      [OpKind.WRITEL, 4n, 7n, 0],
      [OpKind.READL, 4n, 7n, 0],
      [OpKind.READL, 5n, 0n, 1],
    ]);
    const result = await crosscheck(
      (size) => GuestMemory.allocate(size),
      () => [ops],
      { size: 64 },
    );
    expect(result).to.deep.include({ operations: 3, difference: null });
  });

  it("is refused if the value is not a log", () => {
    const none = undefined as never;
    expect(thrown(() => decodeOpLog(none))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => encodeOpLog(none))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => encodeOpLog({ size: 8, ops: none }))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => new OpRecorder(none))).to.deep.equal(WRONG_TYPE);
  });
});
