export { acceptOrRefuse, refuseDifferences, type SourceControls } from './accept.ts'
export { applyLoad, type AcceptedLoad } from './apply.ts'
