/*
 * The packet layer of GDB's remote protocol: "$", the payload, "#" and two hexadecimal digits of
 * checksum. Between packets there are acknowledgements ("+" and "-") and interrupts (byte 3).
 */

/** Bytes of the longest packet that the server accepts, as it tells gdb in `PacketSize`. */
export const PACKET_SIZE = 0x1_0000;

const START = 0x24; // $
const END = 0x23; // #
const ESCAPE = 0x7d; // }
const REPEAT = 0x2a; // *
const ACKNOWLEDGED = 0x2b; // +
const REJECTED = 0x2d; // -
const INTERRUPT = 0x03;
/** An escaped byte is sent with this bit inverted. */
const ESCAPE_BIT = 0x20;

/** What a client has sent: a packet with its payload, or one of the signals between packets. */
export type Received =
  | { readonly kind: "packet"; readonly payload: Buffer }
  | { readonly kind: "acknowledged" | "rejected" | "interrupt" | "bad-checksum" };

/** Thrown for bytes that no debugger sends. The connection cannot be used further. */
export class ProtocolViolation extends Error {
  override readonly name = "ProtocolViolation";
}

/** Splits the bytes of a connection into packets and signals. */
export class PacketReader {
  /** The bytes of an incomplete packet, from its "$" on. */
  #pending: Buffer = Buffer.alloc(0);

  /**
   * Takes the next bytes of the connection.
   *
   * @yields each packet and signal that is complete.
   * @throws ProtocolViolation for a packet of more than {@link PACKET_SIZE} bytes, and for a byte
   * between packets that has no meaning. Debuggers skip such bytes, but a server on the loopback
   * address must not: a web page can send it an HTTP request that has packets in its body.
   */
  *read(bytes: Uint8Array): Generator<Received, void> {
    let rest = Buffer.concat([this.#pending, bytes]);
    this.#pending = rest.subarray(0, 0);
    while (rest.length > 0) {
      if (rest[0] !== START) {
        yield { kind: signalOf(rest[0]!) };
        rest = rest.subarray(1);
        continue;
      }
      const end = rest.indexOf(END);
      if (end === -1 ? rest.length > PACKET_SIZE : end + 3 > PACKET_SIZE) {
        throw new ProtocolViolation(`a packet has more than ${PACKET_SIZE} bytes`);
      }
      if (end === -1 || end + 3 > rest.length) {
        // A copy, so that the pending bytes do not keep a larger buffer alive.
        this.#pending = Buffer.from(rest);
        return;
      }
      const payload = rest.subarray(1, end);
      const digits = rest.toString("latin1", end + 1, end + 3);
      rest = rest.subarray(end + 3);
      const isValid = digits.toLowerCase() === checksum(payload);
      yield isValid ? { kind: "packet", payload: unescape(payload) } : { kind: "bad-checksum" };
    }
  }
}

function signalOf(byte: number): "acknowledged" | "rejected" | "interrupt" {
  switch (byte) {
    case ACKNOWLEDGED:
      return "acknowledged";
    case REJECTED:
      return "rejected";
    case INTERRUPT:
      return "interrupt";
    default:
      throw new ProtocolViolation(`byte ${byte} is not part of a packet`);
  }
}

/** The sum of the bytes modulo 256, as two hexadecimal digits. */
function checksum(payload: Uint8Array): string {
  let sum = 0;
  for (let i = 0; i < payload.length; i++) {
    sum += payload[i]!;
  }
  return (sum & 0xff).toString(16).padStart(2, "0");
}

function unescape(payload: Buffer): Buffer {
  if (!payload.includes(ESCAPE)) {
    return Buffer.from(payload);
  }
  const bytes: number[] = [];
  for (let i = 0; i < payload.length; i++) {
    const byte = payload[i]!;
    // An escape as the last byte escapes nothing, and stands for itself.
    const isEscape = byte === ESCAPE && i + 1 < payload.length;
    bytes.push(isEscape ? payload[++i]! ^ ESCAPE_BIT : byte);
  }
  return Buffer.from(bytes);
}

/** Whether a byte must be escaped in a reply. */
function isSpecial(byte: number): boolean {
  return byte === START || byte === END || byte === ESCAPE || byte === REPEAT;
}

/** The packet for a payload, which may have any bytes. */
export function encodePacket(payload: Uint8Array): Buffer {
  const bytes = payload.some(isSpecial)
    ? Buffer.from(
        [...payload].flatMap((byte) => (isSpecial(byte) ? [ESCAPE, byte ^ ESCAPE_BIT] : [byte])),
      )
    : payload;
  return Buffer.concat([Buffer.from("$"), bytes, Buffer.from(`#${checksum(bytes)}`)]);
}
