/** Something of an adapter that its user closes, or the adapter when it ends. */
export interface Closing {
  close(): Promise<void>
}

/** Keeps it among what is open until it is closed: an adapter of a session opens views for as long as that goes on. */
export function keptOpen<T extends Closing>(open: Set<Closing>, opened: T): T {
  const close = opened.close.bind(opened)
  opened.close = async () => {
    try {
      await close()
    } finally {
      open.delete(opened)
    }
  }
  open.add(opened)
  return opened
}
