export { acceptOrRefuse, refuseDifferences, type SourceControls } from './accept.ts'
export { compareTotals } from './controls.ts'
export { applyLoad, ensureImage, type AcceptedLoad } from './apply.ts'
