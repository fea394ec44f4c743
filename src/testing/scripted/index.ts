import { implement, option } from '../../core/implementation.ts'

/** A source outside whose log is a story in a file: for tests of everything behind a capture. */
export const scriptedCaptures = implement({
  service: 'adapter',
  kind: 'scripted',
  summary: 'A story of transactions in a file, read as tables and as a log.',
  needs: {},
  options: {
    story: option.required.text('File of the story: see `beginStory`.'),
    confirmed: option.text('File that takes each confirmed position, one a line.'),
    meanwhile: option.text(
      'File of lines that happen while a table is read: they are added to the story once, and the file is gone.',
    ),
    sliceLines: option.int('Transactions of a slice.', { default: 2, min: 1, max: 10_000 }),
    sliceRows: option.int('Changes of a slice: a larger transaction comes in several.', {
      default: 1_000,
      min: 1,
      max: 1_000_000,
    }),
    chunkRows: option.int('Rows of a first load that are read together.', { default: 1_000, min: 1, max: 1_000_000 }),
    loses: option.int('The stream loses the changes of this line of the story, counted from 1; 0 is none.', {
      default: 0,
      min: 0,
      max: 1_000_000,
    }),
    lateViews: option.int('Views do not show the newest so many lines of the story yet, though the stream gave them.', {
      default: 0,
      min: 0,
      max: 1_000_000,
    }),
    breaksAfter: option.int('The connection breaks after so many slices; 0 is never.', {
      default: 0,
      min: 0,
      max: 1_000_000,
    }),
  },
  open: () => import('./open.ts'),
})
