// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export type { BigintElement, ElementType, ElementValue, NumberElement } from "./elements.js";
export {
  type FieldType,
  type FieldValue,
  struct,
  type StructFields,
  StructLayout,
  type StructView,
} from "./struct.js";
export { TypedRegion } from "./typed-region.js";
