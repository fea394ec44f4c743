export { buildReport } from './build.ts'
export type { QualityReport } from './model.ts'
export { renderReport } from './render.ts'
export { writeReport, type ReportPaths } from './write.ts'
