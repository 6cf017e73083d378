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
