import { expect } from "chai";
import {
  encodePacket,
  PACKET_SIZE,
  PacketReader,
  ProtocolViolation,
} from "../../lib/gdb/packets.js";

/** What a reader yields for some chunks, as short strings. */
function readAll(...chunks: readonly (string | Uint8Array)[]): string[] {
  const reader = new PacketReader();
  return chunks.flatMap((chunk) =>
    [...reader.read(Buffer.from(chunk as string, "latin1"))].map((received) =>
      received.kind === "packet" ? `$${received.payload.toString("latin1")}` : received.kind,
    ),
  );
}

describe("packets of GDB's remote protocol", () => {
  it("reads packets and the signals between them", () => {
    expect(readAll("+$qC#b4-$#00\x03$?#3f")).to.deep.equal([
      "acknowledged",
      "$qC",
      "rejected",
      "$",
      "interrupt",
      "$?",
    ]);
  });

  it("joins a packet that arrives in pieces of any length", () => {
    const bytes = "+$m80000000,4#55\x03$g#67";
    const expected = ["acknowledged", "$m80000000,4", "interrupt", "$g"];
    expect(readAll(...Array.from(bytes))).to.deep.equal(expected);
    for (let at = 0; at <= bytes.length; at++) {
      expect(readAll(bytes.slice(0, at), bytes.slice(at))).to.deep.equal(expected);
    }
  });

  it("accepts checksums in capital letters", () => {
    expect(readAll("$m0,1#FA")).to.deep.equal(["$m0,1"]);
  });

  it("reports a wrong checksum, and waits for both of its digits", () => {
    for (const bad of ["$qC#b5", "$qC#zz", "$qC# b", "$qC#-1", "$qC#4b"]) {
      expect(readAll(bad), bad).to.deep.equal(["bad-checksum"]);
    }
    expect(readAll("$#0")).to.deep.equal([]);
    expect(readAll("$#0", "0")).to.deep.equal(["$"]);
  });

  it("replaces escaped bytes of the payload", () => {
    // X0,4: and the bytes } # $ *
    const bytes = Buffer.from("X0,4:}\x5d}\x03}\x04}\x0a", "latin1");
    const sum = bytes.reduce((total, byte) => total + byte, 0) & 0xff;
    const packet = `$${bytes.toString("latin1")}#${sum.toString(16).padStart(2, "0")}`;
    expect(readAll(packet)).to.deep.equal(["$X0,4:}#$*"]);
    expect(readAll("$}#7d")).to.deep.equal(["$}"]);
  });

  it("refuses bytes that no debugger sends between packets", () => {
    for (const bytes of ["GET / HTTP/1.1\r\n", "\0", "$qC#b4\n", "#", "}", "\xff"]) {
      expect(() => readAll(bytes), JSON.stringify(bytes)).to.throw(ProtocolViolation);
    }
  });

  it("accepts a packet of the greatest size, and refuses a longer one before its end", () => {
    const payload = Buffer.alloc(PACKET_SIZE - 4, "a");
    const packet = encodePacket(payload);
    expect(packet.length).to.equal(PACKET_SIZE);
    expect(readAll(packet)).to.deep.equal([`$${payload.toString()}`]);
    expect(() => readAll(encodePacket(Buffer.alloc(PACKET_SIZE - 3, "a")))).to.throw(
      ProtocolViolation,
    );
    const unended = Buffer.alloc(PACKET_SIZE + 1, "$");
    expect(readAll(unended.subarray(1))).to.deep.equal([]);
    expect(() => readAll(unended)).to.throw(ProtocolViolation);
  });

  it("writes packets that it reads again, whatever their bytes", () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const packet = encodePacket(all);
    for (const special of "$#*") {
      expect(packet.subarray(1, -3).includes(special)).to.equal(false);
    }
    expect(readAll(packet)).to.deep.equal([`$${all.toString("latin1")}`]);
    expect(encodePacket(Buffer.from("OK")).toString()).to.equal("$OK#9a");
    expect(encodePacket(Buffer.alloc(0)).toString()).to.equal("$#00");
  });
});
