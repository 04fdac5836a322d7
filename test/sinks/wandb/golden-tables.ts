/** Tables as SDK 0.31.0 writes them: files of a run and of an artifact, and the digest of the artifact. Recorded. */

export interface GoldenTable {
  readonly title: string
  /** As a run keeps it, but for its spelling: `{ columns, data }`. */
  readonly given: { readonly columns: readonly string[]; readonly data: readonly (readonly unknown[])[] }
  readonly run: string
  readonly artifact: string
  readonly digest: string
}

export const GOLDEN_TABLES: readonly GoldenTable[] = [
  {
    title: 'texts, numbers, booleans and nothing',
    given: {
      columns: ['id', 'name', 'score', 'ok', 'when'],
      data: [
        [1, 'Ada', 0.5, true, null],
        [2, 'größe 漢字 😀 "q"\\\n\u007f', 1e-7, false, null],
        [3, '', -123456789012345, true, null],
        [4, null, 1e22, null, null],
      ],
    },
    run: '{"columns":["id","name","score","ok","when"],"data":[[1,"Ada",0.5,true,null],[2,"größe 漢字 😀 \\"q\\"\\\\\\n\u007f",1e-7,false,null],[3,"",-123456789012345,true,null],[4,null,1e+22,null,null]]}',
    artifact:
      '{"_type": "table", "column_types": {"params": {"type_map": {"id": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}, "name": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "string"}]}, "wb_type": "union"}, "ok": {"params": {"allowed_types": [{"wb_type": "boolean"}, {"wb_type": "none"}]}, "wb_type": "union"}, "score": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}, "when": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "unknown"}]}, "wb_type": "union"}}}, "wb_type": "typedDict"}, "columns": ["id", "name", "score", "ok", "when"], "data": [[1, "Ada", 0.5, true, null], [2, "gr\\u00f6\\u00dfe \\u6f22\\u5b57 \\ud83d\\ude00 \\"q\\"\\\\\\n\\u007f", 1e-07, false, null], [3, "", -123456789012345, true, null], [4, null, 1e+22, null, null]], "log_mode": "IMMUTABLE", "ncols": 5, "nrows": 4}',
    digest: 'd207eaab1c0bc951f73759c25a3ddebf',
  },
  {
    title: 'NaN and the infinities among numbers, and the same as words',
    given: {
      columns: ['loss', 'list', 'word'],
      data: [
        [1.5, [1, 2.5], 'NaN'],
        ['NaN', [3], 'Infinity'],
        ['Infinity', [], 'x'],
        ['-Infinity', [4, 5, 6], 'y'],
      ],
    },
    run: '{"columns":["loss","list","word"],"data":[[1.5,[1,2.5],"NaN"],[NaN,[3],"Infinity"],[Infinity,[],"x"],[-Infinity,[4,5,6],"y"]]}',
    artifact:
      '{"_type": "table", "column_types": {"params": {"type_map": {"list": {"params": {"allowed_types": [{"wb_type": "none"}, {"params": {"element_type": {"wb_type": "number"}, "length": 3}, "wb_type": "list"}]}, "wb_type": "union"}, "loss": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}, "word": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "string"}]}, "wb_type": "union"}}}, "wb_type": "typedDict"}, "columns": ["loss", "list", "word"], "data": [[1.5, [1, 2.5], "NaN"], [null, [3], "Infinity"], [Infinity, [], "x"], [-Infinity, [4, 5, 6], "y"]], "log_mode": "IMMUTABLE", "ncols": 3, "nrows": 4}',
    digest: '90a58145cae2640278298fa7d9e3ff96',
  },
  {
    title: 'dictionaries and lists',
    given: {
      columns: ['box', 'tags', 'deep'],
      data: [
        [{ y: 2, x: 1.25, label: 'a' }, ['b', 'a'], [[1, 2], [3]]],
        [{ y: 3, x: 2, label: 'b' }, ['c'], [[4]]],
      ],
    },
    run: '{"columns":["box","tags","deep"],"data":[[{"y":2,"x":1.25,"label":"a"},["b","a"],[[1,2],[3]]],[{"y":3,"x":2,"label":"b"},["c"],[[4]]]]}',
    artifact:
      '{"_type": "table", "column_types": {"params": {"type_map": {"box": {"params": {"allowed_types": [{"wb_type": "none"}, {"params": {"type_map": {"label": {"wb_type": "string"}, "x": {"wb_type": "number"}, "y": {"wb_type": "number"}}}, "wb_type": "typedDict"}]}, "wb_type": "union"}, "deep": {"params": {"allowed_types": [{"wb_type": "none"}, {"params": {"element_type": {"params": {"element_type": {"wb_type": "number"}, "length": 1}, "wb_type": "list"}, "length": 1}, "wb_type": "list"}]}, "wb_type": "union"}, "tags": {"params": {"allowed_types": [{"wb_type": "none"}, {"params": {"element_type": {"wb_type": "string"}, "length": 1}, "wb_type": "list"}]}, "wb_type": "union"}}}, "wb_type": "typedDict"}, "columns": ["box", "tags", "deep"], "data": [[{"label": "a", "x": 1.25, "y": 2}, ["b", "a"], [[1, 2], [3]]], [{"label": "b", "x": 2, "y": 3}, ["c"], [[4]]]], "log_mode": "IMMUTABLE", "ncols": 3, "nrows": 2}',
    digest: 'f94e23287cee37d45178b686080985ef',
  },
  {
    title: 'types that sort before none',
    given: { columns: ['é', 'b', 'a'], data: [[true, [true, null], 'q']] },
    run: '{"columns":["é","b","a"],"data":[[true,[true,null],"q"]]}',
    artifact:
      '{"_type": "table", "column_types": {"params": {"type_map": {"a": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "string"}]}, "wb_type": "union"}, "b": {"params": {"allowed_types": [{"params": {"element_type": {"params": {"allowed_types": [{"wb_type": "boolean"}, {"wb_type": "none"}]}, "wb_type": "union"}, "length": 2}, "wb_type": "list"}, {"wb_type": "none"}]}, "wb_type": "union"}, "\\u00e9": {"params": {"allowed_types": [{"wb_type": "boolean"}, {"wb_type": "none"}]}, "wb_type": "union"}}}, "wb_type": "typedDict"}, "columns": ["\\u00e9", "b", "a"], "data": [[true, [true, null], "q"]], "log_mode": "IMMUTABLE", "ncols": 3, "nrows": 1}',
    digest: '0204a0835efa945693262983167529cb',
  },
  {
    title: 'no rows',
    given: { columns: ['a', 'b'], data: [] },
    run: '{"columns":["a","b"],"data":[]}',
    artifact:
      '{"_type": "table", "column_types": {"params": {"type_map": {"a": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "unknown"}]}, "wb_type": "union"}, "b": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "unknown"}]}, "wb_type": "union"}}}, "wb_type": "typedDict"}, "columns": ["a", "b"], "data": [], "log_mode": "IMMUTABLE", "ncols": 2, "nrows": 0}',
    digest: 'bfb7c9c6393328bb807a105b077d22ae',
  },
  {
    title: 'what is null throughout, and where numbers get an exponent',
    given: {
      columns: ['d', 'z\uffff', 'z😀'],
      data: [
        [{ a: null, b: [] }, 0.00001, 1e16],
        [null, 1.5e-6, 5e-324],
        [null, 0.0001, 1.5e300],
        [null, null, -2.5],
      ],
    },
    run: '{"columns":["d","z\uffff","z😀"],"data":[[{"a":null,"b":[]},0.00001,1e+16],[null,1.5e-6,5e-324],[null,0.0001,1.5e+300],[null,null,-2.5]]}',
    artifact:
      '{"_type": "table", "column_types": {"params": {"type_map": {"d": {"params": {"allowed_types": [{"wb_type": "none"}, {"params": {"type_map": {"a": {"wb_type": "none"}, "b": {"params": {"element_type": {"wb_type": "unknown"}, "length": 0}, "wb_type": "list"}}}, "wb_type": "typedDict"}]}, "wb_type": "union"}, "z\\uffff": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}, "z\\ud83d\\ude00": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}}}, "wb_type": "typedDict"}, "columns": ["d", "z\\uffff", "z\\ud83d\\ude00"], "data": [[{"a": null, "b": []}, 1e-05, 1e+16], [null, 1.5e-06, 5e-324], [null, 0.0001, 1.5e+300], [null, null, -2.5]], "log_mode": "IMMUTABLE", "ncols": 3, "nrows": 4}',
    digest: '88f0809fb23d80ec7f5dd32c94f62c2f',
  },
  {
    title: 'a column of several types',
    given: {
      columns: ['any', 'num'],
      data: [
        [1, 2],
        ['x', 3],
        [null, 4],
        [[1], 5],
      ],
    },
    run: '{"columns":["any","num"],"data":[[1,2],["x",3],[null,4],[[1],5]]}',
    artifact:
      '{"_type": "table", "column_types": {"params": {"type_map": {"any": {"params": {"allowed_types": [{"wb_type": "any"}, {"wb_type": "none"}]}, "wb_type": "union"}, "num": {"params": {"allowed_types": [{"wb_type": "none"}, {"wb_type": "number"}]}, "wb_type": "union"}}}, "wb_type": "typedDict"}, "columns": ["any", "num"], "data": [[1, 2], ["x", 3], [null, 4], [[1], 5]], "log_mode": "IMMUTABLE", "ncols": 2, "nrows": 4}',
    digest: '0141996f5f0bd3500f92818a1bb799ac',
  },
]
