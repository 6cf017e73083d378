import { expectTypeOf } from "expect-type";
import {
  AddressSpace,
  Arena,
  BUS_ERROR,
  type BusError,
  type DirtyBitmap,
  type DirtyCursor,
  type Gpa,
  type GuestAccessors,
  type GuestAtomicAccess,
  type GuestHalvesAccessors,
  GuestMemAccessResult,
  GuestMemory,
  type GuestMemoryAccess,
  GuestMemoryFault,
  type SharedRam,
} from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";
import { type Snapshot, type SnapshotSubject } from "pound-guest-memory/snapshot";

// Checked by the compiler alone, which is what the package's types are for.

declare const memory: GuestMemory;

expectTypeOf<Gpa>().toEqualTypeOf<number | bigint>();
expectTypeOf(memory).toExtend<GuestMemoryAccess & Disposable>();
expectTypeOf(memory.native).toExtend<GuestMemoryAccess>();
expectTypeOf(memory.readl(0)).toBeNumber();
expectTypeOf(memory.readq(0n)).toBeBigInt();
expectTypeOf(memory.size).toBeBigInt();
expectTypeOf(memory.buffer).toEqualTypeOf<Buffer>();
expectTypeOf(memory.tryWriteq(0, 1n)).toEqualTypeOf<0 | 1 | 2 | 3>();
expectTypeOf(GuestMemAccessResult.FAULT_BOUNDARY).toEqualTypeOf<2>();
expectTypeOf(GuestMemoryFault).instance.toHaveProperty("operation");
expectTypeOf(memory.atomics).toEqualTypeOf<GuestAtomicAccess>();
expectTypeOf(memory.native.atomics).toEqualTypeOf<GuestAtomicAccess>();
expectTypeOf(memory.atomics.addq(0, 1n)).toBeBigInt();
expectTypeOf(memory.halves).toEqualTypeOf<GuestHalvesAccessors>();
expectTypeOf(memory.tryReadqHalves(0, new Uint32Array(2), 0)).toEqualTypeOf<0 | 1 | 2 | 3>();
expectTypeOf<GuestAtomicAccess["addqHalves"]>().returns.toBeVoid();
expectTypeOf(memory.shareable).toEqualTypeOf<SharedRam | null>();
expectTypeOf(new ExclusiveMonitor(memory.atomics).storeExclusivel(0, 1)).toBeBoolean();
expectTypeOf(Arena.over(new SharedArrayBuffer(8))).toEqualTypeOf<Arena>();

declare const space: AddressSpace;

expectTypeOf(space).toExtend<GuestAccessors>();
expectTypeOf(space.native).toExtend<GuestAccessors>();
expectTypeOf(space.halves).toEqualTypeOf<GuestHalvesAccessors>();
expectTypeOf(space.native.halves).toEqualTypeOf<GuestHalvesAccessors>();
expectTypeOf(space).not.toHaveProperty("size");
expectTypeOf(space).toExtend<SnapshotSubject>();
expectTypeOf(memory).toExtend<SnapshotSubject>();
expectTypeOf(space.snapshot(space.snapshot())).toEqualTypeOf<Snapshot>();
expectTypeOf(space.restore(space.snapshot())).toBeNumber();
expectTypeOf(memory).toExtend<GuestAccessors>();
expectTypeOf(space.addRam(0, memory).dirty).toEqualTypeOf<DirtyBitmap | null>();
expectTypeOf(space.addRam(0, memory).dirtyCursor()).toEqualTypeOf<DirtyCursor>();
expectTypeOf(memory.dirtyCursor().drain()).toEqualTypeOf<Uint32Array>();
expectTypeOf(space.addRom(0, new Uint8Array(1)).memory).toEqualTypeOf<GuestMemory>();
for (const region of space.regions) {
  if (region.kind === "mmio") {
    expectTypeOf(region.device.readq).toEqualTypeOf<
      ((offset: number) => bigint | BusError) | undefined
    >();
  } else {
    expectTypeOf(region.memory).toEqualTypeOf<GuestMemory>();
  }
}

// Handlers for writes may return anything, as an arrow function does.
space.addMmio(0x1000, 8, { writeb: (_offset, value) => [].push(value as never) });
space.addMmio(0x2000, 8, { read: () => BUS_ERROR, write: () => BUS_ERROR });
const refuse = (offset: number) => (offset === 0 ? 1 : BUS_ERROR);
space.addMmio(0x3000, 8, { readb: refuse, read: refuse });
// @ts-expect-error -- a device's 64 bits are a bigint
space.addMmio(0, 8, { readq: () => 0 });
// @ts-expect-error -- ROM cannot be tracked
space.addRom(0, memory, { trackDirty: true });
// @ts-expect-error -- there is no such kind of access
space.watch({ gpa: 0, length: 4, kinds: "execute" }, () => undefined);
// @ts-expect-error -- an arena is made by create() or over()
new Arena();
// @ts-expect-error -- RAM is made from an arena
new GuestMemory();
// @ts-expect-error -- 64 bits are a bigint
memory.writeq(0, 1);
// @ts-expect-error -- 32 bits are a number
memory.writel(0, 1n);
// @ts-expect-error -- an address is no string
memory.readb("0");
// @ts-expect-error -- the array must be of the access's width
memory.tryReadl(0, new Uint16Array(1));
// @ts-expect-error -- the halves need a place in the array
memory.tryReadqHalves(0, new Uint32Array(2));
// @ts-expect-error -- the RAM's size is fixed
memory.size = 5n;
