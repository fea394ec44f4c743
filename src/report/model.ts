/**
 * The quality report as data: what `report.json` holds and what the page is made of. Plain values only; times are text
 * in UTC. Where a list is a sample, it says of how many.
 */
export interface QualityReport {
  /** Version of this shape. */
  readonly format: 1
  readonly project: string
  readonly run: RunFacts
  /** What a reader has to know first, the worst first. */
  readonly findings: readonly Finding[]
  /** Rows of every table along the journey, as they are now. */
  readonly journey: readonly { readonly stage: JourneyStage; readonly tables: readonly TableRows[] }[]
  readonly tables: readonly StagedTable[]
  readonly rules: readonly RuleOutcome[]
  readonly quarantine: readonly QuarantinedContributor[]
  readonly corrections: readonly CorrectedColumn[]
  readonly matches: readonly MatchedContributor[]
  readonly conflicts: readonly ConflictingColumn[]
  readonly exports: readonly ExportFacts[]
  readonly warehouse: WarehouseFacts
}

/** The first of a longer list, and how long it is. */
export interface Sample<T> {
  readonly shown: readonly T[]
  readonly of: number
}

export interface Finding {
  /** bad: data disagrees or the run failed. attention: a person should look. good: checked and in order. */
  readonly level: 'bad' | 'attention' | 'good'
  readonly text: string
  /** The section that tells more. */
  readonly section: SectionId
}

export type SectionId =
  | 'run'
  | 'staged'
  | 'columns'
  | 'rules'
  | 'quarantine'
  | 'corrections'
  | 'matches'
  | 'exports'
  | 'warehouse'

export type JourneyStage = 'staged' | 'integrated' | 'exported' | 'warehouse'

export interface TableRows {
  readonly table: string
  readonly rows: number
}

export interface RunFacts {
  readonly run: number
  readonly state: string
  readonly began: string | null
  readonly ended: string | null
  readonly seconds: number | null
  /** The one time that the rows of the run carry. */
  readonly asOf: string | null
  readonly rowsRead: number
  readonly rowsRejected: number
  readonly error: { readonly code: string; readonly text: string } | null
}

/** One staged table: what was read, what the source said of it, what was refused, and what its columns are like. */
export interface StagedTable {
  readonly source: string
  readonly table: string
  /** `null` when nothing was ever read. */
  readonly load: LoadFacts | null
  readonly controls: readonly ControlTotal[]
  readonly rejects: readonly RejectReason[]
  readonly files: FileFacts | null
  /** `null` when the table was never profiled. */
  readonly profile: TableProfile | null
  /** Why it was left as it is staged by the last run that tried to read it; `null` when it follows its source. */
  readonly stopped: { readonly run: number; readonly code: string; readonly text: string } | null
}

export interface LoadFacts {
  readonly load: number
  readonly run: number
  /** False when this run read nothing of the table: then this is its last published load. */
  readonly inThisRun: boolean
  readonly state: string
  readonly scope: string
  readonly technique: string
  readonly rowsRead: number
  readonly rowsRejected: number
}

export interface ControlTotal {
  /** Empty for figures of the whole table; `keys` for the sweep of its keys. */
  readonly column: string
  readonly measure: string
  /** `***` where the figure is a value of a personal column. */
  readonly source: string | null
  readonly staged: string | null
  /** `null` where rejected rows make the two incomparable. */
  readonly equal: boolean | null
}

export interface RejectReason {
  readonly reason: string
  readonly rows: Sample<{
    readonly file: string | null
    readonly line: number | null
    readonly key: string | null
    readonly detail: string | null
  }>
}

export interface FileFacts {
  readonly counts: readonly { readonly state: string; readonly files: number }[]
  /** The refused ones first, then the newest. */
  readonly files: Sample<{
    readonly name: string
    readonly state: string
    readonly reason: string | null
    readonly bytes: number | null
    readonly taken: string | null
    readonly inThisRun: boolean
  }>
}

export interface TableProfile {
  readonly run: number
  readonly inThisRun: boolean
  /** all: every row of the table. delta: the rows that the run brought. */
  readonly scope: string
  readonly rows: number
  /** Rows that top values and histograms come from; `null` for all of them. */
  readonly sampleRows: number | null
  readonly columns: readonly ColumnFacts[]
}

export interface ColumnFacts {
  readonly column: string
  readonly type: string
  /** Personal: no value of it is shown anywhere. */
  readonly personal: boolean
  readonly rows: number
  readonly nulls: number
  /** An estimate, a few percent off. */
  readonly distinctAbout: number
  readonly min: string | null
  readonly max: string | null
  readonly mean: number | null
  readonly stddev: number | null
  readonly lengthMin: number | null
  readonly lengthMax: number | null
  /** Text values that fit the declared type; `null` where nothing has to be cast. */
  readonly castable: number | null
  readonly top: readonly { readonly value: string; readonly count: number }[] | null
  readonly histogram: Histogram | null
  readonly drift: Drift | null
}

export interface Histogram {
  /** micros: microseconds since 1970-01-01 UTC. */
  readonly unit: 'value' | 'micros'
  readonly from: number
  readonly width: number
  readonly counts: readonly number[]
}

/** The column beside its profile before this one. */
export interface Drift {
  readonly previousRun: number
  readonly nullShareChange: number | null
  readonly meanChangeInStddev: number | null
}

export interface RuleOutcome {
  readonly entity: string
  readonly contributor: string
  readonly rule: string
  /** What it asks, in words. */
  readonly asks: string
  readonly severity: string
  readonly run: number
  readonly inThisRun: boolean
  readonly limitRows: number | null
  /** On mapped values, reported only; `null` when this phase did not look. */
  readonly before: RulePhase | null
  /** On repaired values, acted on. */
  readonly after: RulePhase | null
}

export interface RulePhase {
  readonly rowsChecked: number
  /** `null`: not evaluated; `note` says why. */
  readonly rowsFailed: number | null
  readonly keys: Sample<string>
  readonly note: string | null
}

/** Rows of one contributor that wait for a person. */
export interface QuarantinedContributor {
  readonly entity: string
  readonly contributor: string
  readonly rows: number
  readonly newInThisRun: number
  readonly resolvedInThisRun: number
  /** Rows of which an older version is still in use. */
  readonly held: number
  readonly rules: readonly { readonly rule: string; readonly rows: Sample<QuarantinedRow> }[]
}

export interface QuarantinedRow {
  readonly key: string
  readonly rules: readonly string[]
  readonly held: boolean
  /** The staged row, personal values masked; `null` when it is too long to show. */
  readonly values: readonly { readonly column: string; readonly value: string | null }[] | null
}

export interface CorrectedColumn {
  readonly entity: string
  readonly contributor: string
  readonly column: string
  /** cleanse: a repair of the config. fix: a value that a person set. */
  readonly repair: string
  readonly newInThisRun: number
  /** The changes that were made most often. */
  readonly changes: Sample<{
    readonly before: string | null
    readonly after: string | null
    readonly cells: number
    readonly key: string
  }>
  /** Cells in all. */
  readonly cells: number
}

export interface MatchedContributor {
  readonly entity: string
  readonly contributor: string
  /** `key` when its rows carry the key, `likeness` when they have to be found. */
  readonly by: 'key' | 'likeness'
  readonly matched: number
  readonly unmatched: number
  /** Matches by likeness in steps of 0.05 from 0 to 1; `null` for matches by key. */
  readonly scores: Histogram | null
  /** The matches that a person would doubt first. */
  readonly weakest: Sample<MatchedRow>
  readonly without: Sample<MatchedRow>
}

export interface MatchedRow {
  readonly sourceKey: string
  readonly goldenKey: string | null
  readonly score: number | null
  readonly rule: string
}

export interface ConflictingColumn {
  readonly entity: string
  readonly column: string
  readonly cells: number
  /** Who won how often; `null` where nobody did. */
  readonly winners: readonly { readonly winner: string | null; readonly cells: number }[]
  readonly samples: Sample<{
    readonly key: string
    readonly winner: string | null
    readonly rule: string
    readonly values: readonly { readonly contributor: string; readonly value: string | null }[]
  }>
}

export interface ExportFacts {
  readonly name: string
  readonly entity: string
  /** `null` when it was not built yet. */
  readonly rows: number | null
  readonly rowsOfEntity: number | null
  readonly filtered: boolean
  readonly columns: number
  readonly masks: readonly { readonly column: string; readonly personal: boolean; readonly mask: string }[]
}

export interface WarehouseFacts {
  readonly facts: readonly FactReconciliation[]
  readonly restatements: readonly { readonly table: string; readonly what: string; readonly rows: Sample<Restated> }[]
}

export interface FactReconciliation {
  readonly fact: string
  readonly run: number
  readonly inThisRun: boolean
  readonly measures: readonly {
    readonly measure: string
    readonly exported: string | null
    readonly inFact: string | null
    readonly equal: boolean
  }[]
}

/** A row of a dimension that this run changed after the fact. */
export interface Restated {
  readonly key: string
  readonly changes: readonly {
    readonly column: string
    readonly before: string | null
    readonly after: string | null
  }[]
}
