import { withCode } from "./errors.js";

/**
 * A module that loads when it is first used.
 *
 * Bundles for browsers leave it out: there, package.json puts absent.ts in its place. A program can
 * import the entry of the package that provides it.
 */
export class Part<Module extends object> {
  #module: Module | undefined;

  /**
   * @param load - Loads the module.
   * @param missing - Throws the error of a bundle that has left it out.
   */
  constructor(
    private readonly load: () => Module,
    private readonly missing: () => never,
  ) {}

  get(): Module {
    if (this.#module === undefined) {
      const module = this.load();
      this.#module = "absent" in module ? this.missing() : module;
    }
    return this.#module;
  }

  provide(module: Module): void {
    this.#module = module;
  }
}

/** Returns a function that asks the programmer to import an entry of the package. */
export function importFirst(entry: string): () => never {
  return () => {
    throw withCode(
      new Error(
        "bundles for browsers have this only if the program has: " +
          `import "pound-guest-memory/${entry}"`,
      ),
      "ERR_NOT_IMPORTED",
    );
  };
}
