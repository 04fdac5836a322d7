export { ERROR_CODES, type ErrorCode, TraceletError } from './core/errors.ts'
export type { DestinationStats, ParamValue, RunInfo, RunOutcome, Stats } from './core/types.ts'
export type { AlertOptions } from './run/alerts.ts'
export type { Backend, BackendOptions } from './run/backends.ts'
export type { ConsolePlace } from './run/console.ts'
export type { Dataset, MetricOptions } from './run/descriptions.ts'
export type { FinishOptions, FlushOptions } from './run/end.ts'
export { type AttachedRun, attachRun, type RunHandle } from './run/handle.ts'
export type { Issue, IssueHandler } from './run/issues.ts'
export type { ArtifactOptions, ModelOptions, Snapshot } from './run/media/artifact.ts'
export type { CodeOptions } from './run/media/code.ts'
export type { FigureInput, PlotlyFigure } from './run/media/figure.ts'
export type { HistogramInput } from './run/media/histogram.ts'
export type { EncodedImage, ImageInput, PixelImage } from './run/media/image.ts'
export type { MediaPlace } from './run/media/place.ts'
export type { FileOptions } from './run/media/run-files.ts'
export type { TableInput } from './run/media/table.ts'
export type { ImageFormat, ImagesFormat, PixelBatch } from './run/media/tensorboard-inputs.ts'
export type { Metric } from './run/metric.ts'
export { type OpenRunOptions, openRun, type StoredRun } from './run/open-run.ts'
export type { LogPlace } from './run/producer.ts'
export type { Params, Tags } from './run/records.ts'
export type { Resume } from './run/resume.ts'
export type { Run } from './run/run.ts'
export { getActiveRun, type StartOptions, startLogging, stopLogging } from './run/start.ts'
export type { StopRequest, StopRequestHandler } from './run/stop-requests.ts'
export type { StoredBlob } from './run/stored-blob.ts'
export type { ArtifactFile, Download } from './run/stored-files.ts'
export type { History, Point, SeriesLength, SeriesSummary } from './run/stored-points.ts'
export type {
  MetricDefinition,
  StoredAlert,
  StoredArtifact,
  StoredConsole,
  StoredDataset,
  StoredFigure,
  StoredHistogram,
  StoredImage,
  StoredInput,
  StoredModel,
  StoredPrCurve,
  StoredRunFile,
  StoredTable,
  StoredText,
  TableContent,
} from './run/stored-records.ts'
export { SummaryWriter } from './run/summary-writer.ts'
