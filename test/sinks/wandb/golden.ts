/**
 * What wandb 0.31.0 sent for one run, shortened: bodies as they came, of `graphql` and of the run's `file_stream`. The
 * rows have every kind of value that a row can have.
 */
export const RUN = 'labuser/lab/33vdg5s7'

export const REQUESTS: readonly { readonly to: 'graphql' | 'file_stream'; readonly body: string }[] = [
  {
    to: 'graphql',
    body:
      '{"query":"mutation UpsertBucket ($id: String, $name: String, $project: String, $entity: String, ' +
      '$groupName: String, $description: String, $displayName: String, $notes: String, $commit: String,' +
      ' $config: JSONString, $host: String, $debug: Boolean, $program: String, $repo: String, $jobType:' +
      ' String, $state: String, $sweep: String, $tags: [String!], $summaryMetrics: JSONString) { upsert' +
      'Bucket(input: {id:$id,name:$name,groupName:$groupName,modelName:$project,entityName:$entity,desc' +
      'ription:$description,displayName:$displayName,notes:$notes,config:$config,commit:$commit,host:$h' +
      'ost,debug:$debug,jobProgram:$program,jobRepo:$repo,jobType:$jobType,state:$state,sweep:$sweep,ta' +
      'gs:$tags,summaryMetrics:$summaryMetrics}) { bucket { id name displayName description config swee' +
      'pName project { id name entity { id name } } historyLineCount } inserted } }","variables":{"id":' +
      'null,"name":"33vdg5s7","project":"lab","entity":null,"groupName":"g1","description":null,"displa' +
      'yName":"lab-online","notes":"hello","commit":null,"config":"{\\"lr\\":{\\"value\\":0.001},\\"model\\":' +
      '{\\"value\\":{\\"act\\":\\"gelu\\",\\"layers\\":2}},\\"tags\\":{\\"value\\":[\\"a\\",\\"b\\"]},\\"_wandb\\":{\\"val' +
      'ue\\":{\\"t\\":{\\"4\\":\\"3.11.7\\",\\"3\\":[13,15,16],\\"5\\":\\"0.31.0\\",\\"12\\":\\"0.31.0\\",\\"13\\":\\"linux' +
      '-x86_64\\"},\\"m\\":[],\\"cli_version\\":\\"0.31.0\\",\\"python_version\\":\\"3.11.7\\"}}}","host":"host","' +
      'debug":null,"program":"train.py","repo":null,"jobType":"train","state":null,"sweep":null,"tags":' +
      '["t1"],"summaryMetrics":null}}',
  },
  {
    to: 'graphql',
    body: '{"query":"query ServerFeaturesQuery { serverInfo { features { name isEnabled } } }"}',
  },
  {
    to: 'file_stream',
    body: '{"files":{"output.log":{"offset":0,"content":["2026-11-23T07:29:08.360065 init"]}}}',
  },
  {
    to: 'graphql',
    body:
      '{"query":"mutation UpsertBucket ($id: String, $name: String, $project: String, $entity: String, ' +
      '$groupName: String, $description: String, $displayName: String, $notes: String, $commit: String,' +
      ' $config: JSONString, $host: String, $debug: Boolean, $program: String, $repo: String, $jobType:' +
      ' String, $state: String, $sweep: String, $tags: [String!], $summaryMetrics: JSONString) { upsert' +
      'Bucket(input: {id:$id,name:$name,groupName:$groupName,modelName:$project,entityName:$entity,desc' +
      'ription:$description,displayName:$displayName,notes:$notes,config:$config,commit:$commit,host:$h' +
      'ost,debug:$debug,jobProgram:$program,jobRepo:$repo,jobType:$jobType,state:$state,sweep:$sweep,ta' +
      'gs:$tags,summaryMetrics:$summaryMetrics}) { bucket { id name displayName description config swee' +
      'pName project { id name entity { id name } } historyLineCount } inserted } }","variables":{"id":' +
      'null,"name":"33vdg5s7","project":"lab","entity":"labuser","groupName":null,"description":null,"d' +
      'isplayName":null,"notes":null,"commit":null,"config":"{\\"tags\\":{\\"value\\":[\\"a\\",\\"b\\"]},\\"_wan' +
      'db\\":{\\"value\\":{\\"e\\":{\\"01a2074f027e797fb406cdd47e509739\\":{\\"os\\":\\"Linux\\",\\"python\\":\\"CPyt' +
      'hon 3.11.7\\",\\"program\\":\\"train.py\\",\\"host\\":\\"host\\",\\"writerId\\":\\"01a2074f027e797fb406cdd47' +
      'e509739\\"}},\\"cli_version\\":\\"0.31.0\\",\\"python_version\\":\\"3.11.7\\",\\"t\\":{\\"4\\":\\"3.11.7\\",\\"3' +
      '\\":[2,7,13,15,16,41,62,63,78],\\"5\\":\\"0.31.0\\",\\"12\\":\\"0.31.0\\",\\"13\\":\\"linux-x86_64\\"},\\"m\\":' +
      '[{\\"5\\":2,\\"6\\":[1,3],\\"7\\":[1],\\"1\\":\\"val/loss\\"},{\\"1\\":\\"epoch\\",\\"6\\":[],\\"7\\":[]}]}},\\"lat' +
      'e\\":{\\"value\\":1},\\"lr\\":{\\"value\\":0.001},\\"model\\":{\\"value\\":{\\"layers\\":2,\\"act\\":\\"gelu\\"}}' +
      '}","host":null,"debug":null,"program":null,"repo":null,"jobType":null,"state":null,"sweep":null,' +
      '"tags":null,"summaryMetrics":null}}',
  },
  {
    to: 'graphql',
    body:
      '{"query":"mutation CreateRunFiles ($entity: String!, $project: String!, $run: String!, $files: [' +
      'String!]!) { createRunFiles(input: {entityName:$entity,projectName:$project,runName:$run,files:$' +
      'files}) { runID uploadHeaders files { name uploadUrl } } }","variables":{"entity":"labuser","pro' +
      'ject":"lab","run":"33vdg5s7","files":["config.yaml","output.log"]}}',
  },
  {
    to: 'file_stream',
    body:
      '{"files":{"output.log":{"offset":0,"content":["2026-11-23T07:29:08.360065 init 0.820765495300293' +
      ' 33vdg5s7","2026-11-23T07:29:09.013101 log loop 0.42662572860717773","2026-11-23T07:29:09.013164' +
      ' hello from stdout"]},"wandb-events.jsonl":{"offset":0,"content":["{\\"system.network.recv\\":0,\\"' +
      'system.disk.vda.in\\":0,\\"system.memory_percent\\":18.599677427770867,\\"system.proc.memory.availab' +
      'leMB\\":19621.99609375,\\"system.proc.memory.rssMB\\":64.08203125,\\"system.network.tcpRetransmits\\"' +
      ':0,\\"system.disk.vda.out\\":0,\\"system.disk./.usagePercent\\":19.765627395256256,\\"_timestamp\\":1.' +
      '7954189484635344e+09,\\"_runtime\\":0.195826464,\\"system.network.sent\\":0,\\"_wandb\\":true,\\"system' +
      '.proc.memory.percent\\":0.26583931573073566,\\"system.proc.cpu.threads\\":4,\\"system.disk./.usageGB' +
      '\\":18.00196075439453}"]},"wandb-history.jsonl":{"offset":0,"content":["{\\"train/acc\\":0,\\"_runti' +
      'me\\":0.087115042,\\"epoch\\":0,\\"_step\\":0,\\"loss\\":1,\\"lr\\":0.001,\\"nested\\":{\\"a\\":0,\\"b\\":{\\"c\\' +
      '":0}},\\"_timestamp\\":1.7954189483683197e+09,\\"val/loss\\":2}","{\\"loss\\":0.5,\\"train/acc\\":0.0005' +
      ',\\"nested\\":{\\"b\\":{\\"c\\":2},\\"a\\":1},\\"lr\\":0.001,\\"_timestamp\\":1.7954189483694336e+09,\\"_runt' +
      'ime\\":0.087974581,\\"_step\\":1}","{\\"loss\\":0.3333333333333333,\\"train/acc\\":0.001,\\"nested\\":{\\"' +
      'b\\":{\\"c\\":4},\\"a\\":2},\\"lr\\":0.001,\\"_timestamp\\":1.7954189483701808e+09,\\"_runtime\\":0.0887924' +
      '59,\\"_step\\":2}","{\\"big\\":1152921504606846976,\\"list\\":[1,2,3],\\"nested\\":{\\"a\\":3,\\"b\\":{\\"c\\"' +
      ':6}},\\"train/acc\\":0.0015,\\"_timestamp\\":1.7954189483707764e+09,\\"loss\\":0.25,\\"ninf\\":-Infinity' +
      ',\\"_step\\":3,\\"inf\\":Infinity,\\"nan\\":NaN,\\"str\\":\\"text\\",\\"bool\\":true,\\"_runtime\\":0.08943424' +
      '4,\\"none\\":null,\\"lr\\":0.001}","{\\"_runtime\\":0.09003637,\\"_step\\":4,\\"loss\\":0.2,\\"train/acc\\":' +
      '0.002,\\"nested\\":{\\"a\\":4,\\"b\\":{\\"c\\":8}},\\"lr\\":0.001,\\"_timestamp\\":1.795418948371481e+09}","' +
      '{\\"lr\\":0.001,\\"hist\\":{\\"bins\\":[0,0.25,0.5,0.75,1],\\"_type\\":\\"histogram\\",\\"values\\":[1,2,3,4' +
      ']},\\"_timestamp\\":1.7954189483719769e+09,\\"_runtime\\":0.090535032,\\"_step\\":5,\\"loss\\":0.1666666' +
      '6666666666,\\"train/acc\\":0.0025,\\"nested\\":{\\"a\\":5,\\"b\\":{\\"c\\":10}}}","{\\"img\\":{\\"format\\":\\"' +
      'png\\",\\"width\\":16,\\"height\\":16,\\"caption\\":\\"cap\\",\\"_type\\":\\"image-file\\",\\"sha256\\":\\"0115e' +
      '89c5e931d3ceca2f128f76e6c00633876ebb9a9abc20968d88c43eee5ce\\",\\"size\\":463,\\"path\\":\\"media/imag' +
      'es/img_6_0115e89c5e931d3ceca2.png\\"},\\"_timestamp\\":1.795418948420308e+09,\\"_runtime\\":0.1391505' +
      '61,\\"_step\\":6,\\"loss\\":0.14285714285714285,\\"train/acc\\":0.003,\\"nested\\":{\\"b\\":{\\"c\\":12},\\"a' +
      '\\":6},\\"lr\\":0.001}"]},"wandb-summary.json":{"offset":0,"content":["{\\"str\\":\\"text\\",\\"_wandb\\"' +
      ':{\\"runtime\\":1},\\"_step\\":6,\\"list\\":[1,2,3],\\"inf\\":Infinity,\\"best\\":0.5,\\"_timestamp\\":17954' +
      '18948.7947989,\\"_runtime\\":1,\\"hist\\":{\\"values\\":[1,2,3,4],\\"bins\\":[0,0.25,0.5,0.75,1],\\"_type' +
      '\\":\\"histogram\\"},\\"nan\\":NaN,\\"epoch\\":19,\\"loss\\":0.0005,\\"big\\":1152921504606846976,\\"bool\\":' +
      'true,\\"img\\":{\\"format\\":\\"png\\",\\"width\\":16,\\"height\\":16,\\"caption\\":\\"cap\\",\\"_type\\":\\"imag' +
      'e-file\\",\\"sha256\\":\\"0115e89c5e931d3ceca2f128f76e6c00633876ebb9a9abc20968d88c43eee5ce\\",\\"size\\' +
      '":463,\\"path\\":\\"media/images/img_6_0115e89c5e931d3ceca2.png\\"},\\"val/loss\\":{\\"min\\":0.00105207' +
      '78537611783},\\"nested\\":{\\"a\\":1999,\\"b\\":{\\"c\\":3998}},\\"train/acc\\":0.9995,\\"lr\\":0.001,\\"ninf' +
      '\\":-Infinity}"]}},"uploaded":["config.yaml","output.log"],"complete":true,"exitcode":0}',
  },
]
