import type { MmioDevice } from "pound-guest-memory";

const WIDTH_REGISTER = 0;
const HEIGHT_REGISTER = 4;
const FRAME_REGISTER = 8;

/**
 * A display: a framebuffer of 32-bit pixels, 0x00RRGGBB, registers for its size, and a register
 * that the guest writes when a frame is complete.
 */
export class Display {
  readonly width = 320;
  readonly height = 200;
  /** The number of frames that the guest has completed. */
  frames = 0;

  private readonly bytes = new Uint8Array(4 * this.width * this.height);
  private readonly halves = new Uint16Array(this.bytes.buffer);
  private readonly words = new Uint32Array(this.bytes.buffer);
  private readonly quads = new BigUint64Array(this.bytes.buffer);

  /** @param onFrame - Called when the guest has completed a frame. */
  constructor(private readonly onFrame: () => void = () => undefined) {}

  /** The framebuffer itself, row by row. */
  get pixels(): Uint32Array {
    return this.words;
  }

  /** Size of the framebuffer in bytes. */
  get size(): number {
    return this.bytes.length;
  }

  readonly registers: MmioDevice = {
    readl: (offset) => {
      switch (offset) {
        case WIDTH_REGISTER:
          return this.width;
        case HEIGHT_REGISTER:
          return this.height;
        case FRAME_REGISTER:
          return this.frames;
        default:
          return 0;
      }
    },
    writel: (offset) => {
      if (offset === FRAME_REGISTER) {
        this.frames++;
        this.onFrame();
      }
    },
  };

  // The address space passes only aligned offsets below the size of the region.
  readonly framebuffer: MmioDevice = {
    readb: (offset) => this.bytes[offset]!,
    readw: (offset) => this.halves[offset >>> 1]!,
    readl: (offset) => this.words[offset >>> 2]!,
    readq: (offset) => this.quads[offset >>> 3]!,
    writeb: (offset, value) => void (this.bytes[offset] = value),
    writew: (offset, value) => void (this.halves[offset >>> 1] = value),
    writel: (offset, value) => void (this.words[offset >>> 2] = value),
    writeq: (offset, value) => void (this.quads[offset >>> 3] = value),
  };
}
