export { acceptOrRefuse, refuseDifferences, type SourceControls } from './accept.ts'
export { applyLoad, ensureImage, type AcceptedLoad } from './apply.ts'
