/** Sink of the offset fake that also uploads artifacts, each of which has a line that names it. */
import { defineSink } from '../../../src/sinks/contract.ts'
import offset, { OffsetSink } from './offset-sink.ts'

export default defineSink({
  ...offset,
  kind: 'naming',
  title: 'Naming fake',
  capabilities: { ...offset.capabilities, uploads: ['artifact'], mentions: ['artifact'] },
  create: ({ run, options }) => new OffsetSink(run, options),
})
