// Publishes pairs to Kafka from Node 18 or later, without any package. A message's value is JSON
// with the fields of RawPair; its key is the pair's id.
//
//   node publish.mjs kafka:9092 pairs.raw < pairs.jsonl
//
// Each line of the input is one JSON object, at least {"image": {"url": "..."}, "text": "..."}. A
// client library adds security, compression and retries; the messages are the same with it.

import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

const BATCH_BYTES = 512 * 1024;
const TIMEOUT_MS = 30_000;
const METADATA = [3, 4]; // API key and version, understood by Kafka 1 to 4
const PRODUCE = [0, 3];

/** The id that Kaption derives for a pair: the same image on the same page gets the same id. */
export function pairId({ source, page_url, image }) {
  const content = image.inline
    ? createHash('sha256').update(Buffer.from(image.inline, 'base64')).digest('hex')
    : (image.blob?.sha256 ?? '');
  const parts = [source ?? '', page_url ?? '', image.url ?? '', content].map((part) =>
    JSON.stringify(part).replace(
      /[^ -~]/g,
      (char) => '\\u' + char.charCodeAt(0).toString(16).padStart(4, '0'),
    ),
  );
  return createHash('sha256').update(`[${parts.join(', ')}]`).digest('hex').slice(0, 32);
}

// The types of the Kafka protocol: big endian, a length before its data; zigzag varints in records.
const int8 = (value) => Buffer.from([value & 0xff]);
const int16 = (value) => { const b = Buffer.alloc(2); b.writeInt16BE(value); return b; };
const int32 = (value) => { const b = Buffer.alloc(4); b.writeInt32BE(value); return b; };
const uint32 = (value) => { const b = Buffer.alloc(4); b.writeUInt32BE(value); return b; };
const int64 = (value) => { const b = Buffer.alloc(8); b.writeBigInt64BE(BigInt(value)); return b; };
const string = (text) => Buffer.concat([int16(Buffer.byteLength(text)), Buffer.from(text)]);
const bytes = (data) => Buffer.concat([int32(data.length), data]);
const list = (items) => Buffer.concat([int32(items.length), ...items]);
function varint(value) {
  const out = [];
  let left = value >= 0 ? value * 2 : -value * 2 - 1;
  for (; left > 127; left = Math.floor(left / 128)) out.push((left % 128) | 128);
  return Buffer.from([...out, left]);
}
const sized = (data) => Buffer.concat([varint(data.length), data]);

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});
function crc32c(data) {
  let crc = -1;
  for (const byte of data) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function record({ key, value }, offset) {
  const name = Buffer.from('kaption-schema');
  const headers = [varint(1), sized(name), sized(Buffer.from('RawPair/1'))];
  return sized(
    Buffer.concat([int8(0), varint(0), varint(offset), sized(key), sized(value), ...headers]),
  );
}

function recordBatch(messages) {
  const now = int64(Date.now());
  const checked = Buffer.concat([
    int16(0), int32(messages.length - 1), now, now, // no compression; last offset; timestamps
    int64(-1), int16(-1), int32(-1), // not idempotent: a retry may write twice; ingest rejects the copy
    list(messages.map(record)),
  ]);
  const batch = Buffer.concat([int32(0), int8(2), uint32(crc32c(checked)), checked]);
  return Buffer.concat([int64(0), int32(batch.length), batch]);
}

/** One connection to one broker, one request at a time. */
class Broker {
  static async open(host, port) {
    const broker = new Broker();
    broker.socket = connect({ host, port });
    broker.socket.on('timeout', () =>
      broker.socket.destroy(new Error(`${host}:${port} is silent for ${TIMEOUT_MS / 1000} s`)),
    );
    broker.chunks = broker.socket[Symbol.asyncIterator]();
    broker.left = Buffer.alloc(0);
    return broker;
  }

  async request([api, version], body) {
    const frame = Buffer.concat([int16(api), int16(version), int32(1), string('kaption-node'), body]);
    this.socket.setTimeout(TIMEOUT_MS);
    this.socket.write(bytes(frame));
    const size = (await this.read(4)).readInt32BE();
    const answer = await this.read(size);
    this.socket.setTimeout(0); // no limit while there is nothing to send
    return new Answer(answer.subarray(4)); // after the correlation id
  }

  async read(count) {
    while (this.left.length < count) {
      const { value, done } = await this.chunks.next();
      if (done) throw new Error('the broker closed the connection');
      this.left = Buffer.concat([this.left, value]);
    }
    const found = this.left.subarray(0, count);
    this.left = this.left.subarray(count);
    return found;
  }
}

class Answer {
  constructor(data) { this.data = data; this.at = 0; }
  skip(count) { this.at += count; }
  int16() { this.at += 2; return this.data.readInt16BE(this.at - 2); }
  int32() { this.at += 4; return this.data.readInt32BE(this.at - 4); }
  string() {
    const size = this.int16();
    if (size < 0) return null;
    this.at += size;
    return this.data.toString('utf8', this.at - size, this.at);
  }
  list(read) { return Array.from({ length: this.int32() }, () => read(this)); }
}

/** The leader's address of each partition. */
async function leaders(broker, topic) {
  const noNewTopics = int8(0);
  const answer = await broker.request(METADATA, Buffer.concat([list([string(topic)]), noNewTopics]));
  answer.skip(4); // throttled
  const addresses = new Map(
    answer.list((each) => {
      const address = [each.int32(), [each.string(), each.int32()]];
      each.string(); // rack
      return address;
    }),
  );
  answer.string(); // cluster
  answer.skip(4); // controller
  const [found] = answer.list((each) => {
    const error = each.int16();
    each.string();
    each.skip(1); // internal
    const partitions = each.list(() => {
      const partition = { error: each.int16(), number: each.int32(), leader: each.int32() };
      each.list(() => each.int32()); // replicas
      each.list(() => each.int32()); // in sync
      return partition;
    });
    return { error, partitions };
  });
  if (found.error) throw new Error(`topic ${topic}: Kafka error ${found.error}; does it exist?`);
  return found.partitions
    .sort((one, other) => one.number - other.number)
    .map((each) => addresses.get(each.leader));
}

/** Resolves when all in-sync replicas have the messages. */
async function produce(broker, topic, partition, messages) {
  const data = list([Buffer.concat([int32(partition), bytes(recordBatch(messages))])]);
  const body = [int16(-1), int16(-1), int32(TIMEOUT_MS), list([Buffer.concat([string(topic), data])])];
  const answer = await broker.request(PRODUCE, Buffer.concat(body));
  answer.list(() => {
    answer.string();
    answer.list(() => {
      const [number, error] = [answer.int32(), answer.int16()];
      answer.skip(16); // offset and time
      if (error) throw new Error(`${topic}/${number}: Kafka error ${error}`);
    });
  });
}

async function main(bootstrap, topic) {
  const [host, port] = bootstrap.split(':');
  const first = await Broker.open(host, Number(port));
  const addresses = await leaders(first, topic);
  first.socket.destroy();
  const brokers = new Map();
  const waiting = addresses.map(() => ({ messages: [], size: 0 }));
  let published = 0;

  async function send(partition) {
    const { messages } = waiting[partition];
    if (!messages.length) return;
    const address = addresses[partition];
    if (!address) throw new Error(`${topic}/${partition} has no leader: run again`);
    const name = address.join(':');
    if (!brokers.has(name)) brokers.set(name, await Broker.open(...address));
    await produce(brokers.get(name), topic, partition, messages);
    published += messages.length;
    waiting[partition] = { messages: [], size: 0 };
  }

  for await (const line of createInterface({ input: process.stdin })) {
    if (!line.trim()) continue;
    const fields = JSON.parse(line);
    const pair = { pair_id: pairId(fields), ...fields };
    const [key, value] = [Buffer.from(pair.pair_id), Buffer.from(JSON.stringify(pair))];
    const partition = crc32c(key) % addresses.length; // a pair always goes to the same partition
    const batch = waiting[partition];
    batch.messages.push({ key, value });
    batch.size += value.length;
    if (batch.size > BATCH_BYTES) await send(partition);
  }
  for (const partition of waiting.keys()) await send(partition);
  for (const broker of brokers.values()) broker.socket.destroy();
  console.log(`${published} pairs published`);
}

const [bootstrap, topic] = process.argv.slice(2);
if (!topic) {
  console.error('usage: node publish.mjs HOST:PORT TOPIC < pairs.jsonl');
  process.exit(2);
}
await main(bootstrap, topic).catch((error) => {
  console.error(error.message);
  process.exit(1); // connections to other brokers may still be open
});
