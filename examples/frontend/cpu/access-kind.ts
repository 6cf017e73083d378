/** What an access does. The values are the rights in an entry of the physical memory protection. */
export const enum AccessKind {
  READ = 1,
  WRITE = 2,
  FETCH = 4,
}
