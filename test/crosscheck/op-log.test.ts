import { expect } from "chai";
import {
  crosscheck,
  decodeOpLog,
  encodeOpLog,
  GuestMemAccessResult,
  GuestMemory,
  OpKind,
  OpRecorder,
  packOps,
} from "pound-guest-memory";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const OPS = [
  { kind: OpKind.WRITEQ, gpa: 8n, value: 0x1122_3344_5566_7788n },
  { kind: OpKind.READW, gpa: 2n ** 64n - 2n, value: 0n },
];

describe("the operation log", () => {
  it("is, byte for byte, what docs/op-log.md says", () => {
    const log = encodeOpLog({ size: 4096, ops: packOps(OPS) });
    expect(log.toString("hex").match(/.{16}/g)).to.deep.equal([
      "50474d4f50530001",
      "0010000000000000",
      "0800000000000000",
      "8877665544332211",
      "0700000000000000",
      "feffffffffffffff",
      "0000000000000000",
      "0100000000000000",
    ]);
    const { size, ops } = decodeOpLog(log);
    expect(size).to.equal(4096);
    expect([ops.op(0), ops.op(1)]).to.deep.equal(OPS);
  });

  it("is refused when it is cut off, of another version or damaged", () => {
    const log = encodeOpLog({ size: 4096, ops: packOps(OPS) });
    for (let length = 0; length < log.length; length++) {
      const whole = length >= 16 && (length - 16) % 24 === 0;
      const outcome = thrown(() => decodeOpLog(log.subarray(0, length)));
      expect(outcome.name, `${length} bytes`).to.equal(whole ? "nothing" : "RangeError");
    }
    for (const [at, value] of [
      [0, 0x51],
      [7, 2],
      [15, 0xff],
      [32, 8],
    ] as const) {
      const damaged = Buffer.from(log);
      damaged[at] = value;
      expect(
        thrown(() => decodeOpLog(damaged)),
        `byte ${at}`,
      ).to.deep.equal(OUT_OF_RANGE);
    }
  });

  it("records what is done through a recorder, and is replayed by crosscheck", async () => {
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

  it("is refused where it is none", () => {
    const none = undefined as never;
    expect(thrown(() => decodeOpLog(none))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => encodeOpLog(none))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => encodeOpLog({ size: 8, ops: none }))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => new OpRecorder(none))).to.deep.equal(WRONG_TYPE);
  });
});
