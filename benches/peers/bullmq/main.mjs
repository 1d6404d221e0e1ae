// bullmq: the same jobs, one by one, in bulk, and drained by one worker. Prints its rates as JSON.
import { readFileSync } from 'node:fs';
import { Queue, Worker } from 'bullmq';

const [url, jobs, bytes] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const { hostname, port } = new URL(url);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };
const payload = { text: 'x'.repeat(bytes) };
const options = { removeOnComplete: true, removeOnFail: true };
const few = jobs / 10;
const BULK = 1000;
const CONCURRENCY = 200;

const queue = new Queue('bench', { connection });
await queue.waitUntilReady();
const seconds = async (work) => {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
};
const oneByOne = few / await seconds(async () => {
  for (let i = 0; i < few; i++) await queue.add('nothing', payload, options);
});
const bulk = jobs / await seconds(async () => {
  for (let i = 0; i < jobs; i += BULK) {
    await queue.addBulk(Array.from({ length: BULK }, () => ({ name: 'nothing', data: payload, opts: options })));
  }
});
const all = jobs + few;
let worker;
const drain = all / await seconds(() => new Promise((resolve) => {
  let done = 0;
  worker = new Worker('bench', async () => {}, { connection, concurrency: CONCURRENCY });
  worker.on('completed', () => { if (++done === all) resolve(); });
}));
const { version } = JSON.parse(readFileSync(new URL('node_modules/bullmq/package.json', import.meta.url)));
console.log(JSON.stringify({ version, one_by_one: oneByOne, bulk, drain }));
await worker.close();
await queue.close();
