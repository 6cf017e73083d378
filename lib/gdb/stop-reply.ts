import { type Stop, SIGTRAP } from "../debug/runner.js";

const SIGABRT = 6;

/** The features that a debugger has announced, and that stop replies depend on. */
export interface StopFeatures {
  readonly swbreak: boolean;
  readonly hwbreak: boolean;
}

/** The stop reply of a machine. The threads are numbered from 1. */
export function stopReply(stop: Stop, features: StopFeatures): string {
  switch (stop.kind) {
    case "exit":
      return `W${byte(stop.status)}`;
    case "signal":
      return at(stop.cpu, stop.signal);
    case "error":
      return at(stop.cpu, SIGABRT);
    case "watchpoint":
      return at(stop.cpu, SIGTRAP, `${stop.hit.word}:${stop.hit.address.toString(16)};`);
    case "breakpoint": {
      const word = stop.hardware ? "hwbreak" : "swbreak";
      return at(stop.cpu, SIGTRAP, features[word] ? `${word}:;` : "");
    }
  }
}

function at(cpu: number, signal: number, reason = ""): string {
  return `T${byte(signal)}${reason}thread:${(cpu + 1).toString(16)};`;
}

function byte(value: number): string {
  return value.toString(16).padStart(2, "0");
}
