/** See report.mjs. */
export function rowsOf(results: object): Map<string, { value: number; ratio?: number }>;
export function format(value: number): string;
