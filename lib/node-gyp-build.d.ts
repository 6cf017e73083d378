declare module "node-gyp-build" {
  /** Loads the addon of the package at `root`: a prebuilt binary, or the one built by the install. */
  function load(root: string): unknown;
  export = load;
}
