import { entry } from './entry.ts'

/** Errors of the durable log, and of the sets of changes that lie in it. */
export const busCodes = {
  BUS_CLOSED: entry({
    text: (p: { what: string }) => `${p.what} of the durable log is closed`,
    fix: 'Nothing, when the program is ending; what was answered is kept. Otherwise report it with this text.',
    retry: 'never',
  }),
  BUS_NAME: entry({
    text: (p: { what: string; name: string }) =>
      `${p.what} ${JSON.stringify(p.name)} has a name that the durable log cannot keep`,
    fix: 'Use 1 to 100 letters, digits, dots, hyphens and underscores, and begin with a letter or digit.',
    retry: 'never',
    exit: 2,
  }),
  BUS_HELD: entry({
    text: (p: { what: string; holder: string }) => `${p.what} of the durable log is held: ${p.holder}`,
    fix: 'One may hold it at a time: end the other, or wait until it ends.',
    retry: 'later',
  }),
  BUS_TOO_LARGE: entry({
    text: (p: { topic: string; bytes: number; most: number }) =>
      `a message of ${p.bytes} bytes is too large for topic "${p.topic}" of the durable log, which takes ${p.most}`,
    fix: 'Raise maxMessageBytes of the bus, or send less at once.',
    retry: 'never',
  }),
  BUS_WRITE: entry({
    text: (p: { topic: string; problem: string }) =>
      `topic "${p.topic}" of the durable log cannot be written: ${p.problem}`,
    fix: 'Check the disk. The topic takes nothing more until it is opened again: start again; what was answered is kept.',
    retry: 'later',
  }),
  BUS_READ: entry({
    text: (p: { topic: string; file: string; problem: string }) =>
      `topic "${p.topic}" of the durable log cannot be read at ${p.file}: ${p.problem}`,
    fix: 'Check the disk and start again. If the file is lost for good, move it out of its folder: what it held is then told as lost.',
    retry: 'later',
  }),
  BUS_POSITION: entry({
    text: (p: { topic: string; position: string }) =>
      `${JSON.stringify(p.position)} is no position of topic "${p.topic}" of the durable log`,
    fix: 'The topic was removed or replaced by an older copy since the position was noted: what is read from it must be read from its source again.',
    retry: 'never',
  }),
  BUS_GAP: entry({
    text: (p: { topic: string; after: string; until: string; most: number; why: string }) =>
      `topic "${p.topic}" of the durable log lacks up to ${p.most} messages behind ${p.after}, up to ${p.until}: ${p.why}`,
    fix: 'What they held must be read from its source again (naru resync); then reading may pass over them.',
    retry: 'never',
  }),
  BUS_DAMAGED: entry({
    text: (p: { topic: string; file: string; at: number; kept: string }) =>
      `topic "${p.topic}" of the durable log is damaged in ${p.file} at byte ${p.at}; the file is kept as ${p.kept}`,
    fix: 'Check the disk. Readers of the topic are told which messages are lost; delete the kept file when you need it no more.',
    retry: 'never',
  }),
  BUS_END_CUT: entry({
    text: (p: { topic: string; file: string; bytes: number }) =>
      `topic "${p.topic}" of the durable log ended in ${p.bytes} bytes of a write that was broken off; they were cut from ${p.file}`,
    fix: 'Nothing after a power cut or a kill: no append of these bytes was answered. Without one, check the disk.',
    retry: 'never',
  }),
  BUS_TRIM: entry({
    text: (p: { topic: string; problem: string }) =>
      `files of topic "${p.topic}" of the durable log that nobody needs cannot be removed: ${p.problem}`,
    fix: 'Check the rights of its folder; it is tried again with every append, and nothing is lost.',
    retry: 'later',
  }),
  BUS_CURSOR_DAMAGED: entry({
    text: (p: { topic: string; name: string; file: string }) =>
      `the place of "${p.name}" in topic "${p.topic}" of the durable log cannot be read: ${p.file}`,
    fix: 'Nothing is removed from the topic meanwhile. Delete the file to have the reader begin anew.',
    retry: 'never',
  }),
  SLICE_DAMAGED: entry({
    text: (p: { problem: string }) => `a set of changes in the durable log cannot be read: ${p.problem}`,
    fix: 'Another program wrote into the log, or its disk is damaged: the changes of this source must be read from it again.',
    retry: 'never',
  }),
  SLICE_VERSION: entry({
    text: (p: { version: number; known: number }) =>
      `a set of changes in the durable log has version ${p.version} of its format; this program reads ${p.known}`,
    fix: 'A newer Naru wrote it: start that version or a newer one.',
    retry: 'never',
  }),
  SLICE_MISFIT: entry({
    text: (p: { problem: string }) => `a set of changes does not fit together: ${p.problem}`,
    fix: 'This is a mistake in the adapter that made it: report it with this text. Nothing of it was written.',
    retry: 'never',
  }),
}
