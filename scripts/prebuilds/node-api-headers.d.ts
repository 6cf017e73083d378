declare module "node-api-headers" {
  interface Symbols {
    readonly js_native_api_symbols: readonly string[];
    readonly node_api_symbols: readonly string[];
  }

  /** The functions of Node-API, by version: "v8". */
  export const symbols: Readonly<Partial<Record<string, Symbols>>>;
}
