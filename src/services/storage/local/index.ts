import { implement, option } from '../../../core/implementation.ts'

/** Storage `local`: a folder of this machine. */
export const local = implement({
  service: 'storage',
  kind: 'local',
  summary: 'A folder of this machine, or one that is mounted here.',
  needs: {},
  options: {
    folder: option.required.text("Path of the folder, absolute or relative to the configuration's folder."),
  },
  open: () => import('./open.ts'),
})
