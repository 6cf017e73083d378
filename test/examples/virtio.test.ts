import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace } from "pound-guest-memory";
import { VirtioBlock } from "../../examples/frontend/devices/virtio-block.js";
import { VirtMachine } from "../../examples/frontend/virt.js";

const RAM = 0x8000_0000;
const RAM_SIZE = 0x1_0000;
const DEVICE = 0x1000_1000;
const TABLE = RAM;
const AVAILABLE = RAM + 0x1000;
const USED = RAM + 0x2000;
const HEADER = RAM + 0x3000;
const STATUS = RAM + 0x3100;
const DATA = RAM + 0x4000;

// Registers, types of requests and flags of descriptors.
const [QUEUE_SIZE, QUEUE_READY, NOTIFY, INTERRUPTS, ACKNOWLEDGE, DEVICE_STATUS] = [
  0x38, 0x44, 0x50, 0x60, 0x64, 0x70,
];
const [READ, WRITE, FLUSH, GET_ID] = [0, 1, 4, 8];
const [NEXT, WRITABLE] = [1, 2];
const [SUCCESS, FAILURE, UNSUPPORTED] = [0, 1, 2];
const READY = 15;
const NEEDS_RESET = 64;

interface Descriptor {
  readonly gpa: number | bigint;
  readonly length: number;
  readonly flags?: number;
  readonly next?: number;
}

/** A disk of 8 sectors and a bit, and its driver. */
class Driver {
  readonly space = new AddressSpace();
  readonly disk = Buffer.alloc(8 * 512 + 100, 0xdd);
  level = false;
  private requests = 0;

  constructor() {
    const { space } = this;
    space.addRam(RAM, RAM_SIZE);
    const block = new VirtioBlock(space, this.disk, (level) => (this.level = level));
    space.addMmio(DEVICE, 0x1000, block);
    this.start();
  }

  start(): void {
    this.requests = 0;
    for (const [register, value] of [
      [DEVICE_STATUS, 0],
      [QUEUE_SIZE, 8],
      [0x80, TABLE],
      [0x90, AVAILABLE],
      [0xa0, USED],
      [QUEUE_READY, 1],
      [DEVICE_STATUS, READY],
    ] as const) {
      this.set(register, value);
    }
    this.space.write(AVAILABLE, Buffer.alloc(0x2000));
  }

  get(register: number): number {
    return this.space.readl(DEVICE + register);
  }

  set(register: number, value: number): void {
    this.space.writel(DEVICE + register, value);
  }

  describe(descriptors: readonly Descriptor[]): void {
    descriptors.forEach(({ gpa, length, flags = 0, next = 0 }, i) => {
      const at = TABLE + 16 * i;
      this.space.writeq(at, BigInt(gpa));
      this.space.writel(at + 8, length);
      this.space.writew(at + 12, flags);
      this.space.writew(at + 14, next);
    });
  }

  notify(head = 0): void {
    this.space.writew(AVAILABLE + 4 + 2 * (this.requests % 8), head);
    this.requests++;
    this.space.writew(AVAILABLE + 2, this.requests);
    this.set(NOTIFY, 0);
  }

  /** Makes a request whose data is in several ranges. @returns its status. */
  request(type: number, sector: bigint, data: readonly Descriptor[]): number {
    const { space } = this;
    space.writel(HEADER, type);
    space.writeq(HEADER + 8, sector);
    space.writeb(STATUS, 0xff);
    const all = [{ gpa: HEADER, length: 16 }, ...data, { gpa: STATUS, length: 1, flags: WRITABLE }];
    const last = all.length - 1;
    this.describe(
      all.map((item: Descriptor, i) => ({
        ...item,
        flags: (item.flags ?? 0) | (i < last ? NEXT : 0),
        next: i + 1,
      })),
    );
    this.notify();
    return space.readb(STATUS);
  }
}

describe("the example's disk", () => {
  it("reads and writes sectors, scattered over RAM, and interrupts", () => {
    const driver = new Driver();
    const { space, disk } = driver;
    expect([driver.get(0), driver.get(4), driver.get(8)]).to.deep.equal([0x7472_6976, 2, 2]);
    expect(driver.get(0x100), "whole sectors").to.equal(8);
    space.write(DATA, Buffer.alloc(1000, 1));
    space.write(DATA + 0x1000, Buffer.alloc(24, 2));
    const parts = [
      { gpa: DATA, length: 1000 },
      { gpa: DATA + 0x1000, length: 24 },
    ];
    expect(driver.request(WRITE, 3n, parts)).to.equal(SUCCESS);
    const expected = Buffer.alloc(disk.length, 0xdd);
    expected.fill(1, 3 * 512, 3 * 512 + 1000).fill(2, 3 * 512 + 1000, 5 * 512);
    expect(disk.equals(expected)).to.be.true;
    expect(driver.level).to.be.true;
    expect(driver.get(INTERRUPTS)).to.equal(1);
    driver.set(ACKNOWLEDGE, 1);
    expect(driver.level).to.be.false;
    expect(space.readl(USED), "one request").to.equal(1 << 16);

    const targets = [
      { gpa: DATA + 0x2000, length: 24, flags: WRITABLE },
      { gpa: DATA + 0x3000, length: 1000, flags: WRITABLE },
    ];
    expect(driver.request(READ, 3n, targets)).to.equal(SUCCESS);
    expect(space.read(DATA + 0x2000, 24).equals(Buffer.alloc(24, 1))).to.be.true;
    expect(space.read(DATA + 0x3000 + 976, 24).equals(Buffer.alloc(24, 2))).to.be.true;
    expect(space.readl(USED + 4 + 8 + 4), "bytes written, with the status").to.equal(1025);
  });

  it("fails requests outside the disk, of a part of a sector, and of an unknown type", () => {
    const driver = new Driver();
    const at = (length: number) => [{ gpa: DATA, length, flags: WRITABLE }];
    for (const type of [READ, WRITE]) {
      const flags = type === READ ? WRITABLE : 0;
      for (const [sector, length] of [
        [8n, 512],
        [7n, 1024],
        [2n ** 55n, 512],
        [2n ** 64n - 1n, 512],
        [0n, 511],
        [0n, 0xffff_ffff],
      ] as const) {
        expect(driver.request(type, sector, [{ gpa: DATA, length, flags }])).to.equal(FAILURE);
      }
    }
    expect(driver.request(5, 0n, at(512))).to.equal(UNSUPPORTED);
    expect(driver.request(FLUSH, 0n, [])).to.equal(SUCCESS);
    expect(driver.request(GET_ID, 0n, at(20))).to.equal(SUCCESS);
    expect(driver.space.read(DATA, 10).toString()).to.equal("pound-disk");
  });

  it("fails requests whose data is no RAM, and changes nothing", () => {
    const driver = new Driver();
    const before = Buffer.from(driver.disk);
    for (const gpa of [DEVICE, 0, RAM + RAM_SIZE - 100, 2n ** 64n - 512n, 2n ** 64n - 1n]) {
      for (const type of [READ, WRITE]) {
        const flags = type === READ ? WRITABLE : 0;
        const data = [
          { gpa: DATA, length: 512, flags },
          { gpa, length: 512, flags },
        ];
        expect(driver.request(type, 0n, data), `${gpa}`).to.equal(FAILURE);
      }
    }
    expect(driver.disk.equals(before)).to.be.true;
    expect(driver.space.readl(DATA)).to.equal(0);
  });

  it("needs a reset after a broken queue, and works again after it", () => {
    const header = { gpa: HEADER, length: 16 };
    const status = { gpa: STATUS, length: 1, flags: WRITABLE };
    const breaks: readonly [string, (driver: Driver) => void][] = [
      ["a loop", (driver) => driver.describe([{ ...header, flags: NEXT, next: 0 }])],
      [
        "a link out of the table",
        (driver) => driver.describe([{ ...header, flags: NEXT, next: 8 }]),
      ],
      ["no status", (driver) => driver.describe([header])],
      ["no header", (driver) => driver.describe([status])],
      [
        "a status in the device",
        (driver) =>
          driver.describe([
            { ...header, flags: NEXT, next: 1 },
            { ...status, gpa: DEVICE },
          ]),
      ],
      ["a table in the device", (driver) => driver.set(0x80, DEVICE)],
      ["a ring above RAM", (driver) => driver.set(0x94, 1)],
      ["a ring at the end of all addresses", (driver) => driver.set(0xa4, 0xffff_ffff)],
    ];
    for (const [name, breakIt] of breaks) {
      const driver = new Driver();
      driver.request(FLUSH, 0n, []);
      breakIt(driver);
      driver.notify();
      expect(driver.get(DEVICE_STATUS), name).to.equal(READY | NEEDS_RESET);
      driver.start();
      expect(driver.get(DEVICE_STATUS), name).to.equal(READY);
      expect(driver.request(FLUSH, 0n, []), name).to.equal(SUCCESS);
    }
    const driver = new Driver();
    driver.space.writew(AVAILABLE + 2, 9);
    driver.set(NOTIFY, 0);
    expect(driver.get(DEVICE_STATUS), "more requests than descriptors").to.equal(
      READY | NEEDS_RESET,
    );
    expect(driver.get(INTERRUPTS)).to.equal(2);
  });

  it("does nothing before the queue is ready, nor for a size that is none", () => {
    const driver = new Driver();
    for (const size of [0, 3, 256, 0xffff_ffff]) {
      driver.set(QUEUE_READY, 0);
      driver.set(QUEUE_SIZE, size);
      driver.set(QUEUE_READY, 1);
      expect(driver.get(QUEUE_READY), `${size}`).to.equal(0);
      expect(driver.request(FLUSH, 0n, [])).to.equal(0xff);
    }
  });

  it("survives any values in its registers and its queue", () => {
    const word = fc.oneof(
      fc.constantFrom(RAM, TABLE, AVAILABLE, USED, DEVICE, 0, 1, 8, 15, 0xffff_ffff),
      fc.integer({ min: 0, max: 0xffff_ffff }),
    );
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.nat(0x48).map((index) => 4 * index),
            word,
          ),
          { maxLength: 12 },
        ),
        fc.array(word, { minLength: 32, maxLength: 32 }),
        fc.array(word, { minLength: 8, maxLength: 8 }),
        (registers, table, ring) => {
          const driver = new Driver();
          table.forEach((value, i) => driver.space.writel(TABLE + 4 * i, value));
          ring.forEach((value, i) => driver.space.writel(AVAILABLE + 4 * i, value));
          for (const [register, value] of [...registers, [NOTIFY, 0] as const]) {
            driver.space.tryWritel(DEVICE + register, value);
            driver.space.tryReadl(DEVICE + register, new Uint32Array(1));
          }
          driver.start();
          expect(driver.request(FLUSH, 0n, [])).to.equal(SUCCESS);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("is a part of the machine only if there is a disk", () => {
    const firmware = new Uint8Array(4);
    const without = new VirtMachine({ path: "view", ramSize: 2 ** 23, firmware });
    expect(without.space.tryReadl(DEVICE, new Uint32Array(1))).to.equal(2);
    const disk = new Uint8Array(1000);
    const made = new VirtMachine({ path: "view", ramSize: 2 ** 23, firmware, disk });
    expect(made.space.readl(DEVICE + 0x100)).to.equal(1);
  });
});
