export { acceptOrRefuse, compareUnits, isRefused, refuseDifferences, type SourceControls } from './accept.ts'
export { applyLoad, ensureImage, type AcceptedLoad } from './apply.ts'
export { compareTotals, engineTotals } from './controls.ts'
export { laterChanges, refuseReplaced, undoLoads, type LaterChanges } from './undo.ts'
