/** Bytes that are no replication stream, or that break its rules. */
export class BrokenStream extends Error {}
