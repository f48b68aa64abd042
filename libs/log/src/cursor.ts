/** The cursor record of one consumer of one partition: KV `hawser-cursors`, key `<consumer>.<partition>`. */
export interface Cursor {
  readonly version: 1;
  /** Epoch of the partition's owner that wrote it: an older owner's write is refused. */
  readonly epoch: number;
  /** Everything up to this log sequence is done. */
  readonly sequence: number;
  /** Per origin: numbers below are done, wherever they stand. */
  readonly doneNext: Readonly<Record<string, number>>;
  /** Log sequences that are not done and were handed on behind a higher one. */
  readonly late?: readonly number[];
}

export function cursorKey(consumer: string, partition: number): string {
  return `${consumer}.${partition}`;
}

export function encodeCursor(cursor: Cursor): Buffer {
  return Buffer.from(JSON.stringify(cursor));
}

export function decodeCursor(bytes: Buffer): Cursor {
  const cursor = JSON.parse(bytes.toString()) as Cursor;
  if (cursor.version !== 1) throw new Error(`cursor: format version ${String(cursor.version)} is not known`);
  return cursor;
}
