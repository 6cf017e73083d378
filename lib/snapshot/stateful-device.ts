/** A device whose state a snapshot contains. */
export interface StatefulDevice {
  /**
   * Returns the state of the device, which a snapshot copies. A device with this method must have
   * `load` too.
   */
  save?(): Uint8Array;
  /**
   * Puts the device into a state that `save` has returned, of this device or of one like it. Called
   * after memory is restored. A state that it cannot use should be an error, as it means that the
   * machine differs from that of the snapshot.
   */
  load?(state: Uint8Array): void;
}
