export { acceptOrRefuse, compareUnits, isRefused, refuseDifferences, type SourceControls } from './accept.ts'
export { applyLoad, ensureImage, type AcceptedLoad } from './apply.ts'
export { applyChanges, type AppliedChanges, type StagedChanges } from './apply-changes.ts'
export {
  closeCompared,
  comparedName,
  DIFFERING_MAX,
  findDiffering,
  openCompared,
  rangeCondition,
  isSortedFor,
  sharedOrder,
  tellable,
  type Differing,
  type KeyRange,
} from './compare.ts'
export { compareTotals, engineTotals } from './controls.ts'
export { laterChanges, refuseReplaced, undoLoads, type LaterChanges } from './undo.ts'
