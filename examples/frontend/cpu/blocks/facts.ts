import { Op } from "../decode.js";
import type { Instruction } from "./region.js";

/**
 * The registers, by number as bits, that hold a 32-bit value with its sign extended. The high half
 * of such a register follows from the low half.
 */
export type Extended = number;

/** Only register 0. */
export const NONE_EXTENDED: Extended = 1;

export function isExtended(register: number, extended: Extended): boolean {
  return ((extended >>> register) & 1) !== 0;
}

/** The registers with extended values after an instruction. */
export function extendedAfter(one: Instruction, before: Extended): Extended {
  const bit = one.rd === 0 || !writes(one.op) ? 0 : 1 << one.rd;
  return (isResultExtended(one, before) ? before | bit : before & ~bit) | NONE_EXTENDED;
}

/** Whether an operation writes rd. */
export function writes(op: Op): boolean {
  return !isStore(op) && !isBranch(op) && op !== Op.FENCE;
}

/** The numbers of the registers that an instruction reads. */
export function readBy({ op, rs1, rs2 }: Instruction): number[] {
  if (op === Op.LUI || op === Op.AUIPC || op === Op.JAL || op === Op.FENCE) {
    return [];
  }
  return usesImmediate(op) || isLoad(op) || op === Op.JALR ? [rs1] : [rs1, rs2];
}

export function isBranch(op: Op): boolean {
  return op >= Op.BEQ && op <= Op.BGEU;
}

export function isLoad(op: Op): boolean {
  return op >= Op.LB && op <= Op.LWU;
}

export function isStore(op: Op): boolean {
  return op >= Op.SB && op <= Op.SD;
}

/** Whether the second operand of arithmetic is the immediate. */
export function usesImmediate(op: Op): boolean {
  return (op >= Op.ADDI && op <= Op.SRAI) || (op >= Op.ADDIW && op <= Op.SRAIW);
}

function isResultExtended({ op, rs1, rs2, immediate }: Instruction, before: Extended): boolean {
  const first = isExtended(rs1, before);
  switch (op) {
    case Op.LUI:
    case Op.LB:
    case Op.LBU:
    case Op.LH:
    case Op.LHU:
    case Op.LW:
    case Op.SLT:
    case Op.SLTI:
    case Op.SLTU:
    case Op.SLTIU:
      return true;
    case Op.ANDI:
      return first || immediate >= 0;
    case Op.XORI:
    case Op.ORI:
      return first;
    case Op.AND:
    case Op.OR:
    case Op.XOR:
      return first && isExtended(rs2, before);
    case Op.ADDI:
      return rs1 === 0 || (immediate === 0 && first);
    case Op.SRAI:
      return first || immediate >= 32;
    case Op.SRLI:
      return immediate > 32;
    default:
      return (op >= Op.ADDIW && op <= Op.SRAW) || (op >= Op.MULW && op <= Op.REMUW);
  }
}
