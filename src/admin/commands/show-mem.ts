import { columnsOf } from '../columns.ts'
import type { ShowCommand } from '../command.ts'

/** SHOW MEM: the memory of the process by kind, in bytes; JavaScript has no caches of equal objects to count. */
export const showMem: ShowCommand = {
  name: 'MEM',
  access: 'stats',
  columns: columnsOf('name s, size i, used i, free i, memtotal i'),
  rows() {
    const { heapTotal, heapUsed, external, arrayBuffers, rss } = process.memoryUsage()
    return [
      ['heap', 1, heapUsed, heapTotal - heapUsed, heapTotal],
      ['external', 1, external, 0, external],
      ['buffers', 1, arrayBuffers, 0, arrayBuffers],
      ['resident', 1, rss, 0, rss],
    ]
  },
}
